"""How much raters agree: kappas, Krippendorff's alpha, who disagrees most, and the consensus of several masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiducial.errors import GeometryError, InputRefused
from fiducial.maths.bootstrap import Sums
from fiducial.maths.inputs import Bools, Floats, Integers

Weighting = Literal["none", "linear", "quadratic"]
NOT_RATED = -1


def value_of(statistic: Sums) -> float:
    """A statistic of sums on the data itself, each row counted once."""
    return float(statistic.combine(statistic.columns.sum(axis=0)))


def cohen_kappa_of(first: ArrayLike, second: ArrayLike, *, n_categories: int, weighting: Weighting = "none") -> Sums:
    """Cohen's kappa of two raters as a statistic for `clustered_bootstrap`.

    kappa = 1 - sum w o / sum w e, with o the observed and e the table expected from both margins, and the disagreement
    weights w = 1 off the diagonal, abs(i - j) (``linear``) or (i - j)^2 (``quadratic``). NaN where both raters use one
    and the same category only: no disagreement could have been seen.

    Args:
        first: categories 0 ... n_categories - 1 [n].
        second: the same of the other rater [n].
        n_categories: 2 or more.
        weighting: of disagreements.

    Raises:
        InputRefused: lengths differ, or a category is out of range.

    Source: Cohen, Educ Psychol Meas 20 (1960) 37-46; weighted: Cohen, Psychol Bull 70 (1968) 213-220.
    """
    a, b = _categories(first, n_categories), _categories(second, n_categories)
    if len(a) != len(b):
        raise InputRefused(f"{len(a)} answers of one rater and {len(b)} of the other", legal="equal lengths")
    columns = np.zeros((len(a), n_categories**2))
    columns[np.arange(len(a)), a * n_categories + b] = 1
    return Sums(columns, partial(_kappa, _disagreement(n_categories, weighting)))


def counts_of(ratings: ArrayLike, *, n_categories: int) -> Integers:
    """How many raters put each image into each category [n_images, n_categories].

    Args:
        ratings: categories [n_images, n_raters], `NOT_RATED` where a rater did not see the image.
        n_categories: 2 or more.
    """
    table = np.asarray(ratings, dtype=np.int64)
    counts: Integers = np.stack([(table == category).sum(axis=1) for category in range(n_categories)], axis=1)
    return counts


def fleiss_kappa_of(counts: ArrayLike) -> Sums:
    """Fleiss' kappa of many raters as a statistic for `clustered_bootstrap`.

    kappa = (P - P_e) / (1 - P_e), P the mean over images of the share of agreeing pairs of raters, P_e the sum of the
    squared shares of the categories among all ratings. Images with one rater do not count. NaN where all ratings are
    alike.

    Args:
        counts: ratings of each image by category [n_images, n_categories], see `counts_of`.

    Source: Fleiss, Psychol Bull 76 (1971) 378-382.
    """
    table, n_raters, counted = _rated_twice(counts)
    pairs = np.maximum(n_raters * (n_raters - 1), 1)
    agreeing = (table * (table - 1)).sum(axis=1) / pairs
    columns = np.concatenate([np.stack([agreeing, np.ones(len(table))], axis=1), table], axis=1)
    return Sums(columns * counted[:, None], _fleiss)


def krippendorff_alpha_of(counts: ArrayLike, *, weighting: Weighting = "none") -> Sums:
    """Krippendorff's alpha as a statistic for `clustered_bootstrap`; raters may have seen different images.

    alpha = 1 - D_o / D_e from the coincidence matrix: each image with m >= 2 raters adds its ordered pairs of ratings,
    divided by m - 1. ``none`` is the nominal metric, ``quadratic`` the interval metric on categories 0, 1, 2 ... NaN
    where all ratings are alike.

    Args:
        counts: ratings of each image by category [n_images, n_categories].
        weighting: of disagreements, as `cohen_kappa_of`.

    Source: Krippendorff, Content Analysis (2004), chapter 11; Hayes and Krippendorff, Commun Methods Meas 1 (2007)
    77-89.
    """
    table, n_raters, counted = _rated_twice(counts)
    k = table.shape[1]
    pairs = table[:, :, None] * table[:, None, :] - np.eye(k)[None] * table[:, :, None]
    coincidences = pairs / np.maximum(n_raters - 1, 1)[:, None, None]
    columns = coincidences.reshape(len(table), k * k) * counted[:, None]
    return Sums(columns, partial(_alpha, _disagreement(k, weighting)))


def disagreements(ratings: ArrayLike) -> tuple[Floats, Floats]:
    """How often each rater differs from the others, and the others among themselves, image by image.

    Args:
        ratings: categories [n_images, n_raters], `NOT_RATED` where a rater did not see the image.

    Returns:
        Two arrays [n_images, n_raters]: the share of the other raters of the image that differ from this one, and the
        share of differing pairs among those others. NaN where the rater did not see the image or fewer than three
        raters did. If all raters are alike, both have the same expectation in every image.
    """
    table = np.asarray(ratings, dtype=np.int64)
    n_categories = int(table.max(initial=0)) + 1
    counts = counts_of(table, n_categories=n_categories).astype(np.float64)
    m = counts.sum(axis=1)[:, None]
    same = np.where(table >= 0, np.take_along_axis(counts, np.maximum(table, 0), axis=1), np.nan)
    usable = (table >= 0) & (m >= 3)
    all_pairs = (m**2 - (counts**2).sum(axis=1)[:, None]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        own = (m - same) / (m - 1)
        others = (all_pairs - (m - same)) / ((m - 1) * (m - 2) / 2)
    return np.where(usable, own, np.nan), np.where(usable, others, np.nan)


@dataclass(frozen=True)
class Consensus:
    """The consensus of several masks: ``probability`` [...] of each voxel, ``mask`` where it is at least one half.

    ``sensitivity`` and ``specificity`` are each rater's against the consensus, in the order given.
    """

    probability: Floats
    mask: Bools
    sensitivity: tuple[float, ...]
    specificity: tuple[float, ...]


def pairwise_dice(masks: Sequence[ArrayLike]) -> Floats:
    """Dice of every pair of masks on one grid [n_raters, n_raters]; two empty masks agree (1).

    Raises:
        InputRefused: fewer than two masks.
        GeometryError: they do not share a shape.
    """
    flat = np.stack([mask.reshape(-1) for mask in _masks(masks)]).astype(np.float64)
    size = flat.sum(axis=1)
    whole = size[:, None] + size[None, :]
    both = 2 * (flat @ flat.T)
    result: Floats = np.divide(both, whole, out=np.ones_like(both), where=whole > 0)
    return result


def staple(masks: Sequence[ArrayLike], *, n_steps: int = 100) -> Consensus:
    """The STAPLE consensus of several raters' masks of one structure, and how good each rater is against it.

    Expectation maximisation: each voxel's chance to belong to the structure and each rater's sensitivity and
    specificity explain each other. Specificity grows with the background that the array holds, so crop all cases of a
    comparison alike. Where no rater drew anything the consensus is empty, sensitivity NaN and specificity 1.

    Args:
        masks: bool arrays of one shape, 2-D or 3-D, one per rater; 2 or more.
        n_steps: at most so many iterations.

    Raises:
        InputRefused: fewer than two masks, or neither 2-D nor 3-D.
        GeometryError: they do not share a shape.

    Source: Warfield, Zou and Wells, IEEE Trans Med Imaging 23 (2004) 903-921; computed by SimpleITK.
    """
    import SimpleITK as sitk  # noqa: N813 - its own custom

    drawn = _masks(masks)
    if drawn[0].ndim not in (2, 3):
        raise InputRefused(f"masks of {drawn[0].ndim} axes", legal="2 or 3 axes")
    if not any(mask.any() for mask in drawn):
        empty = np.zeros(drawn[0].shape)
        return Consensus(empty, empty > 0, (float("nan"),) * len(drawn), (1.0,) * len(drawn))
    engine = sitk.STAPLEImageFilter()
    engine.SetForegroundValue(1)
    engine.SetMaximumIterations(n_steps)
    found = engine.Execute([sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in drawn])
    probability: Floats = sitk.GetArrayFromImage(found).astype(np.float64)
    rates = (tuple(float(rate) for rate in got()) for got in (engine.GetSensitivity, engine.GetSpecificity))
    sensitivity, specificity = rates
    return Consensus(probability, probability >= 0.5, sensitivity, specificity)


def _categories(answers: ArrayLike, n_categories: int) -> Integers:
    codes = np.asarray(answers, dtype=np.int64).reshape(-1)
    if len(codes) and (codes.min() < 0 or codes.max() >= n_categories):
        raise InputRefused(f"categories {codes.min()} to {codes.max()}", legal=f"0 to {n_categories - 1}")
    return codes


def _disagreement(n_categories: int, weighting: Weighting) -> Floats:
    """Weights of disagreement [n_categories, n_categories], 0 on the diagonal."""
    apart = np.abs(np.subtract.outer(np.arange(n_categories), np.arange(n_categories))).astype(np.float64)
    return {"none": (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weighting]


def _kappa(weights: Floats, sums: Floats) -> Floats:
    """1 - observed / expected disagreement of tables [..., k * k]."""
    k = len(weights)
    observed = sums.reshape(*sums.shape[:-1], k, k)
    n = observed.sum(axis=(-1, -2))
    expected = observed.sum(axis=-1)[..., :, None] * observed.sum(axis=-2)[..., None, :]
    by_chance = (weights * expected).sum(axis=(-1, -2))
    return 1 - _divided(n * (weights * observed).sum(axis=(-1, -2)), by_chance)


def _fleiss(sums: Floats) -> Floats:
    agreed = _divided(sums[..., 0], sums[..., 1])
    ratings = sums[..., 2:]
    shares = _divided(ratings, np.broadcast_to(ratings.sum(axis=-1, keepdims=True), ratings.shape))
    by_chance = (shares**2).sum(axis=-1)
    return _divided(agreed - by_chance, np.where(by_chance < 1 - 1e-12, 1 - by_chance, 0.0))


def _alpha(weights: Floats, sums: Floats) -> Floats:
    k = len(weights)
    coincidences = sums.reshape(*sums.shape[:-1], k, k)
    margin = coincidences.sum(axis=-1)
    n = margin.sum(axis=-1)
    seen = (weights * coincidences).sum(axis=(-1, -2))
    by_chance = (weights * margin[..., :, None] * margin[..., None, :]).sum(axis=(-1, -2))
    return 1 - _divided((n - 1) * seen, by_chance)


def _rated_twice(counts: ArrayLike) -> tuple[Floats, Floats, Bools]:
    """Counts as numbers, raters of each image, and which images have two or more."""
    table = np.asarray(counts, dtype=np.float64)
    n_raters = table.sum(axis=1)
    return table, n_raters, n_raters >= 2


def _masks(masks: Sequence[ArrayLike]) -> list[NDArray[np.bool_]]:
    drawn: list[NDArray[Any]] = [np.asarray(mask) > 0 for mask in masks]
    if len(drawn) < 2:
        raise InputRefused(f"{len(drawn)} mask", legal="two or more, one per rater")
    shapes = sorted({mask.shape for mask in drawn})
    if len(shapes) > 1:
        raise GeometryError(f"masks of shapes {', '.join(map(str, shapes))}", legal="one shape for all raters")
    return drawn


def _divided(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))
