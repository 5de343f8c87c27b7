"""Perturbations before PyRadiomics' definitions: by hand, by laws (no change, no difference), and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import GeometryError, InputRefused
from fiducial.features.radiomics import PyRadiomicsSettings
from fiducial.features.radiomics.perturb_pyradiomics import perturb_for_profile, perturbed_rows
from fiducial.features.radiomics.perturbations import Perturbation
from fiducial.features.radiomics.pyradiomics.engine import pyradiomics_rows

GRID = (2.0, 2.0, 2.5)
NOTHING = Perturbation(name="nothing", volume=1e-9)
"""Rounds to the number of voxels that the mask has."""


def picture(shape=(30, 26, 16), seed=0):
    from scipy.ndimage import gaussian_filter

    return np.rint(900 * gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)).astype(np.int16)


def region(shape=(30, 26, 16)):
    mask = np.zeros(shape, np.uint8)
    mask[10:20, 8:17, 5:11] = 1
    mask[12:15, 17:19, 6:9] = 1
    return mask


def numbers(rows):
    return np.array([row[5] for row in rows])


# By hand.


def test_a_shift_by_whole_voxels_moves_the_region_along():
    image, mask = picture(), region()
    one = Perturbation(name="a", translate_voxels=(2, -1, 3))
    changed = perturb_for_profile(image, mask, GRID, one, settings=PyRadiomicsSettings(imageType={"Square": {}}))
    assert np.array_equal(np.argwhere(changed.mask), np.argwhere(mask) + np.array([2, -1, 3]))
    assert np.array_equal(changed.image[changed.mask], image[mask == 1])
    assert changed.image.dtype == np.int16


def test_a_quarter_turn_is_about_the_regions_centre():
    mask = np.zeros((9, 9, 3), np.uint8)
    mask[2:7, 4, 1] = 1
    image = np.arange(243).reshape(9, 9, 3).astype(np.int16)
    one = Perturbation(name="a", rotate_degrees=90)
    given = PyRadiomicsSettings(imageType={"Square": {}}, interpolator="sitkLinear")
    changed = perturb_for_profile(image, mask, (1, 1, 1), one, settings=given)
    assert np.argwhere(changed.mask).tolist() == [[4, y, 1] for y in range(2, 7)]
    assert changed.image[4, 2:7, 1].tolist() == image[2:7, 4, 1].tolist()


def test_noise_on_whole_numbers_is_rounded_and_stays_in_their_range():
    image = np.full((40, 40, 6), 250, np.uint8)
    image[:, :, :3] += np.random.default_rng(0).integers(0, 6, (40, 40, 3)).astype(np.uint8)
    mask = np.zeros(image.shape, np.uint8)
    mask[10:30, 10:30, 1:5] = 1
    changed = perturb_for_profile(image, mask, (1, 1, 1), Perturbation(name="a", noise=5), seed=1)
    assert changed.image.dtype == np.uint8
    assert changed.image.max() == 255
    assert changed.image.min() > 150  # nothing wraps around


# Laws.

SETTINGS = {
    "plain": {},
    "resampled and filtered": {
        "resampledPixelSpacing": [3, 3, 3],
        "imageType": {"Original": {}, "LoG": {"sigma": [3.0]}, "Wavelet": {}},
        "padDistance": 3,
    },
    "one axis as it is": {"resampledPixelSpacing": [1.5, 1.5, 0], "interpolator": "sitkLinear"},
    "already on that grid": {"resampledPixelSpacing": list(GRID), "imageType": {"LoG": {"sigma": [3.0]}}},
    "normalised": {"normalize": True, "normalizeScale": 100, "removeOutliers": 2, "resampledPixelSpacing": [3, 3, 3]},
    "whole image filtered": {"imageType": {"LoG": {"sigma": [4.0]}, "Wavelet": {}}},
    "cut first": {"imageType": {"LoG": {"sigma": [4.0]}, "Wavelet": {}}, "preCrop": True, "padDistance": 2},
    "re-segmented": {"resegmentRange": [-300, 300], "resegmentShape": True, "binWidth": 10},
}


@pytest.mark.parametrize("said", SETTINGS.values(), ids=SETTINGS)
def test_what_changes_nothing_gives_the_same_rows(said):
    settings = PyRadiomicsSettings.model_validate(said)
    image, mask = picture(), region()
    plain = pyradiomics_rows(image, mask, GRID, settings)
    changed = perturbed_rows(image, mask, GRID, settings, NOTHING)
    assert [row[:5] + row[6:] for row in changed] == [row[:5] + row[6:] for row in plain]
    np.testing.assert_allclose(numbers(changed), numbers(plain), rtol=1e-9)


@pytest.mark.parametrize("said", [{}, {"resampledPixelSpacing": [2, 2, 2], "imageType": {"LoG": {"sigma": [2.5]}}}])
def test_a_half_turn_changes_no_feature(said):
    """Both grids are symmetric about the region's centre, and every class is averaged over all directions."""
    image = picture((24, 24, 12))
    mask = np.zeros(image.shape, np.uint8)
    mask[6:18, 8:16, 4:8] = 1
    settings = PyRadiomicsSettings.model_validate({"binWidth": 50, **said})
    plain = pyradiomics_rows(image, mask, (1, 1, 1), settings)
    turned = perturbed_rows(image, mask, (1, 1, 1), settings, Perturbation(name="a", rotate_degrees=180))
    np.testing.assert_allclose(numbers(turned), numbers(plain), rtol=1e-6, atol=1e-9)


def test_the_same_seed_gives_the_same_and_another_does_not():
    image, mask = picture(), region()
    one = Perturbation(name="a", noise=1, contour=True, rotate_degrees=4, translate_voxels=(0.25, 0.5, 0), volume=-0.1)
    settings = PyRadiomicsSettings(resampledPixelSpacing=(2.5, 2.5, 2.5), featureClass={"firstorder": None})
    a, b, c = (numbers(perturbed_rows(image, mask, GRID, settings, one, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_volume_is_of_the_new_voxels():
    settings = PyRadiomicsSettings(resampledPixelSpacing=(1, 1, 1))
    plain, less, more = (
        perturb_for_profile(picture(), region(), GRID, Perturbation(name="a", volume=part), settings=settings)
        for part in (1e-9, -0.2, 0.3)
    )
    assert less.mask.sum() == round(0.8 * plain.mask.sum())
    assert more.mask.sum() == round(1.3 * plain.mask.sum())
    assert plain.spacing_mm == (1.0, 1.0, 1.0)


# Edge cases and refusals.


def test_a_flat_image_is_changed_within_its_plane():
    image, mask = picture((30, 26, 1)), region()[:, :, 7:8]
    one = Perturbation(name="a", rotate_degrees=10, translate_voxels=(0.5, 0.5, 0.5), contour=True, volume=0.1)
    rows = perturbed_rows(image, mask, GRID, PyRadiomicsSettings(resampledPixelSpacing=(1, 1, 1)), one)
    assert np.isfinite(numbers(rows)).all()


def test_a_region_that_leaves_the_image():
    one = Perturbation(name="a", translate_voxels=(40, 0, 0))
    with pytest.raises(InputRefused, match="empty-after-perturbation: the region left the image"):
        perturbed_rows(picture(), region(), GRID, PyRadiomicsSettings(), one)


def test_a_region_that_has_left_in_part_is_cut_at_the_edge():
    one = Perturbation(name="a", translate_voxels=(15, 0, 0))
    changed = perturb_for_profile(picture(), region(), GRID, one)
    assert 0 < changed.mask.sum() == region()[:15].sum()


def test_an_empty_mask_and_another_shape():
    with pytest.raises(InputRefused, match="empty-mask: no voxel has the label 1"):
        perturbed_rows(picture(), 2 * region(), GRID, PyRadiomicsSettings(), NOTHING)
    with pytest.raises(GeometryError, match="one shape of three axes"):
        perturbed_rows(picture(), region()[1:], GRID, PyRadiomicsSettings(), NOTHING)
