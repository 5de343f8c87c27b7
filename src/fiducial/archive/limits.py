"""How large an image may be: what a header declares is believed only as far as its file can hold it."""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path

from fiducial.archive.refusal import refuse

GIBIBYTE = 2**30
LARGEST_BYTES = 8 * GIBIBYTE
"""Of one image in memory: 1,600 voxels along each axis at 16 bits."""
LARGEST_FRAME_BYTES = GIBIBYTE
"""Of one frame or slice in memory: 16,384 x 16,384 voxels of 32 bits."""
LARGEST_DATASET_BYTES = 2 * GIBIBYTE
"""Of a deflated DICOM dataset, unpacked; a slice has one hundredth of it."""
CHUNK = 2**20
DEFLATE_RATIO = 1032
"""No deflated stream unpacks to more than so many times its size (zlib's technical details)."""


def require_size(shape: tuple[int, ...], itemsize: int, path: Path, *, deflated: bool = False) -> None:
    """Refuse what cannot be: more voxels than the file can hold, or more than an image may have.

    Args:
        shape: declared numbers of voxels along each axis.
        itemsize: bytes of a voxel.
        path: the file that declares them.
        deflated: whether its voxels are deflated (gzip, zip).

    Raises:
        UnreadableFile: ``truncated`` or ``too-large``.
    """
    if any(n < 0 for n in shape):
        raise refuse("truncated", f"a header that declares {' x '.join(map(str, shape))} voxels", where=str(path))
    declared = prod(shape) * itemsize
    held = path.stat().st_size * (DEFLATE_RATIO if deflated else 1)
    if declared > held:
        found = f"{declared:,} bytes declared, at most {held:,} can be in the file"
        raise refuse("truncated", found, where=str(path))
    if declared > LARGEST_BYTES:
        raise refuse("too-large", f"{declared:,} bytes declared, at most {LARGEST_BYTES:,}", where=str(path))


def require_frame(rows: int, columns: int, *, n_samples: int = 1, itemsize: int = 1) -> None:
    """Refuse a frame that declares more than one may have, before a decoder makes room for it.

    Raises:
        UnreadableFile: ``too-large``.
    """
    declared = rows * columns * n_samples * itemsize
    if declared > LARGEST_FRAME_BYTES:
        found = f"{rows:,} x {columns:,} voxels declared, {declared:,} bytes, at most {LARGEST_FRAME_BYTES:,}"
        raise refuse("too-large", found)


def require_inflatable(path: Path, start: int) -> None:
    """Refuse a DICOM file whose deflated dataset, from byte ``start`` on, unpacks to more than a dataset may have.

    Unpacks it in pieces and keeps none; a stream that breaks off is left to the reader.

    Raises:
        UnreadableFile: ``too-large``.
    """
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    n_bytes = 0
    with path.open("rb") as file:
        file.seek(start)
        packed = file.read(CHUNK)
        while packed and not unpack.eof:
            try:
                n_bytes += len(unpack.decompress(packed, CHUNK))
            except zlib.error:
                return
            if n_bytes > LARGEST_DATASET_BYTES:
                raise refuse("too-large", f"a deflated dataset of more than {LARGEST_DATASET_BYTES:,} bytes")
            packed = unpack.unconsumed_tail or file.read(CHUNK)
