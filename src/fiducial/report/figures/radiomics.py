"""Figures of radiomics features: small ones for a table's cell, the correlation map, repeatability, models and effects.

What fills a cell is written here as SVG from numbers alone; the larger ones are drawn with Matplotlib. Order and
lightness carry the meaning, so that all of them can be read in grey.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.report import radiomics_words, wording
from fiducial.report.figures.svg import DARK, FAINT, INK, MID, SOFT, Drawing, new_figure, short, styled, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
MOST_PIXELS = 480
"""A map of more features than this is drawn from means of neighbours: no screen shows more."""
MOST_NUMBERED = 12
GRADE_BOUNDS = (0.5, 0.75, 0.9)
_WIDTH, _HEIGHT, _BOX = 132.0, 30.0, 25.5


def distribution(histogram: Sequence[int], quantiles: Sequence[float]) -> str:
    """A histogram between the smallest and the largest value, and below it the middle half with the median.

    Empty for a feature without a histogram (no value, or one value only).
    """
    if not histogram:
        return ""
    low, first, median, third, high = (float(q) for q in quantiles)
    step, top = _WIDTH / len(histogram), max(histogram)
    bars = "".join(
        f"M{k * step + 0.4:.1f} 20.5V{20.5 - 19 * n / top:.1f}H{(k + 1) * step - 0.4:.1f}V20.5Z"
        for k, n in enumerate(histogram)
        if n
    )

    def x(value: float) -> float:
        # Halves, because the span of the largest floats has no float.
        return 1 + (value / 2 - low / 2) / (high / 2 - low / 2) * (_WIDTH - 2)

    width = max(1.0, x(third) - x(first))
    box = f'<rect class="box" x="{x(first):.1f}" y="{_BOX - 2.6:g}" width="{width:.1f}" height="5.2"/>'
    return (
        f'<svg class="glyph" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true"><path class="bars" d="{bars}"/>'
        f'<path class="range" d="M1 {_BOX:g}H{_WIDTH - 1:g}"/>{box}'
        f'<path class="median" d="M{x(median):.1f} {_BOX - 4:g}V{_BOX + 4:g}"/></svg>'
    )


def interval(value: float, low: float, high: float, *, ends: tuple[float, float], marks: Sequence[float] = ()) -> str:
    """A value with its interval between two ends, with upright lines at ``marks``; empty without a value."""
    if wording.is_missing(value):
        return ""
    left, right = ends

    def x(number: float) -> float:
        return 4 + (min(max(number, left), right) - left) / (right - left) * (_WIDTH - 8)

    lines = "".join(f"M{x(mark):.1f} 2V18" for mark in marks)
    drawn = ""
    if not wording.is_missing(low) and not wording.is_missing(high):
        drawn = f'<path class="line" d="M{x(low):.1f} 10H{x(high):.1f}"/>'
    return (
        f'<svg class="glyph" viewBox="0 0 {_WIDTH:g} 20" aria-hidden="true"><path class="marks" d="{lines}"/>{drawn}'
        f'<circle class="dot" cx="{x(value):.1f}" cy="10" r="3.6"/></svg>'
    )


def share(value: float) -> str:
    """A share from 0 to 1 as a bar."""
    if wording.is_missing(value):
        return ""
    width = min(1.0, max(0.0, float(value))) * (_WIDTH - 2)
    return (
        f'<svg class="glyph" viewBox="0 0 {_WIDTH:g} 12" aria-hidden="true">'
        f'<rect class="empty" x="1" y="2" width="{_WIDTH - 2:g}" height="8"/>'
        f'<rect class="bars" x="1" y="2" width="{width:.1f}" height="8"/></svg>'
    )


def correlation_map(size: NDArray[Any], cluster: Sequence[int], *, prefix: str, title: str) -> Drawing:
    """|Rank correlation| of every pair of features, clusters of three and more outlined, the largest numbered.

    Args:
        size: [p, p] from 0 to 1, in the order of the map.
        cluster: [p] numbers that rise along the map.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    from matplotlib.colors import LinearSegmentedColormap

    p = len(size)
    shades = LinearSegmentedColormap.from_list("rank", ["#ffffff", "#d3dde4", "#8fb0c2", DARK, "#07202f"])
    with styled():
        figure, (axes,) = new_figure(4.9)
        image = axes.imshow(
            _shrunk(np.asarray(size, dtype=np.float64)),
            cmap=shades,
            vmin=0,
            vmax=1,
            interpolation="none",
            extent=(0, p, p, 0),
        )
        labelled = -math.inf
        numbered = {number: place for place, (number, _, _) in enumerate(blocks_of(cluster), start=1)}
        for number, start, end in sorted(blocks_of(cluster), key=lambda block: block[1]):
            box = ([start, end, end, start, start], [start, start, end, end, start])
            axes.plot(*box, color=MID, linewidth=1.0)
            middle = (start + end) / 2
            if numbered[number] <= MOST_NUMBERED and middle - labelled > 0.035 * p:
                axes.annotate(
                    str(numbered[number]),
                    (p, middle),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    annotation_clip=False,
                )
                labelled = middle
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(True)
        bar = figure.colorbar(image, ax=axes, orientation="horizontal", fraction=0.05, pad=0.03, aspect=34)
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "0.25", "0.5", "0.75", "1"])
        bar.set_label("Size of Spearman's correlation")
        bar.outline.set_visible(False)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def blocks_of(cluster: Sequence[int], least: int = 3) -> list[tuple[int, int, int]]:
    """Clusters of ``least`` features and more, largest first: number, first place, place after the last."""
    found = []
    start = 0
    for place in range(1, len(cluster) + 1):
        if place == len(cluster) or cluster[place] != cluster[start]:
            if place - start >= least:
                found.append((int(cluster[start]), start, place))
            start = place
    return sorted(found, key=lambda block: (block[1] - block[2], block[1]))


def _shrunk(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of neighbours, so that at most `MOST_PIXELS` stand beside each other, in 64 shades."""
    p = len(size)
    if p > MOST_PIXELS:
        edges = np.linspace(0, p, MOST_PIXELS + 1).astype(int)[:-1]
        counts = np.diff([*edges, p])
        size = np.add.reduceat(np.add.reduceat(size, edges, axis=0), edges, axis=1) / np.outer(counts, counts)
    return np.round(size * 63) / 63


def repeatability(rows: Sequence[Row], *, prefix: str, title: str) -> Drawing:
    """Every feature as a point with its interval, sorted within its family; upright lines where grades change.

    Args:
        rows: ``family``, ``value``, ``low`` and ``high``; features without a value are left out.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
    """
    families: dict[str, list[Row]] = {}
    for row in rows:
        if not wording.is_missing(row["value"]):
            families.setdefault(str(row["family"]), []).append(row)
    # A family of few features keeps room for its name.
    n = sum(map(len, families.values()))
    least = max(8.0, n / 32)
    heights = [max(least, float(len(own))) for own in families.values()]
    total = sum(heights)
    with styled():
        figure, (axes,) = new_figure(min(9.0, 1.1 + 0.034 * total if total < 200 else 1.1 + 6.2))
        top, lowest = 0.0, 0.0
        names = []
        for (family, own), height in zip(families.items(), heights, strict=True):
            ordered = sorted(own, key=lambda row: float(row["value"]))
            y = [top + height * (k + 0.5) / len(ordered) for k in range(len(ordered))]
            _intervals(axes, ordered, y)
            lowest = min([lowest, *(float(row["low"]) for row in ordered if not wording.is_missing(row["low"]))])
            names.append((top + height / 2, f"{radiomics_words.short_family(family)} (n = {len(own)})"))
            axes.axhline(top, color=FAINT, linewidth=0.6)
            top += height
        for bound in GRADE_BOUNDS:
            axes.axvline(bound, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set_ylim(top, 0)
        axes.set_xlim(max(-1.0, lowest - 0.02), 1.02)
        axes.set_yticks([y for y, _ in names], [short(text, 30) for _, text in names])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Intraclass correlation with its interval")
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)


def _intervals(axes: Axes, rows: Sequence[Row], y: Sequence[float]) -> None:
    known = [(row, at) for row, at in zip(rows, y, strict=True) if not wording.is_missing(row["low"])]
    axes.hlines(
        [at for _, at in known],
        [float(row["low"]) for row, _ in known],
        [float(row["high"]) for row, _ in known],
        color=DARK,
        linewidth=1.0,
        alpha=0.45,
    )
    axes.plot([float(row["value"]) for row in rows], y, "o", markersize=2.6, color=DARK, markeredgewidth=0)


def forest(rows: Sequence[Row], *, prefix: str, title: str, xlabel: str, reference: float | None = None) -> Drawing:
    """A point and its interval for each line; an upright dashed line at ``reference``.

    Args:
        rows: ``label``, ``value``, ``low``, ``high``; and ``faint`` for what stands beside, drawn hollow.
        prefix: makes the SVG's ids unique.
        title: the figure's title.
        xlabel: of the axis.
        reference: where nothing is gained.
    """
    with styled():
        figure, (axes,) = new_figure(0.9 + 0.3 * len(rows))
        if reference is not None:
            axes.axvline(reference, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        for y, row in enumerate(rows):
            if wording.is_missing(row["value"]):
                continue
            if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
                axes.plot([row["low"], row["high"]], [y, y], color=DARK, linewidth=1.6)
            face = "white" if row.get("faint") else DARK
            axes.plot([row["value"]], [y], "o", markersize=6.5, color=DARK, markerfacecolor=face, markeredgewidth=1.5)
        axes.set_yticks(range(len(rows)), [short(str(row["label"]), 34) for row in rows])
        for tick in axes.get_yticklabels():
            tick.set_color(INK)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
        axes.set_xlabel(xlabel)
        svg = to_svg(figure, prefix=prefix, title=title)
    return Drawing(svg, "", title)
