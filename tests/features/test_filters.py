"""Filters of IBSI 2: by hand, by analysis, against the standard's response maps, by laws, and what is refused."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import convolve1d

from fiducial.errors import InputRefused
from fiducial.features.radiomics import Settings, radiomics
from fiducial.features.radiomics import filters as f
from fiducial.features.radiomics.lines import Line, responses
from fiducial.features.radiomics.settings import GaborFilter, LogFilter, MeanFilter

PI = np.pi
# Table 3.x of the standard's first phase: map, phantom, what is done.
MAPS = {
    "1A1": ("checkerboard", lambda x, _: f.mean_filter(x, support=15, boundary="zero")),
    "1A2": ("checkerboard", lambda x, _: f.mean_filter(x, support=15, boundary="nearest")),
    "1A3": ("checkerboard", lambda x, _: f.mean_filter(x, support=15, boundary="periodic")),
    "1A4": ("checkerboard", lambda x, _: f.mean_filter(x, support=15, boundary="mirror")),
    "1B1": ("impulse", lambda x, _: f.mean_filter(x, support=15, boundary="zero", in_slice=True)),
    "2A": ("impulse", lambda x, mm: f.laplacian_of_gaussian(x, mm, sigma_mm=3, boundary="zero")),
    "2B": ("checkerboard", lambda x, mm: f.laplacian_of_gaussian(x, mm, sigma_mm=5)),
    "2C": ("checkerboard", lambda x, mm: f.laplacian_of_gaussian(x, mm, sigma_mm=5, in_slice=True)),
    "4A1": (
        "impulse",
        lambda x, mm: f.gabor_filter(
            x, mm, GaborFilter(sigma_mm=10, wavelength_mm=4, ratio=0.5, angle=PI / 3, boundary="zero")
        ),
    ),
    "4A2": (
        "impulse",
        lambda x, mm: f.gabor_filter(
            x,
            mm,
            GaborFilter(
                sigma_mm=10, wavelength_mm=4, ratio=0.5, angle_step=PI / 4, boundary="zero", orthogonal_planes=True
            ),
        ),
    ),
    "4B1": (
        "sphere",
        lambda x, mm: f.gabor_filter(x, mm, GaborFilter(sigma_mm=20, wavelength_mm=8, ratio=2.5, angle=5 * PI / 4)),
    ),
    "4B2": (
        "sphere",
        lambda x, mm: f.gabor_filter(
            x, mm, GaborFilter(sigma_mm=20, wavelength_mm=8, ratio=2.5, angle_step=PI / 8, orthogonal_planes=True)
        ),
    ),
    "5A1": ("impulse", lambda x, _: f.wavelet_filter(x, wavelet="db2", bands="LHL", boundary="zero")),
    "5A2": (
        "impulse",
        lambda x, _: f.wavelet_filter(x, wavelet="db2", bands="LHL", boundary="zero", rotation_invariant=True),
    ),
    "6A1": ("sphere", lambda x, _: f.wavelet_filter(x, wavelet="coif1", bands="HHL", boundary="periodic")),
    "6A2": (
        "sphere",
        lambda x, _: f.wavelet_filter(x, wavelet="coif1", bands="HHL", boundary="periodic", rotation_invariant=True),
    ),
    "7A1": (
        "checkerboard",
        lambda x, _: f.wavelet_filter(x, wavelet="haar", bands="LLL", level=2, rotation_invariant=True),
    ),
    "7A2": (
        "checkerboard",
        lambda x, _: f.wavelet_filter(x, wavelet="haar", bands="HHH", level=2, rotation_invariant=True),
    ),
    "8A1": ("checkerboard", lambda x, _: f.simoncelli_filter(x, level=1)),
    "8A2": ("checkerboard", lambda x, _: f.simoncelli_filter(x, level=2)),
    "8A3": ("checkerboard", lambda x, _: f.simoncelli_filter(x, level=3)),
}
LAWS = {"3A": ("impulse", "E5L5S5", "zero"), "3B": ("checkerboard", "E3W5R5", "mirror")}
LAWS |= {"3C": ("checkerboard", "L5S5", "mirror")}
for name, (phantom, kernels, boundary) in LAWS.items():
    plain = {"kernels": kernels, "boundary": boundary}
    for number, more in enumerate(
        ({}, {"rotation_invariant": True}, {"rotation_invariant": True, "energy_reach": 7}), start=1
    ):
        MAPS[f"{name}{number}"] = (phantom, lambda x, _, given=plain | more: f.laws_filter(x, **given))
# Gabor kernels have no end: where ours and the reference's are cut far out, the maps differ a little.
LARGEST = {"4B1": 1e-4, "4B2": 3e-3}


# By hand.


def test_a_mean_of_three_by_hand():
    image = np.zeros((5, 1, 1))
    image[0] = 9
    assert f.mean_filter(image, support=3, boundary="zero", in_slice=True)[:2, 0, 0] == pytest.approx([1, 1])
    assert f.mean_filter(image, support=3, boundary="nearest", in_slice=True)[:2, 0, 0] == pytest.approx([6, 3])


@pytest.mark.parametrize("in_slice", [False, True])
@pytest.mark.parametrize("support", [3, 5, 7])
def test_the_mean_of_whole_numbers_is_their_sum_in_one_division(support, in_slice):
    image = np.random.default_rng(0).integers(-1000, 1500, (12, 11, 10))
    sides = (support, support, 1 if in_slice else support)
    around = np.pad(image, [(side // 2, side // 2) for side in sides], mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(around, sides)
    expected = windows.sum(axis=(3, 4, 5)) / np.prod(sides)
    # Equal sums are equal means to the last bit, or they would fall on both sides of a grey level's edge.
    assert np.array_equal(f.mean_filter(image.astype(float), support=support, in_slice=in_slice), expected)


def test_turns_by_right_angles():
    assert len(f._rotations(3)) == 24
    assert len(f._rotations(2)) == 4


# Analytic.


def test_the_laplacian_of_a_parabola_is_its_curvature():
    """Of x² + y² + z² the Laplacian is 6 everywhere, whatever the width of the bell."""
    x, y, z = np.mgrid[-25:26, -25:26, -25:26].astype(float)
    found = f.laplacian_of_gaussian(x**2 + y**2 + z**2, (1, 1, 1), sigma_mm=2.0, cutoff=8)
    assert found[25, 25, 25] == pytest.approx(6, rel=1e-6)


def test_a_wave_answers_where_the_gabor_filter_looks():
    x = np.arange(96)[:, None, None] * np.ones((1, 96, 1))
    wave = np.cos(2 * PI * x / 8)
    along = f.gabor_filter(wave, (1, 1, 1), GaborFilter(sigma_mm=6, wavelength_mm=8, ratio=1))
    across = f.gabor_filter(wave, (1, 1, 1), GaborFilter(sigma_mm=6, wavelength_mm=8, ratio=1, angle=PI / 2))
    assert along[48, 48, 0] == pytest.approx(PI * 6**2, rel=1e-3)
    assert across[48, 48, 0] < 0.01 * along[48, 48, 0]


# The standard's response maps.


@pytest.mark.real_data
@pytest.mark.parametrize("name", MAPS)
def test_the_response_map_is_the_standards(data, name):
    phantom, respond = MAPS[name]
    file = nibabel.load(data / f"ibsi/ibsi_2_digital_phantom/{phantom}/image/{phantom}.nii.gz")
    spacing = tuple(float(mm) for mm in file.header.get_zooms()[:3])
    (path,) = (data / "ibsi/ibsi_2_reference_response_maps").glob(f"*_{name}_*")
    reference = np.asarray(nibabel.load(path).dataobj, dtype=float)
    ours = respond(np.asarray(file.dataobj, dtype=float), spacing)
    assert np.abs(ours - reference).max() <= LARGEST.get(name, 1e-4 if name == "1A3" else 1e-6) * np.ptp(reference)


@pytest.mark.real_data
def test_every_map_of_the_standard_is_compared(data):
    files = list((data / "ibsi/ibsi_2_reference_response_maps").glob("*.nii.gz"))
    assert len(files) == len(MAPS) == 30


# Laws.


@pytest.mark.parametrize("kernels", ["E5L5S5", "L5S5"])
def test_a_turned_image_has_a_turned_response(kernels):
    image = np.random.default_rng(0).normal(size=(11, 11, 9))
    one = f.laws_filter(np.rot90(image), kernels=kernels, rotation_invariant=True)
    assert np.allclose(one, np.rot90(f.laws_filter(image, kernels=kernels, rotation_invariant=True)))


def test_bands_of_a_wavelet_hold_the_whole_image():
    """Low and high pass together: the sum of squares of all bands is 8 times the image's (undecimated, periodic)."""
    image = np.random.default_rng(1).normal(size=(16, 16, 16))
    bands = [a + b + c for a in "LH" for b in "LH" for c in "LH"]
    energy = sum((f.wavelet_filter(image, wavelet="db2", bands=b, boundary="periodic") ** 2).sum() for b in bands)
    assert energy == pytest.approx(8 * (image**2).sum())


@pytest.mark.parametrize("boundary", ["zero", "nearest", "periodic", "mirror"])
@pytest.mark.parametrize("box", [(3, 6), (0, 2), (9, 12), (0, 12)])
@pytest.mark.parametrize(
    "respond",
    [
        lambda x, **given: f.mean_filter(x, support=5, **given),
        lambda x, **given: f.laplacian_of_gaussian(x, (1, 1, 1), sigma_mm=1.5, **given),
        lambda x, **given: f.wavelet_filter(x, wavelet="db3", bands="LHH", level=2, rotation_invariant=True, **given),
        lambda x, **given: f.wavelet_filter(x, wavelet="haar", bands="HL", rotation_invariant=True, **given),
        lambda x, **given: f.laws_filter(x, kernels="L5E5S3", energy_reach=4, rotation_invariant=True, **given),
    ],
)
def test_a_box_of_a_response_is_that_of_the_whole(respond, box, boundary):
    image = np.random.default_rng(3).normal(size=(12, 13, 14))
    part = tuple(slice(box[0], box[1] + k) for k in range(3))
    inner = respond(image, boundary=boundary, box=part)
    assert np.allclose(inner, respond(image, boundary=boundary)[part], rtol=0, atol=1e-12)


@pytest.mark.parametrize("boundary", ["zero", "nearest", "periodic", "mirror"])
@pytest.mark.parametrize("shape", [(9, 8, 7), (9, 8, 1), (2, 3, 2)])
def test_lines_are_scipys_convolutions(shape, boundary):
    """Kernels of even and odd length, longer than the image too; zeros within."""
    image = np.random.default_rng(4).normal(size=shape)
    for kernel in ([1.0, 2.0, 4.0], [0.5, -1.0], [0.0, 0.0, 3.0, 0.0, 1.0, 0.0, 7.0, 8.0, 9.0]):
        for axis in range(3):
            term = tuple((Line.of(kernel),) if a == axis else () for a in range(3))
            (ours,) = responses(image, [term], boundary)
            mode = {"zero": "constant", "nearest": "nearest", "periodic": "wrap", "mirror": "reflect"}[boundary]
            assert np.allclose(ours, convolve1d(image, kernel, axis=axis, mode=mode))


# With features.


def test_features_of_a_response_map_are_those_of_the_filtered_image():
    rng = np.random.default_rng(2)
    image, mask = rng.normal(100, 10, (20, 20, 12)), np.zeros((20, 20, 12))
    mask[6:14, 6:14, 3:9] = 1
    given = Settings(families=("statistics",), filter=LogFilter(sigma_mm=1.5))
    by_setting = radiomics(image, mask, (1.0, 1.0, 1.0), given)
    response = f.laplacian_of_gaussian(image, (1, 1, 1), sigma_mm=1.5)
    direct = radiomics(response, mask, (1.0, 1.0, 1.0), Settings(families=("statistics",)))
    assert np.allclose(by_setting["value"], direct["value"])


def test_the_region_is_resegmented_by_what_was_there_before():
    image = np.ones((9, 9, 9))
    image[4, 4, 4] = 500
    given = {"families": ("statistics",), "filter": MeanFilter(support=3)}
    whole = radiomics(image, np.ones_like(image), (1.0, 1.0, 1.0), Settings(**given))
    kept = radiomics(image, np.ones_like(image), (1.0, 1.0, 1.0), Settings(resegment=(0, 100), **given))
    assert whole["value"].iloc[0] * 729 - kept["value"].iloc[0] * 728 == pytest.approx(1 + 499 / 27)


def region_of_noise():
    rng = np.random.default_rng(5)
    mask = np.zeros((30, 30, 24))
    mask[3:12, 8:20, 6:15] = 1
    return rng.normal(100, 10, mask.shape), mask


def test_several_filters_give_what_each_gives_alone():
    image, mask = region_of_noise()
    named = {"fine": LogFilter(sigma_mm=1.0), "coarse": LogFilter(sigma_mm=4.0), "even": MeanFilter(support=3)}
    given = {"families": ("morphology", "statistics", "glcm"), "resegment": (80, 120)}
    both = radiomics(image, mask, (1.0, 1.0, 1.0), Settings(filters=named, response_bin_number=8, bin_width=5, **given))
    assert both["filter"].drop_duplicates().tolist() == ["", *named]
    plain = radiomics(image, mask, (1.0, 1.0, 1.0), Settings(bin_width=5, **given))
    assert both[both["filter"] == ""].reset_index(drop=True).equals(plain)
    for name, filter_ in named.items():
        alone = radiomics(image, mask, (1.0, 1.0, 1.0), Settings(filter=filter_, bin_number=8, **given))
        own = both[both["filter"] == name]
        assert not (own["family"] == "morphology").any()
        expected = alone[alone["filter"] == filter_.kind]["value"].to_numpy()
        assert np.allclose(own["value"].to_numpy(), expected, rtol=1e-9)


def test_shape_is_of_the_image_where_a_filter_makes_the_rest():
    image, mask = region_of_noise()
    given = {"families": ("morphology", "statistics")}
    table = radiomics(image, mask, (1.0, 1.0, 1.0), Settings(filter=MeanFilter(support=3), **given))
    assert table.groupby("family", sort=False)["filter"].unique().map(list).to_dict() == {
        "morphology": [""],
        "statistics": ["mean"],
    }
    plain = radiomics(image, mask, (1.0, 1.0, 1.0), Settings(**given))
    assert table[table["family"] == "morphology"]["value"].equals(plain[plain["family"] == "morphology"]["value"])


def test_threads_change_nothing():
    rng = np.random.default_rng(6)
    image, mask = rng.normal(size=(40, 40, 40)), np.ones((40, 40, 40))
    named = {"a": LogFilter(sigma_mm=2.0), "b": MeanFilter(support=5)}
    given = Settings(families=("statistics", "glcm"), bin_number=8, filters=named)
    one, two = (radiomics(image, mask, (1.0, 1.0, 1.0), given, threads=n) for n in (1, 2))
    assert one.equals(two)


def test_an_empty_region_has_the_rows_of_every_image():
    image, mask = region_of_noise()
    given = Settings(families=("morphology", "statistics"), filters={"even": MeanFilter(support=3)})
    full, empty = (radiomics(image, m, (1.0, 1.0, 1.0), given) for m in (mask, np.zeros_like(mask)))
    assert empty["value"].isna().all()
    columns = ["filter", "family", "feature", "aggregation"]
    assert empty[columns].equals(full[columns])


# What is refused.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"filters": {"a": MeanFilter(support=3)}}, "legal: a number of grey levels of response maps"),
        ({"filters": {"a": MeanFilter(support=3)}, "bin_width": 5}, "legal: a number of grey levels of response maps"),
        (
            {"filters": {"a": MeanFilter(support=3)}, "bin_number": 8, "filter": MeanFilter(support=3)},
            "legal: one of the two",
        ),
        ({"filters": {"a b": MeanFilter(support=3)}, "bin_number": 8}, "should match pattern"),
        ({"filters": {"a": MeanFilter(support=3)}, "families": ("morphology",)}, "no family of response maps"),
        ({"response_bin_number": 8}, "response_bin_number without filters"),
        ({"response_bin_number": 8, "filter": MeanFilter(support=3)}, "response_bin_number without filters"),
        ({"filter": {"kind": "wavelet", "wavelet": "gaus1", "bands": "LLH"}}, "no wavelet 'gaus1'; legal: bior1.1"),
        ({"families": ("statistics", "glcm", "statistics")}, "legal: each once"),
        ({"aggregations": ("3d_merged", "3d_merged")}, "legal: each once"),
        ({"aggregations": ()}, "texture families without aggregations"),
    ],
)
def test_illegal_filters(given, message):
    with pytest.raises(ValidationError, match=message):
        Settings(**given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: f.mean_filter(x, support=3, boundary="wrap"), "legal: zero, nearest, periodic, mirror"),
        (lambda x: f.laws_filter(x, kernels="E5Q5"), "two or three of L3"),
        (lambda x: f.wavelet_filter(x, wavelet="haar", bands="LHX"), "letters L or H"),
        (lambda x: f.laplacian_of_gaussian(x, (1, 1, 5), sigma_mm=2), "interpolate to isotropic voxels first"),
        (lambda x: f.laplacian_of_gaussian(x, (2, 2, 2), sigma_mm=0.2), r"legal: at least 0\.25 mm at a cutoff of 4"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputRefused, match=message):
        call(np.zeros((4, 4, 4)))


def test_voxels_that_are_not_finite_anywhere_count_where_a_filter_sees_them():
    image = np.ones((6, 6, 6))
    image[0, 0, 0] = np.nan
    mask = np.zeros((6, 6, 6))
    mask[3, 3, 3] = 1
    table = radiomics(image, mask, (1.0, 1.0, 1.0), Settings(families=("statistics",), filter=MeanFilter(support=3)))
    assert table["value"].isna().all()
    assert table["reason"].str.endswith("in the image that is filtered").all()
