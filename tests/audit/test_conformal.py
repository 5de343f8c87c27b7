"""Conformal promises on tables: counted by hand, planted, and refused in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom

from fiducial.audit import AuditInput, AuditSettings, vendor_input
from fiducial.audit.conformal import check_conformal
from fiducial.audit.halves import second_half
from fiducial.audit.tables import prepared
from fiducial.phantom.tables import draw_table

FAST = AuditSettings(n_replicates=100)
MakeInput = Callable[..., AuditInput]


def rows_of(given: AuditInput) -> pd.DataFrame:
    return pd.DataFrame(check_conformal(prepared(given)).evidence)


def one(rows: pd.DataFrame, **said: Any) -> pd.Series:
    chosen = rows
    for name, value in {"statistic": "value", "group": "all", **said}.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1, (said, rows[["metric", "statistic", "item", "group"]])
    return chosen.iloc[0]


def binary(n_calibration: int = 40, test: list[float] | None = None) -> pd.DataFrame:
    """Calibration patients all right with a probability of 0.9; test patients with the truth 1 and these scores."""
    scores = [0.9] * n_calibration + (test if test is not None else [0.95] * 8 + [0.8] * 2)
    frame = pd.DataFrame({"subject": [f"p{k:03d}" for k in range(len(scores))], "value": scores, "truth": 1})
    frame["split"] = ["calibration"] * n_calibration + ["test"] * (len(scores) - n_calibration)
    frame.loc[frame.index % 2 == 0, "truth"] = 0
    frame.loc[frame["truth"] == 0, "value"] = 1 - frame["value"]
    return frame.assign(target="finding", image=frame["subject"])


def test_coverage_by_hand() -> None:
    """Twenty scores of 0.1 give the quantile 0.1: labels of probability 0.9 or more are held, 8 of 10 truths."""
    rows = rows_of(vendor_input(binary(), settings=FAST))
    found = one(rows, metric="coverage", item="lac")
    assert found["value"] == 0.8
    assert (found["n_subjects"], found["threshold"], found["direction"]) == (10, 0.9, "at_least")
    assert found["p"] == pytest.approx(betabinom.cdf(8, 10, 19, 2))
    assert one(rows, metric="set_size", item="lac", statistic="mean")["value"] == 0.8
    shares = {name: one(rows, metric="set_size", item="lac", statistic=f"share_{name}")["value"] for name in SHARES}
    assert shares == {"empty": 0.2, "single": 0.8, "several": 0.0}


SHARES = ("empty", "single", "several")


def test_quantiles_come_from_one_half_only() -> None:
    """Whatever the other half says, LAC sets stay as they are."""
    frame = binary()
    own = frame["split"] == "calibration"
    half = np.zeros(len(frame), dtype=bool)
    half[own] = second_half(frame.loc[own, "subject"].to_numpy(), frame.loc[own, "truth"].to_numpy() == 1)
    changed = frame.copy()
    changed.loc[own & ~half, "value"] = 0.5
    rows = [rows_of(vendor_input(f, settings=FAST)) for f in (frame, changed)]
    kept = [r[(r["item"] == "lac")].drop(columns=["source"]).reset_index(drop=True) for r in rows]
    pd.testing.assert_frame_equal(*kept)
    changed.loc[own & half, "value"] = 0.5
    assert one(rows_of(vendor_input(changed, settings=FAST)), metric="coverage", item="lac")["value"] == 1


def test_tests_share_one_family() -> None:
    """The promise has half of the error; classes and groups share the other half by Holm."""
    frame = draw_table(600, seed=0)
    settings = replace(FAST, attributes=("sex", "site"))
    rows = rows_of(vendor_input(frame, settings=settings))
    plain = rows[(rows["statistic"] == "value") & rows["p"].notna()]
    promise = plain[(plain["group"] == "all")]
    parts = plain[plain["group"] != "all"]
    assert len(promise) == 1
    assert len(parts) == 2 + 2 + 6  # classes, sexes, sites
    assert promise["p_adjusted"].iloc[0] == min(1, 2 * promise["p"].iloc[0])
    assert parts["p_adjusted"].min() == min(1, 2 * 10 * parts["p"].min())
    verdicts = rows[rows["statistic"] == "test"]
    assert list(verdicts["group"]) == ["all", "sex", "site"]
    assert (verdicts["verdict"] == "clear").all()
    assert verdicts["method"].str.contains("over the 11 tests").all()


def test_a_coin_that_decided_test_truths_is_found() -> None:
    frame = draw_table(3000, seed=1, defect="not_exchangeable", size=0.2)
    verdict = one(
        rows_of(vendor_input(frame.drop(columns=["age", "month"]), settings=FAST)), statistic="test", item="lac"
    )
    assert verdict["verdict"] == "finding"
    assert verdict["reason"].endswith("these patients are not like the calibration patients")
    assert "where 90 % were promised" in verdict["reason"]


def test_a_group_for_which_the_common_sets_fail_is_named() -> None:
    frame = draw_table(3000, seed=2)
    weak = (frame["split"] == "test") & (frame["site"] == "C")
    frame.loc[weak, "truth"] = 1 - frame.loc[weak, "truth"]
    rows = rows_of(vendor_input(frame, settings=replace(FAST, attributes=("sex", "site"))))
    by_site = one(rows, statistic="test", group="site")
    assert by_site["verdict"] == "finding"
    assert "in site=C" in by_site["reason"]
    assert one(rows, statistic="test", group="sex")["n_subjects"] > 0


def test_patients_with_several_images_get_both_promises() -> None:
    frame = draw_table(900, seed=3, n_images=(1, 2, 3))
    rows = rows_of(vendor_input(frame.drop(columns=["age", "month"]), settings=FAST))
    first, together = (one(rows, metric="coverage", item=item) for item in ("lac", "lac_all_images"))
    assert first["n_subjects"] == together["n_subjects"] < together["n_images"]
    assert "one random image" in first["method"]
    assert "all images of a patient at once" in together["method"]
    sizes = [one(rows, metric="set_size", statistic="mean", item=item)["value"] for item in ("lac", "lac_all_images")]
    assert sizes[1] > sizes[0]
    single = rows_of(vendor_input(draw_table(300, seed=3)[list(NEEDED)], settings=FAST))
    assert "lac_all_images" not in set(single["item"])


NEEDED = ("subject", "image", "target", "value", "truth", "split")


def several_classes(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet([0.5, 0.8, 0.5], n)
    truth = (rng.random((n, 1)) > probability.cumsum(axis=1)).sum(axis=1).clip(max=2)
    rows = [
        {"subject": f"p{i}", "target": "chest", "item": name, "value": probability[i, k], "truth": int(truth[i] == k)}
        | {"split": ("calibration", "test", "test")[i % 3], "image": f"i{i}", "sex": "FM"[i % 2]}
        for i in range(n)
        for k, name in enumerate(("fibrosis", "normal", "pneumonia"))
    ]
    return pd.DataFrame(rows)


def test_several_classes_share_one_set() -> None:
    rows = rows_of(vendor_input(several_classes(900), settings=FAST))
    for item in ("lac", "aps", "raps"):
        found = one(rows, metric="coverage", item=item)
        assert found["target"] == "chest"
        assert 0.83 < found["value"] < 0.95
        shares = [one(rows, metric="set_size", statistic=f"share_{name}", item=item)["value"] for name in SHARES]
        assert sum(shares) == pytest.approx(1)
    by_class = rows[(rows["item"] == "lac_by_class") & (rows["metric"] == "coverage")]
    assert list(by_class["group"]) == ["truth=fibrosis", "truth=normal", "truth=pneumonia"]
    assert one(rows, statistic="test", group="sex")["verdict"] == "clear"


def test_several_labels_have_one_set_each() -> None:
    frame = pd.concat([binary(), binary(test=[0.95] * 10).assign(target="other")])
    rows = rows_of(vendor_input(frame, settings=FAST))
    assert one(rows, metric="coverage", item="lac", target="finding")["value"] == 0.8
    assert one(rows, metric="coverage", item="lac", target="other")["value"] == 1


def test_a_class_with_too_few_calibration_patients_says_how_many_are_needed() -> None:
    frame = binary(60)
    rare = frame.index[frame["split"] == "calibration"][:48]
    frame.loc[rare, ["truth", "value"]] = [0, 0.1]
    rows = rows_of(vendor_input(frame, settings=replace(FAST, minimum_n=3)))
    found = one(rows, metric="coverage", item="lac_by_class", group="truth=1")
    assert found["verdict"] == "not_possible"
    assert found["reason"] == "3 calibration patients, and 9 are needed: every answer stays possible"


def test_alpha_comes_from_the_settings() -> None:
    rows = rows_of(vendor_input(draw_table(900, seed=5)[list(NEEDED)], settings=replace(FAST, alpha=0.3)))
    found = one(rows, metric="coverage", item="lac")
    assert found["threshold"] == 0.7
    assert 0.6 < found["value"] < 0.8
    strict = rows_of(vendor_input(binary(), settings=replace(FAST, alpha=0.01)))
    assert "99 are needed" in one(strict, metric="coverage", item="lac", statistic="test")["reason"]


def test_an_image_gets_the_same_set_whoever_else_is_in_the_table() -> None:
    from fiducial.audit.conformal import _uniform

    alone, among = _uniform(np.array(["b"]), 0), _uniform(np.array(["a", "b", "c"]), 0)
    assert alone[0] == among[1]
    assert alone[0] != _uniform(np.array(["b"]), 1)[0]
    many = _uniform(np.array([f"i{k}" for k in range(4000)]), 0)
    assert abs(many.mean() - 0.5) < 0.02
    assert 0 <= many.min() < many.max() < 1


def cases(n: int, seed: int = 0, **shift: float) -> list[dict[str, Any]]:
    """Volumes, false-negative rates at five thresholds, and follow-up of n patients, a third for calibration."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        own = {"image": f"c{k:04d}", "split": ("calibration", "test", "test")[k % 3]}
        moved = shift if own["split"] == "test" else {}
        true = rng.gamma(4, 2)
        miss = rng.beta(2, 6)
        died, censored = rng.exponential(300) * moved.get("survival", 1), rng.uniform(100, 900)
        values = {"volume_ml_true": true, "volume_ml_predicted": max(0.0, true + rng.normal() * moved.get("volume", 1))}
        values |= {f"fnr@{t}": min(1.0, miss * 2 * t * moved.get("risk", 1)) for t in (0.1, 0.3, 0.5, 0.7, 0.9)}
        rows += [{**own, "target": "liver", "metric": name, "value": value} for name, value in values.items()]
        follow = {"survival_days_predicted": 300.0, "survival_days_observed": min(died, censored)}
        follow["survival_event"] = float(died <= censored)
        rows += [{**own, "target": "death", "metric": name, "value": value} for name, value in follow.items()]
    return rows


def test_cases_of_masks_and_follow_up_have_promises_too(make_input: MakeInput) -> None:
    rows = rows_of(make_input(cases=cases(600)))
    width = one(rows, metric="interval_width", item="interval")
    assert width["value"] == pytest.approx(2 * 1.645, rel=0.3)
    assert one(rows, metric="coverage", item="interval")["value"] == pytest.approx(0.9, abs=0.05)
    risk = one(rows, metric="false_negative_rate", item="mask_risk", statistic="mean")
    assert risk["value"] < 0.1
    assert "cut at 0.1" in risk["method"]
    bound = one(rows, metric="coverage", item="survival")
    assert bound["value"] == pytest.approx(0.9, abs=0.06)
    assert "censoring that depends on neither the patient nor the event" in bound["method"]
    verdicts = rows[rows["statistic"] == "test"]
    assert dict(zip(verdicts["item"], verdicts["verdict"], strict=True)) == dict.fromkeys(
        ("mask_risk", "interval", "survival"), "clear"
    )


@pytest.mark.parametrize(
    ("item", "shift"), [("interval", {"volume": 2}), ("mask_risk", {"risk": 6}), ("survival", {"survival": 0.1})]
)
def test_what_moved_between_the_parts_is_found(make_input: MakeInput, item: str, shift: dict[str, float]) -> None:
    rows = rows_of(make_input(cases=cases(600, seed=1, **shift)))
    verdicts = rows[rows["statistic"] == "test"].set_index("item")["verdict"]
    assert verdicts[item] == "finding"
    assert (verdicts.drop(item) == "clear").all()


def test_a_risk_that_rises_is_refused_in_words(make_input: MakeInput) -> None:
    given = cases(150)
    for row in given:
        if row["metric"] == "fnr@0.1":
            row["value"] = 0.99
    found = one(rows_of(make_input(cases=given)), item="mask_risk", statistic="test")
    assert found["verdict"] == "not_possible"
    assert "rises from setting 4 to 5" in found["reason"]


def test_what_cannot_be_done_says_why(make_input: MakeInput, clean_masks: AuditInput) -> None:
    none = vendor_input(binary().drop(columns="split"), settings=FAST)
    assert "no calibration part" in one(rows_of(none), statistic="test")["reason"]
    few = one(rows_of(vendor_input(binary(39), settings=FAST)), statistic="test")
    assert few["reason"] == "39 calibration patients: at least 40 are needed to halve them"
    small = one(rows_of(vendor_input(binary(test=[0.95] * 9), settings=FAST)), statistic="test", item="lac")
    assert small["reason"] == "n = 9 < 10"
    masks = rows_of(clean_masks)
    assert set(masks["item"]) == {"interval"}
    assert masks["reason"].str.contains("no calibration part").all()
    only_dice = make_input(cases=[{"image": "a", "metric": "dice", "value": 0.9}])
    assert "it needs scores, or cases with fnr@" in one(rows_of(only_dice), statistic="test")["reason"]


def test_an_attribute_that_cannot_divide_has_a_verdict_of_its_own() -> None:
    frame = draw_table(300, seed=6)[[*NEEDED, "sex"]]
    rows = rows_of(vendor_input(frame, settings=replace(FAST, attributes=("sex", "ward"))))
    found = one(rows, group="ward", statistic="test")
    assert (found["verdict"], found["reason"]) == ("not_possible", "the tables have no attribute 'ward'")
    assert one(rows, group="sex", statistic="test")["verdict"] == "clear"


@pytest.mark.slow
@pytest.mark.parametrize("n_images", [(1,), (1, 2, 3)])
def test_clean_tables_fire_no_more_often_than_said(n_images: tuple[int, ...]) -> None:
    """200 clean tables: at most 21 findings of the whole check, the 99.9 % bound of 5 %."""
    fired = 0
    for seed in range(200):
        frame = draw_table(500, seed=seed, n_images=n_images)
        rows = rows_of(vendor_input(frame, settings=replace(FAST, attributes=("sex", "site", "scanner"))))
        fired += (rows["verdict"] == "finding").any()
    assert fired <= 21
