"""The guarantee itself: how often 95 % intervals hold the truth, over clusters of 1 to 5 rows."""

import numpy as np
import pytest
from scipy.special import expit, ndtri

from fiducial.maths.bootstrap import auc_of, clustered_bootstrap, ece_of
from fiducial.maths.calibration import bin_edges, calibration_slope_intercept, logit
from fiducial.maths.intervals import auc_interval, bootstrap_interval, gap_interval, mean_interval, rate_interval


def clusters(rng, n_subjects, largest=5):
    return np.repeat(np.arange(n_subjects), rng.integers(1, largest + 1, n_subjects))


def latent(rng, subject, correlation):
    """Standard normal values, correlated within a subject."""
    effect = rng.normal(size=subject.max() + 1)[subject]
    return np.sqrt(correlation) * effect + np.sqrt(1 - correlation) * rng.normal(size=len(subject))


def auc_holds(rng, n, area, *, mixed):
    subject = clusters(rng, n)
    truth = rng.random(len(subject)) < 0.3 if mixed else (rng.random(n) < 0.3)[subject]
    score = latent(rng, subject, 0.5) + truth * np.sqrt(2) * ndtri(area)
    found = auc_interval(truth, score, subject=subject)
    return found.low <= area <= found.high


def rate_holds(rng, n, rate, correlation):
    subject = clusters(rng, n)
    found = rate_interval(latent(rng, subject, correlation) < ndtri(rate), subject=subject)
    return found.low <= rate <= found.high


DICE_MEAN = float(expit(2.2 + 0.9 * ndtri((np.arange(100_000) + 0.5) / 100_000)).mean())


def mean_holds(rng, n, largest=5):
    subject = clusters(rng, n, largest)
    dice = expit(2.2 + 0.9 * latent(rng, subject, 0.5))
    found = mean_interval(dice, subject=subject, bounds=(0, 1))
    return found.low <= DICE_MEAN <= found.high


def share(function, n_trials, *given, seed=0, **named):
    rng = np.random.default_rng(seed)
    return np.mean([function(rng, *given, **named) for _ in range(n_trials)])


def test_quick_look():
    """300 trials: a share below 0.91 would be three standard errors under 0.95."""
    assert share(auc_holds, 300, 100, 0.9, mixed=True) > 0.91
    assert share(rate_holds, 300, 100, 0.9, 0.5) > 0.91
    assert share(mean_holds, 300, 100) > 0.91


def test_rows_taken_for_patients_would_fail():
    """The same intervals without clusters hold the truth far too seldom, so the simulation can fail."""

    def naive(rng):
        subject = np.repeat(np.arange(40), 5)
        found = rate_interval(latent(rng, subject, 0.8) < ndtri(0.8))
        return found.low <= 0.8 <= found.high

    assert share(naive, 200) < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 250])
@pytest.mark.parametrize(("area", "mixed"), [(0.7, True), (0.7, False), (0.85, False), (0.9, True), (0.95, True)])
def test_auc(n, area, mixed):
    assert share(auc_holds, 3000, n, area, mixed=mixed) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 250])
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
def test_rate(n, rate, correlation):
    assert share(rate_holds, 3000, n, rate, correlation) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 100, 250])
@pytest.mark.parametrize("largest", [1, 5])
def test_mean(n, largest):
    assert share(mean_holds, 2000, n, largest) >= (0.93 if n >= 100 else 0.915)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 250])
@pytest.mark.parametrize("shape", ["distance", "failures"])
def test_mean_with_a_long_tail(n, shape):
    """Lognormal distances, and a Dice that is 0 in one case of twenty."""

    def drawn(z):
        return np.exp(z) if shape == "distance" else np.where(z < ndtri(0.05), 0.0, expit(2.5 + 0.5 * z))

    middles = (np.arange(1_000_000) + 0.5) / 1_000_000
    truth = float(drawn(ndtri(middles)).mean())

    def holds(rng):
        subject = clusters(rng, n)
        found = mean_interval(drawn(latent(rng, subject, 0.5)), subject=subject)
        return found.low <= truth <= found.high

    assert share(holds, 3000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.7, 0.5)])
def test_calibration_slope_and_intercept(slope, intercept):
    def holds(rng):
        subject = clusters(rng, 200)
        score = expit(latent(rng, subject, 0.5))
        truth = rng.random(len(subject)) < expit(intercept + slope * logit(score))
        fit = calibration_slope_intercept(truth, score, subject=subject)
        return fit.slope.low <= slope <= fit.slope.high, fit.intercept.low <= intercept <= fit.intercept.high

    assert (share(lambda rng: np.array(holds(rng)), 1500) >= 0.925).all()


@pytest.mark.slow
@pytest.mark.parametrize("areas", [(0.8, 0.8), (0.8, 0.8, 0.8, 0.8), (0.9, 0.75), (0.9, 0.85, 0.8)])
def test_gap(areas):
    def holds(rng):
        group = rng.integers(0, len(areas), 120 * len(areas))
        truth = rng.random(len(group)) < 0.4
        score = rng.normal(size=len(group)) + truth * np.sqrt(2) * ndtri(np.array(areas))[group]
        names = [str(i) for i in range(len(areas))]
        masks = {name: group == i for i, name in enumerate(names)}
        found = clustered_bootstrap({"auc": auc_of(truth, score)}, None, groups=masks, n_replicates=500)
        gap = gap_interval(found, "auc", names)
        return gap.low <= max(areas) - min(areas) <= gap.high

    assert share(holds, 800) >= 0.915


@pytest.mark.slow
@pytest.mark.parametrize(("n", "shift", "truth_of_it"), [(200, 0.0, 0.0), (200, 0.5, 0.102), (1000, 1.0, 0.1966)])
def test_ece(n, shift, truth_of_it):
    def holds(rng):
        score = expit(rng.normal(size=n))
        truth = rng.random(n) < expit(logit(score) + shift)
        statistic = ece_of(truth, score, edges=bin_edges(score))
        found = clustered_bootstrap({"ece": statistic}, None, n_replicates=500)
        interval = bootstrap_interval(found, "ece", basic=True, bounds=(0, 1))
        return interval.low <= truth_of_it <= interval.high

    assert share(holds, 500) >= 0.93
