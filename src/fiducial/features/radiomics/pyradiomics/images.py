"""PyRadiomics' image types: the image as it is, and what filters make of it (imageoperations, 3.0.1)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.pyradiomics.prepare import Spacing, from_itk, to_itk
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings

Made = tuple[str, "NDArray[Any] | None", str]
"""The name that features of the image begin with, the image (None where there is none), and why there is none."""
SMALLEST = 4
"""Voxels that the recursive Gaussian needs along each axis."""


def images_of(image_type: str, image: NDArray[Any], spacing_mm: Spacing, settings: ImageTypeSettings) -> Iterator[Made]:
    """The images of one type, in PyRadiomics' order."""
    return MAKERS[image_type](image, spacing_mm, settings)


def _original(image: NDArray[Any], _mm: Spacing, _settings: ImageTypeSettings) -> Iterator[Made]:
    yield "original", image, ""


def _log(image: NDArray[Any], spacing_mm: Spacing, settings: ImageTypeSettings) -> Iterator[Made]:
    """Laplacian of a recursive Gaussian, times σ²."""
    import SimpleITK

    for sigma in settings.sigma:
        name = f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"
        if min(image.shape) < SMALLEST:
            yield name, None, f"the image has fewer than {SMALLEST} voxels along an axis"
        elif any(n < np.ceil(sigma / mm) + 1 for n, mm in zip(image.shape, spacing_mm, strict=True)):
            yield name, None, f"the image is smaller than sigma ({sigma:g} mm) along an axis"
        else:
            made = SimpleITK.LaplacianRecursiveGaussianImageFilter()
            made.SetNormalizeAcrossScale(True)
            made.SetSigma(float(sigma))
            yield name, from_itk(made.Execute(to_itk(image, spacing_mm))), ""


def _wavelet(image: NDArray[Any], _mm: Spacing, settings: ImageTypeSettings) -> Iterator[Made]:
    """Bands of an undecimated wavelet transform beyond periodic boundaries, x first; an odd side gets one voxel more.

    Each level filters the low band of the level before with the same filters: they are not spread.
    """
    import pywt

    across = 2 - settings.force_2d_dimension if settings.force_2d else None
    axes = tuple(axis for axis in range(3) if axis != across)
    low = np.pad(image, [(0, n % 2) for n in image.shape], mode="wrap")
    own = tuple(slice(0, n) for n in image.shape)
    for _ in range(settings.start_level):
        low = pywt.swtn(low, settings.wavelet, level=1, axes=axes)[0]["a" * len(axes)]
    prefix = "wavelet"
    for level in range(1, settings.level + 1):
        prefix = "wavelet" if level == 1 else f"wavelet{level}"
        bands = pywt.swtn(low, settings.wavelet, level=1, axes=axes)[0]
        low = bands.pop("a" * len(axes))
        for band, made in bands.items():
            yield f"{prefix}-{band.replace('a', 'L').replace('d', 'H')}", made[own], ""
    yield f"{prefix}-{'L' * len(axes)}", low[own], ""


def _square(image: NDArray[Any], _mm: Spacing, _settings: ImageTypeSettings) -> Iterator[Made]:
    values = image.astype(np.float64)
    yield "square", values**2 / _largest(values), ""


def _square_root(image: NDArray[Any], _mm: Spacing, _settings: ImageTypeSettings) -> Iterator[Made]:
    values = image.astype(np.float64)
    yield "squareroot", np.sign(values) * np.sqrt(np.abs(values) * _largest(values)), ""


def _logarithm(image: NDArray[Any], _mm: Spacing, _settings: ImageTypeSettings) -> Iterator[Made]:
    values = image.astype(np.float64)
    logs = np.sign(values) * np.log(np.abs(values) + 1)
    yield "logarithm", logs * (_largest(values) / _largest(logs)), ""


def _exponential(image: NDArray[Any], _mm: Spacing, _settings: ImageTypeSettings) -> Iterator[Made]:
    values = image.astype(np.float64)
    largest = _largest(values)
    yield "exponential", np.exp(np.log(largest) / largest * values), ""


def _largest(values: NDArray[np.float64]) -> float:
    """The largest absolute value; 1 for an image of zeros, which stays one."""
    return float(np.abs(values).max()) or 1.0


def _gradient(image: NDArray[Any], spacing_mm: Spacing, settings: ImageTypeSettings) -> Iterator[Made]:
    import SimpleITK

    made = SimpleITK.GradientMagnitudeImageFilter()
    made.SetUseImageSpacing(settings.gradient_use_spacing)
    yield "gradient", from_itk(made.Execute(to_itk(image, spacing_mm))), ""


def _lbp_2d(image: NDArray[Any], _mm: Spacing, settings: ImageTypeSettings) -> Iterator[Made]:
    """Local binary patterns of every slice across ``force2Ddimension``, in the image's own voxel type."""
    from skimage.feature import local_binary_pattern

    pattern: Any = local_binary_pattern  # the library's functions carry no types
    made = image.copy()
    stack = np.moveaxis(made, 2 - settings.force_2d_dimension, 0)
    # PyRadiomics' slices have rows z or y and columns x, but rows y and columns z where x is constant.
    slices = stack if settings.force_2d_dimension == 2 else stack.transpose(0, 2, 1)
    circle = {"P": settings.lbp_2d_samples, "R": settings.lbp_2d_radius, "method": settings.lbp_2d_method}
    with warnings.catch_warnings():
        # Patterns of intensities that are no whole numbers are PyRadiomics' as well.
        warnings.filterwarnings("ignore", message="Applying `local_binary_pattern` to floating-point images")
        for index in range(len(slices)):
            slices[index] = pattern(slices[index], **circle)
    yield "lbp-2D", made, ""


MAKERS: dict[str, Callable[[NDArray[Any], Spacing, ImageTypeSettings], Iterator[Made]]] = {
    "Original": _original,
    "Wavelet": _wavelet,
    "LoG": _log,
    "Square": _square,
    "SquareRoot": _square_root,
    "Logarithm": _logarithm,
    "Exponential": _exponential,
    "Gradient": _gradient,
    "LBP2D": _lbp_2d,
}
