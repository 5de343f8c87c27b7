import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as peer_log_loss

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import clustered_bootstrap, mean_of
from fiducial.maths.calibration import (
    SMALLEST_PROBABILITY,
    bin_edges,
    brier,
    brier_decomposition,
    brier_part_of,
    calibration_slope_intercept,
    ece,
    fit_recalibration,
    log_loss,
    logit,
    reliability,
)
from fiducial.maths.calibration_groups import calibration_by_group
from fiducial.maths.intervals import gap_interval


def rows(n=3000, *, slope=1.0, intercept=0.0, seed=0):
    """Scores whose true log odds are intercept + slope logit(score)."""
    rng = np.random.default_rng(seed)
    score = expit(rng.normal(-0.5, 1.2, n))
    return rng.random(n) < expit(intercept + slope * logit(score)), score


def test_brier_and_ece_countable_by_hand():
    truth, score = [0, 0, 1, 1], [0.1, 0.1, 0.8, 0.6]
    assert brier(truth, score) == pytest.approx((0.01 + 0.01 + 0.04 + 0.16) / 4)
    assert ece(truth, score, n_bins=2) == pytest.approx((2 * 0.1 + 2 * 0.3) / 4)


def test_the_parts_of_the_brier_score_countable_by_hand():
    """Two scores, so the bins hold one each: reliability and resolution are Murphy's."""
    truth, score = [0] * 3 + [1] * 7 + [0] * 6 + [1] * 4, [0.9] * 10 + [0.2] * 10
    found = brier_decomposition(truth, score, n_bins=2)
    assert found.reliability == pytest.approx((10 * 0.2**2 + 10 * 0.2**2) / 20)
    assert found.uncertainty == pytest.approx(0.55 * 0.45)
    assert found.resolution == pytest.approx((10 * 0.15**2 + 10 * 0.15**2) / 20)


def test_log_loss_of_three_cases():
    assert log_loss([1, 0, 1], [0.8, 0.4, 0.5]) == pytest.approx(-(math.log(0.8) + math.log(0.6) + math.log(0.5)) / 3)
    assert log_loss([1], [0.0]) == pytest.approx(-math.log(SMALLEST_PROBABILITY))


def test_equal_number_ece_countable_by_hand():
    """Sorted: 0.1 0.2 | 0.3 0.9 with truths 0 1 | 0 1; off by |0.5 - 0.15| and |0.5 - 0.6|."""
    assert ece([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.9], n_bins=2, binning="adaptive") == pytest.approx((0.35 + 0.1) / 2)


def test_bins_are_open_below_and_closed_above():
    found = reliability([0, 1, 1], [0.0, 0.5, 0.51], n_bins=2)
    assert [(b.low, b.high, b.n) for b in found] == [(0, 0.5, 2), (0.5, 1, 1)]


def test_adaptive_bins_hold_alike_many():
    truth, score = rows(1000)
    assert [b.n for b in reliability(truth, score, n_bins=10, binning="adaptive")] == [100] * 10
    assert len(bin_edges([0.2] * 50, n_bins=10, binning="adaptive")) == 3  # ties cannot be divided


def test_calibration_in_the_large_solves_its_equation():
    truth, score = rows(500, intercept=0.7)
    large = calibration_slope_intercept(truth, score).in_the_large.value
    assert expit(logit(score) + large).mean() == pytest.approx(truth.mean())


def test_two_groups_have_a_closed_form():
    truth, score = [1, 0, 0, 0] * 25 + [1, 1, 1, 0] * 25, [0.4] * 100 + [0.6] * 100
    fit = calibration_slope_intercept(truth, score)
    assert fit.slope.value == pytest.approx(math.log(3) / math.log(1.5))
    assert fit.intercept.value == pytest.approx(0, abs=1e-9)
    # the sandwich equals the model's covariance where the model fits exactly: Var(log odds) = 1 / (n p q) per group
    each = 1 / (100 * 0.25 * 0.75)
    half = (fit.slope.high - fit.slope.low) / 2
    expected = math.sqrt(2 * each) / (2 * math.log(1.5)) * math.sqrt(200 / 199) * 1.97195
    assert half == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.6, -0.5), (1.8, 1.0)])
def test_known_truth_is_found(slope, intercept):
    fit = calibration_slope_intercept(*rows(20_000, slope=slope, intercept=intercept))
    assert fit.slope.low < slope < fit.slope.high
    assert fit.intercept.low < intercept < fit.intercept.high
    assert fit.slope.high - fit.slope.low < 0.15


def test_against_scikit_learn():
    truth, score = rows(800, slope=0.7, intercept=0.4)
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(score)[:, None], truth)
    fit = fit_recalibration(truth, score)
    assert (fit.slope, fit.intercept) == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), rel=1e-5)
    assert brier(truth, score) == pytest.approx(brier_score_loss(truth, score))
    assert log_loss(truth, score) == pytest.approx(peer_log_loss(truth, score))


def test_p_values_agree_with_the_intervals():
    """At level 1 - p the interval just reaches the ideal value."""
    truth, score = rows(600, slope=0.8, intercept=0.3)
    fit = calibration_slope_intercept(truth, score)
    for name, ideal in (("slope", 1.0), ("intercept", 0.0), ("in_the_large", 0.0)):
        p = getattr(fit, name).p
        edge = getattr(calibration_slope_intercept(truth, score, level=1 - p), name)
        assert min(abs(edge.low - ideal), abs(edge.high - ideal)) < 1e-6


def test_recalibrated_scores_are_calibrated():
    truth, score = rows(2000, slope=0.5, intercept=0.8)
    fit = calibration_slope_intercept(truth, fit_recalibration(truth, score).apply(score))
    assert (fit.slope.value, fit.intercept.value, fit.in_the_large.value) == pytest.approx((1, 0, 0), abs=1e-6)


def test_copies_of_a_subject_do_not_narrow_the_interval():
    truth, score = rows(300)
    once = calibration_slope_intercept(truth, score)
    subject = np.tile(np.arange(300), 5)
    copied = calibration_slope_intercept(np.tile(truth, 5), np.tile(score, 5), subject=subject)
    naive = calibration_slope_intercept(np.tile(truth, 5), np.tile(score, 5))
    for name in ("slope", "intercept", "in_the_large"):
        own, other = getattr(once, name), getattr(copied, name)
        assert (own.value, own.low, own.high) == pytest.approx((other.value, other.low, other.high), abs=1e-6)
    assert naive.slope.high - naive.slope.low < 0.5 * (once.slope.high - once.slope.low)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_laws(seed, n_bins):
    truth, score = rows(120, seed=seed)
    for binning in ("equal_width", "adaptive"):
        value = ece(truth, score, n_bins=n_bins, binning=binning)
        assert 0 <= value <= 1
        assert value >= abs(score.mean() - truth.mean()) - 1e-12  # one bin is the smallest ECE there is
        assert ece(truth[::-1], score[::-1], n_bins=n_bins, binning=binning) == pytest.approx(value)
    mirrored = calibration_slope_intercept(~truth, 1 - score)
    fit = calibration_slope_intercept(truth, score)
    assert mirrored.slope.value == pytest.approx(fit.slope.value, rel=1e-6)
    assert mirrored.intercept.value == pytest.approx(-fit.intercept.value, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 15))
def test_the_parts_of_the_brier_score_always_add_up(seed, n_bins):
    truth, score = rows(90, seed=seed)
    found = brier_decomposition(truth, score, n_bins=n_bins)
    assert found.reliability - found.resolution + found.uncertainty == pytest.approx(brier(truth, score))
    assert found.reliability >= 0
    parts = {part: brier_part_of(part, truth, score, n_bins=n_bins) for part in vars(found)}
    drawn = clustered_bootstrap(parts | {"brier": mean_of((score - truth) ** 2)}, None, n_replicates=20, seed=seed)
    for part, value in vars(found).items():
        assert drawn.value(part) == pytest.approx(value)
    together = drawn.draws("reliability") - drawn.draws("resolution") + drawn.draws("uncertainty")
    assert together == pytest.approx(drawn.draws("brier"), abs=1e-5)  # sums of draws are single precision


def groups_of(n=1200, *, shift=0.0, seed=0):
    truth, score = rows(n, seed=seed)
    half = np.arange(n) % 2 == 0
    score = np.where(half, expit(logit(score) + shift), score)
    return truth, score, {"sex=F": half, "sex=M": ~half}


def test_groups_have_their_own_fits_and_the_draws_their_errors():
    truth, score, masks = groups_of(shift=0.5)
    subject = np.arange(len(truth)) // 2
    found = calibration_by_group(truth, score, masks, subject=subject, n_replicates=20_000)
    for group, mask in masks.items():
        fit = calibration_slope_intercept(truth[mask], score[mask], subject=subject[mask])
        for metric, interval in (("calibration_slope", fit.slope), ("calibration_in_the_large", fit.in_the_large)):
            assert found.value(metric, group) == pytest.approx(interval.value)
            error = (interval.high - interval.value) / 1.9641  # Student's t, 599 degrees of freedom
            assert found.draws(metric, group).std() == pytest.approx(error, rel=0.02)
    assert gap_interval(found, "calibration_in_the_large", list(masks)).p < 0.01
    same = calibration_by_group(*groups_of()[:2], masks, subject=subject)
    assert gap_interval(same, "calibration_slope", list(masks)).p > 0.05


def test_patients_who_are_in_two_groups_tie_them():
    """The same rows under two names: the difference has no error at all."""
    truth, score = rows(300)
    twice = {"a": np.ones(300, bool), "b": np.ones(300, bool), "c": np.arange(300) < 5}
    found = calibration_by_group(truth, score, twice, n_replicates=50)
    assert found.draws("calibration_slope", "a") == pytest.approx(found.draws("calibration_slope", "b"), abs=1e-6)
    one_class = calibration_by_group([1] * 300, score, twice, n_replicates=50)
    assert np.isnan(one_class.replicates).all()


def test_edge_cases_say_why():
    assert calibration_slope_intercept([], []).slope.reason == "no-rows"
    assert calibration_slope_intercept([1, 1], [0.4, 0.6]).slope.reason == "one-class"
    separated = calibration_slope_intercept([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert separated.slope.reason == "no-fit"
    assert math.isnan(separated.slope.value)
    assert math.isfinite(separated.in_the_large.value)
    alike = calibration_slope_intercept([0, 1, 1, 1], [0.5] * 4)
    assert alike.slope.reason == "no-fit"
    assert alike.in_the_large.value == pytest.approx(math.log(3))
    assert fit_recalibration([0, 1, 1, 1], [0.5] * 4).slope == 1
    one = calibration_slope_intercept([0, 1, 1, 0], [0.3, 0.4, 0.6, 0.7], subject=["a"] * 4)
    assert one.slope.reason == "one-subject"
    assert math.isnan(one.slope.low)


def test_certain_scores_stay_finite():
    assert logit([0, 1]) == pytest.approx([math.log(SMALLEST_PROBABILITY), -math.log(SMALLEST_PROBABILITY)], rel=1e-4)
    fit = calibration_slope_intercept([0, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 0])
    assert math.isfinite(fit.slope.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: brier([0, 1], [0.2, 1.2]), r"score 1.2 in row 2\n  legal: a probability in \[0, 1\]"),
        (lambda: ece([0, 1], [0.2, 0.3], n_bins=0), "0 bins"),
        (lambda: ece([0, 1], [0.2, 0.3], binning="log"), "'log'"),
        (lambda: brier_part_of("sharpness", [0, 1], [0.2, 0.3]), "part 'sharpness'"),
        (lambda: fit_recalibration([0, 0], [0.2, 0.3]), "0 positive of 2 rows: one-class"),
        (lambda: fit_recalibration([0, 1], [0.2, 0.3]), "1 positive of 2 rows: separated"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputRefused, match=message):
        call()
