import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import auc_of, clustered_bootstrap, ece_of, rate_of
from fiducial.maths.calibration import bin_edges
from fiducial.maths.delong import delong
from fiducial.maths.difference import auc_difference_interval, independent_difference, paired_difference_interval
from fiducial.maths.intervals import (
    REASONS,
    auc_interval,
    bootstrap_interval,
    effective_n,
    gap_interval,
    mean_interval,
    median_interval,
    percentile_bounds,
    rate_interval,
    wilson,
)


def bounds(interval):
    return interval.low, interval.high


def rows(n=200, n_subjects=80, seed=0):
    rng = np.random.default_rng(seed)
    subject = rng.integers(0, n_subjects, n)
    truth = rng.random(n) < 0.4
    return truth, rng.normal(size=n) + truth + rng.normal(size=n_subjects)[subject], subject


# rates


def test_wilson_published():
    """Newcombe, Stat Med 17 (1998) 857-872, table I: 81 of 263, 15 of 148, 0 of 20 and 1 of 29."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_wilson_against_scipy():
    found = rate_interval([True] * 17 + [False] * 6, level=0.9)
    peer = stats.binomtest(17, 23).proportion_ci(0.9, method="wilson")
    assert bounds(found) == pytest.approx((peer.low, peer.high))
    assert (found.n_subjects, found.n_images, found.method) == (23, 23, "Wilson")


def test_design_effect_countable_by_hand():
    # four patients of two rows, all alike within: as much as four rows
    success, subject = [1, 1, 1, 1, 0, 0, 0, 0], list("aabbccdd")
    # residuals +-1, v = 4/3 * 4 / 64 = 1/12; p q / n = 1/32; design effect 8/3
    expected = 8 / (8 / 3) * (1.959964 / stats.t.ppf(0.975, 3)) ** 2
    assert effective_n(success, subject=subject) == pytest.approx(expected, rel=1e-6)


def test_a_lucky_design_effect_never_shrinks_an_interval():
    success, subject = [1, 0] * 50, np.repeat(np.arange(50), 2)  # each patient half right: no spread at all
    found, plain = rate_interval(success, subject=subject), rate_interval(success)
    assert found.high - found.low >= plain.high - plain.low
    assert effective_n(success, subject=subject) <= 100


def test_copies_of_a_patient_say_nothing_new():
    success = np.random.default_rng(0).random(60) < 0.7
    once = rate_interval(success)
    copied = rate_interval(np.tile(success, 4), subject=np.tile(np.arange(60), 4))
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.05)
    assert copied.high - copied.low > once.high - once.low


@pytest.mark.parametrize("value", [0, 1])
def test_all_alike_is_bounded_by_the_number_of_patients(value):
    found = rate_interval([value] * 40, subject=np.repeat(np.arange(10), 4))
    assert bounds(found) == pytest.approx(wilson(value, 10))
    assert found.value == value
    assert found.high - found.low > 0.2
    assert found.reason == "zero-variance"


# AUC


def test_auc_interval_is_delong_on_the_logit_scale():
    truth, score, subject = rows()
    found, parts = auc_interval(truth, score, subject=subject), delong(truth, score, subject=subject)
    centre = math.log(parts.auc / (1 - parts.auc))
    half = stats.t.ppf(0.975, parts.degrees_of_freedom) * math.sqrt(parts.variance) / (parts.auc * (1 - parts.auc))
    expected = [1 / (1 + math.exp(-(centre + sign * half))) for sign in (-1, 1)]
    assert bounds(found) == pytest.approx(expected)
    assert found.method == "DeLong, logit, clustered (Obuchowski 1997)"
    assert found.n_subjects == len(set(subject))


def test_a_perfect_area_has_an_exact_bound():
    """All of the 8 disjoint pairs in order: chance at most A^8, so A > 0.025^(1/8)."""
    found = auc_interval([0] * 12 + [1] * 8, np.arange(20))
    assert bounds(found) == pytest.approx((0.025 ** (1 / 8), 1))
    assert (found.value, found.reason) == (1, "zero-variance")
    worst = auc_interval([1] * 12 + [0] * 8, np.arange(20))
    assert bounds(worst) == pytest.approx((0, 1 - 0.025 ** (1 / 8)))


def test_the_exact_bound_is_sharp_for_outliers():
    """A share 1 - A of the smaller class beyond all others: separation has the chance A^8, the bound's own."""
    area = 0.025 ** (1 / 8)
    rng = np.random.default_rng(0)
    separated = (rng.random((40_000, 8)) < area).all(axis=1)
    assert separated.mean() == pytest.approx(0.025, abs=0.004)


def test_a_score_that_says_nothing():
    found = auc_interval([0] * 30 + [1] * 10, np.zeros(40))
    assert found.value == 0.5
    assert bounds(found) == pytest.approx(wilson(0.5, 10))
    assert found.reason == "zero-variance"


def test_one_positive_patient_is_said_and_bounded():
    found = auc_interval([1, 1, 0, 0, 0], [0.9, 0.2, 0.5, 0.4, 0.1], subject=list("aabcd"))
    assert found.reason == "few-subjects"
    assert bounds(found) == pytest.approx(wilson(found.value, 1))
    assert auc_interval([1, 1], [1, 2]).reason == "one-class"
    assert auc_interval([], []).reason == "no-rows"


# means and medians


def test_mean_without_skewness_is_student_s_interval():
    values = [1.0, 2.0, 4.0, 6.0, 7.0]
    peer = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert bounds(mean_interval(values)) == pytest.approx(peer)
    copied = mean_interval(np.tile(values, 3), subject=np.tile(np.arange(5), 3))
    assert bounds(copied) == pytest.approx(peer)


def test_mean_undoes_hall_s_transformation():
    """Hall (1992): g(T) = T + a T^2 / 3 + a^2 T^3 / 27 + a / (6 n) times sqrt(n), with a the skewness, maps T to t."""
    values = np.random.default_rng(0).exponential(size=30)
    found, n, skewness = mean_interval(values), 30, stats.skew(values)
    t = stats.t.ppf(0.975, 29)
    for bound, side in ((found.low, t), (found.high, -t)):
        u = (found.value - bound) / stats.sem(values) / math.sqrt(n)
        g = u + skewness * u**2 / 3 + skewness**2 * u**3 / 27 + skewness / (6 * n)
        assert math.sqrt(n) * g == pytest.approx(side)


def test_one_failed_case_among_good_ones_lowers_the_lower_end():
    found = mean_interval([0.95] * 10 + [0.9] * 10 + [0.0], bounds=(0, 1))
    assert found.value - found.low > 2 * (found.high - found.value)
    assert found.high < 0.95


def test_median_against_its_exact_order_statistics():
    values = np.random.default_rng(0).normal(size=201)
    low, high = stats.binom.ppf([0.025, 0.975], 201, 0.5).astype(int)
    ordered = np.sort(values)
    found = median_interval(values)
    assert found.value == np.median(values)
    assert bounds(found) == pytest.approx((ordered[low], ordered[high]), abs=0.06)


@pytest.mark.parametrize("function", [mean_interval, median_interval])
def test_equal_values_are_bounded_by_their_range(function):
    found = function([1.0] * 20, bounds=(0, 1))
    assert bounds(found) == pytest.approx((0.025 ** (1 / 20), 1))
    assert found.reason == "zero-variance"
    middle = function([0.8] * 20, bounds=(0, 1))
    assert middle.low < 0.8 < middle.high
    unbounded = function([3.0] * 20)
    assert math.isnan(unbounded.low)
    assert unbounded.reason == "equal-values"
    assert function([], bounds=(0, 1)).reason == "no-rows"
    assert function([0.1, 0.2], subject=["a", "a"]).reason == "one-subject"


def test_bounds_cut_the_interval():
    values = np.r_[np.full(9, 0.99), 0.2, np.full(2, 1.0)]
    assert mean_interval(values, bounds=(0, 1)).high <= 1


def test_percentiles_are_widened_for_few_subjects():
    draws = np.random.default_rng(0).normal(size=200_000)
    low, high = percentile_bounds(draws, 10)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 9) * math.sqrt(10 / 9), rel=0.02)
    assert np.isnan(percentile_bounds(np.r_[draws[:100], np.full(20, np.nan)], 10)).all()


# bootstrap and gaps


def replicates(groups, n=300, rates=(0.9, 0.9, 0.9), seed=0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, len(rates), n)
    success = rng.random(n) < np.array(rates)[group]
    masks = {f"g={i}": group == i for i in range(groups)}
    return clustered_bootstrap({"rate": rate_of(success)}, None, groups=masks, seed=seed), success, masks


def test_gap_of_equal_groups_reaches_zero_and_of_different_ones_does_not():
    alike, _, masks = replicates(3)
    found = gap_interval(alike, "rate", list(masks))
    assert found.value == pytest.approx(np.ptp(alike.values[0]))
    assert found.low == 0
    assert found.p > 0.05
    apart, _, _ = replicates(3, rates=(0.95, 0.9, 0.5))
    found = gap_interval(apart, "rate", list(masks))
    assert found.low > 0.2
    assert found.high > 0.45 > found.low
    assert found.p < 0.01


def test_gap_of_two_groups_is_the_interval_of_their_difference():
    found, success, masks = replicates(2, rates=(0.8, 0.6), n=600)
    gap = gap_interval(found, "rate", list(masks))
    p, q = (success[m].mean() for m in masks.values())
    error = math.sqrt(sum(r * (1 - r) / m.sum() for r, m in zip((p, q), masks.values(), strict=True)))
    assert bounds(gap) == pytest.approx((p - q - 1.96 * error, p - q + 1.96 * error), abs=0.01)


def test_a_group_that_is_all_right_keeps_its_uncertainty():
    group = np.repeat([0, 1], [200, 12])
    success = np.ones(212, dtype=bool)
    success[:20] = False
    masks = {"big": group == 0, "small": group == 1}
    found = clustered_bootstrap({"rate": rate_of(success)}, None, groups=masks)
    marginal = {name: rate_interval(success[mask]) for name, mask in masks.items()}
    with_it, without = (gap_interval(found, "rate", list(masks), marginal=m) for m in (marginal, None))
    assert with_it.high - with_it.low > 2 * (without.high - without.low)
    assert with_it.reason == "zero-variance"
    both = clustered_bootstrap({"rate": rate_of(success[20:])}, None, groups={n: m[20:] for n, m in masks.items()})
    nothing = gap_interval(both, "rate", list(masks))
    assert (nothing.value, nothing.reason) == (0, "equal-values")
    assert math.isnan(nothing.low)
    assert gap_interval(both, "rate", ["big"]).reason == "few-groups"


def test_bootstrap_interval_never_has_width_zero_in_silence():
    found = clustered_bootstrap({"rate": rate_of([1, 1, 1, 1])}, None)
    interval = bootstrap_interval(found, "rate")
    assert (interval.reason, math.isnan(interval.low)) == ("equal-values", True)
    single = clustered_bootstrap({"rate": rate_of([1, 0])}, ["a", "a"])
    assert bootstrap_interval(single, "rate").reason == "one-subject"
    rare = clustered_bootstrap({"auc": auc_of([1, 0, 0, 0], [4, 1, 2, 3])}, None)
    assert bootstrap_interval(rare, "auc").reason == "few-replicates"
    none = clustered_bootstrap({"auc": auc_of([1, 1], [1, 2])}, None)
    assert bootstrap_interval(none, "auc").reason == "one-class"


def test_a_calibrated_score_is_not_called_miscalibrated_by_its_ece():
    rng = np.random.default_rng(0)
    score = rng.random(400)
    truth = rng.random(400) < score
    found = clustered_bootstrap({"ece": ece_of(truth, score, edges=bin_edges(score))}, None)
    interval = bootstrap_interval(found, "ece", basic=True, bounds=(0, 1))
    assert interval.low == 0
    assert interval.high > interval.value
    assert bootstrap_interval(found, "ece").low > 0  # why plain percentiles are not used for it


# differences


def test_paired_difference_is_student_s_paired_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 40), rng.normal(size=40)
    found = paired_difference_interval(a, b)
    peer = stats.ttest_rel(a, b)
    ci = peer.confidence_interval()
    assert (*bounds(found), found.p) == pytest.approx((ci.low, ci.high, peer.pvalue))
    copies = paired_difference_interval(np.tile(a, 3), np.tile(b, 3), subject=np.tile(np.arange(40), 3))
    assert (*bounds(copies), copies.p) == pytest.approx((*bounds(found), found.p))
    assert paired_difference_interval(a, a).reason == "equal-values"


def test_auc_difference():
    truth, score, subject = rows(400, 150)
    noise = score + np.random.default_rng(9).normal(size=400) * 2
    found = auc_difference_interval(truth, score, noise, subject=subject)
    assert found.low > 0
    assert found.p < 0.05
    assert auc_difference_interval(truth, score, 2 * score, subject=subject).reason == "equal-values"


def test_independent_difference_published():
    """Newcombe, Stat Med 17 (1998) 873-890, table II, method 10: 56/70 against 48/80."""
    parts = [rate_interval([True] * a + [False] * (n - a)) for a, n in ((56, 70), (48, 80))]
    assert bounds(independent_difference(*parts)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


# laws


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.floats(0.5, 0.99))
def test_intervals_hold_their_value_and_widen_with_the_level(seed, n_subjects, level):
    truth, score, subject = rows(60, n_subjects, seed)
    unit = 1 / (1 + np.exp(-score))
    for function in (
        lambda at: auc_interval(truth, score, subject=subject, level=at),
        lambda at: rate_interval(truth, subject=subject, level=at),
        lambda at: mean_interval(unit, subject=subject, level=at, bounds=(0, 1)),
    ):
        inner, outer = function(level), function(0.995)
        assert inner.reason in REASONS
        assert 0 <= inner.low <= inner.value <= inner.high <= 1
        assert inner.high > inner.low
        assert outer.low <= inner.low + 1e-12
        assert outer.high >= inner.high - 1e-12


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_share(level):
    with pytest.raises(InputRefused, match=f"level {level}"):
        rate_interval([True, False], level=level)
