"""What embeddings give away: can a simple probe tell an attribute from them, beyond what the truth explains?"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from fiducial.errors import InputRefused
from fiducial.maths.delong import delong, perfect_area_bounds
from fiducial.maths.inputs import Bools, Floats, Integers, binary_truth, require_level, same_length, subject_codes
from fiducial.maths.intervals import Interval, student_quantile

RIDGE = 0.1
"""Ridge penalty for each training row, of features whose variance is 1."""


def folds_of(subject: ArrayLike, n_folds: int) -> Integers:
    """A fold for each row [n], the same for all rows of a subject, whatever the order of the rows.

    Subjects are sorted by the SHA-256 of their ids and dealt out in turn.
    """
    names = [str(name) for name in np.asarray(subject).reshape(-1)]
    ordered = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())
    place = {name: k % n_folds for k, name in enumerate(ordered)}
    return np.array([place[name] for name in names], dtype=np.int64)


def cross_fitted_probe(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    n_folds: int = 5,
    ridge: float = RIDGE,
) -> Floats:
    """Out-of-fold scores of a linear probe for each label: larger means more likely.

    In each fold features are brought to mean 0 and variance 1 on the other subjects' rows, and the label (0/1) is
    regressed on them by least squares with the penalty ``ridge`` n_train |coefficients|^2, in closed form, for all
    labels at once. With ``truth`` the means of features and labels within each truth class (of the training rows) are
    taken off first, so that the probe finds what an attribute adds to an embedding, not that events have both.

    Args:
        features: [n, d], finite.
        labels: 0/1 [n, k].
        subject: [n], default one subject for each row; a subject's rows are never in training and test at once.
        truth: 0/1 [n], or None.
        n_folds: at least 2.
        ridge: 0 or more.

    Returns:
        [n, k].

    Raises:
        InputRefused: lengths differ, a feature is not finite, or an illegal number.

    Source: cross-fitting: Stone, JRSS B 36 (1974) 111-147; ridge: Hoerl and Kennard, Technometrics 12 (1970) 55-67.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not np.isfinite(x).all():
        raise InputRefused(f"features {x.shape} and labels {y.shape}", legal="finite [n, d] and [n, k]")
    if n_folds < 2 or ridge < 0:
        raise InputRefused(f"{n_folds} folds, ridge {ridge}", legal="2 or more folds, 0 or more")
    names = np.arange(len(x)) if subject is None else np.asarray(subject).reshape(-1)
    stratum = np.zeros(len(x), dtype=bool) if truth is None else binary_truth(truth)
    same_length(x, names, names=("the features", "the subjects"))
    same_length(x, stratum, names=("the features", "the truth"))
    fold = folds_of(names, n_folds)
    scores = np.zeros(y.shape)
    for k in range(n_folds):
        train, test = fold != k, fold == k
        if train.any() and test.any():
            scores[test] = _predicted(x, y, stratum, train=train, test=test, ridge=ridge)
    return scores


def stratified_auc(
    label: ArrayLike,
    score: ArrayLike,
    stratum: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """The AUC of a score for a label within strata: how often a labelled row outranks an unlabelled one of its stratum.

    The mean of the strata's AUCs, weighted by their number of pairs of subjects m n / (m + n), with DeLong's variances
    (clustered after Obuchowski), strata taken as independent, and Student's t with the smallest stratum's degrees of
    freedom. ``p`` tests an AUC of 0.5. Strata without both kinds, or with fewer than two subjects of one kind, do not
    count; NaN with reason ``one-class`` where none does. A probe that is always right has no variance: its area of 1 is
    bounded by the number of independent pairs k, with p = 2 0.5^k.

    Source: DeLong et al. 1988 (see `delong`); weights: van Elteren, Bull Int Stat Inst 37 (1960) 351-361.
    """
    labels, scores = binary_truth(label), np.asarray(score, dtype=np.float64).reshape(-1)
    codes, n_subjects = subject_codes(subject, len(labels))
    strata = np.asarray(stratum).reshape(-1)
    same_length(labels, strata, names=("the labels", "the strata"))
    method = "AUC within strata of the truth, DeLong, clustered, cross-fitted by patient"
    empty = Interval(math.nan, math.nan, math.nan, require_level(level), method, n_subjects, len(labels), "one-class")
    parts = []
    for name in np.unique(strata):
        rows = strata == name
        found = delong(labels[rows], scores[rows], subject=codes[rows])
        m, n = found.n_positive_subjects, found.n_negative_subjects
        if math.isfinite(found.variance):
            parts.append((m * n / (m + n), found))
    if not parts:
        return empty
    whole = sum(weight for weight, _ in parts)
    area = sum(weight * found.auc for weight, found in parts) / whole
    variance = sum((weight / whole) ** 2 * found.variance for weight, found in parts)
    freedom = min(
        (found.degrees_of_freedom for _, found in parts if math.isfinite(found.degrees_of_freedom)), default=1
    )
    if variance <= 1e-18 and area in (0.0, 1.0):
        # All of k independent pairs are in order: 0.5^k each way by chance.
        k = sum(max(1, found.n_pairs) for _, found in parts)
        low, high = perfect_area_bounds(area, k, level=level)
        method = f"AUC within strata of the truth, exact bound on {k} independent pairs, cross-fitted by patient"
        return Interval(
            area, low, high, level, method, n_subjects, len(labels), "zero-variance", p=min(1.0, 2 * 0.5**k)
        )
    if variance <= 1e-18:
        return Interval(area, math.nan, math.nan, level, method, n_subjects, len(labels), "equal-values")
    error = math.sqrt(variance)
    spread = student_quantile(level, freedom) * error
    p = 2 * float(stdtr(freedom, -abs(area - 0.5) / error))
    low, high = max(0.0, area - spread), min(1.0, area + spread)
    return Interval(area, low, high, level, method, n_subjects, len(labels), p=p)


def shift_given_truth(
    value: ArrayLike, label: ArrayLike, stratum: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """How much larger a value is for labelled rows than for others of the same stratum: a clustered regression.

    Least squares of the value on the label with one intercept per stratum. With h the label less its stratum's mean,
    the coefficient is sum h value / sum h^2; its variance is the sandwich summed within subjects,
    k / (k - 1) sum_subject (sum h residual)^2 / (sum h^2)^2, with Student's t on k - 1 degrees of freedom, k counting
    the subjects of the rarer kind. NaN with reason ``one-class`` where no stratum has both kinds. No p value: see
    `fairness.group_test`.

    Source: Liang and Zeger, Biometrika 73 (1986) 13-22.
    """
    values, labels = np.asarray(value, dtype=np.float64).reshape(-1), binary_truth(label)
    codes, n_subjects = subject_codes(subject, len(values))
    strata = np.unique(np.asarray(stratum).reshape(-1), return_inverse=True)[1].reshape(-1)
    same_length(values, strata, names=("the values", "the strata"))
    method = "regression of logit(score) on the attribute within strata of the truth, sandwich, clustered"
    h, e = labels.astype(np.float64), values.copy()
    for rows in (strata == s for s in range(int(strata.max(initial=-1)) + 1)):
        h[rows] -= h[rows].mean()
        e[rows] -= e[rows].mean()
    below = float((h**2).sum())
    empty = Interval(math.nan, math.nan, math.nan, require_level(level), method, n_subjects, len(values), "one-class")
    k = min(len(np.unique(codes[labels])), len(np.unique(codes[~labels])))
    if below <= 1e-12 or k < 1:
        return empty
    found = float((h * e).sum()) / below
    if k < 2:
        return Interval(found, math.nan, math.nan, level, method, n_subjects, len(values), "few-subjects")
    sums = np.bincount(codes, h * (e - found * h), minlength=n_subjects)
    spread = student_quantile(level, k - 1) * math.sqrt(k / (k - 1) * float((sums**2).sum())) / below
    if spread == 0:
        return Interval(found, math.nan, math.nan, level, method, n_subjects, len(values), "equal-values")
    return Interval(found, found - spread, found + spread, level, method, n_subjects, len(values))


def _predicted(
    x: Floats, y: Floats, stratum: Bools, *, train: NDArray[np.bool_], test: NDArray[np.bool_], ridge: float
) -> Floats:
    """Scores of the test rows by a ridge regression on the training rows, class means taken off."""
    inner, outer, target = x[train].copy(), x[test].copy(), y[train].copy()
    for name in (False, True):
        own, other = stratum[train] == name, stratum[test] == name
        if own.any():
            mean = inner[own].mean(axis=0)
            inner[own] -= mean
            outer[other] -= mean
            target[own] -= target[own].mean(axis=0)
    spread = inner.std(axis=0)
    spread[spread <= 1e-12] = 1.0
    inner, outer = inner / spread, outer / spread
    penalty = max(ridge * len(inner), 1e-9)
    if len(inner) < x.shape[1]:
        # (X'X + p I)^-1 X' = X' (XX' + p I)^-1: the smaller system is quicker to solve.
        dual = np.linalg.solve(inner @ inner.T + penalty * np.eye(len(inner)), target)
        return np.asarray((outer @ inner.T) @ dual)
    gram = inner.T @ inner + penalty * np.eye(x.shape[1])
    return np.asarray(outer @ np.linalg.solve(gram, inner.T @ target))
