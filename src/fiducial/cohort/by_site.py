"""A cohort site by site: people, missing values, how often a label is found, and figures of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.cohort.features import FeatureTable, on_scale, words_of
from fiducial.cohort.quality import Measure
from fiducial.cohort.shortcuts import ASKED
from fiducial.cohort.table import attribute_columns, images_of
from fiducial.maths.intervals import wilson

if TYPE_CHECKING:
    import pandas as pd

SITES = ("site", "scanner", "manufacturer")
"""Columns that images are compared by: the first that the cohort has."""
EVERYTHING = "all images"
UNKNOWN = "(not stated)"
MOST_GROUPS = 12
FEWEST_TO_SHOW = 5


@dataclass(frozen=True)
class Spread:
    """One figure of the images of one modality, site by site: ``values`` are of ``images``, both by group."""

    modality: str
    feature: Measure
    unit: str
    values: dict[str, list[float]]
    images: dict[str, list[str]]


def site_of(cohort: pd.DataFrame) -> tuple[str, pd.Series[Any]]:
    """What images are compared by (a column's name, or "" for none), and the group of every image.

    Of more than twelve groups the largest eleven keep their names; the others are one.
    """
    images = images_of(cohort)
    for name in SITES:
        if name in images.columns:
            words = words_of(images[name])
            if (words != "").any():
                groups = words.where(words != "", UNKNOWN)
                counts = groups.value_counts()
                if len(counts) > MOST_GROUPS:
                    groups = groups.where(groups.isin(counts.index[: MOST_GROUPS - 1]), "(others)")
                return name, groups
    import pandas as pd

    return "", pd.Series(EVERYTHING, index=images.index)


def people(cohort: pd.DataFrame) -> pd.DataFrame:
    """One row for each person, of the first image by id: ``subject, group, sex, age`` ("" and NaN if unknown)."""
    import pandas as pd

    images = images_of(cohort).assign(group=site_of(cohort)[1]).sort_values("image").drop_duplicates("subject")
    unknown = pd.Series("", index=images.index)
    ages = images["age"] if "age" in images.columns else pd.Series(float("nan"), index=images.index)
    return pd.DataFrame(
        {
            "subject": images["subject"],
            "group": images["group"],
            "sex": words_of(images["sex"]) if "sex" in images.columns else unknown,
            "age": pd.to_numeric(ages, errors="coerce"),
        }
    ).reset_index(drop=True)


def missing_by_site(cohort: pd.DataFrame) -> pd.DataFrame:
    """``attribute, group, n_images, n_missing``: every attribute and label, and ``acquired``, in every group."""
    import pandas as pd

    images = images_of(cohort).assign(group=site_of(cohort)[1])
    names = [name for name in attribute_columns(cohort) if name != "modality"]
    names += ["acquired"] if (images["acquired"] != "").any() else []
    rows = []
    for name in names:
        gone = words_of(images[name]) == ""
        for group, own in gone.groupby(images["group"], sort=True):
            rows.append({"attribute": name, "group": group, "n_images": len(own), "n_missing": int(own.sum())})
    return pd.DataFrame(rows, columns=["attribute", "group", "n_images", "n_missing"])


def prevalence_by_site(cohort: pd.DataFrame) -> pd.DataFrame:
    """``label, group, n_subjects, n_events, share, low, high``: people with a 1 in a column of 0 and 1, by group.

    A person with several images counts once, as 1 if one image is. Wilson's 95 % interval. ``group`` ``all`` holds
    everybody.
    """
    import pandas as pd

    images = images_of(cohort).assign(group=site_of(cohort)[1])
    rows = []
    for name in attribute_columns(cohort):
        values = pd.to_numeric(images[name], errors="coerce")
        if not pd.api.types.is_numeric_dtype(images[name]) or set(values.dropna().unique()) != {0, 1}:
            continue
        own = values.groupby([images["group"], images["subject"]]).max().dropna()
        groups = [(str(group), part) for group, part in own.groupby(level=0, sort=True)]
        whole = values.groupby(images["subject"]).max().dropna()
        for group, part in [("all", whole), *(groups if len(groups) > 1 else [])]:
            n, k = len(part), int(part.sum())
            low, high = wilson(k / n, n)
            row = {"label": name, "group": group, "n_subjects": n, "n_events": k, "share": k / n}
            rows.append({**row, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["label", "group", "n_subjects", "n_events", "share", "low", "high"])


def spreads(cohort: pd.DataFrame, table: FeatureTable) -> list[Spread]:
    """Every figure that varies visibly, of each modality, by group; modalities with most images first.

    Of figures that are the same in every image (spacing along x and y) the first is shown.
    """
    groups = site_of(cohort)[1]
    by_image = dict(zip(images_of(cohort)["image"], groups, strict=True))
    found = []
    frame = table.frame.assign(group=table.frame["image"].map(by_image))
    for modality in frame["modality"].value_counts(sort=True).index:
        kind = frame[frame["modality"] == modality]
        unit = ", ".join(sorted(set(kind["unit"]) - {""}))
        shown: list[Measure] = []
        for feature in table.features:
            known = kind[np.isfinite(kind[feature.key])]
            if len(known) < FEWEST_TO_SHOW or np.ptp(on_scale(known, feature)) <= 2 * feature.least_spread:
                continue
            if any(known[feature.key].equals(kind[before.key].loc[known.index]) for before in shown):
                continue
            shown.append(feature)
            parts = [(str(name), own) for name, own in known.groupby("group", sort=True)]
            by_group = {name: [float(v) for v in own[feature.key]] for name, own in parts}
            images = {name: [str(v) for v in own["image"]] for name, own in parts}
            said = unit if feature.unit == "image" else feature.unit
            if said == "mm" and unit == "grey" and (kind[["spacing_x_mm", "spacing_y_mm"]] == 1).all(axis=None):
                # Pictures whose files say no size have pixels of 1 mm by name only.
                said = "pixels"
            found.append(Spread(str(modality), feature, said, by_group, images))
    return found


def acquisition_table(cohort: pd.DataFrame) -> pd.DataFrame:
    """``column, value, n_images``: how images were made, as far as the cohort says, values by frequency."""
    import pandas as pd

    images = images_of(cohort)
    rows = []
    for name in ASKED:
        if name in images.columns:
            counts = words_of(images[name]).where(lambda w: w != "", UNKNOWN).value_counts()
            if set(counts.index) - {UNKNOWN}:
                rows += [{"column": name, "value": str(v), "n_images": int(n)} for v, n in counts.head(8).items()]
    return pd.DataFrame(rows, columns=["column", "value", "n_images"])
