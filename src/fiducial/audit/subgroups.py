"""Subgroups: is the model as good for everyone?

What it measures: each main metric in every group of every attribute, with its interval, and the gap between the best
and the worst group with an interval of its own and a test.
Why it matters: an average hides those who are served worst.
What it cannot see: attributes that nobody recorded; groups that are too small to speak of (they are named).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import HETEROGENEITY, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.groups import masks_of, usable
from fiducial.audit.masks import CaseColumn, case_columns, location
from fiducial.audit.measure import (
    counted,
    gap,
    n_counted,
    nothing,
    reason_text,
    replicates,
    score_interval,
    statistic_of,
)
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.audit.thresholds import Threshold, threshold_of

if TYPE_CHECKING:
    from fiducial.maths.bootstrap import Bootstrap, Statistic
    from fiducial.maths.intervals import Interval

CHECK = "subgroups"
SCORE_METRICS = ("auc", "sensitivity", "specificity", "brier")
TESTED = ("auc", "sensitivity", "specificity")
"""Metrics whose gap is tested. The Brier score differs with prevalence alone; calibration has a check of its own."""
MASK_METRICS = ("dice", "nsd", "hd95")
GAP_REFERENCE = "Westfall and Young, Resampling-Based Multiple Testing 1993; Mandel and Betensky, CSDA 2008"

Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class _Part:
    """One column, its groups by attribute, and the replicates of every metric in every group."""

    column: ScoreColumn | CaseColumn
    threshold: Threshold
    groups: dict[str, Masks]
    found: Bootstrap | None


def check_subgroups(given: AuditInput) -> CheckResult:
    """Values by group, gaps by attribute, and one verdict per attribute."""
    result = CheckResult()
    columns: list[tuple[ScoreColumn | CaseColumn, tuple[str, ...]]] = []
    columns += [(column, SCORE_METRICS) for column in audited_columns(given)]
    columns += [(column, (column.metric,)) for column in case_columns(given) if column.metric in MASK_METRICS]
    for column, metrics in columns:
        if len(column.image):
            result += _of_column(given, column, metrics)
    return result


def _of_column(given: AuditInput, column: ScoreColumn | CaseColumn, metrics: tuple[str, ...]) -> CheckResult:
    """Every attribute of one column; all groups share one draw of subjects."""
    result, groups = CheckResult(), {}
    for attribute in given.settings.attributes:
        why = usable(given, attribute, column.image)
        if why:
            said = {**_said(column), "group": attribute, "verdict": "not_possible", "reason": why, "method": "none"}
            result += CheckResult([evidence_row(given, CHECK, metrics[0], statistic="gap_test", **said)])
        else:
            groups[attribute] = masks_of(given, attribute, column.image)
    threshold = threshold_of(given, column) if isinstance(column, ScoreColumn) else Threshold(None, "")
    if isinstance(column, ScoreColumn) and threshold.value is None:
        metrics = tuple(metric for metric in metrics if metric not in ("sensitivity", "specificity"))
    if isinstance(column, ScoreColumn) and column.item and (given.study is None or given.study.operating_point is None):
        metrics = tuple(metric for metric in metrics if metric not in ("sensitivity", "specificity"))
    part = _Part(column, threshold, groups, _replicates(given, column, threshold, metrics, groups))
    rows, gaps = [], []
    for attribute in groups:
        for metric in metrics:
            values, gap_row = _of_attribute(given, part, attribute, metric)
            rows += values
            gaps += [gap_row] if gap_row else []
    tests = _tested(given, gaps)
    return result + CheckResult([*rows, *gaps, *tests], _forest(column, rows))


def _replicates(
    given: AuditInput,
    column: ScoreColumn | CaseColumn,
    threshold: Threshold,
    metrics: tuple[str, ...],
    groups: dict[str, Masks],
) -> Bootstrap | None:
    masks = {name: mask for by_value in groups.values() for name, mask in by_value.items()}
    statistics: dict[str, Statistic] = {}
    if isinstance(column, CaseColumn):
        from fiducial.maths.bootstrap import mean_of

        statistics[column.metric] = mean_of(column.value)
    else:
        statistics = {metric: statistic_of(metric, column, threshold.value) for metric in metrics}
    return replicates(statistics, column.subject, masks, given.settings) if masks and statistics else None


def _of_attribute(given: AuditInput, part: _Part, attribute: str, metric: str) -> tuple[list[Row], Row | None]:
    """One metric in every group of one attribute, and its gap."""
    rows: list[Row] = []
    large: dict[str, Interval] = {}
    for group, mask in part.groups[attribute].items():
        interval, small = group_interval(given, part, metric, mask)
        said = {**_said(part.column), "group": group, "statistic": _statistic(part.column)}
        if small:
            counts = {"n_subjects": interval.n_subjects, "n_images": interval.n_images}
            not_possible = {**counts, "verdict": "not_possible", "reason": small, "method": "none"}
            rows.append(evidence_row(given, CHECK, metric, **said, **not_possible))
            continue
        large[group] = interval
        rows.append(evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **said))
    if part.found is None:
        return rows, None
    interval = gap(part.found, metric, list(large), given.settings, large)
    said = {**_said(part.column), "group": attribute, "statistic": "gap", "reference": GAP_REFERENCE}
    why = f"{attribute} has fewer than two groups of at least {given.settings.minimum_n}" if len(large) < 2 else ""
    said |= {"reason": why or _extremes(large) + _also(interval), "p": interval.p}
    return rows, evidence_row(given, CHECK, metric, interval, **said)


def group_interval(given: AuditInput, part: _Part, metric: str, mask: NDArray[np.bool_]) -> tuple[Interval, str]:
    """The interval in one group, and why it is not given where the group is too small."""
    column, settings = part.column, given.settings
    if isinstance(column, CaseColumn):
        inside = column.within({str(name) for name in column.image[mask]})
        n = inside.n_subjects
        interval = location(inside, "mean", settings)
    else:
        rows = column.rows(mask)
        n = n_counted(metric, rows, part.threshold.value)
        if n < settings.minimum_n:
            interval = nothing(settings, "no-rows", rows.rows(counted(metric, rows, part.threshold.value)))
        else:
            interval = score_interval(metric, rows, part.threshold.value, settings)
        if n >= settings.minimum_n and interval.reason == "one-class":
            return interval, "one class only in this group"
    small = f"n = {n} < {settings.minimum_n}" if n < settings.minimum_n else ""
    return interval, small


def _said(column: ScoreColumn | CaseColumn) -> dict[str, Any]:
    unit = column.unit if isinstance(column, CaseColumn) else ""
    return {"target": column.target, "item": column.item, "split": column.split, "unit": unit}


def _statistic(column: ScoreColumn | CaseColumn) -> str:
    return "mean" if isinstance(column, CaseColumn) else "value"


def _extremes(large: dict[str, Interval]) -> str:
    """Which groups are furthest apart."""
    ordered = sorted(large, key=lambda group: large[group].value)
    lowest, highest = ordered[0], ordered[-1]
    return f"{lowest} {large[lowest].value:.3f}, {highest} {large[highest].value:.3f}"


def _also(interval: Interval) -> str:
    text = reason_text(interval)
    return f"; {text}" if text else ""


def _tested(given: AuditInput, gaps: list[Row]) -> list[Row]:
    """Adjust the p values of all tested gaps of one column together, and give one verdict per attribute."""
    from fiducial.maths.multiplicity import holm

    tested = [row for row in gaps if row["metric"] in (*TESTED, *MASK_METRICS)]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = float(adjusted)
    verdicts = []
    for attribute in dict.fromkeys(row["group"] for row in tested):
        own = [row for row in tested if row["group"] == attribute and np.isfinite(row["p"])]
        if not own:
            first = next(row for row in tested if row["group"] == attribute)
            verdicts.append(first | {"statistic": "gap_test", "verdict": "not_possible", "value": np.nan})
            continue
        worst = min(own, key=lambda row: row["p"])
        finding = worst["p_adjusted"] < 1 - given.settings.level
        reason = f"{worst['metric']} differs: {worst['reason']}" if finding else "no difference beyond chance"
        method = f"{worst['method']}; smallest p of {len(own)} metrics, adjusted by Holm over {len(tested)} tests"
        said = {"statistic": "gap_test", "reason": reason, "method": method, "reference": HETEROGENEITY}
        verdicts.append(worst | said | {"verdict": "finding" if finding else "clear"})
    return verdicts


def _forest(column: ScoreColumn | CaseColumn, rows: list[Row]) -> list[Row]:
    """What a forest plot draws: x the value, with its interval, one point per group, in order."""
    points = []
    for place, row in enumerate(row for row in rows if np.isfinite(row["value"])):
        said = {"target": curve_target(column), "group": row["group"], "series": str(row["group"]).partition("=")[0]}
        drawn = {"x": row["value"], "y": float(place), "low": row["low"], "high": row["high"], "n": row["n_images"]}
        points.append(curve_point(CHECK, row["metric"], **said, **drawn))
    return points
