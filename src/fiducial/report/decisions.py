"""Decisions, sites and time, and how many patients the next validation needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fiducial.report import wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Figures, Fold, Heading, Section, Table, Text
from fiducial.report.figures import decisions as figures
from fiducial.report.figures.decisions import SiteLine
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.performance import curve_targets, metric_table
from fiducial.report.rows import Row
from fiducial.report.said import verdict_table

if TYPE_CHECKING:
    import pandas as pd

DECISIONS, SITES, TEMPORAL, SIZE = "decisions", "sites", "temporal", "sample_size"
_SHOWN = (
    "net_benefit",
    "likelihood_ratio_positive",
    "likelihood_ratio_negative",
    "diagnostic_odds_ratio",
    "number_needed_to_evaluate",
)
_NEEDED = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "calibration_slope": "Calibration slope",
    "observed_expected": "Observed/expected events",
    "dice": "Mean Dice",
}


def section(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Decision curves, likelihood ratios, and the patients that the next validation needs."""
    own = [row for row in found if row["check"] == DECISIONS and row["target"]]
    needed = [row for row in found if row["check"] == SIZE]
    if not own and not needed:
        return None
    blocks: list[Block] = []
    verdicts = verdict_table(own, (DECISIONS,))
    if verdicts is not None:
        blocks.append(verdicts)
    tables = {name: _figures(own, name) for name in dict.fromkeys(wording.target_text(row) for row in own)}
    for place, name in enumerate(curve_targets(given.curves, "net_benefit")):
        title = f"Decision curve, {name}"
        curves = given.curves[(given.curves["metric"] == "net_benefit") & (given.curves["target"] == name)]
        drawing = figures.decision_curve(curves, prefix=f"dca{place}", title=title)
        text = (
            f"{title}. The higher line is the better way to decide at that threshold; the band is the "
            "interval, point by point. To the left false alarms count little, to the right they count much."
        )
        beside = Beside(Drawing(drawing.svg, text, title), [*_in_words(own, name), *tables.pop(name, [])])
        blocks.append(beside)
    for left in tables.values():
        blocks += left
    if needed and not own:
        lead = "How many patients the next validation needs."
        return Section("decisions", "Size of the next validation", [_needed_table(needed)], lead)
    if needed:
        blocks += [Heading("Patients that the next validation needs"), _needed_table(needed)]
    lead = "Whether acting on the model does more good than acting on everybody, or on nobody."
    return Section("decisions", "Decisions", blocks, lead)


def _figures(own: Sequence[Row], name: str) -> list[Block]:
    shown = [r for r in own if r["metric"] in _SHOWN and r["statistic"] == "value" and wording.target_text(r) == name]
    return [metric_table(shown)] if shown else []


def _in_words(own: Sequence[Row], name: str) -> list[Block]:
    """The net benefit at the operating threshold as numbers of patients."""
    mine = [row for row in own if row["metric"] == "net_benefit" and wording.target_text(row) == name]
    here = next((row for row in mine if row["statistic"] == "value"), None)
    if here is None or wording.is_missing(here["value"]):
        return []
    threshold, per_100 = float(here["threshold"]), 100 * float(here["value"])
    odds = threshold / (1 - threshold)
    price = (
        f"one missed patient weighs as much as {wording.number(1 / odds, 0 if odds < 0.2 else 1)} false alarms"
        if odds < 1
        else f"one false alarm weighs as much as {wording.number(odds, 0 if odds > 5 else 1)} missed patients"
    )
    worth = (
        f"is then worth as much as finding {wording.number(per_100, 1)} of every 100 patients without a false alarm"
        if per_100 >= 0
        else f"then costs as much as missing {wording.number(-per_100, 1)} patients in every 100"
    )
    text = f"At the threshold {wording.number(threshold)} {price}. Acting on the model {worth}"
    everyone = next((row for row in mine if row["statistic"] == "over_all"), None)
    if everyone is not None and not wording.is_missing(everyone["value"]):
        gain = 100 * float(everyone["value"])
        compared = "better" if gain >= 0 else "worse"
        # At a high threshold acting on everybody costs more patients than there are, which nobody can picture.
        by = f"{wording.number(abs(gain), 1)} {compared}" if abs(gain) <= 100 else f"far {compared}"
        text += f"; that is {by} than acting on everybody"
    return [Text(f"{text}.")]


def _needed_table(needed: Sequence[Row]) -> Table:
    """Patients needed, with what was assumed."""
    lines = []
    for row in needed:
        statistic = str(row["statistic"])
        label = _NEEDED.get(statistic, "Criterion")
        lines.append(
            [
                Cell(label, wording.target_text(row), f"#e{row['id']}"),
                Cell(wording.value_text(row), strong=True),
                Cell(wording.count(row["n_subjects"])),
                Cell(wording.sentence(str(row["reason"]))),
            ]
        )
    columns = (
        Column("For"),
        Column("Patients needed", numeric=True),
        Column("Patients here", numeric=True),
        Column("What was assumed"),
    )
    return Table(columns, lines, kind="needed named")


def sites_and_time(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Forest plots by site with the range for a new one, and figures over time."""
    own = [row for row in found if row["check"] in (SITES, TEMPORAL) and row["target"]]
    if not own:
        return None
    blocks: list[Block] = []
    verdicts = verdict_table(own, (SITES, TEMPORAL))
    if verdicts is not None:
        blocks.append(verdicts)
    at_sites = [row for row in own if row["check"] == SITES]
    drawings, words = _site_figures(at_sites)
    blocks += [Figures(drawings)] if drawings else []
    blocks += [Text(text) for text in words]
    without = [row for row in at_sites if row["statistic"] == "without_site" and row["metric"] in ("auc", "dice")]
    if without:
        blocks.append(Fold("The mean without each site in turn", [_without_table(without)]))
    blocks += _time_blocks(given.curves, [row for row in own if row["check"] == TEMPORAL])
    lead = "Whether the model is as good at every hospital, at the next one, and as good as it was."
    return Section("sites-and-time", "Sites and time", blocks, lead)


def _site_figures(own: Sequence[Row]) -> tuple[list[Drawing], list[str]]:
    """A forest plot and a sentence for each metric of each target that is known at two sites."""
    drawings, words = [], []
    keys = dict.fromkeys((wording.target_text(row), str(row["metric"])) for row in own if row["statistic"] == "at_site")
    for place, (target, metric) in enumerate(keys):
        mine = [row for row in own if (wording.target_text(row), row["metric"]) == (target, metric)]
        sites = [row for row in mine if row["statistic"] == "at_site"]
        if sum(not wording.is_missing(row["value"]) for row in sites) < 2:
            continue
        lines = [SiteLine(f"{wording.group_values(str(row['group']))} (n = {_n(row)})", row) for row in sites]
        mean = next((row for row in mine if row["statistic"] == "mean_over_sites"), None)
        ahead = next((row for row in mine if row["statistic"] == "new_site"), None)
        lines += [SiteLine("Mean over sites", mean, "mean")] if mean is not None else []
        there = ahead is not None and not wording.is_missing(ahead["low"])
        if ahead is not None and there:
            lines.append(SiteLine("A new site", ahead, "new"))
        label = wording.metric(metric).label
        title = f"{label} by site, {target}"
        drawing = figures.site_forest(lines, prefix=f"site{place}", title=title)
        text = f"{title}. Diamond: mean over sites (random effects)."
        text += " Dashed: where 95 % of new sites are expected." if there else ""
        drawings.append(Drawing(drawing.svg, text, title))
        if ahead is not None and there and metric in ("auc", "dice"):
            words.append(
                f"{label} of {target} at a hospital that is not in the table is expected between "
                f"{wording.number(ahead['low'])} and {wording.number(ahead['high'])}, judged by the spread between "
                f"{wording.plural(sum(line.kind == 'site' for line in lines), 'site', 'sites')}."
            )
    return drawings, words


def _without_table(without: Sequence[Row]) -> Table:
    lines = [
        [
            Cell(wording.group_values(str(row["group"])), wording.target_text(row), f"#e{row['id']}"),
            Cell(wording.metric(str(row["metric"])).label),
            Cell(wording.value_text(row), strong=True),
            Cell(wording.interval_text(row)),
            Cell(wording.population(row)),
        ]
        for row in without
    ]
    columns = (
        Column("Left out"),
        Column("Metric"),
        Column("Mean over the others", numeric=True),
        Column("Interval", numeric=True),
        Column("n"),
    )
    return Table(columns, lines, kind="without")


def _time_blocks(curves: pd.DataFrame, own: Sequence[Row]) -> list[Block]:
    """A figure over time with the trends beside it."""
    blocks: list[Block] = []
    drawn = curves[(curves["check"] == TEMPORAL) & (curves["metric"] == "over_time") & curves["y"].notna()]
    for place, name in enumerate(dict.fromkeys(drawn["target"])):
        title = f"Over time, {name}"
        drawing = figures.over_time(drawn[drawn["target"] == name], prefix=f"time{place}", title=title)
        text = f"{title}. Points with intervals; under each the number of images of that time."
        trends = [row for row in own if row["statistic"] == "trend" and wording.target_text(row) == name]
        blocks.append(Beside(Drawing(drawing.svg, text, title), [_trend_table(trends)] if trends else []))
    return blocks


def _trend_table(trends: Sequence[Row]) -> Table:
    lines = []
    for row in trends:
        digits = wording.metric(str(row["metric"])).digits
        adjusted, plain = wording.tested(row)
        value = wording.number(row["value"], digits)
        lines.append(
            [
                Cell(wording.metric(str(row["metric"])).label, href=f"#e{row['id']}"),
                Cell(value, wording.interval_text(row), strong=True),
                Cell(adjusted, plain),
                Cell(wording.population(row)),
            ]
        )
    columns = (Column("Metric"), Column("Change a year", numeric=True), Column("Adjusted p", numeric=True), Column("n"))
    return Table(columns, lines, kind="trends")


def _n(row: Row) -> str:
    return wording.count(row["n_subjects"] or row["n_images"])
