"""From an image and a mask to a table of named numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused, VoxelError
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.diagnostics import diagnostics_features
from fiducial.features.radiomics.intensities import histogram_features, statistics_features
from fiducial.features.radiomics.intensity_volume import intensity_volume_features
from fiducial.features.radiomics.local_intensity import local_intensity_features
from fiducial.features.radiomics.pyradiomics.settings import PyRadiomicsSettings
from fiducial.features.radiomics.region import Discretised, Region, discretise, prepare
from fiducial.features.radiomics.settings import TEXTURES, Filter, Settings
from fiducial.features.radiomics.threads import n_threads

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.features.radiomics.texture import Texture

COLUMNS = ("filter", "family", "feature", "aggregation", "ibsi_code", "value", "reason")
Row = tuple[str, str, str, str, str, float, str]
NAN = float("nan")
NOT_FINITE = "not-finite: the image holds NaN or infinite intensities"
UNDEFINED = "undefined: the region is too small, too flat or of one intensity for this feature"
MISSING = {"local_intensity": "not-finite: NaN or infinite intensities within 6.2 mm of the region"}
"""Why a family has no value, other than `UNDEFINED`."""
NO_CONSENSUS = "no consensus: the standard has no reference value"
NO_REGION = ("empty-mask", "label-missing", "not-finite", "empty-after-interpolation", "empty-after-resegmentation")
"""Codes of what leaves a region without any feature."""
TOO_FINE = ("too-many-grey-levels", "too-many-bins")
"""Codes of what leaves a family without a value."""


def radiomics(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings | PyRadiomicsSettings | None = None,
    *,
    label: int | None = None,
    threads: int = 0,
) -> pd.DataFrame:
    """Features of one region, one row each.

    A region that has no features at all (`NO_REGION`) gives the same rows without values, and its reason in each.

    Args:
        image: intensities [x, y, z], or [x, y].
        mask: the region on the same grid; what is not 0 belongs to it.
        spacing_mm: distance of voxel centres along x, y and z (of a 2-D image: the slice's thickness).
        settings: image processing and families; the default computes everything in the volume, with intensities as
            grey levels. `PyRadiomicsSettings` give PyRadiomics' features by its definitions (`pyradiomics_rows`).
        label: only what has this value in the mask belongs to the region.
        threads: for large regions, 0 = as many as cores; the numbers do not depend on it.

    Returns:
        ``filter, family, feature, aggregation, ibsi_code, value, reason``; ``filter`` names the response map that a
        feature is of (empty: the image itself), ``reason`` says why a value is missing (NaN), or that the standard has
        no consensus about it.

    Raises:
        GeometryError: image and mask differ in shape, or have not two or three axes.
        InputRefused: arrays that are no numbers, a spacing that is none, or intensities that the settings cannot use.
    """
    import pandas as pd

    settings = settings or Settings()
    try:
        return region_features(image, mask, spacing_mm, settings, label=label, threads=threads)
    except InputRefused as refusal:
        code = refusal.given.partition(":")[0]
        if code not in NO_REGION or isinstance(settings, PyRadiomicsSettings):
            raise
        return pd.DataFrame(list(_without(settings, refusal.given)), columns=list(COLUMNS))


def region_features(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings | PyRadiomicsSettings,
    *,
    label: int | None = None,
    threads: int = 0,
) -> pd.DataFrame:
    """As `radiomics`, but a region that has no features at all is refused.

    Raises:
        InputRefused: as `radiomics`, and with a code of `NO_REGION`.
    """
    import pandas as pd

    rows = region_rows(image, mask, spacing_mm, settings, label=label, threads=threads)
    return pd.DataFrame(list(rows), columns=list(columns_of(settings)))


def columns_of(settings: Settings | PyRadiomicsSettings) -> tuple[str, ...]:
    """The columns of the table that these settings give."""
    if isinstance(settings, PyRadiomicsSettings):
        from fiducial.features.radiomics.pyradiomics.engine import COLUMNS as THEIRS

        return THEIRS
    return COLUMNS


def region_rows(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    settings: Settings | PyRadiomicsSettings,
    *,
    label: int | None = None,
    threads: int = 0,
) -> Sequence[tuple[Any, ...]]:
    """The rows of `region_features` without a table around them, for programs that do without pandas.

    Raises:
        InputRefused: as `region_features`.
    """
    from fiducial.features.radiomics.first_time import announce
    from fiducial.features.radiomics.kernels import cooccurrence

    announce(cooccurrence)
    image, mask = three_axes(image, mask, spacing_mm)
    if label is not None:
        mask = labelled(mask, label)
    if isinstance(settings, PyRadiomicsSettings):
        from fiducial.features.radiomics.pyradiomics.engine import pyradiomics_rows

        return pyradiomics_rows(image, mask, spacing_mm, settings, threads=threads)
    region = prepare(image, mask, spacing_mm, settings)
    n = n_threads(threads, int(region.mask.sum()))
    several = n > 1 and len(settings.parts) > 1

    def rows_of(part: tuple[str, Filter | None, Settings]) -> list[Row]:
        name, given, own = part
        of = region if given is None else region.response(given)
        about = partial(diagnostics_features, image, mask, spacing_mm, region, own)
        return [(name, *row) for row in _rows(of, own, about, 1 if several else n)]

    if not several:
        return [row for part in settings.parts for row in rows_of(part)]
    # Images are worked on side by side, each by one thread.
    with ThreadPoolExecutor(n) as pool:
        return [row for rows in pool.map(rows_of, settings.parts) for row in rows]


def three_axes(
    image: NDArray[Any], mask: NDArray[Any], spacing_mm: tuple[float, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Image and mask as arrays of three axes; what is wrong with them otherwise is said by `prepare`."""
    image, mask = np.asarray(image), np.asarray(mask)
    for name, array in (("image", image), ("mask", mask)):
        if array.dtype.kind not in "biuf":
            raise InputRefused(f"{name} values of type {array.dtype}", legal="whole or real numbers")
    if len(spacing_mm) != 3 or not (np.isfinite(spacing_mm).all() and min(spacing_mm) > 0):
        raise InputRefused(
            f"spacing_mm {tuple(spacing_mm)}",
            legal="three distances above 0, along x, y and z",
            action="of a 2-D image, give the thickness of the slice as the third",
        )
    if mask.dtype.kind == "f" and not np.isfinite(mask).all():
        raise VoxelError("NaN or infinite values in the mask", legal="0 outside the region, another number inside")
    if image.ndim == mask.ndim == 2:
        image, mask = image[:, :, None], mask[:, :, None]
    return image, mask


def labelled(mask: NDArray[Any], label: int) -> NDArray[np.bool_]:
    """The voxels of one value.

    Raises:
        InputRefused: ``label-missing``, where there are other values.
    """
    inside: NDArray[np.bool_] = mask == label
    if not inside.any():
        held = np.unique(mask[mask != 0])
        if held.size:
            named = ", ".join(f"{value:g}" for value in held[:8]) + (" ..." if held.size > 8 else "")
            raise InputRefused(f"label-missing: no voxel of value {label}; the mask holds {named}")
    return inside


def _without(settings: Settings, reason: str) -> Iterator[Row]:
    """The rows of a region that has no features."""
    from fiducial.features.radiomics.texture import aggregations_of

    for image, _, own in settings.parts:
        for family in own.families:
            if family == "diagnostics":
                one, grid = np.ones((2, 2, 2)), (1.0, 1.0, 1.0)
                names = diagnostics_features(one, one, grid, prepare(one, one, grid, Settings()), Settings())
                yield from ((image, family, name, "", "", NAN, reason) for name in names)
                continue
            for aggregation in aggregations_of(family, own.aggregations) if family in TEXTURES else ("",):
                for feature in catalogue()[family]:
                    yield image, family, feature.name, aggregation, feature.code, NAN, reason


def _rows(
    region: Region, settings: Settings, diagnostics: Callable[[], dict[str, float]], threads: int
) -> Iterator[tuple[str, str, str, str, float, str]]:
    """Rows of one image, without its name."""

    @cache
    def grey() -> Discretised:
        return discretise(region, settings)

    @cache
    def texture() -> Texture:
        from fiducial.features.radiomics.texture import Texture

        return Texture(region, grey(), settings, threads)

    plain: dict[str, Callable[[], dict[str, float]]] = {
        "morphology": lambda: _morphology(region, threads),
        "local_intensity": lambda: local_intensity_features(region, threads),
        "statistics": lambda: statistics_features(region.values),
        "intensity_volume": lambda: intensity_volume_features(region, settings),
        "intensity_histogram": lambda: _histogram(grey()),
    }
    for family in settings.families:
        if family == "diagnostics":
            for name, value in diagnostics().items():
                yield family, name, "", "", value, "" if isfinite(value) else NOT_FINITE
        elif family in plain:
            yield from _named(family, "", plain[family], missing=MISSING.get(family, UNDEFINED))
        else:
            from fiducial.features.radiomics.texture import aggregations_of

            for aggregation in aggregations_of(family, settings.aggregations):
                yield from _named(family, aggregation, lambda f=family, a=aggregation: texture().family(f, a))  # type: ignore[misc]


def _morphology(region: Region, threads: int) -> dict[str, float]:
    from fiducial.features.radiomics.morphology import morphology_features

    return morphology_features(region, threads)


def _histogram(grey: Discretised) -> dict[str, float]:
    return histogram_features(grey.levels[grey.levels > 0].astype(np.float64), grey.n_levels)


def _named(
    family: str, aggregation: str, compute: Callable[[], dict[str, float]], *, missing: str = UNDEFINED
) -> Iterator[tuple[str, str, str, str, float, str]]:
    """The family's features in the standard's order, each with a reason where it has no value."""
    values = {}
    try:
        values = compute()
    except InputRefused as refusal:
        if not refusal.given.startswith(TOO_FINE):
            raise
        missing = refusal.given
    for one in catalogue()[family]:
        value = values.get(one.name, NAN)
        if isfinite(value):
            yield family, one.name, aggregation, one.code, value, "" if one.consensus else NO_CONSENSUS
        else:
            yield family, one.name, aggregation, one.code, NAN, missing
