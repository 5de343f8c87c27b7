"""Perturbations by hand, on known images, by laws, in 2-D, and where they have no answer."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import GeometryError, InputRefused
from fiducial.features.radiomics import Settings, radiomics
from fiducial.features.radiomics.perturb import (
    noise_level,
    perturb,
    perturbed_radiomics,
    redrawn,
    resized,
    seed_of,
    settled,
)
from fiducial.features.radiomics.perturbations import Perturbation, Perturbations

FEW = Settings(families=("morphology", "statistics"))


def ball(shape=(24, 22, 20), radius=6.0, spacing=(1.0, 1.0, 1.0)):
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    apart = (grid - (np.array(shape) - 1) / 2) * spacing
    return (apart**2).sum(axis=-1) <= radius**2


def smooth(shape=(24, 22, 20), seed=0):
    from scipy.ndimage import gaussian_filter

    return 100 * gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)


def rng(seed=0):
    return np.random.default_rng(seed)


# Volume by hand.


def test_a_voxel_grows_by_its_six_neighbours():
    one = np.zeros((5, 5, 5), bool)
    one[2, 2, 2] = True
    grown = resized(one, (1, 1, 1), 6.0, rng())
    assert sorted(map(tuple, np.argwhere(grown) - 2)) == sorted(
        [(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    )


def test_thick_slices_are_farther_away():
    one = np.zeros((5, 5, 5), bool)
    one[2, 2, 2] = True
    grown = resized(one, (1, 1, 3), 4.0, rng())
    assert (np.argwhere(grown)[:, 2] == 2).all()
    assert grown.sum() == 5


def test_a_cube_shrinks_to_its_centre():
    cube = np.zeros((5, 5, 5), bool)
    cube[1:4, 1:4, 1:4] = True
    assert np.argwhere(resized(cube, (1, 1, 1), -26 / 27, rng())).tolist() == [[2, 2, 2]]


@pytest.mark.parametrize("fraction", [-0.3, -0.01, 0.07, 0.5])
def test_the_number_of_voxels_is_what_was_asked_for(fraction):
    mask = ball()
    changed = resized(mask, (1, 1, 2), fraction, rng())
    assert changed.sum() == round(mask.sum() * (1 + fraction))
    assert (changed <= mask).all() if fraction < 0 else (changed >= mask).all()


def test_a_mask_that_fills_the_image():
    full = np.ones((3, 3, 3), bool)
    assert resized(full, (1, 1, 1), 0.5, rng()).all()
    assert np.argwhere(resized(full, (1, 1, 1), -26 / 27, rng())).tolist() == [[1, 1, 1]]
    flat = np.ones((3, 3, 1), bool)
    assert np.argwhere(resized(flat, (1, 1, 1), -8 / 9, rng())).tolist() == [[1, 1, 0]]
    assert resized(np.ones((1, 1, 1), bool), (1, 1, 1), -0.5, rng()).all()


# Turn and shift.


def test_a_shift_by_whole_voxels_moves_both():
    image, mask = smooth(), ball()
    changed = perturb(image, mask, (1, 1, 1), Perturbation(name="a", translate_voxels=(2, -1, 1)))
    assert np.argwhere(changed.mask).mean(axis=0) == pytest.approx(
        np.argwhere(mask).mean(axis=0) + np.array([2, -1, 1])
    )
    assert changed.image[changed.mask] == pytest.approx(image[mask])


def test_a_quarter_turn_about_the_centre():
    image, mask = smooth((21, 21, 9)), np.zeros((21, 21, 9), bool)
    mask[5:16, 8:13, 2:7] = True
    changed = perturb(image, mask, (1, 1, 1), Perturbation(name="a", rotate_degrees=90))
    turned = np.rot90(image, axes=(0, 1))
    assert np.array_equal(changed.mask, np.rot90(mask, axes=(0, 1)))
    assert changed.image[changed.mask] == pytest.approx(turned[changed.mask])


def test_half_a_voxel_lies_between():
    ramp = np.arange(12.0)[:, None, None] * np.ones((12, 9, 9))
    mask = np.zeros(ramp.shape, bool)
    mask[4:8, 3:6, 3:6] = True
    changed = perturb(ramp, mask, (2, 1, 1), Perturbation(name="a", translate_voxels=(0.5, 0, 0)))
    assert np.allclose(changed.image[3:9, 4, 4], ramp[3:9, 4, 4] - 0.5)


def test_what_comes_from_beyond_the_image_is_no_region():
    mask = np.zeros((12, 12, 5), bool)
    mask[:3] = True
    changed = perturb(smooth(mask.shape), mask, (1, 1, 1), Perturbation(name="a", translate_voxels=(2, 0, 0)))
    assert np.unique(np.argwhere(changed.mask)[:, 0]).tolist() == [2, 3, 4]


def test_turn_and_interpolation_are_one():
    """A turn on the way to a finer grid equals the turn of a function that is known everywhere."""
    x, y, z = np.meshgrid(*[np.arange(n) for n in (30, 30, 8)], indexing="ij")
    image, mask = 2.0 * x + 3.0 * y - z, ball((30, 30, 8), 7.0, (1, 1, 2))
    settings = Settings(spacing_mm=(0.5, 0.5, 1.0))
    changed = perturb(image, mask, (1, 1, 2), Perturbation(name="a", rotate_degrees=30), settings=settings)
    assert changed.spacing_mm == (0.5, 0.5, 1.0)
    # A plane keeps its slope, turned; in mm it was 2, 3 and -0.5.
    slopes = [step[changed.mask].mean() for step in np.gradient(changed.image)]
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    assert slopes == pytest.approx([0.5 * (2 * c - 3 * s), 0.5 * (2 * s + 3 * c), -0.5], abs=1e-6)
    assert changed.mask.sum() / 8 == pytest.approx(mask.sum(), rel=0.03)


# Noise.


def test_noise_has_the_level_of_the_image():
    image = smooth((48, 48, 12)) + rng(1).normal(0, 5, (48, 48, 12))
    mask = ball(image.shape, 5.0)
    assert noise_level(image, mask, (1, 1, 1)) == pytest.approx(5, rel=0.1)
    changed = perturb(image, mask, (1, 1, 1), Perturbation(name="a", noise=1), seed=3)
    twice = perturb(image, mask, (1, 1, 1), Perturbation(name="a", noise=2), seed=3)
    for found, factor in ((changed, 1), (twice, 2)):
        added = found.image - image
        assert added.std() == pytest.approx(5 * factor, rel=0.1)
        assert added.mean() == pytest.approx(0, abs=0.2)
    assert np.array_equal(changed.mask, mask)


def test_slices_with_nan_say_nothing_of_the_noise():
    image = smooth((48, 48, 12)) + rng(1).normal(0, 5, (48, 48, 12))
    mask = ball(image.shape, 5.0)
    image[0, 0, :3] = np.nan  # beyond 12 mm, but in the slices
    image[24, 10, 3] = np.nan
    assert noise_level(image, mask, (1, 1, 1)) == pytest.approx(5, rel=0.1)
    with pytest.raises(InputRefused, match=r"noise-unknown: .* or all slices with NaN"):
        noise_level(np.full_like(image, np.nan), mask, (1, 1, 1))


def test_an_image_without_noise_gets_none():
    image, mask = np.full((20, 20, 5), 7.0), ball((20, 20, 5), 4.0)
    changed = perturb(image, mask, (1, 1, 1), Perturbation(name="a", noise=1))
    assert (changed.image == 7).all()


# Contour.


def test_contours_follow_edges():
    """A bright ball, drawn with a rough border: supervoxels end at its edge, so that the new mask is nearer to it."""
    truth = ball((32, 32, 32), 9.0)
    image = np.where(truth, 100.0, 0.0) + rng(0).normal(0, 2, truth.shape)
    drawn = truth ^ ((rng(1).random(truth.shape) < 0.3) & (ball((32, 32, 32), 10.0) ^ ball((32, 32, 32), 8.0)))
    changed = redrawn(image, drawn, (1, 1, 1), 4.0, rng())
    assert (changed != truth).sum() < 0.5 * (drawn != truth).sum()


def test_contours_keep_the_volume_on_average():
    image, mask = smooth((40, 40, 20)), ball((40, 40, 20), 8.0)
    sizes = [redrawn(image, mask, (1, 1, 1), 5.0, rng(seed)).sum() for seed in range(20)]
    assert np.mean(sizes) == pytest.approx(mask.sum(), rel=0.12)
    assert len(set(sizes)) > 5


def test_a_region_smaller_than_a_supervoxel_is_not_lost():
    mask = np.zeros((30, 30, 30), bool)
    mask[15, 15, 15] = True
    assert redrawn(smooth(mask.shape), mask, (1, 1, 1), 8.0, rng()).any()


def test_the_range_of_intensities_is_clipped():
    """Two tissues that differ only beyond the range are one."""
    truth = ball((24, 24, 24), 7.0)
    image = np.where(truth, 500.0, 400.0)
    same = redrawn(image, truth, (1, 1, 1), 5.0, rng(), range_=(-100.0, 300.0))
    other = redrawn(image, truth, (1, 1, 1), 5.0, rng(), range_=(-100.0, 600.0))
    assert (same != truth).sum() > (other != truth).sum()


# Laws.

EVERYTHING = Perturbation(
    name="all", noise=1, rotate_degrees=7, translate_voxels=(0.25, 0.5, 0), volume=-0.1, contour=True
)


@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 1.5)])
def test_almost_nothing_changes_no_response_of_several_filters(spacing):
    """Filters see as much of the image after a perturbation as before."""
    image, mask = np.round(smooth((33, 30, 17))), ball((33, 30, 17), 5.0)
    given = Settings(
        families=("morphology", "statistics"),
        spacing_mm=spacing,
        filters={
            "log": {"kind": "log", "sigma_mm": 2.0},
            "bands": {"kind": "wavelet", "wavelet": "coif1", "bands": "HHL", "rotation_invariant": True},
            "mean": {"kind": "mean", "support": 5, "boundary": "zero"},
        },
    )
    plain = radiomics(image, mask, (2.0, 2.0, 2.0), given)
    found = perturbed_radiomics(image, mask, (2.0, 2.0, 2.0), given, Perturbation(name="a", volume=1e-6))
    assert plain["filter"].nunique() == 4
    assert found.drop(columns="value").equals(plain.drop(columns="value"))
    assert np.allclose(plain["value"], found["value"], rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 3.0), (0.0, 0.0, 2.0)])
def test_almost_nothing_changes_nothing(method, spacing):
    """A volume of one part in a million is no voxel: features are those of the image as it is."""
    image, mask = np.round(smooth((33, 30, 17))), ball((33, 30, 17), 6.0)
    given = Settings(
        families=("morphology", "statistics", "local_intensity"),
        spacing_mm=spacing,
        image_interpolation=method,
        round_intensities=True,
    )
    plain = radiomics(image, mask, (1.0, 1.2, 2.5), given)
    found = perturbed_radiomics(image, mask, (1.0, 1.2, 2.5), given, Perturbation(name="a", volume=1e-6))
    assert np.allclose(plain["value"], found["value"], rtol=1e-6, equal_nan=True)


def test_a_seed_gives_the_same_and_another_seed_another():
    image, mask = smooth(), ball()
    one, same, other = (perturb(image, mask, (1, 1, 1), EVERYTHING, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.image, same.image)
    assert np.array_equal(one.mask, same.mask)
    assert not np.array_equal(one.image, other.image)
    assert seed_of(0, "a", "b") == seed_of(0, "a", "b")
    assert len({seed_of(0, "a", "b"), seed_of(0, "ab", ""), seed_of(1, "a", "b"), seed_of(0, "b", "a")}) == 4


def test_what_is_given_is_not_changed():
    image, mask = smooth(), ball()
    before = image.copy(), mask.copy()
    perturb(image, mask, (1, 1, 1), EVERYTHING)
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


def test_the_cut_shows_no_difference_to_features():
    """Around a small region in a large image, what is cut away is not missed."""
    image, mask = smooth((90, 80, 30)), np.zeros((90, 80, 30), bool)
    mask[40:50, 30:42, 10:18] = True
    given = Settings(families=("local_intensity", "statistics"))
    one = Perturbation(name="a", rotate_degrees=11, translate_voxels=(0.3, 0.3, 0.3))
    small = perturb(image, mask, (1, 1, 1), one)
    assert small.image.size < image.size
    shown = radiomics(small.image, small.mask, (1, 1, 1), given)["value"]
    whole = perturb(image, mask, (1, 1, 1), one, settings=Settings(filter={"kind": "mean", "support": 3}))
    assert whole.image.shape == image.shape
    assert np.allclose(shown, radiomics(whole.image, whole.mask, (1, 1, 1), given)["value"])


def test_a_filter_sees_the_whole_perturbed_image():
    image, mask = smooth((40, 36, 20)), np.zeros((40, 36, 20), bool)
    mask[5:15, 6:16, 8:14] = True
    given = Settings(
        families=("statistics",),
        spacing_mm=(1.5, 1.5, 1.5),
        filter={"kind": "log", "sigma_mm": 3.0, "boundary": "zero"},
    )
    plain = radiomics(image, mask, (1.0, 1.0, 1.5), given)["value"]
    same = perturbed_radiomics(image, mask, (1.0, 1.0, 1.5), given, Perturbation(name="a", volume=1e-6))["value"]
    moved = perturbed_radiomics(image, mask, (1.0, 1.0, 1.5), given, Perturbation(name="a", rotate_degrees=4))["value"]
    assert np.allclose(plain, same)
    assert np.isfinite(moved).all()
    assert not np.allclose(plain, moved)


def test_a_picture_is_perturbed_within_its_plane():
    image, mask = smooth((40, 40, 3))[:, :, 1:2] + rng().normal(0, 1, (40, 40, 1)), ball((40, 40, 1), 9.0)
    changed = perturb(image, mask, (1.0, 1.0, 1.0), EVERYTHING.model_copy(update={"translate_voxels": (0.3, 0, 5)}))
    assert changed.mask.shape[2] == 1
    assert 0.6 < changed.mask.sum() / mask.sum() < 1.4
    table = radiomics(changed.image, changed.mask, (1.0, 1.0, 1.0), FEW)
    assert np.isfinite(table.set_index("feature")["value"]["mean"])


def test_settings_after_are_those_before_without_their_interpolation():
    given = Settings(spacing_mm=(1, 1, 1), bin_number=8)
    assert settled(given) == Settings(bin_number=8)


# Without an answer.


@pytest.mark.parametrize(
    ("image", "mask", "given", "error", "message"),
    [
        (np.ones((4, 4, 4)), np.zeros((4, 4, 4)), {"volume": 0.1}, InputRefused, "empty-mask"),
        (np.ones((4, 4, 4)), np.ones((4, 4, 3)), {"volume": 0.1}, GeometryError, "one shape"),
        (np.ones((4, 4)), np.ones((4, 4)), {"volume": 0.1}, GeometryError, "three axes"),
        (np.ones((2, 2, 2)), np.ones((2, 2, 2)), {"noise": 1}, InputRefused, "noise-unknown: 2 x 2"),
        (np.ones((4, 4, 4)), np.ones((4, 4, 4)), {"translate_voxels": (9, 0, 0)}, InputRefused, "left the image"),
    ],
)
def test_refusals(image, mask, given, error, message):
    with pytest.raises(error, match=message):
        perturb(image, mask, (1.0, 1.0, 1.0), Perturbation(name="a", **given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing is changed"),
        ({"volume": -1}, "greater than -1"),
        ({"rotate_degrees": 400}, "less than or equal to 180"),
        ({"translate_voxels": (200, 0, 0)}, "at most 100 voxels"),
        ({"rotate_degrees": 3, "repeats": 2}, "all alike"),
        ({"rotate": 3}, "Extra inputs"),
        ({"name": "a.1", "volume": 0.1}, "pattern"),
    ],
)
def test_illegal_perturbations(given, message):
    with pytest.raises(ValueError, match=message):
        Perturbation(**{"name": "a", **given})


def test_a_file_names_its_perturbations_apart():
    noisy = {"name": "noisy", "noise": 1.0, "repeats": 2}
    found = Perturbations(perturbation=[noisy, {"name": "turned", "rotate_degrees": 5}])
    assert [name for name, _ in found.repeats()] == ["noisy.1", "noisy.2", "turned"]
    with pytest.raises(ValueError, match="noisy stands twice"):
        Perturbations(perturbation=[noisy, noisy])
    with pytest.raises(ValueError, match="at least 1 item"):
        Perturbations(perturbation=[])
