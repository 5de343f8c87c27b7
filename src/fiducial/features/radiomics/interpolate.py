"""Interpolation to another spacing on a grid that shares its centre with the old one (IBSI 1, 2.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ORDERS = {"nearest": 0, "linear": 1, "cubic": 3}


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
) -> NDArray[np.float64]:
    """Values [x, y, z] of ``array`` on the new grid, float64; the centres of both grids coincide.

    Args:
        array: values [x, y, z].
        old_mm: its spacing.
        new_mm: the new spacing.
        method: ``nearest``, ``linear`` or ``cubic`` (B-spline of order 3). Beyond the outermost voxel centres the
            nearest value counts.
        box: the part of the new grid that is wanted (None: all of it).
    """
    from scipy.ndimage import affine_transform

    shape = interpolated_shape(array.shape, old_mm, new_mm)
    box = box or tuple(slice(0, n) for n in shape)
    scale = np.array(new_mm) / np.array(old_mm)
    first = np.array([part.start for part in box])
    offset = (np.array(array.shape) - 1 - (np.array(shape) - 1) * scale) / 2 + first * scale
    return np.asarray(
        affine_transform(
            array.astype(np.float64, copy=False),
            scale,
            offset=offset,
            output_shape=tuple(part.stop - part.start for part in box),
            order=ORDERS[method],
            mode="nearest",
        )
    )
