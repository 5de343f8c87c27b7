"""A rendered chest: voxel values, geometry, nodule volume, asymmetry, noise; equal patients give equal voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from fiducial.errors import InputRefused
from fiducial.phantom.anatomy import Grid
from fiducial.phantom.body import heart_depth_mm, lung_depth_mm
from fiducial.phantom.hospital import Nodule, make_patients, render, scan_geometry
from fiducial.phantom.nodules import SOLID_HU, paint_nodule
from fiducial.phantom.scanners import SCANNERS, Scanner
from fiducial.phantom.texture import KERNELS, blur, noise, noise_gain

QUIET = Scanner("Quiet", "Nobody", "medium", 0.0, 3.0, 5.0)


@pytest.fixture(scope="module")
def patients():
    return make_patients(40, seed=1)


def with_nodule(patient, scanner=QUIET, **changes):
    return replace(patient, scanner=scanner, nodule=replace(patient.nodule, **changes))


def centres_mm(geometry):
    """x, y and z of the voxel centres in RAS+ mm, broadcastable."""
    axes = [geometry.affine[a, a] * np.arange(geometry.shape[a]) + geometry.affine[a, 3] for a in range(3)]
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda s: f"{s.name} {s.kernel}")
def test_geometry_is_the_scanners(patients, scanner):
    image, mask = render(replace(patients[0], scanner=scanner))
    assert image.array.dtype == np.int16
    assert image.array.shape == (1, 112, 112, round(patients[0].length_mm / scanner.slice_mm))
    assert mask.shape == image.geometry.shape
    assert (image.modality, image.unit) == ("CT", "HU")
    assert image.geometry.spacing_mm == pytest.approx(
        (patients[0].spacing_mm, patients[0].spacing_mm, scanner.slice_mm)
    )
    # Columns grow to the patient's left, rows to the back, slices to the head; the grid is centred.
    assert np.sign(np.diag(image.geometry.affine)[:3]).tolist() == [-1, -1, 1]
    middle = image.geometry.affine @ np.array([*(np.array(image.geometry.shape) - 1) / 2, 1])
    assert middle[:3] == pytest.approx([0, 0, 0])


def test_tissues_have_their_hounsfield_units(patients):
    patient = replace(patients[0], scanner=QUIET)
    image, _ = render(patient)
    hu = image.array[0].astype(float)
    x, y, z = (c - o for c, o in zip(centres_mm(image.geometry), patient.body.offset_mm, strict=True))
    assert hu[:, :3].mean() == pytest.approx(-1000, abs=2)
    lung = lung_depth_mm(patient.body, x, y, z) > 8
    assert np.median(hu[lung]) == pytest.approx(-862, abs=25)
    heart = (heart_depth_mm(patient.body, x, y, z) > 12) & (z > patient.body.dome_mm)
    assert np.median(hu[heart]) == pytest.approx(42, abs=3)
    liver = (x > 30) & (np.hypot(x - 50, y) < 25) & (z < patient.body.dome_mm - 22)
    assert np.median(hu[liver]) == pytest.approx(60, abs=3)
    spine = np.hypot(x, y - patient.body.spine_y_mm) < 7
    assert hu[spine & (np.abs(z) < 60)].mean() > 120


@pytest.mark.parametrize("diameter", [16.0, 22.0, 30.0])
def test_mask_of_a_smooth_nodule_has_the_spheres_volume(patients, diameter):
    patient = with_nodule(patients[3], diameter_mm=diameter, spiculation=0.0, density="solid")
    patient = replace(patient, nodule=replace(patient.nodule, centre_mm=_roomy(patient)))
    image, mask = render(patient)
    volume = mask.sum() * image.geometry.voxel_ml * 1000
    assert volume == pytest.approx(np.pi / 6 * diameter**3, rel=0.05)


def test_masks_of_small_nodules_are_right_on_average(patients):
    ratios = []
    for patient in patients[:25]:
        image, mask = render(with_nodule(patient, diameter_mm=10.0, spiculation=0.0))
        ratios.append(mask.sum() * image.geometry.voxel_ml * 1000 / (np.pi / 6 * 1000))
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("diameter", [8.0, 17.0])
def test_partial_volume_carries_the_spheres_mass(diameter):
    """What a solid nodule adds to the HU of an even lung, summed, is its volume times the step in HU."""
    axes = [np.arange(-30, 30, step, dtype=np.float32) for step in (3.0, 3.0, 5.0)]
    grid = Grid(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :], (3.0, 3.0, 5.0))
    volume = np.full((20, 20, 12), -865, np.float32)
    nodule = Nodule((1.1, -0.4, 0.9), diameter, 0.0, "solid")
    paint_nodule(volume, grid, np.full_like(volume, 50), nodule, np.random.default_rng(0))
    assert (volume + 865).sum() * 0.045 / (SOLID_HU + 865) == pytest.approx(np.pi / 6 * diameter**3 / 1000, rel=0.02)


def test_heart_lies_to_the_left_and_makes_the_left_lung_smaller(patients):
    for patient in patients[:6]:
        image, _ = render(replace(patient, scanner=QUIET))
        x, y, z = (c - o for c, o in zip(centres_mm(image.geometry), patient.body.offset_mm, strict=True))
        soft = (image.array[0] > -100) & (np.abs(y) < 60) & (np.abs(z - patient.body.dome_mm - 25) < 15)
        inner = (np.abs(x) > 30) & (np.abs(x) < 80)
        assert (soft & inner & (x < 0)).sum() > 3 * (soft & inner & (x > 0)).sum()
        lung = lung_depth_mm(patient.body, x, y, z) > 0
        assert (lung & (x < 0)).sum() < 0.95 * (lung & (x > 0)).sum()


def test_nodules_lie_in_a_lung(patients):
    for patient in patients:
        centre = np.array(patient.nodule.centre_mm) - patient.body.offset_mm
        depth = lung_depth_mm(patient.body, *(np.array([c]) for c in centre))
        assert depth[0] > patient.nodule.diameter_mm / 2


def test_density_and_spiculation_are_visible(patients):
    patient = with_nodule(patients[3], diameter_mm=24.0, spiculation=0.0)
    patient = replace(patient, nodule=replace(patient.nodule, centre_mm=_roomy(patient)))
    mean, volume = {}, {}
    for density in ("solid", "part-solid", "ground-glass"):
        image, mask = render(with_nodule(patient, density=density))
        mean[density] = image.array[0][mask].mean()
    assert mean["solid"] > mean["part-solid"] + 200 > mean["ground-glass"] + 250
    roughness = {}
    for spiculation in (0.0, 0.9):
        _, mask = render(with_nodule(patient, spiculation=spiculation))
        volume[spiculation] = mask.sum()
        surface = (binary_dilation(mask) & ~mask).sum()
        roughness[spiculation] = surface / mask.sum() ** (2 / 3)
    assert volume[0.0] < volume[0.9] < 2 * volume[0.0]
    assert roughness[0.9] > 1.1 * roughness[0.0]


def test_women_have_breasts_and_smokers_darker_lungs(patients):
    woman = next(p for p in patients if p.sex == "F")
    flat = replace(woman, body=replace(woman.body, breast=0.0))
    assert (render(woman)[0].array > -500).sum() > (render(flat)[0].array > -500).sum() + 1000
    smoker = replace(woman, body=replace(woman.body, emphysema=1.0), scanner=QUIET)
    never = replace(smoker, body=replace(woman.body, emphysema=0.0))
    lung = np.abs(render(never)[0].array[0] + 870.0) < 60
    means = [render(patient)[0].array[0][lung].mean() for patient in (smoker, never)]
    assert means[0] < means[1] - 10


def test_equal_patients_give_equal_voxels(patients):
    first, mask = render(patients[7])
    again, mask_again = render(make_patients(8, seed=1)[7])
    assert np.array_equal(first.array, again.array)
    assert np.array_equal(mask, mask_again)


@pytest.mark.parametrize("scanner", SCANNERS[1:3], ids=lambda s: s.kernel)
def test_a_second_scan_differs_by_the_scanners_noise_only(patients, scanner):
    patient = replace(patients[2], scanner=scanner)
    again = patient.rescanned("again")
    (a, mask_a), (b, mask_b) = render(patient), render(again)
    assert again.subject == "again"
    assert np.array_equal(mask_a, mask_b)
    inside = a.array[0] > -150
    difference = (a.array.astype(float) - b.array)[0][inside & (a.array[0] < 150)]
    girth = patient.body.half_width_mm * patient.body.half_depth_mm / (140 * 98)
    assert difference.std() / np.sqrt(2) == pytest.approx(scanner.noise_hu * girth, rel=0.05)
    assert difference.mean() == pytest.approx(0, abs=0.7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_noise_has_unit_variance(kernel):
    field = noise(np.random.default_rng(0), (64, 64, 40), kernel)
    assert field.std() == pytest.approx(1, rel=0.02)
    assert field.mean() == pytest.approx(0, abs=0.03)


def test_noise_is_smoother_for_softer_kernels():
    neighbours = {}
    for kernel in KERNELS:
        field = noise(np.random.default_rng(0), (64, 64, 30), kernel)
        neighbours[kernel] = float((field[1:] * field[:-1]).mean())
        assert abs((field[..., 1:] * field[..., :-1]).mean()) < 0.02, "slices must be independent"
    assert neighbours["soft"] > neighbours["medium"] + 0.1 > neighbours["sharp"] + 0.15


def test_noise_gain_of_an_untouched_field_is_the_kernels_energy():
    """A Gaussian of sigma 0.95 pixels in a plane: sum of squared weights close to 1 / (4 pi sigma^2)."""
    assert noise_gain("soft") == pytest.approx(np.sqrt(1 / (4 * np.pi * 0.95**2)), rel=0.02)


def test_blur_keeps_a_constant():
    flat = np.full((12, 12, 5), 37.0, np.float32)
    assert blur(flat, "soft") == pytest.approx(flat, abs=1e-3)


def test_an_unknown_kernel_is_refused(patients):
    with pytest.raises(InputRefused, match=r"kernel 'bone'\n  legal: soft, medium, sharp"):
        render(replace(patients[0], scanner=replace(QUIET, kernel="bone")))


def _roomy(patient):
    """A place deep in the right lung."""
    geometry = scan_geometry(patient)
    x, y, z = (c - o for c, o in zip(centres_mm(geometry), patient.body.offset_mm, strict=True))
    depth = lung_depth_mm(patient.body, x, y, z)
    i, j, k = np.unravel_index(int(np.where(x > 0, depth, -1).argmax()), depth.shape)
    return tuple(float(v) for v in (geometry.affine @ np.array([i + 0.3, j - 0.2, k + 0.25, 1]))[:3])
