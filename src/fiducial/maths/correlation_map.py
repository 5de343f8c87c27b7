"""Features in an order that brings together those that say the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Floats, Integers
from fiducial.maths.redundancy import rank_correlations

MOST_ORDERED = 400
"""Up to so many features, neighbouring leaves are also turned towards each other; beyond, it would take minutes."""


@dataclass(frozen=True)
class CorrelationMap:
    """``size`` [p, p] is |Spearman's correlation| in the order of the map, ``order`` [p] the features in that order.

    ``cluster`` [p], in the order of the map too, numbers clusters from 0 along it.
    """

    size: Floats
    order: Integers
    cluster: Integers


def correlation_map(features: ArrayLike, *, threshold: float = 0.9) -> CorrelationMap:
    """Order features by complete linkage of 1 - |Spearman's correlation|, and cut it into clusters.

    In a cluster every pair has |correlation| >= ``threshold``.

    Args:
        features: [n, p], finite; each varies.
        threshold: above 0, at most 1.

    Raises:
        InputRefused: not [n, p] with n at least 3 and p at least 2, a value is not finite, a feature does not vary, or
            an illegal threshold.

    Source: Spearman, Am J Psychol 15 (1904) 72-101; order of leaves: Bar-Joseph et al., Bioinformatics 17 (2001)
    S22-S29.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 3 or x.shape[1] < 2 or not np.isfinite(x).all():
        raise InputRefused(f"features {x.shape}", legal="finite [n, p], n at least 3, p at least 2")
    if not 0 < threshold <= 1:
        raise InputRefused(f"threshold {threshold}", legal="above 0, at most 1")
    still = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if len(still):
        raise InputRefused(f"feature {still[0]} does not vary", legal="features with two values or more")
    alike = np.abs(rank_correlations(x))
    apart = squareform(np.maximum(0.0, 1 - (alike + alike.T) / 2), checks=False)
    tree = linkage(apart, method="complete", optimal_ordering=x.shape[1] <= MOST_ORDERED)
    order = np.asarray(leaves_list(tree), dtype=np.int64)
    found = fcluster(tree, t=1 - threshold + 1e-12, criterion="distance")[order]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    cluster = np.argsort(np.argsort(first))[inverse.reshape(-1)].astype(np.int64)
    return CorrelationMap(alike[np.ix_(order, order)], order, cluster)
