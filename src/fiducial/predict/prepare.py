"""The only preprocessing: an exam's images become the voxels that a network sees; probabilities find the way back.

Training, prediction and serving all call `prepare`; nothing else reorients, resamples or normalises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import ContractError, GeometryError
from fiducial.records.image import Geometry, Image
from fiducial.records.plan import Normalisation, Plan

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Prepared:
    """Voxels ready for a network, and what is needed to undo the way there.

    ``voxels`` [channel, x, y, z] float32 in RAS+ order at the plan's spacing. ``native`` is the source grid;
    ``oriented_shape`` its shape after reorientation; ``start`` the index, in the resampled grid, of voxel (0, 0, 0) of
    ``voxels`` (negative where the box was padded); ``full_shape`` the resampled grid before any box was cut.
    """

    voxels: NDArray[np.float32]
    native: Geometry
    oriented_shape: Triple
    full_shape: Triple
    start: Triple


def prepare(images: Sequence[Image], plan: Plan, *, region: NDArray[np.bool_] | None = None) -> Prepared:
    """Reorient to RAS+, resample to the plan's spacing, normalise, and cut the plan's region if it has one.

    Args:
        images: one per input of the plan, in its order, on one grid.
        plan: the plan to follow.
        region: mask [x, y, z] on the images' grid; needed where the plan cuts a region.

    Raises:
        GeometryError: the images lie on different grids.
        ContractError: the plan needs a region mask and it is missing or empty.
        VoxelError: a voxel is NaN or infinite.
    """
    first = images[0].geometry
    for image in images[1:]:
        first.require_match(image.geometry, where="images of one exam")
    for image in images:
        image.require_finite()
    stack = np.concatenate([image.array for image in images]).astype(np.float32)
    oriented = to_ras(stack, first.affine)
    spacing = oriented_spacing(first)
    shape = resampled_shape(_spatial(oriented), spacing, plan.spacing_mm)
    channels = [
        normalise(resample(channel, shape), how)
        for channel, how in zip(oriented, _per_channel(plan, len(oriented)), strict=True)
    ]
    voxels = np.stack(channels)
    start: Triple = (0, 0, 0)
    if plan.task == "classification":
        centre = _region_centre(region, first, plan, shape) if plan.region else tuple(n / 2 for n in shape)
        voxels, start = cut_box(voxels, centre, plan.patch)
    return Prepared(voxels, first, _spatial(oriented), shape, start)


def prepare_labels(labels: NDArray[np.integer[Any]], geometry: Geometry, plan: Plan) -> NDArray[np.uint8]:
    """Bring a label map [x, y, z] to the grid that `prepare` gives the images (nearest neighbour)."""
    oriented = to_ras(labels[None], geometry.affine)
    shape = resampled_shape(_spatial(oriented), oriented_spacing(geometry), plan.spacing_mm)
    return resample(oriented[0].astype(np.uint8), shape, nearest=True)


def restore(probabilities: NDArray[np.float32], prepared: Prepared) -> NDArray[np.float32]:
    """Bring probabilities [class, x, y, z] from the network's grid back to the native grid, linearly."""
    back = [resample(p, prepared.oriented_shape) for p in probabilities]
    return from_ras(np.stack(back), prepared.native.affine)


def to_ras(array: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """Flip and permute [channel, x, y, z] so that its axes point most nearly Right, Anterior, Superior."""
    from nibabel.orientations import io_orientation

    orientation = io_orientation(affine)
    source = [int(a) for a in np.argsort(orientation[:, 0])]
    moved = array.transpose(0, *[a + 1 for a in source])
    flips = tuple(i + 1 for i, a in enumerate(source) if orientation[a, 1] < 0)
    return np.ascontiguousarray(np.flip(moved, flips))


def from_ras(array: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any]:
    """Undo `to_ras`."""
    from nibabel.orientations import io_orientation

    orientation = io_orientation(affine)
    source = [int(a) for a in np.argsort(orientation[:, 0])]
    flips = tuple(i + 1 for i, a in enumerate(source) if orientation[a, 1] < 0)
    back = np.argsort(source)
    return np.ascontiguousarray(np.flip(array, flips).transpose(0, *[int(a) + 1 for a in back]))


def oriented_spacing(geometry: Geometry) -> tuple[float, float, float]:
    """Spacing in mm along the axes after `to_ras`."""
    from nibabel.orientations import io_orientation

    source = np.argsort(io_orientation(geometry.affine)[:, 0])
    spacing = np.array(geometry.spacing_mm)[source.astype(int)]
    return float(spacing[0]), float(spacing[1]), float(spacing[2])


def resampled_shape(shape: Triple, spacing: Sequence[float], target: Sequence[float]) -> Triple:
    """Number of voxels that cover the same extent at the target spacing, at least 1."""
    x, y, z = (max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True))
    return x, y, z


def resample(array: NDArray[Any], shape: Triple, *, nearest: bool = False) -> NDArray[Any]:
    """Resample [x, y, z] to ``shape`` over the same extent (voxel edges coincide), by SimpleITK.

    Linear, after Gaussian smoothing along axes that get coarser by more than 1.2 (against aliasing); or nearest
    neighbour. The same shape returns the array unchanged.
    """
    if array.shape == shape:
        return array
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name

    factor = np.array(array.shape, dtype=float) / np.array(shape, dtype=float)
    source = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    if not nearest:
        for axis in np.flatnonzero((factor > 1.2) & (np.array(array.shape) > 3)):
            smooth = sitk.RecursiveGaussianImageFilter()
            smooth.SetSigma(float(factor[axis] / 2.355))
            smooth.SetDirection(int(axis))
            source = smooth.Execute(source)
    filters = sitk.ResampleImageFilter()
    filters.SetSize([int(n) for n in shape])
    filters.SetOutputSpacing([float(f) for f in factor])
    filters.SetOutputOrigin([float(f / 2 - 0.5) for f in factor])
    filters.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    filters.UseNearestNeighborExtrapolatorOn()
    result: NDArray[Any] = sitk.GetArrayFromImage(filters.Execute(source)).transpose(2, 1, 0)
    return np.ascontiguousarray(result.astype(array.dtype, copy=False))


def normalise(channel: NDArray[np.float32], how: Normalisation) -> NDArray[np.float32]:
    """Map intensities to network input as `Normalisation` defines; a constant image under ``zscore`` becomes 0."""
    if how.kind == "window":
        return (np.clip(channel, how.low, how.high) - np.float32(how.mean)) / np.float32(how.std)
    if how.kind == "unit":
        return (channel - np.float32(how.low)) * np.float32(2 / (how.high - how.low)) - np.float32(1)
    std = float(channel.std(dtype=np.float64))
    if std == 0:
        return np.zeros_like(channel)
    return (channel - np.float32(channel.mean(dtype=np.float64))) / np.float32(std)


def cut_box(voxels: NDArray[np.float32], centre: Sequence[float], size: Triple) -> tuple[NDArray[np.float32], Triple]:
    """Cut [channel, *size] around ``centre`` (voxels); what lies outside takes the nearest edge's value.

    Returns the box and the index of its first voxel (negative where it begins outside).
    """
    start = [math.floor(float(c) - n / 2 + 0.5) for c, n in zip(centre, size, strict=True)]
    index = [
        np.clip(np.arange(s, s + n), 0, total - 1) for s, n, total in zip(start, size, voxels.shape[1:], strict=True)
    ]
    box = voxels[:, index[0]][:, :, index[1]][:, :, :, index[2]]
    return np.ascontiguousarray(box), (start[0], start[1], start[2])


def _per_channel(plan: Plan, n_channels: int) -> tuple[Normalisation, ...]:
    """One normalisation per stacked channel (a colour image's channels share its input's)."""
    if n_channels % len(plan.normalisation):
        raise GeometryError(f"{n_channels} channels", legal=f"a multiple of {len(plan.normalisation)} inputs")
    return tuple(how for how in plan.normalisation for _ in range(n_channels // len(plan.normalisation)))


def _region_centre(
    region: NDArray[np.bool_] | None, geometry: Geometry, plan: Plan, shape: Triple
) -> tuple[float, float, float]:
    """Centre of the region's bounding box, in voxels of the resampled grid."""
    name = plan.region.mask if plan.region else ""
    if region is None or not region.any():
        raise ContractError(
            f"no mask of {name!r} for this image, or it is empty",
            legal=f"a mask of {name!r} on the image's grid: the model looks at a box around it",
            action=f"segment {name!r} first and ingest the mask beside the image",
        )
    oriented = to_ras(region[None], geometry.affine)[0]
    centre = []
    for axis in range(3):
        line = np.flatnonzero(oriented.any(axis=tuple(a for a in range(3) if a != axis)))
        centre.append((line[0] + line[-1] + 1) / 2 * shape[axis] / oriented.shape[axis])
    return centre[0], centre[1], centre[2]


def _spatial(array: NDArray[Any]) -> Triple:
    return int(array.shape[1]), int(array.shape[2]), int(array.shape[3])
