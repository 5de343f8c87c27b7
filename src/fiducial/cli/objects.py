"""The command ``export``. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import REFUSED, AsJson, Debug, Quiet, Workers


def export(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    masks: Annotated[
        Path, typer.Argument(metavar="RUN | MASKS", help="A run, what predict wrote, or a folder of NIfTI masks.")
    ],
    source: Annotated[Path, typer.Option("--source", metavar="DICOM", help="The original DICOM, as it was ingested.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write; nothing is replaced.")],
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="seg, rtstruct, sr or nifti (may be repeated).")
    ] = None,
    kind: Annotated[str, typer.Option(help="Of the SEG: binary, fractional or labelmap.")] = "binary",
    cohort: Annotated[
        Path | None, typer.Option(metavar="COHORT", help="The cohort of a folder of masks; a run knows its own.")
    ] = None,
    structure: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What a value of the masks means (may be repeated).")
    ] = None,
    model: Annotated[str, typer.Option(help="Who made a folder of masks; a run says so itself.")] = "",
    workers: Workers = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> None:
    """Write masks and scores as DICOM SEG, RTSTRUCT or SR on the original series, checked against it first.

    The files hold the patient's identity again, copied from the source: they belong where the source belongs.
    """
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import ExportSettings
    from fiducial.flows import export as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(
            masks,
            source,
            out,
            cohort=cohort,
            settings=ExportSettings(
                formats=tuple(formats or ["seg"]),
                kind=cast("Any", kind),
                structures=_structures(structure or []),
                model=model,
            ),
            workers=workers,
            progress=progress,
        )
    n_files = sum(len(files) for files in result.files.values())
    lines = [
        f"[bold]{counted(n_files, 'file')} for {counted(result.n_images, 'image')}[/]",
        *[f"  note: {safe(note)}" for note in result.notes],
        *[f"  [yellow]set aside[/] {safe(image)}: {safe(message)}" for image, message in result.failures],
        f"Objects, with the patients' identity: {safe(result.out)}",
    ]
    show(result, lines, as_json=as_json)
    if not n_files:
        raise typer.Exit(REFUSED)


def _structures(given: list[str]) -> tuple[tuple[str, int], ...]:
    """Names and values, from NAME=VALUE.

    Raises:
        InputRefused: an entry is of another form.
    """
    from fiducial.errors import InputRefused

    found: dict[str, int] = {}
    for text in given:
        name, _, value = text.rpartition("=")
        if not name or not value.isdigit() or int(value) < 1:
            raise InputRefused(text, where="--structure", legal="NAME=VALUE with a whole value of 1 or more")
        found[name] = int(value)
    return tuple(found.items())
