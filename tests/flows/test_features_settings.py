"""Settings of `fiducial features`: by profile, from TOML, from PyRadiomics' parameters; the table in both shapes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fiducial.archive import write_nifti
from fiducial.cli.commands import app
from fiducial.cohort.ingest import ingest
from fiducial.errors import InputRefused
from fiducial.features.radiomics import PyRadiomicsSettings, Settings, radiomics
from fiducial.flows import features
from fiducial.flows.features_settings import load_settings, settings_of, widened
from fiducial.records.image import Geometry, Image
from fiducial.records.radiomics import FEATURES
from fiducial.records.tables import read_table

GRID = Geometry(np.diag([1.0, 1.0, 2.0, 1.0]), (12, 11, 6))


@pytest.fixture
def cohort(tmp_path):
    """Two images with a structure each."""
    for number in range(2):
        voxels = np.random.default_rng(number).integers(1, 200, GRID.shape).astype(np.int16)
        mask = np.zeros(GRID.shape, np.uint8)
        mask[2:7, 2:6, 1:4] = 1
        write_nifti(Image(voxels[None], GRID, "MR", ""), tmp_path / f"images/case{number}.nii.gz")
        write_nifti(Image(mask[None], GRID, "", ""), tmp_path / f"labels/case{number}.nii.gz")
    ingest(tmp_path, tmp_path / "cohort", workers=1)
    return tmp_path / "cohort"


def test_the_profile_gives_pyradiomics_table(cohort, tmp_path):
    made = features(cohort, tmp_path / "features.parquet", config=load_settings(None, profile="pyradiomics"), workers=1)
    assert (made.n_regions, made.n_features) == (2, 107)
    table = read_table(made.out, FEATURES)
    one = table[table["image"] == "case1"].set_index("pyradiomics")["value"]
    voxels = np.random.default_rng(1).integers(1, 200, GRID.shape).astype(np.int16)
    region = np.zeros(GRID.shape)
    region[2:7, 2:6, 1:4] = 1
    direct = radiomics(voxels, region, (1.0, 1.0, 2.0), PyRadiomicsSettings()).set_index("pyradiomics")["value"]
    assert np.allclose(one[direct.index], direct)
    assert one["original_firstorder_Mean"] == pytest.approx(voxels[region > 0].mean())


def test_the_command_reads_parameters_and_writes_a_row_for_each_region(cohort, tmp_path):
    (tmp_path / "Params.yaml").write_text(
        "imageType: {Original: {}, Wavelet: {}}\nfeatureClass: {firstorder: [Mean, Energy], glcm: [Contrast]}\n"
        "setting: {binWidth: 10}\n"
    )
    out, wide = tmp_path / "features.parquet", tmp_path / "wide.csv"
    said = ["--params", str(tmp_path / "Params.yaml"), "--wide", str(wide), "--workers", "1", "--quiet"]
    done = CliRunner().invoke(app, ["features", str(cohort), "-o", str(out), *said])
    assert done.exit_code == 0, done.output
    assert "2 regions of 2 images, 27 features each" in done.output
    table = pd.read_csv(wide)
    assert len(table) == 2
    assert table.columns[:2].tolist() == ["subject", "visit"]
    assert table.columns[-27:].tolist()[:4] == [
        "original_firstorder_Energy",
        "original_firstorder_Mean",
        "original_glcm_Contrast",
        "wavelet-LLH_firstorder_Energy",
    ]
    assert table.iloc[:, -27:].notna().all().all()


def test_a_wide_table_of_the_standards_names():
    rows = [
        {"mask": mask, "family": "glcm", "feature": name, "aggregation": "3d_merged", "value": value}
        for mask, name, value in (("b", "contrast", 1.0), ("b", "correlation", 2.0), ("a", "contrast", 3.0))
    ]
    names = ("subject", "visit", "site", "split", "image", "structure", "rater")
    wide = widened(pd.DataFrame(rows).assign(**dict.fromkeys(names, "")))
    assert wide["mask"].tolist() == ["b", "a"]
    assert wide["glcm_contrast_3d_merged"].tolist() == [1.0, 3.0]
    assert wide["glcm_correlation_3d_merged"].isna().tolist() == [False, True]


def test_a_toml_file_names_its_profile(tmp_path):
    path = tmp_path / "radiomics.toml"
    path.write_text('profile = "pyradiomics"\n[setting]\nbinWidth = 5\n[imageType.LoG]\nsigma = [2.0]\n')
    read = load_settings(path)
    assert isinstance(read, PyRadiomicsSettings)
    assert (read.bin_width, list(read.image_types)) == (5, ["LoG"])
    assert settings_of(read.model_dump(mode="json")) == read
    path.write_text("bin_width = 5\n")
    assert isinstance(load_settings(path), Settings)
    assert settings_of(load_settings(path).model_dump(mode="json")) == load_settings(path)


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        ('profile = "mirp"', {}, "profile 'mirp'\n  legal: ibsi, pyradiomics"),
        ('profile = "ibsi"', {"profile": "pyradiomics"}, "profile 'ibsi' in the file, 'pyradiomics' asked for"),
        ("bin_width = 5", {"profile": "pyradiomics"}, "no table 'bin_width'"),
        ('profile = "pyradiomics"\n[setting]\nbins = 3', {}, "no setting 'bins'"),
        ("bin_width = 5", {"params": "Params.yaml"}, "two files of settings\n  legal: --config or --params"),
        ("bin_width = 5", {"profile": "mirp"}, "profile 'mirp'"),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path, text, asked, message):
    (tmp_path / "radiomics.toml").write_text(text)
    with pytest.raises(InputRefused, match=message):
        load_settings(tmp_path / "radiomics.toml", **asked)


def test_parameters_are_pyradiomics(tmp_path):
    (tmp_path / "Params.yaml").write_text("setting: {label: 2}\n")
    with pytest.raises(InputRefused, match="PyRadiomics' parameters with the profile ibsi"):
        load_settings(None, profile="ibsi", params=tmp_path / "Params.yaml")
    read = load_settings(None, profile="pyradiomics", params=tmp_path / "Params.yaml")
    assert read.label == 2


def test_the_label_is_the_cohorts(cohort, tmp_path):
    with pytest.raises(InputRefused, match=r"setting.label: 2\n.*mask_value"):
        features(cohort, tmp_path / "features.parquet", config=PyRadiomicsSettings(label=2), workers=1)


def test_each_perturbation_is_a_row_of_the_wide_table():
    rows = [
        {"mask": mask, "perturbation": how, "family": "glcm", "feature": "contrast", "aggregation": "", "value": value}
        for mask, how, value in (("b", "", 1.0), ("b", "turned", 2.0), ("a", "", 3.0))
    ]
    names = ("subject", "visit", "site", "split", "image", "structure", "rater")
    wide = widened(pd.DataFrame(rows).assign(**dict.fromkeys(names, "")))
    assert wide[["mask", "perturbation", "glcm_contrast"]].values.tolist() == [
        ["b", "", 1.0],
        ["b", "turned", 2.0],
        ["a", "", 3.0],
    ]


def test_a_folder_is_no_file_of_settings(tmp_path):
    with pytest.raises(InputRefused, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
