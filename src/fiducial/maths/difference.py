"""The difference of two figures: from independent samples, or paired on the same cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from fiducial.errors import InputRefused
from fiducial.maths.delong import delong_difference
from fiducial.maths.inputs import finite_values, require_level, same_length, subject_codes, summed
from fiducial.maths.intervals import Interval, student_quantile


def independent_difference(first: Interval, second: Interval) -> Interval:
    """``first`` minus ``second``, where nobody is in both samples, by squaring and adding.

    With values a, b and bounds l, u of each, the difference d = a - b lies in
    [d - sqrt((a - l_a)^2 + (u_b - b)^2), d + sqrt((u_a - a)^2 + (b - l_b)^2)]. For two rates with Wilson's intervals
    this is Newcombe's method 10. NaN bounds, with the reason of the interval that lacks them, if one has none.

    Raises:
        InputRefused: the two intervals have different levels.

    Source: Newcombe, Stat Med 17 (1998) 873-890; Zou and Donner, Stat Med 27 (2008) 1693-1702.
    """
    if first.level != second.level:
        raise InputRefused(f"levels {first.level} and {second.level}", legal="equal levels")
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    method = f"difference of independent intervals (square-and-add): {first.method}"
    n_subjects, n_images = first.n_subjects + second.n_subjects, first.n_images + second.n_images
    lacking = next((part.reason for part in (first, second) if math.isnan(part.low + part.high)), "")
    return Interval(value, value - down, value + up, first.level, method, n_subjects, n_images, lacking)


def paired_difference_interval(
    first: ArrayLike, second: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """The mean of ``first`` minus ``second`` on the same rows, clustered by subject, by Student's t.

    With d_i the sum of the differences of subject i less m_i times their mean, the variance is
    k / (k - 1) sum d_i^2 / n^2, with k - 1 degrees of freedom. All differences equal gives NaN bounds with reason
    ``equal-values``. ``p`` tests a mean difference of 0.

    Args:
        first: [n].
        second: [n].
        subject: [n], default one subject for each row.
        level: confidence level.

    Raises:
        InputRefused: a value is not finite, lengths differ, or the level is not in (0, 1).
    """
    a, b = finite_values(first, name="first value"), finite_values(second, name="second value")
    same_length(a, b, names=("the first", "the second"))
    require_level(level)
    codes, k = subject_codes(subject, len(a))
    n, method = len(a), "paired t, clustered" if subject is not None else "paired t"
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level, method, 0, 0, "no-rows")
    difference = a - b
    value = float(difference.mean())
    if k < 2 or np.ptp(difference) <= 1e-15:
        return Interval(value, math.nan, math.nan, level, method, k, n, "one-subject" if k < 2 else "equal-values")
    residual = summed(codes, difference - value, k)
    error = math.sqrt(k / (k - 1) * float((residual**2).sum())) / n
    return _symmetric(value, error, k - 1, Interval(value, math.nan, math.nan, level, method, k, n))


def auc_difference_interval(
    truth: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """AUC of ``score_a`` minus AUC of ``score_b`` on the same rows, by DeLong, clustered after Obuchowski.

    NaN bounds with reason ``equal-values`` where both rank every pair alike. ``p`` tests equal areas.

    Raises:
        LabelError, InputRefused: as `auc_interval`.
    """
    found = delong_difference(truth, score_a, score_b, subject=subject)
    n = len(np.asarray(truth).reshape(-1))
    k = n if subject is None else subject_codes(subject, n)[1]
    method = "paired DeLong" + (", clustered (Obuchowski 1997)" if k < n else "")
    empty = Interval(found.auc, math.nan, math.nan, require_level(level), method, k, n)
    if math.isnan(found.auc):
        return replace(empty, reason="one-class" if n else "no-rows")
    if math.isnan(found.variance):
        return replace(empty, reason="few-subjects")
    if found.variance <= 1e-18:
        return replace(empty, reason="equal-values")
    return _symmetric(found.auc, math.sqrt(found.variance), found.degrees_of_freedom, empty)


def _symmetric(value: float, error: float, freedom: float, empty: Interval) -> Interval:
    spread = student_quantile(empty.level, freedom) * error
    return replace(empty, low=value - spread, high=value + spread, p=2 * float(stdtr(freedom, -abs(value) / error)))
