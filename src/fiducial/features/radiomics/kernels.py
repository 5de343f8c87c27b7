"""Compiled loops over grey levels: each walks the voxels of a region once and counts.

Grey levels are [x, y, z] int32 with 0 outside the region and 1 ... n_levels inside, surrounded by at least one layer of
zeros, so that no loop asks for borders. Directions are rows (dx, dy, dz).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Levels = NDArray[np.int32]
Counts = NDArray[np.float64]


@njit(cache=True, nogil=True)
def cooccurrence(levels: Levels, directions: NDArray[np.int64], n_levels: int, slices: bool) -> Counts:
    """Symmetric co-occurrence counts [slice or 1, direction, level, level] (IBSI 1, 3.6)."""
    n_x, n_y, n_z = levels.shape
    n_dir = directions.shape[0]
    counts = np.zeros((n_z if slices else 1, n_dir, n_levels, n_levels))
    for x in range(1, n_x - 1):
        for y in range(1, n_y - 1):
            for z in range(1, n_z - 1):
                here = levels[x, y, z]
                if here == 0:
                    continue
                place = z if slices else 0
                for d in range(n_dir):
                    a, b, c = x + directions[d, 0], y + directions[d, 1], z + directions[d, 2]
                    if a < 0 or b < 0 or c < 0 or a >= n_x or b >= n_y or c >= n_z:
                        continue
                    there = levels[a, b, c]
                    if there > 0:
                        counts[place, d, here - 1, there - 1] += 1
                        counts[place, d, there - 1, here - 1] += 1
    return counts


@njit(cache=True, nogil=True)
def run_lengths(levels: Levels, directions: NDArray[np.int64], n_levels: int, longest: int, slices: bool) -> Counts:
    """Run-length counts [slice or 1, direction, level, length - 1] (IBSI 1, 3.7)."""
    n_x, n_y, n_z = levels.shape
    n_dir = directions.shape[0]
    counts = np.zeros((n_z if slices else 1, n_dir, n_levels, longest))
    for x in range(1, n_x - 1):
        for y in range(1, n_y - 1):
            for z in range(1, n_z - 1):
                here = levels[x, y, z]
                if here == 0:
                    continue
                place = z if slices else 0
                for d in range(n_dir):
                    dx, dy, dz = directions[d, 0], directions[d, 1], directions[d, 2]
                    if levels[x - dx, y - dy, z - dz] == here:
                        continue  # the run began before
                    length = 1
                    a, b, c = x + dx, y + dy, z + dz
                    while levels[a, b, c] == here:
                        length += 1
                        a, b, c = a + dx, b + dy, c + dz
                    counts[place, d, here - 1, length - 1] += 1
    return counts


@njit(cache=True, nogil=True)
def zones(levels: Levels, distances: NDArray[np.int32], reach_z: int) -> NDArray[np.int64]:
    """Zones of equal level: rows (level, size, smallest distance, slice of the first voxel) (IBSI 1, 3.8 and 3.9).

    Voxels are linked within one step in x and y and ``reach_z`` in z (1: 26 neighbours, 0: 8 in the slice).
    """
    n_x, n_y, n_z = levels.shape
    seen = np.zeros(levels.shape, dtype=np.bool_)
    n_voxels = 0
    for level in levels.ravel():
        if level > 0:
            n_voxels += 1
    waiting = np.empty((n_voxels, 3), dtype=np.int64)
    found = np.empty((n_voxels, 4), dtype=np.int64)
    n_zones = 0
    for z in range(1, n_z - 1):
        for x in range(1, n_x - 1):
            for y in range(1, n_y - 1):
                here = levels[x, y, z]
                if here == 0 or seen[x, y, z]:
                    continue
                seen[x, y, z] = True
                waiting[0, 0], waiting[0, 1], waiting[0, 2] = x, y, z
                n_waiting, size, nearest = 1, 0, distances[x, y, z]
                while n_waiting > 0:
                    n_waiting -= 1
                    a, b, c = waiting[n_waiting, 0], waiting[n_waiting, 1], waiting[n_waiting, 2]
                    size += 1
                    nearest = min(nearest, distances[a, b, c])
                    for i in range(a - 1, a + 2):
                        for j in range(b - 1, b + 2):
                            for k in range(c - reach_z, c + reach_z + 1):
                                if levels[i, j, k] == here and not seen[i, j, k]:
                                    seen[i, j, k] = True
                                    waiting[n_waiting, 0] = i
                                    waiting[n_waiting, 1] = j
                                    waiting[n_waiting, 2] = k
                                    n_waiting += 1
                found[n_zones, 0], found[n_zones, 1] = here, size
                found[n_zones, 2], found[n_zones, 3] = nearest, z
                n_zones += 1
    return found[:n_zones].copy()


@njit(cache=True, nogil=True)
def neighbourhoods(
    levels: Levels, n_levels: int, reach: int, reach_z: int, coarseness: int, slices: bool
) -> tuple[Counts, Counts]:
    """What surrounds each voxel, in one walk (IBSI 1, 3.10 and 3.11).

    Returns:
        Grey-tone differences [slice or 1, level, 3]: voxels with a neighbour, sum of absolute differences between level
        and mean of the neighbours, all voxels. Dependence counts [slice or 1, level, n_dependent - 1]: voxels by how
        many of their neighbourhood, themselves included, differ by at most ``coarseness``.
    """
    n_x, n_y, n_z = levels.shape
    n_places = n_z if slices else 1
    side, side_z = 2 * reach + 1, 2 * reach_z + 1
    differences = np.zeros((n_places, n_levels, 3))
    dependences = np.zeros((n_places, n_levels, side * side * side_z))
    for x in range(1, n_x - 1):
        for y in range(1, n_y - 1):
            for z in range(1, n_z - 1):
                here = levels[x, y, z]
                if here == 0:
                    continue
                total, n_near, n_alike = 0.0, 0, 0
                for a in range(max(x - reach, 0), min(x + reach + 1, n_x)):
                    for b in range(max(y - reach, 0), min(y + reach + 1, n_y)):
                        for c in range(max(z - reach_z, 0), min(z + reach_z + 1, n_z)):
                            there = levels[a, b, c]
                            if there > 0:
                                total += there
                                n_near += 1
                                if abs(there - here) <= coarseness:
                                    n_alike += 1
                place = z if slices else 0
                differences[place, here - 1, 2] += 1
                if n_near > 1:
                    differences[place, here - 1, 0] += 1
                    differences[place, here - 1, 1] += abs(here - (total - here) / (n_near - 1))
                dependences[place, here - 1, n_alike - 1] += 1
    return differences, dependences


def warm_up() -> None:
    """Compile every loop, or load it from the cache on disk: some seconds the first time on a machine, then none."""
    levels = np.zeros((3, 3, 3), dtype=np.int32)
    levels[1, 1, 1] = 1
    steps = np.array([[1, 0, 0]], dtype=np.int64)
    cooccurrence(levels, steps, 1, False)
    run_lengths(levels, steps, 1, 3, False)
    zones(levels, levels, 1)
    neighbourhoods(levels, 1, 1, 1, 0, False)
