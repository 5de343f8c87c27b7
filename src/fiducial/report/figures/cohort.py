"""Figures of a cohort: people, missing values, labels and figures of the images, site by site."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fiducial.report import wording
from fiducial.report.figures.svg import (
    COLOURS,
    DARK,
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
    from matplotlib.axes import Axes

_GOLDEN = 0.6180339887498949
MOST_POINTS = 150
WIDE_RANGE = 30
"""A figure whose largest value is more than so many times its smallest is drawn on a logarithmic axis."""


def counts(
    table: Mapping[str, Mapping[str, int]], *, prefix: str, title: str, xlabel: str, kinds: Sequence[str]
) -> Drawing:
    """Stacked bars: one for each group, a part for each kind, the total at its end.

    Args:
        table: how many of each kind, by group.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
        xlabel: what is counted.
        kinds: order of the parts.
    """
    names = list(table)
    with styled():
        figure, (axes,) = new_figure(0.95 + 0.34 * len(names))
        left = [0.0] * len(names)
        for k, kind in enumerate(kinds):
            widths = [float(table[name].get(kind, 0)) for name in names]
            label = kind or "not stated"
            axes.barh(range(len(names)), widths, left=left, height=0.62, color=_shade(k), label=label, linewidth=0)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for y, total in enumerate(left):
            axes.annotate(
                wording.count(total), (total, y), xytext=(4, 0), textcoords="offset points", va="center", color=SOFT
            )
        _rows(axes, names)
        axes.set_xlim(0, max(left) * 1.12)
        axes.set_xlabel(xlabel)
        if len(kinds) > 1:
            figure.legend(loc="outside upper left", ncols=min(4, len(kinds)), handlelength=1.0, columnspacing=1.2)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def ages(values: Mapping[str, Sequence[float]], *, prefix: str, title: str) -> Drawing:
    """Histogram of ages in bands of five or ten years, stacked by kind (sex)."""
    everything = [age for own in values.values() for age in own]
    step = 5 if max(everything) - min(everything) <= 60 else 10
    low = math.floor(min(everything) / step) * step
    n_bands = max(1, math.ceil((max(everything) - low + 1e-9) / step))
    starts = [low + step * k for k in range(n_bands)]
    with styled():
        figure, (axes,) = new_figure(2.3)
        below = [0] * n_bands
        for k, (kind, own) in enumerate(values.items()):
            heights = [0] * n_bands
            for age in own:
                heights[min(n_bands - 1, int((age - low) // step))] += 1
            axes.bar(
                [start + step / 2 for start in starts],
                heights,
                bottom=below,
                width=step * 0.9,
                color=_shade(k),
                label=kind or "not stated",
                linewidth=0,
            )
            below = [a + b for a, b in zip(below, heights, strict=True)]
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("Age in years")
        axes.set_ylabel("Subjects")
        if len(values) > 1:
            figure.legend(loc="outside upper left", ncols=4, handlelength=1.0, columnspacing=1.2)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def missing(rows: Sequence[Mapping[str, Any]], *, prefix: str, title: str) -> Drawing:
    """A matrix of attributes and groups, each cell with the share of images that lack the attribute."""
    names = list(dict.fromkeys(str(row["attribute"]) for row in rows))
    groups = list(dict.fromkeys(str(row["group"]) for row in rows))
    share = {(row["attribute"], row["group"]): row["n_missing"] / row["n_images"] for row in rows}
    with styled():
        figure, (axes,) = new_figure(0.9 + 0.27 * len(names) + 0.05 * max(len(g) for g in groups))
        for y, name in enumerate(names):
            for x, group in enumerate(groups):
                value = float(share.get((name, group), math.nan))
                if math.isnan(value):
                    continue
                axes.add_patch(_box(x, y, value))
                text = "" if value == 0 else "all" if value == 1 else f"{max(1, min(99, round(100 * value)))} %"
                axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color="white" if value > 0.55 else INK)
        axes.set_xlim(-0.5, len(groups) - 0.5)
        _rows(axes, [wording.plain(name) for name in names])
        tilt = 40 if len(groups) > 4 or max(len(g) for g in groups) > 14 else 0
        axes.set_xticks(
            range(len(groups)),
            [short(group, 20) for group in groups],
            rotation=tilt,
            ha="left" if tilt else "center",
            rotation_mode="anchor",
        )
        axes.tick_params(axis="x", length=0, top=False, labeltop=True, labelbottom=False)
        axes.spines["bottom"].set_visible(False)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def strips(
    values: Mapping[str, Sequence[float]],
    *,
    prefix: str,
    title: str,
    unit: str,
    marked: Mapping[str, Sequence[float]],
) -> Drawing:
    """Every image as a point, a row for each group; a box of the middle half with the median; outliers ringed.

    Args:
        values: the figure of each image by group; of more than 150 in a group, as many are drawn evenly by rank.
        prefix: makes the SVG's ids unique.
        title: what the figure is.
        unit: of the axis, "" for a pure number.
        marked: those of outliers, by group; all of them are drawn.
    """
    names = list(values)
    everything = [v for own in values.values() for v in own]
    with styled():
        figure, (axes,) = new_figure(0.85 + 0.52 * len(names))
        if min(everything) > 0 and max(everything) > WIDE_RANGE * min(everything):
            _logarithmic(axes, math.log10(max(everything) / min(everything)))
        for y, name in enumerate(names):
            own = sorted(float(v) for v in values[name])
            if len(own) > 1:
                first, median, third = statistics.quantiles(own, n=4, method="inclusive")
                axes.barh(
                    y - 0.26, third - first, left=first, height=0.2, facecolor="none", edgecolor=SOFT, linewidth=0.9
                )
                axes.plot([median, median], [y - 0.37, y - 0.15], color=INK, linewidth=1.6)
            drawn = (
                own
                if len(own) <= MOST_POINTS
                else [own[k * (len(own) - 1) // (MOST_POINTS - 1)] for k in range(MOST_POINTS)]
            )
            # A low-discrepancy sequence spreads the points evenly and is the same in every page.
            heights = [y - 0.05 + 0.36 * math.modf(_GOLDEN * (k + 1))[0] for k in range(len(drawn))]
            axes.plot(drawn, heights, "o", markersize=3.2, color=DARK, alpha=0.45, markeredgewidth=0)
            odd = list(marked.get(name, ()))
            axes.plot(odd, [y + 0.13] * len(odd), "D", markersize=5, mfc="none", color=MID, markeredgewidth=1.2)
        _rows(axes, [f"{short(name, 16)} (n = {wording.count(len(values[name]))})" for name in names])
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel(f"{title} ({unit})" if unit else title)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def shares(rows: Sequence[Mapping[str, Any]], *, prefix: str, title: str, xlabel: str) -> Drawing:
    """How often a label is found, in each group: point, interval and n; the first row is everybody, as a line."""
    with styled():
        figure, (axes,) = new_figure(0.8 + 0.27 * len(rows))
        axes.axvline(float(rows[0]["share"]), color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        for y, row in enumerate(rows):
            axes.plot([row["low"], row["high"]], [y, y], color=DARK, linewidth=1.5)
            axes.plot([row["share"]], [y], "D" if y == 0 else "o", markersize=6, color=DARK)
        names = [
            f"{short('All' if y == 0 else str(row['group']), 16)} ({row['n_events']} of {row['n_subjects']})"
            for y, row in enumerate(rows)
        ]
        _rows(axes, names)
        axes.set_xlim(-0.02, min(1.02, max(float(row["high"]) for row in rows) * 1.1 + 0.03))
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel(xlabel)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def areas(rows: Sequence[Mapping[str, Any]], *, prefix: str, title: str) -> Drawing:
    """How well each group is told (AUC and interval); filled where the attribute can be told beyond chance.

    ``rows`` have ``label, auc, low, high, found``; a row without ``auc`` is a heading.
    """
    with styled():
        figure, (axes,) = new_figure(0.85 + 0.25 * len(rows))
        axes.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        for y, row in enumerate(rows):
            if row.get("auc") is None:
                continue
            colour = MID if row["found"] else DARK
            axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.5)
            face = colour if row["found"] else "white"
            axes.plot([row["auc"]], [y], "s" if row["found"] else "o", markersize=5.5, color=colour, mfc=face)
        _rows(axes, [short(str(row["label"]), 30) for row in rows])
        for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_color(INK if row.get("auc") is not None else SOFT)
        axes.set_xlim(min([0.2, *(float(r["low"]) - 0.03 for r in rows if r.get("auc") is not None)]), 1.02)
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel("AUC of one against all others (0.5: chance)")
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def intervals(days: Sequence[float], *, prefix: str, title: str) -> Drawing:
    """Histogram of the days between an image and its nearest prior, in at most 24 bars."""
    low, high = 0.0, max(days)
    n_bars = min(24, max(6, math.isqrt(len(days)) + 1))
    width = max(1.0, math.ceil((high - low) / n_bars))
    heights = [0] * (int(high // width) + 1)
    for value in days:
        heights[int(value // width)] += 1
    with styled():
        figure, (axes,) = new_figure(2.0)
        axes.bar([width * (k + 0.5) for k in range(len(heights))], heights, width=0.9 * width, color=DARK, linewidth=0)
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("Days since the nearest prior")
        axes.set_ylabel("Images")
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Groups from the top, without an axis line."""
    axes.set_yticks(range(len(names)), [short(name, 34) for name in names])
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _logarithmic(axes: Axes, decades: float) -> None:
    """A logarithmic axis whose labels are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 3.0), numticks=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _shade(place: int) -> str:
    return (DARK, MID, "#9aa7b1", *COLOURS[2:])[place % 6]


def _box(x: int, y: int, value: float) -> Any:
    """A cell of the matrix: white where nothing is missing, dark where all is."""
    from matplotlib.patches import Rectangle

    face = "#f2f5f7" if value == 0 else tuple(1 - (0.25 + 0.75 * value) * (1 - c) for c in (0.76, 0.40, 0.12))
    return Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, facecolor=face, linewidth=0)
