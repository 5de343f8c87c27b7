from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from fiducial.archive import write_nifti
from fiducial.records.image import Geometry, Image
from fiducial.records.tables import COHORT, table


@pytest.fixture
def nifti() -> Callable[..., Path]:
    """Write a small NIfTI file of given or random voxels."""

    def write(path: Path, array: Any = None, *, seed: int = 0, origin: float = 0.0) -> Path:
        voxels = np.random.default_rng(seed).integers(0, 500, (8, 9, 7)).astype(np.int16) if array is None else array
        affine = np.diag([2.0, 2.0, 3.0, 1.0])
        affine[:3, 3] = origin
        return write_nifti(Image(voxels[None], Geometry(affine, voxels.shape)), path)

    return write


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Write a small PNG or JPEG of random grey values."""

    def write(path: Path, *, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 24), dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def pairs(tmp_path: Path, nifti: Callable[..., Path]) -> Path:
    """``images/`` and ``labels/`` of four cases with structures 1 and 2; case 3 lacks structure 2."""
    source = tmp_path / "source"
    for n in range(4):
        nifti(source / "images" / f"case{n}.nii.gz", seed=n)
        mask = np.zeros((8, 9, 7), np.uint8)
        mask[:2] = 1
        mask[5:, :4] = 0 if n == 3 else 2
        nifti(source / "labels" / f"case{n}.nii.gz", mask)
    return source


@pytest.fixture
def people() -> Callable[..., Any]:
    """A cohort without files: ``n`` subjects of ``per`` images, with a site, a sex and a label."""

    def make(n: int = 100, *, per: int = 1, n_sites: int = 5, **columns: Any) -> Any:
        rows = [
            {
                "subject": f"s{i:04}",
                "image": f"s{i:04}-{k}",
                "role": "image",
                "site": f"site{i % n_sites}",
                "sex": "FM"[i % 2],
                "malignant": int(i % 10 == 0),
                "sha256": f"{i}-{k}",
                **columns,
            }
            for i in range(n)
            for k in range(per)
        ]
        return table(rows, COHORT)

    return make
