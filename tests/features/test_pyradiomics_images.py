"""The images of PyRadiomics' profile, of a box alone, are SimpleITK's and PyWavelets' to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import SimpleITK

from fiducial.features.radiomics import threads
from fiducial.features.radiomics.pyradiomics import parameters_of
from fiducial.features.radiomics.pyradiomics.engine import pyradiomics_rows
from fiducial.features.radiomics.pyradiomics.images import images_of
from fiducial.features.radiomics.pyradiomics.prepare import from_itk, to_itk
from fiducial.features.radiomics.pyradiomics.recursive_gaussian import curvature, filtered_lines, gaussian, laplacian
from fiducial.features.radiomics.pyradiomics.settings import ImageTypeSettings
from fiducial.features.radiomics.pyradiomics.wavelets import wavelet_bands

BOXES = {
    "all": ((23, 17, 14), (slice(0, 23), slice(0, 17), slice(0, 14))),
    "inside": ((23, 17, 14), (slice(3, 9), slice(5, 16), slice(1, 4))),
    "at an end": ((4, 5, 40), (slice(1, 4), slice(0, 5), slice(9, 40))),
}
KINDS = ("i2", "u1", "i4", "f4", "f8")


def volume(shape, kind):
    """Noise about 100."""
    return np.clip(np.random.default_rng(0).normal(100, 40, shape), 0, 250).astype(kind)


# By hand and analytic.


def line_of(values, weights):
    made = filtered_lines(np.asarray(values, dtype=np.float64)[None, :, None], weights, 0, len(values))
    return made.ravel()


def test_a_constant_stays_and_has_no_curvature():
    assert line_of(np.full(20, 7.0), gaussian(1.5)) == pytest.approx([7] * 20, rel=1e-6)
    assert line_of(np.full(20, 7.0), curvature(1.5, 1.0)) == pytest.approx([0] * 20, abs=1e-6)


def test_a_square_has_the_curvature_2():
    x = np.arange(-40.0, 41.0)
    assert line_of(x**2, curvature(2.0, 3.0))[40] == pytest.approx(6, rel=1e-5)


def test_an_impulse_becomes_nearly_a_gaussian():
    x = np.arange(-20.0, 21.0)
    wanted = np.exp(-(x**2) / 18) / np.sqrt(18 * np.pi)
    assert line_of(x == 0, gaussian(3.0)) == pytest.approx(wanted, abs=5e-4)


# Against the libraries.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", BOXES)
def test_the_laplacian_is_simpleitks(place, kind):
    shape, box = BOXES[place]
    image, mm = volume(shape, kind), (0.5, 0.78125, 3.0)
    for sigma in (0.6, 1.0, 3):
        wanted = SimpleITK.LaplacianRecursiveGaussian(to_itk(image, mm), float(sigma), True)
        assert np.array_equal(laplacian(image, mm, sigma, box), from_itk(wanted)[box])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("wavelet", "axes"), [("coif1", (0, 1, 2)), ("db2", (0, 2)), ("sym8", (1, 2)), ("haar", (0,))])
@pytest.mark.parametrize("place", BOXES)
def test_wavelet_bands_are_pywavelets(place, wavelet, axes, kind):
    shape, box = BOXES[place]
    image = volume(shape, kind)
    low = np.pad(image, [(0, n % 2) for n in shape], mode="wrap")
    found = wavelet_bands(image, wavelet, box, axes, start_level=1, n_levels=2)
    for level in (0, 1, 2):
        bands = pywt.swtn(low, wavelet, level=1, axes=axes)[0]
        low = bands.pop("a" * len(axes))
        for band, wanted in bands.items() if level else ():
            n_level, letters, made = next(found)
            assert (n_level, letters) == (level, band.replace("a", "L").replace("d", "H"))
            assert made.dtype == wanted.dtype
            assert np.array_equal(made, wanted[box])
    n_level, letters, made = next(found)
    assert (n_level, letters) == (2, "L" * len(axes))
    assert np.array_equal(made, low[box])
    assert not list(found)


# Laws.


@pytest.mark.parametrize("image_type", ["Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D", "LoG"])
@pytest.mark.parametrize("across", [0, 2])
def test_a_box_of_an_image_is_a_part_of_it(image_type, across):
    shape, box = BOXES["inside"]
    image, mm = volume(shape, "i2"), (1.0, 0.8, 2.5)
    settings = ImageTypeSettings(sigma=(2.0,), force_2d_dimension=across)
    everything = tuple(slice(0, n) for n in shape)
    ((name, make, _),) = images_of(image_type, image, mm, box, settings)
    ((_, make_whole, _),) = images_of(image_type, image, mm, everything, settings)
    assert make is not None, name
    assert np.array_equal(make(), make_whole()[box])


def test_any_number_of_threads_gives_the_same_numbers(monkeypatch):
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    image, mask = volume((23, 17, 14), "i2"), np.zeros((23, 17, 14), dtype=np.uint8)
    mask[4:18, 3:12, 2:9] = 1
    settings = parameters_of({"imageType": {"Original": {}, "LoG": {"sigma": [2, 40]}, "Wavelet": {}, "Gradient": {}}})
    one, two = (pyradiomics_rows(image, mask, (1.0, 0.8, 2.5), settings, threads=n) for n in (1, 2))
    assert len(one) == 14 + 12 * 93
    assert [row[:5] + row[6:] for row in one] == [row[:5] + row[6:] for row in two]
    assert np.array_equal([row[5] for row in one], [row[5] for row in two], equal_nan=True)
