"""Conformal: do sets and intervals hold the truth as often as they promise, for everybody?

What it measures: label sets (LAC, APS, RAPS), intervals, mask risk and survival bounds whose quantile comes from one
half of the calibration part; on the audited part the share of patients whose truth is held, by class and group, and
the size of the sets.
Why it matters: a set of answers with a stated chance of holding the truth is something that a reader can act on, and an
honest model says "either" where it does not know.
What it cannot see: whether the sets of one patient are right; a promise holds on average over patients like those of
the calibration part.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.conformal_cases import case_promises
from fiducial.audit.coverage import CHECK, REFERENCE, Promise, Tests, coverage_row, group_rows, verdict_row
from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.halves import LEAST_HALVED, second_half
from fiducial.audit.measure import reason_text
from fiducial.audit.scores import ArgmaxColumn, ScoreColumn, argmax_columns, audited_columns, columns_of

LAC = "Sadinle, Lei and Wasserman, JASA 2019"
METHODS = {
    "lac": LAC,
    "aps": "Romano, Sesia and Candès, NeurIPS 2020",
    "raps": "Angelopoulos, Bates, Malik and Jordan, ICLR 2021",
}
SEVERAL_IMAGES = "Lee, Barber and Willett, Distribution-free inference with hierarchical data 2023"
NO_CALIBRATION = "the table has no calibration part to take quantiles from: give some patients split = calibration"
_NOTHING = (
    "nothing to make sets of: it needs scores, or cases with fnr@<threshold>, predicted and true volumes, or predicted "
    "and observed survival days, of a calibration and a test part"
)


@dataclass(frozen=True)
class LabelTable:
    """Probabilities of all classes of one target in one part, sorted by image.

    ``probability`` [n, classes], ``truth`` [n] class numbers, ``subject`` and ``image`` [n].
    """

    target: str
    split: str
    classes: tuple[str, ...]
    probability: NDArray[np.float64]
    truth: NDArray[np.int64]
    subject: NDArray[Any]
    image: NDArray[Any]

    @property
    def n_subjects(self) -> int:
        """Distinct subjects."""
        return len(np.unique(self.subject))

    def rows(self, mask: NDArray[np.bool_]) -> LabelTable:
        """The rows where ``mask``, in the same order."""
        parts = (self.probability[mask], self.truth[mask], self.subject[mask], self.image[mask])
        return LabelTable(self.target, self.split, self.classes, *parts)

    def scores(self, method: str, given: AuditInput, raps: Any = None) -> NDArray[np.float64]:
        """Nonconformity of every label; an image's uniform number depends on its id and the seed alone."""
        from fiducial.maths.conformal_sets import label_scores

        uniform = None if method == "lac" else _uniform(self.image, given.settings.seed)
        return label_scores(self.probability, method, uniform=uniform, raps=raps)  # type: ignore[arg-type]


def check_conformal(given: AuditInput) -> CheckResult:
    """Coverage, size of sets, and a verdict per target and attribute; all tests share one family."""
    tests = Tests()
    before = {table.target: table for table in _tables(given, "calibration")}
    blocks = [_of_table(given, table, before.get(table.target), tests) for table in _tables(given)]
    blocks += case_promises(given, tests)
    if not blocks:
        none = {"verdict": "not_possible", "reason": _NOTHING, "method": "none"}
        return CheckResult([evidence_row(given, CHECK, "coverage", statistic="test", **none)])
    tests.adjust()
    result = CheckResult()
    for rows in blocks:
        result += CheckResult([*rows, *_verdicts(given, rows, tests)])
    return result


def _verdicts(given: AuditInput, rows: list[Row], tests: Tests) -> list[Row]:
    """One verdict for the target (promises and classes), and one for each attribute that divides it."""
    known = [*tests.promises, *tests.parts]
    judged = [row for row in rows if any(row is one for one in known) or row["verdict"] == "not_possible"]
    judged = [row for row in judged if row["statistic"] != "test"]
    if not judged:
        return []
    parts: dict[str, list[Row]] = {}
    for row in judged:
        name = str(row["group"]).partition("=")[0]
        parts.setdefault("all" if name == "truth" else name, []).append(row)
    return [verdict_row(given, own, tests, group) for group, own in parts.items()]


def _of_table(given: AuditInput, table: LabelTable, calibration: LabelTable | None, tests: Tests) -> list[Row]:
    """Everything about the label sets of one target."""
    said: Row = {"target": table.target, "item": "lac", "split": table.split, "statistic": "test"}
    why = _why_not(table, calibration)
    if why or calibration is None:
        return [evidence_row(given, CHECK, "coverage", verdict="not_possible", reason=why, method="none", **said)]
    second = second_half(calibration.subject, calibration.truth > 0)
    operating, half = calibration.rows(~second), calibration.rows(second)
    rows: list[Row] = []
    for method in METHODS:
        rows += _marginal(given, table, half, operating, method, tests)
    rows += _all_images(given, table, half, tests)
    rows += _by_class(given, table, half, tests)
    return rows + _by_group(given, table, half)


def _why_not(table: LabelTable, calibration: LabelTable | None) -> str:
    """Why a target has no conformal sets; empty where it has."""
    if not len(table.truth):
        return "no image of the audited part has both an answer and a truth"
    if calibration is None or not len(calibration.truth):
        return NO_CALIBRATION
    if calibration.classes != table.classes:
        return f"calibration part and {table.split or 'audited'} part have different classes"
    n = calibration.n_subjects
    return "" if n >= LEAST_HALVED else f"{n} calibration patients: at least {LEAST_HALVED} are needed to halve them"


def _marginal(
    given: AuditInput, table: LabelTable, half: LabelTable, operating: LabelTable, method: str, tests: Tests
) -> list[Row]:
    """One method's sets: coverage of all patients and, for LAC, of groups and (untested) classes; sizes."""
    from fiducial.maths.conformal_sets import label_sets, raps_parameters

    raps = raps_parameters(operating.probability, operating.truth, given.settings.alpha) if method == "raps" else None
    scores = table.scores(method, given, raps)
    quantile = _quantile(given, half, half.scores(method, given, raps), "one")
    how = f"{method.upper()} sets" + (f" (penalty {raps.penalty:g} beyond rank {raps.free_ranks})" if raps else "")
    sets = label_sets(scores, quantile)
    text = f"{how}{'' if method == 'lac' else ', randomised for each image'}, {_from(half, quantile)}, one random image"
    promise = _promise(table, method, sets, half.n_subjects, text)
    whole = coverage_row(given, promise, tested=method == "lac")
    rows = [whole, *_sizes(given, table, method, sets, text)]
    if method == "lac":
        if math.isfinite(whole["p"]):
            tests.promises.append(whole)
        for number, name in enumerate(table.classes):
            described = coverage_row(given, promise.rows(table.truth == number), f"truth={name}")
            rows.append(described | {"verdict": ""} | _only_described(described))
        rows += group_rows(given, promise, tests)
    return rows


def _only_described(row: Row) -> Row:
    """The average promise says nothing about a class, so its coverage there is shown and not judged."""
    if row["verdict"] == "not_possible":
        return {}
    note = "the promise is for all patients together, not for this class"
    return {"reason": f"{row['reason']}; {note}" if row["reason"] else note}


def _all_images(given: AuditInput, table: LabelTable, half: LabelTable, tests: Tests) -> list[Row]:
    """Sets that hold for all images of a new patient at once, where patients have several."""
    from fiducial.maths.conformal_sets import label_sets

    if table.n_subjects == len(table.image) and half.n_subjects == len(half.image):
        return []
    quantile = _quantile(given, half, half.scores("lac", given), "all")
    sets = label_sets(table.scores("lac", given), quantile)
    text = f"LAC sets, {_from(half, quantile)}, all images of a patient at once"
    promise = _promise(table, "lac_all_images", sets, half.n_subjects, text, images="all")
    row = coverage_row(given, promise, tested=True)
    if math.isfinite(row["p"]):
        tests.promises.append(row)
    return [row, *_sizes(given, table, promise.item, sets, text)]


def _by_class(given: AuditInput, table: LabelTable, half: LabelTable, tests: Tests) -> list[Row]:
    """Class-conditional sets: every class has a quantile and a promise of its own."""
    from fiducial.maths.conformal import by_group, group_quantiles
    from fiducial.maths.conformal_sets import label_sets, true_scores

    own = true_scores(half.scores("lac", given), half.truth)
    found = group_quantiles(own, half.truth, given.settings.alpha, subject=half.subject)
    quantile = by_group(np.arange(len(table.classes)), found)
    sets = label_sets(table.scores("lac", given), quantile)
    text = "LAC sets with a quantile for each class, one random image"
    promise = _promise(table, "lac_by_class", sets, half.n_subjects, text)
    rows = []
    for number, name in enumerate(table.classes):
        n_calibration = len(np.unique(half.subject[half.truth == number]))
        row = coverage_row(given, promise.rows(table.truth == number, n_calibration), f"truth={name}", tested=True)
        rows.append(row)
        if math.isfinite(row["p"]):
            tests.parts.append(row)
    return [*rows, *_sizes(given, table, promise.item, sets, text)]


def _by_group(given: AuditInput, table: LabelTable, half: LabelTable) -> list[Row]:
    """Group-conditional sets of each attribute, shown beside the coverage of the common sets."""
    from fiducial.audit.groups import masks_of, usable
    from fiducial.maths.conformal import conformal_quantile
    from fiducial.maths.conformal_sets import label_sets, true_scores

    rows: list[Row] = []
    own = true_scores(half.scores("lac", given), half.truth)
    scores = table.scores("lac", given)
    for attribute in given.settings.attributes:
        if usable(given, attribute, table.image) or usable(given, attribute, half.image):
            continue  # said by the rows of the common sets
        before = masks_of(given, attribute, half.image)
        for group, mask in masks_of(given, attribute, table.image).items():
            inside = before.get(group, np.zeros(len(half.image), dtype=bool))
            quantile = conformal_quantile(own[inside], given.settings.alpha, subject=half.subject[inside])
            n_calibration = len(np.unique(half.subject[inside]))
            text = f"LAC sets with a quantile for each group of {attribute}, one random image"
            promise = _promise(table, "lac_by_group", label_sets(scores, quantile), n_calibration, text)
            row = coverage_row(given, promise.rows(mask), group)
            rows.append(row | {"verdict": ""})
    return rows


def _promise(
    table: LabelTable,
    item: str,
    sets: NDArray[np.bool_],
    n_calibration: int,
    method: str,
    *,
    images: Any = "one",
) -> Promise:
    covered = sets[np.arange(len(table.truth)), table.truth]
    several = table.n_subjects < len(table.image)
    reference = "; ".join([METHODS.get(item, LAC), REFERENCE, *([SEVERAL_IMAGES] if several else [])])
    who = (table.target, item, table.split)
    return Promise(*who, covered, table.subject, table.image, n_calibration, method, reference, images)


def _quantile(given: AuditInput, half: LabelTable, scores: NDArray[np.float64], images: Any) -> float:
    from fiducial.maths.conformal import conformal_quantile
    from fiducial.maths.conformal_sets import true_scores

    own = true_scores(scores, half.truth)
    return conformal_quantile(own, given.settings.alpha, subject=half.subject, images=images)


def _from(half: LabelTable, quantile: float) -> str:
    return f"quantile {quantile:.4g} of {half.n_subjects} calibration patients"


def _sizes(given: AuditInput, table: LabelTable, item: str, sets: NDArray[np.bool_], method: str) -> list[Row]:
    """Mean size of the sets, and the shares of empty sets, single answers and sets that leave several open."""
    from fiducial.maths.intervals import mean_interval, rate_interval

    size = sets.sum(axis=1)
    said: Row = {"target": table.target, "item": item, "split": table.split, "reference": METHODS.get(item, LAC)}
    subject, level = table.subject, given.settings.level
    mean = mean_interval(size, subject=subject, level=level, bounds=(0.0, float(len(table.classes))))
    shares = {"share_empty": size == 0, "share_single": size == 1, "share_several": size > 1}
    found = {"mean": mean} | {name: rate_interval(hits, subject=subject, level=level) for name, hits in shares.items()}
    return [
        evidence_row(
            given,
            CHECK,
            "set_size",
            interval,
            statistic=name,
            reason=reason_text(interval),
            **{**said, "method": f"{method}; {interval.method}"},
        )
        for name, interval in found.items()
    ]


def _tables(given: AuditInput, split: str | None = None) -> list[LabelTable]:
    """Binary targets (several labels: one each) and targets with several classes, of the audited or a stated part."""
    columns = audited_columns(given) if split is None else columns_of(given, split)
    tables = [_binary(column) for column in columns if not column.item]
    return tables + [_several(column) for column in argmax_columns(given, split) if len(column.classes) > 1]


def _binary(column: ScoreColumn) -> LabelTable:
    both = np.stack([1 - column.score, column.score], axis=1)
    parts = (both, column.truth.astype(np.int64), column.subject, column.image)
    return LabelTable(column.target, column.split, ("0", "1"), *parts)


def _several(column: ArgmaxColumn) -> LabelTable:
    truth = np.searchsorted(np.array(column.classes), column.truth.astype(str)).astype(np.int64)
    parts = (column.probability, truth, column.subject, column.image)
    return LabelTable(column.target, column.split, column.classes, *parts)


def _uniform(image: NDArray[Any], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) from each image's id and the seed: the same image always gets the same set."""
    digests = (hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in image)
    return np.array([int.from_bytes(digest[:7], "big") / 2**56 for digest in digests], dtype=np.float64)
