"""What the planner must know of each exam, measured once in a pass over the cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import LabelError
from fiducial.predict.contract import Look, look
from fiducial.predict.exams import Exam, load_images, load_label_map, load_region
from fiducial.predict.prepare import oriented_spacing, to_ras
from fiducial.records.image import Geometry

N_SAMPLES = 2000


@dataclass(frozen=True)
class Traits:
    """One exam: shape and spacing after reorientation, looks per input, intensity samples per input.

    ``region_mm`` is the extent of the region that a classifier looks at, ``foreground_mm`` that of all structures to
    segment together (None: none); ``present`` says which of them the exam has. ``samples`` are up to 2,000 intensities
    per input, from the labelled foreground where there is one.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    looks: tuple[Look, ...]
    samples: tuple[tuple[float, ...], ...]
    region_mm: tuple[float, float, float] | None
    present: tuple[bool, ...]
    foreground_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class TraitsRequest:
    """What to measure in one exam."""

    exam: Exam
    structures: tuple[str, ...]
    region_mask: str = ""
    need_masks: bool = False


def measure_traits(request: TraitsRequest) -> Traits:
    """Measure one exam (called by ``map_cases``).

    Raises:
        LabelError: masks are needed and the exam has none of the structures.
        VoxelError, GeometryError, UnreadableFile: the exam cannot be used.
    """
    exam = request.exam
    images = load_images(exam)
    for image in images:
        image.require_finite(exam.image)
    geometry = images[0].geometry
    foreground = np.zeros(geometry.shape, bool)
    present: tuple[bool, ...] = ()
    if request.need_masks:
        if not any(exam.mask(s) for s in request.structures):
            raise LabelError(f"no reference mask of {', '.join(request.structures)}", where=exam.image)
        labels = load_label_map(exam, request.structures, images[0])
        present = tuple(bool((labels == n).any()) for n in range(1, len(request.structures) + 1))
        foreground = labels > 0
    foreground_mm = _extent_mm(to_ras(foreground[None], geometry.affine)[0], geometry) if foreground.any() else None
    region_mm = None
    if request.region_mask:
        region = load_region(exam, request.region_mask, images[0])
        region_mm = _extent_mm(to_ras(region[None], geometry.affine)[0], geometry)
        foreground |= region
    oriented = to_ras(images[0].array[:1], geometry.affine)
    return Traits(
        shape=(oriented.shape[1], oriented.shape[2], oriented.shape[3]),
        spacing_mm=oriented_spacing(geometry),
        looks=tuple(look(image) for image in images),
        samples=tuple(_samples(image.array, foreground) for image in images),
        region_mm=region_mm,
        present=present,
        foreground_mm=foreground_mm,
    )


def _samples(array: np.ndarray, foreground: np.ndarray) -> tuple[float, ...]:
    """Evenly spaced intensities of the foreground, or of the whole image where there is none."""
    values = array[:, foreground].ravel() if foreground.any() else array.ravel()
    return tuple(values[evenly(len(values), N_SAMPLES)].astype(float).tolist())


def evenly(n: int, limit: int) -> NDArray[np.int64]:
    """At most ``limit`` positions below ``n``, spread over the whole of it; all of them where there are no more.

    A stride would not do: of 3,999 voxels in reading order, every first one up to 2,000 is one half of a structure.
    """
    return np.arange(n) if n <= limit else np.arange(limit) * n // limit


def _extent_mm(region: Any, geometry: Geometry) -> tuple[float, float, float]:
    """Side lengths of the bounding box of a mask that is oriented to RAS+."""
    spacing = oriented_spacing(geometry)
    if not region.any():
        raise LabelError("the region's mask is empty", legal="a mask with at least one voxel")
    lines = [np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    x, y, z = (float((line[-1] - line[0] + 1) * s) for line, s in zip(lines, spacing, strict=True))
    return x, y, z
