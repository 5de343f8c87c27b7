"""Features of the intensities of a region, wherever they lie: statistics and histogram (IBSI 1, 3.3 and 3.4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def statistics_features(values: Floats) -> dict[str, float]:
    """The 18 intensity-based statistics (IBSI 1, 3.3) of intensities [n], n ≥ 1; kurtosis is in excess of 3.

    Percentiles are values that occur: the smallest with at least that share at or below it. Where all intensities are
    equal, skewness and kurtosis are 0; coefficients that divide by 0 are NaN.
    """
    mean = float(values.mean())
    apart = values - mean
    squares = apart * apart
    variance = float(squares.mean())
    energy = float((values * values).sum())  # no product of BLAS, whose threads cost more than they give here
    p10, q1, median, q3, p90 = _percentiles(values, (10, 25, 50, 75, 90))
    return {
        "mean": mean,
        "variance": variance,
        "skewness": float((squares * apart).mean() / variance**1.5) if variance > 0 else 0.0,
        "kurtosis": float((squares * squares).mean() / variance**2 - 3) if variance > 0 else 0.0,
        "median": median,
        "minimum": float(values.min()),
        "percentile_10": p10,
        "percentile_90": p90,
        "maximum": float(values.max()),
        "interquartile_range": q3 - q1,
        "range": float(np.ptp(values)),
        "mean_absolute_deviation": float(np.abs(apart).mean()),
        "robust_mean_absolute_deviation": _robust_deviation(values, p10, p90),
        "median_absolute_deviation": float(np.abs(values - median).mean()),
        "coefficient_of_variation": _ratio(variance**0.5, mean),
        "quartile_coefficient_of_dispersion": _ratio(q3 - q1, q3 + q1),
        "energy": energy,
        "root_mean_square": float(np.sqrt(energy / len(values))),
    }


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


def _percentiles(values: Floats, shares: tuple[int, ...]) -> list[float]:
    """The smallest value with at least that share (in percent) of all at or below it."""
    places = [(len(values) * share + 99) // 100 - 1 for share in shares]
    return np.asarray(np.partition(values, places)[places]).tolist()  # type: ignore[no-any-return]


def _robust_deviation(values: Floats, p10: float, p90: float) -> float:
    kept = values[(values >= p10) & (values <= p90)]
    return float(np.abs(kept - kept.mean()).mean())


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0 else float("nan")
