"""Calibration and recalibration: planted faults are found where they are, and clean tables stay clear."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, vendor_input
from fiducial.audit.calibration import check_calibration
from fiducial.audit.halves import folds_of, operating_half, second_half
from fiducial.audit.recalibration import check_recalibration
from fiducial.audit.scores import audited_columns, calibration_column
from fiducial.audit.tables import prepared
from fiducial.maths.calibration import fit_recalibration
from fiducial.phantom.tables import draw_table
from fiducial.records.tables import EVIDENCE, table

Make = Callable[..., AuditInput]
FAST = AuditSettings(n_replicates=300)


def drawn(n: int = 900, *, seed: int = 0, **said: Any) -> AuditInput:
    return prepared(vendor_input(draw_table(n, seed=seed, **said).drop(columns=["month", "age"]), settings=FAST))


def evidence(check: Callable[[AuditInput], Any], given: AuditInput) -> pd.DataFrame:
    return table(check(given).evidence, EVIDENCE)


def one(rows: pd.DataFrame, **where: Any) -> pd.Series:
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1, rows[["metric", "statistic", "group", "condition", "split"]]
    return rows.iloc[0]


def classes(n: int = 400, *, sharp: float = 2.5) -> pd.DataFrame:
    """Three classes whose probabilities are too sure, half of them for calibration."""
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1, 1, 1], n)
    truth = (rng.random((n, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    said = honest**sharp / (honest**sharp).sum(axis=1, keepdims=True)
    rows = [
        {"subject": f"s{i:03d}", "target": "kind", "item": "abc"[k], "value": said[i, k], "truth": float(truth[i] == k)}
        for i in range(n)
        for k in range(3)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(split=np.where(np.arange(len(frame)) // 3 % 2, "calibration", "test"))


# Calibration.


def test_every_figure_stands_on_both_parts_and_the_brier_score_adds_up() -> None:
    rows = evidence(check_calibration, drawn())
    whole = rows[(rows["group"] == "all") & (rows["statistic"] == "value")]
    for split in ("calibration", "test"):
        found = whole[whole["split"] == split].set_index("metric")["value"]
        parts = found["brier_reliability"] - found["brier_resolution"] + found["brier_uncertainty"]
        assert parts == pytest.approx(found["brier"])
        assert found[["ece", "ece_adaptive", "log_loss"]].notna().all()
    assert set(rows["verdict"]) == {"", "clear"}


@pytest.mark.parametrize(
    ("defect", "size", "said"), [("stretched_scores", 0.8, "slope 0."), ("shifted_scores", 0.8, "in the large -")]
)
def test_planted_faults_of_everybody_are_found(defect: str, size: float, said: str) -> None:
    rows = evidence(check_calibration, drawn(defect=defect, size=size))
    found = one(rows, statistic="test")
    assert found["verdict"] == "finding"
    assert said in found["reason"]
    assert found["p"] < found["p_adjusted"] < 0.05
    assert (rows[rows["statistic"] == "gap_test"]["verdict"] == "clear").all()


def test_a_fault_of_one_sex_is_found_there_and_in_no_other_attribute() -> None:
    rows = evidence(check_calibration, drawn(1500, defect="group_miscalibration", size=1.0))
    tests = rows[rows["statistic"] == "gap_test"].set_index("group")
    assert tests["verdict"].to_dict() == {"sex": "finding", "site": "clear", "scanner": "clear"}
    assert tests.loc["sex", "reason"].startswith("calibration in the large differs: sex=F -")
    large = rows[(rows["metric"] == "calibration_in_the_large") & (rows["statistic"] == "value")].set_index("group")
    assert large.loc["sex=F", "low"] < -1.0 < large.loc["sex=F", "high"]
    assert large.loc["sex=M", "low"] < 0 < large.loc["sex=M", "high"]


def test_everybody_and_groups_share_the_error() -> None:
    """Two tests of everybody; two metrics by three attributes; each family has half."""
    rows = evidence(check_calibration, drawn())
    whole = one(rows, statistic="test")
    assert whole["p_adjusted"] == pytest.approx(min(1, whole["p"] * 2 * 2))
    assert "Holm over 2 tests, times 2" in whole["method"]
    gaps = rows[rows["statistic"] == "gap"]
    assert len(gaps) == 6
    assert gaps["p_adjusted"].min() == pytest.approx(min(1, gaps["p"].min() * 6 * 2))
    alone = drawn()
    alone = replace(alone, settings=replace(alone.settings, attributes=()))
    whole = one(evidence(check_calibration, alone), statistic="test")
    assert whole["p_adjusted"] == pytest.approx(min(1, whole["p"] * 2))


def test_a_group_is_judged_by_its_rarer_class(make_input: Make) -> None:
    """40 women with 3 events and 40 men with 20: only the men have figures."""
    rng = np.random.default_rng(0)
    rows, attributes = [], []
    for sex, events in (("F", 3), ("M", 20)):
        for k in range(40):
            rows.append({"image": f"{sex}{k}", "truth": float(k < events), "value": rng.uniform(0.2, 0.8)})
            attributes.append({"image": f"{sex}{k}", "sex": sex})
    settings = AuditSettings(n_replicates=200, attributes=("sex", "height"))
    rows = evidence(check_calibration, prepared(make_input(rows, attributes=attributes, settings=settings)))
    women = rows[rows["group"] == "sex=F"]
    assert (women["verdict"] == "not_possible").all()
    assert set(women["reason"]) == {"n = 3 < 10 patients in the rarer class"}
    assert rows[rows["group"] == "sex=M"]["value"].notna().all()
    assert one(rows, group="sex", statistic="gap_test")["verdict"] == "not_possible"
    assert one(rows, group="height", statistic="gap_test")["reason"] == "the tables have no attribute 'height'"


def test_too_few_and_separated_have_no_verdict(make_input: Make) -> None:
    few = [{"image": f"i{k}", "truth": float(k < 4), "value": 0.1 + 0.01 * k} for k in range(40)]
    found = one(evidence(check_calibration, prepared(make_input(few))), statistic="test")
    assert (found["verdict"], found["reason"]) == ("not_possible", "n = 4 < 10 patients in the rarer class")
    apart = [{"image": f"i{k}", "truth": float(k < 20), "value": 0.5 + 0.01 * (20 - k)} for k in range(40)]
    found = one(evidence(check_calibration, prepared(make_input(apart))), statistic="test")
    assert found["verdict"] == "not_possible"
    assert found["reason"].startswith("no interval for calibration slope: scores are all alike, or separate")


# Recalibration.


def test_a_stretch_is_mended_by_temperature_and_the_choice_is_made_on_the_calibration_part() -> None:
    rows = evidence(check_recalibration, drawn(1500, defect="stretched_scores", size=0.8))
    assert one(rows, metric="map_temperature")["value"] == pytest.approx(1.8, abs=0.4)
    best = one(rows, metric="best_map")
    assert best["split"] == "calibration"
    crossed = rows[rows["statistic"] == "cross_validated"].set_index("condition")["value"]
    assert best["value"] == crossed.min() < crossed["clean"]
    assert best["condition"] == crossed.idxmin()
    slope = one(rows, metric="calibration_slope", condition="recalibrated:temperature")
    assert slope["low"] < 1 < slope["high"]
    assert one(rows, statistic="test")["verdict"] == "clear"


def test_maps_are_fitted_on_the_operating_half_and_nowhere_else() -> None:
    given = drawn()
    column = audited_columns(given)[0]
    whole = calibration_column(given, column)
    assert whole is not None
    half = operating_half(whole)
    found = one(evidence(check_recalibration, given), metric="map_slope", statistic="value")
    assert found["value"] == fit_recalibration(half.truth, half.score).slope
    assert found["n_images"] == len(half.truth) < len(whole.truth)
    changed = given.predictions
    other = ~changed["image"].isin(half.image)
    moved = changed.assign(value=changed["value"].where(~other, changed["value"] ** 2))
    again = evidence(check_recalibration, replace(given, predictions=moved))
    kept = ["map_slope", "map_intercept", "map_temperature", "best_map"]
    for metric in kept:
        first, second = (
            one(rows, metric=metric, statistic="value")["value"]
            for rows in (evidence(check_recalibration, given), again)
        )
        assert first == second


def test_a_shift_of_the_test_part_is_found() -> None:
    found = one(evidence(check_recalibration, drawn(1500, defect="test_shift", size=1.0)), statistic="test")
    assert found["verdict"] == "finding"
    assert "log odds by -" in found["reason"]


def test_several_classes_get_one_temperature_and_isotonic_maps() -> None:
    given = prepared(vendor_input(classes(), settings=FAST))
    rows = evidence(check_recalibration, given)
    assert one(rows, metric="map_temperature")["value"] == pytest.approx(2.5, abs=0.6)
    assert one(rows, metric="best_map")["condition"] == "recalibrated:temperature"
    for item in "abc":
        before = one(
            evidence(check_calibration, given),
            metric="calibration_slope",
            item=item,
            split="test",
            statistic="value",
            group="all",
        )
        after = one(rows, metric="calibration_slope", item=item, condition="recalibrated:temperature")
        assert before["high"] < 1
        assert after["low"] < 1.1
        assert after["high"] > 0.9
        one(rows, metric="brier", item=item, condition="recalibrated:isotonic")
    assert (rows[rows["statistic"] == "test"]["verdict"] == "clear").all()


def test_no_calibration_part_one_class_and_maps_that_do_not_fit(make_input: Make) -> None:
    rows = [{"image": f"i{k}", "truth": float(k % 2), "value": 0.3 + 0.02 * (k % 13)} for k in range(60)]
    found = evidence(check_recalibration, prepared(make_input(rows)))
    assert found["reason"].tolist() == ["the table has no calibration part to fit a map on"]
    for k, row in enumerate(rows):
        row["split"] = "calibration" if k < 30 else "test"
    for row in rows[:30]:
        row["truth"] = 0.0
    found = evidence(check_recalibration, prepared(make_input(rows)))
    assert found["reason"].tolist() == ["the calibration part has one class only"]
    for k, row in enumerate(rows[:30]):
        row["truth"], row["value"] = float(k < 12), 0.9 - 0.02 * k  # apart, and above and below 1/2
    found = evidence(check_recalibration, prepared(make_input(rows)))
    logistic = one(found, metric="map", condition="recalibrated:logistic")
    assert logistic["verdict"] == "not_possible"
    assert "separated" in logistic["reason"]
    assert math.isfinite(one(found, metric="brier", condition="recalibrated:isotonic", statistic="value")["value"])


def test_folds_keep_patients_together_and_halves_are_two_folds() -> None:
    rng = np.random.default_rng(0)
    subject = np.array([f"p{k}" for k in rng.integers(0, 90, 200)], dtype=object)
    truth = rng.random(200) < 0.3
    fold = folds_of(subject, truth, 5)
    assert all(len(set(fold[subject == name])) == 1 for name in set(subject))
    with_event = set(subject[truth])
    for event in (True, False):
        sizes = [len({n for n in set(subject[fold == k]) if (n in with_event) is event}) for k in range(5)]
        assert max(sizes) - min(sizes) <= 1
    assert (second_half(subject, truth) == (folds_of(subject, truth, 2) == 1)).all()
