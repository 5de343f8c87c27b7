"""What an image's fingerprint says of its quality, on volumes whose noise, blur, motion and gaps are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from fiducial.cohort.looks import image_looks
from fiducial.cohort.quality import MEASURES, measure_quality, remarks
from fiducial.maths.image_quality import FWHM
from fiducial.records.image import Geometry, Image


def body(
    shape: tuple[int, int, int] = (96, 96, 30), *, sigma: float = 0.0, seed: int = 0, tissue: float = 40
) -> np.ndarray:
    """A cylinder of tissue in air of -1000, edges blurred by 1 pixel, with noise of ``sigma``."""
    x, y = np.mgrid[: shape[0], : shape[1]]
    r = np.hypot(x - shape[0] / 2 + 0.3, y - shape[1] / 2 - 0.2)
    plane = -1000 + (1000 + tissue) * (r < 0.38 * shape[0])
    plane = ndimage.gaussian_filter(plane, 1.0)
    return np.asarray(plane[..., None] + np.random.default_rng(seed).normal(0, sigma, shape))


def image(array: np.ndarray, spacing: tuple[float, float, float] = (0.8, 0.8, 2.0), modality: str = "CT") -> Image:
    voxels = array if array.ndim == 4 else array[None]
    return Image(
        voxels, Geometry(np.diag([*spacing, 1.0]), voxels.shape[1:]), modality, "HU" if modality == "CT" else ""
    )


def test_noise_blur_and_contrast_of_a_phantom_are_those_that_were_put_in() -> None:
    told = measure_quality(image(body(sigma=12)))
    assert told["noise"] == pytest.approx(12, rel=0.06)
    assert told["noise_air"] == pytest.approx(12, rel=0.06)
    assert told["cnr"] == pytest.approx(1040 / 12, rel=0.08)
    assert told["fwhm_mm"] == pytest.approx(0.8 * FWHM * np.sqrt(1 + 1 / 12), rel=0.1)
    assert told["slice_jump"] == pytest.approx(1, abs=0.1)
    assert told["cut"] == 0
    assert told["cut_slices"] == pytest.approx(1, abs=0.01)
    assert told["constant"] == 0
    assert told["foreground"] == pytest.approx(np.pi * 0.38**2, rel=0.03)
    assert "ghost" not in told
    assert "snr_air" not in told


@pytest.mark.parametrize("sigma", [5, 100, 400])
def test_the_noisiest_image_has_a_noise_too(sigma: float) -> None:
    assert measure_quality(image(body(sigma=sigma)))["noise"] == pytest.approx(sigma, rel=0.08)
    assert measure_quality(image(body(sigma=sigma, tissue=40) + 1000, modality="MR"))["noise"] == pytest.approx(
        sigma, rel=0.1
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_slice_axis_is_that_of_the_largest_spacing(order: tuple[int, int, int]) -> None:
    told = measure_quality(image(body(sigma=5)))
    turned = body(sigma=5).transpose(order)
    spacing = tuple((0.8, 0.8, 2.0)[k] for k in order)
    other = measure_quality(image(turned, spacing))  # type: ignore[arg-type]
    for key in ("noise", "fwhm_mm", "slice_jump", "cut", "cut_slices"):
        assert other[key] == pytest.approx(told[key], rel=0.02, abs=1e-6), key


def test_more_noise_more_blur_and_a_moved_slice_are_seen() -> None:
    noisy = [measure_quality(image(body(sigma=s)))["noise"] for s in (2, 5, 10, 40)]
    assert noisy == sorted(noisy)
    sharp = [
        measure_quality(image(ndimage.gaussian_filter(body(), (s, s, 0)) + body(sigma=3) - body()))["fwhm_mm"]
        for s in (0, 1, 2, 3)
    ]
    assert sharp == sorted(sharp)
    moved = body(sigma=5)
    moved[:, :, 10] = np.roll(moved[:, :, 10], 3, axis=0)
    assert measure_quality(image(moved))["slice_jump"] > 5


def test_a_ghost_of_mr_is_seen_along_whichever_axis_it_lies() -> None:
    still = 300 * (body(tissue=0) > -500)
    still[:, :20] = still[:, 76:] = 0
    for axis in (0, 1):
        plane = still if axis == 1 else still.transpose(1, 0, 2)
        ghosted = plane + 0.06 * np.roll(plane, 48, axis=axis)
        told = measure_quality(image(ghosted + np.random.default_rng(0).normal(0, 1, ghosted.shape), modality="MR"))
        assert told["ghost"] == pytest.approx(0.06, abs=0.01)
    assert measure_quality(image(still + 1.0, modality="MR"))["ghost"] == pytest.approx(0, abs=0.01)


def test_an_object_that_leaves_the_frame_is_cut() -> None:
    assert measure_quality(image(body(sigma=5)[30:]))["cut"] > 0.5
    assert measure_quality(image(body(sigma=5)))["cut"] == 0


def test_empty_rows_are_counted_and_are_no_fault() -> None:
    rows = body(sigma=5)
    rows[:24] = -1000
    told = measure_quality(image(rows))
    assert told["constant_rows"] == 0.25
    assert told["constant"] == 0
    assert remarks({"min": 0, "max": 1, "quality": told}) == []


def test_blank_noisy_and_empty_images_are_remarked() -> None:
    def codes(array: np.ndarray) -> list[str]:
        return [remark.code for remark in remarks(json.loads(image_looks(image(array))["fingerprint"]))]

    assert codes(body(sigma=5)) == []
    assert codes(np.full((20, 20, 8), 7.0)) == ["blank"]
    assert codes(np.random.default_rng(0).normal(0, 5, (64, 64, 20))) == ["noise-only"]
    filled = body(sigma=5)
    filled[:, :, 26:] = 0
    assert codes(filled) == ["empty-slices"]
    assert remarks({}) == [] or remarks({})[0].code == "blank"


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (3, 5, 4, 1), (1, 40, 30, 1), (1, 3, 3, 2), (1, 2, 2, 9), (2, 30, 30, 6)]
)
@pytest.mark.parametrize("modality", ["CT", "MR", "PT", ""])
def test_any_image_is_measured_and_says_only_finite_figures(shape: tuple[int, ...], modality: str) -> None:
    for array in (np.random.default_rng(0).integers(0, 9, shape), np.zeros(shape, np.uint8)):
        told = measure_quality(image(array.astype(np.int16), modality=modality))
        assert all(np.isfinite(list(told.values())))
        assert set(told) <= {measure.key for measure in MEASURES}
        json.dumps(told, allow_nan=False)


def test_storing_an_image_otherwise_changes_no_figure() -> None:
    array = np.round(body(sigma=8)).astype(np.int16)
    told = measure_quality(image(array))
    assert measure_quality(image(array.astype(np.float32))) == told
    assert measure_quality(image(np.asfortranarray(array))) == told


def test_a_picture_has_white_noise_and_no_slices() -> None:
    plane = body((128, 128, 1), sigma=6)
    told = measure_quality(image(np.repeat(plane[None], 3, axis=0), modality=""))
    assert told["noise"] == pytest.approx(6, rel=0.05)
    assert {"slice_jump", "cnr", "cut", "slice_fwhm_mm", "foreground"}.isdisjoint(told)


@pytest.mark.real_data
def test_real_images_have_figures_in_a_sensible_range(data: Path) -> None:
    from fiducial.archive import read_image

    scan = data / "dicom_sarcoma"
    ct = measure_quality(read_image(str(next(scan.rglob("CT_image.nii.gz"))), modality="CT"))
    assert 10 < ct["noise"] < 80
    assert 0.3 < ct["fwhm_mm"] < 4
    mr = measure_quality(read_image(str(next(scan.rglob("MR_T1_image.nii.gz"))), modality="MR"))
    assert mr["snr_air"] > 10
    assert abs(mr["ghost"]) < 0.05
