"""Surfaces of masks and the distances between them, in millimetres."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.maths.inputs import Bools, Integers, paired_masks

N_NEIGHBOURS_SEARCHED = 120
"""About how many voxels around a surface voxel are looked at before the search tree is asked."""

Distances = NDArray[np.float32]


def surface_voxels(mask: NDArray[Any]) -> Bools:
    """Voxels of a mask that touch what is not mask across a face, or that lie on the array's border.

    Equal to ``mask ^ binary_erosion(mask)`` with the cross-shaped element. An axis of length 1 is not an axis of
    the object (a 2-D image with z = 1 has an outline, not two faces): it is left out.

    Args:
        mask: bool [x, y, z] or [x, y].

    Returns:
        bool, the shape of ``mask``.
    """
    solid = np.asarray(mask, dtype=bool)
    shape = tuple(solid.shape[axis] for axis in _axes(solid.shape))
    edges = _edges(_padded(solid.reshape(shape), (1,) * len(shape)))
    return edges[tuple(slice(1, -1) for _ in shape)].reshape(solid.shape)


def surface_distances(
    prediction: NDArray[Any], truth: NDArray[Any], spacing_mm: Sequence[float]
) -> tuple[Distances, Distances]:
    """Distance from each surface voxel of one mask to the nearest surface voxel of the other, both ways.

    Exact Euclidean distances between voxel centres. Neighbours are tried in order of distance first (most surface
    voxels of a usable segmentation have a partner within a few voxels); the rest is answered by a k-d tree.

    Args:
        prediction: bool [x, y, z] or [x, y].
        truth: bool, the same shape.
        spacing_mm: distance of neighbouring voxels along each axis, in mm.

    Returns:
        float32 distances in mm from the prediction's surface to the truth's, and from the truth's to the
        prediction's, in C order of the voxels. If one mask is empty, the other's distances are infinite.

    Raises:
        GeometryError: shapes differ, or the spacing does not fit.
    """
    paired_masks(prediction, truth, spacing_mm)
    solid = [np.asarray(mask, dtype=bool) for mask in (prediction, truth)]
    axes = _axes(solid[0].shape)
    shape = tuple(solid[0].shape[axis] for axis in axes)
    spacing = tuple(float(spacing_mm[axis]) for axis in axes)
    margin, shells = _search_order(spacing)
    edges = [_edges(_padded(mask.reshape(shape), margin)) for mask in solid]
    points = [np.flatnonzero(edge) for edge in edges]
    return (
        _nearest(points[0], points[1], edges[1], spacing, shells),
        _nearest(points[1], points[0], edges[0], spacing, shells),
    )


def _axes(shape: tuple[int, ...]) -> list[int]:
    """The axes along which an object can have a surface: those longer than one voxel (the first, if none is)."""
    return [axis for axis, n in enumerate(shape) if n > 1] or [0]


def _padded(mask: Bools, margin: tuple[int, ...]) -> Bools:
    """The mask with ``margin`` voxels of background on each side."""
    wide = np.zeros([n + 2 * m for n, m in zip(mask.shape, margin, strict=True)], dtype=bool)
    wide[tuple(slice(m, m + n) for n, m in zip(mask.shape, margin, strict=True))] = mask
    return wide


def _edges(wide: Bools) -> Bools:
    """Surface voxels of a mask that has at least one voxel of background on each side."""
    inner = tuple(slice(1, -1) for _ in wide.shape)
    core = wide[inner]
    interior = core.copy()
    for axis in range(wide.ndim):
        for shift in (slice(None, -2), slice(2, None)):
            interior &= wide[(*inner[:axis], shift, *inner[axis + 1 :])]
    edges = np.zeros_like(wide)
    np.not_equal(core, interior, out=edges[inner])
    return edges


@functools.lru_cache(maxsize=64)
def _search_order(spacing: tuple[float, ...]) -> tuple[tuple[int, ...], tuple[tuple[float, Integers], ...]]:
    """Voxel offsets around a voxel, in shells of equal distance, nearest first, and the margin that they need.

    Every offset within the radius is listed, so a partner that is not found lies beyond it.
    """
    n_axes = len(spacing)
    unit_ball = math.pi ** (n_axes / 2) / math.gamma(n_axes / 2 + 1)
    radius = (N_NEIGHBOURS_SEARCHED * math.prod(spacing) / unit_ball) ** (1 / n_axes)
    reach = [int(radius / s) for s in spacing]
    offsets = np.array(list(itertools.product(*[range(-r, r + 1) for r in reach])), dtype=np.int64)
    distance = np.sqrt(((offsets * np.array(spacing)) ** 2).sum(axis=1)).astype(np.float32)
    shells = tuple(
        (float(d), offsets[distance == d]) for d in np.unique(distance[distance <= np.float32(radius * (1 - 1e-6))])
    )
    return tuple(max(1, r) for r in reach), shells


def _nearest(
    points: Integers,
    targets: Integers,
    target_edges: Bools,
    spacing: tuple[float, ...],
    shells: tuple[tuple[float, Integers], ...],
) -> Distances:
    """Distance from each point (flat index) to the nearest target, both on one padded grid."""
    distances = np.full(len(points), np.inf, dtype=np.float32)
    if len(points) == 0 or len(targets) == 0:
        return distances
    flat = target_edges.reshape(-1)
    strides = np.array(target_edges.strides, dtype=np.int64)  # one byte a voxel, so strides count voxels
    open_rows = np.arange(len(points))
    open_points = points
    for distance, offsets in shells:
        found = np.zeros(len(open_points), dtype=bool)
        for step in offsets @ strides:
            found |= flat[open_points + step]
        if found.any():
            distances[open_rows[found]] = distance
            missing = ~found
            open_rows, open_points = open_rows[missing], open_points[missing]
            if len(open_rows) == 0:
                return distances
    distances[open_rows] = _by_tree(open_points, targets, target_edges.shape, spacing)
    return distances


def _by_tree(points: Integers, targets: Integers, shape: tuple[int, ...], spacing: tuple[float, ...]) -> Distances:
    """Nearest distances by a k-d tree over the targets' coordinates in mm."""
    from scipy.spatial import cKDTree

    scale = np.array(spacing)
    tree = cKDTree(np.stack(np.unravel_index(targets, shape), axis=1) * scale, leafsize=32)
    nearest, _ = tree.query(np.stack(np.unravel_index(points, shape), axis=1) * scale)
    return np.asarray(nearest, dtype=np.float32)
