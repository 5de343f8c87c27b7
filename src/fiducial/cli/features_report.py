"""The command about the page of a table of features. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Debug, Quiet


def features_report(
    table: Annotated[Path, typer.Argument(metavar="FEATURES.parquet", help="A table of features.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.html", help="The page; beside the table unless named.")
    ] = None,
    stability: Annotated[
        Path | None, typer.Option(metavar="DIR", help="How well each feature repeats: what fiducial stability wrote.")
    ] = None,
    signature: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of a signature of these features.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - main reads it
) -> None:
    """Write one page about features: families, what says the same, what repeats, a signature, RQS, METRICS, CLEAR."""
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import features_report as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(table, out, stability=stability, signature=signature, progress=progress)
    lines = [
        f"[bold]{counted(result.n_features, 'feature')} of {counted(result.n_regions, 'region')} of "
        f"{counted(result.n_subjects, 'patient')}[/], {counted(result.n_missing, 'value')} missing"
    ]
    if result.n_clusters:
        lines.append(f"  {counted(result.n_clusters, 'cluster')} of features that say the same")
    for name, (points, decided, waiting) in result.sheets.items():
        scored = f"{points:g} of {decided:g} that could be decided, " if decided else ""
        lines.append(f"  {safe(name)}: {scored}{counted(waiting, 'item')} for a person")
    show(result, [*lines, f"Open this page: [bold]{safe(result.page)}[/]"], as_json=as_json)
