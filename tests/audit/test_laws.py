"""Laws that every check keeps, walking CHECKS: a new entry is tested without a change here."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import CHECKS, AuditInput, CheckResult, audit
from fiducial.audit.evidence import PERSONS_UNKNOWN
from fiducial.audit.tables import prepared
from fiducial.records.tables import CURVES, EVIDENCE, table

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "checks"


@pytest.fixture(scope="module", params=["scores", "masks"])
def given(request: pytest.FixtureRequest, clean: AuditInput, clean_masks: AuditInput) -> AuditInput:
    return prepared(clean if request.param == "scores" else clean_masks)


@pytest.fixture(scope="module")
def mixed(given: AuditInput) -> AuditInput:
    return prepared(shuffled(given, 1))


@pytest.fixture(scope="module")
def results(given: AuditInput) -> dict[str, CheckResult]:
    return {name: check(given) for name, check in CHECKS.items()}


def shuffled(given: AuditInput, seed: int) -> AuditInput:
    def mixed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.iloc[np.random.default_rng(seed).permutation(len(frame))].reset_index(drop=True)

    parts = {name: mixed(getattr(given, name)) for name in ("predictions", "cases", "attributes")}
    return replace(given, **parts)


@pytest.mark.parametrize("name", CHECKS)
def test_rows_are_valid_and_say_how_they_were_made(name: str, results: dict[str, CheckResult]) -> None:
    result = results[name]
    evidence = table(result.evidence, EVIDENCE)
    table(result.curves, CURVES)
    assert set(evidence["check"]) <= {name}
    assert (evidence["method"] != "").all()
    assert (evidence["source"] != "").all()
    assert set(evidence["verdict"]) <= {
        "",
        "finding",
        "clear",
        "not_possible",
        "pass",
        "fail",
        "inconclusive",
        "not_assessed",
    }
    silent = evidence["value"].isna() & (evidence["reason"] == "")
    assert not silent.any(), evidence[silent]
    ordered = evidence.dropna(subset=["low", "high"])
    assert (ordered["low"] <= ordered["high"]).all()


@pytest.mark.parametrize("name", CHECKS)
def test_a_clean_table_gives_no_finding(name: str, results: dict[str, CheckResult]) -> None:
    rows = table(results[name].evidence, EVIDENCE)
    assert not (rows["verdict"] == "finding").any(), rows[rows["verdict"] == "finding"]["reason"].tolist()


@pytest.mark.parametrize("name", CHECKS)
def test_the_order_of_rows_makes_no_difference(name: str, mixed: AuditInput, results: dict[str, CheckResult]) -> None:
    assert_same(results[name], CHECKS[name](mixed))


@pytest.mark.parametrize("name", CHECKS)
def test_the_same_seed_gives_the_same_rows_and_leaves_the_input_as_it_was(
    name: str, given: AuditInput, results: dict[str, CheckResult]
) -> None:
    before = [frame.copy() for frame in (given.predictions, given.cases, given.attributes)]
    assert_same(results[name], CHECKS[name](given))
    for was, now in zip(before, (given.predictions, given.cases, given.attributes), strict=True):
        pd.testing.assert_frame_equal(was, now)


@pytest.mark.parametrize("name", CHECKS)
def test_unknown_persons_are_said_in_every_method(name: str, given: AuditInput) -> None:
    rows = CHECKS[name](replace(given, settings=replace(given.settings, person_known=False))).evidence
    assert all(PERSONS_UNKNOWN in row["method"] for row in rows)


@pytest.mark.parametrize("name", CHECKS)
def test_no_pass_on_an_interval_of_width_0(name: str, given: AuditInput) -> None:
    perfect = given.predictions.assign(value=given.predictions["truth"])
    cases = given.cases.assign(value=given.cases["metric"].eq("dice").astype(float))
    rows = table(CHECKS[name](replace(given, predictions=perfect, cases=cases)).evidence, EVIDENCE)
    passed = rows[rows["verdict"] == "pass"]
    assert (passed["high"] > passed["low"]).all()


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_has_a_page_after_the_template(name: str) -> None:
    text = (DOCS / f"{name.replace('_', '-')}.md").read_text()
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["What it measures", "Why it matters", "What it cannot see", "Example", "References"]


def test_checks_are_pure_functions_of_the_input() -> None:
    for check in CHECKS.values():
        assert list(inspect.signature(check).parameters) == ["given"]


def test_audit_runs_every_check_and_reports_progress(clean: AuditInput) -> None:
    seen: list[tuple[str, int, int]] = []
    result = audit(clean, lambda *said: seen.append(said))
    without_dates_raters_and_masks = {"temporal", "agreement", "predicted_quality", "levelling_down"}
    assert set(result.evidence["check"]) >= set(CHECKS) - without_dates_raters_and_masks
    assert seen[-1][1:] == (len(CHECKS), len(CHECKS))
    assert set(result.evidence["study"]) == {"tested"}


def test_the_audit_needs_neither_torch_nor_pandas_to_be_imported() -> None:
    code = "import sys, fiducial.audit; print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def assert_same(first: CheckResult, second: CheckResult) -> None:
    for schema, one, other in ((EVIDENCE, first.evidence, second.evidence), (CURVES, first.curves, second.curves)):
        pd.testing.assert_frame_equal(table(one, schema), table(other, schema), check_exact=True)
