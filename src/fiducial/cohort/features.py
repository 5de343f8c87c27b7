"""Each image's figures as one row of numbers: grid, intensities and quality, from the fingerprints."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.cohort.quality import MEASURES, Measure
from fiducial.cohort.table import images_of

if TYPE_CHECKING:
    import pandas as pd

GRID = (
    *(Measure(f"size_{a}", f"Size along {a}", "voxels", "log", "voxels along this axis") for a in "xyz"),
    *(Measure(f"spacing_{a}_mm", f"Spacing along {a}", "mm", "log", "distance of voxel centres") for a in "xyz"),
)
INTENSITIES = (
    Measure("p01", "1st percentile", "image", "level", "of all voxels"),
    Measure("p50", "Median intensity", "image", "level", "of all voxels"),
    Measure("p99", "99th percentile", "image", "level", "of all voxels"),
    Measure("std", "Spread of intensities", "image", "log", "standard deviation of all voxels"),
)
FEATURES = (*GRID, *INTENSITIES, *MEASURES)
"""Every figure of an image, in order; `feature_table` has a column for each that some image has."""
IDS = ("image", "subject", "site", "modality", "unit")


@dataclass(frozen=True)
class FeatureTable:
    """``frame``: one row for each image that was fingerprinted, `IDS` first; ``features``: the columns of numbers."""

    frame: pd.DataFrame
    features: tuple[Measure, ...]


def feature_table(cohort: pd.DataFrame) -> FeatureTable:
    """Figures of every image of a cohort; a figure that no image has is left out, one that some lack is NaN there."""
    import pandas as pd

    images = images_of(cohort)
    images = images[images["fingerprint"] != ""]
    rows = [_row(json.loads(text)) for text in images["fingerprint"]]
    frame = images[list(IDS)].reset_index(drop=True)
    here = tuple(feature for feature in FEATURES if any(feature.key in row for row in rows))
    columns = {f.key: [row.get(f.key, math.nan) for row in rows] for f in here}
    return FeatureTable(pd.concat([frame, pd.DataFrame(columns, dtype=float)], axis=1), here)


def _row(look: dict[str, Any]) -> dict[str, float]:
    found = {f"size_{a}": float(n) for a, n in zip("xyz", look["size"], strict=True)}
    found |= {f"spacing_{a}_mm": float(s) for a, s in zip("xyz", look["spacing_mm"], strict=True)}
    found |= {f.key: float(look[f.key]) for f in INTENSITIES if f.key in look}
    return found | {key: float(value) for key, value in look.get("quality", {}).items()}


def compared(values: NDArray[np.float64], feature: Measure, *, spread: float = 1.0) -> NDArray[np.float64]:
    """Values on the scale on which a figure is compared.

    ``log``: logarithms, of at least a thousandth of the median of what is positive, so that a 0 is small but finite.
    ``share``: the arc sine of the root. ``level``: in parts of ``spread``, the images' usual standard deviation, and
    as the inverse hyperbolic sine of it, since the scale of many images is arbitrary. ``plain``: as it is.
    """
    if feature.scale == "log":
        positive = values[values > 0]
        floor = 1e-3 * float(np.median(positive)) if positive.size else 1.0
        return np.asarray(np.log(np.maximum(values, floor)))
    if feature.scale == "share":
        return np.asarray(np.arcsin(np.sqrt(np.clip(values, 0, 1))))
    if feature.scale == "level":
        return np.asarray(np.arcsinh(values / spread))
    return values


def on_scale(rows: pd.DataFrame, feature: Measure) -> NDArray[np.float64]:
    """A column of a feature table on its scale; levels in parts of the median standard deviation of these images."""
    spread = float(rows["std"].median()) if feature.scale == "level" else 1.0
    return compared(rows[feature.key].to_numpy(dtype=np.float64), feature, spread=spread if spread > 0 else 1.0)


def words_of(values: pd.Series[Any]) -> pd.Series[Any]:
    """A column as text: missing values empty, numbers to four digits."""

    def word(value: Any) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        return f"{value:.4g}" if isinstance(value, float) else str(value).strip()

    return values.map(word)
