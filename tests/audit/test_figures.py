"""Figures that can be counted by hand: rates, thresholds, several classes, masks, groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, audit
from fiducial.study import Study

Make = Callable[..., AuditInput]
MakeStudy = Callable[..., Study]
SETTINGS = AuditSettings(n_replicates=300, minimum_n=2)


def scores(truth: str, value: list[float], *, split: str = "", start: int = 0, **said: Any) -> list[dict[str, Any]]:
    """One row per character of ``truth`` (``+`` or ``-``)."""
    pairs = zip(truth, value, strict=True)
    return [
        {"image": f"i{start + k}", "truth": float(sign == "+"), "value": v, "split": split, **said}
        for k, (sign, v) in enumerate(pairs)
    ]


def one(evidence: pd.DataFrame, **where: Any) -> pd.Series:
    chosen = evidence
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1, chosen[["check", "metric", "statistic", "target", "item", "group", "split", "value"]]
    return chosen.iloc[0]


TRUTH, VALUE = "++++------", [0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.4, 0.2, 0.1, 0.1]


def test_rates_auc_and_brier_of_ten_patients(make_input: Make) -> None:
    """At 0.5: 3 of 4 positive and 1 of 6 negative called. AUC: 4 x 6 pairs, 3 + 3 (0.9, 0.8: all 6; 0.6: 5; 0.3: 3)."""
    evidence = audit(make_input(scores(TRUTH, VALUE), settings=SETTINGS)).evidence
    expected = {"sensitivity": 3 / 4, "specificity": 5 / 6, "ppv": 3 / 4, "npv": 5 / 6, "accuracy": 8 / 10}
    expected["balanced_accuracy"] = (3 / 4 + 5 / 6) / 2
    for metric, value in expected.items():
        assert one(evidence, check="operating_point", metric=metric)["value"] == pytest.approx(value)
    assert one(evidence, check="accuracy", metric="auc")["value"] == pytest.approx((6 + 6 + 5 + 3) / 24)
    brier = sum((v - (t == "+")) ** 2 for t, v in zip(TRUTH, VALUE, strict=True)) / 10
    assert one(evidence, check="accuracy", metric="brier")["value"] == pytest.approx(brier)
    assert one(evidence, check="accuracy", metric="prevalence")["value"] == pytest.approx(0.4)


def test_counts_are_of_the_rows_that_a_rate_divides_by(make_input: Make) -> None:
    rows = scores(TRUTH, VALUE)
    for row, subject in zip(rows, "aabbccddee", strict=True):
        row["subject"] = subject
    evidence = audit(make_input(rows, settings=SETTINGS)).evidence
    sensitivity = one(evidence, check="operating_point", metric="sensitivity")
    assert (sensitivity["n_subjects"], sensitivity["n_images"], sensitivity["n_events"]) == (2, 4, 4)
    auc = one(evidence, check="accuracy", metric="auc")
    assert (auc["n_subjects"], auc["n_images"]) == (5, 10)
    assert "Obuchowski" in auc["method"]


def test_where_persons_are_unknown_each_image_counts_and_the_method_says_so(make_input: Make) -> None:
    rows = scores(TRUTH, VALUE)
    for row, subject in zip(rows, "aabbccddee", strict=True):
        row["subject"] = subject
    evidence = audit(make_input(rows, settings=AuditSettings(n_replicates=300, person_known=False))).evidence
    auc = one(evidence, check="accuracy", metric="auc")
    assert auc["n_subjects"] == 10
    assert auc["method"].endswith("by image; persons unknown: intervals may be too narrow")


def test_the_threshold_is_fitted_on_the_calibration_part_and_never_on_test(
    make_input: Make, make_study: MakeStudy
) -> None:
    """Calibration: sensitivity 1/2 is reached at 0.8. On test that threshold finds nobody."""
    point = '[operating_point]\nrule = "sensitivity"\nvalue = 0.5'
    calibration = scores("++--", [0.9, 0.8, 0.3, 0.2], split="calibration")
    calibration += scores("++--", [0.7, 0.1, 0.3, 0.2], split="calibration", start=4)
    test = scores("+++---", [0.6, 0.5, 0.7, 0.1, 0.2, 0.1], split="test", start=10)
    given = make_input(calibration + test, study=make_study(data="", point=point), settings=SETTINGS)
    evidence = audit(given).evidence
    threshold = one(evidence, check="operating_point", metric="threshold")
    assert (threshold["value"], threshold["split"], threshold["n_images"]) == (0.8, "calibration", 8)
    rates = evidence[(evidence["check"] == "operating_point") & (evidence["statistic"] == "value")]
    assert one(rates, metric="sensitivity", split="calibration")["value"] == 0.5
    assert one(rates, metric="sensitivity", split="test")["value"] == 0.0
    shift = one(evidence, metric="sensitivity", statistic="shift")
    assert shift["value"] == -0.5


def test_test_values_do_not_move_the_threshold(clean: AuditInput) -> None:
    def threshold(given: AuditInput) -> float:
        return float(one(audit(given).evidence, check="operating_point", metric="threshold")["value"])

    from dataclasses import replace

    rows = clean.predictions
    moved = rows.assign(value=rows["value"].where(rows["split"] == "calibration", rows["value"] ** 2))
    assert threshold(clean) == threshold(replace(clean, predictions=moved))


@pytest.mark.parametrize(
    ("point", "origin"),
    [
        ("", "threshold 0.5, because no operating point was stated"),
        ('[operating_point]\nrule = "threshold"\nvalue = 0.35', "threshold 0.35, as the study states"),
    ],
)
def test_without_a_calibration_part_a_threshold_is_stated_or_said_to_be_half(
    make_input: Make, make_study: MakeStudy, point: str, origin: str
) -> None:
    given = make_input(scores(TRUTH, VALUE), study=make_study(data="", point=point), settings=SETTINGS)
    assert one(audit(given).evidence, check="operating_point", metric="threshold")["method"] == origin


def test_a_rule_without_calibration_data_is_not_fitted_on_test(make_input: Make, make_study: MakeStudy) -> None:
    study = make_study(
        '[[accept]]\nmetric = "sensitivity"\nat_least = 0.5', data="", point='[operating_point]\nrule = "youden"'
    )
    evidence = audit(make_input(scores(TRUTH, VALUE), study=study, settings=SETTINGS)).evidence
    assert one(evidence, metric="threshold")["verdict"] == "not_possible"
    judged = one(evidence, check="acceptance")
    assert judged["verdict"] == "not_assessed"
    assert "rule youden needs a calibration part" in judged["reason"]


# Several classes, several labels.


def three_classes(names: str, values: list[list[float]]) -> list[dict[str, Any]]:
    rows = []
    for k, (name, probabilities) in enumerate(zip(names, values, strict=True)):
        for item, value in zip("abc", probabilities, strict=True):
            rows.append(
                {"image": f"i{k}", "target": "kind", "item": item, "value": value, "truth": float(item == name)}
            )
    return rows


def test_several_classes_are_decided_by_the_most_probable_one(make_input: Make, make_study: MakeStudy) -> None:
    """Right: a a b c of a a a b b c; recalls 2/3, 1/2, 1."""
    likely = {"a": [0.6, 0.3, 0.1], "b": [0.2, 0.5, 0.3], "c": [0.1, 0.2, 0.7]}
    rows = three_classes("aaabbc", [likely[name] for name in "aabbac"])
    study = make_study('[[accept]]\nmetric = "accuracy"\nat_least = 0.9', targets='"kind"', data="")
    evidence = audit(make_input(rows, study=study, settings=SETTINGS)).evidence
    assert one(evidence, check="accuracy", metric="accuracy")["value"] == pytest.approx(4 / 6)
    assert one(evidence, check="accuracy", metric="balanced_accuracy")["value"] == pytest.approx(
        (2 / 3 + 1 / 2 + 1) / 3
    )
    assert set(evidence[(evidence["metric"] == "auc") & (evidence["check"] == "accuracy")]["item"]) == {"a", "b", "c"}
    assert one(evidence, check="acceptance")["value"] == pytest.approx(4 / 6)
    assert not (evidence["check"] == "operating_point").any()


def test_each_label_is_a_target_of_its_own(make_input: Make, make_study: MakeStudy) -> None:
    rows = scores(TRUTH, VALUE, target="cyst") + scores(TRUTH, VALUE[::-1], target="stone")
    study = make_study('[[accept]]\nmetric = "auc"\nat_least = 0.5', targets='"cyst", "stone"', data="")
    evidence = audit(make_input(rows, study=study, settings=SETTINGS)).evidence
    judged = evidence[evidence["check"] == "acceptance"]
    assert list(judged["target"]) == ["cyst", "stone"]
    assert one(judged, target="cyst")["value"] == pytest.approx(20 / 24)


# Masks.


def dice(values: list[float], **said: Any) -> list[dict[str, Any]]:
    return [{"image": f"i{k}", "metric": "dice", "value": value, **said} for k, value in enumerate(values)]


def test_mean_median_and_missing_of_five_cases(make_input: Make) -> None:
    cases = dice([0.9, 0.8, 0.7, 1.0, math.nan], reason="")
    cases[4]["reason"] = "payload missing"
    result = audit(make_input(cases=cases, settings=SETTINGS))
    rows = result.evidence[result.evidence["check"] == "accuracy"]
    assert one(rows, statistic="mean")["value"] == pytest.approx(0.85)
    assert one(rows, statistic="median")["value"] == pytest.approx(0.85)
    missing = one(rows, statistic="n_missing")
    assert (missing["value"], missing["n_images"]) == (1, 5)
    assert missing["reason"] == "1 of 5 cases have no value (payload missing)"
    assert list(result.curves["y"]) == [0.7, 0.8, 0.9, 1.0]


def test_volume_difference_is_predicted_minus_true(make_input: Make) -> None:
    rows = []
    for k, (predicted, true) in enumerate([(3.0, 2.0), (1.0, 2.0), (5.0, 2.0)]):
        rows.append({"image": f"i{k}", "metric": "volume_ml_predicted", "value": predicted, "unit": "ml"})
        rows.append({"image": f"i{k}", "metric": "volume_ml_true", "value": true, "unit": "ml"})
    row = one(
        audit(make_input(cases=rows, settings=SETTINGS)).evidence, metric="volume_difference_ml", statistic="mean"
    )
    assert (row["value"], row["unit"]) == (1.0, "ml")


def accepted(make_input: Make, make_study: MakeStudy, cases: list[dict[str, Any]], criterion: str) -> pd.Series:
    study = make_study(f"[[accept]]\n{criterion}", kind="segmentation", targets='"liver"', data="minimum_n = 3")
    return one(
        audit(make_input(cases=cases, study=study, settings=AuditSettings(n_replicates=300))).evidence,
        check="acceptance",
    )


SPREAD = [0.9, 0.92, 0.94, 0.91, 0.93, 0.95, 0.9, 0.92, 0.94, 0.91]


def test_missing_cases_must_pass_as_the_worst_answer(make_input: Make, make_study: MakeStudy) -> None:
    criterion = 'metric = "dice"\nat_least = 0.8'
    assert accepted(make_input, make_study, dice(SPREAD), criterion)["verdict"] == "pass"
    lost = accepted(make_input, make_study, dice([*SPREAD, math.nan, math.nan]), criterion)
    assert lost["verdict"] == "inconclusive"
    assert "2 of 12 cases have no value; with these counted as wrong it does not pass" in lost["reason"]
    many = dice([*SPREAD * 8, math.nan, math.nan])
    low = accepted(make_input, make_study, many, 'metric = "dice"\nat_least = 0.3')
    assert low["verdict"] == "pass"
    assert "it passes with these counted as wrong, too" in low["reason"]


def test_a_missing_distance_cannot_pass(make_input: Make, make_study: MakeStudy) -> None:
    cases = [row | {"metric": "hd95", "unit": "mm"} for row in dice([*SPREAD, math.nan])]
    judged = accepted(make_input, make_study, cases, 'metric = "hd95"\nat_most = 5')
    assert judged["verdict"] == "inconclusive"
    assert "how far off they are is unknown" in judged["reason"]


def test_equal_values_cannot_pass_without_width(make_input: Make, make_study: MakeStudy) -> None:
    judged = accepted(make_input, make_study, dice([1.0] * 10), 'metric = "dice"\nat_least = 0.95')
    assert judged["low"] < judged["high"]
    assert judged["verdict"] == "inconclusive"
    distances = [row | {"metric": "hd95", "unit": "mm"} for row in dice([0.0] * 10)]
    assert accepted(make_input, make_study, distances, 'metric = "hd95"\nat_most = 5')["verdict"] == "inconclusive"


def test_too_few_are_not_assessed(make_input: Make, make_study: MakeStudy) -> None:
    judged = accepted(make_input, make_study, dice([0.9, 0.95]), 'metric = "dice"\nat_least = 0.5')
    assert (judged["verdict"], judged["reason"]) == ("not_assessed", "n = 2 < 3")
    assert math.isnan(judged["value"])


def test_a_metric_that_was_not_measured_is_not_assessed(make_input: Make, make_study: MakeStudy) -> None:
    judged = accepted(make_input, make_study, dice(SPREAD), 'metric = "nsd"\nat_least = 0.5')
    assert (judged["verdict"], judged["reason"]) == ("not_assessed", "the audited part has no nsd of liver")


def test_missing_predictions_count_against_a_score(make_input: Make, make_study: MakeStudy) -> None:
    rows = scores("+" * 40 + "-" * 40, [0.9 - 0.001 * k for k in range(40)] + [0.1 + 0.001 * k for k in range(40)])
    study = make_study('[[accept]]\nmetric = "sensitivity"\nat_least = 0.9', data="", point=HALF)
    assert one(audit(make_input(rows, study=study)).evidence, check="acceptance")["verdict"] == "pass"
    for row in rows[:5]:
        row["value"] = math.nan
    judged = one(audit(make_input(rows, study=study)).evidence, check="acceptance")
    assert judged["verdict"] == "inconclusive"
    assert "5 images have no prediction; with these counted as wrong it does not pass" in judged["reason"]


HALF = '[operating_point]\nrule = "threshold"\nvalue = 0.5'

# Groups.


def by_sex(n_women: int, n_men: int, right: dict[str, int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Positive patients only, of whom some are found; and one negative per ten."""
    rows, attributes = [], []
    for sex, n in (("F", n_women), ("M", n_men)):
        for k in range(n):
            rows.append({"image": f"{sex}{k}", "truth": 1.0, "value": 0.9 if k < right[sex] else 0.1})
            rows.append({"image": f"{sex}n{k}", "truth": 0.0, "value": 0.2})
            attributes += [{"image": f"{sex}{k}", "sex": sex}, {"image": f"{sex}n{k}", "sex": sex}]
    return rows, attributes


def test_group_values_and_gap(make_input: Make, make_study: MakeStudy) -> None:
    """Sensitivity 18/20 in women and 12/20 in men: a gap of 0.3."""
    rows, attributes = by_sex(20, 20, {"F": 18, "M": 12})
    accept = '[[accept]]\nmetric = "sensitivity"\nstatistic = "gap"\ngroup = "sex"\nat_most = 0.05\n'
    accept += '[[accept]]\nmetric = "sensitivity"\ngroup = "sex=M"\nat_least = 0.9'
    study = make_study(accept, data='attributes = ["sex"]', point=HALF)
    evidence = audit(make_input(rows, attributes=attributes, study=study)).evidence
    groups = evidence[(evidence["check"] == "subgroups") & (evidence["metric"] == "sensitivity")]
    assert one(groups, group="sex=F")["value"] == 0.9
    assert one(groups, group="sex=M")["value"] == 0.6
    gap = one(groups, group="sex", statistic="gap")
    assert gap["value"] == pytest.approx(0.3)
    assert gap["reason"].startswith("sex=M 0.600, sex=F 0.900")
    judged = evidence[evidence["check"] == "acceptance"]
    same = one(judged, statistic="gap")
    assert (same["low"], same["high"]) == (gap["low"], gap["high"])
    assert one(judged, group="sex=M")["verdict"] == "fail"
    assert one(judged, group="sex=M")["n_subjects"] == 20


def test_small_groups_are_named_and_left_out_of_the_gap(make_input: Make, make_study: MakeStudy) -> None:
    rows, attributes = by_sex(20, 5, {"F": 18, "M": 0})
    study = make_study(
        '[[accept]]\nmetric = "sensitivity"\nstatistic = "gap"\ngroup = "sex"\nat_most = 0.05\n'
        '[[accept]]\nmetric = "sensitivity"\ngroup = "sex=M"\nat_least = 0.9',
        data='attributes = ["sex"]',
        point=HALF,
    )
    evidence = audit(make_input(rows, attributes=attributes, study=study)).evidence
    groups = evidence[(evidence["check"] == "subgroups") & (evidence["metric"] == "sensitivity")]
    small = one(groups, group="sex=M")
    assert (small["verdict"], small["reason"], small["n_subjects"]) == ("not_possible", "n = 5 < 10", 5)
    assert math.isnan(small["value"])
    judged = evidence[evidence["check"] == "acceptance"]
    gap = one(judged, statistic="gap")
    assert gap["verdict"] == "not_assessed"
    assert gap["reason"] == "fewer than two groups of at least 10; left out, n < 10: sex=M (n = 5)"
    assert one(judged, group="sex=M")["reason"] == "n = 5 < 10"


def test_a_missing_attribute_is_a_group_of_its_own(make_input: Make, make_study: MakeStudy) -> None:
    rows, attributes = by_sex(15, 15, {"F": 13, "M": 12})
    attributes = [row for row in attributes if row["sex"] == "F"]
    study = make_study(data='attributes = ["sex"]', point=HALF)
    evidence = audit(make_input(rows, attributes=attributes, study=study)).evidence
    groups = evidence[(evidence["check"] == "subgroups") & (evidence["metric"] == "sensitivity")]
    assert one(groups, group="sex=(missing)")["value"] == pytest.approx(12 / 15)


def test_the_studys_minimum_n_counts_unless_the_settings_state_one(make_input: Make, make_study: MakeStudy) -> None:
    rows, attributes = by_sex(20, 5, {"F": 18, "M": 4})
    study = make_study(data='attributes = ["sex"]\nminimum_n = 4', point=HALF)
    for settings, verdict in ((AuditSettings(n_replicates=200), ""), (AuditSettings(minimum_n=6), "not_possible")):
        evidence = audit(make_input(rows, attributes=attributes, study=study, settings=settings)).evidence
        groups = evidence[(evidence["check"] == "subgroups") & (evidence["metric"] == "sensitivity")]
        assert one(groups, group="sex=M")["verdict"] == verdict


def test_bands_of_the_study_make_groups(make_input: Make, make_study: MakeStudy) -> None:
    rows, attributes = by_sex(20, 20, {"F": 18, "M": 12})
    for row in attributes:
        row["age"] = 45 if row["sex"] == "F" else 70
    study = make_study(data='attributes = ["age_band"]\nbands = {age = [50]}', point=HALF)
    evidence = audit(make_input(rows, attributes=attributes, study=study)).evidence
    groups = evidence[(evidence["check"] == "subgroups") & (evidence["metric"] == "sensitivity")]
    assert one(groups, group="age_band=<50")["value"] == 0.9
    assert one(groups, group="age_band=>=50")["value"] == 0.6


def test_a_number_with_many_values_is_not_a_group(make_input: Make, make_study: MakeStudy) -> None:
    rows, attributes = by_sex(20, 20, {"F": 18, "M": 12})
    for k, row in enumerate(attributes):
        row["age"] = 40 + k
    study = make_study(data='attributes = ["age"]', point=HALF)
    evidence = audit(make_input(rows, attributes=attributes, study=study)).evidence
    row = one(evidence, check="subgroups", group="age")
    assert row["verdict"] == "not_possible"
    assert "80 different values: divide it by [data] bands" in row["reason"]
