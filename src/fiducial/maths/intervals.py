"""Confidence intervals that count patients, not rows.

No function returns an interval of width 0 in silence: where a variance is 0 an exact or score bound replaces it, and
where nothing can be said the bounds are NaN. ``reason`` names which: see `REASONS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from fiducial.maths.bootstrap import Bootstrap, Quantile, clustered_bootstrap
from fiducial.maths.delong import DeLong, delong, perfect_area_bounds
from fiducial.maths.inputs import Floats, finite_values, require_level, subject_codes, summed

REASONS = {
    "": "an ordinary interval",
    "no-rows": "there is no row to compute it from",
    "one-class": "one class is absent",
    "one-subject": "one subject alone shows no spread between subjects, so there is no interval",
    "few-subjects": "a class has one subject only; a bound that holds for every distribution replaces the variance",
    "few-patients": "fewer patients than it takes for such intervals to hold as often as they say",
    "zero-variance": "the estimated variance is 0; an exact or score bound on the number of subjects replaces it",
    "equal-values": "all values are equal and have no known range; no bound can be given",
    "no-fit": "the scores are all alike or separate the classes perfectly, so no slope fits",
    "few-groups": "fewer than two groups have a value",
    "few-replicates": "too many replicates drew nobody that the statistic can be computed on, so there is no interval",
}


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval.

    ``low`` and ``high`` are NaN where none can be given, and ``reason`` (a key of `REASONS`) then says why.
    ``p`` is the two-sided p value of *no difference*, for differences and gaps; NaN otherwise.
    """

    value: float
    low: float
    high: float
    level: float
    method: str
    n_subjects: int
    n_images: int
    reason: str = ""
    p: float = math.nan


def auc_interval(
    truth: ArrayLike, score: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """AUC with DeLong's interval on the logit scale, clustered after Obuchowski where subjects repeat.

    The variance of `delong` is carried to logit(AUC), and the quantile is Student's t with its degrees of freedom,
    so that the interval stays inside [0, 1] and holds for small classes. Where the variance is 0 or cannot be
    estimated, the number of independent pairs k (`DeLong.n_pairs`) bounds the area:

    - AUC 1 and 0 have exact bounds (`perfect_area_bounds`);
    - else Var <= AUC (1 - AUC) / k gives Wilson's interval with n = k.

    Args:
        truth: 0/1 [n].
        score: [n], larger means more likely positive.
        subject: [n], default one subject for each row.
        level: confidence level.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not finite, lengths differ, or the level is not in (0, 1).

    Source: see `delong`; logit scale: Qin and Hotilovac, Stat Methods Med Res 17 (2008) 207-221; variance bound:
    Birnbaum and Klose, Ann Math Stat 28 (1957) 933-945.
    """
    found = delong(truth, score, subject=subject)
    n_images = len(np.asarray(truth).reshape(-1))
    n_subjects = n_images if subject is None else subject_codes(subject, n_images)[1]
    clustered = n_subjects < n_images
    method = "DeLong, logit" + (", clustered (Obuchowski 1997)" if clustered else "")
    if math.isnan(found.auc):
        reason = "one-class" if n_images else "no-rows"
        return Interval(math.nan, math.nan, math.nan, require_level(level), method, n_subjects, n_images, reason)
    low, high, reason = _area_bounds(found, require_level(level))
    if reason:
        method = (
            f"exact bound on {found.n_pairs} independent pairs"
            if found.auc in (0, 1)
            else "Wilson on Birnbaum-Klose variance bound"
        )
    return Interval(found.auc, low, high, level, method, n_subjects, n_images, reason)


def _area_bounds(found: DeLong, level: float) -> tuple[float, float, str]:
    area, variance, k = found.auc, found.variance, max(1, found.n_pairs)
    if variance > 1e-18 and 0 < area < 1:
        spread = student_quantile(level, found.degrees_of_freedom) * math.sqrt(variance) / (area * (1 - area))
        centre = math.log(area / (1 - area))
        return _logistic(centre - spread), _logistic(centre + spread), ""
    reason = "few-subjects" if math.isnan(variance) else "zero-variance"
    if area in (0, 1):
        return (*perfect_area_bounds(area, k, level=level), reason)
    return (*wilson(area, k, level=level), reason)


def wilson(rate: float, n: float, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate on ``n`` (possibly effective, so not whole) observations.

    Source: Wilson, J Am Stat Assoc 22 (1927) 209-212.
    """
    z = float(ndtri((1 + level) / 2))
    centre = rate + z * z / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low, high = (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
    return (0.0 if rate == 0 else max(0.0, low)), (1.0 if rate == 1 else min(1.0, high))


def effective_n(success: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95) -> float:
    """How many independent rows say as much about a rate as these, which belong to subjects.

    With m_i rows and x_i successes of subject i, p = sum x / sum m and k subjects, the variance of p is
    v = k / (k - 1) sum (x_i - p m_i)^2 / (sum m)^2 and the design effect is v / (p (1 - p) / n). The effective n is
    n / max(1, design effect), times (z / t)^2 with k - 1 degrees of freedom, so a lucky design effect below 1 never
    shrinks an interval. If p is 0 or 1 the design effect is unknown, and the number of subjects is returned.

    Source: Korn and Graubard, Survey Methodology 24 (1998) 193-201.
    """
    hits = np.asarray(success, dtype=bool).reshape(-1)
    codes, k = subject_codes(subject, len(hits))
    n = len(hits)
    if k in (0, n):
        return float(n)
    rate = float(hits.mean())
    if rate in (0.0, 1.0) or k < 2:
        return float(k)
    residual = np.bincount(codes, hits - rate, minlength=k)
    variance = k / (k - 1) * float((residual**2).sum()) / n**2
    design = max(1.0, variance / (rate * (1 - rate) / n))
    return n / design * (float(ndtri((1 + level) / 2)) / student_quantile(level, k - 1)) ** 2


def rate_interval(success: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95) -> Interval:
    """A share of successes with Wilson's interval on the effective n (`effective_n`).

    Args:
        success: bool [n], one row for each case that counts (for sensitivity: the positive ones).
        subject: [n], default one subject for each row.
        level: e.g. 0.95.

    All right, or all wrong, gives Wilson's bound on the number of subjects, with reason ``zero-variance``.

    Raises:
        InputRefused: lengths differ, or the level is not in (0, 1).

    Source: Wilson 1927; Korn and Graubard 1998.
    """
    hits = np.asarray(success, dtype=bool).reshape(-1)
    _, k = subject_codes(subject, len(hits))
    n = len(hits)
    require_level(level)
    method = "Wilson" if k == n else "Wilson on effective n (clustered)"
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level, method, 0, 0, "no-rows")
    rate = float(hits.mean())
    low, high = wilson(rate, effective_n(hits, subject=subject, level=level), level=level)
    return Interval(rate, low, high, level, method, k, n, "zero-variance" if rate in (0.0, 1.0) else "")


def mean_interval(
    values: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """The mean over rows with a t interval corrected for skewness, clustered by subject.

    With r_i the sum over subject i's rows of (value - mean), k subjects and n rows, the standard error is
    s = sqrt(k / (k - 1) sum r_i^2) / n and g = mean(r_i^3) / mean(r_i^2)^(3/2) the skewness. The interval is
    (mean - s h(t), mean - s h(-t)) with Student's t for k - 1 degrees of freedom and Hall's
    h(x) = 3 sqrt(k) / g [(1 + g (x / sqrt(k) - g / (6 k)))^(1/3) - 1], which is x for g = 0. It follows a long
    tail, such as a few failed cases among good ones, where percentiles and plain t intervals miss the mean too often
    and the studentised bootstrap breaks down. If all values are equal to c and ``bounds`` (a, b) of the quantity
    are given, the chance of that is P(value = c)^k, so with q = (alpha/2)^(1/k) the mean lies in
    [q c + (1 - q) a, q c + (1 - q) b].

    Args:
        values: [n].
        subject: [n], default one subject for each row.
        level: confidence level.
        bounds: the smallest and largest possible value, e.g. (0, 1) for Dice; the interval is cut to them.

    Raises:
        InputRefused: a value is not finite, lengths differ, or the level is not in (0, 1).

    Source: Hall, JRSS B 54 (1992) 221-228.
    """
    numbers = finite_values(values)
    codes, k = subject_codes(subject, len(numbers))
    value = float(numbers.mean()) if len(numbers) else math.nan
    method = "t corrected for skewness (Hall 1992)" + (", clustered" if k < len(numbers) else "")
    empty = Interval(value, math.nan, math.nan, require_level(level), method, k, len(numbers))
    if special := _special(numbers, empty, bounds):
        return special
    residual = summed(codes, numbers - value, k)
    square = float((residual**2).mean())
    if square <= 1e-30 * value**2:
        return replace(empty, reason="equal-values")  # the subjects' means are all equal
    error = k * math.sqrt(square / (k - 1)) / len(numbers)
    skewness = float((residual**3).mean()) / square**1.5
    t = student_quantile(level, k - 1)
    low, high = (value - error * _unskewed(x, skewness, k) for x in (t, -t))
    cut = (-math.inf, math.inf) if bounds is None else bounds
    return replace(empty, low=max(cut[0], low), high=min(cut[1], high))


def _unskewed(x: float, skewness: float, k: int) -> float:
    """Hall's inverse transformation h of a studentised mean."""
    if abs(skewness) < 1e-6:
        return x
    return 3 * math.sqrt(k) / skewness * (math.cbrt(1 + skewness * (x / math.sqrt(k) - skewness / (6 * k))) - 1)


def median_interval(
    values: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    level: float = 0.95,
    n_replicates: int = 2000,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """The median over rows (mean of the two middle ones for an even n) with a clustered percentile bootstrap.

    ``n_replicates`` draws come from ``seed``; the other arguments, refusals and equal values are as in
    `mean_interval`, percentiles as in `percentile_bounds`.
    """
    numbers = finite_values(values)
    codes, k = subject_codes(subject, len(numbers))
    value = float(np.median(numbers)) if len(numbers) else math.nan
    method = f"percentile bootstrap, clustered, {n_replicates} replicates"
    empty = Interval(value, math.nan, math.nan, require_level(level), method, k, len(numbers))
    if special := _special(numbers, empty, bounds):
        return special
    found = clustered_bootstrap({"it": Quantile(numbers)}, codes, n_replicates=n_replicates, seed=seed)
    low, high = percentile_bounds(found.draws("it"), k, level=level)
    if low == high:
        return replace(empty, reason="equal-values")
    return replace(empty, low=min(low, value), high=max(high, value))


def _special(values: Floats, empty: Interval, bounds: tuple[float, float] | None) -> Interval | None:
    """The interval of a mean or median where resampling says nothing: no rows, equal values, one subject."""
    if len(values) == 0:
        return replace(empty, reason="no-rows")
    if np.ptp(values) <= 1e-15 * abs(empty.value):
        if bounds is None:
            return replace(empty, reason="equal-values")
        share = ((1 - empty.level) / 2) ** (1 / empty.n_subjects)
        low, high = (share * empty.value + (1 - share) * bound for bound in bounds)
        method = f"exact bound on {empty.n_subjects} subjects"
        return replace(empty, low=low, high=high, method=method, reason="zero-variance")
    return replace(empty, reason="one-subject") if empty.n_subjects < 2 else None


def percentile_bounds(draws: Floats, n_subjects: int, *, level: float = 0.95) -> tuple[float, float]:
    """Expanded percentile bounds of bootstrap draws from ``n_subjects`` subjects; NaN draws are left out.

    Both are NaN if more than a tenth of the draws are. Source: Hesterberg 2015.
    """
    usable = draws[np.isfinite(draws)]
    if n_subjects < 2 or len(usable) < 0.9 * len(draws) or len(usable) == 0:
        return math.nan, math.nan
    tail = float(ndtr(-math.sqrt(n_subjects / (n_subjects - 1)) * student_quantile(level, n_subjects - 1)))
    low, high = np.quantile(usable, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_interval(
    found: Bootstrap,
    metric: str,
    group: str = "all",
    *,
    level: float = 0.95,
    basic: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """The interval of one statistic of `clustered_bootstrap` in one group.

    Percentiles as `percentile_bounds`. ``basic`` is for a statistic like ECE, a sum of absolute values, which chance
    and then resampling push upwards: with v the value and u the draws' upper percentile, the lower bound is
    sqrt(max(0, 2 v^2 - u^2)) (reflection of the squares, whose bias resampling repeats exactly) and the upper one
    u. Its coverage is above the level, most of all where the truth is near 0. Bounds are cut to ``bounds``.
    """
    column = found.groups.index(group)
    k, n = int(found.n_subjects[column]), int(found.n_images[column])
    value, draws = found.value(metric, group), found.draws(metric, group)
    method = f"{'reflected-square' if basic else 'percentile'} bootstrap, clustered, {len(draws)} replicates"
    require_level(level)
    if math.isnan(value):
        return Interval(math.nan, math.nan, math.nan, level, method, k, n, "one-class" if n else "no-rows")
    low, high = percentile_bounds(draws, k, level=level)
    if basic and not math.isnan(high):
        low = math.sqrt(max(0.0, 2 * value**2 - high**2))
    if math.isnan(low):
        return Interval(value, math.nan, math.nan, level, method, k, n, "one-subject" if k < 2 else "few-replicates")
    if high - low <= 1e-12 * max(1.0, abs(value)):
        return Interval(value, math.nan, math.nan, level, method, k, n, "equal-values")
    low, high = (float(np.clip(bound, *bounds)) for bound in (low, high))
    return Interval(value, low, high, level, method, k, n)


def gap_interval(
    found: Bootstrap,
    metric: str,
    groups: Sequence[str],
    *,
    level: float = 0.95,
    marginal: Mapping[str, Interval] | None = None,
) -> Interval:
    """The gap of a statistic: its maximum minus its minimum over groups, with a simultaneous interval.

    Max - min of noisy values is above 0 even if all groups are alike, so percentiles of the gap itself would never
    include 0. Instead all pairwise differences d get simultaneous intervals d +- q s, with s the bootstrap's standard
    error of d and q the quantile of the largest |d* - d| / s over pairs, widened to Student's t for the smallest
    group; the gap then lies between the largest lower and the largest upper bound. ``p`` tests *all groups are alike*.

    Args:
        found: replicates of all groups, from one call.
        metric: the statistic.
        groups: those that count (n at least the minimum).
        level: e.g. 0.95.
        marginal: intervals of single groups; where the draws of a group do not vary (all right), its standard error
            is taken from its marginal interval's half width.

    Returns:
        ``value`` the gap; ``low`` at least 0. NaN with reason ``few-groups`` if fewer than two groups have a value.

    Source: max-|t| simultaneous intervals: Westfall and Young, Resampling-based Multiple Testing (1993), chapter 2;
    Mandel and Betensky, Comput Stat Data Anal 52 (2008) 2158-2165.
    """
    require_level(level)
    row = found.metrics.index(metric)
    columns = [found.groups.index(g) for g in groups if np.isfinite(found.value(metric, g))]
    k = min(found.n_drawn, int(found.n_subjects[columns].sum()))  # a subject may be in several groups
    n = int(found.n_images[columns].sum())
    method = f"max - min, simultaneous clustered bootstrap (max |t|), {len(found.replicates)} replicates"
    if len(columns) < 2:
        return Interval(math.nan, math.nan, math.nan, level, method, k, n, "few-groups")
    values = found.values[row, columns]
    draws = found.replicates[:, row, columns]
    draws = draws[np.isfinite(draws).all(axis=1)]
    gap = float(values.max() - values.min())
    if len(draws) < 0.9 * len(found.replicates):
        return Interval(gap, math.nan, math.nan, level, method, k, n, "few-replicates")
    extra = _missing_variance(draws, [found.groups[c] for c in columns], marginal, level)
    first, second = np.triu_indices(len(columns), 1)
    difference = values[first] - values[second]
    drawn = draws[:, first] - draws[:, second]
    error = np.sqrt(drawn.var(axis=0, ddof=1) + extra[first] + extra[second])
    if (error == 0).any():
        return Interval(gap, math.nan, math.nan, level, method, k, n, "equal-values")
    smallest = max(2, int(found.n_subjects[columns].min()))
    small = student_quantile(level, smallest - 1) / float(ndtri((1 + level) / 2)) * math.sqrt(smallest / (smallest - 1))
    largest = small * (np.abs(drawn - difference) / error).max(axis=1)
    q = max(float(np.quantile(largest, level)), float(ndtri((1 + level) / 2)))
    low = float(np.max(np.abs(difference) - q * error))
    high = float(np.max(np.abs(difference) + q * error))
    p = (1 + np.count_nonzero(largest >= np.max(np.abs(difference) / error))) / (1 + len(largest))
    return Interval(gap, max(0.0, low), high, level, method, k, n, "zero-variance" if extra.any() else "", float(p))


def _missing_variance(
    draws: Floats, groups: Sequence[str], marginal: Mapping[str, Interval] | None, level: float
) -> Floats:
    """Variance of each group whose draws do not vary, from its marginal interval; 0 for the others."""
    extra = np.zeros(len(groups))
    for i in map(int, np.flatnonzero(np.ptp(draws, axis=0) <= 1e-12)):
        own = (marginal or {}).get(groups[i])
        if own is not None and math.isfinite(own.high - own.low):
            extra[i] = (max(own.high - own.value, own.value - own.low) / float(ndtri((1 + level) / 2))) ** 2
    return extra


def student_quantile(level: float, freedom: float) -> float:
    """The two-sided quantile of Student's t."""
    return float(stdtrit(freedom, (1 + level) / 2))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
