"""The directory of a medium (DICOMDIR, PS3.3 F): which files it names, and where they lie."""

from __future__ import annotations

from pathlib import Path

from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.headers import read_header
from fiducial.archive.dicom.kinds import DICOMDIR
from fiducial.archive.dicom.values import quiet_pydicom, value_of
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

MAX_NAMED = 5


def is_medium(path: Path) -> bool:
    """Whether a file is the directory of a medium."""
    try:
        return path.is_file() and read_header(path).text("SOPClassUID") == DICOMDIR
    except UnreadableFile:
        return False


def files_of(directory: Path) -> tuple[list[Path], list[str]]:
    """The files that a directory names and that are there, and the names of those that are not.

    Names are looked up without regard to case, and with the ``;1`` or the dot that old media append. A name that
    leads out of the medium counts as missing.

    Raises:
        UnreadableFile: ``unreadable``, ``truncated`` or ``not-dicom``.
    """
    found, missing = [], []
    listings: dict[Path, dict[str, Path]] = {}
    for parts in _file_ids(directory):
        place: Path | None = directory.parent
        for part in parts:
            if place is not None and place not in listings:
                listings[place] = {_plain(p.name): p for p in place.iterdir()} if place.is_dir() else {}
            place = listings[place].get(_plain(part)) if place is not None else None
        if place is not None and place.is_file() and place != directory:
            found.append(place)
        else:
            missing.append("/".join(parts))
    return sorted(set(found)), missing


def missing_files(directory: Path) -> UnreadableFile | None:
    """The refusal that names what a directory lists and the medium lacks; None if nothing does."""
    missing = files_of(directory)[1]
    if not missing:
        return None
    more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    return refuse(
        "missing-files", f"{len(missing)} that it names are not there: {', '.join(missing[:MAX_NAMED])}{more}"
    )


def _plain(name: str) -> str:
    return name.lower().partition(";")[0].rstrip(".")


def _file_ids(directory: Path) -> list[tuple[str, ...]]:
    dataset = read_dataset(directory, keywords=("DirectoryRecordSequence",))
    ids = []
    with quiet_pydicom():
        for record in value_of(dataset, "DirectoryRecordSequence") or ():
            value = value_of(record, "ReferencedFileID")
            parts = (value,) if isinstance(value, str) else tuple(value or ())
            if parts and all(parts):
                ids.append(tuple(str(part) for part in parts))
    return ids
