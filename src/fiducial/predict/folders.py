"""Folders of label maps: which files belong together, and what their voxel values are called. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.compute import map_cases
from fiducial.errors import InputRefused, UnreadableFile
from fiducial.predict.measure import joined_values, verified_mask
from fiducial.records.files import read_json, sha256_file
from fiducial.records.progress import Progress, silent
from fiducial.records.tables import PREDICTIONS, table

if TYPE_CHECKING:
    import pandas as pd

MASK_SUFFIXES = (".nii.gz", ".nii", ".png")


@dataclass(frozen=True)
class PairedMasks:
    """Two folders of masks as a Predictions table.

    ``unmatched`` names the files without a partner and where each lies; ``notes`` say how structures got their
    names; ``ignore_label`` comes from ``dataset.json`` (0: none).
    """

    predictions: pd.DataFrame
    unmatched: tuple[str, ...]
    notes: tuple[str, ...]
    ignore_label: int = 0


@dataclass(frozen=True)
class Names:
    """Structures of a ``dataset.json`` with their voxel values; empty if there is no such file."""

    source: str = ""
    structures: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ignore_label: int = 0


def pair_mask_folders(
    predictions: str | Path, truth: str | Path, *, workers: int = 0, progress: Progress = silent
) -> PairedMasks:
    """Pair two folders of label maps by file name, as nnU-Net lays them out.

    Structure names come from ``dataset.json`` in a folder or its parent (each side's own if both have one: equal
    names are paired even if their values differ; regions are unions of values). Without one, every value found in
    the truth or the predictions becomes ``label_<value>``. Who the person behind a file is, is not known: each file
    is a subject of its own.

    Args:
        predictions: folder of predicted label maps (``.nii.gz``, ``.nii`` or ``.png``).
        truth: folder of reference label maps with the same names.
        workers: processes, 0 for as many as there are cores.
        progress: called as files are read.

    Raises:
        InputRefused: a folder is missing or empty, no file name occurs in both, or no structure name does.
        UnreadableFile: a ``dataset.json`` is broken, or no pair of files can be read.
    """
    predictions, truth = Path(predictions).resolve(), Path(truth).resolve()
    predicted, true = mask_files(predictions), mask_files(truth)
    shared = sorted(set(predicted) & set(true))
    unmatched = [f"{predicted[n]} (no truth)" for n in sorted(set(predicted) - set(true))]
    unmatched += [f"{true[n]} (no prediction)" for n in sorted(set(true) - set(predicted))]
    if not shared:
        raise InputRefused(
            f"no file name occurs in both folders, e.g. {sorted(predicted)[0]} and {sorted(true)[0]}",
            where=f"{predictions} and {truth}",
            legal="equal file names, as nnU-Net writes them",
            action="rename one side; a channel suffix such as _0000 belongs to images, not to masks",
        )
    pairs = {name: (str(predicted[name]), str(true[name])) for name in shared}
    named, true_named, notes = _names(predictions, truth)
    scan = map_cases(_scan, pairs, workers=workers, progress=progress, title="reading masks")
    if not scan.results:
        first = scan.failures[0]
        raise UnreadableFile(f"no pair of masks can be read; first: {first.message}", where=first.key)
    if not named.structures:
        values = sorted({v for result in scan.results.values() for v in result["values"]} - {0})
        named = true_named = replace(named, structures={f"label_{v}": (v,) for v in values})
        if not values:
            raise InputRefused("every mask is empty", where=f"{predictions} and {truth}")
    rows = []
    for name, (payload, truth_payload) in pairs.items():
        digests = scan.results.get(name, {"sha256": ("", "")})["sha256"]
        common = {"subject": stem(name), "image": stem(name), "kind": "mask", "payload": payload}
        common |= {"payload_sha256": digests[0], "truth_payload": truth_payload, "truth_payload_sha256": digests[1]}
        for structure, structure_values in named.structures.items():
            own = {"target": structure, "label": joined_values(structure_values)}
            rows.append(common | own | {"truth_label": joined_values(true_named.structures[structure])})
    return PairedMasks(table(rows, PREDICTIONS), tuple(unmatched), tuple(notes), true_named.ignore_label)


def _names(predictions: Path, truth: Path) -> tuple[Names, Names, list[str]]:
    """Structures of both sides under shared names, and how they were found."""
    own, reference = dataset_json(predictions), dataset_json(truth)
    if not own.source and not reference.source:
        return own, reference, ["no dataset.json: structures are named by their voxel value"]
    if not own.source or not reference.source or own == reference:
        both = own if own.source else reference
        return both, both, [f"structure names from {both.source}"]
    shared = [name for name in reference.structures if name in own.structures]
    if not shared:
        raise InputRefused(
            f"no structure is in both: {', '.join(own.structures)} against {', '.join(reference.structures)}",
            where=f"{own.source} and {reference.source}",
            legal="equal names for equal structures",
            action="correct one dataset.json",
        )
    notes = [f"structure names from {own.source} and {reference.source}"]
    for names, other in ((own, reference), (reference, own)):
        lost = [name for name in names.structures if name not in other.structures]
        notes += [f"not audited, as {other.source} does not name it: {name}" for name in lost]
    moved = [name for name in shared if own.structures[name] != reference.structures[name]]
    notes += [
        f"{name}: value {joined_values(own.structures[name])} in the predictions, "
        f"{joined_values(reference.structures[name])} in the truth"
        for name in moved
    ]
    kept = [replace(n, structures={name: n.structures[name] for name in shared}) for n in (own, reference)]
    return kept[0], kept[1], notes


def dataset_json(folder: Path) -> Names:
    """Names in nnU-Net's form (name: value or values) or the Decathlon's (value: name)."""
    path = next((p for p in (folder / "dataset.json", folder.parent / "dataset.json") if p.is_file()), None)
    if path is None:
        return Names()
    try:
        labels = read_json(path)["labels"]
        if labels and all(str(key).isdigit() for key in labels):
            labels = {str(name): int(value) for value, name in labels.items()}
        values = {n: tuple(map(int, v)) if isinstance(v, list) else (int(v),) for n, v in labels.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableFile(
            f"not a data set description ({type(error).__name__}: {error})",
            where=str(path),
            legal='JSON with "labels": {"background": 0, "name": 1, ...}',
        ) from error
    ignored = values.pop("ignore", (0,))[0]
    structures = {name: v for name, v in values.items() if min(v, default=0) > 0}
    if not structures:
        raise UnreadableFile("labels name no structure but the background", where=str(path))
    return Names(str(path), structures, ignored)


def mask_files(folder: Path) -> dict[str, Path]:
    """Mask files of a folder by name."""
    if not folder.is_dir():
        raise InputRefused("no such folder", where=str(folder), action="give a folder of label maps")
    files = {p.name: p for p in sorted(folder.iterdir()) if p.name.endswith(MASK_SUFFIXES) and p.name[0] != "."}
    if not files:
        raise InputRefused("no masks in the folder", where=str(folder), legal=", ".join(MASK_SUFFIXES))
    return files


def stem(name: str) -> str:
    """A mask file's name without its suffix: the id of its image."""
    return next(name.removesuffix(suffix) for suffix in MASK_SUFFIXES if name.endswith(suffix))


def _scan(pair: tuple[str, str]) -> dict[str, Any]:
    """The digests of two mask files and the values that occur in either."""
    values: set[int] = set()
    for path in pair:
        values |= {int(v) for v in np.unique(np.asarray(verified_mask(path, "").array))}
    return {"values": sorted(values), "sha256": [sha256_file(path) for path in pair]}
