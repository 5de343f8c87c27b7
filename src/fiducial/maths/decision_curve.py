"""Is acting on the score worth more than acting on everybody or on nobody? Net benefit and likelihood ratios."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import Sums, mean_of
from fiducial.maths.inputs import Bools, Floats, Integers, require_level, subject_codes, summed, truth_and_score
from fiducial.maths.intervals import Interval, student_quantile


def net_benefit_of(truth: ArrayLike, score: ArrayLike, *, threshold: float) -> Sums:
    """Net benefit of acting at ``score >= threshold``, as a statistic for `clustered_bootstrap`.

    TP / n - FP / n * t / (1 - t): true positives for each patient, less the false positives that a person who acts at
    the risk t counts as much as t / (1 - t) of a true one. At a threshold of 0 everybody is acted on.

    Args:
        truth: 0/1 [n].
        score: probabilities [n].
        threshold: in [0, 1); it is both the cut and the weight of harm against benefit.

    Raises:
        InputRefused: the threshold is not in [0, 1), or the arrays are not legal.

    Source: Vickers and Elkin, Med Decis Making 26 (2006) 565-574.
    """
    labels, scores = truth_and_score(truth, score)
    odds = _odds(threshold)
    called = scores >= threshold
    gain = np.where(called, np.where(labels, 1.0, -odds), 0.0)
    return mean_of(gain)


def net_benefit_of_all(truth: ArrayLike, *, threshold: float) -> Sums:
    """Net benefit of acting on everybody; that of acting on nobody is 0. Arguments and source as `net_benefit_of`."""
    labels = truth_and_score(truth, np.zeros(np.size(truth)))[0]
    gain = np.where(labels, 1.0, -_odds(threshold))
    return mean_of(gain)


def net_benefit_curve_of(truth: ArrayLike, score: ArrayLike, thresholds: ArrayLike) -> dict[str, Sums]:
    """Net benefit at several thresholds, one statistic each, named by its place.

    Raises:
        InputRefused: as `net_benefit_of`.
    """
    return {str(k): net_benefit_of(truth, score, threshold=float(t)) for k, t in enumerate(np.asarray(thresholds))}


def net_benefit_excess(truth: ArrayLike, score: ArrayLike, *, threshold: float, over: str) -> Floats:
    """What acting on the score gains on each row over acting on everybody (``all``) or on nobody (``none``) [n].

    The mean over rows is the difference of the two net benefits; arguments and source as `net_benefit_of`.

    Raises:
        InputRefused: ``over`` is neither, or as `net_benefit_of`.
    """
    if over not in ("all", "none"):
        raise InputRefused(f"over {over!r}", legal="all, none")
    gain = net_benefit_of(truth, score, threshold=threshold).columns[:, 0]
    return gain - net_benefit_of_all(truth, threshold=threshold).columns[:, 0] if over == "all" else gain


@dataclass(frozen=True)
class LikelihoodRatios:
    """How much a positive (negative) call multiplies the odds of disease, and their ratio.

    ``corrected`` says that one half was added to each cell of the two by two table because one was empty.
    """

    positive: Interval
    negative: Interval
    diagnostic_odds: Interval
    corrected: bool


def likelihood_ratios(
    truth: ArrayLike, called: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> LikelihoodRatios:
    """LR+ = sensitivity / (1 - specificity), LR- = (1 - sensitivity) / specificity, and the diagnostic odds ratio.

    Intervals on the log scale. With one row a subject the variances are the classical ones, such as
    1/TP - 1/(TP + FN) + 1/FP - 1/(FP + TN) for LR+. With repeated subjects each log ratio is linearised row by row,
    summed within subjects, with the factor k / (k - 1) and Student's t with k - 1 degrees of freedom. If a cell is
    empty, one half is added to each for values and for the classical variances, and ``corrected`` is true.

    Args:
        truth: 0/1 [n].
        called: bool [n], whether the case is called positive.
        subject: [n], default one subject for each row.
        level: of the intervals.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: lengths differ, or the level is not in (0, 1).

    Source: Simel, Samsa and Matchar, J Clin Epidemiol 44 (1991) 763-770; Glas et al., J Clin Epidemiol 56 (2003)
    1129-1135 (odds ratio); clusters: Taylor linearisation, Binder, Int Stat Rev 51 (1983) 279-292.
    """
    labels, marks = truth_and_score(truth, np.asarray(called, dtype=np.float64))
    positive = marks > 0
    codes, k = subject_codes(subject, len(labels))
    require_level(level)
    method = "log method" + (", clustered" if k < len(labels) else "")
    cells = np.array([(positive & labels).sum(), (~positive & labels).sum(), (positive & ~labels).sum(), 0.0])
    cells[3] = len(labels) - cells[:3].sum()
    if not labels.any() or labels.all():
        reason = "one-class" if len(labels) else "no-rows"
        nothing = Interval(math.nan, math.nan, math.nan, level, method, k, len(labels), reason)
        return LikelihoodRatios(nothing, nothing, nothing, corrected=False)
    corrected = bool((cells == 0).any())
    tp, fn, fp, tn = cells + 0.5 if corrected else cells
    method += "; one half added to each cell, because one is empty" if corrected else ""
    values = ((tp / (tp + fn)) / (fp / (fp + tn)), (fn / (tp + fn)) / (tn / (fp + tn)), tp * tn / (fn * fp))
    classical = (
        1 / tp - 1 / (tp + fn) + 1 / fp - 1 / (fp + tn),
        1 / fn - 1 / (tp + fn) + 1 / tn - 1 / (fp + tn),
        1 / tp + 1 / fn + 1 / fp + 1 / tn,
    )
    design = _design(labels, positive, codes, k) if k < len(labels) and not corrected else (1.0, 1.0, 1.0)
    freedom = max(1, k - 1)
    intervals = []
    for value, variance, factor in zip(values, classical, design, strict=True):
        spread = student_quantile(level, freedom) * math.sqrt(variance * factor)
        low, high = float(value * math.exp(-spread)), float(value * math.exp(spread))
        intervals.append(Interval(float(value), low, high, level, method, k, len(labels)))
    positive_ratio, negative_ratio, odds = intervals
    return LikelihoodRatios(positive_ratio, negative_ratio, odds, corrected)


def _design(labels: Bools, called: Bools, codes: Integers, k: int) -> tuple[float, float, float]:
    """Clustered over unclustered variance of the three log ratios, at least 1 each."""
    sensitivity, false_alarms = float(called[labels].mean()), float(called[~labels].mean())
    n_1, n_0 = int(labels.sum()), int((~labels).sum())
    error_1 = np.where(labels, called - sensitivity, 0.0) / n_1
    error_0 = np.where(~labels, called - false_alarms, 0.0) / n_0
    influence = (
        error_1 / sensitivity - error_0 / false_alarms,
        -error_1 / (1 - sensitivity) + error_0 / (1 - false_alarms),
        error_1 / (sensitivity * (1 - sensitivity)) - error_0 / (false_alarms * (1 - false_alarms)),
    )
    factors = []
    for part in influence:
        clustered = k / (k - 1) * float((summed(codes, part, k) ** 2).sum()) if k > 1 else math.nan
        factors.append(max(1.0, clustered / float((part**2).sum())))
    return factors[0], factors[1], factors[2]


def _odds(threshold: float) -> float:
    if not 0 <= threshold < 1:
        raise InputRefused(f"threshold {threshold}", legal="a probability from 0 to below 1")
    return threshold / (1 - threshold)
