"""The same slight changes of image and mask, before features are taken by PyRadiomics' definitions.

What the profile does to an image is done here in its order, on its grid and with its interpolator: normalisation sees
the noise, turn and shift are part of the profile's one resampling, whole numbers stay whole numbers, and as many voxels
are kept around the region, which filters see, as around the region that was not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics.interpolate import REACH
from fiducial.features.radiomics.perturb import noise_level, redrawn, resized, turn_about_z
from fiducial.features.radiomics.perturbations import Perturbation
from fiducial.features.radiomics.pyradiomics.engine import Row, pyradiomics_rows
from fiducial.features.radiomics.pyradiomics.prepare import box_of, from_itk, normalised, to_itk
from fiducial.features.radiomics.pyradiomics.settings import PyRadiomicsSettings
from fiducial.features.radiomics.region import require_one_shape

Spacing = tuple[float, float, float]
Whole = NDArray[np.int64]
USUAL_INTERPOLATOR = "sitkBSpline"
"""Of a turn or a shift where the settings name none."""


@dataclass(frozen=True)
class PerturbedForProfile:
    """Image, in its own voxel type, and mask [x, y, z] as filters are to see them; and the distance of their voxels."""

    image: NDArray[Any]
    mask: NDArray[np.bool_]
    spacing_mm: Spacing


@dataclass(frozen=True)
class _Grid:
    """The profile's grid on an image: its first voxel has the index ``first`` there, and ``step`` old voxels a step.

    ``kept`` are the voxels below and above the region that filters see; None where they see the whole image.
    """

    step: NDArray[np.float64]
    first: NDArray[np.float64]
    shape: Whole
    spacing_mm: Spacing
    kept: tuple[Whole, Whole] | None

    @property
    def is_the_images(self) -> bool:
        return bool((self.step == 1).all())


def perturbed_rows(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    settings: PyRadiomicsSettings,
    perturbation: Perturbation,
    *,
    seed: int = 0,
) -> list[Row]:
    """`pyradiomics_rows` of image and mask after one perturbation, without those of ``additionalInfo``."""
    changed = perturb_for_profile(image, mask, spacing_mm, perturbation, seed=seed, settings=settings)
    done = {"normalize": False, "resampled_pixel_spacing": None, "pre_crop": False, "additional_info": False}
    settled = settings.model_copy(update={**done, "label": 1})
    return pyradiomics_rows(changed.image, changed.mask, changed.spacing_mm, settled)


def perturb_for_profile(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    perturbation: Perturbation,
    *,
    seed: int = 0,
    settings: PyRadiomicsSettings | None = None,
) -> PerturbedForProfile:
    """Change image and mask as `Perturbation` says, and normalise and resample them; the same seed, the same result.

    Args:
        image: intensities [x, y, z]; a 2-D image has z = 1, along which nothing is shifted.
        mask: label map on the same grid, or booleans.
        spacing_mm: of both.
        perturbation: what to do.
        seed: of noise, contour and ties between voxels.
        settings: PyRadiomics' own; without them its defaults.

    Returns:
        Arrays on the settings' grid. Noise on whole numbers is rounded to them, as a scanner would have.

    Raises:
        GeometryError: image and mask differ in shape, or are not of three axes.
        InputRefused: an empty mask, a level of noise that cannot be found, or a region that is lost.
    """
    settings = settings or PyRadiomicsSettings()
    require_one_shape(image, mask)
    inside = mask == settings.label
    if not inside.any():
        raise InputRefused(f"empty-mask: no voxel has the label {settings.label}")
    rng = np.random.default_rng(seed)
    grid = _grid(inside, spacing_mm, settings)
    placed = _placed(inside, spacing_mm, grid, perturbation)
    seen = tuple(slice(0, n) for n in inside.shape) if settings.normalize else placed.seen
    # As the profile takes them: SimpleITK knows neither half precision nor another machine's order of bytes.
    kind = np.dtype(np.float32) if image.dtype in (np.float16, np.bool_) else image.dtype.newbyteorder("=")
    voxels = image[seen].astype(kind)
    if perturbation.noise > 0:
        _add_noise(voxels, perturbation.noise * noise_level(image, inside, spacing_mm), rng)
    if settings.normalize:
        voxels = normalised(voxels, settings)[placed.seen]
    inside = inside[placed.seen]
    if placed.back is not None:
        voxels, inside = _resampled(voxels, inside, spacing_mm, grid, placed, settings)
    if not inside.any():
        raise InputRefused("empty-after-perturbation: the region left the image, or is smaller than the new voxels")
    if perturbation.volume:
        inside = resized(inside, grid.spacing_mm, perturbation.volume, rng)
    if perturbation.contour:
        shown, mm = voxels.astype(np.float64), perturbation.supervoxel_mm
        inside = redrawn(shown, inside, grid.spacing_mm, mm, rng, range_=_range(settings))
    if grid.kept is not None:
        cut = _around(inside, *grid.kept)
        voxels, inside = voxels[cut], inside[cut]
    return PerturbedForProfile(voxels, inside, grid.spacing_mm)


def _add_noise(voxels: NDArray[Any], level: float, rng: np.random.Generator) -> None:
    """White noise; whole numbers stay whole numbers of their type."""
    for z in range(voxels.shape[2]):  # slice by slice, which needs less memory
        changed = voxels[:, :, z] + rng.normal(0.0, level, voxels.shape[:2])
        voxels[:, :, z] = _as_whole(changed, voxels.dtype) if voxels.dtype.kind in "iu" else changed


def _as_whole(values: NDArray[np.float64], kind: np.dtype[Any]) -> NDArray[Any]:
    """The nearest whole numbers of a type."""
    ends = np.iinfo(kind)
    return np.clip(np.rint(values), ends.min, ends.max).astype(kind)


def _grid(inside: NDArray[np.bool_], spacing_mm: Spacing, settings: PyRadiomicsSettings) -> _Grid:
    """The grid that the profile resamples to, or the image's, and what is kept around the unchanged region on it."""
    old, n_old = np.array(spacing_mm), np.array(inside.shape)
    box = box_of(inside)
    first, last = np.array([part.start for part in box]), np.array([part.stop - 1 for part in box])
    pad = np.full(3, settings.pad_distance)
    resamples = settings.interpolator is not None and settings.resampled_pixel_spacing is not None
    if resamples:
        asked = np.array(settings.resampled_pixel_spacing)
        new = np.where((asked == 0) | (first == last), old, asked)
        if not np.allclose(old, new):
            ratio = old / new
            # Both grids begin at the same corner, half a voxel before the centre of voxel 0.
            grid = _Grid(1 / ratio, (1 / ratio - 1) / 2, np.ceil(n_old * ratio).astype(np.int64), _three(new), None)
            low = np.maximum(np.floor((first - 0.5) * ratio - pad), 0)
            high = np.minimum(np.ceil((last + 0.5) * ratio + pad), grid.shape - 1)
            there = box_of(_nearest(inside, grid))
            below = np.array([part.start for part in there]) - low
            above = high - np.array([part.stop - 1 for part in there])
            return _Grid(grid.step, grid.first, grid.shape, grid.spacing_mm, (_whole(below), _whole(above)))
    # Without a filter nothing looks beyond the region.
    cropped = resamples or settings.pre_crop or set(settings.image_types) == {"Original"}
    kept = (pad, pad) if cropped else None
    return _Grid(np.ones(3), np.zeros(3), n_old, spacing_mm, kept)


def _nearest(inside: NDArray[np.bool_], grid: _Grid) -> NDArray[np.bool_]:
    """The mask on the grid, each voxel that of the nearest old one.

    Raises:
        InputRefused: nothing is left of it.
    """
    at = [
        np.clip(np.floor(first + step * np.arange(n) + 0.5).astype(int), 0, size - 1)
        for first, step, n, size in zip(grid.first, grid.step, grid.shape, inside.shape, strict=True)
    ]
    kept: NDArray[np.bool_] = inside[np.ix_(*at)]
    if not kept.any():
        raise InputRefused("empty-after-interpolation: the region is smaller than the new voxels")
    return kept


@dataclass(frozen=True)
class _Placed:
    """The part of the old image that is looked at, the part of the new grid that is made, and the way between them.

    Old place in mm = ``back`` of the new one; None where nothing is resampled, and both parts are the same.
    """

    seen: tuple[slice, ...]
    low: Whole
    high: Whole
    back: Any


def _placed(inside: NDArray[np.bool_], spacing_mm: Spacing, grid: _Grid, perturbation: Perturbation) -> _Placed:
    """Everything where filters see the whole image; else the region, turned, with what it may grow by and is kept."""
    import SimpleITK

    old, new, n_old = np.array(spacing_mm), np.array(grid.spacing_mm), np.array(inside.shape)
    turn = turn_about_z(perturbation.rotate_degrees)
    shift = np.array(perturbation.translate_voxels) * new * (n_old > 1)
    centre = np.argwhere(inside).mean(axis=0) * old
    low, high = np.zeros(3, dtype=np.int64), grid.shape
    if grid.kept is not None:
        corners = _corners([(part.start - 0.5, part.stop - 0.5) for part in box_of(inside)]) * old
        now = ((((corners - centre) @ turn.T + centre + shift) / old) - grid.first) / grid.step
        room = _room(perturbation, float(np.ptp(corners, axis=0).max())) / new
        low = _whole(np.clip(np.floor(now.min(axis=0) - room) - 1 - grid.kept[0], 0, grid.shape - 1))
        high = _whole(np.clip(np.ceil(now.max(axis=0) + room) + 2 + grid.kept[1], low + 1, grid.shape))
    if not perturbation.moves and grid.is_the_images:
        return _Placed(tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), low, high, None)
    back = SimpleITK.AffineTransform(3)
    back.SetMatrix([float(x) for x in turn.T.reshape(-1)])
    back.SetCenter([float(x) for x in centre])
    back.SetTranslation([float(x) for x in -turn.T @ shift])
    seen = tuple(slice(0, n) for n in inside.shape)
    if grid.kept is not None:
        ends = (grid.first + _corners(list(zip(low, high - 1, strict=True))) * grid.step) * old
        there = ((ends - shift - centre) @ turn + centre) / old
        first = np.clip(np.floor(there.min(axis=0)) - REACH["cubic"], 0, n_old - 1)
        last = np.clip(np.ceil(there.max(axis=0)) + REACH["cubic"] + 1, first + 1, n_old)
        seen = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return _Placed(seen, low, high, back)


def _resampled(
    voxels: NDArray[Any],
    inside: NDArray[np.bool_],
    spacing_mm: Spacing,
    grid: _Grid,
    placed: _Placed,
    settings: PyRadiomicsSettings,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """What is seen of image and mask on the new grid; what comes from beyond the image belongs to no region."""
    import SimpleITK

    old = np.array(spacing_mm)
    fill = SimpleITK.ResampleImageFilter()
    fill.SetTransform(placed.back)
    fill.SetOutputSpacing([float(mm) for mm in grid.spacing_mm])
    fill.SetSize([int(n) for n in placed.high - placed.low])
    fill.SetOutputOrigin([float(mm) for mm in (grid.first + placed.low * grid.step) * old])

    def made(array: NDArray[Any], interpolator: str) -> NDArray[Any]:
        given = to_itk(array, spacing_mm)
        given.SetOrigin([part.start * mm for part, mm in zip(placed.seen, spacing_mm, strict=True)])
        fill.SetInterpolator(getattr(SimpleITK, interpolator))
        return from_itk(fill.Execute(given))

    kept = made(inside.astype(np.uint8), "sitkNearestNeighbor") == 1
    # What filters see from beyond the image is as its edge.
    fill.UseNearestNeighborExtrapolatorOn()
    interpolator, kind = settings.interpolator or USUAL_INTERPOLATOR, voxels.dtype
    if kind.kind in "iu" and grid.is_the_images:
        # SimpleITK cuts decimals off. The profile's own resampling is so too, but here it has none.
        return _as_whole(made(voxels.astype(np.float64), interpolator), kind), kept
    return made(voxels, interpolator), kept


def _corners(ends: list[tuple[Any, Any]]) -> NDArray[np.float64]:
    """The eight corners between two ends along each axis."""
    return np.array(list(product(*ends)), dtype=np.float64)


def _room(perturbation: Perturbation, extent_mm: float) -> float:
    """By how much the region's box may grow afterwards, in mm."""
    return max(perturbation.volume, 0) * extent_mm + 2 * perturbation.supervoxel_mm * perturbation.contour


def _around(inside: NDArray[np.bool_], below: Whole, above: Whole) -> tuple[slice, ...]:
    """The region's box with what is kept below and above it, within the array."""
    return tuple(
        slice(max(part.start - int(a), 0), min(part.stop + int(b), n))
        for part, a, b, n in zip(box_of(inside), below, above, inside.shape, strict=True)
    )


def _range(settings: PyRadiomicsSettings) -> tuple[float | None, float | None]:
    """The range of intensities that the settings keep, where it stands in the image's unit."""
    if settings.resegment_range is None or settings.resegment_mode != "absolute":
        return None, None
    low, *high = sorted(settings.resegment_range)
    return low, high[0] if high else None


def _whole(numbers: NDArray[np.float64]) -> Whole:
    return numbers.astype(np.int64)


def _three(numbers: NDArray[np.float64]) -> Spacing:
    x, y, z = (float(n) for n in numbers)
    return x, y, z
