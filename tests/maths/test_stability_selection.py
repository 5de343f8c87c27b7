"""Stability selection: counts by hand, the bound on false selections, and what planted signals and noise give."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.stability_selection import complementary_halves, n_to_choose, stability_selection

STRATA = np.arange(50) < 20


@pytest.mark.parametrize(
    ("p", "expected", "threshold", "q"),
    [
        (50, 1.0, 0.75, 5),
        (200, 1.0, 0.75, 10),
        (100, 4.0, 0.9, 17),
        (1, 1.0, 0.75, 1),
        (8, 1.0, 0.75, 2),
        (3, 9, 1.0, 3),
    ],
)
def test_how_many_a_half_chooses(p, expected, threshold, q):
    assert n_to_choose(p, expected_false=expected, threshold=threshold) == q


def test_halves_are_disjoint_and_keep_the_classes():
    halves = complementary_halves(STRATA, 7, seed=0)
    assert halves.shape == (14, 25)
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        assert set(first) | set(second) == set(range(50))
        assert STRATA[first].sum() == STRATA[second].sum() == 10


def test_an_odd_class_leaves_one_out():
    halves = complementary_halves(np.arange(9) < 4, 3, seed=0)
    assert halves.shape == (6, 4)
    assert all(not set(a) & set(b) for a, b in zip(halves[::2], halves[1::2], strict=True))


def test_a_planted_feature_is_selected():
    x = np.random.default_rng(0).normal(size=(50, 40))
    x[:, 7] += 2 * STRATA
    found = stability_selection(x, STRATA - STRATA.mean(), strata=STRATA)
    assert found.share[7] == 1.0
    assert found.selected.sum() <= 2
    assert (found.n_chosen, found.n_halves) == (4, 100)
    assert found.bound == pytest.approx(16 / (0.5 * 40))
    assert found.share.sum() == pytest.approx(4)


def test_noise_is_selected_less_often_than_the_bound_says():
    counts = []
    for seed in range(60):
        x = np.random.default_rng(seed).normal(size=(50, 40))
        found = stability_selection(x, STRATA - STRATA.mean(), strata=STRATA, threshold=0.6, n_pairs=25, seed=seed)
        counts.append((found.selected.sum(), found.bound))
    assert np.mean([n for n, _ in counts]) <= counts[0][1]
    assert sum(n for n, _ in counts) > 0


def test_the_seed_alone_decides():
    x = np.random.default_rng(0).normal(size=(50, 12))
    one, two, three = (stability_selection(x, STRATA - 0.4, strata=STRATA, seed=seed).share for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_a_single_feature_is_always_chosen_and_its_bound_says_so():
    found = stability_selection(np.arange(50.0)[:, None], STRATA - 0.4, strata=STRATA)
    assert found.share.tolist() == [1.0]
    assert found.bound == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 0.5}, "threshold 0.5"),
        ({"expected_false": 0}, "expected_false 0"),
        ({"n_pairs": 0}, "n_pairs 0"),
        ({"strata": STRATA[:5]}, "5 of the strata"),
        ({"response": np.full(50, np.nan)}, "response nan"),
    ],
)
def test_what_is_refused(change, message):
    given = {"features": np.random.default_rng(0).normal(size=(50, 3)), "response": STRATA - 0.4, "strata": STRATA}
    given |= change
    with pytest.raises(InputRefused, match=message):
        stability_selection(given.pop("features"), given.pop("response"), **given)


def test_four_patients_have_no_halves():
    with pytest.raises(InputRefused, match="4 patients"):
        stability_selection(np.eye(4), np.zeros(4), strata=np.arange(4) < 2)
