"""Results on stdout: a few readable lines, or one JSON object."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLOURS = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "not_assessed": "yellow",
    "finding": "yellow",
    "clear": "green",
}


def jsonable(value: Any) -> Any:
    """A result record as JSON values: paths become text, a missing number becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def with_derived(result: Any, **derived: Any) -> dict[str, Any]:
    """A result record as a mapping with what it only derives."""
    return {**jsonable(result), **derived}


def show(result: Any, lines: list[str], *, as_json: bool) -> None:
    """Print ``result`` as one JSON object, or ``lines`` (Rich markup) for a person."""
    if as_json:
        print(json.dumps(jsonable(result), sort_keys=True))
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line)


def safe(text: object) -> str:
    """Text from files, with Rich's square brackets made harmless."""
    from rich.markup import escape

    return escape(str(text))


def counted(n: int, one: str, many: str = "") -> str:
    """``1 image``, ``2,000 images``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def set_aside_lines(set_aside: Sequence[tuple[str, str]], *, shown: int = 5) -> list[str]:
    """The first of what was set aside, each with its reason and what to do, and how many more there are."""
    lines = []
    for name, reason in set_aside[:shown]:
        first, *more_lines = reason.splitlines()
        lines.append(f"  set aside: {safe(name)}: {safe(first)}")
        lines += [f"    {safe(line.strip())}" for line in more_lines if line.startswith("  what to do:")]
    more = len(set_aside) - shown
    return [*lines, f"  and {more} more; --json names all"] if more > 0 else lines


def verdict_line(verdict: str, text: str) -> str:
    """A coloured verdict and what it is about."""
    colour = COLOURS.get(verdict, "white")
    return f"  [{colour}]{verdict.replace('_', ' '):<13}[/] {safe(text)}"
