"""Siemens' mosaics: one picture whose tiles are the slices of a volume, as one header for each tile."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.headers import FileHeader

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CSA_GROUP, CSA_CREATOR, CSA_IMAGE = 0x0029, "SIEMENS CSA HEADER", 0x10
MAX_TAGS, MAX_ITEMS, MAX_TILES = 500, 1000, 4096


def is_mosaic(header: FileHeader) -> bool:
    """Whether a file says that it is one."""
    return "MOSAIC" in header.words("ImageType")


def tiles(header: FileHeader, dataset: Dataset) -> list[FileHeader]:
    """One header for each tile; the file's own alone where it does not say how many there are, or where they lie.

    The picture's stated position is that of a slice as large as the whole picture about the same centre, so a tile's
    first voxel lies half the difference further along rows and columns. Slices follow one another along the normal of
    the vendor's CSA header, SpacingBetweenSlices apart.
    """
    private = csa_image_header(dataset)
    n_tiles = int(header.number("SiemensMosaicTiles") or (csa_numbers(private, "NumberOfImagesInMosaic") or (0,))[0])
    normal = np.array(csa_numbers(private, "SliceNormalVector"))
    apart = header.number("SpacingBetweenSlices")
    position, direction, spacing = (
        np.array(header.vector(k) or ()) for k in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    )
    rows, columns = int(header.number("Rows") or 0), int(header.number("Columns") or 0)
    side = math.isqrt(max(n_tiles, 1) - 1) + 1
    placed = (len(normal), len(position), len(direction), len(spacing)) == (3, 3, 6, 2) and apart
    if not placed or not 0 < n_tiles <= MAX_TILES or rows % side or columns % side or not rows or not columns:
        return [header]
    size = (rows // side, columns // side)
    corner = _corner(position, direction, spacing, (rows - size[0], columns - size[1]))
    step = normal / np.linalg.norm(normal) * float(apart or 0)
    numbers = header.numbers | {
        "Rows": float(size[0]),
        "Columns": float(size[1]),
        "PictureRows": float(rows),
        "PictureColumns": float(columns),
    }
    return [
        replace(
            header,
            numbers=numbers,
            vectors=header.vectors | {"ImagePositionPatient": tuple(float(v) for v in corner + k * step)},
            tile=(k // side * size[0], k % side * size[1]),
        )
        for k in range(n_tiles)
    ]


def _corner(
    position: NDArray[np.float64], direction: NDArray[np.float64], spacing: NDArray[np.float64], more: tuple[int, int]
) -> NDArray[np.float64]:
    """The first voxel of a tile, ``more`` rows and columns smaller than the picture."""
    along = direction[:3] * spacing[1] * more[1] + direction[3:] * spacing[0] * more[0]
    return np.asarray(position + along / 2.0)


def csa_image_header(dataset: Dataset) -> bytes:
    """The bytes of the vendor's image header; empty where there is none."""
    try:
        value = dataset.private_block(CSA_GROUP, CSA_CREATOR)[CSA_IMAGE].value
    except (KeyError, ValueError, TypeError, AttributeError):
        return b""
    return value if isinstance(value, bytes) else b""


def csa_numbers(raw: bytes, name: str) -> tuple[float, ...]:
    """The numbers of one entry of a CSA header of the second kind (``SV10``); () where it has none.

    After 16 bytes: for each entry its name (64 bytes), multiplicity, VR, type, number of items and a mark; for each
    item four integers, the second of them its length, and the text, filled up to a multiple of four bytes.
    """
    if raw[:4] != b"SV10":
        return ()
    place = 16
    try:
        for _ in range(min(struct.unpack_from("<I", raw, 8)[0], MAX_TAGS)):
            entry = raw[place : place + 64].partition(b"\0")[0].decode("latin-1")
            n_items = struct.unpack_from("<i", raw, place + 76)[0]
            place += 84
            values = []
            for _ in range(min(max(n_items, 0), MAX_ITEMS)):
                length = max(struct.unpack_from("<4i", raw, place)[1], 0)
                values.append(raw[place + 16 : place + 16 + length].partition(b"\0")[0].strip())
                place += 16 + (length + 3) // 4 * 4
            if entry == name:
                return tuple(float(value) for value in values if value)
    except (struct.error, ValueError):
        return ()
    return ()
