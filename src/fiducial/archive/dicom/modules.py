"""The attributes that the slices of a written series share, module by module of PS3.3 A.3, A.4 and A.21."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.archive.dicom.header import SOP_CLASSES, DicomHeader, PetDose, SliceFrame
from fiducial.records.image import Image

CT_INTERCEPT = -1024

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def series_dataset(image: Image, header: DicomHeader, frame: SliceFrame, dtype: np.dtype[Any]) -> Dataset:
    """Everything that all slices of the series say alike."""
    dataset = patient_and_study(header)
    dataset.SOPClassUID = SOP_CLASSES[image.modality]
    dataset.Modality = image.modality
    dataset.SeriesInstanceUID = header.series_uid(image.modality)
    dataset.SeriesNumber = header.series_number
    dataset.SeriesDate, dataset.SeriesTime = header.study_date, header.study_time
    dataset.AcquisitionDate, dataset.AcquisitionTime = header.study_date, header.study_time
    dataset.ContentDate, dataset.ContentTime = header.study_date, header.study_time
    dataset.SeriesDescription = header.series_description
    dataset.BodyPartExamined = header.body_part
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = header.frame_uid
    dataset.PositionReferenceIndicator = ""
    dataset.AcquisitionNumber = 1
    _plane(dataset, image, header, frame)
    _pixels(dataset, image, dtype)
    {"CT": _ct, "MR": _mr, "PT": _pet}[image.modality](dataset, header)
    if image.modality == "PT":
        dataset.NumberOfSlices = image.geometry.shape[2]
    if header.contrast_agent:
        dataset.ContrastBolusAgent = header.contrast_agent
    return dataset


def patient_and_study(header: DicomHeader) -> Dataset:
    """Patient, study and equipment: the modules that every object of a study shares."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = header.patient_name, header.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = header.birth_date, header.sex
    if header.age_years is not None:
        dataset.PatientAge = f"{header.age_years:03d}Y"
    if header.weight_kg is not None:
        dataset.PatientWeight = f"{header.weight_kg:.6g}"
    if header.height_m is not None:
        dataset.PatientSize = f"{header.height_m:.6g}"
    dataset.StudyInstanceUID = header.study_uid
    dataset.StudyDate, dataset.StudyTime = header.study_date, header.study_time
    dataset.StudyID, dataset.AccessionNumber = header.study_id, header.accession_number
    dataset.StudyDescription = header.study_description
    dataset.ReferringPhysicianName = ""
    dataset.Manufacturer, dataset.ManufacturerModelName = header.manufacturer, header.model
    dataset.InstitutionName, dataset.StationName = header.institution, header.station
    if header.site:
        # Clinical Trial Subject module (PS3.3 C.7.1.3): sponsor and protocol are required beside the site.
        dataset.ClinicalTrialSponsorName = "none"
        dataset.ClinicalTrialProtocolID = "none"
        dataset.ClinicalTrialProtocolName = ""
        dataset.ClinicalTrialSiteID = header.site
        dataset.ClinicalTrialSiteName = ""
        dataset.ClinicalTrialSubjectID = header.patient_id
    return dataset


def _plane(dataset: Dataset, image: Image, header: DicomHeader, frame: SliceFrame) -> None:
    from pydicom.valuerep import format_number_as_ds

    x_mm, y_mm, z_mm = frame.spacing_mm
    thickness = z_mm if header.slice_thickness_mm is None else header.slice_thickness_mm
    dataset.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in (*frame.row, *frame.column)]
    # PixelSpacing is (between rows, between columns): y first.
    dataset.PixelSpacing = [format_number_as_ds(y_mm), format_number_as_ds(x_mm)]
    dataset.SliceThickness = f"{thickness:.8g}"
    if image.modality == "MR":
        dataset.SpacingBetweenSlices = format_number_as_ds(z_mm)


def _pixels(dataset: Dataset, image: Image, dtype: np.dtype[Any]) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Columns, dataset.Rows = image.geometry.shape[0], image.geometry.shape[1]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(np.issubdtype(dtype, np.signedinteger))


def _ct(dataset: Dataset, header: DicomHeader) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleIntercept, dataset.RescaleType = str(CT_INTERCEPT), "HU"
    dataset.KVP = "" if header.kvp is None else f"{header.kvp:.6g}"
    dataset.ConvolutionKernel = header.kernel


def _mr(dataset: Dataset, header: DicomHeader) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    dataset.ScanningSequence, dataset.SequenceVariant = "SE", "NONE"
    dataset.ScanOptions, dataset.MRAcquisitionType = "", "2D"
    dataset.RepetitionTime = "" if header.repetition_time_ms is None else f"{header.repetition_time_ms:.6g}"
    dataset.EchoTime = "" if header.echo_time_ms is None else f"{header.echo_time_ms:.6g}"
    dataset.EchoTrainLength = ""
    if header.magnetic_field_t is not None:
        dataset.MagneticFieldStrength = f"{header.magnetic_field_t:.6g}"


def _pet(dataset: Dataset, header: DicomHeader) -> None:
    dose = header.pet
    if dose is None:
        return
    scanned = dose.scanned
    dataset.SeriesDate, dataset.SeriesTime = scanned.strftime("%Y%m%d"), scanned.strftime("%H%M%S.%f")
    dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.SeriesDate, dataset.SeriesTime
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.Units, dataset.CountsSource, dataset.SeriesType = "BQML", "EMISSION", ["STATIC", "IMAGE"]
    dataset.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
    dataset.DecayCorrection = dose.decay_correction
    dataset.CollimatorType = "NONE"
    dataset.RescaleIntercept = "0"
    dataset.FrameReferenceTime = "0"
    dataset.ActualFrameDuration = ""
    dataset.DecayFactor = "1"
    dataset.RadiopharmaceuticalInformationSequence = [_radiopharmaceutical(dose)]
    for sequence in (
        "PatientOrientationCodeSequence",
        "PatientGantryRelationshipCodeSequence",
    ):
        setattr(dataset, sequence, [])


def _radiopharmaceutical(dose: PetDose) -> Dataset:
    from pydicom.dataset import Dataset
    from pydicom.valuerep import format_number_as_ds

    item = Dataset()
    item.Radiopharmaceutical = dose.tracer
    item.RadiopharmaceuticalStartTime = dose.injected.strftime("%H%M%S.%f")
    item.RadiopharmaceuticalStartDateTime = dose.injected.strftime("%Y%m%d%H%M%S.%f")
    item.RadionuclideTotalDose = format_number_as_ds(float(dose.dose_bq))
    item.RadionuclideHalfLife = format_number_as_ds(float(dose.half_life_s))
    item.RadionuclideCodeSequence = [_code("C-111A1", "SRT", "^18^Fluorine")]
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
