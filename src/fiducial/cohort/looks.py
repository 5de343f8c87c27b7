"""What one image is, measured in a single reading: digest, thumbnail, grid, intensities and quality."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.cohort.quality import measure_quality
from fiducial.maths.duplicates import signature
from fiducial.records.image import Geometry, Image

PERCENTILES = (1, 50, 99)
N_SAMPLES = 200_000
INT32 = 2**31


def image_looks(image: Image) -> dict[str, str]:
    """The cohort's columns ``sha256``, ``signature`` and ``fingerprint`` of an image with finite voxels."""
    return {
        "sha256": voxel_digest(image),
        "signature": signature(image.array),
        "fingerprint": json.dumps(_fingerprint(image), separators=(",", ":")),
    }


def voxel_digest(image: Image) -> str:
    """SHA-256 over the grid and the values of an image, whatever type stores them.

    Whole numbers are hashed as 32-bit (64-bit where they need it) and all others as 32-bit floating point, so that
    one image kept as int16 and as float64 has one digest; the affine is rounded to 1e-6 mm.
    """
    array = image.array
    kind = _hashed_type(array)
    digest = hashlib.sha256(f"{array.shape}{kind}".encode())
    digest.update((np.round(image.geometry.affine, 6) + 0.0).astype("<f8").tobytes())
    for channel in array:
        for z in range(channel.shape[2]):
            plane = channel[:, :, z].astype(kind) + np.zeros((), kind)
            digest.update(plane.tobytes(order="F"))
    return digest.hexdigest()


def _hashed_type(array: NDArray[np.generic]) -> str:
    values = np.asarray(array)
    if values.dtype.kind == "f":
        planes = (values[..., z] for z in range(values.shape[3]))
        whole = all(bool((np.abs(p) < INT32).all() and (p == np.rint(p)).all()) for p in planes)
        return "<i4" if whole else "<f4"
    if values.dtype.itemsize < 4 or values.size == 0:
        return "<i4"
    return "<i4" if int(values.min()) >= -INT32 and int(values.max()) < INT32 else "<i8"


def _fingerprint(image: Image) -> dict[str, Any]:
    values = image.array.ravel(order="K")
    # Percentiles of an even sample: exact for small images, and a sort of 100 million voxels is saved.
    sample = values[:: max(1, values.size // N_SAMPLES)].astype(np.float64)
    named = {f"p{q:02d}": _short(v) for q, v in zip(PERCENTILES, np.percentile(sample, PERCENTILES), strict=True)}
    return {
        **grid(image.geometry),
        "channels": int(image.array.shape[0]),
        "min": _short(values.min()),
        **named,
        "max": _short(values.max()),
        "mean": _short(sample.mean()),
        "std": _short(sample.std()),
        "quality": measure_quality(image),
    }


def grid(geometry: Geometry) -> dict[str, Any]:
    """Size in voxels and spacing in mm."""
    return {"size": list(geometry.shape), "spacing_mm": [_short(s) for s in geometry.spacing_mm]}


def _short(value: Any) -> float:
    return float(f"{float(value):.6g}")
