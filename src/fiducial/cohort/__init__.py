"""The one table of a data set: ingest, labels, split, leaks, description."""

from fiducial.cohort.describe import Description, describe
from fiducial.cohort.ingest import Ingested, ingest
from fiducial.cohort.layouts import LAYOUTS
from fiducial.cohort.leaks import Leak, drop_leaks, find_leaks
from fiducial.cohort.split import split_cohort
from fiducial.cohort.table import cohort_digest, load_cohort

__all__ = [
    "LAYOUTS",
    "Description",
    "Ingested",
    "Leak",
    "cohort_digest",
    "describe",
    "drop_leaks",
    "find_leaks",
    "ingest",
    "load_cohort",
    "split_cohort",
]
