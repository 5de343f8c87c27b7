"""What a kernel does to an image and to its noise, and the slow mottling of lung."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from fiducial.errors import InputRefused

Volume = NDArray[np.float32]

KERNELS: dict[str, tuple[float, float, float]] = {
    "soft": (0.65, 0.95, 0.0),
    "medium": (0.45, 0.6, 0.0),
    "sharp": (0.3, 0.6, 0.75),
}
"""Per kernel: blur of the image (sigma, pixels); of the noise; how much of its low frequencies a sharp kernel takes."""

_BLUR_SLICES = 0.3


def _kernel(name: str) -> tuple[float, float, float]:
    if name not in KERNELS:
        raise InputRefused(f"kernel {name!r}", legal=", ".join(KERNELS))
    return KERNELS[name]


def blur(volume: Volume, kernel: str) -> Volume:
    """The image as the kernel resolves it: a Gaussian in the slice plane, a little of the neighbouring slices."""
    sigma = _kernel(kernel)[0]
    for axis, width in ((0, sigma), (1, sigma), (2, _BLUR_SLICES)):
        volume = gaussian_filter1d(volume, width, axis=axis, mode="nearest", truncate=3)
    return volume


def _response(sigma: float, n: int = 64) -> NDArray[np.float64]:
    """The discrete one-dimensional kernel that `gaussian_filter1d` applies, in the middle of n samples."""
    impulse = np.zeros(n)
    impulse[n // 2] = 1
    result: NDArray[np.float64] = gaussian_filter1d(impulse, sigma, mode="constant", truncate=3)
    return result


def noise_gain(kernel: str) -> float:
    """Standard deviation of white noise of unit variance after the kernel: the root of its squared weights' sum."""
    _, narrow, taken = _kernel(kernel)
    inner = np.outer(_response(narrow), _response(narrow))
    outer = np.outer(_response(2 * narrow), _response(2 * narrow))
    return float(np.sqrt(((inner - taken * outer) ** 2).sum()))


def noise(rng: np.random.Generator, shape: tuple[int, int, int], kernel: str) -> Volume:
    """Stationary noise of unit variance whose texture is the kernel's: grainy for sharp, mottled for soft.

    Correlated within a slice; slices are independent.
    """
    _, narrow, taken = _kernel(kernel)
    white = rng.standard_normal(shape, dtype=np.float32)
    field: Volume = gaussian_filter1d(white, narrow, axis=0, mode="wrap", truncate=3)
    field = gaussian_filter1d(field, narrow, axis=1, mode="wrap", truncate=3)
    if taken:
        low: Volume = gaussian_filter1d(white, 2 * narrow, axis=0, mode="wrap", truncate=3)
        field -= np.float32(taken) * gaussian_filter1d(low, 2 * narrow, axis=1, mode="wrap", truncate=3)
    field *= np.float32(1 / noise_gain(kernel))
    return field


def slow_field(rng: np.random.Generator, shape: tuple[int, int, int], n_voxels: int) -> Volume:
    """A smooth random field of about unit variance that changes over ``n_voxels`` voxels (linear between knots)."""
    knots = [max(2, -(-n // n_voxels) + 1) for n in shape]
    field: Volume = rng.standard_normal(knots, dtype=np.float32)
    for axis, (n, k) in enumerate(zip(shape, knots, strict=True)):
        position = np.linspace(0, k - 1, n)
        weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(k))).astype(np.float32)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field) * np.float32(1.8)
