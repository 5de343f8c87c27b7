"""The one table of a data set: ingest, labels, split, leaks, description."""

from fiducial.cohort.describe import Description, describe
from fiducial.cohort.ingest import Ingested, ingest
from fiducial.cohort.layouts import LAYOUTS
from fiducial.cohort.leaks import Leak, drop_leaks, find_leaks
from fiducial.cohort.outliers import Outlier, find_outliers
from fiducial.cohort.shortcuts import Probe, probe_shortcuts
from fiducial.cohort.site_table import SiteTable, site_table
from fiducial.cohort.split import split_cohort
from fiducial.cohort.table import cohort_digest, load_cohort
from fiducial.cohort.visits import VisitProblem, order_visits, pair_visits, visit_problems

__all__ = [
    "LAYOUTS",
    "Description",
    "Ingested",
    "Leak",
    "Outlier",
    "Probe",
    "SiteTable",
    "VisitProblem",
    "cohort_digest",
    "describe",
    "drop_leaks",
    "find_leaks",
    "find_outliers",
    "ingest",
    "load_cohort",
    "order_visits",
    "pair_visits",
    "probe_shortcuts",
    "site_table",
    "split_cohort",
    "visit_problems",
]
