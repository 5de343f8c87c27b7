"""The commands that train and predict, and the whole way in one. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fiducial.cli.audits import audit_lines, gate
from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Debug, Device, Quiet, RequirePass, Resume, RunFolder, RunOut, Seed, StudyFile


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")] = Path("demo"),
    patients: Annotated[int, typer.Option(min=20, help="Patients of the phantom hospital.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of hospital and vendor.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Walk the whole way once, on patients who do not exist: DICOM files to evidence in five minutes."""
    from fiducial.cli.show import safe, show, verdict_line
    from fiducial.flows import demo as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(out, n_patients=patients, seed=seed, device=device, progress=progress)
    lines = [f"[bold]{safe(part.title)}[/]  {safe(part.report)}" for part in result.parts]
    counts = [verdict_line(verdict, f"{n} of the criteria") for verdict, n in sorted(result.verdicts.items())]
    show(result, [*lines, *counts, f"Open this page: [bold]{safe(result.index)}[/]"], as_json=as_json)


def train(
    study: StudyFile,
    out: RunOut,
    seed: Seed = None,
    resume: Resume = False,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Plan and train what a study file states, within its minutes and memory."""
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import train as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(study, out, seed=seed, resume=resume, device=device, progress=progress)
    lines = [
        f"[bold]{safe(result.study)}[/] trained on {counted(result.n_train, 'case')}: "
        f"{counted(result.n_steps, 'step')}, {result.seconds / 60:.1f} minutes, seed {result.seed}",
        *[f"  [yellow]set aside[/] {safe(case)}: {safe(message)}" for case, message in result.set_aside],
        f"Run: {safe(result.run)}",
    ]
    show(result, lines, as_json=as_json)


def predict(
    run: RunFolder,
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder; labels are not needed.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Only this part of the run's split (may be repeated).")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict the images of a cohort with a trained run; images that break its input contract are refused by name."""
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import predict as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(run, cohort, out, splits=tuple(split or ()), device=device, progress=progress)
    lines = [
        f"[bold]{result.n_images:,} of {counted(result.n_asked, 'image')} predicted[/]",
        *[f"  [yellow]set aside[/] {safe(case)}: {safe(message)}" for case, message in result.failures],
        f"Predictions: {safe(result.out)}",
    ]
    show(result, lines, as_json=as_json)


def run(
    study: StudyFile,
    out: RunOut,
    seed: Seed = None,
    resume: Resume = False,
    device: Device = "auto",
    require_pass: RequirePass = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train, predict, audit and report a study, in one folder."""
    from fiducial.cli.show import safe, show, with_derived
    from fiducial.flows import run as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(study, out, seed=seed, resume=resume, device=device, progress=progress)
    lines = [*audit_lines(result.audited), f"Report: {safe(result.report.report)}"]
    show(with_derived(result, passed=result.audited.passed), lines, as_json=as_json)
    gate(result.audited, require_pass)
