"""Split-conformal quantiles that count patients, what they promise, and the test whether the promise was kept.

Scores are *nonconformity*: larger means that an answer fits its image less. Exchangeable are patients, never images. A
patient with several images is meant in one of two ways: `one` random image of a new patient, or `all` of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Floats, finite_values, same_length, subject_codes, summed

Images = Literal["one", "all"]
_ROUNDING = 1e-9
"""(n + 1)(1 - alpha) is meant exactly: 30 x 0.9 is 27, whatever floating point makes of it."""


def conformal_rank(n: int, alpha: float) -> int:
    """Which of n sorted scores is the conformal quantile: ceil((n + 1)(1 - alpha)).

    A rank of n + 1 means that the quantile is infinite: n is below `least_n`.

    Raises:
        InputRefused: alpha is not between 0 and 1.
    """
    return max(1, math.ceil((n + 1) * (1 - require_alpha(alpha)) - _ROUNDING))


def least_n(alpha: float) -> int:
    """The smallest number of calibration patients with a finite quantile: ceil(1 / alpha - 1)."""
    return max(1, math.ceil(1 / require_alpha(alpha) - 1 - _ROUNDING))


def require_alpha(alpha: float) -> float:
    """A share of misses strictly between 0 and 1.

    Raises:
        InputRefused: it is not.
    """
    if not 0 < alpha < 1:
        raise InputRefused(f"alpha {alpha}", legal="between 0 and 1, such as 0.1 for sets that hold 90 % of truths")
    return float(alpha)


def conformal_quantile(
    scores: ArrayLike, alpha: float, *, subject: ArrayLike | None = None, images: Images = "one"
) -> float:
    """The score up to which answers are accepted, so that a new patient's truth is accepted with chance 1 - alpha.

    With one image per patient it is the ceil((n + 1)(1 - alpha))-th smallest of n scores, infinite if n is smaller than
    1 / alpha - 1, and for exchangeable patients

        1 - alpha <= P(accepted) <= 1 - alpha + 1 / (n + 1),

    the upper bound if scores have no ties. With several images:

    - ``one``: each patient's images weigh 1 / n_k, and the quantile is the smallest score at which K patients' weights
      reach (1 - alpha)(K + 1). It holds for one random image of a new patient, in [1 - alpha, 1 - alpha + 2 / (K + 1)].
    - ``all``: a patient's score is the largest of the images'. It holds for all images of a new patient at once.

    Args:
        scores: nonconformity of the true answers [n]; finite.
        alpha: the share of misses, such as 0.1.
        subject: [n], default one patient for each row.
        images: what a new patient brings.

    Raises:
        InputRefused: a score is not finite, lengths differ, or alpha is not between 0 and 1.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005); several images: Lee, Barber and
    Willett, Distribution-free inference with hierarchical data (2023). The bound 2 / (K + 1): the quantile is at most
    that of all K + 1 patients at 1 - alpha + 1 / (K + 1), where one image carries a weight of at most 1 / (K + 1).
    """
    values = finite_values(scores)
    codes, n_patients = subject_codes(subject, len(values))
    if _images(images) == "all":
        values = largest_of(values, codes, n_patients)
    if images == "all" or n_patients == len(values):
        rank = conformal_rank(n_patients, alpha)
        return math.inf if rank > n_patients else float(np.partition(values, rank - 1)[rank - 1])
    weight = 1 / np.bincount(codes, minlength=n_patients)[codes]
    return weighted_quantile(values, weight, (1 - require_alpha(alpha)) * (n_patients + 1))


def weighted_quantile(values: ArrayLike, weight: ArrayLike, reach: float) -> float:
    """The smallest value at which the weights of all values up to it sum to at least ``reach``; infinite if none."""
    numbers, weights = finite_values(values), finite_values(weight, name="weight")
    same_length(numbers, weights, names=("values", "weights"))
    if (weights < 0).any():
        raise InputRefused(f"weight {weights.min():g}", legal="0 or more")
    order = np.argsort(numbers, kind="stable")
    reached = np.cumsum(weights[order])
    at = int(np.searchsorted(reached, reach - _ROUNDING * max(1.0, reach)))
    return math.inf if at >= len(numbers) else float(numbers[order][at])


def group_quantiles(
    scores: ArrayLike, group: ArrayLike, alpha: float, *, subject: ArrayLike | None = None, images: Images = "one"
) -> dict[Any, float]:
    """A quantile of each group's own calibration patients, so that the promise holds in each (Mondrian).

    ``group`` [n] may be the true class (class-conditional) or a value of an attribute; a group's patients are those
    with an image in it. Other arguments as `conformal_quantile`.

    Source: Vovk, Conditional validity of inductive conformal predictors, Machine Learning 92 (2013) 349-376.
    """
    values, groups = finite_values(scores), np.asarray(group).reshape(-1)
    same_length(values, groups, names=("scores", "groups"))
    names = np.arange(len(values)) if subject is None else np.asarray(subject).reshape(-1)
    found = {}
    for one in np.unique(groups):
        inside = groups == one
        found[one] = conformal_quantile(values[inside], alpha, subject=names[inside], images=images)
    return found


def largest_of(values: Floats, codes: NDArray[np.int64], n_patients: int) -> Floats:
    """The largest value of each patient [n_patients]."""
    largest = np.full(n_patients, -np.inf)
    np.maximum.at(largest, codes, values)
    return largest


def covered_share(covered: ArrayLike, *, subject: ArrayLike | None = None, images: Images = "one") -> Floats:
    """How much of each patient is covered [n_patients]: the share of images, or 1 only if all of them are."""
    hits = np.asarray(covered, dtype=np.float64).reshape(-1)
    codes, n_patients = subject_codes(subject, len(hits))
    share = summed(codes, hits, n_patients) / np.bincount(codes, minlength=n_patients)
    return share if _images(images) == "one" else np.asarray(share == 1, dtype=np.float64)


def coverage_p_value(covered: ArrayLike, n_calibration: int, alpha: float) -> float:
    """How likely so few of the test patients are covered, if they are exchangeable with the calibration patients.

    Over draws of both, the coverage of scores without ties is Beta(k, n + 1 - k) with k = ceil((n + 1)(1 - alpha)), and
    the number of m test patients that are covered is beta-binomial: p = P(BetaBinomial(m, k, n + 1 - k) <= number).
    With ties more are covered, and p errs upwards. Patients of whom a share of the images is covered count with this
    share, and the sum is rounded up, so that further images of a patient never make the test bolder.

    Args:
        covered: 0 to 1 for each test patient [m].
        n_calibration: calibration patients n.
        alpha: the share of misses that was allowed.

    Returns:
        p in (0, 1]; 1 where the quantile is infinite (everything is covered); NaN without test patients.

    Source: Vovk, Machine Learning 92 (2013) 349-376 (the beta distribution of coverage).
    """
    from scipy.stats import betabinom

    share = finite_values(covered)
    rank = conformal_rank(n_calibration, alpha)
    if len(share) == 0:
        return math.nan
    if rank > n_calibration:
        return 1.0
    number = math.ceil(float(share.sum()) - _ROUNDING)
    return float(betabinom.cdf(number, len(share), rank, n_calibration + 1 - rank))


def residual_scores(truth: ArrayLike, predicted: ArrayLike, *, spread: ArrayLike | None = None) -> Floats:
    """Nonconformity of a predicted number: |truth - predicted|, divided by a positive ``spread`` [n] if one is given.

    The spread must come from other data than these (for example the standard deviation of an ensemble).

    Raises:
        InputRefused: a number is not finite, lengths differ, or a spread is not positive.

    Source: Papadopoulos et al., ECML 2002; normalised: Lei et al., J Am Stat Assoc 113 (2018) 1094-1111.
    """
    true, guess = finite_values(truth, name="truth"), finite_values(predicted, name="prediction")
    same_length(true, guess, names=("truth", "predictions"))
    return np.abs(true - guess) / _spread(spread, len(true))


def prediction_interval(
    predicted: ArrayLike, quantile: float, *, spread: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """What a quantile of `residual_scores` promises: predicted -+ quantile x spread, as (low [n], high [n])."""
    guess = finite_values(predicted, name="prediction")
    half = quantile * _spread(spread, len(guess))
    return guess - half, guess + half


def by_group(group: ArrayLike, quantiles: Mapping[Any, float]) -> Floats:
    """The quantile of each row's group [n]; infinite for a group that had no calibration patients."""
    return np.array([quantiles.get(one, math.inf) for one in np.asarray(group).reshape(-1)], dtype=np.float64)


def _spread(spread: ArrayLike | None, n_rows: int) -> Floats:
    if spread is None:
        return np.ones(n_rows)
    values = finite_values(spread, name="spread")
    if len(values) != n_rows or (values <= 0).any():
        raise InputRefused(f"{len(values)} spreads, smallest {values.min():g}", legal="one above 0 for each prediction")
    return values


def _images(images: str) -> str:
    if images not in ("one", "all"):
        raise InputRefused(f"images {images!r}", legal="one (random image of a new patient), or all of them")
    return images
