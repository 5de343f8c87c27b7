"""Figures of a score: ROC curve, reliability with its histogram, operating point on two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.report import wording
from fiducial.report.figures.svg import (
    COLOURS,
    DARK,
    DASHES,
    FAINT,
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

_PART_STYLE: dict[str, dict[str, Any]] = {
    "test": {"color": DARK, "linestyle": "-", "marker": "o"},
    "": {"color": DARK, "linestyle": "-", "marker": "o"},
    "calibration": {"color": MID, "linestyle": (0, (5, 2)), "marker": "s"},
}


def part_style(series: str, place: int) -> dict[str, Any]:
    """Colour, dash and marker of a series: the split's own where it is a split, else the next in turn."""
    turn = {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }
    return _PART_STYLE.get(series, turn)


def series_label(series: str, n: int) -> str:
    """``test part (n = 392)``."""
    name = f"{series} part" if series in ("test", "calibration", "train", "validation") else series or "all"
    return f"{short(name, 26)} (n = {wording.count(n)})" if n else short(name, 30)


def _unit_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set_xlim(-0.015, 1.015)
    axes.set_ylim(-0.015, 1.015)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(visible=True, color=FAINT, linewidth=0.5, alpha=0.7)
    axes.set_axisbelow(True)


def roc(
    curves: pd.DataFrame,
    *,
    prefix: str,
    target: str,
    points: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, str] | None = None,
) -> Drawing:
    """ROC curves, one line a series, with a band where ``low`` and ``high`` are given.

    Args:
        curves: rows of the Curves table of one target; x = 1 - specificity, y = sensitivity.
        prefix: makes the SVG's ids unique.
        target: for title and caption.
        points: operating points to mark: ``label``, ``sensitivity``, ``specificity``, ``split``.
        labels: a line of text by series for the legend, such as its AUC with the interval.
    """
    with styled():
        figure, (axes,) = new_figure(4.55)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), label="chance")
        for place, (series, rows) in enumerate(curves.groupby("series", sort=False)):
            look = part_style(str(series), place)
            label = "\n".join(
                part
                for part in (series_label(str(series), int(rows["n"].max())), (labels or {}).get(str(series), ""))
                if part
            )
            banded = rows.dropna(subset=["low", "high"])
            if len(banded) > 1:
                axes.fill_between(banded["x"], banded["low"], banded["high"], color=look["color"], alpha=0.16, lw=0)
            axes.plot(rows["x"], rows["y"], color=look["color"], linestyle=look["linestyle"], label=label)
        for point in points:
            look = part_style(str(point["split"]), 0)
            axes.plot(
                [1 - point["specificity"]],
                [point["sensitivity"]],
                linestyle="none",
                marker=look["marker"],
                markersize=7,
                markerfacecolor="white",
                markeredgecolor=look["color"],
                markeredgewidth=1.8,
                label=str(point["label"]),
            )
        _unit_axes(axes, "1 − specificity (false positive rate)", "Sensitivity")
        axes.legend(loc="lower right", handlelength=2.4, borderaxespad=0.6)
        title = f"ROC curve: {target}"
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def reliability(curves: pd.DataFrame, histogram: pd.DataFrame | None, *, prefix: str, target: str) -> Drawing:
    """Observed frequency against predicted probability, with the number of cases in each bin below.

    Args:
        curves: rows of one target; x = mean predicted probability, y = observed frequency, low and high its
            interval, n the cases of the bin.
        histogram: rows with x = the bin's centre and y or n = cases; None takes the bins of ``curves``.
        prefix: makes the SVG's ids unique.
        target: for title and caption.
    """
    with styled():
        figure, (axes, below) = new_figure(4.85, rows=2, ratios=(4.2, 1.0))
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), label="perfect calibration")
        for place, (series, rows) in enumerate(curves.groupby("series", sort=False)):
            look = part_style(str(series), place)
            rows = rows.sort_values("x")  # noqa: PLW2901
            label = series_label(str(series), int(rows["n"].sum()))
            x, y, low, high = rows[["x", "y", "low", "high"]].to_numpy(dtype=float).T
            # Arrays, because matplotlib takes float() of an error that is a series of one bin.
            spread = np.nan_to_num(np.clip([y - low, high - y], 0.0, None))
            axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=look["color"], elinewidth=1.0, alpha=0.7)
            face = "white" if series == "calibration" else look["color"]
            axes.plot(
                x,
                y,
                color=look["color"],
                linestyle=look["linestyle"],
                linewidth=1.2,
                marker=look["marker"],
                markersize=5,
                markerfacecolor=face,
                label=label,
            )
        _unit_axes(axes, "", "Observed frequency")
        axes.tick_params(labelbottom=False)
        # Room of its own below the axes: intervals reach from the bottom to the top, so that a legend would hide some.
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, handlelength=2.4)
        _histogram(below, curves if histogram is None or histogram.empty else histogram)
        title = f"Reliability: {target}"
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _histogram(axes: Axes, rows: pd.DataFrame) -> None:
    """Counts of cases by predicted probability, one outline a series."""
    top = 0.0
    for place, (series, part) in enumerate(rows.groupby("series", sort=False)):
        look = part_style(str(series), place)
        part = part.sort_values("x")  # noqa: PLW2901
        heights = part["n"].astype(float)
        if not heights.any() and part["y"].notna().any():
            heights = part["y"].astype(float)
        top = max(top, float(heights.max()))
        width = float(part["x"].diff().median()) if len(part) > 1 else 0.1
        width = max(0.012, 0.85 * min(width, 0.1))
        if series == "calibration":
            axes.bar(part["x"], heights, width, facecolor="none", edgecolor=look["color"], linewidth=1.3, zorder=3)
        else:
            axes.bar(part["x"], heights, width, color=look["color"], alpha=0.45, linewidth=0)
    axes.set_xlim(-0.015, 1.015)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, top] if top else [0], ["0", wording.count(top)] if top else ["0"])
    axes.set_ylabel("Cases")
    axes.set_xlabel("Predicted probability")


def shift(rows: Sequence[Mapping[str, Any]], *, prefix: str, target: str, sizes: Mapping[str, int]) -> Drawing:
    """Each operating figure on the calibration part (hollow) and on the test part (filled), with intervals.

    Args:
        rows: evidence rows with ``metric``, ``split``, ``value``, ``low``, ``high``.
        prefix: makes the SVG's ids unique.
        target: for title and caption.
        sizes: cases of each part, for the legend.
    """
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    parts = [part for part in ("calibration", "test", "") if any(row["split"] == part for row in rows)]
    with styled():
        figure, (axes,) = new_figure(1.15 + 0.5 * len(metrics))
        for part in parts:
            look = part_style(part, 0)
            offset = 0.0 if len(parts) == 1 else (-0.16 if part == "calibration" else 0.16)
            for row in (row for row in rows if row["split"] == part and not wording.is_missing(row["value"])):
                y = metrics.index(str(row["metric"])) + offset
                if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
                    axes.plot([row["low"], row["high"]], [y, y], color=look["color"], linewidth=1.6)
                face = "white" if part == "calibration" else look["color"]
                axes.plot([row["value"]], [y], marker=look["marker"], markersize=6, color=look["color"], mfc=face)
            face = "white" if part == "calibration" else look["color"]
            label = series_label(part or "all", sizes.get(part, 0))
            axes.plot([], [], color=look["color"], marker=look["marker"], mfc=face, label=label)
        axes.set_yticks(range(len(metrics)), [short(wording.metric(name).label, 20) for name in metrics])
        axes.set_ylim(len(metrics) - 0.4, -0.6)
        axes.set_xlim(-0.015, 1.015)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.42, -0.16), ncols=1, columnspacing=1.2)
        title = f"Operating point: {target}"
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def maps(curves: pd.DataFrame, *, prefix: str, target: str, names: Mapping[str, str]) -> Drawing:
    """What each map of recalibration makes of a score; a band where a map gives a range.

    Args:
        curves: rows of the Curves table of one target; x the score before, y after, low and high the range, one
            ``condition`` a map.
        prefix: makes the SVG's ids unique.
        target: for the title.
        names: label of each condition.
    """
    with styled():
        figure, (axes,) = new_figure(4.3)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), label="no map")
        for place, (condition, rows) in enumerate(curves.groupby("condition", sort=False)):
            look = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)]}
            rows = rows.sort_values("x")  # noqa: PLW2901
            banded = rows.dropna(subset=["low", "high"])
            if len(banded):
                axes.fill_between(banded["x"], banded["low"], banded["high"], color=look["color"], alpha=0.22, lw=0)
            label = names.get(str(condition), str(condition))
            axes.plot(rows["x"], rows["y"], color=look["color"], linestyle=look["linestyle"], label=label)
        _unit_axes(axes, "Score before", "Score after")
        axes.legend(loc="upper left", handlelength=2.8, borderaxespad=0.4)
        title = f"Maps of recalibration: {target}"
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)
