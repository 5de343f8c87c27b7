"""Features brought together by rank correlation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from fiducial.errors import InputRefused
from fiducial.maths.correlation_map import correlation_map


def test_two_pairs_stand_together_by_hand() -> None:
    a, b = [1, 2, 3, 4, 5], [2, 1, 5, 3, 4]
    found = correlation_map(np.array([a, b, [-(v**3) for v in a], [10 * v for v in b]]).T)
    assert {frozenset(found.order[:2].tolist()), frozenset(found.order[2:].tolist())} == {
        frozenset({0, 2}),
        frozenset({1, 3}),
    }
    assert found.cluster.tolist() == [0, 0, 1, 1]
    # 1 - 6 (1 + 1 + 4 + 1 + 1) / (5 * 24)
    assert found.size[0, 2] == pytest.approx(0.6)


def test_it_is_spearmans_correlation_with_ties() -> None:
    x = np.random.default_rng(0).integers(0, 5, (30, 6)).astype(float)
    found = correlation_map(x)
    expected = np.abs(spearmanr(x).statistic)
    assert np.allclose(found.size, expected[np.ix_(found.order, found.order)])


def test_every_pair_of_a_cluster_reaches_the_threshold_and_clusters_are_blocks() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(size=(60, 8))
    x = np.concatenate([base + 0.1 * rng.normal(size=base.shape) for _ in range(4)], axis=1)
    found = correlation_map(x, threshold=0.9)
    assert sorted(found.order.tolist()) == list(range(32))
    assert np.all(np.diff(found.cluster) >= 0)
    assert np.all(np.diff(found.cluster) <= 1)
    for k in range(found.cluster.max() + 1):
        own = found.cluster == k
        assert found.size[np.ix_(own, own)].min() >= 0.9
    assert found.cluster.max() + 1 == 8


@pytest.mark.parametrize(
    ("features", "text"),
    [
        ([[1.0, 2.0]], "features"),
        ([[1.0], [2.0], [3.0]], "features"),
        ([[1, np.nan], [2, 1], [3, 2]], "features"),
        ([[1, 5], [2, 5], [3, 5]], "feature 1 does not vary"),
    ],
)
def test_what_cannot_be_ordered_is_refused(features: list[list[float]], text: str) -> None:
    with pytest.raises(InputRefused, match=text):
        correlation_map(np.array(features))


def test_an_illegal_threshold_is_refused() -> None:
    with pytest.raises(InputRefused, match="threshold 0"):
        correlation_map(np.eye(4), threshold=0)
