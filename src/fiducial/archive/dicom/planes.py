"""Stored values of slices, file by file: native ones straight from their place in the file, all others by pydicom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.codestream import require_decodable, require_decoder
from fiducial.archive.dicom.dataset import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, read_dataset
from fiducial.archive.dicom.extended import extended_frames, is_extended
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.values import quiet_pydicom, value_of
from fiducial.archive.limits import require_frame
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NATIVE = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG)
RLE = "1.2.840.10008.1.2.5"
BITS = (8, 16, 32)
PIXEL_KEYWORDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PixelData",
)


def is_compressed(headers: Iterable[FileHeader]) -> bool:
    """Whether any of the files needs a decoder, which is foreign code that may end the process."""
    return any(header.transfer_syntax not in NATIVE for header in headers)


def require_decoders(headers: Sequence[FileHeader]) -> None:
    """Refuse what cannot be decoded here, and native files that are too short, before any work.

    Raises:
        UnreadableFile: ``video``, ``transfer-syntax``, ``no-decoder``, ``bit-depth``, ``too-large`` or ``truncated``.
    """
    for syntax in sorted({header.transfer_syntax for header in headers} - set(NATIVE)):
        require_decoder(syntax)
    n_short = 0
    for header in headers:
        bits = int(header.number("BitsAllocated") or 0)
        if bits not in BITS:
            raise refuse("bit-depth", f"{bits} bits allocated")
        require_frame(*_shape(header), itemsize=bits // 8)
        n_short += is_cut(header)
    if n_short:
        raise refuse("truncated", f"{n_short} of {len(headers)} files or frames end before their last voxel")


def is_cut(header: FileHeader) -> bool:
    """Whether a file has no pixels, or ends before those that its header declares."""
    if not header.has_pixels:
        return True
    if header.transfer_syntax not in NATIVE or header.transfer_syntax == DEFLATED:
        return False
    needed = frame_bytes(header)
    if header.pixel_offset >= 0:
        return header.pixel_bytes < needed
    return header.n_bytes < ((header.frame or 0) + 1) * needed


def planes(headers: Sequence[FileHeader]) -> Iterator[tuple[int, NDArray[Any], bool]]:
    """Index, stored values [row, column], and whether unused bits were cleared, of every slice, file by file.

    One slice is in memory at a time; frames of a file are decoded one after the other, in its own order.
    """
    by_file = sorted(range(len(headers)), key=lambda k: (str(headers[k].path), headers[k].frame or 0))
    for _, group in groupby(by_file, key=lambda k: headers[k].path):
        own = list(group)
        if headers[own[0]].tile is not None:
            decoded: Iterator[NDArray[Any]] = _tiles([headers[k] for k in own])
        elif _is_direct(headers[own[0]]):
            decoded = (_direct(headers[k]) for k in own)
        else:
            decoded = _decoded([headers[k] for k in own])
        for k, plane in zip(own, decoded, strict=True):
            if plane.shape != _shape(headers[k]):
                raise refuse("corrupt-pixels", f"decoded to shape {plane.shape}")
            yield k, *_used_bits(plane.astype(plane.dtype.newbyteorder("="), copy=False), headers[k])


def _tiles(headers: Sequence[FileHeader]) -> Iterator[NDArray[Any]]:
    """Slices of a mosaic, whose picture is decoded once."""
    first = headers[0]
    size = {name: first.numbers[f"Picture{name}"] for name in ("Rows", "Columns")}
    whole = replace(first, tile=None, numbers=first.numbers | size)
    picture = _direct(whole) if _is_direct(whole) else next(_decoded([whole]))
    if picture.shape != _shape(whole):
        raise refuse("corrupt-pixels", f"decoded to shape {picture.shape}")
    for header in headers:
        row, column = header.tile or (0, 0)
        rows, columns = _shape(header)
        yield picture[row : row + rows, column : column + columns]


def _shape(header: FileHeader) -> tuple[int, int]:
    return int(header.number("Rows") or 0), int(header.number("Columns") or 0)


def frame_bytes(header: FileHeader) -> int:
    """The bytes of one slice, stored natively."""
    rows, columns = _shape(header)
    if header.tile is not None:
        rows, columns = int(header.numbers["PictureRows"]), int(header.numbers["PictureColumns"])
    return rows * columns * int(header.number("BitsAllocated") or 0) // 8


def _is_direct(header: FileHeader) -> bool:
    return header.pixel_offset >= 0 and header.transfer_syntax in (IMPLICIT_LITTLE, EXPLICIT_LITTLE)


def _direct(header: FileHeader) -> NDArray[Any]:
    needed = frame_bytes(header)
    if header.pixel_bytes < needed:
        raise refuse("truncated", f"{header.pixel_bytes:,} of {needed:,} bytes of pixel data")
    kind = "i" if header.number("PixelRepresentation") == 1 else "u"
    dtype = np.dtype(f"<{kind}{int(header.number('BitsAllocated') or 0) // 8}")
    try:
        values = np.fromfile(header.path, dtype, needed // dtype.itemsize, offset=header.pixel_offset)
    except OSError as error:
        raise refuse("unreadable", f"{type(error).__name__}: {error.strerror or 'read failed'}") from error
    if values.nbytes < needed:
        raise refuse("truncated", f"{values.nbytes:,} of {needed:,} bytes of pixel data")
    return values.reshape(_shape(header))


def _decoded(headers: Sequence[FileHeader]) -> Iterator[NDArray[Any]]:
    """Slices of one file as pydicom's decoders give them; JPEG of 12 bits as `extended_frames` does."""
    from pydicom.pixels.utils import iter_pixels

    dataset = _dataset(headers[0])
    numbers = [header.frame or 0 for header in headers]
    frames: Iterator[NDArray[Any]] | None = None
    if is_extended(headers[0].transfer_syntax, int(headers[0].number("BitsStored") or 0)):
        frames = _chosen(extended_frames(dataset), numbers)
    elif headers[0].frame is not None:
        frames = iter_pixels(dataset, indices=numbers)
    for header in headers:
        with quiet_pydicom():
            try:
                plane: NDArray[Any] = dataset.pixel_array if frames is None else next(frames)
            except Exception as error:  # decoders raise anything, and quote what they read
                raise _undecodable(header, dataset, error) from error
        yield plane


def _chosen(frames: Iterator[NDArray[Any]], numbers: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The frames of rising numbers."""
    wanted = set(numbers)
    return (frame for k, frame in enumerate(frames) if k in wanted)


def _undecodable(header: FileHeader, dataset: Dataset, error: Exception) -> UnreadableFile:
    needed = ((header.frame or 0) + 1) * frame_bytes(header)
    held = value_of(dataset, "PixelData")
    if header.transfer_syntax in NATIVE and isinstance(held, bytes) and len(held) < needed:
        return refuse("truncated", f"{len(held):,} of {needed:,} bytes of pixel data")
    return refuse("corrupt-pixels", type(error).__name__)


def _dataset(header: FileHeader) -> Dataset:
    dataset = read_dataset(header.path, keywords=PIXEL_KEYWORDS)
    if "PixelData" not in dataset:
        raise refuse("truncated", "no pixel data")
    if "TransferSyntaxUID" not in dataset.file_meta:
        from pydicom.uid import UID

        dataset.file_meta.TransferSyntaxUID = UID(header.transfer_syntax)
    with quiet_pydicom():
        try:
            require_decodable(dataset)
        except (NotImplementedError, ValueError, TypeError, KeyError) as error:
            # The pixels' element itself is damaged: the library cannot make a value of it.
            raise refuse("corrupt-pixels", type(error).__name__) from error
    return dataset


def _used_bits(plane: NDArray[Any], header: FileHeader) -> tuple[NDArray[Any], bool]:
    """The stored value without what lies in its unused bits (old overlays), sign extended; and whether that changed it.

    Only for what is stored bit by bit: a decoder gives values, not bits.
    """
    allocated = plane.dtype.itemsize * 8
    stored = int(header.number("BitsStored") or allocated)
    if not 0 < stored < allocated or not (header.transfer_syntax in NATIVE or header.transfer_syntax == RLE):
        return plane, False
    high = header.number("HighBit")
    top = stored - 1 if high is None or not stored - 1 <= high < allocated else int(high)
    if top == stored - 1:
        signed = plane.dtype.kind == "i"
        low, limit = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
        if plane.max() <= limit and (not signed or plane.min() >= low):
            return plane, False
    up, down = allocated - 1 - top, allocated - stored
    return (plane << plane.dtype.type(up)) >> plane.dtype.type(down), True
