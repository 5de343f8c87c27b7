"""The commands that audit, and show what an audit found. Registered in `commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import REFUSED, AsJson, Debug, Quiet, RequirePass, Workers


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
    from fiducial.cli.show import show, with_derived
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
    show(with_derived(result, passed=result.passed, verdicts=result.verdicts), audit_lines(result), as_json=as_json)
    gate(result, require_pass)


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
    gate(result, require_pass)


def gate(result: Any, require_pass: bool) -> None:
    """With --require-pass, anything but a pass of every criterion ends with 2."""
    if require_pass and not result.passed:
        from fiducial.cli.main import say

        said = ", ".join(f"{n} {verdict}" for verdict, n in sorted(result.verdicts.items())) or "no criterion stated"
        say(f"not passed: {said}")
        raise typer.Exit(REFUSED)


def audit_lines(result: Any) -> list[str]:
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
