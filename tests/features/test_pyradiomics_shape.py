"""Mesh and diameters of PyRadiomics' profile: by hand, beside scikit-image's triangles, beside every pair of points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from skimage.measure import marching_cubes

from fiducial.features.radiomics.pyradiomics.diameters import diameter_in_slice, diameters
from fiducial.features.radiomics.pyradiomics.shape import TURNING, mesh_of, triangles_by_pattern

MM = (0.7, 1.3, 2.9)


def vertices_of(mask, spacing_mm):
    """The middles between a voxel and its neighbour outside, in mm."""
    whole, points = np.pad(mask, 1), []
    for axis in range(mask.ndim):
        places = np.argwhere(np.diff(whole, axis=axis)).astype(float)
        places[:, axis] += 0.5
        points.append(places)
    return np.concatenate(points), np.array(spacing_mm)


def widest_of(points):
    return float(pdist(points).max()) if len(points) > 1 else 0.0


# By hand.


def test_diameters_of_one_voxel_are_its_sides():
    # In a plane through the centre; between planes there is one vertex.
    assert diameters(np.ones((1, 1, 1), dtype=bool), (1.0, 2.0, 4.0)) == (4.0, 4.0, 2.0, 4.0)


def test_diameters_of_a_line():
    line = np.ones((5, 1, 1), dtype=bool)
    assert diameters(line, (1.0, 1.0, 1.0)) == (1.0, 5.0, 5.0, 5.0)
    assert diameter_in_slice(line[:, :, 0], (1.0, 1.0)) == 5.0


# Beside other ways.


@pytest.mark.parametrize("share", [0.03, 0.3, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_diameters_are_those_of_every_pair_of_vertices(seed, share):
    mask = np.random.default_rng(seed).random((7, 5, 6)) < share
    mask[3, 2, 2] = True
    points, mm = vertices_of(mask, MM)
    wanted = [
        max(widest_of(points[points[:, axis] == place] * mm) for place in np.unique(points[:, axis]))
        for axis in range(3)
    ]
    assert diameters(mask, MM) == pytest.approx([*wanted, widest_of(points * mm)], rel=1e-12)
    flat, mm = vertices_of(mask[:, :, 2], MM[:2])
    assert diameter_in_slice(mask[:, :, 2], MM[:2]) == pytest.approx(widest_of(flat * mm), rel=1e-12)


def test_every_cube_has_the_triangles_of_lorensen_and_cline():
    patterns, triangles = triangles_by_pattern()
    for pattern in range(1, 255):
        turned = bool(pattern >> TURNING & 1)
        corners = np.array([(pattern >> bit & 1) ^ turned for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(corners, 0.5, method="lorensen")
        wanted = vertices[faces][:, ::-1] if turned else vertices[faces]
        assert np.array_equal(triangles[patterns == pattern], wanted), pattern


# Laws.


def test_the_volume_of_a_block_is_that_of_its_voxels_less_its_edges():
    volume, area = mesh_of(np.ones((10, 12, 14), dtype=bool), (1.0, 1.0, 1.0))
    assert 0.93 * 10 * 12 * 14 < volume < 10 * 12 * 14
    assert 0.93 * 2 * (120 + 140 + 168) < area < 2 * (120 + 140 + 168)
    larger, wider = mesh_of(np.ones((10, 12, 14), dtype=bool), (2.0, 2.0, 2.0))
    assert larger == pytest.approx(8 * volume)
    assert wider == pytest.approx(4 * area)
