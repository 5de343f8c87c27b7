"""What a layout found before anything is read: cases, names of structures, and remarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fiducial.cohort.examine import CaseFiles, Refusal

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "tuning"), "validation"),
    **dict.fromkeys(("cal", "calib", "calibration"), "calibration"),
    **dict.fromkeys(("test", "testing", "ts", "holdout"), "test"),
}
"""Names of the four parts as data sets write them, in lower case."""


@dataclass(frozen=True)
class Collection:
    """Cases in order; ``structures`` names values of label maps (others are called ``label_<value>``).

    ``refused`` are files that make no case, ``unmatched`` ids that have no partner, ``notes`` what a reader must
    know about how the files were understood.
    """

    cases: tuple[CaseFiles, ...]
    structures: Mapping[int, str] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
