"""Files to images and back: DICOM, NIfTI, pictures, npz. The only room that sees raw patient identifiers."""

from fiducial.archive.dates import DateShift
from fiducial.archive.ingest import DicomIngest, ingest_dicom
from fiducial.archive.nifti import write_nifti
from fiducial.archive.nrrd import Segment, read_segments
from fiducial.archive.pseudonym import Pseudonyms, private_key, read_subjects
from fiducial.archive.readers import READERS, format_of, read_image, read_mask
from fiducial.archive.report import IngestRow
from fiducial.archive.sources import Listing, PacsAccess, Remote, is_address, remote, survey
from fiducial.archive.unpack import unpack_zip

__all__ = [
    "READERS",
    "DateShift",
    "DicomIngest",
    "IngestRow",
    "Listing",
    "PacsAccess",
    "Pseudonyms",
    "Remote",
    "Segment",
    "format_of",
    "ingest_dicom",
    "is_address",
    "private_key",
    "read_image",
    "read_mask",
    "read_segments",
    "read_subjects",
    "remote",
    "survey",
    "unpack_zip",
    "write_nifti",
]
