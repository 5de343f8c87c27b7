"""Prepared cases: where the voxels of a structure are remembered."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.train.cache import N_LOCATIONS, _locations
from fiducial.train.fingerprint import evenly


def test_positions_by_hand():
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert evenly(6, 4).tolist() == [0, 1, 3, 4]
    assert evenly(0, 4).tolist() == []


@pytest.mark.parametrize("n", [1999, 2000, 2001, 3999, 5999, 100_000])
def test_positions_reach_from_the_first_to_the_last(n):
    found = evenly(n, 2000)
    assert len(found) == min(n, 2000)
    assert found[0] == 0
    assert n - 1 - found[-1] < n / 2000
    assert np.all(np.diff(found) >= 1)
    assert np.ptp(np.diff(found)) <= 1


def test_both_ends_of_a_structure_are_drawn_from():
    labels = np.zeros((40, 10, 10), np.uint8)
    labels[2:38] = 1  # 3,600 voxels: more than are kept, fewer than twice as many
    found = _locations(labels, 1)
    assert len(found) == N_LOCATIONS
    assert np.all(labels[tuple(found.T)] == 1)
    assert (found[:, 0].min(), found[:, 0].max()) == (2, 37)
    halves = np.bincount(found[:, 0] >= 20, minlength=2)
    assert halves.tolist() == [N_LOCATIONS / 2] * 2
