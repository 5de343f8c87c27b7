"""Conformal quantiles: what can be counted, what they promise by patient, and the test whether it was kept."""

import math

import numpy as np
import pytest
from scipy.stats import betabinom

from fiducial.errors import InputRefused
from fiducial.maths.conformal import (
    by_group,
    conformal_quantile,
    conformal_rank,
    coverage_p_value,
    covered_share,
    group_quantiles,
    least_n,
    prediction_interval,
    residual_scores,
    weighted_quantile,
)


def test_the_rank_is_exact_where_floating_point_is_not():
    assert conformal_rank(9, 0.1) == 9
    assert conformal_rank(29, 0.1) == 27  # 30 x 0.9 is 27.000000000000004 in floating point
    assert [conformal_rank(n, 0.2) for n in (3, 4, 5, 9)] == [4, 4, 5, 8]


def test_the_quantile_is_infinite_below_the_smallest_n():
    assert least_n(0.1) == 9
    assert least_n(0.05) == 19
    assert least_n(0.3) == 3  # 1 / 0.3 - 1 = 2.33
    for alpha in (0.05, 0.1, 0.3):
        n = least_n(alpha)
        assert conformal_quantile(range(n), alpha) == n - 1
        assert conformal_quantile(range(n - 1), alpha) == math.inf


def test_the_quantile_by_hand():
    """Eleven scores: the ceil(12 x 0.8) = 10th smallest."""
    assert conformal_quantile([3, 1, 2, 11, 10, 9, 8, 7, 6, 5, 4], 0.2) == 10


def test_several_images_by_hand():
    """Three patients, alpha 0.5: weights must reach 0.5 x 4 = 2 patients.

    Sorted: 1 (a, 1/2), 2 (b, 1), 3 (a, 1/2) makes 2. The patients' largest scores are 3, 2, 9: the 2nd is 3.
    """
    scores, subject = [1, 3, 2, 9, 8, 7], ["a", "a", "b", "c", "c", "c"]
    assert conformal_quantile(scores, 0.5, subject=subject) == 3
    assert conformal_quantile(scores, 0.5, subject=subject, images="all") == 3
    assert conformal_quantile(scores, 0.25, subject=subject) == 9
    assert conformal_quantile(scores, 0.2, subject=subject) == math.inf
    assert conformal_quantile(scores, 0.2, subject=subject, images="all") == math.inf


def test_one_image_each_makes_both_kinds_equal():
    scores = np.random.default_rng(0).normal(size=50)
    names = [f"p{i}" for i in range(50)]
    plain = conformal_quantile(scores, 0.1)
    assert conformal_quantile(scores, 0.1, subject=names) == plain
    assert conformal_quantile(scores, 0.1, subject=names, images="all") == plain
    assert weighted_quantile(scores, np.ones(50), 0.9 * 51) == plain


def test_covered_share():
    covered, subject = [1, 0, 1, 1], ["a", "a", "b", "b"]
    assert covered_share(covered, subject=subject).tolist() == [0.5, 1]
    assert covered_share(covered, subject=subject, images="all").tolist() == [0, 1]


def test_intervals_of_numbers():
    truth, predicted, spread = [10.0, 20, 30], [11.0, 18, 30], [1.0, 4, 2]
    assert residual_scores(truth, predicted).tolist() == [1, 2, 0]
    assert residual_scores(truth, predicted, spread=spread).tolist() == [1, 0.5, 0]
    low, high = prediction_interval(predicted, 2, spread=spread)
    assert low.tolist() == [9, 10, 26]
    assert high.tolist() == [13, 26, 34]


def test_groups_have_quantiles_of_their_own():
    scores = [*range(9), *range(100, 109), 5]
    group = ["a"] * 9 + ["b"] * 9 + ["c"]
    found = group_quantiles(scores, group, 0.1)
    assert found == {"a": 8, "b": 108, "c": math.inf}
    assert by_group(["b", "a", "c", "d"], found).tolist() == [108, 8, math.inf, math.inf]


def test_the_p_value_is_the_beta_binomial():
    covered = np.arange(100) < 84
    assert coverage_p_value(covered, 200, 0.1) == pytest.approx(betabinom.cdf(84, 100, 181, 20))
    assert coverage_p_value(covered, 8, 0.1) == 1  # everything is covered, whatever happens
    assert math.isnan(coverage_p_value([], 100, 0.1))


def test_parts_of_patients_are_rounded_up():
    assert coverage_p_value([0.5, 1, 1], 19, 0.1) == coverage_p_value([1, 1, 1], 19, 0.1)
    assert coverage_p_value([0.5, 0.5, 1], 19, 0.1) == coverage_p_value([0, 1, 1], 19, 0.1)


def test_quantiles_rise_as_alpha_falls():
    rng = np.random.default_rng(1)
    scores, subject = rng.normal(size=200), rng.integers(0, 60, 200)
    for images in ("one", "all"):
        found = [conformal_quantile(scores, a, subject=subject, images=images) for a in np.linspace(0.01, 0.99, 50)]
        assert np.all(np.diff(found) <= 0)


def test_order_of_rows_and_names_of_patients_make_no_difference():
    rng = np.random.default_rng(2)
    scores, subject = rng.normal(size=100), rng.integers(0, 30, 100)
    order = rng.permutation(100)
    for images in ("one", "all"):
        plain = conformal_quantile(scores, 0.1, subject=subject, images=images)
        assert conformal_quantile(scores[order], 0.1, subject=subject[order], images=images) == plain
        assert conformal_quantile(scores, 0.1, subject=-subject, images=images) == plain


def test_repeating_every_image_of_every_patient_changes_nothing():
    rng = np.random.default_rng(3)
    scores, subject = rng.normal(size=60), rng.integers(0, 25, 60)
    for images in ("one", "all"):
        plain = conformal_quantile(scores, 0.15, subject=subject, images=images)
        twice = conformal_quantile(np.tile(scores, 2), 0.15, subject=np.tile(subject, 2), images=images)
        assert twice == plain


def test_all_images_at_once_need_a_larger_quantile():
    rng = np.random.default_rng(4)
    scores, subject = rng.normal(size=300), rng.integers(0, 100, 300)
    one, together = (conformal_quantile(scores, 0.1, subject=subject, images=i) for i in ("one", "all"))
    assert together > one


@pytest.mark.parametrize("alpha", [0, 1, -0.1, math.nan])
def test_alpha_must_be_a_share(alpha):
    with pytest.raises(InputRefused, match="between 0 and 1"):
        conformal_quantile([1, 2], alpha)


def test_other_refusals():
    with pytest.raises(InputRefused, match="row 2"):
        conformal_quantile([1, math.nan], 0.1)
    with pytest.raises(InputRefused, match="images 'each'"):
        conformal_quantile([1, 2], 0.1, images="each")
    with pytest.raises(InputRefused, match="1 subjects for 2 rows"):
        conformal_quantile([1, 2], 0.1, subject=["a"])
    with pytest.raises(InputRefused, match="above 0"):
        residual_scores([1.0], [1.0], spread=[0.0])
    with pytest.raises(InputRefused, match="weight -1"):
        weighted_quantile([1, 2], [1, -1], 1)
