"""Frames of a multi-frame object: where each lies in the patient, and its stored values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.codestream import require_decodable, require_decoder
from fiducial.archive.dicom.values import quiet_pydicom
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
LITTLE = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_LITTLE)
EVEN_TOLERANCE = 0.05
SMALLEST_AREA_MM2 = 1e-9
DIRECTION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Frame:
    """One frame: ``plane`` [3, 3] in LPS mm, or None where the object does not say where it lies.

    The columns of ``plane`` are the steps of one column and of one row, and the centre of the first voxel.
    ``sources`` are the SOP instances that the frame was derived from, ``segment`` the segment that it belongs to (0
    where it states none), ``apart_mm`` the stated distance to the next frame.
    """

    plane: NDArray[np.float64] | None
    sources: tuple[str, ...] = ()
    segment: int = 0
    apart_mm: float | None = None


@dataclass(frozen=True)
class FrameStack:
    """Frames of one orientation as an even stack: ``affine`` maps (column, row, level) to LPS mm.

    ``levels`` gives the level of each frame, 0 for the lowest along row x column direction; levels may be left out.
    """

    affine: NDArray[np.float64]
    levels: NDArray[np.int64]


@contextmanager
def parsing(what: str) -> Iterator[None]:
    """Refuse as ``unreadable`` what the library raises on a broken element, which it reads when it is asked for."""
    with quiet_pydicom():
        try:
            yield
        except (UnreadableFile, MemoryError):
            raise
        except Exception as error:  # a parser of hostile bytes raises anything, and its message quotes them
            raise refuse("unreadable", f"{what} that cannot be parsed ({type(error).__name__})") from error


def read_frames(dataset: Dataset) -> list[Frame]:
    """The place of every frame, from the shared and the per-frame functional groups (PS3.3 C.7.6.16).

    Raises:
        UnreadableFile: ``missing-tags`` where the groups do not fit the number of frames.
    """
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    n_frames = int(dataset.get("NumberOfFrames") or 1)
    if len(per_frame) != n_frames:
        raise refuse("missing-tags", f"functional groups of {len(per_frame)} frames, {n_frames} frames")
    return [_frame(shared, own) for own in per_frame]


def _frame(shared: Dataset | None, own: Dataset) -> Frame:
    position = _floats(own, shared, "PlanePositionSequence", "ImagePositionPatient", 3)
    directions = _floats(own, shared, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _floats(own, shared, "PixelMeasuresSequence", "PixelSpacing", 2)
    measures = _item(own, shared, "PixelMeasuresSequence")
    apart = None if measures is None else measures.get("SpacingBetweenSlices", measures.get("SliceThickness"))
    segment = _item(own, shared, "SegmentIdentificationSequence")
    plane = None
    if position is not None and directions is not None and spacing is not None:
        plane = np.column_stack([directions[:3] * spacing[1], directions[3:] * spacing[0], position])
    return Frame(
        plane=plane,
        sources=tuple(_sources(own) or (_sources(shared) if shared is not None else ())),
        segment=0 if segment is None else int(segment.get("ReferencedSegmentNumber") or 0),
        apart_mm=None if not apart else abs(float(apart)),
    )


def _item(own: Dataset, shared: Dataset | None, sequence: str) -> Dataset | None:
    """A functional group's only item: the frame's own, else the shared one."""
    for groups in (own, shared):
        items = None if groups is None else groups.get(sequence)
        if items:
            item: Dataset = items[0]
            return item
    return None


def _floats(
    own: Dataset, shared: Dataset | None, sequence: str, keyword: str, length: int
) -> NDArray[np.float64] | None:
    item = _item(own, shared, sequence)
    value = None if item is None else item.get(keyword)
    numbers = np.array([float(part) for part in value or ()], dtype=np.float64)
    return numbers if len(numbers) == length and np.isfinite(numbers).all() else None


def _sources(groups: Dataset) -> Iterator[str]:
    for derivation in groups.get("DerivationImageSequence") or ():
        for source in derivation.get("SourceImageSequence") or ():
            yield str(source.get("ReferencedSOPInstanceUID", ""))


def stack_frames(frames: list[Frame]) -> FrameStack | None:
    """Frames as one even stack; None where their planes differ in direction or spacing, or are spaced unevenly.

    Frames may be left out of the stack, repeated or in any order; the stack may lean (a tilted gantry), as long as
    every step between neighbours is a multiple of one vector.
    """
    planes = [frame.plane for frame in frames]
    if not planes or any(plane is None for plane in planes):
        return None
    stacked = np.array(planes)
    steps = stacked[0, :, :2]
    apart_of = np.abs(stacked[:, :, :2] - steps).max()
    normal = np.cross(steps[:, 0], steps[:, 1])
    area = float(np.linalg.norm(normal))
    flat = not (np.isfinite(stacked).all() and area > SMALLEST_AREA_MM2)
    if flat or apart_of > DIRECTION_TOLERANCE * np.abs(steps).max():
        return None
    normal /= area
    positions = stacked[:, :, 2]
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    apart = gaps[gaps > 1e-3]
    lowest, highest = positions[order[0]], positions[order[-1]]
    if not len(apart):
        stated = frames[0].apart_mm
        if stated is None or np.abs(positions - lowest).max() > 1e-3:
            return None
        return FrameStack(_affine(steps, normal * stated, lowest), np.zeros(len(frames), np.int64))
    n_steps = max(1, round(float((along.max() - along.min()) / apart.min())))
    step = (highest - lowest) / n_steps
    levels = (along - along[order[0]]) / float(step @ normal)
    whole = np.rint(levels)
    off_mm = np.linalg.norm(positions - lowest - whole[:, None] * step, axis=1)
    if off_mm.max() > EVEN_TOLERANCE * np.linalg.norm(step):
        return None
    return FrameStack(_affine(steps, step, lowest), whole.astype(np.int64))


def _affine(steps: NDArray[np.float64], step: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2], affine[:3, 3] = steps, step, origin
    return affine


def require_pixels(dataset: Dataset, keyword: str = "PixelData") -> int:
    """The number of frames, after the stored bytes and the decoder were found to be there.

    Raises:
        UnreadableFile: ``missing-tags``, ``truncated``, ``transfer-syntax`` or ``no-decoder``.
    """
    absent = [name for name in ("Rows", "Columns", "BitsAllocated") if not dataset.get(name)]
    if absent:
        raise refuse("missing-tags", ", ".join(absent))
    if keyword not in dataset:
        raise refuse("truncated", "no pixel data")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    n_frames = int(dataset.get("NumberOfFrames") or 1)
    n_values = int(dataset.Rows) * int(dataset.Columns) * n_frames * int(dataset.get("SamplesPerPixel") or 1)
    expected = (n_values * int(dataset.BitsAllocated) + 7) // 8
    if syntax in LITTLE or syntax == "1.2.840.10008.1.2.2":
        found = len(dataset[keyword].value)
        if n_frames < 1 or found < expected:
            raise refuse("truncated", f"{found:,} of {expected:,} bytes of pixel data")
    else:
        require_decoder(syntax)
    require_decodable(dataset)
    return n_frames


def stored_frames(dataset: Dataset) -> NDArray[Any]:
    """Stored values [frame, row, column] of an object of one sample for each pixel; one bit is unpacked to 0 and 1.

    Raises:
        UnreadableFile: as `require_pixels`, or ``corrupt-pixels``.
    """
    n_frames = require_pixels(dataset)
    with quiet_pydicom():
        try:
            values: NDArray[Any] = dataset.pixel_array
        except Exception as error:  # decoders raise anything, and quote what they read
            raise refuse("corrupt-pixels", type(error).__name__) from error
    shape = (n_frames, int(dataset.Rows), int(dataset.Columns))
    if values.size != n_frames * shape[1] * shape[2]:
        raise refuse("corrupt-pixels", f"decoded to shape {values.shape}")
    return values.reshape(shape)


def unpacked_frame(packed: NDArray[np.uint8], number: int, n_pixels: int) -> NDArray[np.bool_]:
    """Frame ``number`` of ``n_pixels`` one-bit values, of frames packed one after another (PS3.5 8.1.1, D.3).

    The first value is the lowest bit of the first byte; frames are not padded to whole bytes.
    """
    first = number * n_pixels
    start, skip = divmod(first, 8)
    bits = np.unpackbits(packed[start : (first + n_pixels + 7) // 8], bitorder="little")
    return bits[skip : skip + n_pixels].astype(bool)
