"""A long table of features and a table of outcomes become one row for each patient.

The rule for a patient with several regions: the reference rater's where there is one, regions as they are (not
perturbed), of the structure that was asked for, at the first visit (in the order of its text); of these the region with
the largest volume, or the mean of all. Images of the test part are left out: it is not for choosing features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.errors import InputRefused, LabelError, TableError
from fiducial.features.signature.outcome import Outcome
from fiducial.features.signature.recipe import Numbers
from fiducial.features.signature.settings import Asked, SignatureSettings

if TYPE_CHECKING:
    import pandas as pd

KEY = ("family", "feature", "aggregation", "filter")
VOLUMES = ("RNU0", "YEKZ")
"""IBSI codes of the volume: of the mesh, and by counting voxels."""
MAXIMUM = "84IY"
"""IBSI code of the largest intensity."""
_MOST_CATEGORIES = 10


@dataclass(frozen=True)
class Patients:
    """One row for each patient, in the order of their ids.

    ``features`` are the columns of ``numbers.features`` with `KEY` and ``ibsi_code``; ``clinical`` names those of
    ``numbers.clinical``; ``notes`` say in words who and what was left out.
    """

    subject: tuple[str, ...]
    numbers: Numbers
    outcome: Outcome
    features: pd.DataFrame
    clinical: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of features: ``family.feature``, then aggregation and filter where there are some."""
        return [name_of(row) for row in self.features.to_dict("records")]


def name_of(row: Mapping[Any, Any]) -> str:
    """``glcm.contrast.3d_averaged@wavelet-HHL``."""
    name = ".".join(str(row[part]) for part in KEY[:3] if row[part])
    return f"{name}@{row['filter']}" if row["filter"] else name


def patients_of(
    features: pd.DataFrame,
    outcomes: pd.DataFrame,
    asked: Asked,
    settings: SignatureSettings,
    *,
    stability: pd.DataFrame | None = None,
) -> Patients:
    """Join the tables and give each patient one row.

    Args:
        features: a table of `FEATURES`.
        outcomes: ``subject``, and the columns that are named in ``asked``; a row for each patient.
        asked: names of columns.
        settings: of the signature.
        stability: a table of `STABILITY`, or None.

    Raises:
        TableError: a column is missing, a patient stands twice, or no patient is in both tables.
        LabelError: an outcome is not 0/1 or no time.
        InputRefused: no feature of volume, a clinical value that is missing or no variable.
    """
    own, notes = _counted_rows(features, asked)
    labels = _outcome_rows(outcomes, asked)
    subjects = _in_both(own, labels, notes)
    labels = labels.loc[subjects]
    labels = _with_outcome(labels, asked, notes)
    labels, clinical, indicator, names = _clinical(labels, asked, settings, notes)
    own = own[own["subject"].isin(labels.index)]
    keys = own[[*KEY, "ibsi_code"]].drop_duplicates(list(KEY)).reset_index(drop=True)
    volume = _volume(keys, own)
    table, site = _one_row_each(own, keys, volume, settings, notes)
    table, site = table.loc[labels.index], site.loc[labels.index]
    numbers = Numbers(
        features=table.to_numpy(dtype=np.float64),
        volume=volume,
        value=_value(keys, asked.value),
        usable=_reproducible(keys, stability, settings),
        clinical=clinical,
        indicator=indicator,
        site=_sites(site, settings),
    )
    outcome = Outcome(labels["__event"].to_numpy(dtype=bool), labels["__time"].to_numpy() if asked.time else None)
    return Patients(tuple(labels.index), numbers, outcome, keys, names, tuple(notes))


def _counted_rows(features: pd.DataFrame, asked: Asked) -> tuple[pd.DataFrame, list[str]]:
    """Rows that count, and notes of those that do not."""
    notes = []
    rows = features[(features["perturbation"] == "") & (features["family"] != "diagnostics")]
    if asked.structure:
        known = sorted(set(rows["structure"]) - {""})
        rows = rows[rows["structure"] == asked.structure]
        if rows.empty:
            raise InputRefused(
                f"no region of structure {asked.structure!r}", legal=", ".join(known[:12]) or "no structure is named"
            )
    answered = rows.groupby("mask")["value"].transform("count") > 0
    if not answered.all():
        n_regions = rows.loc[~answered, "mask"].nunique()
        notes.append(f"{n_regions} region(s) without any feature left out: the table says why")
        rows = rows[answered]
    tested = rows["split"] == "test"
    if tested.any():
        notes.append(
            f"{_patients(rows.loc[tested, 'subject'].nunique())} of the test part left out: it is for the audit"
        )
        rows = rows[~tested]
    reference = set(rows.loc[rows["rater"] == "", "subject"])
    rows = rows[(rows["rater"] == "") | ~rows["subject"].isin(reference)]
    first = rows.groupby("subject")["visit"].transform("min")
    later = rows["visit"] != first
    if later.any():
        notes.append(f"{_patients(rows.loc[later, 'subject'].nunique())} with later visits: the first counts")
    rows = rows[~later]
    if rows.empty:
        raise TableError("no row of the features counts", legal="rows of the reference rater, outside the test part")
    return rows, notes


def _outcome_rows(outcomes: pd.DataFrame, asked: Asked) -> pd.DataFrame:
    """The outcomes by subject."""
    wanted = [name for name in (asked.target, asked.time, asked.event, *asked.clinical) if name]
    missing = [name for name in ("subject", *wanted) if name not in outcomes.columns]
    if missing:
        raise TableError(
            f"missing column(s) {', '.join(missing)} of the outcomes; it has {', '.join(map(str, outcomes.columns))}",
            legal="subject, and the columns that were named",
        )
    rows = outcomes[["subject", *dict.fromkeys(wanted)]].drop_duplicates()
    rows = rows.assign(subject=rows["subject"].astype(str))
    twice = rows["subject"].duplicated(keep=False)
    if twice.any():
        n = rows.loc[twice, "subject"].nunique()
        raise TableError(
            f"{_patients(n)} with two outcomes or more, first in row {int(twice.to_numpy().argmax()) + 1}",
            legal="one row for each patient",
        )
    return rows.set_index("subject").sort_index()


def _in_both(features: pd.DataFrame, labels: pd.DataFrame, notes: list[str]) -> list[str]:
    """Patients of both tables; who is in one alone is counted, and never named: outcomes may hold real names."""
    ours, theirs = set(features["subject"]), set(labels.index)
    both = sorted(ours & theirs)
    if not both:
        shapes = [_shape(min(ids)) if ids else "nothing" for ids in (ours, theirs)]
        raise TableError(
            f"no patient is in both tables: ids of the {len(ours)} with features look like {shapes[0]}, "
            f"of the {len(theirs)} with outcomes like {shapes[1]}",
            legal="equal text in the columns subject of both",
            action="use the pseudonyms of the cohort in the table of outcomes",
        )
    for others, text in ((ours - theirs, "features and no outcome"), (theirs - ours, "an outcome and no features")):
        notes += [f"{_patients(len(others))} with {text}: left out"] if others else []
    return both


def _patients(n: int) -> str:
    return f"{n} patient" if n == 1 else f"{n} patients"


def _shape(identifier: str) -> str:
    """An id with letters as a and digits as 9: what may be shown of it."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", identifier))[:24]


def _with_outcome(labels: pd.DataFrame, asked: Asked, notes: list[str]) -> pd.DataFrame:
    """Event and time as checked numbers; patients whose outcome is not said are left out and counted."""
    import pandas as pd

    wanted = [asked.target] if asked.target else [asked.time, asked.event]
    unsaid = labels[wanted].isna().any(axis=1) | (labels[wanted].astype(str) == "").any(axis=1)
    if unsaid.any():
        notes.append(f"{_patients(int(unsaid.sum()))} without {' and '.join(wanted)}: left out")
    rows = labels[~unsaid]
    name = asked.target or asked.event
    event = pd.to_numeric(rows[name], errors="coerce")
    wrong = ~event.isin([0, 1])
    if wrong.any():
        found = sorted({str(text) for text in rows.loc[wrong, name]})
        raise LabelError(
            f"{', '.join(found[:5])} in {int(wrong.sum())} of {len(rows)} patients",
            where=f"column {name} of the outcomes",
            legal="0 or 1; empty where it is not known",
        )
    time = pd.Series(np.nan, index=rows.index)
    if asked.time:
        time = pd.to_numeric(rows[asked.time], errors="coerce").astype(float)
        bad = ~(np.isfinite(time) & (time > 0))
        if bad.any():
            raise LabelError(
                f"{int(bad.sum())} times that are not above 0, such as {str(rows.loc[bad, asked.time].iloc[0])!r}",
                where=f"column {asked.time} of the outcomes",
                legal="numbers above 0, in one unit",
                action="leave out who was not followed, or mend the times",
            )
    return rows.assign(__event=event.astype(bool), __time=time)


def _clinical(
    labels: pd.DataFrame, asked: Asked, settings: SignatureSettings, notes: list[str]
) -> tuple[pd.DataFrame, Any, Any, tuple[str, ...]]:
    """Clinical variables as numbers [n, c]; a text becomes 0/1 for each of its words but the commonest."""
    import pandas as pd

    gaps = [labels[name].isna() | (labels[name].astype(str).str.strip() == "") for name in asked.clinical]
    lacking = np.logical_or.reduce(gaps) if gaps else np.zeros(len(labels), dtype=bool)
    if lacking.any() and settings.missing == "refuse":
        counts = [f"{name} {int(gap.sum())}" for name, gap in zip(asked.clinical, gaps, strict=True) if gap.any()]
        raise InputRefused(
            f"clinical values are missing in {int(lacking.sum())} of {len(labels)} patients ({', '.join(counts)})",
            where="the outcomes",
            legal="a value for each patient",
            action="--missing median fills them from the training patients, --missing drop leaves these patients out",
        )
    if lacking.any() and settings.missing == "drop":
        notes.append(f"{_patients(int(lacking.sum()))} without every clinical value: left out")
        labels = labels[~np.asarray(lacking)]
    columns: list[Any] = []
    indicator: list[bool] = []
    names: list[str] = []
    for name in asked.clinical:
        text = labels[name].where(labels[name].astype(str).str.strip() != "")
        numbers = pd.to_numeric(text, errors="coerce")
        if not (numbers.isna() & text.notna()).any():
            columns.append(numbers.to_numpy(dtype=np.float64))
            indicator.append(set(numbers.dropna()) <= {0, 1})
            names.append(name)
            continue
        words = text.dropna().astype(str).value_counts()
        if len(words) > _MOST_CATEGORIES:
            raise InputRefused(
                f"{len(words)} different texts",
                where=f"column {name} of the outcomes",
                legal=f"numbers, or at most {_MOST_CATEGORIES} words",
            )
        for word in sorted(words.index.difference([words.index[0]])):
            columns.append(np.where(text.isna(), np.nan, (text == word).astype(float)))
            indicator.append(True)
            names.append(f"{name}={word}")
    table = np.stack(columns, axis=1) if columns else np.zeros((len(labels), 0))
    return labels, table, np.array(indicator, dtype=bool), tuple(names)


def _volume(keys: pd.DataFrame, rows: pd.DataFrame) -> int:
    """The place of the volume among the features; every patient has one."""
    subjects = rows["subject"].nunique()
    for code in VOLUMES:
        known = rows[(rows["ibsi_code"] == code) & (rows["filter"] == "") & (rows["value"] > 0)]
        found = np.flatnonzero((keys["ibsi_code"] == code) & (keys["filter"] == ""))
        if len(found) and known["subject"].nunique() < subjects:
            continue
        if len(found):
            return int(found[0])
    raise InputRefused(
        "no volume among the features, or not of every patient",
        legal=f"morphology: volume_mesh ({VOLUMES[0]}) or volume_voxel_counting ({VOLUMES[1]})",
        action="compute the family morphology too: no signature is shown without volume alone beside it",
    )


def _value(keys: pd.DataFrame, wanted: str) -> int:
    """The place of the best-known single value; -1 where none was asked for and there is no largest intensity."""
    plain = keys["filter"] == ""
    if not wanted:
        found = np.flatnonzero((keys["ibsi_code"] == MAXIMUM) & plain)
        return int(found[0]) if len(found) else -1
    names = [name_of(row) for row in keys.to_dict("records")]
    if wanted not in names:
        family = wanted.partition(".")[0]
        near = [name for name in names if name.startswith(f"{family}.")] or names
        raise InputRefused(f"no feature {wanted!r}", legal=f"{', '.join(near[:8])} ... ({len(near)} such)")
    return names.index(wanted)


def _reproducible(keys: pd.DataFrame, stability: pd.DataFrame | None, settings: SignatureSettings) -> Any:
    """Whether the lower end of a feature's graded correlation reaches the bound [p]; all, where nobody measured it."""
    if stability is None:
        return np.ones(len(keys), dtype=bool)
    low = [row[f"{row['graded_by']}_low"] for row in stability.to_dict("records")]
    merged = keys.merge(stability[list(KEY)].assign(low=low), on=list(KEY), how="left")
    if merged["low"].isna().all():
        raise TableError(
            "no feature has an intraclass correlation",
            where="the table of stability",
            legal="families, features, aggregations and filters as in the features",
        )
    return (merged["low"] >= settings.reproducible).to_numpy()


def _sites(site: pd.Series[Any], settings: SignatureSettings) -> Any:
    """Names of sites [n].

    Raises:
        InputRefused: ComBat is asked for, and a patient has no site, or there is one site alone.
    """
    names = site.to_numpy(dtype=str)
    unsaid, known = int((names == "").sum()), sorted(set(names) - {""})
    if settings.combat and (unsaid or len(known) < 2):
        raise InputRefused(
            f"{_patients(unsaid)} without a site, {len(known)} sites",
            where="column site of the features",
            legal="for ComBat a site for each patient, and two sites or more",
        )
    return names


def _one_row_each(
    rows: pd.DataFrame, keys: pd.DataFrame, volume: int, settings: SignatureSettings, notes: list[str]
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Features by patient, in the order of ``keys``, and each patient's site."""
    place = keys.reset_index().set_index(list(KEY))["index"]
    rows = rows.assign(__place=place.loc[list(rows[list(KEY)].itertuples(index=False, name=None))].to_numpy())
    wide = rows.pivot(index=["subject", "mask"], columns="__place", values="value").sort_index()
    wide = wide.where(np.isfinite(wide))
    several = int((wide.groupby(level="subject").size() > 1).sum())
    if several:
        what = "largest" if settings.regions == "largest" else "mean"
        notes.append(f"{_patients(several)} with several regions: the {what} counts")
    if settings.regions == "mean":
        wide = wide.groupby(level="subject").mean()
    else:
        size = wide[volume].fillna(-1.0)
        ordered = wide.assign(__size=-size).sort_values("__size", kind="stable").drop(columns="__size")
        wide = ordered.groupby(level="subject").head(1).droplevel("mask").sort_index()
    site = rows.groupby("subject")["site"].first()
    return wide, site
