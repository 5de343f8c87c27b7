"""What run-length, zone and dependence matrices share: numbers of one shape (IBSI 1, 3.7 to 3.11)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.orders import EMPHASIS

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
    from fiducial.features.radiomics.matrix_formulas import emphasis_table

    known = np.arange(1, counts.shape[2] + 1) if lengths is None else lengths
    table = emphasis_table(
        np.ascontiguousarray(counts, dtype=np.float64),
        np.ascontiguousarray(n_voxels, dtype=np.float64),
        np.ascontiguousarray(known, dtype=np.float64),
    )
    return dict(zip(EMPHASIS, table, strict=True))
