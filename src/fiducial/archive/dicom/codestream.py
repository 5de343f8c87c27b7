"""What compressed frames say of their own size, read from their first markers before a decoder makes room for them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fiducial.archive.limits import LARGEST_BYTES, require_frame
from fiducial.archive.refusal import refuse

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# JPEG (ISO 10918-1, B.1.1.3) and JPEG-LS (ISO 14495-1, C.1.1): start of frame; C4, C8 and CC are no frames.
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
# Markers without a length: restart, start and end of image, and the filler.
BARE = {0x01, *range(0xD0, 0xDA)}
JPEG = b"\xff\xd8"
JPEG_2000 = b"\xff\x4f\xff\x51"
JP2_BOX = b"\x00\x00\x00\x0cjP  "
MOST_MARKERS = 1000
VIDEO = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7.")
"""Transfer syntaxes that begin so hold a video stream: MPEG-2, H.264, H.265 and uncompressed studio video."""
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
RLE = "1.2.840.10008.1.2.5"
# PackBits (PS3.5 G.3.1): two bytes stand for at most 128.
RLE_RATIO = 64


def require_extent(dataset: Dataset) -> int:
    """Refuse a header that declares more pixels than a frame or an image may have; the bytes of one frame.

    Raises:
        UnreadableFile: ``too-large``.
    """
    numbers = (dataset.get(k) for k in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames"))
    rows, columns, n_samples, bits, n_frames = (int(n or 1) for n in numbers)
    itemsize = max(bits, 8) // 8
    require_frame(rows, columns, n_samples=n_samples, itemsize=itemsize)
    frame_bytes = rows * columns * n_samples * itemsize
    if n_frames * frame_bytes > LARGEST_BYTES:
        raise refuse("too-large", f"{n_frames:,} frames of {frame_bytes:,} bytes, at most {LARGEST_BYTES:,} together")
    return frame_bytes


def require_decodable(dataset: Dataset) -> None:
    """Refuse pixel data whose decoding would make more room than the header states or an image may have.

    To be called before any ``pixel_array``: decoders make room for what a stream states, and a stream of a hundred
    bytes can state 60,000 x 60,000 voxels.

    Raises:
        UnreadableFile: as `require_extent`, ``truncated`` (run lengths too short for their frame) or
            ``corrupt-pixels`` (a stream that states another size than the header, or no frames to be told apart).
    """
    from pydicom.encaps import generate_frames

    frame_bytes = require_extent(dataset)
    size = (int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0))
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    try:
        for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
            if syntax == RLE and len(frame) * RLE_RATIO < frame_bytes:
                raise refuse("truncated", f"{len(frame):,} bytes of run lengths for a frame of {frame_bytes:,}")
            stated = stated_size(frame)
            if stated is not None and stated != size:
                found = f"a stream of {stated[0]} x {stated[1]} voxels under a header of {size[0]} x {size[1]}"
                raise refuse("corrupt-pixels", found)
    except (ValueError, EOFError, struct.error, AttributeError, TypeError) as error:
        raise refuse("corrupt-pixels", f"no frames can be told apart ({type(error).__name__})") from error


def require_decoder(syntax: str, *, bits_stored: int = 8) -> None:
    """Refuse a transfer syntax that cannot be decoded here; JPEG Extended can with 8 bits, and not with 12.

    Raises:
        UnreadableFile: ``video``, ``transfer-syntax`` (nobody decodes it) or ``no-decoder`` (a package is missing).
    """
    from pydicom.pixels.decoders.base import get_decoder

    from fiducial.archive.dicom.discover import uid_name
    from fiducial.archive.dicom.values import quiet_pydicom

    if syntax.startswith(VIDEO):
        raise refuse("video", uid_name(syntax))
    try:
        with quiet_pydicom():
            decoder = get_decoder(syntax)
    except (NotImplementedError, ValueError) as error:
        raise refuse("transfer-syntax", uid_name(syntax)) from error
    if syntax == JPEG_EXTENDED and bits_stored > 8:
        raise refuse("no-decoder", f"{uid_name(syntax)} of {bits_stored} bits: no decoder without the GPL reads it")
    if not decoder.is_available:
        raise refuse("no-decoder", f"{uid_name(syntax)}: {'; '.join(decoder.missing_dependencies)}")


def stated_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame states in its header; None where it states none.

    JPEG 2000 (ISO 15444-1, A.5.1): the reference grid less the image's offset, from the SIZ marker. A stream wrapped
    in a JP2 file is looked through.
    """
    if frame.startswith(JP2_BOX):
        frame = frame[max(frame.find(JPEG_2000), 0) :]
    if frame.startswith(JPEG_2000):
        if len(frame) < 24:
            return None
        width, height, left, top = struct.unpack(">IIII", frame[8:24])
        return height - top, width - left
    return _jpeg_size(frame) if frame.startswith(JPEG) else None


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Walk from marker to marker until a frame starts."""
    at = 2
    for _ in range(MOST_MARKERS):
        while at < len(frame) and frame[at] == 0xFF:
            at += 1
        if at >= len(frame):
            return None
        marker, at = frame[at], at + 1
        if marker in BARE:
            continue
        if at + 7 > len(frame):
            return None
        if marker in START_OF_FRAME:
            rows, columns = struct.unpack(">HH", frame[at + 3 : at + 7])
            return rows, columns
        (length,) = struct.unpack(">H", frame[at : at + 2])
        at += length
        if length < 2 or at >= len(frame) or frame[at] != 0xFF:
            return None
    return None
