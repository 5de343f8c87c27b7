"""The command that brings a mask onto its image's grid. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Debug, Quiet


def resample(
    source: Annotated[Path, typer.Argument(help="A label map (or, with --intensities, an image).", show_default=False)],
    like: Annotated[Path, typer.Option(metavar="IMAGE", help="The image, or DICOM series, whose grid is wanted.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.nii.gz", help="The file to write.")],
    intensities: Annotated[
        bool, typer.Option("--intensities", help="The source is an image: linear instead of nearest neighbour.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - main reads it
) -> None:
    """Bring a label map onto the grid of its image, and say what that does to each structure's volume."""
    from fiducial.cli.show import safe, show
    from fiducial.flows import resample as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(source, like, out, intensities=intensities, progress=progress)
    lines = [f"from {result.source}", f"onto {result.grid} ({result.method})"]
    for one in result.labels:
        change = (
            "lost: finer than the grid, or beyond it" if one.after_ml == 0 else f"{round(one.change, 3) + 0.0:+.1%}"
        )
        lines.append(f"  label {one.label}: {one.before_ml:.4g} ml before, {one.after_ml:.4g} ml after ({change})")
    if result.outside:
        lines.append(f"  {result.outside:.1%} of the grid lies beyond the source")
    show(result, [*lines, f"The file: [bold]{safe(result.out)}[/]"], as_json=as_json)
