"""Evidence, curves and pictures as one HTML page, a model card and an index. Computes nothing."""

from __future__ import annotations

from fiducial.records.picture import Picture
from fiducial.report.card import model_card
from fiducial.report.compare import CompareInput, render_comparison, write_comparison
from fiducial.report.description import DescriptionInput, render_description, write_description
from fiducial.report.given import IndexEntry, ReportInput, SignatureShown
from fiducial.report.ingested import IngestInput, render_ingest, write_ingest
from fiducial.report.page import index_entry, index_page, render, write_report
from fiducial.report.radiomics import RadiomicsInput, render_radiomics, write_radiomics

__all__ = [
    "CompareInput",
    "DescriptionInput",
    "IndexEntry",
    "IngestInput",
    "Picture",
    "RadiomicsInput",
    "ReportInput",
    "SignatureShown",
    "index_entry",
    "index_page",
    "model_card",
    "render",
    "render_comparison",
    "render_description",
    "render_ingest",
    "render_radiomics",
    "write_comparison",
    "write_description",
    "write_ingest",
    "write_radiomics",
    "write_report",
]
