"""Entry point: runs a command and turns what it raised into one message and an exit code.

0: done, whatever the verdict. 2: the input was refused, the command was misused, or ``--require-pass`` was not met.
1: our fault; the traceback is written to a file. 130: interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from fiducial.errors import FiducialError, InputRefused

if TYPE_CHECKING:
    from click import UsageError

DONE, OUR_FAULT, REFUSED, INTERRUPTED = 0, 1, 2, 130
RESUMABLE = ("train", "run")


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run one command and return its exit code; raises nothing."""
    try:
        code = _run(argv)
    except KeyboardInterrupt:  # while the command line was still being loaded
        code = INTERRUPTED
    return _interrupted(argv) if code == INTERRUPTED else code


def _run(argv: list[str]) -> int:
    """Run one command and return its exit code; only Ctrl-C is raised, and mostly a code as well."""
    # Threads of PyTorch that wait for each other sleep instead of spinning: on a machine that does anything else
    # besides, training is then up to three times faster, and no slower on an idle one. Read when OpenMP is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from click import UsageError

    from fiducial.cli.commands import app

    try:
        code = app(argv, prog_name="fiducial", standalone_mode="--json" not in argv)
    except SystemExit as stop:  # Typer's own way out: --help, a misused option, an exit code, Ctrl-C
        return stop.code if isinstance(stop.code, int) else DONE
    except UsageError as error:  # with --json Typer leaves it to us
        return _misused(error, argv)
    except InputRefused as error:
        return _refused(error, argv)
    except OSError as error:
        return _operating_system(error, argv)
    except Exception as error:
        return _our_fault(error, argv)
    return code if isinstance(code, int) else DONE


def say(text: str) -> None:
    """One message on stderr."""
    print(text, file=sys.stderr)


def _refused(error: InputRefused, argv: list[str]) -> int:
    """The input cannot be used: one message, no traceback."""
    parts = {"given": error.given, "where": error.where, "legal": error.legal, "action": error.action}
    _print_error(type(error).__name__, parts, argv)
    say(f"refused: {error}")
    _debug(error, argv)
    return REFUSED


def _interrupted(argv: list[str]) -> int:
    """Ctrl-C, whenever it came: one sentence."""
    action = "it goes on from here with --resume" if argv and argv[0] in RESUMABLE else "run the command again"
    given = "interrupted: nothing half-written was left"
    _print_error("Interrupted", {"given": given, "where": "", "legal": "", "action": action}, argv)
    say(f"{given}; {action}")
    return INTERRUPTED


def _misused(error: UsageError, argv: list[str]) -> int:
    """A missing argument or an option that does not exist."""
    command = error.ctx.command_path if error.ctx is not None else "fiducial"
    action = f"see `{command} --help`"
    parts = {"given": error.format_message(), "where": command, "legal": "", "action": action}
    _print_error(type(error).__name__, parts, argv)
    say(f"misused: {error.format_message()}\n  what to do: {action}")
    return REFUSED


def _operating_system(error: OSError, argv: list[str]) -> int:
    """Disks and permissions: the user can mend them, so a sentence is worth more than a traceback."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):
        return _our_fault(error, argv)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "free some space and run it again (training: with --resume)" if full else "choose another folder or mend it"
    text = f"{error.strerror} ({error.filename})" if error.filename else str(error.strerror)
    _print_error(type(error).__name__, {"given": text, "where": "", "legal": "", "action": hint}, argv)
    say(f"refused: {text}\n  what to do: {hint}; nothing half-written was left")
    _debug(error, argv)
    return REFUSED


def _our_fault(error: Exception, argv: list[str]) -> int:
    """A fault of ours: a short message, and the traceback where it can be sent from."""
    import tempfile
    import traceback

    trace = "".join(traceback.format_exception(error))
    short = f"{type(error).__name__}: {error}".splitlines()[0]
    if "--debug" in argv:
        say(trace)
    else:
        with tempfile.NamedTemporaryFile("w", prefix="fiducial-fault-", suffix=".txt", delete=False) as file:
            file.write(f"fiducial {' '.join(map(_shown, argv))}\n\n{trace}")
        short += f"\n  the traceback is in {file.name} (--debug prints it); please report it with the command you gave"
    whose = "failed" if isinstance(error, FiducialError) else "fault of ours"
    _print_error(type(error).__name__, {"given": str(error), "where": "", "legal": "", "action": ""}, argv)
    say(f"{whose}: {short}")
    return OUR_FAULT


def _shown(argument: str) -> str:
    """An argument as it may be sent on: an archive's address without its query, which names patients."""
    return f"{argument.partition('?')[0]}?..." if "://" in argument and "?" in argument else argument


def _print_error(kind: str, parts: dict[str, str], argv: list[str]) -> None:
    """With ``--json``, an error is also one object on stdout."""
    if "--json" in argv:
        import json

        print(json.dumps({"error": {"kind": kind, **parts}}))


def _debug(error: Exception, argv: list[str]) -> None:
    """With ``--debug``, the traceback of a refusal too."""
    if "--debug" in argv:
        import traceback

        traceback.print_exception(error)
