"""The code in the pages of study, evidence and checks runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fiducial.study import METRICS, STATISTICS, Study, parse_study

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    DOCS / "reference" / "study-file.md",
    DOCS / "concepts" / "evidence-and-verdicts.md",
    *sorted((DOCS / "reference" / "checks").glob("*.md")),
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs_and_studies_are_legal(page: Path) -> None:
    for text in blocks(page, "toml"):
        parse_study(text)
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), {})  # noqa: S102 - our own pages


def test_the_page_of_the_study_file_names_every_key_metric_and_statistic() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    words = [*METRICS, *STATISTICS]
    for table in Study.model_fields.values():
        inner = getattr(table.annotation, "model_fields", {})
        words += list(inner)
    assert [word for word in words if f"`{word}`" not in text] == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+\.md)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), (page, target)
