"""The nodule: a ball with lobes and spicules, its partial volume on the grid, and the mask that a reader would draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.phantom.anatomy import Grid, Volume, paint
from fiducial.phantom.patients import Nodule

SOLID_HU, GROUND_GLASS_HU = 40.0, -470.0
_CORE = 0.55
_PARTS = (3, 3, 5)


def _directions(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Unit vectors [n, 3], uniform on the sphere."""
    vectors = rng.standard_normal((n, 3)).astype(np.float32)
    result: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


def reach_mm(nodule: Nodule) -> float:
    """No part of the nodule lies farther from its centre."""
    return nodule.diameter_mm / 2 * (1 + 0.95 * nodule.spiculation)


def _surface_mm(nodule: Nodule, rng: np.random.Generator, unit: list[Volume]) -> Volume:
    """Radius of the nodule's surface in the directions ``unit`` (x, y and z of unit vectors).

    ``r (1 + s (lobes + spicules))`` with s the spiculation: three broad lobes of at most 0.15 and 6 to 14 spicules,
    each a narrow cone up to 0.8 long. Of a smooth nodule nothing is left but the ball.
    """
    radius = nodule.diameter_mm / 2
    surface = np.ones_like(unit[0])
    for direction in _directions(rng, 3):
        along = unit[0] * direction[0] + unit[1] * direction[1] + unit[2] * direction[2]
        surface += np.float32(0.1 * nodule.spiculation) * along**3
    n_spicules = 6 + round(8 * nodule.spiculation)
    lengths = rng.uniform(0.35, 0.8, 14)[:n_spicules] * nodule.spiculation
    for direction, length in zip(_directions(rng, 14)[:n_spicules], lengths, strict=True):
        along = unit[0] * direction[0] + unit[1] * direction[1] + unit[2] * direction[2]
        surface += np.float32(length) * np.exp((along - 1) * np.float32(34))
    return surface * np.float32(radius)


def _fine_axis(values: Volume, spacing_mm: float, n_parts: int) -> Volume:
    """Centres of the n parts of each voxel along one axis."""
    offsets = (np.arange(n_parts, dtype=np.float32) + 0.5) / n_parts - 0.5
    return (values[:, None] + offsets * np.float32(spacing_mm)).ravel().astype(np.float32)


def _share(inside: NDArray[np.bool_]) -> Volume:
    """Fraction of each voxel's parts that are inside."""
    shape = [m for n, p in zip(inside.shape, _PARTS, strict=True) for m in (n // p, p)]
    share: Volume = inside.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32)
    return share


def _largest(share: Volume) -> NDArray[np.bool_]:
    """The voxels of the largest shares, as many as the shares add up to (at least one; ties by position)."""
    chosen = np.zeros(share.size, np.bool_)
    n_voxels = max(1, round(float(share.sum())))
    chosen[np.argsort(-share, axis=None, kind="stable")[:n_voxels]] = True
    return chosen.reshape(share.shape) & (share > 0)


def paint_nodule(
    volume: Volume, grid: Grid, lung: Volume, nodule: Nodule, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the nodule into the lung, in place, and return its mask.

    Each voxel is cut into 3 x 3 x 5 parts; it takes the nodule's HU by the share of parts inside (partial volume).
    The mask holds the voxels of the largest shares, as many as give it the nodule's volume: taking every voxel of at
    least one half would make small nodules up to 15 % too small. The nodule stays inside the lung. A part-solid
    nodule is ground glass with a solid core of 0.55 of its diameter. ``nodule.centre_mm`` is in the grid's frame.
    """
    mask = np.zeros(volume.shape, np.bool_)
    reach = reach_mm(nodule) + max(grid.spacing_mm)
    centre = np.array(nodule.centre_mm, np.float32)
    low, high = centre - reach, centre + reach
    box = grid.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    axes = [
        _fine_axis(axis.ravel() - c, step, parts)
        for axis, c, step, parts in zip(grid.within(box), centre, grid.spacing_mm, _PARTS, strict=True)
    ]
    x, y, z = axes[0][:, None, None], axes[1][:, None], axes[2]
    distance = np.sqrt(x * x + y * y + z * z) + np.float32(1e-6)
    near = distance < reach
    unit = [np.broadcast_to(axis, distance.shape)[near] / distance[near] for axis in (x, y, z)]
    surface = _surface_mm(nodule, rng, unit)
    inside = np.zeros(distance.shape, np.bool_)
    inside[near] = distance[near] < surface
    share = _share(inside) * (lung[box] > -0.5 * grid.spacing_mm[0])
    part = volume[box]
    paint(part, share, GROUND_GLASS_HU if nodule.density != "solid" else SOLID_HU)
    if nodule.density == "part-solid":
        inside[near] = distance[near] < _CORE * surface
        paint(part, _share(inside), SOLID_HU)
    mask[box] = _largest(share)
    return mask
