"""Series of which every header value is chosen: planes anywhere in the patient, voxels by a function of place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fiducial.archive.dicom.header import SOP_CLASSES

Place = Callable[[NDArray[np.float64]], NDArray[np.float64]]
FRAME = "2.25.77"


def plane(
    position: Any, *, row: Any = (1, 0, 0), column: Any = (0, 1, 0), spacing: Any = (1.5, 0.75), shape: Any = (5, 4)
) -> dict[str, Any]:
    """One slice in LPS mm: ``spacing`` is (between rows, between columns), ``shape`` (rows, columns)."""
    return {
        "ImagePositionPatient": [f"{v:.8g}" for v in position],
        "ImageOrientationPatient": [f"{v:.10g}" for v in (*row, *column)],
        "PixelSpacing": [f"{v:.8g}" for v in spacing],
        "Rows": shape[0],
        "Columns": shape[1],
    }


def centres(geometry: Mapping[str, Any]) -> NDArray[np.float64]:
    """LPS places of a slice's voxel centres [row, column, 3], as PS3.3 C.7.6.2.1.1 gives them."""
    position, direction, spacing = (
        np.array([float(v) for v in geometry[k]])
        for k in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    rows, columns = np.mgrid[: geometry["Rows"], : geometry["Columns"]]
    along = columns[..., None] * spacing[1] * direction[:3] + rows[..., None] * spacing[0] * direction[3:]
    return np.asarray(position + along)


def write_slice(
    path: Path, geometry: Mapping[str, Any], voxels: NDArray[Any], *, number: int = 1, modality: str = "MR", **tags: Any
) -> Path:
    """One file; ``tags`` overwrite or (None) take away what it would say."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SOP_CLASSES[modality]
    dataset.SOPInstanceUID = f"2.25.{abs(hash((str(path), number)))}"
    dataset.Modality = modality
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "P1", "2.25.1", "2.25.2"
    dataset.FrameOfReferenceUID, dataset.InstanceNumber, dataset.SliceThickness = FRAME, number, "2"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"] if modality == "MR" else ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = voxels.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsAllocated - 1
    dataset.PixelRepresentation = int(voxels.dtype.kind == "i")
    if modality == "CT":
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
    for keyword, value in {**geometry, **tags}.items():
        if value is None:
            delattr(dataset, keyword)
        elif isinstance(keyword, str) and not keyword.startswith("private"):
            setattr(dataset, keyword, value)
    for group, creator, offset, vr, value in tags.get("private", ()):
        dataset.private_block(group, creator, create=True).add_new(offset, vr, value)
    content = np.ascontiguousarray(voxels).astype(voxels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_stack(
    folder: Path,
    n: int = 4,
    *,
    name: str = "",
    value: int = 0,
    step: Any = (0, 0, 3),
    start: Any = (0, 0, 0),
    **tags: Any,
) -> list[Path]:
    """``n`` slices; voxel = value + 100 slice + 10 row + column. Callable tags get the slice's index."""
    geometry_keys = ("row", "column", "spacing", "shape")
    shape = tags.get("shape", (5, 4))
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    files = []
    for k in range(n):
        own = {key: one(k) if callable(one) else one for key, one in tags.items()}
        geometry = plane(np.add(start, np.multiply(k, step)), **{g: own.pop(g) for g in geometry_keys if g in own})
        voxels = (value + 100 * k + 10 * rows + columns).astype(np.uint16)
        own.setdefault("number", k + 1)
        files.append(write_slice(folder / f"{name}{k:03d}.dcm", geometry, voxels, **own))
    return files


def read_back(path: Path) -> Dataset:
    """The dataset of a file."""
    return pydicom.dcmread(path)
