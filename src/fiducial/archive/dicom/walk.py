"""A lean walk over a little-endian header: the wanted elements as bytes, and where the pixels begin.

pydicom reads everything; this reads what scanners write, many times faster. Whatever it does not know for certain
(`Unsure`) is left to pydicom, so that both give the same values or the walk gives none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct

from fiducial.archive.dicom.wanted import PIXEL_TAGS, private_blocks

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
VR_NAMES = {vr: vr.decode() for vr in SHORT_VRS | LONG_VRS}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = b"\xe0\x7f\x10\x00"
MAX_DEPTH = 16
DELIMITERS = b"\xfe\xff"
EXPLICIT = Struct("<4s2sH").unpack_from
IMPLICIT = Struct("<4sI").unpack_from
PLAIN = Struct("<HHI").unpack_from
LENGTH = Struct("<I").unpack_from

Element = tuple[str, bytes]


class Unsure(Exception):
    """The bytes are not what this walk knows; pydicom has to read them."""


class TooShort(Exception):
    """The bytes at hand end within the header."""


@dataclass
class Walked:
    """Wanted elements as (VR, bytes) by keyword, and the place of the pixels (-1: none met, or encapsulated).

    ``pixel_end`` is where they say that they end (0: they do not say), ``end`` where the walk stopped.
    """

    elements: dict[str, Element] = field(default_factory=dict)
    pixel_tag: bytes = b""
    pixel_offset: int = -1
    pixel_bytes: int = -1
    pixel_end: int = 0
    end: int = 0

    def meet_pixels(self, tag: bytes, begin: int, length: int) -> None:
        """Note the pixels; only native ones have a place."""
        self.pixel_tag = tag
        self.pixel_end = 0 if length == UNDEFINED else begin + length
        if tag == PIXEL_DATA and length != UNDEFINED:
            self.pixel_offset, self.pixel_bytes = begin, length


def walk(
    data: bytes,
    wanted: Mapping[bytes, tuple[str, str]],
    *,
    start: int = 0,
    stop: int | None = None,
    implicit: bool = False,
    group: bytes = b"",
) -> Walked:
    """Walk from ``start`` to the pixels, to ``stop``, or (``group``) to the first element of another group.

    ``wanted`` gives keyword and VR by a tag's four bytes; `PIXELS` are always met.

    Raises:
        TooShort: ``stop`` is None and ``data`` ends before the pixels.
        Unsure: anything unusual.
    """
    short = TooShort if stop is None else Unsure
    found = Walked()
    elements = found.elements
    position, end = start, len(data) if stop is None else stop
    known = {**wanted, **PIXELS}
    skips = not implicit and not group
    while (position := _skipped(data, position, end, known) if skips else position) < end:
        if position + 8 > end:
            raise short
        if group and data[position : position + 2] != group:
            break
        tag, vr, begin, length = _head(data, position, implicit)
        after = begin + length if length != UNDEFINED else -1
        name = known.get(tag)
        if name is not None and tag in PIXELS:
            found.meet_pixels(tag, begin, length)
            break
        if after < 0:
            after = _sequence_end(data, begin, end, implicit or vr == b"UN", 1)
        if after > end:
            raise short
        if name is not None:
            # A private element of unknown VR is what its vendor says.
            stated = not implicit and (vr != b"UN" or not tag[0] & 1)
            elements[name[0]] = (VR_NAMES[vr] if stated else name[1], data[begin:after])
        elif tag[0] & 1 and not tag[3]:
            _note_private(tag, data[begin:after], known)
        position = after
    else:
        if stop is None or position > end:
            raise short
    found.end = position
    return found


def items(data: bytes, *, implicit: bool) -> list[tuple[int, int]]:
    """Start and end of each item within a sequence's value."""
    found = []
    position = 0
    while position + 8 <= len(data):
        tag, length = _item(data, position)
        if tag == SEQUENCE_END:
            break
        if tag != ITEM:
            raise Unsure
        begin = position + 8
        if length == UNDEFINED:
            after = _item_end(data, begin, len(data), implicit, 1)
            found.append((begin, after - 8))
        else:
            after = begin + length
            found.append((begin, after))
        if after > len(data):
            raise Unsure
        position = after
    return found


def _skipped(data: bytes, position: int, end: int, known: Mapping[bytes, tuple[str, str]]) -> int:
    """The next element with an explicit VR that is wanted, has a long length or is a private creator."""
    while position + 8 <= end:
        tag, vr, length = EXPLICIT(data, position)
        if vr not in SHORT_VRS or tag in known or (tag[0] & 1 and not tag[3]):
            break
        position += 8 + length
    return position


def _head(data: bytes, position: int, implicit: bool) -> tuple[bytes, bytes, int, int]:
    """Tag (its four bytes), VR (empty if implicit), start of the value and its length."""
    if implicit:
        tag, length = IMPLICIT(data, position)
        if tag[:2] == DELIMITERS:
            raise Unsure
        return tag, b"", position + 8, length
    tag, vr, length = EXPLICIT(data, position)
    if vr in SHORT_VRS:
        return tag, vr, position + 8, length
    if vr not in LONG_VRS:
        raise Unsure
    if position + 12 > len(data):
        raise TooShort
    return tag, vr, position + 12, LENGTH(data, position + 8)[0]


def _item(data: bytes, position: int) -> tuple[int, int]:
    group, element, length = PLAIN(data, position)
    return group << 16 | element, length


def _sequence_end(data: bytes, position: int, end: int, implicit: bool, depth: int) -> int:
    """The first byte after a sequence of undefined length whose first item starts at ``position``."""
    if depth > MAX_DEPTH:
        raise Unsure
    while position + 8 <= end:
        tag, length = _item(data, position)
        position += 8
        if tag == SEQUENCE_END:
            return position
        if tag != ITEM:
            raise Unsure
        position = _item_end(data, position, end, implicit, depth) if length == UNDEFINED else position + length
    raise TooShort


def _item_end(data: bytes, position: int, end: int, implicit: bool, depth: int) -> int:
    """The first byte after an item of undefined length whose first element starts at ``position``."""
    while position + 8 <= end:
        tag, length = _item(data, position)
        if tag == ITEM_END:
            return position + 8
        _, vr, begin, length = _head(data, position, implicit)
        if length == UNDEFINED:
            position = _sequence_end(data, begin, end, implicit or vr == b"UN", depth + 1)
        else:
            position = begin + length
    raise TooShort


def tag_bytes(tag: int) -> bytes:
    """A tag as it stands in a little-endian file."""
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def _note_private(tag: bytes, creator: bytes, known: dict[bytes, tuple[str, str]]) -> None:
    """Note where the wanted elements of a private creator's block lie."""
    key = (int.from_bytes(tag[:2], "little"), creator.decode("latin-1").strip(" \0"))
    for element in private_blocks().get(key, ()):
        known[tag[:2] + bytes((element.offset, tag[2]))] = (element.keyword, element.vr)


PIXELS = {tag_bytes(tag): ("", "") for tag in PIXEL_TAGS}
