"""What is to be done, before anything is written: every file of the source under its new names, or set aside."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fiducial.archive.dates import DateShift, home_sites
from fiducial.archive.deidentify.file import FileJob
from fiducial.archive.deidentify.profile import Options
from fiducial.archive.deidentify.review import Review, review
from fiducial.archive.deidentify.suv import factor_of
from fiducial.archive.dicom.discover import MIN_FILES_FOR_PROCESSES, RefusedFile, scan
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.kinds import DICOMDIR
from fiducial.archive.materialise import place_of
from fiducial.archive.pseudonym import Pseudonyms
from fiducial.archive.refusal import refuse
from fiducial.compute import map_cases
from fiducial.errors import UnreadableFile
from fiducial.records.files import sha256_file
from fiducial.records.progress import Progress

SEND = "send"
FILES_PER_CHUNK = 64
NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True)
class PlannedSeries:
    """A series of one subject: its new names, what each file becomes, and why it is set aside if it is.

    ``n_said_no`` counts the files whose header says that no text is burned in; ``copies`` are files that repeat another
    byte for byte, ``conflicts`` files that share a SOPInstanceUID with another one of other content.
    """

    subject: str
    study: str
    series: str
    modality: str
    jobs: tuple[FileJob, ...]
    review: Review | None
    note: str
    n_said_no: int
    copies: tuple[Path, ...] = field(default=(), repr=False)
    conflicts: tuple[Path, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Plan:
    """All series, the files that belong to none, and which subject takes the shift of which site."""

    series: tuple[PlannedSeries, ...]
    refused: tuple[RefusedFile, ...]
    homes: dict[str, str]
    subjects: dict[str, str] = field(repr=False)
    n_files: int


@dataclass(frozen=True)
class Names:
    """Key, options and output folder: what every name and shift follows from."""

    key: bytes = field(repr=False)
    options: Options
    out: Path

    @property
    def pseudonyms(self) -> Pseudonyms:
        """The pseudonyms of the key."""
        return Pseudonyms(self.key)


def plan(root: Path, given: Names, *, homes: dict[str, str], workers: int, progress: Progress) -> Plan:
    """Read every header below ``root`` and say what each file becomes.

    Args:
        root: a folder or a file.
        given: key, options and output folder.
        homes: sites whose shift some subjects took in an earlier run; they keep it.
        workers: processes.
        progress: told about headers.

    Raises:
        UnreadableFile: ``no-files``.
    """
    paths = [root] if root.is_file() else sorted(Path(top) / name for top, _, names in os.walk(root) for name in names)
    if not paths:
        raise refuse("no-files", "no file below this folder", where=str(root))
    headers, refused = _headers(paths, workers=workers, progress=progress)
    names = given.pseudonyms
    places = [(_subject(header, names), place_of(header, names)[1]) for header in headers]
    homes = {**home_sites(places), **homes}
    groups: dict[tuple[str, str, str], list[FileHeader]] = defaultdict(list)
    for header, (subject, _) in zip(headers, places, strict=True):
        groups[subject, header.text("StudyInstanceUID"), header.text("SeriesInstanceUID")].append(header)
    series = tuple(_planned(subject, group, given, homes[subject]) for (subject, *_), group in sorted(groups.items()))
    subjects = {h.text("PatientID"): names.subject(h.text("PatientID")) for h in headers if h.text("PatientID")}
    return Plan(series, tuple(refused), homes, subjects, len(paths))


def _headers(paths: list[Path], *, workers: int, progress: Progress) -> tuple[list[FileHeader], list[RefusedFile]]:
    """Headers of files that can be cleaned, and the other files with the reason."""
    chunks = {str(i): paths[i : i + FILES_PER_CHUNK] for i in range(0, len(paths), FILES_PER_CHUNK)}
    n_workers = workers if len(paths) >= MIN_FILES_FOR_PROCESSES else 1
    found = map_cases(scan, chunks, workers=n_workers, progress=progress, title="reading headers")
    scanned = [item for chunk in found.results.values() for item in chunk]
    for failure in found.failures:
        alone = {str(path): [path] for path in chunks[failure.key]}
        again = map_cases(scan, alone, workers=2, title="reading headers")
        scanned += [item for chunk in again.results.values() for item in chunk]
        scanned += [RefusedFile(Path(f.key), refuse("unexpected", f.error)) for f in again.failures]
    headers, refused = [], []
    for item in scanned:
        refusal = item.refusal if isinstance(item, RefusedFile) else _refusal(item)
        if refusal is not None:
            refused.append(RefusedFile(item.path, refusal))
        elif isinstance(item, FileHeader):
            headers.append(item)
    return headers, refused


def _refusal(header: FileHeader) -> UnreadableFile | None:
    if header.text("SOPClassUID") == DICOMDIR:
        return refuse("dicomdir", "the directory of a medium")
    absent = [keyword for keyword in NEEDED if not header.text(keyword)]
    return refuse("missing-tags", ", ".join(absent)) if absent else None


def _subject(header: FileHeader, names: Pseudonyms) -> str:
    """The pseudonym of a file's person; a study without PatientID is a person of its own."""
    return place_of(header, names)[0] or names.of("unknown", header.text("StudyInstanceUID"))


def _planned(subject: str, headers: list[FileHeader], given: Names, home: str) -> PlannedSeries:
    names, options = given.pseudonyms, given.options
    first = headers[0]
    study = names.of("visit", first.text("StudyInstanceUID"))
    series = names.of("series", first.text("SeriesInstanceUID"))
    folder = given.out / SEND / subject / study / series
    days = {"modified": DateShift(given.key, options.shift).days(home, subject)}.get(options.dates, 0)
    factor, note = factor_of(tuple(headers), options)
    jobs, taken = [], dict[Path, Path]()
    copies: list[Path] = []
    conflicts: list[Path] = []
    for header in sorted(headers, key=lambda h: (h.number("InstanceNumber") or 0, h.path)):
        target = folder / f"{names.of('instance', header.text('SOPInstanceUID'))}.dcm"
        if target in taken:
            same = sha256_file(taken[target]) == sha256_file(header.path)
            (copies if same else conflicts).append(header.path)
            continue
        taken[target] = header.path
        site = names.of("hospital", header.text("ClinicalTrialSiteID") or header.text("InstitutionName"))
        jobs.append(FileJob(header.path, target, subject, site, days, factor, options, given.key))
    return PlannedSeries(
        subject=subject,
        study=study,
        series=series,
        modality=first.text("Modality"),
        jobs=tuple(jobs),
        review=next((found for found in map(review, headers) if found is not None), None),
        note=note,
        n_said_no=sum(header.text("BurnedInAnnotation").upper() == "NO" for header in headers),
        copies=tuple(copies),
        conflicts=tuple(conflicts),
    )
