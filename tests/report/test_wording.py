"""Numbers, verdicts and criteria as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from fiducial.report import wording
from fiducial.report.glossary import TERMS, entry_of, used_terms
from fiducial.report.marks import compared, interval_bar, mark

MakeRow = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("value", "digits", "unit", "text"),
    [
        (0.8125, 3, "", "0.812"),
        (1.5, 2, "mm", "1.50 mm"),
        (12345.6, 0, "", "12\u202f346"),
        (-0.25, 2, "", "\u22120.25"),
        (-0.0001, 2, "", "0.00"),
        (math.nan, 3, "mm", "–"),
        (math.inf, 3, "", "–"),
        (None, 3, "", "–"),
    ],
)
def test_number(value: float | None, digits: int, unit: str, text: str) -> None:
    assert wording.number(value, digits, unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        ([1.0, 2.5], "1, 2.5"),
        ((), "–"),
        ({"x_y": 1}, "x y 1"),
        ([[2, 2, 1], [1, 1, 1]], "2 × 2 × 1, 1 × 1 × 1"),
        ("text", "text"),
        (1200, "1\u202f200"),
        (0.123456, "0.1235"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_anything(value: Any, text: str) -> None:
    assert wording.anything(value) == text


def test_plain_names() -> None:
    assert wording.plain("n_subjects") == "Patients"
    assert wording.plain("n_sites") == "Sites"
    assert wording.plain("spacing_mm") == "Spacing (mm)"
    assert wording.plain("validation_auc") == "Validation AUC"


def test_p_value() -> None:
    assert [wording.probability(p) for p in (0.0004, 0.012, math.nan)] == ["< 0.001", "0.012", "–"]


def test_a_rounded_value_never_looks_equal_to_the_bound_that_it_misses() -> None:
    assert wording.digits_beside(0.84996, 0.85, 3) == 5
    assert wording.digits_beside(0.85, 0.85, 3) == 3
    assert wording.digits_beside(0.84, 0.85, 3) == 3
    assert wording.digits_beside(math.nan, 0.85, 3) == 3


def test_statements(make_row: MakeRow) -> None:
    low = make_row(
        "acceptance", "auc", statistic="low", threshold=0.85, direction="at_least", level=0.95, target="malignant"
    )
    assert wording.statement(low) == (
        "Lower end of the 95\u00a0% interval of the area under the ROC curve (AUC) for malignant is at least 0.85"
    )
    gap = make_row("acceptance", "sensitivity", statistic="gap", group="sex", threshold=0.05, direction="at_most")
    assert wording.statement(gap) == "Largest gap in sensitivity between groups of sex is at most 0.05"
    group = make_row("acceptance", "hd95", statistic="median", group="sex=F&site=B", threshold=3.0, direction="at_most")
    assert wording.statement(group) == "Median 95th percentile Hausdorff distance in sex F, site B is at most 3 mm"


def test_group_values_are_unescaped() -> None:
    assert wording.group_text("site=A%26B&age_band=50-<65") == "site A&B, age band 50 to <65"
    assert wording.group_text("all") == "all patients"


def test_population(make_row: MakeRow) -> None:
    assert wording.population(make_row("a", "auc", n_subjects=1, n_images=2)) == "1\u00a0patient, 2\u00a0images"
    assert wording.population(make_row("a", "auc", n_subjects=5, n_images=5)) == "5\u00a0patients"
    assert wording.population(make_row("a", "auc")) == "–"
    unknown = make_row("a", "dice", n_subjects=7, n_images=7, method="bootstrap; by image; persons unknown")
    assert wording.population(unknown) == "7\u00a0images"


def test_verdict_sentence() -> None:
    assert wording.verdict_sentence({"pass": 1}) == "Of 1 acceptance criterion, 1 passes."
    three = {"pass": 2, "fail": 1, "inconclusive": 0, "not_assessed": 1}
    assert wording.verdict_sentence(three) == "Of 4 acceptance criteria, 2 pass, 1 fails and 1 was not assessed."
    assert "nothing passes or fails" in wording.verdict_sentence({})


def test_every_verdict_has_a_word_and_a_silhouette_of_its_own() -> None:
    shapes = [mark(name).split("viewBox", 1)[1] for name in wording.VERDICT_WORDS]
    assert len(set(shapes)) == len(wording.VERDICT_WORDS)
    assert mark("unheard-of") == ""


def test_interval_bar(make_row: MakeRow) -> None:
    whole = make_row("acceptance", "auc", 0.9, low=0.88, high=0.92, threshold=0.85, direction="at_least")
    assert interval_bar(whole).startswith("<svg")
    assert "nan" not in interval_bar(whole)
    width_0 = whole | {"value": 0.85, "low": 0.85, "high": 0.85}
    assert "nan" not in interval_bar(width_0)
    assert "inf" not in interval_bar(width_0)
    assert interval_bar(whole | {"value": math.nan}) == ""
    assert "nan" not in interval_bar(whole | {"low": math.nan, "high": math.nan})


def test_compared(make_row: MakeRow) -> None:
    whole = make_row("acceptance", "auc", 0.9, low=0.88, high=0.92)
    assert [compared(whole | {"statistic": name}) for name in ("low", "high", "value", "gap")] == [0.88, 0.92, 0.9, 0.9]


def test_glossary_shows_the_terms_that_are_used() -> None:
    keys = {key for key, _, _ in used_terms({"npv", "unknown"}, {"value"}, adjusted=False)}
    assert "ppv" in keys
    assert "auc" not in keys
    assert "adjusted" not in keys
    assert "interval" in keys
    assert entry_of("npv") == "ppv"
    assert entry_of("unknown") == ""
    assert all(text.endswith(".") for _, text in TERMS.values())


def test_a_sentence_keeps_the_name_of_a_group() -> None:
    assert wording.sentence("site=F can be read from the embeddings") == "site=F can be read from the embeddings"
    assert wording.sentence("score moves") == "Score moves"
    assert wording.sentence("n = 3 < 10 patients") == "n = 3 < 10 patients"


def test_large_facts_are_whole_and_small_ones_have_four_digits() -> None:
    assert wording.anything([-125312.4, 0.123456, 12.0]) == f"{wording.count(-125312)}, 0.1235, 12"
