"""Dividing a cohort: by person, by hospital or as given; in four parts and in folds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fiducial.errors import InputRefused
from fiducial.records.split import Carve, SplitRule
from fiducial.records.tables import SPLITS

if TYPE_CHECKING:
    import pandas as pd

MANY_VALUES = 10
OUTSIDE = -1


def split_cohort(cohort: pd.DataFrame, rule: SplitRule, *, labels: Sequence[str] = ()) -> pd.DataFrame:
    """Return the cohort with ``split`` filled, and with ``fold`` if the rule asks for folds.

    Units are subjects, or whole sites. Each unit's place in line is the SHA-256 of seed and name, so the division
    depends neither on the order of rows nor on the platform, and adding a patient moves few others. Units are dealt
    stratum by stratum (the mix of ``labels`` and of the rule's ``stratify`` columns; numbers of many values by
    quartile) to the part that is furthest below its fraction; every part with a fraction gets at least one.

    ``fold`` numbers the folds of train and validation 0 .. k - 1, and is -1 elsewhere.

    Raises:
        InputRefused: a column is missing, rows have no split where it is given, or there are fewer units than parts
            or folds.
    """
    names = (*labels, *rule.stratify)
    _require_columns(cohort, names)
    strata = _strata(cohort, names)
    result = cohort.copy()
    if rule.by == "given":
        _check_given(cohort)
    else:
        units = _units(cohort, rule.by)
        fractions: dict[str, float] = {part: share for part, share in rule.fractions.items() if share > 0}
        result["split"] = result["subject"].map(_deal(units, strata, fractions, str(rule.seed), what=rule.by))
    if rule.carve_calibration is not None:
        _carve(result, strata, rule.carve_calibration, rule.seed)
    # A mask stands where its image stands.
    images = result[result["role"] != "mask"]
    own = result["of"].map(dict(zip(images["image"], images["split"], strict=True)))
    result["split"] = own.where(result["role"] == "mask", result["split"]).fillna("")
    if rule.folds > 1:
        _fold(result, strata, rule)
    return result


def _require_columns(cohort: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in cohort.columns:
            raise InputRefused(
                f"no column {name!r} to stratify by", where="cohort", legal=", ".join(map(str, cohort.columns))
            )


def _units(cohort: pd.DataFrame, by: str) -> dict[str, list[str]]:
    """Subjects of each unit."""
    if by == "subject":
        return {subject: [subject] for subject in sorted(set(cohort["subject"]))}
    images = cohort[cohort["role"] != "mask"]
    sites = images.groupby("subject")["site"].agg(lambda values: sorted(set(values)))
    torn = sites[sites.map(len) > 1]
    if len(torn):
        raise InputRefused(
            f"{len(torn)} subjects have images of several sites, first {torn.index[0]}: {', '.join(torn.iloc[0])}",
            where="cohort, column site",
            action="split by subject, or give each subject one site",
        )
    if (sites.map(lambda names: names[0]) == "").any():
        raise InputRefused(
            f"{int((sites.map(lambda names: names[0]) == '').sum())} subjects have no site",
            where="cohort, column site",
            action="give the sites in a labels file, or split by subject",
        )
    units: dict[str, list[str]] = {}
    for subject, names in sites.items():
        units.setdefault(names[0], []).append(str(subject))
    return units


def _strata(cohort: pd.DataFrame, names: Sequence[str]) -> dict[str, str]:
    """What each subject is like: the sorted distinct values of its images in each column."""
    import pandas as pd

    images = cohort[cohort["role"] != "mask"]
    subjects = sorted(set(cohort["subject"]))
    told: dict[str, list[str]] = {subject: [] for subject in subjects}
    for name in names:
        values = images[name]
        if pd.api.types.is_numeric_dtype(values) and values.nunique() > MANY_VALUES:
            values = pd.qcut(values, 4, labels=False, duplicates="drop")
        text = values.astype(object).where(values.notna(), "").map(str)
        said = text.groupby(images["subject"]).agg(lambda v: sorted(set(v)))
        for subject in subjects:
            told[subject].append("+".join(said.get(subject, [])))
    return {subject: "|".join(parts) for subject, parts in told.items()}


def _line(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}\x1f{name}".encode()).hexdigest()


def _deal(
    units: Mapping[str, Sequence[str]],
    strata: Mapping[str, str],
    fractions: Mapping[str, float],
    salt: str,
    *,
    what: str,
) -> dict[str, str]:
    """Deal units (name to subjects) to parts; return each subject's part.

    Within a stratum the line is random; each unit goes to the part with the largest shortfall, fraction x dealt -
    held, so that every part is within about one unit of its fraction over all and over any run of strata. Sites go
    largest first, since a large one fits nowhere late; they are not stratified.
    """
    if len(units) < len(fractions):
        raise InputRefused(
            f"{len(units)} {what}(s) cannot fill {len(fractions)} parts ({', '.join(fractions)})",
            where="split",
            legal=f"at least one {what} for each part",
            action="add data or ask for fewer parts" + (", or split by subject" if what == "site" else ""),
        )
    if what == "site":
        line = sorted(units, key=lambda unit: (-len(units[unit]), _line(salt, unit)))
    else:
        line = sorted(units, key=lambda unit: (strata[unit], _line(salt, unit)))
    held = dict.fromkeys(fractions, 0)
    n_dealt = 0
    parts: dict[str, str] = {}
    for place, unit in enumerate(line):
        n_dealt += len(units[unit])
        empty = [part for part in fractions if held[part] == 0]
        # The last units go to parts that are still empty.
        legal = empty if len(line) - place <= len(empty) else list(fractions)
        part = max(legal, key=lambda name: fractions[name] * n_dealt - held[name])
        held[part] += len(units[unit])
        parts |= dict.fromkeys(units[unit], part)
    return parts


def _check_given(cohort: pd.DataFrame) -> None:
    images = cohort[cohort["role"] != "mask"]
    empty = images[images["split"] == ""]
    if len(empty):
        raise InputRefused(
            f"{len(empty)} of {len(images)} images have no split, first {empty['image'].iloc[0]}",
            where="cohort, column split",
            legal=", ".join(SPLITS),
            action='give a labels file with a split for each, or split by = "subject"',
        )


def _carve(result: pd.DataFrame, strata: Mapping[str, str], carve: Carve, seed: int) -> None:
    """Move a share of the subjects of one part to calibration; a person in two parts is left to the leak check."""
    if (result["split"] == "calibration").any():
        raise InputRefused(
            "there is a calibration part already",
            where="split, carve_calibration",
            action="leave carve_calibration out, or set the calibration fraction to 0",
        )
    elsewhere = set(result.loc[(result["split"] != carve.source) & (result["role"] != "mask"), "subject"])
    inside = sorted(set(result.loc[result["split"] == carve.source, "subject"]) - elsewhere)
    fractions = {carve.source: 1 - carve.fraction, "calibration": carve.fraction}
    dealt = _deal({s: [s] for s in inside}, strata, fractions, f"{seed}/carve", what=f"{carve.source} subject")
    result.loc[result["subject"].isin([s for s, part in dealt.items() if part == "calibration"]), "split"] = (
        "calibration"
    )


def _fold(result: pd.DataFrame, strata: Mapping[str, str], rule: SplitRule) -> None:
    """Number the folds of train and validation."""
    inside = result[result["split"].isin(["train", "validation"])]
    units = _units(inside, "site" if rule.by == "site" else "subject")
    fractions = {str(fold): 1 / rule.folds for fold in range(rule.folds)}
    dealt = _deal(units, strata, fractions, f"{rule.seed}/folds", what="site" if rule.by == "site" else "subject")
    folds = inside["subject"].map(dealt).astype(int)
    result["fold"] = folds.reindex(result.index, fill_value=OUTSIDE)
