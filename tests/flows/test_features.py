"""`fiducial features`: every mask of a cohort, read once by image; regions without an answer are set aside by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fiducial.archive import read_image, read_mask, write_nifti
from fiducial.cohort.ingest import ingest
from fiducial.errors import InputRefused
from fiducial.features.radiomics import Settings, radiomics
from fiducial.features.radiomics.perturb import perturbed_radiomics, seed_of
from fiducial.flows import features, stability
from fiducial.flows.features_record import read_record
from fiducial.flows.features_settings import load_settings
from fiducial.flows.perturbed import load_perturbations
from fiducial.records.image import Geometry, Image
from fiducial.records.radiomics import FEATURES, STABILITY
from fiducial.records.tables import read_table

GRID = Geometry(np.diag([1.0, 1.0, 2.0, 1.0]), (12, 11, 6))


@pytest.fixture
def cohort(tmp_path):
    """Three images with two structures each; the second structure of the last is not there."""
    rng = np.random.default_rng(0)
    for number in range(3):
        voxels = rng.integers(1, 9, GRID.shape).astype(np.int16)
        mask = np.zeros(GRID.shape, np.uint8)
        mask[2:6, 2:6, 1:4] = 1
        if number < 2:
            mask[7:10, 7:10, 2:5] = 2
        write_nifti(Image(voxels[None], GRID, "MR", ""), tmp_path / f"images/case{number}.nii.gz")
        write_nifti(Image(mask[None], GRID, "", ""), tmp_path / f"labels/case{number}.nii.gz")
    ingest(tmp_path, tmp_path / "cohort", workers=1)
    return tmp_path / "cohort"


def test_the_table_holds_what_the_function_gives(cohort, tmp_path):
    config = tmp_path / "radiomics.toml"
    config.write_text('families = ["statistics", "glcm"]\n')
    made = features(cohort, tmp_path / "features.parquet", config=config, workers=1)
    assert (made.n_regions, made.n_images, made.n_features) == (5, 3, 18 + 25)
    table = pd.read_parquet(made.out)
    one = table[table["mask"] == "case0~label_1"]
    image = np.random.default_rng(0).integers(1, 9, GRID.shape)
    region = np.zeros(GRID.shape)
    region[2:6, 2:6, 1:4] = 1
    direct = radiomics(image, region, (1.0, 1.0, 2.0), Settings(families=("statistics", "glcm")))
    assert np.allclose(one["value"], direct["value"])
    assert set(one["structure"]) == {"label_1"}
    assert set(one["image"]) == {"case0"}
    said = read_record(made.out)
    assert said.settings["families"] == ["statistics", "glcm"]
    assert said.set_aside == made.set_aside
    assert not said.changed


def test_an_empty_region_is_set_aside_by_name(cohort, tmp_path):
    made = features(cohort, tmp_path / "features.parquet", workers=1)
    ((mask, reason),) = made.set_aside
    assert mask == "case2~label_2"
    assert reason == "label-missing: no voxel of value 2; the mask holds 1"
    assert (made.n_regions, made.n_images) == (5, 3)
    table = read_table(made.out, FEATURES)
    own = table[table["mask"] == mask]
    assert own["value"].isna().all()
    assert set(own["reason"]) == {reason}
    whole = table[table["mask"] == "case0~label_1"]
    assert own[["family", "feature", "aggregation"]].values.tolist() == (
        whole[["family", "feature", "aggregation"]].values.tolist()
    )


def test_workers_give_the_same(cohort, tmp_path):
    one = features(cohort, tmp_path / "a.parquet", workers=1)
    two = features(cohort, tmp_path / "b.parquet", workers=2)
    pd.testing.assert_frame_equal(pd.read_parquet(one.out), pd.read_parquet(two.out))
    assert one.set_aside == two.set_aside
    assert sorted(path.name for path in tmp_path.glob(".*ledger")) == []


def test_a_cohort_without_masks_is_refused(tmp_path):
    write_nifti(Image(np.ones((1, 4, 4, 4), np.int16), Geometry(np.eye(4), (4, 4, 4))), tmp_path / "images/a.nii.gz")
    ingest(tmp_path, tmp_path / "cohort", workers=1)
    with pytest.raises(InputRefused, match="no mask in this cohort"):
        features(tmp_path / "cohort", tmp_path / "features.parquet", workers=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bins = 3", "bins: Extra inputs are not permitted"),
        ("bin_number = 1", "bin_number: Input should be greater than or equal to 2"),
        ("families = [", "no TOML"),
        ('aggregations = ["3d"]', "legal: 2d_averaged"),
    ],
)
def test_a_broken_config_is_named(tmp_path, text, message):
    (tmp_path / "radiomics.toml").write_text(text)
    with pytest.raises(InputRefused, match=message):
        load_settings(tmp_path / "radiomics.toml")


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(InputRefused, match="no such file"):
        load_settings(tmp_path / "radiomics.toml")


PERTURBATIONS = """
seed = 3

[[perturbation]]
name = "turned"
rotate_degrees = 6
translate_voxels = [0.25, 0, 0]

[[perturbation]]
name = "drawn"
contour = true
noise = 1.0
repeats = 2
"""


def test_perturbations_are_rows_beside_the_region_as_it_is(cohort, tmp_path):
    config, perturb = tmp_path / "radiomics.toml", tmp_path / "perturb.toml"
    config.write_text('families = ["statistics", "glcm"]\nbin_number = 8\n')
    perturb.write_text(PERTURBATIONS)
    plain = features(cohort, tmp_path / "plain.parquet", config=config, workers=1)
    made = features(cohort, tmp_path / "features.parquet", config=config, perturb=perturb, workers=1)
    assert (made.n_regions, made.n_features, made.n_perturbations) == (5, 18 + 25, 3)
    table = read_table(made.out, FEATURES)
    assert sorted(set(table["perturbation"])) == ["", "drawn.1", "drawn.2", "turned"]
    assert len(table) == (4 * 5 + 1) * (18 + 25)  # the region that has none says so once
    own = pd.read_parquet(plain.out)
    assert np.array_equal(table[table["perturbation"] == ""]["value"], own["value"], equal_nan=True)
    one = table[(table["mask"] == "case1~label_2") & (table["perturbation"] == "drawn.2")]
    image = read_image(tmp_path / "images/case1.nii.gz")
    mask = read_mask(tmp_path / "labels/case1.nii.gz", label=2)
    step = load_perturbations(perturb).perturbation[1]
    direct = perturbed_radiomics(
        image.array[0],
        mask.array[0],
        image.geometry.spacing_mm,
        load_settings(config),
        step,
        seed=seed_of(3, "case1~label_2", "drawn.2"),
    )
    assert np.allclose(one["value"], direct["value"], equal_nan=True)
    assert read_record(made.out).perturbations["seed"] == 3


SEVERAL = {
    "filters": """families = ["morphology", "statistics"]
spacing_mm = [1, 1, 1]
[filters]
log = {kind = "log", sigma_mm = 2}
mean = {kind = "mean", support = 3}
""",
    "pyradiomics": """profile = "pyradiomics"
[featureClass]
shape = []
firstorder = ["Mean", "Median"]
[imageType.Original]
[imageType.LoG]
sigma = [2.0]
[imageType.Wavelet]
""",
}


@pytest.mark.parametrize(
    ("text", "images", "n"),
    [(SEVERAL["filters"], 3, 29 + 3 * 18), (SEVERAL["pyradiomics"], 10, 14 + 10 * 2)],
    ids=SEVERAL,
)
def test_perturbed_features_of_several_images_are_told_apart(cohort, tmp_path, text, images, n):
    config, perturb = tmp_path / "radiomics.toml", tmp_path / "perturb.toml"
    config.write_text(text)
    perturb.write_text(PERTURBATIONS)
    made = features(cohort, tmp_path / "features.parquet", config=config, perturb=perturb, workers=1)
    assert (made.n_regions, made.n_features, made.n_perturbations) == (5, n, 3)
    table = read_table(made.out, FEATURES)  # which refuses a feature that stands there twice
    assert len(table) == (4 * 5 + 1) * n
    assert table["filter"].nunique() == images
    own = table[table["mask"] == "case1~label_2"].set_index(["filter", "feature"])
    image, mask = read_image(tmp_path / "images/case1.nii.gz"), read_mask(tmp_path / "labels/case1.nii.gz", label=2)
    for name, number in (("turned", 0), ("drawn.2", 1)):
        step, seed = load_perturbations(perturb).perturbation[number], seed_of(3, "case1~label_2", name)
        given = image.array[0], mask.array[0], image.geometry.spacing_mm
        direct = perturbed_radiomics(*given, load_settings(config), step, seed=seed)
        one = own[own["perturbation"] == name]
        assert list(one.index) == list(zip(direct["filter"], direct["feature"], strict=True))
        assert np.array_equal(one["value"], direct["value"], equal_nan=True)
        assert not np.allclose(one["value"], own[own["perturbation"] == ""]["value"])
    graded = stability(made.out, tmp_path / "stability")
    found = read_table(graded.out, STABILITY)
    assert len(found) == n == sum(sum(counts.values()) for counts in graded.filters.values())
    assert list(found["filter"].unique()) == list(table["filter"].unique())


def test_a_perturbation_without_an_answer_is_set_aside_and_others_go_on(cohort, tmp_path):
    perturb = tmp_path / "perturb.toml"
    perturb.write_text('[[perturbation]]\nname = "far"\ntranslate_voxels = [50, 0, 0]\n' + PERTURBATIONS[11:])
    made = features(cohort, tmp_path / "features.parquet", perturb=perturb, workers=1)
    reasons = dict(made.set_aside)
    assert "left the image" in reasons["case0~label_1 (far)"]
    assert len(reasons) == 5 + 1  # every region once, and the one that is empty as it is
    assert set(pd.read_parquet(made.out)["perturbation"]) == {"", "turned", "drawn.1", "drawn.2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1\n", "perturbation: Field required"),
        ('[[perturbation]]\nname = "a"\n', "nothing is changed"),
        ('[[perturbation]]\nname = "a"\nrotate = 3\n', "perturbation.0.rotate: Extra inputs"),
        ("[[perturbation]\n", "no TOML"),
    ],
)
def test_a_file_of_perturbations_that_is_not_legal(cohort, tmp_path, text, message):
    perturb = tmp_path / "perturb.toml"
    perturb.write_text(text)
    with pytest.raises(InputRefused) as refused:
        features(cohort, tmp_path / "features.parquet", perturb=perturb, workers=1)
    assert message in str(refused.value)
    assert str(perturb) in str(refused.value)


def test_no_file_of_perturbations(cohort, tmp_path):
    with pytest.raises(InputRefused, match="no such file"):
        features(cohort, tmp_path / "features.parquet", perturb=tmp_path / "none.toml", workers=1)
