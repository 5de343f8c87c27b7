"""The cohort's table: loading it, its digest, and which of its columns say what."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import TableError
from fiducial.records.files import sha256_json
from fiducial.records.tables import COHORT, read_table

if TYPE_CHECKING:
    import pandas as pd

TABLE = "cohort.parquet"
BESIDE = ("mask", "table", "text")
REPORT = "ingest.json"
# Where files lie, how they are divided, and what follows from the voxels: none of it changes what the cohort is.
OUTSIDE_DIGEST = ("path", "split", "fold", "signature", "fingerprint")


def load_cohort(folder: str | Path) -> pd.DataFrame:
    """Read a cohort folder's table.

    Raises:
        TableError: the folder holds no cohort, the table breaks its schema, or a mask names an image that is not there.
    """
    folder = Path(folder)
    path = folder if folder.suffix == ".parquet" else folder / TABLE
    if not path.is_file():
        raise TableError(
            "no cohort here" if folder.is_dir() else "no such folder",
            where=str(folder),
            legal=f"a folder that holds {TABLE}",
            action="make one with `fiducial ingest SOURCE --out COHORT`",
        )
    cohort = read_table(path, COHORT)
    check_masks(cohort, where=str(path))
    return cohort


def check_masks(cohort: pd.DataFrame, *, where: str = "") -> None:
    """Raise `TableError` if a mask belongs to an image that is not in the table, or to none."""
    masks = cohort[cohort["role"] == "mask"]
    orphans = masks[~masks["of"].isin(cohort.loc[cohort["role"] != "mask", "image"])]
    if len(orphans):
        row = orphans.iloc[0]
        raise TableError(
            f"mask {row['image']!r} is of {row['of']!r}, which is not in the table ({len(orphans)} such masks)",
            where=f"{where or 'cohort'}, row {int(orphans.index[0]) + 1}, column of",
            legal="the image of a row that is no mask",
        )


def images_of(cohort: pd.DataFrame) -> pd.DataFrame:
    """Rows of images, and of people without one: no masks, and no tables or texts about an image."""
    return cohort[~cohort["role"].isin(BESIDE)]


def attribute_columns(cohort: pd.DataFrame) -> list[str]:
    """Columns beyond the schema (attributes and labels), and the schema's own that vary: site, modality."""
    images = images_of(cohort)
    own = [name for name in ("site", "modality") if (images[name] != "").any()]
    return own + [str(name) for name in cohort.columns if name not in COHORT.names and name != "fold"]


def cohort_digest(cohort: pd.DataFrame) -> str:
    """SHA-256 of what a cohort is: its rows in any order, without paths, split, fold and what follows from voxels.

    Voxels count by ``sha256``. Whole numbers count alike whether stored as integers or floats; missing values and
    empty text count alike.
    """
    names = sorted(str(name) for name in cohort.columns if name not in OUTSIDE_DIGEST)
    rows = cohort[names].sort_values("image").to_dict("records")
    return sha256_json([{str(name): value for name, v in row.items() if (value := _plain(v)) != ""} for row in rows])


def _plain(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) or not hasattr(value, "__index__"):
        number = float(value)
        if math.isnan(number):
            return ""
        return int(number) if number.is_integer() else number
    return int(value)
