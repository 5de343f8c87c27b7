"""Small drawings inside the text: a verdict's mark and a criterion's interval beside its bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiducial.report import wording

_SHAPES: dict[str, str] = {
    # Four silhouettes that differ without colour: disc, square, triangle, ring; the checks use the same family.
    "pass": '<circle cx="8" cy="8" r="7"/><path class="cut" d="M4.4 8.3 7 10.9 11.7 5.6"/>',
    "fail": '<rect x="1.2" y="1.2" width="13.6" height="13.6" rx="1.5"/><path class="cut" d="M5 5 11 11M11 5 5 11"/>',
    "inconclusive": '<path d="M8 1 15.4 14.4H.6Z"/><path class="cut" d="M8 5.6V9.4M8 11.6V12.2"/>',
    "not_assessed": '<circle class="ring" cx="8" cy="8" r="6.2"/><path class="ring" d="M5 8H11"/>',
    "finding": '<path d="M8 .8 15.2 8 8 15.2.8 8Z"/><path class="cut" d="M8 4.6V8.8M8 10.9V11.5"/>',
    "clear": '<circle class="ring" cx="8" cy="8" r="6.2"/><path class="ring" d="M5 8.2 7.2 10.4 11 6"/>',
    "not_possible": '<circle class="ring dotted" cx="8" cy="8" r="6.2"/>',
}
_WIDTH, _HEIGHT, _PAD = 168.0, 30.0, 6.0


def mark(verdict: str) -> str:
    """SVG of a verdict's shape; the word beside it says the same, so it is hidden from a screen reader."""
    shape = _SHAPES.get(verdict, "")
    return f'<svg class="mark {verdict}" viewBox="0 0 16 16" aria-hidden="true">{shape}</svg>' if shape else ""


def compared(row: Mapping[str, Any]) -> Any:
    """The number that a criterion compares with its bound: an end of the interval, or the value itself."""
    statistic = row.get("statistic")
    return row["low"] if statistic == "low" else row["high"] if statistic == "high" else row["value"]


def interval_bar(row: Mapping[str, Any]) -> str:
    """A criterion's interval as a line, its value as a dot, its bound as a vertical rule, the accepted side shaded.

    Only numbers enter the drawing. Empty where value or bound is missing.
    """
    if wording.is_missing(row.get("value")) or wording.is_missing(row.get("threshold")):
        return ""
    value, bound = float(row["value"]), float(row["threshold"])
    low = value if wording.is_missing(row.get("low")) else float(row["low"])
    high = value if wording.is_missing(row.get("high")) else float(row["high"])
    left, right = min(low, value, bound), max(high, value, bound)
    margin = max((right - left) * 0.22, 1e-6, abs(bound) * 0.01)
    left, right = left - margin, right + margin

    def x(number: float) -> float:
        return _PAD + (number - left) / (right - left) * (_WIDTH - 2 * _PAD)

    y = _HEIGHT / 2
    accepted = (x(bound), _WIDTH) if row.get("direction") == "at_least" else (0.0, x(bound))
    return (
        f'<svg class="bar" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">'
        f'<rect class="accepted" x="{accepted[0]:.1f}" y="3" '
        f'width="{accepted[1] - accepted[0]:.1f}" height="{_HEIGHT - 6:g}"/>'
        f'<path class="bound" d="M{x(bound):.1f} 1V{_HEIGHT - 1:g}"/>'
        f'<path class="line" d="M{x(low):.1f} {y:g}H{x(high):.1f}"/>'
        f'<path class="line" d="M{x(low):.1f} {y - 4:g}V{y + 4:g}M{x(high):.1f} {y - 4:g}V{y + 4:g}"/>'
        f'<circle class="dot" cx="{x(value):.1f}" cy="{y:g}" r="4"/></svg>'
    )
