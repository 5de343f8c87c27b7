"""Tests of one group against the rest: moments, peers, and how often they fire where nothing is."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import hypergeom, pearson3

from fiducial.errors import InputRefused
from fiducial.maths.classification import auc
from fiducial.maths.difference import independent_difference
from fiducial.maths.fairness import (
    beyond_test,
    calibration_test,
    group_test,
    independent_gap,
    outranking,
    pooled_calibration,
    skewed_p,
)
from fiducial.maths.intervals import rate_interval


def test_two_of_three_against_one_of_three_by_hand() -> None:
    """Values 1 1 0 | 1 0 0: U = 2 - 3/2; h^2 sums to 3/2, e^2 to 3/2, so V = (9/4) / 5."""
    found = group_test([1, 1, 0, 1, 0, 0], [True] * 3 + [False] * 3)
    assert (found.inside, found.rest) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert found.score == pytest.approx(0.5 / np.sqrt(9 / 20))


def test_moments_are_those_of_all_permutations() -> None:
    value, inside = np.array([0.1, 0.9, 0.4, 2.0, 0.2, 0.3, 0.8]), np.arange(7) < 2
    centred = value - value.mean()
    sums = np.array([sum(order[:2]) for order in permutations(centred)])
    z = centred[:2].sum() / sums.std()
    found = group_test(value, inside)
    assert found.score == pytest.approx(z)
    skewness = float((sums**3).mean() / sums.std() ** 3)
    assert found.p == pytest.approx(skewed_p(z, skewness))


def test_strata_are_compared_within_themselves_only() -> None:
    """Inside lies in the high stratum alone, yet within each stratum nothing differs."""
    value = np.array([5.0, 5.1, 5.0, 5.1] + [1.0, 1.1] * 4)
    inside = np.arange(12) < 2
    stratum = np.arange(12) < 4
    assert group_test(value, inside).p < 0.1
    assert group_test(value, inside, stratum=stratum).p == pytest.approx(1.0)


@pytest.mark.parametrize(("z", "skewness"), [(2.0, 0.8), (-2.0, 0.8), (2.5, -1.1), (-1.0, -0.3), (0.7, 1e-3)])
def test_tails_are_scipys_pearson_iii(z: float, skewness: float) -> None:
    peer = pearson3(skewness)
    assert skewed_p(z, skewness) == pytest.approx(2 * min(peer.cdf(z), peer.sf(z)), rel=1e-6)


@pytest.mark.parametrize(
    ("n_right", "n_inside", "n", "n_all_right"), [(12, 20, 120, 108), (60, 80, 400, 340), (6, 10, 60, 54)]
)
def test_a_rate_is_close_to_fishers_exact_test_with_mid_p(
    n_right: int, n_inside: int, n: int, n_all_right: int
) -> None:
    value = np.zeros(n)
    value[:n_right] = 1
    value[n_inside : n_inside + n_all_right - n_right] = 1
    exact = hypergeom(n, n_all_right, n_inside)
    mid = 2 * (exact.cdf(n_right - 1) + exact.pmf(n_right) / 2)
    found = group_test(value, np.arange(n) < n_inside).p
    assert 0.4 * mid < found < 2.5 * mid


def test_rows_that_are_given_twice_say_no_more() -> None:
    rng = np.random.default_rng(0)
    value, inside = rng.random(200), rng.random(200) < 0.3
    once = group_test(value, inside)
    twice = group_test(np.tile(value, 2), np.tile(inside, 2), subject=np.tile(np.arange(200), 2))
    assert twice.score == pytest.approx(once.score, rel=0.01)
    assert group_test(np.tile(value, 2), np.tile(inside, 2)).score == pytest.approx(np.sqrt(2) * once.score, rel=0.01)


def test_parts_sum_to_the_score() -> None:
    rng = np.random.default_rng(1)
    value, inside = rng.random(50), rng.random(50) < 0.4
    found = group_test(value, inside)
    assert found.parts.sum() == pytest.approx((value[inside] - value.mean()).sum())


def test_the_mean_of_outranking_is_the_auc() -> None:
    rng = np.random.default_rng(2)
    truth, score = rng.random(80) < 0.4, rng.random(80).round(1)
    placed = outranking(truth, score)
    assert placed[truth].mean() == pytest.approx(auc(truth, score))
    assert np.isnan(placed[~truth]).all()


def drawn(rng: np.random.Generator, n: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = rng.random(n) < 0.3
    x = np.log(3 / 7) + 1.5 * (rng.normal(size=n) + 1.5 * truth) - 1.5**2 / 2
    inside = rng.random(n) < 0.4
    return truth, expit(x + shift * inside), inside


def likelihood_ratio(truth: np.ndarray, columns: list[np.ndarray]) -> float:
    """Twice the log-likelihood of a logistic regression, by a general optimiser."""
    from scipy.optimize import minimize

    design = np.stack(columns, axis=1)

    def loss(beta: np.ndarray) -> float:
        eta = design @ beta
        return float(np.logaddexp(0, eta).sum() - eta[truth].sum())

    return -2 * float(minimize(loss, np.zeros(design.shape[1]), method="BFGS", options={"gtol": 1e-6}).fun)


@pytest.mark.parametrize("slope", [False, True])
def test_calibration_agrees_with_the_likelihood_ratio(slope: bool) -> None:
    truth, score, inside = drawn(np.random.default_rng(3), 3000, shift=0.25)
    x, one = np.log(score / (1 - score)), np.ones(3000)
    base = [one, x, inside * 1.0] if slope else [one, x]
    more = [*base, inside * x if slope else inside * 1.0]
    ratio = likelihood_ratio(truth, more) - likelihood_ratio(truth, base)
    found = calibration_test(pooled_calibration(truth, score), inside, slope=slope)
    # The slope's common curve leaves the group's height out, which moves its score a little.
    assert found.score**2 == pytest.approx(ratio, rel=0.1, abs=0.3)


def test_risks_that_are_too_high_in_a_group_are_low_against_the_curve() -> None:
    truth, score, inside = drawn(np.random.default_rng(4), 4000, shift=1.0)
    found = calibration_test(pooled_calibration(truth, score), inside)
    assert found.inside < 0 < found.rest
    assert found.inside - found.rest == pytest.approx(-1.0, abs=0.3)
    assert found.p < 1e-6


def test_a_gap_of_two_is_their_difference() -> None:
    first, second = rate_interval([1] * 30 + [0] * 10), rate_interval([1] * 12 + [0] * 18)
    found, difference = independent_gap([first, second], [first, second]), independent_difference(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((difference.value, difference.low, difference.high))
    assert (found.n_subjects, found.n_images) == (70, 70)


def test_a_gap_of_alike_groups_reaches_0() -> None:
    same = [rate_interval([1] * k + [0] * 10) for k in (28, 30, 32)]
    assert independent_gap(same, same).low == 0.0


def test_edges() -> None:
    assert np.isnan(group_test([1, 0], [False, False]).p)
    assert np.isnan(group_test([1, 0], [True, True]).p)
    assert group_test([1, 1, 1, 1], [True, False, True, False]).p == 1.0
    assert independent_gap([], []).reason == "few-groups"
    alone = rate_interval([1, 0, 1])
    assert np.isnan(independent_gap([alone], [alone]).value)


def test_without_a_margin_it_is_the_one_sided_group_test() -> None:
    rng = np.random.default_rng(1)
    inside = np.arange(60) < 25
    value = rng.normal(size=60) + 0.4 * inside
    assert beyond_test(value, inside, margin=0.0) == pytest.approx(group_test(value, inside).p / 2)
    assert beyond_test(-value, inside, margin=0.2) == pytest.approx(beyond_test(value, inside, margin=0.2))
    assert beyond_test(value, inside, margin=5.0) > 0.99
    assert np.isnan(beyond_test(value, np.ones(60, bool), margin=0.2))


@pytest.mark.parametrize(("sign", "n_inside"), [(1, 75), (-1, 30)])
def test_a_shift_just_as_large_as_the_margin_is_found_at_the_level(sign: int, n_inside: int) -> None:
    """The least favourable case: 0.05 of 1,000 tables, and 2.6 standard errors."""
    rng, inside = np.random.default_rng(7), np.arange(150) < n_inside
    p = [beyond_test(rng.normal(size=150) + sign * 0.36 * inside, inside, margin=0.36) for _ in range(1000)]
    assert 0.03 < np.mean(np.array(p) <= 0.05) < 0.068


def test_refusals() -> None:
    with pytest.raises(InputRefused, match="a margin of -1"):
        beyond_test([1, 0], [True, False], margin=-1)
    with pytest.raises(InputRefused, match="equal lengths"):
        group_test([1, 0, 1], [True])
    with pytest.raises(InputRefused, match="one subject for each row"):
        group_test([1, 0], [True, False], subject=["a"])
    with pytest.raises(InputRefused, match="finite"):
        skewed_p(float("nan"), 0.0)
    with pytest.raises(InputRefused, match="no logistic recalibration"):
        pooled_calibration([1, 1], [0.2, 0.3])


@pytest.mark.slow
@pytest.mark.parametrize(("n", "n_inside", "rate"), [(60, 12, 0.9), (300, 20, 0.95), (1000, 100, 0.9)])
def test_rates_fire_at_their_level_and_below_in_the_tail(n: int, n_inside: int, rate: float) -> None:
    rng, inside = np.random.default_rng(5), np.arange(n) < n_inside
    p = np.array([group_test(rng.random(n) < rate, inside).p for _ in range(4000)])
    assert (p <= 0.05).mean() < 0.065
    assert (p <= 0.001).mean() < 0.004


@pytest.mark.slow
def test_patients_with_several_images_fire_at_the_level() -> None:
    rng = np.random.default_rng(6)
    p = []
    for _ in range(2000):
        subject = np.repeat(np.arange(80), rng.integers(1, 6, 80))
        effect = rng.normal(size=80)[subject]
        value = effect + 0.7 * rng.normal(size=len(subject)) > -1.0
        p.append(group_test(value, (np.arange(80) < 20)[subject], subject=subject).p)
    assert (np.array(p) <= 0.05).mean() < 0.065
