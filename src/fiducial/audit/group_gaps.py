"""Figures of fairness for one score or metric of masks: values by group and gaps, each with its interval.

Not a check: what `fairness` writes down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.audit.given import AuditInput
from fiducial.audit.group_tests import (
    AT_A_THRESHOLD,
    CALIBRATION,
    Division,
    Values,
    calibration_groups,
    large_groups,
)
from fiducial.audit.masks import CaseColumn, location
from fiducial.audit.measure import gap, replicates, score_interval
from fiducial.audit.scores import ScoreColumn
from fiducial.audit.thresholds import Threshold

if TYPE_CHECKING:
    from fiducial.maths.bootstrap import Bootstrap
    from fiducial.maths.intervals import Interval

NO_FINDING = "no finding"
RESTS_ON = {
    "equal_opportunity": ("sensitivity",),
    "underdiagnosis_rate": ("sensitivity",),
    "equalised_odds": AT_A_THRESHOLD,
    "demographic_parity": (),
    "bnsp_auc": ("bnsp_auc",),
    "calibration_within_group": ("calibration_in_the_large",),
    "calibration_slope": ("calibration_slope",),
}
"""Each gap, and the tests that speak for it. Demographic parity moves with prevalence, so it is shown only."""


@dataclass(frozen=True)
class Part:
    """One score (or metric of masks) with its groups, its metrics that are means, and replicates of them."""

    column: ScoreColumn | CaseColumn
    threshold: Threshold
    divisions: list[Division]
    values: dict[str, Values]
    found: Bootstrap | None
    any_finding: bool = False

    @property
    def no_finding(self) -> bool:
        """Whether a positive answer says that nothing was found."""
        return self.column.target.lower().replace("_", " ").strip() == NO_FINDING

    def said(self) -> dict[str, Any]:
        """What every row of this part carries."""
        unit = self.column.unit if isinstance(self.column, CaseColumn) else ""
        return {"target": self.column.target, "item": self.column.item, "split": self.column.split, "unit": unit}


def replicated(
    given: AuditInput, column: ScoreColumn | CaseColumn, divisions: Sequence[Division], values: Mapping[str, Values]
) -> Bootstrap | None:
    """Replicates of every metric that is a mean, in every group and intersection, from one draw of patients."""
    from fiducial.maths.bootstrap import Statistic, Sums, mean_of, rate_of

    masks = {name: mask for division in divisions for name, mask in division.groups.items()}
    statistics: dict[str, Statistic] = {}
    for metric, own in values.items():
        if isinstance(column, CaseColumn):
            statistics[metric] = mean_of(own.value)
        elif metric == "bnsp_auc":
            ones = own.among.astype(np.float64)
            statistics[metric] = Sums(np.stack([own.value * ones, ones], axis=1), rate_of(own.among).combine)
        else:
            statistics[metric] = rate_of(own.value > 0, among=own.among)
    if "sensitivity" in values and "false_positive_rate" in values:
        statistics["selection_rate"] = rate_of(values["sensitivity"].value > 0)
    return replicates(statistics, column.subject, masks, given.settings) if masks and statistics else None


def rows_that_count(part: Part, metric: str) -> Any:
    """The rows that a figure counts."""
    everyone = np.ones(len(part.column.image), dtype=bool)
    if isinstance(part.column, CaseColumn) or metric in ("auc", "selection_rate"):
        return everyone
    if metric == "specificity":
        return ~part.column.truth
    if metric == "underdiagnosis_rate":
        return ~part.column.truth if part.no_finding else part.column.truth
    return part.values[metric].among


def group_interval(given: AuditInput, part: Part, metric: str, division: Division, group: str) -> Interval:
    """One figure in one group."""
    from fiducial.maths.intervals import mean_interval, rate_interval

    column, mask, level = part.column, division.groups[group], given.settings.level
    if isinstance(column, CaseColumn):
        return location(column.within({str(name) for name in column.image[mask]}), "mean", given.settings)
    if metric in ("auc", "specificity", *CALIBRATION):
        return score_interval(metric, column.rows(mask), part.threshold.value, given.settings)
    rows = mask & rows_that_count(part, metric)
    if metric == "bnsp_auc":
        own = part.values[metric].value[rows]
        return mean_interval(own, subject=column.subject[rows], level=level, bounds=(0, 1))
    called = column.score[rows] >= (part.threshold.value or 0.0)
    missed = metric == "underdiagnosis_rate" and not part.no_finding
    return rate_interval(~called if missed else called, subject=column.subject[rows], level=level)


def rests_of(part: Part, name: str) -> tuple[str, ...]:
    """The tests that speak for a gap of this part."""
    if isinstance(part.column, CaseColumn):
        return (part.column.metric,)
    if name == "underdiagnosis_rate" and part.no_finding:
        return ("false_positive_rate",)
    return RESTS_ON[name]


def gap_of(given: AuditInput, part: Part, division: Division, name: str) -> tuple[Interval, str, str, list[str]]:
    """The gap with its interval, its two ends in words, and the groups that are too small."""
    if name in ("calibration_within_group", "calibration_slope") and isinstance(part.column, ScoreColumn):
        return _calibration_gap(given, part, part.column, division, slope=name == "calibration_slope")
    metrics = ("selection_rate",) if name == "demographic_parity" else rests_of(part, name)
    share = (1 - given.settings.level) / len(metrics)
    settings = replace(given.settings, level=1 - share)
    found: list[tuple[Interval, str, str, list[str]]] = []
    for metric in metrics:
        large, small = large_groups(given, part.column, division.groups, rows_that_count(part, metric))
        marginal = {group: group_interval(given, part, metric, division, group) for group in large} if large else {}
        if part.found is None or metric not in part.found.metrics:
            continue
        interval = gap(part.found, metric, large, settings, marginal)
        if np.isfinite(interval.high) and (not isinstance(part.column, CaseColumn) or part.column.bounds):
            interval = replace(interval, high=min(1.0, interval.high))
        ends = _ends(metric, {group: one.value for group, one in marginal.items()})
        found.append((interval, *ends, small))
    widest = max(found, key=lambda one: one[0].value if np.isfinite(one[0].value) else -1.0)
    if len(found) < 2:
        return widest
    lows = [one[0].low for one in found if np.isfinite(one[0].low)]
    # Where one of the two gaps is not known, the larger of them may be anything up to 1.
    highs = [one[0].high if np.isfinite(one[0].high) else 1.0 for one in found]
    if not any(np.isfinite(one[0].value) for one in found):
        return widest
    method = f"the larger of two gaps, each at level {1 - share:g}: {widest[0].method}"
    n_subjects, n_images = (sum(getattr(one[0], n) for one in found) for n in ("n_subjects", "n_images"))
    whole = replace(
        widest[0],
        low=max(lows, default=float("nan")),
        high=float(np.max(highs)),
        level=given.settings.level,
        method=method,
        n_subjects=min(n_subjects, part.column.n_subjects),
        n_images=n_images,
    )
    return (whole, *widest[1:])


def _calibration_gap(
    given: AuditInput, part: Part, column: ScoreColumn, division: Division, *, slope: bool
) -> tuple[Interval, str, str, list[str]]:
    """The gap of calibration in the large (logits), or of the slope, between groups that share nobody."""
    from fiducial.maths.fairness import independent_gap

    metric = "calibration_slope" if slope else "calibration_in_the_large"
    large = calibration_groups(given, column, division.groups, slope=slope)
    small = [name for name in division.groups if name not in large]
    pairs = max(1, len(large) * (len(large) - 1) // 2)
    strict = replace(given, settings=replace(given.settings, level=1 - (1 - given.settings.level) / pairs))
    intervals = {name: group_interval(given, part, metric, division, name) for name in large}
    found = independent_gap(
        list(intervals.values()), [group_interval(strict, part, metric, division, name) for name in large]
    )
    return (
        replace(found, level=given.settings.level),
        *_ends(metric, {n: i.value for n, i in intervals.items()}),
        small,
    )


def _ends(metric: str, values: Mapping[str, float]) -> tuple[str, str]:
    """The lowest and the highest group in words; empty where there are not two."""
    known = sorted((value, name) for name, value in values.items() if np.isfinite(value))
    if len(known) < 2:
        return "", ""
    words = metric.replace("_", " ") if metric != "bnsp_auc" else "share of non-events that its events outrank"
    return f"{words}: {known[0][1]} {known[0][0]:.3f}", f"{known[-1][1]} {known[-1][0]:.3f}"
