"""NRRD files as images, and 3D Slicer's segmentations (``.seg.nrrd``), whose segments may overlap in layers.

Read here and not by a library: a header may name other files to read and declare more than its own file can hold, and
SimpleITK loses the directions of a file whose last axis is none of space.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.limits import CHUNK, require_size
from fiducial.archive.refusal import refuse
from fiducial.errors import GeometryError
from fiducial.records.image import Geometry, Image

LARGEST_HEADER = 2**20
TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    "float": "f4",
    "double": "f8",
}
ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "txt": "text", "text": "text", "ascii": "text"}
TO_RAS = {
    **dict.fromkeys(("right-anterior-superior", "RAS"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "LAS"), (-1.0, 1.0, 1.0)),
    **dict.fromkeys(("left-posterior-superior", "LPS"), (-1.0, -1.0, 1.0)),
}
SPATIAL = ("domain", "space")
ENTRY = re.compile(r"^(.+\.nrrd)#(\d+)$", re.IGNORECASE)
VECTOR = re.compile(r"none|\([^)]*\)")
SEGMENT = re.compile(r"^Segment(\d+)_(Name|LabelValue|Layer)$")


@dataclass(frozen=True)
class Header:
    """What an NRRD file says of itself: fields in lower case, key/value pairs as they stand, and the axes.

    ``spatial`` are the axes of space among ``sizes``; ``layers`` is the one that is none (-1: there is none). Voxels
    begin at byte ``start``.
    """

    path: Path
    start: int
    fields: dict[str, str]
    pairs: dict[str, str]
    sizes: tuple[int, ...]
    spatial: tuple[int, ...]
    layers: int


@dataclass(frozen=True)
class Segment:
    """One segment of a segmentation: where it lies is the voxels of ``layer`` that have ``value``."""

    name: str
    layer: int
    value: int


def read_nrrd(path: Path) -> Image:
    """Read ``.nrrd`` as [channel, x, y, z]; ``file.seg.nrrd#1`` is the second of its layers alone.

    One axis may be none of space (channels, time, layers). The space must be one of a patient; a file without a space
    has its spacing alone, as ITK understands it. The stored type is kept.

    Raises:
        UnreadableFile: ``no-such-file``, ``format``, ``truncated``, ``too-large``, ``voxel-type``, ``no-such-entry``,
            ``nrrd-detached``, ``nrrd-encoding`` or ``nrrd-space``.
    """
    entry = ENTRY.match(str(path))
    header = read_header(Path(entry[1]) if entry else path)
    grid = _geometry(header)
    voxels = _voxels(header)
    array = voxels[None] if header.layers < 0 else np.moveaxis(voxels, header.layers, 0)
    array = array.reshape(len(array), *grid.shape)
    if entry:
        layer = int(entry[2])
        if layer >= len(array):
            raise refuse("no-such-entry", f"layer {layer} of {len(array)}", where=str(path))
        array = array[layer : layer + 1]
    return Image(np.ascontiguousarray(array), grid, "", "")


def read_segments(path: Path) -> tuple[Segment, ...]:
    """The segments that the header of a segmentation names, in its order; none, where it is a plain image.

    Names are cut to 64 characters without line ends; equal ones get a number. Where no value is stated (3D Slicer
    before 4.11) each segment is the value 1 of a layer of its own.

    Raises:
        UnreadableFile: as `read_nrrd`; ``no-such-entry`` where a segment's layer is not there.
    """
    header = read_header(path)
    said: dict[int, dict[str, str]] = {}
    for key, value in header.pairs.items():
        match = SEGMENT.match(key)
        if match:
            said.setdefault(int(match[1]), {})[match[2]] = value
    n_layers = 1 if header.layers < 0 else header.sizes[header.layers]
    segments: list[Segment] = []
    taken: set[str] = set()
    for number, own in sorted(said.items()):
        stated = {key: own.get(key, "") for key in ("LabelValue", "Layer")}
        if any(text and not text.isdigit() for text in stated.values()) or stated["LabelValue"] == "0":
            raise refuse("format", f"segment {number} has no whole number as layer or value", where=str(path))
        layer = int(stated["Layer"] or (0 if stated["LabelValue"] else number))
        if layer >= n_layers:
            raise refuse("no-such-entry", f"segment {number} in layer {layer} of {n_layers}", where=str(path))
        name = " ".join(own.get("Name", "").split())[:64] or f"segment_{number}"
        unique = next(text for n in range(1, len(said) + 2) if (text := name if n == 1 else f"{name} {n}") not in taken)
        taken.add(unique)
        segments.append(Segment(unique, layer, int(stated["LabelValue"] or 1)))
    return tuple(segments)


def read_header(path: Path) -> Header:
    """Read and check the header of an NRRD file.

    Raises:
        UnreadableFile: as `read_nrrd`.
    """
    if not path.is_file():
        raise refuse("no-such-file", "no such file", where=str(path))
    with path.open("rb") as file:
        begin = file.read(LARGEST_HEADER)
    if not re.match(rb"NRRD000[1-5]\r?\n", begin):
        raise refuse("format", "no NRRD file (its first line is none of NRRD0001 to NRRD0005)", where=str(path))
    fields, pairs, start = _lines(begin)
    if {"data file", "datafile"} & fields.keys() or path.suffix.lower() == ".nhdr":
        raise refuse("nrrd-detached", "a header whose voxels are in other files", where=str(path))
    if not start:
        raise refuse("truncated", "the header does not end", where=str(path))
    encoding = ENCODINGS.get(fields.get("encoding", "").lower(), "")
    if not encoding or any(fields.get(f"{unit} skip", "0") != "0" for unit in ("line", "byte")):
        raise refuse("nrrd-encoding", f"encoding {fields.get('encoding', '')!r}, or parts to skip", where=str(path))
    words = fields.get("sizes", "").split()
    if not words or not all(word.isdigit() for word in words) or fields.get("dimension") != str(len(words)):
        raise refuse("format", "no sizes, or not as many as the dimension says", where=str(path))
    sizes = tuple(int(word) for word in words)
    if fields.get("type", "").lower() not in TYPES:
        raise refuse("voxel-type", f"voxels of type {fields.get('type', '')!r}", where=str(path))
    item = np.dtype(TYPES[fields["type"].lower()]).itemsize
    require_size(sizes, 1 if encoding == "text" else item, path, deflated=encoding == "gzip")
    spatial, layers = _axes(fields, sizes, path)
    return Header(path, start, {**fields, "encoding": encoding}, pairs, sizes, spatial, layers)


def _voxels(header: Header) -> NDArray[Any]:
    """The voxels, first axis first; as many as the sizes say, and no more is unpacked."""
    dtype = np.dtype(TYPES[header.fields["type"].lower()])
    stored = dtype.newbyteorder(">" if header.fields.get("endian", "").lower() == "big" else "<")
    n_bytes = int(np.prod(header.sizes, dtype=np.int64)) * dtype.itemsize
    with header.path.open("rb") as file:
        file.seek(header.start)
        try:
            if header.fields["encoding"] == "text":
                flat = np.array(file.read().split(), dtype=dtype)
            else:
                held = _inflated(file, n_bytes) if header.fields["encoding"] == "gzip" else file.read(n_bytes)
                flat = np.frombuffer(held, dtype=stored).astype(dtype)
        except (ValueError, OverflowError, zlib.error) as error:
            raise refuse("truncated", "the voxels end early or are damaged", where=str(header.path)) from error
    if flat.nbytes != n_bytes:
        raise refuse("truncated", f"{flat.nbytes:,} of {n_bytes:,} bytes of voxels", where=str(header.path))
    return flat.reshape(header.sizes, order="F")


def _inflated(file: IO[bytes], n_bytes: int) -> bytes:
    """The first ``n_bytes`` of a gzip stream, whose check sum must be right if it ends there."""
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    held = bytearray()
    packed = file.read(CHUNK)
    while packed and not unpack.eof and len(held) <= n_bytes:
        held += unpack.decompress(packed, min(CHUNK, n_bytes + 1 - len(held)) or 1)
        packed = unpack.unconsumed_tail or file.read(CHUNK)
    if not unpack.eof and len(held) <= n_bytes:
        raise zlib.error("the stream ends early")
    return bytes(held[:n_bytes])


def _lines(begin: bytes) -> tuple[dict[str, str], dict[str, str], int]:
    """Fields and pairs up to the first empty line, and the byte after it (0: there is none)."""
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    place = 0
    for number, line in enumerate(begin.split(b"\n")):
        place += len(line) + 1
        if number == 0:
            continue
        text = line.rstrip(b"\r").decode("utf-8", errors="replace")
        if not text:
            return fields, pairs, place if place <= len(begin) else 0
        key, mark, value = text.partition(":")
        if mark and not text.startswith("#"):
            if value.startswith("="):
                pairs[key] = value[1:]
            else:
                fields[key.strip().lower()] = value.strip()
    return fields, pairs, 0


def _axes(fields: dict[str, str], sizes: tuple[int, ...], path: Path) -> tuple[tuple[int, ...], int]:
    """Axes of space, and the one that is none."""
    directions = VECTOR.findall(fields.get("space directions", ""))
    kinds = fields.get("kinds", "").split()
    other = {axis for axis, text in enumerate(directions) if text == "none"}
    other |= {axis for axis, kind in enumerate(kinds) if kind.lower() not in (*SPATIAL, "???", "none")}
    spatial = tuple(axis for axis in range(len(sizes)) if axis not in other)
    if len(other) > 1 or len(spatial) not in (2, 3) or min(sizes) < 1:
        said = f"{len(sizes)} axes, {len(spatial)} of them of space"
        raise refuse("voxel-type", f"{said}; legal: two or three, and one other", where=str(path))
    return spatial, next(iter(other), -1)


def _geometry(header: Header) -> Geometry:
    """The grid, in RAS+ mm; a picture has z = 1, and is 1 mm thick where nothing says otherwise."""
    fields, path = header.fields, str(header.path)
    shape = [header.sizes[axis] for axis in header.spatial]
    space = fields.get("space", "")
    if space and space not in TO_RAS:
        raise refuse("nrrd-space", f"space {space!r}", where=path)
    if not space and "space directions" in fields:
        raise refuse("nrrd-space", "directions in a space without a name", where=path)
    steps = np.eye(3)
    origin = np.zeros(3)
    if space:
        vectors = VECTOR.findall(fields.get("space directions", ""))
        if len(vectors) != len(header.sizes):
            raise refuse("nrrd-space", f"{len(vectors)} directions of {len(header.sizes)} axes", where=path)
        for column, axis in enumerate(header.spatial):
            steps[:, column] = _vector(vectors[axis], path)
        origin = _vector(fields.get("space origin", "(0,0,0)"), path)
        if len(shape) == 2:
            normal = np.cross(steps[:, 0], steps[:, 1])
            steps[:, 2] = normal / (np.linalg.norm(normal) or 1.0)
    elif "spacings" in fields:
        words = fields["spacings"].split()
        for column, axis in enumerate(header.spatial):
            steps[column, column] = _numbers(words[axis : axis + 1], 1, path)[0]
    affine = np.eye(4)
    flips = np.array(TO_RAS[space or "LPS"])
    affine[:3, :3] = flips[:, None] * steps
    affine[:3, 3] = flips * origin
    x, y, z = (*shape, 1)[:3]
    try:
        return Geometry(affine, (x, y, z))
    except GeometryError as error:
        raise refuse("nrrd-space", "directions that span no space", where=path) from error


def _vector(text: str, path: str) -> NDArray[np.float64]:
    return _numbers(text.strip("() ").split(","), 3, path)


def _numbers(words: list[str], n: int, path: str) -> NDArray[np.float64]:
    try:
        found = np.array([float(word) for word in words])
    except ValueError as error:
        raise refuse("nrrd-space", "directions or distances that are no numbers", where=path) from error
    if found.shape != (n,) or not np.isfinite(found).all():
        raise refuse("nrrd-space", f"{len(found)} numbers where {n} finite ones must stand", where=path)
    return found
