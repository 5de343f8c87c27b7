"""Decisions: does acting on the model do more good than acting on everybody or on nobody?

What it measures: net benefit over thresholds with those of acting on all and on none, and at the operating threshold;
likelihood ratios, diagnostic odds ratio and how many called patients hold one with the finding.
Why it matters: a model may rank well and still do harm at the threshold that is used.
What it cannot see: whether the threshold weighs harm against benefit as your patients would; what a reader adds.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import WILSON, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.lacking import NO_SCORES, lacking
from fiducial.audit.measure import reason_text, replicates, score_interval
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.audit.thresholds import threshold_of

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

CHECK = "decisions"
NET_BENEFIT = "Vickers and Elkin, Medical Decision Making 2006"
RATIOS = "Simel, Samsa and Matchar, J Clin Epidemiol 1991; Glas et al., J Clin Epidemiol 2003"
THRESHOLDS = tuple(k / 50 for k in range(1, 50))
"""Where the curve is drawn."""


def check_decisions(given: AuditInput) -> CheckResult:
    """Curves, figures at the operating threshold, and a verdict for every score that is decided by a threshold."""
    stated = given.study is not None and given.study.operating_point is not None
    # Several classes are decided by the most probable one, unless a rule is stated.
    columns = [column for column in audited_columns(given) if stated or not column.item]
    if not columns:
        return lacking(given, CHECK, "net_benefit", NO_SCORES)
    result = CheckResult()
    tests: list[tuple[Row, list[Row]]] = []
    for column in columns:
        rows, over, curves = _of_column(given, column)
        result += CheckResult(rows, curves)
        tests.append((rows[-1], over))
    _judge(given, tests)
    return result


def _of_column(given: AuditInput, column: ScoreColumn) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows (the verdict last, not yet judged), among them the two comparisons; and the curves."""
    threshold = threshold_of(given, column)
    said: Row = {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
    rarer = min(column.n_events, len(column.truth) - column.n_events)
    why = threshold.origin if threshold.value is None else ""
    if threshold.value is not None and not 0 < threshold.value < 1:
        why = f"the threshold {threshold.value:g} is no risk between 0 and 1, so it says nothing about harm and benefit"
    if rarer < given.settings.minimum_n:
        why = f"n = {rarer} < {given.settings.minimum_n} in the rarer class"
    if why or threshold.value is None:
        counts = {"n_subjects": column.n_subjects, "n_images": len(column.truth), "method": "none"}
        verdict = {"statistic": "test", "verdict": "not_possible", "reason": why}
        return [evidence_row(given, CHECK, "net_benefit", **verdict, **counts, **said)], [], []
    at = {**said, "threshold": threshold.value}
    benefit, curves = _curve(given, column, threshold.value)
    method = f"{benefit.method}; {threshold.origin}"
    rows = [evidence_row(given, CHECK, "net_benefit", benefit, **{**at, "method": method, "reference": NET_BENEFIT})]
    over = [_over(given, column, threshold.value, other, at) for other in ("all", "none")]
    rows += [*over, *_ratios(given, column, threshold.value, at), _number_needed(given, column, threshold.value, at)]
    counts = {"n_subjects": column.n_subjects, "n_images": len(column.truth), "reference": NET_BENEFIT}
    method = "net benefit against acting on all and on none, one-sided t, clustered"
    rows.append(evidence_row(given, CHECK, "net_benefit", statistic="test", method=method, **counts, **at))
    return rows, over, curves


def _curve(given: AuditInput, column: ScoreColumn, threshold: float) -> tuple[Interval, list[Row]]:
    """Net benefit at the operating threshold, and the curves of the model, of all and of none."""
    from fiducial.maths.bootstrap import mean_of
    from fiducial.maths.decision_curve import net_benefit_curve_of, net_benefit_of_all
    from fiducial.maths.intervals import bootstrap_interval

    places = [threshold, *THRESHOLDS]
    statistics: dict[str, Any] = dict(net_benefit_curve_of(column.truth, column.score, places))
    statistics |= {"prevalence": mean_of(column.truth)}
    found = replicates(statistics, column.subject, None, given.settings)
    intervals = [bootstrap_interval(found, str(k), level=given.settings.level) for k in range(len(places))]
    # A threshold that nobody reaches has a net benefit of exactly 0: not a figure without an interval.
    intervals = [_settled(interval) for interval in intervals]
    base = {"target": curve_target(column), "n": len(column.truth)}
    points = []
    for x, interval in zip(THRESHOLDS, intervals[1:], strict=True):
        drawn = {"x": x, "y": interval.value, "low": interval.low, "high": interval.high}
        points.append(curve_point(CHECK, "net_benefit", series="model", **drawn, **base))
        everyone = net_benefit_of_all(column.truth, threshold=x)
        y = float(everyone.columns[:, 0].mean())
        points.append(curve_point(CHECK, "net_benefit", series="all", x=x, y=y, **base))
        points.append(curve_point(CHECK, "net_benefit", series="none", x=x, y=0.0, **base))
    own = {"x": threshold, "y": intervals[0].value, "low": intervals[0].low, "high": intervals[0].high}
    points.append(curve_point(CHECK, "net_benefit", series="operating point", **own, **base))
    return intervals[0], points


def _settled(interval: Interval) -> Interval:
    if interval.value == 0.0 and math.isnan(interval.low):
        return replace(interval, low=0.0, high=0.0, method=f"{interval.method}; nobody is called positive")
    return interval


def _over(given: AuditInput, column: ScoreColumn, threshold: float, other: str, said: Row) -> Row:
    """What the model gains over acting on everybody, or on nobody; ``p`` is one-sided, of doing no worse."""
    from fiducial.maths.decision_curve import net_benefit_excess
    from fiducial.maths.difference import paired_difference_interval

    gain = net_benefit_excess(column.truth, column.score, threshold=threshold, over=other)
    interval = paired_difference_interval(gain, np.zeros(len(gain)), subject=column.subject, level=given.settings.level)
    p = interval.p / 2 if interval.value < 0 else 1 - interval.p / 2
    both = {"p": p if math.isfinite(interval.p) else math.nan, "reference": NET_BENEFIT}
    reason = reason_text(interval) if math.isnan(interval.low) else ""
    return evidence_row(
        given, CHECK, "net_benefit", interval, statistic=f"over_{other}", reason=reason, **{**said, **both}
    )


def _ratios(given: AuditInput, column: ScoreColumn, threshold: float, said: Row) -> list[Row]:
    from fiducial.maths.decision_curve import likelihood_ratios

    called = column.score >= threshold
    found = likelihood_ratios(column.truth, called, subject=column.subject, level=given.settings.level)
    named = {
        "likelihood_ratio_positive": found.positive,
        "likelihood_ratio_negative": found.negative,
        "diagnostic_odds_ratio": found.diagnostic_odds,
    }
    return [
        evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **{**said, "reference": RATIOS})
        for metric, interval in named.items()
    ]


def _number_needed(given: AuditInput, column: ScoreColumn, threshold: float, said: Row) -> Row:
    """Called patients for each one with the finding: 1 / PPV, its interval turned over."""
    ppv = score_interval("ppv", column, threshold, given.settings)

    def turned(value: float) -> float:
        return 1 / value if value > 0 else math.inf

    reason = reason_text(ppv) if ppv.reason else "" if ppv.value > 0 else "nobody who was called has the finding"
    value = turned(ppv.value) if math.isfinite(ppv.value) else math.nan
    bounds = {"low": turned(ppv.high), "high": turned(ppv.low)} if math.isfinite(ppv.low) else {}
    counts = {"n_subjects": ppv.n_subjects, "n_images": ppv.n_images, "method": f"1 / PPV; {ppv.method}"}
    figures = {"value": value if math.isfinite(value) else math.nan, **bounds, "reason": reason, "reference": WILSON}
    return evidence_row(given, CHECK, "number_needed_to_evaluate", **{**said, **counts, **figures})


def _judge(given: AuditInput, tests: list[tuple[Row, list[Row]]]) -> None:
    """Verdicts in place: a finding where either comparison falls short, adjusted by Holm over all of them."""
    from fiducial.maths.multiplicity import holm

    compared = [row for _, over in tests for row in over]
    for row, adjusted in zip(compared, holm([row["p"] for row in compared]), strict=True):
        row["p_adjusted"] = float(adjusted)
    for verdict, over in tests:
        if not over:
            continue
        tested = [row for row in over if math.isfinite(row["p"])]
        if not tested:
            verdict |= {"verdict": "clear", "reason": "the model calls everybody or nobody, as the comparison does"}
            continue
        worst = min(tested, key=lambda row: row["p"])
        verdict |= {name: worst[name] for name in ("value", "low", "high", "p", "p_adjusted")}
        harm = worst["p_adjusted"] < 1 - given.settings.level
        whom = "everybody" if worst["statistic"] == "over_all" else "nobody"
        verdict["verdict"] = "finding" if harm else "clear"
        verdict["reason"] = (
            f"at the threshold {verdict['threshold']:.3g} acting on {whom} would do more good than acting on the model"
            if harm
            else f"at the threshold {verdict['threshold']:.3g} no worse than acting on all or on none beyond chance"
        )
