"""What the audit takes and gives: tables in, evidence and curves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.study import Study

Row = dict[str, Any]


@dataclass(frozen=True)
class AuditSettings:
    """How intervals and groups are made.

    ``attributes`` empty takes the study's. ``bands`` turn a number into an attribute (``age`` gives ``age_band``); the
    study's own bands come on top. ``minimum_n`` 0 takes the study's, else 10. ``person_known`` False means that
    ``subject`` is only a file's id: every image then counts as a person of its own, and every method says so.
    ``alpha`` is the share of patients whose conformal set may miss the truth, ``largest_risk`` the error that the cases
    may have which a deferral rule keeps from a person, ``poor_dice`` the Dice below which a mask is wrong; 0 takes the
    study's, else 0.1, 0.05 and 0.7.
    """

    level: float = 0.95
    n_replicates: int = 2000
    seed: int = 0
    minimum_n: int = 0
    attributes: tuple[str, ...] = ()
    bands: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    person_known: bool = True
    alpha: float = 0.0
    largest_risk: float = 0.0
    poor_dice: float = 0.0


@dataclass(frozen=True)
class Unmatched:
    """Ids of an attributes table that name nobody.

    ``ids`` of the ``n_ids`` that the column ``key`` holds; ``nearly`` pairs those that differ from an id of an image
    without attributes only in case, space, leading zeros or punctuation with that id.
    """

    key: str
    n_ids: int
    ids: tuple[str, ...]
    nearly: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AuditInput:
    """The tables of one model on one cohort.

    ``predictions`` may hold everything that was predicted; `tables.prepared` leaves in it the model's final, clean
    answers and puts the rest beside it: ``members`` (single folds, draws and views of an ensemble), ``readings`` (what
    raters said), ``rated`` (rows of cases that compare raters' masks), ``embeddings`` (rows of kind embedding: one per
    image and coordinate, named in ``item``), and ``mitigated`` and ``mitigated_cases`` (condition ``mitigated``: a
    second model's final answers on the same images).
    ``attributes`` has one row per image: ``image``, ``subject``, optionally ``split``, and the attribute columns.
    ``leaks`` are the leaks that the cohort check found, None if nobody looked. ``openings`` counts how often the test
    part was opened, 0 if nobody counted, ``openings_other_versions`` how many of these before the study file or the
    cohort was changed. ``unmatched`` are ids of a table of attributes, None where there was none that
    had to be joined. ``source`` says where the tables come from, with a digest.
    """

    predictions: pd.DataFrame
    cases: pd.DataFrame
    attributes: pd.DataFrame
    study: Study | None = None
    settings: AuditSettings = AuditSettings()
    leaks: Sequence[Any] | None = None
    openings: int = 0
    openings_other_versions: int = 0
    source: str = ""
    members: pd.DataFrame | None = None
    readings: pd.DataFrame | None = None
    rated: pd.DataFrame | None = None
    embeddings: pd.DataFrame | None = None
    mitigated: pd.DataFrame | None = None
    mitigated_cases: pd.DataFrame | None = None
    unmatched: Unmatched | None = None


@dataclass(frozen=True)
class CheckResult:
    """Rows of the Evidence and of the Curves table."""

    evidence: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)

    def __add__(self, other: CheckResult) -> CheckResult:
        return CheckResult(self.evidence + other.evidence, self.curves + other.curves)


@dataclass(frozen=True)
class AuditResult:
    """The two tables that a report draws."""

    evidence: pd.DataFrame
    curves: pd.DataFrame
