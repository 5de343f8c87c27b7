"""Checks of decisions, sites, time and sample size: the planted thing is found and named, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, CheckResult, vendor_input
from fiducial.audit.decisions import check_decisions
from fiducial.audit.sample_size import check_sample_size
from fiducial.audit.sites import check_sites
from fiducial.audit.tables import prepared
from fiducial.audit.temporal import check_temporal
from fiducial.phantom.tables import draw_cases, draw_table
from fiducial.records.tables import CASES, PREDICTIONS, table
from fiducial.study import Study

FAST = AuditSettings(n_replicates=100)
Rows = list[dict[str, Any]]


def given(frame: pd.DataFrame, **said: Any) -> AuditInput:
    return prepared(vendor_input(frame, settings=FAST, **said))


def row(result: CheckResult, **wanted: Any) -> dict[str, Any]:
    found = [one for one in result.evidence if all(one[k] == v for k, v in wanted.items())]
    assert len(found) == 1, [(one["metric"], one["statistic"], one["group"]) for one in found]
    return found[0]


def hand_made(make_input: Callable[..., AuditInput], **said: Any) -> AuditInput:
    """Thirty with and seventy without the finding: 27 hits, 14 false alarms at 0.5."""
    value = np.repeat([0.9, 0.1, 0.8, 0.2], [27, 3, 14, 56])
    truth = np.repeat([1, 1, 0, 0], [27, 3, 14, 56])
    rows = [{"image": f"i{k:03d}", "value": v, "truth": t} for k, (v, t) in enumerate(zip(value, truth, strict=True))]
    return prepared(make_input(rows, **said))


def test_figures_at_the_threshold_by_hand(make_input: Callable[..., AuditInput]) -> None:
    found = check_decisions(hand_made(make_input))
    assert row(found, metric="net_benefit", statistic="value")["value"] == pytest.approx(0.27 - 0.14)
    assert row(found, metric="net_benefit", statistic="over_all")["value"] == pytest.approx(0.13 - (0.3 - 0.7))
    assert row(found, metric="likelihood_ratio_positive")["value"] == pytest.approx(0.9 / 0.2)
    assert row(found, metric="likelihood_ratio_negative")["value"] == pytest.approx(0.1 / 0.8)
    assert row(found, metric="diagnostic_odds_ratio")["value"] == pytest.approx(36)
    needed = row(found, metric="number_needed_to_evaluate")
    assert needed["value"] == pytest.approx(41 / 27)
    assert 1 <= needed["low"] < 41 / 27 < needed["high"]
    assert row(found, statistic="test")["verdict"] == "clear"


def test_the_curve_has_the_model_all_and_none(make_input: Callable[..., AuditInput]) -> None:
    curves = pd.DataFrame(check_decisions(hand_made(make_input)).curves)
    assert set(curves["series"]) == {"model", "all", "none", "operating point"}
    assert (curves.loc[curves["series"] == "none", "y"] == 0).all()
    everyone = curves[curves["series"] == "all"].set_index("x")["y"]
    assert everyone.loc[0.3] == pytest.approx(0.3 - 0.7 * 3 / 7)


def test_scores_exchanged_among_patients_do_harm_and_good_ones_do_not() -> None:
    bad = draw_table(1000, seed=4, defect="harmful_decisions", size=1.0)
    verdict = row(check_decisions(given(bad)), statistic="test")
    assert verdict["verdict"] == "finding"
    assert verdict["p_adjusted"] >= verdict["p"]
    assert row(check_decisions(given(draw_table(1000, seed=4))), statistic="test")["verdict"] == "clear"


def test_acting_on_all_is_better_where_misses_are_dear(make_study: Callable[..., Study]) -> None:
    frame = draw_table(2000, seed=1)
    frame["value"] = frame["value"] ** 3  # far too low: at a threshold of 0.05 many events are sent home
    point = '[operating_point]\nrule = "threshold"\nvalue = 0.05'
    verdict = row(check_decisions(given(frame, study=make_study(point=point))), statistic="test")
    assert verdict["verdict"] == "finding"
    assert "acting on everybody would do more good" in verdict["reason"]


def test_nobody_is_called(make_input: Callable[..., AuditInput]) -> None:
    quiet = hand_made(make_input)
    quiet = replace(quiet, predictions=quiet.predictions.assign(value=quiet.predictions["value"] / 10))
    found = check_decisions(quiet)
    benefit = row(found, metric="net_benefit", statistic="value")
    assert (benefit["value"], benefit["low"], benefit["high"]) == (0, 0, 0)
    assert row(found, metric="number_needed_to_evaluate")["reason"]
    assert row(found, statistic="test")["verdict"] == "clear"


def test_too_few_and_no_scores(clean_masks: AuditInput, make_input: Callable[..., AuditInput]) -> None:
    few = prepared(make_input([{"image": f"i{k}", "value": k / 20, "truth": int(k > 15)} for k in range(20)]))
    assert row(check_decisions(few), statistic="test")["reason"] == "n = 4 < 10 in the rarer class"
    (only,) = check_decisions(prepared(clean_masks)).evidence
    assert only["verdict"] == "not_possible"
    assert "rows of kind score" in only["reason"]


def test_a_weak_site_is_found_and_a_new_one_foretold() -> None:
    found = check_sites(given(draw_table(6000, seed=6, defect="weak_site", size=0.8)))
    verdict = row(found, metric="auc", statistic="heterogeneity")
    assert verdict["verdict"] == "finding"
    assert "site=C" in verdict["reason"]
    auc = [one for one in found.evidence if one["metric"] == "auc"]
    without = {one["group"]: one["value"] for one in auc if one["statistic"] == "without_site"}
    assert max(without, key=lambda group: without[group]) == "site=C"
    ahead, mean = (row(found, metric="auc", statistic=name) for name in ("new_site", "mean_over_sites"))
    assert ahead["low"] < mean["low"] < mean["value"] < mean["high"] < ahead["high"]
    assert row(found, metric="calibration_in_the_large", statistic="heterogeneity")["verdict"] == ""


def test_sites_of_masks_too_few_and_none() -> None:
    cases, _, attributes = draw_cases(900, seed=0, defect="weak_group_masks", size=0.1)
    masks = AuditInput(table([], PREDICTIONS), table(cases.to_dict("records"), CASES), attributes, settings=FAST)
    verdict = row(check_sites(prepared(masks)), metric="dice", statistic="heterogeneity")
    assert verdict["verdict"] == "finding"
    small = check_sites(given(draw_table(150, seed=0)))
    assert row(small, metric="auc", statistic="heterogeneity")["verdict"] == "not_possible"
    assert any(one["reason"].endswith("< 10 in the rarer class") for one in small.evidence)
    (none,) = check_sites(given(draw_table(300, seed=0).drop(columns="site"))).evidence
    assert none["verdict"] == "not_possible"
    assert "names the hospital" in none["reason"]


def test_a_missing_site_is_shown_and_not_pooled() -> None:
    frame = draw_table(3000, seed=2)
    frame.loc[frame["site"] == "F", "site"] = None
    found = check_sites(given(frame))
    assert row(found, metric="auc", statistic="at_site", group="site=(missing)")["value"] > 0.5
    assert "5 sites" in row(found, metric="auc", statistic="mean_over_sites")["method"]


def test_drift_is_found_and_named() -> None:
    found = check_temporal(given(draw_table(1500, seed=5, defect="drift", size=1.2)))
    verdict = row(found, statistic="trend_test")
    assert verdict["verdict"] == "finding"
    assert "falls by" in verdict["reason"]
    trend = row(found, metric="auc", statistic="trend")
    assert trend["unit"] == "per year"
    assert trend["high"] < 0
    groups = [one["group"] for one in found.evidence if one["statistic"] == "at_time" and one["metric"] == "auc"]
    assert groups[0] == "month=2023-01 to 2023-03"
    assert len(groups) == 8


@pytest.mark.parametrize("written", ["month", "day", "number"])
def test_times_may_be_months_days_or_numbers(written: str) -> None:
    frame = draw_table(800, seed=8, defect="drift", size=1.2)
    months = pd.PeriodIndex(frame["month"], freq="M")
    if written == "day":
        frame["acquired"] = [f"{month}-15" for month in frame.pop("month")]
    if written == "number":
        frame["month"] = (months.year - 2023) * 12 + months.month
    verdict = row(check_temporal(given(frame)), statistic="trend_test")
    plain = row(check_temporal(given(draw_table(800, seed=8, defect="drift", size=1.2))), statistic="trend_test")
    assert verdict["value"] == pytest.approx(plain["value"])


def test_no_dates_give_no_row_and_useless_ones_a_reason() -> None:
    frame = draw_table(400, seed=0)
    assert check_temporal(given(frame.drop(columns="month"))).evidence == []
    for value, why in (
        ("spring", "holds no time"),
        ("", "no image says when it was made"),
        ("2023-04", "all images are of one time"),
    ):
        only = row(check_temporal(given(frame.assign(month=value))), statistic="trend_test")
        assert only["verdict"] == "not_possible"
        assert why in only["reason"]


def test_dice_over_time() -> None:
    cases, _, attributes = draw_cases(300, seed=0)
    late = attributes.set_index("image")["month"].ge("2024-01").reindex(cases["image"]).to_numpy()
    cases = cases.assign(value=cases["value"] - 0.08 * late)
    masks = AuditInput(table([], PREDICTIONS), table(cases.to_dict("records"), CASES), attributes, settings=FAST)
    assert row(check_temporal(prepared(masks)), statistic="trend_test")["verdict"] == "finding"


def test_times_are_no_groups() -> None:
    assert not {"month", "acquired"} & set(given(draw_table(60, seed=0)).settings.attributes)


def test_needed_patients_by_figure() -> None:
    found = check_sample_size(given(draw_table(600, seed=7)))
    assert {one["statistic"] for one in found.evidence} == {
        "auc",
        "sensitivity",
        "specificity",
        "calibration_slope",
        "observed_expected",
    }
    assert all(one["verdict"] == "" and one["reason"] and one["value"] > 0 for one in found.evidence)


def test_an_inconclusive_criterion_says_how_many_would_decide(make_study: Callable[..., Study]) -> None:
    frame = draw_table(600, seed=7)
    tested = given(frame, study=make_study('[[accept]]\nmetric = "auc"\nat_least = 0.88', point=""))
    needed = row(check_sample_size(tested), statistic="criterion_auc_value")
    from fiducial.audit.acceptance import check_acceptance

    (criterion,) = check_acceptance(tested).evidence
    assert criterion["verdict"] == "inconclusive"
    assert needed["value"] > criterion["n_subjects"]
    assert "to be passed" in needed["reason"] or "to be failed" in needed["reason"]
    decided = given(frame, study=make_study('[[accept]]\nmetric = "auc"\nat_least = 0.6', point=""))
    assert not [one for one in check_sample_size(decided).evidence if one["statistic"].startswith("criterion")]


def test_masks_say_how_many_the_mean_dice_needs(clean_masks: AuditInput) -> None:
    rows = [one for one in check_sample_size(prepared(clean_masks)).evidence if one["statistic"] == "dice"]
    assert [one["target"] for one in rows] == ["anterior", "posterior"]
    assert all(math.isfinite(one["value"]) for one in rows)


def test_no_fewer_patients_than_an_interval_takes_to_hold(clean_masks: AuditInput) -> None:
    alike = clean_masks.cases.assign(value=np.linspace(0.88, 0.92, len(clean_masks.cases)))
    rows = check_sample_size(prepared(replace(clean_masks, cases=alike))).evidence
    needed = [one for one in rows if one["statistic"] == "dice"]
    assert needed
    assert all(one["value"] == 100 for one in needed)
    assert all("below 100 such an interval holds less often than it says" in one["reason"] for one in needed)


def test_cases_that_do_not_vary_say_nothing_about_how_many_are_needed(clean_masks: AuditInput) -> None:
    empty = replace(clean_masks, cases=clean_masks.cases.assign(value=0.0))
    assert not [one for one in check_sample_size(empty).evidence if one["statistic"] == "dice"]


def test_a_new_hospital_has_no_dice_below_0() -> None:
    cases, _, attributes = draw_cases(300, seed=0)
    base = {"A": 0.02, "B": 0.3, "C": 0.9}
    site = dict(zip(attributes["image"], attributes["site"], strict=True))
    spread = np.random.default_rng(0).uniform(0, 0.05, len(cases))
    value = np.add([base.get(str(site[image]), 0.5) for image in cases["image"]], spread)
    rows = table(cases.assign(value=value).to_dict("records"), CASES)
    found = check_sites(prepared(AuditInput(table([], PREDICTIONS), rows, attributes, settings=FAST)))
    ahead = row(found, metric="dice", statistic="new_site")
    assert ahead["low"] == 0.0
    assert 0.9 < ahead["high"] <= 1.0
