"""What run-length, zone and dependence matrices share: numbers of one shape (IBSI 1, 3.7 to 3.11)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def emphasis_features(counts: Floats, n_voxels: Floats, lengths: NDArray[Any] | None = None) -> dict[str, Floats]:
    """Features of count matrices [n, level, length], each an array [n], under neutral names.

    ``length`` stands for run length, zone size, zone distance or number of dependences; column 0 is length 1,
    unless ``lengths`` says what the columns are.

    Args:
        counts: matrices, at least one count in each.
        n_voxels: voxels that each matrix was counted over (for the percentage).
        lengths: of the columns, where not 1, 2, 3 and so on.
    """
    total = counts.sum(axis=(1, 2))
    by_level, by_length = counts.sum(axis=2), counts.sum(axis=1)
    i = np.arange(1, counts.shape[1] + 1, dtype=np.float64)
    j = (np.arange(1, counts.shape[2] + 1) if lengths is None else lengths).astype(np.float64)
    p = counts / total[:, None, None]
    level_p, length_p = by_level / total[:, None], by_length / total[:, None]
    level_mean, length_mean = level_p @ i, length_p @ j

    def weighted(of_level: Floats, of_length: Floats) -> Floats:
        return np.asarray(np.einsum("nij,i,j->n", p, of_level, of_length))

    return {
        "short": length_p @ j**-2,
        "long": length_p @ j**2,
        "low": level_p @ i**-2,
        "high": level_p @ i**2,
        "short_low": weighted(i**-2, j**-2),
        "short_high": weighted(i**2, j**-2),
        "long_low": weighted(i**-2, j**2),
        "long_high": weighted(i**2, j**2),
        "level_non_uniformity": (by_level**2).sum(axis=1) / total,
        "level_non_uniformity_normalised": (level_p**2).sum(axis=1),
        "length_non_uniformity": (by_length**2).sum(axis=1) / total,
        "length_non_uniformity_normalised": (length_p**2).sum(axis=1),
        "percentage": total / n_voxels,
        "level_variance": level_p @ i**2 - level_mean**2,
        "length_variance": length_p @ j**2 - length_mean**2,
        "entropy": -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=(1, 2)),
        "energy": (p**2).sum(axis=(1, 2)),
    }
