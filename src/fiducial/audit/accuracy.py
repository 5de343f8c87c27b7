"""Accuracy: how often, and by how much, is the model right?

What it measures: AUC, Brier score and prevalence of each score; accuracy over the most probable class; mean and median
of each overlap and distance metric of masks.
Why it matters: it is the figure that every claim starts from.
What it cannot see: whether the truth is true, and whether the errors are the ones that harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fiducial.audit.evidence import WILSON, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.masks import CaseColumn, case_columns, location
from fiducial.audit.measure import argmax_interval, nothing, reason_text, score_interval
from fiducial.audit.scores import ScoreColumn, argmax_columns, audited_columns, calibration_column

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

CHECK = "accuracy"
_MOST_POINTS = 200


def check_accuracy(given: AuditInput) -> CheckResult:
    """Figures of the whole audited part, with ROC curves and distributions."""
    result = CheckResult()
    for column in audited_columns(given):
        result += _of_score(given, column)
        calibration = calibration_column(given, column)
        if calibration is not None and column.split == "test":
            result += CheckResult([_prevalence(given, calibration)], _roc(calibration))
    for decided in argmax_columns(given):
        for metric in ("accuracy", "balanced_accuracy"):
            interval = argmax_interval(metric, decided, given.settings)
            said = {"target": decided.target, "split": decided.split, "reason": reason_text(interval)}
            row = evidence_row(given, CHECK, metric, interval, **said)
            result += CheckResult([row | {"method": f"{row['method']}; most probable class"}])
    for case_column in case_columns(given):
        result += _of_cases(given, case_column)
    return result


def _of_score(given: AuditInput, column: ScoreColumn) -> CheckResult:
    rows = []
    for metric in ("auc", "brier"):
        interval = score_interval(metric, column, None, given.settings)
        rows.append(_row(given, column, metric, interval))
    return CheckResult([*rows, _prevalence(given, column)], _roc(column))


def _row(given: AuditInput, column: ScoreColumn, metric: str, interval: Interval) -> Row:
    return evidence_row(
        given,
        CHECK,
        metric,
        interval,
        target=column.target,
        item=column.item,
        split=column.split,
        n_events=column.n_events,
        reason=reason_text(interval),
    )


def _prevalence(given: AuditInput, column: ScoreColumn) -> Row:
    from fiducial.maths.intervals import rate_interval

    if not len(column.truth):
        return _row(given, column, "prevalence", nothing(given.settings, "no-rows"))
    interval = rate_interval(column.truth, subject=column.subject, level=given.settings.level)
    return _row(given, column, "prevalence", interval) | {"reference": WILSON}


def curve_target(column: ScoreColumn | CaseColumn) -> str:
    """Target and class in one name, because curves have no column for the class."""
    return f"{column.target}: {column.item}" if column.item else column.target


def _roc(column: ScoreColumn) -> list[Row]:
    """At most 200 points of the ROC curve: its corners are kept, evenly along its length."""
    from fiducial.maths.classification import roc_curve

    if column.one_class:
        return []
    curve = roc_curve(column.truth, column.score)
    n_points = len(curve.threshold)
    kept = np.unique(np.linspace(0, n_points - 1, min(n_points, _MOST_POINTS)).round().astype(int))
    said = {"target": curve_target(column), "series": column.split, "n": len(column.truth)}
    return [
        curve_point(CHECK, "roc", x=float(curve.false_positive_rate[i]), y=float(curve.sensitivity[i]), **said)
        for i in map(int, kept)
    ]


def _of_cases(given: AuditInput, column: CaseColumn) -> CheckResult:
    """Mean and median over cases, how many are missing and why, and the sorted values as a curve."""
    rows = []
    said = {"target": column.target, "item": column.item, "split": column.split, "unit": column.unit}
    for statistic in ("mean", "median"):
        interval = location(column, statistic, given.settings)
        reason = "; ".join(part for part in (reason_text(interval), column.missing_text()) if part)
        rows.append(evidence_row(given, CHECK, column.metric, interval, statistic=statistic, reason=reason, **said))
    n_all = len(column.value) + len(column.missing)
    missing = {"value": float(len(column.missing)), "n_images": n_all, "reason": column.missing_text()}
    rows.append(evidence_row(given, CHECK, column.metric, statistic="n_missing", **{**said, **missing, "unit": ""}))
    ordered = np.sort(column.value)
    drawn = {"target": curve_target(column), "series": "cases", "n": len(ordered)}
    curve = [
        curve_point(CHECK, column.metric, x=(place + 0.5) / len(ordered), y=float(value), **drawn)
        for place, value in enumerate(ordered)
    ]
    return CheckResult(rows, curve)
