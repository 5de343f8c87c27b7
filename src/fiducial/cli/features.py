"""The command about features of regions. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Cluster, Debug, Quiet, Workers


def features(
    cohort: Annotated[Path, typer.Argument(help="A cohort with masks.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.parquet", help="The table to write.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Image processing and families; see the how-to.")
    ] = None,
    perturb: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml", help="Compute all again after each perturbation stated there; see the how-to."
        ),
    ] = None,
    profile: Annotated[
        Literal["ibsi", "pyradiomics"] | None,
        typer.Option(help="Whose definitions and defaults; else what the file of settings says, else IBSI's."),
    ] = None,
    params: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="PyRadiomics' parameter file, with its profile.")
    ] = None,
    wide: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also a row for each region and a column for each feature.")
    ] = None,
    workers: Workers = 0,
    cluster: Cluster = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute radiomics features (IBSI) of every mask; a region without an answer is set aside by name."""
    from fiducial.cli.show import counted, safe, set_aside_lines, show
    from fiducial.flows import features as flow
    from fiducial.flows.features_settings import load_settings, write_wide

    settings = load_settings(config, profile=profile or "", params=params)
    with progress_shown(quiet=quiet) as progress:
        result = flow(
            cohort, out, config=settings, perturb=perturb, workers=workers, cluster=cluster, progress=progress
        )
    lines = [
        f"[bold]{counted(result.n_regions, 'region')} of {counted(result.n_images, 'image')}, "
        f"{counted(result.n_features, 'feature')} each[/]"
    ]
    if result.n_perturbations:
        lines.append(f"  as they are, and again after {counted(result.n_perturbations, 'perturbation')}")
    lines += set_aside_lines(result.set_aside)
    lines += [f"The table: [bold]{safe(result.out)}[/]"]
    if wide is not None:
        lines += [f"A row for each region: [bold]{safe(write_wide(result.out, wide))}[/]"]
    show(result, lines, as_json=as_json)
