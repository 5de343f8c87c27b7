"""Numbers of a region's intensities and grey levels, by PyRadiomics' definitions and under its names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics import kernels
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.directions import directions
from fiducial.features.radiomics.emphasis import emphasis_features
from fiducial.features.radiomics.glcm import glcm_features
from fiducial.features.radiomics.ngtdm import ngtdm_features
from fiducial.features.radiomics.pyradiomics.matrices import (
    around,
    maximal_correlation,
    of_one_way,
    one_way,
    several_in_a_line,
)
from fiducial.features.radiomics.pyradiomics.names import names
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings
from fiducial.features.radiomics.texture import tone_differences
from fiducial.features.radiomics.threads import in_parts

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


def discretised(values: NDArray[Any], settings: ImageTypeSettings) -> NDArray[np.int64]:
    """Grey levels from 1 on: bins of a width whose edges are its multiples, or a number of bins between the extremes.

    With a number of bins, a region of one intensity has the level in the middle, as NumPy's histogram has it.
    """
    if settings.bin_count is not None:
        edges = np.histogram_bin_edges(values, settings.bin_count)
        edges[-1] += 1  # the largest intensity belongs to the last bin
        return np.asarray(np.digitize(values, edges))
    low, high, width = float(values.min()), float(values.max()), settings.bin_width
    return np.asarray(np.digitize(values, np.arange(low - low % width, high + 2 * width, width)))


def first_order(values: NDArray[Any], levels: NDArray[np.int64], voxel_mm3: float, shift: float) -> dict[str, float]:
    """Of intensities [n] and their grey levels [n]; kurtosis is 3 for a normal distribution."""
    x = values.astype(np.float64)
    p10, q1, q3, p90 = (float(v) for v in np.percentile(x, (10, 25, 75, 90)))
    apart = x - x.mean()
    variance = float((apart**2).mean())
    middle = x[(x >= p10) & (x <= p90)]
    energy = float(((x + shift) ** 2).sum())
    _, counts = np.unique(levels, return_counts=True)
    p = counts / counts.sum()
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": float(-(p * np.log2(p)).sum()),
        "InterquartileRange": q3 - q1,
        "Kurtosis": float((apart**4).mean() / variance**2) if variance > 0 else 0.0,
        "Maximum": float(x.max()),
        "Mean": float(x.mean()),
        "MeanAbsoluteDeviation": float(np.abs(apart).mean()),
        "Median": float(np.median(x)),
        "Minimum": float(x.min()),
        "Range": float(np.ptp(x)),
        "RobustMeanAbsoluteDeviation": float(np.abs(middle - middle.mean()).mean()) if len(middle) else float("nan"),
        "RootMeanSquared": float(np.sqrt(energy / len(x))),
        "Skewness": float((apart**3).mean() / variance**1.5) if variance > 0 else 0.0,
        "StandardDeviation": variance**0.5,
        "TotalEnergy": energy * voxel_mm3,
        "Uniformity": float((p**2).sum()),
        "Variance": variance,
    }


@dataclass(frozen=True)
class GreyLevels:
    """Levels [x, y, z] of a region's box, 0 outside it, the axis across the plane of ``force2D`` last.

    As many layers of zeros lie around as the largest distance; ``spacing_mm`` is in the order of the axes.
    """

    levels: NDArray[np.int32]
    spacing_mm: tuple[float, ...]
    settings: ImageTypeSettings
    threads: int = 1

    @cached_property
    def n_levels(self) -> int:
        """The highest level; levels between that do not occur count."""
        return int(self.levels.max())

    def of_class(self, of_class: str) -> dict[str, float]:
        """The features of a texture class by PyRadiomics' names; none where the region has no pair of neighbours."""
        return TEXTURES[of_class](self)

    @property
    def _dimension(self) -> int:
        return 2 if self.settings.force_2d else 3

    def _in_parts(self, count: Callable[[int, int], NDArray[Any]]) -> Floats:
        parts = in_parts(lambda first, end: count(first + 1, end + 1), len(self.levels) - 2, self.threads)
        return np.asarray(np.sum(parts, axis=0), dtype=np.float64)

    def glcm(self) -> dict[str, float]:
        """Co-occurrence: the mean over directions, or of their weighted sum."""
        steps = np.concatenate([directions(self._dimension, distance) for distance in self.settings.distances])
        if self.settings.symmetrical_glcm:
            counts = self._in_parts(
                lambda first, end: kernels.cooccurrence(self.levels, steps, self.n_levels, False, first, end)
            )[0]
        else:
            counts = one_way(self.levels, steps, self.n_levels)
        matrices = self._put_together(counts, steps, decays=True)
        if not len(matrices):
            return {}
        features = glcm_features(matrices)
        features["maximal_correlation_coefficient"] = maximal_correlation(matrices)
        if not self.settings.symmetrical_glcm:
            features |= of_one_way(matrices)
        return _averaged("glcm", features)

    def glrlm(self) -> dict[str, float]:
        """Runs: the mean over directions along which the region has more than single voxels, or of the weighted sum."""
        steps = directions(self._dimension)
        longest = max(self.levels.shape) - 2
        counts = self._in_parts(
            lambda first, end: kernels.run_lengths(self.levels, steps, self.n_levels, longest, False, first, end)
        )[0]
        for direction, step in zip(counts, steps, strict=True):
            if direction[:, 1:].sum() == 0 and not several_in_a_line(self.levels, step):
                direction[:] = 0
        matrices = self._put_together(counts, steps, decays=False)
        if not len(matrices):
            return {}
        return _averaged("glrlm", emphasis_features(matrices, matrices.sum(axis=1) @ np.arange(1, longest + 1)))

    def glszm(self) -> dict[str, float]:
        """Zones of one level."""
        reach = 0 if self.settings.force_2d else 1
        zones = kernels.zones(self.levels, self.levels, reach)
        sizes, column_of = np.unique(zones[:, 1], return_inverse=True)
        matrix = np.zeros((1, self.n_levels, len(sizes)))
        np.add.at(matrix[0], (zones[:, 0] - 1, column_of), 1)
        return _averaged("glszm", emphasis_features(matrix, np.array([zones[:, 1].sum()], dtype=np.float64), sizes))

    def gldm(self) -> dict[str, float]:
        """Voxels by how many neighbours, and themselves, are alike."""
        counts = self._around[1]
        return _averaged("gldm", emphasis_features(counts, counts.sum(axis=(1, 2))))

    def ngtdm(self) -> dict[str, float]:
        """Differences from the mean of the neighbours; a voxel without neighbours differs by 0, and counts."""
        tones = self._around[0].copy()
        tones[:, :, 0] = tones[:, :, 2]
        features = ngtdm_features(tones)
        return {one.name: float(features[one.feature][0]) for one in names()["ngtdm"]}

    @cached_property
    def _around(self) -> tuple[Floats, Floats]:
        reach = max(self.settings.distances)
        if set(self.settings.distances) == set(range(1, reach + 1)):
            given = (self.levels, self.n_levels, reach, 0 if self.settings.force_2d else reach, self.settings.gldm_a)
            parts = in_parts(
                lambda first, end: kernels.neighbourhoods(*given, first + 1, end + 1),
                len(self.levels) - 2,
                self.threads,
            )
            tones, dependences = (np.sum([part[k].sum(axis=0) for part in parts], axis=0)[None] for k in (0, 1))
            return tone_differences(tones), dependences.astype(np.float64)
        steps = np.concatenate([directions(self._dimension, distance) for distance in self.settings.distances])
        return around(self.levels, np.concatenate([steps, -steps]), self.settings.gldm_a)

    def _put_together(self, counts: Floats, steps: Steps, *, decays: bool) -> Floats:
        """Matrices [n, ...] of directions that have a count, or the one that ``weightingNorm`` makes of them.

        A direction weighs its length in mm by that norm, or, where weights decay, exp(-length²).
        """
        norm = self.settings.weighting_norm
        if norm is not None:
            mm = np.abs(steps) * np.array(self.spacing_mm)
            lengths = {
                "infinity": mm.max(axis=1),
                "euclidean": np.sqrt((mm**2).sum(axis=1)),
                "manhattan": mm.sum(axis=1),
            }
            weights = np.ones(len(mm))
            if norm != "no_weighting":
                weights = np.exp(-(lengths[norm] ** 2)) if decays else lengths[norm]
            counts = np.tensordot(weights, counts, axes=1)[None]
        return np.asarray(counts[counts.reshape(len(counts), -1).sum(axis=1) > 0])


def _averaged(of_class: str, features: dict[str, Floats]) -> dict[str, float]:
    """The mean over matrices of each feature of a class, by PyRadiomics' name."""
    neutral = {one.name: one.matrix_feature for one in catalogue()[names()[of_class][0].family]}
    return {
        one.name: float(features[neutral.get(one.feature, one.feature)].mean())
        for one in names()[of_class]
        if one.computed != "no"
    }


TEXTURES: dict[str, Callable[[GreyLevels], dict[str, float]]] = {
    "glcm": GreyLevels.glcm,
    "gldm": GreyLevels.gldm,
    "glrlm": GreyLevels.glrlm,
    "glszm": GreyLevels.glszm,
    "ngtdm": GreyLevels.ngtdm,
}
