"""From the files of a series to an ordered stack on one grid, or a refusal that names what is wrong and where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.copies import same_pixels
from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.header import LPS_FROM_RAS, SeriesReference
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.mosaic import is_mosaic
from fiducial.archive.dicom.planes import planes, require_decoders
from fiducial.archive.dicom.split import (
    DIRECTION_TOLERANCE,
    PLACE_TOLERANCE_MM,
    PLACE_TOLERANCE_OF_SPACING,
    SAME_PLACE_MM,
)
from fiducial.archive.dicom.tilt import tilt_degrees
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry

MAX_TILT_DEGREES = 45.0
REQUIRED_NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
REQUIRED_VECTORS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
# Values that slices at one place must share to be one slice stored twice.
SAME_VALUES = ("RescaleSlope", "RescaleIntercept", "BitsAllocated", "BitsStored", "PixelRepresentation")


@dataclass(frozen=True)
class Stack:
    """Slices of one series, rising along row x column, on one grid; ``repairs`` says what was mended.

    The grid is that of the slices: sheared where the gantry was tilted (`tilt.is_sheared`).
    """

    series_uid: str
    modality: str
    headers: tuple[FileHeader, ...]
    geometry: Geometry
    repairs: tuple[str, ...] = ()

    @property
    def reference(self) -> SeriesReference:
        """What a structure set refers to."""
        first = self.headers[0]
        return SeriesReference(
            geometry=self.geometry,
            modality=self.modality,
            study_uid=first.text("StudyInstanceUID"),
            series_uid=self.series_uid,
            frame_uid=first.text("FrameOfReferenceUID"),
            sop_class=first.text("SOPClassUID"),
            sop_uids=tuple(header.text("SOPInstanceUID") for header in self.headers),
        )


def stack_series(series: SeriesFiles) -> Stack:
    """Order a series' slices by position · normal and derive its grid; reads pixels only where two lie at one place.

    The affine's columns are PixelSpacing[1] · row direction, PixelSpacing[0] · column direction and the mean step
    between slices, turned from LPS to RAS+. Slices must lie within 0.1 mm (or a tenth of the spacing, if less) of
    an even stack that is straight or leans evenly. A single slice is as thick as it says.

    Raises:
        UnreadableFile: a refusal by code.
    """
    if series.refusal is not None:
        raise series.refusal
    _require_tags(series)
    row, column, normal = _directions(list(series.headers))
    headers, repairs = _ordered(series.headers, normal)
    positions = np.array([h.vector("ImagePositionPatient") for h in headers])
    if len(headers) == 1:
        _require_all(headers)
        step, repair = _lone_step(headers[0], normal)
        repairs = (*repairs, repair)
    else:
        spacing = _require_even(headers, positions @ normal)
        _require_all(headers)
        _require_straight(headers, positions, normal, spacing)
        step = (positions[-1] - positions[0]) / (len(headers) - 1)
    y_mm, x_mm = _pixel_spacing(headers[0])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = row * x_mm, column * y_mm, step, positions[0]
    shape = (_whole(headers[0], "Columns"), _whole(headers[0], "Rows"), len(headers))
    geometry = Geometry(LPS_FROM_RAS @ affine, shape)
    if len(headers) > 1 and tilt_degrees(geometry) > MAX_TILT_DEGREES:
        raise refuse("sheared-stack", f"slices lean by {tilt_degrees(geometry):.4g} degrees")
    return Stack(series.series_uid, series.modality, tuple(headers), geometry, repairs)


def place(headers: list[FileHeader], index: int) -> str:
    """A slice's place for a person: its number in the sorted stack, and its InstanceNumber where it has one."""
    instance = headers[index].number("InstanceNumber")
    return f"slice {index + 1}" + ("" if instance is None else f" (InstanceNumber {instance:g})")


def _whole(header: FileHeader, keyword: str) -> int:
    value = header.number(keyword)
    return 0 if value is None else int(value)


def _pixel_spacing(header: FileHeader) -> tuple[float, ...]:
    return header.vector("PixelSpacing") or ()


def _require_tags(series: SeriesFiles) -> None:
    """Every slice says who, where and how its pixels are stored."""
    n_files = len(series.headers)
    if any(is_mosaic(header) and header.tile is None for header in series.headers):
        raise refuse("mosaic", "pictures of tiles that do not say where the tiles lie")
    absent: Counter[str] = Counter()
    for header in series.headers:
        absent.update(k for k in REQUIRED_NUMBERS if header.number(k) is None)
        absent.update(k for k in REQUIRED_VECTORS if header.vector(k) is None)
        absent.update([] if header.transfer_syntax else ["TransferSyntaxUID"])
        if not (_whole(header, "Rows") > 0 and _whole(header, "Columns") > 0):
            absent["Rows, Columns > 0"] += 1
        if any(mm <= 0 for mm in _pixel_spacing(header)):
            absent["PixelSpacing > 0"] += 1
    if absent:
        raise refuse("missing-tags", ", ".join(f"{k} in {n} of {n_files} files" for k, n in sorted(absent.items())))


def _ordered(headers: tuple[FileHeader, ...], normal: NDArray[np.float64]) -> tuple[list[FileHeader], tuple[str, ...]]:
    """Headers along the normal; a slice that is stored twice at one place is kept once.

    Raises:
        UnreadableFile: ``conflicting-copies``.
    """
    along = np.array([h.vector("ImagePositionPatient") for h in headers]) @ normal
    kept: list[FileHeader] = []
    last = -np.inf
    n_copies = n_encodings = 0
    for i in np.argsort(along, kind="stable"):
        header = headers[i]
        if kept and along[i] - last <= SAME_PLACE_MM:
            if _same_instance(kept[-1], header):
                n_encodings += 1
                continue
            if _same_slice(kept[-1], header):
                n_copies += 1
                continue
        kept.append(header)
        last = along[i]
    repairs = []
    if n_copies:
        repairs.append(f"exact-copies: {n_copies} slice(s) with the voxels and the place of another left out")
    if n_encodings:
        repairs.append(f"same-pixels: {n_encodings} file(s) of the same pixels in another encoding left out")
    return kept, tuple(repairs)


def _same_instance(first: FileHeader, second: FileHeader) -> bool:
    """Whether two files are one SOP instance in two encodings, which their decoded voxels must confirm."""
    uid = first.text("SOPInstanceUID")
    if not uid or uid != second.text("SOPInstanceUID") or first.path == second.path:
        return False
    require_decoders((first, second))
    one, other = (plane for _, plane, _ in planes((first, second)))
    if not np.array_equal(one, other):
        raise refuse("conflicting-copies", "one SOPInstanceUID in two files of different voxels")
    return True


def _same_slice(first: FileHeader, second: FileHeader) -> bool:
    """Whether two instances store the same voxels for the same place."""
    same = all(first.number(keyword) == second.number(keyword) for keyword in SAME_VALUES)
    position = first.vector("ImagePositionPatient") == second.vector("ImagePositionPatient")
    return same and position and same_pixels(first, second)


def _lone_step(header: FileHeader, normal: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """The step of a stack of one slice."""
    for keyword in ("SliceThickness", "SpacingBetweenSlices"):
        step_mm = header.number(keyword)
        if step_mm is not None and step_mm > 0:
            return normal * step_mm, f"single-slice: one slice, {step_mm:.6g} mm thick by {keyword}"
    raise refuse("single-slice", "one slice, and it states no thickness")


def _require_all(headers: list[FileHeader]) -> None:
    """As many slices as the header counts (PET)."""
    stated = headers[0].number("NumberOfSlices")
    if stated is not None and stated > len(headers):
        raise refuse(
            "missing-slices", f"{len(headers)} slices, {stated:g} stated by NumberOfSlices, none inside missing"
        )


def _directions(headers: list[FileHeader]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors in LPS: growing column index, growing row index, and their cross product."""
    directions = np.array([h.vector("ImageOrientationPatient") for h in headers])
    apart = np.abs(directions - directions[0]).max(axis=1) > DIRECTION_TOLERANCE
    if apart.any():
        raise refuse("mixed-orientation", f"{int(apart.sum())} of {len(headers)} slices differ from the first")
    row, column = directions[0, :3], directions[0, 3:]
    lengths = (float(np.linalg.norm(row)), float(np.linalg.norm(column)))
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column))) > DIRECTION_TOLERANCE:
        raise refuse(
            "bad-orientation",
            f"direction lengths {lengths[0]:.4g} and {lengths[1]:.4g}, cosine between them {row @ column:.4g}",
        )
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return row, column, np.cross(row, column)


def _require_even(headers: list[FileHeader], along: NDArray[np.float64]) -> float:
    """The spacing of an evenly spaced stack; else duplicates, missing or unevenly spaced slices, with their place."""
    gaps = np.diff(along)
    if gaps.min() <= SAME_PLACE_MM:
        raise _repeated(headers, along)
    spacing = float(np.median(gaps))
    tolerance = min(PLACE_TOLERANCE_MM, PLACE_TOLERANCE_OF_SPACING * spacing)
    even = along[0] + np.linspace(0, along[-1] - along[0], len(along))
    if np.abs(along - even).max() <= tolerance:
        return float((along[-1] - along[0]) / (len(along) - 1))
    for step in (spacing, float(gaps.min())):
        steps = np.rint(gaps / step)
        if (np.abs(gaps - steps * step) <= tolerance * np.maximum(steps, 1)).all() and (steps >= 1).all():
            raise _missing(headers, steps.astype(int), step)
    worst = int(np.abs(gaps - spacing).argmax())
    raise refuse(
        "uneven-slices",
        f"gaps from {gaps.min():.4g} to {gaps.max():.4g} mm (median {spacing:.4g}); the most unlike lies between "
        f"{place(headers, worst)} and {place(headers, worst + 1)}",
    )


def _missing(headers: list[FileHeader], steps: NDArray[np.int64], spacing: float) -> UnreadableFile:
    """The refusal for slices whose gaps are whole numbers of steps, with the place of each gap."""
    holes = np.flatnonzero(steps > 1)
    named = [f"{steps[i] - 1} between {place(headers, i)} and {place(headers, i + 1)}" for i in holes[:5]]
    more = "" if len(holes) <= 5 else f" and {len(holes) - 5} further places"
    n_missing = int((steps - 1).sum())
    return refuse("missing-slices", f"{n_missing} at a spacing of {spacing:.4g} mm: {', '.join(named)}{more}")


def _repeated(headers: list[FileHeader], along: NDArray[np.float64]) -> UnreadableFile:
    """The refusal for different slices at one place that no tag tells apart."""
    starts = np.flatnonzero(np.diff(along, prepend=along[0] - 1.0) > SAME_PLACE_MM)
    counts = np.diff(starts, append=len(along))
    if counts.min() == counts.max():
        return refuse("multiple-volumes", f"{counts[0]} at each of {len(starts)} places, and no tag tells them apart")
    first = int(starts[np.flatnonzero(counts > 1)[0]])
    n_extra = int((counts - 1).sum())
    return refuse("duplicate-slices", f"{n_extra} slice(s) at a taken position, first at {place(headers, first)}")


def _require_straight(
    headers: list[FileHeader], positions: NDArray[np.float64], normal: NDArray[np.float64], spacing: float
) -> None:
    """Refuse a stack whose slices shift sideways other than evenly, as a tilted gantry shifts them."""
    from_first = positions - positions[0]
    sideways = from_first - np.outer(from_first @ normal, normal)
    tolerance = min(PLACE_TOLERANCE_MM, PLACE_TOLERANCE_OF_SPACING * spacing)
    off = np.linalg.norm(sideways - np.linspace(0, 1, len(headers))[:, None] * sideways[-1], axis=1)
    if off.max() > tolerance:
        worst = place(headers, int(off.argmax()))
        raise refuse("sheared-stack", f"slices shift sideways unevenly, by up to {off.max():.4g} mm, most at {worst}")
