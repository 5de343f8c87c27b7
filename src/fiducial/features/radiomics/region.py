"""A region of interest as features see it: interpolated, re-segmented, discretised, cut to what is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import GeometryError, InputRefused, VoxelError
from fiducial.features.radiomics.filters import filtered
from fiducial.features.radiomics.interpolate import interpolated, interpolated_shape
from fiducial.features.radiomics.settings import Settings

PEAK_MM = 12.0
"""What is kept around the region's box: the sphere of the local intensity peak reaches 6.2 mm."""


@dataclass(frozen=True)
class Region:
    """Arrays [x, y, z] cut to the region's box and a margin.

    ``morphological`` is the mask after interpolation, ``mask`` the intensity mask after re-segmentation as well;
    ``before`` is the intensity mask before re-segmentation. ``low`` and ``high`` are the bounds of the intensity range
    (None: open).
    """

    image: NDArray[np.float64]
    morphological: NDArray[np.bool_]
    before: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    low: float | None
    high: float | None

    @property
    def values(self) -> NDArray[np.float64]:
        """Intensities of the region."""
        return self.image[self.mask]


@dataclass(frozen=True)
class Discretised:
    """Grey levels [x, y, z] of a region's box with one layer of zeros around, and how many levels there are."""

    levels: NDArray[np.int32]
    n_levels: int


def prepare(
    image: NDArray[Any], mask: NDArray[Any], spacing_mm: tuple[float, float, float], settings: Settings
) -> Region:
    """Interpolate, re-segment and cut a region out of an image.

    Args:
        image: intensities [x, y, z].
        mask: the region [x, y, z]; what is not 0 belongs to it.
        spacing_mm: of both.
        settings: what to do.

    Raises:
        GeometryError: shapes that differ, or are not of three axes.
        VoxelError: NaN or infinite intensities in the region.
        InputRefused: an empty mask, or one that re-segmentation leaves empty.
    """
    if image.shape != mask.shape or image.ndim != 3:
        raise GeometryError(
            f"an image of shape {image.shape} and a mask of shape {mask.shape}",
            legal="one shape of three axes [x, y, z] (a 2-D image has z = 1)",
            action="resample the mask to the image, or choose one volume of a 4-D image",
        )
    inside = mask != 0
    if not inside.any():
        raise InputRefused("empty-mask: no voxel belongs to the region")
    needed, where = (image[inside], "region") if settings.filter is None else (image, "image that is filtered")
    if not np.isfinite(needed).all():
        raise VoxelError(f"not-finite: NaN or infinite intensities in the {where}", legal="finite intensities")
    image, response, inside, spacing = _resampled(image, inside, spacing_mm, settings)
    if not inside.any():
        raise InputRefused("empty-after-interpolation: the region is smaller than the new voxels")
    low, high = settings.resegment
    kept = inside.copy()
    if low is not None:
        kept &= image >= low
    if high is not None:
        kept &= image <= high
    if settings.outlier_sigma is not None:
        values = image[inside]
        reach = settings.outlier_sigma * values.std()
        kept &= np.abs(image - values.mean()) <= reach
    if not kept.any():
        raise InputRefused("empty-after-resegmentation: no intensity of the region lies in the range")
    if settings.filter is not None:
        low = high = None  # bounds of intensities say nothing about responses
    return Region(response, inside, inside, kept, spacing, low, high)


def _resampled(
    image: NDArray[Any], inside: NDArray[np.bool_], spacing_mm: tuple[float, float, float], settings: Settings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], tuple[float, float, float]]:
    """Image, response map (the image where there is no filter) and mask on the wanted grid, cut to the region's box."""
    new_mm, box, shape = spacing_mm, _box(inside, spacing_mm), inside.shape
    if settings.spacing_mm is not None:
        x, y, z = (new if new > 0 else old for new, old in zip(settings.spacing_mm, spacing_mm, strict=True))
        new_mm = (x, y, z)
        box = _new_box(box, inside.shape, spacing_mm, new_mm)
        shape = interpolated_shape(inside.shape, spacing_mm, new_mm)
    # A filter sees the whole image, features what lies around the region.
    seen = box if settings.filter is None else tuple(slice(0, n) for n in shape)
    if settings.spacing_mm is None:
        shown, kept = image[seen].astype(np.float64), inside[box]
    else:
        shown = interpolated(image, spacing_mm, new_mm, method=settings.image_interpolation, box=seen)
        shown = np.rint(shown) if settings.round_intensities else shown
        covered = interpolated(inside, spacing_mm, new_mm, method=settings.mask_interpolation, box=box)
        # Halves that arithmetic leaves a hair below one half count as halves.
        kept = covered >= settings.mask_threshold - 1e-9
    if settings.filter is None:
        return shown, shown, kept, new_mm
    return shown[box], filtered(shown, new_mm, settings.filter)[box], kept, new_mm


def _box(inside: NDArray[np.bool_], spacing_mm: tuple[float, ...], *, margin_mm: float = PEAK_MM) -> tuple[slice, ...]:
    """The region's box and a margin, within the image."""
    parts = []
    for axis, mm in enumerate(spacing_mm):
        there = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = int(np.ceil(margin_mm / mm))
        parts.append(slice(max(int(there[0]) - margin, 0), min(int(there[-1]) + margin + 1, inside.shape[axis])))
    return tuple(parts)


def _new_box(
    box: tuple[slice, ...], shape: tuple[int, ...], old_mm: tuple[float, ...], new_mm: tuple[float, ...]
) -> tuple[slice, ...]:
    """The part of the new grid that covers a box of the old one."""
    parts = []
    for part, n_old, n_new, old, new in zip(
        box, shape, interpolated_shape(shape, old_mm, new_mm), old_mm, new_mm, strict=True
    ):
        scale = new / old
        offset = (n_old - 1 - (n_new - 1) * scale) / 2
        first, last = (part.start - 1 - offset) / scale, (part.stop - offset) / scale
        parts.append(slice(max(int(np.floor(first)), 0), min(int(np.ceil(last)) + 1, n_new)))
    return tuple(parts)


def discretise(region: Region, settings: Settings) -> Discretised:
    """Grey levels by fixed bin number or fixed bin size (IBSI 1, 2.7); without either, intensities are the levels.

    Fixed bin size counts from the lower bound of the intensity range, or from the region's smallest intensity.

    Raises:
        InputRefused: ``not-whole``: no discretisation is given, and intensities are no whole numbers from 1 on.
    """
    values = region.values
    if settings.bin_number is not None:
        n_levels = settings.bin_number
        span = values.max() - values.min()
        level = np.ones(values.shape) if span == 0 else np.floor(n_levels * (values - values.min()) / span) + 1
        level = np.minimum(level, n_levels)
    elif settings.bin_width is not None:
        start = region.low if region.low is not None else values.min()
        level = np.maximum(np.floor((values - start) / settings.bin_width) + 1, 1)
    else:
        level = values
        if (level != np.rint(level)).any() or level.min() < 1:
            raise InputRefused(
                "not-whole: intensities that are no grey levels",
                legal="bin_number or bin_width, or whole numbers from 1 on",
            )
    n_levels = settings.bin_number or int(level.max())
    levels = np.zeros(region.mask.shape, dtype=np.int32)
    levels[region.mask] = level.astype(np.int32)
    return Discretised(np.pad(levels[_tight(region.mask)], 1), n_levels)


def _tight(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box of a mask without a margin."""
    return _box(mask, (1.0, 1.0, 1.0), margin_mm=0.0)


def border_distance(region: Region, *, in_slice: bool) -> NDArray[np.int32]:
    """Steps from each voxel of the morphological mask to the outside, by faces (1 at the border), padded like levels.

    IBSI 1, 3.9: distances are measured in the morphological mask; the edge of the image counts as outside.
    """
    from scipy.ndimage import distance_transform_cdt

    whole = np.pad(region.morphological, 1)
    if in_slice:
        steps = np.zeros(whole.shape, dtype=np.int32)
        for z in range(whole.shape[2]):
            if whole[:, :, z].any():
                steps[:, :, z] = distance_transform_cdt(whole[:, :, z], metric="taxicab")
    else:
        steps = distance_transform_cdt(whole, metric="taxicab").astype(np.int32)
    cut = tuple(slice(part.start, part.stop + 2) for part in _tight(region.mask))
    return np.ascontiguousarray(steps[cut])
