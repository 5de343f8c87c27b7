"""Masks as one DICOM segmentation (PS3.3 A.51) that refers to the series that they were drawn on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fiducial import __version__
from fiducial.archive.dicom.header import derived_uid
from fiducial.archive.dicom.values import quiet_pydicom
from fiducial.archive.export.codes import code, structure_codes
from fiducial.archive.export.maker import MANUFACTURER, Maker, state_equipment
from fiducial.archive.export.source import SourceSeries, copy_patient_and_study
from fiducial.errors import InputRefused, VoxelError
from fiducial.records.files import atomic_path
from fiducial.records.image import Geometry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SegKind = Literal["binary", "fractional", "labelmap"]
SEG_KINDS: tuple[SegKind, ...] = ("binary", "fractional", "labelmap")
COLOURS = ((230, 60, 60), (60, 160, 230), (80, 190, 80), (230, 180, 40), (160, 90, 210), (40, 190, 180))
FRACTIONS = 255
SERIES_OFFSET = 1000


def write_segmentation(
    masks: Mapping[str, NDArray[Any]],
    path: str | Path,
    *,
    geometry: Geometry,
    source: SourceSeries,
    maker: Maker,
    kind: SegKind = "binary",
) -> Dataset:
    """Write masks [x, y, z] as one SEG file, atomically, and return its header.

    ``geometry`` is the masks' own grid; it must be that of the ingested series within 0.001 mm. Masks are boolean; for
    ``fractional`` they may be probabilities in [0, 1], kept in steps of 1/255. Empty frames are left out; segments may
    overlap except in a ``labelmap``. Patient and study are copied from the source; UIDs follow from source, masks and
    maker, so that the same masks give the same object.

    Raises:
        GeometryError: the grids differ; both are shown.
        VoxelError: no voxel is set at all, a probability is outside [0, 1], or segments of a label map overlap.
        InputRefused: a file is already there.
    """
    require_free(path)
    _require_values(masks, kind)
    planes = {name: source.on_frames(_stored(mask, kind), geometry) for name, mask in masks.items()}
    digest = masks_digest(planes)
    uid = derived_uid("seg", source.reference.series_uid, kind, maker.digest, digest)
    dataset: Dataset = _segmentation(planes, source, maker, kind=kind, uid=uid)
    copy_patient_and_study(dataset, source.headers[0])
    state_equipment(dataset)
    with atomic_path(path) as part, quiet_pydicom():
        dataset.save_as(part)
    del dataset.PixelData
    return dataset


def require_free(path: str | Path) -> None:
    """Raise `InputRefused` where a file is already there: what was exported once is never replaced."""
    if Path(path).exists():
        raise InputRefused("a file is already here", where=str(path), action="choose another folder for --out")


def masks_digest(planes: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of names and voxels."""
    digest = hashlib.sha256()
    for name, voxels in planes.items():
        digest.update(f"{name}\x1f{voxels.shape}\x1f{voxels.dtype}\x1f".encode())
        digest.update(np.ascontiguousarray(voxels).tobytes())
    return digest.hexdigest()


def _require_values(masks: Mapping[str, NDArray[Any]], kind: SegKind) -> None:
    if kind not in SEG_KINDS:
        raise InputRefused(f"kind {kind!r}", legal=", ".join(SEG_KINDS))
    if not any(mask.any() for mask in masks.values()):
        raise VoxelError(
            "no voxel of any structure is set", action="nothing to export: a segmentation holds at least one"
        )
    for name, mask in masks.items():
        if mask.dtype != bool and (kind != "fractional" or not bool(((mask >= 0) & (mask <= 1)).all())):
            raise VoxelError(
                f"values of type {mask.dtype}",
                where=name,
                legal="booleans; for --kind fractional also probabilities from 0 to 1",
            )
    if kind == "labelmap" and len(masks) > 1:
        times = np.add.reduce([mask.astype(np.uint8) for mask in masks.values()])
        if (times > 1).any():
            raise VoxelError(
                f"{int((times > 1).sum()):,} voxels belong to several structures",
                legal="structures that do not overlap",
                action="choose --kind binary: a label map holds one structure at each voxel",
            )


def _stored(mask: NDArray[Any], kind: SegKind) -> NDArray[Any]:
    return mask.astype(np.float32) if kind == "fractional" else mask.astype(np.uint8)


def _segmentation(
    planes: Mapping[str, NDArray[Any]], source: SourceSeries, maker: Maker, *, kind: SegKind, uid: str
) -> Any:
    """The object itself, by highdicom."""
    from highdicom.seg import Segmentation

    header = source.headers[0]
    names = list(planes)
    if kind == "fractional" or len(names) > 1:
        overlap = kind == "fractional" or bool((np.add.reduce(list(planes.values())) > 1).any())
    else:
        overlap = False
    if overlap:
        pixels = np.stack(list(planes.values()), axis=-1)
    else:
        pixels = np.zeros(next(iter(planes.values())).shape, np.uint16 if len(names) > 255 else np.uint8)
        for number, name in enumerate(names, start=1):
            pixels[planes[name] > 0] = number
    with quiet_pydicom():
        return Segmentation(
            source_images=list(source.headers),
            pixel_array=pixels,
            segmentation_type=kind.upper(),
            segment_descriptions=[_description(n, name, maker, uid) for n, name in enumerate(names, start=1)],
            series_instance_uid=derived_uid("seg-series", uid),
            series_number=min(int(header.get("SeriesNumber") or 0) + SERIES_OFFSET, 2**31 - 1),
            sop_instance_uid=uid,
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MANUFACTURER,
            software_versions=__version__,
            device_serial_number="none",
            fractional_type="PROBABILITY",
            max_fractional_value=FRACTIONS,
            content_label="SEGMENTATION",
            content_description="Research use only",
            series_description=maker.describe("segmentation"),
            omit_empty_frames=True,
            **_places(source),
        )


def _places(source: SourceSeries) -> dict[str, Any]:
    """Where the planes lie, which a multi-frame source does not tell by the order of its frames."""
    if not source.frames:
        return {}
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    steps = source.planes[0][:, :2]
    right, down = np.linalg.norm(steps, axis=0)
    apart = float(np.linalg.norm(source.grid.affine[:3, 2]))
    return {
        "pixel_measures": PixelMeasuresSequence([float(down), float(right)], apart, apart),
        "plane_orientation": PlaneOrientationSequence("PATIENT", [*(steps[:, 0] / right), *(steps[:, 1] / down)]),
        "plane_positions": [PlanePositionSequence("PATIENT", plane[:, 2].tolist()) for plane in source.planes],
    }


def _description(number: int, name: str, maker: Maker, uid: str) -> Any:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sequence import Sequence

    codes = structure_codes(name)
    item = SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=code(codes.category),
        segmented_property_type=code(codes.kind),
        algorithm_type="AUTOMATIC",
        algorithm_identification=maker.identification(),
        tracking_uid=derived_uid("segment", uid, name),
        tracking_id=name[:64],
        display_color=CIELabColor.from_rgb(*COLOURS[(number - 1) % len(COLOURS)]),
    )
    if codes.side is not None:
        from highdicom.sr import CodedConcept

        side = CodedConcept.from_code(code(codes.side))
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = Sequence([side])
    return item
