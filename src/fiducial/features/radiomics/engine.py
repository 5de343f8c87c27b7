"""From an image and a mask to a table of named numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics.catalogue import Feature, catalogue
from fiducial.features.radiomics.diagnostics import diagnostics_features
from fiducial.features.radiomics.intensities import histogram_features, statistics_features
from fiducial.features.radiomics.intensity_volume import intensity_volume_features
from fiducial.features.radiomics.local_intensity import local_intensity_features
from fiducial.features.radiomics.morphology import morphology_features
from fiducial.features.radiomics.pyradiomics.settings import PyRadiomicsSettings
from fiducial.features.radiomics.region import Discretised, Region, discretise, prepare
from fiducial.features.radiomics.settings import Settings
from fiducial.features.radiomics.threads import n_threads

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.features.radiomics.texture import Texture

COLUMNS = ("family", "feature", "aggregation", "ibsi_code", "value", "reason")
TEXTURES = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")


def radiomics(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings | PyRadiomicsSettings | None = None,
    *,
    threads: int = 0,
) -> pd.DataFrame:
    """Features of one region, one row each.

    Args:
        image: intensities [x, y, z]; a 2-D image has z = 1.
        mask: the region on the same grid; what is not 0 belongs to it.
        spacing_mm: distance of voxel centres along x, y and z.
        settings: image processing and families; the default computes everything in the volume, with intensities as
            grey levels. `PyRadiomicsSettings` give PyRadiomics' features by its definitions (`pyradiomics_features`).
        threads: for large regions, 0 = as many as cores; the numbers do not depend on it.

    Returns:
        ``family, feature, aggregation, ibsi_code, value, reason``; ``reason`` says why a value is missing (NaN), or
        that the standard has no consensus about it.

    Raises:
        GeometryError: image and mask differ in shape.
        InputRefused: the region is empty, or is so after its preparation.
        VoxelError: NaN or infinite intensities in the region.
    """
    import pandas as pd

    if isinstance(settings, PyRadiomicsSettings):
        from fiducial.features.radiomics.pyradiomics.engine import pyradiomics_features

        return pyradiomics_features(image, mask, spacing_mm, settings, threads=threads)
    settings = settings or Settings()
    region = prepare(image, mask, spacing_mm, settings)
    n = n_threads(threads, int(region.mask.sum()))
    rows = list(_rows(image, mask, spacing_mm, region, settings, n))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    region: Region,
    settings: Settings,
    threads: int,
) -> Iterator[tuple[str, str, str, str, float, str]]:
    grey: Discretised | None = None
    if {"intensity_histogram", *TEXTURES} & set(settings.families):
        grey = discretise(region, settings)
    plain: dict[str, Callable[[], dict[str, float]]] = {
        "morphology": lambda: morphology_features(region, threads),
        "local_intensity": lambda: local_intensity_features(region, threads),
        "statistics": lambda: statistics_features(region.values),
        "intensity_volume": lambda: intensity_volume_features(region, settings),
        "intensity_histogram": lambda: histogram_features(_levels(grey), _n_levels(grey)),
    }
    texture = _texture(region, grey, settings, threads)
    for family in settings.families:
        if family == "diagnostics":
            for name, value in diagnostics_features(image, mask, spacing_mm, region, settings).items():
                yield family, name, "", "", value, ""
        elif family in plain:
            yield from _named(family, "", plain[family])
        elif texture is not None:
            from fiducial.features.radiomics.texture import aggregations_of

            for aggregation in aggregations_of(family, settings.aggregations):
                yield from _named(family, aggregation, lambda f=family, a=aggregation: texture.family(f, a))  # type: ignore[misc]


def _texture(region: Region, grey: Discretised | None, settings: Settings, threads: int) -> Texture | None:
    if grey is None or not set(TEXTURES) & set(settings.families):
        return None
    from fiducial.features.radiomics.texture import Texture

    return Texture(region, grey, settings, threads)


def _levels(grey: Discretised | None) -> NDArray[np.float64]:
    if grey is None:
        raise InputRefused("no grey levels")
    return grey.levels[grey.levels > 0].astype(np.float64)


def _n_levels(grey: Discretised | None) -> int:
    return 0 if grey is None else grey.n_levels


def _named(
    family: str, aggregation: str, compute: Callable[[], dict[str, float]]
) -> Iterator[tuple[str, str, str, str, float, str]]:
    """The family's features in the standard's order, each with a reason where it has no value."""
    features: tuple[Feature, ...] = catalogue()[family]
    values = compute()
    for one in features:
        value = values.get(one.name, float("nan"))
        if not np.isfinite(value):
            reason = "undefined: the region is too small, too flat or of one intensity for this feature"
        else:
            reason = "" if one.consensus else "no consensus: the standard has no reference value"
        yield family, one.name, aggregation, one.code, float(value), reason
