"""Features of the intensities of a region, wherever they lie: statistics and histogram (IBSI 1, 3.3 and 3.4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.orders import STATISTICS

Floats = NDArray[np.float64]


def statistics_features(values: Floats) -> dict[str, float]:
    """The 18 intensity-based statistics (IBSI 1, 3.3) of intensities [n], n ≥ 1; kurtosis is in excess of 3.

    Percentiles are values that occur: the smallest with at least that share at or below it. Where all intensities are
    equal, skewness and kurtosis are 0; coefficients that divide by 0 are NaN.
    """
    from fiducial.features.radiomics.matrix_formulas import statistics_of

    found = np.empty(len(STATISTICS))
    statistics_of(np.sort(values), len(values), found)
    return dict(zip(STATISTICS, found.tolist(), strict=True))


def histogram_features(levels: Floats, n_levels: int) -> dict[str, float]:
    """The 23 intensity histogram features (IBSI 1, 3.4) of grey levels [n] in 1 ... n_levels."""
    shared = statistics_features(levels)
    counts = np.bincount(levels.astype(np.int64), minlength=n_levels + 1)[1 : n_levels + 1].astype(np.float64)
    p = counts / counts.sum()
    i = np.arange(1, n_levels + 1, dtype=np.float64)
    often = np.flatnonzero(counts == counts.max())
    gradient = np.gradient(counts) if n_levels > 1 else np.zeros(1)
    return {
        **{name: value for name, value in shared.items() if name not in ("energy", "root_mean_square")},
        # Of several modes, the one nearest the mean (IBSI 1, 3.4.10).
        "mode": float(i[often[np.abs(i[often] - shared["mean"]).argmin()]]),
        "entropy": float(-(p * np.log2(np.where(p > 0, p, 1.0))).sum()),
        "uniformity": float((p**2).sum()),
        "maximum_gradient": float(gradient.max()),
        "maximum_gradient_level": float(i[gradient.argmax()]),
        "minimum_gradient": float(gradient.min()),
        "minimum_gradient_level": float(i[gradient.argmin()]),
    }
