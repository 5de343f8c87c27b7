"""Bootstrap clustered by patient, vectorised: whole patients are drawn, never rows.

A statistic says how it depends on the rows' weights, so that thousands of replicates become a few matrix products:
`Sums` (any function of weighted sums: means, rates, Brier, ECE), `RankArea` (AUC), `Quantile` (median) and `RiskArea`
(area under the risk-coverage curve).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Bools, Floats, Integers, finite_values, subject_codes, summed, truth_and_score

BLOCK_CELLS = 1_500_000
"""Cells (subjects or rows x replicates) that are held at once; bounds the memory at some tens of megabytes."""


@dataclass(frozen=True)
class Sums:
    """A statistic of weighted column sums: ``combine(weights @ columns)``.

    ``columns`` is [n, k]; ``combine`` maps [..., k] to [...] and gives NaN where nothing can be divided.
    """

    columns: Floats
    combine: Callable[[Floats], Floats]


@dataclass(frozen=True)
class RankArea:
    """The weighted area under the ROC curve; ``truth`` bool [n], ``score`` [n]."""

    truth: Bools
    score: Floats


@dataclass(frozen=True)
class Quantile:
    """The weighted lower quantile: the smallest value at which the weight reached is at least ``q`` of the whole."""

    values: Floats
    q: float = 0.5


@dataclass(frozen=True)
class RiskArea:
    """The weighted area under the risk-coverage curve: the mean of the error among rows as confident or more.

    ``wrong`` bool [n], ``confidence`` [n]; rows of one confidence are kept or deferred together. ``excess`` takes off
    the smallest area that so many errors allow.
    """

    wrong: Bools
    confidence: Floats
    excess: bool = False


Statistic = Sums | RankArea | Quantile | RiskArea


@dataclass(frozen=True)
class Bootstrap:
    """Statistics of each group and their replicates.

    ``values`` is [metric, group]; ``replicates`` [replicate, metric, group], NaN where a replicate drew nobody that
    the statistic can be computed on; ``n_subjects`` and ``n_images`` [group]; ``n_drawn`` subjects are in all.
    """

    metrics: tuple[str, ...]
    groups: tuple[str, ...]
    values: Floats
    replicates: Floats
    n_subjects: Integers
    n_images: Integers
    n_drawn: int
    seed: int

    def value(self, metric: str, group: str = "all") -> float:
        """The statistic on the data itself."""
        return float(self.values[self.metrics.index(metric), self.groups.index(group)])

    def draws(self, metric: str, group: str = "all") -> Floats:
        """The replicates of one statistic in one group [n_replicates]."""
        return self.replicates[:, self.metrics.index(metric), self.groups.index(group)]


def mean_of(values: ArrayLike) -> Sums:
    """The weighted mean of values [n]."""
    numbers = finite_values(values)
    return Sums(np.stack([numbers, np.ones_like(numbers)], axis=1), _ratio)


def rate_of(success: ArrayLike, *, among: ArrayLike | None = None) -> Sums:
    """The weighted share of successes among the rows that count (``among`` bool [n], default all)."""
    hits = np.asarray(success, dtype=bool).reshape(-1)
    counted = np.ones(len(hits), dtype=bool) if among is None else np.asarray(among, dtype=bool).reshape(-1)
    return Sums(np.stack([hits & counted, counted], axis=1).astype(np.float64), _ratio)


def auc_of(truth: ArrayLike, score: ArrayLike) -> RankArea:
    """The area under the ROC curve, ties half."""
    return RankArea(*truth_and_score(truth, score))


def brier_of(truth: ArrayLike, score: ArrayLike) -> Sums:
    """The mean squared distance of probability and truth."""
    labels, scores = truth_and_score(truth, score)
    return mean_of((scores - labels) ** 2)


def ece_of(truth: ArrayLike, score: ArrayLike, *, edges: ArrayLike) -> Sums:
    """Expected calibration error over fixed bins; ``edges`` as `calibration.bin_edges` gives them."""
    labels, scores = truth_and_score(truth, score)
    limits = np.asarray(edges, dtype=np.float64)
    n_bins = len(limits) - 1
    which = np.clip(np.searchsorted(limits, scores, side="left") - 1, 0, n_bins - 1)
    columns = np.zeros((len(scores), n_bins + 1))
    columns[np.arange(len(scores)), which] = scores - labels
    columns[:, -1] = 1
    return Sums(columns, _absolute_share)


def binary_statistics(
    truth: ArrayLike, score: ArrayLike, *, threshold: float, edges: ArrayLike
) -> dict[str, Statistic]:
    """AUC, the rates at ``score >= threshold``, Brier and ECE of one binary target."""
    labels, scores = truth_and_score(truth, score)
    called = scores >= threshold
    right = called == labels
    balanced = np.stack([right & labels, labels, right & ~labels, ~labels], axis=1).astype(np.float64)
    return {
        "auc": RankArea(labels, scores),
        "sensitivity": rate_of(called, among=labels),
        "specificity": rate_of(~called, among=~labels),
        "ppv": rate_of(labels, among=called),
        "npv": rate_of(~labels, among=~called),
        "accuracy": rate_of(right),
        "balanced_accuracy": Sums(balanced, _mean_of_two_ratios),
        "brier": brier_of(labels, scores),
        "ece": ece_of(labels, scores, edges=edges),
    }


def bootstrap_counts(subject: ArrayLike, n_replicates: int, seed: int) -> NDArray[np.int32]:
    """How often each subject is drawn: multinomial counts [n_replicates, n_subjects], subjects in sorted order."""
    _, n_subjects = subject_codes(subject, len(np.asarray(subject).reshape(-1)))
    blocks = [block.T.astype(np.int32) for _, block in _count_blocks(n_subjects, n_replicates, seed)]
    return np.concatenate(blocks) if blocks else np.zeros((0, n_subjects), dtype=np.int32)


def clustered_bootstrap(
    statistics: Mapping[str, Statistic],
    subject: ArrayLike | None,
    *,
    groups: Mapping[str, ArrayLike] | None = None,
    n_replicates: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """Replicates of statistics in groups, drawing subjects with replacement from all subjects at once.

    All groups share the draws, so differences between groups keep their dependence (a subject may be in several).
    A replicate has as many subjects as the data; the size of each group varies from draw to draw, as it does in
    another sample of patients.

    Args:
        statistics: named; each over the same n rows.
        subject: [n], or None if each row is a subject of its own.
        groups: masks, bool [n]; default ``{"all": every row}``.
        n_replicates: draws.
        seed: of the draws; equal seeds give equal replicates.

    Raises:
        InputRefused: lengths differ, or there is no statistic or row.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), sections 2.4 and 3.8.
    """
    n_rows = _n_rows(statistics)
    codes, n_subjects = subject_codes(subject, n_rows)
    masks = {"all": np.ones(n_rows, dtype=bool)} if groups is None else _masks(groups, n_rows)
    parts = [
        _prepared(statistic, codes, mask, n_subjects) for statistic in statistics.values() for mask in masks.values()
    ]
    ones = np.ones((n_subjects, 1), dtype=np.float64)
    values = _evaluated(parts, ones, exact=True)[0]
    replicates = np.empty((n_replicates, len(parts)))
    for start, block in _count_blocks(n_subjects, n_replicates, seed):
        replicates[start : start + block.shape[1]] = _evaluated(parts, block)
    shape = (len(statistics), len(masks))
    return Bootstrap(
        metrics=tuple(statistics),
        groups=tuple(masks),
        values=values.reshape(shape),
        replicates=replicates.reshape(n_replicates, *shape),
        n_subjects=np.array([len(np.unique(codes[mask])) for mask in masks.values()]),
        n_images=np.array([int(mask.sum()) for mask in masks.values()]),
        n_drawn=n_subjects,
        seed=seed,
    )


@dataclass(frozen=True)
class _SubjectSums:
    sums: Floats  # [n_subjects, k]
    combine: Callable[[Floats], Floats]


@dataclass(frozen=True)
class _RankedRows:
    """Rows of one group: ``below`` and ``upto`` count the negatives under, and up to, each positive."""

    positive: Integers  # subject of each positive row
    negative: Integers  # subject of each negative row, by rising score
    below: Integers
    upto: Integers


@dataclass(frozen=True)
class _SortedValues:
    subject: Integers
    values: Floats
    q: float


@dataclass(frozen=True)
class _ByConfidence:
    """Rows from the most confident; ``last`` is the place of the last row of the same confidence."""

    subject: Integers
    wrong: Bools
    last: Integers
    excess: bool


_Prepared = _SubjectSums | _RankedRows | _SortedValues | _ByConfidence


def _prepared(statistic: Statistic, codes: Integers, mask: Bools, n_subjects: int) -> _Prepared:
    """What a statistic needs of one group's rows."""
    own = codes[mask]
    if isinstance(statistic, Sums):
        columns = statistic.columns[mask]
        sums = np.stack([summed(own, column, n_subjects) for column in columns.T], axis=1)
        return _SubjectSums(sums, statistic.combine)
    if isinstance(statistic, Quantile):
        values = statistic.values[mask]
        order = np.argsort(values, kind="stable")
        return _SortedValues(own[order], values[order], statistic.q)
    if isinstance(statistic, RiskArea):
        doubt = -statistic.confidence[mask]
        order = np.argsort(doubt, kind="stable")
        last = np.searchsorted(doubt[order], doubt[order], side="right") - 1
        return _ByConfidence(own[order], statistic.wrong[mask][order], last, statistic.excess)
    labels, scores = statistic.truth[mask], statistic.score[mask]
    order = np.argsort(scores[~labels], kind="stable")
    negatives = scores[~labels][order]
    below, upto = (np.searchsorted(negatives, scores[labels], side=side) for side in ("left", "right"))
    return _RankedRows(own[labels], own[~labels][order], below, upto)


def _evaluated(parts: list[_Prepared], counts: NDArray[Any], *, exact: bool = False) -> Floats:
    """Statistics [n_replicates, part] under subject counts [n_subjects, n_replicates]."""
    result = np.empty((counts.shape[1], len(parts)))
    linear = [i for i, part in enumerate(parts) if isinstance(part, _SubjectSums)]
    if linear:
        kind = np.float64 if exact else np.float32
        columns = np.concatenate([parts[i].sums for i in linear], axis=1).astype(kind)  # type: ignore[union-attr]
        sums: Floats = np.matmul(counts.astype(kind, copy=False).T, columns).astype(np.float64)
        start = 0
        for i in linear:
            part = parts[i]
            width = part.sums.shape[1]  # type: ignore[union-attr]
            result[:, i] = part.combine(sums[:, start : start + width])  # type: ignore[union-attr]
            start += width
    for i, part in enumerate(parts):
        if isinstance(part, _RankedRows):
            result[:, i] = _areas(part, counts)
        elif isinstance(part, _SortedValues):
            result[:, i] = _quantiles(part, counts)
        elif isinstance(part, _ByConfidence):
            result[:, i] = _risk_areas(part, counts)
    return result


def _areas(rows: _RankedRows, counts: NDArray[Any]) -> Floats:
    """AUC of each replicate by cumulative sums over the sorted negatives."""
    reached = np.zeros((len(rows.negative) + 1, counts.shape[1]), dtype=counts.dtype)
    np.cumsum(counts[rows.negative], axis=0, out=reached[1:])
    weights = counts[rows.positive]
    ranked = reached[rows.below]
    if not np.array_equal(rows.below, rows.upto):
        ranked = (ranked + reached[rows.upto]) / 2
    right = np.einsum("pr,pr->r", weights, ranked, dtype=np.float64)
    pairs = weights.sum(axis=0, dtype=np.float64) * reached[-1].astype(np.float64)
    return _divided(right, pairs)


def _quantiles(rows: _SortedValues, counts: NDArray[Any]) -> Floats:
    reached = np.cumsum(counts[rows.subject], axis=0, dtype=np.float64)
    if len(reached) == 0:
        return np.full(counts.shape[1], np.nan)
    whole = reached[-1]
    at = (reached < rows.q * whole - 1e-9).sum(axis=0)
    values: Floats = np.where(whole > 0, rows.values[np.minimum(at, len(rows.values) - 1)], np.nan)
    return values


def _risk_areas(rows: _ByConfidence, counts: NDArray[Any]) -> Floats:
    """AURC of each replicate by cumulative sums over the rows from the most confident."""
    from scipy.special import digamma

    if len(rows.subject) == 0:
        return np.full(counts.shape[1], np.nan)
    weights = counts[rows.subject]
    kept = np.cumsum(weights, axis=0)
    wrong = np.cumsum(weights * rows.wrong[:, None], axis=0, dtype=weights.dtype)
    # Where nobody has been drawn yet the row's own weight is 0, so any divisor will do.
    risk = wrong[rows.last] / np.maximum(kept[rows.last], 1)
    whole, errors = kept[-1].astype(np.float64), wrong[-1].astype(np.float64)
    area = np.einsum("nr,nr->r", weights, risk, dtype=np.float64)
    if rows.excess:
        right = whole - errors
        area = area - (errors - right * (digamma(whole + 1) - digamma(right + 1)))
    return _divided(area, whole)


def _count_blocks(n_subjects: int, n_replicates: int, seed: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Blocks (first replicate, counts [n_subjects, block]); the draws do not depend on the block size."""
    rng = np.random.default_rng(seed)
    size = max(1, min(n_replicates, BLOCK_CELLS // max(1, n_subjects)))
    for start in range(0, n_replicates, size):
        n_here = min(size, n_replicates - start)
        drawn = rng.integers(0, n_subjects, size=(n_here, n_subjects), dtype=np.int32)
        drawn += (np.arange(n_here, dtype=np.int32) * n_subjects)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=n_here * n_subjects).reshape(n_here, n_subjects)
        yield start, np.ascontiguousarray(counts.T, dtype=np.float32)


def _n_rows(statistics: Mapping[str, Statistic]) -> int:
    sizes = {
        name: len(next(getattr(s, key) for key in ("columns", "values", "wrong", "truth") if hasattr(s, key)))
        for name, s in statistics.items()
    }
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise InputRefused(f"statistics over {sizes or 'no'} rows", legal="one or more statistics over the same rows")
    return next(iter(sizes.values()))


def _masks(groups: Mapping[str, ArrayLike], n_rows: int) -> dict[str, Bools]:
    masks = {name: np.asarray(mask, dtype=bool).reshape(-1) for name, mask in groups.items()}
    for name, mask in masks.items():
        if len(mask) != n_rows:
            raise InputRefused(f"group {name!r} over {len(mask)} rows", legal=f"one entry for each of {n_rows} rows")
    return masks


def _divided(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))


def _ratio(sums: Floats) -> Floats:
    return _divided(sums[..., 0], sums[..., 1])


def _mean_of_two_ratios(sums: Floats) -> Floats:
    return (_divided(sums[..., 0], sums[..., 1]) + _divided(sums[..., 2], sums[..., 3])) / 2


def _absolute_share(sums: Floats) -> Floats:
    return _divided(np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1])
