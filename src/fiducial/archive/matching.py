"""Which series a structure set was drawn on: by series UID, else by the images it names, else by frame of reference."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.refusal import refuse
from fiducial.archive.rtstruct import StructureSet, read_structure_set
from fiducial.compute import map_cases
from fiducial.errors import UnreadableFile
from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class Match:
    """A structure set's file with the series that it belongs to, or why none was found."""

    path: Path
    series_uid: str = ""
    refusal: UnreadableFile | None = None


@dataclass(frozen=True)
class References:
    """What a structure set refers to, without its contours; or why it cannot be read."""

    series_uids: frozenset[str] = frozenset()
    sop_uids: frozenset[str] = frozenset()
    frame_uids: frozenset[str] = frozenset()
    refusal: UnreadableFile | None = None


def match_structure_sets(
    files: tuple[FileHeader, ...],
    series: tuple[SeriesFiles, ...],
    *,
    workers: int = 0,
    progress: Progress = silent,
) -> list[Match]:
    """Match each structure set to exactly one series of the same patient.

    The referenced SeriesInstanceUIDs count first; where they name none or several of the series at hand, the
    referenced SOP instances do; where these name none, the one series in the frame of reference. More than one
    candidate at the end is ``rtstruct-ambiguous``, none is ``rtstruct-no-series``.
    """
    index = _Index(series)
    cases = {str(i): header.path for i, header in enumerate(files)}
    found = map_cases(read_references, cases, workers=workers, progress=progress, title="reading structure sets")
    matches = []
    for key, path in cases.items():
        references = found.results.get(key)
        if references is None:
            error = next(failure.error for failure in found.failures if failure.key == key)
            matches.append(Match(path, refusal=refuse("unexpected", error)))
        elif references.refusal is not None:
            matches.append(Match(path, refusal=references.refusal))
        else:
            matches.append(index.match(path, references, files[int(key)].text("PatientID")))
    return matches


def read_references(path: Path) -> References:
    """Read what a structure set refers to; a file that cannot be read carries its refusal."""
    try:
        found: StructureSet = read_structure_set(path)
    except UnreadableFile as refusal:
        return References(refusal=UnreadableFile(refusal.given, action=refusal.action))
    return References(found.series_uids, found.sop_uids, found.frame_uids)


class _Index:
    """Series by patient and by each kind of reference."""

    def __init__(self, series: tuple[SeriesFiles, ...]) -> None:
        self.by_series: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.by_sop: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.by_frame: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in series:
            for header in one.headers:
                patient = header.text("PatientID")
                self.by_series[patient, one.series_uid].add(one.series_uid)
                self.by_sop[patient, header.text("SOPInstanceUID")].add(one.series_uid)
                self.by_frame[patient, header.text("FrameOfReferenceUID")].add(one.series_uid)

    def match(self, path: Path, references: References, patient: str) -> Match:
        make = partial(Match, path)
        named = self._found(self.by_series, patient, references.series_uids)
        if len(named) == 1:
            return make(named.pop())
        candidates = self._found(self.by_sop, patient, references.sop_uids)
        candidates = candidates & named if named and candidates else candidates or named
        candidates = candidates or self._found(self.by_frame, patient, references.frame_uids)
        if len(candidates) == 1:
            return make(candidates.pop())
        if candidates:
            return make(refusal=refuse("rtstruct-ambiguous", f"{len(candidates)} series of this patient fit"))
        return make(refusal=refuse("rtstruct-no-series", "none of the series of this patient fits its references"))

    @staticmethod
    def _found(index: dict[tuple[str, str], set[str]], patient: str, uids: frozenset[str]) -> set[str]:
        return {one for uid in uids for one in index.get((patient, uid), ())}
