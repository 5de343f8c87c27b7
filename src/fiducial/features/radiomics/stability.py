"""How well features repeat: intraclass correlations of regions that were measured several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fiducial.errors import InputRefused
from fiducial.maths.icc import IccTable, intraclass_correlations
from fiducial.maths.inputs import Floats
from fiducial.records.radiomics import FORMS, STABILITY, grade_of
from fiducial.records.tables import validated

if TYPE_CHECKING:
    import pandas as pd

Repeats = Literal["perturbation", "rater", "visit"]
REGION: dict[str, tuple[str, ...]] = {
    "perturbation": ("mask",),
    "rater": ("image", "structure"),
    "visit": ("subject", "structure", "rater"),
}
"""What makes rows belong to one region, by what its repeats differ by."""
KEY = ("family", "feature", "aggregation", "filter")


@dataclass(frozen=True)
class Stabilities:
    """``table``: rows of `STABILITY`; ``repeats``: their names; ``left_out``: regions that do not count, and why."""

    table: pd.DataFrame
    repeats: tuple[str, ...]
    n_regions: int
    n_subjects: int
    left_out: tuple[tuple[str, str], ...]


def repeats_of(features: pd.DataFrame) -> Repeats:
    """What the repeats in a table of `FEATURES` differ by: the first of perturbation, rater and visit that varies.

    Raises:
        InputRefused: every region stands there once.
    """
    if (features["perturbation"] != "").any():
        return "perturbation"
    regions = features[["subject", "image", "structure", "rater", "visit", "mask"]].drop_duplicates()
    if (regions.groupby(["image", "structure"])["rater"].nunique() > 1).any():
        return "rater"
    if (regions.groupby(["subject", "structure", "rater"])["visit"].nunique() > 1).any():
        return "visit"
    raise InputRefused(
        f"{len(regions)} regions, each of them once",
        legal="regions that were measured again: after perturbations, by other raters, or at another visit",
        action="compute features with --perturb FILE.toml, or ingest a second reading or scan of the same regions",
    )


def stability_table(
    features: pd.DataFrame, repeats: str, *, graded_by: str = "icc_1_1", level: float = 0.95
) -> Stabilities:
    """Intraclass correlations of every feature over its repeats, graded by the lower end of one of them.

    - ``perturbation``: the region as it is and after each perturbation are its repeats;
    - ``rater``: regions of one image and structure by several raters, where the reference is one of them;
    - ``visit``: regions of one person, structure and rater at the first two visits (in the order of their text).

    Rows of ``diagnostics`` are no features. A region that lacks a repeat, has no value of any feature in one, or
    several masks in one, is left out by name. Regions count as independent, as the intervals want it: several of one
    person make them too narrow.

    Args:
        features: rows of `FEATURES`.
        repeats: what the repeats differ by, a key of `REGION`.
        graded_by: ``icc_1_1``, ``icc_2_1`` or ``icc_3_1``.
        level: of the intervals.

    Raises:
        InputRefused: fewer than two repeats, or no region that has all of them.
    """
    rows = features[features["family"] != "diagnostics"]
    if repeats != "perturbation":
        rows = rows[rows["perturbation"] == ""]
    rows = rows.assign(region=_joined(rows, REGION[repeats]), repeat=rows[repeats])
    if repeats == "visit":
        rows = _first_two(rows)
    names = tuple(sorted(set(rows["repeat"])))
    if len(names) < 2:
        raise InputRefused(f"{len(names)} {repeats} in {len(rows)} rows", legal="two or more repeats of each region")
    left_out = _lacking(rows, names)
    rows = rows[~rows["region"].isin(left_out)]
    if rows.empty:
        first = next(iter(left_out.items()), ("", "no row of a feature"))
        said = ", ".join(name or "(as it is)" for name in names)
        raise InputRefused(
            f"no region has all {len(names)} repeats ({len(left_out)} left out; the first: {first[0]}: {first[1]})",
            action=f"leave out the rows of a repeat that few regions have; the repeats are {said}",
        )
    values, keys = _values(rows, names)
    found = intraclass_correlations(values, level=level)
    n_subjects = rows["subject"].nunique()
    table = _rows(keys, found, graded_by=graded_by, level=level)
    table["n_subjects"], table["repeats"] = np.minimum(table["n_regions"], n_subjects), repeats
    return Stabilities(
        validated(table, STABILITY), names, rows["region"].nunique(), int(n_subjects), tuple(left_out.items())
    )


def _joined(rows: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series[Any]:
    """A region's name: what it is made of, without what is not said."""
    text = rows[columns[0]].astype(str)
    for name in columns[1:]:
        text = text + rows[name].map(lambda said: f" {said}" if said else "")
    return text


def _first_two(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first two visits of each person, which become the repeats 1 and 2."""
    visits = rows[["subject", "visit"]].drop_duplicates().sort_values(["subject", "visit"])
    visits["repeat"] = (visits.groupby("subject").cumcount() + 1).astype(str)
    placed = rows.drop(columns="repeat").merge(visits, on=["subject", "visit"], how="left")
    return placed[placed["repeat"].isin(["1", "2"])]


def _lacking(rows: pd.DataFrame, names: tuple[str, ...]) -> dict[str, str]:
    """Regions that lack a repeat, have no value at all in one, or several masks in one, with what is wrong."""
    grouped = rows.groupby(["region", "repeat"], sort=True)
    n_masks = grouped["mask"].nunique().unstack(fill_value=0)[list(names)]
    n_values = grouped["value"].count().unstack(fill_value=0)[list(names)]
    said = [name or "(as it is)" for name in names]
    found = {}
    for region, masks, values in zip(n_masks.index, n_masks.to_numpy(), n_values.to_numpy(), strict=True):
        absent = [name for name, n in zip(said, masks, strict=True) if n == 0]
        silent = [name for name, n in zip(said, values, strict=True) if n == 0]
        several = [f"{n} masks in {name}" for name, n in zip(said, masks, strict=True) if n > 1]
        if absent:
            found[str(region)] = f"repeat-missing: {', '.join(absent)}"
        elif silent:
            found[str(region)] = f"no-value: {', '.join(silent)}"
        elif several:
            found[str(region)] = f"ambiguous: {', '.join(several)}"
    return found


def _values(rows: pd.DataFrame, names: tuple[str, ...]) -> tuple[Floats, pd.DataFrame]:
    """Values [n_regions, n_repeats, n_features], and what each feature is, in the order of the table."""
    keys = rows[list(KEY)].drop_duplicates().reset_index(drop=True)
    place = keys.assign(place=range(len(keys)))
    at = rows[list(KEY)].merge(place, on=list(KEY), how="left")["place"].to_numpy()
    codes, regions = rows["region"].factorize()
    order = {name: i for i, name in enumerate(names)}
    values: Floats = np.full((len(regions), len(names), len(keys)), np.nan)
    values[codes, rows["repeat"].map(order).to_numpy(), at] = rows["value"].to_numpy(dtype=np.float64)
    return values, keys


def _rows(keys: pd.DataFrame, found: IccTable, *, graded_by: str, level: float) -> pd.DataFrame:
    """Keys with correlations, grade and reason."""
    table = keys.copy()
    for form, icc in zip(FORMS, (found.one_way, found.agreement, found.consistency), strict=True):
        table[form], table[f"{form}_low"], table[f"{form}_high"] = icc.value, icc.low, icc.high
    table["level"], table["graded_by"] = level, graded_by
    table["grade"] = [grade_of(float(low)) for low in table[f"{graded_by}_low"]]
    table["n_regions"], table["n_repeats"] = found.n_regions, found.n_repeats
    table["reason"] = list(found.reason)
    return table
