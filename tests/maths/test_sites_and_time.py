"""Sites, trends and ties: by hand, against closed forms, and what chance does to them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.heterogeneity import random_effects
from fiducial.maths.ties import expected_ties, neighbours, resolution
from fiducial.maths.trend import auc_trend, mean_trend, time_bins


def test_two_alike_sites_by_hand() -> None:
    found = random_effects([1.0, 1.0, 1.0], [0.1, 0.2, 0.3])
    assert (found.mean, found.tau_squared, found.q, found.i_squared) == (1.0, 0.0, 0.0, 0.0)
    assert found.p == 1.0
    assert found.low < 1.0 < found.high


def test_spread_between_sites_with_equal_variances() -> None:
    """With equal variances v the Paule-Mandel estimate is the sample variance less v."""
    y = np.array([0.0, 1.0, 2.0, 3.0])
    found = random_effects(y, [0.25] * 4)
    assert found.tau_squared == pytest.approx(y.var(ddof=1) - 0.25, rel=1e-6)
    assert found.mean == pytest.approx(1.5)
    assert found.q == pytest.approx(((y - 1.5) ** 2 / 0.25).sum())
    # Hartung and Knapp: the t interval of the plain mean.
    assert found.high - found.mean == pytest.approx(3.182 * math.sqrt(y.var(ddof=1) / 4), rel=1e-3)
    # A new site: t on two degrees of freedom, between-site variance plus that of the mean.
    ahead = 4.303 * math.sqrt(found.tau_squared + y.var(ddof=1) / 4)
    assert found.next_high - found.mean == pytest.approx(ahead, rel=1e-3)


def test_welch_with_two_sites_is_welchs_t_test() -> None:
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 12), rng.normal(0.8, 2, 9)
    variances = [a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)]
    found = random_effects([a.mean(), b.mean()], variances, freedom=[len(a) - 1, len(b) - 1])
    assert found.p == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue, rel=1e-6)
    assert math.isnan(found.next_low)


def test_known_variances_give_cochrans_test() -> None:
    known = random_effects([0.0, 1.0, 0.5], [0.1, 0.1, 0.2])
    many = random_effects([0.0, 1.0, 0.5], [0.1, 0.1, 0.2], freedom=[1e7] * 3)
    assert many.p == pytest.approx(known.p, rel=1e-4)


def test_one_site_is_refused() -> None:
    with pytest.raises(InputRefused, match="1 sites"):
        random_effects([0.3], [0.1])
    with pytest.raises(InputRefused, match="above 0"):
        random_effects([0.3, 0.2], [0.1, 0.0])


def test_a_straight_line_is_found() -> None:
    rng = np.random.default_rng(0)
    t = rng.uniform(0, 2, 500)
    found = mean_trend(0.9 - 0.05 * t + rng.normal(0, 0.02, 500), t)
    assert found.low < -0.05 < found.high
    assert found.p < 1e-6


def test_the_jackknife_is_the_delete_one_slope() -> None:
    rng = np.random.default_rng(2)
    t, y = rng.random(15), rng.random(15)
    subject = np.repeat(np.arange(5), 3)
    found = mean_trend(y, t, subject=subject)
    slopes = [np.polyfit(t[subject != k], y[subject != k], 1)[0] for k in range(5)]
    error = math.sqrt(4 / 5 * ((slopes - np.mean(slopes)) ** 2).sum())
    assert found.value == pytest.approx(np.polyfit(t, y, 1)[0])
    assert found.high - found.value == pytest.approx(2.776 * error, rel=1e-3)


def test_events_that_fade_lower_the_auc() -> None:
    rng = np.random.default_rng(3)
    t = rng.uniform(0, 2, 4000)
    truth = rng.random(4000) < 0.3
    score = rng.normal(size=4000) + np.where(truth, 1.8 - 0.5 * t, 0)
    found = auc_trend(truth, score, t)
    # AUC at t is Phi((1.8 - 0.5 t) / sqrt 2): from 0.898 to 0.714 over two years.
    assert found.low < (0.714 - 0.898) / 2 < found.high
    assert found.p < 1e-6


def test_scores_that_move_together_keep_their_auc() -> None:
    rng = np.random.default_rng(4)
    t = rng.uniform(0, 2, 6000)
    truth = rng.random(6000) < 0.5
    found = auc_trend(truth, rng.normal(size=6000) + 1.5 * truth + 0.3 * t, t)
    assert abs(found.value) < 0.02


def test_where_no_trend_can_be_told() -> None:
    assert mean_trend([], []).reason == "no-rows"
    assert mean_trend([1.0, 2.0], [0.0, 1.0], subject=["a", "a"]).reason == "one-subject"
    assert mean_trend([1.0, 2.0, 3.0], [5.0] * 3).reason == "equal-values"
    assert auc_trend([1, 1], [0.1, 0.2], [0.0, 1.0]).reason == "one-class"
    assert math.isnan(mean_trend([1.0] * 6, range(6)).p)


def test_bins_of_time() -> None:
    assert time_bins([24276.0, 24278.9, 24279.0, 24282.0], width=3, most=8).tolist() == [0, 0, 1, 2]
    many = time_bins(np.arange(100), width=3, most=4)
    assert np.bincount(many).tolist() == [25, 25, 25, 25]
    assert len(time_bins([], width=3, most=4)) == 0


def test_digits_that_are_kept() -> None:
    assert resolution([0.12, 0.5, 0.001]) == 0.01
    assert resolution(np.random.default_rng(0).random(50)) == 0
    assert resolution(np.random.default_rng(0).random(50).astype(np.float32)) == 2.0**-24
    assert resolution([]) == 0
    scale = np.random.default_rng(0).integers(0, 202, 300) / 201
    assert resolution(scale) == pytest.approx(1 / 201)
    assert expected_ties(scale) > 100


@pytest.mark.parametrize("step", [0.01, 0.001])
def test_chance_makes_as_many_ties_as_expected(step: float) -> None:
    values = np.random.default_rng(1).beta(2, 5, 3000)
    rounded = np.round(values / step) * step
    _, counts = np.unique(np.round(rounded, 6), return_counts=True)
    assert expected_ties(np.round(rounded, 6)) == pytest.approx((counts * (counts - 1) / 2).sum(), rel=0.03)
    assert expected_ties(values) == 0


def test_neighbours_are_close_but_never_equal() -> None:
    pairs = neighbours([0.3, 0.1, 0.1, 0.2], reach=1)
    assert sorted(map(tuple, np.sort(pairs, axis=1).tolist())) == [(0, 3), (2, 3)]
    assert len(neighbours([0.5])) == 0
