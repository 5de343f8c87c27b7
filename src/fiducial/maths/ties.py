"""Equal values: how many pairs of them would chance make, given how many digits are kept?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fiducial.maths.inputs import Floats, Integers, finite_values

EXACT_DIGITS = 15
"""Values with as many decimals are double precision, in which chance makes no ties."""
_FLOAT32 = 2.0**-24
_CELLS = 5
_FAR = 20.0


def resolution(values: ArrayLike) -> float:
    """The step in which values are given: 0.01 for per cent, 1/201 for a scale of 201, 2^-24 for single, 0 for double.

    Taken from the most decimals of the values from 0.1 upwards (of all, if there are none), since a fixed number of
    significant digits gives smaller values more decimals; and never less than the smallest distance of two values where
    that is far larger than chance makes it (n values over a range r come as close as about r / n^2).
    """
    numbers = np.unique(finite_values(values))
    if len(numbers) == 0:
        return 0.0
    large = numbers[np.abs(numbers) >= 0.1]
    large = large if len(large) else numbers
    n_decimals = max(_decimals(float(value)) for value in large)
    single = np.array_equal(numbers, numbers.astype(np.float32).astype(np.float64))
    step = float(10.0**-n_decimals) if n_decimals < EXACT_DIGITS else _FLOAT32 if single else 0.0
    closest = float(np.diff(numbers).min()) if len(numbers) > 2 else 0.0
    by_chance = float(np.ptp(numbers)) / len(numbers) ** 2
    return max(step, closest) if closest > _FAR * by_chance else step


def expected_ties(values: ArrayLike) -> float:
    """Pairs of equal values that a smooth distribution would give at this `resolution`.

    Pairs that differ by one to five steps are counted; a smooth density puts a tenth as many on the same step.

    Args:
        values: [n], in [0, 1].
    """
    numbers = np.sort(finite_values(values))
    step = resolution(numbers)
    if step == 0 or len(numbers) < 2:
        return 0.0
    cells = np.round(numbers / step)
    upto = np.searchsorted(cells, cells + _CELLS, side="right")
    equal = np.searchsorted(cells, cells, side="right")
    return float((upto - equal).sum()) / (2 * _CELLS)


def neighbours(values: ArrayLike, *, reach: int = 20) -> Integers:
    """Pairs of rows whose values lie close but are not equal [n_pairs, 2]: each with the next ``reach`` in order."""
    numbers: Floats = finite_values(values)
    order = np.argsort(numbers, kind="stable")
    pairs = [np.stack([order[:-gap], order[gap:]], axis=1) for gap in range(1, min(reach, len(order) - 1) + 1)]
    if not pairs:
        return np.zeros((0, 2), dtype=np.int64)
    joined = np.concatenate(pairs)
    apart: Integers = joined[numbers[joined[:, 0]] != numbers[joined[:, 1]]].astype(np.int64)
    return apart


def _decimals(value: float) -> int:
    """Digits after the point in the shortest text that gives the same number."""
    text = np.format_float_positional(value, trim="-")
    return len(text.partition(".")[2])
