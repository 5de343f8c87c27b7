"""The variance of the area under the ROC curve, in O(n log n), for rows that may belong to the same patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.maths.inputs import Bools, Floats, Integers, subject_codes, summed, truth_and_score


@dataclass(frozen=True)
class DeLong:
    """An AUC with the variance of DeLong and the Welch-Satterthwaite degrees of freedom of its two parts.

    ``n_positive_subjects`` and ``n_negative_subjects`` count the subjects with at least one positive or negative
    row; a subject may be in both. ``n_pairs`` is the largest number of positive-negative pairs in which no subject
    appears twice. ``variance`` is NaN where a class has fewer than two subjects.
    """

    auc: float
    variance: float
    degrees_of_freedom: float
    n_positive_subjects: int
    n_negative_subjects: int
    n_pairs: int


@dataclass(frozen=True)
class Components:
    """Structural components: for each row, the share of the other class that it is ranked rightly against."""

    labels: Bools
    placement: Floats
    codes: Integers
    n_subjects: int


def components(truth: ArrayLike, score: ArrayLike, *, subject: ArrayLike | None = None) -> Components:
    """Placements by midranks: V10 for a positive row, V01 for a negative one (ties half), NaN if a class is absent.

    Source: Sun and Xu, IEEE Signal Process Lett 21 (2014) 1389-1393.
    """
    labels, scores = truth_and_score(truth, score)
    codes, n_subjects = subject_codes(subject, len(labels))
    n_positive = int(labels.sum())
    n_negative = len(labels) - n_positive
    placement = np.full(len(labels), np.nan)
    if n_positive and n_negative:
        overall = midranks(scores)
        placement[labels] = (overall[labels] - midranks(scores[labels])) / n_negative
        placement[~labels] = 1 - (overall[~labels] - midranks(scores[~labels])) / n_positive
    return Components(labels, placement, codes, n_subjects)


def midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    result: Floats = (last - (counts - 1) / 2)[inverse.reshape(-1)]
    return result


def delong(truth: ArrayLike, score: ArrayLike, *, subject: ArrayLike | None = None) -> DeLong:
    """AUC and its variance, clustered by subject.

    With one row for each subject this is DeLong's variance S10 / m + S01 / n. With repeated subjects the
    components are summed within a subject first and the covariance of both parts is added, after Obuchowski.

    Args:
        truth: 0/1 [n].
        score: [n], larger means more likely positive.
        subject: [n], default one subject for each row.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not finite, or lengths differ.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997)
    567-578; degrees of freedom as in Brunner and Munzel, Biom J 42 (2000) 17-25.
    """
    parts = components(truth, score, subject=subject)
    return _summarised(parts)


def delong_difference(
    truth: ArrayLike, score_a: ArrayLike, score_b: ArrayLike, *, subject: ArrayLike | None = None
) -> DeLong:
    """AUC of ``score_a`` minus that of ``score_b`` on the same rows, with the variance of the difference.

    Arguments, refusals and source as `delong`.
    """
    first, second = (components(truth, score, subject=subject) for score in (score_a, score_b))
    difference = Components(first.labels, first.placement - second.placement, first.codes, first.n_subjects)
    return _summarised(difference)


def _summarised(parts: Components) -> DeLong:
    labels, codes, k = parts.labels, parts.codes, parts.n_subjects
    positives, negatives = np.bincount(codes[labels], minlength=k), np.bincount(codes[~labels], minlength=k)
    a, b = int((positives > 0).sum()), int((negatives > 0).sum())
    n_pairs = min(a, b, int(((positives > 0) | (negatives > 0)).sum()) // 2)
    if a == 0 or b == 0:
        return DeLong(float("nan"), float("nan"), float("nan"), a, b, n_pairs)
    area = float(parts.placement[labels].mean())
    if a < 2 or b < 2:
        return DeLong(area, float("nan"), float("nan"), a, b, n_pairs)
    residual_10 = summed(codes[labels], parts.placement[labels] - area, k)
    residual_01 = summed(codes[~labels], parts.placement[~labels] - area, k)
    m, n = int(labels.sum()), int((~labels).sum())
    first = a / (a - 1) * float((residual_10**2).sum()) / m**2
    second = b / (b - 1) * float((residual_01**2).sum()) / n**2
    both = 2 * k / (k - 1) * float((residual_10 * residual_01).sum()) / (m * n)
    apart = first**2 / (a - 1) + second**2 / (b - 1)
    freedom = (first + second) ** 2 / apart if apart > 0 else float("nan")
    return DeLong(area, max(0.0, first + second + both), freedom, a, b, n_pairs)


def perfect_area_bounds(area: float, n_pairs: int, *, level: float) -> tuple[float, float]:
    """Exact bounds of an area of 1 (or 0), which has no variance to estimate.

    All of k disjoint pairs are in order, whose chance is at most AUC^k, so AUC < (alpha / 2)^(1 / k) is rejected; 0 by
    symmetry. Sharp: a share 1 - AUC of outliers in the smaller class attains it.

    Args:
        area: 0 or 1.
        n_pairs: k, such as `DeLong.n_pairs`; at least one.
        level: confidence level.
    """
    exact = ((1 - level) / 2) ** (1 / max(1, n_pairs))
    return (float(exact), 1.0) if area else (0.0, float(1 - exact))
