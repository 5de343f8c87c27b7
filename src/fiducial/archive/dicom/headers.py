"""One DICOM file's header as plain values: what discovery, stacking and SUV need, without pixels.

Little-endian headers are walked by ``walk.py``; whatever that is not sure of is read by pydicom (`parse_header`).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.archive.dicom.convert import charset_of, numbers_of, private_value, text_of, words_of
from fiducial.archive.dicom.dataset import (
    DEFLATED,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    read_to_pixels,
    require_regular,
    transfer_syntax,
)
from fiducial.archive.dicom.values import doses_of, floats_of, number_at, quiet_pydicom, text_at, texts_at, value_of
from fiducial.archive.dicom.walk import PIXEL_DATA, Element, TooShort, Unsure, Walked, items, walk
from fiducial.archive.dicom.wanted import (
    DOSE_NUMBERS,
    DOSE_TEXTS,
    DOSES,
    LISTS,
    MODALITY_LUT,
    NUMBERS,
    PRIVATE,
    PRIVATE_TEXTS,
    PRIVATE_VECTORS,
    TEXTS,
    VECTORS,
    dose_tags,
    wanted_tags,
)
from fiducial.archive.refusal import refuse

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Read so much of a file's begin, then more where its header is longer; beyond that pydicom reads it.
FIRST_BYTES = (16 * 2**10, 2**18, 2**22)
META = {
    b"\x02\0\x03\0": ("MediaStorageSOPInstanceUID", "UI"),
    b"\x02\0\x02\0": ("MediaStorageSOPClassUID", "UI"),
    b"\x02\0\x10\0": ("TransferSyntaxUID", "UI"),
}
KIND_OF = {
    **dict.fromkeys(TEXTS, "text"),
    **dict.fromkeys(LISTS, "list"),
    **dict.fromkeys(NUMBERS, "number"),
    **dict.fromkeys(VECTORS, "vector"),
}


@dataclass(frozen=True)
class FileHeader:
    """A file's header without pixels: what is present and readable, as texts, lists, numbers and vectors.

    ``frame`` counts from 0 where this is one frame of a multi-frame file; ``tile`` is the first row and column of one
    slice in a mosaic. Vendors' private elements stand under the
    keywords of `PRIVATE`. ``pixel_offset`` is the place of native pixels in the file, -1 where that is not known.
    """

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
    frame: int | None = None
    tile: tuple[int, int] | None = None
    pixel_offset: int = field(default=-1, compare=False)
    pixel_bytes: int = field(default=-1, compare=False)

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
    return walk_header(path) or parse_header(path)[0]


def walk_header(path: Path) -> FileHeader | None:
    """The header as the lean walk gives it; None where pydicom has to read the file.

    Raises:
        UnreadableFile: ``not-dicom`` or ``unreadable``.
    """
    try:
        require_regular(path)
        with path.open("rb", buffering=0) as file:
            n_bytes = os.fstat(file.fileno()).st_size
            data = b""
            for size in FIRST_BYTES:
                data += file.read(size - len(data))
                if data[128:132] != b"DICM":
                    return None
                try:
                    return _walked_header(path, n_bytes, data)
                except TooShort:
                    continue
    except Unsure:
        return None
    except OSError as error:
        raise refuse("unreadable", f"{type(error).__name__}: {error.strerror or 'read failed'}") from error
    return None


def parse_header(path: Path) -> tuple[FileHeader, Dataset]:
    """The header as pydicom gives it, with the dataset up to the pixels.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated`` or ``unreadable``.
    """
    dataset, has_pixels = read_to_pixels(path)
    with quiet_pydicom():
        texts = {keyword: text for keyword in TEXTS if (text := text_at(dataset, keyword))}
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            # A medium's directory states its class in the file meta information alone.
            if not texts.get(keyword) and (stated := str(value_of(dataset.file_meta, f"MediaStorage{keyword}") or "")):
                texts[keyword] = stated
        numbers = {keyword: n for keyword in NUMBERS if (n := number_at(dataset, keyword)) is not None}
        vectors = {k: vector for k, n in VECTORS.items() if len(vector := floats_of(value_of(dataset, k))) == n}
        _add_private(_private_elements(dataset), texts, numbers, vectors)
        header = FileHeader(
            path=path,
            transfer_syntax=transfer_syntax(dataset),
            n_bytes=path.stat().st_size,
            texts=texts,
            lists={keyword: words for keyword in LISTS if (words := texts_at(dataset, keyword))},
            numbers=numbers,
            vectors=vectors,
            doses=doses_of(dataset),
            has_modality_lut=bool(value_of(dataset, MODALITY_LUT)),
            has_pixels=has_pixels,
        )
    return header, dataset


def _walked_header(path: Path, n_bytes: int, data: bytes) -> FileHeader:
    meta = walk(data, META, start=132, stop=len(data), group=b"\x02\0")
    syntax = text_of(meta.elements.get("TransferSyntaxUID", ("UI", b"")), "")
    if syntax in ("", DEFLATED, EXPLICIT_BIG):
        raise Unsure
    implicit = syntax == IMPLICIT_LITTLE
    if implicit and data[meta.end + 4 : meta.end + 6].isupper():
        raise Unsure
    whole = len(data) if len(data) == n_bytes else None
    walked = walk(data, wanted_tags(), start=meta.end, stop=whole, implicit=implicit)
    elements = walked.elements
    texts, lists, numbers, vectors = _walked_values(elements)
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        stated = meta.elements.get(f"MediaStorage{keyword}")
        if not texts.get(keyword) and stated is not None and (text := text_of(stated, "")):
            texts[keyword] = text
    _add_private(elements, texts, numbers, vectors)
    return FileHeader(
        path=path,
        transfer_syntax=syntax,
        n_bytes=n_bytes,
        texts=texts,
        lists=lists,
        numbers=numbers,
        vectors=vectors,
        doses=_walked_doses(elements.get(DOSES), implicit),
        has_modality_lut=bool(_walked_items(elements.get(MODALITY_LUT), implicit)),
        has_pixels=walked.pixel_tag != b"" and walked.pixel_end <= n_bytes,
        **_place(walked),
    )


def _walked_values(
    elements: dict[str, Element],
) -> tuple[dict[str, str], dict[str, tuple[str, ...]], dict[str, float], dict[str, tuple[float, ...]]]:
    """Texts, lists, numbers and vectors of the standard's elements."""
    texts: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, float] = {}
    vectors: dict[str, tuple[float, ...]] = {}
    charset = charset_of(elements)
    signed = elements.get("PixelRepresentation", ("US", b""))[1][:1] == b"\x01"
    for keyword, element in elements.items():
        kind = KIND_OF.get(keyword)
        if kind == "text":
            text = text_of(element, charset)
            if text:
                # Slices of a series say much alike: each text is kept once.
                texts[keyword] = sys.intern(text)
        elif kind == "list":
            words = words_of(element)
            if words:
                lists[keyword] = words
        elif kind is not None:
            values = numbers_of(element, signed=signed)
            if kind == "number" and len(values) == 1:
                numbers[keyword] = values[0]
            elif kind == "vector" and len(values) == VECTORS[keyword]:
                vectors[keyword] = values
    return texts, lists, numbers, vectors


def _place(walked: Walked) -> dict[str, Any]:
    native = walked.pixel_tag == PIXEL_DATA and walked.pixel_bytes >= 0
    return {"pixel_offset": walked.pixel_offset, "pixel_bytes": walked.pixel_bytes} if native else {}


def _walked_items(element: Element | None, implicit: bool) -> list[bytes]:
    if element is None:
        return []
    vr, raw = element
    if vr != "SQ":
        raise Unsure
    try:
        return [raw[begin:end] for begin, end in items(raw, implicit=implicit)]
    except TooShort as error:
        raise Unsure from error


def _walked_doses(element: Element | None, implicit: bool) -> tuple[dict[str, Any], ...]:
    doses = []
    for raw in _walked_items(element, implicit):
        found = walk(raw, dose_tags(), stop=len(raw), implicit=implicit).elements
        dose: dict[str, Any] = {k: text_of(found[k], "") if k in found else "" for k in DOSE_TEXTS}
        for keyword in DOSE_NUMBERS:
            values = numbers_of(found[keyword]) if keyword in found else ()
            dose[keyword] = values[0] if len(values) == 1 else None
        doses.append(dose)
    return tuple(doses)


def _add_private(
    elements: dict[str, Element],
    texts: dict[str, str],
    numbers: dict[str, float],
    vectors: dict[str, tuple[float, ...]],
) -> None:
    """Put vendors' elements where their kind belongs."""
    for one in PRIVATE:
        value = private_value(elements[one.keyword]) if one.keyword in elements else ()
        if isinstance(value, str):
            # A number as text, or bytes that a file calls unknown (UN), were turned into numbers; this is text.
            if one.keyword in PRIVATE_TEXTS and value:
                texts[one.keyword] = value
        elif one.keyword in PRIVATE_VECTORS and value:
            vectors[one.keyword] = value
        elif len(value) == 1 and one.keyword not in PRIVATE_TEXTS:
            numbers[one.keyword] = value[0]


def _private_elements(dataset: Dataset) -> dict[str, Element]:
    """The wanted private elements of a pydicom dataset as bytes, in little-endian order."""
    from pydicom.dataelem import RawDataElement

    found: dict[str, Element] = {}
    for one in PRIVATE:
        try:
            tag = dataset.private_block(one.group, one.creator).get_tag(one.offset)
            raw = dataset.get_item(tag)
        except (KeyError, ValueError, TypeError, AttributeError):
            continue
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
            vr = one.vr if raw.VR in (None, "UN") else str(raw.VR)
            size = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8}.get(vr, 1)
            value = raw.value if raw.is_little_endian or len(raw.value) % size else _swapped(raw.value, size)
            found[one.keyword] = (vr, value)
    return found


def _swapped(raw: bytes, size: int) -> bytes:
    return b"".join(raw[i : i + size][::-1] for i in range(0, len(raw), size))
