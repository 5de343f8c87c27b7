"""`fiducial resample`: a mask onto its image, with each structure's volume before and after."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fiducial.archive import read_mask, write_nifti
from fiducial.cli.main import run
from fiducial.errors import InputRefused
from fiducial.flows import resample
from fiducial.records.image import Geometry, Image

FINE = Geometry(np.diag([1.0, 1.0, 1.0, 1.0]), (12, 12, 12))
COARSE = Geometry(np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]]), (6, 6, 6))


@pytest.fixture
def files(tmp_path):
    """A label map of fine voxels with a cube, a thin plate and a single voxel; an image of coarse ones."""
    voxels = np.zeros((1, *FINE.shape), np.uint8)
    voxels[0, 2:8, 2:8, 2:8] = 1
    voxels[0, 2:8, 2:8, 9] = 2
    voxels[0, 0, 0, 0] = 7
    write_nifti(Image(voxels, FINE), tmp_path / "mask.nii.gz")
    write_nifti(Image(np.ones((1, *COARSE.shape), np.int16), COARSE, "CT", "HU"), tmp_path / "image.nii.gz")
    return tmp_path


def test_volumes_before_and_after(files, capsys):
    code = run(
        ["resample", f"{files}/mask.nii.gz", "--like", f"{files}/image.nii.gz", "--out", f"{files}/o.nii.gz", "--json"]
    )
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    # Centres of the image lie where eight fine voxels meet; of equally near ones the larger index counts.
    one, two, seven = said["labels"]
    assert one == {"label": 1, "before_ml": 0.216, "after_ml": 0.216, "change": 0.0}
    assert two == {"label": 2, "before_ml": 0.036, "after_ml": 0.072, "change": 1.0}
    assert seven == {"label": 7, "before_ml": 0.001, "after_ml": 0.0, "change": -1.0}
    assert said["outside"] == 0.0
    made = read_mask(files / "o.nii.gz")
    made.geometry.require_match(COARSE)
    assert sorted(np.unique(made.array)) == [0, 1, 2]


def test_a_lost_label_is_said(files, capsys):
    run(["resample", f"{files}/mask.nii.gz", "--like", f"{files}/image.nii.gz", "--out", f"{files}/o.nii.gz", "-q"])
    said = " ".join(capsys.readouterr().out.split())
    assert "onto 6 x 6 x 6 voxels of 2 x 2 x 2 mm at (0.5, 0.5, 0.5) along R, A, S (nearest neighbour)" in said
    assert "label 2: 0.036 ml before, 0.072 ml after (+100.0%)" in said
    assert "label 7: 0.001 ml before, 0 ml after (lost: finer than the grid, or beyond it)" in said


def test_an_image_is_linear(files):
    made = resample(files / "image.nii.gz", files / "mask.nii.gz", files / "o.nii.gz", intensities=True)
    assert (made.method, made.labels) == ("linear", ())
    assert made.outside == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("source", "like", "out", "message"),
    [
        ("mask.nii.gz", "image.nii.gz", "image.nii.gz", "already here"),
        ("mask.nii.gz", "image.nii.gz", "o.png", r"legal: a file that ends in \.nii"),
        ("none.nii.gz", "image.nii.gz", "o.nii.gz", "no-such-file"),
    ],
)
def test_refusals(files, source, like, out, message):
    with pytest.raises(InputRefused, match=message):
        resample(files / source, files / like, files / out)
    assert not (files / "o.nii.gz").exists()


def test_nothing_left_is_refused(files):
    voxels = np.zeros((1, *FINE.shape), np.uint8)
    voxels[0, 0, 0, 0] = 1
    write_nifti(Image(voxels, FINE), files / "small.nii.gz")
    with pytest.raises(InputRefused, match=r"no voxel of 1 label\(s\) lies at a voxel centre of 6 x 6 x 6"):
        resample(files / "small.nii.gz", files / "image.nii.gz", files / "o.nii.gz")
