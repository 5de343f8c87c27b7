"""Sections on performance: discrimination and operating point, and pieces that other sections share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fiducial.report import rows, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Figures, Section, Table, Text
from fiducial.report.figures import scores
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.glossary import entry_of
from fiducial.report.rows import Row

if TYPE_CHECKING:
    import pandas as pd

NO_CALIBRATION = "No calibration part and no stated threshold: there is no operating point, and no rate at one."
_DRAWN = ("sensitivity", "specificity", "ppv", "npv")
_METRIC_COLUMNS = (
    Column("Metric"),
    Column("Target"),
    Column("Value", numeric=True),
    Column("Interval", numeric=True),
    Column("n"),
)


def metric_table(found: Sequence[Row]) -> Table:
    """Value, interval and n of some figures."""
    lines = []
    for row in found:
        words = wording.metric(str(row["metric"]))
        key = entry_of(str(row["metric"]))
        statistic = str(row["statistic"])
        label = f"{words.label}, {statistic}" if statistic in ("mean", "median") else words.label
        small = str(row["reason"]) if wording.is_missing(row["value"]) else str(row["method"])
        lines.append(
            [
                Cell(label, small, href=f"#term-{key}" if key else ""),
                Cell(wording.target_text(row) or "all"),
                Cell(wording.value_text(row), strong=True),
                Cell(wording.interval_text(row) or wording.MISSING),
                Cell(wording.population(row)),
            ]
        )
    return Table(_METRIC_COLUMNS, lines, kind="metrics stack")


def curve_rows(curves: pd.DataFrame, metric: str, target: str = "", *, condition: str = "clean") -> pd.DataFrame:
    """Rows of one curve, of the whole population under one condition."""
    stated = curves["condition"].where(curves["condition"] != "", "clean")
    chosen = (curves["metric"] == metric) & curves["group"].isin(["all", ""]) & (stated == condition)
    return curves[chosen & (curves["target"] == target)] if target else curves[chosen]


def curve_targets(curves: pd.DataFrame, metric: str) -> list[str]:
    """Targets that have a curve of this metric."""
    return [str(name) for name in dict.fromkeys(curve_rows(curves, metric)["target"])]


def discrimination(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """ROC curves and AUC."""
    aucs = rows.whole(found, rows.DISCRIMINATION)
    names = curve_targets(given.curves, "roc")
    if not aucs and not names:
        return None
    blocks = figures_with(
        roc_drawings(given, found), [metric_table(aucs)] if aucs else [], otherwise="No ROC curve was stored."
    )
    lead = "How well the score separates patients with the finding from those without, at every possible threshold."
    return Section("discrimination", "Discrimination", blocks, lead)


def roc_drawings(given: ReportInput, found: Sequence[Row], *, prefix: str = "roc") -> list[Drawing]:
    """A ROC curve for each target that has one."""
    drawings = []
    for place, name in enumerate(curve_targets(given.curves, "roc")):
        labels = {
            str(row["split"]): f"AUC {wording.value_text(row)} {wording.interval_text(row)}"
            for row in rows.whole(found, ("auc",), splits=("test", "", "calibration"))
            if wording.target_text(row) == name
        }
        drawing = scores.roc(
            curve_rows(given.curves, "roc", name),
            prefix=f"{prefix}{place}",
            target=name,
            points=_points(found, name),
            labels=labels,
        )
        text = f"{named('ROC curve', name)}. Open marks: the operating point on each part."
        drawings.append(Drawing(drawing.svg, text, drawing.title))
    return drawings


def figures_with(drawings: Sequence[Drawing], tables: Sequence[Block], *, otherwise: str = "") -> list[Block]:
    """One figure stands beside its tables; several stand beside each other, above them; none is explained."""
    if len(drawings) == 1:
        return [Beside(drawings[0], tables)]
    if drawings:
        return [Figures(drawings), *tables]
    return [*([Text(otherwise, "missing")] if otherwise else []), *tables]


def named(text: str, target: str) -> str:
    """A caption with the target, where it has one."""
    return f"{text}, {target}" if target else text


def _points(found: Sequence[Row], target: str) -> list[dict[str, Any]]:
    """Operating points on the audited and calibration parts, where sensitivity and specificity are both known."""
    points = []
    for split in ("test", "", "calibration"):
        pair = {
            row["metric"]: row["value"]
            for row in rows.whole(found, ("sensitivity", "specificity"), splits=(split,))
            if wording.target_text(row) == target and not wording.is_missing(row["value"])
        }
        if len(pair) == 2:
            name = f"operating point, {split}" if split else "operating point"
            points.append({"label": name, "split": split, **pair})
    return points


def by_part(found: Sequence[Row]) -> Table:
    """Figures with one column a part, so that a shift between the parts is seen in one line."""
    parts = [part for part in _PARTS if any(_part(row) == part for row in found)]
    keys = dict.fromkeys((wording.target_text(r), str(r["metric"])) for r in found)
    several = len({target for target, _ in keys}) > 1
    lines = []
    for target, name in keys:
        chosen = {_part(r): r for r in found if (wording.target_text(r), r["metric"]) == (target, name)}
        key = entry_of(name)
        line = [Cell(wording.metric(name).label, href=f"#term-{key}" if key else "")]
        line += [Cell(target or "all")] if several else []
        lines.append([*line, *(_part_cell(chosen.get(part), chosen, part) for part in parts)])
    columns = [Column("Metric"), *([Column("Target")] if several else [])]
    for part in parts:
        n = max((_n(row) for row in found if _part(row) == part), default=0)
        name = _PARTS[part]
        columns.append(Column(f"{name} (n = {wording.count(n)})" if n else name, numeric=True))
    return Table(columns, lines, kind="parts")


_PARTS = {
    ("calibration", "clean"): "Calibration part",
    ("test", "clean"): "Test part",
    ("", "clean"): "All",
}


def _n(row: Row) -> int:
    return int(row["n_images"] or row["n_subjects"])


def _part(row: Row) -> tuple[str, str]:
    return str(row["split"]), str(row["condition"])


def _part_cell(row: Row | None, chosen: Mapping[tuple[str, str], Row], part: tuple[str, str]) -> Cell:
    """A figure on one part; the threshold is fitted on one part and the same on the other."""
    if row is not None:
        strong = part[0] in rows.AUDITED and part[1] == "clean"
        return Cell(wording.value_text(row), small_text(row), strong=strong)
    other = next(iter(chosen.values()))
    if other["metric"] == "threshold" and not wording.is_missing(other["value"]):
        return Cell(wording.value_text(other), "the same", strong=True)
    return Cell(wording.MISSING)


def small_text(row: Row) -> str:
    """What stands under a value: its interval, or why there is no value or no interval."""
    if wording.is_missing(row["value"]):
        return str(row["reason"])
    return wording.interval_text(row) or str(row["reason"])


def _why_not_fitted(figures: Sequence[Row], found: Sequence[Row]) -> str:
    """Why no threshold was fitted on a calibration part, and what stands in its place."""
    stated = [row for row in figures if row["metric"] == "threshold" and not wording.is_missing(row["value"])]
    origins = "; ".join(dict.fromkeys(str(row["method"]) for row in stated if row["method"]))
    used = f" What was used: {origins}." if origins else ""
    if any(row["split"] == "calibration" for row in found):
        return (
            f"No operating point was fitted, because the study states none.{used or ' Classes: the most probable one.'}"
        )
    return f"No calibration part: the operating point was not fitted.{used}"


def operating_point(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Threshold figures: the calibration part beside the test part."""
    figures = rows.whole(found, ("threshold", *rows.OPERATING), splits=("calibration", "test", ""))
    has_calibration = any(row["split"] == "calibration" for row in figures)
    if not figures:
        if not rows.is_score(found):
            return None
        return Section("operating-point", "Operating point", [Text(NO_CALIBRATION, "missing")])
    blocks: list[Block] = []
    if not has_calibration:
        blocks.append(Text(_why_not_fitted(figures, found), "missing"))
    sizes = {split: max(_n(row) for row in figures if row["split"] == split) for split in {r["split"] for r in figures}}
    drawings = []
    for place, target in enumerate(dict.fromkeys(wording.target_text(row) for row in figures)):
        shown = [r for r in figures if wording.target_text(r) == target and r["metric"] in _DRAWN]
        if shown:
            drawing = scores.shift(shown, prefix=f"op{place}", target=target, sizes=sizes)
            drawings.append(
                Drawing(
                    drawing.svg, f"{named('Operating point', target)}: value and interval on each part.", drawing.title
                )
            )
    blocks += figures_with(drawings, [by_part(figures)])
    rule = given.study.operating_point if given.study is not None else None
    lead = "What happens at the threshold that will be used."
    if has_calibration:
        lead = "The threshold is set once, on the calibration part, and applied to the test part unchanged."
    if rule is not None:
        wanted = "" if rule.value is None else f" {rule.value:g}"
        lead += f" Rule of the study: {rule.rule}{wanted}."
    if has_calibration:
        lead += " A difference between the two columns is a shift between the patients of the two parts."
    return Section("operating-point", "Operating point", blocks, lead)
