"""Discrimination of cross-validated scores: pairs of patients who were left out together, over all repeats.

Scores of different folds come from different models, and their intercepts lean against the truth of the patients who
were left out: pooling them makes a model that has learned nothing look worse than chance. Within a fold, a pair of
patients was seen by neither, so under no association either order is as likely, and the expectation is exactly 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from fiducial.errors import InputRefused
from fiducial.maths.conformal_survival import censoring_weights
from fiducial.maths.cox import survival
from fiducial.maths.inputs import Bools, Floats, binary_truth, require_level
from fiducial.maths.intervals import Interval, student_quantile
from fiducial.maths.kaplan_meier import require_horizon

CORRECTED = " with Nadeau and Bengio's correction"


@dataclass(frozen=True)
class Pairs:
    """``should`` [n, n]: whether the row's patient must score above the column's; ``n_events`` patients can be first.

    It is 0 or 1, or what a pair weighs. ``freedom`` is that of Student's t: the smaller of the two sides less one.
    """

    should: Bools | Floats
    n_events: int
    freedom: int


def pairs_of_classes(truth: ArrayLike) -> Pairs:
    """Each positive against each negative: the share in order is the AUC."""
    labels = binary_truth(truth)
    n = int(labels.sum())
    return Pairs(labels[:, None] & ~labels[None, :], n, min(n, len(labels) - n) - 1)


def pairs_of_times(time: ArrayLike, event: ArrayLike) -> Pairs:
    """Each event against each patient known to be free of it for longer: the share in order is Harrell's C.

    A patient censored at the time of an event counts as free of it; two events at one time are no pair.

    Source: Harrell, Lee and Mark, Stat Med 15 (1996) 361-387.
    """
    times, events = survival(time, event)
    later = (times[:, None] < times[None, :]) | ((times[:, None] == times[None, :]) & ~events[None, :])
    return Pairs(events[:, None] & later, int(events.sum()), int(events.sum()) - 1)


def pairs_at_horizon(time: ArrayLike, event: ArrayLike, horizon: float) -> Pairs:
    """Each event by the horizon against each patient who is free of it then: the share in order is the AUC at it.

    Who is censored before the horizon is neither. Pairs weigh 1 / G of both, G the Kaplan-Meier estimate of being still
    under follow-up, so that those who are known stand for those who are not (*cumulative cases, dynamic controls*).

    Raises:
        LabelError, InputRefused: as `fiducial.maths.cox.survival` and `require_horizon`.

    Source: Uno et al., J Am Stat Assoc 102 (2007) 527-537; Hung and Chiang, Can J Stat 38 (2010) 8-26.
    """
    times, events = survival(time, event)
    weight = censoring_weights(times, events, require_horizon(horizon))
    case = events & (times <= horizon)
    free = ~case & (weight > 0)
    should = np.outer(np.where(case, weight, 0.0), np.where(free, weight, 0.0))
    n_events, n_free = int((case & (weight > 0)).sum()), int(free.sum())
    return Pairs(should, n_events, min(n_events, n_free) - 1)


def concordance_in_folds(
    pairs: Pairs, scores: ArrayLike, folds: ArrayLike, *, learned: bool = True, level: float = 0.95
) -> Interval:
    """The share of pairs in order (ties half), among pairs in one fold of a repeat, over repeats, with its interval.

    With w_ij the repeats in which i and j are left out together and c_ij the mean of their concordance, the value is
    sum w c / sum w. Its variance is the sandwich over patients, n / (n - 1) sum_k u_k^2 / (sum w)^2 with u_k the sum of
    w (c - value) over the pairs of patient k. That takes the models as they are; where they were ``learned`` from the
    other folds, other patients would have given other models, and the variance is multiplied by 1 + K / (K - 1) for K
    folds (2.25 for five): what Nadeau and Bengio's correction of the mean over folds comes to. It is approximate, and
    wide where models hardly change. The interval is symmetric on the logit scale, by Student's t with the size of the
    smaller class less one. NaN bounds where all pairs are alike.

    Args:
        pairs: of n patients.
        scores: [r, n], of each repeat; larger means first.
        folds: [r, n], integers.
        learned: whether the scores of a fold come from a model of the others; False for a number known beforehand.
        level: confidence level.

    Raises:
        InputRefused: shapes do not fit, a score is not finite, or models were learned from one fold.

    Source: within-fold areas: LeDell, Petersen and van der Laan, Electron J Stat 9 (2015) 1583-1607; pooling's bias:
    Airola et al., Comput Stat Data Anal 55 (2011) 1828-1844; correction: Nadeau and Bengio, Mach Learn 52 (2003)
    239-281.
    """
    order, weight = _order(pairs, scores, folds)
    value, error, n = _summed(order, weight)
    error *= _widened(folds, learned=learned)
    method = f"pairs within folds, over repeats; sandwich by patient{CORRECTED if learned else ''}, logit"
    empty = Interval(value, math.nan, math.nan, require_level(level), method, n, n)
    if not math.isfinite(value) or pairs.freedom < 1:
        return _because(empty, "few-subjects" if math.isfinite(value) else "one-class")
    if not error > 1e-12 or not 0 < value < 1:
        return _because(empty, "zero-variance")
    spread = student_quantile(level, pairs.freedom) * error / (value * (1 - value))
    centre = math.log(value / (1 - value))
    low, high = (1 / (1 + math.exp(-(centre + sign * spread))) for sign in (-1, 1))
    p = 2 * float(stdtr(pairs.freedom, -abs(value - 0.5) / error))
    return Interval(value, low, high, level, method, n, n, "", p)


def concordance_difference(
    pairs: Pairs,
    first: ArrayLike,
    second: ArrayLike,
    folds: ArrayLike,
    *,
    learned: bool = True,
    level: float = 0.95,
) -> Interval:
    """`concordance_in_folds` of ``first`` minus that of ``second``, paired in the same folds; ``p`` tests 0.

    ``learned`` says whether either of them was. NaN bounds with reason ``equal-values`` where both order every pair
    alike.
    """
    one, weight = _order(pairs, first, folds)
    other, _ = _order(pairs, second, folds)
    value, error, n = _summed(one - other, weight)
    error *= _widened(folds, learned=learned)
    method = f"paired: pairs within folds, over repeats; sandwich by patient{CORRECTED if learned else ''}"
    empty = Interval(value, math.nan, math.nan, require_level(level), method, n, n)
    if not math.isfinite(value) or pairs.freedom < 1:
        return _because(empty, "few-subjects" if math.isfinite(value) else "one-class")
    if not error > 1e-12:
        return _because(empty, "equal-values")
    spread = student_quantile(level, pairs.freedom) * error
    p = 2 * float(stdtr(pairs.freedom, -abs(value) / error))
    return Interval(value, value - spread, value + spread, level, method, n, n, "", p)


def _widened(folds: ArrayLike, *, learned: bool) -> float:
    """The root of 1 + K / (K - 1), K the fewest folds of a repeat; 1 where nothing was learned."""
    if not learned:
        return 1.0
    k = min(len(np.unique(repeat)) for repeat in np.asarray(folds))
    if k < 2:
        raise InputRefused("one fold", legal="two folds or more, where models were learned from the others")
    return math.sqrt(1 + k / (k - 1))


def _order(pairs: Pairs, scores: ArrayLike, folds: ArrayLike) -> tuple[Floats, Floats]:
    """Summed concordance [n, n] and in how many repeats a pair counts [n, n]."""
    values, places = np.asarray(scores, dtype=np.float64), np.asarray(folds)
    n = len(pairs.should)
    if values.ndim != 2 or values.shape[1] != n or places.shape != values.shape or not np.isfinite(values).all():
        raise InputRefused(f"scores {values.shape}, folds {places.shape}, {n} patients", legal="finite [r, n] both")
    order, weight = np.zeros((n, n)), np.zeros((n, n))
    for score, fold in zip(values, places, strict=True):
        counted = np.where(fold[:, None] == fold[None, :], pairs.should, 0.0)
        weight += counted
        order += counted * (0.5 + 0.5 * np.sign(score[:, None] - score[None, :]))
    return order, weight


def _summed(order: Floats, weight: Floats) -> tuple[float, float, int]:
    """Value, standard error by patient and the number of patients in any pair."""
    whole = float(weight.sum())
    if not whole:
        return math.nan, math.nan, 0
    value = float(order.sum()) / whole
    apart = order - value * weight
    own = apart.sum(axis=0) + apart.sum(axis=1)
    n = int(((weight.sum(axis=0) + weight.sum(axis=1)) > 0).sum())
    if n < 2:
        return value, math.nan, n
    return value, math.sqrt(n / (n - 1) * float((own**2).sum())) / whole, n


def _because(interval: Interval, reason: str) -> Interval:
    from dataclasses import replace

    return replace(interval, reason=reason)
