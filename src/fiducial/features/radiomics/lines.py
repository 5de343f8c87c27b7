"""Convolution along the axes of an image, of which only the box that is wanted is computed.

A kernel along one axis is a `Line`. Where lines follow each other (along one axis, or along several), each works on
what the next ones need of it, and no more; places beyond the image are looked up by the boundary rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fiducial.errors import InputRefused

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Box = tuple[slice, ...]
BOUNDARIES = ("zero", "nearest", "periodic", "mirror")
"""What lies beyond an image; a mirror repeats the outermost voxel."""


@dataclass(frozen=True)
class Line:
    """``response[i] = sum over m of coefficients[m] · image[i + after - m]``, along one axis."""

    coefficients: tuple[float, ...]
    after: int

    @staticmethod
    def of(coefficients: Sequence[float] | Floats) -> Line:
        """A kernel about its middle (of an even number of coefficients, the second of the two in the middle)."""
        return Line(tuple(float(c) for c in coefficients), len(coefficients) // 2)

    def mirrored(self) -> Line:
        """The kernel that answers to a mirrored image as this one to the image."""
        return Line(self.coefficients[::-1], len(self.coefficients) - 1 - self.after)


Term = tuple[tuple[Line, ...], ...]
"""The lines along x, y and z, one after another; along an axis there may be none."""


def responses(image: Floats, terms: Sequence[Term], boundary: str, box: Box | None = None) -> Iterator[Floats]:
    """The response of an image [x, y, z] to each term, within a box of it; what terms begin with alike is done once.

    Raises:
        InputRefused: another boundary rule.
    """
    if boundary not in BOUNDARIES:
        raise InputRefused(f"boundary {boundary!r}", legal=", ".join(BOUNDARIES))
    box = box or tuple(slice(0, n) for n in image.shape)
    planned = [
        [_plan(n, lines, keep, boundary) for n, lines, keep in zip(image.shape, term, box, strict=True)]
        for term in terms
    ]
    # One part of the image serves all.
    seen = tuple(
        slice(min(plan[axis][0].start for plan in planned), max(plan[axis][0].stop for plan in planned))
        for axis in range(3)
    )
    cut = np.ascontiguousarray(image[seen], dtype=np.float64)
    done: dict[Term, Floats] = {}
    for term, plan in zip(terms, planned, strict=True):
        result = cut
        for axis, (wider, stages) in enumerate(plan):
            if term[: axis + 1] in done:
                result = done[term[: axis + 1]]
                continue
            if not stages:
                inner = slice(wider.start - seen[axis].start, wider.stop - seen[axis].start)
                result = np.ascontiguousarray(result[(slice(None),) * axis + (inner,)])
            for number, (places, coefficients) in enumerate(stages):
                at = np.where(places < 0, -1, places - seen[axis].start) if number == 0 else places
                result = _convolved(result, at, coefficients, axis)
            if axis < 2:
                done[term[: axis + 1]] = result
        yield result


def needed(shape: tuple[int, ...], term: Term, boundary: str, box: Box) -> Box:
    """The part of an image that the response to a term within a box depends on."""
    return tuple(_plan(n, lines, keep, boundary)[0] for n, lines, keep in zip(shape, term, box, strict=True))


def _plan(n: int, lines: tuple[Line, ...], keep: slice, boundary: str) -> tuple[slice, list[tuple[Places, Floats]]]:
    """What lines along an axis of n voxels need to give a part of it, and each line's places in what comes before it.

    The places of the first line are indices of the axis.
    """
    stages: list[tuple[Places, Floats]] = []
    wanted = keep
    for line in reversed(lines):
        places = _looked_up(
            n, wanted.start + line.after - len(line.coefficients) + 1, wanted.stop + line.after, boundary
        )
        there = places[places >= 0]
        if stages:
            stages[0] = (np.where(stages[0][0] < 0, -1, stages[0][0] - wanted.start), stages[0][1])
        stages.insert(0, (places, np.array(line.coefficients)))
        wanted = slice(int(there.min()), int(there.max()) + 1) if there.size else keep
    return wanted, stages


def _looked_up(n: int, first: int, end: int, boundary: str) -> Places:
    """Where an axis of n voxels is read for the places ``first`` to ``end``; -1: nothing lies there."""
    places = np.arange(first, end, dtype=np.int64)
    if first >= 0 and end <= n:
        return places
    if boundary == "nearest":
        return np.clip(places, 0, n - 1)
    if boundary == "periodic":
        return places % n
    if boundary == "mirror":
        within = places % (2 * n)
        return np.where(within < n, within, 2 * n - 1 - within)
    return np.where((places < 0) | (places >= n), -1, places)


def _convolved(image: Floats, places: Places, coefficients: Floats, axis: int) -> Floats:
    """``response[i] = sum over m of coefficients[m] · image[places[i + n - 1 - m]]`` along an axis; n coefficients."""
    x, y, z = image.shape
    if z == 1 and axis < 2:
        # The loops run along the last axis: it should be a long one.
        flat = _convolved(image.reshape(1, x, y), places, coefficients, axis + 1)
        return flat.reshape(flat.shape[1], flat.shape[2], 1)
    if places.min() < 0:
        image = np.concatenate([image, np.zeros_like(np.take(image, [0], axis=axis))], axis=axis)
        places = np.where(places < 0, image.shape[axis] - 1, places)
    taps = np.flatnonzero(coefficients)
    given = (image, places, coefficients[taps], len(coefficients) - 1 - taps, len(places) - len(coefficients) + 1)
    return np.asarray(along_lines(*given) if axis == 2 else across_lines(*given, axis))


@njit(cache=True, nogil=True)
def along_lines(image: Floats, places: Places, coefficients: Floats, back: Places, n_out: int) -> Floats:
    """``out[i] = sum over m of coefficients[m] · image[places[i + back[m]]]``, where voxels lie one after another."""
    n_x, n_y, _ = image.shape
    out = np.zeros((n_x, n_y, n_out))
    line = np.empty(len(places))
    for x in range(n_x):
        for y in range(n_y):
            row, to = image[x, y], out[x, y]
            for k in range(len(places)):
                line[k] = row[places[k]]
            for m in range(0, len(back) - 3, 4):
                a, b = line[back[m] : back[m] + n_out], line[back[m + 1] : back[m + 1] + n_out]
                c, d = line[back[m + 2] : back[m + 2] + n_out], line[back[m + 3] : back[m + 3] + n_out]
                _add_four(a, b, c, d, coefficients[m : m + 4], to)
            for m in range(len(back) - len(back) % 4, len(back)):
                _add(line[back[m] : back[m] + n_out], coefficients[m], to)
    return out


@njit(cache=True, nogil=True)
def across_lines(image: Floats, places: Places, coefficients: Floats, back: Places, n_out: int, axis: int) -> Floats:
    """The same along the first or second axis: rows of the last axis are added up as wholes."""
    n_x, n_y, n_z = image.shape
    out = np.zeros((n_out, n_y, n_z) if axis == 0 else (n_x, n_out, n_z))
    for x in range(out.shape[0]):
        for y in range(out.shape[1]):
            to, at = out[x, y], x if axis == 0 else y
            for m in range(0, len(back) - 3, 4):
                i, j = places[at + back[m]], places[at + back[m + 1]]
                k, h = places[at + back[m + 2]], places[at + back[m + 3]]
                if axis == 0:
                    a, b, c, d = image[i, y], image[j, y], image[k, y], image[h, y]
                else:
                    a, b, c, d = image[x, i], image[x, j], image[x, k], image[x, h]
                _add_four(a, b, c, d, coefficients[m : m + 4], to)
            for m in range(len(back) - len(back) % 4, len(back)):
                i = places[at + back[m]]
                _add(image[i, y] if axis == 0 else image[x, i], coefficients[m], to)
    return out


@njit(cache=True, nogil=True, inline="always")
def _add(row: Floats, coefficient: float, to: Floats) -> None:
    for z in range(len(to)):
        to[z] += coefficient * row[z]


@njit(cache=True, nogil=True, inline="always")
def _add_four(a: Floats, b: Floats, c: Floats, d: Floats, four: Floats, to: Floats) -> None:
    """Four at a time: the sum is read and written once for them."""
    p, q, r, s = four[0], four[1], four[2], four[3]
    for z in range(len(to)):
        to[z] += p * a[z] + q * b[z] + r * c[z] + s * d[z]


def warm_up_lines() -> None:
    """Compile these loops, or load them from the cache on disk."""
    given = np.zeros((1, 1, 1)), np.zeros(1, dtype=np.int64), np.ones(1), np.zeros(1, dtype=np.int64), 1
    along_lines(*given)
    across_lines(*given, 0)
