"""Measurements of masks and scores of images as one DICOM SR (TID 1500) that refers to the SEG and its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.header import derived_uid
from fiducial.archive.dicom.values import quiet_pydicom
from fiducial.archive.export.codes import code, structure_codes
from fiducial.archive.export.maker import MANUFACTURER, Maker, state_equipment
from fiducial.archive.export.seg import SERIES_OFFSET, require_free
from fiducial.archive.export.source import SourceSeries, copy_patient_and_study
from fiducial.errors import InputRefused
from fiducial.maths.extent import LongAxis, long_axis
from fiducial.records.files import atomic_path, sha256_json
from fiducial.records.image import Geometry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

VOLUME = ("118565006", "Volume")
LONG_AXIS = ("103339001", "Long axis")
PROBABILITY = ("122157", "Probability")
PROCEDURES = {
    "CT": ("77477000", "Computed tomography"),
    "MR": ("113091000", "Magnetic resonance imaging"),
    "PT": ("82918005", "Positron emission tomography"),
}
IMAGING = ("363679005", "Imaging procedure")


@dataclass(frozen=True)
class Measured:
    """One structure's figures and its number in the SEG; ``axis`` lies on an original frame, None without a voxel."""

    name: str
    segment: int
    volume_ml: float
    axis: LongAxis | None


def measure_masks(masks: Mapping[str, NDArray[np.bool_]], geometry: Geometry, source: SourceSeries) -> list[Measured]:
    """Volume (voxels times the volume of one) and long axis within an original frame of each mask [x, y, z].

    Raises:
        GeometryError: the grid is not that of the ingested series.
    """
    return [
        Measured(
            name,
            number,
            float(mask.sum()) * geometry.voxel_ml,
            long_axis(source.on_frames(mask, geometry).transpose(2, 1, 0), source.planes[0][:, :2]),
        )
        for number, (name, mask) in enumerate(masks.items(), start=1)
    ]


def write_report(
    measured: Sequence[Measured],
    path: str | Path,
    *,
    source: SourceSeries,
    maker: Maker,
    segmentation: Dataset | None = None,
    scores: Mapping[str, float] | None = None,
) -> Dataset:
    """Write one SR (Comprehensive 3D SR, TID 1500), atomically, and return it.

    Each structure is a group (TID 1411) with its volume in ml, which refers to its segment of ``segmentation`` and to
    the source series, and a group (TID 1501) of the same tracking UID with the long axis in mm and its line on the
    image; each score is a group (TID 1501) with a probability. Structures without a voxel have none.

    Raises:
        InputRefused: a file is already there, nothing is to be said, or structures come without a segmentation.
    """
    require_free(path)
    filled = [one for one in measured if one.volume_ml > 0]
    if filled and segmentation is None:
        raise InputRefused("measurements without the segmentation that they belong to", legal="the header of its SEG")
    if not filled and not scores:
        raise InputRefused("no measurement and no score", where=str(path), legal="a structure of one voxel, or a score")
    figures = [[one.name, one.segment, one.volume_ml, one.axis.mm if one.axis else None] for one in filled]
    said = {"masks": figures, "scores": dict(scores or {})}
    uid = derived_uid("sr", source.reference.series_uid, maker.digest, sha256_json(said))
    with quiet_pydicom():
        groups = [
            group
            for one in filled
            for group in (_structure_groups(one, segmentation, source, maker) if segmentation is not None else ())
        ]
        groups += [_score_group(name, value, uid, source, maker) for name, value in (scores or {}).items()]
        dataset = _document(groups, uid, source=source, maker=maker, segmentation=segmentation)
        copy_patient_and_study(dataset, source.headers[0])
        state_equipment(dataset)
        del dataset.ContentQualification
        with atomic_path(path) as part:
            dataset.save_as(part)
    return dataset


def _document(
    groups: list[Any], uid: str, *, source: SourceSeries, maker: Maker, segmentation: Dataset | None
) -> Dataset:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    header = source.headers[0]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", maker.name, maker.version, maker.digest),
        name=maker.name[:64],
        manufacturer_name=MANUFACTURER,
        model_name=maker.stated_version[:64],
    )
    context = sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )
    report = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=code(PROCEDURES.get(source.reference.modality, IMAGING)),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=list(source.headers),
    )
    evidence = [*source.headers, *([segmentation] if segmentation is not None else [])]
    return sr.Comprehensive3DSR(
        evidence=evidence,
        content=report,
        series_instance_uid=derived_uid("sr-series", uid),
        series_number=int(header.get("SeriesNumber") or 0) + SERIES_OFFSET + 2,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=maker.describe("measurements"),
    )


def _structure_groups(one: Measured, segmentation: Dataset, source: SourceSeries, maker: Maker) -> list[Any]:
    """The volume of a segment (TID 1411), and under its tracking UID the long axis on an image (TID 1501)."""
    from highdicom import sr

    described = next(s for s in segmentation.SegmentSequence if s.SegmentNumber == one.segment)
    kinds = structure_codes(one.name)
    about: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(uid=str(described.TrackingUID), identifier=one.name[:64]),
        "finding_type": code(kinds.kind),
        "finding_category": code(kinds.category),
        "algorithm_id": _algorithm(maker),
    }
    segment = sr.ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=one.segment,
        source_series=sr.SourceSeriesForSegmentation(source.reference.series_uid),
    )
    volume = sr.Measurement(name=code(VOLUME), value=one.volume_ml, unit=code(("ml", "milliliter"), "UCUM"))
    groups: list[Any] = [
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            **about, referenced_segment=segment, measurements=[volume]
        )
    ]
    if one.axis is not None:
        axis = _axis(one.axis, source)
        groups.append(sr.MeasurementsAndQualitativeEvaluations(**about, measurements=[axis]))
    return groups


def _axis(axis: LongAxis, source: SourceSeries) -> Any:
    """The long axis with its line on the image, from centre to centre; (0.5, 0.5) is the first voxel's centre."""
    from highdicom import sr

    header = source.headers[0 if source.frames else axis.z]
    image = (header.SOPClassUID, header.SOPInstanceUID, [source.frames[axis.z]] if source.frames else None)
    about: dict[str, Any] = {"name": code(LONG_AXIS), "value": axis.mm, "unit": code(("mm", "millimeter"), "UCUM")}
    if axis.mm == 0:
        return sr.Measurement(**about, referenced_images=[sr.SourceImageForMeasurement(*image)])
    line = np.array(axis.ends, dtype=np.float64) + 0.5
    drawn = sr.CoordinatesForMeasurement("POLYLINE", line, sr.SourceImageForRegion(*image))
    return sr.Measurement(**about, referenced_coordinates=[drawn])


def _score_group(name: str, value: float, uid: str, source: SourceSeries, maker: Maker) -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    first = source.headers[len(source.headers) // 2]
    kinds = structure_codes(name)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=derived_uid("score", uid, name), identifier=name[:64]),
        finding_type=code(kinds.kind) if kinds.known else None,
        algorithm_id=_algorithm(maker),
        source_images=[sr.SourceImageForMeasurementGroup(first.SOPClassUID, first.SOPInstanceUID)],
        measurements=[sr.Measurement(name=code(PROBABILITY, "DCM"), value=float(value), unit=codes.UCUM.NoUnits)],
    )


def _algorithm(maker: Maker) -> Any:
    from highdicom import sr

    parameters = [f"sha256={maker.digest}"] if maker.digest else None
    return sr.AlgorithmIdentification(name=maker.name[:64], version=maker.stated_version[:64], parameters=parameters)
