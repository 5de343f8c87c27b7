"""Recalibration: what would a map, fitted on the calibration part, repair on the test part?

What it measures: the logistic map of the calibration part, and calibration and Brier score of the test part after it.
Why it matters: a poor calibration is often mended by two numbers, without training again; if the map does not help on
the test part, the two parts differ.
What it cannot see: whether the map still holds elsewhere. Discrimination is unchanged by it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from fiducial.audit.calibration import reliability_rows
from fiducial.audit.evidence import PLATT, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.halves import operating_half
from fiducial.audit.measure import reason_text, score_interval
from fiducial.audit.scores import ScoreColumn, audited_columns, calibration_column
from fiducial.errors import InputRefused

CHECK = "recalibration"
CONDITION = "recalibrated"
METRICS = ("calibration_slope", "calibration_in_the_large", "ece", "brier")


def check_recalibration(given: AuditInput) -> CheckResult:
    """The map of each binary score, and the audited part after it (condition ``recalibrated``)."""
    result = CheckResult()
    for column in audited_columns(given):
        if not column.item:
            result += _of_column(given, column)
    return result


def _of_column(given: AuditInput, column: ScoreColumn) -> CheckResult:
    from fiducial.maths.calibration import fit_recalibration

    calibration = calibration_column(given, column)
    if calibration is None:
        return _not_possible(given, column, "the table has no calibration part to fit a map on")
    calibration = operating_half(calibration)
    if calibration.one_class:
        return _not_possible(given, column, "the calibration part has one class only")
    try:
        fitted = fit_recalibration(calibration.truth, calibration.score)
    except InputRefused as refused:
        return _not_possible(given, column, refused.given)
    said: Row = {"target": column.target, "split": calibration.split, "reference": PLATT}
    said |= {"n_subjects": calibration.n_subjects, "n_images": len(calibration.truth), "n_events": calibration.n_events}
    method = f"logistic regression of truth on logit(score), fitted on {len(calibration.truth)} calibration images"
    rows = [
        evidence_row(given, CHECK, f"map_{name}", value=value, method=method, **said)
        for name, value in (("slope", fitted.slope), ("intercept", fitted.intercept))
    ]
    after = replace(column, score=fitted.apply(column.score)) if len(column.score) else column
    rows += [_after(given, after, metric) for metric in METRICS]
    return CheckResult(rows, reliability_rows(given, after, condition=CONDITION))


def _after(given: AuditInput, column: ScoreColumn, metric: str) -> Row:
    interval = score_interval(metric, column, None, given.settings)
    said = {"target": column.target, "split": column.split, "n_events": column.n_events, "condition": CONDITION}
    method = f"{interval.method}; after the map of the calibration part"
    return evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **{**said, "method": method})


def _not_possible(given: AuditInput, column: ScoreColumn, reason: str) -> CheckResult:
    said = {"target": column.target, "split": column.split, "value": math.nan, "method": "none"}
    return CheckResult([evidence_row(given, CHECK, "map_slope", verdict="not_possible", reason=reason, **said)])
