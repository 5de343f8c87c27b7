"""Radiomics sheets: how far a run answers RQS, METRICS and CLEAR, with a score of what could be decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiducial.report import wording
from fiducial.report.blocks import Block, Cell, Column, Fold, Section, Table, Text
from fiducial.report.checklists import SHAPES, WORDS, from_facts, from_rows, still_needed

Row = Mapping[str, Any]


def section(sheets: Sequence[Row]) -> Section | None:
    """Counts and scores of every sheet, then its items behind a line that opens; None without sheets."""
    if not sheets:
        return None
    blocks: list[Block] = [_counts(sheets)]
    for sheet in sheets:
        about = Text(f"{sheet['about']}. Source: {sheet['source']}.", "note")
        blocks.append(Fold(f"{sheet['name']}: {score_text(sheet)}", [about, _items(sheet)]))
    lead = (
        "Numbers as published, words of our own: read the publication beside them. Items are filled only from evidence "
        "rows or from facts that a file of the run states; everything else is for a person. A score counts what was "
        "decided, and nothing else: it is no score of the study."
    )
    return Section("sheets", "Radiomics sheets", blocks, lead)


def score_text(sheet: Row) -> str:
    """``4 of the 5 points that could be decided; 13 items wait for a person``."""
    waiting = f"{wording.plural(sheet['n_waiting'], 'item waits', 'items wait')} for a person"
    if not sheet["unit"]:
        n = sum(item["answer"]["state"] != "person" for item in sheet["items"])
        return f"{n} of {len(sheet['items'])} items filled at least in part; {waiting}"
    got, could = sheet["score"]
    if not could:
        return f"no {sheet['unit']} could be decided; {waiting}"
    said = f"{_number(got)} of the {_number(could)} points" if sheet["unit"] == "points" else ""
    said = said or f"weight {_number(got)} of the {_number(could)}"
    return f"{said} that could be decided; {waiting}"


def _number(value: float) -> str:
    return wording.count(value) if float(value).is_integer() else wording.number(value, 3)


def _counts(sheets: Sequence[Row]) -> Table:
    lines = []
    for sheet in sheets:
        states = [str(item["answer"]["state"]) for item in sheet["items"]]
        cells = [Cell(wording.count(states.count(state))) for state in WORDS]
        most = sum(float(item["most"]) for item in sheet["items"])
        small = f"{_number(most)} in all" if sheet["unit"] == "points" else "weights sum to 1" if sheet["unit"] else ""
        score = score_text(sheet) if sheet["unit"] else "has no score"
        lines.append([Cell(str(sheet["name"]), str(sheet["about"]), strong=True), Cell(score, small), *cells])
    columns = (Column("Sheet"), Column("Score"), *(Column(word, numeric=True) for word in WORDS.values()))
    return Table(columns, lines, kind="named")


def _items(sheet: Row) -> Table:
    scored = bool(sheet["unit"])
    lines = []
    for item in sheet["items"]:
        answer = item["answer"]
        state = str(answer["state"])
        numbers = [int(number) for number in answer["rows"]]
        verdict, word = SHAPES[state], WORDS[state]
        if item["applies"] == "no":
            verdict, word = "not_possible", "Does not apply"
        lines.append(
            [
                Cell(str(answer["number"]), strong=True),
                Cell(str(answer["asks"]), str(answer["part"])),
                Cell(word, verdict=verdict),
                *([Cell(*_points(item))] if scored else []),
                Cell(from_rows(answer, numbers), from_facts(answer), href=f"#e{numbers[0]}" if numbers else ""),
                Cell(still_needed(answer, state), _condition(item)),
            ]
        )
    columns = (
        Column("Item"),
        Column("What it asks"),
        Column("Answer"),
        *([Column(wording.plain(str(sheet["unit"])))] if scored else []),
        Column("Filled from"),
        Column("From a person"),
    )
    return Table(columns, lines, kind="checks")


def _points(item: Row) -> tuple[str, str]:
    """What was decided, and what of it; the rest waits."""
    if item["applies"] == "no":
        return "not counted", ""
    if item["applies"] == "open" and item["decided"]:
        return "not counted", f"{_number(item['points'])} of {_number(item['most'])} if it applies"
    waiting = round(item["most"] - item["decided"], 6)
    left = f"{_number(waiting)} open" if waiting else ""
    if not item["decided"]:
        return left, ""
    told = "; ".join(f"{asks}: {_number(points)}" for asks, points in item["decisions"] if asks)
    return ", ".join(part for part in (f"{_number(item['points'])} of {_number(item['decided'])}", left) if part), told


def _condition(item: Row) -> str:
    if item["applies"] != "open":
        return ""
    return f"and whether it applies: {str(item['condition'])[:1].lower()}{str(item['condition'])[1:]}"
