"""Sample size: how many patients does the next validation need?

What it measures: the patients needed for intervals of a stated width (AUC, sensitivity, specificity, calibration
slope, observed over expected events, mean Dice), and those that would turn each inconclusive criterion into a decision.
Why it matters: a validation that is too small can neither pass nor fail a model.
What it cannot see: whether the next patients are like these: prevalence and performance are taken from this table.
"""

from __future__ import annotations

import math
from typing import Any

from fiducial.audit.acceptance import check_acceptance
from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.masks import CaseColumn, case_columns
from fiducial.audit.measure import score_interval
from fiducial.audit.minimum import minimum_n_of
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.audit.thresholds import threshold_of

CHECK = "sample_size"
METRIC = "n_subjects_needed"
HALF_WIDTH = 0.05
"""Of the intervals of AUC, sensitivity and specificity."""
HALF_WIDTH_DICE = 0.02
ERROR_SLOPE = 0.1
ERROR_LOG_OE = 0.1
"""Standard errors; the intervals are about four times as wide."""
RILEY = "Riley et al., Statistics in Medicine 2021"
HANLEY = "Hanley and McNeil, Radiology 1982; Obuchowski, Statistical Methods in Medical Research 1998"
_NAMES = {
    "auc": "AUC",
    "dice": "Dice",
    "hd95": "HD95",
    "nsd": "NSD",
    "ece": "ECE",
    "ppv": "PPV",
    "npv": "NPV",
    "iou": "IoU",
}
BY_SCALING = "interval ends close in as one over the square root of the number of patients"


def check_sample_size(given: AuditInput) -> CheckResult:
    """Patients needed, by figure and by inconclusive criterion; rows of information, without a verdict."""
    rows: list[Row] = []
    for column in audited_columns(given):
        rows += _of_score(given, column)
    for case_column in case_columns(given):
        if case_column.metric == "dice":
            rows += _of_dice(given, case_column)
    return CheckResult([*rows, *_of_criteria(given)])


def _of_score(given: AuditInput, column: ScoreColumn) -> list[Row]:
    """For the precision that validations commonly aim at."""
    from fiducial.maths import sample_size as needed
    from fiducial.maths.calibration import logit

    if column.one_class:
        return []
    level, n_images = given.settings.level, len(column.truth)
    prevalence = column.n_events / n_images
    auc = score_interval("auc", column, None, given.settings)
    width = f"for an interval of ±{HALF_WIDTH:g}"
    as_here = f"prevalence {prevalence:.2f} as here, one image per patient"
    rows = []
    if 0 < auc.value < 1:
        n = needed.n_for_auc(auc.value, prevalence=prevalence, half_width=HALF_WIDTH, level=level)
        text = f"{width} if the AUC is {auc.value:.3f} and {as_here}"
        rows.append(_row(given, column, "auc", n, text, "variance of Hanley and McNeil", HANLEY))
    stated = given.study is not None and given.study.operating_point is not None
    threshold = threshold_of(given, column)
    if threshold.value is not None and (stated or not column.item):
        for metric, share in (("sensitivity", prevalence), ("specificity", 1 - prevalence)):
            rate = score_interval(metric, column, threshold.value, given.settings).value
            n = needed.n_for_rate(rate, share=share, half_width=HALF_WIDTH, level=level)
            text = f"{width} if {metric} is {rate:.3f} and {as_here}"
            rows.append(_row(given, column, metric, n, text, "width of Wilson's interval", "Wilson, JASA 1927"))
    n = needed.n_for_calibration_slope(logit(column.score), standard_error=ERROR_SLOPE)
    text = (
        f"for a standard error of {ERROR_SLOPE:g} of the calibration slope, if scores are spread as here and calibrated"
    )
    rows.append(_row(given, column, "calibration_slope", n, text, "information of a logistic regression", RILEY))
    n = needed.n_for_observed_expected(prevalence, standard_error=ERROR_LOG_OE)
    text = f"for a standard error of {ERROR_LOG_OE:g} of log(observed/expected events), with {as_here}"
    rows.append(_row(given, column, "observed_expected", n, text, "variance of a log ratio of events", RILEY))
    return rows


def _of_dice(given: AuditInput, column: CaseColumn) -> list[Row]:
    from fiducial.maths.sample_size import n_for_mean

    if len(column.value) < max(2, given.settings.minimum_n):
        return []
    spread = float(column.value.std(ddof=1))
    if spread == 0:
        return []  # cases that do not vary say nothing about how many more are needed
    n = n_for_mean(spread, half_width=HALF_WIDTH_DICE, level=given.settings.level)
    text = (
        f"for an interval of ±{HALF_WIDTH_DICE:g} of the mean Dice, if cases vary as here "
        f"(standard deviation {spread:.3f}), one image per patient"
    )
    fewest = minimum_n_of("dice", float(column.value.mean()))
    if n < fewest:
        text += f"; the width alone takes {n:.0f}, but below {fewest} such an interval holds less often than it says"
    return [_row(given, column, "dice", max(n, fewest), text, "(z s / h) squared", "")]


def _of_criteria(given: AuditInput) -> list[Row]:
    """For each inconclusive criterion: how many patients until its interval leaves the bound out."""
    from fiducial.maths.sample_size import n_to_decide

    rows = []
    for criterion in check_acceptance(given).evidence:
        value, bound, n = criterion["value"], criterion["threshold"], criterion["n_subjects"]
        if criterion["verdict"] != "inconclusive" or not n or not math.isfinite(value):
            continue
        end = criterion["low"] if value > bound else criterion["high"]
        if not math.isfinite(end) or (value - end) * (value - bound) <= 0:
            continue
        passes = (value > bound) == (criterion["direction"] == "at_least")
        needed = n_to_decide(n, value=value, end=end, bound=bound)
        name = _NAMES.get(criterion["metric"], criterion["metric"].replace("_", " "))
        words = "at least" if criterion["direction"] == "at_least" else "at most"
        text = f"for the criterion {name} {words} {bound:g} to be {'passed' if passes else 'failed'}"
        text += f", if the figure stays at {value:.3f}"
        said = {name: criterion[name] for name in ("target", "item", "group", "split", "n_subjects", "n_images")}
        said |= {"statistic": f"criterion_{criterion['metric']}_{criterion['statistic']}", "threshold": bound}
        rows.append(_filled(given, needed, text, method=BY_SCALING, direction=criterion["direction"], **said))
    return rows


def _row(
    given: AuditInput, column: ScoreColumn | CaseColumn, of: str, n: float, text: str, method: str, reference: str
) -> Row:
    said: dict[str, Any] = {"target": column.target, "item": column.item, "split": column.split, "statistic": of}
    said |= {"n_subjects": column.n_subjects, "n_images": len(column.image), "reference": reference, "method": method}
    return _filled(given, n, text, **said)


def _filled(given: AuditInput, n: float, text: str, **said: Any) -> Row:
    """The number, or why there is none."""
    if not math.isfinite(n):
        return evidence_row(given, CHECK, METRIC, reason=f"no number of patients is enough {text}", **said)
    return evidence_row(given, CHECK, METRIC, value=n, reason=text, **said)
