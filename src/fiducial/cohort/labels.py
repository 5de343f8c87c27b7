"""The labels file: read, matched by image or subject, and every id without a partner named."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.cohort.collection import SPLIT_NAMES
from fiducial.cohort.folders import SUFFIXES
from fiducial.errors import LabelError, LeakError, TableError
from fiducial.records.tables import COHORT, SPLITS

if TYPE_CHECKING:
    import pandas as pd

GIVEN = ("subject", "visit", "acquired", "exam", "site", "split", "modality")
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None")


@dataclass(frozen=True)
class Joined:
    """The cohort with labels, ids of either side without a partner, and remarks."""

    cohort: pd.DataFrame
    unmatched: tuple[str, ...]
    notes: tuple[str, ...]


def read_labels(path: Path) -> tuple[pd.DataFrame, str]:
    """Read a labels CSV (comma, semicolon or tab; UTF-8) and return it with its key column, ``image`` or ``subject``.

    Ids are text, so leading zeros stay. ``split`` may use common names (val, dev, testing ...). The index is the
    row's number, 1 = the first after the header.

    Raises:
        TableError: unreadable, no key column, a column that the cohort makes itself, an empty or illegal value, or a
            key with two rows that differ.
        LeakError: the rows of one subject name two splits.
    """
    import pandas as pd

    if not path.is_file():
        raise TableError("no such file", where=str(path), action="give a CSV with a column image or subject")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
        separator = max(",;\t", key=head.count)
        ids = dict.fromkeys(("image", "subject", "site", "exam", "visit"), str)
        frame = pd.read_csv(
            path, sep=separator, dtype=ids, keep_default_na=False, na_values=list(MISSING), encoding="utf-8-sig"
        )
    except (OSError, ValueError, csv.Error) as error:
        raise TableError(f"not a readable CSV ({error})", where=str(path), legal="CSV with a header line") from error
    if not isinstance(frame.index, pd.RangeIndex):
        # The library takes surplus values for row names.
        raise TableError("rows with more values than the header names", where=str(path), legal="CSV with a header line")
    frame.columns = frame.columns.str.strip()
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    key = "image" if "image" in frame.columns else "subject"
    if key not in frame.columns:
        raise TableError(
            f"no column image or subject; it has {', '.join(map(str, frame.columns))}",
            where=str(path),
            legal="one of them",
        )
    _check_columns(frame, path)
    frame[key] = frame[key].str.strip()
    if frame[key].isna().any():
        raise TableError("an empty id", where=f"{path}, row {frame.index[frame[key].isna()][0]}, column {key}")
    if "split" in frame.columns:
        frame["split"] = _split(frame["split"], path)
    return _unique(frame, key, path), key


def _check_columns(frame: pd.DataFrame, path: Path) -> None:
    own = [name for name in COHORT.names if name not in (*GIVEN, "image") and name in frame.columns]
    if own:
        raise TableError(
            f"column(s) {', '.join(own)}, which the cohort fills itself", where=str(path), action="rename or drop them"
        )


def _split(series: pd.Series[Any], path: Path) -> pd.Series[Any]:
    names = series.astype(object).where(series.notna(), "").map(lambda value: str(value).strip().lower())
    wrong = (names != "") & ~names.isin(list(SPLIT_NAMES))
    if wrong.any():
        row = wrong[wrong].index[0]
        raise TableError(
            f"{series[row]!r}", where=f"{path}, row {row}, column split", legal=", ".join(("(empty)", *SPLITS))
        )
    return names.map(lambda name: SPLIT_NAMES.get(name, ""))


def _unique(frame: pd.DataFrame, key: str, path: Path) -> pd.DataFrame:
    """Without rows that say the same again.

    Raises:
        LeakError, TableError: two rows of one key differ; rows are named by number, as ids may be of patients.
    """
    frame = frame[~frame.duplicated()]
    twice = frame[frame[key].duplicated(keep=False)]
    if twice.empty:
        return frame
    group = twice[twice[key] == twice[key].iloc[0]]
    differ = [str(name) for name in group.columns if group[name].nunique(dropna=False) > 1]
    where = f"{path}, rows {', '.join(map(str, group.index[:5]))}"
    if "split" in differ and key == "subject":
        raise LeakError(
            f"one subject stands in two splits: {', '.join(sorted(set(group['split'])))}",
            where=where,
            legal="one split for each subject",
            action="give each person one split, or key the file by image",
        )
    raise TableError(f"rows of one {key} differ in {', '.join(differ)}", where=where, legal=f"one row for each {key}")


def join_labels(cohort: pd.DataFrame, path: Path, *, pseudonyms: Mapping[str, str] | None = None) -> Joined:
    """Add a labels file's columns to every row of an image or subject; its values win over those of image headers.

    A file keyed by ``image`` may hold ``subject`` and so say who is behind an image. With ``pseudonyms`` (raw
    PatientID to pseudonym, for DICOM) the file's subjects are raw, and no raw id is returned: what has no partner is
    named by its row.

    Raises:
        TableError, LeakError: as `read_labels`. LabelError: no id at all has a partner.
    """
    import pandas as pd

    given, key = read_labels(path)
    raw = given[key].copy()
    if pseudonyms is not None and "subject" in given.columns:
        known = {name.strip(): pseudonym for name, pseudonym in pseudonyms.items()}
        pseudonymous = given["subject"].map(lambda name: known.get(str(name).strip(), name))
        given = given.assign(subject=pseudonymous)
    given = given.assign(**{key: _matched(given[key], cohort, key)})
    # Masks take the values of the image they belong to.
    own = cohort["of"].where(cohort["of"] != "", cohort["image"]) if key == "image" else cohort["subject"]
    there = set(own)
    unmatched = _unmatched(given, raw, there, path.name, key=key, by_row=pseudonyms is not None)
    lonely = sorted(there - set(given[key]))
    if len(lonely) == len(there):
        raise _no_match(raw, there, path, key=key, by_row=pseudonyms is not None)
    unmatched += [f"{key} {name} has no row in {path.name}" for name in lonely]
    columns = given.drop_duplicates(key).set_index(key)
    result = cohort.copy()
    notes = []
    for name in columns.columns:
        values = pd.Series(own.map(columns[name]).to_numpy(), index=result.index)
        if name == "modality":
            values = values.where(result["role"] != "mask")
        if name in result.columns:
            values, n_changed = _over(result[name], values)
            if n_changed:
                notes.append(f"{name}: the labels file differs from the images for {n_changed} rows and is used")
        result[name] = values
    return Joined(result, tuple(unmatched), tuple(notes))


def _over(before: pd.Series[Any], after: pd.Series[Any]) -> tuple[pd.Series[Any], int]:
    """Values of the file where it has some, and how many stated ones it changes."""
    stated = before.notna() & (before.astype(str) != "")
    said = after.notna()
    changed = said & stated & (before.astype(str) != after.astype(str))
    numbers = _numbers(before), _numbers(after)
    if numbers[0] is not None and numbers[1] is not None:
        changed &= numbers[0] != numbers[1]
    merged = after.where(said, before) if said.any() else before
    return merged.infer_objects(), int(changed.sum())


def _numbers(series: pd.Series[Any]) -> pd.Series[Any] | None:
    import pandas as pd

    numbers = pd.to_numeric(series, errors="coerce")
    return numbers if numbers.notna().any() else None


def _matched(ids: pd.Series[Any], cohort: pd.DataFrame, key: str) -> pd.Series[Any]:
    """Ids as the cohort has them: a file name counts as the image's id."""
    if key == "subject":
        return ids
    there = set(cohort["image"])

    def plain(name: str) -> str:
        suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
        short = name[: -len(suffix)] if suffix else name
        return name if name in there else short.replace("/", "-")

    return ids.map(plain)


def _unmatched(
    given: pd.DataFrame, raw: pd.Series[Any], there: set[str], file: str, *, key: str, by_row: bool
) -> list[str]:
    alone = given.index[~given[key].isin(there)]
    if by_row:
        return [f"{file} row {row}: its {key} has no image" for row in alone]
    return [f"{file} row {row}: {key} {raw[row]} has no image" for row in alone]


def _no_match(raw: pd.Series[Any], there: set[str], path: Path, *, key: str, by_row: bool) -> LabelError:
    if raw.empty:
        return LabelError("the file has no rows", where=str(path))
    shown = f"{min(there)!r} in the images" + ("" if by_row else f", {raw.iloc[0]!r} in the file")
    return LabelError(
        f"no {key} of the labels file matches an image: {shown}",
        where=f"{path}, column {key}",
        action=f"use the same {key} ids in both",
    )
