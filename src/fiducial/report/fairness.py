"""Fairness: who is overlooked, shortcuts, mitigation and its price, and the bias register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fiducial.report import rows, wording
from fiducial.report.blocks import Block, Cell, Column, Figures, Fold, Heading, Section, Table, Text
from fiducial.report.figures import groups as group_figures
from fiducial.report.figures.svg import Drawing
from fiducial.report.given import ReportInput
from fiducial.report.rows import Row
from fiducial.report.said import verdict_table

FAIRNESS, THRESHOLDS, LEVELLING, SHORTCUT = "fairness", "group_thresholds", "levelling_down", "shortcut"
_DRAWN = ("underdiagnosis_rate", "false_positive_rate")
_CROSSED = ("sensitivity", "specificity", "auc", "dice", "nsd", "hd95")
_MOST_FORESTS, _MOST_LINES = 4, 14
_STAGES = {"data": "Data", "annotation": "Annotation", "model": "Model", "deployment": "Deployment"}


def section(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Verdicts, errors by group, intersections, gaps; then shortcuts, thresholds per group and levelling down."""
    own = [row for row in found if row["check"] in (FAIRNESS, THRESHOLDS, LEVELLING, SHORTCUT)]
    said = verdict_table(found, (FAIRNESS, SHORTCUT, LEVELLING, THRESHOLDS))
    if not own or said is None:
        return None
    minimum_n = given.study.data.minimum_n if given.study is not None else 0
    blocks: list[Block] = [said]
    single = _tables(own, _DRAWN, crossed=False)
    if single:
        drawings = [
            _forest(key, lines, f"fair{k}", minimum_n) for k, (key, lines) in enumerate(_ranked(single, _DRAWN))
        ]
        blocks += [Heading("Errors by group"), *_shown(drawings, "errors by group")]
    crossed = _intersections(own, minimum_n)
    if crossed:
        blocks.append(Heading("Where two attributes meet"))
        note = "The intersections furthest from each other; small ones are named in the evidence."
        blocks += [*_shown(crossed, "intersections"), Text(note, "note")]
    gaps = [row for row in rows.figures(own) if row["check"] == FAIRNESS and row["statistic"] == "gap"]
    if gaps:
        blocks.append(
            Fold(wording.plural(len(gaps), "gap with its interval", "gaps with their intervals"), [_gaps(gaps)])
        )
    blocks += _shortcuts(own)
    blocks += _thresholds(own)
    blocks += _levelling(own)
    return Section("fairness", "Fairness", blocks, _lead(own))


def register(given: ReportInput) -> Section | None:
    """The bias register as a table, one line for each bias, by stage of the life cycle."""
    if not given.bias_register:
        return None
    lines: list[list[Cell]] = []
    before = ""
    for entry in given.bias_register:
        stage = _STAGES.get(str(entry["stage"]), wording.plain(str(entry["stage"])))
        status = str(entry["status"])
        verdict = status if status in wording.CHECK_VERDICTS else "not_assessed"
        word = wording.VERDICT_WORDS[verdict] if status != "person" else "A person must answer"
        numbers = [str(number) for number in entry["evidence"]]
        rests = f"evidence {', '.join(numbers[:8])}{' …' if len(numbers) > 8 else ''}" if numbers else ""
        answer = "" if status == "person" else wording.sentence(str(entry["answer"]))
        lines.append(
            [
                Cell("" if stage == before else stage, strong=True),
                Cell(str(entry["bias"]), str(entry["meaning"])),
                Cell(word, verdict=verdict),
                Cell(answer or wording.MISSING, rests, href=f"#e{numbers[0]}" if numbers else ""),
                Cell(str(entry["question"])),
            ]
        )
        before = stage
    columns = (
        Column("Stage"),
        Column("Bias"),
        Column("Result"),
        Column("What the evidence says"),
        Column("Left to a person"),
    )
    n_open = sum(str(entry["status"]) == "person" for entry in given.bias_register)
    lead = (
        "Where bias may enter along the model's life, and what this audit can say about it. "
        f"{wording.plural(n_open, 'place is', 'places are')} beyond any table: a person must answer there."
    )
    return Section("bias-register", "Bias register", [Table(columns, lines, kind="register")], lead)


def _lead(own: Sequence[Row]) -> str:
    verdicts = [row for row in rows.checks(own) if row["check"] in (FAIRNESS, SHORTCUT, LEVELLING)]
    n_found = sum(row["verdict"] == "finding" for row in verdicts)
    if all(row["verdict"] == "not_possible" for row in verdicts):
        return (
            "Whether some patients are served worse than others. Nothing could be compared here, so nothing is known."
        )
    start = (
        f"{wording.plural(n_found, 'difference', 'differences')} between groups beyond chance."
        if n_found
        else "No difference between groups beyond chance."
        if any(row["verdict"] == "clear" for row in verdicts)
        else "No groups could be compared."
    )
    return f"{start} Who is overlooked, who is called without reason, and whether the model follows what it should not."


def _tables(own: Sequence[Row], metrics: Sequence[str], *, crossed: bool) -> dict[tuple[str, str, str, str], list[Row]]:
    """Groups (or intersections) of each metric, as the forest plots take them."""
    tables: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows.figures(own):
        if row["check"] != FAIRNESS or row["statistic"] not in rows.CENTRES or row["metric"] not in metrics:
            continue
        if "=" in row["group"] and ("&" in row["group"]) is crossed:
            key = (str(row["target"]), str(row["item"]), str(row["metric"]), str(row["statistic"]))
            tables.setdefault(key, []).append(row)
    return tables


def _ranked(
    tables: Mapping[tuple[str, str, str, str], list[Row]], order: Sequence[str]
) -> list[tuple[tuple[str, str, str, str], list[Row]]]:
    return sorted(tables.items(), key=lambda table: (table[0][:2], order.index(table[0][2])))


def _forest(key: tuple[str, str, str, str], lines: Sequence[Row], prefix: str, minimum_n: int) -> Drawing:
    target, item, name, _ = key
    title = ", ".join(part for part in (wording.metric(name).label, target or "any finding", item) if part)
    drawing = group_figures.forest(lines, prefix=prefix, title=title, minimum_n=minimum_n)
    caption = f"{title}, by group, with {wording.percent(lines[0]['level'])} intervals."
    return Drawing(drawing.svg, caption, title)


def _intersections(own: Sequence[Row], minimum_n: int) -> list[Drawing]:
    """One forest for each pair of attributes and metric, the pairs that tell most first; long ones keep both ends."""
    p_of = {
        (str(row["target"]), str(row["item"]), str(row["group"])): _p(row)
        for row in own
        if row["check"] == FAIRNESS and row["statistic"] == "gap_test"
    }
    parts: list[tuple[tuple[float, str, int], tuple[str, str, str, str], list[Row]]] = []
    for key, lines in _tables(own, _CROSSED, crossed=True).items():
        by_pair: dict[str, list[Row]] = {}
        for row in lines:
            pair = "&".join(part.partition("=")[0] for part in str(row["group"]).split("&"))
            by_pair.setdefault(pair, []).append(row)
        for pair, inside in by_pair.items():
            rank = (p_of.get((key[0], key[1], pair), 1.0), pair, _CROSSED.index(key[2]))
            parts.append((rank, key, _ends(inside)))
    parts.sort(key=lambda part: part[0])
    return [_forest(key, lines, f"cross{k}", minimum_n) for k, (_, key, lines) in enumerate(parts)]


def _p(row: Row) -> float:
    return 1.0 if wording.is_missing(row["p_adjusted"]) else float(row["p_adjusted"])


def _ends(lines: Sequence[Row]) -> list[Row]:
    """All of a short list; of a long one the lowest and the highest, in the evidence's order."""
    if len(lines) <= _MOST_LINES:
        return list(lines)
    ordered = sorted(lines, key=lambda row: float(row["value"]))
    half = _MOST_LINES // 2
    kept = {id(row) for row in (*ordered[:half], *ordered[-half:])}
    return [row for row in lines if id(row) in kept]


def _shown(drawings: Sequence[Drawing], what: str) -> list[Block]:
    blocks: list[Block] = [Figures(drawings[:_MOST_FORESTS])]
    if len(drawings) > _MOST_FORESTS:
        more = wording.plural(len(drawings) - _MOST_FORESTS, "more figure", "more figures")
        blocks.append(Fold(f"{more} of {what}", [Figures(drawings[_MOST_FORESTS:])]))
    return blocks


def _gaps(gaps: Sequence[Row]) -> Table:
    lines = [
        [
            Cell(_attribute(str(row["group"])), str(row["reason"])),
            Cell(wording.metric(str(row["metric"])).label, wording.target_text(row), href=f"#e{row['id']}"),
            Cell(wording.value_text(row), strong=True),
            Cell(wording.interval_text(row) or wording.MISSING),
            Cell(*wording.tested(row)),
        ]
        for row in gaps
    ]
    columns = (
        Column("Groups"),
        Column("Metric"),
        Column("Gap", numeric=True),
        Column("Interval", numeric=True),
        Column("p (adjusted)", numeric=True),
    )
    return Table(columns, lines, kind="gaps")


def _attribute(group: str) -> str:
    return wording.plain(group.replace("&", " and "))


def _shortcuts(own: Sequence[Row]) -> list[Block]:
    """Each group: is it seen in the embeddings, and how far are its scores shifted at equal truth?"""
    shift = [row for row in own if row["check"] == SHORTCUT and row["metric"] == "score_shift"]
    if not shift:
        return []
    seen = {
        (row["target"], row["item"], row["group"]): row
        for row in own
        if row["check"] == SHORTCUT and row["metric"] == "decodability"
    }
    lines = []
    for row in shift:
        probe = seen.get((row["target"], row["item"], row["group"]))
        area = (
            Cell(wording.value_text(probe), wording.interval_text(probe), href=f"#e{probe['id']}")
            if probe is not None
            else Cell(wording.MISSING)
        )
        moved = Cell(wording.value_text(row), wording.interval_text(row), href=f"#e{row['id']}", strong=True)
        p = Cell(wording.probability(row["p"]))
        lines.append(
            [Cell(wording.sentence(wording.group_text(str(row["group"]))), wording.target_text(row)), area, moved, p]
        )
    columns = (
        Column("Group"),
        Column("Read from the embeddings (AUC)", numeric=True),
        Column("Shift of the score at equal truth", numeric=True),
        Column("p", numeric=True),
    )
    told = "A shortcut needs both: the group is seen in the embeddings, and the score follows it at equal truth."
    if not seen:
        told = "Without embeddings only half can be asked: does the score follow a group at equal truth?"
    table = Table(columns, lines, kind="shortcuts")
    return [Heading("Shortcuts"), Text(told), Fold(wording.plural(len(lines), "group", "groups"), [table])]


def _thresholds(own: Sequence[Row]) -> list[Block]:
    """What a threshold for each group would change; with the caveat before the figures."""
    rows_of = [row for row in own if row["check"] == THRESHOLDS and row["condition"] == THRESHOLDS]
    if not rows_of:
        return []
    caveat = next((row for row in own if row["check"] == THRESHOLDS and row["verdict"] == "not_possible"), None)
    blocks: list[Block] = [Heading("What a threshold for each group would change")]
    if caveat is not None:
        blocks.append(Text(wording.sentence(str(caveat["reason"])) + ".", "warning"))
    groups = dict.fromkeys((wording.target_text(row), str(row["group"])) for row in rows_of if "=" in row["group"])
    lines = []
    for target, group in groups:
        mine = [row for row in rows_of if (wording.target_text(row), row["group"]) == (target, group)]
        cells = [Cell(wording.sentence(wording.group_text(group)), target), _one(mine, "threshold", "value")]
        for metric in ("sensitivity", "specificity"):
            cells += [_one(mine, metric, "value"), _one(mine, metric, "change")]
        lines.append(cells)
    columns = [Column("Group"), Column("Own threshold", numeric=True)]
    for metric in ("Sensitivity", "Specificity"):
        columns += [Column(f"{metric} with it", numeric=True), Column("Change", numeric=True)]
    return [*blocks, Table(columns, lines, kind="thresholds")]


def _one(found: Sequence[Row], metric: str, statistic: str) -> Cell:
    row = next((row for row in found if (row["metric"], row["statistic"]) == (metric, statistic)), None)
    if row is None or wording.is_missing(row["value"]):
        return Cell(wording.MISSING, str(row["reason"]) if row is not None else "")
    small = wording.interval_text(row) or str(row["reason"])
    return Cell(wording.value_text(row), small, href=f"#e{row['id']}", strong=statistic == "change")


def _levelling(own: Sequence[Row]) -> list[Block]:
    """How the better group, the worse group and their gap changed from the first model to the second."""
    found = [row for row in own if row["check"] == LEVELLING and row["statistic"] != "test"]
    if not found:
        return []
    lines = [_levelled(found[place : place + 3]) for place in range(0, len(found) - 2, 3)]
    columns = (
        Column("Metric"),
        Column("Better group", numeric=True),
        Column("Worse group", numeric=True),
        Column("Gap", numeric=True),
    )
    lead = "The second model less the first, on the same patients. A gap that closes from above helps nobody."
    return [Heading("Levelling down"), Text(lead), Table(columns, lines, kind="levelling")]


def _levelled(three: Sequence[Row]) -> list[Cell]:
    first = three[0]
    cells = [Cell(wording.metric(str(first["metric"])).label, wording.target_text(first), href=f"#e{first['id']}")]
    for row in three:
        value: Any = wording.value_text(row)
        small = "; ".join(part for part in (wording.interval_text(row), str(row["reason"])) if part)
        who = f"{wording.group_text(str(row['group']))}: " if "=" in row["group"] else ""
        cells.append(Cell(value, f"{who}{small}"))
    return cells
