"""Fairness: counted by hand, equal to Fairlearn, intersections, several targets, masks, planted gaps, false alarms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
    false_positive_rate,
    true_positive_rate,
)

from fiducial.audit import CHECKS, AuditInput, AuditSettings, vendor_input
from fiducial.audit.fairness import check_fairness
from fiducial.audit.groups import crossed
from fiducial.audit.tables import prepared
from fiducial.phantom.tables import draw_cases, draw_table
from fiducial.records.tables import EVIDENCE, table
from fiducial.study.groups import parse_group

Make = Callable[..., AuditInput]
ATTRIBUTES = ("sex", "site", "scanner")


def checked(given: AuditInput) -> pd.DataFrame:
    return table(check_fairness(prepared(given)).evidence, EVIDENCE)


def drawn(
    n: int, defect: str = "", size: float = 0.0, *, seed: int = 0, replicates: int = 100, **said: Any
) -> AuditInput:
    settings = AuditSettings(n_replicates=replicates, attributes=said.pop("attributes", ATTRIBUTES))
    return vendor_input(draw_table(n, seed=seed, defect=defect, size=size, **said), settings=settings)


def one(rows: pd.DataFrame, **where: Any) -> pd.Series[Any]:
    chosen = rows
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1, chosen[["metric", "statistic", "target", "group"]]
    return chosen.iloc[0]


def by_hand(make_input: Make, *, targets: tuple[str, ...] = ("malignant",), minimum_n: int = 4) -> AuditInput:
    """Of four women with the finding one is called, of four men three; of four without it one woman and no man."""
    rows, attributes = [], []
    for sex, found, false in (("F", 1, 1), ("M", 3, 0)):
        for k in range(8):
            image, event = f"{sex}{k}", k < 4
            called = k < found or 4 <= k < 4 + false
            attributes.append({"image": image, "subject": image, "sex": sex})
            rows += [
                {"image": image, "target": name, "truth": float(event), "value": 0.9 if called else 0.1 + 0.01 * k}
                for name in targets
            ]
    settings = AuditSettings(n_replicates=200, minimum_n=minimum_n, attributes=("sex",))
    return make_input(rows, attributes=attributes, settings=settings)


def test_gaps_of_sixteen_patients(make_input: Make) -> None:
    rows = checked(by_hand(make_input))
    gap = {row["metric"]: row["value"] for _, row in rows[rows["statistic"] == "gap"].iterrows()}
    assert gap["equal_opportunity"] == pytest.approx(3 / 4 - 1 / 4)
    assert gap["underdiagnosis_rate"] == pytest.approx(3 / 4 - 1 / 4)
    assert gap["equalised_odds"] == pytest.approx(max(2 / 4, 1 / 4))
    assert gap["demographic_parity"] == pytest.approx(3 / 8 - 2 / 8)
    missed = one(rows, metric="underdiagnosis_rate", group="sex=F")
    assert (missed["value"], missed["n_images"]) == (pytest.approx(3 / 4), 4)
    assert one(rows, metric="false_positive_rate", group="sex=M")["value"] == 0.0


def test_several_targets_are_under_diagnosed_only_if_none_is_called(make_input: Make) -> None:
    given = by_hand(make_input, targets=("mass", "nodule"))
    frame = given.predictions
    second = (frame["target"] == "nodule") & frame["image"].eq("F2")
    frame.loc[second, "value"] = 0.8  # the mass of F2 is missed, its nodule called
    rows = checked(given)
    whole = one(rows, metric="underdiagnosis_rate", statistic="value", target="", group="sex=F")
    assert whole["value"] == pytest.approx(2 / 4)
    assert one(rows, metric="underdiagnosis_rate", statistic="value", target="mass", group="sex=F")["value"] == 0.75


def test_no_finding_is_an_under_diagnosis_where_it_is_false(make_input: Make) -> None:
    rows = checked(by_hand(make_input, targets=("No Finding",)))
    assert one(rows, metric="underdiagnosis_rate", group="sex=F")["value"] == pytest.approx(1 / 4)
    gap = one(rows, metric="underdiagnosis_rate", statistic="gap")
    assert gap["value"] == pytest.approx(1 / 4)


def test_point_values_are_fairlearns() -> None:
    given = prepared(drawn(1500, "missed_group", 0.2))
    rows = table(check_fairness(given).evidence, EVIDENCE)
    test = given.predictions[given.predictions["split"] == "test"].merge(given.attributes, on="image")
    truth, called = test["truth"].astype(int), (test["value"] >= 0.5).astype(int)
    for attribute in ATTRIBUTES:
        groups = test[attribute]
        peers = {
            "equal_opportunity": equal_opportunity_difference(truth, called, sensitive_features=groups),
            "equalised_odds": equalized_odds_difference(truth, called, sensitive_features=groups),
            "demographic_parity": demographic_parity_difference(truth, called, sensitive_features=groups),
        }
        for metric, value in peers.items():
            found = one(rows, metric=metric, statistic="gap", group=attribute)["value"]
            assert found == pytest.approx(value, abs=1e-12)
        metrics = {"true": true_positive_rate, "false": false_positive_rate}
        frame = MetricFrame(metrics=metrics, y_true=truth, y_pred=called, sensitive_features=groups).by_group
        for name in frame.index:
            group = f"{attribute}={name}"
            missed = one(rows, metric="underdiagnosis_rate", group=group)["value"]
            assert missed == pytest.approx(1 - frame["true"][name], abs=1e-12)
            false = one(rows, metric="false_positive_rate", group=group)["value"]
            assert false == pytest.approx(frame["false"][name], abs=1e-12)


def test_intersections_in_the_grammar_with_the_patients_of_both() -> None:
    given = prepared(drawn(3000))
    rows = table(check_fairness(given).evidence, EVIDENCE)
    row = one(rows, metric="sensitivity", group="sex=F&site=B")
    assert dict(parse_group(row["group"]).terms) == {"sex": "F", "site": "B"}
    test = given.predictions[given.predictions["split"] == "test"].merge(given.attributes, on="image")
    inside = test[(test["sex"] == "F") & (test["site"] == "B") & (test["truth"] == 1)]
    assert (row["value"], row["n_images"]) == (pytest.approx((inside["value"] >= 0.5).mean()), len(inside))
    assert one(rows, metric="equal_opportunity", statistic="gap", group="sex&site")["low"] == 0.0


def test_attributes_that_cross_into_nothing_new_are_not_crossed() -> None:
    sex = {"sex=F": np.array([1, 1, 0, 0], bool), "sex=M": np.array([0, 0, 1, 1], bool)}
    ward = {"ward=a": np.array([1, 0, 0, 0], bool), "ward=b": np.array([0, 1, 0, 0], bool)}
    ward |= {"ward=c": np.array([0, 0, 1, 1], bool)}
    assert crossed(sex, ward) == {}
    hand = {"hand=l": np.array([1, 0, 1, 0], bool), "hand=r": np.array([0, 1, 0, 0], bool)}
    hand |= {"hand=(missing)": np.array([0, 0, 0, 1], bool)}
    assert list(crossed(sex, hand)) == ["sex=F&hand=l", "sex=F&hand=r", "sex=M&hand=l"]


@pytest.mark.parametrize(
    ("defect", "size", "n", "group"),
    [
        ("missed_group", 0.3, 3000, "sex"),
        ("group_miscalibration", 1.0, 3000, "sex"),
        ("weak_intersection", 1.2, 3000, "sex&site"),
    ],
)
def test_what_is_planted_is_found_and_named(defect: str, size: float, n: int, group: str) -> None:
    rows = checked(drawn(n, defect, size))
    found = one(rows, statistic="gap_test", group=group)
    assert found["verdict"] == "finding"
    assert "sex=F" in found["reason"] or "sex=M" in found["reason"]
    assert found["p_adjusted"] < 0.05


def test_masks_of_intersections(make_input: Make) -> None:
    cases, _, attributes = draw_cases(800, seed=1)
    bad = attributes.set_index("image").eval("sex == 'F' and site == 'C'")
    cases["value"] -= 0.15 * cases["image"].map(bad)
    settings = AuditSettings(n_replicates=100, attributes=("sex", "site"))
    empty = make_input().predictions
    rows = checked(AuditInput(empty, cases, attributes, settings=settings))
    found = one(rows, statistic="gap_test")
    assert (found["metric"], found["group"], found["verdict"]) == ("dice", "sex&site", "finding")
    assert found["reason"].startswith("sex=F, site=C: mean dice")


def test_groups_that_are_too_small_are_named(make_input: Make) -> None:
    rows = checked(by_hand(make_input, minimum_n=5))
    verdict = one(rows, statistic="gap_test")
    assert verdict["verdict"] == "not_possible" or verdict["metric"] == "calibration_within_group"
    gap = rows[(rows["metric"] == "equal_opportunity") & (rows["statistic"] == "gap")]
    assert not len(gap) or "sex=F (n = 4)" in gap["reason"].iloc[0]


def test_an_intersection_that_nobody_can_judge_is_one_row() -> None:
    rows = checked(drawn(120))
    left = rows[rows["group"] == "intersections"]
    assert len(left) <= 1
    assert left["verdict"].eq("not_possible").all()
    assert left["reason"].str.startswith("fewer than two groups of at least 10: ").all()


def test_a_gap_that_nobody_can_judge_is_said() -> None:
    """No woman has the finding: what rests on events cannot be compared, and no row may be missing in silence."""
    given = drawn(300, seed=1, attributes=("sex",))
    women = given.attributes[given.attributes["sex"] == "F"]["image"]
    said = given.predictions.assign(split="")
    said.loc[said["image"].isin(women), "truth"] = 0.0
    rows = checked(replace(given, predictions=said, attributes=given.attributes.assign(split="")))
    gaps = rows[rows["statistic"] == "gap"].set_index("metric")
    lacking = ["equal_opportunity", "underdiagnosis_rate", "bnsp_auc", "calibration_within_group", "calibration_slope"]
    assert (gaps.loc[lacking, "method"] == "none").all()
    assert gaps.loc[lacking, ["value", "low", "high"]].isna().all(axis=None)
    assert (
        gaps.loc["equal_opportunity", "reason"]
        == "fewer than two groups of at least 10; left out, n < 10: sex=F (n = 0)"
    )
    assert gaps.loc["calibration_within_group", "reason"] == "fewer than two groups of at least 10 with both classes"
    odds = gaps.loc["equalised_odds"]
    assert odds["high"] == 1.0
    assert odds["reason"].endswith("sensitivity could not be compared, so the larger gap may be up to 1")


def test_missing_attributes_are_a_group_and_in_no_intersection() -> None:
    given = drawn(2000, attributes=("sex", "site"))
    gone = given.attributes.assign(sex=given.attributes["sex"].where(np.arange(len(given.attributes)) % 3 > 0))
    rows = checked(replace(given, attributes=gone))
    assert one(rows, metric="underdiagnosis_rate", group="sex=(missing)")["n_images"] > 80
    assert not rows["group"].str.contains("&").where(rows["group"].str.contains("missing"), other=False).any()


def test_an_attribute_that_is_not_there_is_said() -> None:
    given = drawn(300)
    rows = checked(replace(given, settings=replace(given.settings, attributes=("sex", "ward"))))
    row = one(rows, group="ward")
    assert (row["verdict"], row["reason"]) == ("not_possible", "the tables have no attribute 'ward'")
    none = checked(
        replace(given, settings=replace(given.settings, attributes=()), attributes=given.attributes[["image"]])
    )
    assert none["verdict"].tolist() == ["not_possible"]


@pytest.mark.parametrize("value", [0.3, 1.0])
def test_constant_scores_find_nothing(value: float) -> None:
    given = drawn(300)
    rows = checked(replace(given, predictions=given.predictions.assign(value=value)))
    assert set(rows["verdict"]) <= {"", "clear", "not_possible"}


def test_one_class_finds_nothing() -> None:
    given = drawn(300)
    rows = checked(replace(given, predictions=given.predictions.assign(truth=1.0)))
    assert set(rows["verdict"]) <= {"", "clear", "not_possible"}


def test_a_group_in_which_every_event_is_missed_is_found() -> None:
    given = drawn(1200)
    women = set(given.attributes.loc[given.attributes["sex"] == "F", "image"])
    worst = given.predictions["image"].isin(women) & given.predictions["truth"].eq(1)
    frame = given.predictions.assign(value=given.predictions["value"].where(~worst, 0.01))
    rows = checked(replace(given, predictions=frame))
    assert one(rows, metric="underdiagnosis_rate", group="sex=F")["value"] == 1.0
    assert one(rows, statistic="gap_test", group="sex")["verdict"] == "finding"


@pytest.mark.parametrize("check", ["fairness", "group_thresholds", "shortcut"])
def test_these_are_checks_of_the_audit(check: str) -> None:
    assert check in CHECKS


@pytest.mark.slow
@pytest.mark.parametrize(("n", "images"), [(200, (1,)), (1000, (1,)), (300, (1, 2, 3, 4, 5))])
def test_clean_tables_give_findings_no_more_often_than_nominal(n: int, images: tuple[int, ...]) -> None:
    """At most 21 of 200, the 99.9 % bound at 5 %."""
    fired = 0
    for seed in range(200):
        rows = check_fairness(prepared(drawn(n, seed=seed, replicates=2, n_images=images))).evidence
        fired += any(row["verdict"] == "finding" for row in rows)
    assert fired <= 21
