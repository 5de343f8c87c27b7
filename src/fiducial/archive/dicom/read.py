"""Decode a stack of slices into one array: rescaled slice by slice, in HU, SUV or the scanner's own unit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.codestream import require_decodable, require_decoder
from fiducial.archive.dicom.discover import SeriesFiles, find_series
from fiducial.archive.dicom.headers import FileHeader, quiet_pydicom, read_dataset
from fiducial.archive.dicom.stack import Stack, stack_series
from fiducial.archive.dicom.suv import suv_factor
from fiducial.archive.limits import require_frame
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile
from fiducial.records.image import Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NATIVE = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
DEFLATED = "1.2.840.10008.1.2.1.99"
PIXEL_KEYWORDS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PixelData",
)
INT16 = np.iinfo(np.int16)
UNITS = {"CT": "HU", "MR": "", "PT": "SUV"}


def read_series(series: SeriesFiles) -> Image:
    """Read one series as an image [1, x, y, z] with a right-handed RAS+ affine.

    CT is in HU (int16 where all rescaled values are whole and fit, else float32), PET in SUV by body weight
    (float32), MR as stored, or float32 where the header rescales it. x follows the columns, y the rows, z rises along
    row x column direction; nothing is flipped or resampled.

    Raises:
        UnreadableFile: a refusal by code (`fiducial.archive.refusal.REFUSALS`).
    """
    return decode(stack_series(series))


def read_dicom(path: Path) -> Image:
    """Read the one series of a folder, or of a single file.

    Raises:
        UnreadableFile: a refusal by code, or the folder holds no plain series, or several.
    """
    series = find_series(path)
    if len(series) != 1:
        raise refuse("format", f"{len(series)} CT, MR or PET series, one expected", where=str(path))
    try:
        return read_series(series[0])
    except UnreadableFile as refusal:
        raise UnreadableFile(refusal.given, where=str(path), action=refusal.action) from refusal


def decode(stack: Stack) -> Image:
    """Decode the slices of a stack straight into one array (memory: the volume and one slice)."""
    scales = _scales(stack)
    _require_decoder(stack.headers)
    dtype = _dtype(stack, scales)
    x, y, z = stack.geometry.shape
    # Slice after slice in memory; the view handed out is [x, y, z] in Fortran order, as NIfTI stores it.
    # Headers often allow more than 16 bits and voxels seldom use them: the array grows only where they do.
    volume = np.empty((z, y, x), dtype=np.int16 if dtype == np.int32 else dtype)
    for k, header in enumerate(stack.headers):
        plane = _rescaled(_plane(header), scales[k], dtype)
        if volume.dtype != dtype and (plane.min() < INT16.min or plane.max() > INT16.max):
            volume = volume.astype(dtype)
        volume[k] = plane
    return Image(volume.transpose(2, 1, 0)[None], stack.geometry, stack.modality, UNITS[stack.modality])


def _scales(stack: Stack) -> NDArray[np.float64] | tuple[None, ...]:
    """Slope and intercept of each slice [z, 2], SUV factor included; Nones where an MR series has neither."""
    headers = stack.headers
    if any(header.has_modality_lut for header in headers):
        raise refuse("modality-lut", "ModalityLUTSequence")
    pairs = [(h.number("RescaleSlope"), h.number("RescaleIntercept")) for h in headers]
    n_absent = sum(slope is None or intercept is None for slope, intercept in pairs)
    if stack.modality == "MR" and all(pair == (None, None) for pair in pairs):
        return (None,) * len(headers)
    if n_absent:
        raise refuse("rescale-missing", f"no RescaleSlope and RescaleIntercept in {n_absent} of {len(pairs)} files")
    kinds = {h.text("RescaleType").upper() for h in headers} - {"", "HU"}
    if stack.modality == "CT" and kinds:
        raise refuse("rescale-type", "RescaleType is not HU")
    scales = np.array(pairs, dtype=np.float64)
    if (scales[:, 0] == 0).any():
        raise refuse("rescale-invalid", "RescaleSlope 0")
    return scales * suv_factor(headers) if stack.modality == "PT" else scales


def _require_decoder(headers: tuple[FileHeader, ...]) -> None:
    """Refuse transfer syntaxes that cannot be decoded here, and native files that are too short, before any work."""
    for syntax in sorted({header.transfer_syntax for header in headers} - set(NATIVE)):
        require_decoder(syntax)
    n_short = 0
    for header in headers:
        bits, rows, columns = (int(header.number(k) or 0) for k in ("BitsAllocated", "Rows", "Columns"))
        if bits not in (8, 16, 32):
            raise refuse("bit-depth", f"{bits} bits allocated")
        require_frame(rows, columns, itemsize=bits // 8)
        native = header.transfer_syntax in NATIVE and header.transfer_syntax != DEFLATED
        n_short += native and header.n_bytes < rows * columns * bits // 8
    if n_short:
        raise refuse("truncated", f"{n_short} of {len(headers)} files end before their last voxel")


def _dtype(stack: Stack, scales: NDArray[np.float64] | tuple[None, ...]) -> np.dtype[Any]:
    """The smallest type that holds every value that the headers allow; int32 where 16 bits may be too few."""
    bits = max(int(h.number("BitsStored") or 16) for h in stack.headers)
    signed = any(h.number("PixelRepresentation") == 1 for h in stack.headers)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if isinstance(scales, np.ndarray):
        whole = (scales[:, 0] == 1).all() and (scales[:, 1] == np.rint(scales[:, 1])).all()
        if not whole or stack.modality == "PT":
            return np.dtype(np.float32)
        low, high = low + int(scales[:, 1].min()), high + int(scales[:, 1].max())
    for dtype in (np.int16, np.uint16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.float32) if bits <= 24 else np.dtype(np.int64)


def _plane(header: FileHeader) -> NDArray[Any]:
    """One slice's stored values [row, column]."""
    dataset = read_dataset(header.path, keywords=PIXEL_KEYWORDS)
    if "PixelData" not in dataset:
        raise refuse("truncated", "no pixel data")
    require_decodable(dataset)
    with quiet_pydicom():
        try:
            plane: NDArray[Any] = dataset.pixel_array
        except Exception as error:  # decoders raise anything, and quote what they read
            raise _undecodable(header, dataset, error) from error
    if plane.shape != (header.number("Rows"), header.number("Columns")):
        raise refuse("corrupt-pixels", f"decoded to shape {plane.shape}")
    return plane


def _undecodable(header: FileHeader, dataset: Dataset, error: Exception) -> UnreadableFile:
    n_expected = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    if header.transfer_syntax in NATIVE and len(dataset.PixelData) < n_expected:
        return refuse("truncated", f"{len(dataset.PixelData):,} of {n_expected:,} bytes of pixel data")
    return refuse("corrupt-pixels", type(error).__name__)


def _rescaled(plane: NDArray[Any], scale: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    if scale is None:
        return plane
    slope, intercept = scale
    if dtype.kind == "f":
        return np.asarray(plane * np.float64(slope) + np.float64(intercept))
    return np.asarray(plane.astype(dtype) + dtype.type(intercept))
