"""PNG and JPEG pictures as images: [channel, x, y, 1] with x to the right and y down the screen."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.refusal import refuse
from fiducial.records.image import Geometry, Image

CONVERTED = ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


def read_picture(path: Path) -> Image:
    """Read a PNG or JPEG; 8- and 16-bit values are kept, a palette becomes RGB, an opaque alpha channel is dropped.

    Raises:
        UnreadableFile: ``no-such-file``, ``format``, ``truncated``, ``voxel-type`` or ``alpha``.
    """
    return as_image(_pixels(path, keep_palette=False))


def read_picture_labels(path: Path) -> Image:
    """Read a PNG as an integer label map; a palette picture gives its indices, as annotation tools store them.

    Raises:
        UnreadableFile: as `read_picture`; ``voxel-type`` where the picture has several channels that differ.
    """
    pixels = _pixels(path, keep_palette=True)
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise refuse("voxel-type", "a label map of several colour channels", where=str(path))
        pixels = pixels[..., 0]
    return as_image(pixels)


def as_image(pixels: NDArray[Any], *, unit: str = "grey") -> Image:
    """A picture array [row, column] or [row, column, channel] as an image [channel, x, y, 1] with a unit affine."""
    channels = pixels[..., None] if pixels.ndim == 2 else pixels
    array = np.transpose(channels, (2, 1, 0))[..., None]
    x, y = array.shape[1:3]
    return Image(array, Geometry(np.eye(4), (x, y, 1)), "", unit)


def _pixels(path: Path, *, keep_palette: bool) -> NDArray[Any]:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if not path.is_file():
        raise refuse("no-such-file", "no such file", where=str(path))
    try:
        with warnings.catch_warnings():
            # Large pictures are a plain size here; Pillow still raises at twice its limit.
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            with Pillow.open(path, formats=("PNG", "JPEG")) as picture:
                as_is = picture.mode not in CONVERTED or (keep_palette and picture.mode == "P")
                pixels = np.array(picture if as_is else picture.convert(_target(picture)))
    except UnidentifiedImageError as error:
        raise refuse("format", "no PNG or JPEG", where=str(path)) from error
    except Pillow.DecompressionBombError as error:
        raise refuse("format", "a picture of more pixels than can be meant", where=str(path)) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise refuse("truncated", "the picture ends early or is damaged", where=str(path)) from error
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    return _without_alpha(pixels, path)


def _target(picture: Any) -> str:
    return "RGBA" if "transparency" in picture.info or picture.mode == "PA" else "RGB"


def _without_alpha(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Drop an alpha channel that hides nothing."""
    if pixels.ndim == 2 or pixels.shape[2] not in (2, 4):
        return pixels
    if (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
        raise refuse("alpha", "partly transparent pixels, whose value is not defined", where=str(path))
    return pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :-1]
