"""Images that are in the cohort more than once: equal voxels, or thumbnails alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from fiducial.cohort.table import images_of
from fiducial.maths.duplicates import MAX_DISTANCE, centred, pairs_within, standardised

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Copy:
    """Two images that are one, ``kind`` ``exact`` (equal voxels and grid) or ``near`` (thumbnails within a distance).

    ``same_person``: they have one subject; copies under two subjects count one person twice.
    """

    kind: str
    image_a: str
    image_b: str
    subject_a: str
    subject_b: str
    distance: float

    @property
    def same_person(self) -> bool:
        """Whether both have one subject."""
        return self.subject_a == self.subject_b


def find_copies(cohort: pd.DataFrame, *, max_distance: float = MAX_DISTANCE) -> list[Copy]:
    """Pairs of copies, exact ones first, by id. Of exact copies each is paired with the first of them alone.

    Near copies are looked for within a modality, as `find_leaks` does, and whatever the split. What it cannot see:
    copies that were cropped, flipped or rotated.
    """
    images = images_of(cohort).sort_values("image")
    exact: list[Copy] = []
    same: set[tuple[str, str]] = set()
    for digest, own in images[images["sha256"] != ""].groupby("sha256", sort=False):
        names, people = list(own["image"]), list(own["subject"])
        same |= set(combinations(names, 2)) if digest else set()
        exact += [
            Copy("exact", names[0], name, people[0], person, 0.0)
            for name, person in zip(names[1:], people[1:], strict=True)
        ]
    near: list[Copy] = []
    for _, kind in images[images["signature"] != ""].groupby("modality", sort=True):
        rows = centred(standardised(list(kind["signature"])))
        names, people = list(kind["image"]), list(kind["subject"])
        near += [
            Copy("near", names[i], names[j], people[i], people[j], round(distance, 6))
            for i, j, distance in pairs_within(rows, max_distance)
            if (names[i], names[j]) not in same
        ]
    return sorted(exact, key=lambda c: (c.image_a, c.image_b)) + near
