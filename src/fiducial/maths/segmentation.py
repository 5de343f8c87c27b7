"""How well a mask agrees with the truth: overlap and surface distance of one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Bools, paired_masks
from fiducial.maths.surface import Distances, surface_distances

METRICS = ("dice", "iou", "hd95", "masd", "nsd")
UNITS = {"dice": "", "iou": "", "hd95": "mm", "masd": "mm", "nsd": ""}
SURFACE_METRICS = ("hd95", "masd", "nsd")
EMPTY_REASONS = ("", "both-empty", "prediction-empty", "truth-empty")


def empty_reason(n_predicted: int, n_true: int) -> str:
    """Which of two masks is empty, by their voxel counts: one of `EMPTY_REASONS`."""
    if n_predicted and n_true:
        return ""
    if n_predicted or n_true:
        return "truth-empty" if n_predicted else "prediction-empty"
    return "both-empty"


def segmentation_metrics(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    spacing_mm: Sequence[float],
    *,
    metrics: Sequence[str] = METRICS,
    tolerance_mm: float = 1.0,
) -> dict[str, float]:
    """Overlap and surface distance of one predicted mask.

    With P and T the voxels of prediction and truth, and d(P), d(T) the distances of `surface_distances` from the
    surface of P to that of T and back:

    - ``dice`` = 2 |P and T| / (|P| + |T|); ``iou`` = |P and T| / |P or T|;
    - ``hd95`` = max(95th percentile of d(P), 95th percentile of d(T)), mm (linear interpolation);
    - ``masd`` = (mean d(P) + mean d(T)) / 2, mm;
    - ``nsd`` = (number of d(P) <= tolerance + number of d(T) <= tolerance) / (number of d(P) + of d(T)).

    Edge cases: both masks empty give overlap 1, distances 0 and nsd 1; one empty gives overlap 0, distances NaN and
    nsd 0 (`empty_reason` says which). An axis of length 1 carries no surface, so a 2-D image with z = 1 is measured
    by its outline.

    Args:
        prediction: bool [x, y, z] or [x, y].
        truth: bool, the same shape.
        spacing_mm: distance of neighbouring voxels along each axis, in mm.
        metrics: which of `METRICS`; surfaces are searched only if one of them needs it.
        tolerance_mm: largest distance at which a surface voxel counts as found, for ``nsd``.

    Raises:
        GeometryError: shapes differ, or the spacing does not fit.
        InputRefused: an unknown metric or a negative tolerance.

    Source: Maier-Hein et al., Metrics reloaded, Nature Methods 21 (2024); Nikolov et al., J Med Internet Res 23
    (2021) e26151 for nsd.
    """
    _require_legal(metrics, tolerance_mm)
    paired_masks(prediction, truth, spacing_mm)
    predicted, true = np.asarray(prediction, dtype=bool), np.asarray(truth, dtype=bool)
    box = _bounding_box(predicted | true)
    return _measured(predicted[box], true[box], spacing_mm, predicted.shape, metrics=metrics, tolerance_mm=tolerance_mm)


def labelmap_metrics(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    labels: Mapping[str, int | Sequence[int]],
    spacing_mm: Sequence[float],
    *,
    metrics: Sequence[str] = METRICS,
    tolerance_mm: float = 1.0,
    truth_labels: Mapping[str, int | Sequence[int]] | None = None,
) -> dict[str, dict[str, float]]:
    """`segmentation_metrics` of each structure of two label maps, and the voxel counts of both.

    The bounding boxes of all values are found in one pass; each structure is then measured inside the box that
    holds its prediction and its truth.

    Args:
        prediction: integers [x, y, z] or [x, y].
        truth: integers, the same shape.
        labels: the value of each structure in ``prediction``; several values mean their union (a region).
        spacing_mm: distance of neighbouring voxels along each axis, in mm.
        metrics: which of `METRICS`.
        tolerance_mm: for ``nsd``.
        truth_labels: values in ``truth`` where they differ from ``labels``.

    Returns:
        For each structure its metrics, ``n_voxels_predicted`` and ``n_voxels_true``.

    Raises:
        GeometryError: shapes differ, or the spacing does not fit.
        InputRefused: an unknown metric, a negative tolerance, a label below 1, or an array that holds no integers.
    """
    _require_legal(metrics, tolerance_mm)
    paired_masks(prediction, truth, spacing_mm)
    predicted, true = _integers(prediction, "prediction"), _integers(truth, "truth")
    shape, spacing = predicted.shape, tuple(spacing_mm)
    if predicted.flags.f_contiguous and true.flags.f_contiguous:  # as nibabel reads; transposed they lie in C order
        predicted, true, shape, spacing = predicted.T, true.T, shape[::-1], spacing[::-1]
    values = {name: _values(name, value) for name, value in labels.items()}
    true_values = values if truth_labels is None else {name: _values(name, truth_labels[name]) for name in labels}
    boxes, true_boxes = _boxes(predicted, values), _boxes(true, true_values)
    results: dict[str, dict[str, float]] = {}
    for name in labels:
        box = _union([boxes[v] for v in values[name]] + [true_boxes[v] for v in true_values[name]], len(shape))
        results[name] = _measured(
            _of_values(predicted[box], values[name]),
            _of_values(true[box], true_values[name]),
            spacing,
            shape,
            metrics=metrics,
            tolerance_mm=tolerance_mm,
            counts=True,
        )
    return results


def _require_legal(metrics: Sequence[str], tolerance_mm: float) -> None:
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise InputRefused(f"metric {unknown[0]!r}", legal=", ".join(METRICS))
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise InputRefused(f"tolerance of {tolerance_mm} mm", legal="0 or more")


def _measured(
    prediction: Bools,
    truth: Bools,
    spacing_mm: Sequence[float],
    full_shape: tuple[int, ...],
    *,
    metrics: Sequence[str],
    tolerance_mm: float,
    counts: bool = False,
) -> dict[str, float]:
    """Metrics of two crops; ``full_shape`` tells which axes are axes of the object."""
    n_predicted, n_true = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
    n_both = int(np.count_nonzero(prediction & truth))
    empty = empty_reason(n_predicted, n_true)
    found: dict[str, float] = {
        "dice": 1.0 if empty == "both-empty" else 2 * n_both / (n_predicted + n_true),
        "iou": 1.0 if empty == "both-empty" else n_both / (n_predicted + n_true - n_both),
    }
    if empty:
        none = 0.0 if empty == "both-empty" else float("nan")
        found |= {"hd95": none, "masd": none, "nsd": 1.0 if empty == "both-empty" else 0.0}
    elif any(name in SURFACE_METRICS for name in metrics):
        found |= _surface_metrics(*_distances(prediction, truth, spacing_mm, full_shape), tolerance_mm)
    result = {name: found[name] for name in metrics}
    return result | {"n_voxels_predicted": n_predicted, "n_voxels_true": n_true} if counts else result


def _distances(
    prediction: Bools, truth: Bools, spacing_mm: Sequence[float], full_shape: tuple[int, ...]
) -> tuple[Distances, Distances]:
    """Surface distances of two crops of one larger array.

    A crop may be one voxel thick along an axis that is longer in the full array; it is padded there, so that its
    faces still count as surface.
    """
    thin = [(0, 1) if n == 1 and full > 1 else (0, 0) for n, full in zip(prediction.shape, full_shape, strict=True)]
    if any(after for _, after in thin):
        prediction, truth = np.pad(prediction, thin), np.pad(truth, thin)
    return surface_distances(prediction, truth, spacing_mm)


def _surface_metrics(from_prediction: Distances, from_truth: Distances, tolerance_mm: float) -> dict[str, float]:
    within = np.float32(tolerance_mm)  # the distances are float32: 3 x 0.7 mm is within 2.1 mm
    n_within = np.count_nonzero(from_prediction <= within) + np.count_nonzero(from_truth <= within)
    return {
        "hd95": float(max(np.quantile(from_prediction, 0.95), np.quantile(from_truth, 0.95))),
        "masd": float((from_prediction.mean(dtype=np.float64) + from_truth.mean(dtype=np.float64)) / 2),
        "nsd": float(n_within / (len(from_prediction) + len(from_truth))),
    }


def _bounding_box(mask: Bools) -> tuple[slice, ...]:
    """The smallest box that holds every true voxel; an empty box at the origin if there is none."""
    box = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, 0))
    return tuple(box)


def _integers(array: NDArray[Any], name: str) -> NDArray[np.integer[Any]]:
    if array.dtype == bool:
        return np.asarray(array).view(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputRefused(f"a {name} of {array.dtype}", legal="an array of integers (a label map)")
    return array


def _values(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    values = (int(value),) if isinstance(value, (int, np.integer)) else tuple(int(v) for v in value)
    if not values or min(values) < 1:
        raise InputRefused(f"label {value} of structure {name!r}", legal="integers from 1 on; 0 is the background")
    return values


def _boxes(
    labelmap: NDArray[np.integer[Any]], values: Mapping[str, tuple[int, ...]]
) -> dict[int, tuple[slice, ...] | None]:
    """The bounding box of each value, None where it does not occur."""
    from scipy.ndimage import find_objects

    wanted = sorted({v for group in values.values() for v in group})
    found = find_objects(labelmap, max_label=max(wanted, default=1))
    return {v: found[v - 1] for v in wanted}


def _union(boxes: Sequence[tuple[slice, ...] | None], n_axes: int) -> tuple[slice, ...]:
    given = [box for box in boxes if box is not None]
    if not given:
        return (slice(0, 0),) * n_axes
    return tuple(slice(min(b[a].start for b in given), max(b[a].stop for b in given)) for a in range(n_axes))


def _of_values(labelmap: NDArray[np.integer[Any]], values: tuple[int, ...]) -> Bools:
    mask: Bools = labelmap == values[0]
    for value in values[1:]:
        mask |= labelmap == value
    return mask
