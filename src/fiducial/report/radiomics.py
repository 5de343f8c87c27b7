"""A radiomics report as one HTML page: what was measured, what is alike, what repeats, what a signature is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.records.files import write_text
from fiducial.report import (
    provenance,
    radiomics_conclusion,
    radiomics_features,
    radiomics_models,
    radiomics_words,
    rows,
    sheets,
    wording,
)
from fiducial.report.blocks import Block, Cell, Column, Facts, Fold, Listing, Section, Table, Text

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.report.given import ReportInput

Row = Mapping[str, Any]
SHOWN = 8


@dataclass(frozen=True)
class RadiomicsInput:
    """What a radiomics page is made from; every row is a mapping, and nothing is computed from them here.

    ``features``: family, feature, aggregation, filter, ibsi_code, consensus, difference, n, n_missing, reasons (pairs),
    quantiles (smallest, quartiles, largest), histogram, constant. ``alike`` is None or holds ``size`` [p, p],
    ``cluster`` [p], ``features`` [p] in the order of the map, ``n_regions``, ``n_subjects``, ``structure``,
    ``missing``, ``constant``, ``incomplete`` and ``threshold``; ``not_alike`` says why there is none. ``stability``,
    ``models`` and ``signature`` are rows of the tables of these names, empty where none was given. ``choices`` are
    pairs of name and text about how the signature was learned. ``audits`` hold the audit of each model by name;
    ``evidence_of`` is the one whose rows the sheets name. ``settings`` are pairs of name and text, ``set_aside`` of
    region and reason. ``value`` names the feature that is the single value. ``curves`` are rows of `SIGNATURE_CURVES`,
    of a survival alone, whose ``horizon`` is told in words (*by 365, as stated*). ``sheets`` are those of
    `fiducial.audit.checklists.radiomics_sheets`, as mappings.
    """

    title: str
    counts: Sequence[tuple[str, int]]
    settings: Sequence[tuple[str, str]]
    set_aside: Sequence[tuple[str, str]]
    features: Sequence[Row]
    alike: Row | None = None
    not_alike: str = ""
    stability: Sequence[Row] = ()
    models: Sequence[Row] = ()
    signature: Sequence[Row] = ()
    choices: Sequence[tuple[str, str]] = ()
    audits: Mapping[str, ReportInput] = field(default_factory=dict)
    value: str = ""
    curves: pd.DataFrame | None = None
    horizon: str = ""
    evidence_of: str = ""
    sheets: Sequence[Row] = ()
    notes: Sequence[str] = ()


def render_radiomics(given: RadiomicsInput) -> str:
    """The page as one HTML document; the same input gives the same bytes. Names from tables are text, never markup."""
    from fiducial.report.page import document

    sections = [
        _summary(given),
        radiomics_features.families(given),
        radiomics_features.correlation(given),
        radiomics_features.stability(given),
        radiomics_models.models(given),
        radiomics_models.signature(given),
        radiomics_models.calibration(given),
        radiomics_models.decisions(given),
        sheets.section(given.sheets),
        _made(given),
        _evidence(given),
    ]
    lead = "Features of regions: what was measured, what says the same, and what repeats."
    if given.models:
        lead = "Features of regions, and what a signature of them is worth beside simpler models."
    return document(sections, title=given.title, kind="Radiomics", lead=lead)


def write_radiomics(given: RadiomicsInput, path: str | Path) -> Path:
    """Render and write atomically; returns the path."""
    write_text(path, render_radiomics(given))
    return Path(path)


def _summary(given: RadiomicsInput) -> Section:
    """How many of what, what was set aside, and what a reader must know first."""
    blocks: list[Block] = [Facts([(label, wording.count(n)) for label, n in given.counts])]
    if said := _to_know(given):
        blocks.append(Listing(said, "To know first"))
    blocks += _aside(given.set_aside)
    if given.notes:
        blocks.append(Listing(list(given.notes), "Notes"))
    return Section("summary", "In short", blocks, lead=_sentence(given))


def _sentence(given: RadiomicsInput) -> str:
    known = dict(given.counts)
    parts = (
        wording.plural(known.get("Regions", 0), "region", "regions"),
        wording.plural(known.get("Patients", 0), "patient", "patients"),
        wording.plural(known.get("Features", 0), "feature", "features"),
    )
    return f"{parts[0]} of {parts[1]}, {parts[2]} of each."


def _to_know(given: RadiomicsInput) -> list[str]:
    """One sentence for each thing that was found."""
    said = []
    n_missing = sum(int(row["n_missing"]) for row in given.features)
    if n_missing:
        lacking = sum(bool(row["n_missing"]) for row in given.features)
        total = sum(int(row["n"]) for row in given.features) + n_missing
        said.append(
            f"{wording.count(n_missing)} of {wording.count(total)} values are missing, in "
            f"{wording.plural(lacking, 'feature', 'features')}; each has a reason."
        )
    if given.alike is not None:
        n_features, n_clusters = len(given.alike["features"]), len(set(given.alike["cluster"]))
        said.append(
            f"{wording.plural(n_features, 'feature forms', 'features form')} "
            f"{wording.plural(n_clusters, 'cluster', 'clusters')} in which every pair has a rank correlation of "
            f"{given.alike['threshold']:g} or more: {wording.count(n_clusters)} different things are measured, not "
            f"{wording.count(n_features)}."
        )
    if given.stability:
        graded = [str(row["grade"]) for row in given.stability]
        said.append(
            f"{graded.count('excellent') + graded.count('good')} of {len(graded)} features repeat well or excellently, "
            f"{graded.count('moderate')} moderately, {graded.count('poor')} poorly."
        )
    return radiomics_conclusion.conclusion(given) + said + radiomics_conclusion.to_know(given)


def _aside(pairs: Sequence[tuple[str, str]]) -> list[Block]:
    """Regions without features by reason; every one behind a line that opens."""
    if not pairs:
        return []
    columns = (Column("Region"), Column("Why it has no features"))
    said = [(name, *reason.partition("\n")[::2]) for name, reason in pairs]
    lines = [[Cell(name, strong=True), Cell(first, rest.replace("\n", "; "))] for name, first, rest in said]
    title = f"{wording.plural(len(pairs), 'region was', 'regions were')} set aside"
    table = Table(columns, lines, kind="register")
    return [Fold(title, [table]) if len(pairs) > SHOWN else Table(columns, lines, caption=title, kind="register")]


def _made(given: RadiomicsInput) -> Section:
    blocks: list[Block] = []
    if given.settings:
        blocks.append(Facts([(label, wording.sentence(text)) for label, text in given.settings]))
    else:
        text = (
            "How these features were made is not known: there is no record beside the table "
            "(fiducial features writes one)."
        )
        blocks.append(Text(text, "missing"))
    return Section("made", "How the features were made", blocks)


def _evidence(given: RadiomicsInput) -> Section | None:
    """The evidence rows that the sheets name."""
    from fiducial.report.page import evidence_digest

    audit = given.audits.get(given.evidence_of)
    if audit is None:
        return None
    section = provenance.evidence(rows.numbered(audit.evidence), evidence_digest(audit.evidence))
    title = f"Evidence: {radiomics_words.model(given.evidence_of).lower()}"
    return Section(section.key, title, section.blocks, section.lead)
