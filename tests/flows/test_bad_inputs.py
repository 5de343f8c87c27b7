"""A cohort of every input that is not as it should be, in one batch: nothing stops it, and each is answered by name."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from fiducial.archive import write_nifti
from fiducial.cohort.ingest import ingest
from fiducial.flows import features
from fiducial.records.image import Geometry, Image
from fiducial.records.radiomics import FEATURES
from fiducial.records.tables import read_table

SHAPE = (9, 8, 7)


def nifti(path, voxels, spacing=(1.0, 1.0, 1.0), origin=0.0):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return write_nifti(Image(voxels[None], Geometry(affine, voxels.shape)), path)


def noise(shape=SHAPE):
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


def middle(shape=SHAPE, value=1):
    mask = np.zeros(shape, np.uint8)
    mask[2:7, 2:6, slice(2, 5) if shape[2] > 5 else 0] = value
    return mask


def one_voxel():
    mask = np.zeros(SHAPE, np.uint8)
    mask[4, 4, 4] = 1
    return mask


# Image, mask and spacing as they are ingested.
INGESTED = {
    "good": (noise(), middle(), (1, 1, 1)),
    "empty": (noise(), np.zeros(SHAPE, np.uint8), (1, 1, 1)),
    "voxel": (noise(), one_voxel(), (1, 1, 1)),
    "border": (noise(), np.ones(SHAPE, np.uint8), (1, 1, 1)),
    "constant": (np.full(SHAPE, 7, np.float32), middle(), (1, 1, 1)),
    "flat": (noise((9, 8, 1)), middle((9, 8, 1)), (1, 1, 5)),
    "thick": (noise(), middle(), (1, 1, 10)),
    "other": (noise(), middle(value=2), (1, 1, 1)),
    **{name: (noise(), middle(), (1, 1, 1)) for name in ("nan", "nan_outside", "four", "grid", "cut", "lost")},
}


def spoilt(folder):
    """What happens to files after they were ingested."""
    bad = noise()
    bad[3, 3, 3] = np.nan
    nifti(folder / "images/nan.nii.gz", bad)
    far = noise()
    far[0, 0, 0] = np.inf
    nifti(folder / "images/nan_outside.nii.gz", far)
    nibabel.save(nibabel.Nifti1Image(np.stack([noise()] * 3, axis=3), np.eye(4)), folder / "images/four.nii.gz")
    nifti(folder / "labels/grid.nii.gz", middle(), origin=3.0)
    path = folder / "images/cut.nii.gz"
    path.write_bytes(path.read_bytes()[:300])
    (folder / "labels/lost.nii.gz").unlink()


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for name, (voxels, mask, spacing) in INGESTED.items():
        nifti(folder / f"images/{name}.nii.gz", voxels, spacing)
        nifti(folder / f"labels/{name}.nii.gz", mask, spacing)
    ingest(folder, folder / "cohort", workers=1)
    spoilt(folder)
    config = folder / "radiomics.toml"
    config.write_text(
        'families = ["morphology", "statistics", "glcm", "glszm"]\naggregations = ["2d_merged"]\nbin_number = 8\n'
    )
    made = features(folder / "cohort", folder / "features.parquet", config=config, workers=1)
    return folder, made, read_table(made.out, FEATURES)


def test_every_region_has_every_row_and_every_missing_value_a_reason(answered):
    _, made, table = answered
    assert table.groupby("mask").size().nunique() == 1
    assert set(table["mask"]) == {f"{name}~label_{value}" for name in INGESTED for value in (1, 2)}
    assert (table["reason"][table["value"].isna()] != "").all()
    assert made.n_regions == 8


REASONS = {
    "empty~label_1": "empty-mask: no voxel belongs to the region",
    "other~label_1": "label-missing: no voxel of value 1; the mask holds 2",
    "good~label_2": "label-missing: no voxel of value 2; the mask holds 1",
    "nan~label_1": "not-finite: NaN or infinite intensities in the region",
    "four~label_1": "several-volumes: 3 volumes or channels in one image (4-D, or colour)",
    "grid~label_1": "two grids differ: 9 x 8 x 7 voxels of 1 x 1 x 1 mm at (0, 0, 0) along R, A, S against "
    "9 x 8 x 7 voxels of 1 x 1 x 1 mm at (3, 3, 3) along R, A, S, up to 3 mm apart",
    "cut~label_1": "truncated: the file ends early or is damaged (EOFError)",
    "lost~label_1": "no-such-file: no such file",
}


@pytest.mark.parametrize("mask", REASONS)
def test_what_has_no_answer_says_why(answered, mask):
    folder, made, table = answered
    own = table[table["mask"] == mask]
    assert own["value"].isna().all()
    assert set(own["reason"]) == {REASONS[mask]}
    # The table may be passed on: no path of this machine stands in it.
    assert not table["reason"].str.contains(str(folder)).any()
    assert REASONS[mask] in dict(made.set_aside)[mask]


def test_two_grids_come_with_the_command_that_mends_them(answered):
    folder, made, _ = answered
    said = dict(made.set_aside)["grid~label_1"]
    command = f"fiducial resample {folder}/labels/grid.nii.gz --like {folder}/images/grid.nii.gz"
    assert f"{command} --out resampled/grid.nii.gz" in said


@pytest.mark.parametrize(
    ("mask", "feature", "value"),
    [
        ("good~label_1", "volume_voxel_counting", 60),
        ("nan_outside~label_1", "volume_voxel_counting", 60),
        ("voxel~label_1", "variance", 0),
        ("border~label_1", "volume_voxel_counting", 9 * 8 * 7),
        ("constant~label_1", "joint_maximum", 1),
        ("flat~label_1", "volume_voxel_counting", 20 * 5),
        ("thick~label_1", "volume_voxel_counting", 60 * 10),
        ("other~label_2", "volume_voxel_counting", 60),
    ],
)
def test_what_has_an_answer_has_the_right_one(answered, mask, feature, value):
    table = answered[2]
    own = table[(table["mask"] == mask) & (table["feature"] == feature)]
    assert own["value"].tolist() == [pytest.approx(value)]
