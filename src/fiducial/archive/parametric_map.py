"""Parametric maps (PS3.3 A.75): one file, one quantity in its own unit on the grid of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.decoders import Decoded
from fiducial.archive.dicom.codestream import require_extent
from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.frames import FrameStack, parsing, read_frames, stack_frames, stored_frames
from fiducial.archive.dicom.header import LPS_FROM_RAS, SeriesReference
from fiducial.archive.dose import file_reference, only_file
from fiducial.archive.refusal import refuse
from fiducial.archive.segmentation import code_text
from fiducial.records.image import Geometry, Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MODALITY = "PMAP"
FLOATS: dict[str, np.dtype[Any]] = {"FloatPixelData": np.dtype("<f4"), "DoubleFloatPixelData": np.dtype("<f8")}
BIG_ENDIAN = "1.2.840.10008.1.2.2"
GRID = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "TotalPixelMatrixColumns",
)


@dataclass(frozen=True)
class Mapping:
    """From stored to real values: ``slope`` and ``intercept``, or a table from ``first`` on; quantity and unit."""

    slope: float
    intercept: float
    first: int
    table: NDArray[np.float64] | None
    unit: str
    quantity: str


def decode_map(series: SeriesFiles) -> Decoded:
    """Read one map as an image [1, x, y, z] (float32) of modality PMAP in the UCUM unit that its mapping states.

    32- and 64-bit real pixels and whole ones are taken through RealWorldValueMapping: slope and intercept, or table.
    The column ``quantity`` holds the code of what was measured.

    Raises:
        UnreadableFile: ``map-frames``, ``map-mapping``, or a refusal of the file or its pixels.
    """
    header = only_file(series)
    dataset = read_dataset(header.path)
    with parsing("a parametric map"):
        stack, geometry = _grid(dataset)
        mappings = _mappings(dataset)
        stored = _stored(dataset)
    values = np.empty(stored.shape, dtype=np.float32)
    for frame, level in enumerate(stack.levels):
        with np.errstate(all="ignore"):
            # What is not finite, or too large for 32 bits, is refused with the image.
            values[level] = _real(stored[frame], mappings[frame])
    image = Image(values.transpose(2, 1, 0)[None], geometry, MODALITY, mappings[0].unit)
    return Decoded(image, (), {"quantity": mappings[0].quantity})


def map_reference(series: SeriesFiles) -> SeriesReference:
    """The grid of a map and what objects drawn on it call it; reads no pixels.

    Raises:
        UnreadableFile: as `decode_map`.
    """
    header = only_file(series)
    with parsing("a parametric map"):
        _, geometry = _grid(read_dataset(header.path, keywords=GRID))
    return file_reference(header, series, geometry)


def _grid(dataset: Dataset) -> tuple[FrameStack, Geometry]:
    if dataset.get("TotalPixelMatrixColumns"):
        raise refuse("map-frames", "frames are tiles of one large picture")
    frames = read_frames(dataset)
    stack = stack_frames(frames)
    if stack is None:
        raise refuse("map-frames", f"{len(frames)} frames that are no even stack of parallel planes")
    n_levels = int(stack.levels.max()) + 1
    if n_levels != len(frames) or len(np.unique(stack.levels)) != len(frames):
        raise refuse("map-frames", f"{len(frames)} frames on {n_levels} places of their stack")
    shape = (int(dataset.Columns), int(dataset.Rows), n_levels)
    return stack, Geometry(LPS_FROM_RAS @ stack.affine, shape)


def _stored(dataset: Dataset) -> NDArray[Any]:
    """Stored values [frame, row, column]."""
    keyword = next((name for name in FLOATS if name in dataset), "")
    if not keyword:
        return stored_frames(dataset)
    require_extent(dataset)
    shape = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
    dtype: np.dtype[Any] = FLOATS[keyword]
    if str(dataset.file_meta.get("TransferSyntaxUID", "")) == BIG_ENDIAN:
        dtype = dtype.newbyteorder(">")
    content = dataset[keyword].value
    expected = shape[0] * shape[1] * shape[2] * dtype.itemsize
    if len(content) < expected:
        raise refuse("truncated", f"{len(content):,} of {expected:,} bytes of pixel data")
    values: NDArray[Any] = np.frombuffer(content, dtype=dtype, count=shape[0] * shape[1] * shape[2])
    return values.reshape(shape)


def _mappings(dataset: Dataset) -> list[Mapping]:
    """The mapping of each frame; all must be of one unit and quantity."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    found = []
    for own in dataset.get("PerFrameFunctionalGroupsSequence") or ():
        items = own.get("RealWorldValueMappingSequence")
        if not items and shared is not None:
            items = shared.get("RealWorldValueMappingSequence")
        if not items:
            raise refuse("map-mapping", "no RealWorldValueMappingSequence")
        if len(items) > 1:
            raise refuse("map-mapping", f"{len(items)} mappings of one frame")
        found.append(_mapping(items[0]))
    if len({(one.unit, one.quantity) for one in found}) > 1:
        raise refuse("map-mapping", "frames of several units or quantities")
    return found


def _mapping(item: Dataset) -> Mapping:
    units = item.get("MeasurementUnitsCodeSequence")
    unit = str(units[0].get("CodeValue", "")) if units else ""
    quantity = ""
    for definition in item.get("QuantityDefinitionSequence") or ():
        quantity = quantity or code_text(definition.get("ConceptCodeSequence"))
    about = {"unit": "" if unit == "1" else unit, "quantity": quantity}
    table = item.get("RealWorldValueLUTData")
    if table is not None and len(table):
        first = int(item.RealWorldValueFirstValueMapped)
        return Mapping(0.0, 0.0, first, np.array([float(value) for value in table]), **about)
    slope, intercept = item.get("RealWorldValueSlope"), item.get("RealWorldValueIntercept")
    if slope is None or intercept is None:
        raise refuse("map-mapping", "neither slope and intercept nor a table")
    return Mapping(float(slope), float(intercept), 0, None, **about)


def _real(stored: NDArray[Any], mapping: Mapping) -> NDArray[np.float64]:
    if mapping.table is None:
        return np.asarray(stored.astype(np.float64) * mapping.slope + mapping.intercept)
    index = stored.astype(np.int64) - mapping.first
    if (index < 0).any() or (index >= len(mapping.table)).any():
        raise refuse("map-mapping", "stored values outside the mapping's table")
    return np.asarray(mapping.table[index])
