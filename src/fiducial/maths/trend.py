"""Does a figure rise or fall with time? Straight-line trends, clustered by patient."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from fiducial.maths.delong import components
from fiducial.maths.inputs import (
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

    The variance is the jackknife over subjects, (k - 1) / k sum (b_i - mean b)^2 with b_i the slope without subject i,
    which does not shrink where few subjects carry the slope; Student's t on k - 1 degrees of freedom. ``p`` tests a
    slope of 0. NaN bounds with reason ``one-subject`` or ``equal-values``
    (no spread of time, or of values); NaN value with ``no-rows``.

    Args:
        values: [n].
        time: [n], in the unit that the slope is per.
        subject: [n], default one subject for each row.
        level: confidence level.

    Raises:
        InputRefused: a value is not finite, lengths differ, or the level is not in (0, 1).

    Source: Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982); for clusters: Bell and McCaffrey,
    Survey Methodology 28 (2002) 169-181.
    """
    y, t = finite_values(values), finite_values(time, name="time")
    same_length(y, t, names=("values", "time"))
    codes, k = subject_codes(subject, len(y))
    method = "least squares on time, jackknife" + (", clustered" if k < len(y) else "")
    empty = replace(_EMPTY, level=require_level(level), method=method, n_subjects=k, n_images=len(y))
    slope, without = _slopes(y, t, codes, k)
    return _interval(slope, without, k, empty)


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
    method = "placements on time, jackknife" + (", clustered" if parts.n_subjects < len(t) else "")
    k = parts.n_subjects
    empty = replace(_EMPTY, level=require_level(level), method=method, n_subjects=k, n_images=len(t))
    if len(t) and (parts.labels.all() or not parts.labels.any()):
        return replace(empty, reason="one-class")
    slope, without = 0.0, np.zeros(k)
    fewest = k
    for of_class in (parts.labels, ~parts.labels):
        codes = parts.codes[of_class]
        own, left = _slopes(parts.placement[of_class], t[of_class], codes, k)
        slope, without = slope + own, without + left
        fewest = min(fewest, len(np.unique(codes)))
    return _interval(slope, without, fewest, empty)


_EMPTY = Interval(math.nan, math.nan, math.nan, 0.95, "", 0, 0)


def _slopes(y: Floats, t: Floats, codes: Integers, k: int) -> tuple[float, Floats]:
    """The slope, and the slope without each subject in turn [k]; NaN where time does not vary."""
    if len(y) == 0:
        return math.nan, np.full(k, np.nan)
    apart, rest = t - t.mean(), y - y.mean()
    columns = np.stack([np.ones_like(t), apart, rest, apart**2, apart * rest], axis=1)
    of_subject = np.stack([summed(codes, column, k) for column in columns.T], axis=1)
    whole = of_subject.sum(axis=0)
    return float(_slope_of(whole[None])[0]), _slope_of(whole - of_subject)


def _slope_of(sums: Floats) -> Floats:
    """Least-squares slopes from sums of 1, t, y, t^2 and t y [..., 5]."""
    n, t, y, square, product = np.moveaxis(sums, -1, 0)
    spread = n * square - t**2
    slope = np.divide(n * product - t * y, spread, out=np.full(np.shape(n), np.nan), where=spread > 1e-9)
    return np.asarray(slope, dtype=np.float64)


def _interval(slope: float, without: Floats, fewest: int, empty: Interval) -> Interval:
    """The interval from the jackknife, with as many degrees of freedom as the smaller class has subjects, less one."""
    k, said = len(without), replace(empty, value=slope)
    if empty.n_images == 0 or k < 2:
        return replace(said, reason="no-rows" if empty.n_images == 0 else "one-subject")
    error = math.sqrt((k - 1) / k * float(((without - without.mean()) ** 2).sum()))
    if not error > 1e-12 or fewest < 2:  # no spread of time or of values, or one subject holds all of the spread
        return replace(said, reason="equal-values" if fewest > 1 else "one-subject")
    spread = student_quantile(empty.level, fewest - 1) * error
    p = 2 * float(stdtr(fewest - 1, -abs(slope) / error))
    return replace(said, low=slope - spread, high=slope + spread, p=p)


def time_bins(time: ArrayLike, *, width: float, most: int) -> Integers:
    """Which bin each time falls into: of ``width`` from the first, or ``most`` of equal number where there were more.

    Args:
        time: [n].
        width: of a bin, in the time's unit, such as 3 months.
        most: bins.

    Returns:
        Numbers [n] that rise with time; equal in one bin.
    """
    t = finite_values(time, name="time")
    if len(t) == 0:
        return np.zeros(0, dtype=np.int64)
    first = np.floor(t.min() / width) * width
    place = np.floor((t - first) / width + 1e-9).astype(np.int64)
    if len(np.unique(place)) > most:
        edges = np.unique(np.quantile(t, np.arange(1, most) / most, method="inverted_cdf"))
        place = np.searchsorted(edges, t, side="left").astype(np.int64)
    return np.asarray(place)
