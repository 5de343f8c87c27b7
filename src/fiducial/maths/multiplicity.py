"""Several tests at once: p values that hold for the whole family."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Floats


def holm(p: ArrayLike) -> Floats:
    """P values adjusted by Holm's step-down rule; the family-wise error is held under any dependence.

    Sorted upwards, the i-th of m becomes max over j <= i of min(1, (m - j + 1) p_j).

    Args:
        p: p values [m]; NaN means *not tested*, stays NaN and does not count in m.

    Raises:
        InputRefused: a value lies outside [0, 1].

    Source: Holm, Scand J Statist 6 (1979) 65-70.
    """
    values = np.asarray(p, dtype=np.float64)
    tested = np.isfinite(values)
    if ((values[tested] < 0) | (values[tested] > 1)).any():
        raise InputRefused(f"p values {values.tolist()}", legal="between 0 and 1, or NaN where nothing was tested")
    adjusted = np.full(values.shape, np.nan)
    given = values[tested]
    order = np.argsort(given, kind="stable")
    steps = np.minimum(1.0, given[order] * np.arange(len(given), 0, -1))
    stepped = np.empty_like(given)
    stepped[order] = np.maximum.accumulate(steps) if len(steps) else steps
    adjusted[tested] = stepped
    return adjusted
