"""Images inside a NumPy archive: ``file.npz#key/index``. Pickled content is never read."""

from __future__ import annotations

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.limits import require_size
from fiducial.archive.pictures import as_image
from fiducial.archive.refusal import refuse
from fiducial.records.image import Geometry, Image

MAX_CHANNELS = 4


def read_npz(path: Path) -> Image:
    """Read one entry of a stack: ``data.npz#train_images/17`` is entry 17 of the array ``train_images``.

    An entry [row, column] or [row, column, channel <= 4] is a picture ([channel, x, y, 1]); one of three longer axes
    is a volume [z, y, x] and becomes [1, x, y, z] with a unit affine. Without an index the whole array is one entry.

    Raises:
        UnreadableFile: ``no-such-file``, ``no-such-entry``, ``format``, ``truncated``, ``too-large`` or ``voxel-type``.
    """
    file, _, entry = str(path).partition("#")
    key, _, index = entry.partition("/")
    array = npz_array(Path(file), key)
    if index:
        if not index.isdigit() or int(index) >= len(array):
            raise refuse("no-such-entry", f"index {index!r} of {len(array)} entries", where=str(path))
        array = array[int(index)]
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] <= MAX_CHANNELS):
        return as_image(array)
    if array.ndim == 3:
        volume = np.transpose(array, (2, 1, 0))[None]
        x, y, z = volume.shape[1:]
        return Image(volume, Geometry(np.eye(4), (x, y, z)), "", "grey")
    raise refuse("voxel-type", f"an entry of {array.ndim} axes", where=str(path))


def npz_array(path: Path, key: str) -> NDArray[Any]:
    """One array of an npz file, as numbers; the last two arrays read are kept in memory.

    Raises:
        UnreadableFile: as `read_npz`.
    """
    if not path.is_file():
        raise refuse("no-such-file", "no such file", where=str(path))
    return _npz_array(path, key, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _npz_array(path: Path, key: str, modified_ns: int) -> NDArray[Any]:  # noqa: ARG001 - part of the cache's key
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile) or archive.zip is None:
                raise refuse("format", "one array, no npz archive", where=str(path))
            if key not in archive.files:
                raise refuse("no-such-entry", f"no {key!r}; it has {', '.join(archive.files)}", where=str(path))
            entries = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.zip.infolist()}
            require_size((entries[key],), 1, path, deflated=True)
            array = archive[key]
    except MemoryError as error:
        raise refuse("too-large", "an array that does not fit the memory", where=str(path)) from error
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        pickled = "pickle" in str(error).lower()
        code = "voxel-type" if pickled and zipfile.is_zipfile(path) else "format"
        raise refuse(
            code, "Python objects instead of numbers" if pickled else "no npz file", where=str(path)
        ) from error
    if array.dtype.kind not in "biuf":
        raise refuse("voxel-type", f"values of type {array.dtype}", where=str(path))
    array = array.astype(np.uint8) if array.dtype == bool else array
    array.setflags(write=False)
    return array
