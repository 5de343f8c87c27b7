"""Unpack a zip that nobody vouches for: each entry is checked before it is written, and counted while it is."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

NO_SUCH_NAME = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
GIBIBYTE = 2**30
CHUNK = 2**20


@dataclass(frozen=True)
class ZipLimits:
    """What an archive may hold; ``max_ratio`` bounds unpacked over packed size of files above ``ratio_from_bytes``."""

    max_files: int = 500_000
    max_bytes: int = 200 * GIBIBYTE
    max_ratio: float = 250.0
    ratio_from_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive: how many files, and which entries were refused.

    ``refused`` holds refusals by the place where the entry would have gone, which is an empty file now, so that a
    series around it is not taken for whole; ``homeless`` those of entries that have no legal place.
    """

    n_files: int
    refused: dict[Path, UnreadableFile]
    homeless: tuple[UnreadableFile, ...]


def unpack_zip(source: Path, folder: Path, *, limits: ZipLimits | None = None) -> Unpacked:
    """Unpack ``source`` below ``folder``; a bad entry is refused by its number and the others come out.

    An entry is refused as ``zip-encrypted``, ``zip-link`` (a link or device), ``zip-path`` (absolute, leaving the
    folder, or named twice), ``zip-too-large`` (compressed beyond any image, or larger than it declares) or
    ``zip-damaged``.

    Raises:
        UnreadableFile: the archive as a whole, and nothing is left: ``zip-unreadable``, ``zip-too-many``,
            ``zip-too-large`` (what it declares is more than the limit or the free space).
    """
    limits = limits or ZipLimits()
    existed = folder.exists()
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _require_size(members, limits, folder, str(source))
            return _unpacked(archive, members, folder, limits)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError) as error:
        _remove(folder, existed)
        raise refuse("zip-unreadable", f"no readable zip ({type(error).__name__})", where=str(source)) from error
    except BaseException:
        _remove(folder, existed)
        raise


def _require_size(members: list[zipfile.ZipInfo], limits: ZipLimits, folder: Path, where: str) -> None:
    """Refuse an archive that declares more than the limits or the disk hold."""
    if len(members) > limits.max_files:
        raise refuse("zip-too-many", f"{len(members):,} files, at most {limits.max_files:,}", where=where)
    declared = sum(member.file_size for member in members)
    if declared > limits.max_bytes:
        raise refuse("zip-too-large", f"{declared:,} bytes, at most {limits.max_bytes:,}", where=where)
    if declared > shutil.disk_usage(_existing(folder)).free:
        raise refuse("zip-too-large", "more than the free space on this disk", where=where)


def _unpacked(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path, limits: ZipLimits) -> Unpacked:
    n_files = 0
    refused: dict[Path, UnreadableFile] = {}
    homeless: list[UnreadableFile] = []
    for number, member in enumerate(members, start=1):
        place = _place(member.filename)
        target = None if place is None else folder / place
        if target is None or not _made_empty(target):
            found = f"entry {number} is absolute, leaves the folder, is named twice or has a name too long"
            homeless.append(refuse("zip-path", found, where=str(archive.filename)))
            continue
        try:
            _require_harmless(member, number, limits)
            _write(archive, member, number, target)
            n_files += 1
        except UnreadableFile as refusal:
            target.write_bytes(b"")
            refused[target] = refusal
    return Unpacked(n_files, refused, tuple(homeless))


def _made_empty(target: Path) -> bool:
    """Make an empty file; False where no file can have that name here, or another has it already."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb"):
            return True
    except OSError as error:
        if error.errno in NO_SUCH_NAME:
            return False
        raise  # a full disk or a folder that may not be written is no fault of the entry


def _require_harmless(member: zipfile.ZipInfo, number: int, limits: ZipLimits) -> None:
    """Refuse an entry for what the archive declares of it."""
    if member.flag_bits & 0x1:
        raise refuse("zip-encrypted", f"entry {number} is encrypted")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise refuse("zip-link", f"entry {number} is a link or device")
    large = member.file_size > limits.ratio_from_bytes
    if large and member.file_size > limits.max_ratio * max(member.compress_size, 1):
        ratio = member.file_size / max(member.compress_size, 1)
        raise refuse("zip-too-large", f"entry {number} unpacks to {ratio:,.0f} times its size")


def _place(name: str) -> Path | None:
    """A member's relative path; None if it is absolute, has a drive, climbs out or is empty."""
    path = PurePosixPath(name.replace("\\", "/"))
    bad = path.is_absolute() or not path.parts or ".." in path.parts or ":" in path.parts[0] or "\0" in name
    return None if bad else Path(*path.parts)


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, number: int, target: Path) -> None:
    """Write one member, and stop as soon as it is larger than declared."""
    n_bytes = 0
    try:
        with archive.open(member) as packed, target.open("wb") as unpacked:
            while chunk := packed.read(CHUNK):
                n_bytes += len(chunk)
                if n_bytes > member.file_size:
                    raise refuse("zip-too-large", f"entry {number} is larger than the archive declares")
                unpacked.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise refuse("zip-damaged", f"entry {number} cannot be unpacked ({type(error).__name__})") from error


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
