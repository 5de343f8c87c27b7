"""Correlation as a statistic of the clustered bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fiducial.maths.bootstrap import Sums
from fiducial.maths.delong import midranks
from fiducial.maths.inputs import Floats, finite_values, same_length


def correlation_of(first: ArrayLike, second: ArrayLike, *, ranks: bool = False) -> Sums:
    """Pearson's correlation, or with ``ranks`` Spearman's (of midranks); NaN where either does not vary.

    The ranks are those of the data in every replicate: a replicate weighs the rows anew and does not rank them again.

    Args:
        first: [n].
        second: [n].
        ranks: whether to correlate ranks.

    Raises:
        InputRefused: a value is not finite, or lengths differ.

    Source: Pearson 1896; Spearman, Am J Psychol 15 (1904) 72-101.
    """
    pair = [finite_values(values) for values in (first, second)]
    same_length(*pair, names=("the first", "the second"))
    pair = [midranks(values) if ranks else values for values in pair]
    # Centred and scaled, so that the differences of sums below lose no digits.
    x, y = ((values - values.mean()) / (values.std() or 1.0) if len(values) else values for values in pair)
    return Sums(np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1), _correlation)


def _correlation(sums: Floats) -> Floats:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.maximum(0, xx - x * x / n) * np.maximum(0, yy - y * y / n)
        found = np.where(spread > 1e-12, (xy - x * y / n) / np.sqrt(spread), np.nan)
    return np.asarray(np.clip(found, -1, 1))
