"""The threshold of each score: as the study states it, fitted on the calibration part, never on the test part."""

from __future__ import annotations

from dataclasses import dataclass

from fiducial.audit.given import AuditInput
from fiducial.audit.halves import operating_half
from fiducial.audit.scores import ScoreColumn, calibration_column

DEFAULT = 0.5


@dataclass(frozen=True)
class Threshold:
    """A threshold and how it came about; ``value`` None says, in ``origin``, why there is none.

    ``fitted`` is true where it was chosen on the calibration part.
    """

    value: float | None
    origin: str
    fitted: bool = False


def threshold_of(given: AuditInput, column: ScoreColumn) -> Threshold:
    """The threshold for one target or class.

    Without a rule, 0.5, and the origin says that nobody stated it. A rule that needs calibration data has no
    threshold where there is none: it is never fitted on the audited part.
    """
    point = given.study.operating_point if given.study is not None else None
    if point is None:
        return Threshold(DEFAULT, f"threshold {DEFAULT}, because no operating point was stated")
    if point.rule == "threshold":
        value = float(point.value or 0.0)
        return Threshold(value, f"threshold {value:g}, as the study states")
    calibration = calibration_column(given, column)
    rule = f"rule {point.rule}" + (f" {point.value:g}" if point.value is not None else "")
    if calibration is None:
        return Threshold(None, f"{rule} needs a calibration part, and the table has none")
    calibration = operating_half(calibration)
    if calibration.one_class:
        return Threshold(None, f"{rule} cannot be fitted: the calibration part has one class only")
    return _fitted(given, calibration, rule)


def _fitted(given: AuditInput, calibration: ScoreColumn, rule: str) -> Threshold:
    from fiducial.maths.classification import choose_threshold

    point = given.study.operating_point if given.study is not None else None
    if point is None:
        return Threshold(None, rule)
    value = float("nan") if point.value is None else point.value
    found = choose_threshold(calibration.truth, calibration.score, rule=point.rule, value=value)  # type: ignore[arg-type]
    n = len(calibration.truth)
    return Threshold(
        found.threshold, f"threshold {found.threshold:.4g}, by {rule} on {n} calibration images", fitted=True
    )
