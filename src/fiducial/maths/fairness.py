"""Does a group differ from everyone else: tests that hold for small groups, rare errors and repeated patients.

Every test is a score test: it needs no fit in the group itself, so a group in which nothing went wrong, or everything
did, is tested like any other. The null distribution is Pearson's type III with the first three moments of the score,
because the normal curve fires too often on a few rare errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaincc, ndtr

from fiducial.errors import InputRefused
from fiducial.maths.calibration import fit_recalibration, logit
from fiducial.maths.delong import components
from fiducial.maths.difference import independent_difference
from fiducial.maths.inputs import Bools, Floats, Integers, binary_truth, finite_values, same_length, subject_codes
from fiducial.maths.intervals import Interval


@dataclass(frozen=True)
class GroupTest:
    """One group against the rest: the two values, the standardised score and the two-sided p value.

    ``p`` is NaN where nobody is inside or nobody outside, and 1 where all values are alike. ``parts`` [n] are the rows'
    parts in the score, for `multiplicity.jointly_adjusted`.
    """

    inside: float
    rest: float
    score: float
    p: float
    parts: Floats = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)


@dataclass(frozen=True)
class PooledCalibration:
    """One logistic recalibration of all rows, and what it leaves unexplained.

    ``x`` logit(score), ``chance`` the recalibrated probability and ``residual`` truth - chance, all [n]; ``codes`` the
    subject of each row, of ``n_subjects``.
    """

    x: Floats
    chance: Floats
    residual: Floats
    codes: Integers
    n_subjects: int


def group_test(
    value: ArrayLike, inside: ArrayLike, *, subject: ArrayLike | None = None, stratum: ArrayLike | None = None
) -> GroupTest:
    """Are the values of a group like those of the rest (of the same stratum)?

    With h the group's indicator and e the values, both centred within each stratum s of N_s rows, the score
    U = sum h e has under exchangeable rows the variance V = sum_s S2(h) S2(e) / (N_s - 1) and the third moment
    sum_s N_s S3(h) S3(e) / ((N_s - 1)(N_s - 2)), Sk being sums of k-th powers. Rows of one subject resemble each other,
    so V is multiplied by the design effect, sum over subjects (sum h e)^2 / sum (h e)^2, or by that of e alone, or by
    1, whichever is largest. For 0/1 values of one row per subject this is close to Fisher's exact test with mid-p.

    Args:
        value: [n]: 0/1 for a rate, or any number.
        inside: bool [n], the group.
        subject: [n], default one subject for each row.
        stratum: [n], rows are compared within a stratum only; default one stratum.

    Raises:
        InputRefused: a value is not finite, or lengths differ.

    Source: moments of a permuted sum: Mielke and Berry, Permutation Methods (2007), chapter 2; design effect: Rao and
    Scott, Biometrics 48 (1992) 577-585.
    """
    values, member = finite_values(value), np.asarray(inside, dtype=bool).reshape(-1)
    same_length(values, member, names=("the values", "the group"))
    codes, n_subjects = subject_codes(subject, len(values))
    strata = np.zeros(len(values), dtype=np.int64) if stratum is None else subject_codes(stratum, len(values))[0]
    if not member.any() or member.all():
        means = [float(part.mean()) if len(part) else math.nan for part in (values[member], values[~member])]
        return GroupTest(means[0], means[1], math.nan, math.nan)
    h, e = member.astype(np.float64), values.copy()
    variance = third = 0.0
    for rows in (strata == s for s in range(int(strata.max()) + 1)):
        n = int(rows.sum())
        h[rows] -= h[rows].mean()
        e[rows] -= e[rows].mean()
        if n > 2:
            variance += float((h[rows] ** 2).sum() * (e[rows] ** 2).sum()) / (n - 1)
            third += n * float((h[rows] ** 3).sum() * (e[rows] ** 3).sum()) / ((n - 1) * (n - 2))
    z, p = _judged(h, e, variance, third, codes, n_subjects)
    return GroupTest(float(values[member].mean()), float(values[~member].mean()), z, p, h * e)


def beyond_test(
    value: ArrayLike,
    inside: ArrayLike,
    *,
    margin: float,
    subject: ArrayLike | None = None,
    stratum: ArrayLike | None = None,
) -> float:
    """P value of *a group's values are shifted by at most* ``margin``, *up or down*: is a shift one that matters?

    `group_test` after the group's values have been moved back by the margin, towards the others; one-sided, since only
    the bound on the shift's own side can be passed. NaN where `group_test` has no p value.

    Args:
        value: [n].
        inside: bool [n], the group.
        margin: the smallest shift that matters, in the unit of ``value``, 0 or more.
        subject: [n], default one subject for each row.
        stratum: [n], rows are compared within a stratum only; default one stratum.

    Raises:
        InputRefused: as `group_test`, or a negative margin.

    Source: minimum-effect tests: Murphy and Myors, Journal of Applied Psychology 84 (1999) 234-248.
    """
    if margin < 0:
        raise InputRefused(f"a margin of {margin}", legal="0 or more")
    member = np.asarray(inside, dtype=bool).reshape(-1)
    side = math.copysign(1.0, group_test(value, member, subject=subject, stratum=stratum).score)
    moved = group_test(finite_values(value) - side * margin * member, member, subject=subject, stratum=stratum)
    return moved.p / 2 if moved.score * side > 0 else 1 - moved.p / 2


def pooled_calibration(truth: ArrayLike, score: ArrayLike, *, subject: ArrayLike | None = None) -> PooledCalibration:
    """Logistic recalibration of all rows together: the common curve that each group is held against.

    Raises:
        LabelError: truth is not 0/1.
        InputRefused: a score is not a probability, one class is absent, or the scores separate the classes.
    """
    labels = binary_truth(truth)
    codes, n_subjects = subject_codes(subject, len(labels))
    chance = fit_recalibration(labels, score).apply(score)
    return PooledCalibration(logit(score), chance, labels - chance, codes, n_subjects)


def calibration_test(pooled: PooledCalibration, inside: ArrayLike, *, slope: bool = False) -> GroupTest:
    """Does a group share the common calibration curve: its height (default) or its slope?

    Score test of one more coefficient in the logistic regression of truth on logit(score): the group's indicator, or
    its product with logit(score). With w = chance (1 - chance) and h that column less its w-weighted projection on the
    others, U = sum h residual, V = sum h^2 w, third moment sum h^3 w (1 - 2 chance), and V is multiplied by the design
    effect as in `group_test`. ``inside`` and ``rest`` are one-step estimates U / V in logits: how much higher than the
    common curve the group's risk is (or its slope above it), and the same outside it.

    Source: Neyman, Optimal asymptotic tests of composite statistical hypotheses (1959).
    """
    member = np.asarray(inside, dtype=bool).reshape(-1)
    same_length(pooled.x, member, names=("the scores", "the group"))
    if not member.any() or member.all():
        return GroupTest(math.nan, math.nan, math.nan, math.nan)
    one, weight = np.ones_like(pooled.x), pooled.chance * (1 - pooled.chance)
    group = member.astype(np.float64)
    nuisance = [one, pooled.x, group] if slope else [one, pooled.x]
    h = _projected(group * pooled.x if slope else group, nuisance, weight)
    variance = float((h**2 * weight).sum())
    third = float((h**3 * weight * (1 - 2 * pooled.chance)).sum())
    z, p = _judged(h, pooled.residual, variance, third, pooled.codes, pooled.n_subjects)
    inner, outer = (_one_step(pooled, rows, slope=slope) for rows in (member, ~member))
    return GroupTest(inner, outer, z, p, h * pooled.residual)


def outranking(truth: ArrayLike, score: ArrayLike) -> Floats:
    """For each positive row the share of *all* negative rows that it outranks, ties half [n]; NaN for negative rows.

    Its mean over a group's positive rows is the AUC of the group's positives against everyone's negatives (BNSP AUC).

    Source: Borkan et al., Companion Proceedings of the World Wide Web Conference (2019) 491-500.
    """
    parts = components(truth, score)
    return np.where(parts.labels, parts.placement, np.nan)


def independent_gap(intervals: Sequence[Interval], strict: Sequence[Interval]) -> Interval:
    """Maximum minus minimum of figures from groups that share nobody, with a simultaneous interval.

    Args:
        intervals: one for each group, at the level that the gap is given for.
        strict: the same figures at level 1 - (1 - level) / number of pairs, so that all pairwise differences, by
            squaring and adding (`independent_difference`), hold at once.

    Returns:
        The gap lies between the largest lower and the largest upper bound of the absolute pairwise differences. NaN,
        with reason ``few-groups``, where fewer than two groups have an interval.
    """
    level = intervals[0].level if intervals else 0.95
    usable = [one for one in strict if math.isfinite(one.value) and math.isfinite(one.low + one.high)]
    n_subjects, n_images = sum(one.n_subjects for one in usable), sum(one.n_images for one in usable)
    method = "max - min, simultaneous over pairs (square-and-add, Bonferroni)"
    if len(usable) < 2:
        return Interval(math.nan, math.nan, math.nan, level, method, n_subjects, n_images, "few-groups")
    ordered = sorted(usable, key=lambda one: one.value)
    low = high = 0.0
    for i, smaller in enumerate(ordered):
        for larger in ordered[i + 1 :]:
            found = independent_difference(larger, smaller)
            low, high = max(low, found.low), max(high, found.high, -found.low)
    gap = ordered[-1].value - ordered[0].value
    return Interval(gap, low, high, level, method, n_subjects, n_images)


def skewed_p(z: float, skewness: float) -> float:
    """Two-sided p value of a standardised score whose distribution is Pearson's type III with this skewness.

    Twice the smaller tail. With k = 4 / skewness^2 the score is a gamma variable of shape k, centred and scaled; for
    skewness 0 it is normal.

    Raises:
        InputRefused: the score or the skewness is not finite.
    """
    if not math.isfinite(z) or not math.isfinite(skewness):
        raise InputRefused(f"score {z}, skewness {skewness}", legal="finite numbers")
    if abs(skewness) < 1e-4:
        return min(1.0, 2 * float(ndtr(-abs(z))))
    k = 4 / skewness**2
    turned = math.copysign(z, z * skewness)  # the same tail of the mirrored distribution where the skewness is negative
    at = max(0.0, k + turned * math.sqrt(k))
    return min(1.0, 2 * min(float(gammainc(k, at)), float(gammaincc(k, at))))


def _judged(
    h: Floats, e: Floats, variance: float, third: float, codes: Integers, n_subjects: int
) -> tuple[float, float]:
    """Standardised score and p, with the variance and the skewness of fewer, independent rows."""
    parts = h * e
    score = float(parts.sum())
    scale = float(np.abs(h).max() * np.abs(e).max()) if len(h) else 0.0
    if variance <= 1e-24 * max(1.0, scale**2 * len(h)):
        return (0.0, 1.0) if abs(score) <= 1e-9 * max(1.0, scale) else (math.nan, math.nan)
    design = max(1.0, _design_effect(parts, codes, n_subjects), _design_effect(e, codes, n_subjects))
    z = score / math.sqrt(variance * design)
    return z, skewed_p(z, third / variance**1.5 * math.sqrt(design))


def _design_effect(values: Floats, codes: Integers, n_subjects: int) -> float:
    if n_subjects == len(values):
        return 1.0
    whole = float((values**2).sum())
    return float((np.bincount(codes, values, minlength=n_subjects) ** 2).sum()) / whole if whole > 0 else 1.0


def _projected(column: Floats, others: Sequence[Floats], weight: Floats) -> Floats:
    """What weighted least squares on the other columns leaves of a column."""
    root, design = np.sqrt(weight), np.stack(others, axis=1)
    found = np.linalg.lstsq(design * root[:, None], column * root, rcond=None)[0]
    return np.asarray(column - design @ found)


def _one_step(pooled: PooledCalibration, rows: NDArray[np.bool_] | Bools, *, slope: bool) -> float:
    """One Newton step from the common curve within some rows: of the height, or of the slope beside the height."""
    x, weight = pooled.x[rows], pooled.chance[rows] * (1 - pooled.chance[rows])
    h = _projected(x, [np.ones_like(x)], weight) if slope else np.ones_like(x)
    below = float((h**2 * weight).sum())
    return float((h * pooled.residual[rows]).sum()) / below if below > 0 else math.nan
