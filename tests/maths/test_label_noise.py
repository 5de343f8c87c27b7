"""Flipped truths: the planted rate is found, miscalibration is not taken for it, and clean tables seldom fire."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from fiducial.maths.label_noise import label_noise, self_confidence


def drawn(n: int, seed: int, flipped: float = 0.0, images: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, log-odds and subject; the log-odds are exact, truths are flipped by subject."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n), images)
    event = np.repeat(rng.random(n) < 0.25, images)
    hidden = np.repeat(rng.normal(size=n), images) * math.sqrt(0.6) + rng.normal(size=n * images) * math.sqrt(0.4)
    logit = math.log(1 / 3) + 1.8 * (hidden + 1.8 * event) - 1.8**2 / 2
    return event ^ np.repeat(rng.random(n) < flipped, images), logit, subject


def test_the_most_contradicted_truth_comes_first() -> None:
    truth, logit, _ = drawn(400, 0)
    truth[int(logit.argmax())] = False
    found = label_noise(truth, expit(logit))
    confidence = self_confidence(truth, expit(logit), found)
    assert int(confidence.argmin()) == int(logit.argmax())
    assert ((confidence >= 0) & (confidence <= 1)).all()


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
def test_the_planted_rate_lies_in_its_interval(rate: float) -> None:
    truth, logit, _ = drawn(8000, 1, rate)
    found = label_noise(truth, expit(logit), level=0.999).rate
    assert found.low < rate < found.high
    assert found.value == pytest.approx(rate, abs=0.02)
    assert found.p < 1e-3


def test_a_map_of_the_score_changes_nothing() -> None:
    """Too sure, or too high: logistic miscalibration is a matter of the map, not of the truths."""
    truth, logit, _ = drawn(3000, 2, 0.03)
    plain = label_noise(truth, expit(logit))
    bent = label_noise(truth, expit(1.7 * logit + 0.6))
    assert bent.rate.value == pytest.approx(plain.rate.value, abs=2e-3)
    assert bent.rate.p == pytest.approx(plain.rate.p, rel=0.1)
    assert bent.slope == pytest.approx(plain.slope / 1.7, rel=0.02)


def test_the_interval_agrees_with_the_test() -> None:
    for seed in range(6):
        truth, logit, _ = drawn(600, seed, 0.02)
        found = label_noise(truth, expit(logit)).rate
        assert (found.low > 0) == (found.p < 0.025)


def test_copies_of_a_patient_say_nothing_new() -> None:
    truth, logit, subject = drawn(800, 3, 0.05)
    once = label_noise(truth, expit(logit), subject=subject)
    thrice = label_noise(np.repeat(truth, 3), expit(np.repeat(logit, 3)), subject=np.repeat(subject, 3))
    assert thrice.rate.value == pytest.approx(once.rate.value, abs=2e-3)
    assert thrice.design == pytest.approx(3, rel=1e-6)
    assert thrice.rate.p == pytest.approx(once.rate.p, rel=0.05)


@pytest.mark.parametrize(
    ("truth", "score", "reason"),
    [
        ([], [], "no-rows"),
        ([1, 1], [0.2, 0.8], "one-class"),
        ([0, 1, 0, 1], [0.5] * 4, "no-fit"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], "no-fit"),
    ],
)
def test_nothing_is_said_where_nothing_can_be(truth: list[int], score: list[float], reason: str) -> None:
    found = label_noise(truth, score).rate
    assert math.isnan(found.value)
    assert found.reason == reason


@pytest.mark.slow
@pytest.mark.parametrize(("n", "images"), [(1000, 1), (4000, 1), (1000, 3)])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
def test_intervals_of_the_rate_hold(n: int, images: int, rate: float) -> None:
    """95 % intervals hold in 200 draws, less three standard errors."""
    held = 0
    for seed in range(200):
        truth, logit, subject = drawn(n, 50_000 + seed, rate, images)
        found = label_noise(truth, expit(logit), subject=subject).rate
        held += found.low <= rate <= found.high
    assert held / 200 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 200), held


@pytest.mark.slow
@pytest.mark.parametrize(("n", "images"), [(200, 1), (1000, 1), (300, 3)])
def test_clean_truths_fire_no_more_often_than_nominal(n: int, images: int) -> None:
    """At most 5 % plus three standard errors of 400 draws."""
    fired = 0
    for seed in range(400):
        truth, logit, subject = drawn(n, 10_000 + seed, images=images)
        fired += label_noise(truth, expit(logit), subject=subject).rate.p < 0.05
    assert fired / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400), fired
