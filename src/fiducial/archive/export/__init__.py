"""Masks and measurements back to the archive: DICOM SEG, RTSTRUCT and SR that refer to the series they came from."""

from fiducial.archive.export.cases import Exported, ExportJob, export_case
from fiducial.archive.export.maker import Maker
from fiducial.archive.export.source import SourceSeries, cohort_sources, find_sources, single_source

__all__ = [
    "ExportJob",
    "Exported",
    "Maker",
    "SourceSeries",
    "cohort_sources",
    "export_case",
    "find_sources",
    "single_source",
]
