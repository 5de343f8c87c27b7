"""Compiled formulas of intensities and dense matrices: one walk gives all their numbers (IBSI 1, 3.3, 3.6 to 3.11)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
COARSEST = 1e6
"""Coarseness where no voxel differs from its neighbours (IBSI 1, 3.10.1)."""


@njit(cache=True, nogil=True)
def emphasis_table(counts: Floats, n_voxels: Floats, lengths: Floats) -> Floats:
    """The features `orders.EMPHASIS` of count matrices [n, level, length], as [feature, n].

    Args:
        counts: matrices, at least one count in each.
        n_voxels: voxels that each matrix was counted over [n].
        lengths: of the columns.
    """
    n, k, n_lengths = counts.shape
    out = np.zeros((17, n))
    by_length = np.empty(n_lengths)
    for m in range(n):
        by_length[:] = 0.0
        total = 0.0
        for i in range(k):
            for j in range(n_lengths):
                total += counts[m, i, j]
        for i in range(k):
            level, of_level = float(i + 1), 0.0
            for j in range(n_lengths):
                count = counts[m, i, j]
                if count == 0:
                    continue
                p, length = count / total, lengths[j]
                of_level += count
                by_length[j] += count
                level_2, length_2 = level * level, length * length
                out[4, m] += p / (level_2 * length_2)
                out[5, m] += p * level_2 / length_2
                out[6, m] += p * length_2 / level_2
                out[7, m] += p * level_2 * length_2
                out[15, m] -= p * np.log2(p)
                out[16, m] += p * p
            p = of_level / total
            out[2, m] += p / (level * level)
            out[3, m] += p * level * level
            out[8, m] += of_level * of_level / total
            out[9, m] += p * p
            out[13, m] += p * level
        for j in range(n_lengths):
            p, length = by_length[j] / total, lengths[j]
            out[0, m] += p / (length * length)
            out[1, m] += p * length * length
            out[10, m] += by_length[j] * p
            out[11, m] += p * p
            out[14, m] += p * length
        out[12, m] = total / n_voxels[m]
        out[13, m] = out[3, m] - out[13, m] ** 2
        out[14, m] = out[1, m] - out[14, m] ** 2
    return out


@njit(cache=True, nogil=True)
def glcm_table(counts: Floats) -> Floats:
    """The features `orders.GLCM` of co-occurrence matrices [n, level, level], as [feature, n]."""
    n, k, _ = counts.shape
    out = np.zeros((25, n))
    for m in range(n):
        single, apart, together = np.zeros(k), np.zeros(k), np.zeros(2 * k + 1)
        total = 0.0
        for i in range(k):
            for j in range(k):
                total += counts[m, i, j]
        joint = 0.0
        for i in range(k):
            for j in range(k):
                p = counts[m, i, j] / total
                if p == 0:
                    continue
                single[i] += p
                apart[abs(i - j)] += p
                together[i + j + 2] += p
                joint -= p * np.log2(p)
                out[0, m] = max(out[0, m], p)
                out[10, m] += p * p
                out[19, m] += p * (i + 1) * (j + 1)
        mean, squares, alone = 0.0, 0.0, 0.0
        for i in range(k):
            p = single[i]
            mean += p * (i + 1)
            squares += p * (i + 1) ** 2
            alone -= p * np.log2(p) if p > 0 else 0.0
        for i in range(k):
            out[2, m] += single[i] * (i + 1 - mean) ** 2
        variance = squares - mean**2
        out[1, m], out[3, m] = mean, joint
        out[18, m] = (out[19, m] - mean**2) / variance if variance > 1e-12 else 1.0
        out[23, m] = (joint - 2 * alone) / alone if alone > 1e-12 else 0.0
        out[24, m] = np.sqrt(max(1 - np.exp(-2 * (2 * alone - joint)), 0.0))
        _of_differences(apart, out[:, m])
        _of_sums(together, mean, out[:, m])
    return out


@njit(cache=True, nogil=True)
def _of_differences(apart: Floats, out: Floats) -> None:
    """Those of `glcm_table` that are of |i - j|, from its probabilities."""
    k = len(apart)
    for d in range(k):
        p = apart[d]
        if p == 0:
            continue
        out[4] += p * d
        out[6] -= p * np.log2(p)
        out[11] += p * d * d
        out[13] += p / (1 + d)
        out[14] += p / (1 + d / k)
        out[15] += p / (1 + d * d)
        out[16] += p / (1 + (d / k) ** 2)
        out[17] += p / (d * d) if d > 0 else 0.0
    out[5] = out[11] - out[4] ** 2
    out[12] = out[4]


@njit(cache=True, nogil=True)
def _of_sums(together: Floats, mean: float, out: Floats) -> None:
    """Those of `glcm_table` that are of i + j, from its probabilities."""
    for s in range(len(together)):
        p = together[s]
        if p > 0:
            out[7] += p * s
            out[9] -= p * np.log2(p)
    for s in range(len(together)):
        p = together[s]
        if p > 0:
            from_mean, from_twice = s - out[7], s - 2 * mean
            out[8] += p * from_mean**2
            out[20] += p * from_twice**2
            out[21] += p * from_twice**3
            out[22] += p * from_twice**4


@njit(cache=True, nogil=True)
def spread_of(
    sorted_values: Floats, n: int, low: float, high: float
) -> tuple[float, float, float, float, float, float]:
    """Of the first n values: mean, second to fourth central moment, mean absolute deviation, and that of some alone.

    Those are the values from ``low`` to ``high``, about their own mean; NaN where there are none.
    """
    mean, kept, n_kept = 0.0, 0.0, 0
    for i in range(n):
        mean += sorted_values[i]
        if low <= sorted_values[i] <= high:
            kept += sorted_values[i]
            n_kept += 1
    mean /= n
    kept = kept / n_kept if n_kept > 0 else np.nan
    second, third, fourth, absolute, robust = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        apart = sorted_values[i] - mean
        square = apart * apart
        second += square
        third += square * apart
        fourth += square * square
        absolute += abs(apart)
        if low <= sorted_values[i] <= high:
            robust += abs(sorted_values[i] - kept)
    return mean, second / n, third / n, fourth / n, absolute / n, robust / n_kept if n_kept > 0 else np.nan


@njit(cache=True, nogil=True)
def statistics_of(sorted_values: Floats, n: int, out: Floats) -> None:
    """The features `STATISTICS` of the first n values, which are sorted."""
    p10, q1 = sorted_values[(10 * n + 99) // 100 - 1], sorted_values[(25 * n + 99) // 100 - 1]
    median = sorted_values[(50 * n + 99) // 100 - 1]
    q3, p90 = sorted_values[(75 * n + 99) // 100 - 1], sorted_values[(90 * n + 99) // 100 - 1]
    mean, variance, third, fourth, absolute, robust = spread_of(sorted_values, n, p10, p90)
    energy, from_median = 0.0, 0.0
    for i in range(n):
        energy += sorted_values[i] ** 2
        from_median += abs(sorted_values[i] - median)
    out[0], out[1] = mean, variance
    out[2] = third / variance**1.5 if variance**2 > 0 else 0.0
    out[3] = fourth / variance**2 - 3 if variance**2 > 0 else 0.0
    out[4], out[5], out[6], out[7], out[8] = median, sorted_values[0], p10, p90, sorted_values[n - 1]
    out[9], out[10] = q3 - q1, sorted_values[n - 1] - sorted_values[0]
    out[11], out[12], out[13] = absolute, robust, from_median / n
    out[14] = variance**0.5 / mean if mean != 0 else np.nan
    out[15] = (q3 - q1) / (q3 + q1) if q3 + q1 != 0 else np.nan
    if len(out) > 16:
        out[16], out[17] = energy, (energy / n) ** 0.5


@njit(cache=True, nogil=True)
def ngtdm_of(counts: Whole, sums: Floats, values: Floats, out: Floats) -> None:
    """The features `NGTDM` of voxels with neighbours [k] and sums of differences [k]; nothing where there are none."""
    k, total, n_there = len(values), 0, 0
    weighted, all_sums = 0.0, 0.0
    for a in range(k):
        total += counts[a]
        n_there += counts[a] > 0
    if total == 0:
        return
    for a in range(k):
        weighted += counts[a] / total * sums[a]
        all_sums += sums[a]
    contrast, busy, complexity, strength = 0.0, 0.0, 0.0, 0.0
    for a in range(k):
        if counts[a] == 0:
            continue
        p, i = counts[a] / total, values[a]
        for b in range(a + 1, k):
            if counts[b] == 0:
                continue
            q, j = counts[b] / total, values[b]
            contrast += 2 * p * q * (i - j) ** 2
            busy += 2 * abs(i * p - j * q)
            complexity += 2 * abs(i - j) * (p * sums[a] + q * sums[b]) / (p + q)
            strength += 2 * (p + q) * (i - j) ** 2
    out[0] = 1 / weighted if weighted > 0 else COARSEST
    out[1] = contrast / (n_there * (n_there - 1)) * all_sums / total if n_there > 1 else 0.0
    out[2] = weighted / busy if n_there > 1 and busy > 0 else 0.0
    out[3] = complexity / total
    out[4] = strength / all_sums if all_sums > 0 else 0.0


def warm_up_formulas() -> None:
    """Compile these loops, or load them from the cache on disk."""
    counts, one = np.ones((1, 1, 1)), np.ones(1)
    statistics_of(one, 1, np.zeros(18))
    ngtdm_of(np.ones(1, dtype=np.int64), one, one, np.zeros(5))
    emphasis_table(counts, one, one)
    glcm_table(counts)
