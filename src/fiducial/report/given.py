"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fiducial.records.picture import Picture

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.study import Study


@dataclass(frozen=True)
class SignatureShown:
    """A signature of the evidence: who, when (UTC), the key's fingerprint, and why it does not hold, if so."""

    name: str
    signed_at: str
    key: str
    holds: bool
    reason: str = ""


@dataclass(frozen=True)
class ReportInput:
    """Tables, pictures and facts; the report formats them and computes nothing.

    ``evidence`` and ``curves`` are the audit's two tables. ``study`` is None for an audit without a study file.
    ``run`` holds the run's facts (keys that get a place of their own: ``model``, ``seed``, ``task``,
    ``fingerprint``, ``cohort_digest``, ``versions``, ``files`` (digest by file), ``plan``, ``contract``,
    ``created``, ``source``; any other key is listed as it is). ``history`` is the training history, one row a step
    or epoch. ``description`` maps a title to a table (a list of mappings) or to facts (a mapping). ``cases`` is
    the Cases table, for the distribution of per-case metrics. ``ingest`` are ingest rows (mappings or frozen
    records), ``leaks`` the leaks found (None: not looked for), ``openings`` how often the test split was opened
    (None: not counted). ``phantom`` marks patients who do not exist; ``data_name`` names the data set.
    ``signatures`` are those of the evidence, oldest first; ``checklists`` what ``checklists.json`` holds;
    ``bias_register`` the entries of `audit.bias_register`, as mappings.
    """

    title: str
    evidence: pd.DataFrame
    curves: pd.DataFrame
    study: Study | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    history: pd.DataFrame | None = None
    description: Mapping[str, Any] | None = None
    pictures: Sequence[Picture] = ()
    cases: pd.DataFrame | None = None
    ingest: Sequence[Any] = ()
    leaks: Sequence[Any] | None = None
    openings: int | None = None
    data_name: str = ""
    phantom: bool = False
    notes: Sequence[str] = ()
    signatures: Sequence[SignatureShown] = ()
    checklists: Sequence[Mapping[str, Any]] = ()
    bias_register: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class IndexEntry:
    """One report on an index page.

    ``href`` is the report's path relative to the page; ``verdicts`` counts by verdict; ``headline`` is one figure
    with its interval, in words. Without a ``picture`` of a case the card shows ``drawing``, an SVG of a curve.
    """

    title: str
    href: str
    summary: str
    verdicts: Mapping[str, int]
    headline: str = ""
    n_subjects: int = 0
    n_images: int = 0
    picture: Picture | None = None
    drawing: str = ""
    phantom: bool = False
    data_name: str = ""
