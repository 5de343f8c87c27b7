"""A table of features in figures: each feature's distribution and missing values, and the columns that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.maths.inputs import Floats

if TYPE_CHECKING:
    import pandas as pd

KEY = ("family", "feature", "aggregation", "filter")
N_BINS = 24
MOST_MISSING = 0.1
NO_CONSENSUS = "no consensus"
"""A reason that begins so is said of a value that is there."""
OTHER_DEFINITION = "PyRadiomics' definition: "
"""So does one of a value that is not by the standard's definition; what differs stands behind."""


@dataclass(frozen=True)
class FeatureSummary:
    """One feature over the regions: quartiles, range, a histogram between its ends, and why values are missing.

    ``key`` is family, feature, aggregation and filter; figures are NaN where no region has a value. ``difference`` says
    how the definition differs from the standard's, empty where it does not.
    """

    key: tuple[str, str, str, str]
    ibsi_code: str
    consensus: bool
    difference: str
    n: int
    n_missing: int
    reasons: tuple[tuple[str, int], ...]
    quantiles: tuple[float, float, float, float, float]
    histogram: tuple[int, ...]

    @property
    def constant(self) -> bool:
        """Whether it has one value in every region that has any."""
        return self.n > 0 and self.quantiles[0] == self.quantiles[4]


@dataclass(frozen=True)
class Compared:
    """Columns that can be compared: ``values`` [n_regions, p] without gaps, ``keys`` of the columns.

    ``missing``, ``constant`` and ``incomplete`` count features that are missing in more than a tenth of the regions,
    features that do not vary, and regions left out because they lack a feature that most regions have.
    """

    values: Floats
    keys: tuple[tuple[str, str, str, str], ...]
    n_subjects: int
    structure: str
    missing: int
    constant: int
    incomplete: int


def plain_regions(features: pd.DataFrame) -> pd.DataFrame:
    """Rows of regions as they are, not perturbed, without diagnostics; of the reference where there is one."""
    rows = features[(features["perturbation"] == "") & (features["family"] != "diagnostics")]
    reference = set(rows.loc[rows["rater"] == "", "image"])
    return rows[(rows["rater"] == "") | ~rows["image"].isin(reference)]


def with_values(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Rows of regions that have a value at all, and the others by name with their first reason.

    Args:
        rows: of `plain_regions`.
    """
    known = rows.groupby("mask")["value"].transform("count") > 0
    empty = rows[~known].drop_duplicates("mask")
    return rows[known], list(zip(empty["mask"].map(str), empty["reason"].map(str), strict=True))


def feature_summaries(rows: pd.DataFrame) -> list[FeatureSummary]:
    """Every feature in the table's own order.

    Args:
        rows: of `plain_regions`.
    """
    return [_summary(key, own) for key, own in rows.groupby(list(KEY), sort=False)]


def _summary(key: Any, rows: pd.DataFrame) -> FeatureSummary:
    values = rows["value"].to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    said = rows.loc[~np.isfinite(values), "reason"].value_counts()
    quantiles: Sequence[float] = [float("nan")] * 5
    histogram: tuple[int, ...] = ()
    if len(known):
        quantiles = [float(q) for q in np.quantile(known, [0, 0.25, 0.5, 0.75, 1])]
        if quantiles[4] - quantiles[0] > 1e-12 * max(abs(quantiles[0]), abs(quantiles[4])):
            # Places between the ends, since a histogram of values near the largest float has no width.
            places = (known / 2 - quantiles[0] / 2) / (quantiles[4] / 2 - quantiles[0] / 2)
            histogram = tuple(int(n) for n in np.histogram(places, bins=N_BINS, range=(0, 1))[0])
        else:
            quantiles = [float(known[0])] * 5
    return FeatureSummary(
        key=tuple(map(str, key)),  # type: ignore[arg-type]
        ibsi_code=str(rows["ibsi_code"].iloc[0]),
        consensus=not rows["reason"].str.startswith(NO_CONSENSUS).any(),
        difference=_difference(rows),
        n=len(known),
        n_missing=len(values) - len(known),
        reasons=tuple((str(reason), int(n)) for reason, n in said.items()),
        quantiles=tuple(quantiles),  # type: ignore[arg-type]
        histogram=histogram,
    )


def _difference(rows: pd.DataFrame) -> str:
    differing = rows.loc[rows["reason"].str.startswith(OTHER_DEFINITION), "reason"]
    return str(differing.iloc[0]).removeprefix(OTHER_DEFINITION) if len(differing) else ""


def compared_columns(rows: pd.DataFrame) -> Compared:
    """The columns that a correlation map is drawn from: regions of the commonest structure, and features that vary.

    Args:
        rows: of `plain_regions`.
    """
    regions = rows.drop_duplicates("mask")
    structure = str(regions["structure"].value_counts().idxmax()) if len(regions) else ""
    own = rows[rows["structure"] == structure]
    wide = own.pivot(index="mask", columns=list(KEY), values="value")
    keys = list(own[list(KEY)].drop_duplicates().itertuples(index=False, name=None))
    wide = wide[keys] if keys else wide
    table = wide.to_numpy(dtype=np.float64)
    known = np.isfinite(table)
    enough = known.mean(axis=0) >= 1 - MOST_MISSING if len(table) else np.zeros(len(keys), dtype=bool)
    whole = known[:, enough].all(axis=1)
    kept = table[whole]
    varies = np.zeros(len(keys), dtype=bool)
    if len(kept):
        varies = enough & (np.ptp(np.where(known[whole], kept, 0), axis=0) > 0)
    subjects = own.drop_duplicates("mask").set_index("mask")["subject"]
    return Compared(
        values=kept[:, varies],
        keys=tuple(tuple(map(str, key)) for key, good in zip(keys, varies, strict=True) if good),  # type: ignore[misc]
        n_subjects=int(subjects.loc[wide.index[whole]].nunique()),
        structure=structure,
        missing=int((~enough).sum()),
        constant=int((enough & ~varies).sum()),
        incomplete=int((~whole).sum()),
    )
