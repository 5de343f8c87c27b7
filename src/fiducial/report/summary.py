"""The first page: verdicts on the acceptance criteria, headline figures, findings of the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fiducial.report import marks, rows, wording
from fiducial.report.blocks import Block, Cell, Column, Fold, Heading, Listing, Section, Table, Text
from fiducial.report.given import ReportInput
from fiducial.report.rows import Row

BY_IMAGE = (
    "The person behind an image is not known in this data set. Intervals are by image: two images of one person count "
    "as two independent cases, so the intervals are too narrow."
)


@dataclass(frozen=True)
class Headline:
    """A large figure at the top."""

    label: str
    value: str
    interval: str
    population: str


def headlines(found: Sequence[Row]) -> list[Headline]:
    """The headline figures, each with interval and n."""
    result = []
    for row in rows.headline(found):
        words = wording.metric(str(row["metric"]))
        statistic = f"{row['statistic']} " if row["statistic"] in ("mean", "median") else ""
        parts = [f"{statistic}{words.label}" if statistic else words.label, wording.target_text(row)]
        label = ", ".join(part for part in parts if part)
        result.append(
            Headline(
                label[:1].upper() + label[1:],
                wording.value_text(row),
                wording.interval_text(row),
                f"{wording.percent(row['level'])} interval, n = {wording.population(row)}",
            )
        )
    return result


def section(given: ReportInput, found: Sequence[Row]) -> Section:
    """Summary and verdicts."""
    criteria = rows.criteria(found)
    blocks: list[Block] = []
    if criteria:
        blocks.append(_criteria_table(criteria))
        blocks.append(
            Text(
                "Pass: the whole interval lies on the accepted side of the bound. Fail: it lies on the other side. "
                "Inconclusive: the interval crosses the bound, or is too uncertain to judge. In the drawing the shaded "
                "side is accepted, the vertical rule is the bound, the bar is the interval and the dot the value.",
                "note",
            )
        )
    elif given.study is None:
        blocks.append(
            Text(
                "No study file was given: no acceptance criteria, so no verdicts. The figures are descriptive.",
                "missing",
            )
        )
    else:
        blocks.append(Text("The study states no acceptance criteria, so there are no verdicts.", "missing"))
    if person_unknown(found):
        blocks.append(Text(BY_IMAGE, "warning"))
    if given.notes:
        blocks.append(Listing(list(given.notes), "Notes"))
    checks = rows.checks(found)
    if checks:
        blocks.append(Heading("What the checks found"))
        by_verdict = {name: [r for r in checks if r["verdict"] == name] for name in wording.CHECK_VERDICTS}
        if by_verdict["finding"]:
            blocks.append(_checks_table(by_verdict["finding"]))
        else:
            blocks.append(Text("Nothing: no check that could be made found a defect."))
        clear, unknown = by_verdict["clear"], _together(by_verdict["not_possible"])
        if clear:
            noun = "check is" if len(clear) == 1 else "checks are"
            blocks.append(Fold(f"{len(clear)} {noun} clear", [_checks_table(clear)]))
        if unknown:
            noun = "check was" if len(unknown) == 1 else "checks were"
            blocks.append(Fold(f"{len(unknown)} {noun} not possible, each with its reason", [_reasons_table(unknown)]))
    return Section("summary", "Summary and verdicts", blocks, lead=wording.verdict_sentence(rows.verdict_counts(found)))


def person_unknown(found: Sequence[Row]) -> bool:
    """Whether any figure says that its interval is by image."""
    return any(wording.by_image(row) for row in found)


def _criteria_table(criteria: Sequence[Row]) -> Table:
    lines = []
    for row in criteria:
        compared = marks.compared(row)
        base = wording.metric(str(row["metric"])).digits
        digits = wording.digits_beside(compared, row["threshold"], base)
        interval = wording.interval_text(row, digits)
        part = f"{row['split']} part" if row["split"] else ""
        n = wording.population(row)
        notes = [part, "" if n == wording.MISSING else f"n = {n}", str(row["reason"])]
        lines.append(
            [
                Cell(
                    wording.VERDICT_WORDS.get(str(row["verdict"]), "Not assessed"),
                    verdict=str(row["verdict"] or "not_assessed"),
                ),
                Cell(wording.statement(row), "; ".join(note for note in notes if note), href=f"#e{row['id']}"),
                Cell(wording.value_text(row, digits), interval, strong=True),
                Cell(wording.bound_text(row)),
                Cell(svg=marks.interval_bar(row)),
            ]
        )
    columns = (
        Column("Verdict"),
        Column("Criterion, stated beforehand"),
        Column("Result", numeric=True),
        Column("Required", numeric=True),
        Column("Interval and bound"),
    )
    return Table(columns, lines, kind="criteria")


def _checks_table(checks: Sequence[Row]) -> Table:
    lines = []
    for row in checks:
        statistic = str(row["statistic"])
        statistic = "" if statistic == "value" or statistic.endswith("test") else statistic.replace("_", " ")
        group = "" if row["group"] == "all" else _group(str(row["group"]))
        parts = (wording.metric(str(row["metric"])).label, statistic, wording.target_text(row), group)
        reason = str(row["reason"]) or wording.metric(str(row["metric"])).label
        lines.append(
            [
                Cell(wording.VERDICT_WORDS[str(row["verdict"])], verdict=str(row["verdict"])),
                Cell(wording.plain(str(row["check"])), ", ".join(p for p in parts if p), href=f"#e{row['id']}"),
                Cell(wording.sentence(reason)),
                Cell(wording.value_text(row), wording.interval_text(row)),
                Cell(wording.population(row)),
            ]
        )
    columns = (
        Column("Result"),
        Column("Check"),
        Column("What it says"),
        Column("Value", numeric=True),
        Column("n", numeric=True),
    )
    return Table(columns, lines, kind="checks")


def _together(unknown: Sequence[Row]) -> list[list[Row]]:
    """Rows of one check and one reason together: a reason is told once, whatever number of targets it holds for."""
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in unknown:
        alike.setdefault((str(row["check"]), str(row["reason"])), []).append(row)
    return list(alike.values())


def _reasons_table(unknown: Sequence[Sequence[Row]]) -> Table:
    lines = []
    for same in unknown:
        row = same[0]
        targets = dict.fromkeys(wording.target_text(one) for one in same)
        lines.append(
            [
                Cell(wording.VERDICT_WORDS["not_possible"], verdict="not_possible"),
                Cell(wording.plain(str(row["check"])), ", ".join(filter(None, targets)), href=f"#e{row['id']}"),
                Cell(wording.sentence(str(row["reason"]))),
            ]
        )
    return Table((Column("Result"), Column("Check"), Column("Why not")), lines, kind="checks")


def _group(group: str) -> str:
    return (
        f"groups of {group.replace('_', ' ').replace('&', ' and ')}" if "=" not in group else wording.group_text(group)
    )
