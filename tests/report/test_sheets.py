"""The section of radiomics sheets: scores in words, points of an item, and who must answer."""

from __future__ import annotations

from typing import Any

import pytest

from fiducial.report.blocks import Fold, Table
from fiducial.report.sheets import score_text, section


def item(**said: Any) -> dict[str, Any]:
    answer = {"number": "5", "part": "Features", "asks": "Reduced", "state": "filled", "rows": [], "checks": []}
    answer |= {"facts": {}, "missing": [], "left": ""}
    points = {"points": 3.0, "decided": 3.0, "most": 3.0, "applies": "yes", "condition": "", "decisions": []}
    changed = {name: said.pop(name) for name in list(said) if name in answer}
    return {"answer": answer | changed, **points, **said}


def sheet(*items: dict[str, Any], unit: str = "points", score: tuple[float, float] = (3.0, 3.0)) -> dict[str, Any]:
    head = {"name": "RQS", "about": "Quality", "source": "Lambin et al.", "unit": unit}
    return {**head, "items": list(items) or [item()], "score": score, "n_waiting": 1}


@pytest.mark.parametrize(
    ("unit", "score", "text"),
    [
        ("points", (3.0, 4.0), "3 of the 4 points that could be decided; 1 item waits for a person"),
        ("points", (-3.0, 3.0), "\u22123 of the 3 points that could be decided; 1 item waits for a person"),
        ("points", (0.0, 0.0), "no points could be decided; 1 item waits for a person"),
        ("weight", (0.031, 0.075), "weight 0.031 of the 0.075 that could be decided; 1 item waits for a person"),
        ("", (0.0, 0.0), "1 of 1 items filled at least in part; 1 item waits for a person"),
    ],
)
def test_scores_in_words(unit: str, score: tuple[float, float], text: str) -> None:
    assert score_text(sheet(unit=unit, score=score)) == text


def test_no_sheets_no_section() -> None:
    assert section([]) is None


def line_of(one: dict[str, Any], unit: str = "points") -> list[Any]:
    found = section([sheet(one, unit=unit)])
    assert found is not None
    fold = found.blocks[1]
    assert isinstance(fold, Fold)
    table = fold.blocks[1]
    assert isinstance(table, Table)
    assert len(table.columns) == len(table.rows[0])
    return list(table.rows[0])


@pytest.mark.parametrize(
    ("said", "text", "small"),
    [
        ({"decisions": [("either", 3.0)]}, "3 of 3", "either: 3"),
        ({"points": -3.0}, "\u22123 of 3", ""),
        ({"points": 1.0, "decided": 1.0, "most": 2.0}, "1 of 1, 1 open", ""),
        ({"points": 0.0, "decided": 0.0}, "3 open", ""),
        ({"applies": "no"}, "not counted", ""),
        ({"applies": "open"}, "not counted", "3 of 3 if it applies"),
    ],
)
def test_points_of_an_item(said: dict[str, Any], text: str, small: str) -> None:
    cell = line_of(item(**said))[3]
    assert (cell.text, cell.small) == (text, small)


def test_a_sheet_without_a_score_has_no_column_for_it() -> None:
    assert len(line_of(item(), unit="")) == 5


def test_who_must_say_whether_an_item_applies() -> None:
    assert line_of(item(applies="open", condition="Are there regions?"))[-1].small == (
        "and whether it applies: are there regions?"
    )
    assert line_of(item(applies="no"))[2].text == "Does not apply"
    assert line_of(item(state="person"))[2].text == "A person must answer"


def test_rows_are_linked() -> None:
    cell = line_of(item(rows=[4, 5], checks=["accuracy"]))[4]
    assert (cell.text, cell.href) == ("evidence rows 4\u20135 (accuracy)", "#e4")
