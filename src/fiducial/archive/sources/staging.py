"""Where what arrives is kept until it is read: counted names, counted bytes, and what each file says it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fiducial.archive.dicom.headers import read_header
from fiducial.archive.refusal import refuse
from fiducial.archive.sources.access import PacsAccess
from fiducial.errors import UnreadableFile

LOOK_EVERY = 64 * 2**20
"""Bytes between two looks at the free space of the disk."""
KEEP_FREE = 2**30 // 4


@dataclass(frozen=True)
class SeriesEntry:
    """One series as the archive announces it; ``n_stated`` instances and ``sop_classes`` where it says so."""

    study_uid: str
    series_uid: str
    modality: str
    patient: str = ""
    n_stated: int = 0
    instances: frozenset[str] = frozenset()
    sop_classes: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"SeriesEntry({self.modality}, {len(self.instances)} instances)"


class Arriving:
    """The instances of one series as they arrive: each goes to a file of its own, named by a running number.

    Names never come from the archive. An instance that is no DICOM, of another series or here already is not kept.
    """

    def __init__(self, entry: SeriesEntry, folder: Path, staging: Staging, tell: Callable[[int], None]) -> None:
        self.entry = entry
        self._tell = tell
        self.folder = folder
        self.received: set[str] = set()
        self.n_strange = 0
        self._staging = staging
        self._number = 0

    @property
    def missing(self) -> frozenset[str]:
        """Instances that were announced and have not arrived."""
        return self.entry.instances - self.received

    @property
    def staging_is_full(self) -> bool:
        """Whether nothing more may be received at all."""
        return self._staging.full

    def store(self, pieces: Iterable[bytes]) -> bool:
        """Write one instance and look at what it is; True if it was kept.

        Raises:
            UnreadableFile: ``pacs-too-large``, or what ``pieces`` raises; nothing half-written is left.
        """
        self._number += 1
        path = self.folder / f"{self._number:07d}.dcm"
        try:
            self._staging.write(path, pieces)
            kept = self._known(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if kept:
            self._tell(len(self.received))
        else:
            path.unlink()
        return kept

    def _known(self, path: Path) -> bool:
        try:
            header = read_header(path)
        except UnreadableFile:
            self.n_strange += 1
            return False
        uid = header.text("SOPInstanceUID")
        if header.text("SeriesInstanceUID") != self.entry.series_uid or not uid:
            self.n_strange += 1
            return False
        new = uid not in self.received
        self.received.add(uid)
        return new


class Staging:
    """A folder of received series, within the limits of the access."""

    def __init__(self, folder: Path, access: PacsAccess) -> None:
        self.folder = folder
        self.n_bytes = 0
        self.full = False
        self._access = access
        self._looked = -LOOK_EVERY

    def series(self, number: int, entry: SeriesEntry, tell: Callable[[int], None]) -> Arriving:
        """A folder for the series with this running number; ``tell`` hears how many instances are there."""
        folder = self.folder / f"{number:06d}"
        folder.mkdir()
        return Arriving(entry, folder, self, tell)

    def discard(self, arriving: Arriving) -> None:
        """Remove what arrived of a series."""
        shutil.rmtree(arriving.folder)

    def write(self, path: Path, pieces: Iterable[bytes]) -> None:
        """Write one file, counting.

        Raises:
            UnreadableFile: ``pacs-too-large``: the instance, all together, or more than the disk has free.
        """
        n_bytes = 0
        with path.open("xb") as file:
            for piece in pieces:
                n_bytes += len(piece)
                self.n_bytes += len(piece)
                if n_bytes > self._access.max_instance_bytes:
                    limit = self._access.max_instance_bytes
                    raise refuse("pacs-too-large", f"an instance of more than {limit:,} bytes")
                self._check()
                file.write(piece)

    def _check(self) -> None:
        if self.n_bytes > self._access.max_bytes:
            self.full = True
            raise refuse("pacs-too-large", f"more than {self._access.max_bytes:,} bytes")
        if self.n_bytes - self._looked >= LOOK_EVERY:
            self._looked = self.n_bytes
            if shutil.disk_usage(self.folder).free < KEEP_FREE:
                self.full = True
                raise refuse("pacs-too-large", "more than the free space on this disk")
