"""How good each image is, measured in the one reading that ingest makes, and what is wrong with one by itself.

Volumes are measured on five planes across their slice axis (z, unless another has a much larger spacing), at 20, 35,
50, 65 and 80 % of it, sharpness on the middle three; the planes' median is kept. Whole volumes are looked at on a
grid of at most 64 x 64 voxels in each slice. Of planes of more than 1,024 x 1,024 pixels the middle is taken, for
sharpness the middle 384 x 384. Channels are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fiducial.maths import image_quality as measures
from fiducial.records.image import Image

Floats = NDArray[np.float64]
Scale = Literal["log", "share", "level", "plain"]

PLACES = (0.2, 0.35, 0.5, 0.65, 0.8)
GRID = 64
LARGEST, SHARPEST = 1024, 384
BLOCK_MM = 6.0
"""Side of a homogeneous region, as in Christianson et al., AJR 2015."""
AIR_HU = -500.0
N_LEVELS = 60_000
SMOOTHED = 5
"""Pixels: side of the mean that is compared with the threshold between body and air."""
NOISE_ALONE = 0.5
"""A plane of whose variance more than this is white noise shows nothing else: anatomy leaves less than a tenth."""
EMPTY_SLICES = 0.1
UNEVEN = 1.5


@dataclass(frozen=True)
class Measure:
    """One figure of an image: its key in the fingerprint, its name, its unit and the scale on which it is compared.

    ``unit`` "" is a pure number, "image" the image's own unit. Where images hardly differ, ``least`` stands in for
    their spread on that scale, so that no difference is made much of that nobody would see: 5 % of a quantity, about
    3 points of a share near one half (0.1 of a percent near 0 or 1), 2 % of the image's spread of an intensity.
    """

    key: str
    label: str
    unit: str
    scale: Scale
    meaning: str
    least: float = math.nan

    @property
    def least_spread(self) -> float:
        """The smallest spread that images are taken to have, on the figure's scale."""
        return {"log": 0.05, "share": 0.03, "level": 0.02, "plain": self.least}[self.scale]


MEASURES = (
    Measure("noise", "Noise", "image", "log", "standard deviation in homogeneous tissue; of a picture, white noise"),
    Measure("noise_air", "Noise in air", "image", "log", "standard deviation outside the body"),
    Measure("cnr", "Contrast to noise", "", "log", "foreground less background, over the noise"),
    Measure("snr_air", "Signal to noise (air)", "", "log", "foreground over the Rayleigh noise of air (MR)"),
    Measure("fwhm_mm", "Blur of edges", "mm", "log", "full width at half maximum across the strongest edges"),
    Measure("slice_fwhm_mm", "Likeness of slices", "mm", "log", "smoothness across slices as the width of a kernel"),
    Measure("slice_jump", "Jump between slices", "", "log", "largest departure of a slice from its neighbours' mean"),
    Measure("ghost", "Ghost", "", "plain", "signal half a field of view away, over the signal (MR)", 0.005),
    Measure("entropy", "Entropy", "bits", "plain", "of the histogram in 256 steps: how much of the range is used", 0.1),
    Measure("at_min", "Voxels at the minimum", "", "share", "share of voxels at the smallest value"),
    Measure("at_max", "Voxels at the maximum", "", "share", "share of voxels at the largest value: saturation"),
    Measure("noise_share", "Share of noise", "", "share", "share of the variance that is white noise"),
    Measure("constant", "Empty slices", "", "share", "share of slices of one value"),
    Measure("constant_rows", "Empty rows or columns", "", "share", "share of rows or columns of one value"),
    Measure("cut", "Cut by the frame", "", "share", "foreground that the field of view cuts within a slice"),
    Measure("cut_slices", "Cut by first or last slice", "", "share", "foreground of an end slice, over the largest"),
    Measure(
        "foreground", "Foreground", "", "share", "share of voxels above air (CT: -500 HU; else Otsu's, of logarithms)"
    ),
)


@dataclass(frozen=True)
class Remark:
    """What is wrong with an image whatever its neighbours are like: a stable code and a sentence."""

    code: str
    text: str


def measure_quality(image: Image) -> dict[str, float]:
    """Every figure of `MEASURES` that this image can have, by key, to four digits; what is undefined is left out.

    So is an edge that is sharper than can be told.
    """
    array = image.array
    spacing = image.geometry.spacing_mm
    if array.shape[3] > 1:
        found = _volume(array, _slice_axis(spacing), spacing, image)
    else:
        found = _picture(_grey(array, 2, 0), spacing)
    if found["fwhm_mm"] == 0:
        del found["fwhm_mm"]
    return {m.key: _short(found[m.key]) for m in MEASURES if math.isfinite(found.get(m.key, math.nan))}


def _slice_axis(spacing_mm: Sequence[float]) -> int:
    """z, along which volumes are stacked, unless another spacing is half as large again (a sagittal or coronal one)."""
    widest = int(np.argmax(spacing_mm))
    return widest if spacing_mm[widest] >= UNEVEN * spacing_mm[2] else 2


def _picture(plane: Floats, spacing_mm: Sequence[float]) -> dict[str, float]:
    """Figures of a single plane."""
    middle = _middle(plane, LARGEST)
    low, high = measures.clipped_shares(plane)
    return {
        "noise": measures.white_noise(middle),
        "fwhm_mm": measures.edge_fwhm_mm(_middle(plane, SHARPEST), (spacing_mm[0], spacing_mm[1])),
        "entropy": measures.entropy_bits(plane),
        "at_min": low,
        "at_max": high,
        "noise_share": measures.noise_share(middle),
        "constant_rows": max(measures.constant_share(plane, 0), measures.constant_share(plane, 1)),
    }


def _volume(array: NDArray[Any], axis: int, spacing_mm: Sequence[float], image: Image) -> dict[str, float]:
    """Figures of a volume: of some planes, and of the whole on a coarse grid."""
    thin = _thinned(array, axis)
    threshold = _threshold(thin, image)
    there = thin > threshold
    own = [spacing_mm[k] for k in range(3) if k != axis]
    low, high = measures.clipped_shares(thin)
    places = sorted({round(place * (array.shape[axis + 1] - 1)) for place in PLACES})
    planes = [_middle(_grey(array, axis, k), LARGEST) for k in places]
    return {
        **_tissue(planes, threshold, own, image.modality),
        "fwhm_mm": _median([_sharpness(plane, own) for plane in _middle_three(planes)]),
        "slice_fwhm_mm": measures.smoothness_fwhm_mm(thin, 0, spacing_mm[axis]),
        "slice_jump": measures.slice_jump(thin),
        "entropy": measures.entropy_bits(thin),
        "at_min": low,
        "at_max": high,
        "noise_share": _median([measures.noise_share(plane) for plane in _middle_three(planes)]),
        "constant": measures.constant_share(thin, 0),
        "constant_rows": max(measures.constant_share(thin, k) for k in (1, 2)),
        "cut": max(measures.cut_share(there, k) for k in (1, 2)),
        "cut_slices": measures.cut_share(there, 0),
        "foreground": float(there.mean()),
    }


def _tissue(planes: Sequence[Floats], threshold: float, spacing_mm: Sequence[float], modality: str) -> dict[str, float]:
    """Noise of tissue and of air, and what compares them."""
    from scipy.ndimage import uniform_filter

    side = int(np.clip(round(BLOCK_MM / math.sqrt(spacing_mm[0] * spacing_mm[1])), 5, 12))
    noises, airs, ghosts = [], [], []
    signal, background = [], []
    for plane in planes:
        # Smoothed first, or a noisy image has no region that lies wholly inside.
        there = uniform_filter(plane, SMOOTHED) > threshold
        noises.append(measures.region_noise(plane, there, side=side))
        airs.append(measures.region_noise(plane, ~there, side=side))
        signal.append(float(np.median(plane[there])) if there.any() else math.nan)
        background.append(float(np.median(plane[~there])) if not there.all() else math.nan)
        if modality == "MR":
            ghosts += [_largest([measures.ghost_ratio(plane, there, k) for k in (0, 1)])]
    noise, air = _median(noises), _median(airs)
    found = {"noise": noise, "noise_air": air, "ghost": _median(ghosts)}
    found["cnr"] = measures.contrast_to_noise(_median(signal), _median(background), noise)
    if modality == "MR":
        found["snr_air"] = measures.dietrich_snr(_median(signal), air)
    return found


def _sharpness(plane: Floats, spacing_mm: Sequence[float]) -> float:
    return measures.edge_fwhm_mm(_middle(plane, SHARPEST), (spacing_mm[0], spacing_mm[1]))


def _threshold(thin: Floats, image: Image) -> float:
    """Where the body begins: a fixed value for CT, else Otsu's of logarithms, so that dim tissue is no air.

    Values are cut at their 99.5th percentile, and 1 % of their range is added before the logarithm.
    """
    if image.modality == "CT" and image.unit in ("HU", ""):
        return AIR_HU
    from skimage.filters import threshold_otsu

    otsu: Callable[[Floats], float] = threshold_otsu
    values = thin.reshape(-1)
    values = values[:: max(1, values.size // N_LEVELS)]
    values = np.minimum(values, np.percentile(values, 99.5))
    low, reach = float(values.min()), float(np.ptp(values))
    if reach == 0:
        return low
    return math.exp(float(otsu(np.log(values - low + 0.01 * reach)))) - 0.01 * reach + low


def _thinned(array: NDArray[Any], axis: int) -> Floats:
    """[slice, a, b]: every slice, on a grid of at most `GRID` voxels along each of its axes."""
    steps = [1 if k == axis else math.ceil(n / GRID) for k, n in enumerate(array.shape[1:])]
    thin = array[:, :: steps[0], :: steps[1], :: steps[2]]
    return np.moveaxis(thin.mean(axis=0, dtype=np.float64), axis, 0)


def _grey(array: NDArray[Any], axis: int, place: int) -> Floats:
    """One plane across an axis, channels averaged."""
    # A view: `take` would copy the whole array first where it is not contiguous.
    return np.asarray(np.moveaxis(array, axis + 1, 0)[place].mean(axis=0, dtype=np.float64))


def _middle(plane: Floats, most: int) -> Floats:
    """The middle of a plane, at most ``most`` pixels along each axis."""
    starts = [max(0, (n - most) // 2) for n in plane.shape]
    return plane[starts[0] : starts[0] + most, starts[1] : starts[1] + most]


def _middle_three(planes: Sequence[Floats]) -> Sequence[Floats]:
    surplus = max(0, len(planes) - 3)
    return planes[surplus // 2 : len(planes) - (surplus - surplus // 2)]


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def _largest(values: Sequence[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def remarks(look: Mapping[str, Any]) -> list[Remark]:
    """What a fingerprint says against its image, without any other image: blank, noise alone, empty slices."""
    told: Mapping[str, float] = look.get("quality", {})
    if look.get("min") == look.get("max"):
        return [Remark("blank", f"every voxel is {look.get('min', 0):g}")]
    found = []
    if told.get("noise_share", 0.0) > NOISE_ALONE:
        found.append(Remark("noise-only", f"{100 * told['noise_share']:.0f} % of its variance is white noise"))
    if told.get("constant", 0.0) >= EMPTY_SLICES:
        found.append(Remark("empty-slices", f"{100 * told['constant']:.0f} % of its slices hold one value only"))
    return found
