"""Does a figure rise or fall with time? Straight-line trends, clustered by patient."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from fiducial.maths.delong import components
from fiducial.maths.inputs import (
    Bools,
    Floats,
    Integers,
    finite_values,
    require_level,
    same_length,
    subject_codes,
    summed,
)
from fiducial.maths.intervals import Interval, student_quantile


def mean_trend(
    values: ArrayLike, time: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """The least-squares slope of values (Dice, or right = 1 and wrong = 0) on time, by patient.

    The variance sums residual times centred time within a subject (sandwich) with the factor k / (k - 1); Student's t
    on k - 1 degrees of freedom. ``p`` tests a slope of 0. NaN bounds with reason ``one-subject`` or ``equal-values``
    (no spread of time, or of values); NaN value with ``no-rows``.

    Args:
        values: [n].
        time: [n], in the unit that the slope is per.
        subject: [n], default one subject for each row.
        level: confidence level.

    Raises:
        InputRefused: a value is not finite, lengths differ, or the level is not in (0, 1).

    Source: Liang and Zeger, Biometrika 73 (1986) 13-22.
    """
    y, t = finite_values(values), finite_values(time, name="time")
    same_length(y, t, names=("values", "time"))
    codes, k = subject_codes(subject, len(y))
    slope, influence = _slope(y, t)
    method = "least squares on time, sandwich" + (", clustered" if k < len(y) else "")
    return _interval(slope, influence, codes, k, replace(_EMPTY, level=require_level(level), method=method))


def auc_trend(
    truth: ArrayLike,
    score: ArrayLike,
    time: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """How much the AUC changes per unit of time.

    The AUC at a time is the chance that its positive cases rank above negative ones plus what its negative cases add:
    the slope of the positives' placements (share of all negatives below them) on time plus that of the negatives'
    (share of all positives above them). If all scores move together the two cancel. Clusters, test and reasons as
    `mean_trend`; ``one-class`` where a class is absent.

    Args:
        truth: 0/1 [n].
        score: [n], larger means more likely positive.
        time: [n].
        subject: [n], default one subject for each row.
        level: confidence level.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a value is not finite, lengths differ, or the level is not in (0, 1).

    Source: placements as in DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; their regression on a
    covariate: Dodd and Pepe, J Am Stat Assoc 98 (2003) 409-417.
    """
    parts = components(truth, score, subject=subject)
    t = finite_values(time, name="time")
    same_length(parts.labels, t, names=("truth", "time"))
    method = "placements on time, sandwich" + (", clustered" if parts.n_subjects < len(t) else "")
    empty = replace(_EMPTY, level=require_level(level), method=method)
    if len(t) and (parts.labels.all() or not parts.labels.any()):
        return replace(empty, n_subjects=parts.n_subjects, n_images=len(t), reason="one-class")
    slope, influence = 0.0, np.zeros(len(t))
    for of_class in (parts.labels, ~parts.labels):
        own, part = _slope(parts.placement[of_class], t[of_class])
        slope += own
        influence[of_class] = part
    return _interval(slope, influence, parts.codes, parts.n_subjects, empty)


_EMPTY = Interval(math.nan, math.nan, math.nan, 0.95, "", 0, 0)


def _slope(y: Floats, t: Floats) -> tuple[float, Floats]:
    """Slope and each row's part in its error; NaN where time does not vary."""
    if len(y) == 0:
        return math.nan, np.zeros(0)
    apart = t - t.mean()
    whole = float((apart**2).sum())
    if whole <= 1e-12:
        return math.nan, np.zeros(len(y))
    slope = float((apart * y).sum()) / whole
    residual = y - y.mean() - slope * apart
    return slope, apart * residual / whole


def _interval(slope: float, influence: Floats, codes: Integers, k: int, empty: Interval) -> Interval:
    n = len(influence)
    said = replace(empty, value=slope, n_subjects=k, n_images=n)
    if n == 0 or k < 2:
        return replace(said, reason="no-rows" if n == 0 else "one-subject")
    error = math.sqrt(k / (k - 1) * float((summed(codes, influence, k) ** 2).sum()))
    if not error > 0 or math.isnan(slope):
        return replace(said, reason="equal-values")
    spread = student_quantile(empty.level, k - 1) * error
    p = 2 * float(stdtr(k - 1, -abs(slope) / error))
    return replace(said, low=slope - spread, high=slope + spread, p=p)


def time_bins(time: ArrayLike, *, width: float, most: int) -> tuple[Integers, Bools]:
    """Which bin each time falls into: of ``width`` from the first, or ``most`` of equal number where there were more.

    Args:
        time: [n].
        width: of a bin, in the time's unit, such as 3 months.
        most: bins.

    Returns:
        Bin numbers [n] from 0 in order of time, and for each bin whether it holds a row (always true at both ends).
    """
    t = finite_values(time, name="time")
    if len(t) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    first = np.floor(t.min() / width) * width
    place = np.floor((t - first) / width + 1e-9).astype(np.int64)
    if place.max() >= most:
        edges = np.unique(np.quantile(t, np.arange(1, most) / most, method="inverted_cdf"))
        place = np.searchsorted(edges, t, side="left").astype(np.int64)
    filled = np.bincount(place) > 0
    return place, filled
