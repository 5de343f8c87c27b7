"""An image and a mask, changed slightly: noise, a turn, a shift, a larger or smaller volume, another contour.

After Zwanenburg et al., Sci Rep 9 (2019) 614. Image and mask are resampled once: where settings ask for another
spacing, turn and shift are part of that interpolation, so that a perturbed image is no smoother than the unperturbed
one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.features.radiomics.interpolate import ORDERS, interpolated, interpolated_shape
from fiducial.features.radiomics.perturbations import Perturbation
from fiducial.features.radiomics.pyradiomics.settings import PyRadiomicsSettings
from fiducial.features.radiomics.region import require_one_shape
from fiducial.features.radiomics.settings import Settings
from fiducial.maths.image_quality import white_noise

if TYPE_CHECKING:
    import pandas as pd

MARGIN_MM = 24.0
"""What is kept around the region, on top of what it grows by: the local intensity peak looks 6.2 mm beyond it."""
NOISE_MM = 12.0
ALWAYS, NEVER = 0.9, 0.2
"""Supervoxels of which the mask covers at least, or less than, these parts are not left to chance."""
SMALLEST_SUPERVOXEL = {2: 4, 3: 8}
COMPACTNESS = 0.1

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Perturbed:
    """Image and mask [x, y, z] around the region, and the distance of their voxels."""

    image: NDArray[np.float64]
    mask: NDArray[np.bool_]
    spacing_mm: Spacing


def perturb(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    perturbation: Perturbation,
    *,
    seed: int = 0,
    settings: Settings | None = None,
) -> Perturbed:
    """Change image and mask as `Perturbation` says; the same seed gives the same result.

    Args:
        image: intensities [x, y, z]; a 2-D image has z = 1, along which nothing is shifted.
        mask: the region on the same grid; what is not 0 belongs to it.
        spacing_mm: of both.
        perturbation: what to do.
        seed: of noise, contour and ties between voxels.
        settings: their spacing, interpolation, rounding and range of intensities are used.

    Returns:
        Arrays on the settings' grid, cut to what features need around the region (whole where a filter follows), with
        the noise unrounded unless settings round. Compute features with `settled` settings.

    Raises:
        GeometryError: image and mask differ in shape, or are not of three axes.
        InputRefused: an empty mask, a level of noise that cannot be found, or a region that is lost.
    """
    settings = settings or Settings()
    require_one_shape(image, mask)
    inside = mask != 0
    if not inside.any():
        raise InputRefused("empty-mask: no voxel belongs to the region")
    rng = np.random.default_rng(seed)
    placed = _placed(inside, spacing_mm, perturbation, settings)
    voxels = image[placed.seen].astype(np.float64)
    if perturbation.noise > 0:
        level = perturbation.noise * noise_level(image, inside, spacing_mm)
        for z in range(voxels.shape[2]):  # slice by slice, which needs less memory
            voxels[:, :, z] += rng.normal(0.0, level, voxels.shape[:2])
    voxels, inside, grid = *_resampled(voxels, inside, spacing_mm, placed, settings), placed.spacing_mm
    if not inside.any():
        raise InputRefused("empty-after-perturbation: the region left the image, or is smaller than the new voxels")
    if perturbation.volume:
        inside = resized(inside, grid, perturbation.volume, rng)
    if perturbation.contour:
        inside = redrawn(voxels, inside, grid, perturbation.supervoxel_mm, rng, range_=settings.resegment)
    return Perturbed(voxels, inside, grid)


def settled(settings: Settings) -> Settings:
    """Settings for features of what `perturb` gave: the same, but for the interpolation, which is done."""
    return settings.model_copy(update={"spacing_mm": None})


def perturbed_radiomics(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    settings: Settings | PyRadiomicsSettings,
    perturbation: Perturbation,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """`region_features` of image and mask after one perturbation."""
    import pandas as pd

    from fiducial.features.radiomics.engine import columns_of

    rows = perturbed_rows(image, mask, spacing_mm, settings, perturbation, seed=seed)
    return pd.DataFrame(list(rows), columns=list(columns_of(settings)))


def perturbed_rows(
    image: NDArray[Any],
    mask: NDArray[Any],
    spacing_mm: Spacing,
    settings: Settings | PyRadiomicsSettings,
    perturbation: Perturbation,
    *,
    seed: int = 0,
) -> Sequence[tuple[Any, ...]]:
    """The rows of `perturbed_radiomics`; with PyRadiomics' settings without those of ``additionalInfo``."""
    from fiducial.features.radiomics import perturb_pyradiomics
    from fiducial.features.radiomics.engine import region_rows

    if isinstance(settings, PyRadiomicsSettings):
        return perturb_pyradiomics.perturbed_rows(image, mask, spacing_mm, settings, perturbation, seed=seed)
    changed = perturb(image, mask, spacing_mm, perturbation, seed=seed, settings=settings)
    return region_rows(changed.image, changed.mask, changed.spacing_mm, settled(settings))


def seed_of(seed: int, *names: str) -> int:
    """A seed of a region's and a repeat's own, which does not depend on the order of the work."""
    text = "\0".join((str(seed), *names)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def noise_level(image: NDArray[Any], inside: NDArray[np.bool_], spacing_mm: Spacing) -> float:
    """Standard deviation of the noise within 12 mm of the region, in the image's unit.

    The median over slices of `white_noise`; what lies farther away (air, padding) has another level. A slice that
    holds NaN or infinity there does not count.

    Raises:
        InputRefused: ``noise-unknown``: every slice there is smaller than 5 x 5, or not finite.
    """
    box = _box(inside, spacing_mm, NOISE_MM)
    near = image[box]
    slices = (near[:, :, z] for z in range(near.shape[2]))
    levels = np.array([white_noise(one) if np.isfinite(one).all() else np.nan for one in slices])
    if not np.isfinite(levels).any():
        raise InputRefused(
            f"noise-unknown: {near.shape[0]} x {near.shape[1]} voxels around the region, or all slices with NaN",
            legal="5 x 5 or more in a slice, finite",
            action="leave noise out for images such as this",
        )
    return float(np.nanmedian(levels))


def resized(
    inside: NDArray[np.bool_], spacing_mm: Spacing, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A mask with round(n (1 + fraction)) voxels: those nearest to its border in mm are added or taken away.

    Voxels at the same distance are chosen at random. At least one voxel remains, and no more are added than the array
    has.
    """
    from scipy.ndimage import distance_transform_edt

    n = int(inside.sum())
    wanted = min(max(round(n * (1 + fraction)), 1), inside.size)
    if wanted == n:
        return inside.copy()
    if wanted > n:
        distance, there = distance_transform_edt(~inside, sampling=spacing_mm), ~inside
    else:
        # Beyond the image is outside, but for the axis that a 2-D image lacks.
        pad = [(1, 1) if size > 1 else (0, 0) for size in inside.shape]
        cut = tuple(slice(before, before + size) for (before, _), size in zip(pad, inside.shape, strict=True))
        padded = np.pad(inside, pad)
        distance = distance_transform_edt(padded, sampling=spacing_mm)[cut] if not padded.all() else np.ones(n)
        there = inside
    places = np.flatnonzero(there)
    far = np.round(np.asarray(distance).reshape(-1)[places], 9)
    order = np.lexsort((rng.random(len(places)), far))
    changed = inside.copy()
    changed.reshape(-1)[places[order[: abs(wanted - n)]]] = wanted > n
    return changed


def redrawn(
    image: NDArray[np.float64],
    inside: NDArray[np.bool_],
    spacing_mm: Spacing,
    supervoxel_mm: float,
    rng: np.random.Generator,
    *,
    range_: tuple[float | None, float | None] = (None, None),
) -> NDArray[np.bool_]:
    """A mask made of supervoxels, as another reader may have drawn it along the same edges.

    The surroundings are cut into supervoxels (SLIC) of like intensity. One that the mask covers by 0.9 or more belongs
    to the new mask, one covered by less than 0.2 does not, any other belongs to it with the covered part as its
    probability. If none would, the one covered most does.

    Args:
        image: intensities [x, y, z].
        inside: the mask.
        spacing_mm: of both.
        supervoxel_mm: edge of a supervoxel; it has at least 8 voxels (4 in 2-D).
        rng: of the draws.
        range_: intensities beyond are clipped (None: at the 1st and 99th percentile around the region).

    Source: Achanta et al., IEEE Trans Pattern Anal Mach Intell 34 (2012) 2274-2282, computed by scikit-image;
    probabilities as Zwanenburg et al. 2019 propose them.
    """
    from skimage.segmentation import slic

    box = _box(inside, spacing_mm, 2 * supervoxel_mm)
    near, covered = image[box], inside[box]
    low, high = (float(np.percentile(near, q)) if end is None else end for end, q in zip(range_, (1, 99), strict=True))
    scaled = np.clip((near - low) / (high - low), 0, 1) if high > low else np.zeros(near.shape)
    axes = [axis for axis, size in enumerate(near.shape) if size > 1]
    axes = axes if len(axes) >= 2 else [0, 1]
    seen = scaled.reshape([near.shape[axis] for axis in axes])
    mm = np.array([spacing_mm[axis] for axis in axes])
    voxels = max(supervoxel_mm ** len(axes) / float(mm.prod()), SMALLEST_SUPERVOXEL[len(axes)])
    labels = slic(
        seen,
        n_segments=max(math.ceil(seen.size / voxels), 1),
        compactness=COMPACTNESS,
        spacing=mm / mm.min(),
        channel_axis=None,
        start_label=0,
    ).reshape(near.shape)
    size = np.bincount(labels.reshape(-1))
    part = np.bincount(labels.reshape(-1), covered.reshape(-1)) / np.maximum(size, 1)
    kept = (part >= ALWAYS) | ((part >= NEVER) & (rng.random(len(part)) < part))
    kept[part.argmax()] |= not kept.any()
    changed = np.zeros_like(inside)
    changed[box] = kept[labels]
    return changed


@dataclass(frozen=True)
class _Placed:
    """Where the new grid lies in the old one: old index = ``matrix`` @ new index + ``offset``, within ``seen``.

    ``seen`` is the part of the old arrays that is looked at, ``box`` the part of the new grid that is made. ``how``:
    ``cut`` where both grids are the same, ``interpolated`` where the new one is another as for the unperturbed image,
    ``moved`` where it is turned or shifted as well.
    """

    seen: tuple[slice, ...]
    box: tuple[slice, ...]
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    spacing_mm: Spacing
    how: Literal["cut", "interpolated", "moved"]


def _placed(inside: NDArray[np.bool_], spacing_mm: Spacing, perturbation: Perturbation, settings: Settings) -> _Placed:
    """The settings' grid, turned and shifted against the image's, and cut to the region and what lies around it."""
    wanted = settings.spacing_mm or (0.0, 0.0, 0.0)
    x, y, z = (new if new > 0 else old for new, old in zip(wanted, spacing_mm, strict=True))
    shape = np.array(interpolated_shape(inside.shape, spacing_mm, (x, y, z)))
    old, new, n_old = np.array(spacing_mm), np.array((x, y, z)), np.array(inside.shape)
    # Index of the new grid -> mm from the first voxel -> back through shift and turn -> index of the old grid.
    first_mm = (old * (n_old - 1) - (shape - 1) * new) / 2
    turn = turn_about_z(perturbation.rotate_degrees)
    shift = np.array(perturbation.translate_voxels) * new * (n_old > 1)
    there = np.argwhere(inside)
    centre = there.mean(axis=0) * old
    matrix = (turn.T * new) / old[:, None]
    offset = (turn.T @ (first_mm - shift - centre) + centre) / old
    low, high = np.zeros(3, dtype=int), shape
    if not settings.used_filters:
        corners = np.array(list(product(*zip(there.min(axis=0), there.max(axis=0), strict=True))), dtype=np.float64)
        reach = (MARGIN_MM + max(perturbation.volume, 0) * float(np.ptp(corners * old, axis=0).max())) / new
        now = np.linalg.solve(matrix, (corners - offset).T).T
        low = np.clip(np.floor(now.min(axis=0) - reach), 0, shape - 1).astype(int)
        high = np.clip(np.ceil(now.max(axis=0) + reach) + 1, low + 1, shape).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    if not perturbation.moves:
        if settings.spacing_mm is None:
            return _Placed(box, box, matrix, offset, (x, y, z), "cut")
        return _Placed(tuple(slice(0, n) for n in inside.shape), box, matrix, offset, (x, y, z), "interpolated")
    offset = offset + matrix @ low
    ends = np.array(list(product(*((0, n - 1) for n in high - low)))) @ matrix.T + offset
    # Splines look beyond the voxels between which they interpolate.
    first = np.clip(np.floor(ends.min(axis=0)).astype(int) - 12, 0, n_old - 1)
    last = np.clip(np.ceil(ends.max(axis=0)).astype(int) + 13, first + 1, n_old)
    seen = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return _Placed(seen, box, matrix, offset - first, (x, y, z), "moved")


def _resampled(
    voxels: NDArray[np.float64], inside: NDArray[np.bool_], spacing_mm: Spacing, placed: _Placed, settings: Settings
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Image (of what is seen) and mask (whole) on the new grid."""
    from scipy.ndimage import affine_transform

    near = inside[placed.seen]
    if placed.how == "cut":
        return voxels, near
    size = tuple(part.stop - part.start for part in placed.box)

    def made(array: NDArray[Any], method: str, mode: str = "nearest") -> NDArray[np.float64]:
        if placed.how == "interpolated":
            return interpolated(array, spacing_mm, placed.spacing_mm, method=method, box=placed.box)
        given = {"output_shape": size, "order": ORDERS[method], "mode": mode}
        return np.asarray(affine_transform(array.astype(np.float64), placed.matrix, placed.offset, **given))

    shown = made(voxels, settings.image_interpolation)
    if settings.spacing_mm is not None and settings.round_intensities:
        shown = np.rint(shown)
    kept = made(near, settings.mask_interpolation) >= settings.mask_threshold - 1e-9
    if placed.how == "moved":
        # What comes from beyond the image belongs to no region.
        kept &= made(np.ones(near.shape), "linear", "grid-constant") >= 0.5 - 1e-9
    return shown, kept


def turn_about_z(degrees: float) -> NDArray[np.float64]:
    """The matrix of a rotation."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _box(inside: NDArray[np.bool_], spacing_mm: Spacing, margin_mm: float) -> tuple[slice, ...]:
    """The mask's box and a margin, within the array."""
    there = np.argwhere(inside)
    margin = np.ceil(margin_mm / np.array(spacing_mm)).astype(int)
    low = np.maximum(there.min(axis=0) - margin, 0)
    high = np.minimum(there.max(axis=0) + margin + 1, inside.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
