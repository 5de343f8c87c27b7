"""Which reader reads which file: one dict, and the two functions that choose from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fiducial.archive.arrays import read_npz
from fiducial.archive.nifti import read_nifti
from fiducial.archive.nrrd import ENTRY, read_nrrd
from fiducial.archive.pictures import read_picture, read_picture_labels
from fiducial.archive.refusal import refuse
from fiducial.records.image import Image


def _read_dicom(path: Path) -> Image:
    from fiducial.archive.dicom.read import read_dicom

    return read_dicom(path)


READERS: dict[str, Callable[[Path], Image]] = {
    "nifti": read_nifti,
    "nrrd": read_nrrd,
    "png": read_picture,
    "jpeg": read_picture,
    "npz": read_npz,
    "dicom": _read_dicom,
}
SUFFIXES = {
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".npz": "npz",
    ".dcm": "dicom",
}


def format_of(path: str | Path) -> str:
    """The name in `READERS` of a path's format, by its suffix; a folder is DICOM.

    Raises:
        UnreadableFile: ``format``.
    """
    layer = ENTRY.match(str(path))
    file = layer[1] if layer else str(path).partition("#")[0] if ".npz#" in str(path).lower() else str(path)
    name = file.lower()
    for suffix, kind in SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    if Path(file).is_dir():
        return "dicom"
    raise refuse("format", f"no reader for this file; known: {', '.join(SUFFIXES)}", where=str(path))


def read_image(path: str | Path, *, modality: str = "") -> Image:
    """Read an image in any known format; ``modality`` is set where the file itself does not say it.

    Raises:
        UnreadableFile: the file is missing, damaged or of an unknown format.
    """
    image = READERS[format_of(path)](Path(path))
    return image if image.modality or not modality else replace(image, modality=modality)


def read_mask(path: str | Path, *, label: int = 0) -> Image:
    """Read a label map as integers [1, x, y, z]; with ``label`` > 0, a boolean mask of that value.

    Raises:
        UnreadableFile: as `read_image`; ``voxel-type`` where a value is not a whole number or channels are several.
    """
    kind = format_of(path)
    image = read_picture_labels(Path(path)) if kind == "png" else READERS[kind](Path(path))
    array = image.array
    if array.shape[0] != 1:
        hint = f"; of layers that may overlap name one, as in {Path(path).name}#0" if kind == "nrrd" else ""
        raise refuse("voxel-type", f"a label map of {array.shape[0]} channels{hint}", where=str(path))
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and (array == np.rint(array)).all()):
            raise refuse("voxel-type", "labels that are not whole numbers", where=str(path))
        array = array.astype(np.int32)
    return replace(image, array=array == label if label > 0 else array, unit="")
