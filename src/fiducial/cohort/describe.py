"""What a cohort holds, in tables for people: parts, attributes, gaps, images and structures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiducial.cohort.table import attribute_columns, images_of
from fiducial.records.tables import SPLITS

if TYPE_CHECKING:
    import pandas as pd

MANY_VALUES = 12
UNKNOWN = "(missing)"
NO_PART = "(none)"


@dataclass(frozen=True)
class Description:
    """Tables of text and numbers; a cell that has no meaning is None.

    ``parts``: subjects, images, masks and sites of each part. ``attributes``: images (and their share) with each value
    of each attribute and label, by part; numbers of many values by mean, standard deviation and range.
    ``missing``: attributes that some images lack. ``images``: sizes, spacings and intensities by modality.
    ``structures``: label maps of each structure, how many are empty, and volumes.
    """

    parts: pd.DataFrame
    attributes: pd.DataFrame
    missing: pd.DataFrame
    images: pd.DataFrame
    structures: pd.DataFrame


def describe(cohort: pd.DataFrame) -> Description:
    """Describe a cohort from its table alone."""
    images = images_of(cohort)
    here = [part for part in SPLITS if (images["split"] == part).any()]
    parts = [*here, *([""] if (images["split"] == "").any() else [])]
    names = attribute_columns(cohort)
    return Description(
        parts=_table([_part(cohort, part) for part in parts] + ([_part(cohort, None)] if len(parts) > 1 else [])),
        attributes=_table([row for name in names for row in _attribute(images, name, parts)]),
        missing=_table([row for name in names if (row := _missing(images, name, parts))["n_missing"]]),
        images=_table([_image_kind(str(name), kind) for name, kind in images.groupby("modality")]),
        structures=_table(
            [_structure(str(name), kind) for name, kind in cohort[_reference(cohort)].groupby("structure", sort=False)]
        ),
    )


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, dtype=object)
    return frame.where(frame.notna(), None)


def _part(cohort: pd.DataFrame, part: str | None) -> dict[str, Any]:
    rows = cohort if part is None else cohort[cohort["split"] == part]
    images = images_of(rows)
    return {
        "part": "all" if part is None else part or NO_PART,
        "n_subjects": int(images["subject"].nunique()),
        "n_images": len(images),
        "n_masks": int(_reference(rows).sum()),
        "n_sites": int(images.loc[images["site"] != "", "site"].nunique()),
    }


def _reference(rows: pd.DataFrame) -> pd.Series[bool]:
    """Masks of the reference, not of single raters."""
    return (rows["role"] == "mask") & (rows["rater"] == "")


def _text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Values as text; whole numbers without ``.0``."""

    def plain(value: Any) -> str:
        if value is None or value == "" or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN
            return UNKNOWN
        return f"{value:g}" if isinstance(value, float) else str(value)

    return values.map(plain)


def _attribute(images: pd.DataFrame, name: str, parts: list[str]) -> list[dict[str, Any]]:
    """One row for each value, or one for a number of many values."""
    import pandas as pd

    values = images[name]
    groups = {"all": images.index, **{part or NO_PART: images.index[images["split"] == part] for part in parts}}
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MANY_VALUES:
        return [{"attribute": name, "value": "mean ± sd (range)", **{g: _spread(values[i]) for g, i in groups.items()}}]
    text = _text(values)
    counts = text.value_counts()
    if len(counts) > MANY_VALUES:
        most = {f"{len(counts)} different values": None}
        return [{"attribute": name, "value": next(iter(most)), **{g: text[i].nunique() for g, i in groups.items()}}]
    return [
        {"attribute": name, "value": value, **{g: _count(text[i], str(value)) for g, i in groups.items()}}
        for value in sorted(counts.index, key=lambda v: (v == UNKNOWN, _sortable(str(v))))
    ]


def _sortable(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), "")
    except ValueError:
        return (1, 0.0, value)


def _count(text: pd.Series[Any], value: str) -> str:
    n = int((text == value).sum())
    return f"{n:,} ({100 * n / len(text):.0f} %)" if len(text) else "0"


def _spread(values: pd.Series[Any]) -> str:
    known = values.dropna().astype(float)
    if known.empty:
        return UNKNOWN
    spread = f" ± {known.std():.3g}" if len(known) > 1 else ""
    return f"{known.mean():.3g}{spread} ({known.min():.3g} to {known.max():.3g})"


def _missing(images: pd.DataFrame, name: str, parts: list[str]) -> dict[str, Any]:
    gone = _text(images[name]) == UNKNOWN
    return {
        "attribute": name,
        "n_missing": int(gone.sum()),
        "share": f"{100 * gone.mean():.0f} %",
        **{part or NO_PART: int(gone[images["split"] == part].sum()) for part in parts},
    }


def _image_kind(modality: str, images: pd.DataFrame) -> dict[str, Any]:
    looks = [json.loads(text) for text in images["fingerprint"] if text]
    row: dict[str, Any] = {
        "modality": modality or "(not stated)",
        "unit": ", ".join(sorted(set(images["unit"]) - {""})) or None,
        "n_images": len(images),
    }
    if not looks:
        return row
    import numpy as np

    sizes = np.array([look["size"] for look in looks])
    spacings = np.array([look["spacing_mm"] for look in looks])
    row["size in voxels: median (range)"] = _axes(sizes, "{:.0f}")
    row["spacing in mm: median (range)"] = _axes(spacings, "{:.3g}")
    for key, title in (("p01", "1st percentile"), ("p50", "median intensity"), ("p99", "99th percentile")):
        values = np.array([look[key] for look in looks])
        row[title] = _range(values, "{:,.0f}" if np.abs(values).max() >= 1e4 else "{:.4g}")
    return row


def _range(values: Any, form: str) -> str:
    """Median, and the range where there is one."""
    import numpy as np

    middle, low, high = (form.format(v) for v in (np.median(values), values.min(), values.max()))
    return middle if low == high else f"{middle} ({low} to {high})"


def _axes(values: Any, form: str) -> str:
    def row(numbers: Any) -> str:
        return " x ".join(form.format(n) for n in numbers)

    import numpy as np

    middle, low, high = np.median(values, axis=0), values.min(axis=0), values.max(axis=0)
    return row(middle) if (low == high).all() else f"{row(middle)} ({row(low)} to {row(high)})"


def _structure(name: str, masks: pd.DataFrame) -> dict[str, Any]:
    import numpy as np

    volumes = np.array([json.loads(text)["volume_ml"] for text in masks["fingerprint"] if text], dtype=float)
    there = volumes[volumes > 0]
    return {
        "structure": name,
        "n_masks": len(masks),
        "n_empty": int((volumes == 0).sum()) if len(volumes) else None,
        "volume in ml: median (range)": _range(there, "{:.3g}") if len(there) else None,
    }
