"""Binary decisions and rankings: ROC, rates at a threshold, operating points.

Everywhere a case is called positive if its score is at or above the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused, LabelError
from fiducial.maths.inputs import Floats, finite_values, truth_and_score

RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy")
RULES = ("sensitivity", "specificity", "youden", "threshold")
Rule = Literal["sensitivity", "specificity", "youden", "threshold"]


@dataclass(frozen=True)
class RocCurve:
    """Points of a ROC curve from (0, 0) to (1, 1); ``threshold`` falls, and is infinite at the first point."""

    threshold: Floats
    sensitivity: Floats
    false_positive_rate: Floats


@dataclass(frozen=True)
class Confusion:
    """Weighted counts of the four outcomes at one threshold; each rate is NaN where nothing is divided."""

    true_positive: float
    false_positive: float
    true_negative: float
    false_negative: float

    @property
    def sensitivity(self) -> float:
        """Share of the positive that are called positive."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """Share of the negative that are called negative."""
        return _share(self.true_negative, self.true_negative + self.false_positive)

    @property
    def ppv(self) -> float:
        """Share of those called positive that are positive."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def npv(self) -> float:
        """Share of those called negative that are negative."""
        return _share(self.true_negative, self.true_negative + self.false_negative)

    @property
    def accuracy(self) -> float:
        """Share of all that are called right."""
        right = self.true_positive + self.true_negative
        return _share(right, right + self.false_positive + self.false_negative)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, the rule that chose it, and the rates on the data it was chosen on (optimistic there)."""

    threshold: float
    rule: Rule
    sensitivity: float
    specificity: float


def roc_curve(truth: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> RocCurve:
    """Sensitivity against false-positive rate at each distinct score.

    Args:
        truth: 0/1 [n].
        score: [n], larger means more likely positive.
        weight: [n], 0 or more, default 1.

    Raises:
        LabelError: truth is not 0/1, or only one class is present.
        InputRefused: a score is not finite, or lengths differ.
    """
    labels, scores = truth_and_score(truth, score)
    weights = _weights(weight, len(labels))
    _require_both(float(weights[labels].sum()), float(weights[~labels].sum()))
    levels, rank = np.unique(-scores, return_inverse=True)
    positive = np.bincount(rank, weights * labels, minlength=len(levels)).cumsum()
    negative = np.bincount(rank, weights * ~labels, minlength=len(levels)).cumsum()
    return RocCurve(
        threshold=np.concatenate([[np.inf], -levels]),
        sensitivity=np.concatenate([[0.0], positive / positive[-1]]),
        false_positive_rate=np.concatenate([[0.0], negative / negative[-1]]),
    )


def auc(truth: ArrayLike, score: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve: the chance that a positive case scores above a negative one, ties counted half.

    NaN if one class is absent. Arguments and refusals as `roc_curve`.
    """
    labels, _ = truth_and_score(truth, score)
    weights = _weights(weight, len(labels))
    if not (weights[labels].sum() > 0 and weights[~labels].sum() > 0):
        return float("nan")
    curve = roc_curve(truth, score, weight=weights)
    width, height = np.diff(curve.false_positive_rate), curve.sensitivity
    return float((width * (height[1:] + height[:-1]) / 2).sum())


def confusion(truth: ArrayLike, score: ArrayLike, *, threshold: float, weight: ArrayLike | None = None) -> Confusion:
    """The four counts at ``score >= threshold``; arguments and refusals as `roc_curve`, one class is legal."""
    labels, scores = truth_and_score(truth, score)
    weights = _weights(weight, len(labels))
    called = scores >= threshold
    counts = [
        weights[where].sum() for where in (labels & called, ~labels & called, ~labels & ~called, labels & ~called)
    ]
    return Confusion(*map(float, counts))


def choose_threshold(truth: ArrayLike, score: ArrayLike, *, rule: Rule, value: float = float("nan")) -> OperatingPoint:
    """The operating point by a rule, to be chosen on data that are not the test data.

    - ``sensitivity``: the highest threshold at which sensitivity is at least ``value``;
    - ``specificity``: the lowest threshold at which specificity is at least ``value`` (just above the largest score
      if no score reaches it);
    - ``youden``: the threshold with the largest sensitivity + specificity; the higher one if several tie;
    - ``threshold``: ``value`` itself.

    Raises:
        LabelError: truth is not 0/1, or only one class is present.
        InputRefused: an unknown rule, or a value outside [0, 1] for the first two.

    Source: Youden, Cancer 3 (1950) 32-35.
    """
    if rule not in RULES:
        raise InputRefused(f"rule {rule!r}", legal=", ".join(RULES))
    if rule in ("sensitivity", "specificity") and not 0 <= value <= 1:
        raise InputRefused(f"{rule} {value}", legal="between 0 and 1")
    if rule == "threshold" and np.isnan(value):
        raise InputRefused("rule 'threshold' without a value", legal="a number")
    curve = roc_curve(truth, score)
    thresholds = curve.threshold.copy()
    thresholds[0] = np.nextafter(thresholds[1], np.inf)
    specificity = 1 - curve.false_positive_rate
    tiny = 1e-12  # 0.9 of 10 is 9, whatever the rounding of 0.9
    if rule == "threshold":
        threshold = float(value)
    elif rule == "sensitivity":
        threshold = float(thresholds[int(np.argmax(curve.sensitivity >= value - tiny))])
    elif rule == "specificity":
        threshold = float(thresholds[int(np.flatnonzero(specificity >= value - tiny)[-1])])
    else:
        threshold = float(thresholds[int(np.argmax(np.round(curve.sensitivity + specificity, 12)))])
    found = confusion(truth, score, threshold=threshold)
    return OperatingPoint(threshold, rule, found.sensitivity, found.specificity)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _weights(weight: ArrayLike | None, n_rows: int) -> Floats:
    if weight is None:
        return np.ones(n_rows)
    weights = finite_values(weight, name="weight")
    if len(weights) != n_rows or (weights < 0).any():
        raise InputRefused(
            f"{len(weights)} weights for {n_rows} rows, smallest {weights.min(initial=0)}", legal="0 or more"
        )
    return weights


def _require_both(positive: float, negative: float) -> None:
    if positive <= 0 or negative <= 0:
        raise LabelError(
            f"{positive:g} positive and {negative:g} negative cases",
            legal="at least one of each",
            action="give both classes",
        )
