"""Shape of a region by PyRadiomics' definitions: its mesh of marching cubes, in one slice of marching squares."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from fiducial.features.radiomics.pyradiomics.diameters import diameter_in_slice, diameters
from fiducial.features.radiomics.pyradiomics.prepare import Spacing
from fiducial.features.radiomics.solids import cube_counts, moments

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]
NAN = float("nan")
CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
"""Of a cube of eight neighbours, in the order of their bits."""
TURNING = 3
"""The corner (0, 1, 1) whose cubes are turned inside out, so that one half of the table serves both."""


def shape_features(mask: Mask, spacing_mm: Spacing) -> dict[str, float]:
    """Of a mask [x, y, z] cut to its box; lengths in mm. Axes are of voxel centres, variances divided by n."""
    mask = np.ascontiguousarray(mask)
    volume, area = mesh_of(mask, spacing_mm)
    sums = moments(mask)
    least, minor, major = _axes(sums, spacing_mm)
    sphere = (36 * np.pi * volume**2) ** (1 / 3)
    across_x, across_y, across_z, in_all = diameters(mask, spacing_mm)
    return {
        "Elongation": minor / major if major > 0 else NAN,
        "Flatness": least / major if major > 0 else NAN,
        "LeastAxisLength": least,
        "MajorAxisLength": major,
        "Maximum2DDiameterColumn": across_y,
        "Maximum2DDiameterRow": across_x,
        "Maximum2DDiameterSlice": across_z,
        "Maximum3DDiameter": in_all,
        "MeshVolume": volume,
        "MinorAxisLength": minor,
        "Sphericity": sphere / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "VoxelVolume": float(sums[0] * np.prod(spacing_mm)),
        "Compactness1": volume / (area**1.5 * np.sqrt(np.pi)),
        "Compactness2": 36 * np.pi * volume**2 / area**3,
        "SphericalDisproportion": area / sphere,
    }


def _axes(sums: Whole, spacing_mm: tuple[float, ...]) -> list[float]:
    """Four standard deviations along the principal axes, the shortest first, from `moments` of the voxels."""
    n, first, second = float(sums[0]), sums[1:4].astype(np.float64), sums[[4, 5, 6, 5, 7, 8, 6, 8, 9]].reshape(3, 3)
    spread = (second - np.outer(first, first) / n) / n * np.outer(spacing_mm, spacing_mm)
    return [float(length) for length in 4 * np.sqrt(np.clip(np.linalg.eigvalsh(spread), 0, None))]


def mesh_of(mask: Mask, spacing_mm: Spacing) -> tuple[float, float]:
    """Volume and area of the mesh of a mask with one layer of nothing around.

    Each cube of eight neighbours contributes the triangles of its pattern. The surface is closed but where cubes that
    share an ambiguous face divide it otherwise; there the volume depends on the origin, which is the corner of the
    padded box, as in PyRadiomics.
    """
    counts, places = cube_counts(mask)
    patterns, normals, volumes, pulls = _cubes()
    x, y, z = spacing_mm
    area = counts[patterns] @ np.linalg.norm(normals * (y * z, x * z, x * y), axis=1) / 2
    return float(abs(counts @ volumes + (places * pulls).sum()) / 6 * x * y * z), float(area)


@cache
def _cubes() -> tuple[Whole, Floats, Floats, Floats]:
    """Of triangles in voxels: pattern [n], normal [n, 3]; of patterns [256]: their volume times 6, and their pull [3].

    a · (b x c) of a triangle that is moved by o grows by o · (a x b + b x c + c x a), which is its normal: the pull.
    """
    patterns, triangles = triangles_by_pattern()
    a, b, c = np.moveaxis(triangles, 1, 0)
    normals, volumes, pulls = np.cross(b - a, c - a), np.zeros(256), np.zeros((256, 3))
    np.add.at(volumes, patterns, (a * np.cross(b, c)).sum(axis=1))
    np.add.at(pulls, patterns, normals)
    return patterns, normals, volumes, pulls


def triangles_by_pattern() -> tuple[Whole, Floats]:
    """Patterns [n] of a cube and triangles [n, 3, 3] in each (Lorensen and Cline 1987, as scikit-image has them).

    The table has the patterns without the turning corner, each vertex by the corners on both sides of it. A pattern
    that holds that corner has the triangles of its complement, the other way round.
    """
    text = (files("fiducial.features.radiomics") / "pyradiomics_cubes.csv").read_text(encoding="utf-8")
    patterns, found = [], []
    for row in csv.DictReader(text.splitlines()):
        for triangle in row["triangles"].split():
            ends = np.array([[int(corner) for corner in vertex] for vertex in triangle.split("-")])
            vertices = CORNERS[ends].mean(axis=1)
            patterns += [int(row["cube"]), 255 - int(row["cube"])]
            found += [vertices, vertices[::-1]]
    return np.array(patterns), np.array(found)


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
    _, minor, major = _axes(moments(np.ascontiguousarray(mask[:, :, None])), (x, y, 0.0))
    sphericity = 2 * np.sqrt(np.pi * surface) / perimeter
    return {
        "Elongation": minor / major if major > 0 else NAN,
        "MajorAxisLength": major,
        "MaximumDiameter": diameter_in_slice(mask, spacing_mm),
        "MeshSurface": surface,
        "MinorAxisLength": minor,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "PixelSurface": float(mask.sum() * x * y),
        "Sphericity": sphericity,
        "SphericalDisproportion": 1 / sphericity,
    }
