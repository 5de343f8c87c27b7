"""Stacks of small pictures in one npz file, as the MedMNIST collection has them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.cohort.collection import SPLIT_NAMES, Collection
from fiducial.cohort.examine import CaseFiles
from fiducial.errors import UnreadableFile

IMAGES, LABELS = "_images", "_labels"


def npz_file(source: Path) -> Path | None:
    """The npz file that a source is, or the only one in a folder; None if there is none, or several."""
    if source.is_file():
        return source if source.suffix.lower() == ".npz" else None
    files = sorted(source.glob("*.npz"))
    return files[0] if len(files) == 1 else None


def collect_npz(source: Path, out: Path) -> Collection:  # noqa: ARG001 - the signature of every layout
    """One case for each entry of each ``<part>_images`` array; labels from ``<part>_labels``.

    An array of one label for each image becomes the column ``label``, of k labels ``label_0`` to ``label_<k-1>``.

    Raises:
        UnreadableFile: no npz of numbers, no ``<part>_images``, or as many labels as images are missing.
    """
    file = npz_file(source)
    if file is None:
        raise UnreadableFile("no npz file", where=str(source))
    file = file.resolve()
    legal = "arrays train_images, train_labels, val_images, val_labels, test_images, test_labels"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            parts = [name[: -len(IMAGES)] for name in arrays.files if name.endswith(IMAGES)]
            labels = {part: arrays[part + LABELS] for part in parts if part + LABELS in arrays.files}
            sizes = {part: _length(file, part + IMAGES) for part in parts}
            has = ", ".join(arrays.files)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableFile(f"no readable npz file ({error})", where=str(file), legal=legal) from error
    unknown = [part for part in parts if part.lower() not in SPLIT_NAMES]
    if not parts or unknown:
        raise UnreadableFile(f"it has {has}", where=str(file), legal=legal)
    cases = []
    for part in parts:
        if part in labels and len(labels[part]) != sizes[part]:
            raise UnreadableFile(
                f"{len(labels[part])} labels for {sizes[part]} images", where=f"{file}, {part}{LABELS}", legal=legal
            )
        width = len(str(sizes[part] - 1))
        for i in range(sizes[part]):
            case = f"{part}-{i:0{width}d}"
            columns: dict[str, str | int] = {"split": SPLIT_NAMES[part.lower()]}
            columns |= _label(labels[part][i] if part in labels else None)
            cases.append(CaseFiles(case, {case: (f"{file}#{part}{IMAGES}/{i}", "")}, columns=columns))
    return Collection(tuple(cases), notes=("the split column is the file's own",))


def _length(file: Path, key: str) -> int:
    """Number of entries of an array, from its header alone."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape = read(member)[0]
    return int(shape[0])


def _label(value: NDArray[Any] | None) -> dict[str, int]:
    if value is None:
        return {}
    numbers = np.atleast_1d(value)
    if len(numbers) == 1:
        return {"label": int(numbers[0])}
    return {f"label_{i}": int(number) for i, number in enumerate(numbers)}
