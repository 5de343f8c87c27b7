"""P values of a family of overlapping tests."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.multiplicity import holm, jointly_adjusted

N_DRAWS = 40_000
NOISE = 0.01


def test_one_test_needs_no_adjustment() -> None:
    assert jointly_adjusted([0.03], np.ones((5, 1)), n_draws=N_DRAWS) == pytest.approx([0.03], abs=NOISE)


def test_the_same_test_asked_ten_times_counts_once() -> None:
    parts = np.tile(np.random.default_rng(0).normal(size=(50, 1)), (1, 10))
    found = jointly_adjusted([0.02] * 10, parts, n_draws=N_DRAWS)
    assert found == pytest.approx([0.02] * 10, abs=NOISE)
    assert holm([0.02] * 10).min() == pytest.approx(0.2)


def test_tests_of_different_patients_cost_as_much_as_sidak() -> None:
    found = jointly_adjusted([0.01, 0.5, 0.6, 0.7, 0.8], np.eye(5), n_draws=N_DRAWS)
    assert found[0] == pytest.approx(1 - 0.99**5, abs=NOISE)
    assert found[1] == pytest.approx(1 - 0.5**4, abs=NOISE)  # step-down: four are left


def test_a_heavier_test_keeps_more_of_its_p() -> None:
    light, heavy = (jointly_adjusted([0.01, 0.4], np.eye(2), weight=w, n_draws=N_DRAWS)[0] for w in ([1, 1], [9, 1]))
    assert heavy < light
    assert heavy >= 0.01


def test_never_below_the_p_itself_and_in_the_same_order() -> None:
    rng = np.random.default_rng(1)
    p, parts = rng.random(12) ** 2, rng.normal(size=(100, 12))
    found = jointly_adjusted(p, parts)
    assert (found >= p).all()
    assert (np.diff(found[np.argsort(p)]) >= 0).all()
    assert np.array_equal(found, jointly_adjusted(p, parts))


def test_what_was_not_tested_does_not_count() -> None:
    found = jointly_adjusted([0.03, np.nan], np.ones((4, 2)), n_draws=N_DRAWS)
    assert found[0] == pytest.approx(0.03, abs=NOISE)
    assert np.isnan(found[1])
    assert np.isnan(jointly_adjusted([np.nan], np.zeros((4, 1)))).all()
    assert jointly_adjusted([1.0, 0.04], np.stack([np.zeros(4), np.ones(4)], axis=1), n_draws=N_DRAWS)[1] < 0.06


def test_refusals() -> None:
    with pytest.raises(InputRefused, match="between 0 and 1"):
        jointly_adjusted([1.2], np.ones((3, 1)))
    with pytest.raises(InputRefused, match="weights above 0"):
        jointly_adjusted([0.2], np.ones((3, 1)), weight=[0])
    with pytest.raises(InputRefused, match="one column for each test"):
        jointly_adjusted([0.2, 0.3], np.ones((3, 1)))


@pytest.mark.slow
def test_the_family_wise_error_is_the_level_where_tests_overlap() -> None:
    """Ten group tests and their thirty intersections on the same 400 patients."""
    rng, fired, n = np.random.default_rng(2), 0, 1000
    from scipy.special import ndtr

    for _ in range(n):
        first, second = rng.integers(0, 4, 400), rng.integers(0, 6, 400)
        masks = [first == a for a in range(4)] + [second == b for b in range(6)]
        masks += [(first == a) & (second == b) for a in range(4) for b in range(6)]
        h = np.stack(masks, axis=1).astype(float)
        h -= h.mean(axis=0)
        parts = h * rng.normal(size=(400, 1))
        z = parts.sum(axis=0) / np.sqrt((h**2).sum(axis=0))
        fired += jointly_adjusted(2 * ndtr(-np.abs(z)), parts, n_draws=2000).min() <= 0.05
    assert 0.03 < fired / n < 0.07
