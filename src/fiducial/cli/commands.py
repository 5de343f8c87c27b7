"""The command line: every command, in the order of its help. Commands import rooms inside, so that --help is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from fiducial import RESEARCH_USE, __version__
from fiducial.cli import audits, cohorts, evidence, objects, runs
from fiducial.cli.deidentify import deidentify
from fiducial.cli.feature_maps import feature_maps
from fiducial.cli.features import features
from fiducial.cli.features_report import features_report
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


for command in (
    runs.demo,
    cohorts.ingest,
    cohorts.check,
    cohorts.describe,
    runs.train,
    runs.predict,
    audits.audit,
    audits.report,
    runs.run,
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
