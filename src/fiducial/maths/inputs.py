"""What the measures accept: one place that turns arguments into checked arrays or refuses them in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiducial.errors import GeometryError, InputRefused, LabelError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


def binary_truth(truth: ArrayLike) -> Bools:
    """Truth as booleans [n].

    Raises:
        LabelError: something other than 0 and 1 (or False and True) stands in it, NaN included.
    """
    values = np.asarray(truth)
    if values.dtype == bool:
        return values.reshape(-1)
    numbers = values.astype(np.float64).reshape(-1)
    wrong = ~np.isin(numbers, (0.0, 1.0))
    if wrong.any():
        row = int(wrong.argmax())
        raise LabelError(f"truth {numbers[row]} in row {row + 1}", legal="0 or 1 in each row")
    return np.asarray(numbers == 1.0)


def finite_values(values: ArrayLike, *, name: str = "value") -> Floats:
    """Numbers as float64 [n].

    Raises:
        InputRefused: one is NaN or infinite; the message names the first row.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputRefused(
            f"{name} {numbers[row]} in row {row + 1} ({int(wrong.sum())} such rows)",
            legal="finite numbers",
            action="drop these rows and say how many were dropped",
        )
    return numbers


def probabilities(score: ArrayLike) -> Floats:
    """Scores that must be probabilities: finite, in [0, 1].

    Raises:
        InputRefused: one is not.
    """
    numbers = finite_values(score, name="score")
    wrong = (numbers < 0) | (numbers > 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputRefused(f"score {numbers[row]} in row {row + 1}", legal="a probability in [0, 1]")
    return numbers


def truth_and_score(truth: ArrayLike, score: ArrayLike) -> tuple[Bools, Floats]:
    """Truth [n] and finite scores [n] of one length.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not finite, or the lengths differ.
    """
    labels, numbers = binary_truth(truth), finite_values(score, name="score")
    same_length(labels, numbers, names=("truth", "score"))
    return labels, numbers


def same_length(first: NDArray[Any], second: NDArray[Any], *, names: tuple[str, str]) -> None:
    """Raise `InputRefused` unless both arrays have one length."""
    if len(first) != len(second):
        raise InputRefused(f"{len(first)} rows of {names[0]} and {len(second)} of {names[1]}", legal="equal lengths")


def subject_codes(subject: ArrayLike | None, n_rows: int) -> tuple[Integers, int]:
    """Subjects as codes 0 ... n_subjects - 1, and their number; ``None`` makes every row its own subject.

    Raises:
        InputRefused: there is not one subject for each row.
    """
    if subject is None:
        return np.arange(n_rows), n_rows
    names = np.asarray(subject).reshape(-1)
    if len(names) != n_rows:
        raise InputRefused(f"{len(names)} subjects for {n_rows} rows", legal="one subject for each row")
    unique, codes = np.unique(names, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), len(unique)


def summed(codes: Integers, values: ArrayLike, n_subjects: int) -> Floats:
    """The sum of values [n] within each subject [n_subjects]."""
    return np.bincount(codes, np.asarray(values, dtype=np.float64), minlength=n_subjects).astype(np.float64)


def require_level(level: float) -> float:
    """A confidence level strictly between 0 and 1.

    Raises:
        InputRefused: it is not.
    """
    if not 0 < level < 1:
        raise InputRefused(f"level {level}", legal="between 0 and 1, such as 0.95")
    return float(level)


def paired_masks(prediction: NDArray[Any], truth: NDArray[Any], spacing_mm: Sequence[float]) -> None:
    """Raise `GeometryError` unless both arrays share a shape and ``spacing_mm`` fits it."""
    if prediction.shape != truth.shape:
        raise GeometryError(f"a prediction of shape {prediction.shape} and a truth of {truth.shape}", legal="one shape")
    if len(spacing_mm) != prediction.ndim or any(not (np.isfinite(s) and s > 0) for s in spacing_mm):
        raise GeometryError(
            f"spacing {tuple(spacing_mm)} mm for an array of {prediction.ndim} axes",
            legal="one positive number of mm for each axis",
        )
