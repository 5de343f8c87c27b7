"""Files that repeat another: a SOP instance sent twice is one slice; two contents under one UID are a conflict."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.refusal import refuse

CHUNK = 2**20


def without_copies(headers: tuple[FileHeader, ...]) -> tuple[tuple[FileHeader, ...], dict[str, list[Path]]]:
    """Headers of distinct SOP instances, and the files that repeat one, by its SOPInstanceUID.

    A file repeats another if both are equal byte for byte, or if their headers agree in everything that the archive
    reads and so do their stored pixels (one was sent by another node, which wrote its name into it).

    Raises:
        UnreadableFile: ``conflicting-copies``.
    """
    kept: list[FileHeader] = []
    firsts: dict[str, FileHeader] = {}
    copies: dict[str, list[Path]] = defaultdict(list)
    for header in headers:
        uid = header.text("SOPInstanceUID")
        first = firsts.setdefault(uid, header) if uid else header
        if first is header or first.path == header.path:
            kept.append(header)
        elif header.path not in copies[uid]:
            if not _alike(first, header):
                raise refuse("conflicting-copies", "one SOPInstanceUID in two files of different content")
            copies[uid].append(header.path)
    return tuple(kept), {uid: paths for uid, paths in copies.items() if paths}


def _alike(first: FileHeader, second: FileHeader) -> bool:
    if first.n_bytes == second.n_bytes and _digest(first.path) == _digest(second.path):
        return True
    bare = replace(first, path=Path(), n_bytes=0, frame=None) == replace(second, path=Path(), n_bytes=0, frame=None)
    places = (first.pixel_offset, first.pixel_bytes), (second.pixel_offset, second.pixel_bytes)
    if not bare or first.frame is not None or min(*places[0], *places[1]) < 0:
        return False
    return _digest(first.path, *places[0]) == _digest(second.path, *places[1])


def same_pixels(first: FileHeader, second: FileHeader) -> bool:
    """Whether two slices store the same native pixels; False where that cannot be told without decoding."""
    places = (first.pixel_offset, first.pixel_bytes), (second.pixel_offset, second.pixel_bytes)
    if min(*places[0], *places[1]) < 0 or places[0][1] != places[1][1]:
        return False
    return _digest(first.path, *places[0]) == _digest(second.path, *places[1])


def _digest(path: Path, offset: int = 0, n_bytes: int | None = None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        left = n_bytes if n_bytes is not None else -1
        while left != 0 and (chunk := file.read(CHUNK if left < 0 else min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk) if left > 0 else 0
    return digest.hexdigest()
