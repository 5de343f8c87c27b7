"""The grey pipeline of PS3.4 N.2: stored values, modality LUT, values of interest, and which end is bright."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.pixels import Layout
from fiducial.archive.refusal import refuse

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

RISES_FROM, RISES_TO = 0.05, 0.95
"""A VOI LUT's window is where its output rises from 5 to 95 % of its range."""


@dataclass(frozen=True)
class LookupTable:
    """``values[i]`` stands for the input ``first + i``; inputs beyond an end take that end's value (PS3.3 C.11.1.1)."""

    first: int
    values: NDArray[np.unsignedinteger[Any]]
    bits: int

    def __call__(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Look every input up."""
        places = np.clip(inputs.astype(np.int64) - self.first, 0, len(self.values) - 1)
        return np.asarray(self.values[places])


@dataclass(frozen=True)
class Grey:
    """From stored values to the image's: the modality LUT (a table, or slope and intercept), then inversion.

    ``low`` and ``high`` are the ends of the range that the modality LUT can give; ``inverted`` images (MONOCHROME1:
    larger is darker) become ``low + high - value``, so that larger is brighter in every image.
    """

    slope: float
    intercept: float
    table: LookupTable | None
    low: float
    high: float
    inverted: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds the range: whole numbers where slope and intercept are, else float32."""
        if self.low == int(self.low) and self.high == int(self.high) and self.slope == int(self.slope):
            for kind in (np.uint8, np.int16, np.uint16, np.int32, np.uint32):
                if np.iinfo(kind).min <= self.low and self.high <= np.iinfo(kind).max:
                    return np.dtype(kind)
        return np.dtype(np.float32)

    def __call__(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Values [row, column] of a stored frame."""
        kind = self.dtype
        values = stored if self.table is None else self.table(stored)
        if self.table is None and (self.slope, self.intercept) != (1.0, 0.0):
            wide = np.float64 if kind.kind == "f" else np.int64
            values = values * wide(self.slope) + wide(self.intercept)
        if not self.inverted:
            return np.asarray(values.astype(kind, copy=False))
        if kind.kind == "f":
            return np.asarray((self.low + self.high - values).astype(kind))
        ends = int(self.low + self.high)
        # Values of the range fit the type, and so do their mirror images; the sum of both ends may not.
        fits = np.iinfo(kind).min <= ends <= np.iinfo(kind).max
        mirrored = np.subtract(kind.type(ends), values.astype(kind)) if fits else ends - values.astype(np.int64)
        return np.asarray(mirrored.astype(kind, copy=False))

    def mirrored(self, value: float) -> float:
        """A value after the modality LUT as a value of the image."""
        return self.low + self.high - value if self.inverted else value


@dataclass(frozen=True)
class Voi:
    """Values of interest (PS3.3 C.11.2).

    ``kind`` is empty, ``linear``, ``linear_exact``, ``sigmoid``, ``lut``, or ``unreadable`` where they are damaged.
    """

    kind: str = ""
    center: float = float("nan")
    width: float = float("nan")
    table: LookupTable | None = None


def grey_of(dataset: Dataset, layout: Layout) -> Grey:
    """The modality LUT of an image, and whether it is MONOCHROME1.

    Raises:
        UnreadableFile: ``rescale-invalid`` or ``modality-lut``.
    """
    low, high = (float(end) for end in layout.stored_range)
    slope, intercept, table = 1.0, 0.0, None
    if dataset.get("ModalityLUTSequence"):
        item = dataset.ModalityLUTSequence[0]
        table = lookup_table(item, signed_input=layout.is_signed, little=is_little(dataset))
        low, high = 0.0, float(2**table.bits - 1)
    elif dataset.get("RescaleSlope") is not None and dataset.get("RescaleIntercept") is not None:
        slope, intercept = _number(dataset.RescaleSlope), _number(dataset.RescaleIntercept)
        if not (np.isfinite([slope, intercept]).all() and slope != 0):
            raise refuse("rescale-invalid", "RescaleSlope or RescaleIntercept is no finite number, or the slope is 0")
        low, high = sorted((low * slope + intercept, high * slope + intercept))
    return Grey(slope, intercept, table, low, high, layout.photometric == "MONOCHROME1")


def voi_of(dataset: Dataset, grey: Grey) -> Voi:
    """The first values of interest that an image states; a window before a table, as it says the same exactly.

    Raises:
        UnreadableFile: the table is damaged.
    """
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    kind = str(dataset.get("VOILUTFunction") or "LINEAR").strip().lower()
    least = 1.0 if kind == "linear" else np.nextafter(0.0, 1.0)
    if kind in ("linear", "linear_exact", "sigmoid") and np.isfinite(center) and least <= width < np.inf:
        return Voi(kind, center, width)
    if dataset.get("VOILUTSequence"):
        item = dataset.VOILUTSequence[0]
        return Voi("lut", table=lookup_table(item, signed_input=grey.low < 0, little=is_little(dataset)))
    return Voi()


def voi_curve(voi: Voi, values: NDArray[Any]) -> NDArray[np.float64]:
    """What values after the modality LUT are shown as, from 0 (black) to 1 (white), by the formulas of PS3.3 C.11.2.1.

    LINEAR: black up to c - 0.5 - (w - 1) / 2, white beyond c - 0.5 + (w - 1) / 2; LINEAR_EXACT: the same with c and w;
    SIGMOID: 1 / (1 + exp(-4 (x - c) / w)); a table by its own entries. Without any, the values' own range.
    """
    x = np.asarray(values, dtype=np.float64)
    if voi.table is not None:
        return np.asarray(voi.table(values) / (2.0**voi.table.bits - 1))
    if voi.kind == "sigmoid":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (x - voi.center) / voi.width, -700, 700))))
    if voi.kind:
        less = 1.0 if voi.kind == "linear" else 0.0
        center, width = voi.center - less / 2, voi.width - less
        if width == 0:
            return (x > center).astype(np.float64)
        return np.asarray(np.clip((x - center) / width + 0.5, 0, 1))
    low, high = float(x.min()), float(x.max())
    return (x - low) / (high - low) if high > low else np.zeros_like(x)


def window_of(voi: Voi, grey: Grey) -> tuple[float, float]:
    """Window centre and width in the image's own values, NaN where nothing is stated.

    An inverted image's window is mirrored (LINEAR's bounds are not symmetric about its centre: it moves by 1). A
    table's window is where its output rises from 5 to 95 % of its range.
    """
    center, width = voi.center, voi.width
    if voi.table is not None:
        shown = voi.table.values.astype(np.float64)
        span = float(shown[-1] - shown[0])
        if span <= 0:
            return float("nan"), float("nan")
        share = (shown - shown[0]) / span
        start, end = int((share > RISES_FROM).argmax()), int((share >= RISES_TO).argmax())
        center, width = voi.table.first + (start + end) / 2, float(max(1, end - start))
    less = 1.0 if voi.kind == "linear" and grey.inverted else 0.0
    return grey.mirrored(center) + less, width


def is_little(dataset: Dataset) -> bool:
    """Whether words of the file are stored with the low byte first."""
    return dataset.original_encoding[1] is not False


def lookup_table(item: Dataset, *, signed_input: bool, little: bool = True) -> LookupTable:
    """A table of a Modality LUT or VOI LUT item; 0 entries mean 65,536 (PS3.3 C.11.1.1.1).

    Raises:
        UnreadableFile: ``modality-lut``, where the table is not what its descriptor says.
    """
    try:
        n, first, bits = (int(part) for part in item.LUTDescriptor)
        data = item["LUTData"].value
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise refuse("modality-lut", "LUTDescriptor or LUTData is absent or no numbers") from error
    n = n or 2**16
    if not 8 <= bits <= 16:
        raise refuse("modality-lut", f"{bits} bits for each entry")
    if signed_input and first >= 2**15:
        first -= 2**16
    if isinstance(data, bytes):
        values = _words_of(data, little=little) if len(data) >= 2 * n else _bytes_of(data)
    else:
        values = np.asarray(data, dtype=np.int64).reshape(-1).astype(np.uint16)
    if len(values) < n:
        raise refuse("modality-lut", f"{len(values)} of {n} entries")
    return LookupTable(first, np.minimum(values[:n], np.uint16(2**bits - 1)), bits)


def _words_of(data: bytes, *, little: bool) -> NDArray[np.unsignedinteger[Any]]:
    return np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little else ">u2").astype(np.uint16)


def _bytes_of(data: bytes) -> NDArray[np.unsignedinteger[Any]]:
    """Entries of 8 bits, packed two to a word."""
    return np.frombuffer(data, dtype=np.uint8)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _first(value: Any) -> float:
    """The first of one or several numbers, NaN where there is none."""
    if value is None:
        return float("nan")
    many = hasattr(value, "__iter__") and not isinstance(value, str)
    return _number(next(iter(value), None)) if many else _number(value)
