"""Lung vessels: a branching tree from each hilum, drawn as tapering tubes thinner than any nodule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fiducial.phantom.anatomy import Grid, Volume, paint

_ROOTS = 13
_LEVELS = 3
_SIDES = ((-1.0, (-30.0, 2.0, 2.0)), (1.0, (31.0, 2.0, 0.0)))


@dataclass(frozen=True)
class _Branches:
    """n tubes: ``start`` and ``end`` [n, 3] in mm, ``radius`` [n] in mm at the start."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]


def grow(rng: np.random.Generator, side: float, hilum: tuple[float, float, float]) -> _Branches:
    """Grow one lung's tree: each tube ends in two thinner, shorter ones."""
    spread = rng.normal(0, 1, (_ROOTS, 3)) * (0.45, 0.75, 1.0)
    angle = (np.arange(_ROOTS) + rng.uniform(0, 1)) * 2 * np.pi / _ROOTS
    direction = np.stack([np.full(_ROOTS, 0.8 * side), 0.9 * np.cos(angle), 1.1 * np.sin(angle)], 1) + 0.35 * spread
    start = np.tile(np.array(hilum), (_ROOTS, 1))
    radius = rng.uniform(2.3, 4.0, _ROOTS)
    length = rng.uniform(20, 42, _ROOTS)
    levels = []
    for _ in range(_LEVELS + 1):
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        end = start + direction * length[:, None]
        levels.append(_Branches(start, end, radius))
        start, radius = np.repeat(end, 2, 0), np.repeat(radius, 2) * rng.uniform(0.66, 0.88, 2 * len(radius))
        length = np.repeat(length, 2) * rng.uniform(0.7, 0.95, len(radius))
        turn = rng.normal(0, 0.5, (len(radius) // 2, 1, 3))
        direction = (direction[:, None] + np.concatenate([turn, -turn], 1)).reshape(-1, 3)
    return _Branches(*(np.concatenate([getattr(b, name) for b in levels]) for name in ("start", "end", "radius")))


def paint_vessels(volume: Volume, grid: Grid, lung: Volume, rng: np.random.Generator) -> None:
    """Draw both trees into the lungs, in place; what leaves a lung (``lung`` mm deep) is not drawn."""
    for side, hilum in _SIDES:
        tree = grow(rng, side, hilum)
        for start, end, radius in zip(tree.start, tree.end, tree.radius, strict=True):
            _paint_tube(volume, grid, lung, (start, end), float(radius))


def _paint_tube(
    volume: Volume, grid: Grid, lung: Volume, ends: tuple[NDArray[np.float64], NDArray[np.float64]], radius: float
) -> None:
    """One tube with round ends; thinner than a voxel, it fills only its share of the voxel."""
    reach = radius + 0.8 * max(grid.spacing_mm)
    low, high = np.minimum(*ends) - reach, np.maximum(*ends) + reach
    box = grid.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    depth = lung[box]
    if depth.size == 0 or depth.max() < 0:
        return
    x, y, z = grid.within(box)
    start = ends[0].astype(np.float32)
    along = (ends[1] - ends[0]).astype(np.float32)
    dx, dy, dz = x - start[0], y - start[1], z - start[2]
    t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / np.float32(along @ along), 0, 1)
    off = np.sqrt((dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2)
    width = grid.spacing_mm[0] * 1.15
    share = min(1.0, (2 * radius / width) ** 1.5)
    inside = np.clip(0.5 + (radius - off) / np.float32(width), 0, 1) * np.float32(share)
    inside *= depth > 0
    part = volume[box]
    paint(part, np.where(part < 20, inside, 0).astype(np.float32), 35.0)
