"""Selective: does the model know when it is wrong, and how many cases must go to a person?

What it measures: the risk-coverage curve with its area (AURC) and the excess over the best possible order, the AUROC
with which confidence tells wrong answers from right ones, and a deferral rule: chosen on one half of the calibration
part, judged on the audited part; the study states the error that kept cases may have. The answer is a call, a class, or
a mask with the Dice that the model predicts for it.
Why it matters: a model that is wrong where it is unsure can hand those cases to a reader; one that is wrong where it
is sure cannot.
What it cannot see: how well the reader does on the deferred cases, and errors of the reference, which look like errors
of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import BOOTSTRAP, DELONG, WILSON, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.halves import operating_half, second_half
from fiducial.audit.measure import from_bootstrap, nothing, reason_text, replicates
from fiducial.audit.predicted_quality import predicted_and_real
from fiducial.audit.scores import ArgmaxColumn, ScoreColumn, argmax_columns, audited_columns, calibration_column
from fiducial.audit.thresholds import threshold_of
from fiducial.records.tables import UNCERTAINTY

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

CHECK = "selective"
IDLE = 0.6
"""Confidence that orders errors no better than this AUROC is of little use."""
AREA = f"Geifman, Uziel and El-Yaniv, ICLR 2019; {BOOTSTRAP}"
RULE = "Geifman and El-Yaniv, NeurIPS 2017; Angelopoulos et al., Learn then test 2021; Clopper and Pearson 1934"
_MOST_POINTS = 100


@dataclass(frozen=True)
class Answers:
    """Answers of one target in one part: ``wrong`` bool [n], ``confidence``, ``subject`` and ``image`` [n].

    The confidence is the model's own probability of being right, or the Dice that it predicts; ``how`` says what an
    answer is. ``item`` names another order: that of the doubt that the model states beside its scores.
    """

    target: str
    split: str
    wrong: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    subject: NDArray[Any]
    image: NDArray[Any]
    how: str
    item: str = ""

    @property
    def n_subjects(self) -> int:
        """Distinct subjects."""
        return len(np.unique(self.subject))

    @property
    def n_wrong(self) -> int:
        """Wrong answers."""
        return int(self.wrong.sum())

    def subjects_of(self, wrong: bool) -> int:
        """Subjects with a wrong (or right) answer."""
        return len(np.unique(self.subject[self.wrong == wrong]))


def check_selective(given: AuditInput) -> CheckResult:
    """Order of the errors, the curve, a deferral rule, and a verdict for each target."""
    result = CheckResult()
    for column in audited_columns(given):
        if not column.item:
            result += _of_binary(given, column)
    before = {column.target: column for column in argmax_columns(given, "calibration")}
    for decided in argmax_columns(given):
        calibration = before.get(decided.target)
        operating = None
        if calibration is not None and len(calibration.truth):
            event = calibration.truth != calibration.classes[0]
            operating = _several(calibration.rows(~second_half(calibration.subject, event)))
        result += _of_answers(given, _several(decided), operating)
    calibration_masks = {answers.target: answers for answers in _masks(given, "calibration")}
    for answers in _masks(given):
        result += _of_answers(given, answers, calibration_masks.get(answers.target))
    if not result.evidence:
        why = "no confidence: the tables have neither scores nor a predicted Dice beside the real one"
        none = {"statistic": "test", "verdict": "not_possible", "reason": why, "method": "none"}
        return CheckResult([evidence_row(given, CHECK, "error_auroc", **none)])
    return result


def _of_binary(given: AuditInput, column: ScoreColumn) -> CheckResult:
    threshold = threshold_of(given, column)
    if threshold.value is None:
        said = {"target": column.target, "split": column.split, "statistic": "test", "method": "none"}
        return CheckResult(
            [evidence_row(given, CHECK, "error_auroc", verdict="not_possible", reason=threshold.origin, **said)]
        )
    calibration = calibration_column(given, column)
    operating = None if calibration is None else _binary(operating_half(calibration), threshold.value, threshold.origin)
    return _of_answers(given, _binary(column, threshold.value, threshold.origin), operating)


def _binary(column: ScoreColumn, threshold: float, origin: str) -> Answers:
    """The call at the operating point; its confidence is the probability that the model gives to being right."""
    called = column.score >= threshold
    confidence = np.where(called, column.score, 1 - column.score)
    return Answers(
        column.target, column.split, called != column.truth, confidence, column.subject, column.image, origin
    )


def _several(column: ArgmaxColumn) -> Answers:
    confidence = column.probability.max(axis=1) if len(column.probability) else np.zeros(0)
    wrong = np.asarray(column.decision != column.truth, dtype=bool)
    how = "most probable class"
    return Answers(column.target, column.split, wrong, confidence, column.subject, column.image, how)


def _masks(given: AuditInput, split: str | None = None) -> list[Answers]:
    """Masks of a part whose Dice was predicted: that is their confidence, and nothing of it was fitted on a part."""
    poor = given.settings.poor_dice
    how = f"a mask is wrong below a Dice of {poor:g}; ordered by the predicted Dice"
    return [
        Answers(own.target, own.split, own.real < poor, own.predicted, own.subject, own.image, how)
        for own in predicted_and_real(given, split)
        if len(own.real)
    ]


def _of_answers(given: AuditInput, answers: Answers, operating: Answers | None) -> CheckResult:
    if not len(answers.wrong):
        why = "no image of the audited part has both an answer and a truth"
        none = {"statistic": "test", "verdict": "not_possible", "reason": why, "method": "none"}
        said = {"target": answers.target, "split": answers.split}
        return CheckResult([evidence_row(given, CHECK, "error_auroc", **none, **said)])
    areas = [_area(given, answers, excess) for excess in (False, True)]
    order = _error_auroc(given, answers)
    rows = [*areas, order, *_deferral(given, answers, operating), _verdict(given, answers, order)]
    return CheckResult([*rows, *_by_doubt(given, answers)], _curve(given, answers))


def _by_doubt(given: AuditInput, answers: Answers) -> list[Row]:
    """The same figures where cases are ordered by the doubt that the model states; no row where it states none.

    The doubt is that of an ensemble's members, of dropout or of an evidential head, or whatever a vendor says.
    """
    said = given.predictions
    said = said[(said["item"] == UNCERTAINTY) & (said["kind"] == "score") & (said["target"] == answers.target)]
    doubt = dict(zip(said["image"], said["value"].astype(float), strict=True))
    stated = np.array([doubt.get(image, math.nan) for image in answers.image], dtype=np.float64)
    known = np.isfinite(stated)
    if not known.any():
        return []
    ordered = Answers(
        target=answers.target,
        split=answers.split,
        wrong=answers.wrong[known],
        confidence=1 - stated[known],
        subject=answers.subject[known],
        image=answers.image[known],
        how=f"{answers.how}; ordered by the model's stated uncertainty",
        item=UNCERTAINTY,
    )
    return [*(_area(given, ordered, excess) for excess in (False, True)), _error_auroc(given, ordered)]


def _said(answers: Answers) -> Row:
    return {"target": answers.target, "item": answers.item, "split": answers.split, "n_events": answers.n_wrong}


def _area(given: AuditInput, answers: Answers, excess: bool) -> Row:
    """Area under the risk-coverage curve, or what lies above the best possible one."""
    from fiducial.maths.bootstrap import RiskArea

    metric = "excess_aurc" if excess else "aurc"
    statistic = RiskArea(answers.wrong, answers.confidence, excess)
    interval = from_bootstrap(
        replicates({metric: statistic}, answers.subject, None, given.settings), metric, "all", given.settings
    )
    method = f"{interval.method}; {answers.how}"
    said = {**_said(answers), "reason": reason_text(interval), "method": method, "reference": AREA}
    return evidence_row(given, CHECK, metric, interval, **said)


def _error_auroc(given: AuditInput, answers: Answers) -> Row:
    """The chance that a wrong answer is less confident than a right one."""
    from fiducial.maths.intervals import auc_interval

    interval = auc_interval(answers.wrong, -answers.confidence, subject=answers.subject, level=given.settings.level)
    reason = reason_text(interval)
    if not answers.n_wrong:
        reason = "no answer is wrong, so there is nothing to order"
    said = {**_said(answers), "reason": reason, "method": f"{interval.method}; {answers.how}", "reference": DELONG}
    return evidence_row(given, CHECK, "error_auroc", interval, **said)


def _verdict(given: AuditInput, answers: Answers, order: Row) -> Row:
    """A finding if even the upper end of the interval says that confidence hardly orders errors."""
    method = f"{order['method']}; a finding if its upper end lies below {IDLE:g}"
    few = min(answers.subjects_of(wrong=True), answers.subjects_of(wrong=False))
    verdict, reason = "clear", "wrong answers are less confident than right ones, or nothing rules it out"
    if few < given.settings.minimum_n:
        rarer = "wrong" if answers.subjects_of(wrong=True) == few else "right"
        verdict, reason = "not_possible", f"n = {few} < {given.settings.minimum_n} patients with a {rarer} answer"
    elif math.isnan(order["high"]):
        verdict, reason = "not_possible", str(order["reason"]) or "no interval could be given"
    elif order["high"] < IDLE:
        verdict = "finding"
        reason = "confidence hardly tells wrong answers from right ones: deferring unsure cases will not help"
    elif order["low"] > 0.5:
        reason = "wrong answers are less confident than right ones"
    return order | {"statistic": "test", "verdict": verdict, "reason": reason, "method": method}


def _deferral(given: AuditInput, answers: Answers, operating: Answers | None) -> list[Row]:
    """How many cases must go to a person so that the error of the rest is small, and whether it then is."""
    from fiducial.maths.intervals import rate_interval
    from fiducial.maths.selective import choose_deferral

    settings, said = given.settings, {"target": answers.target, "split": answers.split}
    bound = f"below {100 * settings.largest_risk:.3g} %"
    wanted = f"error of the kept cases {bound}"
    if operating is None or not len(operating.wrong):
        why = f"the table has no calibration part to choose a rule on ({wanted})"
        none = {"verdict": "not_possible", "reason": why, "method": "none", "reference": RULE}
        return [evidence_row(given, CHECK, "deferral_rate", **said, **none)]
    rule = choose_deferral(
        operating.wrong,
        operating.confidence,
        largest_risk=settings.largest_risk,
        subject=operating.subject,
        level=settings.level,
    )
    kept = answers.confidence >= rule.confidence
    n = len(operating.wrong)
    how = f"{wanted}, by its one-sided upper bound on {n} calibration images, level {settings.level:g}"
    if math.isinf(rule.confidence):
        reason = (
            f"not even for the surest half of {n} calibration images can an error {bound} be shown: "
            "everything goes to a person"
        )
    else:
        reason = f"answers of confidence {rule.confidence:.3f} or more are kept: an error of {rule.risk:.3f} there"
    deferred = rate_interval(~kept, subject=answers.subject, level=settings.level)
    text = {"method": f"{deferred.method}; {how}", "reason": reason, "reference": f"{RULE}; {WILSON}"}
    rows = [evidence_row(given, CHECK, "deferral_rate", deferred, **said, **text)]
    risk = _kept_error(answers, kept, given)
    text = {"method": f"{risk.method}; {how}", "reason": reason_text(risk), "reference": f"{RULE}; {WILSON}"}
    if not kept.any():
        text["reason"] = "no case is kept"
    asked = {"threshold": settings.largest_risk, "direction": "at_most", "n_events": int(answers.wrong[kept].sum())}
    rows.append(evidence_row(given, CHECK, "kept_error", risk, **said, **text, **asked))
    return rows


def _kept_error(answers: Answers, kept: NDArray[np.bool_], given: AuditInput) -> Interval:
    from fiducial.maths.intervals import rate_interval

    if not kept.any():
        return nothing(given.settings, "no-rows")
    return rate_interval(answers.wrong[kept], subject=answers.subject[kept], level=given.settings.level)


def _curve(given: AuditInput, answers: Answers) -> list[Row]:
    """Error of the kept cases by the share kept, with intervals; and the best that any order could do."""
    from fiducial.maths.intervals import rate_interval
    from fiducial.maths.selective import risk_coverage

    found = risk_coverage(answers.wrong, answers.confidence)
    n = len(answers.wrong)
    said = {"target": answers.target}
    wanted = np.linspace(1 / _MOST_POINTS, 1, _MOST_POINTS)
    places = np.unique(np.minimum(np.searchsorted(found.coverage, wanted - 1e-12), len(found.coverage) - 1))
    points = []
    for place in map(int, places):
        kept = answers.confidence >= found.confidence[place]
        rate = rate_interval(answers.wrong[kept], subject=answers.subject[kept], level=given.settings.level)
        at = {"x": float(found.coverage[place]), "y": float(found.risk[place]), "n": int(found.n_kept[place])}
        points.append(
            curve_point(CHECK, "risk_coverage", series=answers.split, low=rate.low, high=rate.high, **at, **said)
        )
    for share in np.unique([0.0, 1 - answers.n_wrong / n, *wanted]):
        n_kept = share * n
        risk = max(0.0, n_kept - (n - answers.n_wrong)) / n_kept if n_kept else 0.0
        points.append(curve_point(CHECK, "risk_coverage", series="ideal", x=float(share), y=float(risk), n=n, **said))
    return points
