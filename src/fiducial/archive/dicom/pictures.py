"""Projections, photographs, ultrasound and captures as images: one file, one image, with what its header says of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.decoders import Decoded
from fiducial.archive.dicom import calibration, cine
from fiducial.archive.dicom.colour import CHANNELS, palette_of, rgb
from fiducial.archive.dicom.dataset import read_dataset
from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.display import Grey, Voi, grey_of, voi_of, window_of
from fiducial.archive.dicom.header import SeriesReference
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.kinds import PICTURES
from fiducial.archive.dicom.pixels import GREY, Layout, frames, layout_of
from fiducial.archive.dicom.values import parse_errors, quiet_pydicom, value_of
from fiducial.archive.refusal import refuse
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry, Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PIXEL_KEYWORDS = (
    "SOPClassUID",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "PhotometricInterpretation",
    "PixelPaddingValue",
)
GREY_KEYWORDS = (
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
)
PALETTE_KEYWORDS = (
    *(f"{name}PaletteColorLookupTableDescriptor" for name in CHANNELS),
    *(f"{name}PaletteColorLookupTableData" for name in CHANNELS),
    *(f"Segmented{name}PaletteColorLookupTableData" for name in CHANNELS),
)
CODES = {
    "view_position": "ViewPosition",
    "body_part": "BodyPartExamined",
    "presentation_intent": "PresentationIntentType",
    "conversion": "ConversionType",
    "shutter": "ShutterShape",
    "field_flipped": "FieldOfViewHorizontalFlip",
    "transducer": "TransducerType",
    "recognizable_features": "RecognizableVisualFeatures",
}
"""Columns that hold one coded value (VR CS) as it stands; whatever is no such code is left out."""
OTHER_KEYWORDS = (
    *CODES.values(),
    "BurnedInAnnotation",
    "ImageLaterality",
    "Laterality",
    "PatientOrientation",
    "ICCProfile",
)
KEYWORDS = tuple(
    dict.fromkeys(
        (
            *PIXEL_KEYWORDS,
            *GREY_KEYWORDS,
            *PALETTE_KEYWORDS,
            *OTHER_KEYWORDS,
            *calibration.KEYWORDS,
            *cine.KEYWORDS,
        )
    )
)
OWN_SCALE = (*calibration.PROJECTIONS, "NM", "RTIMAGE")
SIDES = ("L", "R", "B", "U")
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
_DIRECTION = re.compile(r"[LRAPHF]{1,3}")


@dataclass(frozen=True)
class Opened:
    """A file's header, how its pixels are stored, its grid, and what the frames of it follow."""

    header: FileHeader
    dataset: Dataset
    layout: Layout
    spacing: calibration.Calibration
    frames: cine.Frames

    @property
    def geometry(self) -> Geometry:
        """Where the frames say it, a place in the patient; else x to the right and y down the screen, from 0."""
        shape = (self.layout.columns, self.layout.rows, self.layout.n_frames)
        if self.frames.affine is not None:
            return Geometry(self.frames.affine, shape)
        return Geometry(np.diag([self.spacing.x_mm, self.spacing.y_mm, self.frames.z_mm, 1.0]), shape)

    @property
    def unit(self) -> str:
        """Grey for what is made to be looked at; a detector's values are on a scale of their own, as MR's are."""
        own_scale = PICTURES[self.header.text("SOPClassUID")] in OWN_SCALE
        return "" if own_scale or self.frames.affine is not None else "grey"


def decode_picture(series: SeriesFiles) -> Decoded:
    """Decode one file [channel, x, y, frame] with x along the columns and y down the rows, as a PNG is read.

    Grey values are those after the modality LUT; MONOCHROME1 is inverted within the range that the header allows, so
    that larger is brighter. The values of interest (window, VOI LUT) are stated in columns and not applied. Colour is
    RGB, of 8 bits where the stored one is. Frames lie along z (`cine.Frames`); memory is the image and one frame.

    Several files under one SOPInstanceUID are one image if those that can be read hold the same pixels, whatever their
    encoding.

    Raises:
        UnreadableFile: a refusal by code.
    """
    distinct = _distinct(series.headers)
    first: Decoded | None = None
    n_same, broken = 0, list[UnreadableFile]()
    for header in distinct:
        try:
            decoded = _decoded(replace(series, headers=(header,)))
        except UnreadableFile as refusal:
            broken.append(refusal)
            continue
        if first is not None and not _alike(first.image, decoded.image):
            raise refuse("conflicting-copies", f"one SOPInstanceUID in {len(distinct)} files of different content")
        n_same += first is not None
        first = first or decoded
    if first is None:
        raise broken[0]
    said = (
        (len(series.headers) - len(distinct), "exact-copies: {} file(s) that repeat another byte for byte left out"),
        (n_same, "same-pixels: {} file(s) of the same pixels in another encoding left out"),
        (len(broken), "damaged-copies: {} file(s) under the same SOPInstanceUID that cannot be read left out"),
    )
    return replace(first, repairs=(*(text.format(n) for n, text in said if n), *first.repairs))


def _decoded(series: SeriesFiles) -> Decoded:
    """One file, decoded."""
    opened = open_picture(series)
    layout, dataset = opened.layout, opened.dataset
    repairs: tuple[str, ...] = ()
    convert: Callable[[NDArray[Any]], NDArray[Any]]
    with _parsing():
        columns = _columns(opened)
        if layout.photometric in GREY:
            described = cine.with_macros(dataset)
            convert = grey = grey_of(described, layout)
            columns |= _display(described, grey, layout.stored_range)
            if grey.inverted:
                repairs = (f"monochrome1: larger was darker, inverted within {grey.low:g} to {grey.high:g}",)
        else:
            convert = partial(rgb, layout=layout, palette=palette_of(dataset, layout))
    array = _stacked(layout, convert)
    return Decoded(Image(array, opened.geometry, series.modality, opened.unit), repairs, columns)


def _alike(one: Image, other: Image) -> bool:
    return one.geometry.matches(other.geometry) and np.array_equal(one.array, other.array)


def picture_reference(series: SeriesFiles) -> SeriesReference:
    """The grid and the UIDs that an object drawn on the picture refers to; every frame has the file's UID."""
    opened = open_picture(series)
    header = opened.header
    return SeriesReference(
        geometry=opened.geometry,
        modality=series.modality,
        study_uid=header.text("StudyInstanceUID"),
        series_uid=series.series_uid,
        frame_uid=header.text("FrameOfReferenceUID"),
        sop_class=header.text("SOPClassUID"),
        sop_uids=(header.text("SOPInstanceUID"),) * opened.layout.n_frames,
    )


def open_picture(series: SeriesFiles) -> Opened:
    """Read and check everything but the pixels.

    Raises:
        UnreadableFile: a refusal by code.
    """
    if series.refusal is not None:
        raise series.refusal
    header = series.headers[0]
    if not header.has_pixels:
        raise refuse("truncated", "the file ends before its pixel data")
    dataset = read_dataset(header.path, keywords=KEYWORDS)
    with _parsing():
        layout = layout_of(header.path, dataset)
        return Opened(header, dataset, layout, calibration.spacing_of(dataset), cine.frames_of(dataset, layout))


@contextmanager
def _parsing() -> Iterator[None]:
    """The library makes values when they are asked for: one that is broken is a refusal, and is not quoted."""
    with quiet_pydicom():
        try:
            yield
        except UnreadableFile:
            raise
        except parse_errors() as error:
            raise refuse("unreadable", f"a value of the header cannot be parsed ({type(error).__name__})") from error


def _distinct(headers: tuple[FileHeader, ...]) -> tuple[FileHeader, ...]:
    """The files under one SOPInstanceUID that differ in a byte, the first of each content."""
    if len(headers) == 1:
        return headers
    contents: dict[str, FileHeader] = {}
    for header in headers:
        with header.path.open("rb") as file:
            contents.setdefault(hashlib.file_digest(file, "sha256").hexdigest(), header)
    return tuple(contents.values())


def _stacked(layout: Layout, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """Every frame converted into one array [channel, x, y, frame]."""
    volume: NDArray[Any] | None = None
    for k, frame in enumerate(frames(layout)):
        plane = convert(frame)
        plane = plane[..., None] if plane.ndim == 2 else plane
        if volume is None:
            volume = np.empty((layout.n_frames, *plane.shape), dtype=plane.dtype)
        volume[k] = plane
    if volume is None:
        raise refuse("truncated", "no frame")
    return volume.transpose(3, 2, 1, 0)


def _display(dataset: Dataset, grey: Grey, stored_range: tuple[int, int]) -> dict[str, Any]:
    """How the picture is meant to be shown, in the image's own values: what is damaged there costs no voxel."""
    damaged: tuple[type[Exception], ...] = (UnreadableFile, *parse_errors())
    try:
        voi = voi_of(dataset, grey)
    except damaged:
        voi = Voi("unreadable")
    center, width = window_of(voi, grey)
    padding = cine.number(dataset, "PixelPaddingValue")
    low, high = stored_range
    shown = np.nan if not low <= padding <= high else float(grey(np.array([[padding]], dtype=np.int64))[0, 0])
    return {"voi": voi.kind, "window_center": center, "window_width": width, "padding": shown}


def _columns(opened: Opened) -> dict[str, Any]:
    """What the header says of the picture, as columns of its cohort row: coded values and numbers only."""
    dataset = opened.dataset
    columns: dict[str, Any] = {name: _code(dataset, keyword) for name, keyword in CODES.items()}
    side = _code(dataset, "ImageLaterality") or _code(dataset, "Laterality")
    burned_in = _code(dataset, "BurnedInAnnotation")
    return {
        # A picture has no place in the patient: it is a case of its own, whatever frame of reference it names.
        **({"exam": ""} if opened.frames.affine is None else {}),
        **columns,
        "laterality": side if side in SIDES else "",
        "patient_orientation": _orientation(dataset),
        "burned_in": burned_in if burned_in in ("YES", "NO") else "",
        "photometric": opened.layout.photometric,
        "icc_profile": "yes" if value_of(dataset, "ICCProfile") else "no",
        "spacing_source": opened.spacing.source,
        "spacing_calibration": opened.spacing.calibration,
        "ultrasound_regions": opened.spacing.n_regions,
        **opened.frames.columns(opened.layout.n_frames),
    }


def _code(dataset: Dataset, keyword: str) -> str:
    """A coded value, empty where it is absent, several, or no legal code: free text may hold a name."""
    value = value_of(dataset, keyword)
    text = "" if value is None else str(value).strip(" \0")
    return text if _CODE.fullmatch(text) else ""


def _orientation(dataset: Dataset) -> str:
    """PatientOrientation: where rows and columns run to, as ``L/F`` (to the left, to the feet)."""
    value = value_of(dataset, "PatientOrientation") or ()
    parts = [str(part).strip() for part in value] if not isinstance(value, str) else [value]
    return "/".join(parts) if len(parts) == 2 and all(_DIRECTION.fullmatch(part) for part in parts) else ""
