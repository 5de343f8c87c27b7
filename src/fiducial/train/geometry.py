"""The planner's rules for grid, patch and network size: from traits and a budget to numbers, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiducial.records.plan import Triple, TripleMm
from fiducial.study import Region
from fiducial.train.fingerprint import Traits

BYTES_PER_VOXEL = 4 * 24  # 32-bit numbers kept for the backward pass, per voxel and channel of the first level
PATCH_VOXELS = {"cpu": 100_000, "cuda": 2_000_000}
REGION_VOXELS = {"cpu": 32_768, "cuda": 262_144}
CONTEXT = 3.0  # a patch is this many times as wide as the structures in it
LEAST_PATCH = 32  # voxels
MAX_BATCH = 8
PATCH_SHARE = 8  # a patch covers at least this part (1/8) of the median image, else spacing is made coarser
BFLOAT16_BAD_SIZE = 2
"""PyTorch 2.13's bfloat16 convolution on a CPU (oneDNN) leaves parts of a weight gradient unset, differently in each
call and at times not finite, where the first axis of a volume is 2 voxels long under a 3-wide kernel."""


@dataclass(frozen=True)
class Shape:
    """Grid and network size, with a reason for each choice."""

    spacing_mm: TripleMm
    patch: Triple
    strides: tuple[Triple, ...]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    batch: int
    learning_rate: float
    weight_decay: float
    foreground_fraction: float
    overlap: float
    reasons: dict[str, str]


def segmentation_shape(traits: Sequence[Traits], *, device: str, memory_gb: float) -> Shape:
    """Median spacing (coarser where images are far larger than a patch can be), and a network with sub-voxel output."""
    flat = traits[0].looks[0].flat
    spacing, size = _median_grid(traits)
    first = _first_stride(flat)
    widths_first = 32
    batch = 2 if not flat else max(2, min(8, len(traits) // 4))
    room = memory_gb * 0.4e9 / (BYTES_PER_VOXEL * widths_first * batch) * math.prod(first)
    limit = int(min(PATCH_VOXELS[device], room))
    reasons = {"spacing_mm": "median of the training images"}
    extent = math.prod(size)
    if extent > PATCH_SHARE * limit:
        factor = (extent / (PATCH_SHARE * limit)) ** (1 / (2 if flat else 3))
        spacing, size = _coarser(spacing, size, factor, flat=flat)
        reasons["spacing_mm"] = (
            f"median of the training images made {factor:.2f} times coarser: a patch of {limit:,} voxels "
            f"({device}, {memory_gb:g} GB) would see less than 1/{PATCH_SHARE} of an image"
        )
    wanted = _around_structures(traits, spacing, size)
    strides = _strides(_within(wanted, limit), spacing, first, flat=flat)
    patch = _fit_patch(wanted, strides, limit)
    batch = max(batch, min(MAX_BATCH, limit * batch // math.prod(patch)))
    reasons["patch"] = (
        f"{CONTEXT:g} times the structures' extent, at most the median image ({' x '.join(map(str, size))} voxels), "
        f"within {limit:,} voxels; small patches come in larger batches"
    )
    reasons["strides"] = "a first stride of 2 with sub-voxel output sees about three times as many images in a minute"
    levels = len(strides)
    cap = 256 if device == "cpu" else 320
    return Shape(
        spacing_mm=spacing,
        patch=patch,
        strides=strides,
        widths=tuple(min(cap, widths_first * 2**i) for i in range(levels)),
        blocks=(),
        batch=batch,
        learning_rate=2e-3,
        weight_decay=1e-2,
        foreground_fraction=0.5 if math.prod(patch) < 0.8 * math.prod(size) else 0.0,
        overlap=0.5 if math.prod(patch) > 0.2 * math.prod(size) else 0.25,
        reasons=reasons,
    )


def classification_shape(traits: Sequence[Traits], region: Region | None, *, device: str, memory_gb: float) -> Shape:
    """A fixed box around the region, or the whole median image, at a spacing that the limit of voxels allows."""
    flat = traits[0].looks[0].flat
    spacing, size = _median_grid(traits)
    reasons = {"spacing_mm": "median of the training images", "patch": "the median image"}
    if region is not None:
        extents = np.percentile([t.region_mm for t in traits if t.region_mm], 95, axis=0)
        box = extents + 2 * region.margin_mm
        size = _triple_int([max(1, math.ceil(b / s)) for b, s in zip(box, spacing, strict=True)])
        reasons["patch"] = f"95th percentile of the extent of {region.mask!r} and {region.margin_mm:g} mm on each side"
    total = memory_gb * 0.4e9 / (BYTES_PER_VOXEL * 32)
    limit = int(min(REGION_VOXELS[device], total / 4))
    if math.prod(size) > limit:
        factor = (math.prod(size) / limit) ** (1 / (2 if flat else 3))
        spacing, size = _coarser(spacing, size, factor, flat=flat)
        reasons["spacing_mm"] += f", made {factor:.2f} times coarser to keep {limit:,} voxels"
    size = _triple_int([1 if flat and axis == 2 else max(8, 4 * math.ceil(n / 4)) for axis, n in enumerate(size)])
    batch = int(max(8, min(64 if flat else 16, len(traits) // 4, total // math.prod(size))))
    wide = flat and min(size[:2]) > 48
    return Shape(
        spacing_mm=spacing,
        patch=size,
        strides=((2, 2, 1) if wide else (1, 1, 1),),
        widths=(32, 64, 128, 256) if flat else (16, 32, 64, 128),
        blocks=(1, 1, 1, 1),
        batch=batch,
        learning_rate=2e-3 if batch > 16 else 1e-3,
        weight_decay=5e-2,
        foreground_fraction=0.0,
        overlap=0.5,
        reasons=reasons,
    )


def _around_structures(traits: Sequence[Traits], spacing: TripleMm, size: Triple) -> Triple:
    """A patch that shows the structures with what surrounds them: small structures need no large patch."""
    extents = [t.foreground_mm for t in traits if t.foreground_mm]
    if not extents:
        return size
    wide = np.percentile(extents, 90, axis=0) * CONTEXT / np.array(spacing)
    # In eighths, so that three halvings come out even and no level is left at a stride of 1.
    return _triple_int([min(n, max(LEAST_PATCH, 8 * math.ceil(w / 8))) for n, w in zip(size, wide, strict=True)])


def _median_grid(traits: Sequence[Traits]) -> tuple[TripleMm, Triple]:
    """Median spacing, and the median shape of the images at that spacing."""
    spacing = np.median([t.spacing_mm for t in traits], axis=0)
    shapes = [np.array(t.shape) * np.array(t.spacing_mm) / spacing for t in traits]
    size = np.maximum(1, np.round(np.median(shapes, axis=0)))
    return (float(spacing[0]), float(spacing[1]), float(spacing[2])), _triple_int(size)


def _coarser(spacing: TripleMm, size: Triple, factor: float, *, flat: bool) -> tuple[TripleMm, Triple]:
    """The grid made coarser by ``factor`` per axis, the finest axes first so that voxels become more nearly cubes."""
    axes = 2 if flat else 3
    total = factor**axes
    new = np.array(spacing, dtype=float)
    while math.prod(new[:axes]) < math.prod(spacing[:axes]) * total:
        new[int(np.argmin(new[:axes]))] *= 1.02
    ratio = np.array(spacing) / new
    shape = [max(1, round(n * r)) for n, r in zip(size, ratio, strict=True)]
    return (float(new[0]), float(new[1]), float(new[2])), _triple_int(shape)


def _within(size: Triple, limit: int) -> Triple:
    """The size, its longest axes cut alike until it holds at most ``limit`` voxels."""
    low, high = 1, max(size)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if math.prod(min(n, middle) for n in size) <= limit else (low, middle - 1)
    return _triple_int([min(n, low) for n in size])


def _first_stride(flat: bool) -> Triple:
    return (2, 2, 1) if flat else (2, 2, 2)


def _strides(size: Triple, spacing: TripleMm, first: Triple, *, flat: bool) -> tuple[Triple, ...]:
    """Halve each axis until fewer than 8 voxels would be left of it; a far coarser axis waits for the others."""
    axes = 2 if flat else 3
    strides = [first]
    left = [n / f for n, f in zip(size, first, strict=True)]
    mm = [s * f for s, f in zip(spacing, first, strict=True)]
    while len(strides) < 6:
        finest = min(mm[a] for a in range(axes) if left[a] >= 8) if any(left[a] >= 8 for a in range(axes)) else 0.0
        step = [2 if a < axes and left[a] >= 8 and mm[a] < 2 * finest else 1 for a in range(3)]
        if max(step) == 1:
            break
        strides.append(_triple_int(step))
        left = [n / s for n, s in zip(left, step, strict=True)]
        mm = [m * s for m, s in zip(mm, step, strict=True)]
    while len(strides) < 3:
        strides.append((1, 1, 1))
    return tuple(strides)


def _fit_patch(size: Triple, strides: Sequence[Triple], limit: int) -> Triple:
    """The size rounded up to what the strides divide, its largest axis cut until it holds at most ``limit`` voxels.

    Each axis keeps at least twice its divisor, so that instance normalisation has more than one voxel at the bottom;
    the first axis of a volume three times (see `BFLOAT16_BAD_SIZE`).
    """
    divisor = [math.prod(s[axis] for s in strides) for axis in range(3)]
    least = [(3 if axis == 0 and divisor[2] > 1 else 2) * d if d > 1 else 1 for axis, d in enumerate(divisor)]
    patch = [max(low, d * round(n / d + 0.3)) for low, n, d in zip(least, size, divisor, strict=True)]
    while math.prod(patch) > limit:
        axis = max((a for a in range(3) if patch[a] > least[a]), key=lambda a: patch[a], default=None)
        if axis is None:
            break
        patch[axis] -= divisor[axis]
    return _triple_int(patch)


def _triple_int(values: Sequence[float] | np.ndarray) -> Triple:
    return int(values[0]), int(values[1]), int(values[2])


def bfloat16_is_sound(dimensions: int, patch: Triple, strides: Sequence[Triple], n_halvings: int = 0) -> bool:
    """Whether no level of a network sees a volume whose first axis is `BFLOAT16_BAD_SIZE` long.

    Args:
        dimensions: 2 or 3; the defect is of three-dimensional convolutions.
        patch: what the network takes in.
        strides: of its levels.
        n_halvings: further strides of 2 that the network has by itself.
    """
    size = patch[0]
    for step in (*(stride[0] for stride in strides), *[2] * n_halvings):
        size = math.ceil(size / step)
        if dimensions == 3 and size == BFLOAT16_BAD_SIZE:
            return False
    return True
