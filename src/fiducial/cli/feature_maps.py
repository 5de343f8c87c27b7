"""The command about feature maps. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Cluster, Debug, Quiet, Workers


def feature_maps(
    cohort: Annotated[Path, typer.Argument(help="A cohort with masks.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Image processing and families; see the how-to.")
    ] = None,
    radius: Annotated[int, typer.Option(metavar="N", help="Voxels on each side of a neighbourhood's middle.")] = 1,
    unmasked: Annotated[
        bool, typer.Option("--unmasked", help="Neighbourhoods hold voxels outside the region too.")
    ] = False,
    workers: Workers = 0,
    cluster: Cluster = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write radiomics features of the neighbourhood of every voxel of every mask, a NIfTI file for each feature."""
    from fiducial.cli.show import counted, safe, set_aside_lines, show
    from fiducial.flows import feature_maps as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(
            cohort,
            out,
            config=config,
            radius=radius,
            masked=not unmasked,
            workers=workers,
            cluster=cluster,
            progress=progress,
        )
    lines = [f"[bold]{counted(result.n_maps, 'map')} of {counted(result.n_regions, 'region')}[/]"]
    lines += set_aside_lines(result.set_aside)
    show(result, [*lines, f"What lies where: [bold]{safe(result.table)}[/]"], as_json=as_json)
