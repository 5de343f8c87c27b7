"""The commands about evidence that exists: compare, keys, sign, verify. Registered in `commands`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import REFUSED, AsJson, Debug, Quiet

LOCK = "FIDUCIAL_KEY_PASSPHRASE"
"""The environment variable that holds a private key's passphrase; read here and nowhere else."""

AuditedFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run, or any folder that an audit wrote.", show_default=False)
]


def keys(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write; not a run.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make a key pair for signing: private.pem, for you alone, and public.pem, for everybody.

    The environment variable FIDUCIAL_KEY_PASSPHRASE, where it is set, locks the private key.
    """
    from fiducial.cli.show import safe, show
    from fiducial.flows import keys as flow

    made = flow(out, passphrase=os.environ.get(LOCK, ""))
    locked = "locked by its passphrase" if made.locked else f"not locked: {LOCK} was not set"
    lines = [
        f"Private key: {safe(made.private)} ({locked}); keep it out of every run",
        f"Public key: {safe(made.public)}, fingerprint [bold]{made.key}[/]; give both to whoever is to verify",
    ]
    show(made, lines, as_json=as_json)


def sign(
    run: AuditedFolder,
    key: Annotated[Path, typer.Option("--key", metavar="PRIVATE.pem", help="The private key; outside the run.")],
    name: Annotated[str, typer.Option("--name", help="Who signs.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Sign the evidence of a run, and everything it rests on, with a key that lies outside the run.

    A locked key takes its passphrase from the environment variable FIDUCIAL_KEY_PASSPHRASE.
    """
    from fiducial.cli.main import say
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import sign as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(run, key, name=name, passphrase=os.environ.get(LOCK, ""), progress=progress)
    for warning in result.warnings:
        say(f"warning: {warning}")
    lines = [
        f"[bold]Signed[/] by {safe(result.name)} on {result.signed_at}, key {result.key}",
        f"  {counted(result.n_files, 'file')}, {counted(result.n_evidence, 'evidence row')}, head {result.head[:16]}",
        f"Signature: {safe(result.signature)}",
        *([f"Report: {safe(result.report)}, drawn again with the signature"] if result.report else []),
    ]
    show(result, lines, as_json=as_json)


def verify(
    run: AuditedFolder,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC.pem", help="The signer's public key, from a place that you trust."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Prove that a run is what was signed, or name what was changed; exit 2 unless it is proven.

    Without a key only the seals are verified: whoever changed the run may have renewed them.
    """
    from fiducial.cli.show import show
    from fiducial.flows import verify as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(run, key, progress=progress)
    held = {field: getattr(result, field) for field in result.__dataclass_fields__}
    show({**held, "sound": result.sound}, _verify_lines(result), as_json=as_json)
    if not result.sound:
        raise typer.Exit(REFUSED)


_STATES = {
    "proven": "[green]proven[/]: nothing was changed since it was signed with this key",
    "not_proven": "[red]not proven[/]",
    "signed": "[yellow]signed[/], and nothing was changed; whose key it is was not checked: give it with --key",
    "unsigned": "[yellow]unsigned[/]: every file is as it was sealed, but anybody could have renewed a seal",
    "changed": "[red]changed[/]",
}


def _verify_lines(result: Any, most: int = 20) -> list[str]:
    """What a verification found: the verdict first, then every change, then who signed."""
    from fiducial.cli.show import counted, safe

    counts = f"{counted(result.n_files, 'file')}, {counted(result.n_evidence, 'evidence row')}"
    lines = [f"{_STATES[result.state]} ({counts})"]
    for change in result.changes[:most]:
        kind = "" if change.kind in ("row", "file", "signature") else f"{change.kind} "
        lines.append(f"  [red]{kind}{safe(change.what)}[/]: {safe(change.how)}")
    if len(result.changes) > most:
        lines.append(f"  and {len(result.changes) - most} more changes (--json lists all)")
    for who in result.signatures:
        state = "holds" if who.holds else "does not hold"
        which = ", the given key" if who.by_key else ""
        lines.append(f"  signature of {safe(who.name)}, {safe(who.signed_at)}, key {who.key}{which}: {state}")
    return [*lines, *[f"  note: {safe(note)}" for note in result.notes]]


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="The audited folder that B is measured against.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The audited folder that would replace it.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write: compare.html, compare.json.")
    ] = Path("compare"),
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Lay two audits side by side: paired tests on the same cases, regressions first."""
    from fiducial.cli.show import counted, safe, show
    from fiducial.flows import compare as flow

    with progress_shown(quiet=quiet) as progress:
        result = flow(before, after, out, progress=progress)
    lines = [
        f"[bold]{safe(result.before)}[/] against [bold]{safe(result.after)}[/]: "
        f"{counted(result.n_images, 'image')} in both, {counted(result.n_rows, 'evidence row')} side by side",
        *[f"  [red]worse[/]    {safe(text)}" for text in result.regressions],
        *[f"  [green]better[/]   {safe(text)}" for text in result.improvements],
        *([] if result.regressions else ["  no regression beyond chance"]),
        *[f"  note: {safe(note)}" for note in result.notes],
        f"Comparison: {safe(result.page)}",
    ]
    show(result, lines, as_json=as_json)
