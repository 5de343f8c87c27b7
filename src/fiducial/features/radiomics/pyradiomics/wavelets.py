"""Bands of PyRadiomics' undecimated wavelet transform, where they are wanted and nowhere else.

Boundaries are periodic, an odd side gets one voxel more (which is its first), and each level filters the low band of
the level before with the same filters: they are not spread. Products are summed in the order and the precision that
PyWavelets' ``swtn`` has, so that the bands are its bands to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def wavelet_bands(
    image: NDArray[Any], wavelet: str, box: Box, axes: tuple[int, ...], *, start_level: int, n_levels: int
) -> Iterator[tuple[int, str, NDArray[Any]]]:
    """Level from 1 on, band and its voxels in the box, band by band; the last level ends with its low band.

    Args:
        image: [x, y, z].
        wavelet: its name in PyWavelets.
        box: slices with a start and an end.
        axes: that are filtered, in this order; a band has a letter, L or H, for each.
        start_level: levels to go down first.
        n_levels: levels to give.
    """
    filters = _filters(wavelet, "f4" if image.dtype == np.float32 else "f8")
    n_taps, to_go = filters.shape[1], start_level + n_levels
    before, after = n_taps - 1 - n_taps // 2, n_taps // 2
    low = image
    for axis, part in enumerate(box):
        n = to_go if axis in axes else 0
        low = _window(low, axis, part.start - n * before, part.stop + n * after)
    low = np.ascontiguousarray(low, dtype=filters.dtype)
    for level in range(1 - start_level, n_levels + 1):
        bands = {"": low}
        for axis in axes:
            first = box[axis].start - (to_go - 1) * before
            made = {b: _filtered(array, axis, filters, first, image.shape[axis]) for b, array in bands.items()}
            bands = {band + letter: pair[k] for band, pair in made.items() for k, letter in enumerate("LH")}
        low, to_go = bands.pop("L" * len(axes)), to_go - 1
        # The levels to come look at what lies around the box.
        skip = [to_go * before if axis in axes else 0 for axis in range(3)]
        own = tuple(slice(n, n + part.stop - part.start) for n, part in zip(skip, box, strict=True))
        if level > 0:
            yield from ((level, band, array[own]) for band, array in bands.items())
    yield n_levels, "L" * len(axes), low


@cache
def _filters(wavelet: str, kind: str) -> NDArray[Any]:
    """Low and high filter [2, taps] as PyWavelets answers an impulse: those of single precision are rounded its way."""
    import pywt

    n_taps = pywt.Wavelet(wavelet).dec_len
    impulse = np.zeros(n_taps, dtype=kind)
    impulse[0] = 1
    return np.roll(np.array(pywt.swt(impulse, wavelet, level=1)[0]), n_taps // 2, axis=1)


def _window(array: NDArray[Any], axis: int, start: int, stop: int) -> NDArray[Any]:
    """Places ``start`` to ``stop`` along an axis of what goes on beyond its ends, by an even number of voxels."""
    n = array.shape[axis]
    if start >= 0 and stop <= n:
        return np.asarray(array[(slice(None),) * axis + (slice(start, stop),)])
    return np.asarray(np.take(array, np.arange(start, stop) % (n + n % 2) % n, axis=axis))


def _filtered(array: NDArray[Any], axis: int, filters: NDArray[Any], first: int, n_image: int) -> NDArray[Any]:
    """Low and high band [2, ...] along an axis, which gets shorter by what the filters need.

    ``first`` is the place of the first output in an image of ``n_image`` voxels along the axis.
    """
    rows, n_taps = np.moveaxis(array, axis, 0), filters.shape[1]
    n, even = len(rows) - n_taps + 1, n_image + n_image % 2
    beyond = np.arange(first, first + n) % even + n_taps // 2 - even + 1
    made = _convolved(np.ascontiguousarray(rows).reshape(len(rows), rows[0].size), filters, np.clip(beyond, 0, n_taps))
    return np.moveaxis(made.reshape(len(filters), n, *rows.shape[1:]), 1, axis + 1)


@njit(cache=True, nogil=True)
def _convolved(rows: NDArray[Any], filters: NDArray[Any], beyond: NDArray[np.int64]) -> NDArray[Any]:
    """Each filter along the first axis of rows, wherever it lies within; [filter, place, ...].

    Of an output, the taps that lie ``beyond`` the image's end are summed first, the farthest of them last.
    """
    n, n_after = rows.shape
    n_filters, n_taps = filters.shape
    made = np.zeros((n_filters, n - n_taps + 1, n_after), dtype=rows.dtype)
    for k in range(n_filters):
        for i in range(n - n_taps + 1):
            for j in range(n_taps):
                tap = beyond[i] - 1 - j if j < beyond[i] else j
                weight, row = filters[k, tap], rows[i + n_taps - 1 - tap]
                for c in range(n_after):
                    made[k, i, c] += weight * row[c]
    return made
