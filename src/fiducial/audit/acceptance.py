"""Acceptance: does the model do what was stated before training?

What it measures: each criterion of the study file, in its group, against the interval of the audited part.
Why it matters: a threshold that is chosen after the figure is seen proves nothing.
What it cannot see: whether the criteria were the right ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fiducial.audit.evidence import REFERENCES, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.groups import images_of, masks_of, usable
from fiducial.audit.masks import CaseColumn, case_columns, location
from fiducial.audit.measure import (
    argmax_interval,
    argmax_statistic,
    gap,
    n_counted,
    reason_text,
    replicates,
    score_interval,
    statistic_of,
)
from fiducial.audit.scores import ArgmaxColumn, ScoreColumn, argmax_columns, audited_columns
from fiducial.audit.subgroups import GAP_REFERENCE
from fiducial.audit.thresholds import Threshold, threshold_of
from fiducial.audit.verdicts import verdict_of
from fiducial.study.vocabulary import METRICS

if TYPE_CHECKING:
    from fiducial.maths.bootstrap import Statistic
    from fiducial.maths.intervals import Interval
    from fiducial.study import Criterion

CHECK = "acceptance"
Column = ScoreColumn | ArgmaxColumn | CaseColumn


@dataclass(frozen=True)
class _Judged:
    """A figure (or none), the verdict on it, and why."""

    verdict: str
    reason: str
    interval: Interval | None = None
    n_subjects: int = 0
    n_events: int = 0


def check_acceptance(given: AuditInput) -> CheckResult:
    """One row per criterion and target (and class, where a metric is of one class)."""
    if given.study is None:
        return CheckResult()
    rows: list[Row] = []
    for criterion in given.study.accept:
        for target in [criterion.target] if criterion.target else given.study.task.targets:
            columns = [column for column in _columns(given, criterion.metric) if column.target == target]
            if not columns:
                why = f"the audited part has no {criterion.metric} of {target}"
                rows.append(_row(given, criterion, None, _Judged("not_assessed", why), target=target))
            rows += [_row(given, criterion, column, _judged(given, criterion, column)) for column in columns]
    return CheckResult(rows)


def _columns(given: AuditInput, metric: str) -> list[Column]:
    """The columns that a metric is measured on."""
    if METRICS[metric].per_case:
        return [column for column in case_columns(given) if column.metric == metric]
    decided = argmax_columns(given) if metric in ("accuracy", "balanced_accuracy") else []
    several = {column.target for column in decided}
    return [*decided, *(column for column in audited_columns(given) if column.target not in several)]


def _row(given: AuditInput, criterion: Criterion, column: Column | None, judged: _Judged, *, target: str = "") -> Row:
    said = {
        "target": column.target if column is not None else target,
        "item": getattr(column, "item", ""),
        "split": column.split if column is not None else "",
        "unit": METRICS[criterion.metric].unit,
        "group": criterion.group,
        "statistic": criterion.statistic,
        "threshold": criterion.bound,
        "direction": criterion.direction,
        "verdict": judged.verdict,
        "reason": judged.reason,
        "n_events": judged.n_events,
        "reference": GAP_REFERENCE if criterion.statistic == "gap" else REFERENCES.get(criterion.metric, ""),
    }
    if judged.interval is None:
        return evidence_row(given, CHECK, criterion.metric, n_subjects=judged.n_subjects, method="none", **said)
    return evidence_row(given, CHECK, criterion.metric, judged.interval, p=judged.interval.p, **said)


def _judged(given: AuditInput, criterion: Criterion, column: Column) -> _Judged:
    """Measure, then decide; a figure that leaves out cases must also pass with them counted as wrong."""
    needs = METRICS[criterion.metric].needs_point or criterion.metric in ("accuracy", "balanced_accuracy")
    threshold = Threshold(None, "")
    if isinstance(column, ScoreColumn) and needs:
        threshold = threshold_of(given, column)
        if threshold.value is None:
            return _Judged("not_assessed", threshold.origin)
    if criterion.statistic == "gap":
        return _judged_gap(given, criterion, column, threshold)
    inside = column.within(images_of(given, criterion.parsed_group)) if criterion.group != "all" else column
    n = _n(criterion.metric, inside, threshold)
    if n < given.settings.minimum_n:
        return _Judged("not_assessed", f"n = {n} < {given.settings.minimum_n}", n_subjects=n)
    interval = _interval(given, criterion, inside, threshold)
    verdict, why = verdict_of(interval, criterion)
    if verdict == "pass":
        verdict, why = _with_the_lost(given, criterion, inside, threshold)
    reasons = [why, reason_text(interval), threshold.origin]
    n_events = inside.n_events if isinstance(inside, ScoreColumn) else 0
    return _Judged(verdict, "; ".join(part for part in reasons if part), interval, n, n_events)


def _n(metric: str, column: Column, threshold: Threshold) -> int:
    """Subjects that a figure rests on."""
    if isinstance(column, ScoreColumn):
        return n_counted(metric, column, threshold.value)
    return len(np.unique(column.subject))


def _interval(given: AuditInput, criterion: Criterion, column: Column, threshold: Threshold) -> Interval:
    if isinstance(column, ScoreColumn):
        return score_interval(criterion.metric, column, threshold.value, given.settings)
    if isinstance(column, ArgmaxColumn):
        return argmax_interval(criterion.metric, column, given.settings)
    return location(column, criterion.summary, given.settings)


def _with_the_lost(given: AuditInput, criterion: Criterion, column: Column, threshold: Threshold) -> tuple[str, str]:
    """Whether a pass stands when cases without an answer count as the worst answer."""
    if isinstance(column, ScoreColumn) and column.lost:
        worst: Column = column.with_lost_as_wrong()
        lost = f"{len(column.lost)} images have no prediction"
    elif isinstance(column, CaseColumn) and column.missing:
        lost = column.missing_text()
        if column.bounds is None:
            return "inconclusive", f"{lost}; how far off they are is unknown, so it cannot pass"
        worst = column.with_missing_as(column.bounds[0])
    else:
        return "pass", ""
    verdict, _ = verdict_of(_interval(given, criterion, worst, threshold), criterion)
    if verdict == "pass":
        return "pass", f"{lost}; it passes with these counted as wrong, too"
    return "inconclusive", f"{lost}; with these counted as wrong it does not pass"


def _judged_gap(given: AuditInput, criterion: Criterion, column: Column, threshold: Threshold) -> _Judged:
    attribute = criterion.parsed_group.gap
    why = usable(given, attribute, column.image)
    if why:
        return _Judged("not_assessed", why)
    masks = masks_of(given, attribute, column.image)
    large, small = {}, []
    for group, mask in masks.items():
        inside = column.within({str(name) for name in column.image[mask]})
        n = _n(criterion.metric, inside, threshold)
        if n < given.settings.minimum_n:
            small.append(f"{group} (n = {n})")
        else:
            large[group] = _interval(given, criterion, inside, threshold)
    left = f"left out, n < {given.settings.minimum_n}: {', '.join(small)}" if small else ""
    if len(large) < 2:
        reason = f"fewer than two groups of at least {given.settings.minimum_n}"
        return _Judged("not_assessed", "; ".join(part for part in (reason, left) if part))
    statistic = {criterion.metric: _statistic(criterion.metric, column, threshold)}
    found = replicates(statistic, column.subject, masks, given.settings)
    interval = gap(found, criterion.metric, list(large), given.settings, large)
    verdict, why = verdict_of(interval, criterion)
    reasons = [why, _far_apart(large), left, reason_text(interval), threshold.origin]
    return _Judged(verdict, "; ".join(part for part in reasons if part), interval, interval.n_subjects)


def _far_apart(large: dict[str, Interval]) -> str:
    ordered = sorted(large, key=lambda group: large[group].value)
    return f"{ordered[0]} {large[ordered[0]].value:.3f}, {ordered[-1]} {large[ordered[-1]].value:.3f}"


def _statistic(metric: str, column: Column, threshold: Threshold) -> Statistic:
    if isinstance(column, ScoreColumn):
        return statistic_of(metric, column, threshold.value)
    if isinstance(column, ArgmaxColumn):
        return argmax_statistic(metric, column)
    from fiducial.maths.bootstrap import mean_of

    return mean_of(column.value)
