"""`fiducial feature-maps`: a file for each feature of each mask, where the region lies."""

from __future__ import annotations

import nibabel
import numpy as np
import pandas as pd
import pytest

from fiducial.archive import write_nifti
from fiducial.cohort.ingest import ingest
from fiducial.errors import InputRefused
from fiducial.features.radiomics import Settings, radiomics_map
from fiducial.flows import feature_maps, features
from fiducial.flows.feature_maps import folder_name
from fiducial.records.image import Geometry, Image

GRID = Geometry(np.array([[0, -1.0, 0, 20], [1.5, 0, 0, -9], [0, 0, 2.0, 5], [0, 0, 0, 1]]), (12, 11, 6))
REGION = (slice(2, 6), slice(3, 7), slice(1, 4))


def voxels(number):
    return np.random.default_rng(number).integers(1, 9, GRID.shape).astype(np.int16)


@pytest.fixture
def cohort(tmp_path):
    """Two images with a mask each; the second is a hundred brighter."""
    for number in range(2):
        mask = np.zeros(GRID.shape, np.uint8)
        mask[REGION] = 1
        image = voxels(number) + np.int16(100 * number)
        write_nifti(Image(image[None], GRID, "MR", ""), tmp_path / f"images/case{number}.nii.gz")
        write_nifti(Image(mask[None], GRID, "", ""), tmp_path / f"labels/case{number}.nii.gz")
    ingest(tmp_path, tmp_path / "cohort", workers=1)
    return tmp_path / "cohort"


def test_the_files_hold_what_the_function_gives_where_the_region_lies(cohort, tmp_path):
    config = tmp_path / "maps.toml"
    config.write_text('families = ["statistics", "ngtdm"]\nresegment = [1, 50]\n')
    made = feature_maps(cohort, tmp_path / "maps", config=config, workers=1)
    assert (made.n_regions, made.n_maps) == (1, 18 + 5)
    assert [mask for mask, _ in made.set_aside] == ["case1~label_1"]
    assert made.set_aside[0][1].startswith("empty-after-resegmentation")
    listed = pd.read_csv(made.table)
    assert list(listed.columns) == ["mask", "image", "structure", "family", "feature", "ibsi_code", "file"]
    row = listed[(listed["family"] == "ngtdm") & (listed["feature"] == "busyness")].iloc[0]
    assert (row["mask"], row["image"], row["ibsi_code"]) == ("case0~label_1", "case0", "NQ30")
    file = nibabel.load(made.out / row["file"])
    mask = np.zeros(GRID.shape)
    mask[REGION] = 1
    asked = Settings(families=("statistics", "ngtdm"))
    direct = radiomics_map(voxels(0), mask, GRID.spacing_mm, asked).map("ngtdm", "busyness")
    assert np.array_equal(np.asarray(file.dataobj), direct, equal_nan=True)
    assert (file.affine @ [0, 0, 0, 1]) == pytest.approx(GRID.affine @ [2, 3, 1, 1])


def test_a_run_that_was_broken_off_goes_on_and_leaves_no_ledger(cohort, tmp_path):
    config = tmp_path / "maps.toml"
    config.write_text('families = ["statistics"]\n')
    whole = feature_maps(cohort, tmp_path / "whole", config=config, workers=1)

    def stop(title, n_done, n_total):
        if title == "maps" and n_done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        feature_maps(cohort, tmp_path / "maps", config=config, workers=1, progress=stop)
    assert [path.suffix for path in (tmp_path / "maps").glob(".*")] == [".ledger"]
    # What is finished is not read again, so that its image may even be gone.
    (tmp_path / "images/case0.nii.gz").unlink()
    made = feature_maps(cohort, tmp_path / "maps", config=config, workers=1)
    assert (made.n_regions, made.n_maps, made.set_aside) == (2, 2 * 18, ())
    assert made.table.read_bytes() == whole.table.read_bytes()
    assert list((tmp_path / "maps").glob(".*")) == []
    again = feature_maps(cohort, tmp_path / "maps", config=config, workers=1)
    ((name, reason),) = again.set_aside
    assert name == "case0~label_1"
    assert "no-such-file: no such file" in reason


def test_where_nothing_has_maps_the_next_run_looks_again(cohort, tmp_path):
    kept = {path: path.read_bytes() for path in (tmp_path / "images").iterdir()}
    for path in kept:
        path.write_bytes(b"broken")
    with pytest.raises(InputRefused, match=r"no region has maps \(2 set aside; the first: case0~label_1: "):
        feature_maps(cohort, tmp_path / "maps", workers=1)
    for path, held in kept.items():
        path.write_bytes(held)
    assert feature_maps(cohort, tmp_path / "maps", workers=1).n_regions == 2


def test_without_settings_every_family_in_32_levels(cohort, tmp_path):
    made = feature_maps(cohort, tmp_path / "maps", radius=2, workers=1)
    assert made.n_maps == 2 * (18 + 23 + 25 + 16 + 16 + 5 + 17)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('families = ["morphology"]', r"(?s)maps of morphology.*legal: families statistics"),
        ('families = ["glcm"]\naggregations = ["2d_averaged"]', "legal: one of 3d_averaged, 3d_merged"),
    ],
)
def test_settings_that_maps_do_not_have(cohort, tmp_path, said, message):
    (tmp_path / "maps.toml").write_text(said)
    with pytest.raises(InputRefused, match=message):
        feature_maps(cohort, tmp_path / "maps", config=tmp_path / "maps.toml", workers=1)
    assert not (tmp_path / "maps").exists()


def test_no_id_of_a_mask_leads_elsewhere():
    assert folder_name("case0~label_1") == "case0~label_1"
    assert folder_name("../x") != folder_name("/../x")
    assert set("./\\") & set(folder_name("../x\\y")) == set()


@pytest.mark.parametrize("version", ["", "0.0.0"])
def test_what_another_version_began_is_begun_anew(cohort, tmp_path, monkeypatch, version):
    def stop(title, n_done, n_total):
        if title in ("maps", "radiomics") and n_done == 1:
            raise KeyboardInterrupt

    settings = Settings(families=("statistics",))
    (tmp_path / "maps.toml").write_text('families = ["statistics"]\n')
    works = (
        lambda progress: feature_maps(cohort, tmp_path / "maps", config=tmp_path / "maps.toml", workers=1, **progress),
        lambda progress: features(cohort, tmp_path / "f.parquet", config=settings, workers=1, **progress),
    )
    for work in works:
        with pytest.raises(KeyboardInterrupt):
            work({"progress": stop})
    (tmp_path / "images/case0.nii.gz").unlink()
    if version:
        monkeypatch.setattr("fiducial.__version__", version)
    for work in works:
        assert [name for name, _ in work({}).set_aside] == (["case0~label_1"] if version else [])
