"""Elements read and written as bytes where that is enough: most of a header is plain ASCII, and need not be parsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
UNDEFINED = 0xFFFFFFFF
# VRs whose explicit form has four bytes of length (PS3.5, 7.1.2).
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
ESCAPE = b"\x1b"
PARSED = ("SQ", "UN")


def texts_of(dataset: Dataset, tag: BaseTag) -> list[str]:
    """An element's values as texts, none for an empty one."""
    raw = dataset.get_item(tag)
    value = raw.value if raw is not None and raw.is_raw and raw.VR not in PARSED else None
    # An escape may switch to another character set (ISO 2022) whose letters look like ASCII.
    if isinstance(value, bytes) and value.isascii() and ESCAPE not in value:
        text = value.decode().rstrip(" \0")
        return text.split("\\") if text else []
    return _texts(dataset[tag].value)


def changed(dataset: Dataset, tag: BaseTag, change: Callable[[str], str]) -> list[str]:
    """An element's texts after ``change``, one by one; none where all of them became empty."""
    texts = [change(text) for text in texts_of(dataset, tag)]
    return texts if any(texts) else []


def put(dataset: Dataset, tag: BaseTag, vr: str, texts: list[str]) -> None:
    """Set an element of text to some values, or to none."""
    from pydicom.dataelem import RawDataElement

    text = "\\".join(texts)
    if not text.isascii():
        dataset.add_new(tag, vr, texts if len(texts) > 1 else text)
        return
    value = text.encode()
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def _texts(value: Any) -> list[str]:
    """A value as texts: pydicom gives one, or a list of several."""
    if value is None or value == "":
        return []
    many = not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "family_name")
    return [str(one) for one in value] if many else [str(value)]


def as_bytes(element: DataElement, syntax: str) -> RawDataElement:
    """An element as the bytes that `encoded` writes in ``syntax``, for one that goes into many datasets."""
    from pydicom.dataelem import RawDataElement
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = syntax != BIG_ENDIAN, syntax == IMPLICIT
    write_data_element(buffer, element, "iso8859")
    value = buffer.getvalue()[12 if syntax != IMPLICIT and element.VR in LONG else 8 :]
    return RawDataElement(element.tag, element.VR, len(value), value, 0, syntax == IMPLICIT, syntax != BIG_ENDIAN)


def encoded(dataset: Dataset, syntax: str) -> bytes:
    """The dataset as its transfer syntax writes it, before any deflating.

    Elements that were never parsed keep the bytes that they had; all others are written by pydicom.
    """
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import correct_ambiguous_vr, write_data_element

    implicit, little = syntax == IMPLICIT, syntax != BIG_ENDIAN
    order: Any = "little" if little else "big"
    tags = sorted(dataset.keys(), key=int)
    bare = [] if implicit else [tag for tag in tags if (raw := dataset.get_item(tag)) is not None and raw.VR is None]
    if bare:
        # Written without VRs although its transfer syntax states them: they are looked up.
        for tag in bare:
            dataset[tag] = dataset[tag]
        dataset = correct_ambiguous_vr(dataset, little)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = little, implicit
    charset = dataset.get("SpecificCharacterSet") or "iso8859"
    for tag in tags:
        element: Any = dataset.get_item(tag)
        if not element.is_raw or element.length == UNDEFINED or (not implicit and len(element.value) > 0xFFFE):
            write_data_element(buffer, element, charset)
            continue
        value = element.value or b""
        head = (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
        if implicit:
            length = len(value).to_bytes(4, order)
        elif element.VR in LONG:
            length = element.VR.encode() + b"\0\0" + len(value).to_bytes(4, order)
        else:
            length = element.VR.encode() + len(value).to_bytes(2, order)
        buffer.write(head + length + value)
    return bytes(buffer.getvalue())
