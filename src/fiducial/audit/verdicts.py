"""From an interval to a verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval
    from fiducial.study import Criterion

WIDTH_0 = "an interval of width 0 claims to know exactly: it cannot pass"


def verdict_of(interval: Interval, criterion: Criterion) -> tuple[str, str]:
    """Verdict and, where it is not plain, why.

    At least t: ``pass`` if the lower end is at or above t, ``fail`` if the upper end is below t, else
    ``inconclusive``; at most t likewise, mirrored. Without a value ``not_assessed``; without an interval, or with one
    of width 0, a criterion cannot pass.
    """
    if math.isnan(interval.value):
        return "not_assessed", "no value"
    if math.isnan(interval.low) or math.isnan(interval.high):
        return "inconclusive", "no interval can be given"
    bound, at_least = criterion.bound, criterion.direction == "at_least"
    fails = interval.high < bound if at_least else interval.low > bound
    if fails:
        return "fail", ""
    passes = interval.low >= bound if at_least else interval.high <= bound
    if not passes:
        return "inconclusive", ""
    return ("pass", "") if interval.high > interval.low else ("inconclusive", WIDTH_0)
