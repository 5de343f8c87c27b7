"""Compiled loops over grey levels: each walks the voxels of a region once and counts.

Grey levels are [x, y, z] int32 with 0 outside the region and 1 ... n_levels inside, surrounded by as many layers of
zeros as a loop reaches (one, or the distance of neighbours), so that no loop asks for borders. Directions are rows
(dx, dy, dz). A loop takes the planes ``first`` to ``end`` of x, so that threads can share them; counts of parts add up.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Levels = NDArray[np.int32]
Counts = NDArray[np.float64]
Whole = NDArray[np.int64]


@njit(cache=True, nogil=True)
def cooccurrence(levels: Levels, directions: Whole, n_levels: int, slices: bool, first: int, end: int) -> Counts:
    """Symmetric co-occurrence counts [slice or 1, direction, level, level] (IBSI 1, 3.6)."""
    _, n_y, n_z = levels.shape
    n_dir = directions.shape[0]
    flat = levels.ravel()
    steps = (directions[:, 0] * n_y + directions[:, 1]) * n_z + directions[:, 2]
    counts = np.zeros((n_z if slices else 1, n_dir, n_levels, n_levels))
    for x in range(first, end):
        for y in range(n_y):
            row = (x * n_y + y) * n_z
            for z in range(n_z):
                here = flat[row + z]
                if here == 0:
                    continue
                place = z if slices else 0
                for d in range(n_dir):
                    there = flat[row + z + steps[d]]
                    if there > 0:
                        counts[place, d, here - 1, there - 1] += 1
    for place in range(counts.shape[0]):
        for d in range(n_dir):
            for i in range(n_levels):
                for j in range(i, n_levels):
                    both = counts[place, d, i, j] + counts[place, d, j, i]
                    counts[place, d, i, j] = both
                    counts[place, d, j, i] = both
    return counts


@njit(cache=True, nogil=True)
def run_lengths(
    levels: Levels, directions: Whole, n_levels: int, longest: int, slices: bool, first: int, end: int
) -> Counts:
    """Run-length counts [slice or 1, direction, level, length - 1] (IBSI 1, 3.7) of the runs that begin here."""
    _, n_y, n_z = levels.shape
    n_dir = directions.shape[0]
    flat = levels.ravel()
    steps = (directions[:, 0] * n_y + directions[:, 1]) * n_z + directions[:, 2]
    counts = np.zeros((n_z if slices else 1, n_dir, n_levels, longest))
    for x in range(first, end):
        for y in range(n_y):
            row = (x * n_y + y) * n_z
            for z in range(n_z):
                here = flat[row + z]
                if here == 0:
                    continue
                place = z if slices else 0
                for d in range(n_dir):
                    at, step = row + z, steps[d]
                    if flat[at - step] == here:
                        continue  # the run began before
                    length = 1
                    at += step
                    while flat[at] == here:
                        length += 1
                        at += step
                    counts[place, d, here - 1, length - 1] += 1
    return counts


@njit(cache=True, nogil=True)
def zones(levels: Levels, distances: Levels, reach_z: int) -> Whole:
    """Zones of equal level: rows (level, size, smallest distance, slice of the first voxel) (IBSI 1, 3.8 and 3.9).

    Voxels are linked within one step in x and y and ``reach_z`` in z (1: 26 neighbours, 0: 8 in the slice).
    """
    n_x, n_y, n_z = levels.shape
    rest, far = levels.copy().ravel(), distances.ravel()
    n_near = 0
    steps = np.empty(26, dtype=np.int64)
    n_voxels = 0
    for level in rest:
        if level > 0:
            n_voxels += 1
    for i in range(-1, 2):
        for j in range(-1, 2):
            for k in range(-reach_z, reach_z + 1):
                if i != 0 or j != 0 or k != 0:
                    steps[n_near] = (i * n_y + j) * n_z + k
                    n_near += 1
    waiting = np.empty(n_voxels, dtype=np.int64)
    found = np.empty((n_voxels, 4), dtype=np.int64)
    n_zones = 0
    for start in range(n_x * n_y * n_z):
        here = rest[start]
        if here == 0:
            continue
        rest[start] = 0
        waiting[0] = start
        n_waiting, size, nearest = 1, 0, far[start]
        while n_waiting > 0:
            n_waiting -= 1
            at = waiting[n_waiting]
            size += 1
            nearest = min(nearest, far[at])
            for d in range(n_near):
                to = at + steps[d]
                if rest[to] == here:
                    rest[to] = 0
                    waiting[n_waiting] = to
                    n_waiting += 1
        found[n_zones, 0], found[n_zones, 1] = here, size
        found[n_zones, 2], found[n_zones, 3] = nearest, start % n_z
        n_zones += 1
    return found[:n_zones].copy()


@njit(cache=True, nogil=True)
def neighbourhoods(
    levels: Levels, n_levels: int, reach: int, reach_z: int, coarseness: int, first: int, end: int
) -> tuple[Whole, Whole]:
    """What surrounds each voxel, in one walk (IBSI 1, 3.10 and 3.11), by slice where ``reach_z`` is 0.

    Returns:
        Differences [slice or 1, level, n, 2] by the number n of neighbours: voxels, and the sum of the absolute
        differences between n times the level and the sum of the neighbours' levels (whole numbers, so that parts add
        up exactly). Dependence counts [slice or 1, level, n_dependent - 1]: voxels by how many of their neighbourhood,
        themselves included, differ by at most ``coarseness``.
    """
    _, n_y, n_z = levels.shape
    slices = reach_z == 0
    n_places = n_z if slices else 1
    side, side_z = 2 * reach + 1, 2 * reach_z + 1
    flat = levels.ravel()
    steps = np.empty(side * side * side_z, dtype=np.int64)
    n_steps = 0
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            for k in range(-reach_z, reach_z + 1):
                steps[n_steps] = (i * n_y + j) * n_z + k
                n_steps += 1
    differences = np.zeros((n_places, n_levels, n_steps, 2), dtype=np.int64)
    dependences = np.zeros((n_places, n_levels, n_steps), dtype=np.int64)
    for x in range(first, end):
        for y in range(n_y):
            row = (x * n_y + y) * n_z
            for z in range(n_z):
                here = flat[row + z]
                if here == 0:
                    continue
                total, n_near, n_alike = -here, -1, 0
                for d in range(n_steps):
                    there = flat[row + z + steps[d]]
                    if there > 0:
                        total += there
                        n_near += 1
                        if abs(there - here) <= coarseness:
                            n_alike += 1
                place = z if slices else 0
                differences[place, here - 1, n_near, 0] += 1
                differences[place, here - 1, n_near, 1] += abs(n_near * here - total)
                dependences[place, here - 1, n_alike - 1] += 1
    return differences, dependences


@njit(cache=True, nogil=True)
def steps_to_border(mask: NDArray[np.bool_], in_slice: bool) -> Levels:
    """Steps by faces from each voxel [x, y, z] to the outside, 1 at the border; what lies beyond the array is outside.

    Two sweeps of the city-block distance, exact (Rosenfeld and Pfaltz 1966).
    """
    n_x, n_y, n_z = mask.shape
    steps = np.zeros((n_x + 2, n_y + 2, n_z + 2), dtype=np.int32)
    for x in range(n_x):
        for y in range(n_y):
            for z in range(n_z):
                if mask[x, y, z]:
                    a, b, c = x + 1, y + 1, z + 1
                    near = min(steps[a - 1, b, c], steps[a, b - 1, c])
                    steps[a, b, c] = 1 + (near if in_slice else min(near, steps[a, b, c - 1]))
    for a in range(n_x, 0, -1):
        for b in range(n_y, 0, -1):
            for c in range(n_z, 0, -1):
                if steps[a, b, c] > 0:
                    near = min(steps[a + 1, b, c], steps[a, b + 1, c])
                    near = near if in_slice else min(near, steps[a, b, c + 1])
                    steps[a, b, c] = min(steps[a, b, c], near + 1)
    return steps


@njit(cache=True, nogil=True)
def sums_in_spheres(image: Counts, places: Whole, lines: Whole) -> tuple[Counts, Whole]:
    """Sum of intensities, and number of voxels, of a body around each place [n, 3], as far as it lies in the image.

    The body is made of lines along z, rows (dx, dy, reach): it holds (dx, dy, -reach) to (dx, dy, reach).
    """
    n_x, n_y, n_z = image.shape
    before = np.zeros((n_x, n_y, n_z + 1))
    for x in range(n_x):
        for y in range(n_y):
            for z in range(n_z):
                before[x, y, z + 1] = before[x, y, z] + image[x, y, z]
    totals, counts = np.zeros(len(places)), np.zeros(len(places), dtype=np.int64)
    for i in range(len(places)):
        for j in range(len(lines)):
            x, y = places[i, 0] + lines[j, 0], places[i, 1] + lines[j, 1]
            if x < 0 or y < 0 or x >= n_x or y >= n_y:
                continue
            low, high = max(places[i, 2] - lines[j, 2], 0), min(places[i, 2] + lines[j, 2] + 1, n_z)
            totals[i] += before[x, y, high] - before[x, y, low]
            counts[i] += high - low
    return totals, counts


@njit(cache=True, nogil=True)
def weighted(spectrum: NDArray[np.complex128], octant: Counts) -> float:
    """Weigh a spectrum in its place; the sum of weights times squared moduli before, over all frequencies.

    ``spectrum`` is that of `rfftn` over even sides: half of the frequencies along the last axis, and each of the others
    counts for its mirror image too, but for the first and the last. Weights are even along each axis: ``octant`` has
    those of the frequencies up to the middle.
    """
    n_x, n_y, n_z = spectrum.shape
    total = 0.0
    for x in range(n_x):
        for y in range(n_y):
            line, weights = 0.0, octant[min(x, n_x - x), min(y, n_y - y)]
            for z in range(n_z):
                one = spectrum[x, y, z]
                power = (one.real * one.real + one.imag * one.imag) * weights[z]
                line += power if z in (0, n_z - 1) else 2 * power
                spectrum[x, y, z] = one * weights[z]
            total += line
    return total


def warm_up() -> None:
    """Compile every loop, or load it from the cache on disk: some seconds the first time on a machine, then none."""
    from fiducial.features.radiomics.lines import warm_up_lines
    from fiducial.features.radiomics.matrix_formulas import warm_up_formulas
    from fiducial.features.radiomics.pyradiomics.warm_up import warm_up_profile
    from fiducial.features.radiomics.solids import warm_up_solids

    levels = np.zeros((3, 3, 3), dtype=np.int32)
    levels[1, 1, 1] = 1
    steps = np.array([[1, 0, 0]], dtype=np.int64)
    cooccurrence(levels, steps, 1, False, 1, 2)
    run_lengths(levels, steps, 1, 3, False, 1, 2)
    zones(levels, levels, 1)
    neighbourhoods(levels, 1, 1, 1, 0, 1, 2)
    steps_to_border(levels > 0, False)
    sums_in_spheres(levels.astype(np.float64), steps, steps)
    weighted(np.zeros((1, 1, 1), dtype=np.complex128), np.zeros((1, 1, 1)))
    warm_up_lines()
    warm_up_solids()
    warm_up_formulas()
    warm_up_profile()
