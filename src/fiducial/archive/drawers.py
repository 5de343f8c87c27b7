"""Which reader reads objects that were drawn on a series: what they refer to, and their masks on its grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fiducial.errors import UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fiducial.archive.dicom.header import SeriesReference


@dataclass(frozen=True)
class References:
    """What an object refers to; or why it cannot be read."""

    series_uids: frozenset[str] = frozenset()
    sop_uids: frozenset[str] = frozenset()
    frame_uids: frozenset[str] = frozenset()
    refusal: UnreadableFile | None = None


@dataclass(frozen=True)
class Structure:
    """One structure on a grid: its boolean mask [x, y, z], or why there is none.

    ``code`` is JSON of what the object says the structure is, ``rater`` who drew it ("" for the reference), ``repairs``
    what was done to get it onto the grid (``code: what``).
    """

    name: str
    mask: NDArray[np.bool_] | None
    refusal: UnreadableFile | None = None
    code: str = ""
    rater: str = ""
    repairs: tuple[str, ...] = ()


def _structure_set_references(path: Path) -> References:
    from fiducial.archive.rtstruct import read_structure_set

    found = read_structure_set(path)
    return References(found.series_uids, found.sop_uids, found.frame_uids)


def _structure_set(path: Path, reference: SeriesReference) -> list[Structure]:
    from fiducial.archive.rtstruct import draw, read_structure_set

    return draw(read_structure_set(path), reference)


def _segmentation_references(path: Path) -> References:
    from fiducial.archive.segmentation import segmentation_references

    return segmentation_references(path)


def _segmentation(path: Path, reference: SeriesReference) -> Iterable[Structure]:
    from fiducial.archive.segmentation import draw_segmentation

    return draw_segmentation(path, reference)


REFERENCES: dict[str, Callable[[Path], References]] = {
    "structure_set": _structure_set_references,
    "segmentation": _segmentation_references,
}
"""By kind of object (`OBJECTS` in dicom/kinds.py): what it refers to. Raises `UnreadableFile`."""
DRAWERS: dict[str, Callable[[Path, SeriesReference], Iterable[Structure]]] = {
    "structure_set": _structure_set,
    "segmentation": _segmentation,
}
"""By kind of object: its structures on the grid of the series that it belongs to. Raises `UnreadableFile`."""
WORDS: dict[str, str] = {"structure_set": "RTSTRUCT", "segmentation": "SEG"}
"""By kind of object: its modality in the ingest report."""
