"""Which decoder reads a series of which kind: one dict, and what a decoder gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fiducial.records.image import Image

if TYPE_CHECKING:
    from fiducial.archive.dicom.discover import SeriesFiles
    from fiducial.archive.dicom.header import SeriesReference


@dataclass(frozen=True)
class Decoded:
    """An image, what was mended to read it (``code: what``), and further columns of its cohort row."""

    image: Image
    repairs: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


def _slices(series: SeriesFiles) -> Decoded:
    from fiducial.archive.dicom.read import read_volume
    from fiducial.archive.dicom.split import series_columns

    volume = read_volume(series)
    return Decoded(volume.image, volume.repairs, {**series_columns(series.headers[0]), **volume.columns})


def _slices_reference(series: SeriesFiles) -> SeriesReference:
    from fiducial.archive.dicom.stack import stack_series

    return stack_series(series).reference


def _picture(series: SeriesFiles) -> Decoded:
    from fiducial.archive.dicom.pictures import decode_picture

    return decode_picture(series)


def _picture_reference(series: SeriesFiles) -> SeriesReference:
    from fiducial.archive.dicom.pictures import picture_reference

    return picture_reference(series)


def _dose(series: SeriesFiles) -> Decoded:
    from fiducial.archive.dose import decode_dose

    return decode_dose(series)


def _dose_reference(series: SeriesFiles) -> SeriesReference:
    from fiducial.archive.dose import dose_reference

    return dose_reference(series)


def _parametric_map(series: SeriesFiles) -> Decoded:
    from fiducial.archive.parametric_map import decode_map

    return decode_map(series)


def _parametric_map_reference(series: SeriesFiles) -> SeriesReference:
    from fiducial.archive.parametric_map import map_reference

    return map_reference(series)


DECODERS: dict[str, Callable[[SeriesFiles], Decoded]] = {
    "slices": _slices,
    "picture": _picture,
    "cine": _picture,
    "frames": _slices,
    "dose": _dose,
    "parametric_map": _parametric_map,
}
"""By `SeriesFiles.kind`. A decoder raises `UnreadableFile` for what it cannot read whole."""
GRIDS: dict[str, Callable[[SeriesFiles], SeriesReference]] = {
    "slices": _slices_reference,
    "picture": _picture_reference,
    "cine": _picture_reference,
    "frames": _slices_reference,
    "dose": _dose_reference,
    "parametric_map": _parametric_map_reference,
}
"""By kind: the grid and the UIDs that objects drawn on the series refer to; reads no pixels."""
