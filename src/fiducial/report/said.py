"""What some checks say, as a table of verdicts: the worst first."""

from __future__ import annotations

from collections.abc import Sequence

from fiducial.report import rows, wording
from fiducial.report.blocks import Cell, Column, Table
from fiducial.report.rows import Row


def verdict_table(found: Sequence[Row], checks: Sequence[str]) -> Table | None:
    """Verdict, check, reason, adjusted p and n of these checks; None where they say nothing."""
    own = [row for row in rows.checks(found) if row["check"] in checks]
    if not own:
        return None
    lines = []
    for row in own:
        adjusted, _ = wording.tested(row)
        lines.append(
            [
                Cell(wording.VERDICT_WORDS[str(row["verdict"])], verdict=str(row["verdict"])),
                Cell(wording.plain(str(row["check"])), wording.target_text(row), f"#e{row['id']}"),
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
