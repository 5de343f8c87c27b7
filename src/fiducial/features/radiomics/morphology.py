"""Shape of a region (IBSI 1, 3.1): from its mesh, its voxel centres, their hull and enclosing bodies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.region import Region, tight_box
from fiducial.features.radiomics.solids import (
    boxes_on,
    cube_counts,
    ellipsoid_weights,
    ends_of_lines,
    longest_distance,
    moments,
    outermost,
)
from fiducial.features.radiomics.threads import in_parts

Floats = NDArray[np.float64]
NAN = float("nan")
N_TERMS = 20


@dataclass(frozen=True)
class Solid:
    """What is asked of the mesh around a region: its convex hull's corners are among ``vertices`` [n, 3] in mm.

    Enclosed volume in mm³, area in mm².
    """

    vertices: Floats
    volume: float
    area: float


def morphology_features(region: Region, threads: int = 1) -> dict[str, float]:
    """The 29 features; lengths in mm, areas in mm², volumes in mm³.

    What is not defined is NaN: a flat region, or one voxel, spans no ellipsoid; intensities that are all equal have no
    autocorrelation.
    """
    box = tight_box(region.morphological)
    mask = np.ascontiguousarray(region.morphological[box])
    solid = solid_of(mask, region.spacing_mm)
    volume, area = solid.volume, solid.area
    sums = moments(mask)
    ratio = 36 * np.pi * volume**2
    mean = float(region.values.mean())
    return {
        "volume_mesh": volume,
        "volume_voxel_counting": float(sums[0] * np.prod(region.spacing_mm)),
        "surface_area_mesh": area,
        "surface_to_volume_ratio": area / volume,
        "compactness_1": volume / (np.sqrt(np.pi) * area**1.5),
        "compactness_2": ratio / area**3,
        "spherical_disproportion": area / ratio ** (1 / 3),
        "sphericity": ratio ** (1 / 3) / area,
        "asphericity": (area**3 / ratio) ** (1 / 3) - 1,
        "centre_of_mass_shift": _shift(region, box, sums),
        **_from_hull(solid, threads),
        **_from_axes(_principal_axes(sums, region.spacing_mm), solid),
        **_from_box(solid),
        "integrated_intensity": mean * volume,
        **autocorrelation(region, threads),
    }


def solid_of(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Solid:
    """The mesh of marching cubes at half way between inside and outside (IBSI 1, 3.1), as volume, area and outermost.

    A cube's triangles depend on its eight corners alone, so the mesh is a sum over the kinds of cubes that occur, and
    is never built. Its vertices lie half way between a voxel inside and a neighbour by face outside; the outermost are
    those of the outermost voxels.
    """
    counts, places = cube_counts(mask)
    area, across, flux = _of_cubes(spacing_mm)
    # The flux of (x, 0, 0) through a closed surface is the volume that it encloses.
    volume = abs(float(counts @ flux + spacing_mm[0] * (places[:, 0] @ across)))
    outer = ends_of_lines(mask)
    for axis in range(3):
        outer = outermost(outer, axis)
    halves = np.vstack([np.eye(3), -np.eye(3)]) / 2
    vertices = ((outer[:, None, :] + halves).reshape(-1, 3) + 1) * np.array(spacing_mm)
    return Solid(vertices, volume, float(counts @ area))


@cache
def _triangles() -> tuple[NDArray[np.int64], Floats]:
    """The triangles that marching cubes lays through each kind of cube: the kind [n], corners [n, 3, 3] in voxels."""
    from skimage.measure import marching_cubes

    surface: Any = marching_cubes  # the library's functions carry no types
    kinds, corners = [], []
    for kind in range(1, 255):
        cube = np.array([(kind >> bit) & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        vertices, triangles, _, _ = surface(cube, 0.5)
        kinds += [kind] * len(triangles)
        corners.append(vertices.astype(np.float64)[triangles])
    return np.array(kinds), np.concatenate(corners)


@lru_cache(maxsize=64)
def _of_cubes(spacing_mm: tuple[float, float, float]) -> tuple[Floats, Floats, Floats]:
    """Of each kind of cube [256]: area, area across x (signed), and the flux of (x, 0, 0), x from the cube's corner."""
    kinds, corners = _triangles()
    a, b, c = (corners[:, k] * spacing_mm for k in range(3))
    normal = np.cross(b - a, c - a) / 2
    middle = (a + b + c)[:, 0] / 3

    def summed(values: Floats) -> Floats:
        return np.asarray(np.bincount(kinds, weights=values, minlength=256), dtype=np.float64)

    return summed(np.linalg.norm(normal, axis=1)), summed(normal[:, 0]), summed(middle * normal[:, 0])


def _shift(region: Region, box: tuple[slice, ...], sums: NDArray[np.int64]) -> float:
    """Distance between the centre of the voxels and the centre weighted by intensity."""
    weights = np.where(region.mask[box], region.image[box], 0.0)
    total = weights.sum()
    if total == 0:
        return NAN
    planes = (weights.sum(axis=(1, 2)), weights.sum(axis=(0, 2)), weights.sum(axis=(0, 1)))
    centre = np.array([plane @ np.arange(len(plane)) for plane in planes]) / total
    return float(np.linalg.norm((centre - sums[1:4] / sums[0]) * region.spacing_mm))


def _principal_axes(sums: NDArray[np.int64], spacing_mm: tuple[float, float, float]) -> Floats:
    """Variances along the principal axes, the largest first, from `moments` of the voxels."""
    n, first = int(sums[0]), sums[1:4].astype(np.float64)
    second = np.empty((3, 3))
    second[np.triu_indices(3)] = sums[4:]
    second.T[np.triu_indices(3)] = sums[4:]
    spread = (second - np.outer(first, first) / n) / max(n - 1, 1) * np.outer(spacing_mm, spacing_mm)
    return np.clip(np.linalg.eigvalsh(spread)[::-1], 0, None)


def _from_axes(variances: Floats, solid: Solid) -> dict[str, float]:
    """Axis lengths, elongation and flatness, and the ellipsoid that the axes span."""
    major, minor, least = 4 * np.sqrt(variances)
    volume, area = ellipsoid((major / 2, minor / 2, least / 2))
    return {
        "major_axis_length": float(major),
        "minor_axis_length": float(minor),
        "least_axis_length": float(least),
        "elongation": float(minor / major) if major > 0 else NAN,
        "flatness": float(least / major) if major > 0 else NAN,
        "volume_density_approximate_ellipsoid": solid.volume / volume if volume > 1e-9 else NAN,
        "area_density_approximate_ellipsoid": solid.area / area if volume > 1e-9 else NAN,
    }


def ellipsoid(semi_axes: tuple[float, float, float]) -> tuple[float, float]:
    """Volume and area of an ellipsoid, the area by the standard's series of Legendre polynomials, to 20 terms.

    IBSI 1, 3.1.23: ``4 π a b Σ (αβ)^ν / (1 - 4 ν²) P_ν((α² + β²) / (2 αβ))`` with ``α² = 1 - b²/a²`` and
    ``β² = 1 - c²/a²``. It is some percent below the true area of a flat ellipsoid; reference values hold it. The
    products ``(αβ)^ν P_ν`` are taken together (by the polynomials' recurrence), so that α = 0 is no exception.
    """
    a, b, c = (float(x) for x in sorted(semi_axes, reverse=True))
    volume = 4 / 3 * np.pi * a * b * c
    if a <= 0:
        return volume, 0.0
    alpha, beta = 1 - (b / a) ** 2, 1 - (c / a) ** 2
    product, half_sum = alpha * beta, (alpha + beta) / 2
    before, term, total = 1.0, half_sum, 1.0 - half_sum / 3
    for nu in range(2, N_TERMS + 1):
        before, term = term, ((2 * nu - 1) * half_sum * term - (nu - 1) * product * before) / nu
        total += term / (1 - 4 * nu**2)
    return volume, 4 * np.pi * a * b * total


def _from_box(solid: Solid) -> dict[str, float]:
    sides = np.ptp(solid.vertices, axis=0)
    return {
        "volume_density_axis_aligned_box": solid.volume / float(np.prod(sides)),
        "area_density_axis_aligned_box": solid.area / _box_area(sides),
    }


def _box_area(sides: Floats) -> float:
    a, b, c = sides
    return float(2 * (a * b + b * c + a * c))


def _from_hull(solid: Solid, threads: int) -> dict[str, float]:
    """Diameter, and densities in the hull, in the smallest box and in the smallest ellipsoid."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(solid.vertices)
    corners = solid.vertices[hull.vertices]
    box = smallest_box(corners, hull.equations[:, :3], threads)
    enclosing = ellipsoid(smallest_ellipsoid(corners))
    return {
        "maximum_3d_diameter": longest_distance(corners),
        "volume_density_convex_hull": solid.volume / float(hull.volume),
        "area_density_convex_hull": solid.area / float(hull.area),
        "volume_density_oriented_box": solid.volume / float(np.prod(box)),
        "area_density_oriented_box": solid.area / _box_area(box),
        "volume_density_enclosing_ellipsoid": solid.volume / enclosing[0],
        "area_density_enclosing_ellipsoid": solid.area / enclosing[1],
    }


def smallest_box(corners: Floats, normals: Floats, threads: int = 1) -> Floats:
    """Sides of the smallest box with one face on a face of the hull (O'Rourke 1985 gives the rare smaller ones)."""
    turned = normals * np.sign(normals[np.arange(len(normals)), _leading(normals)])[:, None]
    # Faces of one plane, and of opposite planes, are one: to a millionth, as one number.
    x, y, z = np.rint(turned * 1e6).astype(np.int64).T + 10**6
    _, once = np.unique((x * (2 * 10**6 + 1) + y) * (2 * 10**6 + 1) + z, return_index=True)
    faces = turned[once]
    sides = np.concatenate(in_parts(lambda start, end: boxes_on(faces[start:end], corners), len(faces), threads))
    return np.asarray(sides[sides.prod(axis=1).argmin()])


def _leading(normals: Floats) -> NDArray[np.int64]:
    """The largest coordinate of each normal, whose sign tells opposite normals apart."""
    return np.asarray(np.abs(normals).argmax(axis=1))


def smallest_ellipsoid(
    points: Floats, *, tolerance: float = 1e-3, most_steps: int = 20_000
) -> tuple[float, float, float]:
    """Semi-axes of the ellipsoid of least volume around points (Khachiyan's algorithm with away steps).

    Todd and Yildirim 2007, algorithm 4.2: stops where the volume is within about ``3 · tolerance`` of the least one.
    """
    n, d = points.shape
    lifted = np.column_stack([points - points.mean(axis=0), np.ones(n)])
    weights = ellipsoid_weights(lifted, tolerance, most_steps)
    centre = weights @ points
    apart = points - centre
    spread = (apart * weights[:, None]).T @ apart
    shape = np.linalg.inv(spread) / d
    # The weights approach the optimum from inside: grow until every point is in.
    shape /= np.einsum("ij,jk,ik->i", apart, shape, apart).max()
    a, b, c = 1 / np.sqrt(np.linalg.eigvalsh(shape))
    return float(a), float(b), float(c)


def autocorrelation(region: Region, threads: int = 1) -> dict[str, float]:
    """Moran's I and Geary's C with weights 1 / distance, over all pairs of voxels, by Fourier transforms.

    Σ w_ij y_i y_j is a correlation at every displacement weighted by its inverse length, so that n² pairs cost
    n log n. By Parseval's theorem it is a sum over frequencies: only the weight that reaches each voxel is transformed
    back.
    """
    from scipy.fft import next_fast_len

    from fiducial.features.radiomics.kernels import weighted

    box = region.box
    mask = region.mask[box].astype(np.float64)
    n = mask.sum()
    if n < 2:
        return {"moran_i": NAN, "geary_c": NAN}
    apart = np.where(mask > 0, region.image[box] - region.values.mean(), 0.0)
    squares = float((apart**2).sum())
    if squares == 0:
        return {"moran_i": NAN, "geary_c": NAN}
    shape = [2 * next_fast_len(side, real=True) for side in mask.shape]
    weights = _weights_of_frequencies(shape, region.spacing_mm, threads)
    products = weighted(_spectrum(apart, shape, threads), weights) / float(np.prod(shape))
    spectrum = _spectrum(mask, shape, threads)
    weighted(spectrum, weights)
    near = _back(spectrum, shape, mask.shape, threads)
    total = float((mask * near).sum())
    differences = 2 * float((apart**2 * near).sum()) - 2 * products
    return {
        "moran_i": float(n / total * products / squares),
        "geary_c": float((n - 1) / (2 * total) * differences / squares),
    }


def _spectrum(values: Floats, shape: list[int], threads: int) -> NDArray[np.complex128]:
    """`rfftn` on a larger grid, without the lines that hold nothing but zeros."""
    from scipy.fft import fft, rfft

    found = fft(rfft(values, shape[2], axis=2, workers=threads), shape[1], axis=1, workers=threads)
    return np.asarray(fft(found, shape[0], axis=0, workers=threads))


def _back(spectrum: NDArray[np.complex128], shape: list[int], box: tuple[int, ...], threads: int) -> Floats:
    """`irfftn`, of which the first ``box`` values along each axis are wanted; ``spectrum`` is spoilt."""
    from scipy.fft import ifft, irfft

    found = ifft(spectrum, axis=0, workers=threads, overwrite_x=True)[: box[0]]
    found = ifft(found, axis=1, workers=threads)[:, : box[1]]
    return np.asarray(irfft(found, shape[2], axis=2, workers=threads)[:, :, : box[2]])


def _weights_of_frequencies(shape: list[int], spacing_mm: tuple[float, float, float], threads: int) -> Floats:
    """The transform of 1 / distance on a periodic grid of even sides, 0 at distance 0, up to the middle of each axis.

    Distances are even along each axis, so one octant and its cosine transform tell all.
    """
    from scipy.fft import dctn

    x, y, z = np.meshgrid(
        *(mm * np.arange(length // 2 + 1) for length, mm in zip(shape, spacing_mm, strict=True)),
        indexing="ij",
        sparse=True,
    )
    distance = np.sqrt(x**2 + y**2 + z**2)
    distance[0, 0, 0] = np.inf
    return np.asarray(dctn(1 / distance, type=1, workers=threads, overwrite_x=True))
