"""Exams: the cohort's rows gathered into what a network takes in at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import ContractError, LabelError
from fiducial.records.image import Image
from fiducial.records.plan import Plan
from fiducial.tasks.classification.task import class_name

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class MaskFile:
    """A mask of an exam: ``label`` is the value in the file that means ``structure``."""

    structure: str
    path: str
    label: int


@dataclass(frozen=True)
class Exam:
    """One case: its images in the order of the inputs, its reference masks and its labels.

    ``image`` is the id of the first input's row; every table names the case by it.
    """

    image: str
    subject: str
    split: str
    paths: tuple[str, ...]
    modalities: tuple[str, ...]
    units: tuple[str, ...]
    masks: tuple[MaskFile, ...]
    labels: tuple[tuple[str, Any], ...] = ()

    def mask(self, structure: str) -> MaskFile | None:
        """The reference mask of a structure, or None."""
        return next((m for m in self.masks if m.structure == structure), None)


def gather_exams(
    cohort: pd.DataFrame, folder: Path, inputs: Sequence[str], targets: Sequence[str] = ()
) -> tuple[list[Exam], dict[str, str]]:
    """Gather a cohort's rows into exams.

    Rows of one ``exam`` (or a row of its own where that is empty) form a case. An input takes the image of equal
    modality; with a single input, an image that states no modality is taken at the study's word.

    Args:
        cohort: the cohort table.
        folder: the cohort's folder, against which relative paths are resolved.
        inputs: modalities in the network's order; empty means: the only image of each exam.
        targets: label columns to carry along.

    Returns:
        The exams in the cohort's order, and the cases set aside with the reason, by image id.
    """
    masks = _masks_by_image(cohort, folder)
    images = cohort[cohort["role"] == "image"]
    exams: list[Exam] = []
    aside: dict[str, str] = {}
    keys = images["exam"].where(images["exam"] != "", images["image"])
    for _, group in images.groupby(keys, sort=False):
        rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in group.to_dict("records")]
        chosen, reason = _choose(rows, inputs)
        if reason:
            aside[str(rows[0]["image"])] = reason
            continue
        own = [m for row in chosen for m in masks.get(row["image"], [])]
        first = chosen[0]
        exams.append(
            Exam(
                image=first["image"],
                subject=first["subject"],
                split=first["split"],
                paths=tuple(resolve(row["path"], folder) for row in chosen),
                modalities=tuple(row["modality"] or m for row, m in zip(chosen, inputs or [""], strict=True)),
                units=tuple(row["unit"] for row in chosen),
                masks=tuple(own),
                labels=tuple((t, first[t]) for t in targets if t in first),
            )
        )
    return exams, aside


def load_images(exam: Exam) -> list[Image]:
    """Read an exam's images, with the modality and unit that the cohort states."""
    from fiducial.archive import read_image

    images = []
    for path, modality, unit in zip(exam.paths, exam.modalities, exam.units, strict=True):
        image = read_image(path, modality=modality)
        images.append(Image(image.array, image.geometry, modality, unit or image.unit))
    return images


def load_region(exam: Exam, structure: str, image: Image) -> NDArray[np.bool_]:
    """Read a reference mask of an exam as a boolean array on the image's grid.

    Raises:
        ContractError: the exam has no mask of that structure.
        GeometryError: the mask lies on another grid.
    """
    from fiducial.archive import read_mask

    found = exam.mask(structure)
    if found is None:
        raise ContractError(
            f"no mask of {structure!r}",
            where=exam.image,
            legal=", ".join(m.structure for m in exam.masks) or "the image has no mask at all",
            action=f"the model looks at a box around {structure!r}; ingest that mask beside the image",
        )
    mask = read_mask(found.path, label=found.label)
    image.geometry.require_match(mask.geometry, where=found.path)
    inside: NDArray[np.bool_] = mask.array[0].astype(bool)
    return inside


def load_label_map(exam: Exam, structures: Sequence[str], image: Image) -> NDArray[np.uint8]:
    """Read the reference masks as one map [x, y, z]: 0 background, 1 + position for each structure.

    Where masks overlap, the later structure stands. A structure without a mask in this exam is absent from it.
    """
    labels = np.zeros(image.geometry.shape, np.uint8)
    for number, structure in enumerate(structures, start=1):
        if exam.mask(structure) is not None:
            labels[load_region(exam, structure, image)] = number
    return labels


def truth_of(exam: Exam, plan: Plan) -> NDArray[np.float32]:
    """A case's labels as the loss takes them: [class] of 0, 1 and NaN, or [1] holding a class index (-1 = missing).

    Raises:
        LabelError: a class that the plan does not know.
    """
    values = dict(exam.labels)
    if plan.label_type != "multiclass":
        return np.array([_number(values.get(target)) for target in plan.targets], np.float32)
    name = class_name(values.get(plan.targets[0], ""))
    if name == "":
        return np.array([-1], np.float32)
    if name not in plan.classes:
        raise LabelError(f"class {name!r}", where=exam.image, legal=", ".join(plan.classes))
    return np.array([plan.classes.index(name)], np.float32)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else float("nan")


def total_bytes(exams: Sequence[Exam]) -> int:
    """Size of all image files on disk; a member of an npz file counts as nothing."""
    return sum(Path(p).stat().st_size for e in exams for p in e.paths if "#" not in p and Path(p).exists())


def resolve(path: str, folder: Path) -> str:
    """An absolute path; what follows ``#`` (a member of an npz file) is kept."""
    file, mark, member = path.partition("#")
    return str((folder / file).resolve()) + mark + member


def _masks_by_image(cohort: pd.DataFrame, folder: Path) -> dict[str, list[MaskFile]]:
    """Reference masks (no rater) by the image that they belong to."""
    masks: dict[str, list[MaskFile]] = {}
    rows = cohort[(cohort["role"] == "mask") & (cohort["rater"] == "")]
    for of, structure, path, label in zip(rows["of"], rows["structure"], rows["path"], rows["mask_value"], strict=True):
        masks.setdefault(of, []).append(MaskFile(structure, resolve(path, folder), int(label)))
    return masks


def _choose(rows: list[dict[str, Any]], inputs: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """The rows that serve as inputs, or why none do."""
    if len(inputs) <= 1:
        wanted = [r for r in rows if not inputs or r["modality"] in (inputs[0], "")]
        if len(wanted) == 1:
            return wanted, ""
        return [], f"{len(wanted)} images of modality {inputs[0] if inputs else 'any'} in one exam; exactly 1 is needed"
    chosen = []
    for modality in inputs:
        found = [r for r in rows if r["modality"] == modality]
        if len(found) != 1:
            return [], f"{len(found)} images of modality {modality} in one exam; exactly 1 is needed"
        chosen.append(found[0])
    return chosen, ""
