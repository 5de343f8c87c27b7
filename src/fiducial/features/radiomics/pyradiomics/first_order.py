"""Intensities of a region by PyRadiomics' definitions: its bins, and its first-order features in one compiled walk."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics.matrix_formulas import spread_of
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
MOST_BINS = 2**24
FIRST_ORDER = (
    "10Percentile",
    "90Percentile",
    "Energy",
    "Entropy",
    "InterquartileRange",
    "Kurtosis",
    "Maximum",
    "Mean",
    "MeanAbsoluteDeviation",
    "Median",
    "Minimum",
    "Range",
    "RobustMeanAbsoluteDeviation",
    "RootMeanSquared",
    "Skewness",
    "StandardDeviation",
    "TotalEnergy",
    "Uniformity",
    "Variance",
)
"""In the order in which compiled code gives them."""


def discretised(values: NDArray[Any], settings: ImageTypeSettings) -> Whole:
    """Grey levels from 1 on: bins of a width whose edges are its multiples, or a number of bins between the extremes.

    With a number of bins, a region of one intensity has the level in the middle, as NumPy's histogram has it, whose
    edges have the precision of the intensities.

    Raises:
        InputRefused: ``too-many-grey-levels``: more bins than memory can be expected to hold; ``not-finite``: a range
            beyond all numbers, as a filter may make of huge intensities.
    """
    low, high = values.min(), values.max()
    if not math.isfinite(float(high) - float(low)):
        raise InputRefused("not-finite: intensities so large that they, or their range, overflow")
    if settings.bin_count is None:
        first, last, width = float(low), float(high), settings.bin_width
        if (last - first) / width > MOST_BINS:
            raise InputRefused(f"too-many-grey-levels: {(last - first) / width:.1e}: widen binWidth for this image")
        edges = np.arange(first - first % width, last + 2 * width, width)
    else:
        kind = np.dtype(np.float64) if values.dtype.kind in "iu" else values.dtype
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, settings.bin_count + 1, dtype=kind)
        edges[-1] += 1  # the largest intensity belongs to the last bin
    return np.searchsorted(edges, values, side="right")


def first_order(values: NDArray[Any], levels: Whole, voxel_mm3: float, shift: float) -> dict[str, float]:
    """Of intensities [n] and their grey levels [n]; kurtosis is 3 for a normal distribution."""
    found = first_order_of(np.sort(values).astype(np.float64), np.bincount(levels), voxel_mm3, float(shift))
    return dict(zip(FIRST_ORDER, found.tolist(), strict=True))


@njit(cache=True, nogil=True)
def first_order_of(x: Floats, counts: Whole, voxel_mm3: float, shift: float) -> Floats:
    """`FIRST_ORDER` of sorted intensities, and of the number of voxels of each grey level."""
    n, out = len(x), np.empty(19)
    p10, q1, q3, p90 = _percentile(x, 0.1), _percentile(x, 0.25), _percentile(x, 0.75), _percentile(x, 0.9)
    mean, variance, third, fourth, absolute, robust = spread_of(x, n, p10, p90)
    energy, entropy, uniformity = 0.0, 0.0, 0.0
    for i in range(n):
        energy += (x[i] + shift) ** 2
    for count in counts:
        if count > 0:
            entropy -= count / n * np.log2(count / n)
            uniformity += (count / n) ** 2
    out[0], out[1], out[2], out[3], out[4] = p10, p90, energy, entropy, q3 - q1
    out[5] = fourth / variance**2 if variance**2 > 0 else 0.0
    out[6], out[7], out[8], out[9], out[10] = x[n - 1], mean, absolute, (x[(n - 1) // 2] + x[n // 2]) / 2, x[0]
    out[11], out[12], out[13] = x[n - 1] - x[0], robust, np.sqrt(energy / n)
    out[14] = third / variance**1.5 if variance**2 > 0 else 0.0
    out[15], out[16], out[17], out[18] = np.sqrt(variance), energy * voxel_mm3, uniformity, variance
    return out


@njit(cache=True, nogil=True)
def _percentile(x: Floats, share: float) -> float:
    """Between two of the sorted intensities, rounded as NumPy has it."""
    place = (len(x) - 1) * share
    low = int(place)
    part, apart = place - low, x[min(low + 1, len(x) - 1)] - x[low]
    return float(x[low] + apart * part if part < 0.5 else x[min(low + 1, len(x) - 1)] - apart * (1 - part))
