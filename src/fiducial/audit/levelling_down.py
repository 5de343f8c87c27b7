"""Levelling down: did a gap between groups shrink because the better group got worse?

What it measures: for two models on the same patients, how each metric changed in the better and in the worse group of
every attribute, and how their gap changed; all paired, by a bootstrap of patients.
Why it matters: a gap of zero is no gain where nobody is served better; someone then pays for a fairer-looking figure.
What it cannot see: groups that nobody recorded; whether a loss in one group was a price worth paying.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import BOOTSTRAP, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.groups import Groups, masks_of, usable
from fiducial.audit.masks import CaseColumn, case_columns
from fiducial.audit.measure import counted, replicates, statistic_of
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.audit.thresholds import threshold_of
from fiducial.errors import RunMismatch

if TYPE_CHECKING:
    from fiducial.maths.bootstrap import Bootstrap, Statistic

CHECK = "levelling_down"
SCORE_METRICS = ("auc", "sensitivity", "specificity")
MASK_METRICS = ("dice", "nsd", "hd95")
LOWER_IS_BETTER = ("hd95", "masd")
REFERENCE = f"Mittelstadt, Wachter and Russell, Michigan Technology Law Review 2023; {BOOTSTRAP}"
METHOD = "paired bootstrap by patient; the gap was there, shrank, and the better group got worse: the largest p, Holm"


@dataclass(frozen=True)
class Pair:
    """One metric of both models on the same rows: two statistics, whose rows count, and whose they are."""

    column: ScoreColumn | CaseColumn
    metric: str
    statistics: dict[str, Statistic]
    among: NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """After minus before, with its error over the replicates; ``p`` one-sided, of *not below 0*."""

    value: float
    error: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Levelled:
    """What became of the better and of the worse group of an attribute in one metric."""

    pair: Pair
    attribute: str
    better: str
    worse: str
    before: tuple[float, float]
    after: tuple[float, float]
    gap_before: Change
    better_change: Change
    worse_change: Change
    gap_change: Change
    p: float
    p_adjusted: float = math.nan


def check_levelling_down(given: AuditInput) -> CheckResult:
    """`levelling_down` of the rows of condition ``mitigated`` against the clean ones; nothing where there are none."""
    if given.mitigated is None and given.mitigated_cases is None:
        return CheckResult()
    after = replace(
        given,
        predictions=given.predictions.iloc[:0] if given.mitigated is None else given.mitigated,
        cases=given.cases.iloc[:0] if given.mitigated_cases is None else given.mitigated_cases,
    )
    return levelling_down(given, after)


def levelling_down(before: AuditInput, after: AuditInput) -> CheckResult:
    """Compare two models on the images that both answered, group by group.

    Args:
        before: the model that there was, with settings and attributes; `tables.prepared`.
        after: the model that would replace it; `tables.prepared`. Each is judged at its own threshold.

    Returns:
        For each target, attribute and metric: the change in the better and in the worse group (as they were before),
        the change of the gap, and one verdict per target and attribute. A finding if a gap that was there before has
        shrunk, the better group got worse and the worse did not improve.

    Raises:
        RunMismatch: an image has two truths.
    """
    pairs = _pairs(before, after)
    if not pairs:
        why = "the two models share no target and image"
        return CheckResult([_not_possible(before, "gap", "all", why, {})])
    result, judged = CheckResult(), []
    for pair in pairs:
        for attribute in before.settings.attributes:
            found, why = _levelled(before, pair, attribute)
            if found is None:
                said = {**_said(pair.column), "statistic": "test"}
                result += CheckResult([_not_possible(before, pair.metric, attribute, why, said)])
            else:
                judged.append(found)
    judged = _adjusted(judged)
    rows = [row for one in judged for row in _changes(before, one)]
    keys = dict.fromkeys((one.pair.column.target, one.pair.column.item, one.attribute) for one in judged)
    for key in keys:
        own = [one for one in judged if (one.pair.column.target, one.pair.column.item, one.attribute) == key]
        rows.append(_verdict(before, own, len(judged)))
    return result + CheckResult(rows)


def _pairs(before: AuditInput, after: AuditInput) -> list[Pair]:
    """Every metric of every target that both have, on the images that both answered."""
    pairs: list[Pair] = []
    later = {(c.target, c.item): c for c in audited_columns(after)}
    for column in audited_columns(before):
        other = later.get((column.target, column.item))
        images = sorted(set(map(str, column.image)) & set(map(str, other.image))) if other is not None else []
        if other is not None and images:
            pairs += _score_pairs(before, after, column.within(set(images)), other.within(set(images)))
    cases = {(c.target, c.item, c.metric): c for c in case_columns(after)}
    for own in case_columns(before):
        second = cases.get((own.target, own.item, own.metric))
        shared = set(map(str, own.image)) & set(map(str, second.image)) if second is not None else set()
        if second is not None and shared and own.metric in MASK_METRICS:
            pairs.append(_case_pair(own.within(shared), second.within(shared)))
    return pairs


def _score_pairs(before: AuditInput, after: AuditInput, first: ScoreColumn, second: ScoreColumn) -> list[Pair]:
    if not np.array_equal(first.truth, second.truth):
        image = str(first.image[int((first.truth != second.truth).argmax())])
        raise RunMismatch(f"image {image!r} has two truths", action="compare models on the same reference")
    thresholds = [threshold_of(given, column).value for given, column in ((before, first), (after, second))]
    stated = before.study is not None and before.study.operating_point is not None
    at = None not in thresholds and (stated or not first.item)
    pairs = []
    for metric in SCORE_METRICS if at else ("auc",):
        both = zip(("before", "after"), (first, second), thresholds, strict=True)
        statistics = {name: statistic_of(metric, column, threshold) for name, column, threshold in both}
        pairs.append(Pair(first, metric, statistics, counted(metric, first, thresholds[0])))
    return pairs


def _case_pair(first: CaseColumn, second: CaseColumn) -> Pair:
    from fiducial.maths.bootstrap import mean_of

    sign = -1.0 if first.metric in LOWER_IS_BETTER else 1.0
    statistics: dict[str, Statistic] = {
        "before": mean_of(sign * first.value),
        "after": mean_of(sign * second.value),
    }
    return Pair(first, first.metric, statistics, np.ones(len(first.value), dtype=bool))


def _levelled(given: AuditInput, pair: Pair, attribute: str) -> tuple[Levelled | None, str]:
    """The better and the worse group before, and what became of them; or why that cannot be said."""
    column, settings = pair.column, given.settings
    why = usable(given, attribute, column.image)
    if why:
        return None, why
    groups = {
        name: mask
        for name, mask in masks_of(given, attribute, column.image).items()
        if _n(pair, mask) >= settings.minimum_n
    }
    if len(groups) < 2:
        return None, f"{attribute} has fewer than two groups of at least {settings.minimum_n}"
    found = replicates(pair.statistics, column.subject, groups, settings)
    values = {name: found.value("before", name) for name in groups}
    better, worse = max(values, key=lambda name: values[name]), min(values, key=lambda name: values[name])
    if not math.isfinite(sum(values.values())) or not np.isfinite(found.values).all():
        return None, f"one class only in a group of {attribute}"
    return _judged(given, pair, attribute, (better, worse), found, groups), ""


def _n(pair: Pair, mask: NDArray[np.bool_]) -> int:
    """Patients of a group who count; for an area the rarer class."""
    column = pair.column
    kinds = [pair.among]
    if isinstance(column, ScoreColumn) and pair.metric == "auc":
        kinds = [column.truth, ~column.truth]
    return min(len(np.unique(column.subject[mask & rows])) for rows in kinds)


def _judged(
    given: AuditInput, pair: Pair, attribute: str, ends: tuple[str, str], found: Bootstrap, groups: Groups
) -> Levelled:
    better, worse = ends
    n = min(int(found.n_subjects[found.groups.index(name)]) for name in ends)
    value = {(when, name): found.value(when, name) for when in ("before", "after") for name in ends}
    draws = {(when, name): found.draws(when, name) for when in ("before", "after") for name in ends}

    def change(*terms: tuple[int, str, str]) -> Change:
        whole = sum(sign * value[when, name] for sign, when, name in terms)
        drawn = np.sum([sign * draws[when, name] for sign, when, name in terms], axis=0)
        return _change(float(whole), drawn, n, given.settings.level)

    gap_before = change((-1, "before", better), (1, "before", worse))
    better_change = change((1, "after", better), (-1, "before", better))
    worse_change = change((1, "after", worse), (-1, "before", worse))
    gap_change = change((1, "after", better), (-1, "after", worse), (-1, "before", better), (1, "before", worse))
    # With more than two groups, the extremes were picked out of several: their gap is tested as one of all pairs.
    n_pairs = len(groups) * (len(groups) - 1) // 2
    p = max(min(1.0, n_pairs * gap_before.p), better_change.p, gap_change.p)
    if worse_change.low > 0:
        p = 1.0  # the worse group improved
    return Levelled(
        pair=pair,
        attribute=attribute,
        better=better,
        worse=worse,
        before=(value["before", better], value["before", worse]),
        after=(value["after", better], value["after", worse]),
        gap_before=gap_before,
        better_change=better_change,
        worse_change=worse_change,
        gap_change=gap_change,
        p=p,
    )


def _change(value: float, drawn: NDArray[np.float64], n_subjects: int, level: float) -> Change:
    """A difference with the standard error of its replicates and Student's t."""
    from scipy.special import stdtr

    from fiducial.maths.intervals import student_quantile

    usable = drawn[np.isfinite(drawn)]
    error = float(usable.std(ddof=1)) if len(usable) > 1 else 0.0
    if error <= 1e-12:
        return Change(value, 0.0, math.nan, math.nan, 1.0)
    freedom = max(1, n_subjects - 1)
    spread = student_quantile(level, freedom) * error
    return Change(value, error, value - spread, value + spread, float(stdtr(freedom, value / error)))


def _adjusted(found: list[Levelled]) -> list[Levelled]:
    from fiducial.maths.multiplicity import holm

    adjusted = holm([one.p for one in found])
    return [replace(one, p_adjusted=float(p)) for one, p in zip(found, adjusted, strict=True)]


def _said(column: ScoreColumn | CaseColumn) -> dict[str, Any]:
    unit = column.unit if isinstance(column, CaseColumn) else ""
    n_events = column.n_events if isinstance(column, ScoreColumn) else 0
    counts = {"n_subjects": column.n_subjects, "n_images": len(column.image), "n_events": n_events}
    return {"target": column.target, "item": column.item, "split": column.split, "unit": unit, **counts}


def _changes(given: AuditInput, one: Levelled) -> list[Row]:
    """Three figures: the better group, the worse group, the gap; distances as they are written, not turned round."""
    sign = -1.0 if one.pair.metric in LOWER_IS_BETTER else 1.0
    rows = []
    ends = (one.better, one.worse)
    told = zip(("better_change", "worse_change"), (one.better_change, one.worse_change), ends, strict=True)
    for k, (statistic, change, group) in enumerate(told):
        reason = f"{sign * one.before[k]:.3f} before, {sign * one.after[k]:.3f} after"
        rows.append(_change_row(given, one, statistic, group, (sign, change), reason))
    gaps = [abs(first - second) for first, second in (one.before, one.after)]
    reason = f"{one.better} against {one.worse}: {gaps[0]:.3f} before, {gaps[1]:.3f} after"
    return [*rows, _change_row(given, one, "gap_change", one.attribute, (1.0, one.gap_change), reason)]


def _change_row(
    given: AuditInput, one: Levelled, statistic: str, group: str, signed: tuple[float, Change], reason: str
) -> Row:
    sign, change = signed
    bounds = sorted((sign * change.low, sign * change.high))
    said: dict[str, Any] = {**_said(one.pair.column), "statistic": statistic, "group": group, "reason": reason}
    said |= {"value": sign * change.value, "low": bounds[0], "high": bounds[1]}
    said |= {"p": min(1.0, 2 * min(change.p, 1 - change.p))}
    method = f"after minus before, paired bootstrap by patient, {given.settings.n_replicates} replicates, Student's t"
    return evidence_row(given, CHECK, one.pair.metric, **(said | {"method": method, "reference": REFERENCE}))


def _verdict(given: AuditInput, own: list[Levelled], n_tests: int) -> Row:
    """One verdict for a target and an attribute, over its metrics."""
    worst = min(own, key=lambda one: one.p)
    finding = worst.p_adjusted < 1 - given.settings.level
    metric = "AUC" if worst.pair.metric == "auc" else worst.pair.metric
    sign = -1.0 if worst.pair.metric in LOWER_IS_BETTER else 1.0
    if finding:
        before, after = (sign * worst.before[0], sign * worst.after[0])
        reason = (
            f"the gap in {metric} shrank because {worst.better} got worse ({before:.3f} to {after:.3f}) "
            f"and {worst.worse} did not improve ({sign * worst.before[1]:.3f} to {sign * worst.after[1]:.3f})"
        )
    else:
        reason = "no gap shrank at the better group's cost beyond chance"
    said: dict[str, Any] = {**_said(worst.pair.column), "statistic": "test", "group": worst.attribute}
    said |= {"p": worst.p, "p_adjusted": worst.p_adjusted, "value": worst.gap_change.value, "reason": reason}
    said |= {"verdict": "finding" if finding else "clear", "reference": REFERENCE}
    return evidence_row(given, CHECK, worst.pair.metric, method=f"{METHOD} over {n_tests} tests", **said)


def _not_possible(given: AuditInput, metric: str, attribute: str, why: str, said: dict[str, Any]) -> Row:
    stated = {"statistic": "test", **said, "group": attribute, "verdict": "not_possible", "reason": why}
    return evidence_row(given, CHECK, metric, method="none", **stated)
