"""One person or one image in two splits: found, named by pairs, and removed on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from fiducial.cohort.table import images_of
from fiducial.maths.duplicates import MAX_DISTANCE, centred, nearest, standardised
from fiducial.records.tables import SPLITS

if TYPE_CHECKING:
    import pandas as pd


Kind = Literal["subject", "exact", "near"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Leak:
    """Two images that must not stand in two splits.

    ``kind``: ``subject`` (one person; one pair for each person and pair of splits), ``exact`` (equal voxels and
    grid) or ``near`` (thumbnails within `MAX_DISTANCE`). ``a`` stands in the earlier split, which is the one to give
    it up. ``distance`` is 0 but for ``near``.
    """

    kind: Kind
    split_a: str
    image_a: str
    split_b: str
    image_b: str
    distance: float = 0.0
    subject_a: str = ""
    subject_b: str = ""


def find_leaks(cohort: pd.DataFrame, *, max_distance: float = MAX_DISTANCE) -> list[Leak]:
    """Every image that has a partner in a later split (train, validation, calibration, test), with one such partner.

    Persons first, then exact duplicates, then near ones (looked for among images of one modality). Images without a
    split are in none and leak nowhere.

    What it cannot see: a person under two ids whose images differ, and copies that were flipped, rotated or cropped.
    """
    images = images_of(cohort)
    leaks: list[Leak] = []
    for early, late in combinations(SPLITS, 2):
        one, other = images[images["split"] == early], images[images["split"] == late]
        leaks += _shared(one, other, "subject")
        leaks += _shared(one, other, "sha256")
    exact = {(leak.image_a, leak.split_b) for leak in leaks if leak.kind == "exact"}
    leaks += [leak for leak in _alike(images, max_distance) if (leak.image_a, leak.split_b) not in exact]
    # A person in two splits is named once, not again for each pair of images.
    leaks = [leak for leak in leaks if leak.kind == "subject" or leak.subject_a != leak.subject_b]
    return sorted(leaks, key=lambda k: (KINDS.index(k.kind), k.image_a, SPLITS.index(k.split_b), k.image_b))


def drop_leaks(cohort: pd.DataFrame, leaks: Sequence[Leak]) -> tuple[pd.DataFrame, list[str]]:
    """Remove what leaks from the earlier split, so that test stays whole; return the cohort and the images dropped.

    A person in two splits loses all images in the earlier one; masks go with their image.
    """
    images = images_of(cohort)
    gone = {leak.image_a for leak in leaks if leak.kind != "subject"}
    for leak in leaks:
        if leak.kind == "subject":
            own = images[(images["subject"] == leak.subject_a) & (images["split"] == leak.split_a)]
            gone |= set(own["image"])
    kept = cohort[~(cohort["image"].isin(gone) | cohort["of"].isin(gone))].reset_index(drop=True)
    return kept, [str(image) for image in images["image"] if image in gone]


def _shared(one: pd.DataFrame, other: pd.DataFrame, column: str) -> Iterator[Leak]:
    """Rows of ``one`` whose subject or digest stands in ``other`` too; of a subject the first row only."""
    partners: dict[str, dict[str, Any]] = {}
    for partner in _records(other):
        partners.setdefault(partner[column], partner)
    partners.pop("", None)
    rows = one[one[column].isin(list(partners))]
    for row in _records(rows.drop_duplicates(column) if column == "subject" else rows):
        yield _leak("subject" if column == "subject" else "exact", row, partners[row[column]])


def _alike(images: pd.DataFrame, max_distance: float) -> Iterator[Leak]:
    """The nearest image in each later split, where it is near enough."""
    for _, kind in images[images["signature"] != ""].groupby("modality"):
        rows = centred(standardised(list(kind["signature"])))
        splits = kind["split"].to_numpy()
        records = _records(kind)
        for early, late in combinations(SPLITS, 2):
            ones, others = np.flatnonzero(splits == early), np.flatnonzero(splits == late)
            if not len(ones) or not len(others):
                continue
            index, distance = nearest(rows[ones], rows[others])
            for i in np.flatnonzero(distance <= max_distance):
                yield _leak("near", records[ones[i]], records[others[index[i]]], round(float(distance[i]), 6))


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    columns = ["split", "image", "subject", "sha256"]
    return [dict(zip(columns, values, strict=True)) for values in rows[columns].to_numpy().tolist()]


def _leak(kind: Kind, a: dict[str, Any], b: dict[str, Any], distance: float = 0.0) -> Leak:
    return Leak(kind, a["split"], a["image"], b["split"], b["image"], distance, a["subject"], b["subject"])
