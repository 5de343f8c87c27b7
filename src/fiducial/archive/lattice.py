"""Frames on an image's voxel lattice, exactly where they fit it, and by nearest neighbour where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.frames import Frame, stack_frames
from fiducial.archive.dicom.header import LPS_FROM_RAS
from fiducial.records.image import Geometry

LATTICE_TOLERANCE_VOXELS = 0.25


@dataclass(frozen=True)
class Lattice:
    """Where the voxels of a frame lie among an image's: origin + column · across + row · down."""

    across: tuple[int, int, int]
    down: tuple[int, int, int]
    origin: tuple[int, int, int]

    @classmethod
    def of_slice(cls, z: int) -> Lattice:
        """A frame that is the image's slice ``z``, voxel by voxel."""
        return cls((1, 0, 0), (0, 1, 0), (0, 0, z))

    @property
    def level(self) -> int | None:
        """The slice that the frame is part of; None where it cuts through slices."""
        return self.origin[2] if self.across[2] == 0 and self.down[2] == 0 else None

    def lay(self, plane: NDArray[np.bool_], mask: NDArray[np.bool_]) -> bool:
        """Set the voxels of a plane [column, row] in a mask [x, y, z]; False where one lies outside it."""
        if self == Lattice.of_slice(self.origin[2]) and plane.shape == mask.shape[:2]:
            if not 0 <= self.origin[2] < mask.shape[2]:
                return not plane.any()
            mask[:, :, self.origin[2]] |= plane
            return True
        columns, rows = np.nonzero(plane)
        index = (
            np.array(self.origin)[:, None]
            + np.outer(self.across, columns).astype(np.int64)
            + np.outer(self.down, rows).astype(np.int64)
        )
        if (index < 0).any() or (index >= np.array(mask.shape)[:, None]).any():
            return False
        mask[tuple(index)] = True
        return True


def lattice_of(plane: NDArray[np.float64], to_index: NDArray[np.float64], size: tuple[int, int]) -> Lattice | None:
    """The lattice of a frame; None if a voxel centre lies off the image's by more than a quarter of a voxel.

    Args:
        plane: [3, 3], the frame's steps and origin in LPS mm.
        to_index: [4, 4], from LPS mm to the image's index.
        size: columns and rows of the frame.
    """
    steps = to_index[:3, :3] @ plane[:, :2]
    origin = to_index[:3, :3] @ plane[:, 2] + to_index[:3, 3]
    whole_steps, whole_origin = np.rint(steps), np.rint(origin)
    unit = (np.abs(whole_steps).sum(axis=0) == 1).all()
    corners = np.array([[c, r] for c in (0, size[0] - 1) for r in (0, size[1] - 1)], dtype=float).T
    off = (origin - whole_origin)[:, None] + (steps - whole_steps) @ corners
    if not unit or np.abs(off).max() > LATTICE_TOLERANCE_VOXELS:
        return None
    across, down, first = (_whole(v) for v in (whole_steps[:, 0], whole_steps[:, 1], whole_origin))
    return Lattice(across, down, first)


def _whole(vector: NDArray[np.float64]) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in vector)
    return x, y, z


def resampled(
    frames: list[Frame], planes: Sequence[NDArray[np.bool_]], grid: Geometry
) -> tuple[NDArray[np.bool_], Geometry] | None:
    """Planes [column, row] sampled at the voxel centres of ``grid`` (nearest neighbour), and the planes' own grid.

    Half a step around a frame belongs to it. None where the frames are no even stack.
    """
    from scipy import ndimage

    affine_transform: Any = ndimage.affine_transform
    stack = stack_frames(frames)
    if stack is None:
        return None
    columns, rows = planes[0].shape
    volume = np.zeros((columns + 2, rows + 2, int(stack.levels.max()) + 3), np.uint8)
    for plane, level in zip(planes, stack.levels, strict=True):
        volume[1:-1, 1:-1, level + 1] |= plane
    own = Geometry(LPS_FROM_RAS @ stack.affine, (columns, rows, int(stack.levels.max()) + 1))
    matrix = np.linalg.inv(own.affine) @ grid.affine
    # One voxel of nothing all around: the library takes what lies beyond the last centre for outside.
    offset = matrix[:3, 3] + 1.0
    sampled = affine_transform(
        volume, matrix[:3, :3], offset, output_shape=grid.shape, order=0, mode="constant", cval=0
    )
    return np.asarray(sampled, dtype=bool), own
