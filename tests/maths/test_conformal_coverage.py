"""The conformal guarantee itself, over draws of calibration *and* test patients.

The mean coverage must lie in [1 - alpha, 1 - alpha + 1 / (n + 1)], give or take three standard errors; for one random
image of patients with several, the upper end is 1 - alpha + 2 / (n + 1).
"""

import math

import numpy as np
import pytest

from fiducial.maths.conformal import (
    conformal_quantile,
    coverage_p_value,
    covered_share,
    group_quantiles,
    prediction_interval,
    residual_scores,
)
from fiducial.maths.conformal_sets import METHODS, label_scores, label_sets, true_scores


def assert_kept(coverage, n, alpha, *, slack=1):
    """The mean over draws [draws] keeps the promise of n calibration patients, and does not exceed it."""
    error = np.std(coverage) / math.sqrt(len(coverage))
    low, high = 1 - alpha - 3 * error, 1 - alpha + slack / (n + 1) + 3 * error
    assert low <= np.mean(coverage) <= high, (low, np.mean(coverage), high)


def label_tables(rng, n_draws, n_rows, n_classes=3):
    """Probabilities that are too sure of themselves, truths, and uniform numbers, [draws, rows, ...]."""
    chance = rng.dirichlet(np.full(n_classes, 0.7), (n_draws, n_rows))
    truth = (rng.random((n_draws, n_rows, 1)) > chance.cumsum(axis=2)).sum(axis=2).clip(max=n_classes - 1)
    sharp = chance**2 / (chance**2).sum(axis=2, keepdims=True)
    return sharp, truth, rng.random((n_draws, n_rows))


def label_coverage(rng, method, n, alpha, n_draws, *, by_class=False):
    probability, truth, uniform = label_tables(rng, n_draws, n + 100)
    u = None if method == "lac" else uniform.reshape(-1)
    scores = label_scores(probability.reshape(-1, 3), method, uniform=u).reshape(n_draws, n + 100, 3)
    found = []
    for own, labels in zip(scores, truth, strict=True):
        true = true_scores(own, labels)
        if by_class:
            quantiles = group_quantiles(true[:n], labels[:n], alpha)
            quantile = [quantiles.get(c, math.inf) for c in range(3)]
        else:
            quantile = conformal_quantile(true[:n], alpha)
        found.append(label_sets(own[n:], quantile)[np.arange(100), labels[n:]])
    return np.array(found), truth[:, n:]


@pytest.mark.parametrize("method", METHODS)
def test_label_sets_quick_look(method):
    held, _ = label_coverage(np.random.default_rng(0), method, 50, 0.1, 300)
    assert_kept(held.mean(axis=1), 50, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [19, 50, 150, 400])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_label_sets(method, n, alpha):
    held, _ = label_coverage(np.random.default_rng(n), method, n, alpha, 1000)
    assert_kept(held.mean(axis=1), n, alpha)


def test_every_class_keeps_its_own_promise():
    """About 60 calibration images of each class; in draws with fewer than 9 everything is held."""
    held, truth = label_coverage(np.random.default_rng(1), "lac", 180, 0.1, 400, by_class=True)
    for c in range(3):
        inside = truth == c
        coverage = np.array([hits[rows].mean() for hits, rows in zip(held, inside, strict=True)])
        assert_kept(coverage, 40, 0.1)  # n varies around 60: the upper end of a smaller n


def correlated(rng, n_patients, *, largest=5):
    """Scores of 1 to 5 images a patient, correlated by 0.6; patients with more images have larger scores."""
    n_images = rng.integers(1, largest + 1, n_patients)
    subject = np.repeat(np.arange(n_patients), n_images)
    level = rng.normal(size=n_patients) + 0.5 * n_images
    return subject, math.sqrt(0.6) * level[subject] + math.sqrt(0.4) * rng.normal(size=len(subject))


def patient_coverage(rng, n, alpha, images, n_draws, *, as_patients=True):
    found = []
    for _ in range(n_draws):
        subject, scores = correlated(rng, n + 100)
        own = subject < n
        known = {"subject": subject[own], "images": images} if as_patients else {}
        covered = scores[~own] <= conformal_quantile(scores[own], alpha, **known)
        found.append(covered_share(covered, subject=subject[~own], images=images).mean())
    return np.array(found)


@pytest.mark.parametrize("images", ["one", "all"])
def test_patients_with_several_images_quick_look(images):
    coverage = patient_coverage(np.random.default_rng(2), 60, 0.1, images, 400)
    assert_kept(coverage, 60, 0.1, slack=2 if images == "one" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("images", ["one", "all"])
@pytest.mark.parametrize("n", [20, 60, 200, 500])
def test_patients_with_several_images(images, n):
    coverage = patient_coverage(np.random.default_rng(n), n, 0.1, images, 1000)
    assert_kept(coverage, n, 0.1, slack=2 if images == "one" else 1)


def test_images_taken_for_patients_would_break_the_promise_of_all_images():
    """The plain quantile of images does not hold for all images of a patient: the simulation can fail."""
    coverage = patient_coverage(np.random.default_rng(3), 60, 0.1, "all", 200, as_patients=False)
    assert coverage.mean() < 0.85


@pytest.mark.parametrize("normalised", [False, True])
def test_intervals_of_numbers(normalised):
    """Errors that grow with the spread: both kinds keep the promise, the normalised one in narrow cases too."""
    rng = np.random.default_rng(4)
    found, narrow = [], []
    for _ in range(400):
        spread = rng.uniform(1, 5, 160)
        predicted = rng.normal(size=160)
        truth = predicted + spread * rng.standard_t(4, 160)
        known = spread if normalised else np.ones(160)
        quantile = conformal_quantile(residual_scores(truth[:60], predicted[:60], spread=known[:60]), 0.1)
        low, high = prediction_interval(predicted[60:], quantile, spread=known[60:])
        held = (low <= truth[60:]) & (truth[60:] <= high)
        found.append(held.mean())
        narrow.append(held[spread[60:] < 2].mean())
    assert_kept(np.array(found), 60, 0.1)
    assert abs(np.mean(narrow) - 0.9) < 0.02 or not normalised
    assert np.mean(narrow) > 0.97 or normalised


def false_alarms(rng, n, m, n_draws, images):
    p = []
    for _ in range(n_draws):
        subject, scores = correlated(rng, n + m, largest=1 if images == "single" else 3)
        own, kind = subject < n, "one" if images == "single" else images
        quantile = conformal_quantile(scores[own], 0.1, subject=subject[own], images=kind)
        p.append(coverage_p_value(covered_share(scores[~own] <= quantile, subject=subject[~own], images=kind), n, 0.1))
    return np.mean(np.array(p) < 0.05)


@pytest.mark.parametrize("images", ["single", "one", "all"])
def test_the_test_of_coverage_fires_on_clean_tables_as_often_as_it_says(images):
    share = false_alarms(np.random.default_rng(5), 40, 120, 500, images)
    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)
    assert share > 0.005


@pytest.mark.slow
@pytest.mark.parametrize("images", ["single", "one", "all"])
@pytest.mark.parametrize(("n", "m"), [(20, 50), (100, 300), (300, 100)])
def test_the_test_of_coverage(images, n, m):
    share = false_alarms(np.random.default_rng(n), n, m, 3000, images)
    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 3000)
