"""Stored colour as RGB: palettes, plain or in segments, and the YBR that pydicom does not convert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.pixels import Layout
from fiducial.archive.dicom.ybr import rgb_of_partial
from fiducial.archive.refusal import refuse

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CHANNELS = ("Red", "Green", "Blue")
DISCRETE, LINEAR, INDIRECT = 0, 1, 2


@dataclass(frozen=True)
class Palette:
    """``table`` [entry, RGB]: the colour of the stored value ``first + entry``; values beyond an end take the end's."""

    first: int
    table: NDArray[np.unsignedinteger[Any]]

    def __call__(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Colours [row, column, RGB] of stored values [row, column]."""
        places = np.clip(stored.astype(np.int64) - self.first, 0, len(self.table) - 1)
        return np.asarray(self.table[places])


def rgb(frame: NDArray[Any], layout: Layout, palette: Palette | None) -> NDArray[Any]:
    """A decoded frame as [row, column, RGB]; 8-bit content as uint8, more bits as they are."""
    if palette is not None:
        return palette(frame)
    if layout.photometric == "YBR_PARTIAL_422":
        return rgb_of_partial(frame)
    return frame


def palette_of(dataset: Dataset, layout: Layout) -> Palette | None:
    """The colours of a PALETTE COLOR image, None for any other.

    A table of 16 bits of which the low byte says nothing (zero, or a copy of the high byte) becomes 8 bits.

    Raises:
        UnreadableFile: ``palette``.
    """
    if layout.photometric != "PALETTE COLOR":
        return None
    columns, first = [], 0
    for name in CHANNELS:
        values, first = _channel(dataset, name, signed=layout.is_signed)
        columns.append(values)
    if len({len(column) for column in columns}) != 1:
        raise refuse("palette", "tables of different lengths for red, green and blue")
    table = np.stack(columns, axis=1)
    low, high = table & 0xFF, table >> 8
    is_wide = bool(high.any())
    if not is_wide:
        return Palette(first, low.astype(np.uint8))
    repeats = bool((low == 0).all() or (low == high).all())
    return Palette(first, high.astype(np.uint8) if repeats else table.astype(np.uint16))


def _channel(dataset: Dataset, name: str, *, signed: bool) -> tuple[NDArray[np.uint16], int]:
    """One channel's table and the stored value of its first entry."""
    try:
        n, first, bits = (int(part) for part in dataset.get(f"{name}PaletteColorLookupTableDescriptor") or ())
    except (TypeError, ValueError) as error:
        raise refuse("palette", f"no {name}PaletteColorLookupTableDescriptor of three numbers") from error
    n = n or 2**16
    first = first - 2**16 if signed and first >= 2**15 else first
    if bits not in (8, 16):
        raise refuse("palette", f"{bits} bits for each entry")
    plain = dataset.get(f"{name}PaletteColorLookupTableData")
    segments = dataset.get(f"Segmented{name}PaletteColorLookupTableData")
    if isinstance(plain, Sequence) and plain and not isinstance(plain, bytes):
        values = np.asarray([int(entry) for entry in plain]).astype(np.uint16)
    elif isinstance(plain, bytes) and plain:
        # Entries of 8 bits may be packed two to a word, or stand in a word each.
        wide = len(plain) >= 2 * n
        values = _words(plain, dataset, 16 if wide else 8)
    elif isinstance(segments, bytes) and segments:
        values = expand(_words(segments, dataset, bits).tolist(), most=n)
    else:
        raise refuse("palette", f"no table for {name.lower()}")
    if len(values) < n:
        raise refuse("palette", f"{len(values)} of {n} entries for {name.lower()}")
    return values[:n].astype(np.uint16), first


def _words(data: bytes, dataset: Dataset, bits: int) -> NDArray[np.uint16]:
    """Entries of a table, in the byte order of the file."""
    if bits == 8:
        return np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
    little = dataset.original_encoding[1] is not False
    return np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little else ">u2").astype(np.uint16)


def expand(words: Sequence[int], *, most: int) -> NDArray[np.uint16]:
    """Expand a segmented table (PS3.3 C.7.9.2): runs of entries and straight lines from the entry before.

    Args:
        words: segment after segment: opcode, length, then that many entries (0), or the line's last entry (1).
        most: entries that the descriptor states; a table that grows beyond them is refused.

    Raises:
        UnreadableFile: ``palette``; also for indirect segments, whose byte offset readers do not take alike.
    """
    out: list[int] = []
    place = 0
    # A single word at the end is padding.
    while place + 1 < len(words):
        opcode, length = words[place], words[place + 1]
        given = words[place + 2 : place + 2 + (length if opcode == DISCRETE else 1)]
        if opcode == DISCRETE and len(given) == length:
            out += given
        elif opcode == LINEAR and given and out:
            out += np.rint(np.linspace(out[-1], given[0], length + 1)[1:]).astype(int).tolist()
        else:
            what = "indirect" if opcode == INDIRECT else f"cut off, or of kind {opcode}"
            raise refuse("palette", f"a segment of the table is {what}")
        if len(out) > most:
            raise refuse("palette", f"segments expand beyond the {most} entries stated")
        place += 2 + len(given)
    return np.array(out, dtype=np.uint16)
