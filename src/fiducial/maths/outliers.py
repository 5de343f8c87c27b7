"""How foreign is a case: its distance from reference cases, in an embedding or in single figures, or its energy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from fiducial.errors import InputRefused
from fiducial.maths.calibration import logit
from fiducial.maths.delong import delong
from fiducial.maths.inputs import Floats, binary_truth, finite_values, probabilities


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution: ``mean`` [d], ``covariance`` [d, d] after shrinkage by ``shrinkage``."""

    mean: Floats
    covariance: Floats
    shrinkage: float


def ledoit_wolf(points: ArrayLike) -> Gaussian:
    """Mean and covariance, shrunk towards a multiple of the identity so that it can be inverted.

    With centred rows x_k, S = sum x_k x_k' / n and m = trace(S) / d, the shrinkage is
    min(b^2, d^2) / d^2 for d^2 = ||S - m I||^2 / d and b^2 = sum ||x_k x_k' - S||^2 / (n^2 d), and the covariance
    (1 - shrinkage) S + shrinkage m I. Where all points are equal the covariance is 0.

    Args:
        points: [n, d], n at least 2.

    Raises:
        InputRefused: another shape, or a value that is not finite.

    Source: Ledoit and Wolf, J Multivar Anal 88 (2004) 365-411.
    """
    x = _points(points, least=2)
    n, d = x.shape
    mean = x.mean(axis=0)
    x = x - mean
    sample = x.T @ x / n
    middle = float(np.trace(sample)) / d
    apart = float(((sample - middle * np.eye(d)) ** 2).sum()) / d
    noise = max(0.0, float(((x**2).sum(axis=1) ** 2).sum()) / n - float((sample**2).sum())) / (n * d)
    shrinkage = min(noise, apart) / apart if apart > 0 else 0.0
    return Gaussian(mean, (1 - shrinkage) * sample + shrinkage * middle * np.eye(d), shrinkage)


def mahalanobis(points: ArrayLike, reference: Gaussian) -> Floats:
    """sqrt((x - mean)' covariance^-1 (x - mean)) of each row [n]; directions without spread are left out.

    Raises:
        InputRefused: not as many coordinates as the reference has.

    Source: Mahalanobis 1936; as a score of foreign images: Lee et al., NeurIPS 2018.
    """
    x = _points(points)
    _same_width(x, len(reference.mean))
    square = (x - reference.mean) @ np.linalg.pinv(reference.covariance, hermitian=True)
    return np.asarray(np.sqrt(np.maximum(0, (square * (x - reference.mean)).sum(axis=1))))


def neighbour_distance(points: ArrayLike, reference: ArrayLike, *, k: int = 10) -> Floats:
    """Euclidean distance of each row to its k-th nearest reference row [n], exact; the furthest if there are fewer.

    A row must not be among the reference rows, or it is its own neighbour.

    Raises:
        InputRefused: shapes do not fit, no reference row, or k < 1.

    Source: Ramaswamy, Rastogi and Shim, SIGMOD 2000; as a score of foreign images: Sun et al., ICML 2022.
    """
    from scipy.spatial import cKDTree

    x, known = _points(points), _points(reference, least=1)
    _same_width(x, known.shape[1])
    if k < 1:
        raise InputRefused(f"k = {k}", legal="1 or more")
    nearest = min(k, len(known))
    found, _ = cKDTree(known).query(x, k=[nearest])
    return np.asarray(found[:, 0], dtype=np.float64)


def energy(score: ArrayLike) -> Floats:
    """Energy of each case [n]: minus the sum over labels of log(1 + exp(logit)); high where no label speaks.

    For one label this is minus the log-sum-exp of its two logits (0, logit), and it falls as the probability rises, so
    a part with more confident findings has less of it. Probabilities of exclusive classes have lost the constant that
    an energy needs, and have none.

    Args:
        score: probabilities [n] of one label, or [n, labels].

    Raises:
        InputRefused: a score is not a probability.

    Source: Liu et al., NeurIPS 2020; several labels: Wang et al., NeurIPS 2021.
    """
    values = np.asarray(score, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    logits = logit(probabilities(values).reshape(values.shape))
    return np.asarray(-np.logaddexp(0, logits).sum(axis=1))


def robust_z(values: ArrayLike, *, least_spread: float = 0.0) -> Floats:
    """How far each value lies from the median, in robust standard deviations [n], with its sign.

    (x - median) / (1.4826 MAD), MAD the median absolute deviation. Where more than half of the values are equal the
    MAD is 0, and 1.2533 times the mean absolute deviation stands in for it; where all are equal every z is 0. A spread
    below ``least_spread`` is taken to be that. NaN stays NaN and counts nowhere.

    Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, ASQC 1993.
    """
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    known = x[np.isfinite(x)]
    if known.size == 0:
        return np.full(x.shape, math.nan)
    middle = float(np.median(known))
    apart = np.abs(known - middle)
    spread = max(1.4826 * float(np.median(apart)) or 1.2533 * float(apart.mean()), least_spread)
    return (x - middle) / spread if spread > 0 else np.where(np.isfinite(x), 0.0, math.nan)


def discriminant(points: ArrayLike, here: ArrayLike, there: ArrayLike) -> Floats:
    """Each row along the line that best tells ``there`` from ``here`` [n]: Fisher's, with a shrunk covariance.

    The rows to judge must be others than those that the line is drawn from.

    Args:
        points: rows to judge [n, d].
        here: rows of the first kind [a, d], a at least 2.
        there: rows of the second kind [b, d], b at least 2.

    Raises:
        InputRefused: shapes do not fit.

    Source: Fisher, Ann Eugen 7 (1936) 179-188; as a test of two samples: Lopez-Paz and Oquab, ICLR 2017.
    """
    x, first, second = _points(points), _points(here, least=2), _points(there, least=2)
    _same_width(x, first.shape[1])
    _same_width(second, first.shape[1])
    within = np.concatenate([first - first.mean(axis=0), second - second.mean(axis=0)])
    direction = np.linalg.pinv(ledoit_wolf(within).covariance, hermitian=True) @ (second.mean(0) - first.mean(0))
    return np.asarray((x - first.mean(axis=0)) @ direction)


def area_above_half_p(truth: ArrayLike, score: ArrayLike, *, subject: ArrayLike | None = None) -> float:
    """The one-sided p value of an AUC of at most 1/2, by DeLong's variance clustered by subject, Student's t.

    Where the variance is 0, an area above 1/2 has all of k independent pairs in order: p = 0.5^k, else 1. NaN where a
    class has fewer than two subjects.

    Source: DeLong, DeLong and Clarke-Pearson 1988; Obuchowski 1997 (see `delong`); Brunner and Munzel 2000.
    """
    found = delong(binary_truth(truth), finite_values(score, name="score"), subject=subject)
    if math.isnan(found.variance):
        return math.nan
    if found.variance <= 1e-18:
        return float(0.5 ** max(1, found.n_pairs)) if found.auc > 0.5 else 1.0
    return float(stdtr(found.degrees_of_freedom, -(found.auc - 0.5) / math.sqrt(found.variance)))


def _points(points: ArrayLike, *, least: int = 0) -> NDArray[np.float64]:
    values = np.asarray(points, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 1 or len(values) < least:
        raise InputRefused(f"points of shape {values.shape}", legal=f"[rows, coordinates], {least} or more rows")
    return finite_values(values, name="coordinate").reshape(values.shape)


def _same_width(points: Floats, width: int) -> None:
    if points.shape[1] != width:
        raise InputRefused(f"{points.shape[1]} coordinates", legal=f"{width}, as the reference has")
