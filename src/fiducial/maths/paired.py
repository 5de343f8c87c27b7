"""Two models, or two readers, on the same cases: do they differ in how often they are right?

AUCs are compared by `difference.auc_difference_interval`, means such as Dice by
`difference.paired_difference_interval`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtr

from fiducial.errors import InputRefused
from fiducial.maths.difference import paired_difference_interval
from fiducial.maths.inputs import Integers, subject_codes, summed
from fiducial.maths.intervals import Interval


@dataclass(frozen=True)
class PairedRates:
    """Two rates on the same rows: ``difference`` is first minus second, its ``p`` McNemar's.

    ``n_first_only`` rows are a success of the first alone, ``n_second_only`` of the second alone.
    """

    first: float
    second: float
    difference: Interval
    n_first_only: int
    n_second_only: int


def mcnemar(first: ArrayLike, second: ArrayLike, *, subject: ArrayLike | None = None) -> float:
    """The p value of equal rates on the same rows.

    With b rows right for the first alone and c for the second alone: without repeated subjects the exact mid-p test,
    2 P(X < min(b, c)) + P(X = min(b, c)), X binomial with b + c trials of one half, at most 1. With
    repeated subjects, d_i = b_i - c_i of subject i among k, t = sum d / sqrt(k / (k - 1) sum d^2) by Student's t with
    k - 1 degrees of freedom. 1 where nothing is discordant.

    Args:
        first: bool [n], e.g. whether the first model is right.
        second: bool [n], the same rows.
        subject: [n], default one subject for each row.

    Raises:
        InputRefused: lengths differ.

    Source: McNemar, Psychometrika 12 (1947) 153-157; mid-p: Fagerland, Lydersen and Laake, BMC Med Res Methodol 13
    (2013) 91; clusters: Obuchowski, Stat Med 17 (1998) 1495-1507.
    """
    apart, codes, k = _apart(first, second, subject)
    b, c = int((apart > 0).sum()), int((apart < 0).sum())
    if b + c == 0:
        return 1.0
    if k == len(apart):
        return _mid_p(b, c)
    if k < 2:
        return math.nan
    of_subject = summed(codes, apart, k)
    square = float((of_subject**2).sum())
    if square == 0:
        return 1.0
    t = float(of_subject.sum()) / math.sqrt(k / (k - 1) * square)
    return 2 * float(stdtr(k - 1, -abs(t)))


def durkalski(first: ArrayLike, second: ArrayLike, *, subject: ArrayLike) -> float:
    """McNemar's test for clusters in which every subject counts alike, however many rows it has.

    X = (sum d_i / m_i)^2 / sum (d_i / m_i)^2 over subjects i with m_i rows, against chi-squared with one degree of
    freedom. 1 where nothing is discordant.

    Raises:
        InputRefused: lengths differ.

    Source: Durkalski et al., Stat Med 22 (2003) 2417-2428.
    """
    from scipy.special import chdtrc

    apart, codes, k = _apart(first, second, subject)
    share = summed(codes, apart, k) / np.maximum(np.bincount(codes, minlength=k), 1)
    square = float((share**2).sum())
    return 1.0 if square == 0 else float(chdtrc(1, float(share.sum()) ** 2 / square))


def paired_rates(
    first: ArrayLike, second: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95
) -> PairedRates:
    """Two rates on the same rows with the interval of their difference (clustered t) and McNemar's p (`mcnemar`).

    Arguments, refusals and source as `mcnemar`; NaN bounds with the reasons of `paired_difference_interval`.
    """
    apart, _, _ = _apart(first, second, subject)
    a, b = (np.asarray(part, dtype=bool).reshape(-1) for part in (first, second))
    interval = paired_difference_interval(a, b, subject=subject, level=level)
    if len(apart):
        interval = replace(interval, p=mcnemar(a, b, subject=subject))
    rate_a, rate_b = (float(part.mean()) if len(part) else math.nan for part in (a, b))
    return PairedRates(rate_a, rate_b, interval, int((apart > 0).sum()), int((apart < 0).sum()))


def _apart(first: ArrayLike, second: ArrayLike, subject: ArrayLike | None) -> tuple[Integers, Integers, int]:
    """+1 where the first alone succeeds, -1 where the second does, with subjects as codes."""
    a, b = (np.asarray(part, dtype=bool).reshape(-1) for part in (first, second))
    if len(a) != len(b):
        raise InputRefused(f"{len(a)} rows of the first and {len(b)} of the second", legal="the same rows")
    codes, k = subject_codes(subject, len(a))
    return a.astype(np.int64) - b.astype(np.int64), codes, k


def _mid_p(b: int, c: int) -> float:
    """Exact two-sided mid-p of b against c under one half."""
    n, least = b + c, min(b, c)
    below = float(bdtr(least - 1, n, 0.5)) if least else 0.0
    at = float(bdtr(least, n, 0.5)) - below
    return min(1.0, 2 * below + at)
