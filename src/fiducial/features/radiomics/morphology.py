"""Shape of a region (IBSI 1, 3.1): from its mesh, its voxel centres, their hull and enclosing bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.region import Region

Floats = NDArray[np.float64]
NAN = float("nan")
N_TERMS = 20


@dataclass(frozen=True)
class Mesh:
    """A closed surface: vertices [n, 3] in mm, triangles [m, 3], enclosed volume in mm³ and area in mm²."""

    vertices: Floats
    triangles: NDArray[np.int64]
    volume: float
    area: float


def morphology_features(region: Region) -> dict[str, float]:
    """The 29 features; lengths in mm, areas in mm², volumes in mm³.

    What is not defined is NaN: a flat region, or one voxel, spans no ellipsoid; intensities that are all equal have no
    autocorrelation.
    """
    mesh = mesh_of(region.morphological, region.spacing_mm)
    volume, area = mesh.volume, mesh.area
    places = np.argwhere(region.morphological) * np.array(region.spacing_mm)
    axes = _principal_axes(places)
    ratio = 36 * np.pi * volume**2
    mean = float(region.values.mean())
    return {
        "volume_mesh": volume,
        "volume_voxel_counting": float(len(places) * np.prod(region.spacing_mm)),
        "surface_area_mesh": area,
        "surface_to_volume_ratio": area / volume,
        "compactness_1": volume / (np.sqrt(np.pi) * area**1.5),
        "compactness_2": ratio / area**3,
        "spherical_disproportion": area / ratio ** (1 / 3),
        "sphericity": ratio ** (1 / 3) / area,
        "asphericity": (area**3 / ratio) ** (1 / 3) - 1,
        "centre_of_mass_shift": _shift(region, places),
        **_from_hull(mesh),
        **_from_axes(axes, mesh),
        **_from_box(mesh),
        "integrated_intensity": mean * volume,
        **_autocorrelation(region),
    }


def mesh_of(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Mesh:
    """Marching cubes at half way between inside and outside (IBSI 1, 3.1)."""
    from skimage.measure import marching_cubes

    surface: Any = marching_cubes  # the library's functions carry no types
    vertices, triangles, _, _ = surface(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing_mm)
    vertices = vertices.astype(np.float64)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    volume = float(abs((a * np.cross(b, c)).sum()) / 6)
    return Mesh(vertices, triangles.astype(np.int64), volume, float(np.linalg.norm(normal, axis=1).sum() / 2))


def _shift(region: Region, places: Floats) -> float:
    """Distance between the centre of the voxels and the centre weighted by intensity."""
    weights = region.values
    centre = places.mean(axis=0)
    inside = np.argwhere(region.mask) * np.array(region.spacing_mm)
    total = weights.sum()
    return float(np.linalg.norm((inside * weights[:, None]).sum(axis=0) / total - centre)) if total != 0 else NAN


def _principal_axes(places: Floats) -> Floats:
    """Variances along the principal axes, the largest first."""
    apart = places - places.mean(axis=0)
    return np.clip(np.linalg.eigvalsh(apart.T @ apart / max(len(places) - 1, 1))[::-1], 0, None)


def _from_axes(variances: Floats, mesh: Mesh) -> dict[str, float]:
    """Axis lengths, elongation and flatness, and the ellipsoid that the axes span."""
    major, minor, least = 4 * np.sqrt(variances)
    volume, area = ellipsoid((major / 2, minor / 2, least / 2))
    return {
        "major_axis_length": float(major),
        "minor_axis_length": float(minor),
        "least_axis_length": float(least),
        "elongation": float(minor / major) if major > 0 else NAN,
        "flatness": float(least / major) if major > 0 else NAN,
        "volume_density_approximate_ellipsoid": mesh.volume / volume if volume > 1e-9 else NAN,
        "area_density_approximate_ellipsoid": mesh.area / area if volume > 1e-9 else NAN,
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


def _from_box(mesh: Mesh) -> dict[str, float]:
    sides = np.ptp(mesh.vertices, axis=0)
    return {
        "volume_density_axis_aligned_box": mesh.volume / float(np.prod(sides)),
        "area_density_axis_aligned_box": mesh.area / _box_area(sides),
    }


def _box_area(sides: Floats) -> float:
    a, b, c = sides
    return float(2 * (a * b + b * c + a * c))


def _from_hull(mesh: Mesh) -> dict[str, float]:
    """Diameter, and densities in the hull, in the smallest box and in the smallest ellipsoid."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    hull = ConvexHull(mesh.vertices)
    corners = mesh.vertices[hull.vertices]
    box = smallest_box(corners, hull.equations[:, :3])
    enclosing = ellipsoid(smallest_ellipsoid(corners))
    return {
        "maximum_3d_diameter": float(pdist(corners).max()),
        "volume_density_convex_hull": mesh.volume / float(hull.volume),
        "area_density_convex_hull": mesh.area / float(hull.area),
        "volume_density_oriented_box": mesh.volume / float(np.prod(box)),
        "area_density_oriented_box": mesh.area / _box_area(box),
        "volume_density_enclosing_ellipsoid": mesh.volume / enclosing[0],
        "area_density_enclosing_ellipsoid": mesh.area / enclosing[1],
    }


def smallest_box(corners: Floats, normals: Floats) -> Floats:
    """Sides of the smallest box with one face on a face of the hull (O'Rourke 1985 gives the rare smaller ones)."""
    from scipy.spatial import ConvexHull

    normals = np.unique(
        np.round(normals * np.sign(normals[np.arange(len(normals)), _leading(normals)])[:, None], 6), axis=0
    )
    best, sides = np.inf, np.full(3, NAN)
    for rounded in normals:
        normal = rounded / np.linalg.norm(rounded)
        first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
        first /= np.linalg.norm(first)
        flat = corners @ np.stack([first, np.cross(normal, first)], axis=1)
        outline = flat[ConvexHull(flat).vertices]
        edges = np.diff(np.vstack([outline, outline[:1]]), axis=0)
        edges /= np.linalg.norm(edges, axis=1, keepdims=True)
        along = outline @ edges.T
        across = outline @ np.stack([-edges[:, 1], edges[:, 0]])
        widths, depths = np.ptp(along, axis=0), np.ptp(across, axis=0)
        k = int((widths * depths).argmin())
        height = float(np.ptp(corners @ normal))
        if height * widths[k] * depths[k] < best:
            best, sides = height * widths[k] * depths[k], np.array([height, widths[k], depths[k]])
    return sides


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
    weights = np.full(n, 1 / n)
    for _ in range(most_steps):
        inverse = np.linalg.inv((lifted * weights[:, None]).T @ lifted)
        reach = np.einsum("ij,jk,ik->i", lifted, inverse, lifted)
        far = int(reach.argmax())
        held = np.where(weights > 0, reach, np.inf)
        near = int(held.argmin())
        above, below = reach[far] / (d + 1) - 1, 1 - reach[near] / (d + 1)
        if max(above, below) <= tolerance:
            break
        k = far if above >= below else near
        step = (reach[k] - d - 1) / ((d + 1) * (reach[k] - 1))
        if k == near and above < below:
            step = max(step, -weights[k] / (1 - weights[k]))
        weights *= 1 - step
        weights[k] += step
        weights[weights < 1e-15] = 0.0
    centre = weights @ points
    apart = points - centre
    spread = (apart * weights[:, None]).T @ apart
    shape = np.linalg.inv(spread) / d
    # The weights approach the optimum from inside: grow until every point is in.
    shape /= np.einsum("ij,jk,ik->i", apart, shape, apart).max()
    a, b, c = 1 / np.sqrt(np.linalg.eigvalsh(shape))
    return float(a), float(b), float(c)


def _autocorrelation(region: Region) -> dict[str, float]:
    """Moran's I and Geary's C with weights 1 / distance, over all pairs of voxels, by Fourier transforms.

    Σ w_ij y_i y_j is a correlation at every displacement weighted by its inverse length, so that n² pairs cost
    n log n.
    """
    from scipy.fft import irfftn, next_fast_len, rfftn

    box = tuple(slice(int(p.min()), int(p.max()) + 1) for p in np.nonzero(region.mask))
    mask = region.mask[box].astype(np.float64)
    n = mask.sum()
    if n < 2:
        return {"moran_i": NAN, "geary_c": NAN}
    apart = np.where(mask > 0, region.image[box] - region.values.mean(), 0.0)
    squares = float((apart**2).sum())
    if squares == 0:
        return {"moran_i": NAN, "geary_c": NAN}
    shape = [next_fast_len(2 * side - 1, real=True) for side in mask.shape]
    steps = [np.minimum(np.arange(length), length - np.arange(length)) for length in shape]
    x, y, z = np.meshgrid(
        *(step * mm for step, mm in zip(steps, region.spacing_mm, strict=True)), indexing="ij", sparse=True
    )
    distance = np.sqrt(x**2 + y**2 + z**2)
    distance[0, 0, 0] = np.inf
    kernel = rfftn(1 / distance)
    cut = tuple(slice(0, side) for side in mask.shape)

    def around(values: Floats) -> Floats:
        return np.asarray(irfftn(rfftn(values, shape) * kernel, shape)[cut])

    near = around(mask)
    total = float((mask * near).sum())
    products = float((apart * around(apart)).sum())
    differences = 2 * float((apart**2 * near).sum()) - 2 * products
    return {
        "moran_i": float(n / total * products / squares),
        "geary_c": float((n - 1) / (2 * total) * differences / squares),
    }
