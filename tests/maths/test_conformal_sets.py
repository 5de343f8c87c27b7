"""Label sets: by hand, against MAPIE on the same probabilities, and laws."""

import math
from itertools import pairwise

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.conformal import conformal_quantile, group_quantiles
from fiducial.maths.conformal_sets import METHODS, Raps, label_scores, label_sets, raps_parameters, true_scores

THREE = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])


def drawn(n, n_classes=4, seed=0, sharpness=1.0):
    """Probabilities, and truths that they are right about if ``sharpness`` is 1."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.full(n_classes, 0.6), n)
    chance = probability**sharpness / (probability**sharpness).sum(axis=1, keepdims=True)
    truth = (rng.random(n)[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    return probability, np.minimum(truth, n_classes - 1)


def test_scores_by_hand():
    assert label_scores(THREE, "lac") == pytest.approx(1 - THREE)
    assert label_scores(THREE, "aps") == pytest.approx(np.array([[0.5, 0.8, 1], [1, 0.9, 0.7]]))
    half = label_scores(THREE, "aps", uniform=[0.5, 0])
    assert half == pytest.approx(np.array([[0.25, 0.65, 0.9], [0.9, 0.7, 0]]))
    raps = label_scores(THREE, "raps", raps=Raps(penalty=0.1, free_ranks=1))
    assert raps == pytest.approx(np.array([[0.5, 0.9, 1.2], [1.2, 1.0, 0.7]]))
    assert true_scores(raps, [1, 0]) == pytest.approx([0.9, 1.2])


def test_sets_by_hand():
    scores = label_scores(THREE, "aps")
    assert label_sets(scores, 0.85).tolist() == [[True, True, False], [False, False, True]]
    assert label_sets(scores, math.inf).all()
    by_class = label_sets(scores, [0.4, 0.95, math.inf])
    assert by_class.tolist() == [[False, True, True], [False, True, True]]


def test_ties_are_ranked_by_the_order_of_the_classes():
    assert label_scores([[0.4, 0.4, 0.2]], "aps") == pytest.approx(np.array([[0.4, 0.8, 1]]))


def test_raps_takes_the_rank_that_holds_the_truth():
    """The truth is always the second most probable of four: two free ranks."""
    probability = np.tile([0.5, 0.3, 0.15, 0.05], (50, 1))
    assert raps_parameters(probability, np.ones(50), 0.1).free_ranks == 2


class Given:
    """An estimator that was fitted elsewhere: its features are its probabilities."""

    def __init__(self, n_classes):
        self.classes_ = np.arange(n_classes)

    def fit(self, *_):
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(axis=1)

    def __sklearn_is_fitted__(self):
        return True

    def get_params(self, **_):
        return {"n_classes": len(self.classes_)}


def by_mapie(score, calibration, test, alpha, **predict):
    """MAPIE's conformity score object and sets, with random state 5."""
    from mapie.classification import SplitConformalClassifier

    x, y = calibration
    sets = SplitConformalClassifier(
        Given(x.shape[1]), confidence_level=1 - alpha, conformity_score=score, prefit=True, random_state=5
    ).conformalize(x, y)
    _, held = sets.predict_set(test, conformity_score_params=predict)
    return sets._mapie_classifier.conformity_score_function_, held[:, :, 0]


@pytest.mark.parametrize("alpha", [0.1, 0.25])
def test_lac_equals_mapie(alpha):
    """Quantile to 1e-12, and every set."""
    calibration, (test, _) = drawn(300), drawn(200, seed=1)
    peer, theirs = by_mapie("lac", calibration, test, alpha)
    quantile = conformal_quantile(true_scores(label_scores(calibration[0], "lac"), calibration[1]), alpha)
    assert float(peer.quantiles_[0]) == pytest.approx(quantile, abs=1e-12)
    assert np.array_equal(label_sets(label_scores(test, "lac"), quantile), theirs)


def test_aps_equals_mapie_where_both_are_randomised():
    """MAPIE takes u p off the calibration score and adds u p at prediction: our u is 1 - u and then u."""
    calibration, (test, _) = drawn(300), drawn(200, seed=1)
    peer, theirs = by_mapie("aps", calibration, test, 0.1, include_last_label="randomized")
    u = np.random.RandomState(5).uniform(size=300)
    scores = label_scores(calibration[0], "aps", uniform=1 - u)
    quantile = conformal_quantile(true_scores(scores, calibration[1]), 0.1)
    assert float(peer.quantiles_[0]) == pytest.approx(quantile, abs=1e-12)
    u = np.random.RandomState(5).uniform(size=200)
    assert np.array_equal(label_sets(label_scores(test, "aps", uniform=1 - u), quantile), theirs)


def test_without_randomisation_mapie_mixes_two_scores_and_its_sets_hold_ours():
    """MAPIE draws u for the calibration scores even then, and puts the label that crosses the quantile into each set.

    So its sets hold more than the promise asks for. Ours take u = 1 on both sides, which is one score and exact.
    """
    calibration, (test, _) = drawn(300), drawn(200, seed=1)
    peer, theirs = by_mapie("aps", calibration, test, 0.1, include_last_label=True)
    scores = label_scores(test, "aps", uniform=np.zeros(200))  # a label's score is what lies above it
    same = label_sets(scores, np.nextafter(float(peer.quantiles_[0]), 0))
    assert np.array_equal(same, theirs)


def test_raps_has_mapies_quantile_with_mapies_parameters():
    """MAPIE picks penalty and free ranks on a tenth of the calibration part, which it then leaves out.

    It adds 1 to the conformal quantile of ranks counted from 0, as we count from 1. Its randomised sets divide by
    p - penalty (L - free ranks) + penalty at the last label, where ours have p: those are not compared.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    calibration, (test, _) = drawn(400, 6), drawn(200, 6, seed=1)
    peer, _ = by_mapie("raps", calibration, test, 0.1)
    split = StratifiedShuffleSplit(n_splits=1, random_state=5)
    rest, tuning = next(split.split(*calibration))
    x, y = (part[rest] for part in calibration)
    chosen = Raps(float(peer.lambda_star), int(peer.k_star[0]))
    assert raps_parameters(*(part[tuning] for part in calibration), 0.1).free_ranks == chosen.free_ranks
    u = np.random.RandomState(5).uniform(size=len(y))
    scores = label_scores(x, "raps", uniform=1 - u, raps=chosen)
    assert float(peer.quantiles_[0]) == pytest.approx(conformal_quantile(true_scores(scores, y), 0.1), abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_sets_grow_as_alpha_falls(method):
    (x, y), (test, _) = drawn(300), drawn(100, seed=1)
    own = true_scores(label_scores(x, method), y)
    held = [label_sets(label_scores(test, method), conformal_quantile(own, a)) for a in (0.3, 0.2, 0.1, 0.05, 0.001)]
    assert all((small <= large).all() for small, large in pairwise(held))
    assert held[-1].all()


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_classes_and_images_makes_no_difference(method):
    probability, _ = drawn(50)
    classes, images = [2, 0, 3, 1], np.random.default_rng(0).permutation(50)
    scores = label_scores(probability, method)
    assert label_scores(probability[:, classes], method) == pytest.approx(scores[:, classes], abs=1e-12)
    assert np.array_equal(label_scores(probability[images], method), scores[images])


def test_sets_by_class_cover_a_rare_class_that_common_sets_miss():
    rng = np.random.default_rng(0)
    truth = (rng.random(20_000) < 0.1).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=20_000) + 1.5 * truth - 2.5)))
    p = np.stack([1 - score, score], axis=1)
    own, test = slice(0, 10_000), slice(10_000, None)
    scores = label_scores(p, "lac")
    common = conformal_quantile(true_scores(scores[own], truth[own]), 0.1)
    found = group_quantiles(true_scores(scores[own], truth[own]), truth[own], 0.1)
    rare = truth[test] == 1
    for quantile, low, high in ((common, 0.0, 0.3), ([found[0], found[1]], 0.87, 0.93)):
        held = label_sets(scores[test], quantile)[rare, 1]
        assert low < held.mean() < high


def test_refusals():
    with pytest.raises(InputRefused, match="shape"):
        label_scores([0.5, 0.5], "lac")
    with pytest.raises(InputRefused, match="2"):
        label_scores([[2.0, 0.1]], "lac")
    with pytest.raises(InputRefused, match="lac, aps, raps"):
        label_scores(THREE, "naive")
    with pytest.raises(InputRefused, match="uniform"):
        label_scores(THREE, "aps", uniform=[0.5])
    with pytest.raises(InputRefused, match="0 to 2"):
        true_scores(label_scores(THREE, "lac"), [0, 3])
