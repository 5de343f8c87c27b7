"""A PET series of a phantom patient, in SUV that is known everywhere, and the tracer it was made with."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from fiducial.phantom.anatomy import Grid, edge
from fiducial.phantom.body import heart_depth_mm, lung_depth_mm, oval_depth_mm
from fiducial.phantom.patients import Patient, stream
from fiducial.records.image import Geometry, Image

if TYPE_CHECKING:
    from fiducial.archive.dicom.header import PetDose

PET_MATRIX, PET_SPACING_MM, PET_SLICE_MM, N_PET_SLICES = 56, 6.0, 6.0, 38
TISSUE_SUV, LUNG_SUV, HEART_SUV = 0.8, 0.4, 2.5
MALIGNANT_SUV, BENIGN_SUV = 8.0, 1.5
_DOSE = 5


def weight_kg(patient: Patient) -> float:
    """Body weight that fits the patient's girth."""
    body = patient.body
    return round(0.0062 * body.half_width_mm * body.half_depth_mm, 1)


def pet_dose(patient: Patient, scanned: datetime) -> PetDose:
    """The tracer of a patient's PET: 4 MBq per kg, injected an hour or so before the scan."""
    from fiducial.archive.dicom.header import PetDose

    rng = stream(patient.seed, patient.index, _DOSE + 1000)
    injected = scanned - timedelta(seconds=int(rng.integers(3300, 5400)))
    dose_bq = round(4e6 * weight_kg(patient) * float(rng.uniform(0.95, 1.05)))
    return PetDose(dose_bq=float(dose_bq), injected=injected, scanned=scanned)


def nodule_suv(patient: Patient) -> float:
    """SUV of the nodule: 8 where it is malignant, 1.5 where it is not."""
    return MALIGNANT_SUV if patient.malignant else BENIGN_SUV


def render_pet(patient: Patient) -> Image:
    """The patient's PET [1, x, y, z] in SUV (body weight), float32, without noise.

    Constant SUV in tissue, lung, heart and nodule (a ball of the nodule's diameter), partial volume on the edges; on
    a coarser grid than the CT's, in the same frame of reference.
    """
    shape = (PET_MATRIX, PET_MATRIX, N_PET_SLICES)
    steps = np.array([-PET_SPACING_MM, -PET_SPACING_MM, PET_SLICE_MM])
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(shape) - 1) / 2
    geometry = Geometry(affine, shape)
    offset = patient.body.offset_mm
    axes = [(affine[a, a] * np.arange(shape[a]) + affine[a, 3] - offset[a]).astype(np.float32) for a in range(3)]
    grid = Grid(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :], geometry.spacing_mm)
    body = patient.body
    relative, distance = oval_depth_mm(grid.x, grid.y, (body.half_width_mm, body.half_depth_mm), body.square)
    suv = np.zeros(shape, np.float32)
    nodule = [c - o for c, o in zip(patient.nodule.centre_mm, offset, strict=True)]
    off = np.sqrt((grid.x - nodule[0]) ** 2 + (grid.y - nodule[1]) ** 2 + (grid.z - nodule[2]) ** 2)
    for depth, value in (
        ((1 - relative) * distance, TISSUE_SUV),
        (lung_depth_mm(body, grid.x, grid.y, grid.z), LUNG_SUV),
        (np.minimum(heart_depth_mm(body, grid.x, grid.y, grid.z), grid.z - body.dome_mm + 26), HEART_SUV),
        (patient.nodule.diameter_mm / 2 - off, nodule_suv(patient)),
    ):
        suv += edge(depth.astype(np.float32), PET_SPACING_MM) * (np.float32(value) - suv)
    return Image(suv[None], geometry, "PT", "SUV")
