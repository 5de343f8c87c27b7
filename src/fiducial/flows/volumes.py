"""Where an image of a cohort lies, and the one volume that a region is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiducial.records.image import Image


def place(path: str, folder: Path) -> str:
    """A path of the table, which is relative to the cohort's folder where the file lies in it."""
    return path if Path(path).is_absolute() else str(folder / path)


def one_volume(path: str) -> Image:
    """The image, which must be of one channel.

    Raises:
        InputRefused: it cannot be read, or holds several volumes.
    """
    from fiducial.archive import read_image
    from fiducial.errors import GeometryError

    image = read_image(path)
    n_volumes = image.array.shape[0]
    if n_volumes != 1:
        raise GeometryError(
            f"several-volumes: {n_volumes} volumes or channels in one image (4-D, or colour)",
            where=path,
            legal="one value at each voxel",
            action="write the volume that is meant (or a grey image) to a file of its own, and ingest that",
        )
    return image
