"""Figures of robustness: where two parts lie on one score, and predicted against real quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fiducial.report import wording
from fiducial.report.figures.scores import part_style, series_label
from fiducial.report.figures.svg import DARK, FAINT, SOFT, Drawing, new_figure, styled, to_svg

if TYPE_CHECKING:
    import pandas as pd


def shares(curves: pd.DataFrame, *, prefix: str, title: str, xlabel: str) -> Drawing:
    """Share of the images of each part in each range of a score, as outlines.

    Args:
        curves: rows of the Curves table; x the middle of a range, y the share, n the images; ``series`` holds the
            score and, after a colon, the part.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
        xlabel: name of the score.
    """
    with styled():
        figure, (axes,) = new_figure(3.1)
        for place, (series, rows) in enumerate(curves.groupby("series", sort=False)):
            part = str(series).partition(": ")[2]
            look = part_style(part, place)
            rows = rows.sort_values("x")  # noqa: PLW2901
            label = series_label(part, int(rows["n"].sum()))
            axes.step(rows["x"], rows["y"], where="mid", color=look["color"], linestyle=look["linestyle"], label=label)
            if part != "calibration":
                axes.fill_between(rows["x"], rows["y"], step="mid", color=look["color"], alpha=0.15, lw=0)
        axes.set_ylim(0, 1.3 * max(float(curves["y"].max()), 1e-6))  # room for the legend
        axes.yaxis.set_major_formatter(lambda share, _: wording.percent(round(share, 4)))
        axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"{xlabel} (to the right: more foreign)")
        axes.set_ylabel("Share of the part")
        axes.legend(loc="upper right", handlelength=2.4)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def agreement(points: pd.DataFrame, *, prefix: str, title: str) -> Drawing:
    """Predicted against real Dice, one point an image, with the line where both are equal.

    Args:
        points: rows of the Curves table; x the real Dice, y the predicted one, n the images of which these are some.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    low = max(0.0, min(float(points["x"].min()), float(points["y"].min())) - 0.03)
    high = min(1.0, max(float(points["x"].max()), float(points["y"].max()))) + 0.02
    with styled():
        figure, (axes,) = new_figure(4.4)
        axes.plot([low, high], [low, high], color=SOFT, linewidth=1.0, linestyle=(0, (4, 2)), label="equal")
        n = int(points["n"].iloc[0])
        label = f"images (n = {wording.count(n)})"
        if len(points) < n:
            label = f"{wording.count(len(points))} of {wording.count(n)} images"
        faint = max(0.2, min(0.75, 120 / len(points)))
        axes.plot(
            points["x"], points["y"], "o", markersize=3.6, color=DARK, alpha=faint, markeredgewidth=0, label=label
        )
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.grid(visible=True, color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("Real Dice")
        axes.set_ylabel("Predicted Dice")
        axes.legend(loc="best", handlelength=2.4)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)
