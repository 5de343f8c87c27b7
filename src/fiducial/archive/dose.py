"""RT Dose (PS3.3 A.18.3): one file, one dose distribution in gray on its own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.decoders import Decoded
from fiducial.archive.dicom.copies import distinct
from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.frames import parsing, stored_frames
from fiducial.archive.dicom.header import LPS_FROM_RAS, SeriesReference
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.refusal import refuse
from fiducial.records.image import Geometry, Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MODALITY, UNIT = "RTDOSE", "Gy"
TYPES = ("PHYSICAL", "EFFECTIVE")
SUMMATIONS = ("PLAN", "MULTI_PLAN", "PLAN_OVERVIEW", "FRACTION", "BEAM", "BRACHY", "FRACTION_SESSION", "BEAM_SESSION")
EVEN_TOLERANCE_MM = 0.01
GRID = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "GridFrameOffsetVector",
)


@dataclass(frozen=True)
class DoseGrid:
    """Where a dose lies; ``order`` lists its frames so that they rise along row x column direction."""

    geometry: Geometry
    order: NDArray[np.int64]


def decode_dose(series: SeriesFiles) -> Decoded:
    """Read one dose distribution as an image [1, x, y, z] in Gy (float32): stored value times DoseGridScaling.

    Columns ``dose_type`` (physical or effective) and ``dose_summation`` (plan, beam ...) say what was added up.

    Raises:
        UnreadableFile: ``dose-units``, ``dose-type``, ``dose-scaling``, ``dose-offsets``, ``single-slice``, or a
            refusal of the file or its pixels.
    """
    header = only_file(series)
    dataset = read_dataset(header.path)
    with parsing("a dose"):
        units = str(dataset.get("DoseUnits", "")).upper()
        if units != "GY":
            raise refuse("dose-units", "relative to a reference" if units == "RELATIVE" else "no DoseUnits of GY")
        kind = str(dataset.get("DoseType", "")).upper()
        if kind not in TYPES:
            raise refuse("dose-type", "a difference of doses" if kind == "ERROR" else "no known DoseType")
        scaling = float(dataset.get("DoseGridScaling") or 0)
        if not (np.isfinite(scaling) and scaling > 0):
            raise refuse("dose-scaling", "no DoseGridScaling above 0")
        grid = _grid(dataset)
        frames = stored_frames(dataset)[grid.order]
        summation = str(dataset.get("DoseSummationType", "")).upper()
    image = Image((frames * scaling).astype(np.float32).transpose(2, 1, 0)[None], grid.geometry, MODALITY, UNIT)
    said = {"dose_type": kind.lower(), "dose_summation": summation.lower() if summation in SUMMATIONS else ""}
    return Decoded(image, (), said)


def dose_reference(series: SeriesFiles) -> SeriesReference:
    """The grid of a dose and what objects drawn on it call it; reads no pixels.

    Raises:
        UnreadableFile: as `decode_dose`.
    """
    header = only_file(series)
    with parsing("a dose"):
        grid = _grid(read_dataset(header.path, keywords=GRID))
    return file_reference(header, series, grid.geometry)


def file_reference(header: FileHeader, series: SeriesFiles, geometry: Geometry) -> SeriesReference:
    """A grid whose slices are frames of one file."""
    return SeriesReference(
        geometry=geometry,
        modality=series.modality,
        study_uid=header.text("StudyInstanceUID"),
        series_uid=series.series_uid,
        frame_uid=header.text("FrameOfReferenceUID"),
        sop_class=header.text("SOPClassUID"),
        sop_uids=(header.text("SOPInstanceUID"),) * geometry.shape[2],
    )


def only_file(series: SeriesFiles) -> FileHeader:
    """The one file, exact copies aside."""
    if series.refusal is not None:
        raise series.refusal
    kept = distinct(series.headers).headers
    if len(kept) > 1:
        raise refuse("conflicting-copies", "one SOPInstanceUID in two files of different content or encoding")
    header = kept[0]
    if not header.has_pixels:
        raise refuse("truncated", "no pixel data: a dose without a grid, or a file that ends before it")
    return header


def _grid(dataset: Dataset) -> DoseGrid:
    """The grid from GridFrameOffsetVector (PS3.3 C.8.8.3.2).

    Offsets that begin with 0 are relative to ImagePositionPatient, along row x column; those that begin with its z are
    patient coordinates, which only axial planes may have. Offsets may fall; they must be even.
    """
    absent = [k for k in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing") if not dataset.get(k)]
    if absent:
        raise refuse("missing-tags", ", ".join(absent))
    n_frames = int(dataset.get("NumberOfFrames") or 1)
    row, column = (_vector(dataset.ImageOrientationPatient[part]) for part in (slice(0, 3), slice(3, 6)))
    normal = np.cross(row, column)
    down, right = _vector(dataset.PixelSpacing)
    position = _vector(dataset.ImagePositionPatient)
    along = _offsets(dataset, n_frames, position, normal)
    order = np.argsort(along, kind="stable")
    along = along[order]
    if n_frames == 1:
        thickness = float(dataset.get("SliceThickness") or 0)
        if thickness <= 0:
            raise refuse("single-slice", "one dose plane without SliceThickness")
        step = thickness
    else:
        step = float(along[-1] - along[0]) / (n_frames - 1)
        off = np.abs(along - (along[0] + step * np.arange(n_frames))).max()
        if step <= 0 or off > EVEN_TOLERANCE_MM:
            gaps = np.diff(along)
            raise refuse("dose-offsets", f"planes {gaps.min():.4g} to {gaps.max():.4g} mm apart")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * right, column * down, normal * step
    affine[:3, 3] = position + normal * along[0]
    return DoseGrid(Geometry(LPS_FROM_RAS @ affine, (int(dataset.Columns), int(dataset.Rows), n_frames)), order)


def _offsets(
    dataset: Dataset, n_frames: int, position: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far each frame lies from the first along the normal, in mm."""
    if n_frames == 1:
        return np.zeros(1)
    stated = dataset.get("GridFrameOffsetVector")
    offsets = _vector(stated if stated is not None else ())
    if len(offsets) != n_frames or not np.isfinite(offsets).all():
        raise refuse("dose-offsets", f"{len(offsets)} offsets for {n_frames} planes")
    if offsets[0] == 0:
        return offsets
    axial = abs(abs(normal[2]) - 1) < 1e-6
    if axial and abs(offsets[0] - position[2]) < EVEN_TOLERANCE_MM:
        return np.asarray((offsets - offsets[0]) * np.sign(normal[2]))
    raise refuse("dose-offsets", "offsets that begin neither with 0 nor with the first plane's place")


def _vector(values: Any) -> NDArray[np.float64]:
    return np.array([float(value) for value in values], dtype=np.float64)
