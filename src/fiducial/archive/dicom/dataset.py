"""DICOM files read by pydicom: regular files only, of a bounded size, refused without a word of what they hold."""

from __future__ import annotations

import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fiducial.archive.dicom.values import quiet_pydicom, text_at
from fiducial.archive.dicom.walk import UNDEFINED
from fiducial.archive.dicom.wanted import PIXEL_TAGS
from fiducial.archive.limits import require_inflatable
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
HEAD_BYTES = 1024


def read_dataset(path: Path, *, keywords: tuple[str, ...] = ()) -> Dataset:
    """Read a whole DICOM file (PS3.10, or a bare dataset without its preamble); no ``keywords`` means all.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated`` or ``unreadable``; the message holds no value of the file.
    """
    return _read(path, keywords, to_pixels=False)[0]


def read_to_pixels(path: Path) -> tuple[Dataset, bool]:
    """Read a file up to its pixels; the dataset, and whether whole pixel data follow.

    Raises:
        UnreadableFile: as `read_dataset`.
    """
    return _read(path, (), to_pixels=True)


def transfer_syntax(dataset: Dataset) -> str:
    """The transfer syntax that a file states, else the one that it was read as."""
    stated = text_at(dataset.file_meta, "TransferSyntaxUID")
    if stated:
        return stated
    implicit, little = dataset.original_encoding
    return (IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE) if little else EXPLICIT_BIG


def require_regular(path: Path) -> None:
    """Refuse folders, pipes, devices and links that lead nowhere.

    Raises:
        UnreadableFile: ``not-dicom``.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:
        regular = False
    if not regular:
        raise refuse("not-dicom", "no regular file")


def _read(path: Path, keywords: tuple[str, ...], *, to_pixels: bool) -> tuple[Dataset, bool]:
    """The dataset, and whether whole pixel data were met (only asked for ``to_pixels``, which stops there)."""
    from pydicom.filereader import read_partial

    require_regular(path)
    n_bytes = path.stat().st_size
    met = deflated = False

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:  # noqa: ARG001 - the library's signature
        nonlocal met
        if tag not in PIXEL_TAGS:
            return False
        met = deflated or length == UNDEFINED or file.tell() + length <= n_bytes
        return True

    try:
        with path.open("rb") as file:
            _require_dicom(file)
            deflated = _is_inflatable(path, file.read(132 + HEAD_BYTES)[132:])
            file.seek(0)
            with quiet_pydicom():
                stop = at_pixels if to_pixels else None
                specific: list[int | BaseTag] | None = [*map(_tag, keywords)] or None
                dataset = read_partial(file, stop_when=stop, specific_tags=specific, force=True)
    except UnreadableFile:
        raise
    except OSError as error:
        raise refuse("unreadable", f"{type(error).__name__}: {error.strerror or 'read failed'}") from error
    except EOFError as error:
        raise refuse("truncated", "the file ends within its header") from error
    except MemoryError:
        raise
    except Exception as error:  # a parser of hostile bytes raises anything, and its message quotes them
        raise refuse("unreadable", f"the header cannot be parsed ({type(error).__name__})") from error
    return dataset, met


def _require_dicom(file: BinaryIO) -> None:
    """Refuse a file that neither has DICM at byte 128 nor begins like a bare dataset (group 0002 or 0008)."""
    start = file.read(132)
    file.seek(0)
    if start[128:] == b"DICM":
        return
    groups = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")
    stated = start[4:6].isalpha() and start[4:6].isupper()
    implicit = start[6:8] == b"\0\0" and start[4:6] != b"\0\0"
    if len(start) < 16 or start[:2] not in groups or not (stated or implicit):
        raise refuse("not-dicom", "no DICM at byte 128")


def _is_inflatable(path: Path, head: bytes) -> bool:
    """Whether a dataset is deflated; such a one is unpacked whole by the library, so its size is looked at first.

    ``head`` follows the prefix ``DICM``; it begins with the length of the file meta information (PS3.10, 7.1).
    """
    if DEFLATED.encode() not in head:
        return False
    if head[:4] != b"\x02\x00\x00\x00":
        raise refuse("unreadable", "a deflated dataset behind file meta information of no stated length")
    require_inflatable(path, 144 + int.from_bytes(head[8:12], "little"))
    return True


@cache
def _tag(keyword: str) -> BaseTag:
    """The tag of a keyword."""
    from pydicom.tag import Tag

    return Tag(keyword)
