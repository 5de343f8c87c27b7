"""Scans that are not plain: what goes wrong between scanner and archive, planted one at a time, with the right answer.

Each entry of `PLANTED` writes one visit of a patient with one peculiarity, and says what a reader of the archive must
answer: accepted, repaired or rejected, and under which code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.phantom.mr import ECHOES_MS, render_mr
from fiducial.phantom.patients import Patient
from fiducial.records.image import Geometry, Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from fiducial.archive.dicom.header import DicomHeader, SeriesReference

STRUCTURE = "nodule"
TILT_DEGREES = 15.0
OBLIQUE_DEGREES = (20.0, -12.0)
AIR_HU = -1024
MARKER_HU = 2000
PRIVATE_GROUP, PRIVATE_CREATOR = 0x0009, "NORTHLIGHT SERVICE"


@dataclass(frozen=True)
class Scan:
    """One visit to write: who, under which header, with which voxels, and into which folder."""

    patient: Patient
    header: DicomHeader
    image: Image
    mask: NDArray[np.bool_]
    folder: Path


@dataclass(frozen=True)
class Planted:
    """How a visit is written, and what the archive must answer about the series that it changes.

    ``modality`` is that of the series in question; ``status`` is accepted, repaired or rejected, ``code`` the stable
    code that the reason starts with (empty where it is accepted).
    """

    write: Callable[[Scan], list[Path]]
    status: str
    code: str = ""
    modality: str = "CT"


def write_scan(scan: Scan) -> list[Path]:
    """Write a visit as it should be: a CT series and a structure set."""
    from fiducial.archive.dicom.write import write_series

    files = write_series(scan.image, scan.folder, scan.header)
    return [*files, _structures(scan, scan.header.reference(scan.image.geometry, scan.image.modality))]


def _structures(scan: Scan, reference: SeriesReference) -> Path:
    from fiducial.archive.rtstruct import write_rtstruct

    masks = {STRUCTURE: scan.mask}
    return write_rtstruct(masks, scan.folder / "structures.dcm", reference=reference, header=scan.header)


def _gap(scan: Scan) -> list[Path]:
    """A slice in the middle was lost on the way."""
    *slices, structures = write_scan(scan)
    slices.pop(len(slices) // 2).unlink()
    return [*slices, structures]


def _copy(scan: Scan) -> list[Path]:
    """A file was sent twice."""
    files = write_scan(scan)
    return [*files, Path(shutil.copyfile(files[3], scan.folder / "again.dcm"))]


def _twice(scan: Scan) -> list[Path]:
    """A second slice lies where another lies, with other voxels and a UID of its own."""
    from fiducial.archive.dicom.header import derived_uid

    files = write_scan(scan)

    def change(dataset: Dataset) -> None:
        dataset.SOPInstanceUID = derived_uid("twice", dataset.SOPInstanceUID)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        voxels = np.frombuffer(dataset.PixelData, dtype="<i2")
        dataset.PixelData = (voxels + 1).astype("<i2").tobytes()

    return [*files, _edited(files[3], scan.folder / "twice.dcm", change)]


def _reversed(scan: Scan) -> list[Path]:
    """The same voxels at the same places, stored from the other side: rows, columns and slices run backwards."""
    affine = scan.image.geometry.affine.copy()
    last = np.array(scan.image.geometry.shape) - 1
    affine[:3, 3] = affine[:3, :3] @ last + affine[:3, 3]
    affine[:3, :3] *= -1
    flipped = Geometry(affine, scan.image.geometry.shape)
    voxels = np.ascontiguousarray(scan.image.array[:, ::-1, ::-1, ::-1])
    mask = np.ascontiguousarray(scan.mask[::-1, ::-1, ::-1])
    return write_scan(replace(scan, image=replace(scan.image, array=voxels, geometry=flipped), mask=mask))


def _oblique(scan: Scan) -> list[Path]:
    """Slices that lie aslant in the body."""
    about_x, about_z = np.radians(OBLIQUE_DEGREES)
    turn_x = np.array([[1, 0, 0], [0, np.cos(about_x), -np.sin(about_x)], [0, np.sin(about_x), np.cos(about_x)]])
    turn_z = np.array([[np.cos(about_z), -np.sin(about_z), 0], [np.sin(about_z), np.cos(about_z), 0], [0, 0, 1]])
    axes = turn_z @ turn_x @ scan.image.geometry.affine[:3, :3]
    return write_scan(_sampled(scan, axes))


def tilted_axes(geometry: Geometry) -> NDArray[np.float64]:
    """The steps (RAS+ mm, one a column) of a scan with tilted gantry: rows lean, the table moves straight on."""
    axes = geometry.affine[:3, :3].copy()
    lean = np.radians(TILT_DEGREES)
    length = float(np.linalg.norm(axes[:, 1]))
    axes[:, 1] = np.sign(axes[1, 1]) * length * np.array([0.0, np.cos(lean), np.sin(lean)])
    return axes


def _tilt(scan: Scan) -> list[Path]:
    """The gantry was tilted: slices lean, and each is shifted against the one below."""
    from fiducial.archive.dicom.write import write_series

    tilted = _sampled(scan, tilted_axes(scan.image.geometry))
    geometry = tilted.image.geometry
    # A plain writer refuses such a grid, so it writes an upright one, and the places are put right afterwards.
    files = write_series(replace(tilted.image, geometry=scan.image.geometry), scan.folder, scan.header)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    row, column = lps[:3, 0] / np.linalg.norm(lps[:3, 0]), lps[:3, 1] / np.linalg.norm(lps[:3, 1])
    for z, file in enumerate(files):

        def change(dataset: Dataset, z: int = z) -> None:
            dataset.ImageOrientationPatient = [round(float(v), 10) for v in (*row, *column)]
            dataset.ImagePositionPatient = [round(float(v), 6) for v in lps[:3, 3] + z * lps[:3, 2]]
            dataset.GantryDetectorTilt = TILT_DEGREES
            del dataset.SliceLocation

        _edited(file, file, change)
    reference = replace(scan.header.reference(scan.image.geometry, "CT"), geometry=geometry)
    return [*files, _structures(tilted, reference)]


def _sampled(scan: Scan, axes: NDArray[np.float64]) -> Scan:
    """The scan on a grid of other steps about the same centre: linear for voxels, the nearest for the mask."""
    from scipy.ndimage import map_coordinates

    old = scan.image.geometry
    middle = (np.array(old.shape) - 1) / 2
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = old.affine[:3, :3] @ middle + old.affine[:3, 3] - axes @ middle
    to_old = np.linalg.inv(old.affine) @ affine
    index = np.indices(old.shape, dtype=np.float32).reshape(3, -1)
    places = (to_old[:3, :3] @ index + to_old[:3, 3:]).reshape(3, *old.shape)
    voxels = map_coordinates(scan.image.array[0].astype(np.float32), places, order=1, cval=AIR_HU)
    mask = map_coordinates(scan.mask.astype(np.uint8), places, order=0) > 0
    image = Image(np.rint(voxels).astype(np.int16)[None], Geometry(affine, old.shape), scan.image.modality, "HU")
    return replace(scan, image=image, mask=mask)


def _burned_in(scan: Scan) -> list[Path]:
    """A letter stands in the corner of every slice, and no header says so."""
    voxels = scan.image.array.copy()
    voxels[:, 4:7, 4:14] = MARKER_HU
    voxels[:, 7:12, 11:14] = MARKER_HU
    return write_scan(replace(scan, image=replace(scan.image, array=voxels)))


def _burned_in_said(scan: Scan) -> list[Path]:
    """A letter stands in the corner of every slice, and the header says so."""
    *slices, structures = _burned_in(scan)

    def change(dataset: Dataset) -> None:
        dataset.BurnedInAnnotation = "YES"

    return [*(_edited(file, file, change) for file in slices), structures]


def _private_tags(scan: Scan) -> list[Path]:
    """The scanner's maker keeps the patient's name and number in elements of its own, one of them in a sequence."""
    from pydicom.dataset import Dataset as Item

    *slices, structures = write_scan(scan)

    def change(dataset: Dataset) -> None:
        block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
        block.add_new(0x01, "LO", scan.header.patient_name)
        block.add_new(0x02, "UN", scan.header.patient_id.encode() + b" ")
        inner = Item()
        inner.PatientID = scan.header.patient_id
        inner.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True).add_new(0x03, "ST", scan.header.patient_name)
        block.add_new(0x10, "SQ", [inner])

    return [*(_edited(file, file, change) for file in slices), structures]


def _multiframe(scan: Scan) -> list[Path]:
    """The slices lie in one file: a Legacy Converted Enhanced CT Image (PS3.3 A.70)."""
    from highdicom.legacy import LegacyConvertedEnhancedCTImage
    from pydicom import dcmread

    from fiducial.archive.dicom.header import derived_uid

    *slices, structures = write_scan(scan)
    series = scan.header.series_uid("CT")
    whole = LegacyConvertedEnhancedCTImage(
        legacy_datasets=[dcmread(file) for file in slices],
        series_instance_uid=series,
        series_number=scan.header.series_number,
        sop_instance_uid=derived_uid("multiframe", series),
        instance_number=1,
    )
    for file in slices:
        file.unlink()
    whole.save_as(scan.folder / "whole.dcm")
    structures.unlink()
    return [scan.folder / "whole.dcm"]


def _mixed_echoes(scan: Scan) -> list[Path]:
    """Beside the CT, an MR of two echo times under one series UID."""
    from fiducial.archive.dicom.write import write_series

    files = write_scan(scan)
    first = replace(scan.header, series_number=11).series_uid("MR")
    for number, echo_ms in enumerate(ECHOES_MS, start=1):
        header = replace(scan.header, series_number=10 + number, echo_time_ms=echo_ms, kernel="", kvp=None)
        folder = scan.folder / f"echo{number}"

        def change(dataset: Dataset, number: int = number) -> None:
            dataset.SeriesInstanceUID, dataset.SeriesNumber = first, 11
            dataset.EchoNumbers = number
            dataset.InstanceNumber = int(dataset.InstanceNumber) + 1000 * (number - 1)

        for file in write_series(render_mr(scan.image, echo_ms), folder, header):
            files.append(_edited(file, scan.folder / f"echo{number}-{file.name}", change))
            file.unlink()
        folder.rmdir()
    return files


def _edited(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """Write a changed copy of a DICOM file (or change it in place)."""
    from pydicom import dcmread

    dataset = dcmread(source)
    change(dataset)
    dataset.save_as(target)
    return target


PLANTED: dict[str, Planted] = {
    "gap": Planted(_gap, "rejected", "missing-slices"),
    "copy": Planted(_copy, "repaired", "exact-copies"),
    "twice": Planted(_twice, "rejected", "duplicate-slices"),
    "tilt": Planted(_tilt, "repaired", "gantry-tilt"),
    "reversed": Planted(_reversed, "accepted"),
    "oblique": Planted(_oblique, "accepted"),
    "multiframe": Planted(_multiframe, "accepted"),
    "mixed_echoes": Planted(_mixed_echoes, "repaired", "split", modality="MR"),
    "burned_in": Planted(_burned_in, "accepted"),
    "burned_in_said": Planted(_burned_in_said, "rejected", "burned-in-annotation"),
    "private_tags": Planted(_private_tags, "accepted"),
}
