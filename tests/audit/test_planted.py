"""Planted defects are found, and named."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, audit, vendor_input
from fiducial.errors import TableError
from fiducial.phantom.vendor import Defect, Vendor, vendor_table


@dataclass(frozen=True)
class Leak:
    kind: str
    split_a: str
    image_a: str
    split_b: str
    image_b: str
    distance: float = 0.0


def findings(given: AuditInput, check: str) -> list[str]:
    rows = audit(given).evidence
    return rows[(rows["check"] == check) & (rows["verdict"] == "finding")]["reason"].tolist()


def test_a_person_in_two_parts(clean: AuditInput) -> None:
    rows = clean.predictions.copy()
    subject = rows.loc[rows["split"] == "calibration", "subject"].iloc[0]
    place = rows.index[rows["split"] == "test"][0]
    rows.loc[place, "subject"] = subject
    attributes = clean.attributes.drop(columns="subject")
    assert findings(replace(clean, predictions=rows, attributes=attributes), "leakage") == [f"in two parts: {subject}"]


def test_an_image_in_two_parts_is_refused(clean: AuditInput) -> None:
    rows = clean.predictions.copy()
    image = rows.loc[rows["split"] == "calibration", "image"].iloc[0]
    rows.loc[rows.index[rows["split"] == "test"][0], ["image", "fold"]] = [image, "1"]
    with pytest.raises(TableError, match=f"image {image!r} has two answers"):
        audit(replace(clean, predictions=rows))


def test_predictions_and_attributes_that_disagree_on_the_part_are_refused(clean: AuditInput) -> None:
    moved = clean.attributes.assign(split="train")
    with pytest.raises(TableError, match="is in calibration here and in train in the attributes"):
        audit(replace(clean, attributes=moved))


def test_leaks_of_the_cohort_check_are_told_by_kind(clean: AuditInput) -> None:
    leaks = [Leak("near-duplicate", "train", f"a{k}", "test", f"b{k}") for k in range(7)]
    leaks.append(Leak("duplicate", "train", "x", "test", "y"))
    told = findings(replace(clean, leaks=leaks), "leakage")
    assert told[0] == "duplicate: x (train) and y (test)"
    assert told[1].startswith("near-duplicate: a0 (train) and b0 (test), ")
    assert told[1].endswith("and 2 more")


def test_what_nobody_looked_for_is_not_clear(clean: AuditInput) -> None:
    rows = audit(replace(clean, leaks=None, openings=0)).evidence
    for metric in ("n_leaks", "n_openings"):
        assert (rows[rows["metric"] == metric]["verdict"] == "not_possible").all()


def test_a_second_opening(clean: AuditInput) -> None:
    assert "opened 3 times;" in findings(replace(clean, openings=3), "openings")[0]
    changed = findings(replace(clean, openings=3, openings_other_versions=2), "openings")[0]
    assert "opened 3 times, 2 of them before the study file or the cohort was changed" in changed


def test_missing_predictions_truths_and_attributes(clean: AuditInput) -> None:
    test = clean.predictions["split"] == "test"
    rows = clean.predictions.copy()
    first = rows.index[test][:3]
    rows.loc[first, "value"] = np.nan
    found = findings(replace(clean, predictions=rows), "missingness")
    assert len(found) == 1
    assert found[0].startswith(f"3 of {test.sum()} images, such as ")
    few = rows.assign(value=clean.predictions["value"])
    few.loc[rows.index[test][: int(0.04 * test.sum())], "truth"] = np.nan
    assert findings(replace(clean, predictions=few), "missingness") == []
    few.loc[rows.index[test][: int(0.08 * test.sum())], "truth"] = np.nan
    assert len(findings(replace(clean, predictions=few), "missingness")) == 1
    unknown = clean.attributes.assign(sex=clean.attributes["sex"].where(np.arange(len(clean.attributes)) % 5 > 0))
    assert len(findings(replace(clean, attributes=unknown, study=None, settings=SEX), "missingness")) == 1


SEX = AuditSettings(n_replicates=300, attributes=("sex",))


def test_cases_without_a_metric_are_told_with_their_reasons(clean_masks: AuditInput) -> None:
    cases = clean_masks.cases.copy()
    lost = cases.index[cases["metric"].eq("hd95") & cases["target"].eq("anterior")][:12]
    cases.loc[lost, "value"], cases.loc[lost, "reason"] = np.nan, "prediction-empty"
    assert findings(replace(clean_masks, cases=cases), "missingness") == [
        "12 of 120 images, such as p00l, p00r, p01l: prediction-empty (12)"
    ]


def test_images_without_a_prediction(clean: AuditInput) -> None:
    test = clean.predictions["split"] == "test"
    fewer = clean.predictions.drop(index=clean.predictions.index[test][:4])
    assert len(findings(replace(clean, predictions=fewer), "missingness")) == 1


def test_a_weak_subgroup_is_found_where_it_was_planted() -> None:
    weak = Vendor(stretch_logit=1.0, defect=Defect(where=(("scanner", "Draco 8"),), shift=1.3))
    frame, _ = vendor_table(1500, seed=1, vendor=weak)
    given = vendor_input(frame.drop(columns="site"), settings=AuditSettings(n_replicates=500))
    found = findings(given, "subgroups")
    assert len(found) == 1
    assert "scanner=Draco 8" in found[0]


def test_overconfidence_is_found_and_mended_by_the_map() -> None:
    frame, truth = vendor_table(1500, seed=2, vendor=Vendor(stretch_logit=2.5, defect=Defect(shift=0.0)))
    number = frame["subject"].str[1:].astype(int)
    frame["split"] = ["calibration" if n % 2 else "test" for n in number]
    rows = audit(vendor_input(frame, settings=AuditSettings(n_replicates=300))).evidence
    test = rows[(rows["split"] == "test") & (rows["metric"] == "calibration_slope")]
    test = test[test["group"] == "all"]
    before, after = (test[test["condition"] == name].iloc[0] for name in ("clean", "recalibrated:logistic"))
    assert before["low"] < truth.calibration_slope < before["high"]
    assert after["low"] < 1 < after["high"]
    verdict = rows[(rows["check"] == "calibration") & (rows["statistic"] == "test")].iloc[0]
    assert verdict["verdict"] == "finding"
    assert verdict["reason"].startswith("calibration slope 0.3")
    brier = rows[(rows["metric"] == "brier") & (rows["split"] == "test")].groupby("condition")["value"].first()
    assert brier["recalibrated:logistic"] < brier["clean"]


def test_a_shifted_test_part_moves_the_operating_point(clean: AuditInput) -> None:
    rows = clean.predictions
    lower = rows["value"] * np.where(rows["split"] == "test", 0.3, 1.0)
    found = findings(replace(clean, predictions=rows.assign(value=lower)), "operating_point")
    assert found == ["test part differs from calibration part"] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v * 0 + 0.3, "every image has the score 0.3"),
        (lambda v: (v > 0.5).astype(float), "only 0 and 1"),
        (lambda v: v.where(v > 0.2, 0.0), "of the images have the score 0"),
        (lambda v: v.where(np.arange(len(v)) % 20 > 0, 0.5), "% of the images have the score 0.5"),
        (lambda v: v.round(2).where(np.arange(len(v)) % 3 > 0, 0.35), "% of the images have the score 0.35"),
    ],
)
def test_scores_that_say_nothing(clean: AuditInput, change, reason: str) -> None:
    rows = clean.predictions
    assert (
        reason
        in findings(replace(clean, predictions=rows.assign(value=change(rows["value"]))), "score_distribution")[0]
    )


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_scores_are_no_default(clean: AuditInput, digits: int) -> None:
    rows = clean.predictions
    assert (
        findings(replace(clean, predictions=rows.assign(value=rows["value"].round(digits))), "score_distribution") == []
    )


def test_constant_scores_do_not_stop_the_audit(clean: AuditInput) -> None:
    rows = audit(replace(clean, predictions=clean.predictions.assign(value=0.25))).evidence
    auc = rows[(rows["check"] == "accuracy") & (rows["metric"] == "auc")].iloc[0]
    assert auc["value"] == 0.5
    assert not (rows["verdict"] == "pass").any() or (rows[rows["verdict"] == "pass"]["metric"] != "auc").all()


def test_classes_that_are_separated_completely_have_no_calibration_verdict(clean: AuditInput) -> None:
    rows = clean.predictions
    apart = rows.assign(value=rows["truth"] * 0.5 + rows["value"] * 0.4)
    found = audit(replace(clean, predictions=apart)).evidence
    verdict = found[(found["check"] == "calibration") & (found["statistic"] == "test")].iloc[0]
    assert verdict["verdict"] != "clear"
    auc = found[(found["check"] == "accuracy") & (found["metric"] == "auc")].iloc[0]
    assert auc["value"] == 1.0
    assert auc["low"] < 1.0


def test_masks_that_fail_in_one_sex(clean_masks: AuditInput) -> None:
    sex = clean_masks.attributes.set_index("image")["sex"]
    cases = clean_masks.cases
    worse = cases["metric"].eq("dice") & cases["image"].map(sex).eq("M")
    shifted = cases.assign(value=cases["value"] - 0.05 * worse)
    told = findings(replace(clean_masks, cases=shifted), "subgroups")
    assert len(told) == 2
    assert all("dice differs: sex=M" in reason for reason in told)


@pytest.mark.slow
def test_clean_tables_give_findings_no_more_often_than_nominal() -> None:
    """Calibrated scores, random groups: each check's verdict at most 5 % (plus noise of 300 tables: 3.8 %)."""
    from scipy.special import expit

    from fiducial.audit import CHECKS
    from fiducial.audit.tables import prepared
    from fiducial.records.tables import CASES, PREDICTIONS, table
    from fiducial.study import parse_study

    study = parse_study(
        '[study]\nname = "a"\nintended_use = "b"\n[data]\nattributes = ["sex", "site"]\n'
        '[task]\nkind = "classification"\ntargets = ["t"]\n[operating_point]\nrule = "sensitivity"\nvalue = 0.9'
    )
    n_tables, n = 300, 900
    fired = dict.fromkeys(("operating_point", "calibration", "subgroups"), 0)
    for seed in range(n_tables):
        rng = np.random.default_rng(seed)
        truth = rng.random(n) < 0.25
        score = expit(np.log(1 / 3) + 2.2 * (rng.normal(size=n) + 2.2 * truth) - 2.2**2 / 2)
        image = [f"i{k}" for k in range(n)]
        frame = pd.DataFrame({"image": image, "subject": image, "target": "t", "value": score, "truth": truth * 1.0})
        frame["split"] = np.where(np.arange(n) < 300, "calibration", "test")
        attributes = pd.DataFrame(
            {"image": image, "sex": rng.choice(["F", "M"], n), "site": rng.choice(list("ABC"), n)}
        )
        given = AuditInput(
            table(frame.to_dict("records"), PREDICTIONS),
            table([], CASES),
            attributes,
            study,
            AuditSettings(n_replicates=400),
        )
        for name in fired:
            fired[name] += any(row.get("verdict") == "finding" for row in CHECKS[name](prepared(given)).evidence)
    assert all(count / n_tables <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_tables) for count in fired.values()), fired
