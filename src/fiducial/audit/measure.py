"""One figure with its interval, for any metric, group and part: every check and every criterion measures here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.given import AuditSettings
from fiducial.audit.minimum import marked
from fiducial.audit.scores import ArgmaxColumn, ScoreColumn
from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from fiducial.maths.bootstrap import Bootstrap, Statistic
    from fiducial.maths.intervals import Interval

Masks = Mapping[str, NDArray[np.bool_]]
RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
CALIBRATION = ("calibration_slope", "calibration_intercept", "calibration_in_the_large")
LOSSES = ("brier", "log_loss")
"""Means of what each row costs."""
N_BINS = 10
PUSHED_UP = ("ece", "ece_adaptive", "brier_reliability")
"""Sums of absolute or squared values: chance, and then resampling, pushes them upwards."""
SIGNED = ("volume_difference_ml", "brier_resolution", "correlation")
UNBOUNDED = ("hd95", "masd", "log_loss")


def counted(metric: str, column: ScoreColumn, threshold: float | None) -> NDArray[np.bool_]:
    """The rows that a metric divides by: sensitivity counts the positive ones, PPV those called positive."""
    if metric == "sensitivity":
        return column.truth
    if metric == "specificity":
        return ~column.truth
    if metric in ("ppv", "npv") and threshold is not None:
        called = column.score >= threshold
        return called if metric == "ppv" else ~called
    return np.ones(len(column.truth), dtype=bool)


def n_counted(metric: str, column: ScoreColumn, threshold: float | None) -> int:
    """Distinct subjects among the rows that count."""
    return len(np.unique(column.subject[counted(metric, column, threshold)]))


def score_interval(metric: str, column: ScoreColumn, threshold: float | None, settings: AuditSettings) -> Interval:
    """A metric of a binary score; its reason says where there are fewer patients than `minimum_n_of` asks for.

    Raises:
        InputRefused: an unknown metric, or one that needs a threshold without one.
    """
    if metric in LOSSES and len(column.truth):
        return loss_interval(metric, column, settings)
    found = _unmarked(metric, column, threshold, settings)
    return marked(metric, found, rarer(column) if metric in ("auc", *CALIBRATION) else found.n_subjects)


def rarer(column: ScoreColumn) -> int:
    """Patients of the rarer class: what an AUC or a calibration line rests on."""
    return min(len(np.unique(column.subject[column.truth])), len(np.unique(column.subject[~column.truth])))


def loss_interval(metric: str, column: ScoreColumn, settings: AuditSettings) -> Interval:
    """Brier score or log loss, a mean over rows whose tail is long where a confident score is wrong."""
    from fiducial.maths.calibration import SMALLEST_PROBABILITY, log_losses
    from fiducial.maths.intervals import mean_interval

    loss = (column.score - column.truth) ** 2 if metric == "brier" else log_losses(column.truth, column.score)
    bounds = (0.0, 1.0 if metric == "brier" else -math.log(SMALLEST_PROBABILITY))
    found = mean_interval(loss, subject=column.subject, level=settings.level, bounds=bounds)
    return marked(metric, found, found.n_subjects)


def _unmarked(metric: str, column: ScoreColumn, threshold: float | None, settings: AuditSettings) -> Interval:
    from fiducial.maths.intervals import auc_interval, rate_interval

    if metric == "auc":
        return auc_interval(column.truth, column.score, subject=column.subject, level=settings.level)
    if metric in CALIBRATION:
        return _calibration(metric, column, settings)
    if metric in RATES:
        use = counted(metric, column, threshold)
        right = _right(metric, column, threshold)[use]
        return rate_interval(right, subject=column.subject[use], level=settings.level)
    if not len(column.truth):
        return nothing(settings, "no-rows")
    if metric == "balanced_accuracy" and column.one_class:
        return nothing(settings, "one-class", column)
    statistics = {metric: statistic_of(metric, column, threshold)}
    found = replicates(statistics, column.subject, None, settings)
    return from_bootstrap(found, metric, "all", settings)


def argmax_interval(metric: str, column: ArgmaxColumn, settings: AuditSettings) -> Interval:
    """Accuracy, or balanced accuracy (mean of the classes' sensitivities), of a multi-class decision."""
    from fiducial.maths.intervals import rate_interval

    right = column.decision == column.truth
    if metric == "accuracy":
        found = rate_interval(right, subject=column.subject, level=settings.level)
        return marked(metric, found, found.n_subjects)
    if not len(right):
        return nothing(settings, "no-rows")
    drawn = replicates({metric: argmax_statistic(metric, column)}, column.subject, None, settings)
    return from_bootstrap(drawn, metric, "all", settings)


def argmax_statistic(metric: str, column: ArgmaxColumn) -> Statistic:
    """The same two metrics for the bootstrap."""
    from fiducial.maths.bootstrap import Sums, rate_of

    right = column.decision == column.truth
    if metric == "accuracy":
        return rate_of(right)
    if metric != "balanced_accuracy":
        raise InputRefused(f"metric {metric!r} of a multi-class decision", legal="accuracy, balanced_accuracy")
    classes = np.unique(column.truth)
    of_class = [column.truth == name for name in classes]
    parts = [part for mask in of_class for part in (right & mask, mask)]
    return Sums(np.stack(parts, axis=1).astype(np.float64), _mean_recall)


def _mean_recall(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of right / all over the classes; NaN where a class was not drawn."""
    right, whole = sums[..., 0::2], sums[..., 1::2]
    recall = np.divide(right, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return np.asarray(recall.mean(axis=-1))


def statistic_of(metric: str, column: ScoreColumn, threshold: float | None) -> Statistic:
    """A metric of a binary score for the bootstrap.

    Raises:
        InputRefused: the metric has no bootstrap (calibration slope and intercept) or lacks its threshold.
    """
    from fiducial.maths import bootstrap
    from fiducial.maths.calibration import bin_edges, brier_part_of, log_losses

    if metric == "auc":
        return bootstrap.auc_of(column.truth, column.score)
    if metric == "brier":
        return bootstrap.brier_of(column.truth, column.score)
    if metric == "log_loss":
        return bootstrap.mean_of(log_losses(column.truth, column.score))
    if metric.startswith("brier_"):
        return brier_part_of(metric.removeprefix("brier_"), column.truth, column.score, n_bins=N_BINS)
    adaptive = metric == "ece_adaptive"
    edges = bin_edges(column.score, n_bins=N_BINS, binning="adaptive" if adaptive else "equal_width")
    if metric in ("ece", "ece_adaptive"):
        return bootstrap.ece_of(column.truth, column.score, edges=edges)
    if metric not in (*RATES, "balanced_accuracy") or threshold is None:
        raise InputRefused(f"metric {metric!r} with threshold {threshold}", legal="a metric with a bootstrap")
    return bootstrap.binary_statistics(column.truth, column.score, threshold=threshold, edges=edges)[metric]


def replicates(
    statistics: Mapping[str, Statistic], subject: NDArray[Any], groups: Masks | None, settings: AuditSettings
) -> Bootstrap:
    """Clustered replicates of several metrics in several groups, one draw of subjects for all."""
    from fiducial.maths.bootstrap import clustered_bootstrap

    return clustered_bootstrap(
        statistics, subject, groups=groups, n_replicates=settings.n_replicates, seed=settings.seed
    )


def from_bootstrap(found: Bootstrap, metric: str, group: str, settings: AuditSettings) -> Interval:
    """The interval of one metric in one group; by reflection where resampling biases it upwards (`PUSHED_UP`).

    ``metric`` may carry a name before a colon, where one bootstrap holds a metric of several scores.
    """
    from fiducial.maths.intervals import bootstrap_interval

    name = metric.rpartition(":")[2]
    bounds = (-math.inf, math.inf) if name in SIGNED else (0.0, math.inf if name in UNBOUNDED else 1.0)
    return bootstrap_interval(found, metric, group, level=settings.level, basic=name in PUSHED_UP, bounds=bounds)


def gap(
    found: Bootstrap, metric: str, groups: Sequence[str], settings: AuditSettings, marginal: Mapping[str, Interval]
) -> Interval:
    """Largest minus smallest over groups, with its own interval and the p value of no difference."""
    from fiducial.maths.intervals import gap_interval

    return gap_interval(found, metric, groups, level=settings.level, marginal=marginal)


def nothing(settings: AuditSettings, reason: str, column: ScoreColumn | None = None) -> Interval:
    """An interval that says only why it is empty."""
    from fiducial.maths.intervals import Interval

    n_subjects, n_images = (0, 0) if column is None else (column.n_subjects, len(column.truth))
    return Interval(math.nan, math.nan, math.nan, settings.level, "none", n_subjects, n_images, reason)


def reason_text(interval: Interval) -> str:
    """Why an interval is not an ordinary one; empty where it is."""
    from fiducial.maths.intervals import REASONS

    return REASONS.get(interval.reason, interval.reason) if interval.reason else ""


def _calibration(metric: str, column: ScoreColumn, settings: AuditSettings) -> Interval:
    from fiducial.maths.calibration import calibration_slope_intercept

    fit = calibration_slope_intercept(column.truth, column.score, subject=column.subject, level=settings.level)
    return {
        "calibration_slope": fit.slope,
        "calibration_intercept": fit.intercept,
        "calibration_in_the_large": fit.in_the_large,
    }[metric]


def _right(metric: str, column: ScoreColumn, threshold: float | None) -> NDArray[np.bool_]:
    """Which rows are a success for a rate."""
    if threshold is None:
        raise InputRefused(f"metric {metric!r} without a threshold", legal="a threshold")
    called = column.score >= threshold
    if metric == "sensitivity":
        return called
    if metric == "specificity":
        return ~called
    if metric == "ppv":
        return column.truth
    return ~column.truth if metric == "npv" else called == column.truth
