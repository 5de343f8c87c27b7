"""How large a pixel of a picture is, and what that is a measure of: the patient, the detector, or nothing known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.archive.dicom.kinds import PICTURES
from fiducial.archive.dicom.values import value_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SOURCES = (
    "pixel_spacing",
    "imager",
    "imager/magnification",
    "ultrasound_region",
    "scanned",
    "image_plane",
    "unknown",
)
"""What a picture's spacing is: see `spacing_of`."""
PROJECTIONS = ("CR", "DX", "MG", "IO", "XA", "RF")
KEYWORDS = (
    "PixelSpacing",
    "PixelSpacingCalibrationType",
    "ImagerPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "NominalScannedPixelSpacing",
    "ImagePlanePixelSpacing",
    "PixelAspectRatio",
    "SequenceOfUltrasoundRegions",
    "SharedFunctionalGroupsSequence",
)
CENTIMETRES = 3
TWO_DIMENSIONAL = 1
MM_PER_CM = 10.0
SAME = 1e-3
LEAST_MM, MOST_MM = 1e-5, 100.0


@dataclass(frozen=True)
class Calibration:
    """``x_mm`` between columns, ``y_mm`` between rows, and where that comes from (one of `SOURCES`)."""

    x_mm: float
    y_mm: float
    source: str
    n_regions: int = 0
    calibration: str = ""


def spacing_of(dataset: Dataset) -> Calibration:
    """The best figure that the header gives, by this order; without any, 1.0 and ``unknown``.

    ``ultrasound_region``: PhysicalDelta of the two-dimensional regions in centimetres, if all agree.
    ``pixel_spacing``: PixelSpacing; for a projection only where it was calibrated (PixelSpacingCalibrationType, or
    unequal to ImagerPixelSpacing), or where nothing else is said.
    ``imager/magnification``: ImagerPixelSpacing divided by EstimatedRadiographicMagnificationFactor.
    ``imager``: ImagerPixelSpacing, at the detector: objects in the patient are smaller by the magnification.
    ``scanned``: NominalScannedPixelSpacing of a film or plate. ``image_plane``: ImagePlanePixelSpacing of an RT image.
    Where only PixelAspectRatio is known, x is 1.0 and y the ratio, ``unknown``.
    """
    regions = _regions(dataset)
    deltas = [delta for delta in map(_centimetres, regions) if delta is not None]
    if deltas and np.ptp(np.array(deltas), axis=0).max() <= SAME * min(deltas[0]):
        return Calibration(deltas[0][0], deltas[0][1], "ultrasound_region", len(regions))
    pixel, imager = _pair(dataset, "PixelSpacing"), _pair(dataset, "ImagerPixelSpacing")
    kind = str(value_of(dataset, "PixelSpacingCalibrationType") or "").strip().upper()
    kind = kind if kind in ("GEOMETRY", "FIDUCIAL") else ""
    is_projection = PICTURES.get(str(dataset.get("SOPClassUID", ""))) in PROJECTIONS
    if pixel and imager and is_projection and not kind and np.allclose(pixel, imager, rtol=SAME, atol=0):
        pixel = None
    if pixel:
        return Calibration(pixel[1], pixel[0], "pixel_spacing", len(regions), kind)
    factor = _factor(dataset)
    for source, pair in (
        ("imager/magnification" if factor != 1.0 else "imager", imager),
        ("scanned", _pair(dataset, "NominalScannedPixelSpacing")),
        ("image_plane", _pair(dataset, "ImagePlanePixelSpacing")),
    ):
        if pair:
            divisor = factor if source == "imager/magnification" else 1.0
            return Calibration(pair[1] / divisor, pair[0] / divisor, source, len(regions), kind)
    ratio = _ratio(dataset)
    return Calibration(1.0, ratio, "unknown", len(regions))


def _regions(dataset: Dataset) -> list[Any]:
    return list(dataset.get("SequenceOfUltrasoundRegions") or ())


def _centimetres(region: Dataset) -> tuple[float, float] | None:
    """Millimetres between columns and rows of a two-dimensional region measured in centimetres, else None."""
    units = (value_of(region, "PhysicalUnitsXDirection"), value_of(region, "PhysicalUnitsYDirection"))
    if value_of(region, "RegionSpatialFormat") != TWO_DIMENSIONAL or units != (CENTIMETRES, CENTIMETRES):
        return None
    try:
        mm = [abs(float(value_of(region, name))) * MM_PER_CM for name in ("PhysicalDeltaX", "PhysicalDeltaY")]
    except (TypeError, ValueError):
        return None
    return (mm[0], mm[1]) if all(LEAST_MM <= n <= MOST_MM for n in mm) else None


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    """Millimetres between rows and between columns; None where absent or no plausible size (0, negative, metres)."""
    for item in (dataset, *_shared(dataset)):
        try:
            numbers = tuple(float(part) for part in value_of(item, keyword) or ())
        except (TypeError, ValueError):
            continue
        if len(numbers) == 2 and all(LEAST_MM <= n <= MOST_MM for n in numbers):
            return numbers[0], numbers[1]
    return None


def _shared(dataset: Dataset) -> Iterator[Any]:
    """The macros that all frames of an enhanced object share."""
    for group in dataset.get("SharedFunctionalGroupsSequence") or ():
        for element in group:
            if element.VR == "SQ":
                yield from element.value


def _factor(dataset: Dataset) -> float:
    """The estimated magnification, 1.0 where none is stated or the value is none."""
    try:
        factor = float(value_of(dataset, "EstimatedRadiographicMagnificationFactor") or 1.0)
    except (TypeError, ValueError):
        return 1.0
    return factor if 1.0 <= factor <= 10.0 else 1.0


def _ratio(dataset: Dataset) -> float:
    """Height over width of a pixel by PixelAspectRatio (vertical, then horizontal); 1.0 where it is not stated."""
    try:
        vertical, horizontal = (float(part) for part in value_of(dataset, "PixelAspectRatio") or ())
    except (TypeError, ValueError):
        return 1.0
    return vertical / horizontal if vertical > 0 and horizontal > 0 and 0.1 < vertical / horizontal < 10 else 1.0
