"""Feature maps: by hand, against the features of each voxel's cube, by laws, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.features.radiomics import FAMILIES, Settings, radiomics_map, threads
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.intensities import histogram_features, statistics_features
from fiducial.features.radiomics.maps import MAPPED
from fiducial.features.radiomics.region import Discretised, Region, discretise, prepare, tight_box, widened
from fiducial.features.radiomics.texture import Texture

EVERYTHING = Settings(families=MAPPED, aggregations=("3d_averaged",))
TEXTURES = ("glcm", "glrlm", "glszm", "ngtdm", "ngldm")


def volume(seed, shape=(6, 5, 4), n_levels=6):
    rng = np.random.default_rng(seed)
    image = rng.integers(1, n_levels + 1, shape).astype(float)
    return image, rng.random(shape) < 0.7


def of_cube(bright, levels, n_levels, settings):
    """Features of one neighbourhood by the engine of regions; levels are 0 outside."""
    there = levels > 0
    region = Region(bright, there, there, there, (1.0, 1.0, 1.0), None, None)
    texture = Texture(region, Discretised(np.pad(levels, 1).astype(np.int32), n_levels), settings)
    aggregation = settings.aggregations[0]
    found = {
        "statistics": statistics_features(bright[there]),
        "intensity_histogram": histogram_features(levels[there].astype(float), n_levels),
        **{f: texture.family(f, aggregation if f in ("glcm", "glrlm") else "3d") for f in TEXTURES},
    }
    return np.array(
        [found[family].get(one.name, np.nan) for family in settings.families for one in catalogue()[family]]
    )


# By hand.


def test_a_line_of_three():
    """1 2 4 in a line: the middle sees all three, the ends two each."""
    image = np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    maps = radiomics_map(image, np.ones_like(image), (1, 1, 1), Settings(families=("statistics", "glcm")), radius=1)
    assert maps.map("statistics", "mean").ravel() == pytest.approx([1.5, 7 / 3, 3])
    assert maps.map("statistics", "range").ravel() == pytest.approx([1, 3, 2])
    # Pairs 1-2 and 2-4 in one direction; the other twelve have none.
    assert maps.map("glcm", "contrast").ravel() == pytest.approx([1, (1 + 4) / 2, 4])
    assert maps.map("glcm", "joint_maximum").ravel() == pytest.approx([1 / 2, 1 / 4, 1 / 2])


# Against the features of each cube.


@pytest.mark.parametrize("aggregation", ["3d_averaged", "3d_merged"])
@pytest.mark.parametrize(("radius", "coarseness", "masked"), [(1, 0, True), (2, 1, True), (1, 0, False)])
def test_a_voxel_has_the_features_of_the_cube_around_it(aggregation, radius, coarseness, masked):
    image, mask = volume(radius)
    mask[0] = mask[:, :, -1] = False
    settings = EVERYTHING.model_copy(update={"aggregations": (aggregation,), "coarseness": coarseness})
    maps = radiomics_map(image, mask, (1, 1, 2), settings, radius=radius, masked=masked)
    assert maps.features == tuple((f, one.name) for f in settings.families for one in catalogue()[f])
    # Without the mask, the levels are those of its box and the radius around.
    seen = widened(tight_box(mask), [radius] * 3, image.shape)
    inside = np.zeros_like(mask)
    inside[seen] = True
    levels = np.where(mask if masked else inside, image, 0)
    for number, place in enumerate(np.argwhere(maps.mask)):
        cube = tuple(slice(max(p - radius, 0), p + radius + 1) for p in place + [p.start for p in tight_box(mask)])
        expected = of_cube(image[cube], levels[cube], int(levels.max()), settings)
        assert np.allclose(maps.values[:, number], expected, rtol=2e-6, atol=1e-6, equal_nan=True)


def test_levels_are_those_of_the_whole_region():
    rng = np.random.default_rng(5)
    image, mask = rng.normal(100, 30, (7, 6, 5)), np.ones((7, 6, 5))
    settings = Settings(families=("glcm",), aggregations=("3d_merged",), bin_number=8)
    maps = radiomics_map(image, mask, (1, 1, 1), settings)
    levels = discretise(prepare(image, mask, (1, 1, 1), settings), settings).levels[1:-1, 1:-1, 1:-1]
    expected = of_cube(image[2:5, 1:4, 1:4], levels[2:5, 1:4, 1:4], 8, settings)
    assert [maps.map("glcm", one.name)[3, 2, 2] for one in catalogue()["glcm"]] == pytest.approx(expected, rel=2e-6)


# Laws.


def test_any_number_of_threads_gives_the_same_maps(monkeypatch):
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    one, three = (radiomics_map(*volume(0), (1, 1, 1), EVERYTHING, threads=n) for n in (1, 3))
    assert np.array_equal(one.values, three.values, equal_nan=True)


def test_a_map_is_that_of_its_family_alone():
    image, mask = volume(3)
    alone = radiomics_map(image, mask, (1, 1, 1), Settings(families=("ngtdm",)))
    everything = radiomics_map(image, mask, (1, 1, 1), EVERYTHING)
    for family, name, values in alone.by_feature():
        assert np.array_equal(values, everything.values[everything.features.index((family, name))], equal_nan=True)


def test_maps_lie_where_the_region_does():
    """The world coordinates of a voxel, with and without interpolation; outside the region there is nothing."""
    image, mask = np.zeros((20, 18, 9)), np.zeros((20, 18, 9))
    mask[8:12, 6:9, 3:7] = 1
    affine = np.array([[-1.0, 0, 0, 40], [0, 1.0, 0, -7], [0, 0, 2.0, 100], [0, 0, 0, 1]])
    image += np.arange(20)[:, None, None] + 1
    for new in (None, (0.5, 0.5, 1.0)):
        given = Settings(families=("statistics",), spacing_mm=new)
        maps = radiomics_map(image, mask, (1.0, 1.0, 2.0), given)
        mean = maps.map("statistics", "mean")
        assert np.isnan(mean[~maps.mask]).all()
        assert np.isfinite(mean[maps.mask]).all()
        placed = maps.affine(affine, (1.0, 1.0, 2.0))
        centre = np.argwhere(maps.mask).mean(axis=0)
        assert (placed @ [*centre, 1])[:3] == pytest.approx((affine @ [9.5, 7, 4.5, 1])[:3])


def test_a_voxel_alone_has_no_texture_of_pairs():
    mask = np.zeros((3, 3, 3))
    mask[1, 1, 1] = 1
    maps = radiomics_map(np.ones((3, 3, 3)), mask, (1, 1, 1), EVERYTHING)
    assert np.isnan(maps.map("glcm", "contrast")).all()
    assert np.isnan(maps.map("ngtdm", "coarseness")).all()
    assert maps.map("glszm", "zone_percentage").item() == 1
    assert maps.map("statistics", "variance").item() == 0


# What is refused.


@pytest.mark.parametrize(
    ("given", "radius", "message"),
    [
        ({"families": FAMILIES[1:3]}, 1, "maps of morphology, local_intensity.*legal: families statistics"),
        ({"families": ("glcm",), "aggregations": ("2d_merged",)}, 1, "aggregations 2d_merged.*legal: one of 3d_av"),
        ({"families": ("glcm",), "distance": 2}, 1, "distance 2"),
        ({"families": ("glcm",)}, 0, "radius of 0 voxels.*legal: 1 to 7"),
    ],
)
def test_refusals(given, radius, message):
    with pytest.raises(InputRefused, match=r"(?s)" + message):
        radiomics_map(np.ones((3, 3, 3)), np.ones((3, 3, 3)), (1, 1, 1), Settings(**given), radius=radius)


def test_a_map_that_was_not_made_is_refused():
    maps = radiomics_map(np.ones((3, 3, 3)), np.ones((3, 3, 3)), (1, 1, 1), Settings(families=("ngtdm",)))
    with pytest.raises(InputRefused, match=r"(?s)no map of glcm contrast.*legal: ngtdm coarseness"):
        maps.map("glcm", "contrast")
