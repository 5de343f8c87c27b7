"""Bytes of header elements as texts and numbers, the way pydicom gives them; `Unsure` where that is not certain."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from fiducial.archive.dicom.walk import Element, Unsure

TEXT_VRS = frozenset(["AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT"])
CHARSET_VRS = frozenset(["LO", "LT", "PN", "SH", "ST", "UT"])
WHOLE = re.compile(r"[+-]?\d+")
REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


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


def numbers_of(element: Element, *, signed: bool = False, order: str = "<") -> tuple[float, ...]:
    """Finite numbers; () if the value is empty or any is not finite. ``signed`` decides for US or SS."""
    vr, raw = element
    if vr in ("DS", "IS"):
        if not raw.isascii():
            raise Unsure
        text = raw.decode("ascii").strip(" \0")
        parts = [part.strip() for part in text.split("\\")] if text else []
        pattern = WHOLE if vr == "IS" else REAL
        if any(pattern.fullmatch(part) is None for part in parts):
            raise Unsure
        numbers = tuple(float(part) for part in parts)
    else:
        code = BINARY.get(("SS" if signed else "US") if vr == "US or SS" else vr)
        if code is None or len(raw) % struct.calcsize(code):
            raise Unsure
        numbers = tuple(float(v) for v in struct.unpack(f"{order}{len(raw) // struct.calcsize(code)}{code}", raw))
    return numbers if all(abs(number) < float("inf") for number in numbers) else ()


def private_value(element: Element, *, order: str = "<") -> tuple[float, ...] | str:
    """A vendor's element: numbers, or a text; () where it is neither."""
    try:
        return text_of(element, "") if element[0] in TEXT_VRS else numbers_of(element, order=order)
    except Unsure:
        return ()


def charset_of(elements: Mapping[str, Element]) -> str:
    """The bytes of SpecificCharacterSet as text."""
    return elements.get("SpecificCharacterSet", ("CS", b""))[1].decode("latin-1").strip(" \0")


def _beyond_ascii(raw: bytes, vr: str, charset: str) -> str:
    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

    names: Any = charset.split("\\") if "\\" in charset else charset
    try:
        encodings = convert_encodings(names)
        if vr == "PN":
            return str(PersonName(raw.rstrip(b" \0"), encodings))
        return str(decode_bytes(raw, encodings, TEXT_VR_DELIMS))
    except (LookupError, UnicodeError, ValueError) as error:
        raise Unsure from error
