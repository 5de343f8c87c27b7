"""Tables about features of regions: what each region's value is, and how well a feature repeats.

`FEATURES` is long: a row for each feature of each region. Repeats of one region stand in it as rows that differ by
``perturbation``, ``rater`` or ``visit``. `STABILITY` has a row for each feature: intraclass correlations of those
repeats with their intervals, and a grade by the lower end of one of them. Both are read and written as the other tables
are (`read_table`, `write_table`).
"""

from __future__ import annotations

import math

from fiducial.records.tables import NAN, Column, Schema

FORMS = ("icc_1_1", "icc_2_1", "icc_3_1")
"""Intraclass correlations of single values: repeats at random (1,1), agreement (2,1) and consistency (3,1) of the same
repeats in every region (Shrout and Fleiss 1979)."""
GRADES = ("poor", "moderate", "good", "excellent")
"""By the lower end of the interval: below 0.5, 0.5 to 0.75, 0.75 to 0.9, and above 0.9 (Koo and Li 2016)."""
GRADE_BOUNDS = (0.5, 0.75, 0.9)

FEATURES = Schema(
    "features",
    (
        Column("subject", default=None, meaning="person"),
        Column("visit", meaning="visit of that person"),
        Column("site", meaning="hospital"),
        Column("split", meaning="of the image"),
        Column("image", default=None, meaning="the image that the region lies in"),
        Column("mask", default=None, meaning="the region: an image of the cohort with role mask"),
        Column("structure", meaning="what the region is of"),
        Column("rater", meaning="who drew it; empty for the reference"),
        Column("perturbation", meaning="what was done to image and mask first; empty for both as they are"),
        Column("filter", meaning="the response map that the feature is of; empty for the image itself"),
        Column("family", default=None),
        Column("feature", default=None),
        Column("aggregation", meaning="how texture matrices are put together; empty where there is none"),
        Column("ibsi_code"),
        Column("value", "number", NAN),
        Column("reason", meaning="why the value is missing, or what is to be known about it"),
    ),
    open=True,
    unique=("mask", "perturbation", "filter", "family", "feature", "aggregation"),
)

STABILITY = Schema(
    "stability",
    (
        Column("family", default=None),
        Column("feature", default=None),
        Column("aggregation", meaning="how texture matrices are put together; empty where there is none"),
        Column("filter", meaning="the response map that the feature is of; empty for the image itself"),
        *(
            Column(f"{form}{end}", "number", NAN, meaning=meaning)
            for form in FORMS
            for end, meaning in (("", "intraclass correlation"), ("_low", "lower end"), ("_high", "upper end"))
        ),
        Column("level", "number", 0.95, meaning="of the intervals"),
        Column("graded_by", default="icc_1_1", legal=FORMS, meaning="whose lower end gives the grade"),
        Column("grade", legal=("", *GRADES), meaning="empty where there is no correlation"),
        Column("n_subjects", "integer", 0, meaning="persons whose regions count"),
        Column("n_regions", "integer", 0, meaning="regions that have a value in every repeat"),
        Column("n_repeats", "integer", 0, meaning="repeats of each region"),
        Column("repeats", legal=("", "perturbation", "rater", "visit"), meaning="what the repeats differ by"),
        Column("reason", meaning="why a correlation is missing"),
    ),
    unique=("family", "feature", "aggregation", "filter"),
)


def grade_of(low: float) -> str:
    """The grade of a lower end (`GRADES`); empty for NaN."""
    if math.isnan(low):
        return ""
    return GRADES[sum(low >= bound for bound in GRADE_BOUNDS[:2]) + (low > GRADE_BOUNDS[2])]
