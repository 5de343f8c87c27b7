import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import pearsonr, spearmanr
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import clustered_bootstrap
from fiducial.maths.correlation import correlation_of
from fiducial.maths.outliers import (
    Gaussian,
    area_above_half_p,
    discriminant,
    energy,
    ledoit_wolf,
    mahalanobis,
    neighbour_distance,
)


def cloud(n=200, d=5, *, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def test_mahalanobis_countable_by_hand():
    known = Gaussian(np.array([1.0, 0.0]), np.diag([4.0, 1.0]), 0.0)
    assert mahalanobis([[1, 0], [3, 0], [1, 2], [3, 2]], known) == pytest.approx([0, 1, 2, math.sqrt(5)])


def test_the_second_neighbour_of_four_points():
    known = [[0.0], [1.0], [3.0], [10.0]]
    assert neighbour_distance([[0.0], [2.5]], known, k=2) == pytest.approx([1.0, 1.5])
    assert neighbour_distance([[0.0]], known, k=9) == pytest.approx([10.0])  # the furthest, where there are fewer


def test_energy_is_minus_the_log_sum_exp_of_both_logits():
    assert energy([0.5]) == pytest.approx([-math.log(2)])
    logit = math.log(0.8 / 0.2)
    assert energy([0.8]) == pytest.approx([-logsumexp([0, logit])])
    assert energy([[0.8, 0.5]]) == pytest.approx([-logsumexp([0, logit]) - math.log(2)])


def test_ledoit_wolf_and_distances_against_scikit_learn():
    points, new = cloud(40, 8), cloud(30, 8, seed=1)
    peer, found = LedoitWolf().fit(points), ledoit_wolf(points)
    assert found.covariance == pytest.approx(peer.covariance_, abs=1e-12)
    assert found.shrinkage == pytest.approx(peer.shrinkage_, abs=1e-12)
    assert mahalanobis(new, found) ** 2 == pytest.approx(peer.mahalanobis(new), rel=1e-9)


def test_neighbours_against_all_distances():
    points, new = cloud(), cloud(50, seed=1)
    expected = np.sort(cdist(new, points), axis=1)[:, 9]
    assert neighbour_distance(new, points, k=10) == pytest.approx(expected)


def test_the_discriminant_against_scikit_learn():
    """With many rows the shrinkage vanishes, and both draw the same line."""
    first, second = cloud(4000), cloud(4000) + np.array([1.0, 0, 0, 0, 0])
    peer = LinearDiscriminantAnalysis().fit(np.concatenate([first, second]), np.repeat([0, 1], 4000))
    new = cloud(500, seed=3)
    assert pearsonr(discriminant(new, first, second), peer.decision_function(new)).statistic > 0.999


def test_correlations_against_scipy():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=80), 1)
    y = np.round(x + rng.normal(size=80), 1)
    both = {"pearson": correlation_of(x, y), "spearman": correlation_of(x, y, ranks=True)}
    found = clustered_bootstrap(both, None, n_replicates=10)
    assert found.value("pearson") == pytest.approx(pearsonr(x, y).statistic)
    assert found.value("spearman") == pytest.approx(spearmanr(x, y).statistic)
    alike = clustered_bootstrap({"it": correlation_of(x, np.ones(80))}, None, n_replicates=10)
    assert math.isnan(alike.value("it"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_laws(seed):
    """Mahalanobis knows no units; distances grow away from the centre; energy falls as the score rises."""
    rng = np.random.default_rng(seed)
    points, new = cloud(300, 3, seed=seed), cloud(20, 3, seed=seed + 1)
    plain = Gaussian(points.mean(axis=0), np.cov(points.T, bias=True), 0.0)
    turn = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    turned = Gaussian(plain.mean @ turn, turn.T @ plain.covariance @ turn, 0.0)
    assert mahalanobis(new @ turn, turned) == pytest.approx(mahalanobis(new, plain), rel=1e-5)
    far = plain.mean + 2 * (new - plain.mean)
    assert mahalanobis(far, plain) == pytest.approx(2 * mahalanobis(new, plain))
    assert (np.diff(energy(np.linspace(0.01, 0.99, 50))) < 0).all()


def test_the_p_value_of_an_area():
    rng = np.random.default_rng(0)
    truth, score = rng.random(400) < 0.5, rng.normal(size=400)
    assert 0.01 < area_above_half_p(truth, score) < 0.99
    assert area_above_half_p(truth, score + truth) < 1e-6
    assert area_above_half_p(truth, score - truth) > 1 - 1e-6
    assert area_above_half_p(truth, score) + area_above_half_p(truth, -score) == pytest.approx(1)
    n_pairs = min(truth.sum(), (~truth).sum())
    assert area_above_half_p(truth, truth * 1.0) == pytest.approx(0.5**n_pairs)
    assert area_above_half_p(truth, np.ones(400)) == 1
    assert math.isnan(area_above_half_p([0, 1], [0.2, 0.4]))
    subject = np.repeat(np.arange(40), 10)
    own = rng.normal(size=40)[subject] + 0.2 * truth
    assert area_above_half_p(truth, own, subject=subject) > 0.001


def test_edges():
    flat = ledoit_wolf(np.ones((5, 3)))
    assert flat.shrinkage == 0
    assert mahalanobis(np.zeros((2, 3)), flat) == pytest.approx([0, 0])  # no direction has any spread
    assert math.isfinite(ledoit_wolf(cloud(4, 20)).shrinkage)  # fewer rows than coordinates
    assert (np.linalg.eigvalsh(ledoit_wolf(cloud(4, 20)).covariance) > 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ledoit_wolf([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (lambda: ledoit_wolf([1.0, 2.0]), r"shape \(2,\)"),
        (lambda: ledoit_wolf([[1.0], [math.nan]]), "coordinate nan"),
        (lambda: mahalanobis([[1.0]], ledoit_wolf(cloud())), "1 coordinates"),
        (lambda: neighbour_distance([[1.0]], [[2.0]], k=0), "k = 0"),
        (lambda: energy([1.3]), "score 1.3"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputRefused, match=message):
        call()
