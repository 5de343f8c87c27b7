"""Checklists: how far the evidence answers each, item by item, with the rows that do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fiducial.report import wording
from fiducial.report.blocks import Block, Cell, Column, Fold, Section, Table, Text
from fiducial.report.given import ReportInput

WORDS = {"filled": "Filled", "in_part": "In part", "person": "A person must answer"}
SHAPES = {"filled": "clear", "in_part": "not_assessed", "person": "not_possible"}


def section(given: ReportInput) -> Section | None:
    """Counts of every checklist, then its items behind a line that opens; None for an audit without them."""
    if not given.checklists:
        return None
    blocks: list[Block] = [_counts(given.checklists)]
    for one in given.checklists:
        about = Text(f"{one.get('about', '')}. Source: {one.get('source', '')}.", "note")
        blocks.append(Fold(f"{one.get('name', '')}: {_summary(one)}", [about, _items(one.get("items", ()))]))
    lead = (
        "Numbers as published, words of our own: read the publication beside them. Items are filled only from evidence "
        "rows or from facts that a file of the run states; everything else is for a person."
    )
    return Section("checklists", "Checklists", blocks, lead)


def _counts(checklists: Sequence[Mapping[str, Any]]) -> Table:
    lines = []
    for one in checklists:
        counts = one.get("counts", {})
        numbers = [int(counts.get(state, 0)) for state in WORDS]
        cells = [Cell(wording.count(n)) for n in numbers]
        lines.append([Cell(str(one.get("name", "")), strong=True), *cells, Cell(wording.count(sum(numbers)))])
    columns = (
        Column("Checklist"),
        *(Column(word, numeric=True) for word in WORDS.values()),
        Column("Items", numeric=True),
    )
    return Table(columns, lines)


def _summary(one: Mapping[str, Any]) -> str:
    counts = one.get("counts", {})
    words = {"filled": "filled", "in_part": "in part", "person": "for a person"}
    return ", ".join(f"{counts.get(state, 0)} {word}" for state, word in words.items())


def _items(items: Sequence[Mapping[str, Any]]) -> Table:
    lines = []
    for item in items:
        state = str(item.get("state", "person"))
        rows = [int(number) for number in item.get("rows", ())]
        lines.append(
            [
                Cell(str(item.get("number", "")), strong=True),
                Cell(str(item.get("asks", "")), str(item.get("part", ""))),
                Cell(WORDS.get(state, WORDS["person"]), verdict=SHAPES.get(state, SHAPES["person"])),
                Cell(from_rows(item, rows), from_facts(item), href=f"#e{rows[0]}" if rows else ""),
                Cell(still_needed(item, state)),
            ]
        )
    columns = (Column("Item"), Column("What it asks"), Column("Answer"), Column("Filled from"), Column("From a person"))
    return Table(columns, lines, kind="checks")


def from_rows(item: Mapping[str, Any], rows: Sequence[int]) -> str:
    """``evidence rows 3-5, 9 (accuracy, calibration)``."""
    if not rows:
        return ""
    checks = ", ".join(wording.plain(str(name)).lower() for name in item.get("checks", ()))
    return f"evidence {'row' if len(rows) == 1 else 'rows'} {ranges(rows)} ({checks})"


def from_facts(item: Mapping[str, Any]) -> str:
    """``split: by subject; training: 200 steps``."""
    facts = item.get("facts", {})
    return "; ".join(f"{wording.plain(str(name))}: {text}" for name, text in facts.items())


def still_needed(item: Mapping[str, Any], state: str) -> str:
    """What is for a person: what the item's rule leaves, and what this audit does not hold."""
    if state == "person":
        return ""
    missing = [_need(str(need)) for need in item.get("missing", ())]
    parts = [str(item.get("left", "")), f"not in this audit: {', '.join(missing)}" if missing else ""]
    said = "; ".join(part for part in parts if part)
    return f"still needed: {said}" if said else ""


def _need(need: str) -> str:
    """A rule's need in words: ``fact:data_name|missingness`` as ``data name or missingness``."""
    names = (part.removeprefix("fact:").partition(":")[0] for part in need.split("|"))
    return " or ".join(dict.fromkeys(wording.plain(name).lower() for name in names))


def ranges(numbers: Sequence[int], most: int = 6) -> str:
    """``3, 4, 5, 9`` as ``3\u20135, 9``; after ``most`` parts, how many more rows there are."""
    ordered = sorted(set(numbers))
    starts = [ordered[0], *(b for a, b in pairwise(ordered) if b > a + 1)]
    ends = [*(a for a, b in pairwise(ordered) if b > a + 1), ordered[-1]]
    parts = [str(a) if a == b else f"{a}\u2013{b}" for a, b in zip(starts, ends, strict=True)]
    if len(parts) <= most:
        return ", ".join(parts)
    n_shown = sum(b - a + 1 for a, b in zip(starts[:most], ends[:most], strict=True))
    return f"{', '.join(parts[:most])} and {len(ordered) - n_shown} more"
