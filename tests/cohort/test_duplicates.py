import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from fiducial.maths.duplicates import (
    MAX_DISTANCE,
    box_weights,
    centred,
    nearest,
    signature,
    standardised,
    thumbnail,
)


def noise(array: Any, share: float, seed: int = 0) -> Any:
    return array + np.random.default_rng(seed).normal(0, share * array.std(), array.shape)


def jpeg(array: Any, quality: int) -> Any:
    low, high = float(array.min()), float(array.max())
    copy = np.empty(array.shape)
    for z in range(array.shape[-1]):
        buffer = io.BytesIO()
        plane = ((array[0, ..., z] - low) / (high - low) * 255).astype(np.uint8)
        Picture.fromarray(plane).save(buffer, "JPEG", quality=quality)
        copy[0, ..., z] = np.asarray(Picture.open(buffer))
    return copy


COPIES = {
    "noise of 5 %": lambda a: noise(a, 0.05),
    "noise of 20 %": lambda a: noise(a, 0.2),
    "JPEG 75": lambda a: jpeg(a, 75),
    "JPEG 50": lambda a: jpeg(a, 50),
    "one grey more": lambda a: a.astype(float) + 1,
    "other window": lambda a: a * 0.01 - 3,
}


def test_box_weights_share_a_sample_on_a_border() -> None:
    assert box_weights(3, 2) == pytest.approx(np.array([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]))
    assert box_weights(1, 4).tolist() == [[1], [1], [1], [1]]


def test_a_flat_ramp_gives_a_ramp() -> None:
    picture = np.repeat(np.arange(32)[None, :, None, None], 32, axis=2)
    small = thumbnail(picture)
    assert small.shape == (16, 16)
    assert small[:, 0].tolist() == np.round(np.arange(16) / 15 * 255).tolist()
    assert (small == small[:, :1]).all()


def test_a_volume_is_a_montage_of_four_layers() -> None:
    volume = np.repeat(np.arange(4.0), 3)[None, None, None, :] * np.ones((1, 8, 8, 1))
    small = thumbnail(volume)
    assert [small[0, 0], small[0, 8], small[8, 0], small[8, 8]] == [0, 85, 170, 255]


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (3, 40, 30, 1), (2, 17, 9, 5), (1, 2, 3, 2)])
def test_memory_layout_and_intensity_scale_change_nothing(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 200, shape)
    assert signature(array) == signature(np.asfortranarray(array)) == signature(array * 3 + 7)
    assert len(signature(array)) == 512


def test_a_constant_image_has_no_neighbour() -> None:
    flat, other = np.full((1, 9, 9, 1), 7), np.eye(9)[None, ..., None]
    rows = standardised([signature(flat), signature(other), ""])
    assert np.isinf(nearest(rows, rows[:1])[1]).all()
    assert nearest(rows, rows[1:])[1] == pytest.approx([np.inf, 0, np.inf], abs=1e-6)
    assert np.isnan(centred(rows[[0, 2]])).all()


@pytest.mark.parametrize("n_pairs", [1, 3, 40])
def test_copies_are_found_in_small_and_large_cohorts_of_images_that_look_alike(n_pairs: int) -> None:
    generator = np.random.default_rng(5)
    common = 10 * generator.normal(size=(1, 48, 48, 1))
    originals = [common + generator.normal(size=common.shape) for _ in range(n_pairs)]
    copies = [image + generator.normal(0, 0.02, size=common.shape) for image in originals]
    rows = centred(standardised([signature(image) for image in originals + copies]))
    index, distance = nearest(rows[:n_pairs], rows[n_pairs:])
    assert index.tolist() == list(range(n_pairs))
    assert distance.max() < MAX_DISTANCE


@pytest.mark.parametrize("n_block", [3, 2048])
def test_nearest_equals_a_plain_search(n_block: int) -> None:
    generator = np.random.default_rng(2)
    first = standardised([signature(generator.normal(size=(1, 20, 20, 1))) for _ in range(7)])
    second = standardised([signature(generator.normal(size=(1, 20, 20, 1))) for _ in range(11)])
    second[4] = np.nan
    plain = 1 - np.array([[float(a @ b) for b in second] for a in first])
    index, distance = nearest(first, second, n_block=n_block)
    assert index.tolist() == np.nanargmin(plain, axis=1).tolist()
    assert distance == pytest.approx(np.nanmin(plain, axis=1), abs=1e-5)
    assert np.isinf(nearest(first, second[:0])[1]).all()


def check_separation(images: list[Any], name: str) -> None:
    """No two images are near duplicates; every copy is one of its original, in a cohort that holds both."""
    originals = [signature(image) for image in images]
    rows = centred(standardised(originals))
    alike = 1 - rows @ rows.T + 2 * np.eye(len(images), dtype=np.float32)
    assert alike.min() > 2 * MAX_DISTANCE
    both = centred(standardised([*originals, *(signature(COPIES[name](image)) for image in images)]))
    index, distance = nearest(both[len(images) :], both[: len(images)])
    assert index.tolist() == list(range(len(images)))
    assert distance.max() < MAX_DISTANCE


@pytest.mark.real_data
@pytest.mark.parametrize("name", list(COPIES))
def test_hippocampus_copies_are_found_and_distinct_images_are_not(data: Path, name: str) -> None:
    import nibabel as nib

    files = sorted((data / "hippocampus" / "images").glob("*.nii.gz"))[::5]
    check_separation([np.asarray(nib.load(file).dataobj)[None] for file in files], name)


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted(set(COPIES) - {"noise of 20 %"}))
def test_radiograph_copies_are_found_even_at_28_pixels(data: Path, name: str) -> None:
    with np.load(data / "pneumonia_cxr28" / "pneumonia_cxr28.npz") as arrays:
        check_separation(list(np.unique(arrays["val_images"], axis=0)[:, None, :, :, None]), name)


@pytest.fixture(scope="module")
def chests() -> list[Any]:
    from fiducial.phantom.patients import make_patients
    from fiducial.phantom.render import render

    return [render(patient)[0].array for patient in make_patients(16)]


@pytest.mark.parametrize("name", ["noise of 20 %", "JPEG 50", "one grey more"])
def test_patients_of_the_phantom_hospital_are_distinct_and_their_copies_are_not(chests: list[Any], name: str) -> None:
    check_separation(chests, name)


def test_ten_thousand_images_are_compared() -> None:
    rows = np.random.default_rng(3).normal(size=(10_000, 256)).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index, distance = nearest(rows, rows)
    assert index.tolist() == list(range(10_000))
    assert distance.max() < 1e-5
