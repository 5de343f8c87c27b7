"""Maps that mend probabilities: temperature, isotonic and Venn-Abers; for several classes at once as well.

The logistic map stands in `calibration`, because a calibration slope is one. Each map is fitted on one set of cases and
applied to others. All are rising, so they keep the order of patients (isotonic and Venn-Abers may merge neighbours).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax, stdtr

from fiducial.errors import InputRefused
from fiducial.maths.calibration import (
    SMALLEST_PROBABILITY,
    Recalibration,
    fit_line,
    logistic_coefficients,
    logit,
    why_no_slope,
)
from fiducial.maths.inputs import Bools, Floats, binary_truth, probabilities, require_level, same_length, subject_codes
from fiducial.maths.intervals import Interval, student_quantile


class ScoreMap(Protocol):
    """A fitted map of probabilities."""

    def apply(self, score: ArrayLike) -> Floats:
        """Recalibrated probabilities [n]."""


@dataclass(frozen=True)
class Identity:
    """Probabilities as they are."""

    def apply(self, score: ArrayLike) -> Floats:
        """The same probabilities [n]."""
        return probabilities(score)


@dataclass(frozen=True)
class Isotonic:
    """A rising map through knots, straight between them, flat outside: ``score`` and ``value`` [m], score rising."""

    score: Floats
    value: Floats

    def apply(self, score: ArrayLike) -> Floats:
        """Recalibrated probabilities [n]."""
        return np.interp(probabilities(score), self.score, self.value)


@dataclass(frozen=True)
class VennAbers:
    """Two isotonic maps for each case: what it would get if it were negative (``low``) or positive (``high``).

    ``score`` [m] are the distinct calibration scores; ``low`` and ``high`` [m] belong to a new case with that score.
    """

    score: Floats
    low: Floats
    high: Floats

    def interval(self, score: ArrayLike) -> tuple[Floats, Floats]:
        """p0 and p1 [n]; one of the two is a calibrated probability, and their distance says how little is known."""
        new = probabilities(score)
        at_most = np.searchsorted(self.score, new, side="right") - 1
        at_least = np.searchsorted(self.score, new, side="left")
        low = np.where(at_most < 0, 0.0, self.low[np.maximum(at_most, 0)])
        high = np.where(at_least == len(self.score), 1.0, self.high[np.minimum(at_least, len(self.score) - 1)])
        return low, high

    def apply(self, score: ArrayLike) -> Floats:
        """One probability [n]: p1 / (1 - p0 + p1), which loses least in the worse of both cases under log loss."""
        low, high = self.interval(score)
        return np.asarray(high / (1 - low + high))


@dataclass(frozen=True)
class ClassTemperature:
    """Temperature scaling of several classes: p' is proportional to p^(1 / temperature)."""

    temperature: float

    def apply(self, score: ArrayLike) -> Floats:
        """Recalibrated probabilities [n, classes]."""
        return np.asarray(softmax(_class_logs(score) / self.temperature, axis=1))


@dataclass(frozen=True)
class ClassIsotonic:
    """One isotonic map for each class against the rest, divided by their sum."""

    maps: tuple[Isotonic, ...]

    def apply(self, score: ArrayLike) -> Floats:
        """Recalibrated probabilities [n, classes]; a row that all maps send to 0 keeps its own probabilities."""
        values = np.exp(_class_logs(score))
        mapped = np.stack([one.apply(values[:, k]) for k, one in enumerate(self.maps)], axis=1)
        whole = mapped.sum(axis=1, keepdims=True)
        return np.asarray(np.where(whole > 0, mapped / np.where(whole > 0, whole, 1), values))


def fit_temperature(truth: ArrayLike, score: ArrayLike) -> Recalibration:
    """logit(p') = logit(p) / T, with the T of the largest likelihood.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not a probability, one class is absent, or no positive, finite T fits best (scores
            that separate the classes, or rank them the wrong way round).

    Source: Guo et al., ICML 2017.
    """
    labels, x = _fittable(truth, score)
    separated = bool((x[labels] >= 0).all() and (x[~labels] <= 0).all())
    slope = math.inf if separated else float(logistic_coefficients(x[:, None], labels, np.zeros_like(x))[0])
    if not 0 < slope < math.inf:
        raise InputRefused(
            f"no temperature for {int(labels.sum())} positive of {len(labels)} rows: best 1 / T is {slope:g}",
            legal="scores above 0.5 that are mostly, but not always, positive",
            action="use more calibration cases, or leave the probabilities as they are",
        )
    return Recalibration(0.0, slope)


def fit_isotonic(truth: ArrayLike, score: ArrayLike) -> Isotonic:
    """The rising function of the score that is nearest to the truth in squares (pool adjacent violators).

    Equal scores get one value; between two steps the map is straight. Its ends may be 0 and 1 exactly.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not a probability, or one class is absent.

    Source: Zadrozny and Elkan, KDD 2002; Barlow et al., Statistical Inference under Order Restrictions (1972).
    """
    from scipy.optimize import isotonic_regression

    labels, _ = _fittable(truth, score)
    at, sums, counts = _distinct(labels, probabilities(score))
    value = np.clip(isotonic_regression(sums / counts, weights=counts).x, 0, 1)
    inside = np.zeros(len(at), dtype=bool)
    inside[1:-1] = (value[1:-1] == value[:-2]) & (value[1:-1] == value[2:])
    return Isotonic(at[~inside], value[~inside])


def fit_venn_abers(truth: ArrayLike, score: ArrayLike) -> VennAbers:
    """Inductive Venn-Abers: exact p0 and p1 for every possible new score, in O(n log n).

    A new case is added to the calibration cases once as negative and once as positive, and isotonic regression is
    fitted each time. All of these fits share their cumulative sums, and their greatest convex minorants change at one
    corner at a time, so one pass over the distinct scores gives them all.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not a probability, or one class is absent.

    Source: Vovk, Petej and Fedorova, Large-scale probabilistic predictors with and without guarantees of validity,
    NeurIPS 2015 (algorithms 1 to 4).
    """
    labels, _ = _fittable(truth, score)
    at, sums, counts = _distinct(labels, probabilities(score))
    high = _value_if_positive(sums, counts)
    # A negative case among rising scores is a positive one among falling scores with classes exchanged.
    low = 1 - _value_if_positive((counts - sums)[::-1], counts[::-1])[::-1]
    return VennAbers(at, low, high)


def _value_if_positive(sums: Floats, counts: Floats) -> Floats:
    """Isotonic value at each distinct score [k] after one positive case is added there.

    The cumulative sums are points P_j = (cases, positives) up to score j. A case added at score i moves P_i ... P_k by
    (1, 1); seen from there, P_0 ... P_(i-1) move by (-1, -1). The value is the slope of the edge of the greatest convex
    minorant that leads from the moved points to the others. ``corners`` holds the minorant from that edge on, its
    left end on top. As i grows, one more point moves: if it comes to lie under the edge, it becomes the edge's left
    end, and corners that it now sees from below drop out.
    """
    points = list(zip(np.cumsum(counts).tolist(), np.cumsum(sums).tolist(), strict=True))
    corners = [(-1.0, -1.0)]
    for point in points:
        while len(corners) > 1 and not _turns_left(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    corners.reverse()
    found = np.empty(len(points))
    for i, point in enumerate(points):
        start, end = corners[-1], corners[-2]
        found[i] = (end[1] - start[1]) / (end[0] - start[0])
        moved = (point[0] - 1, point[1] - 1)
        if i + 1 < len(points) and _turns_left(start, moved, end):
            corners.pop()
            while len(corners) > 1 and not _turns_left(moved, corners[-1], corners[-2]):
                corners.pop()
            corners.append(moved)
    return np.clip(found, 0, 1)


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies strictly below the line from a to c."""
    return (b[0] - a[0]) * (c[1] - b[1]) > (b[1] - a[1]) * (c[0] - b[0])


def fit_class_temperature(truth: ArrayLike, score: ArrayLike) -> ClassTemperature:
    """Temperature of the largest likelihood for several classes, sought from 1/50 to 50.

    Args:
        truth: index of the true class [n].
        score: probabilities [n, classes].

    Raises:
        InputRefused: shapes do not fit, or the best temperature lies at an end of the range (every case right, or
            scores without any relation to the truth).

    Source: Guo et al., ICML 2017.
    """
    from scipy.optimize import minimize_scalar

    logs, which = _classes(truth, score)
    rows = np.arange(len(which))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logs / math.exp(log_temperature), axis=1)[rows, which].mean())

    limit = math.log(50)
    right = logs[rows, which]  # where every case is right, any lower temperature is better still
    separated = bool((right >= logs.max(axis=1)).all())
    best = float(minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-7}).x)
    if separated or abs(best) > limit - 1e-3:
        raise InputRefused(
            f"no temperature for {len(which)} rows of {logs.shape[1]} classes: the likelihood has no maximum",
            legal="classes that are mostly, but not always, told right",
            action="use more calibration cases, or leave the probabilities as they are",
        )
    return ClassTemperature(math.exp(best))


def fit_class_isotonic(truth: ArrayLike, score: ArrayLike) -> ClassIsotonic:
    """Isotonic regression of each class against the rest; the mapped probabilities are divided by their sum.

    Arguments as `fit_class_temperature`.

    Raises:
        InputRefused: shapes do not fit, or a class is absent.

    Source: Zadrozny and Elkan, KDD 2002.
    """
    logs, which = _classes(truth, score)
    values = np.exp(logs)
    return ClassIsotonic(tuple(fit_isotonic(which == k, values[:, k]) for k in range(logs.shape[1])))


def out_of_fold(
    fit: Callable[[NDArray[np.generic], Floats], ScoreMap],
    truth: NDArray[np.generic],
    score: Floats,
    fold: NDArray[np.int64],
) -> Floats:
    """Each row's probability after a map that was fitted on the rows of the other folds; shape of ``score``.

    Raises:
        InputRefused: the map cannot be fitted without one of the folds.
    """
    found = np.empty_like(score)
    for one in np.unique(fold):
        held = fold == one
        found[held] = fit(truth[~held], score[~held]).apply(score[held])
    return found


@dataclass(frozen=True)
class MapDifference:
    """Second minus first logistic map: ``slope``, and the log odds at the second part's mean logit (``at_mean``)."""

    slope: Interval
    at_mean: Interval


@dataclass(frozen=True)
class Part:
    """Truth [n], probabilities [n] and subjects [n] of one part."""

    truth: Bools
    score: Floats
    subject: NDArray[np.generic]


def map_difference(first: Part, second: Part, *, level: float = 0.95) -> MapDifference:
    """Whether two parts, without common subjects, need the same logistic map.

    Each part's map is fitted with its sandwich covariance, clustered by subject; the two differences are compared by
    Student's t with Welch-Satterthwaite degrees of freedom, so that the first part's own error counts. ``p`` tests no
    difference. NaN with reason ``no-fit`` where a part has one class, one score, or separated classes.

    Raises:
        LabelError, InputRefused: as `fit_recalibration`, and for a level outside (0, 1).

    Source: Cox 1958; Liang and Zeger, Biometrika 73 (1986) 13-22; Welch, Biometrika 34 (1947) 28-35.
    """
    require_level(level)
    parts = []
    n_images = len(first.truth) + len(second.truth)
    n_subjects = sum(subject_codes(part.subject, len(part.truth))[1] for part in (first, second))
    method = "difference of two logistic regressions on logit(score), sandwich, clustered, Welch's t"
    empty = Interval(math.nan, math.nan, math.nan, level, method, n_subjects, n_images, "no-fit")
    for part in (first, second):
        labels, x = binary_truth(part.truth), logit(probabilities(part.score))
        same_length(labels, x, names=("truth", "score"))
        codes, k = subject_codes(part.subject, len(labels))
        if why_no_slope(labels, x) or k < 3:
            return MapDifference(empty, empty)
        parts.append((fit_line(labels, x, codes, k), k))
    at = float(logit(second.score).mean())
    found = []
    for direction in (np.array([0.0, 1.0]), np.array([1.0, at])):
        value = float(direction @ (parts[1][0].coefficients - parts[0][0].coefficients))
        own = [(float(direction @ fit.covariance @ direction), k) for fit, k in parts]
        variance = sum(v for v, _ in own)
        freedom = variance**2 / sum(v**2 / (k - 1) for v, k in own)
        spread = student_quantile(level, freedom) * math.sqrt(variance)
        p = 2 * float(stdtr(freedom, -abs(value) / math.sqrt(variance)))
        found.append(Interval(value, value - spread, value + spread, level, method, n_subjects, n_images, "", p))
    return MapDifference(*found)


def _fittable(truth: ArrayLike, score: ArrayLike) -> tuple[Bools, Floats]:
    """Truth and logits of both classes."""
    labels, scores = binary_truth(truth), probabilities(score)
    same_length(labels, scores, names=("truth", "score"))
    if labels.all() or not labels.any():
        raise _refused(labels, "one-class" if len(labels) else "no-rows")
    return labels, logit(scores)


def _refused(labels: Bools, problem: str) -> InputRefused:
    return InputRefused(
        f"no recalibration for {int(labels.sum())} positive of {len(labels)} rows: {problem}",
        legal="both classes, with overlapping scores",
        action="use more calibration cases, or leave the probabilities as they are",
    )


def _distinct(labels: Bools, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Distinct scores, rising, with the positives and the rows of each."""
    at, which = np.unique(scores, return_inverse=True)
    counts = np.bincount(which.reshape(-1)).astype(np.float64)
    return at, np.bincount(which.reshape(-1), labels).astype(np.float64), counts


def _classes(truth: ArrayLike, score: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    logs = _class_logs(score)
    which = np.asarray(truth, dtype=np.int64).reshape(-1)
    if len(which) != len(logs) or not len(which) or which.min() < 0 or which.max() >= logs.shape[1]:
        raise InputRefused(
            f"{len(which)} true classes for probabilities of shape {logs.shape}",
            legal="one index of a class for each row",
        )
    return logs, which


def _class_logs(score: ArrayLike) -> Floats:
    """Logarithms of probabilities [n, classes], kept away from 0 as `logit` keeps them."""
    values = np.asarray(score, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise InputRefused(f"probabilities of shape {values.shape}", legal="[rows, classes], two or more classes")
    return np.log(np.maximum(probabilities(values).reshape(values.shape), SMALLEST_PROBABILITY))
