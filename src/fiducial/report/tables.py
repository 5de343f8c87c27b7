"""A table of a page that is shown as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiducial.report import wording
from fiducial.report.blocks import Cell, Column, Table

MOST_ROWS = 60
"""A page shows so many rows of a list that may be long, and says how many more there are."""


def plain_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table as it is: a column for each key, numbers to the right."""
    names = list(dict.fromkeys(str(key) for row in rows for key in row))
    numeric = {
        name: all(isinstance(row.get(name), int | float) or row.get(name) is None for row in rows) for name in names
    }
    columns = [Column(wording.plain(name), numeric=numeric[name]) for name in names]
    lines = [[Cell(wording.anything(row.get(name))) for name in names] for row in rows]
    return Table(columns, lines)
