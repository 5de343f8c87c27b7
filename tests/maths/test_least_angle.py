"""The least angle path of many samples at once, beside scikit-learn's of one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.least_angle import first_to_enter


def test_orthogonal_features_enter_by_their_correlation():
    features = np.array([[1, 1, 1.0], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    response = 1 * features[:, 0] + 3 * features[:, 1] - 2 * features[:, 2]
    assert first_to_enter(features[None], response[None], n_entering=3).tolist() == [[1, 2, 0]]


def test_a_feature_that_explains_what_is_left_enters_before_a_copy_of_the_first():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 40))
    features = np.stack([first, first + 0.01 * rng.normal(size=40), second], axis=1)
    entered = first_to_enter(features[None], (3 * first + second)[None], n_entering=2)[0]
    assert entered[0] in (0, 1)
    assert entered[1] == 2


@pytest.mark.parametrize("seed", range(4))
def test_as_scikit_learn(seed):
    from sklearn.linear_model import lars_path

    rng = np.random.default_rng(seed)
    n, p, q = 24, 40, 7
    features = rng.normal(size=(6, n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)))
    response = rng.normal(size=(6, n)) + features[:, :, 3]
    ours = first_to_enter(features, response, n_entering=q)
    compared = 0
    for x, y, found in zip(features, response, ours, strict=True):
        scaled = x - x.mean(axis=0)
        scaled = scaled / np.linalg.norm(scaled, axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, theirs, _ = lars_path(scaled, y - y.mean(), method="lar", max_iter=q)
        # Where a step is very short scikit-learn passes a feature over; coordinate descent has it where we have it.
        if len(theirs) == q:
            assert found.tolist() == list(theirs)
            compared += 1
    assert compared >= 5


def test_neither_scale_nor_shift_matters():
    rng = np.random.default_rng(1)
    features, response = rng.normal(size=(3, 20, 9)), rng.normal(size=(3, 20))
    other = features * rng.uniform(0.1, 100, 9) + rng.normal(size=9)
    assert np.array_equal(
        first_to_enter(features, response, n_entering=4), first_to_enter(other, 7 * response - 2, n_entering=4)
    )


def test_what_does_not_vary_never_enters():
    features = np.ones((1, 8, 3))
    features[0, :, 1] = np.arange(8)
    assert first_to_enter(features, np.arange(8.0)[None], n_entering=3).tolist() == [[1, -1, -1]]


def test_equal_features_both_enter():
    same = np.random.default_rng(2).normal(size=10)
    features = np.stack([same, same], axis=1)[None]
    assert set(first_to_enter(features, same[None], n_entering=2)[0].tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("features", "response", "message"),
    [
        (np.zeros((4, 2)), np.zeros(4), r"\(4, 2\)"),
        (np.zeros((1, 4, 2)), np.zeros((1, 3)), r"\(1, 3\)"),
        (np.full((1, 4, 2), np.nan), np.zeros((1, 4)), "NaN or infinite"),
    ],
)
def test_what_is_refused(features, response, message):
    with pytest.raises(InputRefused, match=message):
        first_to_enter(features, response, n_entering=1)
