"""The sections on fairness and the bias register."""

from __future__ import annotations

from dataclasses import asdict, replace

import pandas as pd
import pytest

from fiducial.audit import AuditSettings, audit, vendor_input
from fiducial.audit.bias_register import bias_register
from fiducial.phantom.tables import draw_table
from fiducial.report import ReportInput, fairness, rows
from fiducial.report.blocks import Block, Fold, Section, Table, Text
from fiducial.report.page import render


def flat(blocks: list[Block] | tuple[Block, ...]) -> list[Block]:
    found: list[Block] = []
    for block in blocks:
        found += [block, *(flat(list(block.blocks)) if isinstance(block, Fold) else [])]
    return found


def tables(section: Section, kind: str) -> list[Table]:
    return [block for block in flat(list(section.blocks)) if isinstance(block, Table) and block.kind == kind]


def text_of(table: Table) -> str:
    return " ".join(f"{cell.text} {cell.small}" for line in table.rows for cell in line)


@pytest.fixture(scope="module")
def given() -> ReportInput:
    frame = draw_table(1500, seed=0, defect="missed_group", size=0.3).drop(columns=["age", "month"])
    result = audit(vendor_input(frame, settings=AuditSettings(n_replicates=100)))
    register = tuple(asdict(entry) for entry in bias_register(result.evidence))
    return ReportInput("Planted", result.evidence, result.curves, bias_register=register)


def test_the_worst_stands_first_and_is_counted(given: ReportInput) -> None:
    section = fairness.section(given, rows.numbered(given.evidence))
    assert section is not None
    first = section.blocks[0]
    assert isinstance(first, Table)
    assert first.rows[0][0].verdict == "finding"
    n_found = sum(line[0].verdict == "finding" for line in first.rows)
    assert section.lead.startswith(f"{n_found} difference")


def test_errors_by_group_and_intersections_are_drawn_with_n(given: ReportInput) -> None:
    section = fairness.section(given, rows.numbered(given.evidence))
    assert section is not None
    drawn = [drawing for block in flat(list(section.blocks)) for drawing in getattr(block, "drawings", ())]
    titles = {drawing.title for drawing in drawn}
    assert {"Under-diagnosis rate, malignant", "False positive rate, malignant"} <= titles
    assert any("Sex and site" in drawing.svg for drawing in drawn)
    assert all("(n = " in drawing.svg for drawing in drawn)


def test_the_caveat_stands_before_the_thresholds(given: ReportInput) -> None:
    section = fairness.section(given, rows.numbered(given.evidence))
    assert section is not None
    blocks = flat(list(section.blocks))
    (table,) = tables(section, "thresholds")
    warning = blocks[blocks.index(table) - 1]
    assert isinstance(warning, Text)
    assert (warning.tone, "may be unlawful" in warning.text) == ("warning", True)


def test_figures_of_fairness_do_not_stand_among_the_subgroups(given: ReportInput) -> None:
    found = rows.numbered(given.evidence)
    assert not [key for key in rows.groups_by_metric(found) if key[2] in ("underdiagnosis_rate", "score_shift")]
    assert not [row for row in rows.gaps(found) if row["check"] == "fairness"]


def test_the_register_has_a_line_for_each_bias_and_links_to_its_evidence(given: ReportInput) -> None:
    section = fairness.register(given)
    assert section is not None
    (table,) = tables(section, "register")
    assert len(table.rows) == len(given.bias_register)
    assert "A person must answer" in text_of(table)
    linked = [line[3].href for line in table.rows if line[3].href]
    assert linked
    page = render(given)
    assert all(f'id="{href[1:]}"' in page for href in linked)


def test_levelling_down_is_told_for_both_groups_and_the_gap() -> None:
    frame = draw_table(800, seed=0, defect="levelling_down", size=0.8)[
        ["subject", "image", "target", "value", "truth", "split", "sex", "condition"]
    ]
    result = audit(vendor_input(frame, settings=AuditSettings(n_replicates=100, attributes=("sex",))))
    section = fairness.section(ReportInput("Two", result.evidence, result.curves), rows.numbered(result.evidence))
    assert section is not None
    (table,) = tables(section, "levelling")
    assert [line[0].text for line in table.rows] == ["AUC", "Sensitivity", "Specificity"]
    assert "sex M" in text_of(table)


def test_without_evidence_there_is_no_section(given: ReportInput) -> None:
    empty = replace(given, evidence=given.evidence.iloc[:0], bias_register=())
    assert fairness.section(empty, []) is None
    assert fairness.register(empty) is None


def test_names_from_tables_are_text(given: ReportInput) -> None:
    evidence = given.evidence.assign(group=given.evidence["group"].str.replace("sex=F", "sex=<b>F", regex=False))
    page = render(replace(given, evidence=pd.DataFrame(evidence)))
    assert "<b>F" not in page
