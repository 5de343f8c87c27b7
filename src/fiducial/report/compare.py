"""Two audits side by side as one HTML page; regressions first. Formats what was found and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiducial.records.files import write_text
from fiducial.report import wording
from fiducial.report.blocks import Block, Cell, Column, Facts, Figures, Fold, Heading, Listing, Section, Table, Text
from fiducial.report.figures.differences import differences
from fiducial.report.figures.svg import Drawing

Row = Mapping[str, Any]

WORDS = {"worse": "Worse", "better": "Better", "no_difference": "No difference", "not_possible": "Not possible"}
SHAPES = {"worse": "fail", "better": "pass", "no_difference": "clear", "not_possible": "not_possible"}
UP = ("auc", "sensitivity", "specificity", "accuracy", "dice", "iou", "nsd")
"""Metrics of which more is better, from 0 to 1: they share an axis."""
_MOST = 24


@dataclass(frozen=True)
class CompareInput:
    """What a comparison page is made from.

    ``before`` and ``after`` hold ``label``, ``study``, ``model``, ``source``, ``head``, ``n_rows`` and ``signed_by``;
    ``tests``, ``rows`` and ``levelling`` are those of `fiducial.audit.comparison.Comparison`, regressions first.
    """

    before: Row
    after: Row
    tests: Sequence[Row]
    rows: Sequence[Row]
    levelling: Sequence[Row]
    n_images: int
    level: float
    notes: Sequence[str] = ()


def render_comparison(given: CompareInput) -> str:
    """The comparison as one HTML document; the same input gives the same bytes."""
    from fiducial.report.page import document

    sections = [_summary(given), _tests(given), _groups(given), _levelling(given), _verdicts(given), _evidence(given)]
    title = f"{given.before['label']} and {given.after['label']}"
    lead = f"Before: {given.before['label']}. After: {given.after['label']}."
    return document(sections, title=title, kind="Comparison of two audits", lead=lead)


def write_comparison(given: CompareInput, path: str | Path) -> Path:
    """Render and write atomically; returns the path."""
    write_text(path, render_comparison(given))
    return Path(path)


def _summary(given: CompareInput) -> Section:
    """Regressions first: tests that came out worse, then verdicts that changed for the worse."""
    worse = [row for row in given.tests if row["verdict"] == "worse"]
    changed = [row for row in given.rows if row["change"] == "worse"]
    blocks: list[Block] = []
    if worse:
        blocks += [Heading("Worse on the same cases"), _test_table(worse, brief=True)]
    if changed:
        blocks += [Heading("Verdicts that changed for the worse"), _change_table(changed)]
    better = [row for row in given.tests if row["verdict"] == "better"]
    if better:
        blocks += [Heading("Better on the same cases"), _test_table(better, brief=True)]
    blocks.append(_sides(given))
    if given.notes:
        blocks.append(Listing(list(given.notes), "Notes"))
    return Section("summary", "Regressions first", blocks, lead=_lead(given, len(worse), len(better), len(changed)))


def _lead(given: CompareInput, n_worse: int, n_better: int, n_changed: int) -> str:
    if not given.tests:
        text = "No test on the same cases was possible."
    elif not n_worse and not n_better:
        text = f"No difference beyond chance in {len(given.tests)} tests on {wording.count(given.n_images)} images."
    else:
        text = (
            f"Of {len(given.tests)} tests on {wording.count(given.n_images)} images, {n_worse} came out worse and "
            f"{n_better} better."
        )
    if n_changed:
        text += f" {wording.plural(n_changed, 'verdict', 'verdicts')} changed for the worse."
    return text


def _sides(given: CompareInput) -> Table:
    """Which two audits these are."""
    names = (
        ("study", "Study"),
        ("model", "Model"),
        ("source", "Made from"),
        ("n_rows", "Evidence rows"),
        ("head", "Evidence digest"),
        ("signed_by", "Signed by"),
    )
    lines = []
    for key, label in names:
        texts = [side[key] for side in (given.before, given.after)]
        texts = [f"{text[:12]}…" if key == "head" else wording.anything(text) for text in texts]
        texts = ["unsigned" if key == "signed_by" and text == wording.MISSING else text for text in texts]
        lines.append([Cell(label, strong=True), *(Cell(text) for text in texts)])
    columns = (
        Column(""),
        Column(f"Before: {given.before['label']}"),
        Column(f"After: {given.after['label']}"),
    )
    return Table(columns, lines, kind="sides")


def _levelling(given: CompareInput) -> Section | None:
    """Whether a gap closed because the better group lost."""
    if not given.levelling:
        return None
    lines = []
    for row in given.levelling:
        words = {"finding": "Levelled down", "clear": "Clear", "not_possible": "Not possible"}
        lines.append(
            [
                Cell(words[str(row["verdict"])], verdict=str(row["verdict"])),
                Cell(wording.anything(row["group"])),
                Cell(wording.target_text(row) or wording.MISSING),
                Cell(str(row["reason"])),
            ]
        )
    lead = "Did a gap between groups shrink because the better group got worse? Nobody is served by that."
    columns = (Column("Result"), Column("Attribute"), Column("Target"), Column("What was seen"))
    return Section("levelling", "Levelling down", [Table(columns, lines)], lead)


def _tests(given: CompareInput) -> Section:
    """Every paired test of everybody."""
    rows = [row for row in given.tests if row["group"] == "all"]
    if not rows:
        return Section(
            "tests", "On the same cases", [Text("No paired test was possible; the notes say why.", "missing")]
        )
    blocks: list[Block] = []
    figure = _figure(rows, "differences", "Differences on the same cases")
    if figure is not None:
        blocks.append(Figures([figure]))
    blocks.append(_test_table(rows))
    lead = (
        "Both were asked about the same images, so the patients' own difficulty cancels. Difference: after minus "
        "before; p adjusted by Holm over all rows of this table."
    )
    return Section("tests", "On the same cases", blocks, lead)


def _groups(given: CompareInput) -> Section | None:
    """The same by group: an average may hide who is served worse."""
    rows = [row for row in given.tests if row["group"] != "all"]
    if not rows:
        return None
    shown = [row for row in rows if row["verdict"] in ("worse", "better")] or rows
    blocks: list[Block] = []
    figure = _figure(shown, "group-differences", "Differences by group on the same cases")
    if figure is not None:
        blocks.append(Figures([figure]))
    told = [row for row in rows if row["verdict"] in ("worse", "better")]
    if told:
        blocks.append(_test_table(told))
    rest = [row for row in rows if row["verdict"] not in ("worse", "better")]
    if rest:
        tests = wording.plural(len(rest), "test", "tests")
        blocks.append(Fold(f"{tests} without a difference, or with too few patients", [_test_table(rest)]))
    return Section("groups", "By group", blocks, "The same tests in each group; p adjusted by Holm over all groups.")


def _figure(rows: Sequence[Row], prefix: str, title: str) -> Drawing | None:
    """A forest plot of the metrics of which more is better; None without one."""
    drawn = [row for row in rows if row["metric"] in UP and not wording.is_missing(row["value"])][:_MOST]
    if not drawn:
        return None
    drawing = differences(drawn, prefix=prefix, title=title)
    caption = (
        f"{title}, with intervals. Right of the line the new one is better. Squares: worse beyond chance. "
        "Metrics of which less is better stand in the table only."
    )
    return Drawing(drawing.svg, caption, title)


def _test_table(rows: Sequence[Row], *, brief: bool = False) -> Table:
    """Paired tests; ``brief`` without remark and method."""
    lines = []
    for row in rows:
        words = wording.metric(str(row["metric"]))
        where = [wording.target_text(row), "" if row["group"] == "all" else wording.group_text(str(row["group"]))]
        verdict = str(row["verdict"])
        lines.append(
            [
                Cell(WORDS[verdict], verdict=SHAPES[verdict]),
                Cell(words.label, ", ".join(text for text in where if text)),
                Cell(wording.number(row["before"], words.digits, words.unit)),
                Cell(wording.number(row["after"], words.digits, words.unit)),
                Cell(_signed(row["value"], words.digits), _interval(row, words.digits), strong=True),
                Cell(*wording.tested(row)),
                Cell(wording.population(row)),
                Cell(wording.sentence(str(row["reason"])), f"{row['method']}. {row['reference']}"),
            ]
        )
    columns = (
        Column("Result"),
        Column("Metric"),
        Column("Before", numeric=True),
        Column("After", numeric=True),
        Column("Difference", numeric=True),
        Column("p (adjusted)", numeric=True),
        Column("n", numeric=True),
        Column("Remark and method"),
    )
    n_shown = len(columns) - brief
    return Table(columns[:n_shown], [line[:n_shown] for line in lines], kind="tests")


def _signed(value: Any, digits: int) -> str:
    text = wording.number(value, digits)
    return f"+{text}" if not wording.is_missing(value) and float(value) > 0 else text


def _interval(row: Row, digits: int) -> str:
    if wording.is_missing(row["low"]) or wording.is_missing(row["high"]):
        return ""
    return f"[{_signed(row['low'], digits)}, {_signed(row['high'], digits)}]"


def _verdicts(given: CompareInput) -> Section | None:
    """Verdicts that changed for the better; those for the worse stand first on the page."""
    rows = [row for row in given.rows if row["change"] == "better"]
    if not rows:
        return None
    lead = "A verdict may change because the model changed, because the cases did, or because an interval met a bound."
    return Section("verdicts", "Verdicts that changed for the better", [_change_table(rows)], lead)


def _change_table(rows: Sequence[Row]) -> Table:
    lines = []
    for row in rows:
        sides = [row[name] for name in ("before", "after")]
        lines.append(
            [
                Cell(wording.plain(str(row["check"])), _where(row)),
                *(
                    Cell(wording.VERDICT_WORDS[str(side["verdict"])], _figure_text(row, side), verdict=side["verdict"])
                    for side in sides
                ),
                Cell(wording.sentence(str(sides[1]["reason"]))),
            ]
        )
    return Table((Column("Check"), Column("Before"), Column("After"), Column("Why now")), lines, kind="checks")


def _where(row: Row) -> str:
    statistic = "" if row["statistic"] in ("value", "test", "gap_test") else str(row["statistic"])
    bound = ""
    if row["threshold"] is not None:
        bound = f"{str(row['direction']).replace('_', ' ')} {row['threshold']:g}"
    group = "" if row["group"] == "all" else wording.group_text(str(row["group"]))
    parts = (statistic, wording.metric(str(row["metric"])).label, wording.target_text(row), group, row["split"], bound)
    return ", ".join(str(part) for part in parts if part)


def _figure_text(row: Row, side: Row) -> str:
    shown = {**side, "metric": row["metric"], "statistic": row["statistic"]}
    return f"{wording.value_text(shown)} {wording.interval_text(shown)}".strip()


def _evidence(given: CompareInput) -> Section:
    """Every row beside its like, by check, behind lines that open."""
    blocks: list[Block] = []
    for check in dict.fromkeys(str(row["check"]) for row in given.rows):
        chosen = [row for row in given.rows if row["check"] == check]
        noun = wording.plural(len(chosen), "row", "rows")
        blocks.append(Fold(f"{wording.plain(check)} ({noun})", [_row_table(chosen)]))
    alone = {name: sum(row["change"] == f"only_{name}" for row in given.rows) for name in ("before", "after")}
    lead = (
        "Rows of the two audits that say the same of the same. These differences are not tested: the cases may differ."
    )
    if any(alone.values()):
        said = ", ".join(f"{n} in {given_label(given, name)} only" for name, n in alone.items() if n)
        blocks.insert(0, Facts([("Rows without a like", said)]))
    return Section("evidence", "Evidence side by side", blocks, lead)


def given_label(given: CompareInput, name: str) -> str:
    """What ``before`` or ``after`` is called."""
    return str((given.before if name == "before" else given.after)["label"])


def _row_table(rows: Sequence[Row]) -> Table:
    lines = []
    for row in rows:
        sides = [row[name] for name in ("before", "after")]
        numbers = " and ".join(str(side["row"]) if side else wording.MISSING for side in sides)
        lines.append([Cell(numbers), Cell(_where(row)), *(_side_cell(row, side) for side in sides)])
    columns = (
        Column("Rows", narrow=True),
        Column("What"),
        Column("Before", numeric=True),
        Column("After", numeric=True),
    )
    return Table(columns, lines, kind="evidence")


def _side_cell(row: Row, side: Row | None) -> Cell:
    if side is None:
        return Cell(wording.MISSING, "no such row")
    verdict = wording.VERDICT_WORDS.get(str(side["verdict"]), "")
    notes = (verdict, f"n = {wording.population(side)}" if side["n_subjects"] or side["n_images"] else "")
    return Cell(_figure_text(row, side) or wording.MISSING, ", ".join(note for note in notes if note))
