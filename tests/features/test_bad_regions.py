"""Regions and arrays that are not as they should be: the standard's answer, else NaN with a reason, else a refusal."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import GeometryError, InputRefused, VoxelError
from fiducial.features.radiomics import AGGREGATIONS, FAMILIES, PyRadiomicsSettings, Settings, radiomics
from fiducial.features.radiomics.engine import region_features
from fiducial.features.radiomics.settings import WaveletFilter

GIVEN = Settings(families=FAMILIES, aggregations=AGGREGATIONS, bin_number=8)
ONE = (1.0, 1.0, 1.0)


def cube(shape=(9, 8, 7), seed=0):
    """An image of noise and a region in its middle."""
    image = np.random.default_rng(seed).normal(100, 20, shape)
    mask = np.zeros(shape, bool)
    mask[2:7, 2:6, 2:5] = True
    return image, mask


def with_nan(place):
    image, mask = cube()
    image[place] = np.nan
    return image, mask


ROWS = radiomics(*cube(), ONE, GIVEN)[["family", "feature", "aggregation", "ibsi_code"]]

# What leaves a region without any feature: image, mask, label, settings, reason.
NONE = {
    "empty mask": (cube()[0], np.zeros((9, 8, 7)), None, {}, "empty-mask: no voxel belongs to the region"),
    "empty mask with a label": (cube()[0], np.zeros((9, 8, 7)), 1, {}, "empty-mask: no voxel belongs to the region"),
    "label missing": (
        cube()[0],
        2 * cube()[1].astype(int),
        7,
        {},
        "label-missing: no voxel of value 7; the mask holds 2",
    ),
    "NaN inside": (*with_nan((3, 3, 3)), None, {}, "not-finite: NaN or infinite intensities in the region"),
    "no intensity in the range": (
        *cube(),
        None,
        {"resegment": (5000, 6000)},
        "empty-after-resegmentation: no intensity of the region lies in the range",
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_a_region_without_features_gives_every_row_and_the_reason(name):
    image, mask, label, more, reason = NONE[name]
    given = GIVEN.model_copy(update=more)
    table = radiomics(image, mask, ONE, given, label=label)
    assert table[["family", "feature", "aggregation", "ibsi_code"]].equals(ROWS)
    assert table["value"].isna().all()
    assert set(table["reason"]) == {reason}
    with pytest.raises(InputRefused) as refused:
        region_features(image, mask, ONE, given, label=label)
    assert refused.value.given == reason


def test_a_region_smaller_than_the_new_voxels():
    image, mask = np.ones((9, 9, 9)), np.zeros((9, 9, 9))
    mask[2, 2, 2] = 1
    table = radiomics(image, mask, ONE, GIVEN.model_copy(update={"spacing_mm": (4.0, 4.0, 4.0)}))
    assert set(table["reason"]) == {"empty-after-interpolation: the region is smaller than the new voxels"}


def test_nan_outside_the_region_is_nobodys_business():
    table = radiomics(*with_nan((0, 0, 0)), ONE, GIVEN.model_copy(update={"families": ("statistics", "glcm")}))
    assert table["value"].notna().all()


def values(table):
    return {(f, n, a): v for f, n, a, v in table[["family", "feature", "aggregation", "value"]].itertuples(index=False)}


def reasons_are_complete(table):
    missing = table["value"].isna()
    return bool((table["reason"][missing] != "").all())


def test_one_voxel_has_what_the_standard_defines_and_a_reason_for_the_rest():
    image, mask = cube()
    mask[:] = False
    mask[4, 4, 4] = True
    table = radiomics(image, mask, ONE, GIVEN)
    found = values(table)
    assert found["statistics", "mean", ""] == image[4, 4, 4]
    assert found["statistics", "variance", ""] == 0
    assert np.isnan(found["glcm", "contrast", "3d_merged"])
    assert reasons_are_complete(table)
    assert table["value"].isna().mean() < 0.4


def test_a_constant_region_and_one_at_the_border():
    image, mask = cube()
    table = radiomics(np.full_like(image, 42.0), mask, ONE, GIVEN)
    assert values(table)["glcm", "joint_maximum", "3d_merged"] == 1
    assert values(table)["intensity_histogram", "uniformity", ""] == 1
    assert reasons_are_complete(table)
    whole = radiomics(image, np.ones_like(mask), ONE, GIVEN)
    assert values(whole)["morphology", "volume_voxel_counting", ""] == image.size
    assert reasons_are_complete(whole)


def test_a_picture_of_two_axes_is_one_slice():
    image, mask = cube()
    flat = radiomics(image[:, :, 3], mask[:, :, 3], (1.0, 1.0, 5.0), GIVEN)
    slice_ = radiomics(image[:, :, 3:4], mask[:, :, 3:4], (1.0, 1.0, 5.0), GIVEN)
    assert flat.equals(slice_)
    assert values(flat)["morphology", "volume_voxel_counting", ""] == 20 * 5
    assert np.isfinite(values(flat)["glcm", "contrast", "2d_averaged"])
    assert reasons_are_complete(flat)


def test_voxels_ten_times_longer_than_wide():
    image, mask = cube()
    table = radiomics(image, mask, (1.0, 1.0, 10.0), GIVEN)
    assert values(table)["morphology", "volume_voxel_counting", ""] == mask.sum() * 10
    assert reasons_are_complete(table)
    assert table["value"].notna().mean() > 0.98


def test_each_value_of_a_label_map_is_its_own_mask():
    image, mask = cube()
    labels = np.where(mask, 2, 0)
    labels[0, 0, 0] = 5
    one = radiomics(image, labels, ONE, GIVEN, label=2)
    assert one.equals(radiomics(image, mask, ONE, GIVEN))


@pytest.mark.parametrize(
    ("image", "mask", "spacing", "given", "error", "message"),
    [
        (np.ones((3, 3, 3)), np.ones((3, 3, 2)), ONE, {}, GeometryError, r"shape \(3, 3, 3\) and a mask of shape \(3,"),
        (np.ones((3, 3, 3, 2)), np.ones((3, 3, 3, 2)), ONE, {}, GeometryError, "choose one volume of a 4-D image"),
        (np.ones((3, 3, 3, 2)), np.ones((3, 3, 3)), ONE, {}, GeometryError, "choose one volume of a 4-D image"),
        (
            np.ones((3, 3)),
            np.ones((3, 3)),
            (1.0, 1.0),
            {},
            InputRefused,
            "give the thickness of the slice as the third",
        ),
        (np.ones((3, 3, 3)), np.ones((3, 3, 3)), (1, 0, 1), {}, InputRefused, "legal: three distances above 0"),
        (np.ones((3, 3, 3)), np.ones((3, 3, 3)), (1, np.nan, 1), {}, InputRefused, "three distances above 0"),
        (np.ones((3, 3, 3), complex), np.ones((3, 3, 3)), ONE, {}, InputRefused, "image values of type complex128"),
        (np.ones((3, 3, 3)), np.full((3, 3, 3), "a"), ONE, {}, InputRefused, "mask values of type <U1"),
        (np.ones((3, 3, 3)), np.full((3, 3, 3), np.nan), ONE, {}, VoxelError, "NaN or infinite values in the mask"),
        (np.full((3, 3, 3), 0.5), np.ones((3, 3, 3)), ONE, {}, InputRefused, "not-whole"),
    ],
)
def test_what_is_wrong_with_the_call_is_refused(image, mask, spacing, given, error, message):
    with pytest.raises(error, match=message):
        radiomics(image, mask, spacing, Settings(**given))


def reasons(table):
    """Families without any value, and why."""
    lacking = table.groupby("family", sort=False).filter(lambda rows: rows["value"].isna().all())
    return dict(lacking.drop_duplicates("family")[["family", "reason"]].values.tolist())


MANY = "too-many-grey-levels: {}, which would fill the memory: widen bin_width, or give a small bin_number"


@pytest.mark.parametrize(("width", "said"), [(1e-5, "{:,.0f}"), (1e-30, "{:.1e}")])
def test_more_grey_levels_than_memory_holds_cost_the_families_that_count_them(width, said):
    image, mask = cube()
    n_levels = np.floor(np.ptp(image[mask]) / width) + 1
    table = radiomics(image, mask, ONE, GIVEN.model_copy(update={"bin_number": None, "bin_width": width}))
    lacking = reasons(table)
    assert set(lacking) == {"intensity_histogram", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"}
    assert set(lacking.values()) == {MANY.format(said.format(n_levels))}
    assert table[["family", "feature", "aggregation", "ibsi_code"]].equals(ROWS)


def test_a_family_whose_matrices_alone_would_fill_the_memory():
    image, mask = cube()
    given = GIVEN.model_copy(update={"bin_number": None, "bin_width": 0.0025, "aggregations": ("3d_merged",)})
    lacking = reasons(radiomics(image, mask, ONE, given))
    assert set(lacking) == {"glcm"}
    n_levels = int(lacking["glcm"].split()[1].strip(",").replace(",", ""))
    assert lacking["glcm"] == MANY.format(f"{n_levels:,}")
    assert n_levels**2 * 13 > 2**28


def test_an_intensity_volume_histogram_of_too_many_bins():
    image, mask = cube()
    given = Settings(families=("statistics", "intensity_volume"))
    lacking = reasons(radiomics(1e9 * image, mask, ONE, given))
    assert list(lacking) == ["intensity_volume"]
    assert lacking["intensity_volume"].startswith("too-many-bins: 1.3e+11 of the intensity-volume histogram")
    given = given.model_copy(update={"ivh": "arbitrary"})
    assert reasons(radiomics(1e9 * image, mask, ONE, given)) == {}


def test_too_many_grey_levels_of_pyradiomics_profile():
    image, mask = cube()
    table = radiomics(image, mask, ONE, PyRadiomicsSettings(binWidth=1e-9))
    lacking = reasons(table)
    assert set(lacking) == {"statistics", "intensity_histogram", "glcm", "glrlm", "glszm", "ngtdm", "ngldm"}
    assert set(lacking.values()) == {"too-many-grey-levels: 1.3e+11: widen binWidth for this image"}
    assert table[table["family"] == "morphology"]["value"].notna().all()


def test_intensities_at_the_end_of_all_numbers():
    # The value that some writers pad with. Differences overflow; grey levels are those of small numbers all the same.
    low, high = np.finfo(np.float64).min, np.finfo(np.float64).max
    halves = np.indices((6, 6, 6)).sum(axis=0) % 2
    mask = np.ones(halves.shape)
    given = Settings(families=("intensity_histogram", "glcm"), bin_number=8)
    table = radiomics(np.where(halves, high, low), mask, ONE, given)
    assert table["value"].equals(radiomics(halves, mask, ONE, given)["value"])
    given = given.model_copy(update={"bin_number": None, "bin_width": 1e-10})
    assert set(reasons(radiomics(np.where(halves, high, low), mask, ONE, given)).values()) == {MANY.format("inf")}


@pytest.mark.parametrize("unit", [1e-90, 1e-200])
def test_intensities_beside_which_squares_vanish(unit):
    image, mask = cube()
    families = ("statistics", "intensity_histogram", "glcm")
    given = Settings(families=families, bin_number=8)
    tiny, usual = (radiomics(one, mask, ONE, given) for one in (unit * image, image))
    levelled = usual["family"] != "statistics"
    assert np.allclose(tiny["value"][levelled], usual["value"][levelled])
    profile = PyRadiomicsSettings(binCount=8, imageType={"Original": {}, "Logarithm": {}})
    found = radiomics(unit * image, mask, ONE, profile)
    levelled = (found["filter"] == "") & (found["family"] == "glcm")
    assert np.allclose(found["value"][levelled], radiomics(image, mask, ONE, profile)["value"][levelled])


def test_a_response_that_overflows_has_a_reason():
    image = np.where(np.indices((6, 6, 6)).sum(axis=0) % 2, 1.0, -1.0) * np.finfo(np.float64).max
    mask = np.ones(image.shape)
    given = Settings(families=("statistics", "glcm"), bin_number=8, filter=WaveletFilter(wavelet="haar", bands="HHH"))
    table = radiomics(image, mask, ONE, given)
    assert table["value"].isna().all()
    assert set(table["reason"]) == {"not-finite: intensities so large that the response to a filter overflows"}
    profile = PyRadiomicsSettings(
        binCount=8, featureClass={"glcm": ()}, imageType={"Original": {}, "LoG": {"sigma": [2]}}
    )
    with np.errstate(over="ignore", invalid="ignore"):
        found = radiomics(image, mask, ONE, profile)
    assert found["value"].isna().all()
    assert set(found["reason"]) == {"not-finite: intensities so large that they, or their range, overflow"}


def test_what_is_said_of_an_image_that_holds_nan_outside_the_region():
    image, mask = with_nan((0, 0, 0))
    table = radiomics(image, mask, ONE, GIVEN)
    lacking = table[table["value"].isna()].groupby("family")
    assert lacking["reason"].unique().map(list).to_dict() == {
        "diagnostics": ["not-finite: the image holds NaN or infinite intensities"],
        "local_intensity": ["not-finite: NaN or infinite intensities within 6.2 mm of the region"],
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(spacing_mm=(0.002, 0.002, 0.002)), r"too-many-voxels: [\d,]+ x [\d,]+ x [\d,]+ after interpolation"),
        (
            PyRadiomicsSettings(resampledPixelSpacing=(0.002, 0.002, 0.002)),
            "legal: up to 1,073,741,824\n.*larger voxels",
        ),
    ],
)
def test_a_grid_that_would_fill_the_memory_is_refused(settings, said):
    with pytest.raises(InputRefused, match=said):
        region_features(*cube(), ONE, settings)


def test_a_laplacian_far_finer_than_a_voxel_has_a_reason():
    settings = PyRadiomicsSettings(imageType={"LoG": {"sigma": [1e-6]}}, featureClass={"firstorder": ["Mean"]})
    table = radiomics(*cube(), ONE, settings)
    assert table["reason"].tolist() == ["sigma (1e-06 mm) is far less than a voxel"]
    assert table["value"].isna().all()
