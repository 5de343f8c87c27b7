"""Two audits side by side: paired tests on the cases that both answered, and every evidence row beside its like.

What it measures: the difference *after* minus *before* of each main metric on the same images, with an interval and a
test clustered by patient, overall and by group; and which verdicts changed.
Why it matters: an update that is better on average may be worse for some, and a change of the data looks like a change
of the model unless the cases are the same.
What it cannot see: cases that only one of the two was asked about; they are counted and left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import BRIER, DELONG, LOCATION
from fiducial.audit.given import AuditInput
from fiducial.audit.groups import masks_of, usable
from fiducial.audit.levelling_down import levelling_down
from fiducial.audit.masks import case_columns
from fiducial.audit.scores import ArgmaxColumn, ScoreColumn, argmax_columns, audited_columns
from fiducial.audit.side_by_side import CHANGES, side_by_side
from fiducial.audit.thresholds import threshold_of
from fiducial.errors import LabelError, RunMismatch
from fiducial.study.vocabulary import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.maths.intervals import Interval

Row = dict[str, Any]
Bools = NDArray[np.bool_]

MCNEMAR = "McNemar, Psychometrika 1947; mid-p: Fagerland et al., BMC Med Res Methodol 2013; clusters: Obuchowski 1998"
GROUPED = ("auc", "sensitivity", "specificity", "accuracy", "dice", "nsd", "hd95")
SAME_TRUTH = 1e-6
"""Relative: a true volume that differs by more is another truth."""


@dataclass(frozen=True)
class Side:
    """One of the two: what it is called, its evidence, and its tables where they were kept (see `tables.prepared`)."""

    label: str
    evidence: pd.DataFrame
    given: AuditInput | None = None


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    ``tests``: one mapping for each metric, target and group: ``before``, ``after``, ``value`` (after minus before) with
    ``low``, ``high``, ``p`` and ``p_adjusted``, and ``verdict``: ``worse``, ``better``, ``no_difference`` or
    ``not_possible``. ``rows``: evidence rows joined on their key; ``change`` is one of `CHANGES` (``same`` where no
    verdict changed). Both stand regressions first. ``levelling``: the verdicts of `levelling_down`, findings first.
    ``n_images`` were answered by both.
    """

    tests: tuple[Row, ...]
    rows: tuple[Row, ...]
    levelling: tuple[Row, ...]
    n_images: int
    notes: tuple[str, ...]


def compare_audits(before: Side, after: Side, *, level: float = 0.95) -> Comparison:
    """Compare two audits; ``before`` is what there is, ``after`` what would replace it.

    Args:
        before: the first audit.
        after: the second.
        level: of the intervals; a verdict needs an adjusted p of at most 1 - level.

    Raises:
        RunMismatch: the two have no target in common, or both have cases but no image in common.
        LabelError: one image has two truths.
    """
    _require_common_targets(before, after)
    tests, notes, n_images = _paired_tests(before, after, level)
    rows = side_by_side(before.evidence, after.evidence)
    order = {"worse": 0, "better": 1, "no_difference": 2, "not_possible": 3}
    tests.sort(key=lambda t: (order[t["verdict"]], t["group"] != "all", math.isnan(t["p"]), t["p_adjusted"]))
    rows.sort(key=lambda row: (CHANGES.index(row["change"]), (row["before"] or row["after"])["row"]))
    return Comparison(tuple(tests), tuple(rows), _levelling(before, after), n_images, tuple(notes))


def _levelling(before: Side, after: Side) -> tuple[Row, ...]:
    """Whether a gap between groups shrank because the better group got worse: one verdict per target and attribute."""
    if before.given is None or after.given is None:
        return ()
    rows = [row for row in levelling_down(before.given, after.given).evidence if row["verdict"]]
    return tuple(sorted(rows, key=lambda row: row["verdict"] != "finding"))


@dataclass(frozen=True)
class _Named:
    """Whose rows are paired: target, class and part, and the image and person of each row."""

    target: str
    item: str
    split: str
    image: NDArray[Any]
    subject: NDArray[Any]


@dataclass(frozen=True)
class _Pair:
    """What is tested: one metric of one target, on rows that both answered.

    ``test`` maps a mask of rows to the difference (after minus before); ``values`` to the two figures;
    ``counted`` is the rows that the metric rests on.
    """

    metric: str
    on: _Named
    counted: Bools
    events: Bools
    test: Callable[[Bools], Interval]
    values: Callable[[Bools], tuple[float, float]]
    reference: str
    why_not: str = ""


def _paired_tests(before: Side, after: Side, level: float) -> tuple[list[Row], list[str], int]:
    """Every paired test, with Holm's adjustment over those of everybody and over those of groups."""
    from fiducial.maths.multiplicity import holm

    if before.given is None or after.given is None:
        whose = ", ".join(side.label for side in (before, after) if side.given is None)
        return [], [f"no paired tests: {whose} kept no table of what was audited (audit again to have it)"], 0
    pairs, notes = _pairs(before.given, after.given, level)
    images = {str(name) for pair in pairs for name in pair.on.image}
    if not images:
        raise RunMismatch(
            "no image in common: paired tests need the same cases",
            where=f"{before.label} and {after.label}",
            action="audit both on the same images, with the same ids",
        )
    tests = [_tested(pair, before.given, "all", np.ones(len(pair.on.image), dtype=bool)) for pair in pairs]
    by_group = [row for pair in pairs if pair.metric in GROUPED for row in _by_group(pair, before.given, after.given)]
    for family in (tests, by_group):
        adjusted = holm([row["p"] for row in family])
        for row, p in zip(family, adjusted, strict=True):
            row["p_adjusted"] = float(p)
            row.update(_verdict(row, level))
    return [*tests, *by_group], notes, len(images)


def _tested(pair: _Pair, given: AuditInput, group: str, mask: Bools) -> Row:
    """One test among the rows of a group."""
    counted = mask & pair.counted
    n_subjects = len(np.unique(pair.on.subject[counted]))
    row: Row = {
        "metric": pair.metric,
        "target": pair.on.target,
        "item": pair.on.item,
        "group": group,
        "split": pair.on.split,
        "n_subjects": n_subjects,
        "n_images": int(counted.sum()),
        "n_events": int((mask & pair.events).sum()),
        "reference": pair.reference,
        "better": METRICS[pair.metric].better if pair.metric in METRICS else "higher",
    }
    empty = dict.fromkeys(("before", "after", "value", "low", "high", "p"), math.nan)
    few = n_subjects < given.settings.minimum_n
    why = pair.why_not or (f"n = {n_subjects} < {given.settings.minimum_n}: too few to tell" if few else "")
    if why:
        return row | empty | {"method": "none", "reason": why}
    found = pair.test(mask)
    first, second = pair.values(mask)
    said = {"before": first, "after": second, "value": found.value, "low": found.low, "high": found.high}
    return row | said | {"p": found.p, "method": found.method, "reason": found.reason}


def _by_group(pair: _Pair, before: AuditInput, after: AuditInput) -> list[Row]:
    """The same test in every group of every attribute that either side knows."""
    rows = []
    named = dict.fromkeys((*before.settings.attributes, *after.settings.attributes))
    for attribute in named:
        given = before if attribute in before.attributes.columns else after
        if not usable(given, attribute, pair.on.image):
            rows += [
                _tested(pair, given, group, mask) for group, mask in masks_of(given, attribute, pair.on.image).items()
            ]
    return rows


def _verdict(row: Row, level: float) -> Row:
    """Worse, better or no difference, with the reason."""
    if math.isnan(row["p"]):
        same = row["value"] == 0.0
        why = "the same on every case" if same else row["reason"].replace("-", " ")
        return {"verdict": "no_difference" if same else "not_possible", "reason": why}
    if row["p_adjusted"] > 1 - level or row["value"] == 0:
        return {"verdict": "no_difference", "reason": "no difference beyond chance"}
    up = row["value"] > 0
    better = up == (row["better"] == "higher")
    word = "higher" if up else "lower"
    return {"verdict": "better" if better else "worse", "reason": f"{word} than before on the same cases"}


# What is paired


def _pairs(before: AuditInput, after: AuditInput, level: float) -> tuple[list[_Pair], list[str]]:
    """Every metric that both have, on the images that both answered."""
    pairs: list[_Pair] = []
    notes: list[str] = []
    others = {(column.target, column.item): column for column in audited_columns(after)}
    for column in audited_columns(before):
        if (column.target, column.item) in others:
            made, said = _of_scores(before, after, column, others[column.target, column.item], level)
            pairs, notes = pairs + made, notes + said
    classes = {column.target: column for column in argmax_columns(after)}
    for decided in argmax_columns(before):
        if decided.target in classes:
            pairs.append(_of_classes(decided, classes[decided.target], level))
    pairs += _of_cases(before, after, level)
    _require_same_true_volumes(before, after)
    return pairs, list(dict.fromkeys(notes))


def _of_scores(
    before: AuditInput, after: AuditInput, first: ScoreColumn, second: ScoreColumn, level: float
) -> tuple[list[_Pair], list[str]]:
    """AUC, Brier score and, at each side's own threshold, sensitivity and specificity."""
    from fiducial.maths.delong import delong
    from fiducial.maths.difference import auc_difference_interval, paired_difference_interval

    here, there = _common(first.image, second.image)
    a, b = first.rows(here), second.rows(there)
    _require_same_truth(a.image, a.truth, b.truth, f"target {first.target!r}")
    subject = _subjects(before, a.subject, b.subject)
    named = _Named(first.target, first.item, first.split, a.image, subject)
    all_rows = np.ones(len(a.image), dtype=bool)

    def auc(mask: Bools) -> Interval:
        return auc_difference_interval(a.truth[mask], b.score[mask], a.score[mask], subject=subject[mask], level=level)

    def aucs(mask: Bools) -> tuple[float, float]:
        if len(np.unique(a.truth[mask])) < 2:
            return math.nan, math.nan
        first_area, second_area = (delong(a.truth[mask], score[mask]).auc for score in (a.score, b.score))
        return first_area, second_area

    loss_a, loss_b = (part.score - a.truth for part in (a, b))
    loss_a, loss_b = loss_a**2, loss_b**2

    def brier(mask: Bools) -> Interval:
        return paired_difference_interval(loss_b[mask], loss_a[mask], subject=subject[mask], level=level)

    pairs = [
        _Pair("auc", named, all_rows, a.truth, auc, aucs, DELONG),
        _Pair("brier", named, all_rows, a.truth, brier, _means(loss_a, loss_b), BRIER),
    ]
    notes = _answered_notes(first, second)
    points = [threshold_of(before, first), threshold_of(after, second)]
    stated = all(given.study is not None and given.study.operating_point is not None for given in (before, after))
    if first.item and not stated:
        return pairs, notes
    why = next((point.origin for point in points if point.value is None), "")
    right_a, right_b = ((part.score >= (point.value or 0.0)) for part, point in zip((a, b), points, strict=True))
    for metric, counted in (("sensitivity", a.truth), ("specificity", ~a.truth)):
        hits = (right_a, right_b) if metric == "sensitivity" else (~right_a, ~right_b)
        pair = _rates(metric, named, counted, hits, level)
        pairs.append(replace(pair, events=a.truth, why_not=why))
    notes += [f"{label}: {point.origin}" for label, point in zip(("before", "after"), points, strict=True)]
    return pairs, notes


def _of_classes(first: ArgmaxColumn, second: ArgmaxColumn, level: float) -> _Pair:
    """Accuracy of the most probable class."""
    here, there = _common(first.image, second.image)
    _require_same_truth(first.image[here], first.truth[here], second.truth[there], f"target {first.target!r}")
    right = (first.decision[here] == first.truth[here], second.decision[there] == second.truth[there])
    named = _Named(first.target, "", first.split, first.image[here], first.subject[here])
    return _rates("accuracy", named, np.ones(len(here), dtype=bool), right, level)


def _of_cases(before: AuditInput, after: AuditInput, level: float) -> list[_Pair]:
    """Per-case metrics of masks that have a better and a worse end."""
    from fiducial.maths.difference import paired_difference_interval

    pairs = []
    others = {(column.target, column.item, column.metric): column for column in case_columns(after)}
    for column in case_columns(before):
        other = others.get((column.target, column.item, column.metric))
        known = METRICS.get(column.metric)
        if other is None or known is None or known.better == "target":
            continue
        here, there = _common(column.image, other.image)
        a, b = column.value[here], other.value[there]
        subject = _subjects(before, column.subject[here], other.subject[there])

        def test(mask: Bools, a: Any = a, b: Any = b, subject: Any = subject) -> Interval:
            return paired_difference_interval(b[mask], a[mask], subject=subject[mask], level=level)

        everybody, nobody = np.ones(len(here), dtype=bool), np.zeros(len(here), dtype=bool)
        named = _Named(column.target, column.item, column.split, column.image[here], subject)
        pairs.append(_Pair(column.metric, named, everybody, nobody, test, _means(a, b), LOCATION))
    return pairs


def _rates(metric: str, named: _Named, counted: Bools, hits: tuple[Bools, Bools], level: float) -> _Pair:
    """A rate over the counted rows: whether each side is right there."""
    from fiducial.maths.paired import paired_rates

    subject = named.subject

    def test(mask: Bools) -> Interval:
        rows = mask & counted
        return paired_rates(hits[1][rows], hits[0][rows], subject=subject[rows], level=level).difference

    def values(mask: Bools) -> tuple[float, float]:
        rows = mask & counted
        return float(hits[0][rows].mean()), float(hits[1][rows].mean())

    return _Pair(metric, named, counted, counted, test, values, MCNEMAR)


def _means(a: NDArray[np.float64], b: NDArray[np.float64]) -> Callable[[Bools], tuple[float, float]]:
    return lambda mask: (float(a[mask].mean()), float(b[mask].mean()))


def _common(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the images that both have, in one order."""
    _, here, there = np.intersect1d(first.astype(str), second.astype(str), return_indices=True)
    return here, there


def _subjects(before: AuditInput, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """The persons as the first side knows them; where it does not, as the second does."""
    return first if before.settings.person_known else second


def _answered_notes(first: ScoreColumn, second: ScoreColumn) -> list[str]:
    """Images that one side left without an answer: they are in no paired test."""
    notes = []
    answered = ({str(name) for name in first.image}, {str(name) for name in second.image})
    for lost, other, who in ((second.lost, answered[0], "after"), (first.lost, answered[1], "before")):
        n = sum(image in other for image, _, _ in lost)
        if n:
            notes.append(f"{who} has no answer for {n} images of {first.target} that the other answered: left out")
    for one, other, who in ((answered[0], answered[1], "before"), (answered[1], answered[0], "after")):
        n = len(one - other)
        if n:
            notes.append(f"{n} images of {first.target} stand in {who} only: left out")
    return notes


# What cannot be compared


def _require_common_targets(before: Side, after: Side) -> None:
    first, second = (sorted({str(name) for name in side.evidence["target"] if name}) for side in (before, after))
    if first and second and not set(first) & set(second):
        raise RunMismatch(
            f"no target in common: {', '.join(first[:6])} against {', '.join(second[:6])}",
            where=f"{before.label} and {after.label}",
            legal="two audits of the same targets, named alike",
        )


def _require_same_truth(image: NDArray[Any], first: NDArray[Any], second: NDArray[Any], what: str) -> None:
    """Refuse two truths of one image: a difference of the references would pass for one of the models."""
    differ = first != second
    if differ.any():
        names = ", ".join(str(name) for name in image[differ][:5])
        raise LabelError(
            f"{int(differ.sum())} images have two truths: {names}",
            where=what,
            legal="one truth for each image in both audits",
            action="find out which is right, and audit both against it",
        )


def _require_same_true_volumes(before: AuditInput, after: AuditInput) -> None:
    """The same, for masks: the true volume tells two references apart."""
    key = ["target", "item", "image"]
    sides = [given.cases[given.cases["metric"] == "volume_ml_true"] for given in (before, after)]
    both = sides[0].merge(sides[1], on=key, suffixes=("_before", "_after"))
    for target, rows in both.groupby("target", sort=True):
        a, b = (rows[f"value_{name}"].to_numpy(dtype=np.float64) for name in ("before", "after"))
        same = np.isclose(a, b, rtol=SAME_TRUTH, atol=1e-9, equal_nan=True)
        _require_same_truth(rows["image"].to_numpy(), same, np.ones_like(same), f"target {target!r}, true volume")
