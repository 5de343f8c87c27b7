"""Local and global intensity peak (IBSI 1, 3.2): the brightest cubic centimetre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.region import Region
from fiducial.features.radiomics.threads import in_parts

RADIUS_MM = (3 / (4 * np.pi)) ** (1 / 3) * 10
"""Of a sphere of 1 cm³: 6.2 mm."""


def local_intensity_features(region: Region, threads: int = 1) -> dict[str, float]:
    """Mean intensity in a sphere of 1 cm³ around the brightest voxel, and the largest such mean around any voxel.

    The sphere holds voxels whose centre lies within 6.2 mm, also outside the region but inside the image. Of several
    brightest voxels the one with the largest mean counts.
    """
    from fiducial.features.radiomics.kernels import sums_in_spheres

    ball = sphere(region.spacing_mm)
    # Of each line of the sphere along z: where it lies, and how far it reaches from its middle.
    lines = np.argwhere(ball.any(axis=2))
    reach_z = (ball[lines[:, 0], lines[:, 1]].sum(axis=1) // 2).astype(np.int64)
    offsets = np.column_stack([lines - np.array(ball.shape[:2]) // 2, reach_z])
    places = np.ascontiguousarray(np.argwhere(region.mask))
    parts = in_parts(lambda first, end: sums_in_spheres(region.image, places[first:end], offsets), len(places), threads)
    means = np.concatenate([total / n for total, n in parts])
    brightest = region.values == region.values.max()
    return {"local_peak": float(means[brightest].max()), "global_peak": float(means.max())}


def sphere(spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """1 where a voxel's centre lies within the radius of the middle, else 0; odd sides."""
    axes = [mm * np.arange(-int(RADIUS_MM // mm), int(RADIUS_MM // mm) + 1) for mm in spacing_mm]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray((x**2 + y**2 + z**2 <= RADIUS_MM**2).astype(np.float64))
