"""Sample sizes: published, by hand, and what they promise is kept by the interval that they plan."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from fiducial.errors import InputRefused
from fiducial.maths import sample_size as needed
from fiducial.maths.intervals import wilson


def test_hanley_and_mcneil_published() -> None:
    """Their example: area 0.893 of 51 abnormal and 58 normal images has a standard error of about 0.032."""
    assert needed.auc_standard_error(0.893, n_positive=51, n_negative=58) == pytest.approx(0.032, abs=1e-3)


def test_observed_over_expected_published() -> None:
    """Riley et al. 2021: prevalence 0.1 and a standard error of 0.102 (a ratio of 0.82 to 1.22) need about 865."""
    assert needed.n_for_observed_expected(0.1, standard_error=0.102) == pytest.approx(866, abs=1)


def test_the_size_is_the_smallest_that_keeps_the_promise() -> None:
    n = needed.n_for_rate(0.9, half_width=0.05)
    low, high = wilson(0.9, n)
    assert high - low <= 0.1
    low, high = wilson(0.9, n - 1)
    assert high - low > 0.1
    n = needed.n_for_auc(0.85, prevalence=0.2, half_width=0.04)
    error = needed.auc_standard_error(0.85, n_positive=0.2 * n, n_negative=0.8 * n)
    assert 1.96 * error == pytest.approx(0.04, rel=0.01)


def test_a_rarer_class_needs_more_patients() -> None:
    assert needed.n_for_rate(0.9, share=0.1, half_width=0.05) == pytest.approx(
        10 * needed.n_for_rate(0.9, half_width=0.05), rel=0.01
    )


def test_the_slope_gets_the_standard_error_that_was_planned() -> None:
    from fiducial.maths.calibration import calibration_slope_intercept

    rng = np.random.default_rng(0)
    x = rng.normal(-1, 1.5, 40_000)
    n = int(needed.n_for_calibration_slope(x, standard_error=0.1))
    slopes = []
    for seed in range(60):
        own = np.random.default_rng(seed)
        drawn = own.choice(x, n)
        slopes.append(calibration_slope_intercept(own.random(n) < expit(drawn), expit(drawn)).slope.value)
    assert np.std(slopes) == pytest.approx(0.1, rel=0.3)


def test_a_mean_by_hand() -> None:
    assert needed.n_for_mean(0.1, half_width=0.02) == math.ceil((1.959964 * 0.1 / 0.02) ** 2) == 97


def test_an_interval_closes_in_on_its_value() -> None:
    # 0.88 with an end at 0.83 and a bound of 0.855: the margin must halve, so four times the patients.
    assert needed.n_to_decide(200, value=0.88, end=0.83, bound=0.855) == 800
    assert needed.n_to_decide(200, value=0.9, end=0.85, bound=0.9) == math.inf


def test_what_has_no_answer() -> None:
    assert needed.n_for_calibration_slope([0.3] * 10, standard_error=0.1) == math.inf
    for refused in (
        lambda: needed.n_for_auc(1.0, prevalence=0.2, half_width=0.05),
        lambda: needed.n_for_auc(0.8, prevalence=0.2, half_width=0.0),
        lambda: needed.n_for_rate(0.9, share=0.0, half_width=0.05),
        lambda: needed.n_for_calibration_slope([0.1, 0.2], standard_error=0.0),
        lambda: needed.n_for_observed_expected(0.0, standard_error=0.1),
        lambda: needed.n_for_mean(-1.0, half_width=0.1),
        lambda: needed.n_to_decide(0, value=1.0, end=0.9, bound=0.95),
    ):
        with pytest.raises(InputRefused):
            refused()
