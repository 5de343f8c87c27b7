"""How many patients it takes for an interval to hold as often as it says, by metric.

Below that a figure is shown all the same, and its reason says so. The numbers are measured, not chosen: the smallest n
of tools/interval_coverage.py from which on 95 % intervals held the truth in at least 93 % of drawn tables.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

FEW = "few-patients"
"""The reason, a key of `fiducial.maths.intervals.REASONS`."""

_RATE = ((0.95, 50), (1.0, 100))
MINIMUM_N_OF: dict[str, tuple[tuple[float, int], ...]] = {
    "auc": ((0.8, 3), (0.9, 13), (0.95, 75), (1.0, 250)),
    "sensitivity": _RATE,
    "specificity": _RATE,
    "ppv": _RATE,
    "npv": _RATE,
    "accuracy": _RATE,
    "brier": ((1.0, 50),),
    "calibration_slope": ((math.inf, 75),),
    "calibration_intercept": ((math.inf, 75),),
    "calibration_in_the_large": ((math.inf, 3),),
    "dice": ((1.0, 100),),
    "net_benefit": ((math.inf, 100),),
}
"""Steps (value up to which, patients), the value of a rate or an AUC being that or its complement, whichever is larger.

Patients are those that the metric divides by; for AUC and calibration those of the rarer class."""


def minimum_n_of(metric: str, value: float) -> int:
    """The fewest patients for an interval of this metric around this value; 0 where nothing was measured."""
    if metric not in MINIMUM_N_OF or math.isnan(value):
        return 0
    steps = MINIMUM_N_OF[metric]
    mirrored = steps is _RATE or metric == "auc"
    place = max(value, 1 - value) if mirrored else value
    return next((n for upto, n in steps if place <= upto), steps[-1][1])


def marked(metric: str, interval: Interval, n: int) -> Interval:
    """The interval, with `FEW` as its reason where it rests on fewer than `minimum_n_of` patients.

    An interval that has a reason already, or no bounds, is left as it is.
    """
    if interval.reason or not math.isfinite(interval.low + interval.high):
        return interval
    return replace(interval, reason=FEW) if n < minimum_n_of(metric, interval.value) else interval
