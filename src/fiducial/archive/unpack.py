"""Unpack a zip that nobody vouches for: everything is checked before a byte is written, and counted while writing."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fiducial.archive.refusal import refuse

GIBIBYTE = 2**30
CHUNK = 2**20


@dataclass(frozen=True)
class ZipLimits:
    """What an archive may hold; ``max_ratio`` bounds unpacked over packed size of files above ``ratio_from_bytes``."""

    max_files: int = 500_000
    max_bytes: int = 200 * GIBIBYTE
    max_ratio: float = 250.0
    ratio_from_bytes: int = 64 * 2**20


def unpack_zip(source: Path, folder: Path, *, limits: ZipLimits | None = None) -> int:
    """Unpack ``source`` below ``folder`` and return the number of files; on a refusal nothing is left there.

    Raises:
        UnreadableFile: ``zip-unreadable``, ``zip-encrypted``, ``zip-path`` (absolute, or leaving the folder),
            ``zip-link``, ``zip-too-many``, ``zip-too-large`` (declared or real size, or compression beyond any
            image's).
    """
    limits = limits or ZipLimits()
    existed = folder.exists()
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            places = _checked(members, limits, str(source))
            room = min(limits.max_bytes, shutil.disk_usage(_existing(folder)).free)
            if sum(member.file_size for member in members) > room:
                raise refuse("zip-too-large", "more than the free space on this disk", where=str(source))
            for member, place in zip(members, places, strict=True):
                target = folder / place
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(archive, member, target)
        return len(members)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError) as error:
        _remove(folder, existed)
        raise refuse("zip-unreadable", f"no readable zip ({type(error).__name__})", where=str(source)) from error
    except BaseException:
        _remove(folder, existed)
        raise


def _checked(members: list[zipfile.ZipInfo], limits: ZipLimits, where: str) -> list[Path]:
    """Where each member goes, once all of them are found harmless by what the archive declares."""
    if len(members) > limits.max_files:
        raise refuse("zip-too-many", f"{len(members):,} files, at most {limits.max_files:,}", where=where)
    declared = sum(member.file_size for member in members)
    if declared > limits.max_bytes:
        raise refuse("zip-too-large", f"{declared:,} bytes, at most {limits.max_bytes:,}", where=where)
    places, taken = [], set()
    for number, member in enumerate(members, start=1):
        if member.flag_bits & 0x1:
            raise refuse("zip-encrypted", f"entry {number} is encrypted", where=where)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise refuse("zip-link", f"entry {number} is a link or device", where=where)
        large = member.file_size > limits.ratio_from_bytes
        if large and member.file_size > limits.max_ratio * max(member.compress_size, 1):
            ratio = member.file_size / max(member.compress_size, 1)
            raise refuse("zip-too-large", f"entry {number} unpacks to {ratio:,.0f} times its size", where=where)
        place = _place(member.filename)
        if place is None or str(place).lower() in taken:
            raise refuse("zip-path", f"entry {number} is absolute, leaves the folder or is named twice", where=where)
        taken.add(str(place).lower())
        places.append(place)
    return places


def _place(name: str) -> Path | None:
    """A member's relative path; None if it is absolute, has a drive, climbs out or is empty."""
    path = PurePosixPath(name.replace("\\", "/"))
    bad = path.is_absolute() or not path.parts or ".." in path.parts or ":" in path.parts[0] or "\0" in name
    return None if bad else Path(*path.parts)


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one member, and stop as soon as it is larger than declared."""
    n_bytes = 0
    with archive.open(member) as packed, target.open("xb") as unpacked:
        while chunk := packed.read(CHUNK):
            n_bytes += len(chunk)
            if n_bytes > member.file_size:
                raise refuse(
                    "zip-too-large", "an entry is larger than the archive declares", where=str(archive.filename)
                )
            unpacked.write(chunk)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _remove(folder: Path, existed: bool) -> None:
    if existed:
        for child in folder.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
