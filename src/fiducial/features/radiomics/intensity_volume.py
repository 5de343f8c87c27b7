"""The intensity-volume histogram (IBSI 1, 3.5): how much of the region is at least so bright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics.region import Region
from fiducial.features.radiomics.settings import Settings

Floats = NDArray[np.float64]
MOST_BINS = 2**24


def intensity_volume_features(region: Region, settings: Settings) -> dict[str, float]:
    """Volume fractions at 10 and 90 % of intensity, intensities at 10 and 90 % of volume, differences, and the area.

    The area under the curve has no reference value.

    ``definite`` intensities are binned by 1; ``continuous`` ones by the width given, else by a thousandth of their
    range; ``arbitrary`` ones in so many bins.
    """
    grey, volume, fraction = curve(region, settings)
    v10, v90 = (_volume_at(fraction, volume, x) for x in (0.1, 0.9))
    i10, i90 = (_intensity_at(grey, volume, x) for x in (0.1, 0.9))
    return {
        "volume_fraction_10": v10,
        "volume_fraction_90": v90,
        "intensity_10": i10,
        "intensity_90": i90,
        "volume_fraction_difference": v10 - v90,
        "intensity_difference": i10 - i90,
        "area_under_curve": float(np.trapezoid(volume, fraction)) if len(grey) > 1 else float("nan"),
    }


def curve(region: Region, settings: Settings) -> tuple[Floats, Floats, Floats]:
    """Intensities, the fraction of the region that is at least so bright, and the intensities as a fraction.

    Raises:
        InputRefused: ``too-many-bins``: more than can be counted.
    """
    values = region.values
    low = region.low if region.low is not None else float(values.min())
    high = region.high if region.high is not None else float(values.max())
    if settings.ivh == "arbitrary":
        n_bins = settings.ivh_bin_number
        span = values.max() - values.min()
        level = np.floor(n_bins * (values - values.min()) / span) + 1 if span > 0 else np.ones(len(values))
        level = np.minimum(level, n_bins)
        grey: Floats = np.arange(1, n_bins + 1, dtype=np.float64)
    elif settings.ivh == "continuous":
        width = settings.ivh_bin_width or (high - low) / 1000 or 1.0
        _require_few((max(high, values.max()) - low) / width)
        level = np.maximum(np.floor((values - low) / width) + 1, 1)
        n_bins = max(int(np.ceil((high - low) / width - 1e-9)), int(level.max()))
        grey = np.asarray(low + (np.arange(1, n_bins + 1) - 0.5) * width, dtype=np.float64)
    else:
        _require_few(max(high, values.max()) - low)
        level = values - low + 1
        n_bins = int(high - low) + 1
        grey = np.asarray(low + np.arange(n_bins), dtype=np.float64)
    counts = np.bincount(level.astype(np.int64), minlength=n_bins + 1)[1:]
    volume = 1 - np.concatenate([[0], np.cumsum(counts)[:-1]]) / len(values)
    span = grey[-1] - grey[0]
    return grey, volume, (grey - grey[0]) / span if span > 0 else np.zeros(len(grey))


def _require_few(n_bins: float) -> None:
    if n_bins > MOST_BINS:
        said = f"{n_bins:,.0f}" if n_bins < 1_000_000_000 else f"{n_bins:.1e}"
        raise InputRefused(f'too-many-bins: {said} of the intensity-volume histogram: say so by ivh = "arbitrary"')


def _volume_at(fraction: Floats, volume: Floats, share: float) -> float:
    """The largest volume fraction with an intensity fraction of at least ``share``; NaN for a single intensity."""
    return float(volume[fraction >= share].max()) if len(fraction) > 1 else float("nan")


def _intensity_at(grey: Floats, volume: Floats, share: float) -> float:
    """The smallest intensity present in at most ``share`` of the volume; if there is none, the next above all.

    NaN for a single intensity.
    """
    if len(grey) == 1:
        return float("nan")
    there = volume <= share
    return float(grey[there].min()) if there.any() else float(2 * grey[-1] - grey[-2])
