"""A forest plot of paired differences: what an exchange of one model for another changes, on the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiducial.report import wording
from fiducial.report.figures.svg import DARK, FAINT, INK, MID, SOFT, Drawing, new_figure, short, styled, to_svg


def differences(rows: Sequence[Mapping[str, Any]], *, prefix: str, title: str) -> Drawing:
    """Differences *after* minus *before* with their intervals; worse ones as filled squares, others as discs.

    Args:
        rows: paired tests of metrics of which more is better, each with ``value``; the first stands on top.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    with styled():
        figure, (axes,) = new_figure(0.95 + 0.27 * len(rows))
        axes.axvline(0.0, color=INK, linewidth=0.9)
        seen = [float(row[key]) for row in rows for key in ("value", "low", "high") if not wording.is_missing(row[key])]
        reach = max([abs(value) for value in seen] + [0.01]) * 1.15
        for y, row in enumerate(rows):
            worse = row["verdict"] == "worse"
            colour = MID if worse else DARK if row["verdict"] == "better" else SOFT
            if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
                axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.6)
            axes.plot([row["value"]], [y], marker="s" if worse else "o", markersize=6, color=colour)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(len(rows) - 0.4, -0.7)
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel("worse   ←   difference, after minus before   →   better")
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _label(row: Mapping[str, Any]) -> str:
    group = "" if row["group"] == "all" else wording.group_values(str(row["group"]))
    parts = (wording.metric(str(row["metric"])).label, group or str(row["item"] or row["target"]))
    return f"{short(', '.join(part for part in parts if part), 27)} (n = {wording.count(row['n_images'])})"
