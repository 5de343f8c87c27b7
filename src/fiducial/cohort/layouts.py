"""The layouts that images come in: how each is recognised, and the cases that it holds.

Adding a layout: one `Layout` in `LAYOUTS`; the first that recognises a source reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fiducial.archive import Remote
from fiducial.cohort.collection import Collection
from fiducial.cohort.folders import any_image, collect_folder, collect_nnunet, collect_pairs, is_pairs
from fiducial.cohort.stacks import collect_npz, npz_file
from fiducial.errors import InputRefused, UnreadableFile

IGNORED = {".csv", ".md", ".txt", ".json", ".toml", ".xml", ".xlsx", ".pdf", ".html", ".py", ".npy", ".parquet", ".tsv"}


@dataclass(frozen=True)
class Layout:
    """A layout: what it looks like, whether a source has it, and its cases (None: DICOM, which `archive` reads)."""

    looks_like: str
    recognises: Callable[[Path], bool]
    collect: Callable[[Path, Path], Collection] | None


def _is_nnunet(source: Path) -> bool:
    return (source / "imagesTr").is_dir()


def _is_npz(source: Path) -> bool:
    return npz_file(source) is not None


def _is_dicom(source: Path) -> bool:
    """A zip, a DICOM file, or a folder in which some file has DICOM's mark (`DICM` at byte 128) or its suffix."""
    if source.is_file():
        return source.suffix.lower() in (".zip", ".dcm") or _has_mark(source)
    return any(path.suffix.lower() == ".dcm" or path.name == "DICOMDIR" or _has_mark(path) for path in _files(source))


def _has_mark(path: Path) -> bool:
    name = path.name.lower()
    if path.suffix.lower() in IGNORED or name.endswith((".nii", ".nii.gz", ".nrrd", ".png", ".jpg", ".jpeg", ".npz")):
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _files(source: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files))


LAYOUTS: dict[str, Layout] = {
    "nnU-Net": Layout("imagesTr/, labelsTr/, imagesTs/ and dataset.json", _is_nnunet, collect_nnunet),
    "image and label folders": Layout(
        "images/ and labels/ with equal file names (labels/ may be absent)", is_pairs, collect_pairs
    ),
    "npz": Layout("an npz file with train_images, train_labels, val_images, test_images ...", _is_npz, collect_npz),
    "DICOM": Layout("a tree or zip of DICOM files, or the address of an archive", _is_dicom, None),
    "image files": Layout("a folder of NIfTI, NRRD, PNG or JPEG files, plain or by class", any_image, collect_folder),
}


def layout_of(source: Path | Remote) -> str:
    """The name in `LAYOUTS` of a source's layout; an archive sends DICOM.

    Raises:
        InputRefused: nothing is there, or nothing that can be read; the message lists what is legal.
    """
    if isinstance(source, Remote):
        return "DICOM"
    if not source.exists():
        raise InputRefused("no such file or folder", where=str(source), legal=_legal())
    for name, layout in LAYOUTS.items():
        if layout.recognises(source):
            return name
    if source.is_file():
        raise UnreadableFile("a file of unknown kind", where=str(source), legal=_legal())
    found = sorted({path.suffix.lower() or "(no suffix)" for path in _files(source)})
    given = f"no readable image; it holds {', '.join(found[:12])} files" if found else "the folder is empty"
    raise InputRefused(given, where=str(source), legal=_legal(), action="give the folder that holds the images")


def _legal() -> str:
    return "; ".join(layout.looks_like for layout in LAYOUTS.values())
