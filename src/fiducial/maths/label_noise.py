"""Is the reference itself wrong in places? Which truths a score contradicts, and more of them than chance allows?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, chdtri, expit

from fiducial.maths.calibration import logit
from fiducial.maths.inputs import (
    Bools,
    Floats,
    Integers,
    binary_truth,
    probabilities,
    require_level,
    same_length,
    subject_codes,
    summed,
)
from fiducial.maths.intervals import Interval

LARGEST_RATE = 0.4
"""Share of flipped truths that is searched for; at one half nothing could be told."""
_GRID = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.32, LARGEST_RATE)
_TINY = 1e-12


@dataclass(frozen=True)
class LabelNoise:
    """Share of truths that look flipped, with the recalibration that was fitted beside it.

    ``rate.p`` is the one-sided p value of *no truth is flipped*. ``slope`` and ``intercept`` belong to the logistic map
    of the truths behind the noise. ``design`` is the factor by which the patients' clustering lowers the test.
    """

    rate: Interval
    slope: float
    intercept: float
    design: float


def label_noise(
    truth: ArrayLike, score: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> LabelNoise:
    """The share of flipped truths that explains confident contradictions beyond what a recalibrated score allows.

    The chance of an observed event is e + (1 - 2 e) sigmoid(a + b logit(score)): a logistic map of the score, whose
    truths were flipped with one rate e in both directions. All three are fitted together by maximum likelihood, so a
    score that is merely miscalibrated (too sure, too high) is explained by a and b and not taken for noise. The test is
    the likelihood ratio against e = 0, half of whose null distribution sits at 0 (the boundary); the interval holds the
    rates that the profile likelihood does not reject. Both statistics are divided by ``design``, the clustered over the
    plain variance of the efficient score of e, where patients have several rows.

    Edge cases: value and bounds are NaN with reason ``no-rows``, ``one-class`` or ``no-fit`` (scores all alike, or no
    score of one class lies beyond one of the other).

    Args:
        truth: 0/1 [n].
        score: probabilities [n].
        subject: [n], default one subject for each row.
        level: of the interval.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not a probability, lengths differ, or the level is not in (0, 1).

    Source: the noise model of Natarajan et al., NeurIPS 26 (2013) with one rate; Northcutt, Jiang and Chuang, J Artif
    Intell Res 70 (2021) 1373-1411 for finding errors by confidence; boundary: Self and Liang, J Am Stat Assoc 82 (1987)
    605-610.
    """
    labels, scores = binary_truth(truth), probabilities(score)
    same_length(labels, scores, names=("truth", "score"))
    codes, k = subject_codes(subject, len(labels))
    method = "likelihood ratio of one flip rate beside a logistic map" + (", clustered" if k < len(labels) else "")
    empty = Interval(math.nan, math.nan, math.nan, require_level(level), method, k, len(labels))
    if problem := _problem(labels, scores):
        return LabelNoise(_because(empty, problem), math.nan, math.nan, math.nan)
    x = logit(scores)
    profile = _Profile(np.stack([np.ones_like(x), x], axis=1), labels)
    best, beta, top = profile.maximum()
    design = _design(profile, best, beta, codes, k)
    statistic = max(0.0, 2 * (top - profile.at(0.0)[1])) / design
    p = 1.0 if statistic == 0 else 0.5 * float(chdtrc(1, statistic))
    cut = top - design * float(chdtri(1, 1 - level)) / 2
    low, high = profile.crossing(0.0, best, cut), profile.crossing(LARGEST_RATE, best, cut)
    rate = Interval(best, low, high, level, method, k, len(labels), "", p)
    return LabelNoise(rate, float(beta[1]), float(beta[0]), design)


def self_confidence(truth: ArrayLike, score: ArrayLike, found: LabelNoise) -> Floats:
    """The recalibrated chance of the truth that is stated [n]: near 0 where the score contradicts it with confidence.

    Source: Northcutt, Jiang and Chuang 2021 (self-confidence of a label).
    """
    labels = binary_truth(truth)
    chance = expit(found.intercept + found.slope * logit(probabilities(score)))
    return np.asarray(np.where(labels, chance, 1 - chance), dtype=np.float64)


class _Profile:
    """The likelihood maximised over the logistic map, at given flip rates; each rate starts where the last ended."""

    def __init__(self, design: Floats, labels: Bools) -> None:
        self.x, self.y = design, labels
        self._known: dict[float, tuple[Floats, float]] = {}
        self._last = np.zeros(design.shape[1])

    def at(self, rate: float) -> tuple[Floats, float]:
        """Coefficients and log-likelihood at one flip rate."""
        if rate not in self._known:
            self._known[rate] = self._fitted(rate, self._last)
            self._last = self._known[rate][0]
        return self._known[rate]

    def maximum(self) -> tuple[float, Floats, float]:
        """The best rate with its coefficients and log-likelihood: on a grid, then refined between its neighbours."""
        from scipy.optimize import minimize_scalar

        rates = (0.0, *_GRID)
        heights = [self.at(rate)[1] for rate in rates]
        place = int(np.argmax(heights))
        if place:
            self._last = self.at(rates[place])[0]
            between = (rates[place - 1], rates[min(place + 1, len(rates) - 1)])
            found = minimize_scalar(
                lambda rate: -self.at(float(rate))[1], bounds=between, method="bounded", options={"xatol": 1e-4}
            )
            if -found.fun > heights[place]:
                return float(found.x), *self.at(float(found.x))
        return rates[place], *self.at(rates[place])

    def crossing(self, end: float, best: float, cut: float) -> float:
        """Where the profile falls to ``cut`` between the best rate and an end of its range; the end if it does not."""
        if end == best or self.at(end)[1] >= cut:
            return end
        inside, outside = best, end
        self._last = self.at(best)[0]
        for _ in range(14):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if self.at(middle)[1] >= cut else (inside, middle)
        return (inside + outside) / 2

    def weights(self, rate: float, beta: Floats) -> tuple[Floats, Floats, Floats]:
        """Chance of an observed event, its derivative by the linear predictor, and by the rate [n] each."""
        p = expit(self.x @ beta)
        q = np.clip(rate + (1 - 2 * rate) * p, _TINY, 1 - _TINY)
        return q, (1 - 2 * rate) * p * (1 - p), 1 - 2 * p

    def _fitted(self, rate: float, start: Floats) -> tuple[Floats, float]:
        """Fisher scoring with step halving."""
        beta, best = start, self._height(rate, start)
        for _ in range(60):
            q, slope, _ = self.weights(rate, beta)
            gradient = self.x.T @ (slope * (self.y - q) / (q * (1 - q)))
            information = self.x.T @ (self.x * (slope**2 / (q * (1 - q)))[:, None])
            step = np.linalg.lstsq(information, gradient, rcond=None)[0]
            scale = 1.0
            while (now := self._height(rate, beta + scale * step)) < best and scale > 1e-4:
                scale /= 2
            if now <= best + 1e-9:
                break
            beta, best = beta + scale * step, now
        return beta, best

    def _height(self, rate: float, beta: Floats) -> float:
        q = self.weights(rate, beta)[0]
        return float(np.log(np.where(self.y, q, 1 - q)).sum())


def _design(profile: _Profile, rate: float, beta: Floats, codes: Integers, k: int) -> float:
    """Clustered over plain variance of the rate's score, with the map's part projected out; at least 1."""
    if k == len(codes):
        return 1.0
    q, by_map, by_rate = profile.weights(rate, beta)
    weight = 1 / (q * (1 - q))
    tangent = profile.x * by_map[:, None]
    cross = tangent.T @ (by_rate * weight)
    share = np.linalg.lstsq(tangent.T @ (tangent * weight[:, None]), cross, rcond=None)[0]
    efficient = (by_rate - tangent @ share) * weight * (profile.y - q)
    plain = float((efficient**2).sum())
    clustered = float((summed(codes, efficient, k) ** 2).sum())
    return max(1.0, clustered / plain) if plain > 0 else 1.0


def _problem(labels: Bools, scores: Floats) -> str:
    """Why nothing can be fitted; empty where it can."""
    if len(labels) == 0:
        return "no-rows"
    positive, negative = scores[labels], scores[~labels]
    if len(positive) == 0 or len(negative) == 0:
        return "one-class"
    apart = positive.min() >= negative.max() or positive.max() <= negative.min()
    return "no-fit" if apart or np.ptp(scores) == 0 else ""


def _because(interval: Interval, reason: str) -> Interval:
    return replace(interval, reason=reason)
