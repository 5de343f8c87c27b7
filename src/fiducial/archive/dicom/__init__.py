"""Plain DICOM series (CT, MR, PET) as images, and images as DICOM series. LPS lives only here."""

from fiducial.archive.dicom.header import DicomHeader, PetDose, SeriesReference
from fiducial.archive.dicom.write import write_series

__all__ = ["DicomHeader", "PetDose", "SeriesReference", "write_series"]
