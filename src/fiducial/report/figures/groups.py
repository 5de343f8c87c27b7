"""Figures of groups and cases: forest plots, per-case distributions, training curves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from fiducial.report import wording
from fiducial.report.figures.svg import (
    COLOURS,
    DARK,
    DASHES,
    FAINT,
    INK,
    MID,
    SOFT,
    Drawing,
    new_figure,
    short,
    styled,
    to_svg,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_GOLDEN = 0.6180339887498949


def forest(rows: Sequence[Mapping[str, Any]], *, prefix: str, title: str, minimum_n: int = 0) -> Drawing:
    """One metric in every group: point, interval and n; the whole population first, as a line through all.

    Args:
        rows: evidence rows of one metric and target; ``group`` is ``all`` or holds ``=``. Groups without a value
            are drawn as an empty line with their n.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
        minimum_n: groups with fewer patients (or images) are drawn hollow and grey.
    """
    lines = _forest_lines(rows)
    label = wording.metric(str(rows[0]["metric"])).label
    with styled():
        figure, (axes,) = new_figure(0.85 + 0.245 * len(lines))
        low, high = _limits(rows)
        whole = next((row for row in rows if row["group"] in ("all", "")), None)
        if whole is not None and not wording.is_missing(whole["value"]):
            axes.axvline(float(whole["value"]), color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        for y, (_, row) in enumerate(lines):
            if row is not None:
                _forest_row(axes, row, y, minimum_n)
        axes.set_xlim(low, high)
        axes.set_ylim(len(lines) - 0.4, -0.7)
        axes.set_yticks(range(len(lines)), [short(text, 27) for text, _ in lines])
        for tick, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
            tick.set_color(INK if row is not None else SOFT)
            tick.set_fontweight("bold" if row is not None and row["group"] in ("all", "") else "normal")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        unit = wording.unit_of(rows[0])
        axes.set_xlabel(f"{label} ({unit})" if unit else label)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _forest_lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any] | None]]:
    """Labels with their rows; a line without a row is the name of an attribute."""
    lines: list[tuple[str, Mapping[str, Any] | None]] = []
    heading = ""
    for row in rows:
        group = str(row["group"])
        n = int(row["n_subjects"] or row["n_images"] or 0)
        if group in ("all", ""):
            lines.append((f"All (n = {wording.count(n)})", row))
            continue
        names = [part.partition("=")[0] for part in group.split("&")]
        title = " and ".join(wording.plain(name).lower() if k else wording.plain(name) for k, name in enumerate(names))
        if title != heading:
            lines.append((title, None))
            heading = title
        lines.append((f"{short(wording.group_values(group), 17)} (n = {wording.count(n)})", row))
    return lines


def _limits(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Axis limits that hold every value and interval with a margin, inside the metric's own bounds."""
    seen = [float(row[key]) for row in rows for key in ("value", "low", "high") if not wording.is_missing(row[key])]
    if not seen:
        return 0.0, 1.0
    low, high = min(seen), max(seen)
    margin = max((high - low) * 0.08, 0.02)
    bounds = wording.metric(str(rows[0]["metric"])).bounds
    low, high = low - margin, high + margin
    return (low, high) if bounds is None else (max(low, bounds[0] - 0.02), min(high, bounds[1] + 0.02))


def _forest_row(axes: Axes, row: Mapping[str, Any], y: int, minimum_n: int) -> None:
    if wording.is_missing(row["value"]):
        axes.text(
            0.01, y, "not enough cases", transform=axes.get_yaxis_transform(), va="center", color=SOFT, fontsize=8.5
        )
        return
    small = int(row["n_subjects"] or row["n_images"] or 0) < minimum_n
    colour = SOFT if small else DARK
    if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.5, linestyle=":" if small else "-")
    whole = row["group"] in ("all", "")
    axes.plot(
        [row["value"]], [y], marker="D" if whole else "o", markersize=6, color=colour, mfc="white" if small else colour
    )


def strip(
    values: Mapping[str, Sequence[float]], *, prefix: str, metric: str, summary: Mapping[str, Mapping[str, Any]]
) -> Drawing:
    """Every case as a point, one line a structure; a box of the middle half with the median; the mean and its interval.

    Args:
        values: the metric of every case by structure; missing values are left out and not drawn.
        prefix: makes the SVG's ids unique.
        metric: name of the metric.
        summary: evidence row of the mean (or median) by structure.
    """
    words = wording.metric(metric)
    names = list(values)
    with styled():
        figure, (axes,) = new_figure(0.95 + 0.85 * len(names))
        for y, name in enumerate(names):
            points = [float(v) for v in values[name] if not wording.is_missing(v)]
            # A low-discrepancy sequence spreads the points evenly and is the same in every report.
            heights = [y + 0.1 + 0.28 * math.modf(_GOLDEN * (k + 1))[0] for k in range(len(points))]
            axes.plot(points, heights, "o", markersize=3.4, color=DARK, alpha=0.45, markeredgewidth=0)
            if len(points) > 1:
                first, median, third = statistics.quantiles(points, n=4, method="inclusive")
                axes.barh(
                    y - 0.12, third - first, left=first, height=0.2, facecolor="none", edgecolor=SOFT, linewidth=0.9
                )
                axes.plot([median, median], [y - 0.22, y - 0.02], color=INK, linewidth=1.6)
            row = summary.get(name)
            if row is not None and not wording.is_missing(row["value"]):
                if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
                    axes.plot([row["low"], row["high"]], [y - 0.36] * 2, color=MID, linewidth=2.0)
                axes.plot([row["value"]], [y - 0.36], marker="D", markersize=5.5, color=MID)
        axes.set_yticks(
            range(len(names)), [f"{short(name, 16)}\n(n = {wording.count(len(values[name]))})" for name in names]
        )
        axes.set_ylim(len(names) - 0.5, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel(f"{words.label} ({words.unit})" if words.unit else words.label)
        title = f"{words.label} of every case"
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def training(history: pd.DataFrame, *, prefix: str, x: str, panels: Sequence[Sequence[str]]) -> Drawing:
    """Training curves: one panel for losses and one for what validation measures.

    Args:
        history: one row a step or epoch; where a column ``member`` tells several networks apart, each has a line.
        prefix: makes the SVG's ids unique.
        x: column of the horizontal axis.
        panels: columns of each panel, from the top.
    """
    networks = [rows for _, rows in history.groupby("member", sort=False)] if "member" in history else [history]
    with styled():
        figure, all_axes = new_figure(1.0 + 1.75 * len(panels), rows=len(panels), ratios=(1.0,) * len(panels))
        for axes, columns in zip(all_axes, panels, strict=True):
            for (place, column), (number, own) in product(enumerate(columns), enumerate(networks)):
                rows = own[[x, column]].dropna()
                axes.plot(
                    rows[x],
                    rows[column],
                    color=COLOURS[place % len(COLOURS)],
                    linestyle=DASHES[place % len(DASHES)],
                    linewidth=None if len(networks) == 1 else 0.8,
                    marker="o" if len(rows) <= 30 and len(networks) == 1 else "",
                    markersize=3,
                    label=short(wording.plain(column), 30) if number == 0 else None,
                )
            axes.grid(visible=True, color=FAINT, linewidth=0.5)
            axes.legend(loc="best")
        for axes in all_axes[:-1]:
            axes.tick_params(labelbottom=False)
        all_axes[-1].set_xlabel(wording.plain(x))
        title = "Training history"
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)
