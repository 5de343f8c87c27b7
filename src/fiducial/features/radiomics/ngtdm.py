"""Neighbourhood grey tone difference features (IBSI 1, 3.10): how a level differs from what surrounds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.orders import NGTDM

Floats = NDArray[np.float64]


def ngtdm_features(differences: Floats) -> dict[str, Floats]:
    """Features of tone differences [n, level, 3] (voxels with neighbours, sum of differences, all voxels), arrays [n].

    Contrast and busyness are 0 where the region has one level; strength is 0 where no voxel differs.
    """
    return dict(zip(NGTDM, ngtdm_table(differences), strict=True))


def ngtdm_table(differences: Floats) -> Floats:
    """The features `orders.NGTDM` as [feature, n]."""
    from fiducial.features.radiomics.matrix_formulas import ngtdm_of

    levels = np.arange(1, differences.shape[1] + 1, dtype=np.float64)
    table = np.zeros((len(differences), len(NGTDM)))
    for matrix, found in zip(differences, table, strict=True):
        ngtdm_of(matrix[:, 0].astype(np.int64), np.ascontiguousarray(matrix[:, 1]), levels, found)
    return np.ascontiguousarray(table.T)
