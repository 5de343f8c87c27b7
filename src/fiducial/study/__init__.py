"""The study file: intended use, data, task, budget and acceptance criteria, stated before training."""

from __future__ import annotations

from fiducial.study.against import check_against, check_groups
from fiducial.study.groups import Group, band_of, group_text, parse_group, with_bands
from fiducial.study.load import load_study, parse_study
from fiducial.study.model import Criterion, Data, OperatingPoint, Purpose, Region, Study, Task, Train, Uncertainty
from fiducial.study.vocabulary import METRICS, STATISTICS, Metric, nearest

__all__ = [
    "METRICS",
    "STATISTICS",
    "Criterion",
    "Data",
    "Group",
    "Metric",
    "OperatingPoint",
    "Purpose",
    "Region",
    "Study",
    "Task",
    "Train",
    "Uncertainty",
    "band_of",
    "check_against",
    "check_groups",
    "group_text",
    "load_study",
    "nearest",
    "parse_group",
    "parse_study",
    "with_bands",
]
