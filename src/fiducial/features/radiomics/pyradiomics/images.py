"""PyRadiomics' image types: the image as it is, and what filters make of it (imageoperations, 3.0.1).

Of each image only the region's box is wanted, though a filter may see all that lies around it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.pyradiomics.prepare import Box, Spacing, from_itk, padded, to_itk
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings

Made = tuple[str, Callable[[], NDArray[Any]] | None, str]
"""The name that features of the image begin with, what makes the box of it, or why there is none."""
SMALLEST = 4
"""Voxels that the recursive Gaussian needs along each axis."""
FINEST = 0.005
"""Of a voxel: the recursive Gaussian's weights vanish below."""


def images_of(
    image_type: str, image: NDArray[Any], spacing_mm: Spacing, box: Box, settings: ImageTypeSettings
) -> Iterator[Made]:
    """The images of one type within a box, in PyRadiomics' order."""
    return MAKERS[image_type](image, spacing_mm, box, settings)


def _original(image: NDArray[Any], _mm: Spacing, box: Box, _settings: ImageTypeSettings) -> Iterator[Made]:
    yield "original", lambda: image[box], ""


def _log(image: NDArray[Any], spacing_mm: Spacing, box: Box, settings: ImageTypeSettings) -> Iterator[Made]:
    """Laplacian of a recursive Gaussian, times σ²."""
    from fiducial.features.radiomics.pyradiomics.recursive_gaussian import as_walked, laplacian

    given = as_walked(image)
    for sigma in settings.sigma:
        name = f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"
        if min(image.shape) < SMALLEST:
            yield name, None, f"the image has fewer than {SMALLEST} voxels along an axis"
        elif any(n < np.ceil(sigma / mm) + 1 for n, mm in zip(image.shape, spacing_mm, strict=True)):
            yield name, None, f"the image is smaller than sigma ({sigma:g} mm) along an axis"
        elif sigma < FINEST * max(spacing_mm):
            yield name, None, f"sigma ({sigma:g} mm) is far less than a voxel"
        else:
            yield name, partial(laplacian, given, spacing_mm, float(sigma), box), ""


def _wavelet(image: NDArray[Any], _mm: Spacing, box: Box, settings: ImageTypeSettings) -> Iterator[Made]:
    """Bands of an undecimated wavelet transform, x first."""
    from fiducial.features.radiomics.pyradiomics.wavelets import wavelet_bands

    across = 2 - settings.force_2d_dimension if settings.force_2d else None
    axes = tuple(axis for axis in range(3) if axis != across)
    levels = {"start_level": settings.start_level, "n_levels": settings.level}
    for level, band, made in wavelet_bands(image, settings.wavelet, box, axes, **levels):
        yield f"wavelet{level if level > 1 else ''}-{band}", partial(np.asarray, made), ""


def _square(image: NDArray[Any], _mm: Spacing, box: Box, _settings: ImageTypeSettings) -> Iterator[Made]:
    yield "square", lambda: _values(image, box) ** 2 / _largest(image), ""


def _square_root(image: NDArray[Any], _mm: Spacing, box: Box, _settings: ImageTypeSettings) -> Iterator[Made]:
    def made() -> NDArray[Any]:
        values = _values(image, box)
        return np.asarray(np.sign(values) * np.sqrt(np.abs(values) * _largest(image)))

    yield "squareroot", made, ""


def _logarithm(image: NDArray[Any], _mm: Spacing, box: Box, _settings: ImageTypeSettings) -> Iterator[Made]:
    def made() -> NDArray[Any]:
        values, largest = _values(image, box), _largest(image)
        logs = np.sign(values) * np.log(np.abs(values) + 1)
        # Beside 1 the smallest intensities are nothing, and so are their logarithms.
        return np.asarray(logs * (largest / (float(np.log(largest + 1)) or 1.0)))

    yield "logarithm", made, ""


def _exponential(image: NDArray[Any], _mm: Spacing, box: Box, _settings: ImageTypeSettings) -> Iterator[Made]:
    def made() -> NDArray[Any]:
        largest = _largest(image)
        return np.asarray(np.exp(np.log(largest) / largest * _values(image, box)))

    yield "exponential", made, ""


def _values(image: NDArray[Any], box: Box) -> NDArray[np.float64]:
    return image[box].astype(np.float64)


def _largest(image: NDArray[Any]) -> float:
    """The largest absolute value of the whole image; 1 for an image of zeros, which stays one."""
    return max(-float(image.min()), float(image.max())) or 1.0


def _gradient(image: NDArray[Any], spacing_mm: Spacing, box: Box, settings: ImageTypeSettings) -> Iterator[Made]:
    def made() -> NDArray[Any]:
        import SimpleITK

        filter_ = SimpleITK.GradientMagnitudeImageFilter()
        filter_.SetUseImageSpacing(settings.gradient_use_spacing)
        # A voxel's gradient is of its neighbours.
        around = padded(box, image.shape, 1)
        own = tuple(slice(p.start - q.start, p.stop - q.start) for p, q in zip(box, around, strict=True))
        return from_itk(filter_.Execute(to_itk(image[around], spacing_mm)))[own]

    yield "gradient", made, ""


def _lbp_2d(image: NDArray[Any], _mm: Spacing, box: Box, settings: ImageTypeSettings) -> Iterator[Made]:
    """Local binary patterns of every slice across ``force2Ddimension``, in the image's own voxel type."""
    from skimage.feature import local_binary_pattern

    pattern: Any = local_binary_pattern  # the library's functions carry no types
    across = 2 - settings.force_2d_dimension
    made = image[tuple(part if axis == across else slice(None) for axis, part in enumerate(box))].copy()
    stack = np.moveaxis(made, across, 0)
    # PyRadiomics' slices have rows z or y and columns x, but rows y and columns z where x is constant.
    slices = stack if settings.force_2d_dimension == 2 else stack.transpose(0, 2, 1)
    circle = {"P": settings.lbp_2d_samples, "R": settings.lbp_2d_radius, "method": settings.lbp_2d_method}
    with warnings.catch_warnings():
        # Patterns of intensities that are no whole numbers are PyRadiomics' as well.
        warnings.filterwarnings("ignore", message="Applying `local_binary_pattern` to floating-point images")
        for index in range(len(slices)):
            slices[index] = pattern(slices[index], **circle)
    own = tuple(slice(None) if axis == across else part for axis, part in enumerate(box))
    yield "lbp-2D", lambda: made[own], ""


MAKERS: dict[str, Callable[[NDArray[Any], Spacing, Box, ImageTypeSettings], Iterator[Made]]] = {
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
