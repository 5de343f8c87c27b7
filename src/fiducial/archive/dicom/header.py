"""What a written DICOM series says about patient, study and scanner, and the identifiers that follow from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import GeometryError
from fiducial.records.image import Geometry

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
PET_IMAGE = "1.2.840.10008.5.1.4.1.1.128"
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
SOP_CLASSES = {"CT": CT_IMAGE, "MR": MR_IMAGE, "PT": PET_IMAGE}

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class PetDose:
    """The tracer behind a PET series: what SUV needs, besides the body weight.

    ``injected`` and ``scanned`` are local times; ``decay_correction`` is ``START`` (voxels refer to ``scanned``) or
    ``ADMIN`` (voxels refer to ``injected``). The half-life's default is fluorine-18's.
    """

    dose_bq: float
    injected: datetime
    scanned: datetime
    half_life_s: float = 6586.2
    decay_correction: str = "START"
    tracer: str = "FDG -- fluorodeoxyglucose"

    @property
    def dose_at_reference_bq(self) -> float:
        """Activity when the voxels are referred to: dose · 2^(-elapsed / half-life) for START, the dose for ADMIN."""
        if self.decay_correction == "ADMIN":
            return self.dose_bq
        elapsed_s = (self.scanned - self.injected).total_seconds()
        return float(self.dose_bq * 2.0 ** (-elapsed_s / self.half_life_s))


@dataclass(frozen=True)
class DicomHeader:
    """Attributes of a series to write; every one but ``patient_id`` may stay empty.

    Dates are ``YYYYMMDD``, times ``HHMMSS``. UIDs are not given but derived (``2.25.`` + 128 bits of SHA-256): the
    study's from patient, ``study_date``, ``study_time`` and ``study_id``; the series' from that, ``series_number``
    and modality; the frame of reference is the study's, so that its series lie in one space. Equal headers give
    equal UIDs: give each series of a study its own ``series_number``.
    """

    patient_id: str
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""
    age_years: int | None = None
    weight_kg: float | None = None
    height_m: float | None = None
    study_date: str = "20240101"
    study_time: str = "120000"
    study_id: str = ""
    study_description: str = ""
    accession_number: str = ""
    series_number: int = 1
    series_description: str = ""
    body_part: str = ""
    institution: str = ""
    site: str = ""
    manufacturer: str = ""
    model: str = ""
    station: str = ""
    kernel: str = ""
    kvp: float | None = None
    slice_thickness_mm: float | None = None
    magnetic_field_t: float | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    contrast_agent: str = ""
    pet: PetDose | None = None

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID."""
        return derived_uid("study", self.patient_id, self.study_date, self.study_time, self.study_id)

    @property
    def frame_uid(self) -> str:
        """FrameOfReferenceUID: one for the study."""
        return derived_uid("frame", self.study_uid)

    def series_uid(self, modality: str) -> str:
        """SeriesInstanceUID of this header's series of ``modality``."""
        return derived_uid("series", self.study_uid, modality, str(self.series_number))

    def reference(self, geometry: Geometry, modality: str) -> SeriesReference:
        """What a structure set drawn on this series refers to; needs no file of the series."""
        series = self.series_uid(modality)
        sops = tuple(derived_uid("slice", series, str(k)) for k in range(geometry.shape[2]))
        return SeriesReference(
            geometry=geometry,
            modality=modality,
            study_uid=self.study_uid,
            series_uid=series,
            frame_uid=self.frame_uid,
            sop_class=SOP_CLASSES[modality],
            sop_uids=sops,
        )


@dataclass(frozen=True)
class SeriesReference:
    """A series as a structure set sees it: its grid, its UIDs, and the SOP instance of each slice (by array z)."""

    geometry: Geometry
    modality: str
    study_uid: str
    series_uid: str
    frame_uid: str
    sop_class: str
    sop_uids: tuple[str, ...]


@dataclass(frozen=True)
class SliceFrame:
    """Where the slices of a grid lie, in LPS mm.

    ``row`` is the unit vector of growing column index (array x), ``column`` that of growing row index (array y);
    ``positions`` is [z, 3], the centre of each slice's first voxel. ``order`` lists array z so that slices rise
    along row x column.
    """

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    positions: NDArray[np.float64]
    order: tuple[int, ...]


def derived_uid(*parts: str) -> str:
    """A UID below 2.25 made from text: equal parts give equal UIDs, as PS3.5 B.2 forms them from 128 bits."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()[:16]
    return f"2.25.{int.from_bytes(digest, 'big')}"


def slice_frame(geometry: Geometry) -> SliceFrame:
    """Slices of a grid as DICOM states them.

    Raises:
        GeometryError: the axes are not perpendicular (a plain DICOM series cannot say so).
    """
    affine = LPS_FROM_RAS @ geometry.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = affine[:3, :3] / spacing
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-4:
        raise GeometryError(
            f"axes that are not perpendicular: {geometry.affine[:3, :3].tolist()}",
            legal="three perpendicular axes",
            action="resample the image onto a perpendicular grid first",
        )
    n_slices = geometry.shape[2]
    positions = affine[:3, 3] + np.arange(n_slices)[:, None] * affine[:3, 2]
    right_handed = float(np.linalg.det(axes)) > 0
    order = tuple(range(n_slices)) if right_handed else tuple(range(n_slices - 1, -1, -1))
    return SliceFrame(
        axes[:, 0], axes[:, 1], (float(spacing[0]), float(spacing[1]), float(spacing[2])), positions, order
    )
