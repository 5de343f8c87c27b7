"""Features whose truth is known: correlated as real ones are, and as much of the event in them as was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.classification import auc
from fiducial.maths.correlation_map import correlation_map
from fiducial.phantom.feature_tables import draw_features, log_odds_of


def test_without_an_effect_the_log_odds_are_those_of_the_prevalence():
    intercept, slope = log_odds_of(0.5)
    assert slope == 0
    assert intercept == pytest.approx(np.log(0.4 / 0.6))


@pytest.mark.parametrize("area", [0.5, 0.65, 0.75, 0.85])
def test_the_planted_sum_has_the_area_that_was_asked_for(area):
    found, shares = [], []
    for seed in range(20):
        drawn = draw_features(2000, 50, auc=area, seed=seed)
        found.append(auc(drawn.event, drawn.features[:, drawn.planted].sum(axis=1)))
        shares.append(drawn.event.mean())
        assert len(set(drawn.planted)) == 2
    assert np.mean(found) == pytest.approx(area, abs=0.01)
    assert np.mean(shares) == pytest.approx(0.4, abs=0.01)


def test_features_are_correlated_as_radiomics_features_are():
    """Of 51 sarcomas in PET: quartiles 0.19, 0.46 and 0.79, and 57 clusters of 173 features at 0.9."""
    quartiles, clusters = [], []
    for seed in range(10):
        made = correlation_map(draw_features(51, 173, auc=0.5, seed=seed).features, threshold=0.9)
        quartiles.append(np.quantile(made.size[np.triu_indices(173, 1)], [0.25, 0.5, 0.75]))
        clusters.append(len(set(made.cluster.tolist())))
    assert np.mean(quartiles, axis=0) == pytest.approx([0.19, 0.42, 0.64], abs=0.06)
    assert 45 <= np.mean(clusters) <= 75


def test_volume_says_little_of_what_is_planted():
    for seed in range(10):
        drawn = draw_features(2000, 100, auc=0.75, seed=seed)
        for place in drawn.planted:
            assert abs(np.corrcoef(np.log(drawn.features[:, 0]), drawn.features[:, place])[0, 1]) < 0.6


def test_a_seed_decides():
    one, other = (draw_features(60, 50, auc=0.75, seed=seed) for seed in (3, 3))
    assert np.array_equal(one.features, other.features)
    assert np.array_equal(one.event, other.event)
    assert not np.array_equal(one.features, draw_features(60, 50, auc=0.75, seed=4).features)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputRefused, match="5 features"):
        draw_features(50, 5, auc=0.75, seed=0)
    with pytest.raises(InputRefused, match=r"AUC 0\.4"):
        draw_features(50, 50, auc=0.4, seed=0)
