"""Local and global intensity peak (IBSI 1, 3.2): the brightest cubic centimetre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.region import Region

RADIUS_MM = (3 / (4 * np.pi)) ** (1 / 3) * 10
"""Of a sphere of 1 cm³: 6.2 mm."""


def local_intensity_features(region: Region) -> dict[str, float]:
    """Mean intensity in a sphere of 1 cm³ around the brightest voxel, and the largest such mean around any voxel.

    The sphere holds voxels whose centre lies within 6.2 mm, also outside the region but inside the image. Of several
    brightest voxels the one with the largest mean counts.
    """
    ball = sphere(region.spacing_mm)
    reach = [n // 2 for n in ball.shape]
    padded = np.pad(region.image, [(r, r) for r in reach])
    there = np.pad(np.ones(region.image.shape), [(r, r) for r in reach])
    from scipy.signal import fftconvolve

    means = fftconvolve(padded, ball, mode="valid") / fftconvolve(there, ball, mode="valid")
    inside = means[region.mask]
    brightest = region.values == region.values.max()
    return {"local_peak": float(inside[brightest].max()), "global_peak": float(inside.max())}


def sphere(spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """1 where a voxel's centre lies within the radius of the middle, else 0; odd sides."""
    axes = [mm * np.arange(-int(RADIUS_MM // mm), int(RADIUS_MM // mm) + 1) for mm in spacing_mm]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray((x**2 + y**2 + z**2 <= RADIUS_MM**2).astype(np.float64))
