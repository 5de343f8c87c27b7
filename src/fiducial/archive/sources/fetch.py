"""From an archive to a folder: list, announce, receive, try again; what stays incomplete is named and not used."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from fiducial.archive.pseudonym import Pseudonyms, private_folder
from fiducial.archive.refusal import REFUSALS, code_of, refuse
from fiducial.archive.report import IngestRow
from fiducial.archive.sources.access import PacsAccess, Remote
from fiducial.archive.sources.address import DicomwebAddress
from fiducial.archive.sources.quiet import quiet
from fiducial.archive.sources.staging import Arriving, SeriesEntry, Staging
from fiducial.errors import UnreadableFile
from fiducial.records.progress import Progress

AGAIN = {"pacs-unreachable", "pacs-timeout", "pacs-busy", "pacs-cut"}
"""What may be otherwise a moment later."""
STOPS = {"pacs-unreachable", "pacs-credentials", "pacs-tls", "pacs-rejected", "pacs-move"}
"""What concerns every further series too, once it has outlasted the attempts."""
LISTING, RECEIVING = "asking the archive", "receiving instances"

T = TypeVar("T")


class Archive(Protocol):
    """What is asked of an archive, whatever its protocol. Every failure is an `UnreadableFile` of a ``pacs-`` code."""

    def list_series(self, limit: int) -> list[SeriesEntry]:
        """The series that match, one more than ``limit`` at most."""

    def with_instances(self, entry: SeriesEntry) -> SeriesEntry:
        """The series with the instances that are announced."""

    def receive(self, arriving: Arriving) -> None:
        """Take what is missing of a series."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True)
class Listing:
    """What a query matches, in numbers: (modality, series, instances), largest first."""

    n_patients: int
    n_studies: int
    n_series: int
    n_instances: int
    modalities: tuple[tuple[str, int, int], ...]


@contextmanager
def received(
    remote: Remote, out: Path, *, names: Pseudonyms, progress: Progress
) -> Iterator[tuple[Path, list[IngestRow]]]:
    """A folder of what an archive sends, below ``private/`` and removed afterwards, and a row for each absent series.

    Raises:
        UnreadableFile: a ``pacs-`` refusal: nothing of the archive can be used.
    """
    staging = Path(tempfile.mkdtemp(prefix=".received-", dir=private_folder(out)))
    try:
        yield staging, fetch(remote, staging, names=names, progress=progress)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def fetch(remote: Remote, folder: Path, *, names: Pseudonyms, progress: Progress) -> list[IngestRow]:
    """Receive every series that matches into ``folder``, one folder each; rows name those that stay incomplete.

    Raises:
        UnreadableFile: a ``pacs-`` refusal; none of the series arrived, or the limits are met.
    """
    with quiet(), closing(_connected(remote)) as archive:
        entries = _announced(archive, remote, progress)
        staging = Staging(folder, remote.access)
        n_total = sum(len(entry.instances) for entry in entries)
        n_done, rows, stop = 0, [], None
        first: UnreadableFile | None = None
        for number, entry in enumerate(entries, start=1):
            arriving = staging.series(number, entry, partial(_told, progress, n_done, n_total))
            problem = stop or _received(archive, arriving, remote.access)
            if problem is not None:
                first = first or problem
                stop = problem if code_of(problem) in STOPS else stop
                rows.append(_incomplete(arriving, problem, names))
                staging.discard(arriving)
            n_done += len(entry.instances)
            progress(RECEIVING, n_done, n_total)
    if first is not None and len(rows) == len(entries):
        raise first
    return rows


def _told(progress: Progress, n_before: int, n_total: int, n_here: int) -> None:
    progress(RECEIVING, min(n_before + n_here, n_total), n_total)


def survey(remote: Remote, *, progress: Progress) -> Listing:
    """What a query matches, without receiving any of it, and without a word about any patient."""
    with quiet(), closing(_connected(remote)) as archive:
        entries = _announced(archive, remote, progress)
    by_modality: dict[str, list[int]] = {}
    for entry in entries:
        counts = by_modality.setdefault(entry.modality or "unknown", [0, 0])
        counts[0] += 1
        counts[1] += len(entry.instances)
    ordered = sorted(((name, n, m) for name, (n, m) in by_modality.items()), key=lambda item: (-item[1], item[0]))
    return Listing(
        n_patients=len({entry.patient or entry.study_uid for entry in entries}),
        n_studies=len({entry.study_uid for entry in entries}),
        n_series=len(entries),
        n_instances=sum(len(entry.instances) for entry in entries),
        modalities=tuple(ordered),
    )


def _connected(remote: Remote) -> Archive:
    if isinstance(remote.address, DicomwebAddress):
        from fiducial.archive.sources.dicomweb import Dicomweb

        return Dicomweb(remote.address, remote.access)
    from fiducial.archive.sources.dimse import Dimse

    return Dimse(remote.address, remote.access)


def _announced(archive: Archive, remote: Remote, progress: Progress) -> list[SeriesEntry]:
    """Every series that matches, with its instances.

    Raises:
        UnreadableFile: ``pacs-empty``, ``pacs-too-many-series``, or why the archive could not be asked.
    """
    access = remote.access
    entries = _persistently(partial(archive.list_series, access.max_series), access)
    if len(entries) > access.max_series:
        found = f"more than {access.max_series:,} series match"
        raise refuse("pacs-too-many-series", found, where=str(remote))
    announced = []
    for number, entry in enumerate(entries, start=1):
        announced.append(_persistently(partial(archive.with_instances, entry), access))
        progress(LISTING, number, len(entries))
    announced = [entry for entry in announced if entry.instances]
    if not announced:
        raise refuse("pacs-empty", "no series with instances matches", where=str(remote))
    return announced


def _persistently(ask: Callable[[], T], access: PacsAccess) -> T:
    """Ask until it is answered, ``n_attempts`` times at most."""
    for attempt in range(1, access.n_attempts):
        try:
            return ask()
        except UnreadableFile as problem:
            if code_of(problem) not in AGAIN:
                raise
            time.sleep(access.backoff_s * 2 ** (attempt - 1))
    return ask()


def _received(archive: Archive, arriving: Arriving, access: PacsAccess) -> UnreadableFile | None:
    """Receive a series, and ask again for what is missing while that helps; why it stayed incomplete, or None.

    Raises:
        UnreadableFile: ``pacs-too-large`` of everything together: there is no place for any further series either.
    """
    fruitless, problem = 0, None
    while arriving.missing:
        if fruitless == access.n_attempts:
            return problem
        if problem is not None:
            time.sleep(access.backoff_s * 2 ** max(fruitless - 1, 0))
        before = len(arriving.missing)
        try:
            archive.receive(arriving)
            problem = refuse("pacs-cut", "the archive sent less than it announced")
        except UnreadableFile as found:
            problem = found
            if code_of(found) not in AGAIN:
                break
        fruitless = 0 if len(arriving.missing) < before else fruitless + 1
    if problem is not None and code_of(problem) == "pacs-too-large" and arriving.staging_is_full:
        raise problem
    return problem if arriving.missing else None


def _incomplete(arriving: Arriving, problem: UnreadableFile, names: Pseudonyms) -> IngestRow:
    entry, code = arriving.entry, "pacs-series-incomplete"
    n_arrived = len(entry.instances) - len(arriving.missing)
    strange = f"; {arriving.n_strange} were no instances of it" if arriving.n_strange else ""
    reason = f"{code}: {n_arrived} of {len(entry.instances)} instances arrived{strange} ({problem.given})"
    series = names.of("series", entry.series_uid)
    return IngestRow(series, str(arriving.folder), n_arrived, entry.modality, "rejected", reason, REFUSALS[code])
