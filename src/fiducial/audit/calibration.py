"""Calibration: do probabilities mean what they say?

What it measures: calibration slope, intercept and calibration in the large, expected calibration error and Brier score,
on the test part and, where there is one, on the calibration part.
Why it matters: a risk of 30 % leads to other actions than one of 60 %.
What it cannot see: a group in which risks are too high while they are too low in another (see subgroups).
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.measure import N_BINS, reason_text, score_interval
from fiducial.audit.scores import ScoreColumn, audited_columns, calibration_column

CHECK = "calibration"
METRICS = ("calibration_slope", "calibration_intercept", "calibration_in_the_large", "ece", "brier")
_IDEAL = {"calibration_slope": 1.0, "calibration_in_the_large": 0.0}


def check_calibration(given: AuditInput) -> CheckResult:
    """Calibration of every score, a verdict on the audited part, and reliability curves."""
    result = CheckResult()
    for column in audited_columns(given):
        calibration = calibration_column(given, column)
        parts = [column] if calibration is None else [calibration, column]
        rows = [_figure(given, part, metric) for part in parts for metric in METRICS]
        curves = [point for part in parts for point in reliability_rows(given, part)]
        result += CheckResult([*rows, _verdict(given, column)], curves)
    return result


def _figure(given: AuditInput, column: ScoreColumn, metric: str) -> Row:
    interval = score_interval(metric, column, None, given.settings)
    said = {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
    return evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **said)


def _verdict(given: AuditInput, column: ScoreColumn) -> Row:
    """A finding if slope 1 or calibration in the large 0 lies outside its interval, widened for two tests."""
    said = {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
    said |= {"n_subjects": column.n_subjects, "n_images": len(column.truth)}
    level = 1 - (1 - given.settings.level) / len(_IDEAL)
    method = f"slope against 1 and calibration in the large against 0, each at level {level:g}"
    rarer = min(column.n_events, len(column.truth) - column.n_events)
    if rarer < given.settings.minimum_n:
        reason = f"n = {rarer} < {given.settings.minimum_n} in the rarer class"
        return evidence_row(
            given, CHECK, "calibration", statistic="test", verdict="not_possible", reason=reason, method=method, **said
        )
    strict = replace(given.settings, level=level)
    intervals = {metric: score_interval(metric, column, None, strict) for metric in _IDEAL}
    off = [
        f"{metric.replace('_', ' ')} {intervals[metric].value:.2f} instead of {ideal:g}"
        for metric, ideal in _IDEAL.items()
        if intervals[metric].low > ideal or intervals[metric].high < ideal
    ]
    unknown = [metric.replace("_", " ") for metric in _IDEAL if math.isnan(intervals[metric].low)]
    verdict = "finding" if off else "not_possible" if unknown else "clear"
    reason = "; ".join(off) or "no departure from ideal calibration beyond chance"
    if unknown and not off:
        reason = f"no interval for {', '.join(unknown)}: scores are all alike, or separate the classes completely"
    test = {"statistic": "test", "verdict": verdict, "reason": reason, "method": method}
    return evidence_row(given, CHECK, "calibration", **test, **said)


def reliability_rows(given: AuditInput, column: ScoreColumn, *, condition: str = "clean") -> list[Row]:
    """Mean score and observed rate of each bin, with the rate's interval; and how many cases each bin holds."""
    from fiducial.maths.calibration import bin_edges, reliability
    from fiducial.maths.intervals import rate_interval

    if not len(column.truth):
        return []
    base = {"target": curve_target(column), "series": column.split, "condition": condition}
    rows: list[Row] = []
    for one in reliability(column.truth, column.score, n_bins=N_BINS):
        first = one.low == 0.0
        inside = (column.score <= one.high) & ((column.score > one.low) | first)
        rate = rate_interval(column.truth[inside], subject=column.subject[inside], level=given.settings.level)
        point = {"x": one.mean_score, "y": one.rate, "low": rate.low, "high": rate.high, "n": one.n}
        rows.append(curve_point(CHECK, "reliability", **base, **point))
    edges = bin_edges(column.score, n_bins=2 * N_BINS)
    for low, high in pairwise(edges):
        inside = (column.score <= high) & ((column.score > low) | (low == 0.0))
        n = int(inside.sum())
        rows.append(curve_point(CHECK, "histogram", **base, x=float(low + high) / 2, y=float(n), n=n))
    return rows
