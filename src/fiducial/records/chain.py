"""A hash chain over rows: which row was changed, removed, added or moved, and in which column.

With r_i the canonical JSON of row i (sorted keys, no spaces), h_i = SHA-256(h_{i-1} + newline + r_i); h_0 is fixed. The
last link, the *head*, stands for every row and their order. A *cell mark* (16 bits a column) only helps to find the
column of a row that is already known to differ; it proves nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiducial.errors import IntegrityError

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]

START = hashlib.sha256(b"fiducial evidence chain 1").hexdigest()
MARK = 4
"""Hexadecimal digits of a cell mark."""
MAX_SEARCHES = 50
"""Rows whose first place is looked for all over the table; more are only said to differ."""


@dataclass(frozen=True)
class Chain:
    """Links and cell marks of some rows, in their order; ``columns`` name the marks."""

    columns: tuple[str, ...]
    links: tuple[str, ...]
    cells: tuple[str, ...]

    @property
    def head(self) -> str:
        """The last link; of no rows, the fixed start."""
        return self.links[-1] if self.links else START

    def to_json(self) -> dict[str, Any]:
        """The chain as JSON values."""
        return {
            "columns": list(self.columns),
            "links": list(self.links),
            "cells": list(self.cells),
            "head": self.head,
        }


@dataclass(frozen=True)
class RowChange:
    """One row that is not what the chain says.

    ``how`` is ``changed``, ``removed``, ``added`` or ``moved``; ``row`` its number now (1 = first; of a removed row,
    the number that it had) and ``was`` its number in the chain (0 for an added row). ``columns`` are those whose
    value differs, where the marks tell.
    """

    how: str
    row: int
    was: int
    columns: tuple[str, ...] = ()


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON values: NumPy numbers become Python's, NaN and infinities become null."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def chain_of(rows: Sequence[Row], columns: Sequence[str]) -> Chain:
    """The chain of rows of JSON values.

    Raises:
        ValueError: a value is not JSON (NaN, an object).
    """
    links = []
    link = START
    for row in rows:
        link = _link(link, _canonical(row))
        links.append(link)
    return Chain(tuple(columns), tuple(links), tuple(_marks(row, columns) for row in rows))


def chain_from_json(held: Any, *, where: str) -> Chain:
    """Read what `Chain.to_json` gave.

    Raises:
        IntegrityError: it is not a chain.
    """
    legal = "columns, links, cells (lists of text) and head"
    if not isinstance(held, dict):
        raise IntegrityError(f"a chain that is {type(held).__name__}", where=where, legal=legal)
    parts = [held.get(name) for name in ("columns", "links", "cells")]
    if not all(isinstance(part, list) and all(isinstance(text, str) for text in part) for part in parts):
        raise IntegrityError("a chain without its lists", where=where, legal=legal)
    columns, links, cells = (tuple(part) for part in parts if part is not None)
    whole = Chain(columns, links, cells)
    if len(links) != len(cells) or held.get("head") != whole.head:
        raise IntegrityError("a chain whose lists do not fit each other", where=where, legal=legal)
    return whole


def row_changes(rows: Sequence[Row], chain: Chain) -> list[RowChange]:
    """What differs between rows and the chain that was made of them; empty if nothing does.

    A row is recognised by what stands in it, so that an edited row is told from one that was removed, added or moved.
    """
    texts = [_canonical(row) for row in rows]
    found = _places(texts, chain)
    kept = _in_order([place for place in found if place is not None])
    changes = [
        RowChange("moved", here + 1, place + 1)
        for here, place in enumerate(found)
        if place is not None and place not in kept
    ]
    held = {place for place in found if place is not None}
    for here_gap, was_gap in _gaps(found, kept, held, len(chain.links)):
        for here, was in zip(here_gap, was_gap, strict=False):
            changes.append(RowChange("changed", here + 1, was + 1, _differing(rows[here], chain, was)))
        n = min(len(here_gap), len(was_gap))
        changes += [RowChange("added", here + 1, 0) for here in here_gap[n:]]
        changes += [RowChange("removed", was + 1, was + 1) for was in was_gap[n:]]
    return sorted(changes, key=lambda change: (change.row, change.was))


def _places(texts: Sequence[str], chain: Chain) -> list[int | None]:
    """For each row the place in the chain at which exactly this row stood, or None; no place is given twice."""
    before = [START, *chain.links[:-1]]
    taken: set[int] = set()
    places: list[int | None] = []
    expected, searches = 0, 0
    for text in texts:
        near = [place for place in (expected, len(places)) if place < len(chain.links)]
        place = next((p for p in near if p not in taken and _link(before[p], text) == chain.links[p]), None)
        if place is None and searches < MAX_SEARCHES:
            searches += 1
            everywhere = (p for p in range(len(chain.links)) if p not in taken)
            place = next((p for p in everywhere if _link(before[p], text) == chain.links[p]), None)
        if place is not None:
            taken.add(place)
            expected = place
        expected += 1
        places.append(place)
    return places


def _in_order(places: Sequence[int]) -> set[int]:
    """The places of a longest increasing subsequence: the rows that kept their order."""
    tails: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for index, place in enumerate(places):
        at = bisect_left(tails, place)
        previous.append(last[at - 1] if at else -1)
        if at == len(tails):
            tails.append(place)
            last.append(index)
        else:
            tails[at], last[at] = place, index
    kept: set[int] = set()
    index = last[-1] if last else -1
    while index >= 0:
        kept.add(places[index])
        index = previous[index]
    return kept


def _gaps(
    found: Sequence[int | None], kept: set[int], held: set[int], n_links: int
) -> list[tuple[list[int], list[int]]]:
    """Between rows that kept their order: the rows now, and the places then, that nothing explains."""
    gaps: list[tuple[list[int], list[int]]] = []
    here_gap: list[int] = []
    was_from = 0
    for here, place in enumerate([*found, n_links]):
        if place is None:
            here_gap.append(here)
        elif place in kept or here == len(found):
            gaps.append((here_gap, [was for was in range(was_from, place) if was not in held]))
            here_gap, was_from = [], place + 1
    return gaps


def _differing(row: Row, chain: Chain, place: int) -> tuple[str, ...]:
    """The columns whose mark differs."""
    marks, now = chain.cells[place], _marks(row, chain.columns)
    pairs = [(marks[k : k + MARK], now[k : k + MARK]) for k in range(0, len(now), MARK)]
    return tuple(name for name, (was, is_now) in zip(chain.columns, pairs, strict=True) if was != is_now)


def _link(previous: str, text: str) -> str:
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def _canonical(row: Row) -> str:
    return json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _marks(row: Row, columns: Sequence[str]) -> str:
    texts = (json.dumps([name, row.get(name)], allow_nan=False) for name in columns)
    return "".join(hashlib.sha256(text.encode()).hexdigest()[:MARK] for text in texts)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
