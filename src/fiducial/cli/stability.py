"""The command about how well features repeat. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Debug, Quiet

SHOWN = 5
COLOURS = {"excellent": "green", "good": "green", "moderate": "yellow", "poor": "red"}


def stability(
    features: Annotated[
        Path,
        typer.Argument(metavar="FEATURES.parquet", help="A table of features, with repeats.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write: stability.parquet.")],
    repeats: Annotated[
        Literal["perturbation", "rater", "visit"] | None,
        typer.Option(help="What the repeats of a region differ by; without it, the first that the table has."),
    ] = None,
    graded_by: Annotated[
        Literal["icc_1_1", "icc_2_1", "icc_3_1"],
        typer.Option(help="Whose lower end gives the grade: repeats at random, agreement or consistency."),
    ] = "icc_1_1",
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say how well each feature repeats: intraclass correlations with 95 % intervals, graded by the lower end.

    Poor: below 0.5; moderate: to 0.75; good: to 0.9; excellent: above.
    """
    from fiducial.cli.show import show
    from fiducial.flows import stability as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(features, out, repeats=repeats or "", graded_by=graded_by, progress=progress)
    show(result, _lines(result), as_json=as_json)


def _lines(result: Any) -> list[str]:
    """Counts of all features, then of each family; then what does not count."""
    from fiducial.cli.show import counted, safe

    regions = f"{counted(result.n_regions, 'region')} of {counted(result.n_subjects, 'person', 'persons')}"
    lines = [
        f"[bold]{counted(result.n_features, 'feature')}, {regions}, {result.n_repeats} repeats each[/] "
        f"({result.repeats}), by the lower end of {result.graded_by}",
        f"  {_counts(result.grades)}",
        *(f"  {safe(family):<20} {_counts(counts)}" for family, counts in result.families.items()),
    ]
    if len(result.filters) > 1:
        lines.append("  the same, by the image that they are of:")
        lines += [
            f"  {safe(name or '(the image itself)'):<20} {_counts(counts)}" for name, counts in result.filters.items()
        ]
    lines += [f"  left out: {safe(name)}: {safe(reason)}" for name, reason in result.left_out[:SHOWN]]
    more = len(result.left_out) - SHOWN
    lines += [f"  and {more} more; --json names all"] if more > 0 else []
    lines += [f"  note: {safe(note)}" for note in result.notes]
    return [*lines, f"The table: [bold]{safe(result.out)}[/]"]


def _counts(grades: dict[str, int]) -> str:
    """``12 excellent, 3 good``; grades that no feature has are left out."""
    named = [(word, n) for word, n in grades.items() if n]
    return ", ".join(
        f"[{COLOURS[word]}]{n} {word}[/]" if word in COLOURS else f"{n} without a correlation" for word, n in named
    )
