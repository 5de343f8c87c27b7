"""Discrimination within folds: counts by hand, AUC and C-index as known, and no bias where there is nothing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.delong import delong
from fiducial.maths.intervals import auc_interval
from fiducial.maths.pairs_in_folds import (
    concordance_difference,
    concordance_in_folds,
    pairs_of_classes,
    pairs_of_times,
)

TRUTH = np.array([1, 1, 0, 0])


def test_only_pairs_of_one_fold_count():
    scores, folds = np.array([[0.9, 0.2, 0.8, 0.3]]), np.array([[0, 1, 0, 1]])
    # Fold 0: 0.9 above 0.8; fold 1: 0.2 below 0.3.
    assert concordance_in_folds(pairs_of_classes(TRUTH), scores, folds).value == 0.5
    together = concordance_in_folds(pairs_of_classes(TRUTH), scores, np.zeros((1, 4)), learned=False)
    assert together.value == 0.5


def test_repeats_are_counted_by_their_pairs():
    scores = np.array([[3.0, 0, 2, 1], [3, 0, 2, 1]])
    folds = np.array([[0, 1, 0, 1], [0, 0, 1, 0]])
    # First repeat: 1 of 2 in order; second: patients 0, 1, 3 together, 1 of 2 in order.
    assert concordance_in_folds(pairs_of_classes(TRUTH), scores, folds).value == pytest.approx(2 / 4)
    tied = concordance_in_folds(pairs_of_classes(TRUTH), np.zeros((2, 4)), folds)
    assert (tied.value, math.isnan(tied.low), tied.reason) == (0.5, True, "zero-variance")


def test_times_by_hand():
    # Events at 1 and 3, censored at 2 and 3: pairs (0;1,2,3) and (2;3).
    pairs = pairs_of_times([1, 2, 3, 3], [1, 0, 1, 0])
    assert np.argwhere(pairs.should).tolist() == [[0, 1], [0, 2], [0, 3], [2, 3]]
    found = concordance_in_folds(pairs, np.array([[5.0, 6, 1, 2]]), np.zeros((1, 4)), learned=False)
    assert found.value == pytest.approx(2 / 4)


def test_one_fold_is_the_auc_and_nearly_its_interval():
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.4
    score = rng.normal(size=200) + truth
    found = concordance_in_folds(pairs_of_classes(truth), score[None], np.zeros((1, 200)), learned=False)
    known = auc_interval(truth, score)
    assert found.value == pytest.approx(delong(truth, score).auc)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.004)


def test_one_fold_is_harrells_c():
    from lifelines.utils import concordance_index

    rng = np.random.default_rng(1)
    time, event, risk = np.ceil(rng.exponential(20, 80)), rng.random(80) < 0.6, np.round(rng.normal(size=80), 1)
    found = concordance_in_folds(pairs_of_times(time, event), risk[None], np.zeros((1, 80)), learned=False)
    assert found.value == pytest.approx(concordance_index(time, -risk, event))


def test_a_constant_of_each_fold_is_no_skill():
    """The share of events in training says nothing of who was left out; pooled, it would order them the wrong way."""
    rng = np.random.default_rng(2)
    truth = rng.random(40) < 0.5
    folds = rng.integers(0, 5, (1, 40))
    constant = np.array([truth[folds[0] != k].mean() for k in range(5)])[folds]
    assert concordance_in_folds(pairs_of_classes(truth), constant, folds).value == 0.5
    assert delong(truth, constant[0]).auc < 0.45


def test_of_nothing_the_expectation_is_one_half():
    """Over all labellings of eight patients, a rule that learns from the other fold is right half of the time."""
    x = np.array([0.1, 2.0, -1.3, 0.7, 0.4, -0.2, 1.1, -2.2])
    folds = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    order = weight = 0.0
    for positives in itertools.combinations(range(8), 4):
        truth = np.isin(np.arange(8), positives)
        scores = np.zeros(8)
        for k in (0, 1):
            train = folds != k
            if 0 < truth[train].sum() < 4:
                scores[~train] = x[~train] * np.sign(x[train & truth].mean() - x[train & ~truth].mean())
        n = sum(int((truth & (folds == k)).sum() * (~truth & (folds == k)).sum()) for k in (0, 1))
        if n:
            order += n * concordance_in_folds(pairs_of_classes(truth), scores[None], folds[None]).value
            weight += n
    assert order / weight == pytest.approx(0.5, abs=1e-12)


def test_differences_are_paired_and_turn_their_sign():
    rng = np.random.default_rng(3)
    truth = rng.random(60) < 0.4
    folds = rng.integers(0, 5, (4, 60))
    first, second = rng.normal(size=(2, 4, 60)) + truth * np.array([1.5, 0.2])[:, None, None]
    pairs = pairs_of_classes(truth)
    one, two = concordance_difference(pairs, first, second, folds), concordance_difference(pairs, second, first, folds)
    own = [concordance_in_folds(pairs, scores, folds).value for scores in (first, second)]
    assert one.value == pytest.approx(own[0] - own[1])
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    assert one.p == pytest.approx(two.p)
    same = concordance_difference(pairs, first, first, folds)
    assert (same.value, same.reason) == (0.0, "equal-values")


def test_what_was_learned_has_a_wider_interval():
    """Five folds: the variance times 1 + 5 / 4, on the logit scale and for differences."""
    rng = np.random.default_rng(4)
    truth = rng.random(60) < 0.4
    folds = np.stack([rng.permutation(np.arange(60) % 5) for _ in range(3)])
    first, second = rng.normal(size=(2, 3, 60)) + truth
    pairs = pairs_of_classes(truth)
    known, learned = (concordance_in_folds(pairs, first, folds, learned=word) for word in (False, True))
    widths = [math.log(one.high / (1 - one.high)) - math.log(one.low / (1 - one.low)) for one in (known, learned)]
    assert widths[1] / widths[0] == pytest.approx(1.5)
    known, learned = (concordance_difference(pairs, first, second, folds, learned=word) for word in (False, True))
    assert (learned.high - learned.low) / (known.high - known.low) == pytest.approx(1.5)
    assert learned.p > known.p


def test_one_class_has_no_value():
    found = concordance_in_folds(pairs_of_classes([1, 1]), np.zeros((1, 2)), np.zeros((1, 2)), learned=False)
    assert math.isnan(found.value)
    assert found.reason == "one-class"


def test_what_is_refused():
    pairs = pairs_of_classes(TRUTH)
    with pytest.raises(InputRefused, match=r"scores \(1, 3\)"):
        concordance_in_folds(pairs, np.zeros((1, 3)), np.zeros((1, 3)))
    with pytest.raises(InputRefused, match=r"scores \(1, 4\)"):
        concordance_in_folds(pairs, np.full((1, 4), np.nan), np.zeros((1, 4)))
    with pytest.raises(InputRefused, match="one fold"):
        concordance_in_folds(pairs, np.zeros((1, 4)), np.zeros((1, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("skill", [0.5, 0.75, 0.9])
def test_the_interval_holds_for_scores_that_are_given(skill):
    from scipy.special import ndtri

    shift, hits, n_all = math.sqrt(2) * ndtri(skill), 0, 2000
    rng = np.random.default_rng(5)
    truth = np.arange(50) < 20
    for _ in range(n_all):
        score = rng.normal(size=50) + shift * truth
        folds = np.stack([rng.permutation(np.arange(50) % 5) for _ in range(10)])
        found = concordance_in_folds(pairs_of_classes(truth), np.tile(score, (10, 1)), folds, learned=False)
        hits += found.low <= skill <= found.high
    assert 0.93 < hits / n_all < 0.985
