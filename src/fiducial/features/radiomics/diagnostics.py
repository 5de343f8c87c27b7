"""A region before and after its preparation (IBSI 1, chapter 4): sizes, counts and intensities to compare tools by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.interpolate import interpolated
from fiducial.features.radiomics.region import Region
from fiducial.features.radiomics.settings import Settings

AXES = "xyz"


def diagnostics_features(
    image: NDArray[Any], mask: NDArray[Any], spacing_mm: tuple[float, float, float], region: Region, settings: Settings
) -> dict[str, float]:
    """Image and masks as given (``initial``), after interpolation and after re-segmentation."""
    inside = mask != 0
    result = _of_image("initial", image, spacing_mm)
    result |= _of_masks("initial", image, inside, inside)
    if settings.spacing_mm is None:
        whole, placed = image, inside
    else:
        whole = interpolated(image, spacing_mm, region.spacing_mm, method=settings.image_interpolation)
        whole = np.rint(whole) if settings.round_intensities else whole
        covered = interpolated(inside, spacing_mm, region.spacing_mm, method=settings.mask_interpolation)
        placed = covered >= settings.mask_threshold - 1e-9
    result |= _of_image("interpolated", whole, region.spacing_mm)
    result |= _of_masks("interpolated", whole, placed, placed)
    kept = placed.copy()
    kept[placed] = region.mask[region.before]
    return result | _of_masks("resegmented", whole, placed, kept)


def _of_image(stage: str, image: NDArray[Any], spacing_mm: tuple[float, ...]) -> dict[str, float]:
    named = {f"image_size_{a}_{stage}": float(n) for a, n in zip(AXES, image.shape, strict=True)}
    named |= {f"image_spacing_{a}_{stage}": float(mm) for a, mm in zip(AXES, spacing_mm, strict=True)}
    return named | {
        f"image_mean_{stage}": float(image.mean()),
        f"image_minimum_{stage}": float(image.min()),
        f"image_maximum_{stage}": float(image.max()),
    }


def _of_masks(
    stage: str, image: NDArray[Any], morphological: NDArray[np.bool_], intensity: NDArray[np.bool_]
) -> dict[str, float]:
    values = image[intensity]
    named = {f"mask_size_{a}_{stage}": float(n) for a, n in zip(AXES, intensity.shape, strict=True)}
    for name, mask in (("intensity", intensity), ("morphological", morphological)):
        box = [float(np.ptp(places) + 1) for places in np.nonzero(mask)]
        named |= {f"{name}_box_{a}_{stage}": n for a, n in zip(AXES, box, strict=True)}
        named[f"{name}_n_voxels_{stage}"] = float(mask.sum())
    return named | {
        f"region_mean_{stage}": float(values.mean()),
        f"region_minimum_{stage}": float(values.min()),
        f"region_maximum_{stage}": float(values.max()),
    }
