"""Which features enter the least angle path first, for many samples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Floats, Integers

_TINY = 1e-12


def first_to_enter(features: ArrayLike, response: ArrayLike, *, n_entering: int) -> Integers:
    """The first ``n_entering`` features on the least angle path of each sample, in order; -1 where none is left.

    Least angle regression is the lasso's path as long as no coefficient returns to 0, which seldom happens among the
    first few; it needs no penalty to be chosen. Features are centred and brought to length 1 in each sample, responses
    centred. Features that do not vary in a sample never enter; equal features enter by their place.

    Args:
        features: [b, n, p].
        response: [b, n].
        n_entering: q, at least 1.

    Returns:
        places [b, q] in 0 ... p - 1.

    Raises:
        InputRefused: shapes do not fit, or a number is not finite.

    Source: Efron, Hastie, Johnstone and Tibshirani, Ann Stat 32 (2004) 407-499, equations 2.8 to 2.13.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(response, dtype=np.float64)
    if x.ndim != 3 or y.shape != x.shape[:2] or n_entering < 1:
        raise InputRefused(f"features {x.shape}, responses {y.shape}, {n_entering} to enter", legal="[b, n, p], [b, n]")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputRefused("a feature or a response is NaN or infinite", legal="finite numbers")
    x = x - x.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("bnp,bnp->bp", x, x))
    varies = length > _TINY * np.maximum(1.0, np.abs(features).max(initial=0.0))
    x = np.where(varies[:, None, :], x / np.where(varies, length, 1.0)[:, None, :], 0.0)
    agreement = np.einsum("bnp,bn->bp", x, y - y.mean(axis=1, keepdims=True))
    return _path(x, agreement, ~varies, n_entering)


def _path(x: Floats, agreement: Floats, out: np.ndarray, n_entering: int) -> Integers:
    """Steps of the path, all samples side by side; ``out`` [b, p] may not enter."""
    b, n, p = x.shape
    rows = np.arange(b)
    barred = out.copy()
    entered = np.full((b, n_entering), -1, dtype=np.int64)
    steps = min(n_entering, p, n - 1)
    nearest = np.where(barred, -1.0, np.abs(agreement)).argmax(axis=1)
    for step in range(steps):
        alive = ~barred[rows, nearest]
        entered[alive, step] = nearest[alive]
        barred[rows, nearest] = True
        if step + 1 == steps:
            break
        active = np.where(entered[:, : step + 1] >= 0, entered[:, : step + 1], nearest[:, None])
        signs = np.sign(np.take_along_axis(agreement, active, axis=1))
        own = np.take_along_axis(x, active[:, None, :], axis=2) * signs[:, None, :]
        gram = np.einsum("bnk,bnl->bkl", own, own) + _TINY * np.eye(step + 1)
        weight = np.linalg.solve(gram, np.ones((b, step + 1, 1)))[..., 0]
        norm = 1 / np.sqrt(np.maximum(weight.sum(axis=1), _TINY))
        towards = np.einsum("bnk,bk->bn", own, weight * norm[:, None])
        slope = np.einsum("bnp,bn->bp", x, towards)
        most = np.abs(np.take_along_axis(agreement, active, axis=1)).max(axis=1)
        nearest, stride = _next(agreement, slope, most, norm, barred)
        agreement = agreement - stride[:, None] * slope
    return entered


def _next(agreement: Floats, slope: Floats, most: Floats, norm: Floats, barred: np.ndarray) -> tuple[Integers, Floats]:
    """The feature that reaches the active ones first, and how far that is (equation 2.13)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        down = (most[:, None] - agreement) / (norm[:, None] - slope)
        up = (most[:, None] + agreement) / (norm[:, None] + slope)
    far = np.stack([np.where(np.isfinite(way) & (way > _TINY), way, np.inf) for way in (down, up)]).min(axis=0)
    far = np.where(barred, np.inf, far)
    nearest = far.argmin(axis=1)
    # Where none can be reached, one that may still enter by its place, and no stride.
    lost = ~np.isfinite(far.min(axis=1))
    nearest = np.where(lost, (~barred).argmax(axis=1), nearest)
    stride = np.where(lost, 0.0, far[np.arange(len(far)), nearest])
    return nearest, np.where(np.isfinite(stride), stride, 0.0)
