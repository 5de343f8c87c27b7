"""Temporal: does the model stay as good as it was?

What it measures: AUC, sensitivity and specificity (mean Dice for masks) by time of acquisition, and their trend, by
patient.
Why it matters: scanners, protocols and patients change; a model that was validated last year may have faded since.
What it cannot see: a sudden change that a straight line averages out (look at the figure), and why it changed. Without
dates there is nothing to say, and no row.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.masks import CaseColumn, case_columns, location
from fiducial.audit.measure import nothing, reason_text, score_interval
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.audit.thresholds import threshold_of
from fiducial.audit.vendor import TIMES
from fiducial.study.groups import MISSING, attribute_text

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

CHECK = "temporal"
METRICS = ("auc", "sensitivity", "specificity")
QUARTER = 3.0
MOST_BINS = 8
REFERENCE = "Bell and McCaffrey, Survey Methodology 2002; Dodd and Pepe, JASA 2003; Holm, Scand J Statist 1979"
_DATE = re.compile(r"^(\d{4})-?(\d{2})(?:-?(\d{2}))?")


@dataclass(frozen=True)
class _Timed:
    """One column with the time of each row, in months; rows without a time are left out."""

    column: ScoreColumn | CaseColumn
    months: NDArray[np.float64]
    dates: bool
    threshold: float | None = None


def check_temporal(given: AuditInput) -> CheckResult:
    """Figures by time, their trends, and a verdict per target; nothing where the tables hold no time."""
    name = next((name for name in TIMES if name in given.attributes.columns), "")
    if not name:
        return CheckResult()
    months, dates = _months(given, name)
    result = CheckResult()
    trends: list[Row] = []
    columns: list[ScoreColumn | CaseColumn] = [*audited_columns(given)]
    columns += [column for column in case_columns(given) if column.metric == "dice"]
    for column in columns:
        found, own = _of_column(given, _timed(given, column, months, dates), name)
        result += found
        trends += own
    return result + CheckResult(_verdicts(given, trends))


def _months(given: AuditInput, name: str) -> tuple[dict[str, float], bool]:
    """Months since year 0 of each image, or the plain number that the column holds; and whether they are dates."""
    text = {str(image): str(value) for image, value in given.attributes[["image", name]].itertuples(index=False)}
    dated = {image: _month(value) for image, value in text.items()}
    if any(math.isfinite(value) for value in dated.values()):
        return dated, True
    return {image: _number(value) for image, value in text.items()}, False


def _month(text: str) -> float:
    """``2023-04``, ``2023-04-17`` or ``20230417`` as months; NaN for anything else."""
    found = _DATE.match(text)
    if not found or not 1 <= int(found[2]) <= 12:
        return math.nan
    return 12.0 * int(found[1]) + int(found[2]) - 1 + (int(found[3]) - 1 if found[3] else 0) / 31


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _timed(given: AuditInput, column: ScoreColumn | CaseColumn, months: dict[str, float], dates: bool) -> _Timed:
    known = {image for image, value in months.items() if math.isfinite(value)}
    inside = column.within(known)
    time = np.array([months[str(image)] for image in inside.image], dtype=np.float64)
    threshold = None
    if isinstance(inside, ScoreColumn):
        stated = given.study is not None and given.study.operating_point is not None
        threshold = threshold_of(given, inside).value if stated or not inside.item else None
    return _Timed(inside, time, dates, threshold)


def _of_column(given: AuditInput, timed: _Timed, name: str) -> tuple[CheckResult, list[Row]]:
    column = timed.column
    metrics = METRICS if isinstance(column, ScoreColumn) else (column.metric,)
    if timed.threshold is None and isinstance(column, ScoreColumn):
        metrics = ("auc",)
    why = _too_little(given, timed, name)
    if why:
        said = {**_said(column), "statistic": "trend_test", "verdict": "not_possible", "reason": why, "method": "none"}
        return CheckResult([evidence_row(given, CHECK, metrics[0], **said)]), []
    rows, curves = [], []
    for metric in metrics:
        own, points = _by_time(given, timed, metric, name)
        rows += own
        curves += points
    trends = [_trend(given, timed, metric) for metric in metrics]
    return CheckResult([*rows, *trends], curves), trends


def _too_little(given: AuditInput, timed: _Timed, name: str) -> str:
    """Why no trend can be told; empty where it can."""
    if not len(timed.months) and (attribute_text(given.attributes[name]) == MISSING).all():
        return f"no image says when it was made: the column {name} is empty"
    if not len(timed.months):
        return f"{name} holds no time: write YYYY-MM, YYYY-MM-DD or a number of months"
    if np.ptp(timed.months) == 0:
        return "all images are of one time"
    n = _smaller(timed.column)
    smallest = given.settings.minimum_n
    where = " in the rarer class" if isinstance(timed.column, ScoreColumn) else ""
    return f"n = {n} < {smallest}{where}" if n < smallest else ""


def _smaller(column: ScoreColumn | CaseColumn) -> int:
    """Patients in the rarer class; all patients for masks."""
    if isinstance(column, CaseColumn):
        return column.n_subjects
    return min(len(np.unique(column.subject[rows])) for rows in (column.truth, ~column.truth))


def _by_time(given: AuditInput, timed: _Timed, metric: str, name: str) -> tuple[list[Row], list[Row]]:
    """The figure in each bin of time, and the points of its curve."""
    from fiducial.maths.trend import time_bins

    most = int(np.clip(_smaller(timed.column) // given.settings.minimum_n, 2, MOST_BINS))
    bins = time_bins(timed.months, width=QUARTER, most=most)
    rows, points = [], []
    for place in np.unique(bins):
        inside = bins == place
        images = {str(image) for image in timed.column.image[inside]}
        interval, why = _figure(given, timed, metric, images)
        time = timed.months[inside]
        span = f"{_written(float(time.min()), timed.dates)} to {_written(float(time.max()), timed.dates)}"
        said = {**_said(timed.column), "group": f"{name}={span}", "statistic": "at_time"}
        rows.append(evidence_row(given, CHECK, metric, interval, reason=why or reason_text(interval), **said))
        drawn = {"y": interval.value, "low": interval.low, "high": interval.high, "n": interval.n_images}
        labels = {"target": curve_target(timed.column), "group": f"{name}={span}", "series": metric}
        points.append(curve_point(CHECK, "over_time", x=float(time.mean()), **labels, **drawn))
    return rows, points


def _figure(given: AuditInput, timed: _Timed, metric: str, images: set[str]) -> tuple[Interval, str]:
    column = timed.column.within(images)
    if isinstance(column, CaseColumn):
        return location(column, "mean", given.settings), ""
    interval = score_interval(metric, column, timed.threshold, given.settings)
    n = len(np.unique(column.subject[column.truth if metric != "specificity" else ~column.truth]))
    if metric == "auc":
        n = _smaller(column)
    if n < min(5, given.settings.minimum_n):
        return nothing(given.settings, "no-rows", column), f"n = {n}: too few in this time"
    return interval, ""


def _trend(given: AuditInput, timed: _Timed, metric: str) -> Row:
    """The slope per year with its interval and the p value of no change."""
    from fiducial.maths.trend import auc_trend, mean_trend

    column, years = timed.column, timed.months / 12
    level = given.settings.level
    if isinstance(column, CaseColumn):
        interval = mean_trend(column.value, years, subject=column.subject, level=level)
    elif metric == "auc":
        interval = auc_trend(column.truth, column.score, years, subject=column.subject, level=level)
    else:
        use = column.truth if metric == "sensitivity" else ~column.truth
        called = column.score[use] >= (timed.threshold if timed.threshold is not None else 0.5)
        right = called if metric == "sensitivity" else ~called
        interval = mean_trend(right, years[use], subject=column.subject[use], level=level)
    said = {**_said(column), "statistic": "trend", "unit": "per year", "reference": REFERENCE, "p": interval.p}
    return evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **said)


def _verdicts(given: AuditInput, trends: list[Row]) -> list[Row]:
    """One verdict per target, adjusted by Holm over all trends."""
    from fiducial.maths.multiplicity import holm

    for row, adjusted in zip(trends, holm([row["p"] for row in trends]), strict=True):
        row["p_adjusted"] = float(adjusted)
    verdicts = []
    for key in dict.fromkeys((row["target"], row["item"]) for row in trends):
        own = [row for row in trends if (row["target"], row["item"]) == key]
        tested = [row for row in own if math.isfinite(row["p"])]
        if not tested:
            said = {"statistic": "trend_test", "verdict": "not_possible", "value": math.nan, "unit": ""}
            verdicts.append(own[0] | said | {"reason": own[0]["reason"] or "no trend can be computed"})
            continue
        worst = min(tested, key=lambda row: row["p"])
        finding = worst["p_adjusted"] < 1 - given.settings.level
        way = "falls" if worst["value"] < 0 else "rises"
        reason = f"{worst['metric']} {way} by {abs(worst['value']):.3f} a year" if finding else "no trend beyond chance"
        method = f"{worst['method']}; smallest p of {len(tested)} metrics, adjusted by Holm over {len(trends)} trends"
        said = {"statistic": "trend_test", "reason": reason, "method": method}
        verdicts.append(worst | said | {"verdict": "finding" if finding else "clear"})
    return verdicts


def _written(month: float, dates: bool) -> str:
    whole = math.floor(month + 1e-9)
    return f"{whole // 12:04d}-{whole % 12 + 1:02d}" if dates else f"{month:g}"


def _said(column: ScoreColumn | CaseColumn) -> dict[str, Any]:
    unit = column.unit if isinstance(column, CaseColumn) else ""
    return {"target": column.target, "item": column.item, "split": column.split, "unit": unit}
