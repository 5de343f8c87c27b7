"""Grey level co-occurrence features (IBSI 1, 3.6): 25 numbers of how often levels lie beside each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def glcm_features(counts: Floats) -> dict[str, Floats]:
    """Features of co-occurrence matrices [n, level, level], each an array [n], by IBSI name.

    Levels are 1 ... n_levels. Entropies are in bits. Correlation is 1 where all voxels have one level (IBSI 1, 3.6.19
    leaves it open), the first information correlation 0 there.
    """
    p = counts / counts.sum(axis=(1, 2), keepdims=True)
    n_levels = p.shape[1]
    i = np.arange(1, n_levels + 1, dtype=np.float64)
    px = p.sum(axis=2)
    mean = px @ i
    variance = px @ i**2 - mean**2
    apart, together = _diagonals(p)
    k_apart, k_together = np.arange(n_levels, dtype=np.float64), np.arange(2, 2 * n_levels + 1, dtype=np.float64)
    apart_mean, sum_mean = apart @ k_apart, together @ k_together
    auto = np.einsum("nij,i,j->n", p, i, i)
    moments = {power: _central(together, k_together, 2 * mean, power) for power in (2, 3, 4)}
    return {
        "joint_maximum": p.max(axis=(1, 2)),
        "joint_average": mean,
        "joint_variance": np.einsum("nij,ni->n", p, (i[None, :] - mean[:, None]) ** 2),
        "joint_entropy": _entropy(p.reshape(len(p), -1)),
        "difference_average": apart_mean,
        "difference_variance": apart @ k_apart**2 - apart_mean**2,
        "difference_entropy": _entropy(apart),
        "sum_average": sum_mean,
        "sum_variance": _central(together, k_together, sum_mean, 2),
        "sum_entropy": _entropy(together),
        "angular_second_moment": (p**2).sum(axis=(1, 2)),
        "contrast": apart @ k_apart**2,
        "dissimilarity": apart_mean,
        "inverse_difference": apart @ (1 / (1 + k_apart)),
        "normalised_inverse_difference": apart @ (1 / (1 + k_apart / n_levels)),
        "inverse_difference_moment": apart @ (1 / (1 + k_apart**2)),
        "normalised_inverse_difference_moment": apart @ (1 / (1 + (k_apart / n_levels) ** 2)),
        "inverse_variance": apart[:, 1:] @ (1 / k_apart[1:] ** 2),
        "correlation": np.where(variance > 1e-12, (auto - mean**2) / np.where(variance > 1e-12, variance, 1.0), 1.0),
        "autocorrelation": auto,
        "cluster_tendency": moments[2],
        "cluster_shade": moments[3],
        "cluster_prominence": moments[4],
        **_information(p, px),
    }


def _diagonals(p: Floats) -> tuple[Floats, Floats]:
    """Probabilities of |i - j| = 0 ... n - 1 and of i + j = 2 ... 2 n."""
    n, n_levels, _ = p.shape
    index = np.arange(n_levels)
    difference = np.abs(index[:, None] - index[None, :]).ravel()
    total = (index[:, None] + index[None, :]).ravel()
    flat = p.reshape(n, -1)
    apart = np.zeros((n, n_levels))
    together = np.zeros((n, 2 * n_levels - 1))
    for k, one in enumerate(flat):
        apart[k] = np.bincount(difference, weights=one, minlength=n_levels)
        together[k] = np.bincount(total, weights=one, minlength=2 * n_levels - 1)
    return apart, together


def _central(probability: Floats, values: Floats, centre: Floats, power: int) -> Floats:
    """Central moment of each row about its own centre."""
    return np.asarray((probability * (values[None, :] - centre[:, None]) ** power).sum(axis=1))


def _entropy(p: Floats) -> Floats:
    """Entropy in bits of each row."""
    return np.asarray(-(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=1))


def _information(p: Floats, px: Floats) -> dict[str, Floats]:
    """The two measures of information correlation (the matrix is symmetric: HX = HY, HXY1 = HXY2 = 2 HX)."""
    joint, single = _entropy(p.reshape(len(p), -1)), _entropy(px)
    product = 2 * single
    first = np.where(single > 1e-12, (joint - product) / np.where(single > 1e-12, single, 1.0), 0.0)
    return {
        "information_correlation_1": first,
        "information_correlation_2": np.sqrt(np.clip(1 - np.exp(-2 * (product - joint)), 0, None)),
    }
