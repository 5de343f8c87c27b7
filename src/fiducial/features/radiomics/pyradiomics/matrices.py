"""What PyRadiomics counts and the standard does not: one-way pairs, neighbours at chosen distances, Haralick's MCC."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Levels = NDArray[np.int32]
Steps = NDArray[np.int64]
EPSILON = float(np.spacing(1.0))
"""What PyRadiomics adds to denominators; it counts beside the product of two small probabilities."""


def one_way(levels: Levels, steps: Steps, n_levels: int) -> Floats:
    """Co-occurrence counts [direction, level, level at the end of the step], not symmetric."""
    counts = np.zeros((len(steps), n_levels, n_levels))
    for direction, step in enumerate(steps):
        here, there = _pairs(levels, step)
        both = (here > 0) & (there > 0)
        np.add.at(counts[direction], (here[both] - 1, there[both] - 1), 1)
    return counts


def around(levels: Levels, steps: Steps, alike: int) -> tuple[tuple[Steps, Floats], Floats]:
    """`tones_of` and dependence counts [1, level, n - 1] of neighbours at the given steps alone."""
    n_levels = int(levels.max())
    total, n_near, n_alike = (np.zeros(levels.shape, dtype=np.int64) for _ in range(3))
    for step in steps:
        here, there = _pairs(levels, step)
        both = (here > 0) & (there > 0)
        place = _slices(levels.shape, step)[0]
        total[place] += np.where(both, there, 0)
        n_near[place] += both
        n_alike[place] += both & (np.abs(here - there) <= alike)
    inside = levels > 0
    level, near = levels[inside] - 1, n_near[inside]
    apart = np.where(near > 0, np.abs(levels[inside] - total[inside] / np.maximum(near, 1)), 0.0)
    n_voxels = np.bincount(level, minlength=n_levels).astype(np.int64)
    differences = np.bincount(level, weights=apart, minlength=n_levels).astype(np.float64)
    dependences = np.zeros((1, n_levels, len(steps) + 1))
    np.add.at(dependences[0], (level, n_alike[inside]), 1)
    return (n_voxels, differences), dependences


@njit(cache=True, nogil=True)
def tones_of(by_neighbours: Steps) -> tuple[Steps, Floats]:
    """What NGTDM is of, from the differences [level, n, 2] of `kernels.neighbourhoods`.

    Voxels of each level, and the sum of their differences from the mean of their neighbours; one without neighbours
    differs by 0, and counts.
    """
    n_levels, n_near, _ = by_neighbours.shape
    n_voxels, differences = np.zeros(n_levels, dtype=np.int64), np.zeros(n_levels)
    for level in range(n_levels):
        for near in range(n_near):
            n_voxels[level] += by_neighbours[level, near, 0]
            differences[level] += by_neighbours[level, near, 1] / max(near, 1)
    return n_voxels, differences


@njit(cache=True, nogil=True)
def several_in_a_line(levels: Levels, step: Steps) -> bool:
    """Whether two voxels of the region lie on one line along a step of at most one voxel, at whatever distance."""
    n_x, n_y, n_z = levels.shape
    for x in range(n_x):
        for y in range(n_y):
            for z in range(n_z):
                if levels[x, y, z] == 0:
                    continue
                a, b, c = x + step[0], y + step[1], z + step[2]
                while 0 <= a < n_x and 0 <= b < n_y and 0 <= c < n_z:
                    if levels[a, b, c] > 0:
                        return True
                    a, b, c = a + step[0], b + step[1], c + step[2]
    return False


def maximal_correlation(counts: Floats) -> Floats:
    """Haralick's maximal correlation coefficient of matrices [n, level, level]; 1 where the region has one level.

    The root of the second eigenvalue of Q(i, j) = Σ_k p(i, k) p(j, k) / (p_x(i) p_y(k) + ε), which is, to the first
    order of ε, the second singular value of p(i, k) / √(p_x(i) p_y(k) + ε). Those of a symmetric matrix are the
    absolute values of its eigenvalues.
    """
    p = counts / counts.sum(axis=(1, 2), keepdims=True)
    rows, columns = p.sum(axis=2), p.sum(axis=1)
    occurs = np.flatnonzero((rows + columns).any(axis=0))
    if len(occurs) == 1:
        return np.ones(len(p))
    p, rows, columns = p[:, occurs[:, None], occurs], rows[:, occurs], columns[:, occurs]
    balanced = p / np.sqrt(rows[:, :, None] * columns[:, None, :] + EPSILON)
    if np.array_equal(p, p.transpose(0, 2, 1)):
        return np.asarray(np.sort(np.abs(np.linalg.eigvalsh(balanced)), axis=1)[:, -2])
    return np.asarray(np.linalg.svd(balanced, compute_uv=False)[:, 1])


def of_one_way(counts: Floats) -> dict[str, Floats]:
    """The co-occurrence features that depend on both margins, of matrices that are not symmetric."""
    p = counts / counts.sum(axis=(1, 2), keepdims=True)
    i = np.arange(1, p.shape[1] + 1, dtype=np.float64)
    px, py = p.sum(axis=2), p.sum(axis=1)
    mean_x, mean_y = px @ i, py @ i
    apart_x, apart_y = i[None, :] - mean_x[:, None], i[None, :] - mean_y[:, None]
    spread = np.sqrt((px * apart_x**2).sum(axis=1) * (py * apart_y**2).sum(axis=1))
    together = apart_x[:, :, None] + apart_y[:, None, :]
    joint, product = _bits(p), px[:, :, None] * py[:, None, :]
    crossed = -(p * np.log2(np.where(product > 0, product, 1.0))).sum(axis=(1, 2))
    largest = np.maximum(_bits(px), _bits(py))
    covariance = np.einsum("nij,ni,nj->n", p, apart_x, apart_y)
    return {
        "cluster_tendency": (p * together**2).sum(axis=(1, 2)),
        "cluster_shade": (p * together**3).sum(axis=(1, 2)),
        "cluster_prominence": (p * together**4).sum(axis=(1, 2)),
        "correlation": np.where(spread > 1e-12, covariance / np.where(spread > 1e-12, spread, 1.0), 1.0),
        "information_correlation_1": np.where(
            largest > 1e-12, (joint - crossed) / np.where(largest > 1e-12, largest, 1.0), 0.0
        ),
        "information_correlation_2": np.sqrt(np.clip(1 - np.exp(-2 * (_bits(product) - joint)), 0, None)),
    }


def _bits(p: Floats) -> Floats:
    """Entropy of each of the probabilities [n, ...]."""
    return np.asarray(-(p * np.log2(np.where(p > 0, p, 1.0))).reshape(len(p), -1).sum(axis=1))


def _pairs(levels: Levels, step: Steps) -> tuple[Levels, Levels]:
    """Levels at the beginning and at the end of a step, wherever both lie in the array."""
    begin, end = _slices(levels.shape, step)
    return levels[begin], levels[end]


def _slices(shape: tuple[int, ...], step: Steps) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    begin = tuple(slice(max(-int(d), 0), max(n - max(int(d), 0), 0)) for n, d in zip(shape, step, strict=True))
    end = tuple(slice(max(int(d), 0), max(n - max(-int(d), 0), 0)) for n, d in zip(shape, step, strict=True))
    return begin, end
