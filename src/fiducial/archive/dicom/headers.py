"""One DICOM file's header as plain values: what discovery, stacking and SUV need, without pixels."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.archive.limits import require_inflatable
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

TEXTS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "PatientName",
    "PatientSex",
    "PatientAge",
    "PatientBirthDate",
    "Modality",
    "StudyDate",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "Manufacturer",
    "ManufacturerModelName",
    "InstitutionName",
    "StationName",
    "ClinicalTrialSiteID",
    "AccessionNumber",
    "BurnedInAnnotation",
    "PhotometricInterpretation",
    "RescaleType",
    "Units",
    "SUVType",
    "DecayCorrection",
    "LossyImageCompression",
    "TimezoneOffsetFromUTC",
)
LISTS = (
    "ImageType",
    "CorrectedImage",
    "SeriesType",
    "ConvolutionKernel",
    "ScanOptions",
)
NUMBERS = (
    "InstanceNumber",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "SliceThickness",
    "KVP",
    "MagneticFieldStrength",
    "PatientWeight",
    "EchoTime",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "AcquisitionNumber",
    "TriggerTime",
    "NumberOfSlices",
)
VECTORS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
SEQUENCES = ("RadiopharmaceuticalInformationSequence", "ModalityLUTSequence")
DEFLATED = "1.2.840.10008.1.2.1.99"
HEAD_BYTES = 1024
UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
DOSE_TEXTS = ("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime")
DOSE_NUMBERS = ("RadionuclideTotalDose", "RadionuclideHalfLife")


@dataclass(frozen=True)
class FileHeader:
    """A file's header without pixels: what is present and readable, as texts, lists, numbers and vectors."""

    path: Path
    transfer_syntax: str
    n_bytes: int
    texts: dict[str, str] = field(repr=False)
    lists: dict[str, tuple[str, ...]] = field(repr=False)
    numbers: dict[str, float] = field(repr=False)
    vectors: dict[str, tuple[float, ...]] = field(repr=False)
    doses: tuple[dict[str, Any], ...] = field(repr=False)
    has_modality_lut: bool = False
    has_pixels: bool = True

    def text(self, keyword: str) -> str:
        """A text attribute, "" where it is absent."""
        return self.texts.get(keyword, "")

    def words(self, keyword: str) -> tuple[str, ...]:
        """An attribute of several values, () where it is absent."""
        return self.lists.get(keyword, ())

    def number(self, keyword: str) -> float | None:
        """A numeric attribute, None where it is absent or no finite number."""
        return self.numbers.get(keyword)

    def vector(self, keyword: str) -> tuple[float, ...] | None:
        """Position, orientation or pixel spacing; None where absent, incomplete or not finite."""
        return self.vectors.get(keyword)


def read_header(path: Path) -> FileHeader:
    """Read a file's header, stopping before the pixels.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated``, ``too-large`` or ``unreadable``.
    """
    dataset, has_pixels = _read(path, (*TEXTS, *LISTS, *NUMBERS, *VECTORS, *SEQUENCES), to_pixels=True)
    with quiet_pydicom():
        texts = {keyword: text for keyword in TEXTS if (text := _text(dataset, keyword))}
        if not texts.get("SOPClassUID"):
            # A medium's directory states its class in the file meta information alone.
            texts["SOPClassUID"] = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
        return FileHeader(
            path=path,
            transfer_syntax=str(dataset.file_meta.get("TransferSyntaxUID", "")),
            n_bytes=path.stat().st_size,
            texts=texts,
            lists={keyword: words for keyword in LISTS if (words := _texts(dataset, keyword))},
            numbers={keyword: n for keyword in NUMBERS if (n := _number(dataset, keyword)) is not None},
            vectors={
                k: vector for k, length in VECTORS.items() if len(vector := _floats(_value(dataset, k))) == length
            },
            doses=_doses(dataset),
            has_modality_lut=bool(dataset.get("ModalityLUTSequence")),
            has_pixels=has_pixels,
        )


def read_dataset(path: Path, *, keywords: tuple[str, ...] = ()) -> Dataset:
    """Read a whole DICOM file that begins as PS3.10 says (128 bytes, then ``DICM``); no ``keywords`` means all.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated`` or ``unreadable``; the message holds no value of the file.
    """
    return _read(path, keywords, to_pixels=False)[0]


def _read(path: Path, keywords: tuple[str, ...], *, to_pixels: bool) -> tuple[Dataset, bool]:
    """The dataset, and whether whole pixel data were met (only asked for ``to_pixels``, which stops there)."""
    from pydicom.filereader import read_partial

    if not path.is_file():
        raise refuse("not-dicom", "no regular file")
    n_bytes = path.stat().st_size
    met = deflated = False

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:  # noqa: ARG001 - the library's signature
        nonlocal met
        if tag not in PIXEL_TAGS:
            return False
        met = deflated or length == UNDEFINED_LENGTH or file.tell() + length <= n_bytes
        return True

    try:
        with path.open("rb") as file:
            start = file.read(132)
            if len(start) < 132 or start[128:] != b"DICM":
                raise refuse("not-dicom", "no DICM at byte 128")
            deflated = _is_inflatable(path, file.read(HEAD_BYTES))
            file.seek(0)
            with quiet_pydicom():
                stop = at_pixels if to_pixels else None
                dataset = read_partial(file, stop_when=stop, specific_tags=[*map(tag_of, keywords)] or None)
    except UnreadableFile:
        raise
    except OSError as error:
        raise refuse("unreadable", f"{type(error).__name__}: {error.strerror or 'read failed'}") from error
    except EOFError as error:
        raise refuse("truncated", "the file ends within its header") from error
    except MemoryError:
        raise
    except Exception as error:  # a parser of hostile bytes raises anything, and its message quotes them
        raise refuse("unreadable", f"the header cannot be parsed ({type(error).__name__})") from error
    return dataset, met


def _is_inflatable(path: Path, head: bytes) -> bool:
    """Whether a dataset is deflated; such a one is unpacked whole by the library, so its size is looked at first.

    ``head`` follows the prefix ``DICM``; it begins with the length of the file meta information (PS3.10, 7.1).
    """
    if DEFLATED.encode() not in head:
        return False
    if head[:4] != b"\x02\x00\x00\x00":
        raise refuse("unreadable", "a deflated dataset behind file meta information of no stated length")
    require_inflatable(path, 144 + int.from_bytes(head[8:12], "little"))
    return True


@cache
def tag_of(keyword: str) -> BaseTag:
    """The tag of a keyword."""
    from pydicom.tag import Tag

    return Tag(keyword)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom, whose warnings quote header values: no identifier may reach a log."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _value(dataset: Dataset, keyword: str) -> Any:
    """A value, or None where the library cannot make one of the bytes (a broken number, a wrong VR)."""
    try:
        return dataset.get(keyword)
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError, OverflowError):
        return None


def _text(dataset: Dataset, keyword: str) -> str:
    value = _value(dataset, keyword)
    return "" if value is None else str(value).strip(" \0")


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    value = _value(dataset, keyword)
    if value is None:
        return ()
    return (value.strip(),) if isinstance(value, str) else tuple(str(part).strip() for part in value)


def _number(dataset: Dataset, keyword: str) -> float | None:
    numbers = _floats(_value(dataset, keyword))
    return numbers[0] if len(numbers) == 1 else None


def _floats(value: Any) -> tuple[float, ...]:
    """Finite numbers of a value; empty if any is not one."""
    parts = value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return numbers if all(abs(number) < float("inf") for number in numbers) else ()


def _doses(dataset: Dataset) -> tuple[dict[str, Any], ...]:
    items = _value(dataset, "RadiopharmaceuticalInformationSequence") or ()
    return tuple(
        {keyword: _text(item, keyword) for keyword in DOSE_TEXTS}
        | {keyword: _number(item, keyword) for keyword in DOSE_NUMBERS}
        for item in items
    )
