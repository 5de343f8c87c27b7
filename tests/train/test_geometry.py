"""The planner's rules: grid, patch and network size from traits and a budget."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fiducial.predict.contract import Look
from fiducial.study import Region
from fiducial.train.fingerprint import Traits
from fiducial.train.geometry import (
    BYTES_PER_VOXEL,
    PATCH_VOXELS,
    _within,
    bfloat16_is_sound,
    classification_shape,
    segmentation_shape,
)


def traits(shape, spacing, *, foreground=None, region=None, n=20):
    look = Look("CT", "HU", 1, shape[2] == 1, tuple(sorted(spacing)), -1000.0, 500.0)
    return [Traits(shape, spacing, (look,), ((0.0,),), region, (True,), foreground)] * n


def divisors(shape):
    return [math.prod(s[axis] for s in shape.strides) for axis in range(3)]


def test_a_small_image_is_seen_whole():
    shape = segmentation_shape(traits((35, 51, 36), (1, 1, 1), foreground=(25, 45, 25)), device="cpu", memory_gb=4)
    assert shape.patch == (40, 56, 40)
    assert shape.spacing_mm == (1, 1, 1)
    assert shape.foreground_fraction == 0


def test_small_structures_get_small_patches_in_larger_batches():
    chest = traits((112, 112, 50), (3, 3, 5), foreground=(20, 20, 20))
    small = segmentation_shape(chest, device="cpu", memory_gb=4)
    large = segmentation_shape(traits((112, 112, 50), (3, 3, 5)), device="cpu", memory_gb=4)
    assert math.prod(small.patch) < math.prod(large.patch) / 2
    assert small.batch > large.batch
    assert small.foreground_fraction == 0.5
    assert all(s * p >= 20 for s, p in zip(small.spacing_mm, small.patch, strict=True))


def test_a_huge_image_is_made_coarser_and_says_so():
    shape = segmentation_shape(traits((512, 512, 300), (0.7, 0.7, 1.0)), device="cpu", memory_gb=4)
    assert shape.spacing_mm[0] > 0.7
    assert max(shape.spacing_mm) / min(shape.spacing_mm) < 1.5
    assert "times coarser" in shape.reasons["spacing_mm"]


@pytest.mark.parametrize(
    "size", [(35, 51, 36), (112, 112, 50), (512, 512, 300), (64, 64, 8), (400, 300, 1), (20, 20, 1)]
)
@pytest.mark.parametrize("memory_gb", [1, 4, 16])
def test_every_patch_can_be_halved_as_often_as_the_network_does(size, memory_gb):
    flat = size[2] == 1
    shape = segmentation_shape(traits(size, (1, 1, 1)), device="cpu", memory_gb=memory_gb)
    assert all(p % d == 0 for p, d in zip(shape.patch, divisors(shape), strict=True))
    assert len(shape.widths) == len(shape.strides) >= 3
    assert shape.patch[2] == 1 if flat else bfloat16_is_sound(3, shape.patch, shape.strides)
    more = segmentation_shape(traits(size, (1, 1, 1)), device="cpu", memory_gb=4 * memory_gb)
    assert math.prod(more.patch) * more.batch >= math.prod(shape.patch) * shape.batch


@pytest.mark.parametrize(
    ("size", "spacing"),
    [
        ((512, 512, 100), (0.8, 0.8, 2.5)),
        ((128, 128, 12), (1, 1, 6)),
        ((300, 300, 3), (1, 1, 10)),
        ((40, 300, 40), (1, 1, 1)),
        ((160, 24, 160), (1, 4, 1)),
        ((3000, 2000, 1), (0.1, 0.1, 1)),
    ],
)
@pytest.mark.parametrize("memory_gb", [0.05, 4])
def test_a_patch_keeps_to_its_limit_and_its_axes_are_alike(size, spacing, memory_gb):
    shape = segmentation_shape(traits(size, spacing), device="cpu", memory_gb=memory_gb)
    assert math.prod(shape.patch) <= PATCH_VOXELS["cpu"]
    assert math.prod(shape.patch) * shape.batch * BYTES_PER_VOXEL * 32 <= memory_gb * 0.4e9 * 8
    scale = np.array(spacing) / np.array(shape.spacing_mm)
    cut = [(p, d) for p, d, n, s in zip(shape.patch, divisors(shape), size, scale, strict=True) if p < n * s]
    assert max(p for p, _ in cut) - min(p for p, _ in cut) <= max(d for _, d in cut)


def test_a_cut_of_the_longest_axes_by_hand():
    assert _within((10, 4, 3), 1000) == (10, 4, 3)
    assert _within((10, 4, 3), 60) == (5, 4, 3)
    assert _within((10, 10, 3), 75) == (5, 5, 3)
    assert _within((10, 10, 10), 27) == (3, 3, 3)


def test_a_thick_axis_waits_for_the_others():
    shape = segmentation_shape(traits((96, 96, 24), (1, 1, 6)), device="cpu", memory_gb=8)
    assert shape.strides[1][2] == 1
    assert shape.strides[1][:2] == (2, 2)


def test_a_region_is_its_extent_and_the_margin():
    nodules = traits((112, 112, 50), (2, 2, 4), region=(20.0, 20.0, 20.0))
    shape = classification_shape(nodules, Region(mask="nodule", margin_mm=10), device="cpu", memory_gb=4)
    assert shape.patch == (20, 20, 12)  # 40 mm in voxels of 2, 2 and 4 mm, rounded up to a multiple of 4
    assert shape.spacing_mm == (2, 2, 4)


def test_a_whole_picture_stays_as_it_is_unless_it_is_large():
    small = classification_shape(traits((28, 28, 1), (1, 1, 1), n=1000), None, device="cpu", memory_gb=4)
    assert (small.patch, small.batch) == ((28, 28, 1), 64)
    large = classification_shape(traits((2000, 1600, 1), (1, 1, 1), n=1000), None, device="cpu", memory_gb=4)
    assert math.prod(large.patch) < 50_000
    assert "coarser" in large.reasons["spacing_mm"]
