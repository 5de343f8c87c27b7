"""Files that repeat another: a SOP instance sent twice is one slice; two contents under one UID are a conflict."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.planes import frame_bytes, is_cut
from fiducial.archive.refusal import refuse

CHUNK = 2**20


@dataclass(frozen=True)
class Distinct:
    """Headers of distinct SOP instances, and by SOPInstanceUID the files that repeat one, or are one cut short.

    Files of one instance in two encodings both stay: only a decoder can tell whether they hold the same.
    """

    headers: tuple[FileHeader, ...]
    copies: dict[str, list[Path]]
    cut: dict[str, list[Path]]

    def left_out(self, uids: Iterable[str]) -> tuple[list[Path], list[Path]]:
        """The copies and the cut files of some instances."""
        known = list(dict.fromkeys(uids))
        return ([p for uid in known for p in self.copies.get(uid, ())], [p for u in known for p in self.cut.get(u, ())])


def distinct(headers: tuple[FileHeader, ...]) -> Distinct:
    """Set aside files that repeat another, and files that end early where the same instance is there whole.

    A file repeats another if both are equal byte for byte, or if their headers agree in everything that the archive
    reads and so do their stored pixels (one was sent by another node, which wrote its name into it).

    Raises:
        UnreadableFile: ``conflicting-copies``.
    """
    short = {h.path for h in headers if is_cut(h)}
    whole = {h.text("SOPInstanceUID") for h in headers if h.path not in short} - {""}
    kept: list[FileHeader] = []
    firsts: dict[str, FileHeader] = {}
    copies: dict[str, list[Path]] = defaultdict(list)
    cut: dict[str, list[Path]] = defaultdict(list)
    for header in headers:
        uid = header.text("SOPInstanceUID")
        if uid in whole and header.path in short:
            if header.path not in cut[uid]:
                cut[uid].append(header.path)
            continue
        first = firsts.setdefault(uid, header) if uid else header
        if first is header or first.path == header.path:
            kept.append(header)
        elif header.path not in copies[uid]:
            alike = _alike(first, header)
            if alike is None:
                kept.append(header)
            elif alike:
                copies[uid].append(header.path)
            else:
                raise refuse("conflicting-copies", "one SOPInstanceUID in two files of different content")
    return Distinct(tuple(kept), copies, cut)


def _alike(first: FileHeader, second: FileHeader) -> bool | None:
    """Whether two files hold the same; None where only a decoder can tell."""
    if first.n_bytes == second.n_bytes and _digest(first.path) == _digest(second.path):
        return True
    if _bare(first) != _bare(second) or first.frame is not None:
        return False
    if first.pixel_offset < 0 or second.pixel_offset < 0:
        return None
    return same_pixels(first, second)


def _bare(header: FileHeader) -> FileHeader:
    texts = {keyword: text for keyword, text in header.texts.items() if keyword != "LossyImageCompression"}
    return replace(header, path=Path(), n_bytes=0, frame=None, transfer_syntax="", texts=texts)


def same_pixels(first: FileHeader, second: FileHeader) -> bool:
    """Whether two slices store the same native pixels; False where that cannot be told without decoding."""
    sizes = [frame_bytes(one) for one in (first, second)]
    if min(first.pixel_offset, second.pixel_offset) < 0 or sizes[0] != sizes[1]:
        return False
    return _digest(first.path, first.pixel_offset, sizes[0]) == _digest(second.path, second.pixel_offset, sizes[1])


def _digest(path: Path, offset: int = 0, n_bytes: int | None = None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        left = n_bytes if n_bytes is not None else -1
        while left != 0 and (chunk := file.read(CHUNK if left < 0 else min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk) if left > 0 else 0
    return digest.hexdigest()
