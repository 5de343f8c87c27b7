"""From an image and a mask to the table that PyRadiomics would give, each value under both names."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics.pyradiomics.images import Made, images_of
from fiducial.features.radiomics.pyradiomics.names import Named, asked
from fiducial.features.radiomics.pyradiomics.prepare import Prepared, Spacing, prepare
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings, PyRadiomicsSettings
from fiducial.features.radiomics.pyradiomics.shape import shape_2d_features, shape_features
from fiducial.features.radiomics.summary import OTHER_DEFINITION
from fiducial.features.radiomics.threads import n_threads

if TYPE_CHECKING:
    from fiducial.features.radiomics.pyradiomics.values import GreyLevels

COLUMNS = ("filter", "family", "feature", "aggregation", "ibsi_code", "value", "reason", "pyradiomics")
Row = tuple[str, str, str, str, str, float, str, str]
NAN = float("nan")
SHAPES = ("shape", "shape2D")
MOST_LEVELS = 4096
"""Grey levels beyond which matrices would fill the memory."""
UNDEFINED = "undefined: the region is too small, too flat or of one intensity for this feature"


def pyradiomics_rows(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    settings: PyRadiomicsSettings | None = None,
    *,
    threads: int = 0,
) -> list[Row]:
    """Features of one region by PyRadiomics' definitions, one row each.

    Args:
        image: intensities [x, y, z]; a 2-D image has z = 1. Its voxel type counts, as it does for PyRadiomics: an
            image of whole numbers is resampled to whole numbers.
        mask: label map on the same grid, or booleans.
        spacing_mm: distance of voxel centres along x, y and z.
        settings: PyRadiomics' own; without them its defaults.
        threads: for large regions, 0 = as many as cores; the numbers do not depend on it.

    Returns:
        ``filter, family, feature, aggregation, ibsi_code, value, reason, pyradiomics``: our names and IBSI's code, and
        the name that PyRadiomics gives the value. ``filter`` is empty for the original image. ``reason`` says why a
        value is missing, or how PyRadiomics' definition differs from the standard's.

    Raises:
        GeometryError: image and mask differ in shape.
        InputRefused: a region that PyRadiomics takes no features of.
        VoxelError: NaN or infinite intensities.
    """
    settings = settings or PyRadiomicsSettings()
    prepared = prepare(image, mask, spacing_mm, settings)
    rows: list[Row] = []
    if settings.additional_info:
        rows += _about(image, mask, prepared, settings)
    rows += _of_shape(prepared, settings)
    n = n_threads(threads, int(prepared.mask.sum()))
    several = n > 1 and list(settings.image_types) != ["Original"]

    def rows_of(one: tuple[Made, ImageTypeSettings]) -> list[Row]:
        return list(_of_image(one[0], prepared, settings, own=one[1], threads=1 if several else n))

    if not several:
        return [*rows, *(row for one in _images(prepared, settings) for row in rows_of(one))]
    # Images are worked on side by side, each by one thread.
    with ThreadPoolExecutor(n) as pool:
        return [*rows, *(row for found in pool.map(rows_of, _images(prepared, settings)) for row in found)]


def _images(prepared: Prepared, settings: PyRadiomicsSettings) -> Iterator[tuple[Made, ImageTypeSettings]]:
    for image_type in settings.image_types:
        own = settings.for_image(image_type)
        for one in images_of(image_type, prepared.image, prepared.spacing_mm, prepared.box, own):
            yield one, own


def _of_shape(prepared: Prepared, settings: PyRadiomicsSettings) -> Iterator[Row]:
    if "shape" in settings.feature_classes:
        values = shape_features(prepared.shape_mask, prepared.spacing_mm)
        yield from _rows("original", "shape", values, "", settings)
    if "shape2D" in settings.feature_classes:
        across = 2 - settings.force_2d_dimension
        missing = ""
        if not settings.force_2d:
            missing = "shape2D needs force2D"
        elif prepared.shape_mask.shape[across] > 1:
            missing = f"the region extends over {prepared.shape_mask.shape[across]} slices; shape2D is of one"
        values = {}
        if not missing:
            x, y = np.delete(prepared.spacing_mm, across)
            values = shape_2d_features(np.squeeze(prepared.shape_mask, axis=across), (float(x), float(y)))
        yield from _rows("original", "shape2D", values, missing, settings)


def _of_image(
    image: Made, prepared: Prepared, settings: PyRadiomicsSettings, *, own: ImageTypeSettings, threads: int
) -> Iterator[Row]:
    """Rows of one image in the order of the classes; of an image that there is none of, with the reason."""
    from fiducial.features.radiomics.pyradiomics.first_order import discretised, first_order

    name, make, missing = image
    classes = [of_class for of_class in settings.feature_classes if of_class not in SHAPES]
    inside = prepared.mask[prepared.box]
    if make is not None:
        intensities = make()[inside]
        try:
            levels = discretised(intensities, own)
        except InputRefused as refusal:
            make, missing = None, refusal.given
    if make is None:
        for of_class in classes:
            yield from _rows(name, of_class, {}, missing, settings)
        return
    grey = _grey(levels, inside, prepared.spacing_mm, own, threads=threads)
    for of_class in classes:
        values, reason = {}, ""
        if of_class == "firstorder":
            voxel_mm3 = float(np.prod(prepared.spacing_mm))
            values = first_order(intensities, levels, voxel_mm3, own.voxel_array_shift)
        elif grey.n_levels > MOST_LEVELS:
            reason = f"{grey.n_levels} grey levels; up to {MOST_LEVELS} are counted: widen binWidth for this image"
        else:
            values = grey.of_class(of_class)
        yield from _rows(name, of_class, values, reason, settings)


def _grey(
    levels: NDArray[np.int64], inside: NDArray[np.bool_], spacing_mm: Spacing, own: ImageTypeSettings, *, threads: int
) -> GreyLevels:
    from fiducial.features.radiomics.pyradiomics.values import GreyLevels

    across = 2 - own.force_2d_dimension if own.force_2d else 2
    order = [*(axis for axis in range(3) if axis != across), across]
    around = max(own.distances)
    placed = np.zeros([inside.shape[axis] + 2 * around for axis in order], dtype=np.int32)
    part = placed[(slice(around, -around),) * 3]
    # The order of intensities is that of the mask's own axes.
    part.transpose(np.argsort(order))[inside] = levels
    return GreyLevels(placed, tuple(spacing_mm[axis] for axis in order), own, threads)


def _rows(
    name: str, of_class: str, values: dict[str, float], missing: str, settings: PyRadiomicsSettings
) -> Iterator[Row]:
    """The rows that are asked for of a class, NaN with its reason where there is no value."""
    shown = "" if name == "original" else name
    averaged = settings.weighting_norm is None
    for known in _known(of_class, settings.feature_classes[of_class], settings.force_2d, averaged):
        family, feature, aggregation, code, reason, said = known
        value = values.get(said, NAN)
        if not isfinite(value):
            value, reason = NAN, missing or UNDEFINED
        yield shown, family, feature, aggregation, code, value, reason, f"{name}_{of_class}_{said}"


@cache
def _known(of_class: str, wanted: tuple[str, ...], flat: bool, averaged: bool) -> tuple[tuple[str, ...], ...]:
    """Of each feature asked for: family, feature, aggregation, IBSI's code, difference and PyRadiomics' name."""
    return tuple(
        (
            one.family,
            one.feature,
            _aggregation(one, flat, averaged),
            one.ibsi_code,
            one.difference and f"{OTHER_DEFINITION}{one.difference}",
            one.name,
        )
        for one in asked(of_class, wanted)
    )


def _aggregation(one: Named, flat: bool, averaged: bool) -> str:
    """How matrices were put together, in the standard's words."""
    if not one.aggregation:
        return ""
    dimension = "2.5d" if flat else "3d"
    if one.aggregation == "3d":
        return dimension
    return f"{dimension}_averaged" if averaged else f"{dimension}_merged"


def _about(image: NDArray[Any], mask: NDArray[Any], prepared: Prepared, settings: PyRadiomicsSettings) -> Iterator[Row]:
    """What ``additionalInfo`` asks for, as far as it is one number: image and mask before and after preparation."""
    inside = mask == settings.label
    yield from _about_image("original", image)
    yield from _about_mask("original", None, inside)
    if settings.interpolator is not None and settings.resampled_pixel_spacing is not None:
        yield from _about_image("interpolated", prepared.image)
        yield from _about_mask("interpolated", prepared.image, prepared.whole)
    if settings.resegment_range is not None:
        yield from _about_mask("resegmented", prepared.image, prepared.mask)


def _about_image(stage: str, image: NDArray[Any]) -> Iterator[Row]:
    for name, value in (("Mean", image.mean()), ("Minimum", image.min()), ("Maximum", image.max())):
        yield _info(f"Image-{stage}", name, float(value))


def _about_mask(stage: str, image: NDArray[Any] | None, inside: NDArray[np.bool_]) -> Iterator[Row]:
    from scipy.ndimage import label

    yield _info(f"Mask-{stage}", "VoxelNum", float(inside.sum()))
    yield _info(f"Mask-{stage}", "VolumeNum", float(label(inside, np.ones((3, 3, 3)))[1]))
    if image is not None:
        values = image[inside]
        for name, value in (("Mean", values.mean()), ("Minimum", values.min()), ("Maximum", values.max())):
            yield _info(f"Mask-{stage}", name, float(value))


def _info(of: str, name: str, value: float) -> Row:
    ours = f"{of}_{name}".lower().replace("-", "_")
    return "", "diagnostics", ours, "", "", value, "", f"diagnostics_{of}_{name}"
