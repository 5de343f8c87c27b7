import json
from pathlib import Path

import numpy as np
import pytest

from fiducial.cohort.looks import image_looks, voxel_digest
from fiducial.records.image import Geometry, Image


def image(array: np.ndarray, affine: np.ndarray | None = None) -> Image:
    return Image(array, Geometry(np.eye(4) if affine is None else affine, array.shape[1:]))


def test_the_fingerprint_says_size_spacing_and_intensities() -> None:
    ramp = np.arange(101, dtype=np.int16).reshape(1, 101, 1, 1)
    told = json.loads(image_looks(image(ramp, np.diag([0.5, 2, 3, 1])))["fingerprint"])
    assert told == {
        "size": [101, 1, 1],
        "spacing_mm": [0.5, 2, 3],
        "channels": 1,
        "min": 0,
        "p01": 1,
        "p50": 50,
        "p99": 99,
        "max": 100,
        "mean": 50,
        "std": pytest.approx(29.1548),
        "quality": told["quality"],
    }


@pytest.mark.parametrize("kind", ["int16", "int32", "int64", "float32", "float64"])
def test_one_image_has_one_digest_however_it_is_stored(kind: str) -> None:
    values = np.random.default_rng(0).integers(-1000, 1000, (2, 5, 6, 7))
    plain = voxel_digest(image(values.astype(np.int16)))
    assert voxel_digest(image(values.astype(kind))) == plain
    assert voxel_digest(image(np.asfortranarray(values.astype(kind)))) == plain


def test_real_numbers_and_large_ones_have_digests() -> None:
    values = np.random.default_rng(0).normal(size=(1, 5, 6, 7))
    assert voxel_digest(image(values)) == voxel_digest(image(values.astype(np.float32)))
    assert voxel_digest(image(values * 0 + 2.0**40)) == voxel_digest(image((values * 0 + 2.0**40).astype(np.float32)))
    assert voxel_digest(image((values * 0).astype(np.int64) + 2**40)) != voxel_digest(image(values * 0))
    assert voxel_digest(image(-np.zeros((1, 2, 2, 2)))) == voxel_digest(image(np.zeros((1, 2, 2, 2))))


def test_any_voxel_any_millimetre_and_any_shape_changes_the_digest() -> None:
    values = np.zeros((1, 4, 4, 4), np.int16)
    plain = voxel_digest(image(values))
    other = values.copy()
    other[0, 3, 2, 1] = 1
    assert voxel_digest(image(other)) != plain
    assert voxel_digest(image(values, np.diag([1, 1, 1.001, 1]))) != plain
    assert voxel_digest(image(values, np.diag([1, 1, 1 + 1e-9, 1]))) == plain
    assert voxel_digest(image(values.reshape(1, 2, 8, 4))) != plain


def test_examining_never_raises_for_a_bad_file(tmp_path: Path) -> None:
    from fiducial.cohort.examine import CaseFiles, examine

    found = examine(CaseFiles("a", {"a": (str(tmp_path / "absent.nii.gz"), "")}))
    assert found.refusal is not None
    assert found.refusal.code == "no-such-file"
