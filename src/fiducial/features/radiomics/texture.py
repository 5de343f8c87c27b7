"""Texture families: from grey levels to matrices, put together as asked, to named numbers (IBSI 1, 3.6 to 3.11)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics import kernels
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.directions import directions, merged
from fiducial.features.radiomics.emphasis import emphasis_features
from fiducial.features.radiomics.glcm import glcm_features
from fiducial.features.radiomics.ngtdm import ngtdm_features
from fiducial.features.radiomics.region import Discretised, Region, border_distance, too_many
from fiducial.features.radiomics.settings import Settings
from fiducial.features.radiomics.threads import in_parts

Floats = NDArray[np.float64]
Levels = NDArray[np.int32]
DIRECTED = ("glcm", "glrlm")
"""Families that are counted by direction, and so are averaged or merged in a volume."""
MOST_CELLS = 2**28
"""Cells of all matrices of a family, 2 GiB of them."""


def aggregations_of(family: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The aggregations of a family: those asked for; families without directions know ``2d``, ``2.5d`` and ``3d``."""
    if family in DIRECTED:
        return asked
    return tuple(dict.fromkeys(name.partition("_")[0] for name in asked))


@dataclass(frozen=True)
class Texture:
    """The matrices of one discretised region; each is counted once, whatever is asked of it."""

    region: Region
    grey: Discretised
    settings: Settings
    threads: int = 1

    def family(self, family: str, aggregation: str) -> dict[str, float]:
        """The features of a family at one aggregation, by IBSI name."""
        return FAMILIES[family](self, aggregation)

    def _threads(self, *cells: int) -> int:
        """Threads that have room for matrices of so many cells each.

        Raises:
            InputRefused: ``too-many-grey-levels``: not even one has.
        """
        n_cells = math.prod(cells)
        if n_cells > MOST_CELLS:
            raise InputRefused(too_many(self.grey.n_levels))
        return min(self.threads, MOST_CELLS // n_cells)

    def _in_parts(self, count: Callable[[int, int], Floats], levels: Levels, *cells: int) -> Floats:
        """Counts of the whole region from those of its parts, each of so many cells."""
        parts = in_parts(lambda first, end: count(first + 1, end + 1), len(levels) - 2, self._threads(*cells))
        return parts[0] if len(parts) == 1 else np.sum(parts, axis=0)

    @cached_property
    def _deep(self) -> Levels:
        """Levels with as many layers of zeros around as neighbours lie apart."""
        more = self.settings.distance - 1
        return np.pad(self.grey.levels, more) if more else self.grey.levels

    @cached_property
    def _cooccurrences(self) -> dict[bool, Floats]:
        return {in_slice: self._cooccurrence(in_slice=in_slice) for in_slice in self._wanted_dimensions}

    def _cooccurrence(self, *, in_slice: bool) -> Floats:
        levels, steps = self._deep, directions(2 if in_slice else 3, self.settings.distance)
        n_levels, n_places = self.grey.n_levels, levels.shape[2] if in_slice else 1
        return self._in_parts(
            lambda first, end: kernels.cooccurrence(levels, steps, n_levels, in_slice, first, end),
            levels,
            *(n_places, len(steps), n_levels, n_levels),
        )

    @cached_property
    def _runs(self) -> dict[bool, Floats]:
        return {in_slice: self._run_lengths(in_slice=in_slice) for in_slice in self._wanted_dimensions}

    def _run_lengths(self, *, in_slice: bool) -> Floats:
        levels, steps = self.grey.levels, directions(2 if in_slice else 3)
        n_levels, longest, n_places = self.grey.n_levels, max(levels.shape) - 2, levels.shape[2] if in_slice else 1
        return self._in_parts(
            lambda first, end: kernels.run_lengths(levels, steps, n_levels, longest, in_slice, first, end),
            levels,
            *(n_places, len(steps), n_levels, longest),
        )

    @cached_property
    def _zones(self) -> dict[bool, NDArray[np.int64]]:
        """Zones in the volume (False) and by slice (True), with their distances where those are asked for."""
        distances = "gldzm" in self.settings.families
        return {
            in_slice: kernels.zones(
                self.grey.levels,
                border_distance(self.region, in_slice=in_slice) if distances else self.grey.levels,
                0 if in_slice else 1,
            )
            for in_slice in self._wanted_dimensions
        }

    @cached_property
    def _wanted_dimensions(self) -> tuple[bool, ...]:
        names = self.settings.aggregations
        flat, deep = any(not name.startswith("3d") for name in names), any(name.startswith("3d") for name in names)
        return (*((True,) if flat else ()), *((False,) if deep else ()))

    @cached_property
    def _neighbourhoods(self) -> dict[bool, tuple[Floats, Floats]]:
        """Tone differences [slice or 1, level, 3] and dependence counts [slice or 1, level, n_dependent - 1]."""
        return {in_slice: self._neighbourhood(in_slice=in_slice) for in_slice in self._wanted_dimensions}

    def _neighbourhood(self, *, in_slice: bool) -> tuple[Floats, Floats]:
        levels, reach = self._deep, self.settings.distance
        given = (levels, self.grey.n_levels, reach, 0 if in_slice else reach, self.settings.coarseness)
        n_places, n_near = (levels.shape[2], (2 * reach + 1) ** 2) if in_slice else (1, (2 * reach + 1) ** 3)
        threads = self._threads(n_places, self.grey.n_levels, n_near, 3)
        parts = in_parts(
            lambda first, end: kernels.neighbourhoods(*given, first + 1, end + 1), len(levels) - 2, threads
        )
        by_neighbours = np.sum([one[0] for one in parts], axis=0)
        dependences = np.sum([one[1] for one in parts], axis=0)
        return tone_differences(by_neighbours), dependences.astype(np.float64)

    def glcm(self, aggregation: str) -> dict[str, float]:
        """Co-occurrence features."""
        matrices = merged(self._cooccurrences[not aggregation.startswith("3d")], aggregation)
        return _averaged("glcm", glcm_features(matrices)) if len(matrices) else {}

    def glrlm(self, aggregation: str) -> dict[str, float]:
        """Run-length features; a matrix that merges d directions counts each voxel d times."""
        matrices = merged(self._runs[not aggregation.startswith("3d")], aggregation)
        n_voxels = matrices.sum(axis=1) @ np.arange(1, matrices.shape[2] + 1)
        return _averaged("glrlm", emphasis_features(matrices, n_voxels))

    def glszm(self, aggregation: str) -> dict[str, float]:
        """Size-zone features."""
        return self._of_zones("glszm", aggregation, column=1)

    def gldzm(self, aggregation: str) -> dict[str, float]:
        """Distance-zone features."""
        return self._of_zones("gldzm", aggregation, column=2)

    def _of_zones(self, family: str, aggregation: str, *, column: int) -> dict[str, float]:
        found = self._zones[aggregation != "3d"]
        groups = [found[found[:, 3] == z] for z in np.unique(found[:, 3])] if aggregation == "2d" else [found]
        results = []
        for zones in groups:
            # Sizes are few among many: only those that occur are columns.
            lengths, column_of = np.unique(zones[:, column], return_inverse=True)
            self._threads(self.grey.n_levels, len(lengths))
            cells = np.bincount(
                (zones[:, 0] - 1) * len(lengths) + column_of, minlength=self.grey.n_levels * len(lengths)
            )
            matrix = cells.reshape(1, self.grey.n_levels, len(lengths)).astype(np.float64)
            results.append(emphasis_features(matrix, np.array([zones[:, 1].sum()], dtype=np.float64), lengths))
        stacked = {name: np.concatenate([one[name] for one in results]) for name in results[0]}
        return _averaged(family, stacked)

    def ngtdm(self, aggregation: str) -> dict[str, float]:
        """Neighbourhood grey tone difference features."""
        differences = self._neighbourhoods[aggregation != "3d"][0]
        matrices = _by_slice(differences, aggregation)
        with_neighbours = matrices[matrices[:, :, 0].sum(axis=1) > 0]
        return _averaged("ngtdm", ngtdm_features(with_neighbours)) if len(with_neighbours) else {}

    def ngldm(self, aggregation: str) -> dict[str, float]:
        """Neighbouring grey level dependence features."""
        matrices = _by_slice(self._neighbourhoods[aggregation != "3d"][1], aggregation)
        return _averaged("ngldm", emphasis_features(matrices, matrices.sum(axis=(1, 2))))


def tone_differences(by_neighbours: NDArray[np.int64]) -> Floats:
    """Voxels with neighbours, sums of differences to the mean of the neighbours, all voxels: [place, level, 3]."""
    n = np.maximum(np.arange(by_neighbours.shape[2]), 1)
    with_neighbours = by_neighbours[:, :, 1:, 0].sum(axis=2)
    differences = (by_neighbours[..., 1] / n).sum(axis=2)
    return np.stack([with_neighbours, differences, by_neighbours[..., 0].sum(axis=2)], axis=2).astype(np.float64)


def _by_slice(counts: Floats, aggregation: str) -> Floats:
    """Matrices by slice (``2d``) or all slices together; slices without a voxel are left out."""
    matrices = counts if aggregation == "2d" else counts.sum(axis=0)[None]
    return np.asarray(matrices[matrices.reshape(len(matrices), -1).sum(axis=1) > 0])


def _averaged(family: str, features: dict[str, Floats]) -> dict[str, float]:
    """The mean over matrices of each of the family's features, by IBSI name."""
    means = dict(zip(features, np.array(list(features.values())).mean(axis=1).tolist(), strict=True))
    return {one.name: means[one.matrix_feature] for one in catalogue()[family]}


FAMILIES: dict[str, Callable[[Texture, str], dict[str, float]]] = {
    "glcm": Texture.glcm,
    "glrlm": Texture.glrlm,
    "glszm": Texture.glszm,
    "gldzm": Texture.gldzm,
    "ngtdm": Texture.ngtdm,
    "ngldm": Texture.ngldm,
}
