"""DICOM RT Structure Sets: contours to masks on a series' grid, and masks to contours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.frames import parsing
from fiducial.archive.dicom.header import (
    LPS_FROM_RAS,
    RT_STRUCTURE_SET,
    DicomHeader,
    SeriesReference,
    derived_uid,
)
from fiducial.archive.dicom.modules import patient_and_study
from fiducial.archive.dicom.write import dataset_bytes, file_head
from fiducial.archive.drawers import Structure
from fiducial.archive.polygons import fill_even_odd, outlines
from fiducial.archive.refusal import refuse
from fiducial.errors import GeometryError, UnreadableFile
from fiducial.records.files import atomic_path

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Retired but what every vendor writes here: Detached Study Management.
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
SLICE_TOLERANCE = 0.1
EDGE_TOLERANCE_VOXELS = 1.0
COLOURS = ((230, 60, 60), (60, 160, 230), (80, 190, 80), (230, 180, 40), (160, 90, 210))


@dataclass(frozen=True)
class StructureSet:
    """What a structure set file says before its contours are drawn: what it refers to, and its structures.

    ``contours`` holds, for each structure's name, (geometric type, points [n, 3] in LPS mm) of each contour.
    """

    series_uids: frozenset[str]
    sop_uids: frozenset[str]
    frame_uids: frozenset[str]
    contours: dict[str, list[tuple[str, NDArray[np.float64]]]]


def read_rtstruct(path: str | Path, reference: SeriesReference) -> dict[str, NDArray[np.bool_]]:
    """Masks [x, y, z] by structure name, on the grid of the series that the structures were drawn on.

    Each slice is filled by the even-odd rule at voxel centres over all contours in it, so that a contour inside
    another is a hole. A structure without contours gives no mask.

    Raises:
        UnreadableFile: the file cannot be read, or a structure is refused (``rtstruct-contour-type``,
            ``rtstruct-off-slice``, ``rtstruct-outside``). `draw` gives the good structures beside the refused ones.
    """
    structures = draw(read_structure_set(Path(path)), reference)
    for structure in structures:
        if structure.refusal is not None and not structure.refusal.given.startswith("rtstruct-empty"):
            raise structure.refusal
    return {structure.name: structure.mask for structure in structures if structure.mask is not None}


def read_structure_set(path: Path) -> StructureSet:
    """Read a structure set's references and contours.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated`` or ``unreadable``.
    """
    dataset = read_dataset(path)
    with parsing("a structure set"):
        return _structure_set(dataset)


def draw(structure_set: StructureSet, reference: SeriesReference) -> list[Structure]:
    """Fill every structure on the reference's grid; one that cannot be drawn carries its refusal."""
    return [_drawn(name, contours, reference) for name, contours in structure_set.contours.items()]


def _drawn(name: str, contours: Sequence[tuple[str, NDArray[np.float64]]], reference: SeriesReference) -> Structure:
    try:
        return Structure(name, _filled(contours, reference))
    except UnreadableFile as refusal:
        return Structure(name, None, refusal)


def _filled(contours: Sequence[tuple[str, NDArray[np.float64]]], reference: SeriesReference) -> NDArray[np.bool_]:
    if not contours:
        raise refuse("rtstruct-empty", "no contours")
    open_ones = sum(kind not in CLOSED for kind, _ in contours)
    if open_ones:
        kinds = ", ".join(sorted({kind for kind, _ in contours} - set(CLOSED)))
        raise refuse("rtstruct-contour-type", f"{open_ones} of {len(contours)} contours are {kinds or 'of no type'}")
    n_x, n_y, n_z = reference.geometry.shape
    to_index = np.linalg.inv(LPS_FROM_RAS @ reference.geometry.affine)
    polygons: dict[int, list[NDArray[np.float64]]] = {}
    for number, (_, points) in enumerate(contours, start=1):
        index = points @ to_index[:3, :3].T + to_index[:3, 3]
        z = round(float(index[:, 2].mean()))
        off = float(np.abs(index[:, 2] - z).max())
        if off > SLICE_TOLERANCE:
            raise refuse("rtstruct-off-slice", f"contour {number} lies up to {off:.3g} slices off a slice's plane")
        inside = (index[:, :2] > -0.5 - EDGE_TOLERANCE_VOXELS) & (
            index[:, :2] < np.array([n_x, n_y]) - 0.5 + EDGE_TOLERANCE_VOXELS
        )
        if not (0 <= z < n_z and inside.all()):
            raise refuse("rtstruct-outside", f"contour {number} of {len(contours)} lies outside the grid")
        polygons.setdefault(z, []).append(index[:, :2])
    mask = np.zeros((n_x, n_y, n_z), dtype=bool, order="F")
    for z, flat in polygons.items():
        mask[:, :, z] = fill_even_odd(flat, (n_x, n_y))
    return mask


def _structure_set(dataset: Dataset) -> StructureSet:
    series_uids, sop_uids, frame_uids = set(), set(), set()
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        frame_uids.add(str(frame.get("FrameOfReferenceUID", "")))
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                series_uids.add(str(series.get("SeriesInstanceUID", "")))
                sop_uids.update(_referenced(series))
    names = {int(r.ROINumber): str(r.get("ROIName", "")) for r in dataset.get("StructureSetROISequence") or ()}
    frame_uids.update(
        str(r.get("ReferencedFrameOfReferenceUID", "")) for r in dataset.get("StructureSetROISequence") or ()
    )
    by_number: dict[int, list[tuple[str, NDArray[np.float64]]]] = {number: [] for number in names}
    for roi in dataset.get("ROIContourSequence") or ():
        for contour in roi.get("ContourSequence") or ():
            sop_uids.update(_referenced(contour))
            kind = str(contour.get("ContourGeometricType", ""))
            by_number.setdefault(int(roi.ReferencedROINumber), []).append((kind, _points(contour)))
    contours: dict[str, list[tuple[str, NDArray[np.float64]]]] = {}
    for number, found in by_number.items():
        name = names.get(number, "").strip() or f"structure_{number}"
        contours[name if name not in contours else f"{name}_{number}"] = found
    return StructureSet(
        frozenset(series_uids - {""}), frozenset(sop_uids - {""}), frozenset(frame_uids - {""}), contours
    )


def _referenced(item: Dataset) -> set[str]:
    images = item.get("ContourImageSequence") or ()
    return {str(image.get("ReferencedSOPInstanceUID", "")) for image in images}


def _points(contour: Dataset) -> NDArray[np.float64]:
    """Points [n, 3] in LPS mm, from the element's raw text where it was not parsed yet (many times faster)."""
    element = contour.get_item("ContourData")
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        numbers = np.array(value.decode("ascii").rstrip(" \0").split("\\"), dtype=np.float64)
    else:
        numbers = np.array([float(part) for part in value or ()], dtype=np.float64)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError("contour data")
    return numbers.reshape(-1, 3)


def write_rtstruct(
    masks: Mapping[str, NDArray[np.bool_]],
    path: str | Path,
    *,
    reference: SeriesReference,
    header: DicomHeader,
    label: str = "structures",
) -> Path:
    """Write boolean masks [x, y, z] on the grid of ``reference`` as one RT Structure Set, atomically.

    Outlines run midway between inside and outside voxel centres, so that filling them by the even-odd rule at voxel
    centres gives the same mask back; holes are outlines of their own (XOR). An empty mask becomes a structure
    without contours.

    Raises:
        GeometryError: a mask has another shape than the reference.
    """
    for name, mask in masks.items():
        if mask.shape != reference.geometry.shape:
            raise GeometryError(f"mask {name!r} of shape {mask.shape}", legal=f"shape {reference.geometry.shape}")
    affine = LPS_FROM_RAS @ reference.geometry.affine
    planes = np.array([affine[:3][:, [0, 1, 3]]] * reference.geometry.shape[2])
    planes[:, :, 2] += np.arange(len(planes))[:, None] * affine[:3, 2]
    dataset = patient_and_study(header)
    dataset.SOPInstanceUID = derived_uid("rtstruct", reference.series_uid, label, *masks)
    dataset.SeriesInstanceUID = derived_uid("rtstruct-series", reference.series_uid, label)
    dataset.SeriesNumber = header.series_number + 1000
    dataset.SeriesDescription = label
    dataset.StructureSetLabel = label[:16]
    dataset.StructureSetDate, dataset.StructureSetTime = header.study_date, header.study_time
    draw_structures(dataset, masks, slices=Slices(reference, planes))
    return save_structure_set(dataset, path)


@dataclass(frozen=True)
class Slices:
    """The slices on which outlines are drawn: ``planes`` [z, 3, 3] are one column's and one row's step and the origin.

    ``reference.sop_uids`` names the slices in the same order; ``frames`` are their frame numbers in one file, if any.
    """

    reference: SeriesReference
    planes: NDArray[np.float64]
    frames: tuple[int, ...] = ()


def draw_structures(
    dataset: Dataset, masks: Mapping[str, NDArray[np.bool_]], *, slices: Slices, made: str = "MANUAL"
) -> None:
    """Add everything that follows from masks [x, y, z] on slices; patient, study, UIDs and labels are the caller's.

    ``made`` is ROIGenerationAlgorithm: MANUAL, SEMIAUTOMATIC or AUTOMATIC.
    """
    reference = slices.reference
    dataset.SOPClassUID = RT_STRUCTURE_SET
    dataset.Modality = "RTSTRUCT"
    dataset.InstanceNumber = 1
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = reference.frame_uid, ""
    dataset.OperatorsName = ""
    dataset.ReferencedFrameOfReferenceSequence = [_referenced_frame(slices)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, (name, mask) in enumerate(masks.items(), start=1):
        _add_structure(dataset, number, name, mask, slices)
    for roi in dataset.StructureSetROISequence:
        roi.ROIGenerationAlgorithm = made


def save_structure_set(dataset: Dataset, path: str | Path) -> Path:
    """Write a structure set atomically."""
    with atomic_path(path) as part:
        part.write_bytes(file_head(RT_STRUCTURE_SET, dataset.SOPInstanceUID) + dataset_bytes(dataset))
    return Path(path)


def _referenced_frame(slices: Slices) -> Dataset:
    from pydicom.dataset import Dataset

    reference = slices.reference
    series = Dataset()
    series.SeriesInstanceUID = reference.series_uid
    n_items = 1 if slices.frames else len(slices.planes)
    series.ContourImageSequence = [_image_item(slices, z, whole=True) for z in range(n_items)]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = STUDY_COMPONENT, reference.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = reference.frame_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _image_item(slices: Slices, z: int, *, whole: bool = False) -> Dataset:
    from pydicom.dataset import Dataset

    item, reference = Dataset(), slices.reference
    if slices.frames and not whole:
        item.ReferencedFrameNumber = slices.frames[z]
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.sop_class, reference.sop_uids[z]
    return item


def _add_structure(dataset: Dataset, number: int, name: str, mask: NDArray[np.bool_], slices: Slices) -> None:
    from pydicom.dataset import Dataset

    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, name
    roi.ReferencedFrameOfReferenceUID, roi.ROIGenerationAlgorithm = slices.reference.frame_uid, "MANUAL"
    dataset.StructureSetROISequence.append(roi)
    observation = Dataset()
    observation.ObservationNumber, observation.ReferencedROINumber = number, number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
    dataset.RTROIObservationsSequence.append(observation)
    contours = Dataset()
    contours.ReferencedROINumber = number
    contours.ROIDisplayColor = list(COLOURS[(number - 1) % len(COLOURS)])
    contours.ContourSequence = [_contour(z, points, slices) for z, points in outlines(mask)]
    dataset.ROIContourSequence.append(contours)


def _contour(z: int, points: NDArray[np.float64], slices: Slices) -> Dataset:
    from pydicom.dataset import Dataset

    place_mm = points @ slices.planes[z, :, :2].T + slices.planes[z, :, 2]
    contour = Dataset()
    contour.ContourImageSequence = [_image_item(slices, z)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{v:.5f}" for v in place_mm.ravel()]
    return contour
