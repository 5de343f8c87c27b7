"""The commands about a cohort: made, checked and described. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fiducial.cli import archives
from fiducial.cli.bars import progress_shown
from fiducial.cli.deidentify import Shift
from fiducial.cli.options import (
    REFUSED,
    AsJson,
    CaFile,
    CredentialsFrom,
    Debug,
    DryRun,
    Insecure,
    MaxSeries,
    Quiet,
    Workers,
)


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


def check(
    source: Annotated[Path, typer.Argument(metavar="COHORT | STUDY.toml", help="A cohort folder or a study file.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check a cohort, or a study with its cohort, before training; exit 2 on a leak or a broken table."""
    from fiducial.cli.described import outlier_lines, visit_lines
    from fiducial.cli.show import counted, safe, show, with_derived
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
    show(with_derived(result, sound=result.sound), lines, as_json=as_json)
    if not result.sound:
        raise typer.Exit(REFUSED)


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
