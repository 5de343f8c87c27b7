"""Shape of a region by PyRadiomics' definitions: its mesh of marching cubes, in one slice of marching squares."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.pyradiomics.prepare import Spacing

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
NAN = float("nan")
CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
"""Of a cube of eight neighbours, in the order of their bits."""
TURNING = 3
"""The corner (0, 1, 1) whose cubes are turned inside out, so that one half of the table serves both."""


def shape_features(mask: Mask, spacing_mm: Spacing) -> dict[str, float]:
    """Of a mask [x, y, z] cut to its box; lengths in mm. Axes are of voxel centres, variances divided by n."""
    volume, area = mesh_of(mask, spacing_mm)
    least, minor, major = _axes(np.argwhere(mask) * np.array(spacing_mm))
    sphere = (36 * np.pi * volume**2) ** (1 / 3)
    diameters = _diameters(_surface_points(mask), spacing_mm)
    return {
        "Elongation": minor / major if major > 0 else NAN,
        "Flatness": least / major if major > 0 else NAN,
        "LeastAxisLength": least,
        "MajorAxisLength": major,
        "Maximum2DDiameterColumn": diameters["y"],
        "Maximum2DDiameterRow": diameters["x"],
        "Maximum2DDiameterSlice": diameters["z"],
        "Maximum3DDiameter": diameters[""],
        "MeshVolume": volume,
        "MinorAxisLength": minor,
        "Sphericity": sphere / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "VoxelVolume": float(mask.sum() * np.prod(spacing_mm)),
        "Compactness1": volume / (area**1.5 * np.sqrt(np.pi)),
        "Compactness2": 36 * np.pi * volume**2 / area**3,
        "SphericalDisproportion": area / sphere,
    }


def _axes(places: Floats) -> list[float]:
    """Four standard deviations along the principal axes, the shortest first."""
    apart = (places - places.mean(axis=0)) / np.sqrt(len(places))
    return [float(length) for length in 4 * np.sqrt(np.clip(np.linalg.eigvalsh(apart.T @ apart), 0, None))]


def mesh_of(mask: Mask, spacing_mm: Spacing) -> tuple[float, float]:
    """Volume and area of the mesh of a mask with one layer of nothing around.

    Each cube of eight neighbours contributes the triangles of its pattern. The surface is closed but where cubes that
    share an ambiguous face divide it otherwise; there the volume depends on the origin, which is the corner of the
    padded box, as in PyRadiomics.
    """
    whole = np.pad(mask, 1).astype(np.int64)
    pattern = np.zeros(tuple(n - 1 for n in whole.shape), dtype=np.int64)
    for bit, corner in enumerate(CORNERS):
        part = tuple(slice(int(c), n - 1 + int(c)) for c, n in zip(corner, whole.shape, strict=True))
        pattern |= whole[part] << bit
    mm = np.array(spacing_mm)
    patterns, triangles = _triangles()
    a, b, c = (triangles[:, k] * mm for k in range(3))
    normal = np.cross(b - a, c - a)

    def summed(values: Floats) -> Floats:
        return np.asarray(np.bincount(patterns, weights=values, minlength=256), dtype=np.float64)

    area = summed(np.linalg.norm(normal, axis=1)) / 2
    # a · (b × c) of corners that are moved by o grows by o · (a × b + b × c + c × a), which is the normal.
    own = summed((a * np.cross(b, c)).sum(axis=1))
    pull = np.stack([summed(normal[:, axis]) for axis in range(3)], axis=1)
    places = np.argwhere((pattern > 0) & (pattern < 255))
    there = pattern[tuple(places.T)]
    volume = own[there].sum() + ((places * mm) * pull[there]).sum()
    return float(abs(volume) / 6), float(area[there].sum())


@cache
def _triangles() -> tuple[NDArray[np.int64], Floats]:
    """Patterns [n] of a cube and triangles [n, 3, 3] in each (Lorensen and Cline 1987, as scikit-image has them).

    A pattern that holds the turning corner has the triangles of its complement, the other way round.
    """
    from skimage.measure import marching_cubes

    surface: Any = marching_cubes  # the library's functions carry no types
    patterns: list[int] = []
    found = []
    for number in range(256):
        turned = bool(number >> TURNING & 1)
        corners = np.array([number >> bit & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        corners = 1 - corners if turned else corners
        if corners.min() == corners.max():
            continue
        vertices, faces, _, _ = surface(corners, 0.5, method="lorensen")
        triangles = vertices.astype(np.float64)[faces]
        found.append(triangles[:, ::-1] if turned else triangles)
        patterns += [number] * len(triangles)
    return np.array(patterns), np.concatenate(found)


def _surface_points(mask: Mask) -> Floats:
    """Vertices of the mesh, in voxels: the middles between a voxel and its neighbour outside."""
    whole = np.pad(mask, 1)
    points = []
    for axis in range(mask.ndim):
        first = np.moveaxis(whole, axis, 0)
        places = np.argwhere(np.moveaxis(first[1:] != first[:-1], 0, axis)).astype(np.float64)
        places[:, axis] += 0.5
        points.append(places)
    return np.concatenate(points)


def _diameters(points: Floats, spacing_mm: Spacing) -> dict[str, float]:
    """The largest distance of two points, in all (``""``) and in one plane across each axis; in mm."""
    found = {"": _widest(points * np.array(spacing_mm))}
    for axis, name in enumerate("xyz"):
        planes = [points[points[:, axis] == place] for place in np.unique(points[:, axis])]
        found[name] = max(_widest(np.delete(plane, axis, axis=1) * np.delete(spacing_mm, axis)) for plane in planes)
    return found


def _widest(points: Floats) -> float:
    """The largest distance of two points [n, 2 or 3]; of their hull where they span one."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    if len(points) > points.shape[1] + 1:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:
            # Points on one line, or in one plane, have no hull: all of them are compared.
            points = np.unique(points, axis=0)
    return float(pdist(points).max()) if len(points) > 1 else 0.0


def shape_2d_features(mask: Mask, spacing_mm: tuple[float, float]) -> dict[str, float]:
    """Of a mask [x, y] of one slice; lengths in mm.

    The contour runs through the middles between pixels and their neighbours outside; pixels that share a corner alone
    are apart.
    """
    whole = np.pad(mask, 1)
    x, y = spacing_mm
    corners = [whole[:-1, :-1], whole[1:, :-1], whole[1:, 1:], whole[:-1, 1:]]
    n = np.sum(corners, axis=0)
    opposite = (n == 2) & (corners[0] == corners[2])
    # A square of four neighbours: one inside is cut off at its corner (1/8), two are a half, or two corners apart.
    share = np.select([opposite, n == 1, n == 2, n == 3, n == 4], [0.25, 0.125, 0.5, 0.875, 1.0], default=0.0)
    surface = float(share.sum() * x * y)
    slant = np.sqrt(x**2 + y**2) / 2
    along_x = (n == 2) & (corners[0] == corners[1])
    along_y = (n == 2) & (corners[0] == corners[3])
    perimeter = float(
        slant * ((n == 1).sum() + (n == 3).sum() + 2 * opposite.sum()) + x * along_x.sum() + y * along_y.sum()
    )
    minor, major = _axes(np.argwhere(mask) * np.array(spacing_mm))
    sphericity = 2 * np.sqrt(np.pi * surface) / perimeter
    return {
        "Elongation": minor / major if major > 0 else NAN,
        "MajorAxisLength": major,
        "MaximumDiameter": _widest(_surface_points(mask) * np.array(spacing_mm)),
        "MeshSurface": surface,
        "MinorAxisLength": minor,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "PixelSurface": float(mask.sum() * x * y),
        "Sphericity": sphericity,
        "SphericalDisproportion": 1 / sphericity,
    }
