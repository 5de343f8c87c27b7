"""Polygons to voxels and back: the even-odd rule at voxel centres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fill_even_odd(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Voxels [x, y] whose centre lies inside an odd number of closed polygons.

    Args:
        polygons: each [n, 2], corners in voxel indices (x, y); voxel (i, j) has its centre at (i, j). The last
            corner joins the first; a polygon inside another is a hole.
        shape: size of the grid along x and y.

    A ray runs from each centre towards smaller x; each edge it crosses turns inside into outside. Edges are half
    open in y and a crossing exactly at a centre counts, so that polygons which share an edge share no voxel.
    """
    n_x, n_y = shape
    toggles = np.zeros((n_x + 1, n_y), dtype=np.int64)
    for polygon in polygons:
        start, end = polygon, np.roll(polygon, -1, axis=0)
        upward = start[:, 1] <= end[:, 1]
        low = np.where(upward[:, None], start, end)
        high = np.where(upward[:, None], end, start)
        first = np.maximum(np.ceil(low[:, 1]), 0).astype(np.int64)
        stop = np.minimum(np.ceil(high[:, 1]), n_y).astype(np.int64)
        n_rows = np.maximum(stop - first, 0)
        edge = np.repeat(np.arange(len(polygon)), n_rows)
        y = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
        share = (y - low[edge, 1]) / (high[edge, 1] - low[edge, 1])
        crossing = low[edge, 0] + share * (high[edge, 0] - low[edge, 0])
        x = np.clip(np.ceil(crossing), 0, n_x).astype(np.int64)
        np.add.at(toggles, (x, y), 1)
    return np.asarray(np.cumsum(toggles[:-1], axis=0) % 2 == 1)


def outlines(mask: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Closed outlines of a mask [x, y, z]: (z, corners [n, 2] as voxel indices x, y), holes included.

    They run midway between inside and outside centres (marching squares at 0.5); `fill_even_odd` gives the mask back.
    """
    from skimage import measure

    # The library's functions carry no types.
    find_contours: Any = measure.find_contours
    for z in np.flatnonzero(mask.any(axis=(0, 1))):
        plane = mask[:, :, z]
        xs, ys = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
        x0, y0 = int(xs[0]), int(ys[0])
        # A rim of outside voxels closes every outline.
        crop = np.pad(plane[x0 : int(xs[-1]) + 1, y0 : int(ys[-1]) + 1], 1).astype(np.float64)
        corner = np.array([x0 - 1.0, y0 - 1.0])
        for outline in find_contours(crop, 0.5):
            yield int(z), np.add(outline[:-1], corner)
