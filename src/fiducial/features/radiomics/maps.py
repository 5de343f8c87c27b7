"""Feature maps: the features of the small neighbourhood of each voxel of a region, as images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.engine import three_axes
from fiducial.features.radiomics.region import Discretised, discretise, prepare, widened
from fiducial.features.radiomics.settings import Settings
from fiducial.features.radiomics.threads import in_parts, n_threads

MAPPED = ("statistics", "intensity_histogram", "glcm", "glrlm", "glszm", "ngtdm", "ngldm")
"""Families that a neighbourhood has, in the order in which their features are computed."""
AGGREGATED = ("3d_averaged", "3d_merged")
LARGEST = 7
USUAL = Settings(families=MAPPED, aggregations=("3d_averaged",), bin_number=32)
"""Settings where none are given."""


@dataclass(frozen=True)
class FeatureMaps:
    """Maps of a region, kept as values of its voxels alone.

    ``features`` are (family, IBSI name); ``values`` [feature, voxel] float32, voxels in the order of ``mask``
    [x, y, z], which is the region's box. The box lies on the grid of ``spacing_mm``; its first voxel has the index
    ``first`` in the image that was given (whole numbers, unless the image was interpolated).
    """

    features: tuple[tuple[str, str], ...]
    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    first: tuple[float, float, float]

    def map(self, family: str, feature: str) -> NDArray[np.float32]:
        """One map [x, y, z] of the box; NaN outside the region, and where the neighbourhood has no such feature."""
        if (family, feature) not in self.features:
            raise InputRefused(f"no map of {family} {feature}", legal=", ".join(f"{f} {n}" for f, n in self.features))
        volume = np.full(self.mask.shape, np.nan, dtype=np.float32)
        volume[self.mask] = self.values[self.features.index((family, feature))]
        return volume

    def by_feature(self) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        """Family, name and values of the region's voxels of each map."""
        for (family, feature), values in zip(self.features, self.values, strict=True):
            yield family, feature, values

    def affine(self, given: NDArray[np.float64], spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
        """Where the box lies, from the affine [4, 4] and the spacing of the image that was given."""
        onto = np.diag([*(new / old for new, old in zip(self.spacing_mm, spacing_mm, strict=True)), 1.0])
        onto[:3, 3] = self.first
        return np.asarray(given @ onto)


def radiomics_map(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings | None = None,
    *,
    radius: int = 1,
    masked: bool = True,
    threads: int = 0,
) -> FeatureMaps:
    """Features of the cube around every voxel of a region.

    A voxel's values are those that `radiomics` gives of the cube of ``2 radius + 1`` voxels a side around it, whose
    grey levels, and their number, are those of the whole region: it is prepared and discretised once.

    Args:
        image: intensities [x, y, z], or [x, y].
        mask: the region on the same grid; what is not 0 belongs to it.
        spacing_mm: of both.
        settings: as of `radiomics`; the families `MAPPED` (the default: all of them, in 32 grey levels), averaged or
            merged over the directions of the volume, at distance 1.
        radius: of the cube, 1 to 7 voxels.
        masked: only what lies in the region belongs to a cube; else all of the image around does, and grey levels are
            those of the region's box and ``radius`` voxels around it.
        threads: 0 = as many as cores; the numbers do not depend on it.

    Raises:
        InputRefused: settings that maps do not have; whatever `radiomics` refuses.
    """
    from fiducial.features.radiomics import map_kernels as kernels
    from fiducial.features.radiomics.first_time import announce

    announce(kernels.features_around)
    settings = settings or USUAL
    require_mappable(settings, radius)
    image, mask = three_axes(image, mask, spacing_mm)
    region = prepare(image, mask, spacing_mm, settings, margin=0 if masked else radius)
    region = region if settings.filter is None else region.response(settings.filter)
    counted = region
    if not masked:
        everything = np.zeros_like(region.mask)
        everything[widened(region.box, [radius] * 3, region.mask.shape)] = True
        counted = replace(region, mask=everything)
    around = counted.box
    if set(settings.families) == {"statistics"}:
        grey = Discretised(np.pad(counted.mask[around].astype(np.int32), 1), 1)  # no family asks for levels
    else:
        grey = discretise(counted, settings)
    # Levels have one layer of zeros around.
    levels = np.pad(grey.levels, radius - 1)
    bright = np.pad(counted.image[around], radius)
    places = np.flatnonzero(np.pad(region.mask[around], radius))
    features, wanted = _columns(settings)
    options = np.array([settings.aggregations[0] == "3d_merged", settings.coarseness], dtype=np.int64)

    def part(first: int, end: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = kernels.features_around(
            levels, bright, places[first:end], radius, grey.n_levels, options, wanted
        )
        return found

    # A neighbourhood costs as much as hundreds of voxels of a region.
    n = n_threads(threads, 100 * len(places))
    values = np.concatenate(in_parts(part, len(places), n))
    box = region.box
    x, y, z = (
        o + b.start * new / old for o, b, new, old in zip(region.first, box, region.spacing_mm, spacing_mm, strict=True)
    )
    return FeatureMaps(features, np.ascontiguousarray(values.T), region.mask[box], region.spacing_mm, (x, y, z))


def require_mappable(settings: Settings, radius: int) -> None:
    """Refuse settings that maps do not have.

    Raises:
        InputRefused: families, aggregations, distance or radius.
    """
    if settings.filters:
        raise InputRefused("maps of several filters", legal="filter: the maps are of the image, or of one response")
    unknown = [family for family in settings.families if family not in MAPPED]
    if unknown:
        raise InputRefused(f"maps of {', '.join(unknown)}", legal=f"families {', '.join(MAPPED)}")
    if len(settings.aggregations) != 1 or settings.aggregations[0] not in AGGREGATED:
        raise InputRefused(
            f"maps with aggregations {', '.join(settings.aggregations)}", legal=f"one of {', '.join(AGGREGATED)}"
        )
    if settings.distance != 1:
        raise InputRefused(f"maps with neighbours at distance {settings.distance}", legal="distance = 1")
    if not 1 <= radius <= LARGEST:
        raise InputRefused(f"a radius of {radius} voxels", legal=f"1 to {LARGEST}")


def _columns(settings: Settings) -> tuple[tuple[tuple[str, str], ...], NDArray[np.int64]]:
    """The maps of these families, in the order of the catalogue, and their columns among all that is computed."""
    from fiducial.features.radiomics import orders as known

    blocks = (
        known.STATISTICS,
        known.HISTOGRAM,
        known.GLCM,
        known.EMPHASIS,
        known.EMPHASIS,
        known.NGTDM,
        known.EMPHASIS,
    )
    first = dict(zip(MAPPED, np.cumsum([0, *(len(block) for block in blocks[:-1])]), strict=True))
    of = dict(zip(MAPPED, blocks, strict=True))
    found = [(family, one) for family in settings.families for one in catalogue()[family]]
    features = tuple((family, one.name) for family, one in found)
    wanted = [first[family] + of[family].index(one.matrix_feature) for family, one in found]
    return features, np.array(wanted, dtype=np.int64)
