"""The closed vocabularies of a study file, and the nearest legal word to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric that a criterion may name.

    ``family`` is the kind of task it belongs to; ``per_case`` metrics have one value per image and are summarised by
    a mean or median; ``needs_point`` metrics exist only at an operating point. ``better`` is ``higher``, ``lower`` or
    ``target`` (calibration slope 1 and intercept 0 are best, neither high nor low is).
    """

    name: str
    family: str
    better: str = "higher"
    unit: str = ""
    per_case: bool = False
    needs_point: bool = False


_METRICS = (
    Metric("auc", "classification"),
    Metric("accuracy", "classification"),
    Metric("balanced_accuracy", "classification"),
    Metric("sensitivity", "classification", needs_point=True),
    Metric("specificity", "classification", needs_point=True),
    Metric("ppv", "classification", needs_point=True),
    Metric("npv", "classification", needs_point=True),
    Metric("brier", "classification", "lower"),
    Metric("ece", "classification", "lower"),
    Metric("calibration_slope", "classification", "target"),
    Metric("calibration_intercept", "classification", "target"),
    Metric("calibration_in_the_large", "classification", "target"),
    Metric("dice", "segmentation", per_case=True),
    Metric("iou", "segmentation", per_case=True),
    Metric("nsd", "segmentation", per_case=True),
    Metric("hd95", "segmentation", "lower", "mm", per_case=True),
    Metric("masd", "segmentation", "lower", "mm", per_case=True),
    Metric("volume_difference_ml", "segmentation", "target", "ml", per_case=True),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _METRICS}

STATISTICS: dict[str, str] = {
    "value": "the figure itself; for a per-case metric its mean",
    "low": "the lower end of its interval (only with at_least)",
    "high": "the upper end of its interval (only with at_most)",
    "mean": "the mean over cases (per-case metrics)",
    "median": "the median over cases (per-case metrics)",
    "gap": "largest minus smallest over the groups of one attribute",
}


def nearest(word: str, legal: Iterable[str]) -> str:
    """The legal word closest to ``word`` (case ignored), or ``""`` where none is similar."""
    by_lower = {name.lower(): name for name in legal}
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else ""


def did_you_mean(word: str, legal: Iterable[str]) -> str:
    """``did you mean 'x'?``, or ``""`` where nothing is similar."""
    close = nearest(word, legal)
    return f"did you mean {close!r}?" if close else ""
