"""`fiducial features` of masks in every format: RTSTRUCT, SEG, NRRD with overlapping layers; each file is read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fiducial.archive
from fiducial.archive import read_image, read_mask, write_nifti
from fiducial.archive.dicom import DicomHeader, write_series
from fiducial.cli.main import run
from fiducial.features.radiomics import Settings, radiomics
from fiducial.flows import ExportSettings, export, features, ingest
from fiducial.records.image import Geometry, Image
from fiducial.records.radiomics import FEATURES
from fiducial.records.tables import read_table

GIVEN = Settings(families=("morphology", "statistics", "glcm"), bin_number=16)
CONFIG = 'families = ["morphology", "statistics", "glcm"]\nbin_number = 16\n'
SHAPE = (12, 10, 6)
AFFINE = np.array([[-0.9, 0, 0, 12.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])
GRID = Geometry(AFFINE, SHAPE)


def through_the_command(source: Path, folder: Path):
    """Ingest and compute; the table by structure."""
    (folder / "radiomics.toml").write_text(CONFIG)
    common = ["--workers", "1", "--quiet"]
    assert run(["ingest", str(source), "--out", str(folder / "cohort"), *common]) == 0
    words = ["features", str(folder / "cohort"), "--config", str(folder / "radiomics.toml")]
    assert run([*words, "--out", str(folder / "features.parquet"), *common]) == 0
    table = read_table(folder / "features.parquet", FEATURES)
    return {name: rows["value"].to_numpy() for name, rows in table.groupby("structure", sort=False)}


def voxels(seed=0):
    return np.random.default_rng(seed).integers(-100, 300, SHAPE).astype(np.int16)


def regions():
    first, second = np.zeros((2, *SHAPE), bool)
    first[2:7, 3:8, 1:4] = True
    second[5:9, 2:6, 2:5] = True
    return first, second


@pytest.mark.real_data
def test_contours_of_a_real_patient(data: Path, tmp_path: Path) -> None:
    """PET and the tumour drawn on it, against the same as NIfTI."""
    source = data / "dicom_sarcoma"
    (own,) = through_the_command(source / "STS_002" / "PET", tmp_path).values()
    image = read_image(source / "STS_002_nifti" / "PET_image.nii.gz")
    mask = read_mask(source / "STS_002_nifti" / "PET_mask.nii.gz", label=1)
    direct = radiomics(image.array[0], mask.array[0], image.geometry.spacing_mm, GIVEN)["value"].to_numpy()
    assert np.allclose(own, direct, rtol=1e-4, equal_nan=True)


def test_segmentation_objects_that_overlap(tmp_path: Path) -> None:
    """Our own export of two structures that share voxels, beside its series."""
    source, masks = tmp_path / "source", tmp_path / "masks"
    write_series(Image(voxels()[None], GRID, "CT", "HU"), source / "ct", DicomHeader("SECRET-1"))
    ingest(source, tmp_path / "first", workers=1)
    (row,) = pd.read_parquet(tmp_path / "first/cohort.parquet").to_dict("records")
    for number, region in enumerate(regions(), start=1):
        write_nifti(Image(region[None].astype(np.uint8), GRID), masks / f"{row['image']}.nii.gz")
        settings = ExportSettings(("seg",), structures=((f"part {number}", 1),), model="m")
        done = export(masks, source, tmp_path / f"seg{number}", cohort=tmp_path / "first", settings=settings, workers=1)
        assert not done.failures
    for number in (1, 2):
        (made,) = (tmp_path / f"seg{number}").glob("*.dcm")
        made.rename(source / f"seg{number}.dcm")
    found = through_the_command(source, tmp_path)
    assert set(found) == {"part 1", "part 2"}
    for number, region in enumerate(regions(), start=1):
        direct = radiomics(voxels(), region, GRID.spacing_mm, GIVEN)["value"]
        # The file keeps its place in 32 bits; the enclosing ellipsoid is found in steps.
        assert np.allclose(found[f"part {number}"], direct, rtol=5e-4, equal_nan=True)


def test_segments_of_nrrd_that_overlap(nrrd_files, tmp_path: Path) -> None:
    first, second = (region.astype(np.uint8) for region in regions())
    third = np.zeros(SHAPE, np.uint8)
    third[10, 8, 5] = 1
    space = {"space": "RAS", "space_origin": "(12.5,20.25,-7.75)", "endian": "little"}
    axes = "(-0.9,0,0) (0,-0.8,0) (0,0,2.5)"
    nrrd_files.nrrd(tmp_path / "in/images/a.nrrd", voxels(), space_directions=axes, **space)
    nrrd_files.segments(
        tmp_path / "in/labels/a.seg.nrrd",
        [first + 2 * third, second],
        {"core": (0, 1), "whole": (1, 1), "dot": (0, 2)},
        space_directions=f"none {axes}",
        **space,
    )
    found = through_the_command(tmp_path / "in", tmp_path)
    assert list(found) == ["core", "dot", "whole"]
    for name, region in zip(found, (first, third, second), strict=True):
        direct = radiomics(voxels(), region, GRID.spacing_mm, GIVEN)["value"]
        assert np.allclose(found[name], direct, equal_nan=True)


def test_a_label_map_is_read_once_for_all_of_its_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    for value in range(1, 6):
        labels[2 * value : 2 * value + 2, 2:6, 1:4] = value
    write_nifti(Image(voxels()[None], GRID, "CT", "HU"), tmp_path / "in/images/a.nii.gz")
    write_nifti(Image(labels[None], GRID), tmp_path / "in/labels/a.nii.gz")
    ingest(tmp_path / "in", tmp_path / "cohort", workers=1)
    read: list[str] = []
    for name in ("read_image", "read_mask"):
        real = getattr(fiducial.archive, name)
        monkeypatch.setattr(fiducial.archive, name, lambda path, real=real: read.append(path) or real(path))
    made = features(tmp_path / "cohort", tmp_path / "features.parquet", workers=1)
    assert made.n_regions == 5
    assert sorted(Path(path).parent.name for path in read) == ["images", "labels"]
