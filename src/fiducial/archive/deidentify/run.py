"""De-identify a folder: plan, clean chunk by chunk in worker processes, and say what became of each series."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import Any

from fiducial.archive.deidentify.file import FileJob, NeedsReviewError, deidentify_file
from fiducial.archive.deidentify.plan import FILES_PER_CHUNK, SEND, Names, Plan, PlannedSeries, plan
from fiducial.archive.deidentify.profile import Options
from fiducial.archive.deidentify.report import SeriesRow, by_action, write_report
from fiducial.archive.deidentify.review import SET_ASIDE
from fiducial.archive.dicom.discover import RefusedFile
from fiducial.archive.pseudonym import PRIVATE, private_folder, read_subjects, write_private
from fiducial.archive.refusal import REFUSALS, refuse
from fiducial.archive.unpack import unpack_zip
from fiducial.compute import map_cases
from fiducial.errors import InputRefused, UnreadableFile
from fiducial.records.files import atomic_path, read_json, sha256_json
from fiducial.records.progress import Progress, silent

LEDGER = "deidentified.jsonl"
NOT_WRITTEN = "not_written.csv"


@dataclass(frozen=True)
class Deidentified:
    """What came of it: one row for each series or file without one, and where the files and the report lie."""

    rows: tuple[SeriesRow, ...]
    send: Path
    report: Path
    table: Path


@dataclass(frozen=True)
class FileResult:
    """What became of one file; ``status`` is ``written``, ``set aside`` or ``refused``."""

    status: str
    code: str = ""
    found: str = ""
    n_bytes: int = 0
    counts: list[tuple[str, str, int]] = field(default_factory=list)
    uids: dict[str, str] = field(default_factory=dict, repr=False)
    trace: str = field(default="", repr=False)


def deidentify_dicom(
    source: Path,
    out: Path,
    *,
    key: bytes,
    options: Options | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Deidentified:
    """Write every DICOM file below ``source`` (folder, zip or file) without identifiers into ``out/send``.

    ``out/send/<subject>/<study>/<series>/<instance>.dcm`` is what may be sent, ``out/deidentification.json`` and
    ``.csv`` say what was done, ``out/private/`` (owner only) maps raw identifiers, UIDs and sources to new ones. What
    must be looked at, and what cannot be read, is not written and has a row with a stable code. An interrupted run goes
    on where it stopped; files that stand there whole are not written again.

    Args:
        source: what to read; never written to.
        out: a folder that is empty, or that an earlier run with the same options and key wrote.
        key: the pseudonym key (`private_key`): equal keys give equal subjects, UIDs and shifts, in `ingest_dicom` too.
        options: declared options; by default dates moved by one shift for each site and nothing else kept.
        workers: processes, 0 = as many as cores.
        progress: told about headers and files.

    Raises:
        UnreadableFile: ``no-files``, ``no-such-file`` or a ``zip-`` refusal.
        InputRefused: ``out`` lies in ``source``, or was written with other options or another key.
    """
    source, out, options = Path(source), Path(out), options or Options()
    if not source.exists():
        raise refuse("no-such-file", "no such file or folder", where=str(source))
    if out.resolve() == source.resolve() or out.resolve().is_relative_to(source.resolve()):
        raise InputRefused("a folder inside the source", where=str(out), legal="a folder of its own")
    private_folder(out)
    given = Names(key, options, out)
    _require_same(given)
    with _tree(source, out) as root:
        planned = plan(root, given, homes=_private(out, "sites.json"), workers=workers, progress=progress)
        write_private(out, "sites.json", _private(out, "sites.json") | planned.homes)
        results = _cleaned(planned, out, root, workers=workers, progress=progress)
        left = Left(root)
        rows = [_row(series, results, left) for series in planned.series]
        rows += [_refused(item, left) for item in planned.refused]
        _write_private(planned, results, left, out)
    report, table = write_report(rows, out, options)
    return Deidentified(tuple(rows), out / SEND, report, table)


def _require_same(given: Names) -> None:
    """Refuse a folder that holds files of other options or of another key, which would be sent with these."""
    said = {"options": asdict(given.options), "key": given.pseudonyms.of("folder", "this key")}
    before = _private(given.out, "options.json")
    if before and before != said:
        differs = "another key" if before.get("key") != said["key"] else "other options"
        raise InputRefused(
            f"a folder that was written with {differs}", where=str(given.out), action="name another folder"
        )
    if not before and (given.out / SEND).exists():
        raise InputRefused(
            "a folder with files of unknown origin", where=str(given.out / SEND), action="name another folder"
        )
    write_private(given.out, "options.json", said)


def _private(out: Path, name: str) -> dict[str, Any]:
    path = out / PRIVATE / name
    return dict(read_json(path)) if path.exists() else {}


class Left:
    """Files that were not written, each with a number, its place and the reason: what a reviewer works from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[tuple[str, ...]] = []

    def place(self, path: Path) -> str:
        """A path relative to the source."""
        return str(path.relative_to(self.root)) if path != self.root else path.name

    def add(self, path: Path, result: FileResult, series: PlannedSeries | None = None) -> str:
        """Note a file and return its number."""
        number = f"file-{len(self.rows) + 1:06d}"
        ids = ("", "") if series is None else (series.subject, series.series)
        self.rows.append((number, self.place(path), *ids, result.status, result.code, result.found))
        return number

    def write(self, out: Path) -> None:
        """Write ``private/not_written.csv``, for the owner alone."""
        path = private_folder(out) / NOT_WRITTEN
        with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "source", "subject", "series", "status", "code", "found"))
            writer.writerows(self.rows)
        path.chmod(0o600)


@contextmanager
def _tree(source: Path, out: Path) -> Iterator[Path]:
    """The folder to read: the source, or a zip unpacked below ``private/`` and removed afterwards."""
    if source.is_dir() or source.suffix.lower() != ".zip":
        yield source
        return
    staging = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=private_folder(out)))
    try:
        unpack_zip(source, staging)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _cleaned(planned: Plan, out: Path, root: Path, *, workers: int, progress: Progress) -> dict[Path, FileResult]:
    """Results by target, of every file of a series that is not set aside."""
    jobs = [job for series in planned.series if series.review is None for job in series.jobs]
    chunks = {}
    for start in range(0, len(jobs), FILES_PER_CHUNK):
        chunk = jobs[start : start + FILES_PER_CHUNK]
        chunks[sha256_json([_job_key(job, root) for job in chunk])] = chunk
    title = "de-identifying"
    done = map_cases(
        clean_chunk, chunks, workers=workers, progress=progress, title=title, resume=out / PRIVATE / LEDGER
    )
    (out / PRIVATE / LEDGER).chmod(0o600)
    results = {}
    again: dict[str, list[FileJob]] = {}
    for name, chunk in chunks.items():
        for job, value in zip(chunk, done.results.get(name, [None] * len(chunk)), strict=True):
            result = None if value is None else FileResult(**value)
            if result is None or (result.status == "written" and _size(job.target) != result.n_bytes):
                again[str(len(again))] = [job]
            else:
                results[job.target] = result
    if again:
        # Files of a chunk whose worker died, each alone; and files that a power cut, or somebody, took away.
        redone = map_cases(clean_chunk, again, workers=max(workers, 2), progress=progress, title=title)
        for name, (job,) in again.items():
            if name in redone.results:
                results[job.target] = FileResult(**redone.results[name][0])
        for failure in redone.failures:
            code = "worker-died" if failure.error == "WorkerDied" else "unexpected"
            results[again[failure.key][0].target] = FileResult("refused", code, failure.error, trace=failure.trace)
    return results


def clean_chunk(jobs: list[FileJob]) -> list[dict[str, Any]]:
    """Clean some files; one that cannot be cleaned stops no other. The results are JSON values."""
    return [asdict(_clean_one(job)) for job in jobs]


def _clean_one(job: FileJob) -> FileResult:
    try:
        made = deidentify_file(job)
    except NeedsReviewError as error:
        return FileResult("set aside", error.review.code, error.review.found)
    except UnreadableFile as refusal:
        code, _, found = refusal.given.partition(": ")
        return FileResult("refused", code, found)
    except OSError:
        raise
    except Exception as error:  # a parser of hostile bytes raises anything, and its message quotes them
        return FileResult("refused", "unexpected", type(error).__name__, trace="".join(format_exception(error)))
    return FileResult("written", "", "", made.n_bytes, [(*what, n) for what, n in made.counts.items()], made.uids)


def _job_key(job: FileJob, root: Path) -> list[Any]:
    """What a result depends on: the file as it is now, its place, and every setting but the key."""
    stat = job.source.stat()
    name = str(job.source.relative_to(root)) if job.source != root else job.source.name
    settings = [job.subject, job.site, job.days, job.factor, asdict(job.options)]
    return [name, stat.st_size, stat.st_mtime_ns, job.target.name, *settings]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _row(series: PlannedSeries, results: dict[Path, FileResult], left: Left) -> SeriesRow:
    """The row of one series; its files that were not written are noted in ``left``."""
    counts: Counter[tuple[str, str]] = Counter()
    codes: dict[str, Counter[str]] = {"set aside": Counter(), "refused": Counter()}
    reasons: Counter[tuple[str, str]] = Counter()
    n_written = n_bytes = 0
    for source, result in _results(series, results):
        counts.update({(attribute, action): n for attribute, action, n in result.counts})
        if result.status == "written":
            n_written += 1
            n_bytes += result.n_bytes
        else:
            codes[result.status][result.code] += 1
            reasons[result.code, result.found] += 1
            left.add(source, result, series)
    n_set_aside, n_refused = (sum(count.values()) for count in codes.values())
    status: Any = "accepted" if n_written else "set aside" if n_set_aside >= n_refused else "refused"
    return SeriesRow(
        subject=series.subject,
        study=series.study,
        series=series.series,
        file="",
        modality=series.modality,
        status="partly" if n_written and reasons else status,
        n_files=n_written + n_set_aside + n_refused + len(series.copies),
        n_written=n_written,
        n_set_aside=n_set_aside,
        n_refused=n_refused,
        n_copies=len(series.copies),
        n_said_no_text=series.n_said_no if n_written else 0,
        n_bytes=n_bytes,
        reason="; ".join(f"{code}: {found}" + f" ({n} files)" * (n > 1) for (code, found), n in reasons.items()),
        action="; ".join(dict.fromkeys(SET_ASIDE.get(code) or REFUSALS[code] for code, _ in reasons)),
        note=series.note if n_written else "",
        codes={status: dict(count) for status, count in codes.items() if count},
        actions=by_action(counts),
    )


def _results(series: PlannedSeries, results: dict[Path, FileResult]) -> Iterator[tuple[Path, FileResult]]:
    """Each file of a series with what became of it."""
    for job in series.jobs:
        review = series.review
        aside = None if review is None else FileResult("set aside", review.code, review.found)
        yield job.source, aside or results[job.target]
    for path in series.conflicts:
        yield path, FileResult("refused", "conflicting-copies", "one SOPInstanceUID stands for different contents")


def _refused(item: RefusedFile, left: Left) -> SeriesRow:
    """The row of a file that belongs to no series."""
    code, _, found = item.refusal.given.partition(": ")
    number = left.add(item.path, FileResult("refused", code, found))
    return SeriesRow(
        "",
        "",
        "",
        number,
        "",
        "refused",
        n_files=1,
        n_written=0,
        n_set_aside=0,
        n_refused=1,
        n_copies=0,
        n_said_no_text=0,
        n_bytes=0,
        reason=item.refusal.given,
        action=item.refusal.action,
        codes={"refused": {code: 1}},
    )


def _write_private(planned: Plan, results: dict[Path, FileResult], left: Left, out: Path) -> None:
    """Raw identifiers, UIDs and paths, below ``private/`` only; what earlier runs said stays."""
    uids = _private(out, "uids.json")
    written = _private(out, "sources.json")
    for series in planned.series:
        for job in series.jobs:
            result = results.get(job.target)
            if result is not None and result.status == "written":
                uids.update(result.uids)
                written[str(job.target.relative_to(out))] = left.place(job.source)
    traces = {str(target.relative_to(out)): result.trace for target, result in results.items() if result.trace}
    write_private(out, "failures.json", traces)
    write_private(out, "uids.json", uids)
    write_private(out, "subjects.json", read_subjects(out) | planned.subjects)
    write_private(out, "sources.json", written)
    left.write(out)
