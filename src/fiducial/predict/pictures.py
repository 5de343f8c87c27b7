"""Pictures of cases for the report: which cases, and how each is drawn. Needs no torch.

Volumes are shown as radiologists read them: the patient's right is on the left of the picture, anterior or superior
is up; in a sagittal plane anterior is on the left. Letters at the edges say so, a bar gives the scale in
millimetres. Plain pictures (no patient axes) are shown as they are, without letters or bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import FiducialError, LabelError
from fiducial.predict.drawing import Contours, View, Window, draw_planes, draw_slice, window_of
from fiducial.records.picture import PICTURE_KIND, Picture

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.records.image import Image

KINDS: tuple[PICTURE_KIND, ...] = ("worst", "typical", "best")
Load = Callable[[str], "Image | None"]


@dataclass(frozen=True)
class Selection:
    """Image ids: ``best`` from the best down, ``worst`` from the worst up, ``typical`` around the median."""

    best: tuple[str, ...]
    typical: tuple[str, ...]
    worst: tuple[str, ...]

    def items(self) -> list[tuple[PICTURE_KIND, str]]:
        """(kind, image id), worst first."""
        return [(kind, image) for kind in KINDS for image in getattr(self, kind)]


@dataclass(frozen=True)
class MaskCase:
    """What is drawn of one segmentation: label maps [x, y, z] and the values that mean each structure."""

    image: Image | None
    predicted: Image
    truth: Image | None
    values: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    true_values: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def select_cases(cases: pd.DataFrame, metric: str = "dice", n: int = 3) -> Selection:
    """Best, typical and worst images by the mean of a metric over structures; no image twice, ties by id.

    Args:
        cases: Cases rows (one split, final predictions).
        metric: a per-case metric; distances count smaller as better.
        n: how many of each kind; fewer where there are not enough images.

    Raises:
        LabelError: no case has this metric.
    """
    rows = cases[(cases["metric"] == metric) & cases["value"].notna()]
    if not len(rows):
        legal = ", ".join(sorted(set(cases["metric"])))
        raise LabelError(f"no case has a value of {metric!r}", where="cases, column metric", legal=legal)
    means = rows.groupby("image", sort=True)["value"].mean()
    sign = -1.0 if metric in ("hd95", "masd", "error") else 1.0
    return _selected([(sign * float(value), str(image)) for image, value in means.items()], n)


def select_scores(predictions: pd.DataFrame, target: str, n: int = 3) -> Selection:
    """Best, typical and worst images by the distance of the score from the truth.

    The error is ``|value - truth|``; with several classes, 1 minus the probability of the true one.

    Raises:
        LabelError: no row of this target has both a score and a truth.
    """
    rows = predictions[(predictions["kind"] == "score") & (predictions["target"] == target)]
    rows = rows[rows["value"].notna() & rows["truth"].notna()]
    if not len(rows):
        raise LabelError(f"no scored row of target {target!r} has a truth", where="predictions, column truth")
    error = (rows["value"] - rows["truth"]).abs().where((rows["item"] == "") | (rows["truth"] == 1))
    worst = error.groupby(rows["image"]).max().dropna()
    return _selected([(-float(value), str(image)) for image, value in worst.items()], n)


def _selected(scored: Sequence[tuple[float, str]], n: int) -> Selection:
    """Divide images by their goodness (larger is better)."""
    ordered = [image for _, image in sorted(scored, key=lambda pair: (-pair[0], pair[1]))]
    n_each = min(n, len(ordered) // 2) or min(n, 1)
    best = ordered[:n_each]
    worst = list(reversed(ordered[n_each:]))[:n_each]
    rest = [image for image in ordered if image not in best and image not in worst]
    first = max(0, (len(rest) - n) // 2)
    return Selection(tuple(best), tuple(rest[first : first + n]), tuple(worst))


def draw_masks(
    cases: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    base: str | Path = ".",
    load: Load | None = None,
    metric: str = "dice",
    n: int = 3,
) -> tuple[Picture, ...]:
    """Pictures of the best, typical and worst segmentations.

    Args:
        cases: Cases of the part that is shown.
        predictions: mask rows with ``payload``, ``truth_payload`` and their voxel values (``label``, ``truth_label``).
        base: folder that relative payload paths start from.
        load: gives the image of an id, or None; without it only the outlines are drawn.
        metric: orders the cases.
        n: how many of each kind.

    Returns:
        The pictures; a case whose files cannot be read is left out, never a stop.
    """
    pictures = []
    for kind, name in select_cases(cases, metric, n).items():
        rows = predictions[(predictions["image"] == name) & (predictions["kind"] == "mask")]
        try:
            case = _mask_case(rows, Path(base), load(name) if load is not None else None)
            if case is not None:
                pictures.append(mask_picture(name, case, kind=kind, values=_values(cases, name, metric), metric=metric))
        except (FiducialError, OSError):
            continue
    return tuple(pictures)


def draw_scores(
    predictions: pd.DataFrame,
    target: str,
    *,
    load: Load,
    focus: Callable[[str], NDArray[np.bool_] | None] | None = None,
    n: int = 3,
) -> tuple[Picture, ...]:
    """Pictures of the best, typical and worst scores of one target.

    Args:
        predictions: score rows of the part that is shown.
        target: the target.
        load: gives the image of an id, or None (the case is then left out).
        focus: gives a mask [x, y, z] that the picture is centred on, or None for the middle of the volume.
        n: how many of each kind.
    """
    pictures = []
    rows = predictions[(predictions["kind"] == "score") & (predictions["target"] == target)]
    for kind, name in select_scores(predictions, target, n).items():
        own = rows[rows["image"] == name]
        try:
            image = load(name)
            if image is None:
                continue
            region = focus(name) if focus is not None else None
        except (FiducialError, OSError):
            continue
        pictures.append(score_picture(name, image, kind=kind, said=_score_text(own, target), focus=region))
    return tuple(pictures)


def mask_picture(
    name: str, case: MaskCase, *, kind: PICTURE_KIND, values: Mapping[str, float], metric: str = "dice"
) -> Picture:
    """One segmentation: the slice where prediction and reference differ most, with both outlines.

    The plane is the one that the volume was acquired in (axial unless another axis has clearly thicker slices). The
    slice holds the most voxels on which any structure differs; without a difference, the most reference voxels.
    """
    ground = case.image or case.truth or case.predicted
    view = View.of(ground)
    predicted = [view.oriented(mask) for mask in _each(case.predicted, case.values)]
    truth = [view.oriented(mask) for mask in _each(case.truth, case.true_values)] if case.truth is not None else []
    index = _slice_of_most_difference(predicted, truth, view.axis)
    voxels = view.oriented(np.asarray(case.image.array)) if case.image is not None else None
    window = None
    if case.image is not None and voxels is not None:
        focus = np.any([mask[0] for mask in (*truth, *predicted)], axis=0) if predicted else None
        window = window_of(case.image, voxels, focus, view.spacing_mm)
    png = draw_slice(view, voxels, index=index, window=window, contours=Contours(tuple(truth), tuple(predicted)))
    label = {"dice": "Dice", "iou": "IoU", "nsd": "NSD", "hd95": "HD95", "masd": "MASD"}.get(metric, metric)
    unit = " mm" if metric in ("hd95", "masd") else ""
    listed = ", ".join(f"{target} {value:.2f}{unit}" for target, value in values.items())
    parts = [f"{label}: {listed}." if listed else "", view.words(index), window.text if window is not None else ""]
    return Picture(name, " ".join(part for part in parts if part), png, kind)


def score_picture(
    name: str,
    image: Image,
    *,
    kind: PICTURE_KIND,
    said: str,
    focus: NDArray[np.bool_] | None = None,
    window: Window | None = None,
) -> Picture:
    """One classified image: three planes through the middle of a volume (or of ``focus``), or the picture itself.

    Without a ``window``, grey values are shown as `window_of` says.
    """
    view = View.of(image)
    voxels = view.oriented(np.asarray(image.array))
    region = None if focus is None or not focus.any() else view.oriented(focus[np.newaxis])[0]
    window = window or window_of(image, voxels, region, view.spacing_mm)
    png = draw_planes(view, voxels, window=window, focus=region)
    return Picture(name, " ".join(part for part in (said, window.text) if part), png, kind)


def _mask_case(rows: pd.DataFrame, base: Path, image: Image | None) -> MaskCase | None:
    """Read the label maps of one image; structures in files of their own are gathered into one map."""
    from fiducial.archive import read_mask

    records = rows.drop_duplicates("target").to_dict("records")
    if not records or not records[0]["payload"]:
        return None
    values: dict[str, tuple[int, ...]] = {}
    true_values: dict[str, tuple[int, ...]] = {}
    maps: dict[str, list[Any]] = {"payload": [], "truth_payload": []}
    for place, row in enumerate(records, start=1):
        for column, found, stated in (
            ("payload", values, row.get("label")),
            ("truth_payload", true_values, row.get("truth_label") or row.get("label")),
        ):
            if not row[column]:
                continue
            read = read_mask(base / row[column])
            wanted = _numbers(stated)
            array = np.asarray(read.array, dtype=np.int64)
            inside = np.isin(array, wanted) if wanted else array > 0
            maps[column].append((read, inside, place))
            found[str(row["target"])] = (place,)
    predicted, truth = _gathered(maps["payload"]), _gathered(maps["truth_payload"])
    return None if predicted is None else MaskCase(image, predicted, truth, values, true_values)


def _gathered(parts: Sequence[tuple[Image, NDArray[np.bool_], int]]) -> Image | None:
    """One label map from several structures; a later structure covers an earlier one where they overlap."""
    if not parts:
        return None
    first = parts[0][0]
    whole = np.zeros(first.array.shape, dtype=np.int16)
    for read, inside, value in parts:
        first.geometry.require_match(read.geometry)
        whole[inside] = value
    return first.with_array(whole)


def _numbers(stated: Any) -> tuple[int, ...]:
    """Voxel values of ``"2"``, ``2`` or ``"1+2"``; none where nothing is stated."""
    text = "" if stated is None else str(stated)
    return () if text in ("", "nan") else tuple(int(float(part)) for part in text.split("+"))


def _each(labelled: Image | None, values: Mapping[str, tuple[int, ...]]) -> list[NDArray[np.bool_]]:
    """A boolean array [1, x, y, z] for each structure; without values, everything above 0 is one structure."""
    if labelled is None:
        return []
    array = np.asarray(labelled.array)
    return [np.isin(array, own) for own in values.values()] if values else [array > 0]


def _slice_of_most_difference(
    predicted: Sequence[NDArray[np.bool_]], truth: Sequence[NDArray[np.bool_]], axis: int
) -> int:
    """Index along ``axis`` with the most differing voxels; then the most of the reference, then the middle."""
    others = tuple(k for k in range(4) if k != axis + 1)
    if len(truth) == len(predicted):
        differ = np.sum([(p != t).sum(axis=others) for p, t in zip(predicted, truth, strict=True)], axis=0)
        if differ.any():
            return int(differ.argmax())
    inside = np.sum([mask.sum(axis=others) for mask in (truth or predicted)], axis=0)
    return int(inside.argmax()) if inside.any() else len(inside) // 2


def _values(cases: pd.DataFrame, name: str, metric: str) -> dict[str, float]:
    rows = cases[(cases["image"] == name) & (cases["metric"] == metric) & cases["value"].notna()]
    return {str(target): float(value) for target, value in zip(rows["target"], rows["value"], strict=True)}


def _score_text(rows: pd.DataFrame, target: str) -> str:
    """``malignant: score 0.91, reference positive.``, or the class that was meant and the one that was said."""
    if not len(rows):
        return ""
    first = rows.iloc[0]
    if first["item"] == "":
        truth = "" if first["truth"] != first["truth"] else ("positive" if first["truth"] == 1 else "negative")
        return f"{target}: score {first['value']:.2f}" + (f", reference {truth}." if truth else ".")
    said = rows.sort_values("value", kind="stable").iloc[-1]
    meant = rows[rows["truth"] == 1]
    text = f"{target}: {said['item']} ({said['value']:.2f})"
    return text + (f", reference {meant.iloc[0]['item']} ({meant.iloc[0]['value']:.2f})." if len(meant) else ".")
