"""Estimators of image quality on phantoms whose noise, blur, ghosts and gaps are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from fiducial.errors import InputRefused
from fiducial.maths import image_quality as quality

PLANAR: dict[str, Callable[[np.ndarray], float]] = {
    "white_noise": quality.white_noise,
    "region_noise": quality.region_noise,
    "edge_fwhm_mm": quality.edge_fwhm_mm,
    "noise_share": quality.noise_share,
    "entropy_bits": quality.entropy_bits,
    "at_min": lambda plane: quality.clipped_shares(plane)[0],
    "at_max": lambda plane: quality.clipped_shares(plane)[1],
}


def discs(n: int = 128, *, sigma: float = 0.0, height: float = 100.0) -> np.ndarray:
    """A disc and an ellipse, drawn eight times finer than the pixels and blurred by ``sigma`` pixels."""
    x = (np.arange(8 * n) + 0.5) / 8 - n / 2
    inside = (x[:, None] - 0.3) ** 2 + (x[None] + 0.2) ** 2 < (0.27 * n) ** 2
    inside |= ((x[:, None] + 0.31 * n) / (0.16 * n)) ** 2 + ((x[None] - 0.23 * n) / (0.07 * n)) ** 2 < 1
    drawn = height * inside.reshape(n, 8, n, 8).mean(axis=(1, 3))
    return ndimage.gaussian_filter(drawn, sigma) if sigma else drawn


def noise(shape: tuple[int, ...], sigma: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, shape)


# Countable by hand


def test_one_bright_pixel_answers_nine_times_and_the_smaller_half_is_empty() -> None:
    plane = np.zeros((9, 9))
    plane[4, 4] = 60
    assert quality.white_noise(plane) == 0
    # Alone, the middle of 5 x 5 answers 4/6, its sides 2/6, its corners 1/6 of its height: the half of nine is 10, 10,
    # 10 and 10.
    assert quality.white_noise(plane[2:7, 2:7]) == pytest.approx(10 / quality.SMALL_HALF_MEAN)


def test_constant_planes_are_counted() -> None:
    stack = noise((10, 5, 6))
    stack[7:] = 3
    stack[:, 4] = 0
    assert quality.constant_share(stack, 0) == pytest.approx(0.0)
    stack[7:, 4] = 3
    assert quality.constant_share(stack, 0) == pytest.approx(0.3)
    assert quality.constant_share(stack[:7], 1) == pytest.approx(0.2)
    assert quality.constant_share(stack[:7], -1) == 0


def test_what_the_frame_cuts_is_counted() -> None:
    there = np.zeros((6, 6), bool)
    there[2:, 1:5] = True  # four of six columns reach the last row
    assert quality.cut_share(there, 0) == 1
    assert quality.cut_share(there, 1) == 0
    there[5, 1:4] = False
    assert quality.cut_share(there, 0) == 0.25
    assert math.isnan(quality.cut_share(np.zeros((3, 3), bool), 0))


def test_clipped_voxels_and_entropy_are_counted() -> None:
    assert quality.clipped_shares([0, 0, 5, 7, 9, 9, 9, 8]) == (0.25, 0.375)
    assert quality.clipped_shares([4, 4]) == (1, 1)
    assert quality.entropy_bits([0, 0, 1, 1]) == pytest.approx(1)
    assert quality.entropy_bits(np.arange(256)) == pytest.approx(8)
    assert quality.entropy_bits([3, 3, 3]) == 0


def test_a_ghost_is_what_lies_half_a_field_of_view_away() -> None:
    plane = np.zeros((8, 8))
    plane[0:2] = 100
    plane[4:6] = 5
    plane[[2, 3, 6, 7]] = 1
    assert quality.ghost_ratio(plane, plane > 50, 0) == pytest.approx(0.04)


def test_a_slice_brighter_than_its_neighbours_jumps() -> None:
    stack = np.arange(9.0)[:, None, None] * np.ones((9, 4, 4))
    assert quality.slice_jump(stack) == 0
    stack[4] += 5
    # e = 5 / sqrt(1.5) at slice 4, where n = 2 / sqrt(2) as at most slices.
    assert quality.slice_jump(stack) == pytest.approx(5 / math.sqrt(1.5) / math.sqrt(2))


# Analytic


@pytest.mark.parametrize("sigma", [0.5, 3.0, 40.0])
@pytest.mark.parametrize("n", [64, 256])
def test_white_noise_has_its_standard_deviation_with_edges_or_without(sigma: float, n: int) -> None:
    for plane in (noise((n, n), sigma), discs(n) + noise((n, n), sigma)):
        assert quality.white_noise(plane) == pytest.approx(sigma, rel=0.15 if n == 64 else 0.04)
        assert quality.region_noise(plane) == pytest.approx(sigma, rel=0.15 if n == 64 else 0.04)


def test_smoothed_noise_is_found_in_regions_as_the_docstring_says() -> None:
    plane = ndimage.gaussian_filter(noise((512, 512)), 1.0)
    assert quality.region_noise(plane) / plane.std() == pytest.approx(0.8, abs=0.03)
    assert quality.white_noise(plane) / plane.std() == pytest.approx(1 / 12, abs=0.01)


def test_a_ramp_and_its_rounding_are_no_noise() -> None:
    ramp = 3.0 * np.arange(64)[:, None] + 0.5 * np.arange(64)[None]
    assert quality.region_noise(ramp) == pytest.approx(0, abs=1e-6)
    assert quality.white_noise(ramp) == pytest.approx(0, abs=1e-9)
    assert quality.region_noise(np.round(ramp + noise((64, 64), 5))) == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("fwhm", [1.5, 2.5, 4.0, 6.0, 9.0])
@pytest.mark.parametrize(("sigma", "tolerance"), [(0, 0.1), (5, 0.1), (10, 0.15)])
def test_the_blur_of_edges_is_found(fwhm: float, sigma: float, tolerance: float) -> None:
    drawn = discs(sigma=math.sqrt((fwhm / quality.FWHM) ** 2 - 1 / 12)) + noise((128, 128), sigma)
    sharp = {0: 0.15, 5: 0.25, 10: 0.4}[int(sigma)]
    assert quality.edge_fwhm_mm(drawn) == pytest.approx(fwhm, rel=tolerance, abs=sharp if fwhm < 2 else 0)
    assert quality.edge_fwhm_mm(drawn, (0.7, 0.7)) == pytest.approx(0.7 * quality.edge_fwhm_mm(drawn))


def test_the_blur_of_edges_is_in_millimetres_where_pixels_are_not_square() -> None:
    square = discs(256, sigma=4.0)
    oblong = square.reshape(128, 2, 256).mean(axis=1)
    assert quality.edge_fwhm_mm(square, (0.5, 0.5)) == pytest.approx(4.72, rel=0.03)
    assert quality.edge_fwhm_mm(oblong, (1.0, 0.5)) == pytest.approx(4.72, rel=0.08)


@pytest.mark.parametrize("fwhm", [2.0, 3.5])
def test_the_smoothness_of_filtered_noise_is_the_filters(fwhm: float) -> None:
    blurred = ndimage.gaussian_filter1d(noise((60, 60, 60)), fwhm / quality.FWHM, axis=1)
    assert quality.smoothness_fwhm_mm(blurred, 1, 1.0) == pytest.approx(fwhm, rel=0.05)
    assert quality.smoothness_fwhm_mm(blurred, 1, 2.5) == pytest.approx(2.5 * fwhm, rel=0.05)
    assert quality.smoothness_fwhm_mm(blurred, 0, 1.0) < 0.6


@pytest.mark.parametrize("ghost", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_simulated_ghost_has_its_ratio(ghost: float, axis: int) -> None:
    # Every other line of k-space is scaled by 1 - g: image + ghost in the proportion g / (2 - g).
    plane = np.zeros((128, 128))
    plane[44:84, 40:88] = 100
    lines = np.fft.fft(plane, axis=axis)
    odd = np.arange(128) % 2 == 1
    g = 2 * ghost / (1 + ghost)
    lines = np.moveaxis(lines, axis, 0)
    lines[odd] *= 1 - g
    image = np.abs(np.fft.ifft(np.moveaxis(lines, 0, axis), axis=axis) + noise((128, 128), 0.1))
    assert quality.ghost_ratio(image, plane > 50, axis) == pytest.approx(ghost, abs=0.002)
    assert quality.ghost_ratio(image, plane > 50, 1 - axis) == pytest.approx(0, abs=0.02)


def test_slices_of_noise_jump_by_one_and_a_moved_slice_by_more() -> None:
    assert quality.slice_jump(noise((40, 64, 64))) == pytest.approx(1, abs=0.06)
    body = np.stack([discs(64, sigma=1)] * 30) + noise((30, 64, 64), 2)
    moved = body.copy()
    moved[12] = np.roll(moved[12], 4, axis=0)
    assert quality.slice_jump(body) < 1.1
    assert quality.slice_jump(moved) > 5


def test_the_air_of_a_magnitude_image_gives_the_signal_to_noise() -> None:
    real, other = noise((256, 256), 4, seed=1), noise((256, 256), 4, seed=2)
    signal = np.zeros((256, 256))
    signal[80:176, 80:176] = 200
    image = np.hypot(signal + real, other)
    air = quality.region_noise(image, signal == 0)
    assert air == pytest.approx(4 * quality.RAYLEIGH_SD, rel=0.05)
    assert quality.dietrich_snr(200, air) == pytest.approx(50, rel=0.05)
    assert quality.contrast_to_noise(200, 0, quality.region_noise(image, signal > 0)) == pytest.approx(50, rel=0.08)


def test_an_image_of_noise_alone_is_told_from_anatomy() -> None:
    assert quality.noise_share(noise((128, 128))) == pytest.approx(1, abs=0.06)
    assert quality.noise_share(discs() + noise((128, 128), 10)) < 0.1


# Reference implementation


def test_white_noise_agrees_with_the_published_mean() -> None:
    plane = noise((256, 256), 6)
    laplacians = ndimage.convolve(plane, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]])[1:-1, 1:-1]
    published = math.sqrt(math.pi / 2) / 6 * np.abs(laplacians).mean()
    assert quality.white_noise(plane) == pytest.approx(float(published), rel=0.02)


def test_blur_orders_images_as_scikit_images_perceptual_measure_does() -> None:
    from skimage.measure import blur_effect

    planes = [discs(sigma=s) + noise((128, 128), 1) for s in (0.5, 1, 2, 3, 4)]
    ours, theirs = [quality.edge_fwhm_mm(p) for p in planes], [blur_effect(p) for p in planes]
    assert np.argsort(ours).tolist() == np.argsort(theirs).tolist() == [0, 1, 2, 3, 4]


# Laws


@pytest.mark.parametrize("name", ["white_noise", "region_noise"])
def test_more_noise_is_more_noise(name: str) -> None:
    found = [PLANAR[name](discs() + noise((128, 128), s)) for s in (1, 2, 4, 8, 16, 32)]
    assert found == sorted(found)


def test_more_blur_is_more_blur_and_more_ghost_more_ghost() -> None:
    widths = [quality.edge_fwhm_mm(discs(sigma=s)) for s in (0, 0.4, 0.7, 1, 1.3, 1.6, 2, 3, 4)]
    assert widths == sorted(widths)


@pytest.mark.parametrize("gain", [0.01, 7.0])
def test_intensities_scale_noise_and_nothing_else(gain: float) -> None:
    plane = discs(sigma=1) + noise((128, 128), 3)
    other = gain * plane - 1000 * gain
    for name in ("white_noise", "region_noise"):
        assert PLANAR[name](other) == pytest.approx(gain * PLANAR[name](plane))
    for name in ("edge_fwhm_mm", "noise_share", "entropy_bits"):
        assert PLANAR[name](other) == pytest.approx(PLANAR[name](plane), rel=1e-6)


@pytest.mark.parametrize("name", list(PLANAR))
def test_turning_an_image_changes_nothing(name: str) -> None:
    plane = discs(sigma=1) + noise((128, 128), 3)
    assert PLANAR[name](plane.T) == pytest.approx(PLANAR[name](plane), rel=1e-9)
    assert PLANAR[name](plane[::-1, ::-1]) == pytest.approx(PLANAR[name](plane), rel=0.02)


@pytest.mark.parametrize("name", list(PLANAR))
def test_the_type_that_stores_an_image_does_not_count(name: str) -> None:
    plane = np.round(discs(sigma=1) + noise((128, 128), 3)).astype(np.int16)
    assert PLANAR[name](plane) == PLANAR[name](plane.astype(np.float64))


# Edge cases


@pytest.mark.parametrize("name", list(PLANAR))
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 2), (40, 3)])
def test_tiny_and_constant_images_are_answered(name: str, shape: tuple[int, int]) -> None:
    for plane in (np.full(shape, 5.0), noise(shape)):
        found = PLANAR[name](plane)
        assert math.isnan(found) or math.isfinite(found)
    if name in ("edge_fwhm_mm", "noise_share"):
        assert math.isnan(PLANAR[name](np.full((64, 64), 5.0)))
    if name in ("white_noise", "region_noise"):
        assert PLANAR[name](np.full((64, 64), 5.0)) == 0


def test_what_cannot_be_measured_is_not_a_number() -> None:
    assert math.isnan(quality.slice_jump(noise((4, 8, 8))))
    assert math.isnan(quality.slice_jump(np.ones((9, 8, 8))))
    assert math.isnan(quality.slice_jump(noise((9, 8))))
    assert math.isnan(quality.smoothness_fwhm_mm(np.ones((5, 5)), 0, 1.0))
    assert quality.smoothness_fwhm_mm([[0.0], [1.0], [0.0], [1.0]], 0, 1.0) == 0
    assert math.isnan(quality.ghost_ratio(noise((8, 8)), np.ones((8, 8), bool), 0))
    assert math.isnan(quality.ghost_ratio(noise((8, 8)), np.zeros((8, 8), bool), 0))
    assert math.isnan(quality.contrast_to_noise(5, 1, 0))
    assert math.isnan(quality.dietrich_snr(5, math.nan))
    assert math.isnan(quality.entropy_bits([]))
    assert math.isnan(quality.clipped_shares([])[0])
    assert math.isnan(quality.constant_share(np.zeros((0, 3)), 0))


# Error messages


@pytest.mark.parametrize("name", list(PLANAR))
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_voxels_that_are_no_numbers_are_refused(name: str, bad: float) -> None:
    plane = noise((32, 32))
    plane[3, 4] = bad
    with pytest.raises(InputRefused, match="NaN or infinite"):
        PLANAR[name](plane)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputRefused, match="plane"):
        quality.white_noise(noise((4, 4, 4)))
    with pytest.raises(InputRefused, match="equal shapes"):
        quality.region_noise(noise((40, 40)), np.ones((40, 41), bool))
    with pytest.raises(InputRefused, match="3 or more"):
        quality.region_noise(noise((40, 40)), side=2)
