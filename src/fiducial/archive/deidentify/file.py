"""One file: read, cleaned, written anew from its first byte, and searched for what should be gone."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.archive.deidentify.clean import Subject, clean
from fiducial.archive.deidentify.elements import BIG_ENDIAN, IMPLICIT, as_bytes, encoded
from fiducial.archive.deidentify.identity import ENCODINGS
from fiducial.archive.deidentify.profile import CODES, EDITION, Options, Rules
from fiducial.archive.deidentify.review import Review, overlay_in_pixels
from fiducial.archive.deidentify.suv import to_suv
from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.values import quiet_pydicom
from fiducial.archive.dicom.wanted import PIXEL_TAGS
from fiducial.archive.dicom.write import file_head
from fiducial.archive.materialise import years_between
from fiducial.archive.pseudonym import Pseudonyms
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataelem import RawDataElement
    from pydicom.dataset import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class FileJob:
    """A file to clean, where it goes, and under which names."""

    source: Path
    target: Path
    subject: str
    site: str
    days: int
    factor: float | None
    options: Options
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Cleaned:
    """What was done to a file that was written: counts by (attribute, action), and its UIDs, raw to new."""

    n_bytes: int
    counts: dict[tuple[str, str], int]
    uids: dict[str, str] = field(repr=False)


class NeedsReviewError(Exception):
    """A file that must be looked at by a person before it is passed on."""

    def __init__(self, review: Review) -> None:
        super().__init__(review.code)
        self.review = review


def deidentify_file(job: FileJob) -> Cleaned:
    """Clean ``job.source`` and write ``job.target``, whole or not at all; never touches the source.

    Raises:
        UnreadableFile: the file cannot be read, or written as it was encoded.
        NeedsReviewError: it must be looked at first.
    """
    with quiet_pydicom():
        dataset = read_dataset(job.source)
        syntax = _syntax(dataset)
        about = Subject(Pseudonyms(job.key), rules_of(job.options), job.subject, job.site, job.days)
        try:
            if overlay_in_pixels(dataset):
                raise NeedsReviewError(Review("overlay-in-pixels", "an overlay in bits of the pixel data"))
            about.identity.encodings = (*ENCODINGS, *_encodings(dataset))
            pixels = _take_pixels(dataset)
            if job.factor is not None:
                to_suv(dataset, job.factor)
            sop_class = str(dataset.get("SOPClassUID", ""))
            if job.options.patient_characteristics:
                _state_age(dataset)
            clean(dataset, about)
            _declare(dataset, job, syntax)
            body = encoded(dataset, syntax)
        except (UnreadableFile, NeedsReviewError, MemoryError):
            raise
        except Exception as error:  # a parser of hostile bytes raises anything, and its message quotes them
            raise refuse("unreadable", f"a value that cannot be parsed ({type(error).__name__})") from error
        head = _head(sop_class, str(dataset.SOPInstanceUID), syntax)
        _require_clean(about, head + body, pixels, job)
        n_bytes = _write(job.target, (head, _whole(body, pixels, syntax)))
    return Cleaned(n_bytes, dict(about.counts), about.uids)


@cache
def rules_of(options: Options) -> Rules:
    """The rules of some options, made once in a process."""
    return Rules(options)


def _syntax(dataset: Dataset) -> str:
    from pydicom.uid import UID

    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise refuse("transfer-syntax", "a private or unknown transfer syntax")
    if "SOPClassUID" not in dataset or "SOPInstanceUID" not in dataset:
        raise refuse("missing-tags", "SOPClassUID or SOPInstanceUID")
    return str(syntax)


def _encodings(dataset: Dataset) -> tuple[str, ...]:
    """Python's names of the file's character sets, where they are not among the usual ones."""
    from pydicom.charset import python_encoding

    stated = dataset.get("SpecificCharacterSet") or ()
    names = [stated] if isinstance(stated, str) else list(stated)
    found = (python_encoding.get(str(name)) for name in names)
    return tuple(sorted({name for name in found if name and name not in ("utf8", "latin_1", "iso8859")}))


def _take_pixels(dataset: Dataset) -> tuple[Any, bytes] | None:
    """Take the pixel data out of the dataset: its raw element and value, cut where the picture ends."""
    found: list[Any] = [dataset.get_item(tag) for tag in PIXEL_TAGS if tag in dataset]
    if not found:
        return None
    element = found[-1]
    if len(found) > 1 or element is None:
        raise refuse("unreadable", "several kinds of pixel data")
    value = element.value or b""
    del dataset[element.tag]
    if element.is_raw and element.length != 0xFFFFFFFF:
        n_bits = int(dataset.get("NumberOfFrames") or 1)
        for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"):
            n_bits *= int(dataset.get(keyword) or 0)
        if str(dataset.get("PhotometricInterpretation", "")) == "YBR_FULL_422":
            n_bits = n_bits * 2 // 3
        if not n_bits:
            raise refuse("missing-tags", "Rows, Columns, SamplesPerPixel or BitsAllocated")
        n_bytes = (n_bits + 7) // 8
        if len(value) < n_bytes:
            raise refuse("truncated", f"{len(value):,} of {n_bytes:,} bytes of pixel data")
        if len(value) > n_bytes + n_bytes % 2:
            value = value[:n_bytes] + b"\0" * (n_bytes % 2)
    return element, value


def _state_age(dataset: Dataset) -> None:
    """PatientAge from the date of birth, which goes, where the header does not state it."""
    years = years_between(str(dataset.get("PatientBirthDate") or ""), str(dataset.get("StudyDate") or ""))
    if not dataset.get("PatientAge") and 0 <= years < 1000:
        dataset.PatientAge = f"{int(years):03d}Y"


def _declare(dataset: Dataset, job: FileJob, syntax: str) -> None:
    """Say in the file what was done to it (PS3.15 E.1.1, PS3.3 C.7.1.1 and C.12.1)."""
    for keyword in ("PatientID", "PatientName"):
        setattr(dataset, keyword, job.subject)
    for element in declared(job.options, syntax):
        dataset[element.tag] = element


def method(options: Options) -> list[str]:
    """(0012,0063): values of at most 64 characters."""
    dates = {"modified": f"Dates moved by whole days, one shift for each {options.shift}", "full": "Dates kept"}
    return [
        f"PS3.15 {EDITION} basic profile; options in (0012,0064)",
        "Private attributes, curves, overlays and free text removed",
        dates.get(options.dates, "Dates removed"),
        "Pixel data as they were: burned-in text not proven absent",
    ]


@cache
def declared(options: Options, syntax: str) -> tuple[RawDataElement, ...]:
    """The elements that say what was done: made once in a process, as they are only written."""
    from pydicom.dataset import Dataset

    items = []
    for code in options.codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", CODES[code]
        items.append(item)
    said = Dataset()
    said.PatientIdentityRemoved = "YES"
    said.DeidentificationMethod = method(options)
    said.DeidentificationMethodCodeSequence = items
    said.LongitudinalTemporalInformationModified = options.temporal
    return tuple(as_bytes(element, syntax) for element in said)


def _head(sop_class: str, sop_uid: str, syntax: str) -> bytes:
    """The file's bytes before its dataset: all new, preamble included."""
    return _head_of(sop_class, len(sop_uid), syntax).replace(_blank(len(sop_uid)), sop_uid.encode())


@cache
def _head_of(sop_class: str, n_letters: int, syntax: str) -> bytes:
    return file_head(sop_class, _blank(n_letters).decode(), syntax=syntax)


def _blank(n_letters: int) -> bytes:
    return b"2." + b"9" * (n_letters - 2)


def _whole(body: bytes, pixels: tuple[Any, bytes] | None, syntax: str) -> bytes:
    """Body and pixel data as they stand in the file."""
    tail = b"" if pixels is None else _pixel_element(*pixels, syntax)
    if syntax != DEFLATED:
        return body + tail
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(body + tail) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def _pixel_element(element: Any, value: bytes, syntax: str) -> bytes:
    """The pixel data's element: its header written anew, its value as it was."""
    order: Any = "big" if syntax == BIG_ENDIAN else "little"
    tag = b"".join(int(part).to_bytes(2, order) for part in (element.tag.group, element.tag.element))
    open_ended = element.is_raw and element.length == 0xFFFFFFFF
    length = b"\xff\xff\xff\xff" if open_ended else len(value).to_bytes(4, order)
    vr = b"" if syntax == IMPLICIT else (element.VR or "OW").encode() + b"\0\0"
    return tag + vr + length + value + (b"\xfe\xff\xdd\xe0\0\0\0\0" if open_ended else b"")


def _require_clean(about: Subject, header: bytes, pixels: tuple[Any, bytes] | None, job: FileJob) -> None:
    """Search every byte outside the pixels, and the compressed pixels' bytes, for what the file said of the person."""
    own = " ".join((*method(job.options), *CODES.values(), "REMOVED FIDUCIAL", job.subject, job.site))
    kept = about.new_dates
    kinds = about.identity.survivors(header, kept=kept, own=own)
    if kinds:
        raise NeedsReviewError(Review("identifier-left", f"after cleaning the header still holds: {', '.join(kinds)}"))
    if pixels is not None and pixels[0].is_raw and pixels[0].length == 0xFFFFFFFF:
        kinds = about.identity.survivors(pixels[1], kept=kept, own=own)
        if kinds:
            raise NeedsReviewError(Review("identifier-in-pixels", f"the compressed pictures hold: {', '.join(kinds)}"))


def _write(target: Path, pieces: tuple[bytes, ...]) -> int:
    """Write a file whole or not at all, and leave to the system when it reaches the disk: a later run checks sizes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / f".part-{target.name}"
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return sum(map(len, pieces))
