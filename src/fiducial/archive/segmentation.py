"""DICOM segmentation objects (SEG, PS3.3 A.51) as masks on the grid of the series that they were drawn on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.frames import (
    LITTLE,
    Frame,
    parsing,
    read_frames,
    require_pixels,
    stored_frames,
    unpacked_frame,
)
from fiducial.archive.dicom.header import LPS_FROM_RAS, SeriesReference
from fiducial.archive.drawers import References, Structure
from fiducial.archive.lattice import Lattice, lattice_of, resampled
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")
REFERENCE_KEYWORDS = ("ReferencedSeriesSequence", "FrameOfReferenceUID", "SharedFunctionalGroupsSequence")
FRAME_KEYWORD = "PerFrameFunctionalGroupsSequence"
LEAST_KEPT, MOST_KEPT = 0.9, 1.1


@dataclass(frozen=True)
class Segment:
    """One segment: its number and label, its codes as JSON, and who drew it ("" for a person: the reference)."""

    number: int
    name: str
    code: str
    rater: str


@dataclass(frozen=True)
class Segmentation:
    """A segmentation object whose frames are known and decoded, and not yet laid on a grid.

    ``plane`` gives the mask [column, row] of (frame number, segment number).
    """

    kind: str
    references: References
    segments: tuple[Segment, ...]
    frames: list[Frame]
    size: tuple[int, int]
    plane: Callable[[int, int], NDArray[np.bool_]]

    def frames_of(self, segment: int) -> list[int]:
        """Numbers of the frames that may hold a segment: its own, or all of a label map."""
        return [n for n, frame in enumerate(self.frames) if self.kind == "LABELMAP" or frame.segment == segment]


def segmentation_references(path: Path) -> References:
    """What a segmentation refers to; the pixels are not read.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated`` or ``unreadable``.
    """
    found = _references(read_dataset(path, keywords=REFERENCE_KEYWORDS))
    if found.series_uids and found.sop_uids:
        return found
    return _references(read_dataset(path, keywords=(*REFERENCE_KEYWORDS, FRAME_KEYWORD)))


def read_segmentation(path: str | Path, reference: SeriesReference) -> dict[str, NDArray[np.bool_]]:
    """Masks [x, y, z] by segment label, on the grid of the series that they were drawn on; see `draw_segmentation`.

    Raises:
        UnreadableFile: the file cannot be read, or a segment is refused.
    """
    masks = {}
    for structure in draw_segmentation(Path(path), reference):
        if structure.refusal is not None and not structure.refusal.given.startswith("seg-empty"):
            raise structure.refusal
        if structure.mask is not None:
            masks[structure.name] = structure.mask
    return masks


def draw_segmentation(path: Path, reference: SeriesReference) -> Iterator[Structure]:
    """Each segment's mask on the grid of ``reference``, one after another; one that is refused says why.

    BINARY frames and LABELMAP values are taken as they are; a FRACTIONAL value counts from half of
    MaximumFractionalValue on, whether it is a probability or an occupancy. Frames may be in any order, absent where
    they are empty, and turned or cropped against the image, as long as their voxel centres lie on the image's (within
    a quarter of a voxel): nothing is interpolated then. Frames elsewhere in the same frame of reference are sampled at
    the image's voxel centres (nearest neighbour) if the object names this series as its source, its frames are an even
    stack and the segment's volume stays within a tenth; the structure's ``repairs`` say so. A frame without a place
    counts by the one image that it was derived from.

    Raises:
        UnreadableFile: the file cannot be read, or is ``seg-type``, ``seg-tiled`` or ``seg-frame-of-reference``.
    """
    found = open_segmentation(path)
    uids = found.references
    placed = all(frame.plane is not None for frame in found.frames)
    if placed and reference.frame_uid and uids.frame_uids and reference.frame_uid not in uids.frame_uids:
        raise refuse("seg-frame-of-reference", "its frame of reference is not that of its series")
    named = reference.series_uid in uids.series_uids or bool(uids.sop_uids & set(reference.sop_uids))
    return (_drawn(found, segment, reference, may_resample=named) for segment in found.segments)


def open_segmentation(path: Path) -> Segmentation:
    """Read a segmentation's segments and frames, and decode its pixels.

    Raises:
        UnreadableFile: ``not-dicom``, ``truncated``, ``unreadable``, ``missing-tags``, ``seg-type``, ``seg-tiled``,
            ``transfer-syntax``, ``no-decoder`` or ``corrupt-pixels``.
    """
    dataset = read_dataset(path)
    with parsing("a segmentation"):
        return _segmentation(dataset)


def _segmentation(dataset: Dataset) -> Segmentation:
    kind = str(dataset.get("SegmentationType", "")).upper()
    if kind not in KINDS:
        raise refuse("seg-type", "SegmentationType is none of " + ", ".join(KINDS))
    if dataset.get("TotalPixelMatrixColumns"):
        raise refuse("seg-tiled", "frames are tiles of one large picture")
    n_frames = require_pixels(dataset)
    frames = read_frames(dataset)
    segments = _segments(dataset)
    if kind != "LABELMAP" and {frame.segment for frame in frames} - {segment.number for segment in segments}:
        raise refuse("missing-tags", "a frame of a segment that SegmentSequence does not describe")
    size = (int(dataset.Columns), int(dataset.Rows))
    plane = _planes(dataset, kind, size, n_frames)
    return Segmentation(kind, _references(dataset), segments, frames, size, plane)


def _planes(
    dataset: Dataset, kind: str, size: tuple[int, int], n_frames: int
) -> Callable[[int, int], NDArray[np.bool_]]:
    """How to get one segment's mask [column, row] of one frame; bits stay packed until then."""
    columns, rows = size
    if kind == "BINARY" and int(dataset.BitsAllocated) != 1:
        raise refuse("seg-type", f"BINARY with {int(dataset.BitsAllocated)} bits allocated")
    if kind == "BINARY" and str(dataset.file_meta.TransferSyntaxUID) in LITTLE:
        packed = np.frombuffer(dataset.PixelData, dtype=np.uint8)
        return lambda frame, _: unpacked_frame(packed, frame, rows * columns).reshape(rows, columns).T
    stored = stored_frames(dataset)
    if len(stored) != n_frames:
        raise refuse("corrupt-pixels", f"{len(stored)} of {n_frames} frames decoded")
    if kind == "LABELMAP":
        return lambda frame, segment: np.equal(stored[frame].T, segment)
    most = int(dataset.get("MaximumFractionalValue") or 1) if kind == "FRACTIONAL" else 1
    return lambda frame, _: np.asarray(stored[frame].T.astype(np.uint32) * 2 >= most)


def _segments(dataset: Dataset) -> tuple[Segment, ...]:
    """Segments by number; the background of a label map (number 0) is none."""
    found: list[Segment] = []
    names: set[str] = set()
    for item in dataset.get("SegmentSequence") or ():
        number = int(item.SegmentNumber)
        if number == 0:
            continue
        name = str(item.get("SegmentLabel", "")).strip() or f"segment_{number}"
        name = name if name not in names else f"{name}_{number}"
        names.add(name)
        kind, by = str(item.get("SegmentAlgorithmType", "")).upper(), str(item.get("SegmentAlgorithmName", "")).strip()
        rater = f"automatic {by}".strip() if kind == "AUTOMATIC" else ""
        found.append(Segment(number, name, _codes(item, kind, by), rater))
    if not found:
        raise refuse("missing-tags", "SegmentSequence")
    return tuple(found)


def _codes(item: Dataset, kind: str, by: str) -> str:
    """What the segment is, as coded, and how it was made: JSON without empty parts."""
    parts: dict[str, Any] = {
        "category": code_text(item.get("SegmentedPropertyCategoryCodeSequence")),
        "type": code_text(item.get("SegmentedPropertyTypeCodeSequence")),
        "region": code_text(item.get("AnatomicRegionSequence")),
        "made": kind.lower(),
        "by": by,
        "tracking": str(item.get("TrackingID", "")),
    }
    kept = {key: value for key, value in parts.items() if value}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False) if kept else ""


def code_text(items: Any) -> str:
    """The first coded concept of a sequence as ``scheme:value meaning``, with its modifiers; "" without one."""
    if not items:
        return ""
    item = items[0]
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    text = f"{item.get('CodingSchemeDesignator', '')}:{value} {item.get('CodeMeaning', '')}".strip()
    modifiers = item.get("SegmentedPropertyTypeModifierCodeSequence") or item.get("AnatomicRegionModifierSequence")
    return f"{text}, {code_text(modifiers)}" if modifiers else text


def _references(dataset: Dataset) -> References:
    series_uids: set[str] = set()
    sop_uids: set[str] = set()
    with parsing("a segmentation"):
        for series in dataset.get("ReferencedSeriesSequence") or ():
            series_uids.add(str(series.get("SeriesInstanceUID", "")))
            instances = series.get("ReferencedInstanceSequence") or ()
            sop_uids.update(str(one.get("ReferencedSOPInstanceUID", "")) for one in instances)
        groups = [*(dataset.get("SharedFunctionalGroupsSequence") or ()), *(dataset.get(FRAME_KEYWORD) or ())]
        for group in groups:
            for derivation in group.get("DerivationImageSequence") or ():
                sources = derivation.get("SourceImageSequence") or ()
                sop_uids.update(str(one.get("ReferencedSOPInstanceUID", "")) for one in sources)
        frame_uid = str(dataset.get("FrameOfReferenceUID", "") or "")
    return References(frozenset(series_uids - {""}), frozenset(sop_uids - {""}), frozenset({frame_uid} - {""}))


def _drawn(found: Segmentation, segment: Segment, reference: SeriesReference, *, may_resample: bool) -> Structure:
    empty = Structure(segment.name, None, code=segment.code, rater=segment.rater)
    try:
        mask, repairs = _on_grid(found, segment, reference, may_resample=may_resample)
    except UnreadableFile as refusal:
        return replace(empty, refusal=refusal)
    return replace(empty, mask=mask, repairs=repairs)


def _on_grid(
    found: Segmentation, segment: Segment, reference: SeriesReference, *, may_resample: bool
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The mask of a segment, and what was done to get it onto the grid."""
    planes = {n: plane for n in found.frames_of(segment.number) if (plane := found.plane(n, segment.number)).any()}
    if not planes:
        raise refuse("seg-empty", "no voxel of this segment is set")
    lattices = {n: _lattice(found.frames[n], reference, found.size) for n in planes}
    exact = {n: lattice for n, lattice in lattices.items() if lattice is not None}
    if len(exact) == len(planes):
        return _laid(planes, exact, reference.geometry.shape), ()
    inner = resampled([found.frames[n] for n in planes], list(planes.values()), reference.geometry)
    if inner is None:
        raise refuse("seg-other-grid", f"frames that are no even stack, on an image of {reference.geometry.describe()}")
    mask, own = inner
    given = _volume_ml(sum(int(plane.sum()) for plane in planes.values()), own)
    kept = _volume_ml(int(mask.sum()), reference.geometry)
    grids = f"{own.describe()} against the image's {reference.geometry.describe()}"
    if not may_resample:
        raise refuse("seg-other-grid", f"{grids}, and the object does not name this series")
    if not LEAST_KEPT * given <= kept <= MOST_KEPT * given:
        raise refuse("seg-other-grid", f"{grids}: {given:.4g} ml would become {kept:.4g} ml")
    return mask, (f"resampled: {grids}; {given:.4g} ml became {kept:.4g} ml",)


def _lattice(frame: Frame, reference: SeriesReference, size: tuple[int, int]) -> Lattice | None:
    """Where a frame's voxels lie among the image's; by its source image where it has no place of its own."""
    # Frames of one multi-frame file share its UID, which then says nothing about the place.
    slices = [reference.sop_uids.index(uid) for uid in set(frame.sources) if reference.sop_uids.count(uid) == 1]
    if frame.plane is None:
        if len(slices) != 1 or size != reference.geometry.shape[:2]:
            raise refuse("seg-place", "a frame states neither its place nor one image of the same size")
        return Lattice.of_slice(slices[0])
    to_index = np.linalg.inv(LPS_FROM_RAS @ reference.geometry.affine).astype(np.float64)
    lattice = lattice_of(frame.plane, to_index, size)
    if lattice is not None and len(reference.sop_uids) == reference.geometry.shape[2] and len(slices) == 1:
        level = lattice.level
        if level is not None and level != slices[0]:
            raise refuse(
                "seg-place", f"a frame lies on slice {level + 1}, and names slice {slices[0] + 1} as its source"
            )
    return lattice


def _laid(
    planes: dict[int, NDArray[np.bool_]], lattices: dict[int, Lattice], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    taken: set[Lattice] = set()
    mask = np.zeros(shape, dtype=bool, order="F")
    for number, plane in planes.items():
        if lattices[number] in taken:
            raise refuse("seg-repeated", f"two frames at one place, the second is frame {number + 1}")
        taken.add(lattices[number])
        if not lattices[number].lay(plane, mask):
            raise refuse("seg-outside", f"frame {number + 1} has voxels outside the grid")
    return mask


def _volume_ml(n_voxels: int, grid: Geometry) -> float:
    return n_voxels * grid.voxel_ml
