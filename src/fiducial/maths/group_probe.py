"""Can a group be told from features beyond chance? A linear probe, cross-fitted, with an exact permutation test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Bools, Floats
from fiducial.maths.intervals import Interval, auc_interval
from fiducial.maths.probe import cross_fitted_probe


@dataclass(frozen=True)
class GroupProbe:
    """How well each group is told from all others (AUC with its interval, by group), and all of it at once.

    ``mean_area`` is the groups' mean AUC; ``p`` its permutation p value, NaN where nothing could be asked.
    """

    areas: dict[str, Interval]
    mean_area: float
    p: float
    n: int


def group_probe(
    features: ArrayLike,
    group: ArrayLike,
    *,
    minimum_n: int = 10,
    n_permutations: int = 999,
    level: float = 0.95,
    seed: int = 0,
) -> GroupProbe:
    """Probe every group of at least ``minimum_n`` rows against all other rows, if these are as many.

    Scores come from `cross_fitted_probe` (five folds); of two groups one is asked, as the other's AUC is the same. The
    test permutes the groups of whole rows: where rows are exchangeable (one row for each person) its p value,
    (1 + number of permutations with a mean AUC at least as large) / (1 + n_permutations), is exact.

    Args:
        features: [n, d], finite; one row for each person.
        group: names [n]; "" means not known, and such rows are left out.
        minimum_n: rows on either side, below which a group is not asked.
        n_permutations: at least 1; the smallest p value is 1 / (1 + n_permutations).
        level: of the intervals.
        seed: of the permutations.

    Raises:
        InputRefused: shapes do not fit, or a feature is not finite.

    Source: exact p value of a permutation test: Phipson and Smyth, Stat Appl Genet Mol Biol 9 (2010) 39; a classifier
    as a test: Ojala and Garriga, JMLR 11 (2010) 1833-1863.
    """
    x, names = np.asarray(features, dtype=np.float64), np.asarray(group).astype(str).reshape(-1)
    if x.ndim != 2 or len(x) != len(names) or n_permutations < 1:
        raise InputRefused(f"features {x.shape}, {len(names)} groups", legal="[n, d] and [n], 1 or more permutations")
    x, names = x[names != ""], names[names != ""]
    asked = _asked(names, minimum_n)
    if not asked or x.shape[1] == 0:
        return GroupProbe({}, math.nan, math.nan, len(x))
    own = np.stack([names == name for name in asked], axis=1)
    rng = np.random.default_rng(seed)
    orders = [np.arange(len(x)), *(rng.permutation(len(x)) for _ in range(n_permutations))]
    labels = np.concatenate([own[order] for order in orders], axis=1)
    # By place and not by id: a fold for each row in turn, after a shuffle of its own, whatever the ids are.
    scores = cross_fitted_probe(x, labels, subject=rng.permutation(len(x)))
    areas = column_areas(labels, scores).reshape(len(orders), len(asked)).mean(axis=1)
    p = (1 + int((areas[1:] >= areas[0] - 1e-12).sum())) / len(orders)
    found = {name: auc_interval(own[:, k], scores[:, k], level=level) for k, name in enumerate(asked)}
    return GroupProbe(found, float(areas[0]), p, len(x))


def column_areas(labels: Bools, scores: Floats) -> Floats:
    """The AUC of each column of scores [n, k] for the column of labels [n, k] beside it [k]; ties count half.

    Source: Mann-Whitney's U over the number of pairs, by midranks.
    """
    from scipy.stats import rankdata

    n_own = labels.sum(axis=0)
    ranks = rankdata(scores, axis=0)
    above = np.where(labels, ranks, 0).sum(axis=0) - n_own * (n_own + 1) / 2
    pairs = n_own * (len(labels) - n_own)
    return np.asarray(np.divide(above, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))


def _asked(names: np.ndarray[tuple[int], np.dtype[np.str_]] | np.ndarray, minimum_n: int) -> list[str]:
    """Groups that are large enough on both sides, in order; the second of two alone."""
    groups, counts = np.unique(names, return_counts=True)
    least = max(2, minimum_n)
    large = [str(g) for g, n in zip(groups, counts, strict=True) if n >= least and len(names) - n >= least]
    return large[1:] if len(groups) == 2 and len(large) == 2 else large
