"""The command about files that leave the house: deidentify. Registered in `commands`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Debug, Quiet, Workers


class Dates(StrEnum):
    """What is done to dates."""

    MODIFIED = "modified"
    FULL = "full"
    REMOVED = "removed"


class Shift(StrEnum):
    """Who shares a shift of dates."""

    SITE = "site"
    PATIENT = "patient"


def deidentify(
    source: Annotated[Path, typer.Argument(help="DICOM folder, zip or file.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write.")],
    dates: Annotated[
        Dates, typer.Option(help="Moved by whole days (113107), kept as they are (113106), or removed.")
    ] = Dates.MODIFIED,
    shift: Annotated[Shift, typer.Option(help="One shift for each site, or for each patient.")] = Shift.SITE,
    study: Annotated[
        Path | None, typer.Option(metavar="STUDY.toml", help="Keep what this study's attributes need.")
    ] = None,
    patient_characteristics: Annotated[
        bool, typer.Option("--patient-characteristics", help="Keep sex, age, size and weight (113108).")
    ] = False,
    device_identity: Annotated[
        bool, typer.Option("--device-identity", help="Keep names and numbers of devices (113109).")
    ] = False,
    clean_descriptors: Annotated[
        bool, typer.Option("--clean-descriptors", help="Keep the medical words of descriptions and labels (113105).")
    ] = False,
    key_of: Annotated[
        Path | None, typer.Option(metavar="COHORT", help="Use the key of this cohort: subjects are called the same.")
    ] = None,
    workers: Workers = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write DICOM files without identifiers (PS3.15 Annex E); what a person must look at is set aside."""
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import DeidentifyOptions
    from fiducial.flows import deidentify as flow

    options = DeidentifyOptions(dates.value, shift.value, patient_characteristics, device_identity, clean_descriptors)
    with progress_shown(quiet=quiet) as progress:
        result = flow(source, out, options=options, study=study, key_of=key_of, workers=workers, progress=progress)
    lines = [
        f"[bold]{counted(result.n_written, 'file')}[/] of {counted(result.n_subjects, 'subject')} written, "
        f"{counted(result.n_series, 'series', 'series')}",
        *([f"  {counted(result.n_copies, 'exact copy', 'exact copies')} left out"] if result.n_copies else []),
        *[f"  [yellow]set aside[/] {safe(code)}: {counted(n, 'file')}" for code, n in result.set_aside.items()],
        *[f"  [red]refused[/] {safe(code)}: {counted(n, 'file')}" for code, n in result.refused.items()],
        *[f"  note: {safe(note)}" for note in result.notes],
        f"  done: {', '.join(f'{code} {safe(meaning)}' for code, meaning in result.codes.items())}",
        f"  {safe(result.burned_in_text)} {counted(result.n_said_no_text, 'file')} of them "
        f"{'says' if result.n_said_no_text == 1 else 'say'} in the header that there is none.",
        f"May be sent: {safe(result.send)}",
        f"Every series, and what was done to it: {safe(result.table)}",
        f"Must not be sent, holds names and the key: {safe(result.private)}",
    ]
    show(result, lines, as_json=as_json)
