"""The stored frames of one file, one after the other, and the refusal of what cannot be decoded whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.codestream import require_decodable, require_decoder, require_extent
from fiducial.archive.dicom.dataset import DEFLATED, read_dataset
from fiducial.archive.dicom.extended import extended_frames, is_extended
from fiducial.archive.dicom.planes import NATIVE
from fiducial.archive.dicom.values import quiet_pydicom, value_of
from fiducial.archive.dicom.ybr import rgb_of_full
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
YBR = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422")
YBR_OF_BYTES = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422")
COLOUR = ("RGB", "PALETTE COLOR", *YBR)


@dataclass(frozen=True)
class Layout:
    """How a file stores its pixels, checked to be whole and legal."""

    path: Path
    transfer_syntax: str
    photometric: str
    n_frames: int
    rows: int
    columns: int
    n_samples: int
    bits_allocated: int
    bits_stored: int
    shift: int
    is_signed: bool
    filled: dict[str, int] = field(default_factory=dict)

    @property
    def is_native(self) -> bool:
        """Whether the pixels are stored uncompressed."""
        return self.transfer_syntax in ("", *NATIVE)

    @property
    def stored_range(self) -> tuple[int, int]:
        """The smallest and largest value that the header allows."""
        n = 2**self.bits_stored
        return (-(n // 2), n // 2 - 1) if self.is_signed else (0, n - 1)


def layout_of(path: Path, dataset: Dataset) -> Layout:
    """Check how a file stores its pixels before any is decoded.

    Raises:
        UnreadableFile: ``missing-tags``, ``bit-depth``, ``photometric``, ``too-large``, ``video``,
            ``transfer-syntax`` or ``no-decoder``.
    """
    syntax = str(value_of(dataset.file_meta, "TransferSyntaxUID") or "")
    numbers = {k: _whole(dataset, k) for k in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel")}
    absent = sorted(k for k, n in numbers.items() if n is None or n <= 0)
    if not syntax or absent:
        raise refuse("missing-tags", ", ".join(absent or ["TransferSyntaxUID"]))
    rows, columns, bits, n_samples = (int(n or 0) for n in numbers.values())
    if bits not in (1, 8, 16, 32):
        raise refuse("bit-depth", f"{bits} bits allocated")
    if bits != 8 and str(dataset.get("PhotometricInterpretation")).strip().upper() in YBR_OF_BYTES:
        raise refuse("bit-depth", f"YBR of {bits} bits allocated, 8 expected")
    stored = min(_whole(dataset, "BitsStored") or bits, bits)
    high = _whole(dataset, "HighBit")
    photometric = _photometric(dataset, n_samples)
    n_frames = max(1, _whole(dataset, "NumberOfFrames") or 1)
    require_extent(dataset)
    extended = is_extended(syntax, stored) and n_samples == 1
    require_decoder(syntax, bits_stored=8 if extended else stored)
    return Layout(
        path=path,
        transfer_syntax=syntax,
        photometric=photometric,
        n_frames=n_frames,
        rows=rows,
        columns=columns,
        n_samples=n_samples,
        bits_allocated=bits,
        bits_stored=stored,
        shift=0 if high is None or bits == 1 else min(max(0, high + 1 - stored), bits - stored),
        is_signed=_whole(dataset, "PixelRepresentation") == 1,
        filled={
            option: value
            for keyword, option, value in (
                ("PixelRepresentation", "pixel_representation", 0),
                ("BitsStored", "bits_stored", bits),
                *([("PlanarConfiguration", "planar_configuration", 0)] if n_samples == 3 else []),
            )
            if _whole(dataset, keyword) is None
        },
    )


def frames(layout: Layout, *, raw: bool = False) -> Iterator[NDArray[Any]]:
    """Decode frame after frame, [row, column] or [row, column, sample]; memory: one frame.

    JPEG and YBR content comes as RGB (pydicom's conversion, which follows the code stream where the header
    contradicts it), except YBR_PARTIAL_422, which comes as stored at full resolution, and with ``raw``.

    Raises:
        UnreadableFile: ``truncated`` or ``corrupt-pixels``.
    """
    shape = (layout.rows, layout.columns) + ((layout.n_samples,) if layout.n_samples > 1 else ())
    decoded = _decoded(layout, raw=raw)
    n_found = 0
    while True:
        with quiet_pydicom():
            try:
                frame = next(decoded, None)
            except UnreadableFile:
                raise
            except MemoryError:
                raise
            except Exception as error:  # decoders raise anything, and quote what they read
                raise _undecodable(layout, n_found, error) from error
        if frame is None:
            break
        if frame.shape != shape:
            raise refuse("corrupt-pixels", f"frame {n_found + 1} decoded to shape {frame.shape}")
        if layout.n_samples == 1 and not layout.is_native:
            _require_range(frame, layout)
        n_found += 1
        yield frame
    if n_found != layout.n_frames:
        raise refuse("truncated", f"{n_found} of {layout.n_frames} frames")


def _require_range(frame: NDArray[Any], layout: Layout) -> None:
    """A code stream may hold more bits than the header states: what they mean is not said."""
    (low, high), found = layout.stored_range, (int(frame.min()), int(frame.max()))
    if found[0] < low or found[1] > high:
        raise refuse("corrupt-pixels", f"values from {found[0]} to {found[1]}, BitsStored allows {low} to {high}")


def _decoded(layout: Layout, *, raw: bool) -> Iterator[NDArray[Any]]:
    from pydicom.pixels.utils import iter_pixels

    # What a header leaves out, the library asks for: it is given as it is taken here.
    options: dict[str, Any] = {"raw": raw, **layout.filled}
    if layout.photometric == "YBR_PARTIAL_422":
        options |= {"raw": True, "photometric_interpretation": "YBR_FULL_422"}
    if layout.shift and layout.is_native:
        options["correct_unused_bits"] = False
    # A native file is read frame by frame from the disk; a compressed one is small, and looked at before.
    is_packed = not layout.is_native or layout.transfer_syntax == DEFLATED
    source = read_dataset(layout.path) if is_packed else layout.path
    if not isinstance(source, Path):
        require_decodable(source)
        if is_extended(layout.transfer_syntax, layout.bits_stored) and layout.n_samples == 1:
            yield from extended_frames(source)
            return
        yield from _packed(source, options)
        return
    for frame in iter_pixels(source, **options):
        yield _shifted(frame, layout) if "correct_unused_bits" in options else frame


def _packed(dataset: Dataset, options: dict[str, Any]) -> Iterator[NDArray[Any]]:
    """Frames of a compressed file; the decoder says what they are, whatever the header does."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import as_pixel_options

    raw = options.pop("raw")
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    for frame, found in decoder.iter_array(dataset, raw=True, **as_pixel_options(dataset, **options)):
        is_ybr = found["photometric_interpretation"] in ("YBR_FULL", "YBR_FULL_422")
        yield rgb_of_full(frame) if is_ybr and not raw else frame


def _shifted(frame: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Values whose highest bit is not the lowest possible (HighBit above BitsStored - 1), moved down."""
    up = layout.bits_allocated - layout.bits_stored - layout.shift
    return np.asarray(np.right_shift(np.left_shift(frame, up), up + layout.shift))


def _undecodable(layout: Layout, n_found: int, error: Exception) -> UnreadableFile:
    n_bits = layout.rows * layout.columns * layout.n_samples * layout.bits_allocated * layout.n_frames
    whole = n_bits // 8 * (2 if "422" in layout.photometric else 3) // 3
    if layout.is_native and layout.transfer_syntax != DEFLATED and layout.path.stat().st_size < whole:
        return refuse("truncated", f"a file of {layout.path.stat().st_size:,} bytes for {whole:,} bytes of pixels")
    return refuse("corrupt-pixels", f"frame {n_found + 1} of {layout.n_frames} ({type(error).__name__})")


def _photometric(dataset: Dataset, n_samples: int) -> str:
    """The photometric interpretation, if the number of samples fits it."""
    stated = str(dataset.get("PhotometricInterpretation") or "").strip(" \0").upper()
    legal = {1: (*GREY, "PALETTE COLOR"), 3: ("RGB", *YBR)}
    if stated not in legal.get(n_samples, ()):
        known = stated if stated in (*GREY, *COLOUR) else "no known PhotometricInterpretation"
        raise refuse("photometric", f"{known} with {n_samples} sample(s) for each pixel")
    return stated


def _whole(dataset: Dataset, keyword: str) -> int | None:
    """A whole number, None where it is absent or none can be made of it."""
    try:
        value = value_of(dataset, keyword)
        return None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
