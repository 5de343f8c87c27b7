"""Write an image as a plain DICOM series: CT, MR or PET, one file for each slice."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.header import DicomHeader, SliceFrame, slice_frame
from fiducial.archive.dicom.modules import CT_INTERCEPT, series_dataset
from fiducial.errors import InputRefused, VoxelError
from fiducial.records.image import Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLEMENTATION_UID = "2.25.186402981143278290412361450962274517361"
INT16 = np.iinfo(np.int16)

# Attributes that differ between the slices of one series; everything else is encoded once.
VARYING = (
    "SOPInstanceUID",
    "InstanceNumber",
    "ImagePositionPatient",
    "SliceLocation",
    "RescaleSlope",
    "ImageIndex",
    "PixelData",
)


def write_series(image: Image, folder: str | Path, header: DicomHeader) -> list[Path]:
    """Write ``image`` as one DICOM series into ``folder`` (made if absent); return its files in array order of z.

    Explicit VR little endian, 16 bits. CT: HU, rounded, stored with intercept -1024. MR: whole numbers, rounded. PT:
    Bq/ml with one slope for each slice; an image in SUV is turned into Bq/ml by ``header.pet`` and
    ``header.weight_kg`` (SUV body weight = Bq/ml · weight in g / activity at the reference time). A left-handed grid
    is written slice by slice in reverse, so that it reads back right-handed with each voxel at its place.

    Args:
        image: one channel, perpendicular axes, modality CT, MR or PT.
        folder: where the files ``slice-0001.dcm`` ... go; files of these names are replaced.
        header: patient, study, scanner; for PT with ``pet`` and ``weight_kg``.

    Raises:
        InputRefused: another modality, more than one channel, or a PET header without dose or weight.
        VoxelError: voxels are not finite or do not fit 16 bits.
        GeometryError: the axes are not perpendicular.
    """
    if image.modality not in ("CT", "MR", "PT") or image.array.shape[0] != 1:
        raise InputRefused(
            f"modality {image.modality!r} with {image.array.shape[0]} channel(s)",
            legal="CT, MR or PT with one channel",
        )
    image.require_finite("image to write as DICOM")
    frame = slice_frame(image.geometry)
    stored, slopes = _stored(image, header)
    # Slice by slice in memory, rows before columns, as the files hold them.
    stored = np.ascontiguousarray(stored.transpose(2, 1, 0).astype(stored.dtype.newbyteorder("<"), copy=False))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    series = _Series(image, header, frame, stored, slopes)
    staging = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    try:
        names = []
        for name, content in series.encoded():
            (staging / name).write_bytes(content)
            names.append(name)
        written = [(staging / name).replace(folder / name) for name in names]
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return written


def _stored(image: Image, header: DicomHeader) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Stored values [x, y, z] and the slope of each slice."""
    values = image.array[0]
    n_slices = values.shape[2]
    if image.modality == "PT":
        becquerel = values.astype(np.float64) * _becquerel_per_suv(image, header)
        if becquerel.size and becquerel.min() < 0:
            raise VoxelError(f"PET voxels down to {becquerel.min():.4g} Bq/ml", legal="voxels of 0 or more")
        peak = becquerel.max(axis=(0, 1), initial=0.0)
        # The slope is written as decimal text of 16 characters: divide by exactly what the reader will multiply with.
        slopes = np.array([float(_decimal(p / INT16.max)) if p > 0 else 1.0 for p in peak])
        return np.clip(np.rint(becquerel / slopes), 0, INT16.max).astype(np.int16), slopes
    rounded = values if values.dtype.kind in "iu" else np.rint(values)
    if rounded.size and max(abs(float(rounded.min())), abs(float(rounded.max()))) > 2**30:
        raise VoxelError(f"values from {rounded.min()} to {rounded.max()}", legal="values that fit 16 bits")
    whole = rounded.astype(np.int32) - (CT_INTERCEPT if image.modality == "CT" else 0)
    low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
    dtype = np.uint16 if image.modality == "MR" and low >= 0 else np.int16
    if low < np.iinfo(dtype).min or high > np.iinfo(dtype).max:
        raise VoxelError(f"stored values from {low} to {high}", legal=f"values that fit {np.dtype(dtype).name}")
    return whole.astype(dtype), np.ones(n_slices)


def _becquerel_per_suv(image: Image, header: DicomHeader) -> float:
    if header.pet is None or not header.weight_kg:
        raise InputRefused("a PET header without dose or weight", legal="DicomHeader(pet=PetDose(...), weight_kg=...)")
    if image.unit == "Bq/ml":
        return 1.0
    if image.unit != "SUV":
        raise InputRefused(f"a PET image in unit {image.unit!r}", legal="SUV or Bq/ml")
    return header.pet.dose_at_reference_bq / (header.weight_kg * 1000.0)


class _Series:
    """One series while it is encoded: what its slices share is turned into bytes once."""

    def __init__(
        self,
        image: Image,
        header: DicomHeader,
        frame: SliceFrame,
        stored: NDArray[Any],
        slopes: NDArray[np.float64],
    ) -> None:
        self.reference = header.reference(image.geometry, image.modality)
        self.frame, self.stored, self.slopes = frame, stored, slopes
        self.shared = series_dataset(image, header, frame, stored.dtype)
        self.pet = image.modality == "PT"
        self.rescaled = image.modality in ("CT", "PT")
        self.normal = np.cross(frame.row, frame.column)

    def encoded(self) -> Iterator[tuple[str, bytes]]:
        """File name and content of each slice, in array order of z."""
        from pydicom.tag import Tag

        tags = [Tag(keyword) for keyword in VARYING]
        segments = _segments(self.shared, [int(tag) for tag in tags])
        place = {z: number for number, z in enumerate(self.frame.order, start=1)}
        for z in range(len(self.reference.sop_uids)):
            own = self._own(z, place[z])
            body = b"".join(
                (element_bytes(own, keyword) if keyword in own else b"") + segment
                for keyword, segment in zip(("", *VARYING), segments, strict=True)
            )
            head = file_head(self.reference.sop_class, self.reference.sop_uids[z])
            yield f"slice-{place[z]:04d}.dcm", head + body

    def _own(self, z: int, number: int) -> Dataset:
        """What only slice ``z`` says."""
        from pydicom.dataset import Dataset

        position = self.frame.positions[z]
        own = Dataset()
        own.SOPInstanceUID = self.reference.sop_uids[z]
        own.InstanceNumber = number
        own.ImagePositionPatient = [_decimal(v) for v in position]
        own.SliceLocation = _decimal(float(position @ self.normal))
        if self.rescaled:
            own.RescaleSlope = _decimal(self.slopes[z])
        if self.pet:
            own.ImageIndex = number
        pixels = self.stored[z].tobytes()
        own.add_new("PixelData", "OW", pixels + b"\0" * (len(pixels) % 2))
        return own


def _segments(shared: Dataset, cuts: list[int]) -> list[bytes]:
    """Encode ``shared`` in pieces: what comes before the first cut, then what follows each."""
    pieces = [type(shared)() for _ in range(len(cuts) + 1)]
    for element in shared:
        pieces[sum(int(element.tag) > cut for cut in cuts)].add(element)
    return [dataset_bytes(piece) for piece in pieces]


def dataset_bytes(dataset: Dataset) -> bytes:
    """A dataset in explicit VR little endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset, "utf8")
    return bytes(buffer.getvalue())


def element_bytes(dataset: Dataset, keyword: str) -> bytes:
    """One element of a dataset in explicit VR little endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, dataset[keyword])
    return bytes(buffer.getvalue())


def file_head(sop_class: str, sop_uid: str, *, syntax: str = EXPLICIT_LITTLE_ENDIAN) -> bytes:
    """Preamble, prefix and file meta information (PS3.10, 7.1)."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "FIDUCIAL"
    body = dataset_bytes(meta)
    length = b"\x02\x00\x00\x00UL\x04\x00" + len(body).to_bytes(4, "little")
    return b"\x00" * 128 + b"DICM" + length + body


def _decimal(value: float) -> str:
    """A number as DICOM decimal text (at most 16 characters)."""
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value)))
