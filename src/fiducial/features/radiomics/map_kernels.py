"""Compiled loops over the small neighbourhood of each voxel, for maps: its matrices, as lists of their cells."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fiducial.features.radiomics.map_formulas import (
    emphasis_of,
    glcm_of,
    histogram_of,
)
from fiducial.features.radiomics.matrix_formulas import ngtdm_of, statistics_of

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Levels = NDArray[np.int32]
Work = tuple[Whole, Whole, Whole, Whole, Whole, Whole, Floats]


@njit(cache=True, nogil=True)
def _count(table: Whole, cells: Whole, n_cells: int, row: int, column: int) -> int:
    """Count one more of (row, column); ``table`` holds each cell's place in the list, from 1 on."""
    place = table[row, column]
    if place == 0:
        cells[n_cells, 0], cells[n_cells, 1], cells[n_cells, 2] = row, column, 1
        n_cells += 1
        table[row, column] = n_cells
    else:
        cells[place - 1, 2] += 1
    return n_cells


@njit(cache=True, nogil=True)
def _forget(table: Whole, cells: Whole, n_cells: int) -> None:
    """Empty the table of these cells."""
    for c in range(n_cells):
        table[cells[c, 0], cells[c, 1]] = 0


@njit(cache=True, nogil=True)
def pairs_and_runs(
    cube: Whole, there: Whole, steps: Whole, merged: bool, values: Floats, work: Work, out: tuple[Floats, Floats]
) -> None:
    """`GLCM` and `EMPHASIS` of runs in a cube of ranks + 1 (0: outside) with a layer of zeros around.

    Args:
        cube: ranks + 1, flat.
        there: the places in it that are inside.
        steps: of the directions.
        merged: whether all directions make one matrix; else features are averaged over the directions that have one.
        values: levels of the ranks.
        work: places to count in, all 0 before and after, and the table of logarithms.
        out: features of pairs, and of runs.
    """
    pair_table, run_table, pairs, runs, apart, together, logs = work
    of_pairs, of_runs = out
    of_pairs[:] = 0.0
    of_runs[:] = 0.0
    n_pairs, n_runs, n_glcm, n_glrlm = 0, 0, 0, 0
    for d in range(len(steps)):
        step = steps[d]
        for at in there:
            here = cube[at]
            ahead = cube[at + step]
            if ahead > 0:
                n_pairs = _count(pair_table, pairs, n_pairs, min(here, ahead) - 1, max(here, ahead) - 1)
            if cube[at - step] != here:
                length = 1
                while cube[at + length * step] == here:
                    length += 1
                n_runs = _count(run_table, runs, n_runs, here - 1, length)
        if merged and d < len(steps) - 1:
            continue
        if n_pairs > 0:
            glcm_of(pairs, n_pairs, values, apart, together, logs, of_pairs)
            n_glcm += 1
        emphasis_of(runs, n_runs, values, len(there) * (len(steps) if merged else 1), logs, of_runs)
        n_glrlm += 1
        _forget(pair_table, pairs, n_pairs)
        _forget(run_table, runs, n_runs)
        n_pairs, n_runs = 0, 0
    for f in range(len(of_pairs)):
        of_pairs[f] = of_pairs[f] / n_glcm if n_glcm > 0 else np.nan
    for f in range(len(of_runs)):
        of_runs[f] /= n_glrlm


@njit(cache=True, nogil=True)
def zones_in(cube: Whole, there: Whole, near: Whole, values: Floats, work: Work, out: Floats) -> None:
    """`EMPHASIS` of zones of equal rank, linked by the steps ``near``; the cube is as for `pairs_and_runs`."""
    table, cells, logs = work[1], work[3], work[6]
    rest = cube.copy()
    waiting = np.empty(len(there), dtype=np.int64)
    n_cells = 0
    for start in there:
        here = rest[start]
        if here == 0:
            continue
        rest[start] = 0
        waiting[0] = start
        n_waiting, size = 1, 0
        while n_waiting > 0:
            n_waiting -= 1
            at = waiting[n_waiting]
            size += 1
            for step in near:
                if rest[at + step] == here:
                    rest[at + step] = 0
                    waiting[n_waiting] = at + step
                    n_waiting += 1
        n_cells = _count(table, cells, n_cells, here - 1, size)
    out[:] = 0.0
    emphasis_of(cells, n_cells, values, len(there), logs, out)
    _forget(table, cells, n_cells)


@njit(cache=True, nogil=True)
def neighbours_in(
    cube: Whole, there: Whole, near: Whole, coarseness: int, values: Floats, work: Work, out: tuple[Floats, Floats]
) -> None:
    """`NGTDM` and `EMPHASIS` of dependences; the cube is as for `pairs_and_runs`."""
    table, cells, logs = work[1], work[3], work[6]
    k = len(values)
    counts, sums = np.zeros(k, dtype=np.int64), np.zeros(k)
    n_cells = 0
    for at in there:
        here = cube[at] - 1
        level, total, n_near, n_alike = values[here], 0.0, 0, 1
        for step in near:
            rank = cube[at + step]
            if rank > 0:
                total += values[rank - 1]
                n_near += 1
                if abs(values[rank - 1] - level) <= coarseness:
                    n_alike += 1
        if n_near > 0:
            counts[here] += 1
            sums[here] += abs(n_near * level - total) / n_near
        n_cells = _count(table, cells, n_cells, here, n_alike)
    of_tones, of_dependences = out
    of_tones[:] = np.nan
    of_dependences[:] = 0.0
    ngtdm_of(counts, sums, values, of_tones)
    emphasis_of(cells, n_cells, values, len(there), logs, of_dependences)
    _forget(table, cells, n_cells)


@njit(cache=True, nogil=True)
def ranked(levels: Whole, n: int, seen: Whole, values: Floats, ranks: Whole) -> int:
    """Ranks [n] of levels [n] among those that occur, which become ``values``; how many there are.

    ``seen`` [n_levels + 1] is all 0, and is so again.
    """
    k = 0
    for i in range(n):
        level = levels[i]
        if seen[level] == 0:
            seen[level] = 1
            at = k
            while at > 0 and values[at - 1] > level:
                values[at] = values[at - 1]
                at -= 1
            values[at] = level
            k += 1
    for r in range(k):
        seen[int(values[r])] = r
    for i in range(n):
        ranks[i] = seen[levels[i]]
    for r in range(k):
        seen[int(values[r])] = 0
    return k


@njit(cache=True, nogil=True)
def features_around(
    levels: Levels, image: Floats, places: Whole, radius: int, n_levels: int, options: Whole, wanted: Whole
) -> NDArray[np.float32]:
    """Features [place, feature] of the cube around each place, as far as it lies in the region.

    Args:
        levels: [x, y, z], 0 outside, with ``radius`` layers of zeros around.
        image: intensities on the same grid.
        places: flat indices of the middle of each cube.
        radius: of the cube: 2 radius + 1 voxels a side.
        n_levels: of the region.
        options: whether directions are merged, and the coarseness of dependences.
        wanted: columns to give, of all of `STATISTICS`, `HISTOGRAM`, `GLCM`, `EMPHASIS` (runs), `EMPHASIS` (zones),
            `NGTDM`, `EMPHASIS` (dependences), in this order.
    """
    _, n_y, n_z = levels.shape
    flat, bright = levels.ravel(), image.ravel()
    side, wide = 2 * radius + 1, 2 * radius + 3
    most = side**3
    source, inner = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    steps, near = np.empty(13, dtype=np.int64), np.empty(26, dtype=np.int64)
    n = 0
    for i in range(side):
        for j in range(side):
            for k in range(side):
                source[n] = ((i - radius) * n_y + j - radius) * n_z + k - radius
                inner[n] = ((i + 1) * wide + j + 1) * wide + k + 1
                n += 1
    n = 0
    for i in range(-1, 2):
        for j in range(-1, 2):
            for k in range(-1, 2):
                step = (i * wide + j) * wide + k
                if step > 0:
                    steps[n], near[n], near[25 - n] = step, step, -step
                    n += 1
    logs = np.log2(np.maximum(np.arange(26 * most + 2), 1))
    table, cells = np.zeros((most + 1, most + 1), dtype=np.int64), np.empty((13 * most, 3), dtype=np.int64)
    apart, together = np.zeros(n_levels, dtype=np.int64), np.zeros(2 * n_levels + 1, dtype=np.int64)
    work = (table, table.copy(), cells, cells.copy(), apart, together, logs)
    seen, counts = np.zeros(n_levels + 1, dtype=np.int64), np.zeros(n_levels, dtype=np.int64)
    cube, there = np.zeros(wide**3, dtype=np.int64), np.empty(most, dtype=np.int64)
    around, ranks, values = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64), np.empty(most)
    bright_there, row = np.empty(most), np.empty(122)
    found = np.empty((len(places), len(wanted)), dtype=np.float32)
    for p in range(len(places)):
        n = 0
        for t in range(most):
            level = flat[places[p] + source[t]]
            cube[inner[t]] = 0
            if level > 0:
                there[n], around[n], bright_there[n] = inner[t], level, bright[places[p] + source[t]]
                n += 1
        k = ranked(around, n, seen, values, ranks)
        for i in range(n):
            cube[there[i]] = ranks[i] + 1
        given = (cube, there[:n])
        _of_values(bright_there[:n], around[:n], counts, logs, row)
        pairs_and_runs(*given, steps, options[0] > 0, values[:k], work, (row[41:66], row[66:83]))
        zones_in(*given, near, values[:k], work, row[83:100])
        neighbours_in(*given, near, options[1], values[:k], work, (row[100:105], row[105:122]))
        for f in range(len(wanted)):
            found[p, f] = row[wanted[f]]
    return found


@njit(cache=True, nogil=True)
def _of_values(bright: Floats, levels: Whole, counts: Whole, logs: Floats, row: Floats) -> None:
    """`STATISTICS` of intensities and `HISTOGRAM` of levels; ``counts`` [n_levels] is all 0, and is so again."""
    n = len(bright)
    statistics_of(np.sort(bright), n, row[:18])
    for level in levels:
        counts[level - 1] += 1
    statistics_of(np.sort(levels).astype(np.float64), n, row[18:34])
    histogram_of(counts, n, row[18], logs, row[34:41])
    for level in levels:
        counts[level - 1] = 0


def warm_up_maps() -> None:
    """Compile these loops, or load them from the cache on disk: some seconds the first time on a machine, then none."""
    levels = np.zeros((3, 3, 3), dtype=np.int32)
    levels[1, 1, 1] = 1
    columns = np.arange(122)
    features_around(levels, levels.astype(np.float64), np.array([13]), 1, 1, np.zeros(2, dtype=np.int64), columns)
