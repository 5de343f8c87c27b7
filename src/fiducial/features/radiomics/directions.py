"""The directions in which neighbours are counted, and how their matrices are put together."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


def directions(dimension: int, distance: int = 1) -> NDArray[np.int64]:
    """One of each pair of opposite directions at a Chebyshev distance: 4 in a slice, 13 in a volume (at distance 1)."""
    return _directions(dimension, distance).copy()


@cache
def _directions(dimension: int, distance: int) -> NDArray[np.int64]:
    reach = np.arange(-distance, distance + 1)
    reach_z = reach if dimension == 3 else np.array([0])
    steps = np.array([(x, y, z) for z in reach_z for y in reach for x in reach], dtype=np.int64)
    steps = steps[np.abs(steps).max(axis=1) == distance]
    first = [tuple(step[::-1]) > (0, 0, 0) for step in steps]
    return np.ascontiguousarray(steps[first])


def merged(counts: NDArray[np.float64], aggregation: str) -> NDArray[np.float64]:
    """Matrices [n, ...] of which features are computed and then averaged, from [slice, direction, ...].

    ``2d_averaged`` every slice and direction, ``2d_merged`` a slice's directions together, ``2.5d_averaged`` a
    direction's slices together, ``2.5d_merged`` and ``3d_merged`` all together, ``3d_averaged`` every direction.
    Matrices without any count are left out.
    """
    if aggregation in ("2d_averaged", "3d_averaged"):
        matrices = counts.reshape(-1, *counts.shape[2:])
    elif aggregation == "2d_merged":
        matrices = counts.sum(axis=1)
    elif aggregation == "2.5d_averaged":
        matrices = counts.sum(axis=0)
    else:
        matrices = counts.sum(axis=(0, 1))[None]
    filled = matrices.reshape(len(matrices), -1).sum(axis=1) > 0
    return np.asarray(matrices[filled])
