"""Which series an object was drawn on: by series UID, else by the images it names, else by frame of reference."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.kinds import OBJECTS
from fiducial.archive.drawers import REFERENCES, References
from fiducial.archive.refusal import refuse
from fiducial.compute import map_cases
from fiducial.errors import UnreadableFile
from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class Match:
    """An object's file and kind with the `key` of the series that it belongs to, or why none was found."""

    path: Path
    kind: str
    series: str = ""
    refusal: UnreadableFile | None = None


def match_objects(
    files: tuple[FileHeader, ...],
    series: tuple[SeriesFiles, ...],
    *,
    workers: int = 0,
    progress: Progress = silent,
) -> list[Match]:
    """Match each object to exactly one series (or part of one) of the same patient.

    The referenced SeriesInstanceUIDs count first; where they name none or several of the series at hand, the
    referenced SOP instances do; where these name none, the one series in the frame of reference. More than one
    candidate at the end is ``object-ambiguous``, none is ``object-no-series``.
    """
    index = _Index(series)
    cases = {str(i): (OBJECTS[header.text("SOPClassUID")], header.path) for i, header in enumerate(files)}
    found = map_cases(read_references, cases, workers=workers, progress=progress, title="reading objects")
    matches = []
    for key, (kind, path) in cases.items():
        references = found.results.get(key)
        if references is None:
            error = next(failure.error for failure in found.failures if failure.key == key)
            matches.append(Match(path, kind, refusal=refuse("unexpected", error)))
        elif references.refusal is not None:
            matches.append(Match(path, kind, refusal=references.refusal))
        else:
            series_key = index.match(references, files[int(key)].text("PatientID"))
            refused = series_key if isinstance(series_key, UnreadableFile) else None
            matches.append(Match(path, kind, "" if refused else str(series_key), refused))
    return matches


def read_references(case: tuple[str, Path]) -> References:
    """Read what an object (its kind and file) refers to; one that cannot be read carries its refusal."""
    kind, path = case
    try:
        return REFERENCES[kind](path)
    except UnreadableFile as refusal:
        return References(refusal=UnreadableFile(refusal.given, action=refusal.action))


class _Index:
    """Series by patient and by each kind of reference."""

    def __init__(self, series: tuple[SeriesFiles, ...]) -> None:
        self.by_series: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.by_sop: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.by_frame: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in series:
            for header in one.headers:
                patient = header.text("PatientID")
                self.by_series[patient, one.series_uid].add(one.key)
                self.by_sop[patient, header.text("SOPInstanceUID")].add(one.key)
                self.by_frame[patient, header.text("FrameOfReferenceUID")].add(one.key)

    def match(self, references: References, patient: str) -> str | UnreadableFile:
        """The key of the one series that fits, or why none does."""
        named = self._found(self.by_series, patient, references.series_uids)
        if len(named) == 1:
            return named.pop()
        candidates = self._found(self.by_sop, patient, references.sop_uids)
        candidates = candidates & named if named and candidates else candidates or named
        candidates = candidates or self._found(self.by_frame, patient, references.frame_uids)
        if len(candidates) == 1:
            return candidates.pop()
        if candidates:
            return refuse("object-ambiguous", f"{len(candidates)} series of this patient fit")
        return refuse("object-no-series", "none of the series of this patient fits its references")

    @staticmethod
    def _found(index: dict[tuple[str, str], set[str]], patient: str, uids: frozenset[str]) -> set[str]:
        return {one for uid in uids for one in index.get((patient, uid), ())}
