"""From the files of a series to an ordered stack on one grid, or a refusal that names what is wrong and where."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.header import LPS_FROM_RAS, SeriesReference
from fiducial.archive.dicom.headers import VECTORS, FileHeader
from fiducial.archive.refusal import refuse
from fiducial.records.image import Geometry

DIRECTION_TOLERANCE = 1e-3
PLACE_TOLERANCE_MM = 0.1
SAME_PLACE_MM = 1e-3
PLACE_TOLERANCE_OF_SPACING = 0.1
REQUIRED_TEXTS = ("SOPInstanceUID", "StudyInstanceUID", "PatientID")
REQUIRED_NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
# What may tell apart the volumes of a series that visits each position several times.
VOLUME_TAGS = ("EchoTime", "DiffusionBValue", "TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber")


@dataclass(frozen=True)
class Stack:
    """Slices of one series, rising along row x column, on one perpendicular grid; ``repairs`` says what was mended."""

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
    """Order a series' slices by position · normal and derive its grid; reads no pixels.

    The affine's columns are PixelSpacing[1] · row direction, PixelSpacing[0] · column direction and the mean step
    between slices, turned from LPS to RAS+. Slices must lie within 0.1 mm (or a tenth of the spacing, if less) of
    an even, straight stack.

    Raises:
        UnreadableFile: a refusal by code.
    """
    if series.refusal is not None:
        raise series.refusal
    _require_tags(series)
    headers, repairs = _without_copies(series.headers)
    _require_one(headers)
    row, column, normal = _directions(headers)
    positions = np.array([h.vector("ImagePositionPatient") for h in headers])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    headers, positions, along = [headers[i] for i in order], positions[order], along[order]
    if len(headers) == 1:
        raise refuse("single-slice", "one slice")
    spacing = _require_even(headers, along)
    stated = headers[0].number("NumberOfSlices")
    if stated is not None and stated > len(headers):
        raise refuse(
            "missing-slices", f"{len(headers)} slices, {stated:g} stated by NumberOfSlices, none inside missing"
        )
    _require_straight(headers, positions, normal, column, spacing)
    y_mm, x_mm = _pixel_spacing(headers[0])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * x_mm, column * y_mm
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(headers) - 1)
    affine[:3, 3] = positions[0]
    shape = (_whole(headers[0], "Columns"), _whole(headers[0], "Rows"), len(headers))
    geometry = Geometry(LPS_FROM_RAS @ affine, shape)
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
    n_cut = sum(not header.has_pixels for header in series.headers)
    if n_cut:
        raise refuse("truncated", f"{n_cut} of {n_files} files end before or within their pixel data")
    absent: Counter[str] = Counter()
    for header in series.headers:
        absent.update(k for k in REQUIRED_TEXTS if not header.text(k))
        absent.update(k for k in REQUIRED_NUMBERS if header.number(k) is None)
        absent.update(k for k in VECTORS if header.vector(k) is None)
        absent.update([] if header.transfer_syntax else ["TransferSyntaxUID"])
        if not (_whole(header, "Rows") > 0 and _whole(header, "Columns") > 0):
            absent["Rows, Columns > 0"] += 1
        if any(mm <= 0 for mm in _pixel_spacing(header)):
            absent["PixelSpacing > 0"] += 1
    if absent:
        raise refuse("missing-tags", ", ".join(f"{k} in {n} of {n_files} files" for k, n in sorted(absent.items())))


def _without_copies(headers: tuple[FileHeader, ...]) -> tuple[list[FileHeader], tuple[str, ...]]:
    """Drop files that repeat another byte for byte; refuse two contents under one SOPInstanceUID."""
    kept: dict[str, FileHeader] = {}
    n_copies = 0
    for header in headers:
        first = kept.setdefault(header.text("SOPInstanceUID"), header)
        if first is header:
            continue
        if _digest(first) != _digest(header):
            raise refuse("conflicting-copies", "one SOPInstanceUID in two files of different content")
        n_copies += 1
    repairs = (f"exact-copies: {n_copies} file(s) that repeat another byte for byte left out",) if n_copies else ()
    return list(kept.values()), repairs


def _digest(header: FileHeader) -> str:
    with header.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_one(headers: list[FileHeader]) -> None:
    """One patient, one study, one frame of reference, one size."""
    if len({(h.text("PatientID"), h.text("StudyInstanceUID")) for h in headers}) > 1:
        n_patients = len({h.text("PatientID") for h in headers})
        raise refuse("mixed-patients", f"{n_patients} patient(s) and several studies or patients under one series UID")
    n_frames = len({h.text("FrameOfReferenceUID") for h in headers})
    if n_frames > 1:
        raise refuse("mixed-frame-of-reference", f"{n_frames} frames of reference")
    sizes = {(_whole(h, "Columns"), _whole(h, "Rows")) for h in headers}
    if len(sizes) > 1:
        raise refuse("mixed-sizes", " and ".join(f"{x} x {y}" for x, y in sorted(sizes)) + " voxels")
    spacings = np.array([_pixel_spacing(h) for h in headers])
    if (np.ptp(spacings, axis=0) > 1e-4 * spacings[0]).any():
        low, high = spacings.min(), spacings.max()
        raise refuse("mixed-sizes", f"pixel spacings from {low:.6g} to {high:.6g} mm")


def _directions(headers: list[FileHeader]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors in LPS: growing column index, growing row index, and their cross product."""
    directions = np.array([h.vector("ImageOrientationPatient") for h in headers])
    apart = np.abs(directions - directions[0]).max(axis=1) > DIRECTION_TOLERANCE
    if apart.any():
        n_kinds = len({tuple(np.round(d, 2)) for d in directions})
        raise refuse("mixed-orientation", f"{int(apart.sum())} of {len(headers)} slices differ, {n_kinds} orientations")
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
    steps = np.rint(gaps / spacing)
    fits = np.abs(gaps - steps * spacing) <= tolerance * np.maximum(steps, 1)
    if fits.all() and (steps >= 1).all():
        holes = np.flatnonzero(steps > 1)
        named = [f"{int(steps[i]) - 1} between {place(headers, i)} and {place(headers, i + 1)}" for i in holes[:5]]
        more = "" if len(holes) <= 5 else f" and {len(holes) - 5} further places"
        n_missing = int((steps - 1).sum())
        raise refuse("missing-slices", f"{n_missing} at a spacing of {spacing:.4g} mm: {', '.join(named)}{more}")
    worst = int(np.abs(gaps - spacing).argmax())
    raise refuse(
        "uneven-slices",
        f"gaps from {gaps.min():.4g} to {gaps.max():.4g} mm (median {spacing:.4g}); the most unlike lies between "
        f"{place(headers, worst)} and {place(headers, worst + 1)}",
    )


def _repeated(headers: list[FileHeader], along: NDArray[np.float64]) -> Exception:
    """The refusal for slices at one position: volumes that a tag tells apart, or plain duplicates."""
    starts = np.flatnonzero(np.diff(along, prepend=along[0] - 1.0) > SAME_PLACE_MM)
    counts = np.diff(starts, append=len(along))
    if counts.min() == counts.max():
        for keyword in VOLUME_TAGS:
            values = Counter(h.number(keyword) for h in headers)
            if len(values) == counts[0] and set(values.values()) == {len(starts)}:
                return refuse("multiple-volumes", f"{counts[0]} at each of {len(starts)} positions, by {keyword}")
    first = int(starts[np.flatnonzero(counts > 1)[0]])
    n_extra = int((counts - 1).sum())
    return refuse("duplicate-slices", f"{n_extra} slice(s) at a taken position, first at {place(headers, first)}")


def _require_straight(
    headers: list[FileHeader],
    positions: NDArray[np.float64],
    normal: NDArray[np.float64],
    column: NDArray[np.float64],
    spacing: float,
) -> None:
    """Refuse a stack whose slices shift sideways: a tilted gantry shifts them evenly along the columns."""
    from_first = positions - positions[0]
    sideways = from_first - np.outer(from_first @ normal, normal)
    tolerance = min(PLACE_TOLERANCE_MM, PLACE_TOLERANCE_OF_SPACING * spacing)
    if np.linalg.norm(sideways, axis=1).max() <= tolerance:
        return
    even = np.linspace(0, 1, len(headers))[:, None] * sideways[-1]
    angle = float(np.degrees(np.arctan2(np.linalg.norm(sideways[-1]), abs(from_first[-1] @ normal))))
    along_column = np.abs(sideways - np.outer(sideways @ column, column)).max() <= tolerance
    if np.abs(sideways - even).max() <= tolerance and along_column:
        raise refuse("gantry-tilt", f"slices shift evenly along the columns, {angle:.2f} degrees")
    raise refuse("sheared-stack", f"slices shift sideways by up to {np.linalg.norm(sideways, axis=1).max():.4g} mm")
