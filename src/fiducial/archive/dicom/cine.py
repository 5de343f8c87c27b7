"""What the frames of a file follow: time, slices of a volume, angles, or nothing that the header says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.header import LPS_FROM_RAS
from fiducial.archive.dicom.kinds import PICTURES
from fiducial.archive.dicom.pixels import Layout
from fiducial.archive.dicom.values import value_of
from fiducial.archive.refusal import refuse

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Attributes that say how frames differ, and what they follow then.
VECTORS = {
    "EnergyWindowVector": "",
    "DetectorVector": "",
    "PhaseVector": "phase",
    "RotationVector": "",
    "RRIntervalVector": "",
    "TimeSlotVector": "phase",
    "SliceVector": "slices",
    "AngularViewVector": "angle",
    "TimeSliceVector": "time",
}
KEYWORDS = (
    *VECTORS,
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "RecommendedDisplayFrameRate",
    "DetectorInformationSequence",
    "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
TIMED = ("US", "XA", "RF", "ES", "GM", "XC")
"""Classes whose frames are a film even where no frame time is stated."""
EVEN_MM = 0.1
MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


@dataclass(frozen=True)
class Frames:
    """What the frames follow (``time``, ``phase``, ``slices``, ``angle``, ``sequence``, or empty for a single frame).

    ``times_ms`` are the steps from frame to frame, the first one 0; ``affine`` is set where the frames are slices with
    a place in the patient; else ``z_mm`` is 1 (no distance: time is not a place), or the stated distance of slices.
    """

    kind: str = ""
    times_ms: tuple[float, ...] = ()
    z_mm: float = 1.0
    affine: NDArray[np.float64] | None = None

    def columns(self, n_frames: int) -> dict[str, Any]:
        """The cohort's columns: ``frame_time_ms`` is the mean step, the steps are listed only where they differ."""
        steps = self.times_ms[1:]
        uneven = len(set(steps)) > 1
        return {
            "frames": self.kind,
            "n_frames": n_frames,
            "frame_time_ms": round(float(np.mean(steps)), 4) if steps else np.nan,
            "frame_times_ms": " ".join(f"{step:g}" for step in self.times_ms) if uneven else "",
        }


def frames_of(dataset: Dataset, layout: Layout) -> Frames:
    """What the frames of a file follow.

    Raises:
        UnreadableFile: ``frames-ambiguous``, where frames differ in more than one way, or in energy window, detector or
            rotation: they are several images in one file.
    """
    n = layout.n_frames
    if n == 1:
        return Frames()
    modality = PICTURES.get(str(dataset.get("SOPClassUID", "")), "")
    if modality == "NM":
        return _nuclear(dataset, n)
    if modality == "OPT":
        return _tomography(dataset, n)
    times = _times(dataset, n)
    return Frames("time" if times or modality in TIMED else "sequence", times)


def with_macros(dataset: Dataset) -> Dataset:
    """An enhanced object's window and rescale, which stand in functional groups, as if they stood in the data set.

    Raises:
        UnreadableFile: ``frames-ambiguous``, where frames are rescaled differently.
    """
    shared = dataset.get("SharedFunctionalGroupsSequence")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if not shared and not per_frame:
        return dataset
    from pydicom.dataset import Dataset as Plain

    merged = Plain()
    for name in MACROS:
        items = [group[name].value[0] for group in (*(shared or ()), *(per_frame or ())) if group.get(name)]
        if name == MACROS[0] and len({(str(i.get("RescaleSlope")), str(i.get("RescaleIntercept"))) for i in items}) > 1:
            raise refuse("frames-ambiguous", "frames have different rescale values")
        if items:
            merged.update(items[0])
    merged.update(dataset)
    return merged


def number(dataset: Dataset, keyword: str) -> float:
    """One number, NaN where it is absent or none."""
    try:
        value = float(value_of(dataset, keyword))
    except (TypeError, ValueError):
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def _numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    value = value_of(dataset, keyword)
    parts = value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        return ()
    return numbers if np.isfinite(numbers).all() else ()


def _times(dataset: Dataset, n: int) -> tuple[float, ...]:
    """Milliseconds from the frame before, 0 for the first; () where the header does not say them."""
    vector = _numbers(dataset, "FrameTimeVector")
    if len(vector) == n and min(vector) >= 0 and sum(vector[1:]) > 0:
        return (0.0, *vector[1:])
    step = number(dataset, "FrameTime")
    if not step > 0:
        rates = (number(dataset, "CineRate"), number(dataset, "RecommendedDisplayFrameRate"))
        step = next((1000 / rate for rate in rates if rate > 0), float("nan"))
    return (0.0, *(step,) * (n - 1)) if step > 0 else ()


def _nuclear(dataset: Dataset, n: int) -> Frames:
    """Nuclear medicine names each way in which frames differ by a vector of indices."""
    vectors = {name: values for name in VECTORS if len(values := _numbers(dataset, name)) == n}
    differing = [name for name, values in vectors.items() if len(set(values)) > 1]
    if len(differing) != 1 or not VECTORS[differing[0]]:
        how = ", ".join(f"{len(set(vectors[name]))} by {name}" for name in differing) or "no vector says how"
        raise refuse("frames-ambiguous", f"{n} frames differ: {how}")
    from pydicom.dataset import Dataset as Plain

    kind = VECTORS[differing[0]]
    if kind != "slices":
        return Frames(kind, _times(dataset, n) if kind == "time" else ())
    detector = next(iter(dataset.get("DetectorInformationSequence") or ()), Plain())
    step = number(dataset, "SpacingBetweenSlices")
    spacing = _numbers(dataset, "PixelSpacing")
    position = _numbers(detector, "ImagePositionPatient")
    directions = np.array(_numbers(detector, "ImageOrientationPatient"))
    if not (len(position) == 3 and directions.size == 6 and len(spacing) == 2 and np.isfinite(step) and step != 0):
        raise refuse("frames-ambiguous", f"{n} slices without position, orientation or SpacingBetweenSlices")
    if list(vectors[differing[0]]) != list(range(1, n + 1)):
        raise refuse("frames-ambiguous", f"{n} slices that are not in order")
    row, column = directions[:3], directions[3:]
    # A negative distance runs against row x column (PS3.3 C.8.4.15).
    return Frames("slices", affine=_affine(np.array(position), row, column, spacing, np.cross(row, column) * step))


def _tomography(dataset: Dataset, n: int) -> Frames:
    """Optical coherence tomography: B-scans, placed where each says its place and they lie evenly side by side."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    measures = _macro((*shared, *per_frame), "PixelMeasuresSequence")
    planes = _macro((*shared, *per_frame), "PlaneOrientationSequence")
    positions = [
        _numbers(item, "ImagePositionPatient") for g in per_frame if (item := _macro((g,), "PlanePositionSequence"))
    ]
    spacing = _numbers(measures, "PixelSpacing") if measures else ()
    directions = _numbers(planes, "ImageOrientationPatient") if planes else ()
    if len(positions) == n and len(directions) == 6 and len(spacing) == 2 and all(len(p) == 3 for p in positions):
        places = np.array(positions)
        step = (places[-1] - places[0]) / (n - 1)
        even = places[0] + np.arange(n)[:, None] * step
        across = abs(float(np.cross(directions[:3], directions[3:]) @ step))
        if np.abs(places - even).max() <= EVEN_MM * np.linalg.norm(step) and across > 0.5 * np.linalg.norm(step):
            row, column = np.array(directions[:3]), np.array(directions[3:])
            return Frames("slices", affine=_affine(places[0], row, column, spacing, step))
    apart = number(measures, "SpacingBetweenSlices") if measures else float("nan")
    return Frames("slices", z_mm=apart) if apart > 0 else Frames("sequence")


def _macro(groups: tuple[Any, ...], name: str) -> Any:
    """The first item of a macro in the first functional group that has it."""
    return next((group[name].value[0] for group in groups if group.get(name)), None)


def _affine(
    origin: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    spacing: tuple[float, ...],
    step: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Index to RAS+ mm; PixelSpacing is (between rows, between columns)."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = row * spacing[1], column * spacing[0], step, origin
    return np.asarray(LPS_FROM_RAS @ affine)
