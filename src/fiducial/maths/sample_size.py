"""How many patients does the next validation need, for an interval that is narrow enough to say something?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, ndtri

from fiducial.errors import InputRefused
from fiducial.maths.inputs import finite_values, require_level
from fiducial.maths.intervals import wilson

MOST = 10_000_000
"""Patients; where more were needed, the answer is infinity."""


def auc_standard_error(auc: float, *, n_positive: float, n_negative: float) -> float:
    """The standard error of an area under the ROC curve that is expected in a sample.

    sqrt((A (1 - A) + (m - 1)(Q1 - A^2) + (n - 1)(Q2 - A^2)) / (m n)), with Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A), m
    positive and n negative cases.

    Source: Hanley and McNeil, Radiology 143 (1982) 29-36.
    """
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (n_positive - 1) * (first - auc**2) + (n_negative - 1) * (second - auc**2)
    return math.sqrt(max(0.0, spread) / (n_positive * n_negative))


def n_for_auc(auc: float, *, prevalence: float, half_width: float, level: float = 0.95) -> float:
    """Patients for an interval of AUC that is ``half_width`` to each side; infinity if nobody could need so many.

    Raises:
        InputRefused: AUC outside (0, 1), prevalence outside (0, 1), or a half width that is not positive.

    Source: `auc_standard_error`; planning by it: Obuchowski, Stat Methods Med Res 7 (1998) 371-392.
    """
    _require(auc=auc, prevalence=prevalence)
    z = _z(half_width, level)

    def wide(n: float) -> bool:
        error = auc_standard_error(auc, n_positive=max(1.0, n * prevalence), n_negative=max(1.0, n * (1 - prevalence)))
        return z * error > half_width

    return _smallest(wide)


def n_for_rate(rate: float, *, share: float = 1.0, half_width: float, level: float = 0.95) -> float:
    """Patients for Wilson's interval of a rate that is 2 ``half_width`` wide, where a ``share`` of patients counts.

    For sensitivity the share is the prevalence, for specificity what is left of it.

    Raises:
        InputRefused: the rate is outside [0, 1], the share outside (0, 1], or the half width is not positive.

    Source: Wilson, J Am Stat Assoc 22 (1927) 209-212.
    """
    if not 0 <= rate <= 1 or not 0 < share <= 1:
        raise InputRefused(f"rate {rate}, share {share}", legal="a rate in [0, 1], a share in (0, 1]")
    _z(half_width, level)

    def wide(n: float) -> bool:
        low, high = wilson(rate, n, level=level)
        return high - low > 2 * half_width

    counted = _smallest(wide)
    return math.ceil(counted / share - 1e-9) if math.isfinite(counted) else counted


def n_for_calibration_slope(predicted_logit: ArrayLike, *, standard_error: float) -> float:
    """Patients for a calibration slope with this standard error, from the linear predictors that patients will have.

    With p = sigmoid(x) and the averages a = mean p(1 - p), b = mean x p(1 - p), c = mean x^2 p(1 - p) over patients,
    n = a / (SE^2 (a c - b^2)). Infinity where all predictors are equal.

    Args:
        predicted_logit: logit of each predicted probability [n], as calibrated as they will be.
        standard_error: wanted; 0.1 gives an interval of about 0.4.

    Raises:
        InputRefused: a value is not finite, or the standard error is not positive.

    Source: Riley et al., Stat Med 40 (2021) 4230-4251 (calibration slope).
    """
    x = finite_values(predicted_logit, name="logit")
    if not standard_error > 0:
        raise InputRefused(f"standard error {standard_error}", legal="above 0")
    weight = expit(x) * (1 - expit(x))
    a, b, c = (float((weight * x**power).mean()) for power in range(3))
    determinant = a * c - b * b
    if determinant <= 1e-12:
        return math.inf
    return float(math.ceil(a / (standard_error**2 * determinant)))


def n_for_observed_expected(prevalence: float, *, standard_error: float) -> float:
    """Patients for the log of observed over expected events with this standard error: (1 - phi) / (phi SE^2).

    Raises:
        InputRefused: prevalence outside (0, 1), or a standard error that is not positive.

    Source: Riley et al. 2021 (observed/expected statistic).
    """
    _require(prevalence=prevalence)
    if not standard_error > 0:
        raise InputRefused(f"standard error {standard_error}", legal="above 0")
    return float(math.ceil((1 - prevalence) / (prevalence * standard_error**2)))


def n_for_mean(standard_deviation: float, *, half_width: float, level: float = 0.95) -> float:
    """Patients for the mean of one value each, within ``half_width``: (z s / h)^2.

    Raises:
        InputRefused: a half width that is not positive, or a negative deviation.
    """
    if not standard_deviation >= 0:
        raise InputRefused(f"standard deviation {standard_deviation}", legal="0 or more")
    return float(math.ceil((_z(half_width, level) * standard_deviation / half_width) ** 2 - 1e-9))


def n_to_decide(n: int, *, value: float, end: float, bound: float) -> float:
    """Patients until an interval leaves a bound out, if the value stays and its ends close in as 1 / sqrt(n).

    n ((value - end) / (value - bound))^2, with ``end`` the end of the interval on the bound's side. Infinity where
    value and bound are equal: no number of patients decides that.

    Raises:
        InputRefused: ``n`` is below 1.
    """
    if n < 1:
        raise InputRefused(f"{n} patients", legal="1 or more")
    if value == bound:
        return math.inf
    needed = n * ((value - end) / (value - bound)) ** 2
    return float(math.ceil(needed)) if needed <= MOST else math.inf


def _smallest(wide: Callable[[float], bool]) -> float:
    """The smallest whole number at which an interval is no longer too wide; it narrows as the number grows."""
    high = 2
    while wide(high):
        high *= 2
        if high > MOST:
            return math.inf
    low = high // 2
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return float(high)


def _z(half_width: float, level: float) -> float:
    if not half_width > 0:
        raise InputRefused(f"half width {half_width}", legal="above 0")
    return float(ndtri((1 + require_level(level)) / 2))


def _require(**shares: float) -> None:
    if not all(0 < value < 1 for value in shares.values()):
        given = ", ".join(f"{name} {value}" for name, value in shares.items())
        raise InputRefused(given, legal="each between 0 and 1")


def design_effect(observed_error: float, planned_error: float) -> float:
    """How much larger the observed variance is than the one planned with, at least 1; 1 where one is unknown."""
    if not (np.isfinite(observed_error) and planned_error > 0):
        return 1.0
    return max(1.0, (observed_error / planned_error) ** 2)
