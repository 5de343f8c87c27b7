"""Figures of decisions: net benefit over thresholds, sites with their mean, figures over time, readers in ROC space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.report import wording
from fiducial.report.figures.svg import (
    COLOURS,
    DARK,
    DASHES,
    FAINT,
    INK,
    MARKERS,
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

Row = Mapping[str, Any]
MOST_NAMED = 5
"""Readers that get a mark of their own; more are drawn alike."""


def decision_curve(curves: pd.DataFrame, *, prefix: str, title: str) -> Drawing:
    """Net benefit of the model, with its band, of acting on everybody and of acting on nobody.

    Args:
        curves: rows of one target; x = threshold, y = net benefit; series ``model``, ``all``, ``none`` and
            ``operating point``.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    parts = {name: rows.sort_values("x") for name, rows in curves.groupby("series", sort=False)}
    model, everyone = parts["model"], parts["all"]
    top = max(float(model["high"].max()), float(model["y"].max()), float(everyone["y"].max()), 0.01)
    n = int(model["n"].max())
    with styled():
        figure, (axes,) = new_figure(3.9)
        banded = model.dropna(subset=["low", "high"])
        axes.fill_between(banded["x"], banded["low"], banded["high"], color=DARK, alpha=0.15, lw=0)
        axes.plot(everyone["x"], everyone["y"], color=MID, linestyle=DASHES[1], label="act on everybody")
        axes.plot([0, 1], [0, 0], color=SOFT, linewidth=1.2, linestyle=DASHES[2], label="act on nobody")
        axes.plot(model["x"], model["y"], color=DARK, label=f"act on the model (n = {wording.count(n)})")
        marked = parts.get("operating point", model.head(0))
        for _, point in marked.iterrows():
            look: dict[str, Any] = {
                "marker": "o",
                "markersize": 7,
                "mfc": "white",
                "mec": DARK,
                "mew": 1.8,
                "linestyle": "none",
            }
            axes.plot([point["x"]], [point["y"]], label=f"threshold {wording.number(point['x'])}", **look)
        lowest = min(-0.22 * top, *(1.15 * float(low) for low in marked["low"].fillna(marked["y"])), 0.0)
        axes.set_ylim(lowest, 1.12 * top)
        axes.set_xlim(0, 1)
        axes.set_xlabel("Threshold: the risk at which one would act")
        axes.set_ylabel("Net benefit")
        axes.grid(visible=True, color=FAINT, linewidth=0.5)
        axes.legend(loc="upper right", handlelength=2.6)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


@dataclass(frozen=True)
class SiteLine:
    """One line of the forest: ``kind`` is ``site``, ``mean`` or ``new`` (where a new site is expected)."""

    label: str
    row: Row
    kind: str = "site"


def site_forest(lines: Sequence[SiteLine], *, prefix: str, title: str) -> Drawing:
    """Each site with its interval, the mean over sites and the range for a new one.

    Args:
        lines: from the top; sites without a value are drawn as a line of words.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    metric = wording.metric(str(lines[0].row["metric"]))
    known = [line.row for line in lines if not wording.is_missing(line.row["value"])]
    ends = [float(row[k]) for row in known for k in ("value", "low", "high") if not wording.is_missing(row[k])]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = max(0.08 * (high - low), 0.02)
    with styled():
        figure, (axes,) = new_figure(0.95 + 0.3 * len(lines))
        for y, line in enumerate(lines):
            _site(axes, line, y)
        mean = next((line.row for line in lines if line.kind == "mean"), None)
        if mean is not None:
            axes.axvline(float(mean["value"]), color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
            split = next(y for y, line in enumerate(lines) if line.kind == "mean") - 0.5
            axes.axhline(split, color=FAINT, linewidth=0.8)
        bounds = metric.bounds or (low - margin, high + margin)
        axes.set_xlim(max(low - margin, bounds[0] - 0.02), min(high + margin, bounds[1] + 0.02))
        axes.set_ylim(len(lines) - 0.4, -0.7)
        axes.set_yticks(range(len(lines)), [short(line.label, 29) for line in lines])
        for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
            tick.set_fontweight("bold" if line.kind != "site" else "normal")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel(metric.label)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _site(axes: Axes, line: SiteLine, y: int) -> None:
    row = line.row
    if wording.is_missing(row["value"]):
        axes.text(
            0.01, y, "not enough cases", transform=axes.get_yaxis_transform(), va="center", color=SOFT, fontsize=8.5
        )
        return
    colour = MID if line.kind == "new" else DARK
    if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
        dash = DASHES[1] if line.kind == "new" else "-"
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.7, linestyle=dash)
        axes.plot([row["low"], row["high"]], [y, y], linestyle="none", marker="|", markersize=7, color=colour)
    if line.kind != "new":
        axes.plot([row["value"]], [y], marker="D" if line.kind == "mean" else "o", markersize=6, color=colour)


def over_time(curves: pd.DataFrame, *, prefix: str, title: str) -> Drawing:
    """Figures by time of acquisition, each bin with its interval and number of images.

    Args:
        curves: rows of one target; x = time, y = figure, ``series`` the metric, ``group`` ``month=2023-01 to 2023-03``.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    series = {str(name): rows.sort_values("x") for name, rows in curves.groupby("series", sort=False)}
    bins = curves.groupby("group", sort=False).agg(x=("x", "mean"), n=("n", "max")).sort_values("x")
    width = float(bins["x"].diff().median()) if len(bins) > 1 else 1.0
    with styled():
        figure, (axes,) = new_figure(3.5)
        for place, (name, rows) in enumerate(series.items()):
            x = rows["x"] + (place - (len(series) - 1) / 2) * 0.11 * width
            look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            axes.vlines(x, rows["low"], rows["high"], color=look["color"], linewidth=1.1, alpha=0.75)
            dash = DASHES[place % len(DASHES)]
            axes.plot(
                x, rows["y"], linestyle=dash, linewidth=1.3, markersize=5, label=wording.metric(name).label, **look
            )
        labels = [f"{_from(str(group))}\nn = {wording.count(n)}" for group, n in bins["n"].items()]
        axes.set_xticks(bins["x"], labels, fontsize=8 if len(bins) <= 6 else 6.8)
        seen = curves[["y", "low", "high"]].to_numpy(dtype=float)
        low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
        axes.set_ylim(low - 0.05 * (high - low + 0.02), min(1.02, high + 0.05 * (high - low + 0.02)))
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.5)
        axes.set_xlabel("From")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=len(series), columnspacing=1.4)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _from(group: str) -> str:
    return group.partition("=")[2].partition(" to ")[0]


def raters(roc: pd.DataFrame, points: pd.DataFrame, *, prefix: str, title: str) -> Drawing:
    """Each reader as a point beside the model's ROC curve, with the interval of the sensitivity.

    Args:
        roc: rows of the model's curve, x = 1 - specificity, y = sensitivity; may be empty.
        points: one row per reader, x, y, low, high, n, ``series`` its name.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    with styled():
        figure, (axes,) = new_figure(4.4)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), label="chance")
        if len(roc):
            label = f"model (n = {wording.count(int(roc['n'].max()))})"
            axes.plot(roc["x"], roc["y"], color=DARK, label=label)
        few = len(points) <= MOST_NAMED
        for place, (_, point) in enumerate(points.iterrows()):
            mark = MARKERS[place % len(MARKERS)] if few else "o"
            label = f"{short(str(point['series']), 20)} (n = {wording.count(point['n'])})" if few else ""
            if few:
                axes.vlines([point["x"]], [point["low"]], [point["high"]], color=MID, linewidth=1.0, alpha=0.8)
            look: dict[str, Any] = {
                "marker": mark,
                "markersize": 6 if few else 4.5,
                "mfc": "white",
                "mec": MID,
                "mew": 1.5,
            }
            axes.plot([point["x"]], [point["y"]], linestyle="none", label=label or None, **look)
        if not few:
            seen = f"{int(points['n'].min())} to {int(points['n'].max())}"
            look = {"marker": "o", "markersize": 4.5, "mfc": "white", "mec": MID, "mew": 1.5, "linestyle": "none"}
            axes.plot([], [], label=f"{len(points)} readers (n = {seen} each)", **look)
        axes.set_xlim(-0.015, 1.015)
        axes.set_ylim(-0.015, 1.015)
        axes.set_xlabel("1 − specificity (false positive rate)")
        axes.set_ylabel("Sensitivity")
        axes.grid(visible=True, color=FAINT, linewidth=0.5)
        axes.legend(loc="lower right", handlelength=2.0)
        axes.tick_params(colors=INK)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)
