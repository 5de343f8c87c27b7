"""Embeddings as matrices: one row per image, one column per coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.given import AuditInput

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Points:
    """What is known of images as points: ``value`` [n, d]; ``subject``, ``image`` and ``split`` [n], by image.

    ``subject`` holds the image where the person is unknown. ``n_left_out`` images lack a coordinate.
    """

    target: str
    value: NDArray[np.float64]
    subject: NDArray[Any]
    image: NDArray[Any]
    split: NDArray[Any]
    n_left_out: int = 0

    def rows(self, mask: NDArray[np.bool_]) -> Points:
        """The rows where ``mask``, in the same order."""
        parts = (self.value[mask], self.subject[mask], self.image[mask], self.split[mask])
        return Points(self.target, *parts, self.n_left_out)

    @property
    def n_subjects(self) -> int:
        """Distinct subjects."""
        return len(np.unique(self.subject))


def points_of(rows: pd.DataFrame, given: AuditInput, *, columns: str, target: str) -> Points:
    """Rows of predictions as points, one coordinate for each entry of ``columns``; incomplete images are left out."""
    ordered = rows.sort_values(["image", columns], kind="stable")
    names = sorted(set(ordered[columns]))
    counts = ordered.groupby("image", sort=True)["value"].count()
    whole = counts[counts == len(names)].index
    kept = ordered[ordered["image"].isin(set(whole))]
    kept = kept[~kept.duplicated(["image", columns])]
    first = kept.drop_duplicates("image")
    person = "subject" if given.settings.person_known else "image"
    return Points(
        target,
        kept["value"].to_numpy(dtype=np.float64).reshape(len(first), len(names)),
        first[person].to_numpy(),
        first["image"].to_numpy(),
        first["split"].to_numpy(),
        int(len(counts) - len(whole)),
    )


def embedded(given: AuditInput) -> list[Points]:
    """The embeddings of each target; empty where the tables hold none."""
    if given.embeddings is None or not len(given.embeddings):
        return []
    groups = given.embeddings.groupby("target", sort=True)
    return [points_of(rows, given, columns="item", target=str(target)) for target, rows in groups]
