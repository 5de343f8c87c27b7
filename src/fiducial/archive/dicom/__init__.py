"""Plain DICOM series (CT, MR, PET) as images, and images as DICOM series. LPS lives only here."""

from fiducial.archive.dicom.discover import Discovery, SeriesFiles, discover, find_series
from fiducial.archive.dicom.header import DicomHeader, PetDose, SeriesReference
from fiducial.archive.dicom.read import read_dicom, read_series
from fiducial.archive.dicom.stack import Stack, stack_series
from fiducial.archive.dicom.write import write_series

__all__ = [
    "DicomHeader",
    "Discovery",
    "PetDose",
    "SeriesFiles",
    "SeriesReference",
    "Stack",
    "discover",
    "find_series",
    "read_dicom",
    "read_series",
    "stack_series",
    "write_series",
]
