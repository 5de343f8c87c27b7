"""Score predictions as arrays: one column of probabilities per target and class, with truth and subject."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.given import AuditInput
from fiducial.audit.tables import audited_split, finding_scores

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ScoreColumn:
    """Probabilities of one class of one target in one part; rows without truth or value are left out.

    ``truth`` bool [n], ``score`` float [n], ``subject`` and ``image`` [n]; sorted by image. ``item`` is empty for a
    binary target. ``subject`` holds the image where the person is unknown. ``lost`` are the rows that have a truth but
    no value: (image, subject, truth).
    """

    target: str
    item: str
    split: str
    truth: NDArray[np.bool_]
    score: NDArray[np.float64]
    subject: NDArray[Any]
    image: NDArray[Any]
    lost: tuple[tuple[str, str, bool], ...] = ()

    @property
    def n_events(self) -> int:
        """Positive rows."""
        return int(self.truth.sum())

    @property
    def n_subjects(self) -> int:
        """Distinct subjects."""
        return len(np.unique(self.subject))

    @property
    def one_class(self) -> bool:
        """Whether all rows have one truth, or there is no row."""
        return len(np.unique(self.truth)) < 2

    def rows(self, mask: NDArray[np.bool_ | np.intp]) -> ScoreColumn:
        """The rows where ``mask``, in the same order; nothing is lost among them."""
        parts = (self.truth[mask], self.score[mask], self.subject[mask], self.image[mask])
        return ScoreColumn(self.target, self.item, self.split, *parts)

    def within(self, images: set[str]) -> ScoreColumn:
        """The rows of some images."""
        mask = np.array([str(name) in images for name in self.image], dtype=bool)
        return replace(self.rows(mask), lost=tuple(one for one in self.lost if one[0] in images))

    def with_lost_as_wrong(self) -> ScoreColumn:
        """The same column with a wrong, certain answer wherever there is none: the worst that could have been."""
        images, subjects, truths = (np.array(part) for part in zip(*self.lost, strict=True))
        truth = np.concatenate([self.truth, truths.astype(bool)])
        score = np.concatenate([self.score, 1.0 - truths.astype(float)])
        subject, image = np.concatenate([self.subject, subjects]), np.concatenate([self.image, images])
        order = np.argsort(image, kind="stable")
        whole = ScoreColumn(self.target, self.item, self.split, truth, score, subject, image)
        return whole.rows(order)


@dataclass(frozen=True)
class ArgmaxColumn:
    """A multi-class target decided by its largest probability: ``truth`` and ``decision`` are class names [n].

    ``classes`` are all names, sorted, and ``probability`` [n, classes] what the decision was made of.
    """

    target: str
    split: str
    truth: NDArray[Any]
    decision: NDArray[Any]
    subject: NDArray[Any]
    image: NDArray[Any]
    classes: tuple[str, ...]
    probability: NDArray[np.float64]

    def rows(self, mask: NDArray[np.bool_]) -> ArgmaxColumn:
        """The rows where ``mask``, in the same order."""
        parts = (self.truth[mask], self.decision[mask], self.subject[mask], self.image[mask])
        return ArgmaxColumn(self.target, self.split, *parts, self.classes, self.probability[mask])

    def within(self, images: set[str]) -> ArgmaxColumn:
        """The rows of some images."""
        return self.rows(np.array([str(name) in images for name in self.image], dtype=bool))


def score_rows(given: AuditInput) -> pd.DataFrame:
    """The score predictions that are about findings."""
    return finding_scores(given.predictions)


def columns_of(given: AuditInput, split: str) -> list[ScoreColumn]:
    """Every target and class of one part, in sorted order; columns without a complete row are kept, empty."""
    rows = score_rows(given)
    rows = rows.sort_values(["target", "item", "image", "fold"], kind="stable")
    found = []
    for (target, item), part in rows.groupby(["target", "item"], sort=True):
        labelled = part[(part["split"] == split) & part["truth"].notna()]
        use, lost = labelled[labelled["value"].notna()], labelled[labelled["value"].isna()]
        found.append(
            ScoreColumn(
                str(target),
                str(item),
                split,
                use["truth"].to_numpy() == 1.0,
                use["value"].to_numpy(dtype=np.float64),
                _persons(use, given),
                use["image"].to_numpy(),
                tuple(zip(map(str, lost["image"]), map(str, _persons(lost, given)), lost["truth"] == 1.0, strict=True)),
            )
        )
    return found


def audited_columns(given: AuditInput) -> list[ScoreColumn]:
    """`columns_of` the audited part; empty where there are no scores."""
    rows = score_rows(given)
    return columns_of(given, audited_split(rows)) if len(rows) else []


def calibration_column(given: AuditInput, column: ScoreColumn) -> ScoreColumn | None:
    """The same target and class on the calibration part, or None where that part is empty."""
    for other in columns_of(given, "calibration"):
        if (other.target, other.item) == (column.target, column.item) and len(other.truth):
            return other
    return None


def argmax_columns(given: AuditInput, split: str | None = None) -> list[ArgmaxColumn]:
    """Multi-class targets of one part, by default the audited one.

    Images that lack a class or have no single truth are left out. Ties go to the class that sorts first.
    """
    rows = score_rows(given)
    if not len(rows):
        return []
    part_name = audited_split(rows) if split is None else split
    rows = rows[(rows["split"] == part_name) & (rows["item"] != "")]
    found = []
    for target, part in rows.groupby("target", sort=True):
        value = part.pivot_table(index="image", columns="item", values="value", aggfunc="first", dropna=False)
        truth = part.pivot_table(index="image", columns="item", values="truth", aggfunc="first", dropna=False)
        use = value.notna().all(axis=1) & (truth.sum(axis=1) == 1) & truth.notna().all(axis=1)
        value, truth = value[use].sort_index(), truth[use].sort_index()
        names = value.columns.to_numpy()
        own = part.drop_duplicates("image").set_index("image").loc[value.index].reset_index()
        found.append(
            ArgmaxColumn(
                str(target),
                part_name,
                names[truth.to_numpy().argmax(axis=1)] if len(truth) else np.array([], dtype=object),
                names[value.to_numpy().argmax(axis=1)] if len(value) else np.array([], dtype=object),
                _persons(own, given),
                own["image"].to_numpy(),
                tuple(map(str, names)),
                value.to_numpy(dtype=np.float64),
            )
        )
    return found


def _persons(rows: pd.DataFrame, given: AuditInput) -> NDArray[Any]:
    """The subject of each row; the image where the person is unknown."""
    persons: NDArray[Any] = rows["subject" if given.settings.person_known else "image"].to_numpy()
    return persons
