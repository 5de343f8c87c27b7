"""Stacks whose slices shift sideways evenly (a tilted gantry) onto a perpendicular grid, voxels and masks alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.records.image import Geometry

PLACE_TOLERANCE_MM = 0.1
PLACE_TOLERANCE_OF_SPACING = 0.1
HALF = 0.5


@dataclass(frozen=True)
class Straight:
    """The perpendicular grid over a sheared one.

    ``geometry`` keeps rows, columns and planes of the slices; ``start`` is, for each slice [z, 2], the index (x, y)
    in the slice at which the grid's first voxel lies.
    """

    geometry: Geometry
    start: NDArray[np.float64]


def sideways_mm(geometry: Geometry) -> NDArray[np.float64]:
    """How far each slice lies to the side of the one before, along x and y [2], in mm."""
    axes = geometry.affine[:3, :2] / np.linalg.norm(geometry.affine[:3, :2], axis=0)
    return np.asarray(geometry.affine[:3, 2] @ axes)


def tilt_degrees(geometry: Geometry) -> float:
    """The angle between the way from slice to slice and their normal."""
    step = float(np.linalg.norm(geometry.affine[:3, 2]))
    return float(np.degrees(np.arcsin(min(float(np.linalg.norm(sideways_mm(geometry))) / step, 1.0))))


def is_sheared(geometry: Geometry) -> bool:
    """Whether the last slice lies further aside than 0.1 mm (or a tenth of the spacing, if less)."""
    spacing = float(np.linalg.norm(geometry.affine[:3, 2]))
    tolerance = min(PLACE_TOLERANCE_MM, PLACE_TOLERANCE_OF_SPACING * spacing)
    return float(np.linalg.norm(sideways_mm(geometry))) * (geometry.shape[2] - 1) > tolerance


def straight(geometry: Geometry) -> Straight:
    """The smallest perpendicular grid of the same voxels' edges in the plane that covers every slice.

    z steps along the normal by the distance between the slices' planes, so each plane of the grid is a slice's own:
    only shifts within the plane are left to interpolate.
    """
    n_x, n_y, n_z = geometry.shape
    lengths = np.linalg.norm(geometry.affine[:3, :2], axis=0)
    aside = np.arange(n_z)[:, None] * sideways_mm(geometry) / lengths
    low, high = np.floor(aside.min(axis=0)), np.ceil(aside.max(axis=0))
    affine = geometry.affine.copy()
    affine[:3, 2] -= (geometry.affine[:3, :2] / lengths) @ sideways_mm(geometry)
    affine[:3, 3] += geometry.affine[:3, :2] @ low
    grow = (high - low).astype(int)
    grid = Geometry(affine, (n_x + int(grow[0]), n_y + int(grow[1]), n_z))
    return Straight(grid, low - aside)


def straighten(array: NDArray[Any], geometry: Geometry, *, fill: float) -> tuple[NDArray[Any], Geometry]:
    """Resample voxels [x, y, z] of a sheared grid onto `straight`: linear within each slice, ``fill`` outside.

    The type is kept; whole numbers are rounded. A voxel within half a voxel of a slice's edge takes the edge's value.
    """
    target = straight(geometry)
    n_x, n_y, n_z = target.geometry.shape
    # Slice after slice in memory, as the decoders leave it.
    result = np.empty((n_z, n_y, n_x), dtype=array.dtype).transpose(2, 1, 0)
    for k in range(n_z):
        plane = array[:, :, k].astype(np.float64)
        x, x_inside = _weights(n_x, target.start[k, 0], plane.shape[0])
        y, y_inside = _weights(n_y, target.start[k, 1], plane.shape[1])
        moved = _along(_along(plane, x, 0), y, 1)
        moved[~x_inside, :] = fill
        moved[:, ~y_inside] = fill
        result[:, :, k] = np.rint(moved) if array.dtype.kind in "iu" else moved
    return result, target.geometry


def straighten_mask(mask: NDArray[np.bool_], geometry: Geometry) -> tuple[NDArray[np.bool_], Geometry]:
    """Resample a mask drawn on a sheared grid as its image is: inside where the linear share is at least a half."""
    share, grid = straighten(mask.astype(np.float32), geometry, fill=0.0)
    return share >= HALF, grid


Weights = tuple[NDArray[np.int64], NDArray[np.float64]]


def _weights(n_target: int, start: float, n_source: int) -> tuple[Weights, NDArray[np.bool_]]:
    """Lower neighbour and share of the upper one for each target index, and whether it lies in the source."""
    place = start + np.arange(n_target)
    inside = (place >= -HALF) & (place <= n_source - HALF)
    place = np.clip(place, 0, n_source - 1)
    lower = np.minimum(np.floor(place).astype(np.int64), max(n_source - 2, 0))
    return (lower, place - lower), inside


def _along(plane: NDArray[np.float64], weights: Weights, axis: int) -> NDArray[np.float64]:
    lower, share = weights
    if len(lower) == plane.shape[axis] and not share.any() and (lower == np.arange(len(lower))).all():
        return plane
    upper = np.minimum(lower + 1, plane.shape[axis] - 1)
    share = share[:, None] if axis == 0 else share
    return np.asarray(np.take(plane, lower, axis) * (1 - share) + np.take(plane, upper, axis) * share)
