"""Archives that DICOM comes from, asked over DICOMweb or DIMSE."""

from fiducial.archive.sources.access import PacsAccess, Remote, remote
from fiducial.archive.sources.address import is_address, parse_address
from fiducial.archive.sources.fetch import Listing, fetch, received, survey

__all__ = ["Listing", "PacsAccess", "Remote", "fetch", "is_address", "parse_address", "received", "remote", "survey"]
