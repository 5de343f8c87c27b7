"""Out of distribution and predicted quality: what is planted is found, and what is absent is said or left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, audit, vendor_input
from fiducial.audit.out_of_distribution import check_out_of_distribution
from fiducial.audit.predicted_quality import check_predicted_quality
from fiducial.audit.tables import prepared
from fiducial.errors import TableError
from fiducial.phantom.tables import draw_cases, draw_table
from fiducial.records.tables import CASES, CURVES, EVIDENCE, PREDICTIONS, table, validated

Make = Callable[..., AuditInput]
FAST = AuditSettings(n_replicates=200)


def shown(n: int = 600, *, seed: int = 0, size: float = 0.0, **said: Any) -> AuditInput:
    frame = draw_table(n, seed=seed, defect="foreign_images", size=size, **said).drop(columns=["month", "age"])
    return prepared(vendor_input(frame, settings=FAST))


def evidence(check: Callable[[AuditInput], Any], given: AuditInput) -> pd.DataFrame:
    return table(check(given).evidence, EVIDENCE)


def areas(rows: pd.DataFrame) -> pd.Series:
    return rows[(rows["group"] == "all") & (rows["statistic"] == "value")].set_index("item")["value"]


def verdict(rows: pd.DataFrame) -> str:
    return str(rows[rows["statistic"] == "test"]["verdict"].item())


def masks(*, size: float = 0.0, n: int = 150, seed: int = 0) -> AuditInput:
    cases, predictions, attributes = draw_cases(n, seed=seed, defect="flattering_quality", size=size)
    return AuditInput(validated(predictions, PREDICTIONS), validated(cases, CASES), attributes, settings=FAST)


# Out of distribution.


def test_alike_parts_are_clear_and_all_areas_are_near_one_half() -> None:
    rows = evidence(check_out_of_distribution, shown())
    assert verdict(rows) == "clear"
    found = areas(rows)
    assert list(found.index) == ["mahalanobis", "knn", "discriminant", "energy"]
    assert found.between(0.42, 0.58).all()


def test_a_shift_along_one_direction_is_found_and_best_by_the_discriminant() -> None:
    rows = evidence(check_out_of_distribution, shown(size=1.0))
    found = areas(rows)
    assert verdict(rows) == "finding"
    assert found["discriminant"] > 0.65 > found["mahalanobis"]
    assert "by discriminant" in rows[rows["statistic"] == "test"]["reason"].item()
    strong = areas(evidence(check_out_of_distribution, shown(size=3.0)))
    assert (strong[["mahalanobis", "knn", "discriminant"]] > 0.75).all()
    assert strong["energy"] == found["energy"]


def test_a_foreign_site_is_named_and_its_images_head_the_list() -> None:
    given = shown()
    embeddings = given.embeddings
    assert embeddings is not None
    site = embeddings["image"].map(given.attributes.set_index("image")["site"])
    moved = embeddings.assign(value=embeddings["value"] + 2.0 * ((site == "C") & (embeddings["split"] == "test")))
    result = check_out_of_distribution(replace(given, embeddings=moved))
    rows = table(result.evidence, EVIDENCE)
    assert verdict(rows) == "finding"
    assert "most of all site=C" in rows[rows["statistic"] == "test"]["reason"].item()
    groups = rows[rows["group"].str.startswith("site=")].set_index("group")
    assert groups["value"].idxmax() == "site=C"
    curves = table(result.curves, CURVES)
    foreign = curves[curves["metric"] == "most_foreign"]["series"]
    assert (given.attributes.set_index("image").loc[foreign, "site"] == "C").all()
    shares = curves[curves["metric"] == "ood_score"].groupby("series")["y"].sum()
    assert shares.to_numpy() == pytest.approx([1, 1])


def test_a_patients_images_stay_on_one_side() -> None:
    """Each patient's images are copies: were they on both sides, half the comparison would be at distance 0."""
    given = shown(300, n_images=(2,))
    embeddings = given.embeddings
    assert embeddings is not None
    first = embeddings.groupby(["subject", "item"])["value"].transform("first")
    rows = evidence(check_out_of_distribution, replace(given, embeddings=embeddings.assign(value=first)))
    assert verdict(rows) == "clear"
    assert areas(rows)["knn"] == pytest.approx(0.5, abs=0.1)


def test_without_embeddings_there_is_energy_and_without_calibration_nothing(clean: AuditInput) -> None:
    given = prepared(clean)
    rows = evidence(check_out_of_distribution, given)
    assert list(areas(rows).index) == ["energy"]
    lower = given.predictions
    quiet = lower.assign(value=lower["value"].where(lower["split"] != "test", lower["value"] * 0.3))
    assert verdict(evidence(check_out_of_distribution, replace(given, predictions=quiet))) == "finding"
    alone = given.predictions[given.predictions["split"] == "test"]
    assert check_out_of_distribution(replace(given, predictions=alone)).evidence == []


def test_what_embeddings_lack_is_said() -> None:
    given = shown(600)
    embeddings = given.embeddings
    assert embeddings is not None
    only = replace(given, embeddings=embeddings[embeddings["split"] == "test"])
    said = evidence(check_out_of_distribution, only)
    assert "of the calibration part" in said[said["verdict"] == "not_possible"]["reason"].item()
    few = embeddings[
        (embeddings["split"] == "test") | embeddings["subject"].isin(sorted(set(embeddings["subject"]))[:30])
    ]
    said = evidence(check_out_of_distribution, replace(given, embeddings=few))
    assert (
        "< 40 patients with embeddings in the calibration part"
        in said[said["verdict"] == "not_possible"]["reason"].item()
    )
    train = embeddings.assign(split=embeddings["split"].replace("calibration", "train"))
    said = evidence(check_out_of_distribution, replace(given, embeddings=train))
    assert "a model knows better" in said[said["item"] == "knn"]["method"].iloc[0]
    hole = embeddings.drop(index=embeddings.index[:1])
    said = evidence(check_out_of_distribution, replace(given, embeddings=hole))
    assert "1 images without every coordinate" in said[said["item"] == "knn"]["method"].iloc[0]


# Predicted quality.


def test_bias_error_and_correlation_of_four_masks(make_input: Make) -> None:
    """Predicted less real: 0.1, -0.1, 0.1, 0.1."""
    real, said = [0.5, 0.7, 0.8, 0.9], [0.6, 0.6, 0.9, 1.0]
    cases = [{"image": f"i{k}", "metric": "dice", "value": v} for k, v in enumerate(real)]
    predicted = [
        {"image": f"i{k}", "target": "liver", "item": "predicted_dice", "value": v} for k, v in enumerate(said)
    ]
    given = prepared(make_input(predicted, cases, settings=AuditSettings(n_replicates=200, minimum_n=4)))
    rows = evidence(check_predicted_quality, given)
    found = rows[rows["statistic"] != "test"].set_index(["metric", "item"])["value"]
    assert found["bias", ""] == pytest.approx(0.05)
    assert found["mae", ""] == pytest.approx(0.1)
    assert found["correlation", "pearson"] == pytest.approx(np.corrcoef(real, said)[0, 1])
    assert found["correlation", "spearman"] == pytest.approx(0.948683, abs=1e-6)
    assert verdict(rows) == "clear"


@pytest.mark.parametrize(("size", "expected"), [(0.0, "clear"), (0.05, "finding")])
def test_flattery_is_found(size: float, expected: str) -> None:
    rows = evidence(check_predicted_quality, prepared(masks(size=size)))
    assert verdict(rows) == expected
    bias = rows[(rows["metric"] == "bias") & (rows["statistic"] == "mean")].iloc[0]
    assert bias["low"] < size < bias["high"]


def test_modesty_is_said_but_is_no_finding() -> None:
    given = prepared(masks())
    lower = given.predictions.assign(value=given.predictions["value"] - 0.05)
    rows = evidence(check_predicted_quality, replace(given, predictions=lower))
    assert verdict(rows) == "clear"
    assert "too low, which errs on the safe side" in rows[rows["statistic"] == "test"]["reason"].item()


def test_a_predicted_dice_is_no_finding_of_any_other_check() -> None:
    rows = audit(masks()).evidence
    told = set(rows[rows["item"] == "predicted_dice"]["check"])
    assert told == set()
    assert "auc" not in set(rows["metric"])
    assert "n_missing" not in set(rows[rows["check"] == "missingness"]["metric"])
    frame = draw_table(200, seed=0).drop(columns=["month", "age"])
    both = pd.concat(
        [
            frame.assign(item="", kind="score"),
            frame.assign(item="predicted_dice", kind="score", target="lesion", value=0.8, truth=np.nan),
        ]
    )
    alone, with_quality = (audit(vendor_input(one, settings=FAST)).evidence for one in (frame, both))
    kept = ["check", "metric", "statistic", "target", "item", "group", "split", "value", "low", "high", "verdict"]
    assert with_quality["check"].tolist().count("predicted_quality") == 1  # no real Dice to compare with
    with_quality = with_quality[with_quality["check"] != "predicted_quality"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone[kept], with_quality[kept])


def test_few_none_and_impossible_values(make_input: Make) -> None:
    given = prepared(masks(n=12))
    rows = evidence(check_predicted_quality, given)
    assert rows["reason"].item() == "n = 8 < 10 patients with a predicted and a real Dice"
    assert check_predicted_quality(replace(given, predictions=given.predictions.iloc[:0])).evidence == []
    wrong = masks()
    with pytest.raises(TableError, match="value 2"):
        audit(replace(wrong, predictions=wrong.predictions.assign(value=2.0)))
