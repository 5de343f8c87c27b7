"""One image's masks and scores into every format that was asked for: the work of one case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.export.maker import Maker
from fiducial.archive.export.seg import SegKind, require_free, write_segmentation
from fiducial.archive.export.source import SourceSeries, open_source
from fiducial.archive.export.sr import measure_masks, write_report
from fiducial.archive.export.structures import write_structures
from fiducial.archive.materialise import slug
from fiducial.archive.nifti import write_nifti
from fiducial.archive.readers import read_image, read_mask
from fiducial.errors import GeometryError, InputRefused, VoxelError
from fiducial.records.files import sha256_file
from fiducial.records.image import Geometry, Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FORMATS = ("seg", "rtstruct", "sr", "nifti")


@dataclass(frozen=True)
class MaskToWrite:
    """A structure in a file: the values that mean it, or none for a file of probabilities; ``sha256`` where known."""

    name: str
    path: str
    values: tuple[int, ...] = (1,)
    sha256: str = ""


@dataclass(frozen=True)
class ExportJob:
    """What is said of one image, the series that it came from, who says it, and as what to write it."""

    image: str
    series: SeriesFiles
    maker: Maker
    masks: tuple[MaskToWrite, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()
    formats: tuple[str, ...] = ("seg",)
    kind: SegKind = "binary"


@dataclass(frozen=True)
class Exported:
    """The files of one image, relative to the folder, and what could not be said in one of the formats."""

    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def export_case(job: ExportJob, *, out: Path) -> Exported:
    """Write one image's objects below ``out``; all are checked against the source before the first is written.

    Raises:
        UnreadableFile: a mask or the series cannot be read. GeometryError: a mask lies on another grid than its series.
        VoxelError: nothing to write. InputRefused: a file is already there, or a mask is not the one that was recorded.
    """
    source = open_source(job.series)
    files = {form: out / f"{job.image}.{form}.dcm" for form in ("seg", "rtstruct", "sr")}
    asked = set(job.formats) | ({"seg"} if "sr" in job.formats and job.masks else set())
    for form in asked & set(files):
        require_free(files[form])
    masks, geometry = _masks(job, source)
    written: list[Path] = []
    try:
        notes = _write(
            job, source, masks, geometry, files={form: files[form] for form in asked & set(files)}, to=written
        )
        if "nifti" in asked:
            written += _nifti(_solid(masks), geometry, job.image, out)
    except BaseException:
        # Half of what was asked for would stand in the way of the next try.
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return Exported(tuple(path.name for path in written), tuple(notes))


def _solid(masks: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Probabilities as masks: from half on."""
    return {name: mask if mask.dtype == bool else np.asarray(mask >= 0.5) for name, mask in masks.items()}


def _write(
    job: ExportJob,
    source: SourceSeries,
    masks: dict[str, NDArray[Any]],
    geometry: Geometry,
    *,
    files: dict[str, Path],
    to: list[Path],
) -> list[str]:
    """Write the DICOM files, adding each to ``to``; return what could not be said."""
    solid = _solid(masks)
    segmentation: Dataset | None = None
    filled = any(mask.any() for mask in solid.values())
    if filled and "seg" in files:
        given = masks if job.kind == "fractional" else solid
        segmentation = write_segmentation(
            given, files["seg"], geometry=geometry, source=source, maker=job.maker, kind=job.kind
        )
        to.append(files["seg"])
    if filled and "rtstruct" in files:
        write_structures(solid, files["rtstruct"], geometry=geometry, source=source, maker=job.maker)
        to.append(files["rtstruct"])
    if "sr" in files and (filled or job.scores):
        measured = measure_masks(solid, geometry, source) if filled else []
        scores = dict(job.scores)
        write_report(measured, files["sr"], source=source, maker=job.maker, segmentation=segmentation, scores=scores)
        to.append(files["sr"])
    absent = [form.upper() for form in sorted(set(files) - {path.name.split(".")[-2] for path in to})]
    if not absent:
        return []
    return [
        f"no {' and no '.join(absent)}: no voxel of any structure is set" + ("" if job.masks else ", and no mask given")
    ]


def _masks(job: ExportJob, source: SourceSeries) -> tuple[dict[str, NDArray[Any]], Geometry]:
    """Every structure's voxels, and their grid, which is that of the ingested series."""
    masks: dict[str, NDArray[Any]] = {}
    for one in job.masks:
        if one.sha256 and sha256_file(one.path) != one.sha256:
            raise InputRefused(
                "the mask is not the one that was recorded (SHA-256 differs)",
                where=Path(one.path).name,
                action="predict again; a changed file is never exported",
            )
        image = read_image(one.path) if not one.values else read_mask(one.path)
        if image.array.shape[0] != 1:
            raise VoxelError(f"{image.array.shape[0]} channels", where=Path(one.path).name, legal="one channel")
        _require_grid(image, source, one.path)
        array = image.array[0]
        masks[one.name] = np.isin(array, one.values) if one.values else array.astype(np.float32)
    return masks, source.grid


def _require_grid(image: Image, source: SourceSeries, path: str) -> None:
    """Refuse a mask whose voxels are not those of the series; both grids are shown."""
    grid = source.grid
    if not image.geometry.matches(grid):
        raise GeometryError(
            f"the mask's grid is {image.geometry.describe()}, its series' {grid.describe()}",
            where=Path(path).name,
            legal="equal shapes, and voxel centres within 0.001 mm",
            action="export masks on the grid that `fiducial ingest` gave the series; nothing is resampled here",
        )


def _nifti(masks: dict[str, NDArray[np.bool_]], geometry: Geometry, image: str, out: Path) -> list[Path]:
    written: list[Path] = []
    for name, mask in masks.items():
        path = out / f"{image}.{slug(name)}.nii.gz"
        if path in written:
            path = out / f"{image}.{slug(name)}-{len(written) + 1}.nii.gz"
        require_free(path)
        write_nifti(Image(mask[None], geometry), path)
        written.append(path)
    return written


def with_digests(job: ExportJob) -> ExportJob:
    """A job whose maker has the digest of its masks where no model's is known."""
    if job.maker.digest or not job.masks:
        return job
    digest = sha256_file(job.masks[0].path)
    return replace(job, maker=replace(job.maker, digest=digest))
