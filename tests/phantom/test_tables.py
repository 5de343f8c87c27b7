"""Phantom tables: what is planted is there, nothing else is, and what is said to be true of them is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from scipy.stats import norm

from fiducial.errors import InputRefused
from fiducial.maths.calibration import calibration_slope_intercept
from fiducial.maths.classification import auc as area
from fiducial.phantom.defects import DEFECTS
from fiducial.phantom.table_truth import truth_of
from fiducial.phantom.tables import (
    CARELESS,
    N_COORDINATES,
    RATERS,
    WEAK_SCANNER,
    draw_cases,
    draw_pair,
    draw_table,
    mean_dice,
)
from fiducial.records.tables import CASES, PREDICTIONS, validated

LARGE = 60_000
"""Standard errors of an AUC of 0.9 are then 0.0013, of a calibration slope 0.009."""
ON_MASKS = ("weak_group_masks", "flattering_quality")
ON_TABLES = [name for name in DEFECTS if name not in ON_MASKS]
COLUMNS = ["subject", "image", "target", "value", "truth", "split", "sex", "age", "site", "scanner", "month"]
ROWS_ADDED = {
    "marker_shortcut": ("embeddings", "marker"),
    "foreign_images": ("embeddings",),
    "careless_rater": ("raters",),
}


def auc_of(frame: pd.DataFrame) -> float:
    return float(area(frame["truth"], frame["value"]))


def scores_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The model's own rows."""
    keep = np.ones(len(frame), dtype=bool)
    for name, own in (("kind", "score"), ("rater", ""), ("condition", "clean")):
        if name in frame.columns:
            keep &= (frame[name] == own).to_numpy()
    return frame[keep].reset_index(drop=True)


def test_the_columns_and_one_row_per_image() -> None:
    frame = draw_table(50, seed=3, n_images=(1, 2, 3))
    assert list(frame.columns) == COLUMNS
    assert frame["subject"].nunique() == 50
    assert not frame["image"].duplicated().any()
    assert set(frame.groupby("subject").size()) == {1, 2, 3}
    assert (frame.groupby("subject")[["truth", "split", "sex", "site", "scanner", "month"]].nunique() == 1).all(
        axis=None
    )
    assert frame["truth"].isin([0.0, 1.0]).all()
    validated(frame, PREDICTIONS)


def test_every_scanner_stands_at_three_of_six_sites_and_every_site_has_two() -> None:
    frame = draw_table(3000, seed=0)
    pairs = frame[["site", "scanner"]].drop_duplicates()
    assert (pairs.groupby("scanner").size() == 3).all()
    assert (pairs.groupby("site").size() == 2).all()
    assert (len(pairs.groupby("scanner")), len(pairs.groupby("site"))) == (4, 6)


def test_one_patient_in_three_calibrates() -> None:
    assert (draw_table(600, seed=1)["split"] == "calibration").sum() == 200


@pytest.mark.parametrize("n_images", [(1,), (1, 5)])
def test_clean_values_are_probabilities_that_come_true(n_images: tuple[int, ...]) -> None:
    frame = draw_table(LARGE, seed=11, n_images=n_images)
    assert auc_of(frame) == pytest.approx(0.9, abs=0.006)
    assert frame["truth"].mean() == pytest.approx(0.25, abs=0.008)
    fit = calibration_slope_intercept(frame["truth"], frame["value"], subject=frame["subject"])
    assert fit.slope.value == pytest.approx(1, abs=0.03)
    assert fit.in_the_large.value == pytest.approx(0, abs=0.05)
    tenth = pd.qcut(frame["value"], 10)
    off = frame.groupby(tenth, observed=True)[["value", "truth"]].mean()
    assert np.abs(off["value"] - off["truth"]).max() < 0.02


def test_the_value_is_the_logistic_of_the_known_log_odds() -> None:
    """log-odds = logit(prevalence) + mu s - mu^2 / 2, and s is N(0, 1) or N(mu, 1): mean and deviation by hand."""
    frame = draw_table(LARGE, seed=2, auc=0.8, prevalence=0.5)
    mu = np.sqrt(2) * norm.ppf(0.8)
    odds = logit(frame["value"])
    for truth, mean in ((0, -(mu**2) / 2), (1, mu**2 / 2)):
        own = odds[frame["truth"] == truth]
        assert own.mean() == pytest.approx(mean, abs=0.03)
        assert own.std() == pytest.approx(mu, abs=0.03)


def test_attributes_are_independent_of_each_other_and_of_the_truth() -> None:
    frame = draw_table(LARGE, seed=5)
    for name in ("sex", "site", "scanner", "month", "split"):
        rates = frame.groupby(name)["truth"].mean()
        assert np.abs(rates - 0.25).max() < 0.04, name
    share = frame.groupby("site")["sex"].apply(lambda sex: (sex == "F").mean())
    assert np.abs(share - 0.5).max() < 0.03


def test_images_of_one_patient_are_alike() -> None:
    frame = draw_table(20_000, seed=7, n_images=(2,)).assign(odds=lambda rows: logit(rows["value"]))
    healthy = frame[frame["truth"] == 0]
    pairs = healthy["odds"].to_numpy().reshape(-1, 2)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.6, abs=0.03)


# Laws over all defects


@pytest.mark.parametrize("defect", ON_TABLES)
def test_size_0_is_the_clean_table(defect: str) -> None:
    clean = draw_table(400, seed=9, extra=ROWS_ADDED.get(defect, ()))
    planted = draw_table(400, seed=9, defect=defect, size=0.0)
    if defect == "levelling_down":  # starts from a model that is worse for one sex
        planted = planted[planted["condition"] == "clean"].drop(columns="condition").reset_index(drop=True)
        lower = (planted["sex"] == "F") & (planted["truth"] == 1)
        pd.testing.assert_frame_equal(planted[~lower], clean[~lower])
        assert (planted.loc[lower, "value"] < clean.loc[lower, "value"]).all()
    else:
        pd.testing.assert_frame_equal(planted, clean)


@pytest.mark.parametrize("defect", ON_TABLES)
def test_same_seed_same_table_and_another_seed_another(defect: str) -> None:
    size = DEFECTS[defect].sizes[2]
    first, again, other = (draw_table(60, seed=s, defect=defect, size=size) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first["value"].to_numpy()[:60], other["value"].to_numpy()[:60])


WHERE: dict[str, tuple[str, Callable[[pd.DataFrame], pd.Series]]] = {
    "stretched_scores": ("value", lambda rows: rows["value"] == rows["value"]),
    "shifted_scores": ("value", lambda rows: rows["value"] == rows["value"]),
    "group_miscalibration": ("value", lambda rows: rows["sex"] == "F"),
    "missed_group": ("value", lambda rows: (rows["sex"] == "F") & (rows["truth"] == 1)),
    "weak_group": ("value", lambda rows: (rows["scanner"] == WEAK_SCANNER) & (rows["truth"] == 1)),
    "weak_intersection": ("value", lambda rows: (rows["sex"] == "F") & (rows["site"] == "C") & (rows["truth"] == 1)),
    "marker_shortcut": ("value", lambda rows: rows["marker"] == "yes"),
    "test_shift": ("value", lambda rows: rows["split"] == "test"),
    "not_exchangeable": ("truth", lambda rows: rows["split"] == "test"),
    "idle_confidence": ("value", lambda rows: rows["value"] == rows["value"]),
    "label_noise": ("truth", lambda rows: rows["truth"] == rows["truth"]),
    "drift": ("value", lambda rows: (rows["truth"] == 1) & (rows["month"] > "2023-01")),
    "weak_site": ("value", lambda rows: (rows["site"] == "C") & (rows["truth"] == 1)),
    "harmful_decisions": ("value", lambda rows: rows["value"] == rows["value"]),
    "events_missing": ("value", lambda rows: rows["truth"] == 1),
    "default_value": ("value", lambda rows: rows["value"] == rows["value"]),
}


@pytest.mark.parametrize("defect", WHERE)
def test_a_defect_changes_only_what_it_says(defect: str) -> None:
    """One column, and only in the group that is named; of shares, about that share of it."""
    size = DEFECTS[defect].sizes[3]
    clean = draw_table(6000, seed=3, extra=ROWS_ADDED.get(defect, ()))
    planted = draw_table(6000, seed=3, defect=defect, size=size)
    column, named = WHERE[defect]
    pd.testing.assert_frame_equal(planted.drop(columns=[column]), clean.drop(columns=[column]))
    if "kind" in clean.columns:
        others = clean["kind"] != "score"
        pd.testing.assert_frame_equal(planted[others], clean[others])
        clean, planted = clean[~others], planted[~others]
    changed = ~(planted[column].eq(clean[column]) | (planted[column].isna() & clean[column].isna()))
    inside = named(clean)
    assert not changed[~inside].any()
    if "share" not in DEFECTS[defect].unit:
        assert changed[inside].all()
    else:
        expected = size / 2 if defect == "not_exchangeable" else size
        assert changed[inside].mean() == pytest.approx(expected, abs=0.04)


def test_foreign_images_move_the_test_part_along_one_direction() -> None:
    clean = draw_table(300, seed=4, extra=("embeddings",))
    planted = draw_table(300, seed=4, defect="foreign_images", size=2.0)
    pd.testing.assert_frame_equal(planted.drop(columns="value"), clean.drop(columns="value"))
    moved = (planted["value"] - clean["value"])[clean["kind"] == "embedding"].to_numpy().reshape(-1, N_COORDINATES)
    test = (clean["split"][:300] == "test").to_numpy()
    assert np.abs(moved[~test]).max() == 0
    assert np.linalg.norm(moved[test], axis=1) == pytest.approx(2.0)
    assert np.ptp(moved[test], axis=0) == pytest.approx(0, abs=1e-12)


def test_embeddings_show_the_marker() -> None:
    frame = draw_table(4000, seed=4, defect="marker_shortcut", size=0.0)
    points = frame[frame["kind"] == "embedding"]["value"].to_numpy().reshape(-1, N_COORDINATES)
    yes = (scores_of(frame)["marker"] == "yes").to_numpy()
    truth = scores_of(frame)["truth"].to_numpy() == 1
    assert (yes[truth].mean(), yes[~truth].mean()) == pytest.approx((0.6, 0.2), abs=0.05)
    for same in (truth, ~truth):
        apart = points[same & yes].mean(axis=0) - points[same & ~yes].mean(axis=0)
        assert np.linalg.norm(apart) == pytest.approx(2, abs=0.25)


def test_the_careless_rater_and_nobody_else() -> None:
    clean = draw_table(3000, seed=6, extra=("raters",))
    planted = draw_table(3000, seed=6, defect="careless_rater", size=0.3)
    differ = planted["value"] != clean["value"]
    assert set(planted.loc[differ, "rater"]) == {CARELESS}
    wrong = (planted["value"] != planted["truth"]).groupby(planted["rater"]).mean()
    for name in RATERS:
        assert 1 - wrong[name] == pytest.approx(truth_of("careless_rater", 0.3)["accuracy", f"rater={name}"], abs=0.02)


def test_repeated_rows_bear_new_names_and_all_else_is_equal() -> None:
    clean = draw_table(2000, seed=8, extra=("embeddings",))
    planted = draw_table(2000, seed=8, defect="repeated_rows", size=0.05, extra=("embeddings",))
    pd.testing.assert_frame_equal(planted[: len(clean)], clean)
    again = scores_of(planted[len(clean) :])
    assert len(again) / 2000 == pytest.approx(0.05, abs=0.02)
    assert not set(again["image"]) & set(clean["image"])
    assert not set(again["subject"]) & set(clean["subject"])
    others = [name for name in COLUMNS if name not in ("subject", "image")]
    assert len(again[others].merge(scores_of(clean)[others].drop_duplicates())) == len(again)
    assert len(planted) - len(clean) == len(again) * (1 + N_COORDINATES)
    validated(planted, PREDICTIONS)


def test_a_pair_is_one_set_of_patients_and_two_models() -> None:
    before, after = draw_pair(20_000, seed=1, size=0.8)
    pd.testing.assert_frame_equal(before.drop(columns="value"), after.drop(columns="value"))
    truth = truth_of("levelling_down", 0.8)
    for sex in "FM":
        assert auc_of(before[before["sex"] == sex]) == pytest.approx(truth["auc", f"sex={sex}"], abs=0.012)
        assert auc_of(after[after["sex"] == sex]) == pytest.approx(truth["auc_after", f"sex={sex}"], abs=0.012)
    _, honest = draw_pair(20_000, seed=1, raised=0.8)
    assert auc_of(honest[honest["sex"] == "F"]) == pytest.approx(0.9, abs=0.01)
    both = draw_table(20_000, seed=1, defect="levelling_down", size=0.8)
    pd.testing.assert_frame_equal(
        both[both["condition"] == "mitigated"].drop(columns="condition").reset_index(drop=True), after
    )


# What is said to be true is true of a large table


def group_of(frame: pd.DataFrame, group: str, planted: str) -> pd.DataFrame:
    if group == "all":
        return frame
    if group == "others":
        return frame.drop(index=group_of(frame, planted, "").index)
    if group.startswith("month="):
        month = frame["month"].min() if group == "month=first" else frame["month"].max()
        return frame[frame["month"] == month]
    for part in group.split("&"):
        name, _, value = part.partition("=")
        frame = frame[frame[name] == value]
    return frame


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("defect", [name for name in ON_TABLES if name not in ("levelling_down", "careless_rater")])
def test_truth_of_a_large_table(defect: str, place: int) -> None:
    size = DEFECTS[defect].sizes[place]
    frame = scores_of(draw_table(40_000, seed=21, defect=defect, size=size, months=2))
    truth = truth_of(defect, size)
    planted = next((group for _, group in truth if group not in ("all", "others")), "all")
    for (metric, group), value in truth.items():
        own = group_of(frame, group, planted) if group != "best" else frame
        if metric == "auc":
            assert auc_of(own.dropna()) == pytest.approx(value, abs=0.025 if "&" in group else 0.012), group
        elif metric.startswith("calibration"):
            fit = calibration_slope_intercept(own["truth"], own["value"])
            found = fit.slope if metric == "calibration_slope" else fit.in_the_large
            assert found.value == pytest.approx(value, abs=0.05)
        elif metric == "prevalence":
            assert own["truth"].mean() == pytest.approx(value, abs=0.01)
        elif metric == "missing_prediction":
            assert own["value"].isna().mean() == pytest.approx(value, abs=0.005)
        elif metric == "repeated":
            assert len(own) / 40_000 - 1 == pytest.approx(value, abs=0.005)
        elif metric == "default":
            assert (own["value"] == 0.5).mean() == pytest.approx(value, abs=0.01)
        elif metric == "error_auroc":
            wrong = (own["value"] >= 0.5) != (own["truth"] == 1)
            assert area(~wrong, np.abs(logit(own["value"]))) == pytest.approx(value, abs=0.015)
        else:
            assert metric in ("label_noise", "missed", "ood_auroc")


def test_every_defect_has_a_truth() -> None:
    for name, planted in DEFECTS.items():
        if name != "idle_confidence":
            assert truth_of(name, planted.sizes[0]), name
    assert truth_of()["auc", "all"] == 0.9


# Masks


@pytest.mark.parametrize("defect", ON_MASKS)
def test_cases_at_size_0_are_clean_and_truth_holds(defect: str) -> None:
    for one, other in zip(draw_cases(300, seed=2), draw_cases(300, seed=2, defect=defect, size=0.0), strict=True):
        pd.testing.assert_frame_equal(one, other)
    cases, predictions, attributes = draw_cases(40_000, seed=2, defect=defect, size=0.1)
    validated(cases, CASES)
    validated(predictions, PREDICTIONS)
    frame = cases.merge(attributes.drop(columns=["subject", "split"]), on="image").assign(said=predictions["value"])
    assert frame["value"].between(0, 1).all()
    assert frame["said"].between(0, 1).all()
    for (metric, group), value in truth_of(defect, 0.1).items():
        own = group_of(frame, group, "site=C")
        found = own["value"].mean() if metric == "dice" else (own["said"] - own["value"]).mean()
        assert found == pytest.approx(value, abs=0.003), (metric, group)


def test_clean_dice_and_its_prediction() -> None:
    cases, predictions, _ = draw_cases(20_000, seed=1, n_images=(1, 2))
    assert cases["value"].mean() == pytest.approx(mean_dice(), abs=0.003)
    off = predictions["value"] - cases["value"]
    assert off.mean() == pytest.approx(0, abs=0.001)
    assert np.abs(off).max() <= 0.04
    assert predictions["truth"].isna().all()


# What is refused


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"n_subjects": 1}, "2 or more patients"),
        ({"auc": 0.5}, "auc in"),
        ({"prevalence": 0.0}, "prevalence in"),
        ({"n_images": ()}, "n_images"),
        ({"months": 0}, "months"),
        ({"defect": "nothing"}, "defect 'nothing'"),
        ({"defect": "weak_group_masks", "size": 0.1}, "weak_group_masks"),
        ({"size": 0.1}, "size 0.1"),
        ({"defect": "label_noise", "size": 1.5}, "0 to 1"),
        ({"defect": "drift", "size": -1.0}, "0 or more"),
    ],
)
def test_illegal_numbers_are_refused(said: dict[str, object], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        draw_table(**{"n_subjects": 100, "seed": 0, **said})  # type: ignore[arg-type]


def test_unknown_defects_have_no_truth_and_masks_have_their_own() -> None:
    with pytest.raises(InputRefused, match="'bad'"):
        truth_of("bad")
    with pytest.raises(InputRefused, match="weak_group_masks, flattering_quality"):
        draw_cases(100, seed=0, defect="drift", size=0.3)
