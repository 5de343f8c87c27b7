"""From mask files to the Cases table: one row for each image, structure and metric. Needs no torch.

Two optional text columns of a Predictions table say which voxel values mean a structure: ``label`` in ``payload``
and ``truth_label`` in ``truth_payload`` (``"2"``, or ``"1+2"`` for the union of two values).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.compute import Failure, map_cases
from fiducial.errors import IntegrityError, TableError
from fiducial.maths.segmentation import METRICS, UNITS, empty_reason, labelmap_metrics
from fiducial.records.files import sha256_file
from fiducial.records.progress import Progress, silent
from fiducial.records.tables import CASES, PREDICTIONS, table, validated

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.records.image import Image

VOLUMES = ("volume_ml_predicted", "volume_ml_true")
_IDENTITY = ("study", "model", "member", "fold", "condition", "subject", "image", "target", "item", "split")


@dataclass(frozen=True)
class MaskSettings:
    """How masks are measured; voxels whose truth is ``ignore_label`` count as background on both sides (0: none)."""

    metrics: tuple[str, ...] = METRICS
    tolerance_mm: float = 1.0
    ignore_label: int = 0


@dataclass(frozen=True)
class MeasuredMasks:
    """The Cases table, and the images that could not be measured (their rows hold NaN with a reason)."""

    cases: pd.DataFrame
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class _Structure:
    """A structure of one pair of files, with its voxel values on each side."""

    row: int
    target: str
    values: tuple[int, ...]
    true_values: tuple[int, ...]


@dataclass(frozen=True)
class _FilePair:
    """A predicted mask file and its truth (empty path: none), with recorded digests (empty: none)."""

    payload: str
    payload_sha256: str
    truth: str
    truth_sha256: str
    structures: tuple[_Structure, ...]


def measure_masks(
    predictions: pd.DataFrame,
    *,
    base: str | Path = ".",
    labels: Mapping[str, int] | None = None,
    settings: MaskSettings = MaskSettings(),
    workers: int = 0,
    progress: Progress = silent,
    resume: Path | None = None,
) -> MeasuredMasks:
    """Measure every predicted mask against its truth.

    Rows of kind ``mask`` are gathered by file, so each file is read once. A row without ``truth_payload`` gets its
    predicted volume only. An image whose files are missing, do not share a grid or differ from their recorded
    digest is set aside: its rows hold NaN and a reason that begins with ``case-failed``.

    Args:
        predictions: a Predictions table; columns ``label`` and ``truth_label`` as told above.
        base: folder that relative payload paths start from.
        labels: value of each target where the table has no ``label`` column.
        settings: metrics, tolerance and ignored label.
        workers: processes, 0 for as many as there are cores.
        progress: called as cases finish.
        resume: ledger of finished cases.

    Raises:
        TableError: the table breaks its schema, or a row does not say which voxel value means its structure.
    """
    rows = validated(predictions, PREDICTIONS, where="predictions")
    rows = rows[rows["kind"] == "mask"].reset_index(drop=True)
    done = map_cases(
        partial(_measure_pairs, settings),
        _gathered(rows, Path(base), labels),
        workers=workers,
        progress=progress,
        title="measuring masks",
        resume=resume,
    )
    found = {int(row): values for result in done.results.values() for row, values in result.items()}
    failed = {failure.key: failure for failure in done.failures}
    cases = []
    for i, (row, key) in enumerate(zip(rows.to_dict("records"), _keys(rows), strict=True)):
        record = {name: row[name] for name in _IDENTITY}
        if i in found:
            cases += _case_rows(record, found[i])
        else:
            values = dict.fromkeys((*settings.metrics, *VOLUMES))
            cases += _case_rows(record, values | {"reason": f"case-failed: {failed[key].error}"})
    return MeasuredMasks(table(cases, CASES), done.failures)


def _keys(rows: pd.DataFrame) -> list[str]:
    """One key for each case: the image, and what tells its predictions apart."""
    return [case_key(row) for row in rows.to_dict("records")]


def case_key(row: Mapping[Any, Any]) -> str:
    """A case by its image, and what tells its predictions apart."""
    parts = ("image", "study", "model", "member", "fold", "condition")
    return "|".join(str(row[name]) for name in parts if row[name] not in ("", "clean"))


def _gathered(rows: pd.DataFrame, base: Path, labels: Mapping[str, int] | None) -> dict[str, tuple[_FilePair, ...]]:
    """File pairs of each case, with the structures that each pair holds."""
    pairs: dict[str, dict[tuple[str, str], _FilePair]] = {}
    for i, (key, row) in enumerate(zip(_keys(rows), rows.to_dict("records"), strict=True)):
        where = f"predictions, row {i + 1}"
        if not row["payload"]:
            raise TableError("a mask without payload", where=where, legal="the path of a label map")
        values = _values_of(row.get("label"), row["target"], labels, where)
        true_values = (
            values if not row.get("truth_label") else parsed_values(row["truth_label"], f"{where}, truth_label")
        )
        files = placed(row["payload"], base), placed(row["truth_payload"], base)
        empty = _FilePair(files[0], row["payload_sha256"], files[1], row["truth_payload_sha256"], ())
        pair = pairs.setdefault(key, {}).setdefault(files, empty)
        structure = _Structure(i, row["target"], values, true_values)
        pairs[key][files] = replace(pair, structures=(*pair.structures, structure))
    return {key: tuple(own.values()) for key, own in pairs.items()}


def _values_of(given: Any, target: str, labels: Mapping[str, int] | None, where: str) -> tuple[int, ...]:
    """Voxel values of a structure, from its row or by its name."""
    if given:
        return parsed_values(given, f"{where}, label")
    if labels is not None and target in labels:
        return (int(labels[target]),)
    raise TableError(
        f"structure {target!r} without a voxel value",
        where=where,
        legal="a column label, such as 2 or 1+2",
        action="add the column, or name the structure in labels",
    )


def parsed_values(text: Any, where: str) -> tuple[int, ...]:
    """Voxel values of ``"2"`` or ``"1+2"``."""
    try:
        values = tuple(int(float(part)) for part in str(text).split("+"))
    except ValueError:
        values = (0,)
    if min(values) < 1:
        raise TableError(f"label {text!r}", where=where, legal="a voxel value from 1 on, or several joined by +")
    return values


def joined_values(values: tuple[int, ...]) -> str:
    """``2``, or ``1+2`` for the union of two values."""
    return "+".join(map(str, values))


def placed(path: str, base: Path) -> str:
    """A path below ``base``; an absolute one, and none, stay as they are."""
    return str(base / path) if path else ""


def _measure_pairs(settings: MaskSettings, pairs: tuple[_FilePair, ...]) -> dict[str, dict[str, Any]]:
    """Metrics of one case's structures, by row number; JSON values (None for NaN)."""
    result: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        prediction = verified_mask(pair.payload, pair.payload_sha256)
        truth = verified_mask(pair.truth, pair.truth_sha256) if pair.truth else None
        if truth is not None:
            prediction.geometry.require_match(truth.geometry, where=f"{pair.payload} and {pair.truth}")
        for row, values in _measured(prediction, truth, pair.structures, settings).items():
            result[str(row)] = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
    return result


def _measured(
    prediction: Image, truth: Image | None, structures: tuple[_Structure, ...], settings: MaskSettings
) -> dict[int, dict[str, Any]]:
    """Metrics and volumes of each structure of two label maps on one grid."""
    geometry = prediction.geometry
    predicted: Any = prediction.array[0]
    if truth is None:
        counts = {s.row: int(np.isin(predicted, s.values).sum()) for s in structures}
        return {row: {"volume_ml_predicted": n * geometry.voxel_ml, "reason": ""} for row, n in counts.items()}
    true: Any = truth.array[0]
    if settings.ignore_label:
        ignored = true == settings.ignore_label
        predicted, true = np.where(ignored, 0, predicted), np.where(ignored, 0, true)
    found = labelmap_metrics(
        predicted,
        true,
        {str(s.row): s.values for s in structures},
        geometry.spacing_mm,
        metrics=settings.metrics,
        tolerance_mm=settings.tolerance_mm,
        truth_labels={str(s.row): s.true_values for s in structures},
    )
    result: dict[int, dict[str, Any]] = {}
    for row, values in found.items():
        sizes = values.pop("n_voxels_predicted"), values.pop("n_voxels_true")
        volumes = dict(zip(VOLUMES, (n * geometry.voxel_ml for n in sizes), strict=True))
        result[int(row)] = values | volumes | {"reason": empty_reason(int(sizes[0]), int(sizes[1]))}
    return result


def verified_mask(path: str, digest: str) -> Image:
    """A label map whose digest, if recorded, was checked."""
    from fiducial.archive import read_mask

    if digest and sha256_file(path) != digest:
        raise IntegrityError("the mask differs from its recorded digest", where=path, action="predict or pair it again")
    return read_mask(path)


def _case_rows(record: Mapping[Any, Any], values: dict[str, Any]) -> list[dict[str, Any]]:
    """Cases rows of one structure; the reason stands where a value is missing."""
    reason = values.pop("reason")
    units = {**UNITS, **dict.fromkeys(VOLUMES, "ml")}
    return [
        {
            **record,
            "metric": metric,
            "value": math.nan if value is None else value,
            "unit": units[metric],
            "reason": reason if value is None else "",
        }
        for metric, value in values.items()
    ]
