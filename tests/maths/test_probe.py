"""Probes of embeddings: closed form against a peer, patients kept apart, AUC and shift at equal truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from fiducial.errors import InputRefused
from fiducial.maths.classification import auc
from fiducial.maths.intervals import auc_interval
from fiducial.maths.probe import cross_fitted_probe, folds_of, shift_given_truth, stratified_auc


def test_folds_hold_whole_patients_and_do_not_depend_on_the_order() -> None:
    subject = np.array([f"p{k // 2}" for k in range(40)])
    fold = folds_of(subject, 5)
    assert all(len(set(fold[subject == name])) == 1 for name in subject)
    assert np.bincount(fold).tolist() == [8] * 5
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(folds_of(subject[order], 5), fold[order])


@pytest.mark.parametrize("n_features", [4, 90])
def test_scores_are_a_ridge_regression_of_the_other_folds(n_features: int) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, n_features)), (rng.random((60, 2)) < 0.5).astype(float)
    subject = np.array([f"p{k}" for k in range(60)])
    fold, scores = folds_of(subject, 5), cross_fitted_probe(x, y, subject=subject)
    train, test = fold != 2, fold == 2
    mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
    peer = Ridge(alpha=0.1 * train.sum(), fit_intercept=False)
    peer.fit((x[train] - mean) / spread, y[train] - y[train].mean(axis=0))
    assert scores[test] == pytest.approx(peer.predict((x[test] - mean) / spread))


def test_what_events_and_marker_share_is_not_decoded() -> None:
    """The embedding shows the truth only; the marker is more frequent among events. Within them it cannot be told."""
    rng = np.random.default_rng(2)
    truth = rng.random(1500) < 0.4
    marker = rng.random(1500) < np.where(truth, 0.7, 0.2)
    x = rng.normal(size=(1500, 3)) + 2.0 * truth[:, None]
    plain = cross_fitted_probe(x, marker[:, None] * 1.0)[:, 0]
    assert auc(marker, plain) > 0.65
    found = stratified_auc(marker, cross_fitted_probe(x, marker[:, None] * 1.0, truth=truth)[:, 0], truth)
    assert found.low < 0.5 < found.high


def test_what_the_embedding_holds_beyond_the_truth_is_decoded() -> None:
    rng = np.random.default_rng(3)
    truth, marker = rng.random(600) < 0.4, rng.random(600) < 0.5
    x = rng.normal(size=(600, 5))
    x[:, 1] += 1.5 * marker
    found = stratified_auc(marker, cross_fitted_probe(x, marker[:, None] * 1.0, truth=truth)[:, 0], truth)
    assert found.low > 0.75
    assert found.p < 1e-6


def test_one_stratum_is_the_plain_auc_with_delongs_variance() -> None:
    rng = np.random.default_rng(4)
    label, score = rng.random(200) < 0.5, rng.random(200)
    found = stratified_auc(label, score, np.zeros(200))
    peer = auc_interval(label, score)
    assert found.value == pytest.approx(auc(label, score))
    assert found.high - found.low == pytest.approx(peer.high - peer.low, rel=0.02)


def test_strata_are_weighted_by_their_pairs() -> None:
    """Strata of 2 x 2 and 2 x 4: all right and half right. Weights 4/4 and 8/6."""
    label = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0]
    score = [4, 3, 2, 1, 9, 1, 5, 4, 3, 2]
    found = stratified_auc(label, score, [0] * 4 + [1] * 6)
    assert found.value == pytest.approx((1 * 1 + 0.5 * 8 / 6) / (1 + 8 / 6))


def test_a_shift_in_one_stratum_is_a_difference_of_means() -> None:
    found = shift_given_truth([1.0, 3.0, 5.0, 7.0, 6.0], [0, 0, 1, 1, 1], [0] * 5)
    assert found.value == pytest.approx(6.0 - 2.0)


def test_a_shift_is_least_squares_with_an_intercept_for_each_stratum() -> None:
    rng = np.random.default_rng(5)
    stratum, label = rng.integers(0, 2, 300), rng.random(300) < 0.4
    value = 2.0 * stratum + 0.5 * label + rng.normal(size=300)
    peer = LinearRegression().fit(np.stack([label, stratum], axis=1), value)
    found = shift_given_truth(value, label, stratum)
    assert found.value == pytest.approx(peer.coef_[0])
    assert found.low < 0.5 < found.high


def test_rows_given_twice_say_no_more() -> None:
    rng = np.random.default_rng(6)
    label, value = rng.random(100) < 0.4, rng.normal(size=100)
    once = shift_given_truth(value, label, np.zeros(100))
    twice = shift_given_truth(np.tile(value, 2), np.tile(label, 2), np.zeros(200), subject=np.tile(np.arange(100), 2))
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_edges() -> None:
    assert stratified_auc([1, 1], [0.1, 0.2], [0, 0]).reason == "one-class"
    assert shift_given_truth([1.0, 2.0], [1, 1], [0, 0]).reason == "one-class"
    assert np.isnan(shift_given_truth([1.0, 2.0, 3.0], [1, 0, 0], [0, 0, 0]).low)
    constant = cross_fitted_probe(np.ones((10, 2)), np.tile([[0.0], [1.0]], (5, 1)))
    assert np.isfinite(constant).all()


def test_refusals() -> None:
    with pytest.raises(InputRefused, match="finite"):
        cross_fitted_probe([[np.nan], [1.0]], [[0], [1]])
    with pytest.raises(InputRefused, match="2 or more folds"):
        cross_fitted_probe([[1.0], [2.0]], [[0], [1]], n_folds=1)
    with pytest.raises(InputRefused, match="equal lengths"):
        cross_fitted_probe([[1.0], [2.0]], [[0], [1]], subject=["a"])


def test_a_probe_that_is_always_right_has_an_exact_bound() -> None:
    """Strata of 6 and 4 rows, half labelled: 3 + 2 independent pairs, all in order."""
    label, stratum = [1, 1, 1, 0, 0, 0, 1, 1, 0, 0], [0] * 6 + [1] * 4
    right = stratified_auc(label, np.array(label) * 2.0 + np.arange(10) * 0.01, stratum)
    assert (right.value, right.high, right.reason) == (1.0, 1.0, "zero-variance")
    assert right.low == pytest.approx(0.025 ** (1 / 5))
    assert right.p == pytest.approx(2 * 0.5**5)
    wrong = stratified_auc(label, -np.array(label) * 2.0, stratum)
    assert (wrong.value, wrong.low) == (0.0, 0.0)
    assert wrong.high == pytest.approx(1 - 0.025 ** (1 / 5))
    assert np.isnan(stratified_auc(label, np.zeros(10), stratum).p)  # a probe that says nothing is not tested
