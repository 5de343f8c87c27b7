"""The commands: parse, call the flow of the same name, print. Rooms are imported inside, so that --help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fiducial import RESEARCH_USE, __version__
from fiducial.cli import archives, evidence, objects
from fiducial.cli.bars import progress_shown
from fiducial.cli.deidentify import Shift, deidentify
from fiducial.cli.feature_maps import feature_maps
from fiducial.cli.features import features
from fiducial.cli.features_report import features_report
from fiducial.cli.options import (
    REFUSED,
    AsJson,
    CaFile,
    CredentialsFrom,
    Debug,
    Device,
    DryRun,
    Insecure,
    MaxSeries,
    Quiet,
    RequirePass,
    Resume,
    RunFolder,
    RunOut,
    Seed,
    StudyFile,
    Workers,
)
from fiducial.cli.resample import resample
from fiducial.cli.signature import signature
from fiducial.cli.stability import stability

app = typer.Typer(
    name="fiducial",
    help=f"Medical images to a model whose evidence can be signed.\n\n{RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fiducial {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Shown above the list of commands."""


@app.command()
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


@app.command()
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="DICOM tree or zip, images/ + labels/, nnU-Net layout, PNG or JPEG folder, or npz; "
            "or an archive: dicomweb+https://host/path?Key=value, dimse://CALLED@host:port?Key=value.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="COHORT", help="The cohort folder to write.")],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Labels and attributes by subject or image.")
    ] = None,
    shift: Annotated[
        Shift, typer.Option(help="DICOM dates: moved by one shift for each site, or, for patient, not told.")
    ] = Shift.SITE,
    credentials_from: CredentialsFrom = "",
    ca: CaFile = None,
    insecure: Insecure = False,
    max_series: MaxSeries = 1000,
    dry_run: DryRun = False,
    workers: Workers = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Read images, masks and labels into one cohort; whatever cannot be used is refused by name."""
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import ingest as flow

    reach = archives.access(credentials_from, ca=ca, insecure=insecure, max_series=max_series)
    if dry_run:
        archives.dry_run(source, reach, as_json=as_json, quiet=quiet)
        return
    with progress_shown(quiet=quiet) as progress:
        result = flow(source, out, labels=labels, shift=shift.value, access=reach, workers=workers, progress=progress)
    lines = [
        f"[bold]{counted(result.n_subjects, 'subject')}, {counted(result.n_images, 'image')}, "
        f"{counted(result.n_masks, 'mask')}[/]",
        f"  accepted {result.accepted}, repaired {result.repaired}, rejected {result.rejected}",
        *[f"  {safe(reason)}: {n}" for reason, n in sorted(result.reasons.items())],
        *[f"  no image for the label of {safe(key)}" for key in result.unmatched[:10]],
        *([f"  and {len(result.unmatched) - 10} more"] if len(result.unmatched) > 10 else []),
        *[f"  note: {safe(note)}" for note in result.notes],
        f"Cohort: {safe(result.cohort)}",
        f"Every series, and why it was accepted, repaired or rejected: {safe(result.page)}",
    ]
    show(result, lines, as_json=as_json)


@app.command()
def check(
    source: Annotated[Path, typer.Argument(metavar="COHORT | STUDY.toml", help="A cohort folder or a study file.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check a cohort, or a study with its cohort, before training; exit 2 on a leak or a broken table."""
    from fiducial.cli.described import outlier_lines, visit_lines
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import check as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(source, progress=progress)
    lines = [
        f"[bold]{counted(result.n_subjects, 'subject')}, {counted(result.n_images, 'image')}[/]"
        + (f" for the study {safe(result.study)}" if result.study else ""),
        *[f"  {part}: {counted(n, 'subject')}" for part, n in result.splits.items()],
        *[f"  [red]leak[/] {safe(_leak_text(leak))}" for leak in result.leaks[:20]],
        *([f"  and {len(result.leaks) - 20} more leaks (--json lists all)"] if len(result.leaks) > 20 else []),
        *outlier_lines(result.outliers),
        *visit_lines(result.visit_problems, result.pairs),
        _check_ending(result),
    ]
    show(_with(result, sound=result.sound), lines, as_json=as_json)
    if not result.sound:
        raise typer.Exit(REFUSED)


@app.command()
def describe(
    cohort: Annotated[Path, typer.Argument(metavar="COHORT", help="A cohort folder.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.html", help="The page to write; COHORT/description.html."),
    ] = None,
    site_table: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Also write the table that harmonisation takes (.csv or .parquet)."),
    ] = None,
    workers: Workers = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Describe a cohort on one page: people, missing values, image quality, outliers, shortcuts, batches, visits."""
    from fiducial.cli.described import description_lines
    from fiducial.cli.show import show
    from fiducial.flows import describe as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(cohort, out, site_table=site_table, workers=workers, progress=progress)
    show(result, description_lines(result), as_json=as_json)


@app.command()
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


@app.command()
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


@app.command()
def audit(
    source: Annotated[
        Path, typer.Argument(metavar="RUN | PREDICTIONS | DIR", help="A run, a CSV or Parquet table, or a mask folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="The folder to write; a run is audited in place.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(metavar="DIR", help="Reference masks, for a folder of masks.")] = None,
    raters: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Beside --truth: a folder of masks for each rater in it.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(metavar="STUDY.toml", help="Intended use and acceptance criteria.")
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Attributes by image or subject; they become groups.")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Level of the intervals.")] = 0.95,
    replicates: Annotated[int, typer.Option(min=100, help="Bootstrap replicates.")] = 2000,
    minimum_n: Annotated[int, typer.Option(min=2, help="Smaller groups are reported as small.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    workers: Workers = 0,
    require_pass: RequirePass = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Audit a run, anybody's table of predictions, or anybody's masks: every figure with its interval."""
    from fiducial.cli.show import show
    from fiducial.flows import AuditSettings
    from fiducial.flows import audit as flow

    settings = AuditSettings(level=level, n_replicates=replicates, minimum_n=minimum_n, seed=seed)

    with progress_shown(quiet=quiet) as progress:
        result = flow(
            source,
            out,
            truth=truth,
            raters=raters,
            study=study,
            attributes=attributes,
            settings=settings,
            workers=workers,
            progress=progress,
        )
    show(_with(result, passed=result.passed, verdicts=result.verdicts), _audit_lines(result), as_json=as_json)
    _gate(result, require_pass)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or any folder that an audit wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="report.html", help="The file to write; RUN/report.html.")
    ] = None,
    require_pass: RequirePass = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write one HTML file from what the audit found; it needs no network."""
    from fiducial.cli.show import safe, show
    from fiducial.flows import report as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(run, out, progress=progress)
    show(result, [f"Report: {safe(result.report)}"], as_json=as_json)
    _gate(result, require_pass)


@app.command()
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
    from fiducial.cli.show import safe, show
    from fiducial.flows import run as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(study, out, seed=seed, resume=resume, device=device, progress=progress)
    lines = [*_audit_lines(result.audited), f"Report: {safe(result.report.report)}"]
    show(_with(result, passed=result.audited.passed), lines, as_json=as_json)
    _gate(result.audited, require_pass)


for command in (
    deidentify,
    objects.export,
    features,
    feature_maps,
    stability,
    signature,
    resample,
    features_report,
    evidence.compare,
    evidence.keys,
    evidence.sign,
    evidence.verify,
):
    app.command()(command)


def _with(result: Any, **derived: Any) -> dict[str, Any]:
    """A result record as a mapping with what it only derives."""
    from fiducial.cli.show import jsonable

    return {**jsonable(result), **derived}


def _gate(result: Any, require_pass: bool) -> None:
    """With --require-pass, anything but a pass of every criterion ends with 2."""
    if require_pass and not result.passed:
        from fiducial.cli.main import say

        said = ", ".join(f"{n} {verdict}" for verdict, n in sorted(result.verdicts.items())) or "no criterion stated"
        say(f"not passed: {said}")
        raise typer.Exit(REFUSED)


def _audit_lines(result: Any) -> list[str]:
    """An audit for a person: verdicts first, then findings."""
    from fiducial.cli.show import counted, safe, verdict_line

    lines = [f"[bold]{counted(result.n_subjects, 'subject')}, {counted(result.n_images, 'image')} audited[/]"]
    for c in result.criteria:
        where = ", ".join(part for part in (c.target, "" if c.group == "all" else c.group) if part)
        bound = f"{'at least' if c.direction == 'at_least' else 'at most'} {c.threshold:g}"
        figure = f"{c.value:.3f} [{c.low:.3f}, {c.high:.3f}]" if c.value == c.value else c.reason
        named = f"{c.metric} {c.statistic}" if c.statistic in ("gap", "low", "high") else c.metric
        lines.append(verdict_line(c.verdict, f"{named}{f' ({where})' if where else ''} {bound}: {figure}"))
    if not result.criteria:
        lines.append("  no acceptance criteria: the study file states them (--study)")
    lines += [f"  [yellow]finding[/]       {safe(text)}" for text in result.findings]
    if result.openings:
        lines.append(f"  the test part was opened {counted(result.openings, 'time')} under this study")
    return [*lines, f"Evidence: {safe(result.out)}"]


def _leak_text(leak: dict[str, Any]) -> str:
    """One leaking pair in words."""
    pair = f"{leak['image_a']} ({leak['split_a']}) and {leak['image_b']} ({leak['split_b']})"
    return f"{str(leak['kind']).replace('_', ' ')}: {pair}"


def _check_ending(result: Any) -> str:
    if not result.leaks:
        return "  no leak found" if result.splits.keys() - {"(none)"} else "  no split stated yet: nothing can leak"
    if result.sound:
        return "  the study drops and reports them (on_leak = drop)"
    return '  training would refuse this: mend the split, or say on_leak = "drop" in the study'
