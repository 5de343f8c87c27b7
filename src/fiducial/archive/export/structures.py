"""Masks as one RT structure set on the original slices of the series that they were drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.header import derived_uid
from fiducial.archive.export.maker import Maker, state_equipment
from fiducial.archive.export.seg import SERIES_OFFSET, masks_digest, require_free
from fiducial.archive.export.source import SourceSeries, copy_patient_and_study
from fiducial.archive.rtstruct import Slices, draw_structures, save_structure_set
from fiducial.errors import VoxelError
from fiducial.records.image import Geometry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def write_structures(
    masks: Mapping[str, NDArray[np.bool_]],
    path: str | Path,
    *,
    geometry: Geometry,
    source: SourceSeries,
    maker: Maker,
) -> Dataset:
    """Write boolean masks [x, y, z] as one RTSTRUCT file, atomically, and return it.

    Contours lie in the planes of the original slices, of a tilted gantry too, and name the slice that they lie on.
    Patient and study are copied from the source; UIDs follow from source, masks and maker.

    Raises:
        GeometryError: the grids differ; both are shown.
        VoxelError: the source has no frame of reference: contours would lie nowhere.
        InputRefused: a file is already there.
    """
    from pydicom.dataset import Dataset

    require_free(path)
    if not source.reference.frame_uid:
        raise VoxelError("the image has no frame of reference", legal="CT, MR, PET", action="choose --format seg")
    planes = {name: source.on_frames(mask, geometry).astype(bool) for name, mask in masks.items()}
    uid = derived_uid("rtstruct", source.reference.series_uid, maker.digest, masks_digest(planes))
    header = source.headers[0]
    dataset = Dataset()
    copy_patient_and_study(dataset, header)
    now = datetime.now(UTC)
    dataset.SOPInstanceUID = uid
    dataset.SeriesInstanceUID = derived_uid("rtstruct-series", uid)
    dataset.SeriesNumber = int(header.get("SeriesNumber") or 0) + SERIES_OFFSET + 1
    dataset.SeriesDescription = maker.describe("structures")
    dataset.StructureSetLabel = maker.name[:16]
    dataset.StructureSetDate, dataset.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.ApprovalStatus = "UNAPPROVED"
    drawn = {name: voxels.transpose(2, 1, 0) for name, voxels in planes.items()}
    draw_structures(dataset, drawn, slices=Slices(source.reference, source.planes, source.frames), made="AUTOMATIC")
    state_equipment(dataset)
    del dataset.ContentQualification
    save_structure_set(dataset, path)
    return dataset
