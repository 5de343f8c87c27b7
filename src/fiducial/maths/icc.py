"""Intraclass correlations of single values, with their intervals, of many features at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Bools, Floats, Integers, require_level

FLAT = 1e-12


@dataclass(frozen=True)
class Icc:
    """One form of the correlation and the ends of its interval, each [n_features]."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class IccTable:
    """The three forms, the number of regions that count for each feature, and why a feature has none ("" if it has).

    ``one_way`` is ICC(1,1), ``agreement`` ICC(2,1) and ``consistency`` ICC(3,1) of Shrout and Fleiss.
    """

    one_way: Icc
    agreement: Icc
    consistency: Icc
    n_regions: Integers
    n_repeats: int
    reason: tuple[str, ...]


@dataclass(frozen=True)
class _Squares:
    """Mean squares [n_features] of rows (between regions), within regions, of columns (repeats), and the rest."""

    rows: Floats
    within: Floats
    columns: Floats
    rest: Floats
    n: Floats
    k: float


def intraclass_correlations(values: ArrayLike, *, level: float = 0.95) -> IccTable:
    """How much of a feature's spread is between regions, when each was measured k times.

    With the mean squares between regions (B), within regions (W), between repeats (J) and of the residual (E) of n
    regions:

    - ICC(1,1) = (B - W) / (B + (k - 1) W): each region has repeats of its own, drawn at random;
    - ICC(2,1) = (B - E) / (B + (k - 1) E + k (J - E) / n): the same repeats, drawn from many, in every region, and
      a difference between repeats counts against it (agreement);
    - ICC(3,1) = (B - E) / (B + (k - 1) E): the same repeats, and a difference that all regions share does not count
      (consistency).

    Intervals are exact for normal values under the first and the third form's own model (F distribution) and
    approximate under the second's (Satterthwaite). Where repeats share shifts as large as the residual, few repeats
    tell little about them: the second then holds the truth less often than it says, and the first much less, since
    it takes a shared shift for one of each region's own (`docs/reference/perturbations.md` has figures). All hold for
    regions that are independent: several regions of one person make them too narrow.

    A region that lacks a value (NaN or infinite) in one repeat does not count for that feature, so that its table is
    balanced. A feature with fewer than two regions (``too-few-regions``) and one that has the same value everywhere
    (``constant``) is NaN with that reason. Repeats without any difference give 1, from 1 to 1; regions without any
    difference in their means the smallest possible value, -1 / (k - 1).

    Args:
        values: [n_regions, n_repeats] of one feature, or [n_regions, n_repeats, n_features].
        level: of the intervals.

    Raises:
        InputRefused: another shape, or fewer than two repeats.

    Source: Shrout and Fleiss, Psychol Bull 86 (1979) 420-428; intervals: McGraw and Wong, Psychol Methods 1 (1996)
    30-46, tables 4 and 7.
    """
    require_level(level)
    y = np.asarray(values, dtype=np.float64)
    y = y[..., None] if y.ndim == 2 else y
    if y.ndim != 3:
        raise InputRefused(f"values of shape {y.shape}", legal="[n_regions, n_repeats] or [..., n_features]")
    if y.shape[1] < 2:
        raise InputRefused(
            f"{y.shape[1]} repeat", legal="two repeats or more of each region", action="measure each region again"
        )
    whole: Bools = np.all(np.isfinite(y), axis=1)
    n = whole.sum(axis=0)
    squares, flat = _squares(np.where(whole[:, None], y, 0.0), whole)
    reason = tuple(_reason(int(count), bool(same)) for count, same in zip(n, flat, strict=True))
    silent = np.array([text != "" for text in reason], dtype=bool)
    one_way = _by_ratio(squares.rows, squares.within, n * (squares.k - 1), squares, level)
    consistency = _by_ratio(squares.rows, squares.rest, (n - 1) * (squares.k - 1), squares, level)
    agreement = _agreement(squares, level)
    return IccTable(
        _silenced(one_way, silent),
        _silenced(agreement, silent),
        _silenced(consistency, silent),
        n.astype(np.int64),
        y.shape[1],
        reason,
    )


def _reason(n_regions: int, flat: bool) -> str:
    """Why a feature has no correlation; "" if it has."""
    if n_regions < 2:
        return f"too-few-regions: {n_regions} with a value in every repeat"
    return "constant: one value everywhere" if flat else ""


def _silenced(form: Icc, silent: Bools) -> Icc:
    """Without the values that have no meaning."""
    value, low, high = (np.where(silent, np.nan, part) for part in (form.value, form.low, form.high))
    return Icc(value, low, high)


def _squares(y: Floats, whole: Bools) -> tuple[_Squares, Bools]:
    """Mean squares of balanced tables [n, k, f], rows that are not ``whole`` left out, and which do not vary at all."""
    k = y.shape[1]
    n = whole.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = y.sum(axis=(0, 1)) / (n * k)
        apart = np.where(whole[:, None], y - mean, 0.0)
        size = np.sqrt((apart**2).sum(axis=(0, 1)) / (n * k))
        flat = ~(size > FLAT * np.abs(mean))
        # In units of the feature's spread, so that no unit matters, and rounding of equal values is 0.
        apart = np.where(flat, 0.0, apart / np.where(flat | (size == 0), 1.0, size))
        by_row, by_column = apart.mean(axis=1), apart.sum(axis=0) / n
        rest = np.where(whole[:, None], apart - by_row[:, None] - by_column, 0.0)
        inside = np.where(whole[:, None], apart - by_row[:, None], 0.0)
        rows = k * (by_row**2).sum(axis=0) / (n - 1)
        found = [
            rows,
            (inside**2).sum(axis=(0, 1)) / (n * (k - 1)),
            n * (by_column**2).sum(axis=0) / (k - 1),
            (rest**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1)),
        ]
    between, within, columns, left = (np.where(part < FLAT**1.5, 0.0, part) for part in found)
    return _Squares(between, within, columns, left, n.astype(np.float64), float(k)), np.asarray(flat)


def _by_ratio(rows: Floats, error: Floats, error_freedom: Floats, squares: _Squares, level: float) -> Icc:
    """(F - 1) / (F + k - 1) of F = rows / error, and of F over and times its quantiles."""
    from scipy.stats import f

    k, n = squares.k, squares.n
    tail = (1 + level) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = rows / error
        low = ratio / f.ppf(tail, n - 1, error_freedom)
        high = ratio * f.ppf(tail, error_freedom, n - 1)
        value, low, high = (np.where(np.isinf(x), 1.0, (x - 1) / (x + k - 1)) for x in (ratio, low, high))
    return Icc(value, low, high)


def _agreement(squares: _Squares, level: float) -> Icc:
    """ICC(2,1), with the degrees of freedom of its error by Satterthwaite."""
    from scipy.stats import f

    rows, columns, rest, n, k = squares.rows, squares.columns, squares.rest, squares.n, squares.k
    tail = (1 + level) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (rows - rest) / (rows + (k - 1) * rest + k * (columns - rest) / n)
        # Parts of a variance are not negative: below 0 the degrees of freedom would have no meaning.
        odds = np.maximum(value, 0) / (1 - np.maximum(value, 0))
        a, b = k * odds / n, 1 + k * odds * (n - 1) / n
        freedom = (a * columns + b * rest) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * rest) ** 2 / ((n - 1) * (k - 1)))
        error = k * columns + (k * n - k - n) * rest
        below, above = f.ppf(tail, n - 1, freedom), f.ppf(tail, freedom, n - 1)
        low = n * (rows - below * rest) / (below * error + n * rows)
        high = n * (above * rows - rest) / (error + n * above * rows)
    same = (columns == 0) & (rest == 0)
    value, low, high = (np.where(same, 1.0, part) for part in (value, low, high))
    return Icc(value, low, high)
