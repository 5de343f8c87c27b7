"""Neighbourhood grey tone difference features (IBSI 1, 3.10): how a level differs from what surrounds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
COARSEST = 1e6
"""Coarseness where no voxel differs from its neighbours (IBSI 1, 3.10.1)."""


def ngtdm_features(differences: Floats) -> dict[str, Floats]:
    """Features of tone differences [n, level, 3] (voxels with neighbours, sum of differences, all voxels), arrays [n].

    Contrast and busyness are 0 where the region has one level; strength is 0 where no voxel differs.
    """
    results = [_one(matrix[:, 0], matrix[:, 1]) for matrix in differences]
    return {name: np.array([one[name] for one in results]) for name in results[0]} if results else {}


def _one(n: Floats, s: Floats) -> dict[str, float]:
    total = n.sum()
    p = n / total
    i = np.arange(1, len(n) + 1, dtype=np.float64)
    there = p > 0
    p, s, i = p[there], s[there], i[there]
    n_levels, weighted = len(p), float(p @ s)
    apart = np.abs(i[:, None] - i[None, :])
    contrast = 0.0
    if n_levels > 1:
        contrast = float((p[:, None] * p[None, :] * apart**2).sum() / (n_levels * (n_levels - 1)) * s.sum() / total)
    busy = float(np.abs(i[:, None] * p[:, None] - i[None, :] * p[None, :]).sum())
    mixed = (p * s)[:, None] + (p * s)[None, :]
    both = p[:, None] + p[None, :]
    return {
        "coarseness": 1 / weighted if weighted > 0 else COARSEST,
        "contrast": contrast,
        "busyness": weighted / busy if n_levels > 1 and busy > 0 else 0.0,
        "complexity": float((apart * mixed / both).sum() / total),
        "strength": float((both * apart**2).sum() / s.sum()) if s.sum() > 0 else 0.0,
    }
