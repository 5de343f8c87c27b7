"""Sections on performance: discrimination, calibration, operating point, subgroups, cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fiducial.report import rows, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Figures, Fold, Heading, Pictures, Section, Table, Text
from fiducial.report.figures import groups as group_figures
from fiducial.report.figures import scores
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.glossary import entry_of
from fiducial.report.provenance import facts
from fiducial.report.rows import Row

if TYPE_CHECKING:
    import pandas as pd

NO_CALIBRATION = "No calibration part and no stated threshold: there is no operating point, and no rate at one."
_DRAWN = ("sensitivity", "specificity", "ppv", "npv")
_METRIC_COLUMNS = (Column("Metric"), Column("Target"), Column("Value", numeric=True), Column("Interval", numeric=True), Column("n"))


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
    return Table(_METRIC_COLUMNS, lines, kind="metrics")


def curve_rows(curves: pd.DataFrame, metric: str, target: str = "") -> pd.DataFrame:
    """Rows of one curve, of the whole population under clean conditions."""
    chosen = (curves["metric"] == metric) & curves["group"].isin(["all", ""]) & curves["condition"].isin(["clean", ""])
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
    drawings = []
    for place, name in enumerate(names):
        labels = {
            str(row["split"]): f"AUC {wording.value_text(row)} {wording.interval_text(row)}"
            for row in rows.whole(found, ("auc",), splits=("test", "", "calibration"))
            if wording.target_text(row) == name
        }
        drawing = scores.roc(
            curve_rows(given.curves, "roc", name),
            prefix=f"roc{place}",
            target=name,
            points=_points(found, name),
            labels=labels,
        )
        text = f"{_named('ROC curve', name)}. Open marks: the operating point on each part."
        drawings.append(Drawing(drawing.svg, text, drawing.title))
    tables = [metric_table(aucs)] if aucs else []
    blocks = _figures_with(drawings, tables) if drawings else [Text("No ROC curve was stored.", "missing"), *tables]
    lead = "How well the score separates patients with the finding from those without, at every possible threshold."
    return Section("discrimination", "Discrimination", blocks, lead)


def _figures_with(drawings: Sequence[Drawing], tables: Sequence[Block]) -> list[Block]:
    """One figure stands beside its tables; several stand beside each other, above them."""
    if len(drawings) == 1:
        return [Beside(drawings[0], tables)]
    return [*([Figures(drawings)] if drawings else []), *tables]


def _named(text: str, target: str) -> str:
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


def calibration(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Reliability diagrams with histograms, slope, intercept, ECE, Brier."""
    figures = rows.whole(found, rows.CALIBRATION, splits=("test", "", "calibration"))
    figures += rows.whole(found, rows.CALIBRATION, condition=rows.RECALIBRATED)
    names = curve_targets(given.curves, "reliability")
    if not figures and not names:
        return None
    drawings = []
    for place, name in enumerate(names):
        drawing = scores.reliability(
            curve_rows(given.curves, "reliability", name),
            curve_rows(given.curves, "histogram", name),
            prefix=f"rel{place}",
            target=name,
        )
        text = (
            f"{_named('Reliability', name)}. Points on the diagonal mean that a score of 0.3 is followed by the finding in 30 % of "
            "patients. Below: how many cases have each score."
        )
        drawings.append(Drawing(drawing.svg, text, drawing.title))
    tables = [_by_part(figures)] if figures else []
    blocks = _figures_with(drawings, tables) if drawings else [Text("No reliability curve was stored.", "missing"), *tables]
    lead = "Whether the scores can be read as probabilities, and whether they still can on new patients."
    return Section("calibration", "Calibration", blocks, lead)


def _by_part(found: Sequence[Row]) -> Table:
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
    ("test", rows.RECALIBRATED): "Test part, recalibrated",
    ("", rows.RECALIBRATED): "All, recalibrated",
}


def _n(row: Row) -> int:
    return int(row["n_images"] or row["n_subjects"])


def _part(row: Row) -> tuple[str, str]:
    return str(row["split"]), str(row["condition"])


def _part_cell(row: Row | None, chosen: Mapping[tuple[str, str], Row], part: tuple[str, str]) -> Cell:
    """A figure on one part; the threshold is fitted on one part and the same on the other."""
    if row is not None:
        strong = part[0] in rows.AUDITED and part[1] == "clean"
        return Cell(wording.value_text(row), _small(row), strong=strong)
    other = next(iter(chosen.values()))
    if other["metric"] == "threshold" and not wording.is_missing(other["value"]):
        return Cell(wording.value_text(other), "the same", strong=True)
    return Cell(wording.MISSING)


def _small(row: Row) -> str:
    return str(row["reason"]) if wording.is_missing(row["value"]) else wording.interval_text(row)


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
        origins = [str(row["method"]) for row in figures if row["metric"] == "threshold" and row["method"]]
        said = f" What was used: {'; '.join(dict.fromkeys(origins))}." if origins else ""
        blocks.append(Text(f"No calibration part: the operating point was not fitted.{said}", "missing"))
    sizes = {split: max(_n(row) for row in figures if row["split"] == split) for split in {r["split"] for r in figures}}
    drawings = []
    for place, target in enumerate(dict.fromkeys(wording.target_text(row) for row in figures)):
        shown = [r for r in figures if wording.target_text(r) == target and r["metric"] in _DRAWN]
        if shown:
            drawing = scores.shift(shown, prefix=f"op{place}", target=target, sizes=sizes)
            drawings.append(Drawing(drawing.svg, f"{_named('Operating point', target)}: value and interval on each part.", drawing.title))
    blocks += _figures_with(drawings, [_by_part(figures)])
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


def subgroups(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Forest plots for each metric, with gaps."""
    tables = rows.groups_by_metric(found)
    if not tables:
        if given.study is not None and given.study.data.attributes:
            return Section(
                "subgroups", "Subgroups", [Text("The study names attributes, but the audit has no figures by group.", "missing")]
            )
        reason = "No attributes of patients were given (sex, age, site, scanner), so nothing is said about subgroups."
        return Section("subgroups", "Subgroups", [Text(reason, "missing")])
    minimum_n = given.study.data.minimum_n if given.study is not None else 0
    drawings = [
        _forest(key, lines, prefix=f"forest{place}", minimum_n=minimum_n)
        for place, (key, lines) in enumerate(sorted(tables.items(), key=lambda table: _rank(table[0][2])))
    ]
    blocks: list[Block] = [Figures(drawings[:_MOST_FORESTS])]
    if drawings[_MOST_FORESTS:]:
        n_more = len(drawings) - _MOST_FORESTS
        blocks.append(Fold(f"{n_more} more {'figure' if n_more == 1 else 'figures'} by group", [Figures(drawings[_MOST_FORESTS:])]))
    gaps = rows.gaps(found)
    if gaps:
        blocks += [Heading("Largest gap between groups"), _gap_table(gaps)]
    lead = "The same figures by group of patients. Small groups have wide intervals; they are shown, not hidden."
    if minimum_n:
        lead += f" Groups with fewer than {minimum_n} patients are hollow and grey and do not count for a gap."
    return Section("subgroups", "Subgroups", blocks, lead)


_MOST_FORESTS = 6
_FIRST = ("auc", "dice", "sensitivity", "specificity", "nsd", "hd95")


def _rank(metric: str) -> int:
    return _FIRST.index(metric) if metric in _FIRST else len(_FIRST)


def _forest(key: tuple[str, str, str, str], lines: Sequence[Row], *, prefix: str, minimum_n: int) -> Drawing:
    target, item, name, statistic = key
    label = wording.metric(name).label
    if statistic != "value":
        label = f"{wording.plain(statistic)} {label}"
    title = ", ".join(part for part in (label, target, item) if part)
    drawing = group_figures.forest(lines, prefix=prefix, title=title, minimum_n=minimum_n)
    return Drawing(drawing.svg, f"{title}, by group, with {wording.percent(lines[0]['level'])} intervals. Dashed line: all.", title)


def _gap_table(gaps: Sequence[Row]) -> Table:
    lines = []
    for row in gaps:
        adjusted = row["p_adjusted"] if not wording.is_missing(row["p_adjusted"]) else row["p"]
        lines.append(
            [
                Cell(wording.plain(str(row["group"])), str(row["reason"])),
                Cell(wording.metric(str(row["metric"])).label, wording.target_text(row), href=f"#e{row['id']}"),
                Cell(wording.value_text(row), strong=True),
                Cell(wording.interval_text(row) or wording.MISSING),
                Cell(wording.probability(adjusted)),
                Cell(wording.population(row)),
            ]
        )
    columns = (
        Column("Attribute"),
        Column("Metric"),
        Column("Gap", numeric=True),
        Column("Interval", numeric=True),
        Column("p (adjusted)", numeric=True),
        Column("n"),
    )
    return Table(columns, lines, kind="gaps")


def distribution(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Per-case metrics of masks: every case as a point, and the table of means."""
    figures = rows.whole(found, (*rows.OVERLAP, "volume_difference_ml"))
    if not figures:
        return None
    blocks: list[Block] = []
    drawings = [
        Drawing(
            drawing.svg,
            f"{drawing.title}. Points: cases. Box: the middle half, with the median. Diamond: mean with its interval.",
            drawing.title,
        )
        for drawing in _strips(given, figures)
    ]
    if drawings:
        blocks.append(Figures(drawings))
    else:
        blocks.append(Text("The values of single cases were not stored; only their summary is shown.", "missing"))
    blocks.append(metric_table(figures))
    return Section("cases", "Agreement by case", blocks, "How well each structure was outlined, case by case.")


def _strips(given: ReportInput, figures: Sequence[Row]) -> list[Drawing]:
    drawings = []
    for name in ("dice", "nsd", "hd95"):
        values = _case_values(given, name)
        if values:
            summary = {str(r["target"]): r for r in figures if r["metric"] == name and r["statistic"] in ("mean", "value")}
            drawings.append(group_figures.strip(values, prefix=f"strip-{name}", metric=name, summary=summary))
    return drawings


def _case_values(given: ReportInput, metric: str) -> dict[str, list[float]]:
    """A metric's value for every case of the audited part, by structure: from Cases, else from the curves."""
    if given.cases is None or given.cases.empty:
        curves = curve_rows(given.curves, metric)
        curves = curves[curves["series"] == "cases"]
        return {str(name): list(map(float, part["y"])) for name, part in curves.groupby("target", sort=False)}
    cases = given.cases
    split = "test" if (cases["split"] == "test").any() else ""
    chosen = cases[(cases["metric"] == metric) & (cases["split"] == split) & (cases["member"] == "") & cases["value"].notna()]
    return {str(name): list(map(float, part["value"])) for name, part in chosen.groupby("target", sort=False)}


def pictures(given: ReportInput) -> Section | None:
    """Best, typical and worst cases."""
    if not given.pictures:
        return None
    titles = {"worst": "Worst cases", "typical": "Typical cases", "best": "Best cases"}
    blocks: list[Block] = []
    for kind, title in titles.items():
        chosen = [picture for picture in given.pictures if picture.kind == kind]
        if chosen:
            blocks.append(Pictures(title, chosen))
    note = "Solid orange: reference. Dashed blue: model. " if rows.OVERLAP and _has_masks(given) else ""
    lead = f"{note}Slices of volumes are shown as radiologists read them: the patient's right is on the left of the picture."
    return Section("pictures", "Cases in pictures", blocks, lead)


def _has_masks(given: ReportInput) -> bool:
    return bool(given.evidence["metric"].isin(list(rows.OVERLAP)).any())


def training(given: ReportInput) -> Section | None:
    """Training curves."""
    if given.history is None:
        return None
    panels, x = _panels(given.history)
    if not panels or given.history.empty:
        return Section("training", "Training", [Text("The training history holds no curve to draw.", "missing")])
    drawing = group_figures.training(given.history, prefix="training", x=x, panels=panels)
    text = f"{given.history.shape[0]:,} recorded steps. The last state is the one that was audited unless the plan says otherwise."
    plan = given.run.get("plan")
    beside = [facts(plan, "The plan that training followed")] if plan else []
    return Section("training", "Training", [Beside(Drawing(drawing.svg, text, drawing.title), beside)])


def _panels(history: pd.DataFrame) -> tuple[list[list[str]], str]:
    """Which columns are drawn: losses above, everything that validation measures below."""
    import pandas as pd

    numeric = [str(c) for c in history.columns if pd.api.types.is_numeric_dtype(history[c]) and history[c].notna().any()]
    x = next((name for name in ("minutes", "seconds", "step", "epoch") if name in numeric), "")
    if not x:
        return [], ""
    losses = [name for name in numeric if "loss" in name][:4]
    measured = [name for name in numeric if name not in losses and name.startswith(("validation", "val_", "dice", "auc"))][:5]
    return [panel for panel in (losses, measured) if panel], x
