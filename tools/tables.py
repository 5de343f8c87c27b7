"""Write the reference pages that are made from the code: docs/reference/tables.md and docs/reference/commands.md.

Run by `make docs-tables`; a test fails where a page is stale.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import typer.main

from fiducial.cli.commands import app
from fiducial.records.radiomics import FEATURES, STABILITY
from fiducial.records.radiomics_signature import SIGNATURE, SIGNATURE_CURVES, SIGNATURE_MODELS, SIGNATURE_PREDICTIONS
from fiducial.records.tables import SCHEMAS, Schema

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
TABLES_LEAD = """\
# Tables

<!-- Made by `make docs-tables` from fiducial/records (tables.py, radiomics*.py): change it there. -->

Every table is a Parquet file; CSV is read too. They are checked on read and on write, and an error names file, row and
column. Text is never missing: empty text means *not said*. A column without a default is required.
`evidence.json` holds the same columns as `{"schema": 2, "rows": [...], "chain": {...}}`.
"""
TYPES = {"integer": "N", "integer range": "N", "float range": "X", "text": "TEXT", "path": "PATH"}
COMMANDS_LEAD = """\
# Commands

<!-- Made by `make docs-tables` from fiducial/cli: change it there. -->

Exit codes: **0** done, whatever the verdict; **2** the input was refused, the command was misused, `--require-pass`
was not met or `verify` proved nothing; **1** a fault of ours, with the traceback in a file that the message names;
**130** interrupted.

Progress is drawn on stderr, results are printed on stdout. With `--json`, stdout holds one object, also for an error:
`{"error": {"kind", "given", "where", "legal", "action"}}`.
"""

RADIOMICS = (FEATURES, STABILITY, SIGNATURE_MODELS, SIGNATURE_PREDICTIONS, SIGNATURE, SIGNATURE_CURVES)


def tables_page() -> str:
    """The page of all table schemas."""
    return TABLES_LEAD + "".join(_schema(schema) for schema in (*SCHEMAS.values(), *RADIOMICS))


def _schema(schema: Schema) -> str:
    name = schema.name.capitalize().replace("_", " ")
    lines = [f"\n## {name}\n"]
    if schema.open:
        lines.append("Further columns are legal: they are attributes and labels.\n")
    if schema.unique:
        lines.append(f"One row for each combination of {', '.join(f'`{name}`' for name in schema.unique)}.\n")
    lines += ["| column | type | default | meaning |", "|---|---|---|---|"]
    for column in schema.columns:
        legal = ", ".join(f"`{value}`" if value else "empty" for value in column.legal)
        meaning = "; ".join(part for part in (column.meaning, f"one of {legal}" if legal else "") if part)
        lines.append(f"| `{column.name}` | {column.kind} | {_default(column.default)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(value: str | float | None) -> str:
    if value is None:
        return "required"
    if isinstance(value, float) and math.isnan(value):
        return "missing"
    return f"`{value}`" if value != "" else "empty"


def commands_page() -> str:
    """The page of all commands with their arguments and options."""
    group: Any = typer.main.get_command(app)
    return COMMANDS_LEAD + "".join(_command(name, command) for name, command in group.commands.items())


def _shape(parameter: Any) -> str:
    """What an option takes: a type, or the words of a choice."""
    return "/".join(parameter.type.choices) if parameter.type.name == "choice" else TYPES[parameter.type.name]


def _command(name: str, command: Any) -> str:
    lines = [f"\n## fiducial {name}\n", " ".join((command.help or "").split()) + "\n"]
    lines += ["| argument or option | default | meaning |", "|---|---|---|"]
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        written = ", ".join(parameter.opts) if is_option else (parameter.metavar or parameter.name.upper())
        shown = "" if not is_option or parameter.is_flag else f" {parameter.metavar or _shape(parameter)}"
        what = f"{written}{shown}".replace("|", "\\|")
        lines.append(f"| `{what}` | {_option_default(parameter, is_option)} | {parameter.help or ''} |")
    return "\n".join(lines) + "\n"


def _option_default(parameter: Any, is_option: bool) -> str:
    if parameter.required:
        return "required"
    if not is_option or parameter.default is None or parameter.is_flag or callable(parameter.default):
        return ""
    return f"`{parameter.default}`"


PAGES = {"tables.md": tables_page, "commands.md": commands_page}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (REFERENCE / page).write_text(make(), encoding="utf-8")
