"""Nothing is flipped: every voxel lies where DICOM puts it, in every orientation, oblique and leaning."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.archive.slices import centres, plane, write_slice

from fiducial.archive.dicom import read_dicom
from fiducial.records.image import Image

AXES = [np.array(v, float) for v in itertools.product((-1, 0, 1), repeat=3) if np.abs(v).sum() == 1]
PAIRS = [(row, column) for row in AXES for column in AXES if abs(row @ column) < 0.5]
CASES = list(itertools.product(PAIRS, (False, True)))


def phantom(lps: NDArray[np.float64]) -> NDArray[np.int16]:
    """A body that equals none of its mirror images or turns: whole numbers, different in every voxel of the test."""
    left, posterior, superior = np.moveaxis(lps, -1, 0)
    return np.rint(900 + 31 * left + 7 * posterior + 2 * superior + (left > 3) * 400 + (posterior < 2) * 90).astype(
        np.int16
    )


def write(folder: Path, row: NDArray[np.float64], column: NDArray[np.float64], step: NDArray[np.float64]) -> None:
    corner = np.array([5.0, -4.0, 8.0])
    for k in range(4):
        geometry = plane(corner + k * step, row=row, column=column)
        write_slice(folder / f"{k}.dcm", geometry, phantom(centres(geometry)), number=k + 1, modality="CT")


def assert_in_place(image: Image, *, tolerance: float = 0.0) -> None:
    """Each voxel equals the phantom at its own place in the patient, computed from the affine alone."""
    index = np.indices(image.geometry.shape).reshape(3, -1)
    ras = image.geometry.affine[:3, :3] @ index + image.geometry.affine[:3, 3:]
    expected = phantom((ras * np.array([[-1], [-1], [1]])).T).reshape(image.geometry.shape)
    assert np.abs(image.array[0].astype(float) - expected).max() <= tolerance
    assert np.linalg.det(image.geometry.affine[:3, :3]) > 0


@pytest.mark.parametrize("case", range(len(CASES)))
def test_all_48_orientations_of_axes(case: int, tmp_path: Path) -> None:
    """24 pairs of row and column direction, slices numbered upwards and downwards along their normal."""
    (row, column), downwards = CASES[case]
    normal = np.cross(row, column) * (-1 if downwards else 1)
    write(tmp_path, row, column, 2.5 * normal)
    image = read_dicom(tmp_path)
    assert_in_place(image)
    assert image.geometry.shape == (4, 5, 4)


def test_there_are_48_and_the_phantom_tells_them_apart() -> None:
    assert len(CASES) == 48
    geometry = plane((5.0, -4.0, 8.0))
    slab = np.stack([phantom(centres(plane((5.0, -4.0, 8.0 + 2.5 * k)))) for k in range(4)])
    assert len(np.unique(phantom(centres(geometry)))) == 20
    turned = [np.flip(np.transpose(slab, p), f) for p in itertools.permutations(range(3)) for f in FLIPS]
    assert sum(t.shape == slab.shape and (t == slab).all() for t in turned) == 1


FLIPS = [axes for n in range(4) for axes in itertools.combinations(range(3), n)]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("downwards", [False, True])
def test_oblique_planes(seed: int, downwards: bool, tmp_path: Path) -> None:
    """Rotations drawn at random; the phantom is linear here, so that the header's decimals change no rounding."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    row, column = turn[0], turn[1]
    write(tmp_path, row, column, 2.5 * np.cross(row, column) * (-1 if downwards else 1))
    assert_in_place(read_dicom(tmp_path), tolerance=1.0)
