"""Radiomics by hand, against other libraries, by laws, and on regions that have no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt
from scipy.signal import fftconvolve
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform
from skimage.measure import label, marching_cubes

from fiducial.features.radiomics import AGGREGATIONS, FAMILIES, Settings, kernels, radiomics, solids, threads
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.directions import directions
from fiducial.features.radiomics.interpolate import interpolated, interpolated_shape
from fiducial.features.radiomics.kernels import steps_to_border, zones
from fiducial.features.radiomics.local_intensity import sphere
from fiducial.features.radiomics.morphology import ellipsoid, smallest_box, smallest_ellipsoid, solid_of
from fiducial.features.radiomics.region import occupied
from fiducial.features.radiomics.settings import MeanFilter

TEXTURES = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
PLAIN = Settings(families=tuple(f for f in FAMILIES if f != "diagnostics"), aggregations=AGGREGATIONS)


def values(table, family, aggregation=""):
    rows = table[(table["family"] == family) & (table["aggregation"] == aggregation)]
    return dict(zip(rows["feature"], rows["value"], strict=True))


def of(picture, **given):
    """Features of a small picture of grey levels, rows across the page, all of it the region."""
    image = np.array(picture, float).T[:, :, None]
    return radiomics(image, np.ones_like(image), (1.0, 1.0, 1.0), Settings(**given))


# By hand: a picture of two rows, 1 2 2 over 1 1 3.

PICTURE = [[1, 2, 2], [1, 1, 3]]


def test_cooccurrence_by_hand():
    """Across: 1-2, 2-2, 1-1, 1-3, each both ways: eight counts in one direction."""
    image = np.array([[1, 2, 2]], float).T[:, :, None]
    table = radiomics(image, np.ones_like(image), (1, 1, 1), Settings(families=("glcm",), aggregations=("2d_merged",)))
    found = values(table, "glcm", "2d_merged")
    # The matrix is [[0, 1], [1, 2]] / 4.
    assert found["joint_maximum"] == 0.5
    assert found["contrast"] == 0.5
    assert found["joint_average"] == pytest.approx(0.25 * 1 + 0.75 * 2)
    assert found["joint_entropy"] == pytest.approx(1.5)


def test_runs_by_hand():
    """Along x alone: runs 1, 22, 11, 3. Both rows give four runs of lengths 1, 2, 2, 1."""
    image = np.array([[1, 2, 2]], float).T[:, :, None]
    table = radiomics(
        image, np.ones_like(image), (1, 1, 1), Settings(families=("glrlm",), aggregations=("2.5d_averaged",))
    )
    found = values(table, "glrlm", "2.5d_averaged")
    # Of four directions, one has the runs 1 and 22, three have three runs of length 1.
    assert found["run_percentage"] == pytest.approx((2 / 3 + 3 * 1) / 4)
    assert found["long_runs_emphasis"] == pytest.approx(((1 + 4) / 2 + 3 * 1) / 4)


def test_zones_by_hand():
    """1 over 1 1 is one zone of three, 2 2 one of two, 3 one of one."""
    found = values(of(PICTURE, families=("glszm",), aggregations=("2d_merged",)), "glszm", "2d")
    assert found["zone_percentage"] == pytest.approx(3 / 6)
    assert found["large_zone_emphasis"] == pytest.approx((9 + 4 + 1) / 3)


def test_dependences_by_hand():
    """Every voxel of 1 sees itself and the two others: dependence 3; the twos 2; the three 1."""
    found = values(of(PICTURE, families=("ngldm",), aggregations=("2d_merged",)), "ngldm", "2d")
    assert found["high_dependence_emphasis"] == pytest.approx((3 * 9 + 2 * 4 + 1) / 6)


def test_thirteen_directions_are_half_of_the_neighbours():
    deep, flat = directions(3), directions(2)
    assert (len(deep), len(flat)) == (13, 4)
    both = {tuple(d) for d in deep} | {tuple(-d) for d in deep}
    assert len(both) == 26
    assert (flat[:, 2] == 0).all()


def test_a_grid_keeps_its_centre():
    assert interpolated_shape((10, 7, 1), (1.0, 1.0, 5.0), (2.0, 2.0, 5.0)) == (5, 4, 1)
    ramp = np.arange(10.0)[:, None, None] * np.ones((1, 7, 1))
    found = interpolated(ramp, (1.0, 1.0, 5.0), (2.0, 2.0, 5.0), method="linear")
    assert np.allclose(found[:, 0, 0], [0.5, 2.5, 4.5, 6.5, 8.5])
    box = (slice(1, 3), slice(0, 4), slice(0, 1))
    part = interpolated(ramp, (1.0, 1.0, 5.0), (2.0, 2.0, 5.0), method="linear", box=box)
    assert np.allclose(part, found[box])


# Analytic.


def test_a_ball_is_nearly_a_sphere():
    grid = np.mgrid[-15:16, -15:16, -15:16]
    ball = (grid**2).sum(axis=0) <= 12.5**2
    table = radiomics(np.ones(ball.shape), ball, (1, 1, 1), Settings(families=("morphology",)))
    found = values(table, "morphology")
    assert found["volume_mesh"] == pytest.approx(4 / 3 * np.pi * 12.5**3, rel=0.01)
    assert found["sphericity"] > 0.9
    assert found["maximum_3d_diameter"] == pytest.approx(25, abs=1)
    assert found["elongation"] == pytest.approx(1, abs=1e-6)
    assert found["volume_density_enclosing_ellipsoid"] == pytest.approx(1, abs=0.1)
    assert math.isnan(found["moran_i"])


def test_the_series_of_a_sphere_is_exact_and_its_parts_stay_finite():
    assert ellipsoid((2.0, 2.0, 2.0)) == pytest.approx((4 / 3 * np.pi * 8, 16 * np.pi))
    volume, area = ellipsoid((3.0, 3.0, 1.0))
    assert volume == pytest.approx(4 * np.pi * 3)
    assert np.isfinite(area)


def test_a_turned_box_is_found():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    corners = np.array([[x, y, z] for x in (0, 2) for y in (0, 3) for z in (0, 5)], float) @ turn.T
    assert np.sort(smallest_box(corners, turn.T)) == pytest.approx([2, 3, 5])


def test_the_smallest_ellipsoid_of_a_cross_is_known():
    """Around the points ±a, ±b, ±c on the axes lies the ellipsoid with these semi-axes."""
    points = np.vstack([np.diag([1.0, 2.0, 4.0]), -np.diag([1.0, 2.0, 4.0])])
    assert sorted(smallest_ellipsoid(points)) == pytest.approx([1, 2, 4], rel=1e-3)


def test_a_mesh_encloses_what_its_voxels_do():
    mask = np.zeros((6, 7, 8), bool)
    mask[2:4, 2:5, 2:6] = True
    solid = solid_of(mask, (1.0, 1.0, 1.0))
    # Marching cubes cut edges and corners of the box of 24 voxels.
    assert 24 * 0.8 < solid.volume < 24


# Against another library's mesh, and against the pairs themselves.


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_a_solid_is_the_mesh_of_marching_cubes(share):
    """Every kind of cube occurs, also the ambiguous ones; the mesh itself is never built."""
    spacing = (1.0, 1.5, 3.0)
    mask = np.random.default_rng(3).random((17, 14, 12)) < share
    vertices, triangles, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing)
    a, b, c = (vertices.astype(float)[triangles[:, k]] for k in range(3))
    solid = solid_of(mask, spacing)
    assert solid.volume == pytest.approx(abs((a * np.cross(b, c)).sum()) / 6)
    assert solid.area == pytest.approx(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    assert ConvexHull(solid.vertices).volume == pytest.approx(ConvexHull(vertices).volume)
    assert len(solid.vertices) < len(vertices) or share == 0.02


def test_autocorrelation_by_transforms_is_the_sum_over_pairs():
    rng = np.random.default_rng(1)
    image = rng.normal(size=(6, 5, 4))
    mask = rng.random(image.shape) < 0.7
    spacing = (1.0, 1.5, 3.0)
    found = values(radiomics(image, mask, spacing, Settings(families=("morphology",))), "morphology")
    x = image[mask]
    weight = 1 / np.where((d := squareform(pdist(np.argwhere(mask) * spacing))) > 0, d, np.inf)
    y = x - x.mean()
    n = len(x)
    assert found["moran_i"] == pytest.approx(n / weight.sum() * (weight * np.outer(y, y)).sum() / (y @ y))
    squares = (weight * (x[:, None] - x[None, :]) ** 2).sum()
    assert found["geary_c"] == pytest.approx((n - 1) / (2 * weight.sum()) * squares / (y @ y))


def test_distances_to_the_border_are_another_librarys():
    mask = np.random.default_rng(0).random((14, 11, 9)) < 0.9
    whole = np.pad(mask, 1)
    assert (steps_to_border(mask, False) == distance_transform_cdt(whole, metric="taxicab")).all()
    by_slice = [distance_transform_cdt(whole[:, :, z], metric="taxicab") for z in range(1, 10)]
    assert (steps_to_border(mask, True)[:, :, 1:-1] == np.stack(by_slice, axis=2)).all()


def test_zones_are_another_librarys_components():
    levels = np.pad(np.random.default_rng(0).integers(0, 4, (12, 11, 10)), 1).astype(np.int32)
    found = zones(levels, levels, 1)
    other = label(levels, connectivity=3)
    assert sorted(found[:, 1]) == sorted(np.bincount(other.ravel())[1:])
    assert found[:, 1].sum() == (levels > 0).sum()


def test_peaks_are_means_over_spheres_by_convolution():
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(15, 12, 9)), np.zeros((15, 12, 9), bool)
    mask[2:13, :7, 3:8] = True
    found = values(radiomics(image, mask, (1.3, 1.5, 3.0), Settings(families=("local_intensity",))), "local_intensity")
    ball = sphere((1.3, 1.5, 3.0))
    middle = tuple(slice(n // 2, n // 2 + side) for n, side in zip(ball.shape, image.shape, strict=True))
    means = fftconvolve(image, ball)[middle] / fftconvolve(np.ones(image.shape), ball)[middle]
    assert found["global_peak"] == pytest.approx(means[mask].max())
    assert found["local_peak"] == pytest.approx(means[mask][image[mask].argmax()])


# Laws.


@pytest.mark.parametrize("cut", [False, True])
def test_any_number_of_threads_gives_the_same_numbers(cut, monkeypatch):
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    image, mask = region(4, (5, 6, 7) if cut else (13, 9, 8))
    one, three = (radiomics(image, mask, (1, 1, 2), PLAIN, threads=n) for n in (1, 3))
    assert one.equals(three)


def test_each_loop_is_compiled_once():
    """Whatever the order of the image in memory: another order must not cost the first call's seconds again."""
    image, mask = region(4)
    for filtered in (None, MeanFilter(support=3)):
        for order in ("C", "F"):
            given = PLAIN.model_copy(update={"filter": filtered, "bin_number": 5})
            radiomics(np.asarray(image, order=order), np.asarray(mask, order=order), (1, 1, 2), given)
            radiomics(image[::-1], mask[::-1], (1, 1, 2), given)
    loops = [value for module in (kernels, solids) for value in vars(module).values() if hasattr(value, "signatures")]
    assert len(loops) > 10
    assert {loop.__name__: len(loop.signatures) for loop in loops if len(loop.signatures) > 1} == {}


@pytest.mark.parametrize("order", ["C", "F", "xzy"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, bool])
def test_the_box_of_a_mask_in_any_order(order, dtype):
    mask = np.zeros((7, 6, 5), dtype)
    mask[1, 4, 2] = mask[5, 2, 3] = 1
    if order == "xzy":
        mask = np.ascontiguousarray(mask.transpose(0, 2, 1)).transpose(0, 2, 1)
    given = np.asarray(mask, order="K" if order == "xzy" else order)
    assert occupied(given) == (slice(1, 6), slice(2, 5), slice(2, 4))
    assert occupied(given[::-1]) == (slice(1, 6), slice(2, 5), slice(2, 4))
    assert occupied(np.zeros_like(given)) is None


def region(seed, shape=(9, 8, 7)):
    rng = np.random.default_rng(seed)
    image = rng.integers(1, 6, shape).astype(float)
    mask = rng.random(shape) < 0.8
    mask[tuple(n // 2 for n in shape)] = True
    return image, mask


@pytest.mark.parametrize("seed", range(3))
def test_a_turned_volume_has_the_same_features(seed):
    """A quarter turn about z and a mirror in x change no feature of the volume."""
    image, mask = region(seed)
    one = radiomics(image, mask, (1, 1, 2), PLAIN)
    turned = radiomics(np.rot90(image)[::-1].copy(), np.rot90(mask)[::-1].copy(), (1, 1, 2), PLAIN)
    assert np.allclose(one["value"], turned["value"], rtol=1e-6, atol=1e-9, equal_nan=True)


def test_levels_of_a_fixed_number_do_not_depend_on_the_unit():
    image, mask = region(0)
    given = Settings(families=TEXTURES, bin_number=4)
    one, other = radiomics(image, mask, (1, 1, 1), given), radiomics(100 * image - 7, mask, (1, 1, 1), given)
    assert np.allclose(one["value"], other["value"])


def test_what_lies_outside_the_region_changes_only_the_peak():
    image, mask = region(0)
    loud = np.where(mask, image, 1000.0)
    one, other = radiomics(image, mask, (1, 1, 1), PLAIN), radiomics(loud, mask, (1, 1, 1), PLAIN)
    same = one["family"] != "local_intensity"
    assert np.allclose(one["value"][same], other["value"][same], equal_nan=True)
    assert (one["value"][~same] < other["value"][~same]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.tuples(*[st.integers(1, 4)] * 3))
def test_any_small_region_gives_every_feature_or_a_reason(seed, shape):
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(1, 4, shape).astype(float), rng.random(shape) < 0.6
    if not mask.any():
        return
    table = radiomics(image, mask, (1.0, 1.0, 3.0), PLAIN)
    missing = ~np.isfinite(table["value"])
    assert (table["reason"][missing].str.startswith("undefined")).all()
    assert not table["reason"][~missing].str.startswith("undefined").any()


def test_every_feature_of_the_catalogue_is_computed():
    table = radiomics(*region(0), (1, 1, 1), PLAIN)
    computed = set(zip(table["family"], table["feature"], strict=True))
    assert computed == {(one.family, one.name) for found in catalogue().values() for one in found}
    codes = [one.code for found in catalogue().values() for one in found]
    assert len(set(codes)) == len(codes) == 174
    assert all(len(code) == 4 for code in codes)


# Regions without an answer.


def test_one_voxel():
    image = np.ones((3, 3, 3))
    mask = np.zeros((3, 3, 3))
    mask[1, 1, 1] = 1
    found = radiomics(image, mask, (1, 1, 1), PLAIN)
    assert values(found, "statistics")["variance"] == 0
    assert math.isnan(values(found, "morphology")["volume_density_approximate_ellipsoid"])
    assert math.isnan(values(found, "glcm", "3d_merged")["contrast"])
    assert values(found, "glszm", "3d")["zone_percentage"] == 1


def test_a_constant_region():
    found = radiomics(np.full((4, 4, 4), 3.0), np.ones((4, 4, 4)), (1, 1, 1), PLAIN)
    assert values(found, "glcm", "3d_merged")["correlation"] == 1
    assert values(found, "glcm", "3d_merged")["information_correlation_1"] == 0
    assert values(found, "statistics")["skewness"] == 0
    assert values(found, "ngtdm", "3d")["coarseness"] == 1e6


def test_a_region_at_the_border_and_a_flat_picture():
    image, _ = region(0, (6, 5, 1))
    found = radiomics(image, np.ones_like(image), (1, 1, 1), PLAIN)
    assert values(found, "gldzm", "2d")["small_distance_emphasis"] > 0
    assert np.isfinite(values(found, "glcm", "2d_averaged")["contrast"])


def test_voxels_ten_times_longer_than_wide():
    image, mask = region(0)
    found = radiomics(image, mask, (1, 1, 10), Settings(bin_number=4, spacing_mm=(2, 2, 2)))
    assert np.isfinite(found["value"]).mean() > 0.97


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"families": ("glcm", "gldm")}, "legal: diagnostics, morphology"),
        ({"aggregations": ("3d",)}, "legal: 2d_averaged"),
        ({"bin_number": 8, "bin_width": 25}, "legal: one of the two"),
        ({"bins": 8}, "Extra inputs are not permitted"),
    ],
)
def test_illegal_settings(given, message):
    with pytest.raises(ValueError, match=message):
        Settings(**given)
