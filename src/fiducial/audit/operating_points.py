"""Operating point: what happens at the threshold that will be used?

What it measures: sensitivity, specificity, predictive values and accuracy at a threshold chosen on the calibration
part, on that part and on the test part, and the difference of the two.
Why it matters: patients meet a decision, not a curve; a threshold that was right elsewhere may be wrong here.
What it cannot see: what the reader does with the call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fiducial.audit.evidence import SHIFT, evidence_row
from fiducial.audit.given import AuditInput, AuditSettings, CheckResult, Row
from fiducial.audit.halves import operating_half
from fiducial.audit.measure import n_counted, reason_text, score_interval
from fiducial.audit.scores import ScoreColumn, audited_columns, calibration_column
from fiducial.audit.thresholds import Threshold, threshold_of

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

CHECK = "operating_point"
METRICS = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy")
SHIFTED = ("sensitivity", "specificity")


def check_operating_points(given: AuditInput) -> CheckResult:
    """The rates at the stated operating point, on the calibration and on the test part."""
    rows: list[Row] = []
    for column in audited_columns(given):
        stated = given.study is not None and given.study.operating_point is not None
        if column.item and not stated:
            continue  # several classes are decided by the most probable one, unless a rule is stated
        threshold = threshold_of(given, column)
        calibration = calibration_column(given, column)
        rows += _of_column(given, column, calibration, threshold)
    return CheckResult(rows)


def _of_column(
    given: AuditInput, column: ScoreColumn, calibration: ScoreColumn | None, threshold: Threshold
) -> list[Row]:
    said = {"target": column.target, "item": column.item}
    if threshold.value is None:
        why = {"verdict": "not_possible", "reason": threshold.origin, "split": column.split}
        return [evidence_row(given, CHECK, "threshold", method="none", **said, **why)]
    fitted_on = operating_half(calibration) if threshold.fitted and calibration is not None else column
    counts = {"n_subjects": fitted_on.n_subjects, "n_images": len(fitted_on.truth), "split": fitted_on.split}
    rows = [
        evidence_row(
            given,
            CHECK,
            "threshold",
            value=threshold.value,
            method=threshold.origin,
            reference="Youden, Cancer 1950" if "youden" in threshold.origin else "",
            **said,
            **counts,
        )
    ]
    parts = [column] if calibration is None else [calibration, column]
    for part in parts:
        rows += [_rate(given, part, metric, threshold) for metric in METRICS]
    if calibration is not None:
        rows += [_shift(given, calibration, column, metric, threshold) for metric in SHIFTED]
    return rows


def _rate(given: AuditInput, column: ScoreColumn, metric: str, threshold: Threshold) -> Row:
    interval = score_interval(metric, column, threshold.value, given.settings)
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
        method=f"{interval.method}; {threshold.origin}",
    )


def _shift(given: AuditInput, calibration: ScoreColumn, column: ScoreColumn, metric: str, threshold: Threshold) -> Row:
    """Test minus calibration at one threshold; a finding if the interval, widened for two metrics, leaves out 0."""
    from fiducial.maths.difference import independent_difference

    def difference(settings: AuditSettings) -> Interval:
        pair = [score_interval(metric, part, threshold.value, settings) for part in (column, calibration)]
        return independent_difference(*pair)

    settings = given.settings
    shown = difference(settings)
    strict = difference(replace(settings, level=1 - (1 - settings.level) / len(SHIFTED)))
    said = {"target": column.target, "item": column.item, "split": column.split, "reference": SHIFT}
    smallest = min(n_counted(metric, part, threshold.value) for part in (column, calibration))
    if smallest < settings.minimum_n:
        reason = f"n = {smallest} < {settings.minimum_n}: too few to tell a shift"
        return evidence_row(given, CHECK, metric, statistic="shift", verdict="not_possible", reason=reason, **said)
    moved = strict.low > 0 or strict.high < 0
    how = "test part differs from calibration part" if moved else "no difference beyond chance"
    method = f"test minus calibration, {shown.method}; verdict at level {strict.level:g} (two metrics)"
    verdict = {"verdict": "finding" if moved else "clear", "reason": how, "method": method}
    return evidence_row(given, CHECK, metric, shown, statistic="shift", **said, **verdict)
