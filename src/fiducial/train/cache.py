"""Prepared training cases on disk: plain ``.npy`` arrays, read through memory maps."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fiducial.compute import Failure, map_cases
from fiducial.errors import InputRefused
from fiducial.predict.exams import Exam, load_images, load_label_map, load_region, truth_of
from fiducial.predict.prepare import prepare, prepare_labels
from fiducial.records.files import atomic_path
from fiducial.records.plan import Plan
from fiducial.records.progress import Progress, silent
from fiducial.train.fingerprint import evenly

N_LOCATIONS = 2000
DISK_IS_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), os.strerror(errno.EFBIG))


@dataclass(frozen=True)
class Cached:
    """One prepared case.

    ``voxels`` [channel, x, y, z] float32, ``labels`` [x, y, z] uint8 or None, ``truth`` [class] or a class index,
    ``locations`` the coordinates [n, 3] of up to 2,000 voxels of each foreground class; ``group`` the position in the
    plan's mitigated groups and ``weight`` what the case counts.
    """

    image: str
    subject: str
    voxels: NDArray[np.float32]
    labels: NDArray[np.uint8] | None
    truth: NDArray[np.float32] | None
    locations: tuple[NDArray[np.int64], ...]
    group: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class CacheRequest:
    """One exam to prepare, and where to put it."""

    exam: Exam
    plan: Plan
    folder: Path


def build_cache(
    exams: Sequence[Exam], plan: Plan, folder: Path, *, workers: int = 0, progress: Progress = silent
) -> tuple[list[Cached], tuple[Failure, ...]]:
    """Prepare every exam once, in worker processes where that pays; a failed exam is set aside and named.

    Raises:
        InputRefused: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requests = {exam.image: CacheRequest(exam, plan, folder) for exam in exams}
    done = map_cases(cache_case, requests, workers=workers, progress=progress, title="preparing images")
    for failure in done.failures:
        # A full disk is not a bad case: going on would train on whatever happened to fit.
        if failure.error == "OSError" and any(mark in failure.message for mark in DISK_IS_FULL):
            raise InputRefused(
                f"the disk is full ({failure.message})",
                where=str(folder),
                action="make room and run the same command with --resume",
            )
    kept = [exam for exam in exams if exam.image in done.results]
    return [_open(exam, plan, Path(done.results[exam.image])) for exam in kept], done.failures


def cache_case(request: CacheRequest) -> str:
    """Prepare one exam (called by ``map_cases``); returns the stem of its files."""
    exam, plan = request.exam, request.plan
    stem = request.folder / _file_name(exam.image)
    images = load_images(exam)
    region = load_region(exam, plan.region.mask, images[0]) if plan.region else None
    prepared = prepare(images, plan, region=region)
    _save(stem.with_suffix(".voxels.npy"), prepared.voxels)
    if plan.label_type == "structures":
        labels = prepare_labels(load_label_map(exam, plan.targets, images[0]), images[0].geometry, plan)
        _save(stem.with_suffix(".labels.npy"), labels)
    return str(stem)


def _open(exam: Exam, plan: Plan, stem: Path) -> Cached:
    """Open a cached case by memory maps."""
    voxels = np.load(stem.with_suffix(".voxels.npy"), mmap_mode="r", allow_pickle=False)
    labels = None
    locations: tuple[NDArray[np.int64], ...] = ()
    truth = None
    if plan.label_type == "structures":
        labels = np.load(stem.with_suffix(".labels.npy"), mmap_mode="r", allow_pickle=False)
        locations = tuple(_locations(labels, n) for n in range(1, len(plan.classes)))
    else:
        truth = truth_of(exam, plan)
    return Cached(exam.image, exam.subject, voxels, labels, truth, locations)


def _locations(labels: NDArray[np.uint8], value: int) -> NDArray[np.int64]:
    """Evenly spread voxel coordinates of one class, from its first voxel to its last."""
    found = np.argwhere(labels == value)
    return found[evenly(len(found), N_LOCATIONS)]


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with atomic_path(path) as part, part.open("wb") as file:
        try:
            np.save(file, array, allow_pickle=False)
        except OSError as error:
            if error.errno is not None:
                raise
            # NumPy reports a short write without a number; on a plain file only a full disk makes one.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def _file_name(image: str) -> str:
    """A file name that no image id can lead elsewhere."""
    import hashlib

    return hashlib.sha256(image.encode()).hexdigest()[:24]
