"""A tilted gantry: slices lean, and come back on a perpendicular grid with every voxel and every mask in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.archive.slices import centres, plane, write_slice

from fiducial.archive import ingest_dicom, read_image, read_mask
from fiducial.archive.dicom import DicomHeader, find_series, read_dicom, stack_series
from fiducial.archive.dicom.tilt import is_sheared, straight, straighten, straighten_mask, tilt_degrees
from fiducial.archive.rtstruct import write_rtstruct
from fiducial.records.image import Geometry

SHAPE, SPACING, STEP_MM, N = (40, 36), (1.0, 1.25), 3.0, 14
CORNER = np.array([-22.0, -20.0, -10.0])


def leaning(degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column direction of a gantry tilted about the patient's left-right axis; the table moves along z."""
    angle = np.radians(degrees)
    return np.array([1.0, 0, 0]), np.array([0, np.cos(angle), np.sin(angle)])


def planes_of(degrees: float, step: tuple[float, float, float] = (0, 0, STEP_MM)) -> list[dict]:
    row, column = leaning(degrees)
    return [plane(CORNER + k * np.array(step), row=row, column=column, spacing=SPACING, shape=SHAPE) for k in range(N)]


def linear(lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation gives this back exactly."""
    return np.asarray(lps @ [8.0, -3.0, 5.0] + 1000.0)


def smooth(lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two unequal blobs, one on each side of the body: no mirror image equals it."""
    left = 700 * np.exp(-(((lps - [9.0, 3.0, 10.0]) / 7.0) ** 2).sum(-1))
    right = 300 * np.exp(-(((lps - [-11.0, -4.0, 14.0]) / 9.0) ** 2).sum(-1))
    return np.asarray(left + right)


def write(folder: Path, degrees: float, body, *, modality: str = "CT", step=(0, 0, STEP_MM)) -> list[Path]:
    return [
        write_slice(
            folder / f"{k}.dcm", one, np.rint(body(centres(one))).astype(np.int16), number=k + 1, modality=modality
        )
        for k, one in enumerate(planes_of(degrees, step))
    ]


def expected(geometry: Geometry, body) -> NDArray[np.float64]:
    """The body sampled on a grid, by the grid's affine alone."""
    index = np.indices(geometry.shape).reshape(3, -1)
    ras = geometry.affine[:3, :3] @ index + geometry.affine[:3, 3:]
    return np.asarray(body((ras * np.array([[-1.0], [-1], [1]])).T)).reshape(geometry.shape)


def covered(geometry: Geometry, degrees: float) -> NDArray[np.bool_]:
    """Voxels whose centre lies within the centres of the leaning slices."""
    row, column = leaning(degrees)
    index = np.indices(geometry.shape).reshape(3, -1)
    lps = (geometry.affine[:3, :3] @ index + geometry.affine[:3, 3:]) * np.array([[-1.0], [-1], [1]])
    sheared = np.column_stack([row * SPACING[1], column * SPACING[0], [0, 0, STEP_MM]])
    place = np.linalg.solve(sheared, lps - CORNER[:, None])
    last = np.array([[SHAPE[1] - 1], [SHAPE[0] - 1], [N - 1]])
    return np.asarray(((place > -1e-4) & (place < last + 1e-4)).all(axis=0)).reshape(geometry.shape)


def test_one_slice_by_hand() -> None:
    """Two slices of four voxels, the second half a voxel further along y: it is read between its voxels."""
    affine = np.eye(4)
    affine[1, 2] = 0.5
    array = np.array([[10, 20, 30, 40], [0, 100, 200, 300]], float).T[None]
    result, grid = straighten(array, Geometry(affine, (1, 4, 2)), fill=-1)
    np.testing.assert_allclose(grid.affine, np.eye(4))
    assert result[0, :, 0].tolist() == [10, 20, 30, 40, -1]
    # y = 0 lies half a voxel before the second slice's first centre, y = 4 half a voxel after its last: their values.
    assert result[0, :, 1].tolist() == [0, 50, 150, 250, 300]


def test_the_angle_is_the_gantrys(tmp_path: Path) -> None:
    write(tmp_path, 17.0, linear)
    stack = stack_series(find_series(tmp_path)[0])
    assert is_sheared(stack.geometry)
    assert tilt_degrees(stack.geometry) == pytest.approx(17.0, abs=1e-4)


@pytest.mark.parametrize("degrees", [-22.0, -5.0, 8.0, 30.0])
def test_a_linear_body_comes_back_exactly(degrees: float, tmp_path: Path) -> None:
    write(tmp_path, degrees, linear)
    image = read_dicom(tmp_path)
    inside = covered(image.geometry, degrees)
    assert inside.sum() == pytest.approx(SHAPE[0] * SHAPE[1] * N, rel=0.05)
    # Whole numbers in, whole numbers out: half a unit each way.
    assert np.abs(image.array[0] - expected(image.geometry, linear))[inside].max() <= 1.0
    axes = image.geometry.affine[:3, :3] / image.geometry.spacing_mm
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert (image.unit, image.array.dtype) == ("HU", np.int16)


@pytest.mark.parametrize("degrees", [-18.0, 18.0])
def test_an_asymmetric_body_lies_on_its_own_side(degrees: float, tmp_path: Path) -> None:
    """Within the error of linear interpolation: h^2 / 8 times the greatest curvature, 2 * 700 / 7^2."""
    write(tmp_path, degrees, smooth)
    image = read_dicom(tmp_path)
    inside = covered(image.geometry, degrees)
    truth = expected(image.geometry, smooth)
    bound = SPACING[0] ** 2 / 8 * 2 * 700 / 7**2 + 1.0
    error = np.abs(image.array[0] - truth)[inside]
    assert error.max() <= bound
    mirrored = np.abs(image.array[0][::-1] - truth)[inside & inside[::-1]]
    assert mirrored.max() > 20 * bound


def test_simpleitk_resamples_alike(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    degrees = 14.0
    write(tmp_path, degrees, smooth)
    ours = read_dicom(tmp_path)
    stored = np.stack([np.rint(smooth(centres(one))) for one in planes_of(degrees)])
    # A perpendicular image through a shearing transform: from the patient to where the upright stack would hold it.
    upright = itk.GetImageFromArray(stored)
    upright.SetSpacing((SPACING[1], SPACING[0], STEP_MM))
    row, column = leaning(degrees)
    to_lps = np.column_stack([row, column, [0.0, 0, 1]])
    transform = itk.AffineTransform(3)
    back = np.linalg.inv(to_lps)
    transform.SetMatrix(back.ravel().tolist())
    transform.SetTranslation((-back @ CORNER).tolist())
    affine = np.diag([-1.0, -1, 1, 1]) @ ours.geometry.affine
    grid = itk.Image(list(ours.geometry.shape), itk.sitkFloat64)
    spacing = ours.geometry.spacing_mm
    grid.SetSpacing(spacing)
    grid.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    grid.SetOrigin(affine[:3, 3].tolist())
    theirs = itk.GetArrayFromImage(itk.Resample(upright, grid, transform, itk.sitkLinear, -1024.0)).transpose(2, 1, 0)
    inside = covered(ours.geometry, degrees)
    assert np.abs(ours.array[0] - theirs)[inside].max() <= 0.5 + 1e-3


def test_voxels_beyond_every_slice_are_air_in_ct_and_zero_in_mr(tmp_path: Path) -> None:
    for modality, fill in (("CT", -1024), ("MR", 0)):
        folder = tmp_path / modality
        write(folder, 20.0, linear, modality=modality)
        image = read_dicom(folder)
        outside = expected(image.geometry, linear)[~covered(image.geometry, 20.0)]
        assert outside.size > 0
        corner = image.array[0][0, [0, -1], :][:, [0, -1]]
        assert fill in corner
        assert image.array.min() == fill


def test_a_mask_is_resampled_with_its_image() -> None:
    """The mask of a half space comes back as the half space; any mask keeps its volume within its edges' error."""
    row, column = leaning(15.0)
    lps = np.column_stack([row * SPACING[1], column * SPACING[0], [0, 0, STEP_MM]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.diag([-1.0, -1, 1]) @ lps, np.diag([-1.0, -1, 1]) @ CORNER
    geometry = Geometry(affine, (SHAPE[1], SHAPE[0], N))
    half = expected(geometry, lambda p: p[:, 1] > 1.3) > 0
    mask, grid = straighten_mask(half, geometry)
    assert grid.matches(straight(geometry).geometry)
    inside = covered(grid, 15.0)
    wrong = (mask != (expected(grid, lambda p: p[:, 1] > 1.3) > 0)) & inside
    # A voxel is wrong only if the plane cuts it within half a voxel of its centre.
    places = expected(grid, lambda p: np.abs(p[:, 1] - 1.3))
    assert places[wrong].max(initial=0.0) <= 0.5 * SPACING[0]


def test_structures_follow_through_the_whole_ingest(tmp_path: Path) -> None:
    """A structure set drawn on leaning slices: the mask's centre is the blob's, on the grid of the image."""
    write(tmp_path / "source", 16.0, smooth)
    stack = stack_series(find_series(tmp_path / "source")[0])
    drawn = expected(stack.geometry, lambda p: smooth(p) > 350) > 0
    header = DicomHeader("P1")
    write_rtstruct({"blob": drawn}, tmp_path / "source" / "rs.dcm", reference=stack.reference, header=header)
    made = ingest_dicom(tmp_path / "source", tmp_path / "cohort", key=b"k" * 32, workers=1)
    image, mask = made.rows
    (series,) = [row for row in made.report if row.modality == "CT"]
    assert series.status == "repaired"
    assert series.reason.startswith("gantry-tilt: slices lean by 16.00 degrees; resampled (linear within each slice)")
    voxels, region = read_image(tmp_path / "cohort" / image["path"]), read_mask(tmp_path / "cohort" / mask["path"])
    region.geometry.require_match(voxels.geometry)
    truth = expected(voxels.geometry, lambda p: smooth(p) > 350) > 0
    inside = region.array[0] > 0
    assert 2 * (inside & truth).sum() / (inside.sum() + truth.sum()) > 0.96
    centre = voxels.geometry.affine[:3, :3] @ np.argwhere(inside).mean(axis=0) + voxels.geometry.affine[:3, 3]
    np.testing.assert_allclose(centre, [-9.0, -3.0, 10.0], atol=0.4)


def test_an_upright_stack_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, 0.0, linear)
    image = read_dicom(tmp_path)
    np.testing.assert_array_equal(image.array[0], np.rint(expected(image.geometry, linear)))
