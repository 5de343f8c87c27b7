"""Label sets: which answers an image's probabilities leave open, at a promised coverage (LAC, APS, RAPS).

Each method is a nonconformity score of every label; a set holds the labels whose score is at most the conformal
quantile of the true labels' scores on calibration patients (`conformal.conformal_quantile`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiducial.errors import InputRefused
from fiducial.maths.conformal import conformal_quantile, require_alpha
from fiducial.maths.inputs import Bools, Floats, Integers

Method = Literal["lac", "aps", "raps"]
METHODS: tuple[Method, ...] = ("lac", "aps", "raps")
_PENALTIES = (0.001, 0.01, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Raps:
    """What RAPS adds to APS: ``penalty`` for each rank beyond ``free_ranks`` (the publication's lambda and k_reg)."""

    penalty: float = 0.1
    free_ranks: int = 1


def label_scores(
    probability: ArrayLike, method: Method, *, uniform: ArrayLike | None = None, raps: Raps | None = None
) -> Floats:
    """Nonconformity of every label [n, classes].

    With p sorted from the largest, P the sum of the probabilities above a label's own (ties in the order of the
    classes) and r its rank from 1:

    - ``lac``: 1 - p. The smallest sets on average; images that fit nothing may get an empty set.
    - ``aps``: P + u p. Sets grow with the difficulty of the image.
    - ``raps``: P + u p + penalty max(0, r - free ranks). APS with long sets made costly.

    Args:
        probability: [n, classes], in [0, 1].
        method: see above.
        uniform: u in [0, 1] for each image [n], drawn independently of everything else: exact coverage for APS and
            RAPS. None takes u = 1, so that no chance is in a set: valid as well, with larger sets, never empty
            unless the quantile is below the largest probability.
        raps: parameters of RAPS; not those that the calibration patients themselves suggest (see `raps_parameters`).

    Raises:
        InputRefused: not a matrix of probabilities, an unknown method, or u outside [0, 1].

    Source: LAC: Sadinle, Lei and Wasserman, J Am Stat Assoc 114 (2019) 223-234; APS: Romano, Sesia and Candes, NeurIPS
    2020; RAPS: Angelopoulos, Bates, Malik and Jordan, ICLR 2021.
    """
    p = _matrix(probability)
    if method not in METHODS:
        raise InputRefused(f"method {method!r}", legal=", ".join(METHODS))
    if method == "lac":
        return 1 - p
    u = np.ones(len(p)) if uniform is None else np.asarray(uniform, dtype=np.float64).reshape(-1)
    if len(u) != len(p) or not ((u >= 0) & (u <= 1)).all():
        raise InputRefused(f"{len(u)} uniform numbers for {len(p)} images", legal="one in [0, 1] for each image")
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    scores = np.cumsum(ranked, axis=1) - (1 - u[:, None]) * ranked
    if method == "raps":
        chosen = raps or Raps()
        scores += chosen.penalty * np.maximum(0, np.arange(1, p.shape[1] + 1) - chosen.free_ranks)
    result = np.empty_like(scores)
    np.put_along_axis(result, order, scores, axis=1)
    return result


def true_scores(scores: Floats, truth: ArrayLike) -> Floats:
    """The scores of the true labels [n]; ``truth`` holds class numbers from 0.

    Raises:
        InputRefused: not one class number for each row.
    """
    labels = _labels(truth, scores.shape)
    return np.asarray(scores[np.arange(len(labels)), labels], dtype=np.float64)


def label_sets(scores: ArrayLike, quantile: ArrayLike) -> Bools:
    """Which labels each set holds, bool [n, classes]: score <= quantile.

    ``quantile`` is one number, or one for each class [classes] (class-conditional: a label is held if it would be
    accepted among images of its own class), or one for each image [n, 1] (group-conditional).
    """
    return np.asarray(np.asarray(scores) <= np.asarray(quantile), dtype=bool)


def raps_parameters(probability: ArrayLike, truth: ArrayLike, alpha: float) -> Raps:
    """Free ranks and penalty of RAPS from patients that are neither in the calibration half nor in the test part.

    Free ranks: the conformal quantile of the true labels' ranks. Penalty: of 0.001, 0.01, 0.1, 0.2 and 0.5 the one
    with the smallest mean set (the first of several), without randomisation.

    Source: Angelopoulos et al., ICLR 2021, appendix E.
    """
    p = _matrix(probability)
    labels = _labels(truth, p.shape)
    require_alpha(alpha)
    order = np.argsort(-p, axis=1, kind="stable")
    rank = np.argmax(order == labels[:, None], axis=1) + 1
    quantile = conformal_quantile(rank, alpha)
    free = p.shape[1] if math.isinf(quantile) else int(quantile)
    sizes = []
    for penalty in _PENALTIES:
        scores = label_scores(p, "raps", raps=Raps(penalty, free))
        held = label_sets(scores, conformal_quantile(true_scores(scores, labels), alpha))
        sizes.append(float(held.sum(axis=1).mean()) if len(held) else 0.0)
    return Raps(_PENALTIES[int(np.argmin(sizes))], free)


def _matrix(probability: ArrayLike) -> Floats:
    p = np.asarray(probability, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2 or not ((p >= 0) & (p <= 1)).all():
        raise InputRefused(
            f"an array of shape {p.shape}" + ("" if p.ndim != 2 else f" with values {_range(p)}"),
            legal="probabilities [images, classes] in [0, 1], two classes or more",
        )
    return p


def _labels(truth: ArrayLike, shape: tuple[int, ...]) -> Integers:
    labels: NDArray[np.int64] = np.asarray(truth).reshape(-1).astype(np.int64)
    if len(labels) != shape[0] or ((labels < 0) | (labels >= shape[1])).any():
        raise InputRefused(
            f"{len(labels)} truths for {shape[0]} images of {shape[1]} classes",
            legal=f"a class number from 0 to {shape[1] - 1} for each image",
        )
    return labels


def _range(p: Floats) -> str:
    return f"{np.nanmin(p):g} to {np.nanmax(p):g}" if p.size else "none"
