"""The largest distances between vertices of a region's mesh, in one compiled walk over the region.

Vertices are the middles between a voxel and its neighbour outside. In a plane across an axis only the corners of their
outline can be ends of a diameter, of the plane's as of the region's.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fiducial.features.radiomics.solids import longest_distance, outermost, outline

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]


def diameters(mask: Mask, spacing_mm: tuple[float, ...]) -> tuple[float, float, float, float]:
    """Of a mask [x, y, z], in mm: in one plane across x, across y and across z, and in all."""
    in_plane = []
    for axis in range(3):
        # The axis across the planes comes first.
        order = [axis, *(other for other in range(3) if other != axis)]
        turned = np.ascontiguousarray(mask.transpose(order))
        corners, longest = corners_by_plane(turned, spacing_mm[order[1]], spacing_mm[order[2]])
        in_plane.append(longest)
    # The last planes were across z.
    corners = outermost(outermost(corners[:, [1, 2, 0]], 0), 1)
    x, y, z = in_plane
    return x, y, z, longest_distance(corners * (np.array(spacing_mm) / 2))


def diameter_in_slice(mask: Mask, spacing_mm: tuple[float, float]) -> float:
    """Of a mask [x, y] of one slice."""
    # Planes between slices hold voxel centres alone, which reach less far.
    return float(corners_by_plane(np.ascontiguousarray(mask[None]), *spacing_mm)[1])


@njit(cache=True, nogil=True)
def corners_by_plane(mask: Mask, mm_u: float, mm_v: float) -> tuple[Whole, float]:
    """Corners [n, 3] of the outline of the vertices in each plane across the first axis, and the largest distance.

    Places are counted in half voxels from the first voxel's outer face on: 1 is the first voxel's centre. Planes run
    through voxel centres, and between them.
    """
    n, n_u, n_v = mask.shape
    found, n_found, longest = np.empty((4 * (n + 1) * (2 * n_u + 1), 3), dtype=np.int64), 0, 0.0
    low, high = np.empty(2 * n_u + 1, dtype=np.int64), np.empty(2 * n_u + 1, dtype=np.int64)
    points = np.empty((2 * (2 * n_u + 1), 2))
    for plane in range(2 * n + 1):
        low[:], high[:] = 2 * n_v + 1, -1
        if plane % 2 == 1:
            _ends_in(mask[plane // 2], low, high)
        else:
            _ends_between(mask, plane // 2, low, high)
        k = 0
        for u in range(2 * n_u + 1):
            if high[u] >= 0:
                points[k, 0], points[k, 1] = u, low[u]
                k += 1
            if high[u] > low[u]:
                points[k, 0], points[k, 1] = u, high[u]
                k += 1
        corners = outline(points[:k])
        for i in range(len(corners)):
            u, v = points[corners[i], 0], points[corners[i], 1]
            found[n_found, 0], found[n_found, 1], found[n_found, 2] = plane, int(u), int(v)
            n_found += 1
            for j in range(i):
                a, b = (u - points[corners[j], 0]) / 2 * mm_u, (v - points[corners[j], 1]) / 2 * mm_v
                longest = max(longest, a * a + b * b)
    return found[:n_found].copy(), np.sqrt(longest)


@njit(cache=True, nogil=True)
def _ends_in(slice_: Mask, low: Whole, high: Whole) -> None:
    """The first and the last vertex of each line along v, by their place along u, in a plane of voxel centres."""
    n_u, n_v = slice_.shape
    for v in range(n_v):
        first, last = -1, -1
        for u in range(n_u):
            if slice_[u, v]:
                first = u if first < 0 else first
                last = u
                low[2 * u + 1], high[2 * u + 1] = min(low[2 * u + 1], 2 * v), 2 * v + 2
        if first >= 0:
            for u in (2 * first, 2 * last + 2):
                low[u], high[u] = min(low[u], 2 * v + 1), max(high[u], 2 * v + 1)


@njit(cache=True, nogil=True)
def _ends_between(mask: Mask, place: int, low: Whole, high: Whole) -> None:
    """And in the plane before a slice, whose vertices lie where the slices on both sides differ."""
    n, n_u, n_v = mask.shape
    for u in range(n_u):
        for v in range(n_v):
            before, after = place > 0 and mask[place - 1, u, v], place < n and mask[place, u, v]
            if before != after:
                low[2 * u + 1], high[2 * u + 1] = min(low[2 * u + 1], 2 * v + 1), 2 * v + 1
