"""Grey level co-occurrence features (IBSI 1, 3.6): 25 numbers of how often levels lie beside each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.orders import GLCM

Floats = NDArray[np.float64]


def glcm_features(counts: Floats) -> dict[str, Floats]:
    """Features of co-occurrence matrices [n, level, level], each an array [n], by IBSI name.

    Levels are 1 ... n_levels. Entropies are in bits. Correlation is 1 where all voxels have one level (IBSI 1, 3.6.19
    leaves it open), the first information correlation 0 there.
    """
    from fiducial.features.radiomics.matrix_formulas import glcm_table

    return dict(zip(GLCM, glcm_table(np.ascontiguousarray(counts, dtype=np.float64)), strict=True))
