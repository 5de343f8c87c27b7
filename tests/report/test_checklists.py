"""The report's section on checklists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fiducial.report import ReportInput, render
from fiducial.report.checklists import ranges, section

Make = Callable[..., ReportInput]


def one(**item: Any) -> dict[str, Any]:
    answer = {"number": "37", "part": "Results", "asks": "Figures", "state": "filled", "rows": [2, 3, 4, 9]}
    answer |= {"checks": ["operating_point"], "facts": {}, "missing": [], "left": ""} | item
    return {
        "name": "CLAIM 2024",
        "about": "Imaging",
        "source": "Tejani et al.",
        "items": [answer],
        "counts": {"filled": 1, "in_part": 0, "person": 0},
    }


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "3"),
        ([3, 4, 5, 9], "3–5, 9"),
        ([9, 3, 3], "3, 9"),
        (list(range(1, 20, 2)), "1, 3, 5, 7, 9, 11 and 4 more"),
    ],
)
def test_row_numbers_are_written_as_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_an_audit_without_checklists_has_no_section(make_classification: Make) -> None:
    assert section(make_classification()) is None


def test_counts_come_first_and_rows_are_linked(make_classification: Make) -> None:
    page = render(make_classification(checklists=[one()]))
    assert '<section id="checklists">' in page
    assert "CLAIM 2024: 1 filled, 0 in part, 0 for a person" in page
    assert '<a href="#e2">evidence rows 2–4, 9 (operating point)</a>' in page
    assert page.index('<th scope="col">Checklist</th>') < page.index("1 filled, 0 in part")


def test_what_is_left_and_what_is_missing_is_said(make_classification: Make) -> None:
    answer = one(state="in_part", left="why these", missing=["sample_size|fact:data_name"])
    page = render(make_classification(checklists=[answer]))
    assert "still needed: why these; not in this audit: sample size or data name" in page
    page = render(make_classification(checklists=[one(state="person", rows=[], checks=[])]))
    assert "A person must answer" in page
    assert "still needed" not in page


def test_facts_are_text_and_never_markup(make_classification: Make) -> None:
    page = render(make_classification(checklists=[one(facts={"intended_use": "<script>alert(1)</script>"})]))
    assert "<script>" not in page
