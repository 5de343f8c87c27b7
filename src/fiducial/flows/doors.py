"""The three doors of the audit: a run of ours, anybody's table of predictions, anybody's masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import RunMismatch
from fiducial.records.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.audit import AuditInput, AuditSettings
    from fiducial.study import Study


def nothing() -> None:
    """No opening to count."""


def no_pictures(folder: Path, progress: Progress) -> bool:  # noqa: ARG001 - the signature of every drawer
    """No pictures to draw."""
    return False


@dataclass(frozen=True)
class Asked:
    """What the user said beside the source."""

    study: Study | None
    attributes: Path | None
    settings: AuditSettings
    workers: int
    progress: Progress


@dataclass(frozen=True)
class Opened:
    """What came through a door: the audit's input, and what is to be done beside it.

    ``opening`` counts an opening of the test part; ``pictures`` draws cases into a folder and says whether it did.
    """

    given: AuditInput
    opening: Callable[[], object] = nothing
    pictures: Callable[[Path, Progress], bool] = no_pictures
    notes: tuple[str, ...] = ()


def from_table(path: Path, asked: Asked) -> Opened:
    """A table of predictions, ours or a vendor's."""
    from fiducial.audit.vendor import vendor_input

    given = vendor_input(path, study=asked.study, attributes=asked.attributes, settings=asked.settings)
    return Opened(given)


def from_run(run: Path, asked: Asked) -> Opened:
    """A run folder: its files are verified, its masks measured, its cohort's leaks and openings looked up."""
    from fiducial.audit import AuditInput
    from fiducial.flows.openings import count_openings, record_opening
    from fiducial.records.runs import verify
    from fiducial.records.tables import CASES, PREDICTIONS, read_table, table
    from fiducial.study import load_study

    record = verify(run, "study.toml", "cohort.parquet", "predictions.parquet")
    study = load_study(run / "study.toml")
    _require_same_study(run, record, study, asked.study)
    predictions = read_table(run / "predictions.parquet", PREDICTIONS)
    cohort = _cohort(run)
    cases = table([], CASES)
    if (predictions["kind"] == "mask").any():
        verify(run, "payload")
        cases = _measured(predictions, run, asked)
    from fiducial.cohort import find_leaks

    folder = _cohort_folder(run, record)
    fingerprint = str(record.get("fingerprint", ""))
    settings = replace(asked.settings, person_known=asked.settings.person_known and person_known(cohort))
    given = AuditInput(
        predictions=predictions,
        cases=cases,
        attributes=_attributes(cohort, asked.attributes),
        study=study,
        settings=settings,
        leaks=find_leaks(cohort),
        openings=count_openings(folder, fingerprint=fingerprint) + 1,
        source=f"predictions.parquet sha256:{record['files']['predictions.parquet'][:16]}",
    )

    def opening() -> int:
        return record_opening(folder, fingerprint=fingerprint, study=study.name, run=run.resolve().name)

    return Opened(given, opening, _drawer(given, run, asked.workers))
