"""Structured reports of an ingest: each a small table beside the cohort, and a row of role ``table``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.materialise import SeriesJob, attributes, identifiers, place_of
from fiducial.archive.measurements import COLUMNS, read_measurements, table_row
from fiducial.archive.pseudonym import Pseudonyms, Redactor
from fiducial.archive.refusal import REFUSALS
from fiducial.archive.report import IngestRow, rejected
from fiducial.compute import map_cases
from fiducial.errors import UnreadableFile
from fiducial.records.files import atomic_path
from fiducial.records.progress import Progress

WORD = "SR"


@dataclass(frozen=True)
class TableJob:
    """A report, its id, the ids of its person, and the image ids of each series of that person by pseudonym."""

    header: FileHeader
    name: str
    ids: dict[str, str]
    images: dict[str, tuple[str, ...]]
    names: Pseudonyms = field(repr=False)


@dataclass(frozen=True)
class MadeTable:
    """A cohort row, or None, and the report's row."""

    row: dict[str, Any] | None
    report: IngestRow


def ingest_tables(
    headers: tuple[FileHeader, ...],
    series_jobs: dict[str, SeriesJob],
    names: Pseudonyms,
    *,
    out: Path,
    workers: int,
    progress: Progress,
) -> tuple[list[dict[str, Any]], list[IngestRow]]:
    """Read every report and write ``out/tables/<id>.parquet``; return cohort rows and the report's rows."""
    jobs = {str(number): _job(header, series_jobs, names) for number, header in enumerate(headers)}
    done = map_cases(partial(make_table, out=out), jobs, workers=workers, progress=progress, title="reading reports")
    rows = [item.row for item in done.results.values() if item.row is not None]
    report = [item.report for item in done.results.values()]
    for failure in done.failures:
        code = "worker-died" if failure.error == "WorkerDied" else "unexpected"
        refusal = UnreadableFile(f"{code}: {failure.error}", action=REFUSALS[code])
        report.append(rejected(refusal, source=str(jobs[failure.key].header.path), modality=WORD))
    return rows, report


def _job(header: FileHeader, series_jobs: dict[str, SeriesJob], names: Pseudonyms) -> TableJob:
    subject, site = place_of(header, names)
    own = [job for job in series_jobs.values() if job.ids["subject"] == subject]
    images: dict[str, list[str]] = defaultdict(list)
    for job in own:
        images[names.of("series", job.series.series_uid)].append(job.image)
    visit = names.of("visit", header.text("StudyInstanceUID"))
    # A report is dated as the scans of its visit are.
    beside = next((job.ids for job in own if job.ids["visit"] == visit), {})
    ids = {"subject": subject, "acquired": beside.get("acquired", ""), "visit": visit, "site": site}
    name = "-".join(part for part in (subject, "sr", names.of("sop", header.text("SOPInstanceUID"))) if part)
    return TableJob(header, name, ids, {series: tuple(found) for series, found in images.items()}, names)


def make_table(job: TableJob, *, out: Path) -> MadeTable:
    """Read one report into one table; a refusal becomes a report row."""
    import pandas as pd

    place = str(job.header.path)
    try:
        raw = read_measurements(job.header.path)
    except UnreadableFile as refusal:
        bare = UnreadableFile(refusal.given, action=refusal.action)
        return MadeTable(None, rejected(bare, series=job.name, source=place, modality=WORD))
    clean = Redactor(identifiers(job.header, "patient"))
    rows = [table_row(one, job.names.of, clean) for one in raw]
    for row in rows:
        found = job.images.get(row["series"], ())
        row |= {"subject": job.ids["subject"], "visit": job.ids["visit"], "image": found[0] if len(found) == 1 else ""}
    file = f"tables/{job.name}.parquet"
    with atomic_path(out / file) as part:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(part, index=False)
    images = {row["image"] for row in rows} - {""}
    row_values = {
        **job.ids,
        "image": job.name,
        "of": images.pop() if len(images) == 1 else "",
        "role": "table",
        "path": file,
        "modality": WORD,
        **attributes(job.header),
    }
    return MadeTable(row_values, IngestRow(job.name, place, 1, WORD, "accepted"))
