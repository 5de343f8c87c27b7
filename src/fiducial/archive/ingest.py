"""A DICOM tree or zip becomes part of a cohort: images and masks as NIfTI, plain rows and a report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fiducial.archive.dates import DateShift, home_sites
from fiducial.archive.dicom.discover import Discovery, SeriesFiles, discover
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.kinds import OBJECTS
from fiducial.archive.dicom.planes import is_compressed
from fiducial.archive.drawers import DRAWERS, WORDS
from fiducial.archive.matching import Match, match_objects
from fiducial.archive.materialise import MaskJob, SeriesJob, identifiers, image_id, make_image, make_masks, place_of
from fiducial.archive.pseudonym import Pseudonyms, Redactor, private_folder, write_private
from fiducial.archive.refusal import REFUSALS, refuse
from fiducial.archive.report import IngestRow, rejected
from fiducial.archive.sources import Remote, received
from fiducial.archive.tables import ingest_tables
from fiducial.archive.unpack import Unpacked, unpack_zip
from fiducial.compute import Failure, map_cases
from fiducial.records.progress import Progress, silent


@dataclass(frozen=True)
class DicomIngest:
    """What an ingest made: cohort rows (dicts of the Cohort's columns and attributes), and the report's rows.

    ``subjects`` maps raw PatientID to pseudonym, for joining labels; it must not be printed.
    """

    rows: tuple[dict[str, Any], ...]
    report: tuple[IngestRow, ...]
    subjects: dict[str, str]

    def __repr__(self) -> str:
        return f"DicomIngest({len(self.rows)} rows, {len(self.report)} report rows, {len(self.subjects)} subjects)"


def ingest_dicom(
    source: Path | Remote,
    out: Path,
    *,
    key: bytes,
    shift: Literal["site", "patient"] = "site",
    workers: int = 0,
    progress: Progress = silent,
) -> DicomIngest:
    """Read every series and what is drawn on it from ``source`` (folder, zip, file, archive) into the cohort ``out``.

    Writes ``out/images/<image>.nii.gz``, ``out/masks/<mask>.nii.gz`` (uint8, 1 = the structure; one file for each
    structure) and, readable by the owner alone, ``out/private/`` with the raw-to-pseudonym table and the source
    manifest. Everything that is refused has a report row with a stable code; one bad series stops nothing. Rows
    carry no raw identifier and no true date (``acquired`` is moved by `DateShift`); ages of 90 and more are given as
    90.

    Args:
        source: what to read; never written to.
        out: the cohort's folder.
        key: the pseudonym key (`private_key`); equal keys give equal ids and equal shifts of dates.
        shift: ``site`` moves the dates of a site alike, ``patient`` leaves ``acquired`` empty.
        workers: processes, 0 = as many as cores.
        progress: told about headers, series and structure sets.

    Raises:
        UnreadableFile: ``no-files``, ``no-such-file``, a ``zip-`` or ``pacs-`` refusal: nothing of it can be used.
    """
    source, out = source if isinstance(source, Remote) else Path(source), Path(out)
    if isinstance(source, Path) and not source.exists():
        raise refuse("no-such-file", "no such file or folder", where=str(source))
    names = Pseudonyms(key)
    private_folder(out)
    with _tree(source, out, names, progress) as (root, unpacked, absent):
        found = _with_entries(discover(root, workers=workers, progress=progress), unpacked)
        series_jobs = _series_jobs(found, names, DateShift(key, shift))
        images = map_cases(
            partial(make_image, out=out),
            series_jobs,
            workers=workers,
            progress=progress,
            title="reading series",
            isolated=any(is_compressed(job.series.headers) for job in series_jobs.values()),
        )
        report = [item.report for item in images.results.values()]
        report += [_failed(series_jobs[f.key].image, series_jobs[f.key].series, f) for f in images.failures]
        rows = {key: item.row for key, item in images.results.items() if item.row is not None}
        drawn, reports = _objects(found)
        matches = match_objects(drawn, found.series, workers=workers, progress=progress)
        mask_jobs, unmatched = _mask_jobs(matches, series_jobs, rows)
        masks = map_cases(
            partial(make_masks, out=out),
            mask_jobs,
            workers=workers,
            progress=progress,
            title="drawing structures",
            isolated=is_compressed(found.objects),
        )
        table_rows, table_report = ingest_tables(
            reports, series_jobs, names, out=out, workers=workers, progress=progress
        )
        report += [*unmatched, *table_report]
        report += [row for made in masks.results.values() for row in made.report]
        report += [_failed_masks(mask_jobs[f.key], f) for f in masks.failures]
        base = root if root.is_dir() else root.parent
        report += [*_refused_files(found, base), *absent]
        report += [rejected(refusal, source=str(base)) for refusal in unpacked.homeless]
        mask_rows = [row for made in masks.results.values() for row in made.rows]
        subjects = {h.text("PatientID"): names.subject(h.text("PatientID")) for h in _headers(found)}
        subjects.pop("", None)
        _write_private(out, found, series_jobs, subjects, [*images.failures, *masks.failures], base)
        redact = Redactor(_replacements(found, names))
        report = [_public(row, base, source if isinstance(source, Path) else base, redact) for row in report]
    return DicomIngest(
        (*rows.values(), *mask_rows, *table_rows), tuple(sorted(report, key=lambda r: (r.source, r.series))), subjects
    )


@contextmanager
def _tree(
    source: Path | Remote, out: Path, names: Pseudonyms, progress: Progress
) -> Iterator[tuple[Path, Unpacked, list[IngestRow]]]:
    """The folder to read: the source itself, or a zip or archive below ``private/`` that is removed afterwards."""
    if isinstance(source, Remote):
        with received(source, out, names=names, progress=progress) as (root, absent):
            yield root, Unpacked(0, {}, ()), absent
        return
    if source.is_dir() or source.suffix.lower() != ".zip":
        yield source, Unpacked(0, {}, ()), []
        return
    staging = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=private_folder(out)))
    try:
        yield staging, unpack_zip(source, staging), []
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _with_entries(found: Discovery, unpacked: Unpacked) -> Discovery:
    """Entries of the archive that were refused show their own reason, not that of the empty file in their place."""
    refused = (replace(item, refusal=unpacked.refused.get(item.path, item.refusal)) for item in found.refused)
    return replace(found, refused=tuple(refused))


def _headers(found: Discovery) -> list[Any]:
    """Every header that was read."""
    series = [header for series in found.series for header in series.headers]
    return [*series, *found.objects, *(item.header for item in found.refused if item.header is not None)]


def _objects(found: Discovery) -> tuple[tuple[FileHeader, ...], tuple[FileHeader, ...]]:
    """Objects that are drawn on a series, and reports about one."""
    drawn = [OBJECTS[header.text("SOPClassUID")] in DRAWERS for header in found.objects]
    both = ([h for h, on in zip(found.objects, drawn, strict=True) if on is wanted] for wanted in (True, False))
    first, second = (tuple(headers) for headers in both)
    return first, second


def _series_jobs(found: Discovery, names: Pseudonyms, shift: DateShift) -> dict[str, SeriesJob]:
    """One job for each series, by image id."""
    homes = home_sites(place_of(header, names) for header in _headers(found))
    jobs: dict[str, SeriesJob] = {}
    for series in found.series:
        first = series.headers[0]
        subject, site = place_of(first, names)
        raw_date = first.text("AcquisitionDate") or first.text("StudyDate")
        ids = {
            "subject": subject,
            "acquired": shift.date(raw_date, homes[subject] if subject else site, subject),
            "visit": names.of("visit", first.text("StudyInstanceUID")),
            "exam": names.of("exam", first.text("FrameOfReferenceUID")),
            "site": site,
        }
        image = image_id(series, names)
        jobs[image] = SeriesJob(image, series, ids)
    return jobs


def _mask_jobs(
    matches: list[Match], series_jobs: dict[str, SeriesJob], rows: dict[str, dict[str, Any]]
) -> tuple[dict[str, MaskJob], list[IngestRow]]:
    """Jobs for the objects whose series was read, by a running number; rows for the others."""
    by_key = {job.series.key: job.image for job in series_jobs.values()}
    jobs: dict[str, MaskJob] = {}
    unmatched = []
    for match in matches:
        if match.refusal is not None:
            unmatched.append(rejected(match.refusal, source=str(match.path), modality=WORDS[match.kind]))
            continue
        image = by_key[match.series]
        if image not in rows:
            refusal = refuse("object-series-refused", "its series was not read")
            word = WORDS[match.kind]
            unmatched.append(rejected(refusal, series=image, source=str(match.path), modality=word))
            continue
        jobs[str(len(jobs))] = MaskJob(match.path, match.kind, series_jobs[image].series, rows[image])
    return _numbered(jobs), unmatched


def _numbered(jobs: dict[str, MaskJob]) -> dict[str, MaskJob]:
    """A second object of one series gets a number, so that equal structure names stay apart."""
    seen: dict[str, int] = {}
    numbered = {}
    for key, job in jobs.items():
        image = job.image_row["image"]
        seen[image] = seen.get(image, 0) + 1
        numbered[key] = replace(job, number=seen[image])
    return numbered


def _failed(image: str, series: SeriesFiles, failure: Failure) -> IngestRow:
    """The row of a series whose reading broke: only the kind of error, as its text may quote the header."""
    code = "worker-died" if failure.error == "WorkerDied" else "unexpected"
    reason = f"{code}: {failure.error}"
    place = str(series.files[0].parent)
    return IngestRow(image, place, len(series.files), series.modality, "rejected", reason, REFUSALS[code])


def _failed_masks(job: MaskJob, failure: Failure) -> IngestRow:
    code = "worker-died" if failure.error == "WorkerDied" else "unexpected"
    reason = f"{code}: {failure.error}"
    return IngestRow(job.image_row["image"], str(job.path), 1, WORDS[job.kind], "rejected", reason, REFUSALS[code])


def _refused_files(found: Discovery, root: Path) -> list[IngestRow]:
    """Files that belong to no series: one row for each folder and reason."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    actions: dict[str, str] = {}
    for item in found.refused:
        folder = item.path.parent if item.path != root else item.path
        groups.setdefault((folder, item.refusal.given), []).append(item.path)
        actions[item.refusal.given] = item.refusal.action
    return [
        IngestRow("", str(paths[0] if len(paths) == 1 else folder), len(paths), "", "rejected", reason, actions[reason])
        for (folder, reason), paths in groups.items()
    ]


def _public(row: IngestRow, root: Path, source: Path, redact: Redactor) -> IngestRow:
    """A row with its source relative to what was ingested and without known identifiers."""
    relative = _relative(Path(row.source), root)
    relative = source.name if relative == "." and source.is_file() else relative
    return replace(row, source=redact(relative), reason=redact(row.reason))


def _relative(path: Path, root: Path) -> str:
    """A path below what was ingested: a folder, a file, or the directory of a medium with the files beside it."""
    base = root.parent if root.is_file() else root
    return str(path.relative_to(base)) if path.is_relative_to(base) else path.name


def _replacements(found: Discovery, names: Pseudonyms) -> dict[str, str]:
    """Raw identifiers that may stand in paths, and what replaces them."""
    replacements: dict[str, str] = {}
    for header in _headers(found):
        subject = names.subject(header.text("PatientID")) if header.text("PatientID") else "unknown"
        for form in identifiers(header, subject):
            replacements.setdefault(form, subject)
        for keyword, word in (("AccessionNumber", "accession"), ("StudyDate", "date"), ("PatientBirthDate", "birth")):
            replacements.setdefault(header.text(keyword), word)
        for keyword, kind in (("StudyInstanceUID", "visit"), ("SeriesInstanceUID", "series")):
            replacements[header.text(keyword)] = names.of(kind, header.text(keyword))
        replacements[header.text("PatientID")] = subject
    return replacements


def _write_private(
    out: Path,
    found: Discovery,
    jobs: dict[str, SeriesJob],
    subjects: dict[str, str],
    failures: list[Failure],
    root: Path,
) -> None:
    """Raw identifiers, the source manifest and the failures' full text, below ``private/`` only."""
    manifest = {
        job.image: {
            "patient_id": job.series.headers[0].text("PatientID"),
            "study_uid": job.series.headers[0].text("StudyInstanceUID"),
            "series_uid": job.series.series_uid,
            "study_date": job.series.headers[0].text("StudyDate"),
            "files": [_relative(path, root) for path in job.series.files],
        }
        for job in jobs.values()
    }
    write_private(out, "subjects.json", subjects)
    write_private(out, "manifest.json", {"n_files": found.n_files, "series": manifest})
    write_private(out, "failures.json", [[f.key, f.error, f.message, f.trace] for f in failures])
