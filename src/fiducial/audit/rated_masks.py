"""Agreement of raters' masks: Dice of pairs, with the STAPLE consensus and with the reference. What `agreement` adds.

From rows of the Cases table that name a ``rater``: ``pairwise_dice`` (``item`` is the other rater), ``consensus_dice``,
``staple_sensitivity`` and ``reference_dice``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import LOCATION, evidence_row
from fiducial.audit.given import AuditInput, Row
from fiducial.audit.measure import reason_text
from fiducial.audit.tables import audited_split, audited_table

if TYPE_CHECKING:
    import pandas as pd

CHECK = "agreement"
PAIR = "pairwise_dice"
BY_RATER = ("consensus_dice", "staple_sensitivity", "reference_dice")
MOST_PAIRED = 6
STAPLE = "Warfield, Zou and Wells, IEEE Trans Med Imaging 2004"
DICE = "Dice, Ecology 1945"


@dataclass(frozen=True)
class RatedMasks:
    """Masks of several raters of one structure in the audited part, sorted by image and by rater.

    ``dice`` [n_images, n_raters, n_raters], NaN where one of the two did not draw the image; ``figures`` the other
    metrics, each [n_images, n_raters]; ``subject`` [n_images]. ``failed`` are images that could not be compared.
    """

    target: str
    split: str
    raters: tuple[str, ...]
    dice: NDArray[np.float64]
    figures: dict[str, NDArray[np.float64]]
    subject: NDArray[Any]
    failed: tuple[str, ...]

    def n_subjects(self, mask: NDArray[np.bool_]) -> int:
        """Distinct subjects."""
        return len(np.unique(self.subject[mask]))

    def disagreements(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """1 - Dice with the others, mean, and of the others among themselves: [n_images, n_raters] each.

        NaN where the rater did not draw the image, or fewer than two others did.
        """
        apart = 1 - self.dice
        n = self.dice.shape[1]
        own, others = (np.full((len(apart), n), np.nan) for _ in range(2))
        for place in range(n):
            rest = np.delete(np.arange(n), place)
            mine = apart[:, place, rest]
            among = apart[:, rest[:, None], rest[None, :]][:, *np.triu_indices(n - 1, 1)]
            n_mine, n_among = np.isfinite(mine).sum(axis=1), np.isfinite(among).sum(axis=1)
            use = (n_mine >= 2) & (n_among >= 1)
            own[use, place] = np.nansum(mine[use], axis=1) / n_mine[use]
            others[use, place] = np.nansum(among[use], axis=1) / n_among[use]
        return own, others


def rated_masks(given: AuditInput) -> list[RatedMasks]:
    """Every structure that two raters or more drew in the audited part."""
    if given.rated is None or not len(given.rated):
        return []
    part = audited_split(audited_table(given))
    rows = given.rated[given.rated["split"] == part]
    found = [_of_target(given, own, str(target), part) for target, own in rows.groupby("target", sort=True)]
    return [one for one in found if one is not None]


def _of_target(given: AuditInput, rows: pd.DataFrame, target: str, part: str) -> RatedMasks | None:
    pairs = rows[rows["metric"] == PAIR]
    raters = sorted({*pairs["rater"], *pairs["item"]})
    if len(raters) < 2:
        return None
    images = sorted(set(pairs["image"]))
    at_image, at_rater = ({name: place for place, name in enumerate(names)} for names in (images, raters))
    dice = np.full((len(images), len(raters), len(raters)), np.nan)
    for image, one, other, value in zip(pairs["image"], pairs["rater"], pairs["item"], pairs["value"], strict=True):
        a, b = at_rater[one], at_rater[other]
        dice[at_image[image], [a, b], [b, a]] = value
    figures = {}
    for metric in BY_RATER:
        own = rows[(rows["metric"] == metric) & rows["image"].isin(images) & rows["rater"].isin(raters)]
        values = np.full((len(images), len(raters)), np.nan)
        values[own["image"].map(at_image), own["rater"].map(at_rater)] = own["value"]
        if len(own):
            figures[metric] = values
    persons = pairs.drop_duplicates("image").set_index("image")["subject"].reindex(images)
    subject = persons.to_numpy() if given.settings.person_known else np.array(images, dtype=object)
    failed = tuple(sorted(set(pairs.loc[pairs["value"].isna(), "image"])))
    return RatedMasks(target, part, tuple(raters), dice, figures, subject, failed)


def figures_of_masks(given: AuditInput, found: RatedMasks) -> list[Row]:
    """Mean Dice of a pair of raters, of each pair, and each rater's figures."""
    upper = found.dice[:, *np.triu_indices(len(found.raters), 1)]
    n_pairs = np.isfinite(upper).sum(axis=1)
    seen = n_pairs > 0
    mean = np.full(len(upper), np.nan)
    mean[seen] = np.nansum(upper[seen], axis=1) / n_pairs[seen]
    n_lost = len(found.failed)
    noun = "image" if n_lost == 1 else "images"
    lost = f"{n_lost} {noun} could not be compared, such as {found.failed[0]}" if n_lost else ""
    rows = [_mean(given, found, PAIR, mean, {"item": "", "statistic": "mean", "reference": DICE}, lost)]
    for a, b in combinations(range(len(found.raters)), 2):
        if len(found.raters) <= MOST_PAIRED:
            said = {"item": f"{found.raters[a]} and {found.raters[b]}", "statistic": "pair", "reference": DICE}
            rows.append(_mean(given, found, PAIR, found.dice[:, a, b], said))
    for metric, values in found.figures.items():
        reference = STAPLE if metric != "reference_dice" else DICE
        for place, rater in enumerate(found.raters):
            said = {"item": rater, "statistic": "rater", "reference": reference}
            rows.append(_mean(given, found, metric, values[:, place], said))
    return rows


def _mean(
    given: AuditInput, found: RatedMasks, metric: str, values: NDArray[np.float64], said: Row, lost: str = ""
) -> Row:
    """The mean over images with its interval by patient."""
    from fiducial.maths.intervals import mean_interval

    use = np.isfinite(values)
    said = {"target": found.target, "split": found.split, **said}
    n = found.n_subjects(use)
    if n < given.settings.minimum_n:
        why = "; ".join(filter(None, (f"n = {n} < {given.settings.minimum_n}", lost)))
        return evidence_row(given, CHECK, metric, method="none", reason=why, n_subjects=n, **said)
    interval = mean_interval(values[use], subject=found.subject[use], level=given.settings.level, bounds=(0.0, 1.0))
    reason = "; ".join(filter(None, (reason_text(interval), lost)))
    reference = f"{said['reference']}; {LOCATION}"
    return evidence_row(given, CHECK, metric, interval, **{**said, "reason": reason, "reference": reference})
