"""What a reader is told first, what stands behind a line that opens, and what is not claimed."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from fiducial.records.tables import CURVES, EVIDENCE, table
from fiducial.report import ReportInput, render
from fiducial.report import wording as words

Make = Callable[..., ReportInput]
MakeRow = Callable[..., dict[str, Any]]
NO_SCORES = "the table has no scores: rows of kind score with a truth of 0 or 1 would be needed"


def with_rows(given: ReportInput, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The input's evidence with some rows more."""
    return {"evidence": table([*given.evidence.to_dict("records"), *rows], EVIDENCE)}


def section(page: str, key: str) -> str:
    found = re.search(rf'<section id="{key}".*?</section>', html.unescape(page), flags=re.DOTALL)
    assert found, key
    return found.group(0)


def plain(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def not_possible(make_row: MakeRow) -> list[dict[str, Any]]:
    base = {"verdict": "not_possible", "split": "test"}
    return [
        make_row("decisions", "net_benefit", reason=NO_SCORES, **base),
        make_row("fairness", "equal_opportunity", reason="no attribute of patients is in the tables", **base),
        *[
            make_row("temporal", "dice", reason="acquired holds no time", target=name, statistic="trend_test", **base)
            for name in ("anterior", "posterior")
        ],
        make_row("sites", "auc", reason="the tables have no attribute 'site'", **base),
    ]


@pytest.fixture(scope="module")
def masks(make_segmentation: Make, make_row: MakeRow) -> str:
    return render(make_segmentation(**with_rows(make_segmentation(), not_possible(make_row))))


def test_what_was_not_possible_stands_behind_a_line_each_reason_once(masks: str) -> None:
    text = section(masks, "summary")
    before, _, behind = text.partition("checks were not possible, each with its reason</summary>")
    assert "Not possible" not in before
    assert "no check that could be made found a defect" in before
    assert before.rstrip().endswith("<details><summary>4")
    assert plain(behind).count("Acquired holds no time") == 1
    assert "anterior, posterior" in plain(behind)
    assert NO_SCORES[1:] in plain(behind)
    assert "trend_test" not in text


def test_a_finding_is_not_behind_a_line(make_segmentation: Make, make_row: MakeRow) -> None:
    finding = make_row("leakage", "leaks", 2.0, verdict="finding", reason="two pairs", split="test")
    page = render(make_segmentation(**with_rows(make_segmentation(), [finding, *not_possible(make_row)])))
    assert "Two pairs" in plain(section(page, "summary").partition("<details>")[0])


def test_nothing_is_said_of_fairness_where_nothing_was_compared(masks: str) -> None:
    text = plain(section(masks, "fairness"))
    assert "No difference between groups" not in text
    assert "Nothing could be compared here, so nothing is known." in text


def test_masks_have_no_operating_point_whatever_a_check_could_not_do(masks: str) -> None:
    assert 'id="operating-point"' not in masks


def test_the_size_of_the_next_validation_is_not_called_decisions(make_segmentation: Make, make_row: MakeRow) -> None:
    needed = make_row("sample_size", "n_needed", 27.0, statistic="dice", target="anterior", n_subjects=59)
    page = render(make_segmentation(**with_rows(make_segmentation(), [needed | {"reason": "for an interval"}])))
    text = plain(section(page, "decisions"))
    assert "Size of the next validation" in text
    assert "acting on everybody" not in text


def test_where_no_person_is_known_no_patients_are_counted(make_segmentation: Make) -> None:
    parts = [
        {"part": "train", "n_subjects": 121, "n_images": 121, "n_masks": 242, "n_sites": 0},
        {"part": "test", "n_subjects": 50, "n_images": 50, "n_masks": 100, "n_sites": 0},
    ]
    text = plain(section(render(make_segmentation(description={"parts": parts})), "data"))
    assert "Part Images Masks train 121 242 test 50 100" in text
    known = make_segmentation()
    evidence = known.evidence.assign(method="bootstrap")
    text = plain(section(render(make_segmentation(description={"parts": parts}, evidence=evidence)), "data"))
    assert "Part Patients Images Masks train 121 121 242" in text


def test_the_contract_is_told_as_ranges(make_segmentation: Make) -> None:
    contract = {
        "dimensions": 3,
        "channels": [{"modality": "MR", "unit": "", "p1": [-125267.0, 151359.0], "p99": [0.5, 2.0]}],
        "components": 1,
        "spacing_min_mm": [0.5, 0.5, 1.0],
        "spacing_max_mm": [1.5, 1.5, 3.0],
        "region_mask": "",
    }
    text = plain(section(render(make_segmentation(run={"contract": contract})), "model-card"))
    assert "MR arbitrary −125 267 to 151 359 0.5 to 2" in text
    assert "Spacing (mm) 0.5 to 1.5, 0.5 to 1.5, 1 to 3 (smallest, middle, largest)" in text
    assert "p1" not in text


def test_dropped_leaks_and_set_aside_cases_are_told(make_segmentation: Make) -> None:
    run = {
        "created": "2026-11-26T11:13:13+00:00",
        "notes": ["dropped 2 images that leaked between splits", "exact: a (train) and b (test)"],
        "set_aside": [{"image": "c", "error": "UnreadableFile", "message": "cut off"}],
    }
    page = render(make_segmentation(run=run))
    told = plain(section(page, "integrity"))
    assert "Before training: dropped 2 images that leaked between splits." in told
    assert "exact: a (train) and b (test)" in told
    data = plain(section(page, "data"))
    assert "1 case was set aside in training" in data
    assert "cut off" in data
    assert "2026-11-26, 11:13 UTC" in plain(html.unescape(page))
    assert "T11:13:13" not in page


def test_an_order_of_errors_is_not_drawn_where_nothing_is_wrong(make_segmentation: Make, make_row: MakeRow) -> None:
    rate = make_row("selective", "deferral_rate", 1.0, target="anterior", reason="everything goes to a person")
    points = [
        {"check": "selective", "metric": "risk_coverage", "target": "anterior", "series": series, "x": x, "y": 0.0}
        | {"low": 0.0, "high": 0.1, "n": 59}
        for series in ("model", "ideal")
        for x in (0.5, 1.0)
    ]
    changes = with_rows(make_segmentation(), [rate | {"split": "test"}]) | {"curves": table(points, CURVES)}
    text = section(render(make_segmentation(**changes)), "uncertainty")
    assert "no answer of 59 is wrong" in plain(text)
    assert "<svg" not in text.partition("Which cases go to a person")[2].partition("<table")[0]


def test_gaps_without_a_value_do_not_hide_the_others(make_classification: Make, make_row: MakeRow) -> None:
    base = {"statistic": "gap", "group": "sex", "target": "malignant", "split": "test"}
    gaps = [
        make_row("subgroups", "auc", 0.07, low=0.01, high=0.2, **base),
        make_row("subgroups", "ppv", math.nan, reason="sex has fewer than two groups of at least 10", **base),
    ]
    text = section(render(make_classification(**with_rows(make_classification(), gaps))), "subgroups")
    before, _, behind = text.partition("without a value, each with its reason")
    assert "fewer than two groups of at least 10" not in plain(before)
    assert "fewer than two groups of at least 10" in plain(behind)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("slope off by -0.72, log odds by -4.47", "Slope off by −0.72, log odds by −4.47"),
        ("equal: test-170 and test-311", "Equal: test-170 and test-311"),
        ("write YYYY-MM or 2024-11", "Write YYYY-MM or 2024-11"),
        ("site=B -0.03", "site=B −0.03"),
    ],
)
def test_a_minus_is_a_minus_and_a_hyphen_a_hyphen(said: str, read: str) -> None:
    assert words.sentence(said) == read


def test_items_of_a_check_are_words_and_those_of_a_model_stay() -> None:
    assert words.target_text({"check": "conformal", "target": "a", "item": "lac"}) == "a: label sets (LAC)"
    assert words.target_text({"check": "accuracy", "target": "a", "item": "lac"}) == "a: lac"
    assert words.target_text({"check": "predicted_quality", "target": "a", "item": "pearson"}) == "a: Pearson"
    assert words.target_text({"target": "a", "item": ""}) == "a"
