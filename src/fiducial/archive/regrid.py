"""Images and label maps onto another image's grid, however the two lie: what mends a geometry mismatch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import GeometryError
from fiducial.records.image import Geometry, Image

FOLDER = "resampled"
SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd")


def onto_grid(image: Image, grid: Geometry, *, labels: bool) -> tuple[Image, NDArray[np.bool_]]:
    """Sample an image at the voxel centres of ``grid``.

    A label map takes the value of the voxel that each centre lies in (of two that are equally near the one with the
    larger index), and 0 outside. Intensities are linear between voxel centres (float32), constant over the outer half
    of the outermost voxels, and take the image's smallest value outside. Any two grids will do: turned, mirrored,
    oblique, sheared. Nothing is smoothed, so a much coarser grid sees single voxels of a finer one.

    Args:
        image: [channel, x, y, z].
        grid: the wanted grid.
        labels: whether values are names of structures.

    Returns:
        The image on ``grid``, and which of its voxels [x, y, z] lie within the image's.

    Raises:
        GeometryError: no voxel of ``grid`` lies within the image's.
    """
    from scipy import ndimage

    matrix = np.linalg.inv(image.geometry.affine) @ grid.affine
    # The library says nothing of types.
    transform: Any = ndimage.affine_transform
    whole = {"matrix": matrix[:3, :3], "offset": matrix[:3, 3], "output_shape": grid.shape}
    # A voxel reaches half a step around its centre; "grid-constant" takes that for inside, "constant" does not.
    inside = transform(np.ones(image.geometry.shape, np.uint8), order=0, mode="grid-constant", cval=0, **whole) > 0
    if not inside.any():
        raise GeometryError(
            f"the two do not overlap: {image.geometry.describe()}, and {grid.describe()}",
            action="check that both are of one patient and one examination: no resampling brings them together",
        )
    if labels:
        parts = [transform(channel, order=0, mode="grid-constant", cval=0, **whole) for channel in image.array]
    else:
        voxels = image.array.astype(np.float32)
        parts = [transform(channel, order=1, mode="nearest", **whole) for channel in voxels]
        for part, channel in zip(parts, voxels, strict=True):
            part[~inside] = channel.min()
    return Image(np.stack(parts), grid, image.modality, image.unit), inside


def volumes_ml(labels: Image) -> dict[int, float]:
    """Volume of each value but 0 of a label map."""
    values, counts = np.unique(labels.array, return_counts=True)
    voxel = labels.geometry.voxel_ml
    return {int(v): float(n) * voxel for v, n in zip(values, counts, strict=True) if v != 0}


def resample_command(path: str, like: str, *, intensities: bool = False) -> str:
    """The command that brings a file onto the grid of another; it writes into a folder ``resampled``."""
    name = Path(path.partition("#")[0]).name
    stem = next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), Path(name).stem)
    words = ["fiducial", "resample", path, "--like", like, "--out", f"{FOLDER}/{stem}.nii.gz"]
    return shlex.join([*words, "--intensities"] if intensities else words)
