"""Calibration: verdicts, reliability before and after the chosen map, figures by part, and what each map would mend."""

from __future__ import annotations

from collections.abc import Sequence

from fiducial.report import rows, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Fold, Heading, Section, Table, Text
from fiducial.report.figures import scores
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.performance import (
    by_part,
    curve_rows,
    curve_targets,
    figures_with,
    metric_table,
    named,
    small_text,
)
from fiducial.report.rows import Row
from fiducial.report.said import verdict_table

CHECKS = ("calibration", "recalibration")
PARTS = ("brier_reliability", "brier_resolution", "brier_uncertainty")
MAPS = {
    "clean": "no map",
    "recalibrated:temperature": "temperature",
    "recalibrated:logistic": "logistic",
    "recalibrated:venn_abers": "Venn–Abers",
    "recalibrated:isotonic": "isotonic",
}
_AFTER = ("calibration_slope", "calibration_in_the_large", "ece", "brier", "log_loss")


def section(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Verdicts first, then reliability diagrams beside the figures of each part, then the maps."""
    figures = rows.whole(found, rows.CALIBRATION, splits=("test", "", "calibration"))
    names = curve_targets(given.curves, "reliability")
    if not figures and not names:
        return None
    verdicts = verdict_table(found, CHECKS)
    blocks: list[Block] = [verdicts] if verdicts is not None else []
    chosen = {wording.target_text(row): str(row["condition"]) for row in found if row["metric"] == "best_map"}
    drawings = [_reliability(given, name, _choice(chosen, name), place) for place, name in enumerate(names)]
    tables: list[Block] = [by_part(figures)] if figures else []
    blocks += figures_with(drawings, tables, otherwise="No reliability curve was stored.")
    parts = rows.whole(found, PARTS)
    if parts:
        blocks.append(Fold("What the Brier score is made of", [metric_table(parts)]))
    blocks += _maps(given, found)
    lead = "Whether the scores can be read as probabilities, and whether they still can on new patients."
    return Section("calibration", "Calibration", blocks, lead)


def _choice(chosen: dict[str, str], name: str) -> str:
    """The condition of the map that was chosen for a target, or for all classes of it."""
    return chosen.get(name, chosen.get(name.partition(": ")[0], "clean"))


def _reliability(given: ReportInput, name: str, chosen: str, place: int) -> Drawing:
    """The points of each part, and of the audited part after the chosen map as a series of its own."""
    import pandas as pd

    points = curve_rows(given.curves, "reliability", name)
    after = "clean"
    if chosen != "clean":
        mapped = curve_rows(given.curves, "reliability", name, condition=chosen)
        after = MAPS.get(chosen, chosen)
        labels = [f"{part} part, {after}" if part else after for part in mapped["series"]]
        points = pd.concat([points, mapped.assign(series=labels)])
    histogram = curve_rows(given.curves, "histogram", name)
    drawing = scores.reliability(points, histogram, prefix=f"rel{place}", target=name)
    text = (
        f"{named('Reliability', name)}. Points on the diagonal mean that a score of 0.3 is followed by the "
        "finding in 30 % of patients. Below: how many cases have each score."
    )
    return Drawing(drawing.svg, text, drawing.title)


def _maps(given: ReportInput, found: Sequence[Row]) -> list[Block]:
    """What each map makes of the scores and of the audited part; which one was chosen, and where."""
    choices = [row for row in found if row["metric"] == "best_map"]
    if not choices:
        return []
    blocks: list[Block] = [Heading("Recalibration")]
    for place, choice in enumerate(choices):
        target = wording.target_text(choice)
        said = Text(_sentence(choice))
        table = _map_table(found, choice)
        curves = given.curves[(given.curves["metric"] == "map") & (given.curves["target"] == target)]
        if len(curves):
            drawing = scores.maps(curves, prefix=f"map{place}", target=target, names=MAPS)
            text = f"{named('Maps of recalibration', target)}: score before and after. Band: Venn–Abers’ range."
            blocks += [Beside(Drawing(drawing.svg, text, drawing.title), [said]), table]
        else:
            blocks += [said, table]
    return blocks


def _sentence(choice: Row) -> str:
    """Which map was chosen, on whom."""
    name = str(choice["target"])
    n = wording.population(choice)
    reason = wording.sentence(str(choice["reason"]))
    return f"Chosen for {name} by cross-validation on {n} of the calibration part, never on the test part. {reason}."


def _map_table(found: Sequence[Row], choice: Row) -> Table:
    """One line for each map (and class): its cross-validated log loss, and the audited part after it."""
    crossed = {
        str(row["condition"]): row
        for row in found
        if row["statistic"] == "cross_validated" and row["target"] == choice["target"]
    }
    lines = []
    items: list[str] = []
    for condition, label in MAPS.items():
        mine = [r for r in rows.whole(found, _AFTER, condition=condition) if r["target"] == choice["target"]]
        for item in dict.fromkeys(str(row["item"]) for row in mine):
            own = {str(row["metric"]): row for row in mine if row["item"] == item}
            items.append(item)
            best = condition == choice["condition"]
            line = [
                Cell(label[:1].upper() + label[1:], "chosen" if best else "", strong=best),
                Cell(item),
                _figure(crossed.get(condition)),
            ]
            lines.append([*line, *(_figure(own.get(metric)) for metric in _AFTER)])
    columns = [Column("Map"), Column("Class"), Column("Cross-validated log loss", numeric=True)]
    columns += [Column(f"{wording.metric(name).label} after", numeric=True) for name in _AFTER]
    if not any(items):
        columns.pop(1)
        lines = [[line[0], *line[2:]] for line in lines]
    return Table(columns, lines, kind="parts")


def _figure(row: Row | None) -> Cell:
    return Cell(wording.MISSING) if row is None else Cell(wording.value_text(row), small_text(row))
