"""Figures of uncertainty: coverage against its promise, and the error of the cases that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiducial.report import wording
from fiducial.report.figures.svg import DARK, FAINT, INK, MID, SOFT, Drawing, new_figure, short, styled, to_svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
COMMON, OWN = "sets for everybody", "sets with a quantile of their own"


@dataclass(frozen=True)
class CoverageLine:
    """One line of the figure: a heading if both rows are None, else the coverage of common sets and of own ones."""

    label: str
    common: Row | None = None
    own: Row | None = None

    @property
    def is_heading(self) -> bool:
        """Whether the line only names what follows."""
        return self.common is None and self.own is None


def coverage(lines: Sequence[CoverageLine], *, prefix: str, title: str, promise: float) -> Drawing:
    """Share of patients whose truth is held, with intervals, against the promised share.

    Args:
        lines: from the top.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
        promise: the promised share, drawn as a line through all.
    """
    shown = [row for line in lines for row in (line.common, line.own) if row is not None]
    with styled():
        figure, (axes,) = new_figure(1.2 + 0.27 * len(lines))
        axes.axvline(promise, color=MID, linewidth=1.4, linestyle=(0, (5, 2)))
        for y, line in enumerate(lines):
            both = line.common is not None and line.own is not None
            for row, offset, hollow in ((line.common, -0.16, False), (line.own, 0.16, True)):
                if row is not None:
                    _point(axes, row, y + (offset if both else 0.0), hollow=hollow)
        ends = [float(row[key]) for row in shown for key in ("value", "low") if not wording.is_missing(row[key])]
        left = max(0.0, min([promise, *ends]) - 0.04)
        axes.set_xlim(left, 1.0 + 0.02 * (1 - left))
        axes.set_ylim(len(lines) - 0.4, -0.7)
        axes.set_yticks(range(len(lines)), [short(line.label, 30) for line in lines])
        for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
            tick.set_color(SOFT if line.is_heading else INK)
        axes.xaxis.set_major_formatter(lambda share, _: wording.percent(round(share, 4)))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel("Patients whose truth is held")
        axes.plot(
            [], [], color=MID, linestyle=(0, (5, 2)), linewidth=1.4, label=f"promised: {wording.percent(promise)}"
        )
        axes.plot([], [], color=DARK, marker="o", markersize=6, linewidth=1.5, label=COMMON)
        if any(line.own is not None for line in lines):
            axes.plot([], [], color=SOFT, marker="s", markersize=5.5, mfc="white", linewidth=1.2, label=OWN)
        # Room of its own below the axis, so that the legend hides no point.
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _point(axes: Axes, row: Row, y: float, *, hollow: bool) -> None:
    if wording.is_missing(row["value"]):
        axes.text(
            0.01, y, "not enough cases", transform=axes.get_yaxis_transform(), va="center", color=SOFT, fontsize=8.5
        )
        return
    colour, width = (SOFT, 1.2) if hollow else (DARK, 1.6)
    if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=width)
    marker, size = ("s", 5.5) if hollow else ("o", 6)
    axes.plot([row["value"]], [y], marker=marker, markersize=size, color=colour, mfc="white" if hollow else colour)


def risk_coverage(
    curves: pd.DataFrame, *, prefix: str, title: str, kept: float | None = None, error: float | None = None
) -> Drawing:
    """Error among the cases that are kept, by their share, with its interval; the best possible order below it.

    Args:
        curves: rows of one target: ``series`` ``ideal`` is the best order, the other one the model's.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
        kept: share that the deferral rule keeps, to be marked.
        error: error of those cases.
    """
    own = curves[curves["series"] != "ideal"].sort_values("x")
    ideal = curves[curves["series"] == "ideal"].sort_values("x")
    n = wording.count(own["n"].max()) if len(own) else "0"
    with styled():
        figure, (axes,) = new_figure(3.9)
        banded = own.dropna(subset=["low", "high"])
        if len(banded) > 1:
            axes.fill_between(banded["x"], banded["low"], banded["high"], color=DARK, alpha=0.16, linewidth=0)
        axes.plot(own["x"], own["y"], color=DARK, label=f"this model (n = {n})")
        if len(own):
            everybody = float(own["y"].iloc[-1])
            axes.plot(
                [0, 1], [everybody] * 2, color=SOFT, linewidth=1.0, linestyle=(0, (2, 2)), label="no order at all"
            )
        if len(ideal):
            axes.plot(
                ideal["x"], ideal["y"], color=MID, linewidth=1.2, linestyle=(0, (5, 2)), label="best possible order"
            )
        if kept is not None and error is not None:
            axes.plot(
                [kept],
                [error],
                linestyle="none",
                marker="D",
                markersize=7,
                mfc="white",
                mec=DARK,
                mew=1.8,
                label="deferral rule",
            )
        top = float(own[["y", "high"]].quantile(0.98).max()) if len(own) else 1.0
        axes.set_xlim(0, 1.015)
        axes.set_ylim(0, min(1.0, max(0.02, 1.25 * top)))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda share, _: wording.percent(round(share, 4)))
        axes.grid(visible=True, color=FAINT, linewidth=0.5, alpha=0.7)
        axes.set_axisbelow(True)
        axes.set_xlabel("Cases kept, most confident first")
        axes.set_ylabel("Error of the kept cases")
        # Room of its own below the axis: where few cases are kept, the band fills the upper left corner.
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, handlelength=2.4)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)
