"""Label maps and images onto another grid: by hand, against SimpleITK, and by laws of grids that lie anyhow."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.archive.regrid import onto_grid, resample_command, volumes_ml
from fiducial.errors import GeometryError
from fiducial.records.image import Geometry, Image


def line(values, start=0.0, step=1.0, dtype=np.uint8):
    """Voxels along x, of ``step`` mm, the first centre at ``start``."""
    affine = np.diag([step, 1.0, 1.0, 1.0])
    affine[0, 3] = start
    return Image(np.array(values, dtype)[None, :, None, None], Geometry(affine, (len(values), 1, 1)))


def oblique(shape, spacing=(1.0, 1.0, 1.0), degrees=(20.0, -15.0, 30.0), centre=(0.0, 0.0, 0.0)):
    """A grid that is turned about each axis in turn, around a place in the patient."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = np.array(centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


def ball(grid, radius, centre=(0.0, 0.0, 0.0)):
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    places = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return Image((np.linalg.norm(places - centre, axis=-1) <= radius).astype(np.uint8)[None], grid)


# By hand.


def test_labels_on_finer_coarser_and_shifted_lines():
    source = line([1, 2, 0, 3])
    finer, inside = onto_grid(source, line([0] * 8, start=-0.25, step=0.5).geometry, labels=True)
    assert finer.array.ravel().tolist() == [1, 1, 2, 2, 0, 0, 3, 3]
    assert inside.all()
    shifted, inside = onto_grid(source, line([0] * 4, start=2.0).geometry, labels=True)
    assert shifted.array.ravel().tolist() == [0, 3, 0, 0]
    assert inside.ravel().tolist() == [True, True, False, False]
    # Two centres are equally near: the larger index.
    assert onto_grid(source, line([0] * 2, start=0.5, step=2.0).geometry, labels=True)[0].array.ravel().tolist() == [
        2,
        3,
    ]


def test_intensities_are_linear_and_constant_in_the_outer_half():
    source = line([10, 20, 40], dtype=np.int16)
    moved, inside = onto_grid(source, line([0] * 6, start=-1.0, step=0.6).geometry, labels=False)
    assert moved.array.dtype == np.float32
    assert moved.array.ravel().tolist() == pytest.approx([10, 10, 12, 18, 28, 40])
    assert inside.ravel().tolist() == [False, True, True, True, True, True]


def test_volumes_by_hand():
    assert volumes_ml(line([0, 1, 1, 2], step=2.0)) == {1: 0.004, 2: 0.002}


# Analytic.


def test_a_ball_keeps_its_volume_on_an_oblique_grid():
    affine = np.array([[-1.0, 0, 0, 25], [0, 1, 0, -25], [0, 0, 2, -25], [0, 0, 0, 1]])
    source = ball(Geometry(affine, (51, 51, 26)), 12)
    moved, _ = onto_grid(source, oblique((60, 60, 60)), labels=True)
    (before,), (after,) = volumes_ml(source).values(), volumes_ml(moved).values()
    assert before == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.02)
    assert after == pytest.approx(before, rel=0.01)
    direct = ball(moved.geometry, 12).array
    assert 2 * (moved.array & direct).sum() / (moved.array.sum() + direct.sum()) > 0.95


def test_a_ramp_is_a_ramp_on_any_grid():
    grid = Geometry(np.diag([1.0, 1.5, 2.0, 1.0]), (30, 20, 15))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    ramp = Image((index @ np.array([1.0, 1.5, 2.0]))[None].astype(np.float32), grid)
    target = oblique((9, 8, 7), centre=(15, 15, 15))
    moved, inside = onto_grid(ramp, target, labels=False)
    assert inside.all()
    places = np.stack(np.meshgrid(*[np.arange(n) for n in target.shape], indexing="ij"), axis=-1)
    places = places @ target.affine[:3, :3].T + target.affine[:3, 3]
    assert np.allclose(moved.array[0], places.sum(axis=-1), atol=1e-3)


# Reference implementation.


@pytest.mark.parametrize("labels", [True, False])
def test_simpleitk_gives_the_same_on_oblique_grids(labels):
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name

    rng = np.random.default_rng(0)
    source = oblique((14, 12, 10), (1.1, 0.9, 2.0), (5, 10, -8))
    target = oblique((13, 15, 12), (0.8, 1.0, 1.3), (-25, 12, 40))
    values = rng.integers(0, 5, source.shape).astype(np.int16)

    def as_sitk(grid, voxels):
        image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
        lps = np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3]
        image.SetSpacing(grid.spacing_mm)
        image.SetOrigin(lps[:, 3].tolist())
        image.SetDirection((lps[:, :3] / np.array(grid.spacing_mm)).ravel().tolist())
        return image

    how = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
    reference = sitk.Resample(
        as_sitk(source, values if labels else values.astype(np.float32)),
        as_sitk(target, np.zeros(target.shape, np.int16)),
        sitk.Transform(),
        how,
        0.0,
    )
    theirs = sitk.GetArrayFromImage(reference).transpose(2, 1, 0)
    moved, inside = onto_grid(Image(values[None], source), target, labels=labels)
    assert 0.2 < inside.mean() < 0.95
    assert np.array_equal(moved.array[0], theirs) if labels else np.allclose(moved.array[0], theirs, atol=1e-4)


# Laws.


@settings(max_examples=30, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.integers(0, 99))
def test_turned_and_mirrored_grids_give_the_same_voxels_and_back(order, mirrored, seed):
    rng = np.random.default_rng(seed)
    source = Image(rng.integers(0, 4, (1, 5, 4, 3)).astype(np.uint8), oblique((5, 4, 3), (1, 2, 3)))
    affine = source.geometry.affine[:, [*order, 3]].copy()
    shape = tuple(source.geometry.shape[a] for a in order)
    for axis, flip in enumerate(mirrored):
        if flip:
            affine[:, 3] += affine[:, axis] * (shape[axis] - 1)
            affine[:, axis] *= -1
    moved, inside = onto_grid(source, Geometry(affine, shape), labels=True)
    assert inside.all()
    assert volumes_ml(moved) == pytest.approx(volumes_ml(source))
    back, _ = onto_grid(moved, source.geometry, labels=True)
    assert np.array_equal(back.array, source.array)


def test_its_own_grid_changes_nothing():
    source = Image(np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32), oblique((5, 4, 3)), "MR", "x")
    moved, inside = onto_grid(source, source.geometry, labels=False)
    assert inside.all()
    assert np.allclose(moved.array, source.array, atol=1e-6)
    assert (moved.modality, moved.unit) == ("MR", "x")


# Messages.


def test_grids_that_do_not_meet():
    with pytest.raises(GeometryError, match=r"do not overlap: 2 x 1 x 1 voxels .* and 2 x 1 x 1 .*\n.*one patient"):
        onto_grid(line([1, 2]), line([0, 0], start=10.0).geometry, labels=True)


def test_the_command_survives_a_shell():
    command = resample_command("a b/c's.seg.nrrd#1", "x.nii.gz", intensities=True)
    assert shlex.split(command) == [
        *("fiducial", "resample", "a b/c's.seg.nrrd#1", "--like", "x.nii.gz"),
        *("--out", "resampled/c's.nii.gz", "--intensities"),
    ]
