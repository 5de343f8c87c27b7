"""From a patient to voxels: one CT of the chest in HU, and the nodule's mask on the same grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fiducial.phantom.anatomy import Grid, paint_chest
from fiducial.phantom.nodules import paint_nodule
from fiducial.phantom.patients import MATRIX, Patient, stream
from fiducial.phantom.texture import blur, noise, slow_field
from fiducial.phantom.vessels import paint_vessels
from fiducial.records.image import Geometry, Image

_ANATOMY, _NOISE = 1, 2


def scan_geometry(patient: Patient) -> Geometry:
    """The scan's grid as a CT writes it: columns to the patient's left, rows to the back, slices upwards."""
    scanner = patient.scanner
    n_slices = round(patient.length_mm / scanner.slice_mm)
    steps = np.array([-patient.spacing_mm, -patient.spacing_mm, scanner.slice_mm])
    shape = (MATRIX, MATRIX, n_slices)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(shape) - 1) / 2
    return Geometry(affine, shape)


def _grid(patient: Patient, geometry: Geometry) -> Grid:
    """Voxel centres as seen from the middle of the patient's chest."""
    axes = []
    for axis in range(3):
        index = np.arange(geometry.shape[axis])
        centre = geometry.affine[axis, axis] * index + geometry.affine[axis, 3]
        axes.append((centre - patient.body.offset_mm[axis]).astype(np.float32))
    return Grid(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :], geometry.spacing_mm)


def render(patient: Patient) -> tuple[Image, NDArray[np.bool_]]:
    """Scan a patient.

    Returns:
        The CT [1, x, y, z] as int16 HU, clipped to -1024 .. 3071, and the nodule's mask [x, y, z]. The same patient
        gives the same voxels; a patient with another ``noise_draw`` differs in its noise only.
    """
    geometry = scan_geometry(patient)
    grid = _grid(patient, geometry)
    rng = stream(patient.seed, patient.index, _ANATOMY)
    body, scanner = patient.body, patient.scanner
    mottle = slow_field(rng, geometry.shape, 6)
    lung_hu = np.float32(-858) + 14 * mottle - 0.35 * (grid.y + 20)
    lung_hu -= np.float32(110 * body.emphysema) * np.clip(mottle - 0.3, 0, 1.5)
    volume, lung = paint_chest(grid, body, np.maximum(lung_hu, -985).astype(np.float32))
    paint_vessels(volume, grid, lung, rng)
    offset = np.array(body.offset_mm)
    x, y, z = (float(v) for v in np.array(patient.nodule.centre_mm) - offset)
    mask = paint_nodule(volume, grid, lung, replace(patient.nodule, centre_mm=(x, y, z)), rng)
    volume = blur(volume, scanner.kernel)
    grain = stream(patient.seed, patient.index, _NOISE + patient.noise_draw)
    girth = body.half_width_mm * body.half_depth_mm / (140 * 98)
    volume += np.float32(scanner.noise_hu * girth) * noise(grain, geometry.shape, scanner.kernel)
    voxels = np.clip(np.rint(volume + np.float32(scanner.offset_hu)), -1024, 3071).astype(np.int16)
    return Image(voxels[None], geometry, "CT", "HU"), mask
