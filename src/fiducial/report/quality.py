"""Quality of the reference and of the table: suspicious truths, raters, copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fiducial.report import wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Fold, Heading, Section, Table, Text
from fiducial.report.figures import decisions as figures
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.performance import curve_rows, curve_targets, metric_table
from fiducial.report.rows import Row
from fiducial.report.said import verdict_table

if TYPE_CHECKING:
    import pandas as pd

NOISE, AGREEMENT, DUPLICATES = "label_noise", "agreement", "duplicates"
_TOGETHER = ("percent_agreement", "fleiss_kappa", "krippendorff_alpha", "pairwise_dice")
_PAIRED = ("cohen_kappa", "weighted_kappa", "pairwise_dice")
_READ = {"Sensitivity": "sensitivity", "Specificity": "specificity"}
_DRAWN = {
    "Dice with the consensus": "consensus_dice",
    "Sensitivity to it": "staple_sensitivity",
    "Dice with the reference": "reference_dice",
}


def section(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Verdicts, the truths that a person should look at, and how well the raters agree."""
    own = [row for row in found if row["check"] in (NOISE, AGREEMENT, DUPLICATES)]
    spoken = [row for row in own if row["target"] or row["verdict"] in ("finding", "clear")]
    if not spoken:
        return None
    blocks: list[Block] = []
    verdicts = verdict_table(spoken, (NOISE, AGREEMENT, DUPLICATES))
    if verdicts is not None:
        blocks.append(verdicts)
    blocks += _noise([row for row in own if row["check"] == NOISE])
    blocks += _raters(given.curves, [row for row in own if row["check"] == AGREEMENT])
    lead = "Whether the reference can be trusted: truths that the model contradicts, raters who differ, copies."
    return Section("quality", "Quality of the reference", blocks, lead)


def _noise(own: Sequence[Row]) -> list[Block]:
    """How many truths are contradicted, and the suspects, behind a line where nothing was found."""
    blocks: list[Block] = []
    for target in dict.fromkeys(wording.target_text(row) for row in own):
        mine = [row for row in own if wording.target_text(row) == target]
        count = next((row for row in mine if row["metric"] == "n_contradicted"), None)
        suspects = [row for row in mine if str(row["statistic"]).startswith("rank_")]
        if count is None:
            continue
        text = (
            f"{target}: {wording.value_text(count)} of {wording.count(count['n_images'])} truths are contradicted with "
            f"confidence ({str(count['reason']).rpartition('; ')[2]} of a calibrated score)."
        )
        blocks.append(Text(text))
        if suspects:
            noun = wording.plural(len(suspects), "case that a person should", "cases that a person should")
            blocks.append(Fold(f"{noun} look at first, {target}", [_suspect_table(suspects)]))
    return [Heading("Truths that the model contradicts"), *blocks] if blocks else []


def _suspect_table(suspects: Sequence[Row]) -> Table:
    lines = []
    for place, row in enumerate(suspects, start=1):
        image, _, rest = str(row["reason"]).removeprefix("image ").partition(": truth ")
        truth, _, score = rest.partition(", score ")
        lines.append(
            [
                Cell(str(place)),
                Cell(image, href=f"#e{row['id']}", strong=True),
                Cell(truth),
                Cell(score),
                Cell(wording.number(row["value"])),
            ]
        )
    columns = (
        Column("", numeric=True),
        Column("Image"),
        Column("Truth", numeric=True),
        Column("Score", numeric=True),
        Column("Chance of that truth", numeric=True),
    )
    return Table(columns, lines, kind="suspects")


def _raters(curves: pd.DataFrame, own: Sequence[Row]) -> list[Block]:
    """Readers in ROC space, agreement of all, each reader in a table, and pairs behind a line."""
    if not own:
        return []
    blocks: list[Block] = [Heading("Agreement of the raters")]
    together = [row for row in own if row["metric"] in _TOGETHER and row["statistic"] != "pair"]
    tables: list[Block] = [metric_table(together)] if together else []
    names = curve_targets(curves, "rater")
    for place, name in enumerate(names):
        title = f"Readers and model, {name}"
        points = curve_rows(curves, "rater", name)
        roc = curve_rows(curves, "roc", name)
        roc = roc[roc["series"].isin(["test", ""])]
        drawing = figures.raters(roc, points, prefix=f"rater{place}", title=title)
        text = f"{title}. A reader above the curve does better than the model at the same rate of false alarms."
        blocks.append(Beside(Drawing(drawing.svg, text, title), tables if place == 0 else []))
    blocks += [] if names else tables
    drawn = {str(row["target"]) for row in own if row["metric"] == "consensus_dice"}
    for figures_of, of_masks in ((_READ, False), (_DRAWN, True)):
        by_rater = _rater_table([row for row in own if (row["target"] in drawn) is of_masks], figures_of)
        if by_rater is not None:
            many = len(by_rater.rows) > 8
            blocks.append(Fold(f"Each of {len(by_rater.rows)} raters", [by_rater]) if many else by_rater)
    pairs = [row for row in own if row["metric"] in _PAIRED and row["statistic"] == "pair"]
    if pairs:
        kinds = " and ".join(dict.fromkeys("Dice" if row["metric"] == "pairwise_dice" else "kappa" for row in pairs))
        blocks.append(Fold(f"{kinds[0].upper()}{kinds[1:]} of each pair", [_pair_table(pairs)]))
    return blocks


def _rater_table(own: Sequence[Row], figures_of: Mapping[str, str]) -> Table | None:
    """One line a rater: against the reference or the consensus, and how much more unlike the others."""
    each = [row for row in own if row["statistic"] == "rater"]
    shown = {label: name for label, name in figures_of.items() if any(row["metric"] == name for row in each)}
    names = list(dict.fromkeys((str(row["target"]), str(row["item"])) for row in each))
    if not names:
        return None
    lines = []
    for target, item in names:
        mine = {str(row["metric"]): row for row in each if (row["target"], row["item"]) == (target, item)}
        excess = mine.get("excess_disagreement")
        adjusted = wording.tested(excess)[0] if excess is not None else wording.MISSING
        cells = [_figure(mine.get(name)) for name in (*shown.values(), "excess_disagreement")]
        n = max(mine.values(), key=lambda row: int(row["n_images"]))
        who = item.partition(": ")[2] or item
        lines.append([Cell(who, target), *cells, Cell(adjusted), Cell(wording.population(n))])
    columns = (
        Column("Rater"),
        *(Column(label, numeric=True) for label in shown),
        Column("Excess disagreement", numeric=True),
        Column("Adjusted p", numeric=True),
        Column("n"),
    )
    return Table(columns, lines, kind="raters")


def _figure(row: Row | None) -> Cell:
    if row is None:
        return Cell(wording.MISSING)
    if wording.is_missing(row["value"]):
        return Cell(wording.MISSING, str(row["reason"]))
    return Cell(wording.value_text(row), wording.interval_text(row), strong=True)


def _pair_table(pairs: Sequence[Row]) -> Table:
    lines = []
    for row in pairs:
        label = wording.metric(str(row["metric"])).label
        who = str(row["item"])
        lines.append(
            [
                Cell(who, str(row["target"]), f"#e{row['id']}"),
                Cell(label),
                Cell(wording.value_text(row), str(row["reason"]), strong=True),
                Cell(wording.interval_text(row)),
                Cell(wording.population(row)),
            ]
        )
    columns = (
        Column("Pair"),
        Column("Metric"),
        Column("Value", numeric=True),
        Column("Interval", numeric=True),
        Column("n"),
    )
    return Table(columns, lines, kind="pairs")
