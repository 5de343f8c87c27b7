"""The difference of two figures from independent samples, from their intervals alone."""

from __future__ import annotations

import math

from fiducial.errors import InputRefused
from fiducial.maths.intervals import Interval


def independent_difference(first: Interval, second: Interval) -> Interval:
    """``first`` minus ``second``, where nobody is in both samples, by squaring and adding.

    With values a, b and bounds l, u of each, the difference d = a - b lies in
    [d - sqrt((a - l_a)^2 + (u_b - b)^2), d + sqrt((u_a - a)^2 + (b - l_b)^2)]. For two rates with Wilson's intervals
    this is Newcombe's method 10. NaN bounds, with the reason of the interval that lacks them, if one has none.

    Raises:
        InputRefused: the two intervals have different levels.

    Source: Newcombe, Stat Med 17 (1998) 873-890; Zou and Donner, Stat Med 27 (2008) 1693-1702.
    """
    if first.level != second.level:
        raise InputRefused(f"levels {first.level} and {second.level}", legal="equal levels")
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    method = f"difference of independent intervals (square-and-add): {first.method}"
    n_subjects, n_images = first.n_subjects + second.n_subjects, first.n_images + second.n_images
    lacking = next((part.reason for part in (first, second) if math.isnan(part.low + part.high)), "")
    return Interval(value, value - down, value + up, first.level, method, n_subjects, n_images, lacking)
