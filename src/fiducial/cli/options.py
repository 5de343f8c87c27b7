"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Replaces the study's seed.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run; the result is the same.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0 takes every core.")]
Cluster = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT", help="Compute on the machines of a Ray cluster; see the how-to.", show_default=False
    ),
]
RequirePass = Annotated[
    bool, typer.Option("--require-pass", help="Exit with 2 unless every acceptance criterion is passed.")
]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
RunOut = Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The run folder to write.")]
CredentialsFrom = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Of an archive: the environment variable that holds USER:PASSWORD or Bearer TOKEN.",
        show_default=False,
    ),
]
CaFile = Annotated[
    Path | None, typer.Option("--ca", metavar="FILE.pem", help="Of an archive: the certificates to trust.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Of an archive: allow dicomweb+http:// to another machine.")]
MaxSeries = Annotated[int, typer.Option(min=1, help="Of an archive: a query that matches more is refused.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Of an archive: only count what the query matches.")]

REFUSED = 2
