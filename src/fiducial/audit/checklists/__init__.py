"""Reporting checklists and the EU AI Act, filled from evidence: each item from named rows, or by a person.

The items are tables beside this file: numbers as published, words of our own, and a rule that names which check or
which fact about the run answers the item. Nothing is guessed: without such a row the item is for a person.
"""

from __future__ import annotations

from fiducial.audit.checklists.fill import FACTS, Answer, Answered, Item, checklists, read_checklist, write_checklists
from fiducial.audit.checklists.sheets import RADIOMICS_FACTS, Sheet, SheetItem, radiomics_sheets, read_sheet

CHECKLISTS: dict[str, str] = {
    "CLAIM 2024": "claim_2024.toml",
    "TRIPOD+AI": "tripod_ai.toml",
    "STARD-AI": "stard_ai.toml",
    "DECIDE-AI": "decide_ai.toml",
    "FUTURE-AI": "future_ai.toml",
    "EU AI Act, Articles 9-15": "eu_ai_act.toml",
}
RADIOMICS: dict[str, str] = {"RQS": "rqs.toml", "METRICS": "metrics.toml", "CLEAR": "clear.toml"}
"""Sheets of a radiomics report (`fiducial features-report`); two of them have a score."""

__all__ = [
    "CHECKLISTS",
    "FACTS",
    "RADIOMICS",
    "RADIOMICS_FACTS",
    "Answer",
    "Answered",
    "Item",
    "Sheet",
    "SheetItem",
    "checklists",
    "radiomics_sheets",
    "read_checklist",
    "read_sheet",
    "write_checklists",
]
