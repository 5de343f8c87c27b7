"""Compiled loops of the shape of a region: what its surface is made of, its outermost voxels, enclosing bodies."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@njit(cache=True, nogil=True)
def cube_counts(mask: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """The cubes between voxel centres by which of their eight corners lie inside, the array in a layer of outside.

    Corner (dx, dy, dz) is bit ``4 dx + 2 dy + dz``.

    Returns:
        Number of cubes [256], and the sums of their places [256, 3] (those of their first corner in the array with its
        layer) where they are neither empty nor full.
    """
    n_x, n_y, n_z = mask.shape
    counts, places = np.zeros(256, dtype=np.int64), np.zeros((256, 3), dtype=np.int64)
    for x in range(n_x + 1):
        for y in range(n_y + 1):
            a, b = x > 0 and y > 0, x > 0 and y < n_y
            c, d = x < n_x and y > 0, x < n_x and y < n_y
            code = 0
            for z in range(n_z + 1):
                # What was the far corner in z is the near one now.
                code = (code & 0b10101010) >> 1
                if z < n_z:
                    if a and mask[x - 1, y - 1, z]:
                        code |= 2
                    if b and mask[x - 1, y, z]:
                        code |= 8
                    if c and mask[x, y - 1, z]:
                        code |= 32
                    if d and mask[x, y, z]:
                        code |= 128
                counts[code] += 1
                if 0 < code < 255:
                    places[code, 0] += x
                    places[code, 1] += y
                    places[code, 2] += z
    return counts, places


@njit(cache=True, nogil=True)
def moments(mask: NDArray[np.bool_]) -> Whole:
    """Of the places (x, y, z) of a mask's voxels: n, Σx, Σy, Σz, Σxx, Σxy, Σxz, Σyy, Σyz, Σzz."""
    found = np.zeros(10, dtype=np.int64)
    for x in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            n, s, t = 0, 0, 0
            for z in range(mask.shape[2]):
                if mask[x, y, z]:
                    n += 1
                    s += z
                    t += z * z
            found[0] += n
            found[1] += n * x
            found[2] += n * y
            found[3] += s
            found[4] += n * x * x
            found[5] += n * x * y
            found[6] += s * x
            found[7] += n * y * y
            found[8] += s * y
            found[9] += t
    return found


@njit(cache=True, nogil=True)
def ends_of_lines(mask: NDArray[np.bool_]) -> Whole:
    """The first and the last voxel of each line along z [n, 3], by x, then y, then z."""
    n_x, n_y, n_z = mask.shape
    found = np.empty((2 * n_x * n_y, 3), dtype=np.int64)
    n = 0
    for x in range(n_x):
        for y in range(n_y):
            low, high = -1, -1
            for z in range(n_z):
                if mask[x, y, z]:
                    low = z
                    break
            if low < 0:
                continue
            for z in range(n_z - 1, low - 1, -1):
                if mask[x, y, z]:
                    high = z
                    break
            found[n, 0], found[n, 1], found[n, 2] = x, y, low
            n += 1
            if high > low:
                found[n, 0], found[n, 1], found[n, 2] = x, y, high
                n += 1
    return found[:n].copy()


@njit(cache=True, nogil=True)
def _turns_right(points: Floats, a: int, b: int, c: int) -> bool:
    """Whether the way from point a over b to c does not turn left."""
    along_x, along_y = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
    return bool(along_x * (points[c, 1] - points[a, 1]) <= along_y * (points[c, 0] - points[a, 0]))


@njit(cache=True, nogil=True)
def outline(points: Floats) -> Whole:
    """Indices of the corners of the convex hull of points [n, 2] sorted by the first coordinate, then the second.

    Andrew's monotone chain (1979); points on an edge are no corners.
    """
    n = len(points)
    if n < 3:
        return np.arange(n)
    chain = np.empty(2 * n, dtype=np.int64)
    k = 0
    for i in range(n):
        while k >= 2 and _turns_right(points, chain[k - 2], chain[k - 1], i):
            k -= 1
        chain[k] = i
        k += 1
    lower = k
    for i in range(n - 2, -1, -1):
        while k > lower and _turns_right(points, chain[k - 2], chain[k - 1], i):
            k -= 1
        chain[k] = i
        k += 1
    return chain[: k - 1].copy()


@njit(cache=True, nogil=True)
def corners_by_plane(planes: Whole, points: Floats) -> Whole:
    """Indices of the corners of each plane's outline; points [n, 2] are sorted by plane, then as for `outline`."""
    kept = np.empty(len(points), dtype=np.int64)
    n, start = 0, 0
    while start < len(points):
        end = start
        while end < len(points) and planes[end] == planes[start]:
            end += 1
        for i in outline(points[start:end]):
            kept[n] = start + i
            n += 1
        start = end
    return kept[:n].copy()


def outermost(points: Whole, axis: int) -> Whole:
    """Points [n, 3] that are corners of the outline of their plane across ``axis``; the hull has no other corners."""
    b, c = (axis + 1) % 3, (axis + 2) % 3
    ordered = points[np.lexsort((points[:, c], points[:, b], points[:, axis]))]
    flat = np.column_stack([ordered[:, b], ordered[:, c]]).astype(np.float64)
    return np.asarray(ordered[corners_by_plane(np.ascontiguousarray(ordered[:, axis]), flat)])


@njit(cache=True, nogil=True)
def longest_distance(points: Floats) -> float:
    """The largest distance between two of the points [n, 3]."""
    longest = 0.0
    for i in range(len(points)):
        for j in range(i):
            x, y, z = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
            longest = max(longest, x * x + y * y + z * z)
    return float(np.sqrt(longest))


@njit(cache=True, nogil=True)
def _frame(direction: Floats) -> tuple[Floats, Floats, Floats]:
    """Three unit vectors at right angles, the first along a direction."""
    normal = direction / np.sqrt((direction**2).sum())
    axis = np.zeros(3)
    axis[np.abs(normal).argmin()] = 1.0
    first = np.cross(normal, axis)
    first /= np.sqrt((first**2).sum())
    return normal, first, np.cross(normal, first)


@njit(cache=True, nogil=True)
def boxes_on(normals: Floats, corners: Floats) -> Floats:
    """Sides [n, 3] of the smallest box around corners [m, 3] with a face across each normal [n, 3]."""
    m = len(corners)
    sides = np.empty((len(normals), 3))
    flat, ordered = np.empty((m, 2)), np.empty((m, 2))
    for k in range(len(normals)):
        normal, first, second = _frame(normals[k])
        low, high = np.inf, -np.inf
        for i in range(m):
            x, y, z = corners[i, 0], corners[i, 1], corners[i, 2]
            flat[i, 0] = x * first[0] + y * first[1] + z * first[2]
            flat[i, 1] = x * second[0] + y * second[1] + z * second[2]
            height = x * normal[0] + y * normal[1] + z * normal[2]
            low, high = min(low, height), max(high, height)
        order = np.argsort(flat[:, 0])
        for i in range(m):
            ordered[i, 0], ordered[i, 1] = flat[order[i], 0], flat[order[i], 1]
        _settle(ordered)
        ring = outline(ordered)
        best, width, depth = np.inf, 0.0, 0.0
        for e in range(len(ring)):
            p, q = ring[e], ring[(e + 1) % len(ring)]
            ux, uy = ordered[q, 0] - ordered[p, 0], ordered[q, 1] - ordered[p, 1]
            length = np.sqrt(ux * ux + uy * uy)
            if length == 0:
                continue
            ux, uy = ux / length, uy / length
            near, far, left, right = np.inf, -np.inf, np.inf, -np.inf
            for i in ring:
                along, across = ordered[i, 0] * ux + ordered[i, 1] * uy, ordered[i, 1] * ux - ordered[i, 0] * uy
                near, far = min(near, along), max(far, along)
                left, right = min(left, across), max(right, across)
            if (far - near) * (right - left) < best:
                best, width, depth = (far - near) * (right - left), far - near, right - left
        sides[k, 0], sides[k, 1], sides[k, 2] = high - low, width, depth
    return sides


@njit(cache=True, nogil=True)
def _settle(points: Floats) -> None:
    """Sort by the second coordinate where the first is equal."""
    for i in range(1, len(points)):
        j = i
        while j > 0 and points[j - 1, 0] == points[j, 0] and points[j - 1, 1] > points[j, 1]:
            x, y = points[j, 0], points[j, 1]
            points[j, 0], points[j, 1] = points[j - 1, 0], points[j - 1, 1]
            points[j - 1, 0], points[j - 1, 1] = x, y
            j -= 1


@njit(cache=True, nogil=True)
def _inverted(matrix: Floats) -> Floats:
    """The inverse of a positive definite matrix, by elimination."""
    n = len(matrix)
    left, right = matrix.copy(), np.zeros((n, n))
    for i in range(n):
        right[i, i] = 1.0
    for i in range(n):
        pivot = left[i, i]
        for c in range(n):
            left[i, c] /= pivot
            right[i, c] /= pivot
        for r in range(n):
            factor = left[r, i]
            if r != i:
                for c in range(n):
                    left[r, c] -= factor * left[i, c]
                    right[r, c] -= factor * right[i, c]
    return right


@njit(cache=True, nogil=True)
def ellipsoid_weights(lifted: Floats, tolerance: float, most_steps: int) -> Floats:
    """Weights [n] of points that span the ellipsoid of least volume around them (Khachiyan, with away steps).

    Todd and Yildirim 2007, algorithm 4.2: stops where the volume is within about ``3 · tolerance`` of the least one.

    Args:
        lifted: points [n, d + 1] about their centre; the last coordinate is 1.
        tolerance: of the distance from the optimum.
        most_steps: after which the weights are returned as they are.
    """
    n, d = lifted.shape[0], lifted.shape[1] - 1
    weights = np.full(n, 1 / n)
    matrix = np.zeros((d + 1, d + 1))
    for i in range(n):
        for a in range(d + 1):
            for b in range(d + 1):
                matrix[a, b] += lifted[i, a] * lifted[i, b] / n
    for _ in range(most_steps):
        inverse = _inverted(matrix)
        far, near, highest, lowest = 0, 0, -np.inf, np.inf
        for i in range(n):
            reach = 0.0
            for a in range(d + 1):
                part = 0.5 * inverse[a, a] * lifted[i, a]
                for b in range(a):
                    part += inverse[a, b] * lifted[i, b]
                reach += 2 * part * lifted[i, a]
            if reach > highest:
                far, highest = i, reach
            if weights[i] > 0 and reach < lowest:
                near, lowest = i, reach
        above, below = highest / (d + 1) - 1, 1 - lowest / (d + 1)
        if max(above, below) <= tolerance:
            break
        k = far if above >= below else near
        reach = highest if above >= below else lowest
        step = (reach - d - 1) / ((d + 1) * (reach - 1))
        if above < below:
            step = max(step, -weights[k] / (1 - weights[k]))
        for i in range(n):
            weights[i] *= 1 - step
        weights[k] += step
        if weights[k] < 1e-15:
            weights[k] = 0.0
        for a in range(d + 1):
            for b in range(d + 1):
                matrix[a, b] = (1 - step) * matrix[a, b] + step * lifted[k, a] * lifted[k, b]
    return weights


def warm_up_solids() -> None:
    """Compile these loops, or load them from the cache on disk."""
    mask = np.ones((2, 2, 2), dtype=np.bool_)
    cube_counts(mask)
    moments(mask)
    corners = outermost(ends_of_lines(mask), 0).astype(np.float64)
    longest_distance(corners)
    boxes_on(np.eye(3), corners)
    ellipsoid_weights(np.column_stack([corners - 0.5, np.ones(len(corners))]), 1e-3, 10)
