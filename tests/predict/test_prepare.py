"""`prepare`: orientation, spacing, normalisation and the way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.errors import ContractError, GeometryError, VoxelError
from fiducial.predict.prepare import cut_box, from_ras, normalise, prepare, prepare_labels, resample, restore, to_ras
from fiducial.records.image import Geometry, Image
from fiducial.records.plan import Normalisation, Plan, RegionPlan


def make_plan(**changes):
    base = {
        "task": "segmentation",
        "dimensions": 3,
        "inputs": ("CT",),
        "n_channels": 1,
        "targets": ("nodule",),
        "label_type": "structures",
        "classes": ("background", "nodule"),
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalisation": (Normalisation(kind="zscore"),),
        "patch": (8, 8, 8),
        "model": "resunet",
        "widths": (4, 8, 16),
        "strides": ((2, 2, 2), (2, 2, 2), (1, 1, 1)),
        "kernels": ((3, 3, 3),) * 3,
        "batch": 2,
        "n_steps": 4,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "warmup_steps": 1,
        "average_decay": 0.9,
        "precision": "32-true",
        "device": "cpu",
        "n_threads": 1,
        "seed": 0,
        "minutes": 1.0,
        "memory_gb": 1.0,
    }
    return Plan.model_validate(base | changes)


def image_of(array, affine=None, modality="CT", unit="HU"):
    array = np.asarray(array)
    return Image(array[None], Geometry(np.eye(4) if affine is None else affine, array.shape), modality, unit)


def test_a_row_of_four_voxels_becomes_two_at_twice_the_spacing():
    # Without smoothing (factor 1.2 is exceeded, but the axis has only 3 voxels or fewer to smooth over elsewhere),
    # a ramp's values at twice the spacing lie midway between its voxels, away from the smoothed ends.
    ramp = np.arange(40, dtype=np.float32)[:, None, None]
    half = resample(ramp, (20, 1, 1))[:, 0, 0]
    assert half.shape == (20,)
    np.testing.assert_allclose(half[4:16], np.arange(20)[4:16] * 2 + 0.5, atol=1e-4)


def test_resampling_finer_and_nearest_keeps_only_known_labels():
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[2:4, 2:4, 2:4] = 3
    fine = resample(labels, (12, 12, 12), nearest=True)
    assert set(np.unique(fine)) == {0, 3}
    assert (fine == 3).sum() == 8 * (labels == 3).sum()


def test_window_zscore_and_unit_by_hand():
    x = np.array([[[-2000.0, 0.0, 100.0, 4000.0]]], np.float32)
    window = normalise(x, Normalisation(kind="window", low=-1000, high=1000, mean=0, std=500))
    np.testing.assert_allclose(window, [[[-2, 0, 0.2, 2]]])
    z = normalise(np.array([[[1.0, 3.0]]], np.float32), Normalisation(kind="zscore"))
    np.testing.assert_allclose(z, [[[-1, 1]]])
    unit = normalise(np.array([[[0.0, 255.0]]], np.float32), Normalisation(kind="unit", low=0, high=255))
    np.testing.assert_allclose(unit, [[[-1, 1]]])
    assert not normalise(np.full((2, 2, 2), 7.0, np.float32), Normalisation(kind="zscore")).any()


AFFINES = [
    np.array([[*row, 0.0] for row in np.eye(3)[list(order)] * np.array(signs)[:, None]] + [[0, 0, 0, 1.0]])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("affine", AFFINES)
def test_every_orientation_goes_to_ras_and_back(affine):
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    there = to_ras(array, affine)
    np.testing.assert_array_equal(from_ras(there, affine), array)


@pytest.mark.parametrize("affine", AFFINES)
def test_the_same_patient_looks_the_same_in_every_orientation(affine):
    """One bright voxel at a known place in the patient lands at one place after preparation."""
    size = (9, 9, 9)
    centre = np.array([4.0, 4.0, 4.0])
    placed = affine.copy()
    placed[:3, 3] = -placed[:3, :3] @ centre  # the grid's centre lies at the origin
    array = np.zeros(size, np.float32)
    index = np.round(np.linalg.inv(placed) @ np.array([3.0, -2.0, 1.0, 1.0]))[:3].astype(int)
    array[tuple(index)] = 100
    prepared = prepare([image_of(array, placed)], make_plan())
    assert np.unravel_index(prepared.voxels[0].argmax(), size) == (7, 2, 5)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(16, 24)] * 3),
    spacing=st.tuples(*[st.floats(0.7, 1.4)] * 3),
    which=st.integers(0, len(AFFINES) - 1),
)
def test_smooth_probabilities_survive_the_way_there_and_back(shape, spacing, which):
    affine = AFFINES[which] @ np.diag([*spacing, 1.0])
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    smooth = (np.exp(-(x**2 + y**2 + z**2))).astype(np.float32)
    plan = make_plan(normalisation=(Normalisation(kind="window", low=-10, high=10, mean=0, std=1),))
    prepared = prepare([image_of(smooth, affine)], plan)
    back = restore(prepared.voxels, prepared)
    assert back.shape == (1, *shape)
    assert np.abs(back[0] - smooth).max() < 0.08


def test_labels_and_images_land_on_one_grid():
    affine = np.diag([-0.8, 0.8, 2.5, 1.0])
    array = np.zeros((20, 24, 10), np.float32)
    array[5:9, 6:12, 3:6] = 50
    prepared = prepare([image_of(array, affine)], make_plan())
    labels = prepare_labels((array > 0).astype(np.uint8), Geometry(affine, array.shape), make_plan())
    assert labels.shape == prepared.voxels.shape[1:]
    bright = prepared.voxels[0] > prepared.voxels[0].max() / 2
    overlap = 2 * (bright & (labels > 0)).sum() / (bright.sum() + (labels > 0).sum())
    assert overlap > 0.9


def test_a_region_is_cut_around_its_centre_and_padded_with_the_edge():
    box, start = cut_box(np.arange(10, dtype=np.float32).reshape(1, 10, 1, 1), (1.0, 0.5, 0.5), (4, 1, 1))
    assert start == (-1, 0, 0)
    np.testing.assert_array_equal(box[0, :, 0, 0], [0, 0, 1, 2])
    plan = make_plan(task="classification", label_type="binary", classes=("m",), region=RegionPlan(mask="nodule"))
    array = np.zeros((30, 30, 30), np.float32)
    array[20:23, 10:13, 5:8] = 1
    prepared = prepare([image_of(array)], plan, region=array > 0)
    assert prepared.voxels.shape == (1, 8, 8, 8)
    assert np.unravel_index(prepared.voxels[0].argmax(), (8, 8, 8)) == (2, 2, 2)  # the first of voxels 2 to 4


def test_bad_input_is_answered():
    bad = np.zeros((4, 4, 4), np.float32)
    bad[1, 1, 1] = np.nan
    with pytest.raises(VoxelError, match="1 of 64 voxels are NaN or infinite"):
        prepare([image_of(bad)], make_plan())
    with pytest.raises(GeometryError, match="two grids differ"):
        prepare([image_of(np.zeros((4, 4, 4))), image_of(np.zeros((4, 4, 5)))], make_plan(inputs=("CT", "PT")))
    plan = make_plan(task="classification", label_type="binary", classes=("m",), region=RegionPlan(mask="nodule"))
    with pytest.raises(ContractError, match="no mask of 'nodule'"):
        prepare([image_of(np.zeros((4, 4, 4)))], plan)
