"""Robustness: images unlike those that the model was prepared for, and what it expects its own masks to be worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fiducial.report import rows, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Figures, Fold, Section, Table, Text
from fiducial.report.figures import groups as group_figures
from fiducial.report.figures import robustness as figures
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.performance import metric_table, named
from fiducial.report.rows import Row
from fiducial.report.said import verdict_table

if TYPE_CHECKING:
    import pandas as pd

OUTSIDE, QUALITY = "out_of_distribution", "predicted_quality"
ITEMS = {
    "mahalanobis": ("Mahalanobis distance", "from the mean of known images"),
    "knn": ("Nearest neighbour", "distance to the tenth"),
    "discriminant": ("Discriminant", "the best straight line between both parts"),
    "energy": ("Energy", "how little the labels’ scores say"),
}


def unfamiliar(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Verdict, distances of both parts, areas by score and by group, the most foreign images."""
    own = [row for row in found if row["check"] == OUTSIDE]
    if not own:
        return None
    verdicts = verdict_table(own, (OUTSIDE,))
    blocks: list[Block] = [verdicts] if verdicts is not None else []
    areas = [row for row in own if row["group"] == "all" and row["statistic"] == "value"]
    drawings = [_histogram(curves, place) for place, curves in enumerate(_score_curves(given))]
    beside: list[Block] = [_area_table(areas)] if areas else []
    nearest = _most_foreign(given)
    if len(drawings) == 1:
        blocks.append(Beside(drawings[0], beside))
    else:
        blocks += [*([Figures(drawings)] if drawings else []), *beside]
    forests = _forests(own)
    if forests:
        blocks.append(Figures(forests))
    if nearest is not None:
        blocks.append(Fold("The most foreign images", [nearest]))
    lead = "Whether the test images are like the calibration images, on which thresholds, maps and promises rest."
    return Section("unfamiliar", "Unfamiliar images", blocks, lead)


def _score_curves(given: ReportInput) -> list[pd.DataFrame]:
    curves = given.curves[given.curves["metric"] == "ood_score"]
    return [part for _, part in curves.groupby("target", sort=False)]


def _histogram(curves: pd.DataFrame, place: int) -> Drawing:
    name = str(curves["series"].iloc[0]).partition(": ")[0]
    title = named(ITEMS[name][0], str(curves["target"].iloc[0]))
    drawing = figures.shares(curves, prefix=f"ood{place}", title=title, xlabel=ITEMS[name][0])
    text = f"{title}: share of the images of each part. If both are alike, the outlines lie on each other."
    return Drawing(drawing.svg, text, title)


def _area_table(areas: Sequence[Row]) -> Table:
    lines = [
        [
            Cell(*ITEMS.get(str(row["item"]), (str(row["item"]), "")), href="#term-ood_auroc"),
            Cell(wording.value_text(row), wording.interval_text(row) or str(row["reason"]), strong=True),
            Cell(*wording.tested(row)),
            Cell(wording.population(row)),
        ]
        for row in areas
    ]
    columns = (Column("Score"), Column("AUROC", numeric=True), Column("p (adjusted)", numeric=True), Column("n"))
    return Table(columns, lines, kind="metrics")


def _forests(own: Sequence[Row]) -> list[Drawing]:
    """The area of each group of patients, and of all, for the score that was divided by group."""
    drawings = []
    grouped = [row for row in own if "=" in row["group"]]
    for place, (target, item) in enumerate(dict.fromkeys((row["target"], row["item"]) for row in grouped)):
        mine = [row for row in own if (row["target"], row["item"]) == (target, item) and row["statistic"] == "value"]
        ordered = sorted(mine, key=lambda row: row["group"] != "all")
        title = named(f"Foreignness by group: {ITEMS.get(str(item), (str(item), ''))[0]}", str(target))
        drawing = group_figures.forest(ordered, prefix=f"oodf{place}", title=title)
        text = f"{title}. Each group of the test part against all of the calibration part; 0.5 means alike."
        drawings.append(Drawing(drawing.svg, text, title))
    return drawings


def _most_foreign(given: ReportInput) -> Table | None:
    points = given.curves[given.curves["metric"] == "most_foreign"]
    if points.empty:
        return None
    lines = [
        [
            Cell(str(point["series"]), str(point["target"])),
            Cell(wording.number(point["y"], 2)),
            Cell(wording.number(100 * point["x"], 1, "%")),
        ]
        for point in points.to_dict("records")
    ]
    columns = (Column("Image"), Column("Distance", numeric=True), Column("Calibration images as far out", numeric=True))
    return Table(columns, lines, kind="metrics")


def predicted_quality(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Verdict, predicted against real Dice as points, correlation, bias and error."""
    own = [row for row in found if row["check"] == QUALITY]
    if not own:
        return None
    verdicts = verdict_table(own, (QUALITY,))
    blocks: list[Block] = [verdicts] if verdicts is not None else []
    shown = [row for row in own if row["statistic"] in rows.CENTRES and not row["verdict"]]
    curves = given.curves[given.curves["metric"] == "predicted_dice"]
    drawings = []
    for place, (target, points) in enumerate(curves.groupby("target", sort=False)):
        title = named("Predicted and real Dice", str(target))
        drawing = figures.agreement(points, prefix=f"quality{place}", title=title)
        text = f"{title}. Above the line the model expects more than it gets: it flatters itself."
        drawings.append(Drawing(drawing.svg, text, title))
    tables: list[Block] = [metric_table(shown)] if shown else []
    if len(drawings) == 1:
        blocks.append(Beside(drawings[0], tables))
    else:
        blocks += [*([Figures(drawings)] if drawings else []), *tables]
    if not shown:
        blocks.append(Text("Too few images have both a predicted and a real Dice.", "missing"))
    lead = "Whether the model knows how good its own masks are, when there is no reference to ask."
    return Section("predicted-quality", "Predicted quality", blocks, lead)
