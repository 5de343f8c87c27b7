"""Luminance and colour differences as RGB, by the formulas of PS3.3 C.7.6.3.1.2."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Luminance 16 to 235, colour differences around 128.
_PARTIAL = np.linalg.inv(np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])).T
_PARTIAL_OFFSET = np.array([16.0, 128.0, 128.0])


def rgb_of_full(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [..., 3] of YBR_FULL, rounded and clipped.

    R = Y + 1.402 (Cr - 128), G = Y - 0.114 x 1.772 / 0.587 (Cb - 128) - 0.299 x 1.402 / 0.587 (Cr - 128),
    B = Y + 1.772 (Cb - 128). Luminance is whole, so what is added to it can be rounded beforehand, for every pair of
    differences: the same values as rounding the sums, by looking up instead of multiplying.
    """
    red, green, blue = _added()
    y, cb, cr = ybr[..., 0].astype(np.int16), ybr[..., 1], ybr[..., 2]
    out = np.empty(ybr.shape, dtype=np.uint8)
    for channel, added in enumerate((red[cr], green[cb.astype(np.uint16) * np.uint16(256) + cr], blue[cb])):
        np.clip(y + added, 0, 255, out=out[..., channel], casting="unsafe")
    return out


@cache
def _added() -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
    """What is added to luminance for red (by Cr), green (by Cb x 256 + Cr) and blue (by Cb)."""
    difference = np.arange(256) - 128.0
    green = -0.114 * 1.772 / 0.587 * difference[:, None] - 0.299 * 1.402 / 0.587 * difference[None]
    red, blue = 1.402 * difference, 1.772 * difference
    return _rounded(red), _rounded(green.ravel()), _rounded(blue)


def _rounded(values: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    return np.asarray(np.floor(values + 0.5).astype(np.int16))


def rgb_of_partial(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [..., 3] of YBR_PARTIAL (luminance 16 to 235), rounded and clipped."""
    values = (ybr.astype(np.float64) - _PARTIAL_OFFSET) @ _PARTIAL
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
