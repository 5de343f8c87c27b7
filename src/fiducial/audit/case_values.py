"""What a metric of a case may be: a Dice of 1.3 or an event of 2 is a mistake in the table, not a result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fiducial.errors import TableError
from fiducial.study.vocabulary import METRICS

if TYPE_CHECKING:
    import pandas as pd

_UNIT, _POSITIVE, _ANY = (0.0, 1.0), (0.0, math.inf), (-math.inf, math.inf)
RANGES: dict[str, tuple[float, float]] = {
    **{name: _ANY for name, metric in METRICS.items() if metric.per_case},
    **dict.fromkeys(("dice", "iou", "nsd", "survival_event"), _UNIT),
    **dict.fromkeys(("pairwise_dice", "consensus_dice", "staple_sensitivity", "reference_dice"), _UNIT),
    **dict.fromkeys(("hd95", "masd", "volume_ml_predicted", "volume_ml_true"), _POSITIVE),
    **dict.fromkeys(("survival_days_predicted", "survival_days_observed"), _POSITIVE),
}
"""Metrics that a check reads, and the smallest and the largest value of each."""
ROUNDING = 1e-9
PREFIXED: dict[str, tuple[float, float]] = {"fnr@": _UNIT, "size@": _POSITIVE}
"""The same of metrics that carry a threshold after their name."""


def range_of(metric: str) -> tuple[float, float] | None:
    """Smallest and largest value of a metric of cases; None where no check reads it."""
    if metric in RANGES:
        return RANGES[metric]
    return next((bounds for prefix, bounds in PREFIXED.items() if metric.startswith(prefix)), None)


def unread_metrics(cases: pd.DataFrame) -> list[str]:
    """Metrics of a Cases table that no check reads."""
    return sorted(name for name in set(cases["metric"]) if range_of(str(name)) is None)


def check_case_values(cases: pd.DataFrame) -> None:
    """Refuse a value that its metric cannot have.

    Raises:
        TableError: a Dice outside [0, 1], a negative distance or volume, an event that is neither 0 nor 1.
    """
    for metric, rows in cases.groupby("metric", sort=True):
        low, high = range_of(str(metric)) or _ANY
        wrong = (rows["value"] < low - ROUNDING) | (rows["value"] > high + ROUNDING)
        if metric == "survival_event":
            wrong |= rows["value"].notna() & ~rows["value"].isin([0.0, 1.0])
        if not wrong.any():
            continue
        first = rows[wrong].iloc[0]
        legal = "0 or 1" if metric == "survival_event" else f"[{low:g}, {high:g}]" if high < math.inf else "0 or more"
        raise TableError(
            f"{metric} {first['value']:g} of image {first['image']!r}, target {first['target']!r} "
            f"({int(wrong.sum())} such rows)",
            where="cases, column value",
            legal=legal,
            action="percentages: divide by 100" if (low, high) == _UNIT else "",
        )
