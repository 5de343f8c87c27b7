"""Bytes of header elements as texts and numbers, the way pydicom gives them; `Unsure` where that is not certain."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from fiducial.archive.dicom.walk import Element, Unsure

TEXT_VRS = frozenset(["AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT"])
CHARSET_VRS = frozenset(["LO", "LT", "PN", "SH", "ST", "UT"])
BINARY = {
    vr: struct.Struct(f"<{code}")
    for vr, code in {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}.items()
}


def text_of(element: Element, charset: str) -> str:
    """One text; "" if empty."""
    vr, raw = element
    if vr not in TEXT_VRS or b"\\" in raw or (vr == "PN" and b"=" in raw):
        raise Unsure
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii").strip(" \0")
    if vr not in CHARSET_VRS:
        raise Unsure
    return _beyond_ascii(raw, vr, charset).strip(" \0")


def words_of(element: Element) -> tuple[str, ...]:
    """Texts divided by backslashes; () if empty."""
    vr, raw = element
    if vr not in TEXT_VRS or not raw.isascii() or b"\x1b" in raw:
        raise Unsure
    text = raw.decode("ascii").rstrip(" \0")
    return tuple(part.strip() for part in text.split("\\")) if text else ()


def numbers_of(element: Element, *, signed: bool = False) -> tuple[float, ...]:
    """Finite numbers; () if the value is empty or any is not finite. ``signed`` decides for US or SS."""
    vr, raw = element
    if vr in ("DS", "IS"):
        # A zero byte pads at the end alone; anywhere else it makes a number that pydicom does not read.
        text = raw.rstrip(b" \0").lstrip(b" ")
        try:
            # Python reads a number's bytes as it reads its text.
            parts = text.split(b"\\") if text else ()
            numbers = tuple(map(float, parts)) if vr == "DS" else tuple(map(float, map(int, parts)))
        except (ValueError, OverflowError) as error:
            raise Unsure from error
    else:
        dtype = BINARY.get(("SS" if signed else "US") if vr == "US or SS" else vr)
        if dtype is None or len(raw) % dtype.size:
            raise Unsure
        numbers = tuple(float(value) for (value,) in dtype.iter_unpack(raw))
    return numbers if all(map(math.isfinite, numbers)) else ()


def private_value(element: Element) -> tuple[float, ...] | str:
    """A vendor's element: numbers, or a text; () where it is neither."""
    try:
        return text_of(element, "") if element[0] in TEXT_VRS else numbers_of(element)
    except Unsure:
        return ()


def charset_of(elements: Mapping[str, Element]) -> str:
    """The bytes of SpecificCharacterSet as text."""
    return elements.get("SpecificCharacterSet", ("CS", b""))[1].decode("latin-1").strip(" \0")


def _beyond_ascii(raw: bytes, vr: str, charset: str) -> str:
    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

    from fiducial.archive.dicom.values import quiet_pydicom

    names: Any = charset.split("\\") if "\\" in charset else charset
    try:
        with quiet_pydicom():
            encodings = convert_encodings(names)
            if vr == "PN":
                return str(PersonName(raw.rstrip(b" \0"), encodings))
            return str(decode_bytes(raw, encodings, TEXT_VR_DELIMS))
    except (LookupError, UnicodeError, ValueError) as error:
        raise Unsure from error
