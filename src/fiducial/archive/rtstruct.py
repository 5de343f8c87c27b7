"""Write masks as a DICOM RT Structure Set: one closed planar contour for each outline on each slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.header import (
    LPS_FROM_RAS,
    RT_STRUCTURE_SET,
    DicomHeader,
    SeriesReference,
    derived_uid,
)
from fiducial.archive.dicom.modules import patient_and_study
from fiducial.archive.dicom.write import dataset_bytes, file_head
from fiducial.errors import GeometryError
from fiducial.records.files import atomic_path

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Retired but what every vendor writes here: Detached Study Management.
STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"
COLOURS = ((230, 60, 60), (60, 160, 230), (80, 190, 80), (230, 180, 40), (160, 90, 210))


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
    dataset = patient_and_study(header)
    dataset.SOPClassUID = RT_STRUCTURE_SET
    dataset.SOPInstanceUID = derived_uid("rtstruct", reference.series_uid, label, *masks)
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = derived_uid("rtstruct-series", reference.series_uid, label)
    dataset.SeriesNumber = header.series_number + 1000
    dataset.SeriesDescription = label
    dataset.InstanceNumber = 1
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = reference.frame_uid, ""
    dataset.StructureSetLabel = label[:16]
    dataset.StructureSetDate, dataset.StructureSetTime = header.study_date, header.study_time
    dataset.OperatorsName = ""
    dataset.ReferencedFrameOfReferenceSequence = [_referenced_frame(reference)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    for number, (name, mask) in enumerate(masks.items(), start=1):
        if mask.shape != reference.geometry.shape:
            raise GeometryError(f"mask {name!r} of shape {mask.shape}", legal=f"shape {reference.geometry.shape}")
        _add_structure(dataset, number, name, mask, reference)
    with atomic_path(path) as part:
        part.write_bytes(file_head(RT_STRUCTURE_SET, dataset.SOPInstanceUID) + dataset_bytes(dataset))
    return Path(path)


def outlines(mask: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Closed outlines of a mask [x, y, z]: (z, points [n, 2] as voxel indices x, y), holes included."""
    from skimage.measure import find_contours

    for z in np.flatnonzero(mask.any(axis=(0, 1))):
        plane = mask[:, :, z]
        xs, ys = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
        x0, y0 = xs[0], ys[0]
        # A rim of outside voxels closes every outline.
        crop = np.pad(plane[x0 : xs[-1] + 1, y0 : ys[-1] + 1], 1).astype(np.float64)
        for outline in find_contours(crop, 0.5):
            yield int(z), outline[:-1] + (x0 - 1, y0 - 1)


def _referenced_frame(reference: SeriesReference) -> Dataset:
    from pydicom.dataset import Dataset

    series = Dataset()
    series.SeriesInstanceUID = reference.series_uid
    series.ContourImageSequence = [_image_item(reference, z) for z in range(len(reference.sop_uids))]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = STUDY_COMPONENT, reference.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = reference.frame_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _image_item(reference: SeriesReference, z: int) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference.sop_class, reference.sop_uids[z]
    return item


def _add_structure(
    dataset: Dataset, number: int, name: str, mask: NDArray[np.bool_], reference: SeriesReference
) -> None:
    from pydicom.dataset import Dataset

    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, name
    roi.ReferencedFrameOfReferenceUID, roi.ROIGenerationAlgorithm = reference.frame_uid, "MANUAL"
    dataset.StructureSetROISequence.append(roi)
    observation = Dataset()
    observation.ObservationNumber, observation.ReferencedROINumber = number, number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
    dataset.RTROIObservationsSequence.append(observation)
    contours = Dataset()
    contours.ReferencedROINumber = number
    contours.ROIDisplayColor = list(COLOURS[(number - 1) % len(COLOURS)])
    contours.ContourSequence = [_contour(z, points, reference) for z, points in outlines(mask)]
    dataset.ROIContourSequence.append(contours)


def _contour(z: int, points: NDArray[np.float64], reference: SeriesReference) -> Dataset:
    from pydicom.dataset import Dataset

    affine = LPS_FROM_RAS @ reference.geometry.affine
    index = np.column_stack([points, np.full(len(points), float(z))])
    place_mm = index @ affine[:3, :3].T + affine[:3, 3]
    contour = Dataset()
    contour.ContourImageSequence = [_image_item(reference, z)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{v:.5f}" for v in place_mm.ravel()]
    return contour
