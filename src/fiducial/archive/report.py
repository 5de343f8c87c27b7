"""The ingest report: one row for each series, structure set and file that was found, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fiducial.errors import UnreadableFile


@dataclass(frozen=True)
class IngestRow:
    """What became of one series, structure or group of files.

    ``series`` is its id in the cohort (a pseudonym), ``source`` the file or folder relative to what was ingested
    (known patient identifiers in it replaced by pseudonyms), ``reason`` starts with a stable code and a colon and is
    empty for an accepted series, ``action`` says what a person can do.
    """

    series: str
    source: str
    n_files: int
    modality: str
    status: Literal["accepted", "repaired", "rejected"]
    reason: str = ""
    action: str = ""


def rejected(
    refusal: UnreadableFile, *, series: str = "", source: str, n_files: int = 1, modality: str = ""
) -> IngestRow:
    """The row of a refusal."""
    return IngestRow(series, source, n_files, modality, "rejected", refusal.given, refusal.action)
