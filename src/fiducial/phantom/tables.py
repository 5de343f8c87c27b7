"""Prediction tables drawn without images, clean or with one planted defect: what the audit's checks are proved on.

A hidden score, binormal as in `vendor`, gives every case log-odds that are known exactly, so a clean table's values are
calibrated to the last digit. Each defect of `DEFECTS` changes one thing about it; `table_truth` says what then is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.phantom.defects import DEFECTS
from fiducial.phantom.scanners import site_name
from fiducial.phantom.vendor import Array, Vendor, log_odds, separation, sigmoid

if TYPE_CHECKING:
    import pandas as pd

TARGET = "malignant"
STRUCTURE = "lesion"
SCANNER_MODELS = ("Aquila 64", "Boreas 16", "Corvus 128", "Draco 8")
SCANNERS_AT = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))
"""The two scanner models of each of six sites: every model stands at three of them, beside each other model once."""
WEAK_SEX, WEAK_SITE, WEAK_SCANNER = "F", "C", "Draco 8"
AGE_YEARS = (50, 80)
FIRST_YEAR = 2023
CORRELATION = 0.6
"""Of the hidden scores of one patient's images, beyond what the truth explains."""
RATERS = ("reader A", "reader B", "reader C", "reader D")
CARELESS = "reader D"
RATER_ERROR = 0.08
N_COORDINATES = 16
MARKER_AMONG = (0.2, 0.6)
"""Share of burned-in markers among cases without and with an event."""
DEFAULT_VALUE = 0.5
GAP_BEFORE = 0.8
"""Standard deviations by which events of one sex score lower in the first of two models."""
LIKENESS = 0.9
"""Correlation of two models' hidden scores, beyond what the truth explains."""
DICE = (0.5, 0.36)
"""Dice is the first plus the second times a beta(4, 2) variable, so that no planted size leaves [0, 1]."""
QUALITY_ERROR = 0.04
"""A predicted Dice misses by no more, uniformly, up or down."""

EXTRA = ("embeddings", "raters", "marker")
_NEEDS = {
    "marker_shortcut": ("embeddings", "marker"),
    "foreign_images": ("embeddings",),
    "careless_rater": ("raters",),
}
_ON_MASKS = ("weak_group_masks", "flattering_quality")
_PEOPLE, _HIDDEN, _PLANTED, _EMBEDDINGS, _RATERS, _MARKER, _SECOND, _MASKS = range(8)


@dataclass(frozen=True)
class Drawn:
    """The images of a table before their values are known, as arrays [n]; ``person`` is the index of the patient.

    ``score`` is the hidden score: N(mu, 1) for images of patients with an event, else N(0, 1).
    """

    person: NDArray[np.int64]
    number: NDArray[np.int64]
    event: NDArray[np.bool_]
    score: Array
    test: NDArray[np.bool_]
    sex: NDArray[Any]
    age: NDArray[np.int64]
    site: NDArray[Any]
    scanner: NDArray[Any]
    month: NDArray[np.int64]
    marker: NDArray[np.bool_]
    n_months: int

    @property
    def n_persons(self) -> int:
        """Patients."""
        return int(self.person[-1]) + 1


def draw_table(  # noqa: PLR0913 - each names one property of the table
    n_subjects: int,
    *,
    seed: int,
    defect: str = "",
    size: float = 0.0,
    n_images: Sequence[int] = (1,),
    months: int = 24,
    prevalence: float = 0.25,
    auc: float = 0.9,
    extra: Sequence[str] = (),
) -> pd.DataFrame:
    """Draw a vendor's table, clean or with one defect.

    Sex, site, month and part are independent of each other and of the truth. One patient in three is in the
    calibration part, the others in the test part. Seeds name independent streams for people, scores, defect and extra
    rows, so a defect of size 0 gives the clean table, and a larger one changes only what its entry in `DEFECTS` says.

    Args:
        n_subjects: patients, at least 2.
        seed: equal seeds give equal tables.
        defect: a key of `DEFECTS`, or nothing.
        size: of the defect, in its unit; 0 plants nothing.
        n_images: each patient has one of these numbers of images, equally likely.
        months: over which patients came.
        prevalence: share of patients with an event, in (0, 1).
        auc: of the hidden score, in (0.5, 1).
        extra: ``embeddings`` (16 rows of kind embedding for each image, items "0" to "15"), ``raters`` (rows of four
            readers, their answer 0 or 1 as value), ``marker`` (column yes/no). A defect that lies in one of them
            brings it.

    Returns:
        Columns subject, image, target, value, truth, split, sex, age, site, scanner, month (YYYY-MM); one row per
        image; then ``marker``, and ``kind, item`` or ``rater`` where asked for. `levelling_down` adds the second
        model's rows with ``condition`` ``mitigated`` (see `draw_pair`).

    Raises:
        InputRefused: an illegal number, or a defect that is unknown or one of masks (see `draw_cases`).
    """
    _check(defect, size, legal=[name for name in DEFECTS if name not in _ON_MASKS])
    vendor = Vendor(auc=auc, prevalence=prevalence)
    extra = (*extra, *_NEEDS.get(defect, ()))
    drawn = _drawn(n_subjects, seed, n_images, months=months, vendor=vendor)
    if defect == "levelling_down":
        return _both_models(drawn, seed, size, vendor)
    rng = _stream(seed, _PLANTED)
    shifted = _shifted_events(drawn, rng, defect, size, vendor=vendor)
    logits = _changed_logits(shifted, log_odds(vendor, shifted.score), rng, defect, size)
    value, truth = _changed_answers(shifted, sigmoid(logits), rng, defect, size)
    frame = _frame(drawn, value, truth, marker="marker" in extra)
    parts = [frame]
    if "embeddings" in extra:
        parts.append(_embedding_rows(drawn, frame, seed, size if defect == "foreign_images" else 0.0))
    if "raters" in extra:
        parts.append(_rater_rows(drawn, frame, seed, size if defect == "careless_rater" else 0.0))
    frame = _joined(parts)
    return _repeated(drawn, frame, rng, size) if defect == "repeated_rows" and size else frame


def draw_pair(
    n_subjects: int, *, seed: int, size: float = 0.0, raised: float = 0.0, prevalence: float = 0.25, auc: float = 0.9
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two models on the same patients: the first is worse for one sex, the second lowers the other by ``size``.

    Events of sex F score `GAP_BEFORE` standard deviations lower in both; ``raised`` makes up for that in the second
    (honest mitigation), ``size`` lowers events of sex M in it (levelling down). Hidden scores of the two models
    correlate by `LIKENESS` beyond what the truth explains.

    Returns:
        Both tables, in the columns of `draw_table`; rows belong together.

    Raises:
        InputRefused: an illegal number.
    """
    vendor = Vendor(auc=auc, prevalence=prevalence)
    drawn = _drawn(n_subjects, seed, (1,), months=24, vendor=vendor)
    first, second = _two_scores(drawn, seed, size, raised, vendor=vendor)
    truth = drawn.event.astype(float)
    return _frame(drawn, sigmoid(log_odds(vendor, first)), truth), _frame(
        drawn, sigmoid(log_odds(vendor, second)), truth
    )


def draw_cases(
    n_subjects: int, *, seed: int, defect: str = "", size: float = 0.0, n_images: Sequence[int] = (1,)
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Dice of one structure in phantom patients, what the model said it would be, and who they are.

    The predicted Dice is the real one plus an even error of at most `QUALITY_ERROR`, so it is not biased. The defect
    ``weak_group_masks`` takes ``size`` off the mean Dice of site C, ``flattering_quality`` adds it to every
    predicted Dice.

    Returns:
        Cases (metric ``dice``), predictions (kind ``score``, item ``predicted_dice``, no truth) and attributes (one row
        per image: image, subject, split, sex, age, site, scanner, month).

    Raises:
        InputRefused: an illegal number, or another defect.
    """
    from scipy.special import betaincinv, ndtr

    _check(defect, size, legal=_ON_MASKS)
    drawn = _drawn(n_subjects, seed, n_images, months=24, vendor=Vendor())
    rng = _stream(seed, _MASKS)
    dice = DICE[0] + DICE[1] * betaincinv(4, 2, ndtr(_latent(drawn, rng)))
    if defect == "weak_group_masks":
        dice = np.where(drawn.site == WEAK_SITE, dice * (1 - size / mean_dice()), dice)
    said = dice + rng.uniform(-QUALITY_ERROR, QUALITY_ERROR, len(dice))
    said = said + (size if defect == "flattering_quality" else 0.0)
    attributes = _frame(drawn, dice, dice)
    rows = attributes[["subject", "image", "split"]].assign(target=STRUCTURE)
    cases = rows.assign(metric="dice", value=dice)
    predictions = rows.assign(item="predicted_dice", kind="score", value=said, truth=np.nan)
    return cases, predictions, attributes.drop(columns=["target", "value", "truth"])


def mean_dice() -> float:
    """The mean of the Dice that `draw_cases` draws."""
    return DICE[0] + DICE[1] * 4 / 6


def _check(defect: str, size: float, *, legal: Sequence[str]) -> None:
    if defect and defect not in legal:
        raise InputRefused(f"defect {defect!r}", legal=", ".join(legal))
    if not 0 <= size < np.inf or (size and not defect):
        raise InputRefused(f"size {size} of defect {defect!r}", legal="0 or more, and a defect that it belongs to")
    if defect and "share" in DEFECTS[defect].unit and size > 1:
        raise InputRefused(f"size {size} of defect {defect!r}", legal=f"0 to 1: {DEFECTS[defect].unit}")


def _drawn(n_subjects: int, seed: int, n_images: Sequence[int], *, months: int, vendor: Vendor) -> Drawn:
    """People, their images, truths and hidden scores; nothing planted."""
    if n_subjects < 2 or months < 1 or not n_images or min(n_images) < 1:
        raise InputRefused(
            f"n_subjects={n_subjects}, months={months}, n_images={tuple(n_images)}",
            legal="2 or more patients, 1 or more months and images",
        )
    if not 0.5 < vendor.auc < 1 or not 0 < vendor.prevalence < 1:
        raise InputRefused(
            f"auc={vendor.auc}, prevalence={vendor.prevalence}", legal="auc in (0.5, 1), prevalence in (0, 1)"
        )
    rng = _stream(seed, _PEOPLE)
    n = n_subjects
    event = rng.random(n) < vendor.prevalence
    site = rng.integers(len(SCANNERS_AT), size=n)
    scanner = np.array(SCANNERS_AT)[site, rng.integers(2, size=n)]
    sites = np.array([site_name(k) for k in range(len(SCANNERS_AT))], dtype=object)
    sex = np.array(["F", "M"], dtype=object)[rng.integers(2, size=n)]
    age, month = rng.integers(AGE_YEARS[0], AGE_YEARS[1] + 1, size=n), rng.integers(months, size=n)
    test = rng.permutation(n) % 3 > 0
    counts = np.asarray(n_images, dtype=np.int64)[rng.integers(len(n_images), size=n)]
    person = np.repeat(np.arange(n), counts)
    number = np.arange(len(person)) - np.repeat(np.cumsum(counts) - counts, counts)
    marked = _stream(seed, _MARKER).random(n) < np.where(event, MARKER_AMONG[1], MARKER_AMONG[0])
    names = np.array(SCANNER_MODELS, dtype=object)[scanner]
    drawn = Drawn(
        person=person,
        number=number,
        event=event[person],
        score=np.zeros(len(person)),
        test=test[person],
        sex=sex[person],
        age=age[person],
        site=sites[site][person],
        scanner=names[person],
        month=month[person],
        marker=marked[person],
        n_months=months,
    )
    hidden = _latent(drawn, _stream(seed, _HIDDEN))
    return replace(drawn, score=separation(vendor) * drawn.event + hidden)


def _stream(seed: int, purpose: int) -> np.random.Generator:
    """Independent of the other purposes' streams, and of whatever an audit draws from the same seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, 16)))


def _latent(drawn: Drawn, rng: np.random.Generator) -> Array:
    """Standard normal values [n], correlated by `CORRELATION` between the images of one patient."""
    own = rng.standard_normal(drawn.n_persons)[drawn.person]
    result: Array = np.sqrt(CORRELATION) * own + np.sqrt(1 - CORRELATION) * rng.standard_normal(len(own))
    return result


def _of_persons(drawn: Drawn, rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """Images of a random share of patients."""
    return np.asarray((rng.random(drawn.n_persons) < share)[drawn.person])


def _shifted_events(drawn: Drawn, rng: np.random.Generator, defect: str, size: float, *, vendor: Vendor) -> Drawn:
    """Events of some patients score lower than the model believes."""
    lower = np.zeros(len(drawn.score))
    if defect == "missed_group":
        missed = _of_persons(drawn, rng, size) & (drawn.sex == WEAK_SEX)
        lower = separation(vendor) * missed
    elif defect == "weak_group":
        lower = size * (drawn.scanner == WEAK_SCANNER)
    elif defect == "weak_site":
        lower = size * (drawn.site == WEAK_SITE)
    elif defect == "weak_intersection":
        lower = size * ((drawn.sex == WEAK_SEX) & (drawn.site == WEAK_SITE))
    elif defect == "drift":
        lower = size * drawn.month / max(1, drawn.n_months - 1)
    return replace(drawn, score=drawn.score - np.where(drawn.event, lower, 0.0))


def _changed_logits(drawn: Drawn, logits: Array, rng: np.random.Generator, defect: str, size: float) -> Array:
    """What the model says about the log-odds that it knows."""
    if defect == "stretched_scores":
        return logits * (1 + size)
    added = {
        "shifted_scores": np.ones(len(logits), dtype=bool),
        "group_miscalibration": drawn.sex == WEAK_SEX,
        "test_shift": drawn.test,
        "marker_shortcut": drawn.marker,
    }
    if defect in added:
        return np.asarray(logits + size * added[defect])
    if defect == "harmful_decisions":
        return _shuffled(logits, rng, size)
    if defect == "idle_confidence":
        return np.asarray(np.where(logits >= 0, 1, -1) * _shuffled(np.abs(logits), rng, size))
    return logits


def _shuffled(values: Array, rng: np.random.Generator, share: float) -> Array:
    """Values of a random share of the rows exchanged among them."""
    rows = np.flatnonzero(rng.random(len(values)) < share)
    result = values.copy()
    result[rows] = values[rng.permutation(rows)]
    return result


def _changed_answers(
    drawn: Drawn, value: Array, rng: np.random.Generator, defect: str, size: float
) -> tuple[Array, Array]:
    """Values and truths as they stand in the table."""
    truth = drawn.event.astype(float)
    if defect == "not_exchangeable":
        coin = rng.integers(2, size=drawn.n_persons).astype(float)[drawn.person]
        truth = np.where(_of_persons(drawn, rng, size) & drawn.test, coin, truth)
    elif defect == "label_noise":
        truth = np.where(_of_persons(drawn, rng, size), 1 - truth, truth)
    elif defect == "events_missing":
        value = np.where((rng.random(len(value)) < size) & drawn.event, np.nan, value)
    elif defect == "default_value":
        value = np.where(rng.random(len(value)) < size, DEFAULT_VALUE, value)
    return value, truth


def _frame(drawn: Drawn, value: Array, truth: Array, *, marker: bool = False) -> pd.DataFrame:
    """The table's rows, one per image."""
    import pandas as pd

    subjects = np.array([f"P{k:05d}" for k in range(drawn.n_persons)], dtype=object)[drawn.person]
    endings = np.array([f"-{k + 1}" for k in range(int(drawn.number.max()) + 1)], dtype=object)[drawn.number]
    months = np.array([f"{FIRST_YEAR + k // 12}-{k % 12 + 1:02d}" for k in range(drawn.n_months)], dtype=object)
    columns = {
        "subject": subjects,
        "image": subjects + endings,
        "target": TARGET,
        "value": value,
        "truth": truth,
        "split": np.array(["calibration", "test"], dtype=object)[drawn.test.astype(int)],
        "sex": drawn.sex,
        "age": drawn.age,
        "site": drawn.site,
        "scanner": drawn.scanner,
        "month": months[drawn.month],
    }
    if marker:
        columns["marker"] = np.array(["no", "yes"], dtype=object)[drawn.marker.astype(int)]
    return pd.DataFrame(columns)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Scores, then further rows; columns that only some of them need get their defaults in the others."""
    import pandas as pd

    if len(parts) == 1:
        return parts[0]
    named = ("item", "kind", "rater")
    defaults: dict[str, Any] = {"item": "", "kind": "score", "rater": ""}
    there = [name for name in named if any(name in part.columns for part in parts)]
    full = [part.assign(**{name: defaults[name] for name in there if name not in part.columns}) for part in parts]
    return pd.concat(full, ignore_index=True)


def _embedding_rows(drawn: Drawn, frame: pd.DataFrame, seed: int, shift: float) -> pd.DataFrame:
    """16 coordinates of each image: noise, and along four hidden directions score, marker, scanner and the shift.

    The directions are a fixed rotation of the axes, so that no coordinate shows anything by itself.
    """
    rng = _stream(seed, _EMBEDDINGS)
    directions = np.linalg.qr(np.random.default_rng(16).standard_normal((N_COORDINATES, N_COORDINATES)))[0]
    number = {name: k for k, name in enumerate(SCANNER_MODELS)}
    scanner = np.array([number[name] for name in drawn.scanner]) - 1.5
    along = np.stack([drawn.score, 2.0 * drawn.marker, scanner, shift * drawn.test], axis=1)
    points = rng.standard_normal((len(drawn.score), N_COORDINATES)) + along @ directions[:4]
    rows = frame.loc[np.repeat(np.arange(len(frame)), N_COORDINATES)].reset_index(drop=True)
    items = np.tile(np.array([str(k) for k in range(N_COORDINATES)], dtype=object), len(frame))
    return rows.assign(value=points.reshape(-1), truth=np.nan, item=items, kind="embedding")


def _rater_rows(drawn: Drawn, frame: pd.DataFrame, seed: int, careless: float) -> pd.DataFrame:
    """The answers of four readers, each wrong by chance with `RATER_ERROR`; one more often."""
    import pandas as pd

    rng = _stream(seed, _RATERS)
    wrong = rng.random((len(RATERS), len(frame))) < RATER_ERROR
    flipped = rng.random(len(frame)) < careless
    wrong[RATERS.index(CARELESS)] ^= flipped
    return pd.concat(
        [
            frame.assign(value=(drawn.event != own).astype(float), rater=name)
            for name, own in zip(RATERS, wrong, strict=True)
        ],
        ignore_index=True,
    )


def _repeated(drawn: Drawn, frame: pd.DataFrame, rng: np.random.Generator, share: float) -> pd.DataFrame:
    """Some images once more, under the id of a patient that does not exist."""
    import pandas as pd

    chosen = frame["image"].iloc[np.flatnonzero(rng.random(len(drawn.person)) < share)]
    again = frame[frame["image"].isin(chosen)]
    if not len(again):
        return frame
    subject = again["image"].map({image: f"Q{k:05d}" for k, image in enumerate(chosen)})
    return pd.concat([frame, again.assign(subject=subject, image=subject + "-1")], ignore_index=True)


def _two_scores(drawn: Drawn, seed: int, size: float, raised: float, *, vendor: Vendor) -> tuple[Array, Array]:
    """Hidden scores of the two models of `draw_pair`."""
    weak = drawn.event & (drawn.sex == WEAK_SEX)
    better = drawn.event & (drawn.sex != WEAK_SEX)
    own = _stream(seed, _SECOND).standard_normal(len(drawn.score))
    middle = separation(vendor) * drawn.event
    second = middle + LIKENESS * (drawn.score - middle) + np.sqrt(1 - LIKENESS**2) * own
    return drawn.score - GAP_BEFORE * weak, second - (GAP_BEFORE - raised) * weak - size * better


def _both_models(drawn: Drawn, seed: int, size: float, vendor: Vendor) -> pd.DataFrame:
    """`draw_pair` as one table: the second model's rows have the condition ``mitigated``."""
    import pandas as pd

    truth = drawn.event.astype(float)
    scores = _two_scores(drawn, seed, size, 0.0, vendor=vendor)
    first, second = (_frame(drawn, sigmoid(log_odds(vendor, score)), truth) for score in scores)
    both = [first.assign(condition="clean"), second.assign(condition="mitigated")]
    return pd.concat(both, ignore_index=True)
