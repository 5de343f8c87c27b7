"""Do probabilities mean what they say: Brier score and its parts, ECE, reliability, slope, logistic recalibration."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, stdtr, stdtrit

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import Sums
from fiducial.maths.inputs import (
    Bools,
    Floats,
    binary_truth,
    probabilities,
    require_level,
    same_length,
    subject_codes,
    summed,
)
from fiducial.maths.intervals import Interval

SMALLEST_PROBABILITY = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""

Binning = Literal["equal_width", "adaptive"]


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram: (``low``, ``high``] holds ``n`` rows."""

    low: float
    high: float
    n: int
    mean_score: float
    rate: float


@dataclass(frozen=True)
class Recalibration:
    """Logistic recalibration: logit(p') = intercept + slope logit(p); with intercept 0, temperature 1 / slope."""

    intercept: float
    slope: float

    def apply(self, score: ArrayLike) -> Floats:
        """Recalibrated probabilities [n]."""
        return np.asarray(expit(self.intercept + self.slope * logit(probabilities(score))), dtype=np.float64)


@dataclass(frozen=True)
class CalibrationFit:
    """Calibration of probabilities against truth: ideal are slope 1, intercept 0 and in-the-large 0.

    ``slope`` and ``intercept`` come from one logistic regression of truth on logit(score); ``in_the_large`` is the
    intercept with the slope held at 1 (is the mean risk right?). Each ``p`` tests the ideal value.
    """

    slope: Interval
    intercept: Interval
    in_the_large: Interval


@dataclass(frozen=True)
class BrierParts:
    """Brier score = reliability - resolution + uncertainty, exactly."""

    reliability: float
    resolution: float
    uncertainty: float


@dataclass(frozen=True)
class LogisticFit:
    """Coefficients [p] of a logistic regression, and what each subject adds to their error: ``influence`` [k, p]."""

    coefficients: Floats
    influence: Floats

    @property
    def covariance(self) -> Floats:
        """The sandwich, clustered by subject, with the factor k / (k - 1); NaN for one subject."""
        k = len(self.influence)
        factor = k / (k - 1) if k > 1 else math.nan
        return np.asarray(factor * self.influence.T @ self.influence)


def brier(truth: ArrayLike, score: ArrayLike) -> float:
    """Mean of (score - truth)^2; NaN for no rows. Source: Brier, Mon Weather Rev 78 (1950) 1-3."""
    labels, scores = _both(truth, score)
    return float(((scores - labels) ** 2).mean()) if len(labels) else math.nan


def brier_decomposition(truth: ArrayLike, score: ArrayLike, *, n_bins: int = 10) -> BrierParts:
    """The Brier score in three parts, over bins of equal number.

    With n_b rows, mean score p_b and rate y_b in bin b, and the overall rate y: reliability is
    sum n_b / n (p_b - y_b)^2, uncertainty y (1 - y), and resolution what is left: reliability + uncertainty - Brier.
    Where all scores of a bin are equal, that is Murphy's sum n_b / n (y_b - y)^2; else it also holds how scores vary
    inside the bins (Stephenson's generalised resolution), so that the three parts always add up. Reliability is
    pushed upwards by chance as bins become small. NaN for no rows.

    Source: Murphy, J Appl Meteorol 12 (1973) 595-600; Stephenson, Coelho and Jolliffe, Weather Forecast 23 (2008)
    752-757.
    """
    labels, scores = _both(truth, score)
    if not len(labels):
        return BrierParts(math.nan, math.nan, math.nan)
    bins = reliability(labels, scores, n_bins=n_bins, binning="adaptive")
    off = float(sum(b.n * (b.mean_score - b.rate) ** 2 for b in bins)) / len(labels)
    uncertainty = float(labels.mean() * (1 - labels.mean()))
    return BrierParts(off, off + uncertainty - brier(labels, scores), uncertainty)


def brier_part_of(part: str, truth: ArrayLike, score: ArrayLike, *, n_bins: int = 10) -> Sums:
    """One of the three parts (``reliability``, ``resolution``, ``uncertainty``) for `clustered_bootstrap`.

    The bins are those of the data, in every replicate.

    Raises:
        InputRefused: another part, or a score that is not a probability.
    """
    labels, scores = _both(truth, score)
    if part not in ("reliability", "resolution", "uncertainty"):
        raise InputRefused(f"part {part!r}", legal="reliability, resolution, uncertainty")
    edges = bin_edges(scores, n_bins=n_bins, binning="adaptive")
    b = len(edges) - 1
    which = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, b - 1)
    rows, off = np.arange(len(scores)), scores - labels
    columns = np.zeros((len(scores), 2 * b + 3))
    columns[rows, which], columns[rows, b + which] = 1, off
    columns[:, 2 * b], columns[:, 2 * b + 1], columns[:, 2 * b + 2] = labels, off**2, 1

    def combine(sums: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            counts, whole = sums[..., :b], sums[..., 2 * b + 2]
            squares = np.where(counts > 0, sums[..., b : 2 * b] ** 2 / counts, 0).sum(axis=-1)
            rate = sums[..., 2 * b] / whole
            found = {"reliability": squares / whole, "uncertainty": rate * (1 - rate)}
            found["resolution"] = found["reliability"] + found["uncertainty"] - sums[..., 2 * b + 1] / whole
        return np.asarray(found[part])

    return Sums(columns, combine)


def log_loss(truth: ArrayLike, score: ArrayLike) -> float:
    """Mean of -log(score of what is true), scores kept as `logit` keeps them; NaN for no rows."""
    labels, scores = _both(truth, score)
    return float(log_losses(labels, scores).mean()) if len(labels) else math.nan


def log_losses(labels: Bools, scores: Floats) -> Floats:
    """-log(score of what is true) of each row [n]."""
    kept = np.clip(scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(-np.log(np.where(labels, kept, 1 - kept)))


def bin_edges(score: ArrayLike, *, n_bins: int = 10, binning: Binning = "equal_width") -> Floats:
    """Edges of the bins, from 0 to 1: of equal width, or ``adaptive``, at quantiles (fewer bins if scores repeat).

    Raises:
        InputRefused: a score is not a probability, ``n_bins`` < 1, or an unknown binning.
    """
    if n_bins < 1 or binning not in ("equal_width", "adaptive"):
        raise InputRefused(f"{n_bins} bins, {binning!r}", legal="1 or more bins; equal_width or adaptive")
    scores = probabilities(score)
    if binning == "equal_width" or len(scores) == 0:
        return np.linspace(0, 1, n_bins + 1)
    inner = np.quantile(scores, np.arange(1, n_bins) / n_bins, method="inverted_cdf")
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def ece(truth: ArrayLike, score: ArrayLike, *, n_bins: int = 10, binning: Binning = "equal_width") -> float:
    """Expected calibration error: the mean over rows of |rate - mean score| of the row's bin.

    Bins are (low, high], the first includes 0. NaN for no rows. It is not debiased: it grows by chance alone as bins
    become small, which `intervals.bootstrap_interval` allows for in its lower bound.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015; adaptive bins: Nguyen and O'Connor, EMNLP 2015.
    """
    bins = reliability(truth, score, n_bins=n_bins, binning=binning)
    n = sum(b.n for b in bins)
    return float(sum(b.n * abs(b.rate - b.mean_score) for b in bins) / n) if n else math.nan


def reliability(
    truth: ArrayLike, score: ArrayLike, *, n_bins: int = 10, binning: Binning = "equal_width"
) -> list[ReliabilityBin]:
    """The bins of a reliability diagram that hold at least one row; arguments as `ece`."""
    labels, scores = _both(truth, score)
    edges = bin_edges(scores, n_bins=n_bins, binning=binning)
    which = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, len(edges) - 2)
    bins = []
    for i in np.unique(which):
        rows = which == i
        n, mean, rate = int(rows.sum()), float(scores[rows].mean()), float(labels[rows].mean())
        bins.append(ReliabilityBin(float(edges[i]), float(edges[i + 1]), n, mean, rate))
    return bins


def logit(probability: ArrayLike) -> Floats:
    """log(p / (1 - p)) with p kept in [`SMALLEST_PROBABILITY`, 1 - `SMALLEST_PROBABILITY`]."""
    p = np.clip(np.asarray(probability, dtype=np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def fit_recalibration(truth: ArrayLike, score: ArrayLike) -> Recalibration:
    """Logistic recalibration by maximum likelihood (Newton), to be fitted on data that are not the test data.

    If the slope cannot be told (all scores alike) it is held at 1 and the intercept alone is fitted.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not a probability, only one class is present, or the scores separate the classes
            perfectly (the likelihood has no maximum).

    Source: Cox, Biometrika 45 (1958) 562-565.
    """
    labels, scores = _both(truth, score)
    x = logit(scores)
    problem = why_no_slope(labels, x)
    if problem == "equal-scores":
        fit = logistic_coefficients(np.ones((len(x), 1)), labels, x)
        return Recalibration(float(fit[0]), 1.0)
    if problem:
        raise InputRefused(
            f"no logistic recalibration for {int(labels.sum())} positive of {len(labels)} rows: {problem}",
            legal="both classes, with overlapping scores",
            action="use more calibration cases, or leave the probabilities as they are",
        )
    intercept, slope = logistic_coefficients(np.stack([np.ones_like(x), x], axis=1), labels, np.zeros_like(x))
    return Recalibration(float(intercept), float(slope))


def calibration_slope_intercept(
    truth: ArrayLike, score: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> CalibrationFit:
    """Calibration slope, intercept and calibration-in-the-large with intervals clustered by subject.

    Logistic regression of truth on logit(score); the covariance is the sandwich with scores summed within a subject
    and the factor k / (k - 1) for k subjects; bounds by Student's t with k - 1 degrees of freedom.

    Edge cases: value and bounds are NaN with reason ``one-class``; ``no-fit`` for slope and intercept where
    all scores are alike or the classes are perfectly separated (no finite maximum).

    Args:
        truth: 0/1 [n].
        score: probabilities [n].
        subject: [n], default one subject for each row.
        level: confidence level.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not a probability, lengths differ, or the level is not in (0, 1).

    Source: Cox 1958; Van Calster et al., J Clin Epidemiol 74 (2016) 167-176; Liang and Zeger, Biometrika 73 (1986)
    13-22.
    """
    labels, scores = _both(truth, score)
    codes, k = subject_codes(subject, len(labels))
    require_level(level)
    x = logit(scores)
    problem = why_no_slope(labels, x)
    method = "logistic regression on logit(score), sandwich" + (", clustered" if k < len(labels) else "")
    nothing = Interval(math.nan, math.nan, math.nan, level, method, k, len(labels))

    def intervals(fit: LogisticFit, ideals: tuple[float, ...]) -> list[Interval]:
        error = np.sqrt(np.diag(fit.covariance))
        spread = float(stdtrit(k - 1, (1 + level) / 2)) * error if k > 1 else np.full(len(error), np.nan)
        reason = "" if k > 1 else "one-subject"
        p = [
            2 * float(stdtr(k - 1, -abs(b - ideal) / e)) if k > 1 and e > 0 else math.nan
            for b, ideal, e in zip(fit.coefficients, ideals, error, strict=True)
        ]
        return [
            Interval(float(b), float(b - s), float(b + s), level, method, k, len(labels), reason, one)
            for b, s, one in zip(fit.coefficients, spread, p, strict=True)
        ]

    if problem in ("one-class", "no-rows"):
        return CalibrationFit(*[_because(nothing, problem)] * 3)
    (large,) = intervals(fit_large(labels, x, codes, k), (0.0,))
    if problem:
        return CalibrationFit(_because(nothing, "no-fit"), _because(nothing, "no-fit"), large)
    intercept, slope = intervals(fit_line(labels, x, codes, k), (0.0, 1.0))
    return CalibrationFit(slope, intercept, large)


def _both(truth: ArrayLike, score: ArrayLike) -> tuple[Bools, Floats]:
    labels, scores = binary_truth(truth), probabilities(score)
    same_length(labels, scores, names=("truth", "score"))
    return labels, scores


def why_no_slope(labels: Bools, x: Floats) -> str:
    """Why a slope cannot be fitted: ``no-rows``, ``one-class``, ``equal-scores``, ``separated`` or empty."""
    if len(labels) == 0:
        return "no-rows"
    positive, negative = x[labels], x[~labels]
    if len(positive) == 0 or len(negative) == 0:
        return "one-class"
    if np.ptp(x) == 0:
        return "equal-scores"
    separated = positive.min() >= negative.max() or positive.max() <= negative.min()
    return "separated" if separated else ""


def fit_line(labels: Bools, x: Floats, codes: NDArray[np.int64], n_subjects: int) -> LogisticFit:
    """Logistic regression of truth on x with an intercept: coefficients (intercept, slope)."""
    return _fitted(np.stack([np.ones_like(x), x], axis=1), labels, np.zeros_like(x), codes, n_subjects)


def logistic_coefficients(design: Floats, labels: Bools, offset: Floats, *, n_steps: int = 100) -> Floats:
    """Maximum-likelihood logistic regression by Newton's method with step halving: coefficients [p].

    ``design`` [n, p], ``offset`` [n] with the coefficient 1. The maximum must exist (see `why_no_slope`).
    """
    beta = np.zeros(design.shape[1])

    def loss(b: Floats) -> float:
        eta = design @ b + offset
        return float(np.logaddexp(0, eta).sum() - eta[labels].sum())

    best = loss(beta)
    for _ in range(n_steps):
        p = expit(design @ beta + offset)
        gradient = design.T @ (labels - p)
        step = np.linalg.lstsq(design.T @ (design * (p * (1 - p))[:, None]), gradient, rcond=None)[0]
        scale = 1.0
        while (now := loss(beta + scale * step)) > best + 1e-12 and scale > 1e-6:
            scale /= 2
        beta, best = beta + scale * step, now
        if float(np.abs(scale * step).max()) < 1e-10:
            break
    return beta


def fit_large(labels: Bools, x: Floats, codes: NDArray[np.int64], n_subjects: int) -> LogisticFit:
    """The intercept with the slope held at 1."""
    return _fitted(np.ones((len(x), 1)), labels, x, codes, n_subjects)


def _fitted(design: Floats, labels: Bools, offset: Floats, codes: NDArray[np.int64], n_subjects: int) -> LogisticFit:
    """Coefficients, and the subjects' summed scores through the inverse information."""
    beta = logistic_coefficients(design, labels, offset)
    p = expit(design @ beta + offset)
    bread = np.linalg.pinv(design.T @ (design * (p * (1 - p))[:, None]))
    residual = labels - p
    scores = np.stack([summed(codes, column * residual, n_subjects) for column in design.T], axis=1)
    return LogisticFit(beta, np.asarray(scores @ bread, dtype=np.float64))


def _because(interval: Interval, reason: str) -> Interval:
    return replace(interval, reason=reason)
