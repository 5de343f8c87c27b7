"""How far a mask extends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def longest_in_plane_mm(mask: NDArray[np.bool_], steps_mm: NDArray[np.float64]) -> tuple[float, int]:
    """The longest distance between two voxels of one slice, and the slice that holds it.

    Args:
        mask: bool [x, y, z].
        steps_mm: [3, 2], the steps of one x and one y in mm (columns of an affine).

    Returns:
        The distance between the two voxel centres in mm (0 for a single voxel), and z. NaN and -1 for an empty mask.

    The pair is found among the corners of each slice's convex hull. It is what a reader measures as the long axis on
    axial slices, from centre to centre.
    """
    best, where = np.nan, -1
    for z in np.flatnonzero(mask.any(axis=(0, 1))):
        points = np.argwhere(mask[:, :, z]) @ steps_mm.T
        longest = _diameter(points)
        if not best >= longest:
            best, where = longest, int(z)
    return float(best), where


def _diameter(points: NDArray[np.float64]) -> float:
    """The largest distance between points [n, 3] of one plane."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    # Coordinates in the plane itself: a hull needs as many dimensions as the points span.
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred.T @ centred)
    flat: NDArray[np.float64] = centred @ axes[:2].T
    if len(flat) > 3:
        try:
            hull: Any = ConvexHull(flat)
            flat = flat[hull.vertices]
        except QhullError:
            # On one line: its two ends are as far as any.
            ends = flat[:, 0].argmin(), flat[:, 0].argmax()
            flat = flat[list(ends)]
    return float(pdist(flat).max(initial=0.0))
