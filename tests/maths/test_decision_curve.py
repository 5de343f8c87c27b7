"""Net benefit and likelihood ratios: counted by hand, published, and equal to what they must equal."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.agreement import value_of
from fiducial.maths.decision_curve import (
    likelihood_ratios,
    net_benefit_curve_of,
    net_benefit_excess,
    net_benefit_of,
    net_benefit_of_all,
)

TRUTH = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
SCORE = [0.9, 0.8, 0.1, 0.7, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1]


def cells(tp: int, fn: int, fp: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([1, 1, 0, 0], [tp, fn, fp, tn]), np.repeat([1, 0, 1, 0], [tp, fn, fp, tn])


def test_net_benefit_by_hand() -> None:
    assert value_of(net_benefit_of(TRUTH, SCORE, threshold=0.5)) == pytest.approx(2 / 10 - 2 / 10)
    assert value_of(net_benefit_of(TRUTH, SCORE, threshold=0.2)) == pytest.approx(2 / 10 - 2 / 10 * 0.25)
    assert value_of(net_benefit_of_all(TRUTH, threshold=0.2)) == pytest.approx(3 / 10 - 7 / 10 * 0.25)


def test_a_threshold_of_0_acts_on_everybody_and_a_high_one_on_nobody() -> None:
    assert (
        value_of(net_benefit_of(TRUTH, SCORE, threshold=0)) == value_of(net_benefit_of_all(TRUTH, threshold=0)) == 0.3
    )
    assert value_of(net_benefit_of(TRUTH, SCORE, threshold=0.95)) == 0
    curve = net_benefit_curve_of(TRUTH, SCORE, [0.2, 0.5])
    assert list(curve) == ["0", "1"]


def test_what_is_gained_over_all_and_over_none_adds_up() -> None:
    model = value_of(net_benefit_of(TRUTH, SCORE, threshold=0.2))
    everyone = value_of(net_benefit_of_all(TRUTH, threshold=0.2))
    assert net_benefit_excess(TRUTH, SCORE, threshold=0.2, over="none").mean() == pytest.approx(model)
    assert net_benefit_excess(TRUTH, SCORE, threshold=0.2, over="all").mean() == pytest.approx(model - everyone)


def test_likelihood_ratios_by_hand() -> None:
    found = likelihood_ratios(*cells(90, 10, 20, 80))
    assert found.positive.value == pytest.approx(0.9 / 0.2)
    assert found.negative.value == pytest.approx(0.1 / 0.8)
    assert found.diagnostic_odds.value == pytest.approx(36)
    error = math.sqrt(1 / 90 - 1 / 100 + 1 / 20 - 1 / 100)
    # Student's t with 199 degrees of freedom in place of the normal quantile.
    assert found.positive.low == pytest.approx(4.5 * math.exp(-1.972 * error), rel=1e-3)
    assert math.log(found.diagnostic_odds.high / 36) == pytest.approx(
        1.972 * math.sqrt(1 / 90 + 1 / 10 + 1 / 20 + 1 / 80), rel=1e-3
    )


def test_the_odds_ratio_is_the_ratio_of_the_ratios() -> None:
    found = likelihood_ratios(*cells(31, 7, 12, 50))
    assert found.diagnostic_odds.value == pytest.approx(found.positive.value / found.negative.value)


def test_copies_of_a_patient_narrow_nothing() -> None:
    truth, called = cells(40, 10, 15, 60)
    once = likelihood_ratios(truth, called)
    again = likelihood_ratios(np.repeat(truth, 3), np.repeat(called, 3), subject=np.repeat(np.arange(len(truth)), 3))
    for name in ("positive", "negative", "diagnostic_odds"):
        single, thrice = getattr(once, name), getattr(again, name)
        assert thrice.value == pytest.approx(single.value)
        assert math.log(thrice.high / thrice.low) == pytest.approx(math.log(single.high / single.low), rel=0.01)


def test_an_empty_cell_gets_one_half() -> None:
    found = likelihood_ratios(*cells(10, 0, 5, 20))
    assert found.corrected
    assert found.positive.value == pytest.approx((10.5 / 11) / (5.5 / 26))
    assert "one half added" in found.positive.method
    assert found.negative.low > 0


def test_one_class_and_refusals() -> None:
    found = likelihood_ratios([1, 1], [1, 0])
    assert math.isnan(found.positive.value)
    assert found.positive.reason == "one-class"
    with pytest.raises(InputRefused, match="threshold 1"):
        net_benefit_of(TRUTH, SCORE, threshold=1.0)
    with pytest.raises(InputRefused, match="all, none"):
        net_benefit_excess(TRUTH, SCORE, threshold=0.2, over="some")


@pytest.mark.slow
def test_intervals_of_ratios_hold() -> None:
    """95 % intervals of LR+ and LR- of 150 patients with two images each hold in at least 93 % of 2,000 draws."""
    rng = np.random.default_rng(5)
    held = np.zeros(2)
    for _ in range(2000):
        truth = np.repeat(rng.random(150) < 0.4, 2)
        leaning = np.repeat(rng.random(150), 2)
        called = np.where(rng.random(300) < 0.5, leaning, rng.random(300)) < np.where(truth, 0.8, 0.25)
        found = likelihood_ratios(truth, called, subject=np.repeat(np.arange(150), 2))
        held += [
            found.positive.low < 0.8 / 0.25 < found.positive.high,
            found.negative.low < 0.2 / 0.75 < found.negative.high,
        ]
    assert (held / 2000 >= 0.93).all(), held / 2000
