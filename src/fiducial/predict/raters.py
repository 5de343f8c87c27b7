"""Masks that several raters drew: how far they agree, image by image, as rows of the Cases table. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.compute import map_cases
from fiducial.errors import InputRefused
from fiducial.maths.agreement import pairwise_dice, staple
from fiducial.predict.exams import resolve
from fiducial.predict.folders import MASK_SUFFIXES, Names, dataset_json, mask_files, stem
from fiducial.predict.measure import MeasuredMasks, joined_values, parsed_values, placed, verified_mask
from fiducial.records.progress import Progress, silent
from fiducial.records.tables import CASES, PREDICTIONS, table, validated

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.records.image import Image

PAIR, CONSENSUS, SENSITIVITY, REFERENCE = "pairwise_dice", "consensus_dice", "staple_sensitivity", "reference_dice"
LEAST_RATERS = 2
_IDENTITY = ("subject", "image", "target", "split")


@dataclass(frozen=True)
class RatedFolders:
    """Folders of masks, one for each rater, as a Predictions table; ``notes`` say what was left out."""

    predictions: pd.DataFrame
    raters: tuple[str, ...]
    notes: tuple[str, ...]


def is_rater_folder(folder: Path) -> bool:
    """Whether a folder holds two folders or more that hold masks: one for each rater."""
    return len(_rater_folders(folder)) >= LEAST_RATERS


def rated_folders(
    folder: str | Path,
    *,
    structures: Mapping[str, str] | None = None,
    truth: Mapping[tuple[str, str], tuple[str, str]] | None = None,
) -> RatedFolders:
    """Masks of several raters: a folder for each, in which files of one name are of one image.

    Structure names come from ``dataset.json`` in the folder of the raters, or in that of a rater; without one they are
    those of ``structures``, and without these every voxel value is ``label_<value>``.

    Args:
        folder: holds a folder for each rater, named after them.
        structures: voxel values (``2``, ``1+2``) by the name of each structure.
        truth: reference file and voxel values by image and structure, where there is a reference.

    Raises:
        InputRefused: fewer than two folders of masks, no file name in two of them, or every mask is empty.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise InputRefused("no such folder", where=str(folder), action="give a folder that holds one for each rater")
    raters = _rater_folders(folder)
    if len(raters) < LEAST_RATERS:
        found = ", ".join(sorted(raters)) or "none"
        raise InputRefused(
            f"masks of {len(raters)} rater ({found})",
            where=str(folder),
            legal=f"two folders or more of {', '.join(MASK_SUFFIXES)} files, each named after a rater",
        )
    files = {rater: mask_files(own) for rater, own in raters.items()}
    seen = sorted({name for own in files.values() for name in own})
    shared = [name for name in seen if sum(name in own for own in files.values()) >= LEAST_RATERS]
    if not shared:
        raise InputRefused(
            f"no file name occurs in two folders of raters, e.g. {seen[0]}",
            where=str(folder),
            legal="equal file names for equal images",
        )
    named = next((n for n in (dataset_json(own) for own in (folder, *raters.values())) if n.source), Names())
    drawn = {name: joined_values(values) for name, values in named.structures.items()} or dict(structures or {})
    drawn = drawn or _by_value(files, shared, folder)
    rows = []
    for rater, own in files.items():
        for name in (name for name in shared if name in own):
            for structure, values in drawn.items():
                row = {"subject": stem(name), "image": stem(name), "target": structure, "kind": "mask", "rater": rater}
                row |= {"payload": str(own[name]), "label": values}
                reference = (truth or {}).get((stem(name), structure), ("", ""))
                rows.append(row | {"truth_payload": reference[0], "truth_label": reference[1]})
    alone = [name for name in seen if name not in shared]
    notes = [f"seen by one rater only: {len(alone)} of {len(seen)} images, such as {alone[0]}"] if alone else []
    return RatedFolders(table(rows, PREDICTIONS), tuple(files), tuple(notes))


def raters_of_cohort(cohort: pd.DataFrame, folder: Path, images: set[str]) -> pd.DataFrame:
    """Masks of a cohort's raters for some images as a Predictions table, each with the reference if there is one."""
    masks = cohort[(cohort["role"] == "mask") & cohort["of"].isin(images)]
    own = cohort[cohort["role"] == "image"].drop_duplicates("image").set_index("image")
    references = {(row["of"], row["structure"]): row for row in masks[masks["rater"] == ""].to_dict("records")}
    rows = []
    for row in masks[masks["rater"] != ""].to_dict("records"):
        said = {"subject": own.at[row["of"], "subject"], "image": row["of"], "split": own.at[row["of"], "split"]}
        said |= {"target": row["structure"], "kind": "mask", "rater": row["rater"], "label": str(row["mask_value"])}
        reference = references.get((row["of"], row["structure"]))
        if reference is not None:
            path = resolve(str(reference["path"]), folder)
            said |= {"truth_payload": path, "truth_label": str(reference["mask_value"])}
        rows.append(said | {"payload": resolve(str(row["path"]), folder)})
    return table(rows, PREDICTIONS)


def measure_raters(
    predictions: pd.DataFrame, *, base: str | Path = ".", workers: int = 0, progress: Progress = silent
) -> MeasuredMasks:
    """Compare the masks of all raters of each image, structure by structure.

    Of the masks that name a ``rater``: ``pairwise_dice`` of each pair (``rater`` is one, ``item`` the other),
    ``consensus_dice`` with the STAPLE consensus of all, ``staple_sensitivity`` against it, and ``reference_dice`` where
    there is a reference. Two empty masks agree (Dice 1). A structure that one rater drew for an image gives no row; an
    image whose files cannot be read, or do not share a grid, gives rows of NaN with the reason.

    Args:
        predictions: a Predictions table; ``label`` and ``truth_label`` as `measure_masks` takes them.
        base: folder that relative paths start from.
        workers: processes, 0 for as many as there are cores.
        progress: called as images finish.
    """
    rows = validated(predictions, PREDICTIONS, where="predictions")
    rows = rows[(rows["kind"] == "mask") & (rows["rater"] != "")]
    images: dict[str, dict[str, list[dict[str, Any]]]] = {}
    records: dict[tuple[str, str], Mapping[Any, Any]] = {}
    for row in rows.to_dict("records"):
        image, target = str(row["image"]), str(row["target"])
        drawn = {"rater": row["rater"], "file": (placed(row["payload"], Path(base)), row["payload_sha256"])}
        drawn |= {"values": parsed_values(row.get("label") or "1", f"{image}, label")}
        drawn |= {"truth": (placed(row["truth_payload"], Path(base)), row["truth_payload_sha256"])}
        true_label = row.get("truth_label") or row.get("label") or "1"
        drawn |= {"true_values": parsed_values(true_label, f"{image}, truth_label")}
        images.setdefault(image, {}).setdefault(target, []).append(drawn)
        records[image, target] = row
    several = {
        image: {target: own for target, own in by.items() if len(own) >= LEAST_RATERS} for image, by in images.items()
    }
    asked = {image: by for image, by in several.items() if by}
    done = map_cases(_compare, asked, workers=workers, progress=progress, title="comparing raters")
    failed = {failure.key: f"case-failed: {failure.error}" for failure in done.failures}
    cases = []
    for image, by in asked.items():
        for target in by:
            own = {name: records[image, target][name] for name in _IDENTITY}
            found = done.results[image][target] if image not in failed else _unmeasured(by[target])
            for rater, item, metric, value in found:
                reason = failed.get(image, "both-empty") if value is None else ""
                said = {"rater": rater, "item": item, "metric": metric, "reason": reason}
                cases.append({**own, **said, "value": math.nan if value is None else value})
    return MeasuredMasks(table(cases, CASES), done.failures)


def _unmeasured(drawn: list[dict[str, Any]]) -> list[list[Any]]:
    """A row without a value for each pair of raters."""
    return [[a, b, PAIR, None] for a, b in combinations(sorted(str(one["rater"]) for one in drawn), 2)]


def _rater_folders(folder: Path) -> dict[str, Path]:
    """The folders in it that hold masks, by name."""
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".") if folder.is_dir() else []
    return {p.name: p for p in inside if any(f.name.endswith(MASK_SUFFIXES) for f in p.iterdir() if f.name[0] != ".")}


def _by_value(files: Mapping[str, Mapping[str, Path]], names: list[str], folder: Path) -> dict[str, str]:
    """Structures by the voxel values that any rater drew."""
    values: set[int] = set()
    for own in files.values():
        for name in (name for name in names if name in own):
            values |= {int(v) for v in np.unique(np.asarray(verified_mask(str(own[name]), "").array))}
    if not values - {0}:
        raise InputRefused("every mask is empty", where=str(folder))
    return {f"label_{v}": str(v) for v in sorted(values - {0})}


def _compare(by_target: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[list[Any]]]:
    """Rows (rater, other, metric, value) of each structure of one image; each file is read once."""
    files: dict[tuple[str, str], Image] = {}

    def read(file: tuple[str, str]) -> Image:
        if file not in files:
            files[file] = verified_mask(*file)
            first = next(iter(files.values()))
            first.geometry.require_match(files[file].geometry, where=f"{next(iter(files))[0]} and {file[0]}")
        return files[file]

    found: dict[str, list[list[Any]]] = {}
    for target, given in by_target.items():
        drawn = sorted(given, key=lambda one: str(one["rater"]))
        masks = [np.isin(read(tuple(one["file"])).array[0], one["values"]) for one in drawn]
        truth = None
        if drawn[0]["truth"][0]:
            truth = np.isin(read(tuple(drawn[0]["truth"])).array[0], drawn[0]["true_values"])
        found[target] = _rows([str(one["rater"]) for one in drawn], masks, truth)
    return found


def _rows(raters: list[str], masks: list[NDArray[np.bool_]], truth: NDArray[np.bool_] | None) -> list[list[Any]]:
    """The figures of one structure; None where one does not exist."""
    dice = pairwise_dice(masks)
    rows: list[list[Any]] = [
        [raters[a], raters[b], PAIR, float(dice[a, b])] for a, b in combinations(range(len(raters)), 2)
    ]
    box = _box(masks)
    consensus = staple([mask[box] for mask in masks])
    for place, rater in enumerate(raters):
        sensitivity = consensus.sensitivity[place]
        own = masks[place][box]
        rows.append([rater, "", CONSENSUS, float(pairwise_dice([own, consensus.mask])[0, 1])])
        rows.append([rater, "", SENSITIVITY, None if math.isnan(sensitivity) else float(sensitivity)])
        if truth is not None:
            rows.append([rater, "", REFERENCE, float(pairwise_dice([masks[place], truth])[0, 1])])
    return rows


def _box(masks: list[NDArray[np.bool_]], margin: int = 5) -> tuple[slice, ...]:
    """The box around what anybody drew, with a margin: the same for all, so that far background counts for nobody."""
    places = np.argwhere(np.logical_or.reduce(masks))
    if not len(places):
        return tuple(slice(0, min(n, 2)) for n in masks[0].shape)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    return tuple(slice(max(0, int(a) - margin), int(b) + margin) for a, b in zip(low, high, strict=True))
