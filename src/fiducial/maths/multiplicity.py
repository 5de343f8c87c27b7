"""Several tests at once: p values that hold for the whole family."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Floats


def holm(p: ArrayLike) -> Floats:
    """P values adjusted by Holm's step-down rule; the family-wise error is held under any dependence.

    Sorted upwards, the i-th of m becomes max over j <= i of min(1, (m - j + 1) p_j).

    Args:
        p: p values [m]; NaN means *not tested*, stays NaN and does not count in m.

    Raises:
        InputRefused: a value lies outside [0, 1].

    Source: Holm, Scand J Statist 6 (1979) 65-70.
    """
    values = np.asarray(p, dtype=np.float64)
    tested = np.isfinite(values)
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise InputRefused(f"p values {values.tolist()}", legal="between 0 and 1, or NaN where nothing was tested")
    adjusted = np.full(values.shape, np.nan)
    given = values[tested]
    order = np.argsort(given, kind="stable")
    steps = np.minimum(1.0, given[order] * np.arange(len(given), 0, -1))
    stepped = np.empty_like(given)
    stepped[order] = np.maximum.accumulate(steps) if len(steps) else steps
    adjusted[tested] = stepped
    return adjusted


def jointly_adjusted(
    p: ArrayLike, parts: ArrayLike, *, weight: ArrayLike | None = None, n_draws: int = 10_000, seed: int = 0
) -> Floats:
    """P values adjusted for a family of score tests of the same patients; where tests overlap it asks less than Holm.

    Each test is a sum over patients of the columns of ``parts``, so under the null the standardised sums are about
    normal with the correlation of those columns. With p*_j the p values of draws from that normal distribution and
    weights w_j, the adjusted value is, in the order of p_j / w_j, the chance that the smallest p*_i / w_i of the tests
    that are still left is at most p_j / w_j (step-down). Any weights fixed beforehand hold the family-wise error.

    Args:
        p: p values [m]; NaN means *not tested*, stays NaN and does not count.
        parts: each patient's part in each test's sum [n_patients, m]; a column of zeros is a test without variation.
        weight: how much a test counts [m], above 0, default all alike.
        n_draws: of the normal distribution; the smallest adjusted value is 1 / (n_draws + 1).
        seed: of the draws.

    Raises:
        InputRefused: a value lies outside [0, 1], a weight is not above 0, or the shapes do not fit.

    Source: Westfall and Young, Resampling-Based Multiple Testing (1993), chapter 2; joint normal null: Hothorn, Bretz
    and Westfall, Biom J 50 (2008) 346-363; weights: Genovese, Roeder and Wasserman, Biometrika 93 (2006) 509-524.
    """
    values, sums = np.asarray(p, dtype=np.float64).reshape(-1), np.asarray(parts, dtype=np.float64)
    weights = np.ones_like(values) if weight is None else np.asarray(weight, dtype=np.float64).reshape(-1)
    tested = np.isfinite(values)
    if ((values[tested] < 0) | (values[tested] > 1)).any() or not (weights > 0).all():
        raise InputRefused(f"p values {values.tolist()}", legal="between 0 and 1, or NaN; weights above 0")
    if sums.ndim != 2 or sums.shape[1] != len(values) or len(weights) != len(values):
        raise InputRefused(f"parts of shape {sums.shape} for {len(values)} tests", legal="one column for each test")
    adjusted = np.full(values.shape, np.nan)
    if not tested.any():
        return adjusted
    sums, asked = sums[:, tested], values[tested] / weights[tested]
    length = np.sqrt((sums**2).sum(axis=0))
    unit = np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)
    size, axes = np.linalg.eigh(unit.T @ unit)
    root = axes * np.sqrt(np.maximum(size, 0.0))
    drawn = np.random.default_rng(seed).standard_normal((n_draws, len(asked))) @ root.T
    least = 2 * ndtr(-np.abs(drawn)) / weights[tested]
    order = np.argsort(asked, kind="stable")
    left = np.minimum.accumulate(least[:, order[::-1]], axis=1)[:, ::-1]  # the smallest of those not yet rejected
    steps = (1 + (left <= asked[order]).sum(axis=0)) / (1 + n_draws)
    stepped = np.empty_like(asked)
    stepped[order] = np.maximum.accumulate(steps)
    adjusted[tested] = np.maximum(stepped, values[tested])
    return adjusted
