"""Selective prediction on tables: counted by hand, planted, and refused in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, vendor_input
from fiducial.audit.selective import check_selective
from fiducial.audit.tables import prepared
from fiducial.errors import TableError
from fiducial.phantom.tables import draw_table
from fiducial.study import Study

FAST = AuditSettings(n_replicates=100, minimum_n=1)
NEEDED = ["subject", "image", "target", "value", "truth", "split"]


def rows_of(given: AuditInput) -> pd.DataFrame:
    return pd.DataFrame(check_selective(prepared(given)).evidence)


def one(rows: pd.DataFrame, metric: str, **said: Any) -> pd.Series:
    chosen = rows[rows["metric"] == metric]
    for name, value in {"statistic": "value", **said}.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1, (metric, said)
    return chosen.iloc[0]


SIX = pd.DataFrame(
    {
        "subject": list("abcdef"),
        "target": "finding",
        "value": [0.95, 0.9, 0.2, 0.3, 0.6, 0.45],
        "truth": [1, 1, 0, 1, 0, 0],
    }
)


def test_figures_by_hand() -> None:
    """Confidences 0.95, 0.9, 0.8, 0.7 (wrong), 0.6 (wrong), 0.55: six of eight pairs in order."""
    rows = rows_of(vendor_input(SIX, settings=FAST))
    assert one(rows, "error_auroc")["value"] == pytest.approx(6 / 8)
    area = (0 + 0 + 0 + 1 / 4 + 2 / 5 + 2 / 6) / 6
    assert one(rows, "aurc")["value"] == pytest.approx(area)
    best = (1 / 5 + 2 / 6) / 6
    assert one(rows, "excess_aurc")["value"] == pytest.approx(area - best)
    assert one(rows, "aurc")["n_events"] == 2


def test_the_curve_by_hand() -> None:
    curve = pd.DataFrame(check_selective(prepared(vendor_input(SIX, settings=FAST))).curves)
    own, ideal = curve[curve["series"] == ""], curve[curve["series"] == "ideal"]
    assert own["x"].tolist() == pytest.approx([k / 6 for k in range(1, 7)])
    assert own["y"].tolist() == pytest.approx([0, 0, 0, 1 / 4, 2 / 5, 2 / 6])
    assert own["n"].tolist() == [1, 2, 3, 4, 5, 6]
    assert ideal["y"].max() == pytest.approx(2 / 6)
    assert (ideal.loc[ideal["x"] <= 4 / 6, "y"] == 0).all()


def test_confidence_is_that_of_the_call_at_the_operating_point(make_study: Callable[..., Study]) -> None:
    """At a threshold of 0.25 the case of 0.3 is called and right, with a confidence of 0.3; 0.45 and 0.6 are wrong."""
    study = make_study(targets='"finding"', data="", point='[operating_point]\nrule = "threshold"\nvalue = 0.25')
    found = one(rows_of(vendor_input(SIX, study=study, settings=FAST)), "error_auroc")
    assert found["n_events"] == 2
    assert found["value"] == pytest.approx(6 / 8)  # right: 0.95, 0.9, 0.8, 0.3; wrong: 0.6, 0.45


def test_the_rule_is_chosen_on_calibration_patients_and_judged_on_the_others() -> None:
    frame = draw_table(3000, seed=0, auc=0.95)[NEEDED]
    rows = rows_of(vendor_input(frame, settings=FAST))
    deferred, error = one(rows, "deferral_rate"), one(rows, "kept_error")
    assert 0 < deferred["value"] < 0.5
    assert error["value"] < 0.05
    assert (error["threshold"], error["direction"], deferred["split"]) == (0.05, "at_most", "test")
    lower = float(deferred["reason"].split()[3])
    test = frame[frame["split"] == "test"]
    confidence = np.maximum(test["value"], 1 - test["value"])
    assert deferred["value"] == pytest.approx((confidence < lower).mean(), abs=0.005)
    changed = frame.copy()
    changed.loc[changed["split"] == "test", "truth"] = 1 - changed["truth"]
    assert one(rows_of(vendor_input(changed, settings=FAST)), "deferral_rate")["value"] == deferred["value"]


def test_the_study_says_what_error_may_be_kept_and_the_settings_win(make_study: Callable[..., Study]) -> None:
    """Half of the error that may be kept sends more cases to a person; the rule and its bound say which it was."""
    frame = draw_table(3000, seed=0, auc=0.95)[NEEDED]
    text = "[uncertainty]\nlargest_risk = 0.025\npoor_dice = 0.8\nalpha = 0.2"
    strict = make_study(targets='"malignant"', data="", point=text)
    rows = {
        0.05: rows_of(vendor_input(frame, settings=FAST)),
        0.025: rows_of(vendor_input(frame, settings=FAST, study=strict)),
        0.1: rows_of(vendor_input(frame, settings=replace(FAST, largest_risk=0.1), study=strict)),
    }
    deferred = {risk: float(one(found, "deferral_rate")["value"]) for risk, found in rows.items()}
    assert deferred[0.1] < deferred[0.05] < deferred[0.025]
    assert {risk: one(found, "kept_error")["threshold"] for risk, found in rows.items()} == {r: r for r in rows}
    assert "error of the kept cases below 2.5 %" in one(rows[0.025], "deferral_rate")["method"]
    settings = prepared(vendor_input(frame, settings=FAST, study=strict)).settings
    assert (settings.alpha, settings.largest_risk, settings.poor_dice) == (0.2, 0.025, 0.8)


def test_a_model_that_may_keep_nothing_defers_everything() -> None:
    frame = draw_table(300, seed=1, auc=0.6)[NEEDED]
    rows = rows_of(vendor_input(frame, settings=FAST))
    assert one(rows, "deferral_rate")["value"] == 1
    assert one(rows, "kept_error")["reason"] == "no case is kept"


def test_idle_confidence_is_found_and_honest_confidence_is_not() -> None:
    for size, verdict in ((0.0, "clear"), (1.0, "finding")):
        frame = draw_table(3000, seed=2, defect="idle_confidence", size=size)[NEEDED]
        found = one(rows_of(vendor_input(frame, settings=FAST)), "error_auroc", statistic="test")
        assert found["verdict"] == verdict
    assert "will not help" in found["reason"]


def test_several_classes_are_decided_by_the_most_probable_one() -> None:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet([1, 1, 1], 600)
    truth = (rng.random((600, 1)) > probability.cumsum(axis=1)).sum(axis=1).clip(max=2)
    frame = pd.DataFrame(
        {
            "subject": f"p{i}",
            "target": "chest",
            "item": "abc"[k],
            "value": probability[i, k],
            "truth": int(truth[i] == k),
        }
        | {"split": ("calibration", "test")[i % 2], "image": f"p{i}"}
        for i in range(600)
        for k in range(3)
    )
    rows = rows_of(vendor_input(frame, settings=FAST))
    found = one(rows, "error_auroc")
    assert found["n_subjects"] == 300
    assert found["n_events"] == (probability.argmax(axis=1) != truth)[1::2].sum()
    assert found["method"].endswith("most probable class")
    assert one(rows, "deferral_rate")["verdict"] == ""


def test_what_cannot_be_done_says_why(clean_masks: AuditInput, make_study: Callable[..., Study]) -> None:
    frame = draw_table(200, seed=3)[NEEDED]
    alone = vendor_input(frame.drop(columns="split"), settings=FAST)
    assert one(rows_of(alone), "deferral_rate")["verdict"] == "not_possible"
    assert "no calibration part" in one(rows_of(alone), "deferral_rate")["reason"]
    right = vendor_input(frame.assign(value=frame["truth"].astype(float)), settings=replace(FAST, minimum_n=10))
    found = one(rows_of(right), "error_auroc", statistic="test")
    assert found["reason"] == "n = 0 < 10 patients with a wrong answer"
    assert "no answer is wrong" in one(rows_of(right), "error_auroc")["reason"]
    masks = one(rows_of(clean_masks), "error_auroc", statistic="test")
    assert (masks["verdict"], masks["target"]) == ("not_possible", "")
    study = make_study(data="", point='[operating_point]\nrule = "youden"')
    ruled = vendor_input(frame.drop(columns="split"), study=study, settings=FAST)
    assert "needs a calibration part" in one(rows_of(ruled), "error_auroc", statistic="test")["reason"]


def test_a_stated_doubt_gives_an_order_of_its_own() -> None:
    """The wrong answers (d, e) are the ones in doubt, so every pair is in order; the score's own order stays."""
    doubt = SIX.assign(item="uncertainty", value=[0.1, 0.0, 0.2, 0.9, 0.8, 0.3], truth=np.nan)
    rows = rows_of(vendor_input(pd.concat([SIX.assign(item=""), doubt]), settings=FAST))
    assert one(rows, "error_auroc", item="uncertainty")["value"] == 1.0
    assert one(rows, "error_auroc", item="")["value"] == pytest.approx(6 / 8)
    best = (1 / 5 + 2 / 6) / 6
    assert one(rows, "aurc", item="uncertainty")["value"] == pytest.approx(best)
    assert "stated uncertainty" in one(rows, "aurc", item="uncertainty")["method"]
    some = rows_of(vendor_input(pd.concat([SIX.assign(item=""), doubt.iloc[1:]]), settings=FAST))
    assert one(some, "error_auroc", item="uncertainty")["n_images"] == 5  # an image without a doubt is left out


def test_a_stated_doubt_outside_its_range_is_refused() -> None:
    doubt = SIX.assign(item="uncertainty", value=3.5, truth=np.nan)
    with pytest.raises(TableError, match=r"value 3\.5 of image 'a'"):
        rows_of(vendor_input(pd.concat([SIX.assign(item=""), doubt]), settings=FAST))


def masks_of(make_input: Callable[..., AuditInput], real: list[float], predicted: list[float]) -> AuditInput:
    """Half of the masks in the calibration part, half in the test part, each part with the same figures."""
    rows = [
        {"subject": f"{part}{k}", "image": f"{part}{k}", "split": part, "target": "lesion", "value": value}
        for part in ("calibration", "test")
        for k, value in enumerate(predicted)
    ]
    said = [row | {"kind": "score", "item": "predicted_dice"} for row in rows]
    got = [row | {"metric": "dice", "value": value} for row, value in zip(rows, real + real, strict=True)]
    return make_input(said, got)


def test_masks_are_ordered_by_their_predicted_dice(make_input: Callable[..., AuditInput]) -> None:
    """Wrong below 0.7: the third and the fourth, of which the third is more confident than one right mask."""
    given = masks_of(make_input, [0.9, 0.7, 0.6, 0.5], [0.95, 0.7, 0.8, 0.4])
    rows = rows_of(given)
    order = one(rows, "error_auroc")
    assert order["value"] == pytest.approx(3 / 4)
    assert "Dice of 0.7" in order["method"]
    assert one(rows, "aurc")["value"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert one(rows, "error_auroc", statistic="test")["verdict"] == "not_possible"  # two of each are too few


def test_the_rule_for_masks_is_chosen_on_calibration_masks(make_input: Callable[..., AuditInput]) -> None:
    """Two hundred good masks with a high predicted Dice, and fifty poor ones that the model knows to be poor."""
    given = masks_of(make_input, [0.9] * 200 + [0.3] * 50, [0.95] * 200 + [0.5] * 50)
    rows = rows_of(given)
    assert one(rows, "deferral_rate")["value"] == pytest.approx(0.2)
    assert one(rows, "kept_error")["value"] == 0.0
    assert one(rows, "error_auroc", statistic="test")["verdict"] == "clear"
