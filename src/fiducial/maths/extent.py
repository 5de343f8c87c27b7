"""How far a mask extends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Voxel = tuple[int, int]


@dataclass(frozen=True)
class LongAxis:
    """The longest distance between two voxels of one slice: its length in mm, the slice, and both ends (x, y)."""

    mm: float
    z: int
    ends: tuple[Voxel, Voxel]


def long_axis(mask: NDArray[np.bool_], steps_mm: NDArray[np.float64]) -> LongAxis | None:
    """The longest distance between two voxel centres of one slice; None for an empty mask.

    Args:
        mask: bool [x, y, z].
        steps_mm: [3, 2], the steps of one x and one y in mm (columns of an affine).

    The pair is found among the corners of each slice's convex hull. It is what a reader measures as the long axis on
    axial slices, from centre to centre: 0 mm for a single voxel. The first of equally long ones counts.
    """
    best: LongAxis | None = None
    for z in np.flatnonzero(mask.any(axis=(0, 1))):
        voxels = np.argwhere(mask[:, :, z])
        one, other = _furthest(voxels @ steps_mm.T)
        length = float(np.linalg.norm((voxels[one] - voxels[other]) @ steps_mm.T))
        if best is None or length > best.mm:
            ends = tuple((int(x), int(y)) for x, y in voxels[[one, other]])
            best = LongAxis(length, int(z), (ends[0], ends[1]))
    return best


def _furthest(points: NDArray[np.float64]) -> tuple[int, int]:
    """Which two points [n, 3] of one plane are furthest apart; 0 and 0 for one point."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import cdist

    # Coordinates in the plane itself: a hull needs as many dimensions as the points span.
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred.T @ centred)
    flat: NDArray[np.float64] = centred @ axes[:2].T
    among = np.arange(len(flat))
    if len(flat) > 3:
        try:
            hull: Any = ConvexHull(flat)
            among = hull.vertices
        except QhullError:
            # On one line: its two ends are as far as any.
            among = np.array([flat[:, 0].argmin(), flat[:, 0].argmax()])
    apart = cdist(flat[among], flat[among])
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    return int(among[one]), int(among[other])
