"""How closely two columns of a table go together: groups with groups, and a number with groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused


@dataclass(frozen=True)
class Association:
    """``value`` in [0, 1], 0 for none; ``p`` of independence; both NaN where a column has one value only."""

    value: float
    p: float
    n: int


def cramers_v(first: ArrayLike, second: ArrayLike) -> Association:
    """Cramér's V of two columns of names, with the bias of small tables taken off.

    With phi^2 = chi^2 / n of an r x k table: phi~^2 = max(0, phi^2 - (r - 1)(k - 1) / (n - 1)),
    r~ = r - (r - 1)^2 / (n - 1), k~ likewise, V = sqrt(phi~^2 / min(r~ - 1, k~ - 1)). ``p`` is that of Pearson's
    chi^2 without Yates' correction.

    Args:
        first: [n], as text.
        second: [n], as text.

    Raises:
        InputRefused: the lengths differ.

    Source: Bergsma, J Korean Stat Soc 42 (2013) 323-328.
    """
    from scipy.stats import chi2_contingency

    one, other = (np.asarray(column).astype(str).reshape(-1) for column in (first, second))
    _same(len(one), len(other))
    rows, r = np.unique(one, return_inverse=True)
    columns, k = np.unique(other, return_inverse=True)
    n = len(one)
    if len(rows) < 2 or len(columns) < 2:
        return Association(math.nan, math.nan, n)
    counts = np.zeros((len(rows), len(columns)))
    np.add.at(counts, (r, k), 1)
    chi2, p, _, _ = chi2_contingency(counts, correction=False)
    fair = max(0.0, float(chi2) / n - (len(rows) - 1) * (len(columns) - 1) / (n - 1))
    sides = [size - (size - 1) ** 2 / (n - 1) - 1 for size in (len(rows), len(columns))]
    value = math.sqrt(fair / min(sides)) if min(sides) > 0 else math.nan
    return Association(min(1.0, value), float(p), n)


def correlation_ratio(value: ArrayLike, group: ArrayLike) -> Association:
    """The share of a number's spread that its group explains, as a correlation: sqrt of omega squared.

    omega^2 = (between - (k - 1) within) / (total + within), with sums of squares between groups and in total and the
    mean square within them, at least 0. ``p`` is that of the analysis of variance. Missing numbers are left out.

    Raises:
        InputRefused: the lengths differ.

    Source: Hays, Statistics, 1963; Okada, Behaviormetrika 40 (2013) 129-147.
    """
    from scipy.special import fdtrc

    numbers, names = np.asarray(value, dtype=np.float64).reshape(-1), np.asarray(group).astype(str).reshape(-1)
    _same(len(numbers), len(names))
    there = np.isfinite(numbers)
    numbers, codes = numbers[there], np.unique(names[there], return_inverse=True)[1]
    n, k = len(numbers), int(codes.max(initial=-1)) + 1
    total = float(((numbers - numbers.mean()) ** 2).sum()) if n else 0.0
    if k < 2 or n <= k or total == 0:
        return Association(math.nan, math.nan, n)
    sizes = np.bincount(codes)
    means = np.bincount(codes, numbers) / sizes
    between = float((sizes * (means - numbers.mean()) ** 2).sum())
    within = max(0.0, total - between) / (n - k)
    omega = max(0.0, (between - (k - 1) * within) / (total + within))
    p = float(fdtrc(k - 1, n - k, between / (k - 1) / within)) if within > 0 else 0.0
    return Association(math.sqrt(omega), p, n)


def _same(first: int, second: int) -> None:
    if first != second:
        raise InputRefused(f"columns of {first} and {second} rows", legal="equal lengths")
