"""PyRadiomics' profile: counted by hand, its published baselines, laws, edge cases, and what its files say."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import GeometryError, InputRefused, VoxelError
from fiducial.features.radiomics import PyRadiomicsSettings, Settings, radiomics
from fiducial.features.radiomics.catalogue import catalogue
from fiducial.features.radiomics.directions import directions
from fiducial.features.radiomics.kernels import neighbourhoods
from fiducial.features.radiomics.pyradiomics import parameters_of, read_parameters
from fiducial.features.radiomics.pyradiomics.engine import COLUMNS
from fiducial.features.radiomics.pyradiomics.first_order import discretised
from fiducial.features.radiomics.pyradiomics.images import images_of
from fiducial.features.radiomics.pyradiomics.matrices import (
    around,
    maximal_correlation,
    of_one_way,
    one_way,
    several_in_a_line,
    tones_of,
)
from fiducial.features.radiomics.pyradiomics.names import names
from fiducial.features.radiomics.pyradiomics.prepare import prepare, resampled
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings
from fiducial.features.radiomics.pyradiomics.shape import shape_2d_features, shape_features
from fiducial.features.radiomics.texture import tone_differences

MM = (1.0, 1.0, 1.0)


def settings(**said):
    """Settings by PyRadiomics' names."""
    tables = {name: said.pop(name) for name in ("imageType", "featureClass") if name in said}
    return parameters_of({"setting": said, **tables})


def whole(image):
    """The box of all of an image."""
    return tuple(slice(0, n) for n in image.shape)


def values(table):
    return dict(zip(table["pyradiomics"], table["value"], strict=True))


@pytest.fixture
def block():
    """An image of whole numbers and a region that touches neither its border nor itself."""
    rng = np.random.default_rng(3)
    image = rng.integers(-200, 300, (14, 12, 9)).astype(np.int16)
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[3:10, 2:9, 2:7] = rng.random((7, 7, 5)) < 0.8
    return image, mask


# By hand.


def test_bins_begin_at_multiples_of_their_width():
    x = np.array([54, 74, 75, 99, 100, 166])
    assert discretised(x, ImageTypeSettings()).tolist() == [1, 1, 2, 2, 3, 5]
    assert discretised(np.array([-1.0, 0.0, 24.9, 25.0]), ImageTypeSettings()).tolist() == [1, 2, 2, 3]
    assert discretised(np.array([50, 50]), ImageTypeSettings()).tolist() == [1, 1]


def test_a_number_of_bins_holds_both_extremes():
    x = np.array([0.0, 2.4, 2.5, 7.6, 10.0])
    assert discretised(x, settings(binCount=4).for_image("Original")).tolist() == [1, 1, 2, 4, 4]
    # NumPy's histogram puts a single intensity into the middle.
    assert discretised(np.full(3, 7.0), settings(binCount=4).for_image("Original")).tolist() == [3, 3, 3]


def test_first_order_of_four_intensities():
    image = np.zeros((4, 4, 4), dtype=np.int16)
    mask = np.zeros(image.shape, dtype=np.uint8)
    image[:2, :2, 0], mask[:2, :2, 0] = [[1, 2], [3, 6]], 1
    found = values(radiomics(image, mask, (1.0, 1.0, 2.0), settings(featureClass={"firstorder": None}, binWidth=3)))
    wanted = {
        "Mean": 3.0,
        "Median": 2.5,
        "Energy": 50.0,
        "TotalEnergy": 100.0,
        "RootMeanSquared": 12.5**0.5,
        "Variance": 3.5,
        "10Percentile": 1.3,
        "90Percentile": 5.1,
        "InterquartileRange": 3.75 - 1.75,
        "Kurtosis": (16 + 1 + 0 + 81) / 4 / 3.5**2,
        "Entropy": 1.5,  # levels 1, 1, 2, 3
        "Uniformity": 0.375,
        "Range": 5.0,
    }
    for name, value in wanted.items():
        assert found[f"original_firstorder_{name}"] == pytest.approx(value), name
    shifted = values(
        radiomics(
            image, mask, MM, settings(featureClass={"firstorder": ["Energy", "StandardDeviation"]}, voxelArrayShift=10)
        )
    )
    assert shifted == {
        "original_firstorder_Energy": 11**2 + 12**2 + 13**2 + 16**2,
        "original_firstorder_StandardDeviation": pytest.approx(3.5**0.5),
    }


def test_the_mesh_of_one_voxel_is_an_octahedron():
    mask = np.ones((1, 1, 1), dtype=bool)
    found = shape_features(mask, (2.0, 2.0, 2.0))
    assert found["MeshVolume"] == pytest.approx(4 / 3)
    assert found["SurfaceArea"] == pytest.approx(8 * 3**0.5 / 4 * 2)
    assert found["Maximum3DDiameter"] == found["Maximum2DDiameterSlice"] == 2.0
    assert found["VoxelVolume"] == 8.0
    assert np.isnan(found["Elongation"])


def test_contours_in_one_slice():
    """Three pixels in an L, and two that share a corner."""
    found = shape_2d_features(np.array([[1, 0], [1, 1]], dtype=bool), (1.0, 1.0))
    assert found["PixelSurface"] == 3.0
    # Five cut corners, one filled one.
    assert found["MeshSurface"] == pytest.approx(3 - 5 / 8 + 1 / 8)
    assert found["Perimeter"] == pytest.approx(2 + 6 * 0.5**0.5)
    apart = shape_2d_features(np.eye(2, dtype=bool), (1.0, 2.0))
    assert apart["MeshSurface"] == pytest.approx(2 * 2 * 0.5)
    assert apart["Perimeter"] == pytest.approx(8 * 5**0.5 / 2)
    assert apart["Sphericity"] * apart["SphericalDisproportion"] == pytest.approx(1)


def test_one_way_pairs():
    levels = np.zeros((5, 3, 3), dtype=np.int32)
    levels[1:4, 1, 1] = [1, 2, 2]
    counts = one_way(levels, np.array([[1, 0, 0], [-1, 0, 0]]), 2)
    assert counts[0].tolist() == [[0, 1], [0, 1]]
    assert counts[1].tolist() == [[0, 0], [1, 1]]


def test_the_maximal_correlation_is_1_of_what_is_known_and_0_of_what_is_not():
    known, unknown, flat = np.diag([3.0, 5.0]), np.outer([1.0, 2.0], [1.0, 2.0]), np.diag([0.0, 4.0])
    assert maximal_correlation(np.stack([known, unknown])) == pytest.approx([1, 0], abs=1e-7)
    assert maximal_correlation(flat[None]).tolist() == [1]


def test_lines_of_a_region():
    levels = np.zeros((5, 5, 5), dtype=np.int32)
    levels[1, 1, 1] = levels[3, 3, 1] = 1
    assert several_in_a_line(levels, np.array([1, 1, 0]))
    assert not several_in_a_line(levels, np.array([1, -1, 0]))


def test_transformed_images_by_hand():
    image = np.array([[[-4.0, 0.0, 1.0, 4.0]]])

    def made(kind):
        return next(images_of(kind, image, MM, whole(image), ImageTypeSettings()))[1]().ravel()

    assert made("Square") == pytest.approx([4, 0, 0.25, 4])
    assert made("SquareRoot") == pytest.approx([-4, 0, 2, 4])
    assert made("Logarithm") == pytest.approx([-4, 0, 4 * np.log(2) / np.log(5), 4])
    assert made("Exponential") == pytest.approx([1 / 4, 1, 4**0.25, 4])


# Against the definitions of the standard, where they agree.

SAME = ("glcm", "glrlm", "glszm", "gldm")


def test_where_the_table_sees_no_difference_the_values_are_the_standards(block):
    """The same grey levels (bins of 1), directions averaged: what the table does not name is equal."""
    image, mask = block
    levels = (np.abs(image) % 7 + 1).astype(np.int16)
    levels[3, 2, 2], mask[3, 2, 2] = 1, 1
    ours = radiomics(levels, mask, (1.0, 1.5, 2.0), Settings(aggregations=("3d_averaged",)))
    theirs = radiomics(levels, mask, (1.0, 1.5, 2.0), settings(binWidth=1))
    standard = {(row.family, row.feature): row.value for row in ours.itertuples()}
    for row in theirs.itertuples():
        of_class = row.pyradiomics.split("_")[1]
        if row.ibsi_code and not row.reason:
            assert row.value == pytest.approx(standard[row.family, row.feature], rel=1e-9), row.pyradiomics
        elif row.ibsi_code and of_class == "shape":
            assert row.value == pytest.approx(standard[row.family, row.feature], rel=0.05), row.pyradiomics
    differing = {row.pyradiomics for row in theirs.itertuples() if row.reason.startswith("PyRadiomics")}
    assert "original_firstorder_Kurtosis" in differing
    kurtosis = theirs.set_index("pyradiomics")["value"]["original_firstorder_Kurtosis"]
    assert kurtosis == pytest.approx(standard["statistics", "kurtosis"] + 3)


def test_codes_are_the_catalogues_and_names_are_unique():
    codes = {(one.family, one.name): one.code for family in catalogue().values() for one in family}
    named = [one for of_class in names().values() for one in of_class]
    assert len({(one.of_class, one.name) for one in named}) == len(named) == 127
    for one in named:
        assert one.ibsi_code == codes.get((one.family, one.feature), ""), one
        assert one.computed in ("yes", "named", "no")
        # Without a code, there is a difference to state.
        assert one.ibsi_code or one.difference, one
        assert one.computed != "no" or one.difference.startswith("PyRadiomics gives no value"), one
    computed = [one for one in named if one.computed == "yes" and one.of_class != "shape2D"]
    assert len(computed) == 107
    assert len({(one.family, one.feature) for one in computed}) == 107


def test_neighbours_at_chosen_distances_are_the_kernels_where_both_count(block):
    image, mask = block
    levels = np.pad(np.where(mask > 0, np.abs(image) % 4 + 1, 0).astype(np.int32), 2)
    steps = np.concatenate([directions(3, 1), directions(3, 2)])
    (n_voxels, differences), dependences = around(levels, np.concatenate([steps, -steps]), 1)
    by_neighbours, counted = neighbourhoods(levels, 4, 2, 2, 1, 2, len(levels) - 2)
    _, wanted, voxels = tone_differences(by_neighbours)[0].T
    for found in (differences, tones_of(by_neighbours[0])[1]):
        assert np.allclose(found, wanted)
    assert n_voxels.tolist() == tones_of(by_neighbours[0])[0].tolist() == voxels.tolist()
    assert np.array_equal(dependences, counted)


def test_of_a_symmetric_matrix_both_ways_are_one():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (3, 5, 5)).astype(np.float64)
    counts += counts.transpose(0, 2, 1)
    from fiducial.features.radiomics.glcm import glcm_features

    known = glcm_features(counts)
    for name, found in of_one_way(counts).items():
        assert np.allclose(found, known[name]), name


# Laws.


def test_the_label_and_booleans_are_the_same_region(block):
    image, mask = block
    first = radiomics(image, mask, MM, PyRadiomicsSettings())
    second = radiomics(image, (mask * 3).astype(np.uint8), MM, settings(label=3))
    third = radiomics(image, mask > 0, MM, PyRadiomicsSettings())
    assert first["value"].tolist() == second["value"].tolist() == third["value"].tolist()
    assert tuple(first.columns) == COLUMNS


def test_a_shift_by_whole_bins_changes_no_texture(block):
    image, mask = block
    first = values(radiomics(image, mask, MM, PyRadiomicsSettings()))
    second = values(radiomics(image + np.int16(75), mask, MM, PyRadiomicsSettings()))
    for name, value in first.items():
        if "firstorder" not in name:
            assert second[name] == pytest.approx(value, rel=1e-12), name
    assert second["original_firstorder_Mean"] == pytest.approx(first["original_firstorder_Mean"] + 75)


@pytest.mark.parametrize("dimension", [0, 1, 2])
def test_a_plane_is_a_plane_wherever_it_lies(block, dimension):
    image, mask = block
    order = {0: (0, 1, 2), 1: (0, 2, 1), 2: (2, 1, 0)}[dimension]
    flat = values(radiomics(image, mask, MM, settings(force2D=True)))
    turned = values(
        radiomics(image.transpose(order), mask.transpose(order), MM, settings(force2D=True, force2Ddimension=dimension))
    )
    for name, value in flat.items():
        if "glszm" in name or "gldm" in name or "ngtdm" in name:
            assert turned[name] == pytest.approx(value), name


def test_resampled_grids_share_a_corner():
    image = np.arange(8.0)[:, None, None] * np.ones((1, 6, 6))
    inside = np.zeros(image.shape, dtype=bool)
    inside[:, 1:5, 1:5] = True
    made, kept, mm = resampled(
        image, inside, MM, settings(resampledPixelSpacing=[2, 0, 0], interpolator="sitkLinear", padDistance=9)
    )
    assert mm == (2.0, 1.0, 1.0)
    assert made[:, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    assert kept.sum() == 4 * 16
    whole, _, _ = resampled(
        image.astype(np.int16), inside, MM, settings(resampledPixelSpacing=[2, 0, 0], interpolator="sitkLinear")
    )
    assert whole[:, 0, 0].tolist() == [0, 2, 4, 6]


def test_an_axis_of_one_slice_keeps_its_spacing():
    image = np.random.default_rng(0).normal(size=(8, 8, 5))
    inside = np.zeros(image.shape, dtype=bool)
    inside[2:6, 2:6, 3] = True
    assert resampled(image, inside, MM, settings(resampledPixelSpacing=[2, 2, 2]))[2] == (2.0, 2.0, 1.0)


def test_wavelet_bands_are_named_x_first():
    image = np.tile(np.array([0.0, 1.0])[:, None, None], (4, 9, 8))
    bands = {name: make() for name, make, _ in images_of("Wavelet", image, MM, whole(image), ImageTypeSettings())}
    assert next(iter(bands)) == "wavelet-LLH"
    assert list(bands)[-1] == "wavelet-LLL"
    assert np.abs(bands["wavelet-HLL"]).max() > 1
    assert max(np.abs(bands[name]).max() for name in bands if name not in ("wavelet-HLL", "wavelet-LLL")) < 1e-12
    assert all(made.shape == image.shape for made in bands.values())
    second = settings(imageType={"Wavelet": {"level": 2}}).for_image("Wavelet")
    assert [name for name, _, _ in images_of("Wavelet", image, MM, whole(image), second)][-1] == "wavelet2-LLL"


def test_features_of_images_are_told_apart(block):
    image, mask = block
    types = {"Original": None, "LoG": {"sigma": [1.0, 2], "binWidth": 10}, "Gradient": {}, "LBP2D": {}}
    table = radiomics(
        image, mask, MM, settings(imageType=types, featureClass={"firstorder": ["Mean"], "glcm": ["MCC"]})
    )
    assert table["filter"].unique().tolist() == ["", "log-sigma-1-0-mm-3D", "log-sigma-2-mm-3D", "gradient", "lbp-2D"]
    assert not table.duplicated(["filter", "family", "feature", "aggregation"]).any()
    assert table["value"].notna().all()


# Edge cases.


def test_what_pyradiomics_takes_no_features_of_is_refused(block):
    image, mask = block
    one = np.zeros_like(mask)
    one[4, 4, 4] = 1
    line = np.zeros_like(mask)
    line[4:8, 4, 4] = 1
    with pytest.raises(InputRefused, match=r"too-flat: the region extends along 0 of 3 axes"):
        radiomics(image, one, MM, PyRadiomicsSettings())
    with pytest.raises(InputRefused, match=r"too-flat.*\n.*at least 2 \(minimumROIDimensions\)"):
        radiomics(image, line, MM, PyRadiomicsSettings())
    assert len(radiomics(image, line, MM, settings(minimumROIDimensions=1))) == 107
    with pytest.raises(InputRefused, match="too-small"):
        radiomics(image, mask, MM, settings(minimumROISize=500))
    with pytest.raises(InputRefused, match="empty-mask: no voxel has the label 7"):
        radiomics(image, mask, MM, settings(label=7))
    with pytest.raises(InputRefused, match="empty-after-resegmentation"):
        radiomics(image, mask, MM, settings(resegmentRange=[900]))
    with pytest.raises(GeometryError, match="resample the mask"):
        radiomics(image, mask[1:], MM, PyRadiomicsSettings())


def test_nan_counts_where_it_is_seen(block):
    image, mask = block
    hole = image.astype(np.float32)
    hole[0, 0, 0] = np.nan
    assert radiomics(hole, mask, MM, PyRadiomicsSettings())["value"].notna().all()
    with pytest.raises(VoxelError, match="not-finite: NaN or infinite intensities in the image"):
        radiomics(hole, mask, MM, settings(imageType={"Wavelet": {}}))
    hole[mask > 0] = np.nan
    with pytest.raises(VoxelError, match="in the region"):
        radiomics(hole, mask, MM, PyRadiomicsSettings())


def test_a_flat_region_has_pyradiomics_answers():
    image, mask = np.full((6, 6, 6), 40, dtype=np.int16), np.zeros((6, 6, 6), dtype=np.uint8)
    mask[1:5, 1:5, 2] = 1
    found = values(radiomics(image, mask, MM, PyRadiomicsSettings()))
    assert found["original_glcm_Correlation"] == found["original_glcm_MCC"] == 1
    assert found["original_glcm_Imc1"] == found["original_firstorder_Skewness"] == 0
    assert found["original_ngtdm_Coarseness"] == 1e6
    assert found["original_shape_LeastAxisLength"] == 0
    # Directions out of the slice have single voxels only, and do not count.
    assert found["original_glrlm_ShortRunEmphasis"] < 0.6


def test_a_filter_without_an_image_says_why(block):
    image, mask = block
    thin = values_of = radiomics(
        image[:, :, 3:6], mask[:, :, 3:6], MM, settings(imageType={"LoG": {"sigma": [1]}}, featureClass={"glszm": None})
    )
    assert values_of["value"].isna().all()
    assert set(thin["reason"]) == {"the image has fewer than 4 voxels along an axis"}
    wide = radiomics(image, mask, MM, settings(imageType={"LoG": {"sigma": [20]}}, featureClass={"glszm": None}))
    assert set(wide["reason"]) == {"the image is smaller than sigma (20 mm) along an axis"}


def test_shape_2d_is_of_one_slice(block):
    image, mask = block
    classes = {"shape2D": None}
    assert set(radiomics(image, mask, MM, settings(featureClass=classes))["reason"]) == {"shape2D needs force2D"}
    several = radiomics(image, mask, MM, settings(featureClass=classes, force2D=True))
    assert set(several["reason"]) == {"the region extends over 5 slices; shape2D is of one"}
    mask[:, :, :4] = mask[:, :, 5:] = 0
    one = radiomics(image, mask, MM, settings(featureClass=classes, force2D=True))
    assert one["value"].notna().all()
    assert len(one) == 9


def test_normalisation_is_of_the_whole_image(block):
    image, mask = block
    made = prepare(image, mask, MM, settings(normalize=True, normalizeScale=100, removeOutliers=1)).image
    assert made.min() == -100
    assert made.max() == 100
    free = prepare(image, mask, MM, settings(normalize=True)).image.astype(np.float64)
    assert free.mean() == pytest.approx(0, abs=1e-6)
    assert free.std(ddof=1) == pytest.approx(1, rel=1e-6)


def test_an_image_of_one_intensity_is_not_normalised(block):
    image, mask = block
    with pytest.raises(InputRefused, match="flat-image: every voxel is 7"):
        radiomics(np.full_like(image, 7), mask, MM, settings(normalize=True))


@pytest.mark.parametrize("kind", [">i2", "<i2", "i4", "i8", "f4", ">f4", "f8"])
def test_whole_numbers_of_any_type_have_one_answer(block, kind):
    image, mask = block
    given = settings(imageType={"Original": {}, "Square": {}, "LoG": {"sigma": [2]}}, featureClass={"firstorder": None})
    wanted = radiomics(image.astype("f8"), mask, MM, given)["value"]
    assert np.allclose(radiomics(image.astype(kind), mask, MM, given)["value"], wanted, rtol=1e-5)


def test_more_grey_levels_than_memory_holds_are_named(block):
    image, mask = block
    table = radiomics(image, mask, MM, settings(binWidth=0.01, featureClass={"firstorder": ["Mean"], "glcm": None}))
    assert table["value"].notna().sum() == 1
    assert table["reason"].iloc[1].endswith("grey levels; up to 4096 are counted: widen binWidth for this image")


def test_cropping_first_is_what_filters_then_see(block):
    image, mask = block
    made = prepare(image, mask, MM, settings(preCrop=True, padDistance=1))
    assert made.image.shape == (9, 9, 7)
    assert made.image[made.box].shape == made.shape_mask.shape == (7, 7, 5)


def test_information_about_image_and_mask(block):
    image, mask = block
    table = radiomics(image, mask, MM, settings(additionalInfo=True, resegmentRange=[0], featureClass={"ngtdm": None}))
    found = values(table)
    assert found["diagnostics_Image-original_Mean"] == pytest.approx(image.mean())
    assert found["diagnostics_Mask-original_VoxelNum"] == mask.sum()
    assert found["diagnostics_Mask-resegmented_VoxelNum"] == ((mask > 0) & (image >= 0)).sum()
    assert found["diagnostics_Mask-resegmented_Minimum"] >= 0


# Parameter files.

EXAMPLE = """
# As a study has it.
imageType:
  Original: {}
  LoG:
    sigma: [2.0, 3]
  Wavelet: {}
featureClass:
  shape:
  firstorder: []
  glcm:
    - Contrast
    - 'JointEnergy'
setting:
  binWidth: 10
  interpolator: 'sitkBSpline'
  resampledPixelSpacing: [1, 1, 1]
  weightingNorm:
  label: 1
"""


def test_a_parameter_file_is_read_as_it_is(tmp_path):
    (tmp_path / "Params.yaml").write_text(EXAMPLE)
    read = read_parameters(tmp_path / "Params.yaml")
    assert read.bin_width == 10
    assert read.resampled_pixel_spacing == (1.0, 1.0, 1.0)
    assert read.image_types == {"Original": {}, "LoG": {"sigma": [2.0, 3]}, "Wavelet": {}}
    assert read.feature_classes == {"shape": (), "firstorder": (), "glcm": ("Contrast", "JointEnergy")}
    assert read.for_image("LoG").sigma == (2.0, 3)
    assert PyRadiomicsSettings.model_validate(read.model_dump(mode="json")) == read
    (tmp_path / "empty.yaml").write_text("")
    assert read_parameters(tmp_path / "empty.yaml") == PyRadiomicsSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("setting: {binwidth: 3}", r"no setting 'binwidth'; did you mean binWidth\?"),
        ("setting: {binWidth: 0}", "binWidth: Input should be greater than 0"),
        ("setting: {geometryTolerance: 0.01}", "geometryTolerance is not honoured; .*resample the mask"),
        ("setting: {correctMask: true}", "correctMask: Input should be False"),
        ("setting: {label_channel: 1}", "label_channel: Input should be 0"),
        ("setting: {3: 4}", "no setting 3"),
        ("setting: {wavelet: daubechies}", "no wavelet 'daubechies'; legal: .*coif1"),
        ("setting: {interpolator: sitkSpline}", "no interpolator 'sitkSpline'; legal: sitkNearestNeighbor"),
        ("setting: {distances: [0]}", "distances: legal: different whole numbers from 1 on"),
        ("setting: {resegmentRange: [1, 2, 3]}", "3 numbers; legal: one or two"),
        ("setting: {resampledPixelSpacing: [1, 1]}", "resampledPixelSpacing.2: Field required"),
        ("setting: {weightingNorm: max}", "weightingNorm: Input should be 'manhattan'"),
        ("setting: {imageType: {}}", "setting.imageType: no setting"),
        ("voxelSetting: {kernelRadius: 2}", "voxelSetting is not honoured"),
        ("imageType: {LBP3D: {}}", "imageType.LBP3D is not here; legal: Original, Wavelet"),
        ("imageType: {Wavelets: {}}", "no image type 'Wavelets'"),
        ("imageType: {LoG: {}}", "imageType.LoG: no sigma"),
        ("imageType: {Wavelet: {normalize: true}}", "imageType.Wavelet.normalize: cannot be said for one image type"),
        ("imageType: {Wavelet: {level: 0}}", "imageType.Wavelet.level: Input should be greater"),
        ("featureClass: {glcm: [Contrasts]}", r"no feature 'Contrasts'; did you mean Contrast\?"),
        ("featureClass: {glcm: [Dissimilarity]}", "glcm.Dissimilarity: PyRadiomics gives no value: it equals Diff"),
        ("featureClass: {gldzm: }", "no class 'gldzm'; legal: firstorder, shape"),
        ("settings: {}", "no table 'settings'\n.*the tables setting, imageType, featureClass"),
        ("- a", "a list\n"),
        ("setting: [1", "no YAML"),
        ("setting: &a {}\nimageType: *a", r"a reference \(\*\)"),
        ("setting: !!python/object/apply:os.getcwd []", "no YAML: could not determine a constructor"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "Params.yaml").write_text(text)
    with pytest.raises(InputRefused, match=rf"(?s)Params.yaml.*{message}"):
        read_parameters(tmp_path / "Params.yaml")


def test_a_file_that_is_not_there_or_too_long_is_named(tmp_path):
    with pytest.raises(InputRefused, match="no such file"):
        read_parameters(tmp_path / "Params.yaml")
    (tmp_path / "Params.yaml").write_text("#" * 1_000_001)
    with pytest.raises(InputRefused, match="up to 1000000 bytes"):
        read_parameters(tmp_path / "Params.yaml")
