"""What some checks say, as a table of verdicts: the worst first."""

from __future__ import annotations

from collections.abc import Sequence

from fiducial.report import rows, wording
from fiducial.report.blocks import Cell, Column, Table
from fiducial.report.rows import Row


def verdict_table(found: Sequence[Row], checks: Sequence[str]) -> Table | None:
    """Verdict, check, reason, adjusted p and n of these checks; None where they say nothing.

    Attributes of which one and the same is said share a line, with their smallest p.
    """
    own = [row for row in rows.checks(found) if row["check"] in checks]
    if not own:
        return None
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in own:
        key = tuple(str(row[name]) for name in ("verdict", "check", "target", "item", "reason"))
        alike.setdefault((*key, "all" if row["group"] == "all" else "groups"), []).append(row)
    lines = []
    for same in alike.values():
        row = min(same, key=lambda one: 2.0 if wording.is_missing(one["p_adjusted"]) else float(one["p_adjusted"]))
        groups = [str(one["group"]).replace("_", " ").replace("&", " and ") for one in same if one["group"] != "all"]
        about = [wording.target_text(row), f"groups of {', '.join(groups)}" if groups else ""]
        adjusted, _ = wording.tested(row)
        lines.append(
            [
                Cell(wording.VERDICT_WORDS[str(row["verdict"])], verdict=str(row["verdict"])),
                Cell(wording.plain(str(row["check"])), ", ".join(part for part in about if part), f"#e{row['id']}"),
                Cell(wording.sentence(str(row["reason"]))),
                Cell(adjusted),
                Cell(wording.population(row)),
            ]
        )
    columns = (
        Column("Result"),
        Column("Check"),
        Column("What it says"),
        Column("Adjusted p", numeric=True),
        Column("n", numeric=True),
    )
    return Table(columns, lines, kind="checks")
