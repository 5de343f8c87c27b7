"""Per-case metrics of masks as arrays: one column per structure and metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.given import AuditInput
from fiducial.audit.minimum import marked
from fiducial.audit.tables import audited_split
from fiducial.study.vocabulary import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.audit.given import AuditSettings
    from fiducial.maths.intervals import Interval

ORDER = tuple(name for name, metric in METRICS.items() if metric.per_case)
BOUNDED = ("dice", "iou", "nsd")
DISTANCES = ("hd95", "masd")


@dataclass(frozen=True)
class CaseColumn:
    """One metric of one structure in the audited part: the cases that have a value, sorted by image.

    ``value`` float [n], ``subject`` and ``image`` [n]. ``missing`` are the images without a value, ``reasons`` why.
    """

    target: str
    item: str
    metric: str
    unit: str
    split: str
    value: NDArray[np.float64]
    subject: NDArray[Any]
    image: NDArray[Any]
    missing: tuple[str, ...] = ()
    missing_subjects: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def n_subjects(self) -> int:
        """Distinct subjects with a value."""
        return len(np.unique(self.subject))

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Smallest and largest possible value, where both exist."""
        return (0.0, 1.0) if self.metric in BOUNDED else None

    def missing_text(self) -> str:
        """How many cases are left out, and why; empty where none is."""
        if not self.missing:
            return ""
        n = len(self.missing)
        why = sorted(set(self.reasons) - {""})
        return f"{n} of {n + len(self.value)} cases have no value" + (f" ({', '.join(why)})" if why else "")

    def within(self, images: set[str]) -> CaseColumn:
        """Only the cases of some images."""
        keep = np.array([str(name) in images for name in self.image], dtype=bool)
        left = [place for place, name in enumerate(self.missing) if name in images]
        parts = (self.value[keep], self.subject[keep], self.image[keep])
        lists = (self.missing, self.missing_subjects, self.reasons)
        lost = (tuple(values[place] for place in left) for values in lists)
        return CaseColumn(self.target, self.item, self.metric, self.unit, self.split, *parts, *lost)

    def with_missing_as(self, value: float) -> CaseColumn:
        """The same column with ``value`` wherever there is none."""
        values = np.concatenate([self.value, np.full(len(self.missing), value)])
        image = np.concatenate([self.image, np.array(self.missing, dtype=object)])
        subject = np.concatenate([self.subject, np.array(self.missing_subjects, dtype=object)])
        order = np.argsort(image.astype(str), kind="stable")
        said = (self.target, self.item, self.metric, self.unit, self.split)
        return CaseColumn(*said, values[order], subject[order], image[order])


def case_columns(given: AuditInput) -> list[CaseColumn]:
    """Every structure and metric of the audited part, structures sorted, metrics in the vocabulary's order."""
    if not len(given.cases):
        return []
    part = audited_split(given.cases)
    rows = with_volume_difference(given.cases[given.cases["split"] == part])
    rows = rows[rows["metric"].isin(ORDER)].sort_values(["target", "item", "metric", "image", "fold"], kind="stable")
    found = [
        _column(given, str(target), str(item), str(metric), part, own)
        for (target, item, metric), own in rows.groupby(["target", "item", "metric"], sort=True)
    ]
    return sorted(found, key=lambda column: (column.target, column.item, ORDER.index(column.metric)))


def with_volume_difference(rows: pd.DataFrame) -> pd.DataFrame:
    """Cases with ``volume_difference_ml`` (predicted minus true) where both volumes are there."""
    import pandas as pd

    if (rows["metric"] == "volume_difference_ml").any():
        return rows
    keys = ["study", "model", "fold", "subject", "image", "target", "item", "split"]
    predicted = rows[rows["metric"] == "volume_ml_predicted"]
    true = rows[rows["metric"] == "volume_ml_true"][[*keys, "value"]].rename(columns={"value": "true_ml"})
    both = predicted.merge(true, on=keys, how="inner")
    if not len(both):
        return rows
    both = both.assign(metric="volume_difference_ml", unit="ml", value=both["value"] - both["true_ml"])
    return pd.concat([rows, both.drop(columns="true_ml")], ignore_index=True)


def location(column: CaseColumn, statistic: str, settings: AuditSettings) -> Interval:
    """Mean or median with its clustered interval."""
    from fiducial.maths.intervals import mean_interval, median_interval

    if statistic == "median":
        found = median_interval(
            column.value,
            subject=column.subject,
            level=settings.level,
            n_replicates=settings.n_replicates,
            seed=settings.seed,
            bounds=column.bounds,
        )
    else:
        found = mean_interval(column.value, subject=column.subject, level=settings.level, bounds=column.bounds)
        found = marked(column.metric, found, found.n_subjects)
    # A distance has no largest value, so it has no bounds to give; it is never negative, though.
    return replace(found, low=max(0.0, found.low)) if column.metric in DISTANCES and found.low < 0 else found


def _column(given: AuditInput, target: str, item: str, metric: str, part: str, rows: pd.DataFrame) -> CaseColumn:
    there = np.isfinite(rows["value"].to_numpy(dtype=np.float64))
    use, left = rows[there], rows[~there]
    person = "subject" if given.settings.person_known else "image"
    unit = next((str(unit) for unit in rows["unit"] if unit), METRICS[metric].unit)
    return CaseColumn(
        target,
        item,
        metric,
        unit,
        part,
        use["value"].to_numpy(dtype=np.float64),
        use[person].to_numpy(),
        use["image"].to_numpy(),
        tuple(map(str, left["image"])),
        tuple(map(str, left[person])),
        tuple(map(str, left["reason"])),
    )
