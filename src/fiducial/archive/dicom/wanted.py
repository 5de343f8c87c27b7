"""The attributes that the archive reads of every header: tables of keywords and of vendors' private elements."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

TEXTS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "PatientName",
    "PatientSex",
    "PatientAge",
    "PatientBirthDate",
    "Modality",
    "StudyDate",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "Manufacturer",
    "ManufacturerModelName",
    "InstitutionName",
    "StationName",
    "ClinicalTrialSiteID",
    "AccessionNumber",
    "BurnedInAnnotation",
    "PhotometricInterpretation",
    "RescaleType",
    "Units",
    "SUVType",
    "DecayCorrection",
    "LossyImageCompression",
    "TimezoneOffsetFromUTC",
    "StackID",
    "ComplexImageComponent",
    "ConcatenationUID",
)
LISTS = (
    "ImageType",
    "CorrectedImage",
    "SeriesType",
    "ConvolutionKernel",
    "ScanOptions",
)
NUMBERS = (
    "InstanceNumber",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "SliceThickness",
    "SpacingBetweenSlices",
    "KVP",
    "MagneticFieldStrength",
    "PatientWeight",
    "PatientSize",
    "EchoNumbers",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "AcquisitionNumber",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "NumberOfSlices",
    "NumberOfTimeSlices",
    "FrameReferenceTime",
    "ActualFrameDuration",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
)
VECTORS = {
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
    "DiffusionGradientOrientation": 3,
}
DOSES = "RadiopharmaceuticalInformationSequence"
MODALITY_LUT = "ModalityLUTSequence"
DOSE_TEXTS = ("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime")
DOSE_NUMBERS = ("RadionuclideTotalDose", "RadionuclideHalfLife")
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)


@dataclass(frozen=True)
class PrivateElement:
    """A vendor's element: its creator's block, the low byte of its number, and its VR where the file states none."""

    keyword: str
    group: int
    creator: str
    offset: int
    vr: str


# Vendors' conformance statements; they are numbers unless VR is a text's.
PRIVATE = (
    PrivateElement("SiemensBValue", 0x0019, "SIEMENS MR HEADER", 0x0C, "IS"),
    PrivateElement("SiemensMosaicTiles", 0x0019, "SIEMENS MR HEADER", 0x0A, "US"),
    PrivateElement("SiemensGradient", 0x0019, "SIEMENS MR HEADER", 0x0E, "FD"),
    PrivateElement("GEBValue", 0x0043, "GEMS_PARM_01", 0x39, "IS"),
    PrivateElement("GEImageType", 0x0043, "GEMS_PARM_01", 0x2F, "SS"),
    PrivateElement("GEScanDateTime", 0x0009, "GEMS_PETD_01", 0x0D, "DT"),
    PrivateElement("PhilipsBValue", 0x2001, "Philips Imaging DD 001", 0x03, "FL"),
    PrivateElement("PhilipsSUVFactor", 0x7053, "Philips PET Private Group", 0x00, "DS"),
    PrivateElement("PhilipsActivityFactor", 0x7053, "Philips PET Private Group", 0x09, "DS"),
)
PRIVATE_TEXTS = ("GEScanDateTime",)
PRIVATE_VECTORS = ("SiemensGradient", "GEBValue")


@cache
def wanted_tags() -> dict[bytes, tuple[str, str]]:
    """Keyword and the standard's VR of each wanted tag, by its bytes in a little-endian file."""
    return _tags((*TEXTS, *LISTS, *NUMBERS, *VECTORS, DOSES, MODALITY_LUT, "SpecificCharacterSet"))


@cache
def dose_tags() -> dict[bytes, tuple[str, str]]:
    """Keyword and the standard's VR of what is wanted of a dose item."""
    return _tags((*DOSE_TEXTS, *DOSE_NUMBERS))


@cache
def private_blocks() -> dict[tuple[int, str], tuple[PrivateElement, ...]]:
    """The wanted private elements by group and creator."""
    keys = {(element.group, element.creator) for element in PRIVATE}
    return {key: tuple(e for e in PRIVATE if (e.group, e.creator) == key) for key in keys}


def _tags(keywords: tuple[str, ...]) -> dict[bytes, tuple[str, str]]:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    found = {}
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise KeyError(keyword)
        place = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
        found[place] = (keyword, dictionary_VR(tag))
    return found
