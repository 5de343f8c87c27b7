"""The original series that written objects refer to: its grid, its headers, and where each of its slices lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.decoders import GRIDS
from fiducial.archive.dicom.discover import SeriesFiles, discover
from fiducial.archive.dicom.header import LPS_FROM_RAS, SeriesReference
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.stack import stack_series
from fiducial.archive.dicom.tilt import is_sheared, straight
from fiducial.archive.dicom.values import quiet_pydicom
from fiducial.archive.lattice import Lattice, lattice_of
from fiducial.archive.materialise import image_id
from fiducial.archive.pseudonym import PRIVATE, Pseudonyms, private_key
from fiducial.archive.refusal import refuse
from fiducial.errors import InputRefused
from fiducial.records.image import Geometry
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UTF8 = "ISO_IR 192"
# Patient, Clinical Trial Subject, General Study, Patient Study and Clinical Trial Study (PS3.3 C.7.1, C.7.2).
PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "QualityControlSubject",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "AdmittingDiagnosesDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientBodyMassIndex",
    "MedicalAlerts",
    "Allergies",
    "SmokingStatus",
    "PregnancyStatus",
    "LastMenstrualDate",
    "PatientState",
    "Occupation",
    "AdditionalPatientHistory",
    "AdmissionID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "TimezoneOffsetFromUTC",
)


@dataclass(frozen=True)
class SourceSeries:
    """A series as it was ingested, and as the archive holds it.

    ``reference`` is the grid of the original slices and what objects call them. ``planes`` are these slices one by one:
    [frame, 3, 3] in LPS mm, the steps of one column and one row and the first voxel's centre, in the order of array z.
    ``headers`` are the original files without pixels, in that order too; of a multi-frame file it is one,
    and ``frames`` are the numbers of its frames, from 1 on.
    """

    series: SeriesFiles
    reference: SeriesReference
    headers: tuple[Dataset, ...]
    planes: NDArray[np.float64]
    frames: tuple[int, ...] = ()

    @property
    def grid(self) -> Geometry:
        """The grid of the ingested image, on which masks lie: of a tilted gantry the one that slices were put on."""
        own = self.reference.geometry
        return straight(own).geometry if is_sheared(own) else own

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of a frame."""
        first = self.headers[0]
        return int(first.Columns), int(first.Rows)

    def on_frames(self, voxels: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
        """Voxels [x, y, z] of the ingested grid as [frame, row, column] of the original frames.

        Frames whose voxel centres lie on the grid take theirs. Others (a tilted gantry) are sampled at their voxel
        centres, nearest neighbour; what lies outside the grid is 0.

        Raises:
            GeometryError: the grid is not that of the ingested series; both are shown.
        """
        geometry.require_match(self.grid, where="mask against its DICOM series")
        columns, rows = self.size
        to_index = np.linalg.inv(LPS_FROM_RAS @ geometry.affine).astype(np.float64)
        result = np.zeros((len(self.planes), rows, columns), voxels.dtype)
        for number, plane in enumerate(self.planes):
            lattice = lattice_of(plane, to_index, self.size)
            if (
                lattice is not None
                and lattice == Lattice.of_slice(lattice.origin[2])
                and self.size == geometry.shape[:2]
            ):
                result[number] = voxels[:, :, lattice.origin[2]].T
                continue
            across, down, origin = (
                (to_index[:3, :3] @ plane[:, 0], to_index[:3, :3] @ plane[:, 1], to_index[:3] @ [*plane[:, 2], 1.0])
                if lattice is None
                else (np.array(lattice.across), np.array(lattice.down), np.array(lattice.origin))
            )
            index = origin + across * np.arange(columns)[None, :, None] + down * np.arange(rows)[:, None, None]
            index = np.rint(index).astype(np.int64)
            inside = ((index >= 0) & (index < geometry.shape)).all(axis=-1)
            result[number][inside] = voxels[tuple(index[inside].T)]
        return result


def find_sources(folder: str | Path, *, workers: int = 0, progress: Progress = silent) -> list[SeriesFiles]:
    """Every image series below a folder that can be read.

    Raises:
        UnreadableFile: ``no-files`` or ``no-such-file``.
    """
    folder = Path(folder)
    if not folder.exists():
        raise refuse("no-such-file", "no such file or folder", where=str(folder))
    found = discover(folder, workers=workers, progress=progress)
    return [series for series in found.series if series.refusal is None]


def cohort_sources(found: list[SeriesFiles], cohort: str | Path) -> dict[str, SeriesFiles]:
    """The series by the image ids that a cohort's key gives them; ids of other patients or series fit no image.

    Raises:
        InputRefused: the cohort's private folder is not there: without its key nobody can tell who is who.
    """
    cohort = Path(cohort)
    if not (cohort / PRIVATE / "key").is_file():
        raise InputRefused(
            "the cohort's key is not here",
            where=str(cohort / PRIVATE),
            legal="the cohort folder as `fiducial ingest` wrote it from DICOM, with its private folder",
            action="export where the cohort was ingested: only its key leads from an image back to its series",
        )
    names = Pseudonyms(private_key(cohort))
    return {image_id(series, names): series for series in found}


def single_source(found: list[SeriesFiles], where: str) -> SeriesFiles:
    """The only series of a folder.

    Raises:
        InputRefused: there is none, or more than one.
    """
    if len(found) != 1:
        raise InputRefused(
            f"{len(found)} image series",
            where=where,
            legal="one series, or a cohort that says which image is which series",
            action="give the folder of the series that the masks were drawn on, or --cohort",
        )
    return found[0]


def open_source(series: SeriesFiles) -> SourceSeries:
    """Read the headers of a series in the order of its slices.

    Raises:
        UnreadableFile: the series is refused (`GRIDS`), or is ``export-source``: frames of several files, or a cine.
    """
    from pydicom import dcmread

    reference = GRIDS[series.kind](series)
    stacked = stack_series(series).headers if series.kind in ("slices", "frames") else series.headers[:1]
    files = dict.fromkeys(header.path for header in stacked)
    frames = tuple(header.frame + 1 for header in stacked if header.frame is not None)
    several = len(files) > 1 and bool(frames)
    if several or series.kind == "cine":
        raise refuse("export-source", f"frames of {len(files)} files" if several else "a film")
    with quiet_pydicom():
        headers = tuple(dcmread(path, stop_before_pixels=True) for path in files)
        for header in headers:
            # The library that writes objects knows one character set at a time; this one holds all the others.
            header.decode()
            header.SpecificCharacterSet = UTF8
    if series.kind == "picture":
        affine = LPS_FROM_RAS @ reference.geometry.affine
        return SourceSeries(series, reference, headers, affine[None, :3][:, :, [0, 1, 3]])
    planes = np.array([_plane(header) for header in stacked])
    return SourceSeries(series, reference, headers, planes, frames if len(stacked) > 1 else ())


def _plane(header: FileHeader) -> NDArray[np.float64]:
    directions, spacing, position = (
        np.array(header.vector(k) or (), dtype=np.float64)
        for k in ("ImageOrientationPatient", "PixelSpacing", "ImagePositionPatient")
    )
    return np.column_stack([directions[:3] * spacing[1], directions[3:] * spacing[0], position])


def copy_patient_and_study(dataset: Dataset, header: Dataset) -> None:
    """Give an object the patient and the study of a source header, attribute by attribute; what it lacks is removed."""
    with quiet_pydicom():
        for keyword in PATIENT_AND_STUDY:
            if keyword in header:
                dataset[keyword] = header[keyword]
            elif keyword in dataset:
                del dataset[keyword]
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
            _present(dataset, keyword)
        for keyword in ("ReferringPhysicianName", "StudyID", "AccessionNumber"):
            _present(dataset, keyword)
        dataset.SpecificCharacterSet = UTF8


def _present(dataset: Dataset, keyword: str) -> None:
    """Attributes of type 2 are there, empty where nothing is known."""
    if keyword not in dataset:
        setattr(dataset, keyword, "")
