"""Features that say the same: clusters of high correlation, and one of each to stand for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.delong import midranks
from fiducial.maths.inputs import Floats, Integers


@dataclass(frozen=True)
class Clusters:
    """``cluster`` [p] of each feature, numbered from 0 by their first member, and ``representative`` [n_clusters]."""

    cluster: Integers
    representative: Integers


def rank_correlations(features: ArrayLike) -> Floats:
    """Spearman's correlations [p, p] of features [n, p]; 0 beside a feature that does not vary, 1 on the diagonal.

    Raises:
        InputRefused: not [n, p], or a value is not finite.

    Source: Spearman, Am J Psychol 15 (1904) 72-101.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
        raise InputRefused(f"features {x.shape}", legal="finite [n, p], n at least 2")
    ranks = np.stack([midranks(column) for column in x.T], axis=1) if x.shape[1] else x
    ranks = ranks - ranks.mean(axis=0)
    length = np.sqrt((ranks**2).sum(axis=0))
    ranks = ranks / np.where(length > 0, length, 1.0)
    found = np.clip(ranks.T @ ranks, -1, 1)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def correlation_clusters(features: ArrayLike, *, threshold: float = 0.9, preferred: Sequence[int] = ()) -> Clusters:
    """Cluster features so that within a cluster every pair has |Spearman's correlation| >= threshold.

    Complete linkage of 1 - |correlation|. The first of ``preferred`` in a cluster stands for it, so that what is
    nothing but volume is called volume; else the feature with the largest mean |correlation| to its cluster, the first
    of equals.

    Args:
        features: [n, p], finite.
        threshold: above 0, at most 1.
        preferred: places of features, in order of preference.

    Raises:
        InputRefused: as `rank_correlations`, or an illegal threshold.

    Source: linkage: Sorensen 1948, as in SciPy's ``linkage(method="complete")``.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if not 0 < threshold <= 1:
        raise InputRefused(f"threshold {threshold}", legal="above 0, at most 1")
    alike = np.abs(rank_correlations(features))
    p = len(alike)
    if p < 2:
        return Clusters(np.zeros(p, dtype=np.int64), np.arange(p))
    apart = squareform(np.maximum(0.0, 1 - (alike + alike.T) / 2), checks=False)
    found = fcluster(linkage(apart, method="complete"), t=1 - threshold + 1e-12, criterion="distance")
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    cluster = np.argsort(np.argsort(first))[inverse.reshape(-1)].astype(np.int64)
    members = [np.flatnonzero(cluster == k) for k in range(len(first))]
    chosen = [_standing_for(alike, own, preferred) for own in members]
    return Clusters(cluster, np.array(chosen, dtype=np.int64))


def _standing_for(alike: Floats, own: Integers, preferred: Sequence[int]) -> int:
    wanted = [place for place in preferred if place in own]
    if wanted:
        return int(wanted[0])
    inside = alike[np.ix_(own, own)].mean(axis=1)
    return int(own[np.flatnonzero(inside >= inside.max() - 1e-9)[0]])
