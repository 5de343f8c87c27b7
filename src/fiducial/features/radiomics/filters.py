"""Convolutional filters of IBSI 2: an image becomes a response map, of which features are computed as of an image.

Every filter takes values [x, y, z] and gives a map of the same shape, or the part of it that lies in ``box``, float64.
``boundary`` says what lies beyond the image: ``zero``, ``nearest``, ``periodic`` or ``mirror`` (the outermost voxel is
repeated). Lengths in mm are divided by the spacing, which must be equal along the axes that a filter works on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from fiducial.features.radiomics.lines import Line, Term
    from fiducial.features.radiomics.settings import Filter, GaborFilter

Floats = NDArray[np.float64]
Box = tuple[slice, ...]
Spacing = tuple[float, float, float]
PADDING = {"zero": "constant", "nearest": "edge", "periodic": "wrap", "mirror": "symmetric"}
# Normalised to unit length (IBSI 2, 3.4).
LAWS: dict[str, tuple[int, ...]] = {
    "L3": (1, 2, 1),
    "L5": (1, 4, 6, 4, 1),
    "E3": (-1, 0, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S3": (-1, 2, -1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
}
GABOR_REACH = 7.0
"""Standard deviations at which a Gabor kernel, which has no end, is cut."""


def mean_filter(
    image: Floats, *, support: int, boundary: str = "mirror", in_slice: bool = False, box: Box | None = None
) -> Floats:
    """The mean over a cube (or, in a slice, a square) of ``support`` voxels a side (IBSI 2, 3.2)."""
    return _mean_over(image, support, boundary, box, in_slice=in_slice)


def laplacian_of_gaussian(
    image: Floats,
    spacing_mm: Spacing,
    *,
    sigma_mm: float,
    cutoff: float = 4.0,
    boundary: str = "mirror",
    in_slice: bool = False,
    box: Box | None = None,
) -> Floats:
    """Laplacian of a Gaussian of ``sigma_mm``, cut at ``cutoff`` standard deviations (IBSI 2, 3.3).

    ``-1/σ² (2 π σ²)^(-D/2) (D - r²/σ²) exp(-r²/2σ²)``, a sum over axes of products of one-dimensional kernels (bent
    along that axis, smoothed along the others), and so never built in full.
    """
    from fiducial.features.radiomics.lines import Line

    n_axes = 2 if in_slice else 3
    voxel_mm = _one_spacing(spacing_mm, tuple(range(n_axes)))
    sigma = sigma_mm / voxel_mm
    reach = int(np.floor(cutoff * sigma + 0.5))
    if reach == 0:
        raise InputRefused(
            f"a Laplacian of Gaussian of {sigma_mm:g} mm in voxels of {voxel_mm:g} mm",
            legal=f"at least {voxel_mm / (2 * cutoff):g} mm at a cutoff of {cutoff:g}: else no neighbour is seen",
            action="choose a larger sigma_mm",
        )
    k = np.arange(-reach, reach + 1, dtype=np.float64)
    bell = np.exp(-(k**2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
    smooth, bend = Line.of(bell), Line.of(-bell * (1 - k**2 / sigma**2) / sigma**2)
    return _sum_of(
        image, [_term(bend if a == bent else smooth for a in range(n_axes)) for bent in range(n_axes)], boundary, box
    )


def laws_filter(
    image: Floats,
    *,
    kernels: str,
    boundary: str = "mirror",
    rotation_invariant: bool = False,
    energy_reach: int = 0,
    pooling: str = "max",
    box: Box | None = None,
) -> Floats:
    """Laws' kernels, one for each axis (``E5L5S5``; two, ``L5S5``, work in slices) (IBSI 2, 3.4).

    ``rotation_invariant`` pools over all turns by right angles; ``energy_reach`` δ > 0 gives the mean absolute response
    over 2 δ + 1 voxels a side.
    """
    from fiducial.features.radiomics.lines import Line, needed

    names = [kernels[i : i + 2] for i in range(0, len(kernels), 2)]
    if len(names) not in (2, 3) or any(name not in LAWS for name in names):
        raise InputRefused(f"Laws' kernels {kernels!r}", legal=f"two or three of {', '.join(LAWS)}, such as E5L5S5")
    rows = [np.array(LAWS[name], dtype=np.float64) for name in names]
    stages = [[Line.of(row / np.linalg.norm(row)) for row in rows]]
    box = box or _whole(image)
    if energy_reach < 1:
        return _pooled(image, stages, pooling, boundary, box, every=rotation_invariant)
    energy = _cube(2 * energy_reach + 1, in_slice=len(names) == 2)
    around = needed(image.shape, energy, boundary, box)
    map_ = np.abs(_pooled(image, stages, pooling, boundary, around, every=rotation_invariant))
    return _mean_over(map_, 2 * energy_reach + 1, boundary, _within(box, around), in_slice=len(names) == 2)


def gabor_filter(image: Floats, spacing_mm: Spacing, given: GaborFilter, box: Box | None = None) -> Floats:
    """The modulus of a complex Gabor filter in slices (IBSI 2, 3.5).

    ``exp(-(u² + γ² v²) / 2σ² + 2πi u / λ)`` with (u, v) turned by ``angle`` (radians). With ``angle_step`` the mean
    over all angles from 0 on in such steps; ``orthogonal_planes`` means over the three planes as well.
    """
    angles = np.array([given.angle])
    if given.angle_step > 0:
        angles = np.arange(0, 2 * np.pi - 1e-9, given.angle_step)
    planes = ((0, 1, 2), (0, 2, 1), (1, 2, 0)) if given.orthogonal_planes else ((0, 1, 2),)
    box = box or _whole(image)
    total = np.zeros([part.stop - part.start for part in box])
    for plane in planes:
        mm = _one_spacing(spacing_mm, plane[:2])
        sizes = (given.sigma_mm / mm, given.wavelength_mm / mm, given.ratio)
        turned, part = np.transpose(image, plane), tuple(box[axis] for axis in plane)
        for theta in angles:
            response = _gabor_in_slices(turned[:, :, part[2]], sizes, float(theta), given.boundary)
            total += np.transpose(response[part[:2]], np.argsort(plane)) / len(angles)
    return total / len(planes)


def wavelet_filter(
    image: Floats,
    *,
    wavelet: str,
    bands: str,
    level: int = 1,
    boundary: str = "mirror",
    rotation_invariant: bool = False,
    box: Box | None = None,
) -> Floats:
    """One band (``LHL``: low, high, low along x, y, z) of an undecimated separable wavelet transform (IBSI 2, 3.6).

    At level j the filters of level 1 have 2^(j-1) - 1 zeros between their coefficients, and act on what the low-pass
    filters of the levels before left. ``rotation_invariant`` means over all turns by right angles.
    """
    import pywt

    from fiducial.features.radiomics.lines import Line

    if set(bands) - set("LH") or len(bands) not in (2, 3):
        raise InputRefused(f"bands {bands!r}", legal="two or three letters L or H, such as LHL")
    found = pywt.Wavelet(wavelet)
    coefficients = {"L": np.array(found.dec_lo), "H": np.array(found.dec_hi)}
    letters = [["L"] * len(bands)] * (level - 1) + [list(bands)]
    stages = [[Line.of(_spread(coefficients[b], 2**j)) for b in stage] for j, stage in enumerate(letters)]
    return _pooled(image, stages, "mean", boundary, box or _whole(image), every=rotation_invariant)


def simoncelli_filter(image: Floats, *, level: int = 1, in_slice: bool = False, box: Box | None = None) -> Floats:
    """The B map of the non-separable Simoncelli wavelet at a level, beyond periodic boundaries (IBSI 2, 3.8).

    In the frequency domain ``cos(π/2 log2(2 r))`` for 1/4 ≤ r ≤ 1 and 0 elsewhere, r the distance from the middle of
    the frequency grid, where 1 is its edge, times 2^(level-1). The middle of an even grid lies between two
    frequencies, as the standard's reference maps have it.
    """
    sizes = [1 if in_slice and axis == 2 else n for axis, n in enumerate(image.shape)]
    axes = [np.fft.ifftshift(np.linspace(-1, 1, n) if n > 1 else np.zeros(1)) for n in sizes]
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    r = np.sqrt(sum(g**2 for g in grids)) * 2.0 ** (level - 1)
    inside = (r >= 0.25) & (r <= 1)
    gain = np.where(inside, np.cos(np.pi / 2 * np.log2(2 * np.where(inside, r, 0.5))), 0.0)
    over = (0, 1) if in_slice else (0, 1, 2)
    whole = np.fft.ifftn(np.fft.fftn(image, axes=over) * gain, axes=over).real
    return np.asarray(whole[box or _whole(image)])


def _whole(image: Floats) -> Box:
    return tuple(slice(0, n) for n in image.shape)


def _within(box: Box, around: Box) -> Box:
    """A box as seen from another that holds it."""
    return tuple(slice(b.start - a.start, b.stop - a.start) for b, a in zip(box, around, strict=True))


def _term(lines: Iterable[Line]) -> Term:
    """One line along each axis; along z there may be none."""
    found = tuple((line,) for line in lines)
    return found if len(found) == 3 else (*found, ())


def _cube(side: int, *, in_slice: bool) -> Term:
    """The sum over a cube or a square of so many voxels a side."""
    from fiducial.features.radiomics.lines import Line

    return _term([Line.of([1.0] * side)] * (2 if in_slice else 3))


def _mean_over(image: Floats, side: int, boundary: str, box: Box | None, *, in_slice: bool) -> Floats:
    """Sums, then one division: equal sums of whole numbers are equal means, on the same side of a grey level's edge."""
    total = _sum_of(image, [_cube(side, in_slice=in_slice)], boundary, box)
    total /= side ** (2 if in_slice else 3)
    return total


def _sum_of(image: Floats, terms: list[Term], boundary: str, box: Box | None) -> Floats:
    from fiducial.features.radiomics.lines import responses

    first, *others = responses(image, terms, boundary, box)
    for other in others:
        first += other
    return first


def _rotations(n_axes: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Turns by right angles, as (order of the axes, sign of each): 24 of a volume, 4 of a slice."""
    found = []
    for order in permutations(range(n_axes)):
        for signs in product((1, -1), repeat=n_axes):
            matrix = np.zeros((n_axes, n_axes))
            for row, (axis, sign) in enumerate(zip(order, signs, strict=True)):
                matrix[row, axis] = sign
            if np.linalg.det(matrix) > 0:
                found.append((order, signs))
    return found


def _pooled(image: Floats, stages: list[list[Line]], pooling: str, boundary: str, box: Box, *, every: bool) -> Floats:
    """The response to stages of one line for each axis, or the largest or mean of those at every turn."""
    from fiducial.features.radiomics.lines import responses

    n_axes = len(stages[0])
    turns = _rotations(n_axes) if every else [(tuple(range(n_axes)), (1,) * n_axes)]
    terms: list[Term] = []
    for order, signs in turns:
        along = [
            tuple(stage[a] if sign > 0 else stage[a].mirrored() for stage in stages)
            for a, sign in zip(order, signs, strict=True)
        ]
        terms.append((*along, *([()] * (3 - n_axes))))
    pool: Any = np.maximum if pooling == "max" else np.add
    total: Floats | None = None
    for response in responses(image, terms, boundary, box):
        total = response.copy() if total is None else pool(total, response, out=total)
    if total is None:
        raise InputRefused("no turn")
    return total if pooling == "max" else total / len(terms)


def _spread(coefficients: Floats, step: int) -> Floats:
    """Coefficients with ``step - 1`` zeros behind each."""
    spread = np.zeros(len(coefficients) * step)
    spread[::step] = coefficients
    return spread


def _gabor_in_slices(image: Floats, sizes: Spacing, angle: float, boundary: str) -> Floats:
    """The modulus of the response in every slice (the first two axes)."""
    from scipy.signal import fftconvolve

    sigma, wavelength, ratio = sizes
    reach = int(np.ceil(GABOR_REACH * sigma * max(1.0, 1 / ratio)))
    k = np.arange(-reach, reach + 1, dtype=np.float64)
    x, y = np.meshgrid(k, k, indexing="ij")
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    kernel = np.exp(-(u**2 + ratio**2 * v**2) / (2 * sigma**2) + 2j * np.pi * u / wavelength)
    padded = np.pad(image, [(reach, reach), (reach, reach), (0, 0)], mode=PADDING[boundary])  # type: ignore[call-overload]
    return np.asarray(np.abs(fftconvolve(padded, kernel[:, :, None], mode="valid", axes=(0, 1))))


def _one_spacing(spacing_mm: tuple[float, ...], axes: tuple[int, ...]) -> float:
    """The spacing along axes that share it."""
    used = [spacing_mm[a] for a in axes]
    if np.ptp(used) > 1e-3 * min(used):
        raise InputRefused(
            f"voxels of {' x '.join(f'{mm:g}' for mm in used)} mm",
            legal="equal spacing along the axes that a filter works on",
            action="interpolate to isotropic voxels first",
        )
    return float(used[0])


def filtered(image: Floats, spacing_mm: Spacing, given: Filter, box: Box | None = None) -> Floats:
    """The response map of an image to the filter that settings describe."""
    return FILTERS[given.kind](image, spacing_mm, given, box)


def field_of(box: tuple[slice, ...], shape: tuple[int, ...], spacing_mm: Spacing, given: Filter) -> tuple[slice, ...]:
    """What of an image a filter must see so that its response in a box is that of the whole image.

    A box as much wider as the filter reaches. Up to the image's border, where it comes so near: there the boundary rule
    continues the image by what lies in the box as well. A periodic boundary continues it by what lies at the other end,
    and a filter without an end (Simoncelli's) sees everything: then the whole axis is kept.
    """
    reaches = _reaches(spacing_mm, given)
    parts = []
    for part, reach, n in zip(box, reaches, shape, strict=True):
        first, end = (0, n) if reach is None else (part.start - reach, part.stop + reach)
        beyond = first < 0 or end > n
        whole = beyond and getattr(given, "boundary", "periodic") == "periodic"
        parts.append(slice(0, n) if whole else slice(max(first, 0), min(end, n)))
    return tuple(parts)


def _reaches(spacing_mm: Spacing, given: Filter) -> tuple[int | None, ...]:
    """Voxels beyond a voxel along each axis that its response depends on; None: all."""
    if given.kind == "simoncelli":
        return (None, None, 0 if given.in_slice else None)
    if given.kind == "mean":
        side, n_axes = given.support, 2 if given.in_slice else 3
    elif given.kind == "log":
        in_voxels = given.cutoff * given.sigma_mm / min(spacing_mm)
        side, n_axes = int(in_voxels + 1), 2 if given.in_slice else 3
    elif given.kind == "laws":
        side, n_axes = 5 + given.energy_reach, len(given.kernels) // 2
    elif given.kind == "wavelet":
        import pywt

        side, n_axes = pywt.Wavelet(given.wavelet).dec_len * (2**given.level - 1), len(given.bands)
    else:
        in_voxels = given.sigma_mm / min(spacing_mm) * max(1.0, 1 / given.ratio)
        side, n_axes = int(np.ceil(GABOR_REACH * in_voxels)), 3 if given.orthogonal_planes else 2
    return tuple(side if axis < n_axes else 0 for axis in range(3))


def _said(given: Filter) -> dict[str, Any]:
    return given.model_dump(exclude={"kind"})


FILTERS: dict[str, Callable[[Floats, Spacing, Any, Box | None], Floats]] = {
    "mean": lambda image, _, given, box: mean_filter(image, **_said(given), box=box),
    "log": lambda image, mm, given, box: laplacian_of_gaussian(image, mm, **_said(given), box=box),
    "laws": lambda image, _, given, box: laws_filter(image, **_said(given), box=box),
    "gabor": gabor_filter,
    "wavelet": lambda image, _, given, box: wavelet_filter(image, **_said(given), box=box),
    "simoncelli": lambda image, _, given, box: simoncelli_filter(image, **_said(given), box=box),
}
"""By the kind of `Filter`: image, spacing, the filter's own settings and the box that is wanted to a response map."""
