"""Compiled formulas of the features of small neighbourhoods, for maps.

A neighbourhood is a cube of some tens of voxels, so its matrices are nearly empty: they are kept as lists of the cells
that occur, over the few levels that occur (ranks 0 ... k - 1, with their levels in ``values``). Counts are whole
numbers, and their logarithms come from a table. The formulas are those of `glcm`, `emphasis`, `ngtdm` and
`intensities`, to which the tests compare every map.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@njit(cache=True, nogil=True)
def histogram_of(counts: Whole, n: int, mean: float, logs: Floats, out: Floats) -> None:
    """The last seven features of `HISTOGRAM`, of counts [n_levels] of n voxels."""
    n_levels = len(counts)
    most, nearest, mode = 0, np.inf, 0
    entropy, uniformity = 0.0, 0.0
    steepest, least = -np.inf, np.inf
    for i in range(n_levels):
        c = counts[i]
        if c > most or (c == most and abs(i + 1 - mean) < nearest):
            most, nearest, mode = c, abs(i + 1 - mean), i + 1
        if c > 0:
            entropy -= c / n * (logs[c] - logs[n])
            uniformity += (c / n) ** 2
        low, high = max(i - 1, 0), min(i + 1, n_levels - 1)
        slope = (counts[high] - counts[low]) / (high - low) if n_levels > 1 else 0.0
        if slope > steepest:
            steepest, out[4] = slope, i + 1
        if slope < least:
            least, out[6] = slope, i + 1
    out[0], out[1], out[2], out[3], out[5] = mode, entropy, uniformity, steepest, least


@njit(cache=True, nogil=True)
def emphasis_of(cells: Whole, n_cells: int, values: Floats, n_voxels: int, logs: Floats, out: Floats) -> None:
    """Add the features `EMPHASIS` of a matrix in cells (rank, length, count), one for each pair that occurs."""
    k, longest, total = len(values), 0, 0
    for c in range(n_cells):
        longest = max(longest, cells[c, 1])
        total += cells[c, 2]
    by_level, by_length = np.zeros(k), np.zeros(longest + 1)
    entropy, energy = 0.0, 0.0
    s_low, s_high, l_low, l_high = 0.0, 0.0, 0.0, 0.0
    for c in range(n_cells):
        i, j, count = values[cells[c, 0]], cells[c, 1], cells[c, 2]
        by_level[cells[c, 0]] += count
        by_length[j] += count
        i2, j2 = i * i, float(j * j)
        s_low += count / (i2 * j2)
        s_high += count * i2 / j2
        l_low += count * j2 / i2
        l_high += count * i2 * j2
        entropy -= count * (logs[count] - logs[total])
        energy += float(count * count)
    low, high, level_mean, level_squares = 0.0, 0.0, 0.0, 0.0
    for r in range(k):
        n, i = by_level[r], values[r]
        low += n / (i * i)
        high += n * i * i
        level_mean += n * i
        level_squares += n * n
    short, long, length_mean, length_squares = 0.0, 0.0, 0.0, 0.0
    for j in range(1, longest + 1):
        n = by_length[j]
        short += n / (j * j)
        long += n * j * j
        length_mean += n * j
        length_squares += n * n
    level_mean, length_mean = level_mean / total, length_mean / total
    found = (short, long, low, high, s_low, s_high, l_low, l_high)
    for f in range(8):
        out[f] += found[f] / total
    out[8] += level_squares / total
    out[9] += level_squares / total**2
    out[10] += length_squares / total
    out[11] += length_squares / total**2
    out[12] += total / n_voxels
    out[13] += high / total - level_mean**2
    out[14] += long / total - length_mean**2
    out[15] += entropy / total
    out[16] += energy / total**2


@njit(cache=True, nogil=True)
def glcm_of(
    cells: Whole, n_cells: int, values: Floats, apart: Whole, together: Whole, logs: Floats, out: Floats
) -> None:
    """Add the features `GLCM` of a matrix in cells (rank i, rank j >= i, pairs), each pair in one order.

    ``apart`` [n_levels] and ``together`` [2 n_levels + 1] are zeros, and are so again.
    """
    k = len(values)
    total = 0
    for c in range(n_cells):
        total += 2 * cells[c, 2]
    single = np.zeros(k, dtype=np.int64)
    most, joint, energy, auto = 0, 0.0, 0.0, 0.0
    for c in range(n_cells):
        a, b, count = cells[c, 0], cells[c, 1], cells[c, 2]
        i, j = values[a], values[b]
        single[a] += count
        single[b] += count
        apart[int(j - i)] += 2 * count
        together[int(i + j)] += 2 * count
        both = 2 * count if a == b else count
        most = max(most, both)
        joint -= 2 * count * (logs[both] - logs[total])
        energy += 2.0 * count * both
        auto += 2 * count * i * j
    mean, squares, alone = 0.0, 0.0, 0.0
    for r in range(k):
        n = single[r]
        if n > 0:
            mean += n * values[r]
            squares += n * values[r] * values[r]
            alone -= n * (logs[n] - logs[total])
    mean, squares, alone, joint, auto = mean / total, squares / total, alone / total, joint / total, auto / total
    spread = 0.0
    for r in range(k):
        spread += single[r] * (values[r] - mean) ** 2
    out[0] += most / total
    out[1] += mean
    out[2] += spread / total
    out[3] += joint
    out[10] += energy / total**2
    variance = squares - mean**2
    out[18] += (auto - mean**2) / variance if variance > 1e-12 else 1.0
    out[19] += auto
    out[23] += (joint - 2 * alone) / alone if alone > 1e-12 else 0.0
    out[24] += np.sqrt(max(1 - np.exp(-2 * (2 * alone - joint)), 0.0))
    _of_differences(cells, n_cells, values, apart, total, logs, out)
    _of_sums(cells, n_cells, values, together, mean, logs, out)


@njit(cache=True, nogil=True)
def _of_differences(
    cells: Whole, n_cells: int, values: Floats, apart: Whole, total: int, logs: Floats, out: Floats
) -> None:
    """Those of `glcm_of` that are of |i - j|, from its counts; each is taken once."""
    n_levels = len(apart)
    first, second, entropy, inverse_variance = 0.0, 0.0, 0.0, 0.0
    inverse, normal, moment, normal_moment = 0.0, 0.0, 0.0, 0.0
    for c in range(n_cells):
        d = int(values[cells[c, 1]] - values[cells[c, 0]])
        n = apart[d]
        if n > 0:
            apart[d] = 0
            first += n * d
            second += n * d * d
            entropy -= n * (logs[n] - logs[total])
            inverse += n / (1 + d)
            normal += n / (1 + d / n_levels)
            moment += n / (1 + d * d)
            normal_moment += n / (1 + (d / n_levels) ** 2)
            if d > 0:
                inverse_variance += n / (d * d)
    first, second = first / total, second / total
    out[4] += first
    out[5] += second - first**2
    out[6] += entropy / total
    out[11] += second
    out[12] += first
    out[13] += inverse / total
    out[14] += normal / total
    out[15] += moment / total
    out[16] += normal_moment / total
    out[17] += inverse_variance / total


@njit(cache=True, nogil=True)
def _of_sums(
    cells: Whole, n_cells: int, values: Floats, together: Whole, mean: float, logs: Floats, out: Floats
) -> None:
    """Those of `glcm_of` that are of i + j, from its counts; each is taken once."""
    sum_mean = 2 * mean  # rows and columns have one mean
    total = 0
    for c in range(n_cells):
        total += 2 * cells[c, 2]
    second, third, fourth, entropy = 0.0, 0.0, 0.0, 0.0
    for c in range(n_cells):
        s = int(values[cells[c, 1]] + values[cells[c, 0]])
        n = together[s]
        if n > 0:
            together[s] = 0
            entropy -= n * (logs[n] - logs[total])
            d = s - sum_mean
            second += n * d * d
            third += n * d * d * d
            fourth += n * d * d * d * d
    out[7] += sum_mean
    out[8] += second / total
    out[9] += entropy / total
    out[20] += second / total
    out[21] += third / total
    out[22] += fourth / total
