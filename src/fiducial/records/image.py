"""Images on a patient's grid: channels first, then x, y, z; RAS+ millimetres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import GeometryError, VoxelError

TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class Geometry:
    """A voxel grid in the patient.

    ``affine`` is 4 x 4 and maps a voxel index (i, j, k) to RAS+ millimetres (x to the Right, y to the Anterior,
    z to the Superior), as nibabel does. ``shape`` is (x, y, z); a 2-D image has z = 1.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryError(
                f"affine {affine.tolist()}", legal="a finite, invertible 4 x 4 matrix from index to RAS+ mm"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along x, y and z, in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    def matches(self, other: Geometry, *, tolerance_mm: float = TOLERANCE_MM) -> bool:
        """Whether both grids have one shape and no voxel centre differs by more than ``tolerance_mm``."""
        return self.shape == other.shape and self._distance_mm(other) <= tolerance_mm

    def _distance_mm(self, other: Geometry) -> float:
        """The largest distance, along one of the patient's axes, of equal voxels of two grids of one shape."""
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
        corners[:, :3] *= np.array(self.shape) - 1
        return float(np.abs((self.affine - other.affine) @ corners.T).max())

    def _apart(self, other: Geometry) -> str:
        return f", up to {self._distance_mm(other):.3g} mm apart" if self.shape == other.shape else ""

    def require_match(
        self, other: Geometry, *, where: str = "", tolerance_mm: float = TOLERANCE_MM, action: str = ""
    ) -> None:
        """Raise `GeometryError`, showing both grids, unless `matches`; ``action`` says what to do about it."""
        if not self.matches(other, tolerance_mm=tolerance_mm):
            raise GeometryError(
                f"two grids differ: {self.describe()} against {other.describe()}{self._apart(other)}",
                where=where,
                legal=f"equal shapes, and voxel centres within {tolerance_mm} mm",
                action=action or "resample the mask onto the image's grid (fiducial resample) and give that file",
            )

    def describe(self) -> str:
        """Shape, spacing, origin and directions in one line."""
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing_mm)
        origin = ", ".join(f"{o + 0.0:.4g}" for o in self.affine[:3, 3])
        return f"{' x '.join(map(str, self.shape))} voxels of {spacing} mm at ({origin}) along {self._directions()}"

    def _directions(self) -> str:
        """Where x, y and z lead: letters of the patient's axes, or unit vectors where a grid lies obliquely."""
        axes = (self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)).T
        main = np.abs(axes).argmax(axis=1)
        if np.allclose(np.abs(axes[np.arange(3), main]), 1, rtol=0, atol=1e-8):
            return ", ".join("RAS"[m] if axis[m] > 0 else "LPI"[m] for m, axis in zip(main, axes, strict=True))
        return ", ".join("(" + ", ".join(f"{v + 0.0:.4g}" for v in axis.round(6)) + ")" for axis in axes)


@dataclass(frozen=True)
class Image:
    """Voxels with their place and meaning.

    ``array`` is [channel, x, y, z]; ``modality`` a DICOM modality (``CT``, ``MR``, ``PT``, ``CR`` ...) or ``""``;
    ``unit`` is ``HU``, ``SUV`` (g/ml, body weight), ``Bq/ml``, ``grey`` (stored picture values) or ``""``.
    """

    array: NDArray[np.generic]
    geometry: Geometry
    modality: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[1:] != self.geometry.shape:
            raise GeometryError(
                f"array of shape {self.array.shape} on a grid of {self.geometry.shape}",
                legal="[channel, x, y, z] with the grid's x, y, z",
            )

    def with_array(self, array: NDArray[np.generic]) -> Image:
        """The same place and meaning with other voxels."""
        return replace(self, array=array)

    def require_finite(self, where: str = "") -> None:
        """Raise `VoxelError`, with the number of offending voxels, if any is NaN or infinite, or there is none."""
        if self.array.size == 0:
            raise VoxelError("the image has no voxels", where=where)
        if np.issubdtype(self.array.dtype, np.floating):
            n_bad = int(self.array.size - np.isfinite(self.array).sum())
            if n_bad:
                raise VoxelError(
                    f"{n_bad:,} of {self.array.size:,} voxels are NaN or infinite",
                    where=where,
                    legal="finite voxels",
                    action="find the step that made them; Fiducial does not guess what stood there",
                )
