"""The second version of NIfTI, whose header is of 540 bytes: read as the first is."""

from __future__ import annotations

import subprocess
import sys

import nibabel
import numpy as np
import pytest

from fiducial.archive import read_image
from fiducial.errors import InputRefused

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
AFFINE = np.diag([-1.0, -2.0, 3.0, 1.0])


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_both_versions_say_the_same(tmp_path, name):
    found = []
    for version in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        folder = tmp_path / version.__name__
        folder.mkdir()
        version(VOXELS, AFFINE).to_filename(folder / name)
        found.append(read_image(folder / name))
    first, second = found
    assert second.array.dtype == np.int16
    assert np.array_equal(first.array, second.array)
    assert np.array_equal(first.geometry.affine, second.geometry.affine)


def test_compressed_under_another_name(tmp_path):
    nibabel.Nifti2Image(VOXELS, AFFINE).to_filename(tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").rename(tmp_path / "a.nii")
    with pytest.raises(InputRefused, match=r"format: compressed by gzip; such NIfTI is called \.nii\.gz"):
        read_image(tmp_path / "a.nii")


def test_a_broken_header_is_told_by_the_refusal_alone(tmp_path):
    # In a process of its own: pytest's handlers would take what nibabel logs.
    (tmp_path / "text.nii").write_text("no image at all " * 100)
    call = "import sys; from fiducial.archive import read_image; read_image(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", call, str(tmp_path / "text.nii")], capture_output=True, text=True, check=False
    )
    first, *rest = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert any("no NIfTI file" in line for line in rest)


@pytest.mark.parametrize("end", [4, 100, 500, 560])
def test_one_that_ends_early_is_refused(tmp_path, end):
    whole = tmp_path / "whole.nii"
    nibabel.Nifti2Image(VOXELS, AFFINE).to_filename(whole)
    short = tmp_path / "short.nii"
    short.write_bytes(whole.read_bytes()[:end])
    with pytest.raises(InputRefused, match=r"truncated|format"):
        read_image(short)
