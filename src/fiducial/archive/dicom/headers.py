"""One DICOM file's header as plain values: what discovery, stacking and SUV need, without pixels.

Little-endian headers are walked by ``walk.py``; whatever that is not sure of is read by pydicom (`parse_header`).
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fiducial.archive.dicom.convert import charset_of, numbers_of, private_value, text_of, words_of
from fiducial.archive.dicom.walk import PIXEL_DATA, UNDEFINED, Element, TooShort, Unsure, Walked, items, walk
from fiducial.archive.dicom.wanted import (
    DOSE_NUMBERS,
    DOSE_TEXTS,
    DOSES,
    LISTS,
    MODALITY_LUT,
    NUMBERS,
    PIXEL_TAGS,
    PRIVATE,
    PRIVATE_TEXTS,
    PRIVATE_VECTORS,
    TEXTS,
    VECTORS,
    dose_tags,
    wanted_tags,
)
from fiducial.archive.limits import require_inflatable
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
# Read so much of a file's begin, then more where its header is longer; beyond that pydicom reads it.
FIRST_BYTES = (16 * 2**10, 2**18, 2**22)
META = {
    b"\x02\0\x03\0": ("MediaStorageSOPInstanceUID", "UI"),
    b"\x02\0\x02\0": ("MediaStorageSOPClassUID", "UI"),
    b"\x02\0\x10\0": ("TransferSyntaxUID", "UI"),
}
HEAD_BYTES = 1024
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
        _require_regular(path)
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
    dataset, has_pixels = _read(path, (), to_pixels=True)
    with quiet_pydicom():
        texts = {keyword: text for keyword in TEXTS if (text := _text(dataset, keyword))}
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            # A medium's directory states its class in the file meta information alone.
            if not texts.get(keyword) and (stated := str(value_of(dataset.file_meta, f"MediaStorage{keyword}") or "")):
                texts[keyword] = stated
        numbers = {keyword: n for keyword in NUMBERS if (n := _number(dataset, keyword)) is not None}
        vectors = {k: vector for k, n in VECTORS.items() if len(vector := floats_of(value_of(dataset, k))) == n}
        _add_private(_private_elements(dataset), texts, numbers, vectors)
        header = FileHeader(
            path=path,
            transfer_syntax=transfer_syntax(dataset),
            n_bytes=path.stat().st_size,
            texts=texts,
            lists={keyword: words for keyword in LISTS if (words := _texts(dataset, keyword))},
            numbers=numbers,
            vectors=vectors,
            doses=doses_of(dataset),
            has_modality_lut=bool(value_of(dataset, MODALITY_LUT)),
            has_pixels=has_pixels,
        )
    return header, dataset


def read_dataset(path: Path, *, keywords: tuple[str, ...] = ()) -> Dataset:
    """Read a whole DICOM file (PS3.10, or a bare dataset without its preamble); no ``keywords`` means all.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated`` or ``unreadable``; the message holds no value of the file.
    """
    return _read(path, keywords, to_pixels=False)[0]


def transfer_syntax(dataset: Dataset) -> str:
    """The transfer syntax that a file states, else the one that it was read as."""
    stated = str(value_of(dataset.file_meta, "TransferSyntaxUID") or "")
    if stated:
        return stated
    implicit, little = dataset.original_encoding
    return (IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE) if little else EXPLICIT_BIG


def _require_regular(path: Path) -> None:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        regular = False
    if not regular:
        raise refuse("not-dicom", "no regular file")


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


def _read(path: Path, keywords: tuple[str, ...], *, to_pixels: bool) -> tuple[Dataset, bool]:
    """The dataset, and whether whole pixel data were met (only asked for ``to_pixels``, which stops there)."""
    from pydicom.filereader import read_partial

    _require_regular(path)
    n_bytes = path.stat().st_size
    met = deflated = False

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:  # noqa: ARG001 - the library's signature
        nonlocal met
        if tag not in PIXEL_TAGS:
            return False
        met = deflated or length == UNDEFINED or file.tell() + length <= n_bytes
        return True

    try:
        with path.open("rb") as file:
            _require_dicom(file)
            deflated = _is_inflatable(path, file.read(132 + HEAD_BYTES)[132:])
            file.seek(0)
            with quiet_pydicom():
                stop = at_pixels if to_pixels else None
                specific: list[int | BaseTag] | None = [*map(tag_of, keywords)] or None
                dataset = read_partial(file, stop_when=stop, specific_tags=specific, force=True)
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


def _require_dicom(file: BinaryIO) -> None:
    """Refuse a file that neither has DICM at byte 128 nor begins like a bare dataset (group 0002 or 0008)."""
    start = file.read(132)
    file.seek(0)
    if start[128:] == b"DICM":
        return
    groups = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")
    stated = start[4:6].isalpha() and start[4:6].isupper()
    implicit = start[6:8] == b"\0\0" and start[4:6] != b"\0\0"
    if len(start) < 16 or start[:2] not in groups or not (stated or implicit):
        raise refuse("not-dicom", "no DICM at byte 128")


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


def value_of(dataset: Dataset, keyword: str) -> Any:
    """A value, or None where the library cannot make one of the bytes (a broken number, a wrong VR)."""
    try:
        return dataset.get(keyword)
    except parse_errors():
        return None


@cache
def parse_errors() -> tuple[type[Exception], ...]:
    """What the library raises where it cannot make a value of the bytes."""
    from pydicom.errors import BytesLengthException

    return (
        ValueError,
        TypeError,
        KeyError,
        NotImplementedError,
        AttributeError,
        OverflowError,
        BytesLengthException,
    )


def _text(dataset: Dataset, keyword: str) -> str:
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip(" \0")


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    value = value_of(dataset, keyword)
    if value is None or value == "":
        return ()
    return (value.strip(),) if isinstance(value, str) else tuple(str(part).strip() for part in value)


def _number(dataset: Dataset, keyword: str) -> float | None:
    numbers = floats_of(value_of(dataset, keyword))
    return numbers[0] if len(numbers) == 1 else None


def floats_of(value: Any) -> tuple[float, ...]:
    """Finite numbers of a value; empty if any is not one."""
    parts = value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return numbers if all(abs(number) < float("inf") for number in numbers) else ()


def doses_of(dataset: Dataset) -> tuple[dict[str, Any], ...]:
    """What a dataset says of each radiopharmaceutical."""
    items = value_of(dataset, DOSES) or ()
    return tuple(
        {keyword: _text(item, keyword) for keyword in DOSE_TEXTS}
        | {keyword: _number(item, keyword) for keyword in DOSE_NUMBERS}
        for item in items
    )
