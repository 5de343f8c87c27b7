"""Stability selection: which features are chosen again and again when half of the patients are left out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Bools, Floats, Integers, finite_values, same_length
from fiducial.maths.least_angle import first_to_enter


@dataclass(frozen=True)
class StabilitySelection:
    """What halves of the patients chose.

    ``share`` [p] of the halves in which a feature was chosen; ``selected`` [p] where that reaches ``threshold``;
    ``n_chosen`` features were taken in each of ``n_halves`` halves. ``bound`` is the largest expected number of
    selected features that a half chooses no more often than chance would (``n_chosen``^2 / ((2 threshold - 1) p)).
    """

    share: Floats
    selected: Bools
    threshold: float
    n_chosen: int
    n_halves: int
    bound: float


def n_to_choose(n_features: int, *, expected_false: float, threshold: float) -> int:
    """The largest q with q^2 / ((2 threshold - 1) p) <= expected_false; at least 1, at most p."""
    return max(1, min(n_features, math.floor(math.sqrt(expected_false * (2 * threshold - 1) * n_features) + 1e-9)))


def stability_selection(
    features: ArrayLike,
    response: ArrayLike,
    *,
    strata: ArrayLike,
    expected_false: float = 1.0,
    threshold: float = 0.75,
    n_pairs: int = 50,
    seed: int = 0,
) -> StabilitySelection:
    """Complementary pairs stability selection with the first q features on the least angle path.

    The patients are cut in two halves, by stratum, ``n_pairs`` times; in each half the q features that enter the path
    first (`first_to_enter`) are chosen. With p features, L those that a half chooses with probability at most q / p,
    and a threshold above 1/2, the expected number of selected features in L is at most q^2 / ((2 threshold - 1) p),
    without any assumption on the features; q is the largest for which that is at most ``expected_false``, or 1, whose
    bound may be larger. The bound says nothing of features that are chosen more often than q / p by following a real
    one.

    Args:
        features: [n, p], finite.
        response: [n]: what is left of the outcome without any feature, such as truth less its mean.
        strata: [n], bool: patients with the event and without, who are halved separately.
        expected_false: as above.
        threshold: share of halves, above 1/2 and at most 1.
        n_pairs: cuts in two.
        seed: of the cuts.

    Raises:
        InputRefused: shapes do not fit, a number is not finite or legal, or a half would have under three patients.

    Source: Meinshausen and Buhlmann, JRSS B 72 (2010) 417-473, theorem 1; Shah and Samworth, JRSS B 75 (2013) 55-80,
    theorem 1.
    """
    x, y = np.asarray(features, dtype=np.float64), finite_values(response, name="response")
    groups = np.asarray(strata, dtype=bool).reshape(-1)
    if x.ndim != 2 or not x.shape[1] or not np.isfinite(x).all():
        raise InputRefused(f"features {x.shape}", legal="finite [n, p], p at least 1")
    same_length(x, y, names=("the features", "the response"))
    same_length(x, groups, names=("the features", "the strata"))
    if not (0.5 < threshold <= 1 and expected_false > 0 and n_pairs >= 1):
        raise InputRefused(
            f"threshold {threshold}, expected_false {expected_false}, n_pairs {n_pairs}",
            legal="a threshold above 0.5 and at most 1, a positive number, at least 1 pair",
        )
    halves = complementary_halves(groups, n_pairs, seed)
    if halves.shape[1] < 3:
        raise InputRefused(f"{len(x)} patients", legal="at least 6, so that a half has 3")
    p = x.shape[1]
    q = min(n_to_choose(p, expected_false=expected_false, threshold=threshold), halves.shape[1] - 1)
    entered = first_to_enter(x[halves], y[halves], n_entering=q)
    counts = np.bincount(entered[entered >= 0], minlength=p)
    share = counts / len(halves)
    bound = min(float(p), q * q / ((2 * threshold - 1) * p))
    return StabilitySelection(share, share >= threshold - 1e-12, threshold, q, len(halves), bound)


def complementary_halves(strata: Bools, n_pairs: int, seed: int) -> Integers:
    """Rows of both halves of each cut [2 n_pairs, n // 2 or one less]; odd strata leave one patient out of the cut."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == value) for value in (False, True)]
    halves = []
    for _ in range(n_pairs):
        shuffled = [rng.permutation(group) for group in groups]
        halves.append(np.concatenate([rows[: len(rows) // 2] for rows in shuffled]))
        halves.append(np.concatenate([rows[len(rows) // 2 : 2 * (len(rows) // 2)] for rows in shuffled]))
    return np.array(halves, dtype=np.int64).reshape(2 * n_pairs, -1)
