"""Probability maps of structures: kept in steps of half a percent, and how much of a structure each cut would miss.

A mask says yes or no; a map lets a threshold be chosen so that little of a structure is missed (conformal risk
control). A run keeps the maps of the calibration and the test part; here they become rows of the Cases table. Needs no
torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.compute import map_cases
from fiducial.predict.measure import MeasuredMasks, case_key, parsed_values, placed, verified_mask
from fiducial.records.progress import Progress, silent
from fiducial.records.tables import CASES, PREDICTIONS, PROBABILITY, table, validated

if TYPE_CHECKING:
    import pandas as pd

STEPS = 200
"""A map's voxel holds floor(200 p): a cut at any multiple of 0.005 is exact."""
THRESHOLDS = (*(k / 20 for k in range(19, 0, -1)), 0.02, 0.01, 0.005)
MISSED, SIZE = "fnr@", "size@"
PARTS = ("calibration", "test")
"""A threshold is chosen on one and judged on the other; no other part needs a map."""
_IDENTITY = ("study", "model", "member", "fold", "condition", "subject", "image", "target", "split")


def in_steps(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """floor(200 p) of probabilities in [0, 1], any shape."""
    return np.floor(np.clip(probability, 0.0, 1.0).astype(np.float64) * STEPS).astype(np.uint8)


def missed_and_size(steps: NDArray[Any], truth: NDArray[np.bool_]) -> dict[str, float]:
    """What cutting a map at each threshold t (a voxel counts from p >= t on) misses, and how large the mask gets.

    ``fnr@t`` is the share of the true voxels that lie below t; ``size@t`` the voxels from t on, as a multiple of the
    true ones. Empty where nothing is true: neither exists then.

    Args:
        steps: a map as `in_steps` makes it [x, y, z].
        truth: the reference on the same grid.
    """
    n_true = int(truth.sum())
    if not n_true:
        return {}
    inside, everywhere = (np.bincount(part.reshape(-1), minlength=STEPS + 1) for part in (steps[truth], steps))
    kept, size = (counts[::-1].cumsum()[::-1] for counts in (inside, everywhere))
    found = {}
    for threshold in THRESHOLDS:
        place = round(threshold * STEPS)
        found[f"{MISSED}{threshold:g}"] = 1 - float(kept[place]) / n_true
        found[f"{SIZE}{threshold:g}"] = float(size[place]) / n_true
    return found


def measure_maps(
    predictions: pd.DataFrame, *, base: str | Path = ".", workers: int = 0, progress: Progress = silent
) -> MeasuredMasks:
    """Measure every probability map against its truth: rows ``fnr@t`` and ``size@t`` of the Cases table.

    Rows of kind ``image`` and item ``probability`` are read; one without a reference, or whose reference is empty,
    gives no row. A map that cannot be read, lies on another grid or differs from its digest is set aside: one row
    holds NaN and the reason.

    Args:
        predictions: a Predictions table; ``truth_label`` as `measure_masks` takes it.
        base: folder that relative paths start from.
        workers: processes, 0 for as many as there are cores.
        progress: called as cases finish.
    """
    rows = validated(predictions, PREDICTIONS, where="predictions")
    rows = rows[(rows["kind"] == "image") & (rows["item"] == PROBABILITY) & (rows["truth_payload"] != "")]
    records: dict[str, Mapping[Any, Any]] = {f"{case_key(row)}|{row['target']}": row for row in rows.to_dict("records")}
    asked = {key: _asked(row, Path(base), f"map of {key}") for key, row in records.items()}
    done = map_cases(_measure, asked, workers=workers, progress=progress, title="measuring probability maps")
    failed = {failure.key: f"case-failed: {failure.error}" for failure in done.failures}
    cases = []
    for key, row in records.items():
        own = {name: row[name] for name in _IDENTITY}
        if key in failed:
            cases.append({**own, "metric": f"{MISSED}{THRESHOLDS[0]:g}", "value": math.nan, "reason": failed[key]})
        cases += [{**own, "metric": metric, "value": value} for metric, value in done.results.get(key, {}).items()]
    return MeasuredMasks(table(cases, CASES), done.failures)


def _asked(row: Mapping[str, Any], base: Path, where: str) -> dict[str, Any]:
    """Two files with their digests, and the values that mean the structure in the reference."""
    names = ("payload", "truth_payload")
    files = [(placed(row[name], base), row[f"{name}_sha256"]) for name in names]
    return {"files": files, "values": parsed_values(row.get("truth_label") or "1", f"{where}, truth_label")}


def _measure(asked: Mapping[str, Any]) -> dict[str, float]:
    """One map against one reference."""
    found, truth = (verified_mask(path, digest) for path, digest in asked["files"])
    found.geometry.require_match(truth.geometry, where=f"{asked['files'][0][0]} and {asked['files'][1][0]}")
    return missed_and_size(np.asarray(found.array[0]), np.isin(truth.array[0], asked["values"]))
