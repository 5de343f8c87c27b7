"""Forest plots of every metric by group of patients, and the largest gap of each attribute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fiducial.report import rows, wording
from fiducial.report.blocks import Block, Cell, Column, Figures, Fold, Heading, Section, Table, Text
from fiducial.report.figures import groups as group_figures
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.rows import Row

if TYPE_CHECKING:
    pass


def section(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Forest plots for each metric, with gaps."""
    tables = rows.groups_by_metric(found)
    if not tables:
        if given.study is not None and given.study.data.attributes:
            return Section(
                "subgroups",
                "Subgroups",
                [Text("The study names attributes, but the audit has no figures by group.", "missing")],
            )
        reason = "No attributes of patients were given (sex, age, site, scanner), so nothing is said about subgroups."
        return Section("subgroups", "Subgroups", [Text(reason, "missing")])
    minimum_n = given.study.data.minimum_n if given.study is not None else 0
    drawings = [
        _forest(key, lines, prefix=f"forest{place}", minimum_n=minimum_n)
        for place, (key, lines) in enumerate(sorted(tables.items(), key=lambda table: _rank(table[0][2])))
    ]
    n_main = sum(_rank(name) < len(_FIRST) for _, _, name, _ in tables)
    n_shown = min(n_main or len(drawings), _MOST_FORESTS)
    blocks: list[Block] = [Figures(drawings[:n_shown])]
    if drawings[n_shown:]:
        more = wording.plural(len(drawings) - n_shown, "more figure", "more figures")
        blocks.append(Fold(f"{more} by group", [Figures(drawings[n_shown:])]))
    gaps = rows.gaps(found)
    if gaps:
        known = [row for row in gaps if not wording.is_missing(row["value"])]
        unknown = [row for row in gaps if wording.is_missing(row["value"])]
        blocks.append(Heading("Largest gap between groups"))
        blocks.append(
            _gap_table(known) if known else Text("No attribute has two groups that are large enough.", "missing")
        )
        if unknown:
            noun = wording.plural(len(unknown), "gap", "gaps")
            blocks.append(Fold(f"{noun} without a value, each with its reason", [_gap_table(unknown)]))
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
    return Drawing(
        drawing.svg, f"{title}, by group, with {wording.percent(lines[0]['level'])} intervals. Dashed line: all.", title
    )


def _gap_table(gaps: Sequence[Row]) -> Table:
    lines = [
        [
            Cell(wording.plain(str(row["group"])), str(row["reason"])),
            Cell(wording.metric(str(row["metric"])).label, wording.target_text(row), href=f"#e{row['id']}"),
            Cell(wording.value_text(row), strong=True),
            Cell(wording.interval_text(row) or wording.MISSING),
            Cell(*wording.tested(row)),
            Cell(wording.population(row)),
        ]
        for row in gaps
    ]
    columns = (
        Column("Attribute"),
        Column("Metric"),
        Column("Gap", numeric=True),
        Column("Interval", numeric=True),
        Column("p (adjusted)", numeric=True),
        Column("n"),
    )
    return Table(columns, lines, kind="gaps named")
