"""A region of interest as features see it: interpolated, re-segmented, discretised, cut to what is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import GeometryError, InputRefused, VoxelError
from fiducial.features.radiomics.filters import field_of, filtered
from fiducial.features.radiomics.interpolate import interpolated, interpolated_shape
from fiducial.features.radiomics.settings import Filter, Settings

MOST_LEVELS = 2**16
"""Grey levels that are counted."""
OVERFLOW = "intensities so large that the response to a filter overflows"
HUGE = 1e300
"""Intensities whose differences may overflow, in bins."""
PEAK_MM = 12.0
"""What is kept around the region's box for the local intensity peak, whose sphere reaches 6.2 mm."""


Place = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Region:
    """Arrays [x, y, z] cut to the region's box, with a margin where a family asks for it, in C order.

    ``morphological`` is the mask after interpolation, ``mask`` the intensity mask after re-segmentation as well;
    ``before`` is the intensity mask before re-segmentation. ``low`` and ``high`` are the bounds of the intensity range
    (None: open). ``first`` is the place of the arrays' first voxel in the image that was given, as an index.
    ``shown`` is what filters see of the image, and ``inner`` where the arrays lie in it.
    """

    image: NDArray[np.float64]
    morphological: NDArray[np.bool_]
    before: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    low: float | None
    high: float | None
    first: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shown: NDArray[np.float64] | None = None
    inner: tuple[slice, ...] = ()

    def response(self, given: Filter) -> Region:
        """The same region of the response map to a filter; an intensity range says nothing about responses.

        Raises:
            VoxelError: intensities so large that the response has none (``not-finite``).
        """
        shown = self.image if self.shown is None else self.shown
        image = filtered(shown, self.spacing_mm, given, self.inner or None)
        if not np.isfinite(image[self.mask]).all():
            raise VoxelError(f"not-finite: {OVERFLOW}", legal="intensities of which sums are finite")
        return replace(self, image=image, low=None, high=None)

    @cached_property
    def box(self) -> tuple[slice, ...]:
        """The box of the intensity mask, without a margin."""
        return tight_box(self.mask)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Intensities of the region."""
        return self.image[self.mask]


@dataclass(frozen=True)
class Discretised:
    """Grey levels [x, y, z] of a region's box with one layer of zeros around, and how many levels there are."""

    levels: NDArray[np.int32]
    n_levels: int


def prepare(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings,
    *,
    margin: int = 0,
) -> Region:
    """Interpolate, re-segment and cut a region out of an image; filters are applied later (`Region.response`).

    Args:
        image: intensities [x, y, z].
        mask: the region [x, y, z]; what is not 0 belongs to it.
        spacing_mm: of both.
        settings: what to do.
        margin: voxels to keep around the region's box at least, as far as there are any.

    Raises:
        GeometryError: shapes that differ, or are not of three axes.
        VoxelError: NaN or infinite intensities in the region.
        InputRefused: an empty mask, or one that re-segmentation leaves empty.
    """
    require_one_shape(image, mask)
    tight = occupied(mask)
    if tight is None:
        raise InputRefused("empty-mask: no voxel belongs to the region")
    shown, inner, inside, (spacing, first) = _resampled(image, mask, tight, spacing_mm, settings, margin)
    image = np.ascontiguousarray(shown[inner])
    if not inside.any():
        raise InputRefused("empty-after-interpolation: the region is smaller than the new voxels")
    low, high = settings.resegment
    kept = inside if settings.resegment == (None, None) and settings.outlier_sigma is None else inside.copy()
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
    return Region(image, inside, inside, kept, spacing, low, high, first, shown, inner)


def require_one_shape(image: NDArray[Any], mask: NDArray[Any]) -> None:
    """Refuse an image and a mask that are not on one grid of three axes.

    Raises:
        GeometryError: they are not.
    """
    if image.shape != mask.shape or image.ndim != 3:
        raise GeometryError(
            f"an image of shape {image.shape} and a mask of shape {mask.shape}",
            legal="one shape of three axes [x, y, z] (a 2-D image has z = 1)",
            action="resample the mask to the image, or choose one volume of a 4-D image",
        )


def _resampled(
    image: NDArray[Any],
    mask: NDArray[Any],
    tight: tuple[slice, ...],
    spacing_mm: tuple[float, float, float],
    settings: Settings,
    margin: int,
) -> tuple[NDArray[np.float64], tuple[slice, ...], NDArray[np.bool_], Place]:
    """Image and mask on the wanted grid: the mask cut to the region's box, the image to what filters see around it.

    With the box as it lies in that part of the image, the spacing of the grid, and the place of the box in the image as
    it was.
    """
    new_mm, shape = spacing_mm, mask.shape
    # Interpolated masks may grow a little.
    far = "local_intensity" in settings.families or settings.spacing_mm is not None
    new = settings.spacing_mm or spacing_mm
    margins_mm = [max(PEAK_MM if far else 0.0, margin * max(mm, n)) for mm, n in zip(spacing_mm, new, strict=True)]
    box = widened(tight, [int(np.ceil(far_mm / mm)) for far_mm, mm in zip(margins_mm, spacing_mm, strict=True)], shape)
    if settings.spacing_mm is not None:
        x, y, z = (new if new > 0 else old for new, old in zip(settings.spacing_mm, spacing_mm, strict=True))
        new_mm = (x, y, z)
        box = _new_box(box, shape, spacing_mm, new_mm)
        shape = interpolated_shape(shape, spacing_mm, new_mm)
    # Filters see as far around the region as they reach, features what lies around the region.
    filters = settings.used_filters
    fields = [field_of(box, shape, new_mm, given) for given in filters]
    seen = tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(box, *fields, strict=True)
    )
    if settings.spacing_mm is None:
        _require_finite(image, mask, seen if filters else tight, filtered=bool(filters))
        shown, kept = image[seen].astype(np.float64, order="C"), np.not_equal(mask[box], 0, order="C")
    else:
        _require_finite(image, mask, (...,) if filters else tight, filtered=bool(filters))
        shown = interpolated(image, spacing_mm, new_mm, method=settings.image_interpolation, box=seen)
        shown = np.rint(shown) if settings.round_intensities else shown
        covered = interpolated(mask, spacing_mm, new_mm, method=settings.mask_interpolation, box=box, binary=True)
        # Halves that arithmetic leaves a hair below one half count as halves.
        kept = covered >= settings.mask_threshold - 1e-9
    place = (new_mm, _first(box, (mask.shape, shape), spacing_mm, new_mm))
    inner = tuple(slice(b.start - s.start, b.stop - s.start) for b, s in zip(box, seen, strict=True))
    return shown, inner, kept, place


def _first(
    box: tuple[slice, ...],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    old_mm: tuple[float, ...],
    new_mm: tuple[float, ...],
) -> tuple[float, float, float]:
    """The index in the old grid of a box's first voxel on the new grid, which has the same centre."""
    x, y, z = (
        (n_old - 1 - (n_new - 1) * new / old) / 2 + part.start * new / old
        for part, n_old, n_new, old, new in zip(box, *shapes, old_mm, new_mm, strict=True)
    )
    return x, y, z


def _require_finite(image: NDArray[Any], mask: NDArray[Any], part: tuple[Any, ...], *, filtered: bool) -> None:
    """Refuse NaN and infinity where they would be seen: in the region, or in all that a filter sees."""
    if not np.issubdtype(image.dtype, np.inexact):
        return
    needed, where = image[part], "image that is filtered"
    if not filtered:
        needed, where = needed[mask[part] != 0], "region"
    if not np.isfinite(needed).all():
        raise VoxelError(f"not-finite: NaN or infinite intensities in the {where}", legal="finite intensities")


def occupied(mask: NDArray[Any]) -> tuple[slice, ...] | None:
    """The box of what is not 0 in a mask of three axes, without a copy of it; None where there is nothing."""
    order = np.argsort([-abs(stride) for stride in mask.strides], kind="stable")
    planes = mask.transpose(order)  # the slowest axis first: each plane is read as it lies in memory
    full = [k for k, plane in enumerate(planes) if plane.any()]
    if not full:
        return None
    projection = np.zeros(planes.shape[1:], dtype=np.bool_)
    for plane in planes[full[0] : full[-1] + 1]:
        np.logical_or(projection, plane, out=projection)
    ends = [(full[0], full[-1] + 1)]
    for axis in (1, 0):
        there = np.flatnonzero(projection.any(axis=axis))
        ends.append((int(there[0]), int(there[-1]) + 1))
    by_axis = {int(axis): slice(*end) for axis, end in zip(order, ends, strict=True)}
    return tuple(by_axis[axis] for axis in range(3))


def widened(box: tuple[slice, ...], margins: list[int], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box with a margin of so many voxels along each axis, within an image of this shape."""
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, n))
        for part, margin, n in zip(box, margins, shape, strict=True)
    )


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
        InputRefused: ``not-whole``: no discretisation is given, and intensities are no whole numbers from 1 on;
            ``too-many-grey-levels``.
    """
    values = region.values
    if settings.bin_number is not None:
        n_levels = settings.bin_number
        if max(values.max(), -values.min()) > HUGE:
            values = values / 2.0**16  # no bit is lost, and differences are finite
        span = values.max() - values.min()
        level = np.ones(values.shape) if span == 0 else np.floor(n_levels * (values - values.min()) / span) + 1
        level = np.minimum(level, n_levels)
    elif settings.bin_width is not None:
        start = region.low if region.low is not None else values.min()
        with np.errstate(over="ignore"):
            level = np.maximum(np.floor((values - start) / settings.bin_width) + 1, 1)
    else:
        level = values
        if (level != np.rint(level)).any() or level.min() < 1:
            raise InputRefused(
                "not-whole: intensities that are no grey levels",
                legal="bin_number or bin_width, or whole numbers from 1 on",
            )
    if level.max() > MOST_LEVELS:
        raise InputRefused(too_many(float(level.max())))
    n_levels = settings.bin_number or int(level.max())
    mask = region.mask[region.box]
    levels = np.zeros([n + 2 for n in mask.shape], dtype=np.int32)
    levels[1:-1, 1:-1, 1:-1][mask] = level.astype(np.int32)
    return Discretised(levels, n_levels)


def too_many(n_levels: float) -> str:
    """What a region says that has more grey levels than can be counted."""
    said = f"{n_levels:,.0f}" if n_levels < 1_000_000_000 else f"{n_levels:.1e}"
    return f"too-many-grey-levels: {said}, which would fill the memory: widen bin_width, or give a small bin_number"


def tight_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box of a mask that is not empty, without a margin."""
    parts = []
    for others in ((1, 2), (0, 2), (0, 1)):
        there = np.flatnonzero(mask.any(axis=others))
        parts.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(parts)


def border_distance(region: Region, *, in_slice: bool) -> NDArray[np.int32]:
    """Steps from each voxel of the morphological mask to the outside, by faces (1 at the border), padded like levels.

    IBSI 1, 3.9: distances are measured in the morphological mask; the edge of the image counts as outside.
    """
    from fiducial.features.radiomics.kernels import steps_to_border

    whole = tight_box(region.morphological)
    steps = steps_to_border(np.ascontiguousarray(region.morphological[whole]), in_slice)
    cut = tuple(slice(part.start - w.start, part.stop - w.start + 2) for part, w in zip(region.box, whole, strict=True))
    return np.ascontiguousarray(steps[cut])
