"""Image and region as PyRadiomics 3.0.1 prepares them: normalised, resampled, re-segmented, checked.

Arrays are [x, y, z]. SimpleITK does what PyRadiomics leaves to it, on the voxel type that the image has, so that an
image of whole numbers stays one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused, VoxelError
from fiducial.features.radiomics.interpolate import require_room
from fiducial.features.radiomics.pyradiomics.settings import PyRadiomicsSettings
from fiducial.features.radiomics.region import require_one_shape

Box = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Prepared:
    """``image`` with what lies around the region, as filters see it; ``box`` is the region's.

    ``mask`` is the region after re-segmentation, ``shape_mask`` the one that shape features are of, cut to the box;
    ``whole`` is the region before re-segmentation.
    """

    image: NDArray[Any]
    mask: NDArray[np.bool_]
    shape_mask: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    spacing_mm: Spacing
    box: Box


def prepare(image: NDArray[Any], mask: NDArray[Any], spacing_mm: Spacing, settings: PyRadiomicsSettings) -> Prepared:
    """Normalise, resample, crop and re-segment, in this order, each where it is asked for.

    Raises:
        GeometryError: shapes that differ, or are not of three axes.
        VoxelError: NaN or infinite intensities where they count.
        InputRefused: no voxel of the label, a region that PyRadiomics takes no features of, or an image of one
            intensity that is to be normalised.
    """
    require_one_shape(image, mask)
    inside = mask == settings.label
    if not inside.any():
        raise InputRefused(f"empty-mask: no voxel has the label {settings.label}")
    _require_finite(image, inside, settings)
    # SimpleITK knows neither half precision nor another machine's order of bytes.
    kind = np.dtype(np.float32) if image.dtype in (np.float16, np.bool_) else image.dtype.newbyteorder("=")
    image = image.astype(kind, copy=False)
    if settings.normalize:
        image = normalised(image, settings)
    if settings.interpolator is not None and settings.resampled_pixel_spacing is not None:
        image, inside, spacing_mm = resampled(image, inside, spacing_mm, settings)
        if not inside.any():
            raise InputRefused("empty-after-interpolation: the region is smaller than the new voxels")
    elif settings.pre_crop:
        cut = padded(box_of(inside), image.shape, settings.pad_distance)
        image, inside = image[cut], inside[cut]
    require_size(inside, settings)
    kept = inside
    if settings.resegment_range is not None:
        kept = resegmented(image, inside, settings)
        require_size(kept, settings)
    box = box_of(kept)
    shape_mask = kept if settings.resegment_shape else inside
    return Prepared(image, kept, shape_mask[box], inside, spacing_mm, box)


def _require_finite(image: NDArray[Any], inside: NDArray[np.bool_], settings: PyRadiomicsSettings) -> None:
    """Whatever looks beyond the region (normalisation, interpolation, filters) needs the whole image finite."""
    if image.dtype.kind != "f":
        return
    plain = set(settings.image_types) == {"Original"}
    alone = plain and not settings.normalize and settings.resampled_pixel_spacing is None
    needed, where = (image[inside], "region") if alone else (image, "image")
    if not np.isfinite(needed).all():
        raise VoxelError(f"not-finite: NaN or infinite intensities in the {where}", legal="finite intensities")


def to_itk(array: NDArray[Any], spacing_mm: Spacing) -> Any:
    """[x, y, z] as an image of SimpleITK; place and direction do not matter here."""
    import SimpleITK

    made = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    made.SetSpacing([float(mm) for mm in spacing_mm])
    return made


def from_itk(image: Any) -> NDArray[Any]:
    """And back."""
    import SimpleITK

    return np.asarray(SimpleITK.GetArrayFromImage(image)).transpose(2, 1, 0)


def normalised(image: NDArray[Any], settings: PyRadiomicsSettings) -> NDArray[Any]:
    """Mean 0 and standard deviation (n - 1) 1 over the whole image; outliers are cut, then the scale is applied."""
    import SimpleITK

    if image.min() == image.max():
        raise InputRefused(f"flat-image: every voxel is {image.flat[0]:g}, which cannot be normalised")
    values = from_itk(SimpleITK.Normalize(to_itk(image, (1.0, 1.0, 1.0))))
    if settings.remove_outliers is not None:
        values = np.clip(values, -settings.remove_outliers, settings.remove_outliers)
    return np.asarray(values * values.dtype.type(settings.normalize_scale))


def resampled(
    image: NDArray[Any], inside: NDArray[np.bool_], spacing_mm: Spacing, settings: PyRadiomicsSettings
) -> tuple[NDArray[Any], NDArray[np.bool_], Spacing]:
    """The region's box and ``padDistance`` around it on a grid that shares its corner with the image's.

    An axis along which the region has one voxel keeps its spacing.
    """
    import SimpleITK

    old, shape = np.array(spacing_mm), np.array(image.shape)
    box = box_of(inside)
    first, last = np.array([part.start for part in box]), np.array([part.stop - 1 for part in box])
    asked = np.array(settings.resampled_pixel_spacing)
    new = np.where((asked == 0) | (first == last), old, asked)
    if np.allclose(old, new):
        cut = padded(box, image.shape, settings.pad_distance)
        return image[cut], inside[cut], spacing_mm
    ratio = old / new
    low = np.maximum(np.floor((first - 0.5) * ratio - settings.pad_distance), 0)
    high = np.minimum(np.ceil((last + 0.5) * ratio + settings.pad_distance), np.ceil(shape * ratio) - 1)
    require_room(high - low + 1)
    grid = SimpleITK.ResampleImageFilter()
    grid.SetOutputSpacing([float(mm) for mm in new])
    grid.SetSize([int(n) for n in high - low + 1])
    # Voxel 0 of both grids begins at the same corner, half a voxel before its centre.
    grid.SetOutputOrigin([float(mm) for mm in (0.5 * (new - old) / old + low / ratio) * old])
    grid.SetInterpolator(getattr(SimpleITK, str(settings.interpolator)))
    shown = from_itk(grid.Execute(to_itk(image, spacing_mm)))
    grid.SetInterpolator(SimpleITK.sitkNearestNeighbor)
    kept = from_itk(grid.Execute(to_itk(inside.astype(np.uint8), spacing_mm))) == 1
    x, y, z = (float(mm) for mm in new)
    return shown, kept, (x, y, z)


def resegmented(image: NDArray[Any], inside: NDArray[np.bool_], settings: PyRadiomicsSettings) -> NDArray[np.bool_]:
    """The region within ``resegmentRange``, whose ends belong to it."""
    values = image[inside].astype(np.float64)
    bounds = sorted(settings.resegment_range or ())
    if settings.resegment_mode == "relative":
        bounds = [float(values.max()) * bound for bound in bounds]
    elif settings.resegment_mode == "sigma":
        bounds = [float(values.mean() + values.std() * bound) for bound in bounds]
    keep = values >= bounds[0]
    if len(bounds) == 2:
        keep &= values <= bounds[1]
    if keep.sum() <= 1:
        raise InputRefused(f"empty-after-resegmentation: {int(keep.sum())} voxels of the region lie in the range")
    kept = np.zeros_like(inside)
    kept[inside] = keep
    return kept


def require_size(inside: NDArray[np.bool_], settings: PyRadiomicsSettings) -> None:
    """Refuse what PyRadiomics takes no features of: one voxel, too few axes, too few voxels."""
    extent = sum(part.stop - part.start > 1 for part in box_of(inside))
    needed = max(settings.minimum_roi_dimensions, 1)
    if extent < needed:
        raise InputRefused(
            f"too-flat: the region extends along {extent} of 3 axes",
            legal=f"at least {needed} (minimumROIDimensions)",
        )
    least = settings.minimum_roi_size
    if least is not None and inside.sum() <= least:
        raise InputRefused(f"too-small: {int(inside.sum())} voxels", legal=f"more than {least} (minimumROISize)")


def box_of(inside: NDArray[np.bool_]) -> Box:
    """The smallest box that holds a mask."""
    plane: NDArray[np.bool_] = np.any(inside, axis=2)
    x, y, z = (np.flatnonzero(along) for along in (plane.any(axis=1), plane.any(axis=0), inside.any(axis=(0, 1))))
    return slice(int(x[0]), int(x[-1]) + 1), slice(int(y[0]), int(y[-1]) + 1), slice(int(z[0]), int(z[-1]) + 1)


def padded(box: Box, shape: tuple[int, ...], n_voxels: int) -> Box:
    """A box with voxels around it, within the image."""
    x, y, z = (
        slice(max(part.start - n_voxels, 0), min(part.stop + n_voxels, n)) for part, n in zip(box, shape, strict=True)
    )
    return x, y, z
