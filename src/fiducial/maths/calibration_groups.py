"""Calibration of several groups of patients at once, with what is needed to compare them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from fiducial.maths.bootstrap import Bootstrap
from fiducial.maths.calibration import fit_large, fit_line, logit, why_no_slope
from fiducial.maths.inputs import Bools, binary_truth, probabilities, same_length, subject_codes


def calibration_by_group(
    truth: ArrayLike,
    score: ArrayLike,
    groups: Mapping[str, Bools],
    *,
    subject: ArrayLike | None = None,
    n_replicates: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """Calibration slope and calibration in the large of groups, with normal draws that keep how groups depend.

    The draws come from the normal distribution whose covariance is the cluster-robust sandwich over all groups at
    once: a patient who is in two groups ties them. They take the place of refitting each group in each replicate,
    so that `intervals.gap_interval` compares groups in milliseconds. A group without a fit is NaN throughout.

    Args:
        truth: 0/1 [n].
        score: probabilities [n].
        groups: masks, bool [n].
        subject: [n], default one subject for each row.
        n_replicates: draws.
        seed: of the draws.

    Raises:
        LabelError, InputRefused: as `calibration_slope_intercept`.

    Source: Liang and Zeger 1986; normal draws in place of a bootstrap: Mandel, Am Stat 67 (2013) 76-81.
    """
    labels, scores = binary_truth(truth), probabilities(score)
    same_length(labels, scores, names=("truth", "score"))
    codes, k = subject_codes(subject, len(labels))
    x = logit(scores)
    values = np.full((2, len(groups)), np.nan)
    influence = np.zeros((2, k, len(groups)))
    for column, mask in enumerate(groups.values()):
        problem = why_no_slope(labels[mask], x[mask])
        if problem in ("one-class", "no-rows"):
            continue
        large = fit_large(labels[mask], x[mask], codes[mask], k)
        values[1, column], influence[1, :, column] = large.coefficients[0], large.influence[:, 0]
        if not problem:
            line = fit_line(labels[mask], x[mask], codes[mask], k)
            values[0, column], influence[0, :, column] = line.coefficients[1], line.influence[:, 1]
    n_subjects = np.array([len(np.unique(codes[mask])) for mask in groups.values()], dtype=np.int64)
    factor = np.sqrt(n_subjects / np.maximum(1, n_subjects - 1))
    rng = np.random.default_rng(seed)
    replicates = np.empty((n_replicates, 2, len(groups)))
    for row in range(2):
        scaled = influence[row] * factor
        size, direction = np.linalg.eigh(scaled.T @ scaled)
        root = direction * np.sqrt(np.maximum(0, size))
        replicates[:, row] = values[row] + rng.standard_normal((n_replicates, len(groups))) @ root.T
    metrics = ("calibration_slope", "calibration_in_the_large")
    n_images = np.array([int(mask.sum()) for mask in groups.values()], dtype=np.int64)
    return Bootstrap(metrics, tuple(groups), values, replicates, n_subjects, n_images, k, seed)
