"""``fiducial stability``: how well the features of a table repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

TABLE = "stability.parquet"
SHARED_SHIFT = 0.05
"""A shift that repeats share, in units of the correlation, from which intervals of ICC(1,1) hold too seldom."""


@dataclass(frozen=True)
class Stability:
    """Where the table lies and what it says.

    ``grades`` counts features by grade, ``families`` the same by family and ``filters`` by the image that they are of
    (empty: the image itself); ``none`` counts those without a correlation. ``left_out`` names regions that do not
    count, with their reason.
    """

    out: Path
    repeats: str
    n_repeats: int
    n_regions: int
    n_subjects: int
    n_features: int
    graded_by: str
    grades: Mapping[str, int]
    families: Mapping[str, Mapping[str, int]]
    filters: Mapping[str, Mapping[str, int]]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def stability(
    features: str | Path,
    out: str | Path,
    *,
    repeats: str = "",
    graded_by: str = "icc_1_1",
    level: float = 0.95,
    progress: Progress = silent,
) -> Stability:
    """Write ``stability.parquet``: intraclass correlations of every feature with their intervals, and a grade.

    Args:
        features: A table of `FEATURES`, as ``fiducial features`` writes it.
        out: The folder to write.
        repeats: ``perturbation``, ``rater`` or ``visit``; empty: the first of them that the table has.
        graded_by: Whose lower end gives the grade: ``icc_1_1`` (repeats at random), ``icc_2_1`` (agreement) or
            ``icc_3_1`` (consistency).
        level: Of the intervals.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: a table that is none of features, one repeat only, or no region that has all repeats.
    """
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics.stability import REGION, repeats_of, stability_table
    from fiducial.records.radiomics import FEATURES, FORMS, STABILITY
    from fiducial.records.tables import read_table, write_table

    for given, legal, name in ((repeats, ("", *REGION), "repeats"), (graded_by, FORMS, "graded_by")):
        if given not in legal:
            raise InputRefused(f"{name} {given!r}", legal=", ".join(word for word in legal if word))
    progress("stability", 0, 2)
    table = read_table(features, FEATURES)
    progress("stability", 1, 2)
    found = stability_table(table, repeats or repeats_of(table), graded_by=graded_by, level=level)
    path = Path(out) / TABLE
    write_table(found.table, path, STABILITY)
    progress("stability", 2, 2)
    said = found.table.assign(grade=found.table["grade"].replace("", "none"))
    kind = str(said["repeats"].iloc[0])
    return Stability(
        path,
        kind,
        len(found.repeats),
        found.n_regions,
        found.n_subjects,
        len(said),
        graded_by,
        _counts(said["grade"]),
        {str(family): _counts(rows["grade"]) for family, rows in said.groupby("family", sort=False)},
        {str(name): _counts(rows["grade"]) for name, rows in said.groupby("filter", sort=False)},
        found.left_out,
        _notes(found.table, found.n_regions, found.n_subjects),
    )


def _counts(grades: pd.Series[str]) -> dict[str, int]:
    """How many features have each grade, the best first."""
    from fiducial.records.radiomics import GRADES

    return {word: int((grades == word).sum()) for word in (*reversed(GRADES), "none")}


def _notes(table: pd.DataFrame, n_regions: int, n_subjects: int) -> tuple[str, ...]:
    """What a reader of the intervals has to know."""
    found = []
    n_shifted = int((table["icc_3_1"] - table["icc_1_1"] > SHARED_SHIFT).sum())
    if n_shifted:
        found.append(
            f"repeats shift {n_shifted} feature(s) in all regions alike (ICC(3,1) is more than {SHARED_SHIFT} above "
            "ICC(1,1)): their intervals of ICC(1,1) are too narrow"
        )
    if n_subjects < n_regions:
        found.append(f"{n_regions} regions of {n_subjects} persons count as independent: the intervals are too narrow")
    if n_regions < 10:
        found.append(f"{n_regions} regions are few: the intervals are wide")
    return tuple(found)
