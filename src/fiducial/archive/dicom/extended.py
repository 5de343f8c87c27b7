"""JPEG of 12 bits (Process 4), which pydicom's decoders leave to one under the GPL: SimpleITK's own code reads it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
NEEDED = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "SamplesPerPixel",
    "PixelData",
)


def is_extended(syntax: str, bits_stored: int) -> bool:
    """Whether a file is JPEG Extended of more than 8 bits."""
    return syntax == JPEG_EXTENDED and bits_stored > 8


def extended_frames(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """Stored values [row, column] of every frame of a grey image; memory: all frames.

    The library reads files and applies what a header says of rescaling: it is given a file of its own, with the pixels
    and nothing else of the header.

    Raises:
        RuntimeError: the stream cannot be decoded.
    """
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name
    from pydicom.dataset import Dataset as Plain
    from pydicom.dataset import FileMetaDataset

    bare = Plain()
    bare.SOPClassUID, bare.SOPInstanceUID, bare.PhotometricInterpretation = SECONDARY_CAPTURE, "2.25.1", "MONOCHROME2"
    bare.NumberOfFrames, bare.PixelRepresentation = 1, 0
    for keyword in NEEDED:
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with tempfile.TemporaryDirectory(prefix="fiducial-") as scratch:
        path = Path(scratch) / "pixels.dcm"
        bare.save_as(path, enforce_file_format=True)
        with _quiet():
            array: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    values = array.reshape(-1, *array.shape[-2:]).astype(np.dtype(f"u{int(dataset.BitsAllocated) // 8}"))
    yield from _signed(values, int(dataset.BitsStored)) if dataset.get("PixelRepresentation") == 1 else values


def _signed(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """The stored bits as two's complement."""
    up = values.dtype.itemsize * 8 - bits
    return np.asarray((values << up).view(np.dtype(f"i{values.dtype.itemsize}")) >> up)


@contextmanager
def _quiet() -> Iterator[None]:
    """The decoder tries 8 bits first and says so on the standard error stream, frame by frame."""
    kept = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(silence)
        os.close(kept)
