"""Outliers, shortcuts, copies and the site table on cohorts whose defects were planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.cohort.copies import find_copies
from fiducial.cohort.features import FEATURES, compared, feature_table, words_of
from fiducial.cohort.outliers import find_outliers, not_compared, threshold_of
from fiducial.cohort.shortcuts import acquisition_columns, probe_shortcuts, tellable
from fiducial.cohort.site_table import site_table
from fiducial.maths.duplicates import thumbnail
from fiducial.records.tables import COHORT, table

Look = Callable[[int, np.random.Generator], dict[str, Any]]


def look(i: int, rng: np.random.Generator, **quality: float) -> dict[str, Any]:
    """The fingerprint of an ordinary CT: noise about 15 HU, blur about 1.5 mm."""
    level = float(rng.normal(-200, 15))
    return {
        "size": [128, 128, 40],
        "spacing_mm": [0.8, 0.8, 2.0],
        "channels": 1,
        "min": -1024.0,
        "p01": -1010 + float(rng.normal(0, 3)),
        "p50": level,
        "p99": 300 + float(rng.normal(0, 10)),
        "max": 900.0,
        "mean": level,
        "std": float(400 * np.exp(rng.normal(0, 0.05))),
        "quality": {
            "noise": float(15 * np.exp(rng.normal(0, 0.1))),
            "fwhm_mm": float(1.5 * np.exp(rng.normal(0, 0.1))),
            "slice_jump": float(np.exp(rng.normal(0, 0.1))),
            "cut": float(rng.beta(2, 8)),
            "constant": 0.0,
            **quality,
        },
    }


def cohort(n: int = 90, *, seed: int = 0, sites: str = "ABC", per: int = 1, make: Look = look, **columns: Any) -> Any:
    """n people, ``per`` images each, sites at random; ``columns`` are values or functions of (person, site)."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        site = str(rng.choice(list(sites)))
        extra = {key: value(i, site) if callable(value) else value for key, value in columns.items()}
        for k in range(per):
            voxels = rng.normal(size=(1, 16, 16, 1))
            row = {"subject": f"p{i:03}", "image": f"p{i:03}-{k}", "role": "image", "modality": "CT", "unit": "HU"}
            row |= {"site": site, "sha256": f"{i}-{k}", "signature": thumbnail(voxels).tobytes().hex()}
            rows.append({**row, "fingerprint": json.dumps(make(i, rng)), **extra})
    return table(rows, COHORT)


def brighter_at(site: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A lamp in the left half of every thumbnail of a site."""

    def mend(frame: pd.DataFrame) -> pd.DataFrame:
        def lit(text: str) -> str:
            grey = np.frombuffer(bytes.fromhex(text), np.uint8).reshape(16, 16).astype(float)
            grey[:8] += 120
            return thumbnail(grey[None, :, :, None]).tobytes().hex()

        own = frame["site"] == site
        return frame.assign(signature=frame["signature"].where(~own, frame["signature"].map(lit)))

    return mend


# Outliers


def test_a_planted_outlier_is_first_and_says_why() -> None:
    def make(i: int, rng: np.random.Generator) -> dict[str, Any]:
        return look(i, rng, noise=60.0) if i == 7 else look(i, rng, fwhm_mm=4.5) if i == 11 else look(i, rng)

    first, second = find_outliers(cohort(make=make))
    assert (first.image, second.image) == ("p007-0", "p011-0")
    assert first.reasons[0].text.startswith("noise ")
    assert " robust SD above the median of site " in first.reasons[0].text
    assert ": 60 against 1" in first.reasons[0].text
    assert first.reasons[0].text.endswith(" HU")
    assert second.reasons[0].text.endswith(" mm")
    assert second.reasons[0].feature == "fwhm_mm"


def test_blank_images_come_before_all_others() -> None:
    def make(i: int, rng: np.random.Generator) -> dict[str, Any]:
        told = look(i, rng, noise=500.0) if i == 3 else look(i, rng)
        return {**told, "min": 0.0, "max": 0.0} if i == 5 else told

    found = find_outliers(cohort(make=make))
    assert [one.image for one in found] == ["p005-0", "p003-0"]
    assert found[0].score == float("inf")
    assert found[0].reasons[0].text == "every voxel is 0"


def test_an_image_of_another_grid_is_named_where_all_others_have_one() -> None:
    def make(i: int, rng: np.random.Generator) -> dict[str, Any]:
        return {**look(i, rng), "spacing_mm": [0.8, 0.8, 5.0] if i == 9 else [0.8, 0.8, 2.0]}

    (one,) = find_outliers(cohort(make=make))
    assert one.image == "p009-0"
    assert one.reasons[0].text.startswith("spacing along z ")


def test_a_site_is_compared_with_itself() -> None:
    frame = cohort(120, sites="AB")
    loud = frame["fingerprint"].map(json.loads)
    for row in loud[frame["site"] == "B"]:
        row["quality"]["noise"] *= 8
    assert find_outliers(frame.assign(fingerprint=loud.map(json.dumps))) == []


def test_an_image_of_a_small_site_is_compared_with_all() -> None:
    frame = cohort(60, sites="A")
    frame.loc[0, "site"] = "Z"
    odd = json.loads(frame.loc[0, "fingerprint"])
    odd["quality"]["noise"] = 90.0
    frame.loc[0, "fingerprint"] = json.dumps(odd)
    (one,) = find_outliers(frame)
    assert one.image == "p000-0"
    assert "the median of all CT" in one.reasons[0].text


def test_ordinary_images_are_rarely_outliers() -> None:
    few = sum(bool(find_outliers(cohort(20, sites="A", seed=seed))) for seed in range(30))
    many = sum(bool(find_outliers(cohort(60, sites="AB", seed=seed))) for seed in range(12))
    assert few <= 4
    assert many <= 1


@pytest.mark.slow
def test_the_share_of_cohorts_with_a_chance_outlier_is_as_the_docstring_says() -> None:
    from fiducial.maths.outliers import robust_z

    rng = np.random.default_rng(0)
    for n, most in ((20, 0.03), (30, 0.01), (100, 0.01)):
        hit = [
            max(float(np.abs(robust_z(rng.normal(size=n))).max()) for _ in range(25)) >= threshold_of(n)
            for _ in range(2000)
        ]
        assert float(np.mean(hit)) <= most, n


def test_few_images_say_nothing_of_what_is_usual() -> None:
    frame = cohort(19)
    assert find_outliers(frame) == []
    assert not_compared(frame) == {"CT": 19}
    assert not_compared(cohort(20)) == {}


def test_a_cohort_of_an_earlier_version_without_quality_has_its_grid_and_intensities() -> None:
    frame = cohort()
    old = frame["fingerprint"].map(
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "quality"})
    )
    keys = [feature.key for feature in feature_table(frame.assign(fingerprint=old)).features]
    assert keys[:3] == ["size_x", "size_y", "size_z"]
    assert "noise" not in keys
    assert find_outliers(frame.assign(fingerprint=old)) == []


def test_a_difference_that_nobody_would_see_sets_no_image_apart() -> None:
    def make(i: int, rng: np.random.Generator) -> dict[str, Any]:
        told = look(i, rng, at_max=2e-5 if i == 4 else 6e-6, fwhm_mm=1.52 if i == 5 else 1.5)
        return {**told, "p01": -1015.0 if i == 6 else -1020.0}

    assert find_outliers(cohort(make=make)) == []


# Shortcuts


def test_a_site_with_its_own_lamp_is_told_from_the_thumbnail_and_not_from_the_figures() -> None:
    frame = brighter_at("C")(cohort())
    probes = {probe.seen_in: probe for probe in probe_shortcuts(frame, n_permutations=199)}
    thumb = probes["thumbnail"]
    assert thumb.verdict == "finding"
    assert next(told for told in thumb.groups if told.group == "C").low > 0.8
    assert "can be told from a thumbnail" in thumb.text
    assert "site C: AUC" in thumb.text
    assert probes["figures"].verdict == "clear"
    assert tellable(list(probes.values())) == ["site"]


def test_a_site_with_its_own_noise_is_told_from_the_figures_and_not_from_the_thumbnail() -> None:
    frame = cohort()
    looks = frame["fingerprint"].map(json.loads)
    for row in looks[frame["site"] == "A"]:
        row["quality"]["noise"] *= 2
    probes = {
        p.seen_in: p for p in probe_shortcuts(frame.assign(fingerprint=looks.map(json.dumps)), n_permutations=199)
    }
    assert (probes["thumbnail"].verdict, probes["figures"].verdict) == ("clear", "finding")


def test_a_marker_is_asked_as_a_site_is() -> None:
    frame = cohort(marker=lambda i, _: "burned in" if i % 3 == 0 else "none")
    assert acquisition_columns(frame) == ["site", "marker"]
    marked = frame["marker"] == "burned in"
    lit = brighter_at("x")(frame.assign(site=frame["marker"].map({"burned in": "x", "none": "y"})))["signature"]
    probes = probe_shortcuts(frame.assign(signature=frame["signature"].where(~marked, lit)), n_permutations=199)
    assert tellable(probes) == ["marker"]


def test_random_sites_are_told_at_most_at_the_nominal_rate() -> None:
    found = sum(bool(tellable(probe_shortcuts(cohort(45, seed=s), n_permutations=39, seed=s))) for s in range(16))
    # Two probes under Holm at 5 %: 99.9 % of 16 draws lie at 4 or below.
    assert found <= 4


def test_one_image_of_each_person_is_asked() -> None:
    frame = cohort(40, per=3)
    assert {probe.n_subjects for probe in probe_shortcuts(frame, n_permutations=1)} == {40}


def test_sites_too_small_to_ask_are_said_to_be_so() -> None:
    probes = probe_shortcuts(cohort(18), n_permutations=1)
    assert {probe.verdict for probe in probes} == {"not_possible"}
    assert "no two groups of at least 10 people" in probes[0].text
    many = probe_shortcuts(cohort(60, scanner=lambda i, _: f"s{i}"), n_permutations=1)
    assert "scanner has 60 values, more than 30: not asked" in {probe.text for probe in many}
    assert probe_shortcuts(cohort(sites="A"), n_permutations=1) == []


# Copies


def test_copies_are_paired_and_say_whether_it_is_one_person() -> None:
    frame = cohort(12, per=2)
    frame.loc[5, "sha256"] = frame.loc[0, "sha256"]
    frame.loc[7, "sha256"] = frame.loc[0, "sha256"]
    frame.loc[[5, 7], "signature"] = frame.loc[0, "signature"]
    frame.loc[9, "signature"] = frame.loc[8, "signature"]
    exact, other, near = find_copies(frame)
    assert (exact.kind, exact.image_a, exact.image_b) == ("exact", "p000-0", "p002-1")
    assert (other.image_a, other.image_b, other.same_person) == ("p000-0", "p003-1", False)
    assert (near.kind, near.image_a, near.image_b, near.same_person) == ("near", "p004-0", "p004-1", True)
    assert find_copies(cohort(12)) == []


# The site table


def test_the_site_table_has_a_row_for_each_image_and_names_small_batches() -> None:
    frame = cohort(60, scanner=lambda _, site: f"{site}1", age=lambda i, _: 40.0 + i % 30, sex=lambda i, _: "FM"[i % 2])
    made = site_table(frame)
    assert len(made.frame) == 60
    assert list(made.frame.columns[:6]) == ["image", "subject", "modality", "batch", "age", "sex"]
    assert set(made.frame["batch"]) == {"A | A1", "B | B1", "C | C1"}
    assert made.covariates == ("age", "sex")
    assert made.frame["feature_noise"].notna().all()
    assert made.batches["n_images"].sum() == 60
    small = made.batches[made.batches["n_images"] < 20]
    assert (small["warning"] != "").all()
    assert (made.batches.drop(small.index)["warning"] == "").all()
    assert [tie.warning for tie in made.ties] == ["", ""]


def test_a_label_that_goes_with_the_site_is_warned_of() -> None:
    rng = np.random.default_rng(0)
    often = {"A": 0.1, "B": 0.5, "C": 0.9}
    frame = cohort(
        150,
        malignant=lambda _, site: int(rng.random() < often[site]),
        age=lambda i, site: 50.0 + 4 * ord(site) + i % 11,
    )
    ties = {tie.covariate: tie for tie in site_table(frame).ties}
    assert ties["malignant"].measure == "Cramér's V"
    assert ties["malignant"].value > 0.5
    assert "goes with the batch" in ties["malignant"].warning
    assert ties["age"].measure == "correlation ratio"
    assert ties["age"].warning


def test_a_batch_of_one_value_is_named_and_one_batch_is_nothing_to_harmonise() -> None:
    frame = cohort(90, disease=lambda i, site: 1 if site == "C" else i % 2)
    (tie,) = site_table(frame).ties
    assert tie.warning == "all people of C have one value: batch and disease cannot be told apart there"
    alone = site_table(cohort(30, sites="A"))
    assert "nothing to harmonise" in alone.warnings[0]
    unknown = site_table(cohort(30, sites="A").assign(site=""))
    assert set(unknown.frame["batch"]) == {"(not stated)"}
    assert unknown.warnings == []


def test_names_and_acquisition_are_no_covariates() -> None:
    frame = cohort(60, note=lambda i, _: f"free text {i}", kernel=lambda i, _: "AB"[i % 2], constant=1)
    frame["image_type"] = ["original", "derived"] * 30
    assert site_table(frame).covariates == ()


def test_the_table_survives_csv_and_parquet(tmp_path: Any) -> None:
    made = site_table(cohort(30, age=lambda i, _: 50 + i)).frame
    made.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), made, check_dtype=False)


# Scales


def test_figures_are_compared_on_their_scales() -> None:
    by_key = {feature.key: feature for feature in FEATURES}
    assert compared(np.array([0.0, 1, np.e]), by_key["noise"])[1:].tolist() == [0, 1]
    assert np.isfinite(compared(np.array([0.0, 0.0]), by_key["noise"])).all()
    assert compared(np.array([0.0, 1.0]), by_key["cut"]).tolist() == [0, np.pi / 2]
    assert compared(np.array([-5.0]), by_key["entropy"]).tolist() == [-5]
    assert compared(np.array([-50.0]), by_key["p50"], spread=50).tolist() == [pytest.approx(-np.arcsinh(1))]


def test_words_are_plain() -> None:
    assert words_of(pd.Series([1.5, float("nan"), None, " a ", 3.0])).tolist() == ["1.5", "", "", "a", "3"]
