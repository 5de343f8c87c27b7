"""Groups told from features: planted ones are found, random ones at most at the nominal rate; associations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.association import correlation_ratio, cramers_v
from fiducial.maths.duplicates import pairs_within, standardised
from fiducial.maths.group_probe import column_areas, group_probe
from fiducial.maths.outliers import robust_z


def made(n: int = 60, *, d: int = 40, shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of three groups; ``shift`` moves the first coordinate of group C."""
    rng = np.random.default_rng(seed)
    groups = np.array(list("ABC"))[rng.permutation(np.arange(n) % 3)]
    features = rng.normal(size=(n, d))
    features[:, 0] += shift * (groups == "C")
    return features, groups


# Countable by hand


def test_areas_of_columns_count_pairs() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    scores = np.array([[3.0, 1], [1, 1], [2, 1], [0, 1]])
    assert column_areas(labels, scores).tolist() == [0.75, 0.5]
    assert math.isnan(column_areas(np.ones((2, 1), bool), np.ones((2, 1)))[0])


def test_robust_z_counts_in_median_absolute_deviations() -> None:
    assert robust_z([0, 1, 2, 3, 100]) == pytest.approx(np.array([-2, -1, 0, 1, 98]) / 1.4826)
    assert robust_z([5, 5, 5]).tolist() == [0, 0, 0]
    # Three of four are equal: the mean absolute deviation, 1, stands in.
    assert robust_z([5, 5, 5, 9])[3] == pytest.approx(4 / 1.2533)
    assert robust_z([0, 1, 2, 3, 100], least_spread=10).tolist() == pytest.approx([-0.2, -0.1, 0, 0.1, 9.8])
    assert np.isnan(robust_z([np.nan, 1, 2])[0])
    assert np.isnan(robust_z([np.nan])).all()


def test_a_table_of_two_by_two_has_its_v() -> None:
    # chi^2 = n phi^2 = 100 x 0.36; phi~^2 = 0.36 - 1/99; r~ = k~ = 2 - 1/99.
    first = ["a"] * 50 + ["b"] * 50
    second = ["x"] * 40 + ["y"] * 10 + ["x"] * 10 + ["y"] * 40
    found = cramers_v(first, second)
    assert found.value == pytest.approx(math.sqrt((0.36 - 1 / 99) / (1 - 1 / 99)))
    assert found.n == 100
    assert cramers_v(first, first).value == pytest.approx(1)


def test_a_number_that_groups_explain_wholly_or_not() -> None:
    groups = ["a"] * 4 + ["b"] * 4
    assert correlation_ratio([1, 1, 1, 1, 3, 3, 3, 3], groups).value == 1
    assert correlation_ratio([1, 2, 3, 4, 1, 2, 3, 4], groups).value == 0
    # Means 2.5 and 6.5, total 42, between 32, within 10/6: omega^2 = (32 - 10/6) / (42 + 10/6).
    found = correlation_ratio([1, 2, 3, 4, 5, 6, 7, 8], groups)
    assert found.value == pytest.approx(math.sqrt((32 - 10 / 6) / (42 + 10 / 6)))


# Reference implementations


def test_the_analysis_of_variance_is_scipys() -> None:
    from scipy.stats import f_oneway

    rng = np.random.default_rng(0)
    groups = np.array(list("abc"))[rng.integers(0, 3, 60)]
    values = rng.normal(size=60) + (groups == "b")
    values[5] = np.nan
    wanted = f_oneway(*(values[(groups == g) & np.isfinite(values)] for g in "abc"))
    assert correlation_ratio(values, groups).p == pytest.approx(wanted.pvalue)


def test_areas_are_scikit_learns() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    labels, scores = rng.random((50, 4)) < 0.3, rng.integers(0, 9, (50, 4)).astype(float)
    wanted = [roc_auc_score(labels[:, k], scores[:, k]) for k in range(4)]
    assert column_areas(labels, scores) == pytest.approx(wanted)


# Planted truth


def test_a_group_that_is_shifted_is_found_and_named() -> None:
    features, groups = made(90, shift=3)
    found = group_probe(features, groups, n_permutations=199)
    assert found.p == pytest.approx(1 / 200)
    assert found.areas["C"].low > 0.8
    assert found.areas["C"].value > max(found.areas["A"].value, found.areas["B"].value)


def test_more_shift_is_told_better() -> None:
    areas = [group_probe(*made(90, shift=s), n_permutations=1).areas["C"].value for s in (0, 1, 2, 4)]
    assert areas == sorted(areas)


def rejections(n_draws: int, n_permutations: int) -> int:
    return sum(
        group_probe(*made(36, d=64, seed=seed), n_permutations=n_permutations, seed=seed).p <= 0.05
        for seed in range(n_draws)
    )


def test_random_groups_are_found_at_most_at_the_nominal_rate() -> None:
    # 99.9 % of the binomial distribution with 100 draws of 0.05 lie at 13 or below.
    assert rejections(100, 39) <= 13


@pytest.mark.slow
def test_random_groups_are_found_at_the_nominal_rate_in_many_draws() -> None:
    assert 0.03 < rejections(1500, 99) / 1500 < 0.07


# Laws and edge cases


def test_of_two_groups_one_is_asked_and_unknown_ones_are_left_out() -> None:
    features, groups = made(60)
    two = np.where(groups == "C", "", groups)
    found = group_probe(features, two, n_permutations=9)
    assert list(found.areas) == ["B"]
    assert found.n == 40


def test_small_groups_are_not_asked() -> None:
    features, groups = made(24)
    assert math.isnan(group_probe(features, groups).p)
    assert group_probe(features, np.full(24, "A")).areas == {}
    assert group_probe(np.zeros((24, 0)), groups, minimum_n=2).areas == {}


def test_constant_features_tell_nothing() -> None:
    found = group_probe(np.ones((60, 5)), made(60)[1], n_permutations=19)
    assert found.mean_area == 0.5
    assert found.p == 1


def test_renaming_groups_and_scaling_features_change_nothing() -> None:
    features, groups = made(60, shift=1)
    plain = group_probe(features, groups, n_permutations=39)
    other = group_probe(7 * features - 3, np.char.add("site ", groups), n_permutations=39)
    assert other.p == plain.p
    assert other.mean_area == pytest.approx(plain.mean_area)


def test_independent_columns_have_no_association_on_average() -> None:
    rng = np.random.default_rng(0)
    found = [cramers_v(rng.integers(0, 4, 80), rng.integers(0, 3, 80)) for _ in range(200)]
    assert float(np.mean([one.value for one in found])) < 0.1
    assert sum(one.p <= 0.05 for one in found) <= 20


def test_columns_of_one_value_have_no_association() -> None:
    assert math.isnan(cramers_v(["a", "a"], ["x", "y"]).value)
    assert math.isnan(correlation_ratio([1, 1, 1, 1], ["a", "a", "b", "b"]).value)
    assert math.isnan(correlation_ratio([np.nan, 2.0], ["a", "b"]).p)


def test_pairs_of_alike_rows_are_found_in_blocks_as_in_one() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 255, 256, dtype=np.uint8).tobytes().hex() for _ in range(30)]
    texts[17], texts[29], texts[3] = texts[4], texts[4], "00" * 256
    rows = standardised(texts)
    assert [(i, j) for i, j, _ in pairs_within(rows)] == [(4, 17), (4, 29), (17, 29)]
    assert pairs_within(rows, n_block=7) == pairs_within(rows)
    assert pairs_within(rows[:0]) == []


# Error messages


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputRefused, match=r"features \(3, 2\), 2 groups"):
        group_probe(np.zeros((3, 2)), ["a", "b"])
    with pytest.raises(InputRefused, match="columns of 2 and 1 rows"):
        cramers_v(["a", "b"], ["x"])
    with pytest.raises(InputRefused, match="columns of 1 and 2 rows"):
        correlation_ratio(pd.Series([1.0]), ["x", "y"])
