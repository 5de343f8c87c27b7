"""Cases: the distribution of per-case metrics, pictures, and the training history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fiducial.report import rows, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Figures, Fold, Pictures, Section, Table, Text
from fiducial.report.figures import groups as group_figures
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.glossary import entry_of
from fiducial.report.performance import curve_rows, small_text
from fiducial.report.provenance import facts
from fiducial.report.rows import Row

if TYPE_CHECKING:
    import pandas as pd


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
    blocks.append(_case_table(found, figures))
    methods = dict.fromkeys(str(row["method"]) for row in figures if row["method"])
    if methods:
        blocks.append(Text(f"Intervals: {'; '.join(methods)}.", "note"))
    return Section("cases", "Agreement by case", blocks, "How well each structure was outlined, case by case.")


def _case_table(found: Sequence[Row], figures: Sequence[Row]) -> Table:
    """Mean and median of each metric and structure, and how many cases have no value."""
    missing = {
        (wording.target_text(row), row["metric"]): row
        for row in rows.figures(found)
        if row["statistic"] == "n_missing" and not wording.is_missing(row["value"])
    }
    keys = dict.fromkeys((wording.target_text(row), str(row["metric"])) for row in figures)
    lines = []
    for target, name in keys:
        own = {str(r["statistic"]): r for r in figures if (wording.target_text(r), r["metric"]) == (target, name)}
        first = own.get("mean") or own.get("value") or next(iter(own.values()))
        median, lost, key = own.get("median"), missing.get((target, name)), entry_of(name)
        lines.append(
            [
                Cell(wording.metric(name).label, href=f"#term-{key}" if key else ""),
                Cell(target or "all"),
                Cell(wording.value_text(first), small_text(first), strong=True),
                Cell(wording.MISSING) if median is None else Cell(wording.value_text(median), small_text(median)),
                Cell(wording.population(first)),
                Cell(wording.MISSING) if lost is None else Cell(wording.value_text(lost), str(lost["reason"])),
            ]
        )
    columns = (
        Column("Metric"),
        Column("Structure"),
        Column("Mean", numeric=True),
        Column("Median", numeric=True),
        Column("n"),
        Column("Without a value"),
    )
    return Table(columns, lines, kind="metrics")


def _strips(given: ReportInput, figures: Sequence[Row]) -> list[Drawing]:
    drawings = []
    for name in ("dice", "nsd", "hd95"):
        values = _case_values(given, name)
        if values:
            summary = {
                str(r["target"]): r for r in figures if r["metric"] == name and r["statistic"] in ("mean", "value")
            }
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
    chosen = cases[
        (cases["metric"] == metric) & (cases["split"] == split) & (cases["member"] == "") & cases["value"].notna()
    ]
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
    lead = "Slices of volumes are shown as radiologists read them: the patient's right is on the left of the picture."
    if _has_masks(given):
        lead = f"Solid orange: reference. Dashed blue: model. {lead}"
    return Section("pictures", "Cases in pictures", blocks, lead)


def _has_masks(given: ReportInput) -> bool:
    return bool(given.evidence["metric"].isin(list(rows.OVERLAP)).any())


_PLAN_FACTS = (
    "model",
    "precision",
    "spacing_mm",
    "patch",
    "batch",
    "n_steps",
    "steps",
    "seconds_per_step",
    "learning_rate",
    "minutes",
    "memory_gb",
    "n_threads",
    "seed",
)


def training(given: ReportInput) -> Section | None:
    """Training curves."""
    if given.history is None:
        return None
    panels, x = _panels(given.history)
    if not panels or given.history.empty:
        return Section("training", "Training", [Text("The training history holds no curve to draw.", "missing")])
    drawing = group_figures.training(given.history, prefix="training", x=x, panels=panels)
    text = f"Training history, {wording.plural(len(given.history), 'entry', 'entries')}."
    plan = given.run.get("plan") or {}
    chosen = {name: plan[name] for name in _PLAN_FACTS if name in plan}
    beside = [facts(chosen, "The plan that training followed")] if chosen else []
    blocks: list[Block] = [Beside(Drawing(drawing.svg, text, drawing.title), beside)]
    if plan:
        reasons = plan.get("reasons")
        rest = {name: value for name, value in plan.items() if name != "reasons"}
        why = [facts(reasons, "Why")] if isinstance(reasons, Mapping) and reasons else []
        blocks.append(Fold("The whole plan", [facts(rest), *why]))
    return Section("training", "Training", blocks)


def _panels(history: pd.DataFrame) -> tuple[list[list[str]], str]:
    """Which columns are drawn: losses above, everything that validation measures below."""
    import pandas as pd

    numeric = [
        str(c) for c in history.columns if pd.api.types.is_numeric_dtype(history[c]) and history[c].notna().any()
    ]
    x = next((name for name in ("minutes", "seconds", "step", "epoch") if name in numeric), "")
    if not x:
        return [], ""
    losses = [name for name in numeric if "loss" in name][:4]
    measured = [
        name for name in numeric if name not in losses and name.startswith(("validation", "val_", "dice", "auc"))
    ][:5]
    return [panel for panel in (losses, measured) if panel], x
