"""Sections of calibration, unfamiliar images and predicted quality, made from audits of phantom tables."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, audit, vendor_input
from fiducial.phantom.tables import draw_cases, draw_table
from fiducial.records.tables import CASES, PREDICTIONS, validated
from fiducial.report import ReportInput, render

FAST = AuditSettings(n_replicates=200)


def page_of(given: AuditInput) -> str:
    result = audit(given)
    return render(ReportInput(title="tested", evidence=result.evidence, curves=result.curves))


def section_of(page: str, key: str) -> str:
    found = re.search(rf'<section[^>]*id="{key}".*?</section>', page, flags=re.DOTALL)
    assert found, key
    return found.group(0)


def cells(section: str) -> list[str]:
    """The first line of every table cell."""
    return [
        re.sub(r"<[^>]*>", "\n", cell).strip().split("\n")[0] for cell in re.findall(r"<td.*?</td>", section, re.DOTALL)
    ]


@pytest.fixture(scope="module")
def scores() -> str:
    table = draw_table(600, seed=0, defect="stretched_scores", size=0.8, extra=("embeddings",))
    return page_of(vendor_input(table.drop(columns=["month", "age"]), settings=FAST))


@pytest.fixture(scope="module")
def masks() -> str:
    cases, predictions, attributes = draw_cases(150, seed=0, defect="flattering_quality", size=0.05)
    return page_of(AuditInput(validated(predictions, PREDICTIONS), validated(cases, CASES), attributes, settings=FAST))


def test_calibration_begins_with_its_verdicts_and_shows_every_map(scores: str) -> None:
    text = section_of(scores, "calibration")
    assert text.index("Finding") < text.index("Reliability")
    assert "Calibration slope 0." in text
    for name in ("No map", "Temperature", "Logistic", "Venn–Abers", "Isotonic"):
        assert name in cells(text)
    assert text.count("chosen") == 1
    assert re.search(r"Chosen for malignant by cross-validation on \d+\s+patients of the calibration part", text)
    assert re.search(r"test part, (temperature|logistic|Venn–Abers|isotonic)", text)  # after the chosen map, drawn
    assert "What the Brier score is made of" in text


def test_unfamiliar_images_show_areas_groups_and_the_most_foreign(scores: str) -> None:
    text = section_of(scores, "unfamiliar")
    for name in ("Mahalanobis distance", "Nearest neighbour", "Discriminant", "Energy", "The most foreign images"):
        assert name in text
    assert "Foreignness by group" in text
    assert text.count("<svg") >= 2
    assert "Foreignness (AUROC)" not in section_of(scores, "subgroups")


def test_predicted_quality_shows_the_verdict_the_points_and_the_bias(masks: str) -> None:
    text = section_of(masks, "predicted-quality")
    assert re.search(r"The predicted Dice is 0\.0[45]\d too high", text)
    assert "it flatters itself" in text
    for name in ("Correlation", "Bias, mean", "Mean absolute error, mean"):
        assert name in text


def test_sections_without_evidence_are_absent(scores: str, masks: str) -> None:
    assert 'id="predicted-quality"' not in scores
    assert 'id="unfamiliar"' not in masks
    assert 'id="calibration"' not in masks


def test_several_classes_have_a_line_for_each_map_and_class() -> None:
    rows = []
    for k in range(240):
        truth = k % 3
        right = 0.6 if k % 5 else 0.2
        values = [(1 - right) / 2] * 3
        values[truth] = right
        for item in range(3):
            own = {"subject": f"s{k}", "target": "kind", "item": "abc"[item], "value": values[item]}
            rows.append(own | {"truth": float(item == truth), "split": "test" if k % 2 else "calibration"})
    text = section_of(page_of(vendor_input(pd.DataFrame(rows), settings=FAST)), "calibration")
    assert cells(text).count("Temperature") == 3
    assert "Class" in text
