"""Checklists: items numbered as published, filled from named rows and facts only, never guessed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fiducial.audit import CHECKS
from fiducial.audit.checklists import CHECKLISTS, FACTS, checklists, read_checklist, write_checklists
from fiducial.errors import TableError
from fiducial.records.tables import EVIDENCE, table

EVERY_FACT = dict.fromkeys(FACTS, "said")


def rows(*said: dict[str, Any]) -> Any:
    return table([{"metric": "auc", "value": 0.9, **row} for row in said], EVIDENCE)


def item(name: str, number: str, evidence: Any, facts: dict[str, str] | None = None) -> Any:
    (found,) = [one for one in checklists(evidence, facts or {}) if one.name == name]
    (answer,) = [answer for answer in found.items if answer.number == number]
    return answer


# by hand


def test_an_item_names_the_rows_that_fill_it() -> None:
    evidence = rows({"check": "leakage"}, {"check": "accuracy"}, {"check": "accuracy", "metric": "dice"})
    answer = item("CLAIM 2024", "37", evidence)
    assert (answer.state, answer.rows, answer.checks) == ("filled", (2, 3), ("accuracy",))


def test_an_item_with_something_left_is_filled_in_part() -> None:
    answer = item("CLAIM 2024", "28", rows({"check": "accuracy"}))
    assert (answer.state, answer.left) == ("in_part", "why these figures")


def test_the_first_alternative_that_is_there_answers() -> None:
    evidence = rows({"check": "operating_point", "metric": "sensitivity"}, {"check": "accuracy"})
    assert item("CLAIM 2024", "38", evidence).checks == ("operating_point",)
    assert item("CLAIM 2024", "38", rows({"check": "accuracy"})).checks == ("accuracy",)


def test_a_need_that_is_not_met_is_named() -> None:
    answer = item("CLAIM 2024", "20", rows({"check": "leakage", "verdict": "clear"}))
    assert (answer.state, answer.missing) == ("in_part", ("fact:split",))
    assert item("CLAIM 2024", "20", rows({"check": "leakage", "verdict": "clear"}), {"split": "by subject"}).facts == {
        "split": "by subject"
    }


def test_a_metric_is_asked_for_where_the_rule_names_one() -> None:
    other = rows({"check": "operating_point", "metric": "ppv"})
    assert item("TRIPOD+AI", "15", other).state == "person"
    assert item("TRIPOD+AI", "15", rows({"check": "operating_point", "metric": "threshold"})).rows == (1,)


def test_whether_a_test_is_external_is_never_guessed() -> None:
    evidence = rows({"check": "accuracy"})
    for number, fact in (("32", "internal_test"), ("33", "external_test")):
        assert item("CLAIM 2024", number, evidence).state == "person"
        assert item("CLAIM 2024", number, evidence, {fact: "said"}).rows == (1,)


# never guessed


def test_without_evidence_and_facts_every_item_is_for_a_person() -> None:
    for one in checklists(table([], EVIDENCE), {}):
        assert one.counts() == {"filled": 0, "in_part": 0, "person": len(one.items)}
        assert not any(answer.rows or answer.facts or answer.left for answer in one.items)


@pytest.mark.parametrize("verdict", ["not_possible", "not_assessed"])
def test_a_check_that_was_not_possible_answers_nothing(verdict: str) -> None:
    everything = rows(*({"check": name, "verdict": verdict} for name in CHECKS))
    assert not any(answer.rows for one in checklists(everything, {}) for answer in one.items)


def test_a_row_without_value_and_verdict_answers_nothing() -> None:
    assert not item("CLAIM 2024", "37", rows({"check": "accuracy", "value": float("nan")})).rows


def test_an_empty_fact_says_nothing_and_an_unknown_one_is_refused() -> None:
    assert item("CLAIM 2024", "9", rows(), {"preprocessing": ""}).state == "person"
    with pytest.raises(TableError, match="no such fact: ethics"):
        checklists(rows(), {"ethics": "approved"})


def test_what_nobody_can_compute_is_always_for_a_person() -> None:
    everything = rows(*({"check": name, "verdict": "clear"} for name in CHECKS))
    for one in checklists(everything, EVERY_FACT):
        for answer in one.items:
            if re.search(r"ethics approval|funding|who paid|conflicts|registration$|consent", answer.asks.lower()):
                assert answer.state in ("person", "in_part"), (one.name, answer.number)
        assert one.counts()["person"] > 0


# laws over every table


@pytest.mark.parametrize("name", CHECKLISTS)
def test_a_checklist_is_whole_and_its_rules_name_what_exists(name: str) -> None:
    head, items = read_checklist(CHECKLISTS[name])
    assert head["name"] == name
    numbers = [one.number for one in items]
    assert len(numbers) == len(set(numbers))
    main = {re.sub(r"(?<=\d)[a-z]$", "", number) for number in numbers}
    assert len(main) == (head["n_items"] or len(items))
    for one in items:
        assert one.asks
        assert one.part
        assert not one.left or one.needs
        for selector in [part for need in (*one.needs, one.gate) for part in need.split("|") if part]:
            check, _, rest = selector.partition(":")
            assert rest in FACTS if check == "fact" else check in CHECKS, (one.number, selector)


def test_the_published_counts() -> None:
    counts = {name: len(read_checklist(file)[1]) for name, file in CHECKLISTS.items()}
    # DECIDE-AI: 28 subitems and 10 generic ones; STARD-AI: 40 items in 48 lines; TRIPOD+AI: 27 in 52.
    assert counts["CLAIM 2024"] == 44
    assert counts["TRIPOD+AI"] == 52
    assert counts["STARD-AI"] == 48
    assert counts["DECIDE-AI"] == 38
    assert counts["FUTURE-AI"] == 30
    principles = [one.part for one in read_checklist("future_ai.toml")[1]]
    assert [principles.count(part) for part in dict.fromkeys(principles)] == [3, 4, 6, 5, 3, 2, 7]


def test_numbers_stand_in_the_published_order() -> None:
    for file in ("claim_2024.toml", "tripod_ai.toml", "stard_ai.toml"):
        numbers = [int(re.match(r"\d+", one.number)[0]) for one in read_checklist(file)[1]]  # type: ignore[index]
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(1, max(numbers) + 1))


def test_the_file_holds_counts_and_every_answer(tmp_path: Path) -> None:
    answered = checklists(rows({"check": "accuracy"}), {"intended_use": "tests"})
    write_checklists(answered, tmp_path / "checklists.json")
    held = json.loads((tmp_path / "checklists.json").read_text())
    assert [one["name"] for one in held["checklists"]] == list(CHECKLISTS)
    for one in held["checklists"]:
        assert sum(one["counts"].values()) == len(one["items"])


def test_every_fact_is_asked_for_by_some_item() -> None:
    asked = {
        part.removeprefix("fact:")
        for file in CHECKLISTS.values()
        for one in read_checklist(file)[1]
        for need in (*one.needs, one.gate)
        for part in need.split("|")
        if part.startswith("fact:")
    }
    assert asked == set(FACTS)
