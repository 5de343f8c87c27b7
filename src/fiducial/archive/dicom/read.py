"""Decode a stack of slices into one array: rescaled slice by slice, in HU, SUV or the scanner's own unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.discover import SeriesFiles, find_series
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.planes import planes, require_decoders
from fiducial.archive.dicom.stack import Stack, stack_series
from fiducial.archive.dicom.suv import suv_scaling
from fiducial.archive.dicom.tilt import is_sheared, straighten, tilt_degrees
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile
from fiducial.records.image import Image

INT16 = np.iinfo(np.int16)
UNITS = {"CT": "HU", "MR": "", "PT": "SUV"}
# What a resampled CT has where no slice was: air. Other modalities: 0.
AIR_HU = -1024.0
# Codes (UCUM) of real world values that are the unit of a modality's images.
REAL_WORLD = {"PT": ("{SUVbw}g/ml",), "CT": ("[hnsf'U]",), "MR": ()}


@dataclass(frozen=True)
class Volume:
    """A decoded stack, what was mended, and columns of its cohort row."""

    image: Image
    repairs: tuple[str, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scales:
    """Slope and intercept of each slice [z, 2]; None where stored values are the values."""

    pairs: NDArray[np.float64] | None
    repairs: tuple[str, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)


def read_series(series: SeriesFiles) -> Image:
    """Read one series as an image [1, x, y, z] with a right-handed RAS+ affine.

    CT is in HU (int16 where all rescaled values are whole and fit, else float32), PET in SUV by body weight
    (float32), MR as stored, or float32 where the header rescales it. x follows the columns, y the rows, z rises along
    row x column direction; nothing is flipped, and only a leaning stack is resampled.

    Raises:
        UnreadableFile: a refusal by code (`fiducial.archive.refusal.REFUSALS`).
    """
    return read_volume(series).image


def read_volume(series: SeriesFiles) -> Volume:
    """As `read_series`, with repairs and columns.

    Raises:
        UnreadableFile: a refusal by code.
    """
    stack = stack_series(series)
    volume = decode(stack)
    return Volume(volume.image, (*stack.repairs, *volume.repairs), volume.columns)


def read_dicom(path: Path) -> Image:
    """Read the one image of a folder, or of a single file, whatever its kind.

    Raises:
        UnreadableFile: a refusal by code, or the folder holds no image, or several.
    """
    from fiducial.archive.decoders import DECODERS

    series = find_series(path)
    if len(series) != 1:
        raise refuse("format", f"{len(series)} series of images, one expected", where=str(path))
    try:
        return DECODERS[series[0].kind](series[0]).image
    except UnreadableFile as refusal:
        raise UnreadableFile(refusal.given, where=str(path), action=refusal.action) from refusal


def decode(stack: Stack) -> Volume:
    """Decode the slices of a stack straight into one array (memory: the volume and one slice)."""
    scales = _scales(stack)
    require_decoders(stack.headers)
    dtype = _dtype(stack, scales.pairs)
    x, y, z = stack.geometry.shape
    # Slice after slice in memory; the view handed out is [x, y, z] in Fortran order, as NIfTI stores it.
    # Headers often allow more than 16 bits and voxels seldom use them: the array grows only where they do.
    volume = np.empty((z, y, x), dtype=np.int16 if dtype == np.int32 else dtype)
    n_cleared = 0
    for k, plane, cleared in planes(stack.headers):
        n_cleared += cleared
        volume = _put(volume, k, plane, None if scales.pairs is None else scales.pairs[k], dtype)
    repairs = [*scales.repairs]
    if n_cleared:
        repairs.append(f"unused-bits: bits above BitsStored cleared in {n_cleared} of {z} slices")
    array, geometry = volume.transpose(2, 1, 0), stack.geometry
    if is_sheared(geometry):
        fill = AIR_HU if stack.modality == "CT" else 0.0
        degrees = tilt_degrees(geometry)
        array, geometry = straighten(array, geometry, fill=fill)
        repairs.append(
            f"gantry-tilt: slices lean by {degrees:.2f} degrees; resampled (linear within each slice) onto "
            f"{' x '.join(map(str, geometry.shape))} voxels, {fill:g} where no slice was"
        )
    image = Image(array[None], geometry, stack.modality, UNITS.get(stack.modality, ""))
    return Volume(image, tuple(repairs), {**scales.columns, "padding_value": _padding(stack, scales.pairs)})


def _put(
    volume: NDArray[Any], k: int, plane: NDArray[Any], scale: NDArray[np.float64] | None, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Write a slice, rescaled, into the volume; return the volume, or a wider one if it had to grow."""
    if dtype.kind == "f" and scale is not None:
        values = plane.astype(np.float64)
        values *= scale[0]
        values += scale[1]
        volume[k] = values
        return volume
    intercept = 0 if scale is None else int(scale[1])
    if volume.dtype != dtype and (
        # The header allows more than 16 bits: do the values need them?
        int(plane.min()) + intercept < INT16.min or int(plane.max()) + intercept > INT16.max
    ):
        volume = volume.astype(dtype)
    if volume.dtype == np.int16 and plane.dtype.itemsize == 2:
        # Sums of 16 bits wrap to the right value, as it fits.
        np.add(plane.view(np.int16), np.int64(intercept).astype(np.int16), out=volume[k])
    elif intercept == 0:
        volume[k] = plane
    else:
        np.add(plane, volume.dtype.type(intercept), out=volume[k], dtype=volume.dtype, casting="unsafe")
    return volume


def _scales(stack: Stack) -> _Scales:
    """Slope and intercept of each slice, SUV factor included."""
    headers, modality = stack.headers, stack.modality
    if any(header.has_modality_lut for header in headers):
        raise refuse("modality-lut", "ModalityLUTSequence")
    mapped = {h.text("RealWorldValueUnits") for h in headers}
    pairs = [(h.number("RescaleSlope"), h.number("RescaleIntercept")) for h in headers]
    absent = all(pair == (None, None) for pair in pairs)
    if len(mapped) == 1 and (
        mapped <= set(REAL_WORLD.get(modality, ())) or (modality not in ("CT", "PT") and absent and mapped != {""})
    ):
        real = [(h.number("RealWorldValueSlope"), h.number("RealWorldValueIntercept")) for h in headers]
        return _Scales(_valid(np.array(real, dtype=np.float64)))
    if modality not in ("CT", "PT") and absent:
        return _Scales(None)
    n_absent = sum(slope is None or intercept is None for slope, intercept in pairs)
    if n_absent:
        raise refuse("rescale-missing", f"no RescaleSlope and RescaleIntercept in {n_absent} of {len(pairs)} files")
    if modality == "CT" and {h.text("RescaleType").upper() for h in headers} - {"", "HU"}:
        raise refuse("rescale-type", "RescaleType is not HU")
    scales = _valid(np.array(pairs, dtype=np.float64))
    if modality == "PT":
        suv = suv_scaling(headers)
        return _Scales(scales * suv.factors[:, None], suv.repairs, suv.columns)
    return _Scales(scales)


def _valid(scales: NDArray[np.float64]) -> NDArray[np.float64]:
    if (scales[:, 0] == 0).any():
        raise refuse("rescale-invalid", "RescaleSlope 0")
    return scales


def _dtype(stack: Stack, scales: NDArray[np.float64] | None) -> np.dtype[Any]:
    """The smallest type that holds every value that the headers allow; int32 where 16 bits may be too few."""
    low = min(_limits(h)[0] for h in stack.headers)
    high = max(_limits(h)[1] for h in stack.headers)
    if scales is not None:
        whole = (scales[:, 0] == 1).all() and (scales[:, 1] == np.rint(scales[:, 1])).all()
        if not whole or stack.modality == "PT":
            return np.dtype(np.float32)
        low, high = low + int(scales[:, 1].min()), high + int(scales[:, 1].max())
    for dtype in (np.int16, np.uint16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.float32) if high - low < 2**24 else np.dtype(np.int64)


def _limits(header: FileHeader) -> tuple[int, int]:
    """The least and the greatest value that a slice's bits can hold."""
    allocated = int(header.number("BitsAllocated") or 16)
    stored = int(header.number("BitsStored") or 0)
    bits = stored if 0 < stored <= allocated else allocated
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.number("PixelRepresentation") == 1 else (0, 2**bits - 1)


def _padding(stack: Stack, scales: NDArray[np.float64] | None) -> float:
    """What padding outside the field of view has become; NaN where no padding is stated, or it differs."""
    first = stack.headers[0]
    stored = first.number("PixelPaddingValue")
    if stored is None or any(h.number("PixelPaddingValue") != stored for h in stack.headers):
        return math.nan
    bits = int(first.number("BitsAllocated") or 16)
    if first.number("PixelRepresentation") == 1 and stored >= 2 ** (bits - 1):
        stored -= 2**bits  # signed, but written as an unsigned number
    if scales is None:
        return stored
    same = (scales == scales[0]).all()
    return float(stored * scales[0, 0] + scales[0, 1]) if same else math.nan
