"""Interpolation to another spacing on a grid that shares its centre with the old one (IBSI 1, 2.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused

ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}
MOST_VOXELS = 2**30
"""8 GiB of a new grid."""
REACH = {"nearest": 1, "linear": 1, "cubic": 40}
"""Voxels of the old grid beyond a point that its value depends on; a spline's weights fall by 0.27 a voxel."""


def interpolated_shape(shape: tuple[int, ...], old_mm: tuple[float, ...], new_mm: tuple[float, ...]) -> tuple[int, ...]:
    """Numbers of voxels of the new grid: ceil(n · old / new) along each axis (IBSI 1, 2.4.2)."""
    return tuple(int(np.ceil(n * old / new - 1e-9)) for n, old, new in zip(shape, old_mm, new_mm, strict=True))


def interpolated(
    array: NDArray[Any],
    old_mm: tuple[float, float, float],
    new_mm: tuple[float, float, float],
    *,
    method: str,
    box: tuple[slice, ...] | None = None,
    binary: bool = False,
) -> NDArray[np.float64]:
    """Values [x, y, z] of ``array`` on the new grid, float64; the centres of both grids coincide.

    Args:
        array: values [x, y, z].
        old_mm: its spacing.
        new_mm: the new spacing.
        method: ``nearest``, ``linear`` or ``cubic`` (B-spline of order 3). Beyond the outermost voxel centres the
            nearest value counts.
        box: the part of the new grid that is wanted (None: all of it). Only what it needs of ``array`` is read.
        binary: interpolate 1 where ``array`` is not 0, and 0 elsewhere.

    Raises:
        InputRefused: ``too-many-voxels``.
    """
    from scipy.ndimage import affine_transform

    shape = interpolated_shape(array.shape, old_mm, new_mm)
    box = box or tuple(slice(0, n) for n in shape)
    scale = np.array(new_mm) / np.array(old_mm)
    first = np.array([part.start for part in box])
    wanted = np.array([part.stop - part.start for part in box])
    require_room(wanted)
    offset = (np.array(array.shape) - 1 - (np.array(shape) - 1) * scale) / 2 + first * scale
    # What a value of the box depends on: its neighbours, and of splines as much as is left of anything in 64 bits.
    low = np.maximum(np.floor(offset).astype(int) - REACH[method], 0)
    high = np.minimum(np.ceil(offset + (wanted - 1) * scale).astype(int) + REACH[method] + 1, array.shape)
    part = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return np.asarray(
        affine_transform(
            (part != 0 if binary else part).astype(np.float64),
            scale,
            offset=offset - low,
            output_shape=tuple(int(n) for n in wanted),
            order=ORDERS[method],
            mode="nearest",
        )
    )


def require_room(shape: Sequence[int] | NDArray[Any]) -> None:
    """Refuse a new grid that would fill the memory.

    Raises:
        InputRefused: ``too-many-voxels``.
    """
    n_voxels = math.prod(int(n) for n in shape)
    if n_voxels > MOST_VOXELS:
        raise InputRefused(
            f"too-many-voxels: {' x '.join(f'{int(n):,}' for n in shape)} after interpolation",
            legal=f"up to {MOST_VOXELS:,}",
            action="ask for larger voxels",
        )
