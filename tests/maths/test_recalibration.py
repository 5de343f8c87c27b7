import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression
from scipy.special import expit, softmax
from sklearn.isotonic import IsotonicRegression

from fiducial.errors import InputRefused
from fiducial.maths.calibration import fit_recalibration, log_loss, logit
from fiducial.maths.recalibration import (
    ClassTemperature,
    Part,
    fit_class_isotonic,
    fit_class_temperature,
    fit_isotonic,
    fit_temperature,
    fit_venn_abers,
    map_difference,
    out_of_fold,
)


def rows(n=2000, *, slope=1.0, intercept=0.0, seed=0):
    """Scores whose true log odds are intercept + slope logit(score)."""
    rng = np.random.default_rng(seed)
    score = expit(rng.normal(-0.5, 1.2, n))
    return rng.random(n) < expit(intercept + slope * logit(score)), score


def three(n=1500, *, temperature=2.5, seed=0):
    """Probabilities of three classes that are too sure by ``temperature``."""
    rng = np.random.default_rng(seed)
    honest = softmax(rng.normal(size=(n, 3)) * 1.5, axis=1)
    truth = (rng.random((n, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    return truth, softmax(np.log(honest) * temperature, axis=1)


def brute(truth, score, new, label):
    """The isotonic value of a new case, by adding it and fitting again."""
    at, which = np.unique(np.append(score, new), return_inverse=True)
    counts = np.bincount(which)
    mean = np.bincount(which, np.append(truth, label)) / counts
    return isotonic_regression(mean, weights=counts).x[np.searchsorted(at, new)]


def test_isotonic_of_four_cases():
    """0 1 0 1: the middle two are out of order and share 1/2."""
    found = fit_isotonic([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.9])
    assert found.apply([0.0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.0]) == pytest.approx([0, 0, 0.5, 0.5, 0.5, 1, 1])
    assert found.apply(0.65) == pytest.approx(0.75)  # straight between 0.4 and 0.9


def test_venn_abers_of_two_cases():
    """A negative at 0.2 and a positive at 0.8: what a new case of each label makes of them, by hand."""
    found = fit_venn_abers([0, 1], [0.2, 0.8])
    low, high = found.interval([0.1, 0.2, 0.5, 0.8, 0.9])
    assert low == pytest.approx([0, 0, 0, 1 / 2, 1 / 2])
    assert high == pytest.approx([1 / 2, 1 / 2, 1, 1, 1])
    assert found.apply([0.5]) == pytest.approx([1 / 2])


def test_temperature_of_two_scores():
    """0.9 is right in 70 %: the temperature is log 9 / log(7/3); the mirrored score says the same."""
    truth, score = [1] * 7 + [0] * 3 + [0] * 7 + [1] * 3, [0.9] * 10 + [0.1] * 10
    found = fit_temperature(truth, score)
    assert 1 / found.slope == pytest.approx(math.log(9) / math.log(7 / 3))
    assert found.apply([0.9, 0.5]) == pytest.approx([0.7, 0.5])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_several_classes_is_found(temperature):
    found = fit_class_temperature(*three(20_000, temperature=temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.05)


def test_two_classes_have_the_binary_temperature():
    truth, score = rows(slope=0.5)
    both = fit_class_temperature(truth.astype(int), np.stack([1 - score, score], axis=1))
    assert both.temperature == pytest.approx(1 / fit_temperature(truth, score).slope, rel=1e-4)


def test_isotonic_against_scikit_learn():
    truth, score = rows(700, slope=0.6)
    score = np.round(score, 2)  # ties
    new = np.linspace(0, 1, 301)
    peer = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, truth)
    assert fit_isotonic(truth, score).apply(new) == pytest.approx(peer.predict(new), abs=1e-12)


def test_one_against_the_rest_against_scikit_learn():
    truth, score = three()
    found = fit_class_isotonic(truth, score).apply(score)
    columns = [
        IsotonicRegression(out_of_bounds="clip").fit(score[:, k], truth == k).predict(score[:, k]) for k in range(3)
    ]
    peer = np.stack(columns, axis=1)
    assert found == pytest.approx(peer / peer.sum(axis=1, keepdims=True), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 100_000), st.integers(3, 40), st.integers(1, 3))
def test_venn_abers_is_exactly_two_refits_of_every_new_case(seed, n, digits):
    rng = np.random.default_rng(seed)
    score, truth = np.round(rng.random(n), digits), rng.random(n) < rng.random()
    truth[:2] = [True, False]
    new = np.round(rng.random(12), digits + 1)
    low, high = fit_venn_abers(truth, score).interval(new)
    assert low == pytest.approx([brute(truth, score, one, 0) for one in new], abs=1e-12)
    assert high == pytest.approx([brute(truth, score, one, 1) for one in new], abs=1e-12)


def test_venn_abers_against_mapie():
    from mapie._venn_abers import VennAbers

    truth, score = rows(500, slope=0.7)
    new = rows(200, seed=1)[1]
    peer = VennAbers()
    with np.errstate(all="ignore"):  # it divides 0 by 0 on the way
        peer.fit(np.stack([1 - score, score], axis=1), truth.astype(int))
    merged, both = peer.predict_proba(np.stack([1 - new, new], axis=1))
    found = fit_venn_abers(truth, score)
    low, high = found.interval(new)
    assert low == pytest.approx(both[:, 0], abs=1e-9)
    assert high == pytest.approx(both[:, 1], abs=1e-9)
    assert found.apply(new) == pytest.approx(merged[:, 1], abs=1e-9)


@pytest.mark.parametrize("fit", [fit_temperature, fit_recalibration, fit_isotonic, fit_venn_abers])
def test_every_map_rises_stays_in_range_and_mends(fit):
    truth, score = rows(3000, slope=0.4)
    fresh_truth, fresh = rows(3000, slope=0.4, seed=1)
    found = fit(truth, score)
    grid = found.apply(np.linspace(0, 1, 501))
    assert (np.diff(grid) >= -1e-12).all()
    assert grid.min() >= 0
    assert grid.max() <= 1
    assert log_loss(fresh_truth, found.apply(fresh)) < log_loss(fresh_truth, fresh) - 0.02


def test_venn_abers_holds_its_own_probability_between_its_ends():
    truth, score = rows(300)
    found = fit_venn_abers(truth, score)
    low, high = found.interval(np.linspace(0, 1, 101))
    middle = found.apply(np.linspace(0, 1, 101))
    assert (low < high).all()
    assert ((low <= middle) & (middle <= high)).all()


def test_rows_of_several_classes_add_up_to_1_and_keep_their_order():
    truth, score = three()
    for found in (fit_class_temperature(truth, score), fit_class_isotonic(truth, score)):
        assert found.apply(score).sum(axis=1) == pytest.approx(np.ones(len(score)))
    assert (ClassTemperature(3.0).apply(score).argmax(axis=1) == score.argmax(axis=1)).all()
    assert ClassTemperature(1.0).apply(score) == pytest.approx(score, abs=1e-5)


def test_held_out_rows_do_not_know_themselves():
    """Every row's map comes from the other fold: constant truths of one fold turn up in the other."""
    truth = np.array([0, 1, 0, 1, 1, 1, 0, 1])
    score, fold = np.full(8, 0.5), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    found = out_of_fold(fit_isotonic, truth, score, fold)
    assert found == pytest.approx([0.75] * 4 + [0.5] * 4)


def test_the_difference_of_two_equal_parts_is_0_and_of_two_others_is_found():
    subject = np.arange(2000)
    first, second = (Part(*rows(seed=seed), subject) for seed in (0, 1))
    same = map_difference(first, first)
    assert (same.slope.value, same.at_mean.value, same.slope.p) == pytest.approx((0, 0, 1))
    other = Part(*rows(slope=1.5, intercept=0.6, seed=2), subject)
    for part, inside in ((second, True), (other, False)):
        found = map_difference(first, part)
        assert (found.slope.p > 0.01) is inside
        assert (found.slope.low < 0 < found.slope.high) is inside
    assert map_difference(first, other).slope.value == pytest.approx(0.5, abs=0.25)


@pytest.mark.slow
def test_equal_parts_differ_no_more_often_than_nominal():
    """2,000 pairs of 120 and 240 rows, of 1 to 3 rows a patient."""
    fired = np.zeros(2)
    for seed in range(2000):
        subject = np.repeat(np.arange(200), np.random.default_rng(seed).integers(1, 4, 200))
        parts = []
        for n, offset in ((120, 0), (240, 10_000)):
            rng = np.random.default_rng(seed + offset)
            own = rng.normal(size=200)[subject[:n]]
            score = expit(rng.normal(-0.5, 1.2, n))
            parts.append(Part(rng.random(n) < expit(logit(score) + 0.8 * own), score, subject[:n]))
        found = map_difference(*parts)
        fired += [found.slope.p < 0.05, found.at_mean.p < 0.05]
    assert (fired / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)).all(), fired / 2000


@pytest.mark.slow
def test_one_of_p0_and_p1_is_calibrated():
    """Mean of the multiprobability's right member equals the event rate (validity), over draws of 100 cases."""
    gaps = []
    for seed in range(3000):
        truth, score = rows(101, slope=0.3, seed=seed)
        if truth[1:].all() or not truth[1:].any():
            continue
        low, high = fit_venn_abers(truth[1:], score[1:]).interval(score[:1])
        gaps.append((high if truth[0] else low)[0] - truth[0])
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / math.sqrt(len(gaps))


def test_edges():
    assert fit_recalibration([0, 1, 1, 1], [0.5] * 4).slope == 1
    assert fit_isotonic([0, 1, 1, 1], [0.5] * 4).apply([0.2, 0.9]) == pytest.approx([0.75, 0.75])
    nobody = fit_class_isotonic([0, 1, 2], np.eye(3))
    assert nobody.apply(np.full((1, 3), 0.0)).sum() >= 0
    alike = Part(np.array([True, False] * 10), np.full(20, 0.5), np.arange(20))
    assert map_difference(alike, alike).slope.reason == "no-fit"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_isotonic([0, 0], [0.2, 0.3]), "0 positive of 2 rows: one-class"),
        (lambda: fit_venn_abers([], []), "0 positive of 0 rows: no-rows"),
        (lambda: fit_temperature([0, 1], [0.2, 0.7]), "best 1 / T is inf"),
        (lambda: fit_temperature([1, 1, 0, 0, 1], [0.2, 0.3, 0.7, 0.9, 0.6]), "best 1 / T is -"),
        (lambda: fit_class_temperature([0, 1], [[0.9, 0.1], [0.2, 0.8]]), "likelihood has no maximum"),
        (lambda: fit_class_temperature([0, 3], [[0.9, 0.1], [0.2, 0.8]]), "2 true classes"),
        (lambda: fit_class_temperature([0, 1], [0.2, 0.8]), r"shape \(2,\)"),
        (lambda: fit_isotonic([0, 1], [0.2, 1.7]), r"score 1.7 in row 2"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputRefused, match=message):
        call()
