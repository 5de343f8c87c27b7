"""Checks of label noise, agreement and duplicates: the planted thing is found and named, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, CheckResult, audit, vendor_input
from fiducial.audit.agreement import check_agreement
from fiducial.audit.duplicates import check_duplicates
from fiducial.audit.label_noise import LISTED, check_label_noise
from fiducial.audit.tables import prepared
from fiducial.phantom.tables import draw_table
from fiducial.records.tables import CASES, PREDICTIONS, table

FAST = AuditSettings(n_replicates=100)


def given(frame: pd.DataFrame, **said: Any) -> AuditInput:
    return prepared(vendor_input(frame, settings=FAST, **said))


def row(result: CheckResult, **wanted: Any) -> dict[str, Any]:
    found = [one for one in result.evidence if all(one[k] == v for k, v in wanted.items())]
    assert len(found) == 1, [(one["metric"], one["statistic"], one["item"]) for one in found]
    return found[0]


def test_flipped_truths_are_found_and_the_worst_is_named() -> None:
    clean, frame = draw_table(2000, seed=1), draw_table(2000, seed=1, defect="label_noise", size=0.05)
    found = check_label_noise(given(frame))
    rate = row(found, metric="noise_rate")
    assert rate["verdict"] == "finding"
    assert rate["low"] < 0.05 < rate["high"]
    flipped = set(frame.loc[(frame["truth"] != clean["truth"]), "image"])
    named = [one["reason"].split()[1].rstrip(":") for one in found.evidence if one["metric"] == "self_confidence"]
    assert len(named) == LISTED
    assert len(flipped & set(named)) > 0.6 * LISTED
    assert row(check_label_noise(given(clean)), metric="noise_rate")["verdict"] == "clear"


def test_a_score_that_is_too_sure_is_not_taken_for_noise() -> None:
    frame = draw_table(2000, seed=2, defect="stretched_scores", size=0.8)
    assert row(check_label_noise(given(frame)), metric="noise_rate")["verdict"] == "clear"


def test_noise_cannot_be_told_from_too_little(clean_masks: AuditInput) -> None:
    few = check_label_noise(given(draw_table(40, seed=0)))
    assert row(few, metric="noise_rate")["verdict"] == "not_possible"
    (none,) = check_label_noise(prepared(clean_masks)).evidence
    assert "no scores" in none["reason"]
    frame = draw_table(200, seed=0)
    perfect = check_label_noise(given(frame.assign(value=frame["truth"])))
    assert row(perfect, metric="noise_rate")["verdict"] == "not_possible"


def readings(make_input: Callable[..., AuditInput], said: dict[str, list[float]], truth: list[float]) -> AuditInput:
    """Raters' answers on one image each."""
    rows: list[dict[str, Any]] = [
        {"image": f"i{k:03d}", "value": 0.5 * t + 0.25, "truth": t} for k, t in enumerate(truth)
    ]
    for rater, answers in said.items():
        rows += [
            {"image": f"i{k:03d}", "value": answer, "truth": truth[k], "rater": rater}
            for k, answer in enumerate(answers)
            if not np.isnan(answer)
        ]
    return prepared(make_input(rows))


def rated(n: int, apart: dict[str, float], *, subjects: int = 0, seed: int = 0, **said: Any) -> AuditInput:
    """Cases of raters' masks without a model: the Dice of a pair falls by what each of the two is apart."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        own = {"subject": f"p{k % (subjects or n)}", "image": f"i{k}", "target": "tumour"}
        off = {name: abs(size + rng.normal(0, 0.005)) for name, size in apart.items()}
        for one, other in combinations(apart, 2):
            rows.append(
                {**own, "metric": "pairwise_dice", "rater": one, "item": other, "value": 1 - off[one] - off[other]}
            )
        rows += [{**own, "metric": "consensus_dice", "rater": name, "value": 1 - size} for name, size in off.items()]
    return prepared(AuditInput(table([], PREDICTIONS), table(rows, CASES), pd.DataFrame(), settings=FAST, **said))


def test_masks_of_raters_by_hand() -> None:
    """Dice 0.9 (A, B), 0.8 (A, C) and 0.7 (B, C) in every image; A is less apart than B, and B than C."""
    found = check_agreement(rated(40, {"A": 0.0, "B": 0.1, "C": 0.2}))
    assert row(found, metric="pairwise_dice", statistic="mean")["value"] == pytest.approx(0.8, abs=0.01)
    assert row(found, metric="pairwise_dice", item="A and C")["value"] == pytest.approx(0.8, abs=0.01)
    assert row(found, metric="consensus_dice", item="C")["value"] == pytest.approx(0.8, abs=0.01)
    excess = {name: row(found, metric="excess_disagreement", item=name)["value"] for name in "ABC"}
    assert excess["A"] == pytest.approx((0.1 + 0.2) / 2 - 0.3, abs=0.01)
    assert excess["C"] == pytest.approx((0.2 + 0.3) / 2 - 0.1, abs=0.01)


def test_a_rater_who_draws_otherwise_is_found() -> None:
    found = check_agreement(rated(30, {"A": 0.05, "B": 0.05, "C": 0.05, "D": 0.2}))
    verdict = row(found, metric="excess_disagreement", statistic="test")
    assert verdict["verdict"] == "finding"
    assert verdict["reason"].startswith("D disagrees with the others more than the others do among themselves")
    assert re.search(
        r"mean Dice with another rater 0\.7[45]\d, of the others among themselves 0\.(89|90)\d", verdict["reason"]
    )
    clean = check_agreement(rated(30, dict.fromkeys("ABCD", 0.05)))
    assert row(clean, metric="excess_disagreement", statistic="test")["verdict"] == "clear"


def test_raters_masks_are_not_the_model_s() -> None:
    """Rows that name a rater are no cases of the model, and their order makes no difference."""
    given = rated(30, dict.fromkeys("ABC", 0.05), subjects=15)
    assert not len(given.cases)
    assert given.rated is not None
    assert len(given.rated) == 30 * (3 + 3)
    assert row(check_agreement(given), metric="pairwise_dice", statistic="mean")["n_subjects"] == 15
    mixed = replace(given, rated=given.rated.sample(frac=1, random_state=1))
    assert check_agreement(mixed).evidence == check_agreement(given).evidence


def test_too_few_or_two_raters_of_masks() -> None:
    few = check_agreement(rated(9, dict.fromkeys("ABC", 0.05)))
    assert row(few, metric="pairwise_dice", statistic="mean")["reason"] == "n = 9 < 10"
    assert row(few, metric="excess_disagreement", statistic="test")["verdict"] == "not_possible"
    two = row(check_agreement(rated(30, dict.fromkeys("AB", 0.05))), metric="excess_disagreement", statistic="test")
    assert (two["verdict"], two["reason"]) == ("not_possible", "two raters: which of them is off cannot be told")


def test_a_rater_who_was_not_compared_is_named() -> None:
    frame = draw_table(300, seed=1, extra=("raters",))
    away = frame["rater"] == "reader A"
    frame.loc[away, "image"] = "other-" + frame.loc[away, "image"]
    verdict = row(check_agreement(given(frame)), metric="excess_disagreement", statistic="test")
    assert verdict["verdict"] == "clear"
    assert "beyond chance; not compared: reader A (n = 0 < 10" in verdict["reason"]


def test_images_that_could_not_be_compared_are_said() -> None:
    given = rated(30, dict.fromkeys("ABC", 0.05))
    assert given.rated is not None
    lost = given.rated.assign(value=given.rated["value"].where(given.rated["image"] != "i4"))
    found = row(check_agreement(replace(given, rated=lost)), metric="pairwise_dice", statistic="mean")
    assert found["reason"] == "1 image could not be compared, such as i4"
    assert found["n_images"] == 29


def test_raters_alone_are_audited_and_all_else_says_so() -> None:
    """Without any model there is no figure but of the raters, and no check fails."""
    evidence = audit(rated(30, {"A": 0.05, "B": 0.05, "C": 0.2})).evidence
    assert set(evidence.loc[evidence["verdict"] == "finding", "check"]) == {"agreement"}
    lacking = evidence[(evidence["check"] == "missingness")]["reason"].tolist()
    assert lacking == ["no model was audited: the tables hold raters only"]
    said = draw_table(300, seed=1, extra=("raters",))
    only = audit(vendor_input(said[said["rater"] != ""], settings=FAST)).evidence
    assert (only[only["check"] == "agreement"]["metric"] == "fleiss_kappa").any()


def test_agreement_by_hand(make_input: Callable[..., AuditInput]) -> None:
    """Twenty-five both positive, five and ten apart, ten both negative."""
    first = [1.0] * 30 + [0.0] * 20
    second = [1.0] * 25 + [0.0] * 5 + [1.0] * 10 + [0.0] * 10
    found = check_agreement(readings(make_input, {"A": first, "B": second}, first))
    assert row(found, metric="percent_agreement")["value"] == pytest.approx(35 / 50)
    expected = (30 * 35 + 20 * 15) / 2500
    assert row(found, metric="cohen_kappa")["value"] == pytest.approx((0.7 - expected) / (1 - expected))
    assert row(found, metric="sensitivity", item="B")["value"] == pytest.approx(25 / 30)
    assert row(found, metric="specificity", item="B")["value"] == pytest.approx(10 / 20)
    assert row(found, metric="sensitivity", item="A")["value"] == 1.0
    verdict = row(found, statistic="test")
    assert verdict["verdict"] == "not_possible"
    assert "two raters" in verdict["reason"]


def test_a_careless_rater_is_found_and_named() -> None:
    found = check_agreement(given(draw_table(600, seed=2, defect="careless_rater", size=0.2)))
    verdict = row(found, statistic="test")
    assert verdict["verdict"] == "finding"
    assert verdict["reason"].startswith("reader D disagrees")
    assert row(found, metric="excess_disagreement", item="reader D")["low"] > 0
    clean = check_agreement(given(draw_table(600, seed=2, extra=("raters",))))
    assert row(clean, statistic="test")["verdict"] == "clear"
    assert {point["series"] for point in clean.curves} == {"reader A", "reader B", "reader C", "reader D"}


def test_ordered_categories_get_a_weighted_kappa_and_no_sensitivity(make_input: Callable[..., AuditInput]) -> None:
    rng = np.random.default_rng(0)
    grade = rng.integers(1, 6, 80)
    said = {name: list(np.clip(grade + rng.integers(-1, 2, 80), 1, 5).astype(float)) for name in "ABC"}
    found = check_agreement(readings(make_input, said, [float(k % 2) for k in range(80)]))
    plain, weighted = (row(found, metric=name, item="A and B")["value"] for name in ("cohen_kappa", "weighted_kappa"))
    assert weighted > plain
    assert not [one for one in found.evidence if one["metric"] == "sensitivity"]


def test_readings_on_a_fine_scale_are_cut(make_input: Callable[..., AuditInput]) -> None:
    rng = np.random.default_rng(1)
    said = {name: list(rng.random(60)) for name in "ABC"}
    found = check_agreement(readings(make_input, said, [float(k % 2) for k in range(60)]))
    assert "0.5 or more counts as positive" in row(found, metric="fleiss_kappa")["method"]
    assert abs(row(found, metric="fleiss_kappa")["value"]) < 0.3


def test_raters_that_saw_few_images_are_named(make_input: Callable[..., AuditInput]) -> None:
    truth = [float(k % 2) for k in range(60)]
    some = [t if k < 6 else np.nan for k, t in enumerate(truth)]
    found = check_agreement(readings(make_input, {"A": truth, "B": truth, "C": truth, "D": some}, truth))
    few = row(found, metric="excess_disagreement", item="D")
    assert few["reason"].startswith("n = 6 < 10")
    assert row(found, statistic="test")["verdict"] == "clear"


def test_no_raters_give_no_row(clean: AuditInput) -> None:
    assert check_agreement(prepared(clean)).evidence == []


def test_many_raters_have_no_pairs(make_input: Callable[..., AuditInput]) -> None:
    truth = [float(k % 2) for k in range(40)]
    found = check_agreement(readings(make_input, {f"r{k}": truth for k in range(8)}, truth))
    assert not [one for one in found.evidence if one["statistic"] == "pair"]
    assert row(found, metric="fleiss_kappa")["value"] == pytest.approx(1)


@pytest.mark.parametrize("size", [0.005, 0.02])
def test_repeated_rows_are_found_and_named(size: float) -> None:
    frame = draw_table(800, seed=3, defect="repeated_rows", size=size)
    (found,) = check_duplicates(given(frame)).evidence
    assert found["verdict"] == "finding"
    assert found["value"] == frame["subject"].str.startswith("Q").sum()
    assert "Q00000-1" in found["reason"]
    assert check_duplicates(given(draw_table(800, seed=3))).evidence[0]["verdict"] == "clear"


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("known", [["sex"], []])
def test_many_copies_do_not_hide_each_other(share: float, known: list[str]) -> None:
    frame = draw_table(400, seed=2)[["subject", "image", "target", "value", "truth", *known]]
    copies = frame.head(round(share * len(frame)))
    copies = copies.assign(subject="X" + copies["subject"], image="X" + copies["image"])
    (found,) = check_duplicates(prepared(vendor_input(pd.concat([frame, copies]), settings=FAST))).evidence
    assert found["verdict"] == "finding"
    assert found["value"] == len(copies)


def test_leaves_of_a_tree_are_no_copies() -> None:
    """Scores with all digits, but of 150 kinds only: six images and more to each."""
    frame = draw_table(1000, seed=2)[["subject", "image", "target", "value", "truth"]]
    edges = np.quantile(frame["value"], np.linspace(0, 1, 151))
    leaf = np.clip(np.searchsorted(edges, frame["value"]) - 1, 0, 149)
    frame["value"] = np.random.default_rng(0).permutation(np.sort(np.random.default_rng(1).random(150)))[leaf]
    (found,) = check_duplicates(prepared(vendor_input(frame, settings=FAST))).evidence
    assert found["verdict"] != "finding"


def test_habits_of_a_scale_are_no_copies() -> None:
    """Sums of two readers' scores of 0 to 201, with an attribute that many share: equal ones are no finding."""
    frame = draw_table(900, seed=9)[["subject", "image", "target", "value", "truth", "sex"]]
    halves = np.round(frame["value"] * 402) / 402
    (found,) = check_duplicates(given(frame.assign(value=halves))).evidence
    assert found["verdict"] == "not_possible"


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_scores_are_alike_by_chance(digits: int) -> None:
    frame = draw_table(800, seed=4)
    (found,) = check_duplicates(given(frame.assign(value=frame["value"].round(digits)))).evidence
    assert found["verdict"] == "clear"


def test_copies_among_rounded_scores_are_told_by_who_the_patients_are() -> None:
    frame = draw_table(800, seed=5, defect="repeated_rows", size=0.05)
    (found,) = check_duplicates(given(frame.assign(value=frame["value"].round(2)))).evidence
    assert found["verdict"] == "finding"


def test_coarse_scores_without_attributes_say_nothing() -> None:
    frame = draw_table(800, seed=5)[["subject", "image", "target", "value", "truth"]]
    (found,) = check_duplicates(given(frame.assign(value=frame["value"].round(1)))).evidence
    assert found["verdict"] == "not_possible"
    assert "take 11 values only" in found["reason"]


def test_a_default_value_is_no_copy() -> None:
    frame = draw_table(600, seed=6, defect="default_value", size=0.3)
    (found,) = check_duplicates(given(frame)).evidence
    assert found["verdict"] == "clear"
    assert "0.5" in found["reason"]


def test_copies_in_two_parts_are_said() -> None:
    frame = draw_table(400, seed=7)
    calibration, test = (frame[frame["split"] == part].head(5) for part in ("calibration", "test"))
    del test
    copied = calibration.assign(
        subject=["Q1", "Q2", "Q3", "Q4", "Q5"], image=["q1", "q2", "q3", "q4", "q5"], split="test"
    )
    (found,) = check_duplicates(given(pd.concat([frame, copied]))).evidence
    assert found["verdict"] == "finding"
    assert "5 of them in two parts" in found["reason"]


def test_equal_embeddings_and_equal_mask_figures(clean_masks: AuditInput) -> None:
    frame = draw_table(300, seed=8, defect="repeated_rows", size=0.02, extra=("embeddings",))
    found = {one["metric"]: one for one in check_duplicates(given(frame)).evidence}
    assert found["n_repeated_embeddings"]["verdict"] == "finding"
    masks = prepared(clean_masks)
    assert check_duplicates(masks).evidence[0]["verdict"] == "clear"
    again = masks.cases[masks.cases["image"] == "p00l"].assign(image="copy", subject="copy")
    attributes = pd.DataFrame([{"image": "copy", "subject": "copy", "split": "test"}])
    both = replace(masks, cases=pd.concat([masks.cases, again]), attributes=pd.concat([masks.attributes, attributes]))
    (repeated,) = check_duplicates(prepared(both)).evidence
    assert repeated["verdict"] == "finding"
    assert "copy and p00l" in repeated["reason"]
