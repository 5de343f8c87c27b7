"""Numbers of a region's grey levels, by PyRadiomics' definitions and under its names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics import kernels
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.directions import directions
from fiducial.features.radiomics.matrix_formulas import emphasis_table, glcm_table, ngtdm_of
from fiducial.features.radiomics.orders import EMPHASIS, GLCM, NGTDM
from fiducial.features.radiomics.pyradiomics.matrices import (
    around,
    maximal_correlation,
    of_one_way,
    one_way,
    several_in_a_line,
    tones_of,
)
from fiducial.features.radiomics.pyradiomics.names import names
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings
from fiducial.features.radiomics.threads import in_parts

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]
WITH_MCC = (*GLCM, "maximal_correlation_coefficient")


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

    def _in_parts(self, count: Callable[[int, int], NDArray[Any]]) -> NDArray[Any]:
        parts = in_parts(lambda first, end: count(first + 1, end + 1), len(self.levels) - 2, self.threads)
        return parts[0] if len(parts) == 1 else np.asarray(np.sum(parts, axis=0))

    @cached_property
    def _steps(self) -> Steps:
        """To the neighbours at the distances that are asked for, one of each pair of opposite ones."""
        return np.concatenate([directions(self._dimension, distance) for distance in self.settings.distances])

    def glcm(self) -> dict[str, float]:
        """Co-occurrence: the mean over directions, or of their weighted sum."""
        if self.settings.symmetrical_glcm:
            counts = self._in_parts(
                lambda first, end: kernels.cooccurrence(self.levels, self._steps, self.n_levels, False, first, end)
            )[0]
        else:
            counts = one_way(self.levels, self._steps, self.n_levels)
        matrices = self._put_together(counts, self._steps, decays=True)
        if not len(matrices):
            return {}
        table = glcm_table(matrices)
        if not self.settings.symmetrical_glcm:
            for feature, of_both in of_one_way(matrices).items():
                table[GLCM.index(feature)] = of_both
        return _averaged("glcm", WITH_MCC, np.vstack([table, maximal_correlation(matrices)]))

    def glrlm(self) -> dict[str, float]:
        """Runs: the mean over directions along which the region has more than single voxels, or of the weighted sum."""
        steps = directions(self._dimension)
        longest = max(self.levels.shape) - 2
        counts = self._in_parts(
            lambda first, end: kernels.run_lengths(self.levels, steps, self.n_levels, longest, False, first, end)
        )[0]
        for direction in np.flatnonzero(~counts[:, :, 1:].any(axis=(1, 2))):
            if not several_in_a_line(self.levels, steps[direction]):
                counts[direction] = 0
        matrices = self._put_together(counts, steps, decays=False)
        return _of_lengths("glrlm", matrices, matrices.sum(axis=1) @ np.arange(1.0, longest + 1))

    def glszm(self) -> dict[str, float]:
        """Zones of one level."""
        zones = kernels.zones(self.levels, self.levels, 0 if self.settings.force_2d else 1)
        occurs = np.bincount(zones[:, 1]) > 0
        sizes, column = np.flatnonzero(occurs), np.cumsum(occurs) - 1
        cells = (zones[:, 0] - 1) * len(sizes) + column[zones[:, 1]]
        matrix = np.bincount(cells, minlength=self.n_levels * len(sizes)).reshape(1, self.n_levels, len(sizes))
        return _of_lengths("glszm", matrix.astype(np.float64), np.array([float(zones[:, 1].sum())]), sizes)

    def gldm(self) -> dict[str, float]:
        """Voxels by how many neighbours, and themselves, are alike."""
        counts = self._around[1]
        return _of_lengths("gldm", counts, counts.sum(axis=(1, 2)))

    def ngtdm(self) -> dict[str, float]:
        """Differences from the mean of the neighbours; a voxel without neighbours differs by 0, and counts."""
        n_voxels, differences = self._around[0]
        found = np.zeros(len(NGTDM))
        ngtdm_of(n_voxels, differences, np.arange(1.0, self.n_levels + 1), found)
        return _averaged("ngtdm", NGTDM, found[:, None])

    @cached_property
    def _around(self) -> tuple[tuple[Steps, Floats], Floats]:
        """Of each level, voxels and their differences from the mean of neighbours; dependences [1, level, n - 1]."""
        reach = max(self.settings.distances)
        if set(self.settings.distances) != set(range(1, reach + 1)):
            return around(self.levels, np.concatenate([self._steps, -self._steps]), self.settings.gldm_a)
        given = (self.levels, self.n_levels, reach, 0 if self.settings.force_2d else reach, self.settings.gldm_a)
        parts = in_parts(
            lambda first, end: kernels.neighbourhoods(*given, first + 1, end + 1), len(self.levels) - 2, self.threads
        )
        # Whole numbers: slices, and parts, add up exactly.
        by_neighbours, dependences = (sum(part[k].sum(axis=0) for part in parts) for k in (0, 1))
        return tones_of(by_neighbours), dependences[None].astype(np.float64)

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


def _of_lengths(
    of_class: str, matrices: Floats, n_voxels: Floats, lengths: NDArray[Any] | None = None
) -> dict[str, float]:
    """The features of matrices [n, level, length] that were counted over so many voxels; none without a matrix."""
    if not len(matrices):
        return {}
    known = np.arange(1, matrices.shape[2] + 1) if lengths is None else lengths
    return _averaged(of_class, EMPHASIS, emphasis_table(matrices, n_voxels, known.astype(np.float64)))


def _averaged(of_class: str, order: tuple[str, ...], table: Floats) -> dict[str, float]:
    """The mean over matrices of each feature of a class, by PyRadiomics' name, from [feature, matrix] in an order."""
    means = table.mean(axis=1).tolist()
    return {name: means[place] for name, place in _places(of_class, order)}


@cache
def _places(of_class: str, order: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Where the features of a class stand in the order of our own."""
    neutral = {one.name: one.matrix_feature for one in catalogue()[names()[of_class][0].family]}
    return tuple(
        (one.name, order.index(neutral.get(one.feature, one.feature)))
        for one in names()[of_class]
        if one.computed != "no"
    )


TEXTURES: dict[str, Callable[[GreyLevels], dict[str, float]]] = {
    "glcm": GreyLevels.glcm,
    "gldm": GreyLevels.gldm,
    "glrlm": GreyLevels.glrlm,
    "glszm": GreyLevels.glszm,
    "ngtdm": GreyLevels.ngtdm,
}
