"""Sizes at which bfloat16 training on a CPU cannot be trusted are never planned."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fiducial.train.fingerprint import Traits
from fiducial.train.geometry import bfloat16_is_sound, segmentation_shape

CUBE = ((2, 2, 2),) * 4


@pytest.mark.parametrize(
    ("dimensions", "patch", "strides", "n_halvings", "sound"),
    [
        (3, (32, 48, 48), CUBE, 0, False),
        (3, (48, 32, 48), CUBE, 0, True),
        (3, (24, 24, 16), ((1, 1, 1),), 3, True),
        (3, (16, 24, 24), ((1, 1, 1),), 3, False),
        (3, (12, 24, 24), ((1, 1, 1),), 3, False),
        (2, (32, 32, 1), ((2, 2, 1),) * 4, 0, True),
    ],
)
def test_a_first_axis_of_two_voxels_is_found(dimensions, patch, strides, n_halvings, sound):
    assert bfloat16_is_sound(dimensions, patch, strides, n_halvings) is sound


@pytest.mark.parametrize("foreground_mm", [None, (12.0, 14.0, 11.0), (40.0, 40.0, 40.0)])
def test_a_planned_patch_never_has_it(foreground_mm):
    looks = (SimpleNamespace(flat=False),)
    for size in range(20, 120, 9):
        for mm in (1.0, 3.0, 5.0):
            trait = Traits((size, size + 7, 48), (1.0, 1.0, mm), looks, (), None, (), foreground_mm)
            shape = segmentation_shape([trait] * 8, device="cpu", memory_gb=3)
            assert bfloat16_is_sound(3, shape.patch, shape.strides), (size, mm, shape.patch, shape.strides)
