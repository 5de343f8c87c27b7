"""Attributes of the images that are audited: from a cohort, from a CSV, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fiducial.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.audit.given import Unmatched
    from fiducial.study import Study

OWN = ("image", "subject", "split")
MOST_VALUES = 20
"""A number with more distinct values than this makes no groups; the study's bands do."""
NO_ATTRIBUTE = (
    *("of", "role", "structure", "mask_value", "rater", "path", "unit", "sha256", "signature", "fingerprint"),
    *("visit", "exam", "fold"),
)


def cohort_attributes(cohort: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per image of a cohort: image, subject, split and whatever else is said about it, but no label."""
    images = cohort[cohort["role"] == "image"]
    dropped = {*NO_ATTRIBUTE, *study.task.targets}
    return images[[name for name in images.columns if name not in dropped]].reset_index(drop=True)


def joined(rows: pd.DataFrame, path: Path | None) -> tuple[pd.DataFrame, Unmatched | None]:
    """``rows`` (image, subject, split ...) with the columns of a CSV keyed by image or subject, which win.

    A CSV keyed by ``image`` may also hold ``subject``: it then says which images are of one person.

    Raises:
        TableError: the file cannot be read, has no key, repeats one, or no id matches.
    """
    from fiducial.audit.joining import join_attributes

    if path is None:
        return rows, None
    merged, unmatched = join_attributes(rows, _read(path), where=str(path))
    merged["subject"] = merged["subject"].where(merged["subject"].notna(), merged["image"]).map(str)
    return merged, unmatched


def with_unmatched(rows: pd.DataFrame, unmatched: tuple[str, ...]) -> pd.DataFrame:
    """``rows`` and, for each reference mask without a prediction, a row, so that missing predictions are counted."""
    import pandas as pd

    ending = " (no prediction)"
    names = [Path(text.removesuffix(ending)).name for text in unmatched if text.endswith(ending)]
    images = [name.removesuffix(".gz").rsplit(".", 1)[0] for name in names]
    missing = pd.DataFrame({"image": images, "subject": images, "split": ""}, columns=list(OWN), dtype=object)
    return pd.concat([rows, missing], ignore_index=True) if images else rows.reset_index(drop=True)


def groupable(rows: pd.DataFrame) -> tuple[str, ...]:
    """Columns that can group images: text, or numbers of few values."""
    from pandas.api.types import is_numeric_dtype

    names = [str(name) for name in rows.columns if name not in OWN]
    return tuple(n for n in names if not is_numeric_dtype(rows[n]) or rows[n].nunique() <= MOST_VALUES)


def person_known(rows: pd.DataFrame) -> bool:
    """Whether ``subject`` says more than the image's own id does: then somebody knew the person."""
    images = rows[rows["role"] == "image"] if "role" in rows.columns else rows
    return bool((images["subject"] != images["image"]).any())


def _read(path: Path) -> pd.DataFrame:
    """A CSV of attributes, ids as text."""
    import pandas as pd

    if not path.is_file():
        raise TableError("no such file", where=str(path), action="give a CSV with a column image or subject")
    try:
        return pd.read_csv(path, dtype={"image": str, "subject": str}, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise TableError(f"not a readable CSV ({error})", where=str(path), legal="CSV with a header line") from error
