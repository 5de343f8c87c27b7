"""NIfTI files as images (both versions) and back (the first)."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fiducial.archive.limits import require_size
from fiducial.archive.refusal import refuse
from fiducial.errors import VoxelError
from fiducial.records.files import atomic_path
from fiducial.records.image import Geometry, Image

MEANING = "fiducial"
INT32 = np.iinfo(np.int32)


def _begins_as_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def _without_its_log(logger: logging.Logger) -> Iterator[None]:
    """What nibabel logs of a broken header is said by the refusal; a logger without handlers still prints."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def read_nifti(path: Path) -> Image:
    """Read ``.nii`` or ``.nii.gz`` as [channel, x, y, z]; a fourth axis of the file becomes the channels.

    The affine is the file's sform, else its qform, else the voxel size alone. The stored type is kept where the file
    states no scaling, else values are float32. Modality and unit are known only for files that Fiducial wrote.

    Raises:
        UnreadableFile: ``no-such-file``, ``format``, ``truncated``, ``too-large`` or ``voxel-type``.
    """
    nibabel = _nibabel()
    from gzip import BadGzipFile

    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    if not path.is_file():
        raise refuse("no-such-file", "no such file", where=str(path))
    if path.stat().st_size == 0:
        raise refuse("truncated", "the file is empty", where=str(path))
    if path.suffix.lower() != ".gz" and _begins_as_gzip(path):
        raise refuse("format", "compressed by gzip; such NIfTI is called .nii.gz", where=str(path))
    try:
        with _without_its_log(nibabel.imageglobals.logger):
            second, _ = nibabel.Nifti2Image.path_maybe_image(path)
            file = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_filename(path)
        require_size(file.shape, file.get_data_dtype().itemsize, path, deflated=path.suffix.lower() == ".gz")
        scaled = file.dataobj.slope not in (1, None) or file.dataobj.inter not in (0, None)
        raw = np.asarray(file.dataobj)
    except (ImageFileError, HeaderDataError) as error:
        raise refuse("format", "no NIfTI file (.nii, .nii.gz)", where=str(path)) from error
    except BadGzipFile as error:
        said = "the name says gzip, but the file is none; NIfTI that is not compressed is called .nii"
        raise refuse("format", said, where=str(path)) from error
    except (EOFError, OSError, ValueError, zlib.error, WrapStructError) as error:
        raise refuse(
            "truncated", f"the file ends early or is damaged ({type(error).__name__})", where=str(path)
        ) from error
    if raw.dtype.kind not in "biuf":
        raise refuse("voxel-type", f"voxels of type {raw.dtype}", where=str(path))
    if raw.ndim > 4 or raw.ndim < 1:
        raise refuse("voxel-type", f"{raw.ndim} axes", where=str(path))
    if scaled and raw.dtype.kind == "f":
        raw = raw.astype(np.float32)
    array = raw.reshape(raw.shape + (1,) * (4 - raw.ndim)) if raw.ndim < 4 else raw
    affine = np.asarray(file.affine, dtype=np.float64)
    modality, unit = _meaning(file.header)
    x, y, z = (int(n) for n in array.shape[:3])
    return Image(np.moveaxis(array, 3, 0), Geometry(affine, (x, y, z)), modality, unit)


def write_nifti(image: Image, path: str | Path) -> Path:
    """Write an image as NIfTI-1, atomically; several channels become the fourth axis, booleans become uint8.

    sform and qform both hold the affine (code 1, scanner), so that every reader finds the same place. Modality and
    unit are kept in the description. 64-bit whole numbers become 32-bit, float16 becomes float32.

    Raises:
        VoxelError: whole numbers that do not fit 32 bits.
    """
    nibabel = _nibabel()
    array = image.array.astype(np.uint8) if image.array.dtype == bool else image.array
    if array.dtype in (np.int64, np.uint64):
        if array.size and (array.min() < INT32.min or array.max() > INT32.max):
            raise VoxelError(f"whole numbers from {array.min()} to {array.max()}", legal="values that fit 32 bits")
        array = array.astype(np.int32)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    voxels = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 3)
    file = nibabel.Nifti1Image(voxels, image.geometry.affine, dtype=array.dtype)
    file.header.set_xyzt_units("mm")
    file.set_qform(image.geometry.affine, code=1, strip_shears=True)
    file.set_sform(image.geometry.affine, code=1)
    if image.modality or image.unit:
        file.header["descrip"] = f"{MEANING} {image.modality or '-'} {image.unit or '-'}".encode()
    with atomic_path(path) as part:
        _save(file, part)
    return Path(path)


def _nibabel() -> Any:
    """The library, whose functions carry no types."""
    import nibabel

    return nibabel


def _save(file: Any, path: Path) -> None:
    """Write the file; gzip at level 1 without a time stamp, so that equal images give equal bytes."""
    import gzip

    with path.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed:
                file.to_stream(packed)
        else:
            file.to_stream(raw)


def _meaning(header: Any) -> tuple[str, str]:
    """Modality and unit that `write_nifti` left in the description."""
    words = bytes(header["descrip"]).rstrip(b"\0").decode("latin-1").split(" ")
    if len(words) != 3 or words[0] != MEANING:
        return "", ""
    modality, unit = (word if word != "-" else "" for word in words[1:])
    return modality, unit
