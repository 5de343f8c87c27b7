"""How good is an image: noise, sharpness, exposure, ghosts, jumps between slices, blank and cut-off images.

Planes are [a, b] and stacks [slice, a, b]; intensities in the image's own unit, spacings in mm. Every function takes
finite voxels of any numeric type, changes nothing, and answers NaN where an image is too small or too empty to be
measured. An estimate is for comparing images of one kind: anatomy, kernel and matrix move all of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiducial.errors import InputRefused

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian of standard deviation 1: 2.355."""
RAYLEIGH_SD = math.sqrt(2 - math.pi / 2)
"""Standard deviation of a Rayleigh variable of scale 1: 0.655; of the air of a magnitude image of one coil."""
SMALL_HALF_MEAN = 0.324653
"""Mean of the smaller half of |z|, z standard normal: 4 (phi(0) - phi(0.6745))."""
FEWEST_BLOCKS = 8
EDGE_SMOOTHING = (1.0, 2.0)
"""Pixels: standard deviations of the Gaussians whose derivatives find edges. Their width is taken off afterwards."""
EDGE_BLEND = (1.5, 3.0)
"""Pixels of blur, as the wide derivative sees it, below which the narrow one counts alone, and above which the wide."""
FEWEST_EDGES, MOST_EDGES = 20, 400


def white_noise(plane: ArrayLike, inside: ArrayLike | None = None) -> float:
    """Standard deviation of noise that is independent from pixel to pixel, in the image's unit.

    The difference of two Laplacians, rows (1 -2 1; -2 4 -2; 1 -2 1) / 6, has no answer to constants, ramps and
    straight edges along an axis, and turns white noise of standard deviation s into normal numbers of standard
    deviation s. Edges and texture answer strongly; the mean of the smaller half of the absolute answers, over its
    value 0.3247 for s = 1, does not see them. Noise that a kernel or resampling has smoothed is underestimated: after
    a Gaussian of FWHM 2.4 pixels a twelfth of its standard deviation is found.

    Args:
        plane: [a, b], at least 3 x 3.
        inside: bool [a, b], where to look (default everywhere).

    Returns:
        NaN where fewer than 9 answers are inside.

    Source: Immerkaer, Comput Vis Image Underst 64 (1996) 300-302, with a robust mean for his.
    """
    values, there = _plane(plane, inside)
    if min(values.shape) < 3:
        return math.nan
    rows = values[:-2] - 2 * values[1:-1] + values[2:]
    answer = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]) / 6
    found = answer if there is None else answer[there[1:-1, 1:-1]]
    found = found.reshape(-1)
    n_half = len(found) // 2
    if len(found) < 9:
        return math.nan
    return float(np.partition(found, n_half)[:n_half].mean() / SMALL_HALF_MEAN)


def region_noise(plane: ArrayLike, inside: ArrayLike | None = None, *, side: int = 8) -> float:
    """Standard deviation inside homogeneous regions, in the image's unit: what a reader's small circle would measure.

    The plane is cut into blocks of ``side`` x ``side`` pixels. Of each block that lies inside, a fitted plane is taken
    off and the standard deviation s of the rest is found on n - 3 degrees of freedom. Blocks with edges have a large
    s; the mean of the shortest interval that holds half of all s is that of the homogeneous ones. Unlike
    `white_noise` it also sees noise that is correlated from pixel to pixel, as long as that is finer than a block:
    after a Gaussian of FWHM 2.4 pixels four fifths of it with the default side.

    Args:
        plane: [a, b].
        inside: bool [a, b]; only blocks that lie wholly inside count (default all).
        side: pixels, at least 3.

    Returns:
        NaN with fewer than 8 blocks.

    Source: mode of local standard deviations: Christianson et al., AJR 205 (2015) W93-W99; shortest half: Andrews et
    al., Robust Estimates of Location, 1972.
    """
    values, there = _plane(plane, inside)
    if side < 3:
        raise InputRefused(f"blocks of {side} pixels", legal="3 or more")
    n_a, n_b = values.shape[0] // side, values.shape[1] // side
    blocks = _blocks(values, side)
    if there is not None:
        blocks = blocks[_blocks(there, side).all(axis=(1, 2))]
    if n_a * n_b == 0 or len(blocks) < FEWEST_BLOCKS:
        return math.nan
    ramp = np.arange(side) - (side - 1) / 2
    square = side * float((ramp**2).sum())
    rest = ((blocks - blocks.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2))
    rest -= np.einsum("kab,a->k", blocks, ramp) ** 2 / square + np.einsum("kab,b->k", blocks, ramp) ** 2 / square
    freedom = side**2 - 3
    spread = np.sqrt(np.maximum(rest, 0) / freedom)
    return _shortest_half(spread) / (1 - 1 / (4 * freedom))


def edge_fwhm_mm(plane: ArrayLike, spacing_mm: tuple[float, float] = (1.0, 1.0)) -> float:
    """Width of the blur across the strongest edges, in mm: full width at half maximum of a Gaussian.

    The gradient across a step that a Gaussian of variance s^2 has blurred, found with a Gaussian derivative of
    variance t^2, is a Gaussian of variance s^2 + t^2, whose logarithm is a parabola: three samples along the axis that
    is closer to the edge's normal give its curvature. With c the cosine between the two and h the spacing,
    s^2 = c^2 h^2 / -curvature - t^2, at least 0; the median over the strongest edges (a tenth of the ridge, 20 to 400
    of its pixels) is taken. A wide t bears more noise, a narrow one keeps close structures apart: t = 1 pixel counts
    for blurs below 1.5 pixels, t = 2 above 3, and between them both in proportion.

    On steps with noise of 5 % (10 %) of their height this is within 10 % (15 %) from 2.5 pixels on, and up to 0.25
    (0.4) pixels too small below. A pixel's own width counts: a perfectly sharp step gives 2.355 / sqrt(12) = 0.68
    pixels. Lines of few pixels' width, texture and sharpening kernels look sharper than a step; 0 says: sharper than
    can be told.

    Args:
        plane: [a, b], at least 16 x 16.
        spacing_mm: of each axis.

    Returns:
        NaN for a constant or smaller plane, or fewer than 20 ridge pixels.

    Source: line spread from the derivative of an edge: Reichenbach et al., Opt Eng 30 (1991) 170-177; fit of a
    Gaussian by its logarithm: Caruana et al., Anal Chem 58 (1986) 1162-1167.
    """
    values, _ = _plane(plane, None)
    if min(values.shape) < 16 or min(spacing_mm) <= 0 or np.ptp(values) == 0:
        return math.nan
    narrow, wide = (_edge_width(values, spacing_mm, pixels) for pixels in EDGE_SMOOTHING)
    pixel_mm = math.sqrt(spacing_mm[0] * spacing_mm[1])
    share = float(np.clip((wide / pixel_mm - EDGE_BLEND[0]) / (EDGE_BLEND[1] - EDGE_BLEND[0]), 0, 1))
    return (1 - share) * narrow + share * wide


def _edge_width(values: Floats, spacing_mm: tuple[float, float], pixels: float) -> float:
    """Median width of the strongest edges in mm, found with a Gaussian derivative of ``pixels``; NaN with too few."""
    from scipy.ndimage import gaussian_filter1d

    smooth = [gaussian_filter1d(values, pixels, axis=axis) for axis in (1, 0)]
    slope = [gaussian_filter1d(smooth[k], pixels, axis=k, order=1) / spacing_mm[k] for k in (0, 1)]
    steep = np.hypot(*slope)
    found = [_ridge(steep, slope, spacing_mm, axis=axis, pixels=pixels) for axis in (0, 1)]
    square, height = (np.concatenate([part[k] for part in found]) for k in (0, 1))
    if len(height) < FEWEST_EDGES:
        return math.nan
    n = min(MOST_EDGES, max(FEWEST_EDGES, len(height) // 10))
    strongest = np.argpartition(-height, n - 1)[:n]
    return FWHM * math.sqrt(max(0.0, float(np.median(square[strongest]))))


def _ridge(
    steep: Floats, slope: list[Floats], spacing_mm: tuple[float, float], *, axis: int, pixels: float
) -> tuple[Floats, Floats]:
    """Variances in mm^2 of the edges whose normal is closer to ``axis``, and their steepness."""
    g = np.moveaxis(steep, axis, 0)
    along, across = (np.abs(np.moveaxis(slope[k], axis, 0)) for k in (axis, 1 - axis))
    # Away from the rim, where the derivative sees the reflected image.
    m = math.ceil(2 * pixels)
    left, here, right = g[m - 1 : -m - 1, m:-m], g[m:-m, m:-m], g[m + 1 : len(g) - m + 1, m:-m]
    along, across = along[m:-m, m:-m], across[m:-m, m:-m]
    on = (here > 0) & (here >= left) & (here > right) & (along >= across) & (left > 0) & (right > 0)
    curvature = np.log(left[on]) + np.log(right[on]) - 2 * np.log(here[on])
    cosine = (along[on] / here[on]) ** 2
    h, other = spacing_mm[axis], spacing_mm[1 - axis]
    known = pixels**2 * (cosine * h**2 + (1 - cosine) * other**2)
    return cosine * h**2 / np.maximum(-curvature, 1e-12) - known, here[on]


def smoothness_fwhm_mm(array: ArrayLike, axis: int, spacing_mm: float) -> float:
    """How far neighbours along an axis resemble each other, in mm: the width of the kernel that would make noise so.

    With v the variance of all voxels and d that of differences between neighbours, the correlation is
    r = 1 - d / (2 v) and FWHM = h sqrt(-2 ln 2 / ln r), h the spacing. Of filtered noise this is the filter's width;
    of anatomy it is mostly the anatomy's. 0 where neighbours do not resemble each other (r <= 0).

    Returns:
        NaN for a constant array or fewer than 2 planes.

    Source: Forman et al., Magn Reson Med 33 (1995) 636-647.
    """
    values = _finite(array)
    variance = float(values.var()) if values.size else 0.0
    if values.size == 0 or values.shape[axis] < 2 or variance == 0:
        return math.nan
    r = 1 - float(np.diff(values, axis=axis).var()) / (2 * variance)
    return spacing_mm * math.sqrt(-2 * math.log(2) / math.log(r)) if 0 < r < 1 else 0.0


def ghost_ratio(plane: ArrayLike, foreground: ArrayLike, axis: int) -> float:
    """Strength of a ghost shifted by half the field of view along an axis, as a part of the signal.

    (mean of the ghost's place - mean of the other background) / median of the foreground, where the ghost's place is
    background that half a field of view separates from foreground. A phase error that repeats every other line makes
    such a ghost along the phase-encoding axis. Of a magnitude image the noise's mean, which is no ghost, is taken off
    the ghost too: a ghost weaker than the noise is missed.

    Args:
        plane: [a, b].
        foreground: bool [a, b].
        axis: 0 or 1.

    Returns:
        NaN where either background holds less than 2 % of the plane or the foreground's median is not positive.

    Source: ghost-to-signal ratio, Giannelli et al., J Appl Clin Med Phys 11 (2010) 170-180, as MRIQC computes it
    (Esteban et al., PLoS One 12 (2017) e0184661).
    """
    values, there = _plane(plane, foreground)
    if there is None or not there.any():
        return math.nan
    place = np.roll(there, values.shape[axis] // 2, axis=axis) & ~there
    other = ~there & ~place
    signal = float(np.median(values[there]))
    if min(place.sum(), other.sum()) < max(1, 0.02 * values.size) or signal <= 0:
        return math.nan
    return (float(values[place].mean()) - float(values[other].mean())) / signal


def slice_jump(stack: ArrayLike) -> float:
    """How much one slice departs from what lies between its neighbours: about 1 for noise, more for a moved slice.

    For slice k, e = rms(x_k - (x_k-1 + x_k+1) / 2) / sqrt(3 / 2) and n = rms(x_k+1 - x_k-1) / sqrt(2); both are the
    noise's standard deviation where slices differ by white noise alone. The largest e / max(n, median n) is returned.
    Anatomy that changes evenly from slice to slice makes n large and e small. A patient who moved between
    interleaved acquisitions, or a slice of another brightness, makes e large and n not.

    Args:
        stack: [slice, a, b].

    Returns:
        NaN with fewer than 5 slices, or where half of them equal their neighbours.

    Source: a definition of this project's own, scaled so that white noise gives 1.
    """
    values = _finite(stack)
    if values.ndim != 3 or len(values) < 5:
        return math.nan
    before, here, after = values[:-2], values[1:-1], values[2:]
    e = np.sqrt(((here - (before + after) / 2) ** 2).mean(axis=(1, 2)) / 1.5)
    n = np.sqrt(((after - before) ** 2).mean(axis=(1, 2)) / 2)
    usual = float(np.median(n))
    return float((e / np.maximum(n, usual)).max()) if usual > 0 else math.nan


def entropy_bits(values: ArrayLike, *, n_bins: int = 256) -> float:
    """Shannon entropy of the histogram between the smallest and the largest value, in bits: 0 to log2(n_bins).

    Low where few grey values are used: an under- or over-exposed picture, or a narrow one with a bright marker. 0 for
    a constant image, NaN for an empty one.
    """
    sample = _finite(values).reshape(-1)
    if sample.size == 0:
        return math.nan
    counts = np.histogram(sample, bins=n_bins)[0]
    shares = counts[counts > 0] / sample.size
    return abs(float(-(shares * np.log2(shares)).sum()))


def clipped_shares(values: ArrayLike) -> tuple[float, float]:
    """Share of voxels that have the very smallest and the very largest value: [0, 1] each, (1, 1) if constant.

    A saturated detector, a window that was burned in or padding put many there; noise puts one.
    """
    sample = _finite(values).reshape(-1)
    if sample.size == 0:
        return math.nan, math.nan
    return float((sample == sample.min()).mean()), float((sample == sample.max()).mean())


def noise_share(plane: ArrayLike) -> float:
    """Share of a plane's variance that is white noise, [0, 1]: near 1 where nothing was imaged but noise.

    `white_noise` squared over the variance. NaN for a constant plane or one below 3 x 3.
    """
    values, _ = _plane(plane, None)
    variance = float(values.var()) if values.size else 0.0
    return math.nan if variance == 0 else min(1.0, white_noise(values) ** 2 / variance)


def contrast_to_noise(signal: float, background: float, noise: float) -> float:
    """|signal - background| / noise; NaN where the noise is 0 or unknown.

    Source: as MRQy defines it of foreground and air (Sadri et al., Med Phys 47 (2020) 6029-6038), here with medians
    and with the noise of homogeneous tissue.
    """
    return abs(signal - background) / noise if noise > 0 else math.nan


def dietrich_snr(signal: float, air_sd: float) -> float:
    """Signal to noise of a magnitude MR image from its air: 0.655 signal / SD of air (Rayleigh, one coil).

    Air that was masked or filtered has no such noise: NaN where its SD is 0 or unknown.

    Source: Dietrich et al., J Magn Reson Imaging 26 (2007) 375-385; MRIQC's SNRd.
    """
    return RAYLEIGH_SD * signal / air_sd if air_sd > 0 else math.nan


def constant_share(array: ArrayLike, axis: int) -> float:
    """Share of the planes across an axis that hold one value only: zero-filled slices, rows or columns."""
    values = np.asarray(array)
    if values.size == 0:
        return math.nan
    others = tuple(k for k in range(values.ndim) if k != axis % values.ndim)
    return float((values.max(axis=others) == values.min(axis=others)).mean())


def cut_share(foreground: ArrayLike, axis: int) -> float:
    """How much of the foreground runs through a face of the field of view, [0, 1]; of both faces the larger.

    Foreground voxels of the first or last plane across the axis, over those of the plane that has most. 0: the object
    ends inside; 1: it is cut where it is largest. NaN without foreground.
    """
    there = np.asarray(foreground, dtype=bool)
    areas = there.sum(axis=tuple(k for k in range(there.ndim) if k != axis % there.ndim))
    most = int(areas.max(initial=0))
    return max(int(areas[0]), int(areas[-1])) / most if most else math.nan


def _shortest_half(values: Floats) -> float:
    """Mean of the shortest interval that holds half of the values."""
    ordered = np.sort(values)
    n_half = (len(ordered) + 1) // 2
    widths = ordered[n_half - 1 :] - ordered[: len(ordered) - n_half + 1]
    start = int(np.argmin(widths))
    return float(ordered[start : start + n_half].mean())


def _blocks(plane: NDArray[Any], side: int) -> NDArray[Any]:
    """[n, side, side]: whole blocks of a plane, what is left over at its end dropped."""
    n_a, n_b = plane.shape[0] // side, plane.shape[1] // side
    cut = plane[: n_a * side, : n_b * side].reshape(n_a, side, n_b, side)
    return np.asarray(cut.transpose(0, 2, 1, 3).reshape(n_a * n_b, side, side))


def _plane(plane: ArrayLike, inside: ArrayLike | None) -> tuple[Floats, Bools | None]:
    values = _finite(plane)
    if values.ndim != 2:
        raise InputRefused(f"an array of shape {values.shape}", legal="a plane [a, b]")
    if inside is None:
        return values, None
    there = np.asarray(inside, dtype=bool)
    if there.shape != values.shape:
        raise InputRefused(f"a mask of shape {there.shape} on a plane of {values.shape}", legal="equal shapes")
    return values, there


def _finite(array: ArrayLike) -> Floats:
    values = np.asarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputRefused("voxels that are NaN or infinite", legal="finite voxels")
    return values
