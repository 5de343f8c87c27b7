"""The Laplacian of a recursive Gaussian, as ITK has it, where it is wanted and nowhere else.

A Gaussian and its second derivative are approximated by recursive filters of fourth order, run over each line forwards
and backwards (Deriche 1993, with the constants that Farnebäck and Westin 2006 fitted). Lines do not know of each other,
so only those that the wanted box needs are run, and each only as far as the box: not a bit of the result changes.

ITK's choices, by which the result is SimpleITK's to the last bit (but for a voxel in a million): the second derivative
along an axis comes first and the other axes, in order, are smoothed after it; lines are computed in double precision
and kept in single; beyond its ends a line goes on with the value there; each axis' part is divided by the square of its
spacing, and added up in single precision.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Box = tuple[slice, slice, slice]

WAVES = ((0.6681, -1.3932), (2.0787, -1.3732))
"""Frequency and decay (by σ) of the two damped waves whose sum approximates a Gaussian or a derivative of it."""
SMOOTH = ((1.3530, 1.8151), (-0.3531, 0.0902))
CURVED = ((-1.3563, 5.2318), (0.3446, -2.2355))
"""Weights of cosine and sine of each wave: of the Gaussian, and of its second derivative."""
AT_ONCE = 16
"""Lines that are run side by side."""
REACH = 4
"""Voxels that the recursion looks back."""


def laplacian(image: NDArray[Any], spacing_mm: tuple[float, ...], sigma_mm: float, box: Box) -> Single:
    """σ² times the Laplacian of a Gaussian of an image [x, y, z], within a box.

    Args:
        image: at least four voxels along each axis.
        spacing_mm: of voxel centres.
        sigma_mm: standard deviation of the Gaussian.
        box: slices with a start and an end.

    Sources: Deriche, INRIA report 1893 (1993); Farnebäck and Westin, J. Math. Imaging Vis. 26 (2006).
    """
    zyx, parts = as_walked(image).T, box[::-1]
    total = np.zeros([part.stop - part.start for part in parts], dtype=np.float32)
    for derived, mm in enumerate(spacing_mm):
        made = _along(zyx, 2 - derived, curvature(sigma_mm / mm, sigma_mm**2), parts)
        for axis in (axis for axis in range(3) if axis != derived):
            made = _along(made, 2 - axis, gaussian(sigma_mm / spacing_mm[axis]), parts)
        total = (total + made * (1 / np.float64(mm) ** 2)).astype(np.float32)
    return total.T


def as_walked(image: NDArray[Any]) -> NDArray[Any]:
    """An image as the filter walks it, x fastest; whole numbers of up to 16 bits are whole in single precision."""
    return np.asfortranarray(image, dtype=np.result_type(image, np.float32))


def _along(image: NDArray[Any], axis: int, weights: Floats, parts: tuple[slice, ...]) -> Single:
    """A filter along one axis, of which its part is kept."""
    before, after = image.shape[:axis], image.shape[axis + 1 :]
    first, end = parts[axis].start, parts[axis].stop
    lines = image.reshape(math.prod(before), image.shape[axis], math.prod(after))
    return filtered_lines(lines, weights, first, end).reshape(*before, end - first, *after)


@lru_cache(maxsize=64)
def gaussian(sigma: float) -> Floats:
    """The filter of a Gaussian of σ voxels, its sum 1; rows of weights forwards, backwards and of outputs."""
    forwards, outputs = _forwards(SMOOTH, sigma), _outputs(sigma)
    return _both_ways(forwards / (2 * forwards.sum() / outputs.sum() - forwards[0]), outputs)


@lru_cache(maxsize=64)
def curvature(sigma: float, scale: float) -> Floats:
    """The filter of its second derivative, which makes 0 of a constant and 2 · scale of a square."""
    outputs = _outputs(sigma)
    forwards, smooth = _forwards(CURVED, sigma), _forwards(SMOOTH, sigma)
    s_d, d_d, e_d = _moments(outputs)
    forwards = forwards - smooth * ((2 * forwards.sum() - s_d * forwards[0]) / (2 * smooth.sum() - s_d * smooth[0]))
    s_n, d_n, e_n = _moments(forwards)
    square = (e_n * s_d**2 - e_d * s_n * s_d - 2 * d_n * d_d * s_d + 2 * d_d**2 * s_n) / s_d**3
    return _both_ways(forwards * (scale / square), outputs)


def _forwards(weights: tuple[tuple[float, float], ...], sigma: float) -> Floats:
    """Weights of the voxel itself and the three before it."""
    (a, p), (b, q) = weights
    (v, k), (w, m) = WAVES
    sin_v, sin_w, cos_v, cos_w = np.sin(v / sigma), np.sin(w / sigma), np.cos(v / sigma), np.cos(w / sigma)
    exp_k, exp_m = np.exp(k / sigma), np.exp(m / sigma)
    first = exp_m * (q * sin_w - (b + 2 * a) * cos_w) + exp_k * (p * sin_v - (a + 2 * b) * cos_v)
    second = 2 * exp_k * exp_m * ((a + b) * cos_w * cos_v - (p * cos_w * sin_v + q * cos_v * sin_w))
    second += b * exp_k**2 + a * exp_m**2
    third = exp_m * exp_k**2 * (q * sin_w - b * cos_w) + exp_k * exp_m**2 * (p * sin_v - a * cos_v)
    return np.array([a + b, first, second, third])


def _outputs(sigma: float) -> Floats:
    """1, and the weights of the four outputs before."""
    (v, k), (w, m) = WAVES
    cos_v, cos_w, exp_k, exp_m = np.cos(v / sigma), np.cos(w / sigma), np.exp(k / sigma), np.exp(m / sigma)
    return np.array(
        [
            1.0,
            -2 * (exp_m * cos_w + exp_k * cos_v),
            4 * cos_w * cos_v * exp_k * exp_m + exp_k**2 + exp_m**2,
            -2 * cos_v * exp_k * exp_m**2 - 2 * cos_w * exp_m * exp_k**2,
            exp_k**2 * exp_m**2,
        ]
    )


def _moments(weights: Floats) -> tuple[float, float, float]:
    """Σ w, Σ k w and Σ k² w."""
    k = np.arange(len(weights))
    return float(weights.sum()), float(k @ weights), float(k**2 @ weights)


def _both_ways(forwards: Floats, outputs: Floats) -> Floats:
    """A symmetric filter: backwards it leaves out the voxel itself, which forwards has counted."""
    backwards = np.append(forwards[1:], 0.0) - outputs[1:] * forwards[0]
    return np.stack([forwards, backwards, outputs[1:]])


@njit(cache=True, nogil=True)
def filtered_lines(lines: NDArray[Any], weights: Floats, start: int, stop: int) -> Single:
    """Places ``start`` to ``stop`` of each line of [line, place, line], which is run ``AT_ONCE`` at a time."""
    n_before, n, n_after = lines.shape
    # Side by side in memory; the last of a row are taken with some that were run before.
    wide = n_after >= AT_ONCE
    made = np.empty((n_before, stop - start, n_after), dtype=np.float32)
    # With as many places before and after as the recursion looks back.
    given, forwards = np.zeros((n + 2 * REACH, AT_ONCE)), np.empty((n + 2 * REACH, AT_ONCE))
    backwards = np.empty((n + 2 * REACH, AT_ONCE))
    line, n_lines = 0, n_before * n_after
    while line < n_lines:
        if wide:
            line -= max(line % n_after - (n_after - AT_ONCE), 0)
        many = min(AT_ONCE, n_lines - line)
        _take(lines, line, many, wide, given)
        _run(given, weights, forwards, stop)
        _run_back(given, weights, backwards, start)
        _put(made, line, many, wide, forwards[start + REACH :], backwards[start + REACH :])
        line += many
    return made


@njit(cache=True, nogil=True)
def _take(lines: NDArray[Any], line: int, many: int, wide: bool, given: Floats) -> None:
    """Lines from one on, side by side."""
    _, n, n_after = lines.shape
    if wide:
        a, c = line // n_after, line % n_after
        for i in range(n):
            for j in range(AT_ONCE):
                given[i + REACH, j] = lines[a, i, c + j]
    else:
        for j in range(many):
            a, c = (line + j) // n_after, (line + j) % n_after
            for i in range(n):
                given[i + REACH, j] = lines[a, i, c]


@njit(cache=True, nogil=True)
def _put(made: Single, line: int, many: int, wide: bool, forwards: Floats, backwards: Floats) -> None:
    """And back where they belong, the sum of both ways."""
    _, n, n_after = made.shape
    if wide:
        a, c = line // n_after, line % n_after
        for i in range(n):
            for j in range(AT_ONCE):
                made[a, i, c + j] = forwards[i, j] + backwards[i, j]
    else:
        for j in range(many):
            a, c = (line + j) // n_after, (line + j) % n_after
            for i in range(n):
                made[a, i, c] = forwards[i, j] + backwards[i, j]


@njit(cache=True, nogil=True)
def _run(x: Floats, weights: Floats, y: Floats, stop: int) -> None:
    """Forwards up to place ``stop``; before its begin a line was always as it is there."""
    n0, n1, n2, n3 = weights[0]
    d1, d2, d3, d4 = weights[2]
    steady = (n0 + n1 + n2 + n3) / (1 + d1 + d2 + d3 + d4)
    for i in range(REACH):
        for j in range(AT_ONCE):
            x[i, j] = x[REACH, j]
            y[i, j] = x[REACH, j] * steady
    for i in range(REACH, stop + REACH):
        for j in range(AT_ONCE):
            put = x[i, j] * n0 + x[i - 1, j] * n1 + x[i - 2, j] * n2 + x[i - 3, j] * n3
            y[i, j] = put - (y[i - 1, j] * d1 + y[i - 2, j] * d2 + y[i - 3, j] * d3 + y[i - 4, j] * d4)


@njit(cache=True, nogil=True)
def _run_back(x: Floats, weights: Floats, y: Floats, start: int) -> None:
    """Backwards down to place ``start``; behind its end a line goes on as it is there."""
    m1, m2, m3, m4 = weights[1]
    d1, d2, d3, d4 = weights[2]
    steady = (m1 + m2 + m3 + m4) / (1 + d1 + d2 + d3 + d4)
    end = len(x) - REACH
    for i in range(end, end + REACH):
        for j in range(AT_ONCE):
            x[i, j] = x[end - 1, j]
            y[i, j] = x[end - 1, j] * steady
    for i in range(end - 1, start + REACH - 1, -1):
        for j in range(AT_ONCE):
            put = x[i + 1, j] * m1 + x[i + 2, j] * m2 + x[i + 3, j] * m3 + x[i + 4, j] * m4
            y[i, j] = put - (y[i + 1, j] * d1 + y[i + 2, j] * d2 + y[i + 3, j] * d3 + y[i + 4, j] * d4)
