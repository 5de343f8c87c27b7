"""De-identification of DICOM files: PS3.15 Annex E as a table, applied to every byte outside the pixels."""

from fiducial.archive.deidentify.profile import Options
from fiducial.archive.deidentify.report import SeriesRow
from fiducial.archive.deidentify.run import Deidentified, deidentify_dicom

__all__ = ["Deidentified", "Options", "SeriesRow", "deidentify_dicom"]
