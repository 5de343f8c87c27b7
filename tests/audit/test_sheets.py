"""Radiomics sheets: numbers and points as published, filled from rows and facts only, scored of what was decided."""

from __future__ import annotations

from typing import Any

import pytest

from fiducial.audit import CHECKS
from fiducial.audit.checklists import RADIOMICS, RADIOMICS_FACTS, radiomics_sheets, read_sheet
from fiducial.errors import TableError
from fiducial.records.tables import EVIDENCE, table

NOTHING = table([], EVIDENCE)


def rows(*said: dict[str, Any]) -> Any:
    return table([{"metric": "auc", "value": 0.8, **row} for row in said], EVIDENCE)


def sheet(name: str, evidence: Any = NOTHING, **facts: str) -> Any:
    (found,) = [one for one in radiomics_sheets(evidence, facts) if one.name == name]
    return found


def item(name: str, number: int, evidence: Any = NOTHING, **facts: str) -> Any:
    return sheet(name, evidence, **facts).items[number - 1]


# by hand


def test_reduced_features_give_three_points_and_unreduced_ones_take_three() -> None:
    given = item("RQS", 5, redundancy="12 features left out")
    assert (given.points, given.decided, given.waits) == (3, 3, False)
    taken = item("RQS", 5, no_feature_reduction="all 174 features were used")
    assert (taken.points, taken.decided) == (-3, 3)
    silent = item("RQS", 5)
    assert (silent.points, silent.decided, silent.waits) == (0, 0, True)


def test_half_of_an_item_is_decided_and_the_other_waits() -> None:
    one = item("RQS", 9, rows({"check": "accuracy"}))
    assert (one.points, one.decided, one.most, one.waits) == (1, 1, 2, True)
    assert one.answer.rows == (1,)
    both = item("RQS", 9, rows({"check": "accuracy"}), cross_validation="5 folds by patient")
    assert (both.points, both.decided, both.waits) == (2, 2, False)


def test_resampling_alone_gives_no_point_for_discrimination_or_calibration() -> None:
    assert item("RQS", 9, cross_validation="5 folds").decided == 0
    assert item("RQS", 9, cross_validation="5 folds").answer.state == "person"
    assert item("RQS", 10, cross_validation="5 folds").answer.state == "person"
    slope = rows({"check": "calibration", "metric": "calibration_slope"})
    one = item("RQS", 10, slope)
    assert (one.points, one.decided, one.answer.rows, one.answer.state) == (1, 1, (1,), "in_part")
    assert item("RQS", 10, slope, cross_validation="5 folds").answer.state == "filled"


def test_the_score_is_of_what_was_decided_and_says_who_waits() -> None:
    found = sheet("RQS", redundancy="12 left out", no_combined_model="none", risk="51 risks")
    assert found.score == (4, 5)
    assert found.n_waiting == 16 - 3


def test_a_weight_counts_once_it_is_decided() -> None:
    found = sheet("METRICS", software="Fiducial 1", one_site="A", features="174 features")
    assert found.score == (pytest.approx(0.031), pytest.approx(0.031 + 0.044))


def test_conditions_are_answered_yes_no_or_by_a_person() -> None:
    assert [item("METRICS", number).applies for number in (8, 9, 12, 14, 17)] == ["open"] * 5
    assert item("METRICS", 8, regions="51 regions").applies == "yes"
    assert item("METRICS", 9, regions="51 regions").applies == "open"
    none = item("METRICS", 17, models="four models of tables")
    assert (none.applies, none.waits) == ("no", False)
    assert item("METRICS", 1).applies == "yes"


def test_what_does_not_apply_or_is_not_known_to_is_not_scored() -> None:
    assert item("METRICS", 12, software="Fiducial 1").applies == "open"
    assert sheet("METRICS", software="Fiducial 1").score == (0, 0)


def test_a_comparison_needs_a_test() -> None:
    assert item("METRICS", 24, volume_model="AUC 0.7").decided == 0
    assert item("METRICS", 24, volume_model="AUC 0.7", model_comparison="DeLong").points == pytest.approx(0.029)


# never guessed


def test_a_run_that_says_nothing_answers_nothing() -> None:
    for one in radiomics_sheets(NOTHING, {}):
        assert one.score == (0, 0)
        assert one.n_waiting == len(one.items)
        assert all(item.answer.state == "person" for item in one.items)
        assert not any(item.answer.rows or item.answer.facts or item.decisions for item in one.items)


@pytest.mark.parametrize("verdict", ["not_possible", "not_assessed"])
def test_a_check_that_was_not_possible_answers_nothing(verdict: str) -> None:
    everything = rows(*({"check": name, "verdict": verdict} for name in CHECKS))
    for one in radiomics_sheets(everything, {}):
        assert one.score == (0, 0)
        assert not any(item.answer.rows for item in one.items)


def test_what_no_run_can_know_waits_for_a_person_whatever_is_said() -> None:
    everything = rows(*({"check": name, "verdict": "clear"} for name in CHECKS))
    said = {name: "said" for name in RADIOMICS_FACTS if not name.startswith("no_")}
    for name, numbers in {"RQS": (1, 3, 7, 11, 15, 16), "METRICS": (1, 5, 6, 28, 29, 30), "CLEAR": (8, 14, 16)}.items():
        for number in numbers:
            found = item(name, number, everything, **said)
            assert found.waits
            assert found.decided == 0


def test_an_empty_fact_says_nothing_and_an_unknown_one_is_refused() -> None:
    assert item("CLEAR", 23, discretisation="").answer.state == "person"
    with pytest.raises(TableError, match="no such fact: ethics"):
        radiomics_sheets(NOTHING, {"ethics": "approved"})


# published counts, and laws over every sheet


def test_the_published_counts_and_points() -> None:
    assert {name: len(read_sheet(file)[1]) for name, file in RADIOMICS.items()} == {
        "RQS": 16,
        "METRICS": 30,
        "CLEAR": 58,
    }
    most = [sum(one.points for one in criteria) for _, criteria, _ in read_sheet("rqs.toml")[1]]
    assert most == [2, 1, 1, 1, 3, 1, 1, 1, 2, 2, 7, 5, 2, 2, 1, 4]
    assert sum(most) == 36
    weights = [sum(one.points for one in criteria) for _, criteria, _ in read_sheet("metrics.toml")[1]]
    assert sum(weights) == pytest.approx(1, abs=0.003)
    # The publication's table 1, items 1 to 23.
    table_1 = (0.0368, 0.0735, 0.0919, 0.0438, 0.0292, 0.0438, 0.0292, 0.0337, 0.0225, 0.0112, 0.0622, 0.0311, 0.0415)
    table_1 += (0.0200, 0.0200, 0.0300, 0.0200, 0.0599, 0.0300, 0.0352, 0.0234, 0.0176, 0.0117)
    assert weights[:23] == pytest.approx(table_1, abs=0.0006)
    conditional = [number for number, (_, _, only_if) in enumerate(read_sheet("metrics.toml")[1], 1) if only_if]
    assert conditional == [8, 9, 10, 12, 14, 15, 16, 17]


@pytest.mark.parametrize("name", RADIOMICS)
def test_a_sheet_is_whole_and_its_rules_name_what_exists(name: str) -> None:
    head, items = read_sheet(RADIOMICS[name])
    assert head["name"] == name
    assert [one.number for one, _, _ in items] == [str(number) for number in range(1, head["n_items"] + 1)]
    for one, criteria, only_if in items:
        assert one.asks
        assert one.part
        assert not one.left or one.needs
        assert not only_if or only_if in head["conditions"]
        needs = [*one.needs, one.gate, *(n for c in criteria for n in (*c.met, *c.unmet))]
        for selector in [part for need in needs for part in need.split("|") if part]:
            check, _, rest = selector.partition(":")
            assert rest in RADIOMICS_FACTS if check == "fact" else check in CHECKS, (one.number, selector)


def test_every_fact_is_asked_for_by_some_item() -> None:
    asked = {
        part.removeprefix("fact:")
        for file in RADIOMICS.values()
        for one, criteria, _ in read_sheet(file)[1]
        for need in (*one.needs, one.gate, *(n for c in criteria for n in (*c.met, *c.unmet)))
        for part in need.split("|")
        if part.startswith("fact:")
    }
    assert asked == set(RADIOMICS_FACTS)


def test_points_never_exceed_what_was_decided() -> None:
    everything = rows(*({"check": name, "verdict": "clear"} for name in CHECKS))
    for one in radiomics_sheets(everything, dict.fromkeys(RADIOMICS_FACTS, "said")):
        for item in one.items:
            assert item.points <= item.decided <= item.most
