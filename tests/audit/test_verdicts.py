"""Verdicts, counted by hand; and which intervals cannot pass."""

from __future__ import annotations

import math

import pytest

from fiducial.audit.verdicts import verdict_of
from fiducial.maths.difference import independent_difference
from fiducial.maths.intervals import Interval, rate_interval
from fiducial.study import Criterion


def interval(value: float, low: float, high: float) -> Interval:
    return Interval(value, low, high, 0.95, "given", 10, 10)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.86, 0.95, "pass"),
        (0.85, 0.95, "pass"),  # the bound itself is enough
        (0.84, 0.95, "inconclusive"),
        (0.80, 0.85, "inconclusive"),
        (0.80, 0.84, "fail"),
        (0.85, 0.85, "inconclusive"),  # width 0
        (1.00, 1.00, "inconclusive"),
        (0.80, 0.80, "fail"),
        (math.nan, 0.9, "inconclusive"),
        (0.9, math.nan, "inconclusive"),
    ],
)
def test_at_least(low: float, high: float, verdict: str) -> None:
    assert verdict_of(interval(0.85, low, high), Criterion(metric="auc", at_least=0.85))[0] == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.00, 0.04, "pass"),
        (0.00, 0.05, "pass"),
        (0.03, 0.06, "inconclusive"),
        (0.05, 0.06, "inconclusive"),
        (0.06, 0.09, "fail"),
        (0.00, 0.00, "inconclusive"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_at_most(low: float, high: float, verdict: str) -> None:
    assert verdict_of(interval(0.04, low, high), Criterion(metric="brier", at_most=0.05))[0] == verdict


def test_without_a_value_nothing_is_assessed() -> None:
    assert (
        verdict_of(interval(math.nan, math.nan, math.nan), Criterion(metric="auc", at_least=0.5))[0] == "not_assessed"
    )


def test_the_point_estimate_decides_nothing() -> None:
    above = verdict_of(interval(0.95, 0.80, 0.99), Criterion(metric="auc", statistic="low", at_least=0.9))
    below = verdict_of(interval(0.85, 0.80, 0.99), Criterion(metric="auc", statistic="low", at_least=0.9))
    assert above == below == ("inconclusive", "")


def test_difference_of_two_rates_as_published() -> None:
    """Newcombe 1998, table II (a): 56/70 - 48/80, method 10: 0.0524 to 0.3339."""
    first = rate_interval([True] * 56 + [False] * 14)
    second = rate_interval([True] * 48 + [False] * 32)
    found = independent_difference(first, second)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    back = independent_difference(second, first)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_a_difference_lacks_bounds_where_one_figure_does() -> None:
    nothing = Interval(math.nan, math.nan, math.nan, 0.95, "none", 0, 0, "no-rows")
    found = independent_difference(interval(0.5, 0.4, 0.6), nothing)
    assert math.isnan(found.low)
    assert found.reason == "no-rows"
    with (
        pytest.raises(ValueError, match="levels") if False else pytest.raises(Exception, match=r"levels 0\.95 and 0\.9")
    ):
        independent_difference(interval(0.5, 0.4, 0.6), Interval(0.5, 0.4, 0.6, 0.9, "given", 9, 9))
