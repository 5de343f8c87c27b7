"""Clusters of features that say the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from fiducial.errors import InputRefused
from fiducial.maths.redundancy import correlation_clusters, rank_correlations


def test_by_hand():
    rise = np.arange(8.0)
    other = np.array([0, 5, 2, 7, 1, 6, 3, 4.0])
    features = np.stack([rise, other, -(rise**3), np.exp(other), np.array([3, 0, 6, 1, 7, 2, 5, 4.0])], axis=1)
    found = correlation_clusters(features, threshold=0.9)
    assert found.cluster.tolist() == [0, 1, 0, 1, 2]
    assert found.representative.tolist() == [0, 1, 4]
    assert correlation_clusters(features, threshold=0.9, preferred=(3, 2)).representative.tolist() == [2, 3, 4]


def test_the_most_central_stands_for_the_others():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=200)
    sides = [centre + 0.3 * rng.normal(size=200) for _ in range(2)]
    found = correlation_clusters(np.stack([sides[0], centre, sides[1]], axis=1), threshold=0.8)
    assert found.cluster.tolist() == [0, 0, 0]
    assert found.representative.tolist() == [1]


def test_ranks_as_scipy():
    features = np.random.default_rng(0).integers(0, 6, (30, 5)).astype(float)
    assert np.allclose(rank_correlations(features), spearmanr(features).statistic)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_within_a_cluster_every_pair_is_alike(threshold):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 25)) + 2 * rng.normal(size=(40, 1)) * (np.arange(25) % 3 == 0)
    found = correlation_clusters(features, threshold=threshold)
    alike = np.abs(rank_correlations(features))
    for k in range(found.cluster.max() + 1):
        own = np.flatnonzero(found.cluster == k)
        assert (alike[np.ix_(own, own)] >= threshold - 1e-9).all()
        assert found.cluster[found.representative[k]] == k
    assert len(found.representative) == found.cluster.max() + 1


def test_the_order_of_patients_does_not_matter():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(30, 12)) @ rng.normal(size=(12, 12))
    one, two = correlation_clusters(features, threshold=0.5), correlation_clusters(features[::-1], threshold=0.5)
    assert np.array_equal(one.cluster, two.cluster)


@pytest.mark.parametrize("p", [0, 1])
def test_few_features(p):
    found = correlation_clusters(np.random.default_rng(0).normal(size=(9, p)))
    assert found.representative.tolist() == list(range(p))


def test_what_is_refused():
    with pytest.raises(InputRefused, match=r"threshold 0 .*|threshold 0"):
        correlation_clusters(np.eye(4), threshold=0)
    with pytest.raises(InputRefused, match=r"features \(4, 4\)"):
        correlation_clusters(np.full((4, 4), np.nan))
