"""One self-contained HTML page: no script, no network, no font from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial import RESEARCH_USE
from fiducial.records.chain import chain_of, json_rows
from fiducial.records.files import write_text
from fiducial.report import (
    calibration,
    cases,
    checklists,
    decisions,
    fairness,
    marks,
    performance,
    provenance,
    quality,
    robustness,
    rows,
    subgroups,
    summary,
    uncertainty,
    wording,
)
from fiducial.report.blocks import Section
from fiducial.report.given import IndexEntry, ReportInput
from fiducial.report.rows import Row

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
TEMPLATES = Path(__file__).parent / "templates"


def render(given: ReportInput) -> str:
    """The report as one HTML document.

    The same input gives the same bytes. A section appears where there is evidence for it; where a reader would
    expect one that is absent, its place says why. Names from tables are text, never markup.
    """
    found = rows.numbered(given.evidence)
    digest = evidence_digest(given.evidence)
    parts = sections(given, found, digest)
    n_subjects, n_images = rows.sizes(found)
    facts = {
        "given": given,
        "study": given.study,
        "sections": parts,
        "counts": rows.verdict_counts(found),
        "has_criteria": bool(rows.criteria(found)),
        "headlines": summary.headlines(found),
        "n_subjects": n_subjects,
        "n_images": n_images,
        "digest": digest,
        "identity": identity(given, digest),
    }
    return environment().get_template("report.html.j2").render(**facts)


def sections(given: ReportInput, found: Sequence[Row], digest: str) -> list[Section]:
    """All sections that this report has, in order."""
    candidates = [
        summary.section(given, found),
        performance.discrimination(given, found),
        calibration.section(given, found),
        performance.operating_point(given, found),
        decisions.section(given, found),
        cases.distribution(given, found),
        subgroups.section(given, found),
        fairness.section(given, found),
        decisions.sites_and_time(given, found),
        uncertainty.section(given, found),
        robustness.unfamiliar(given, found),
        robustness.predicted_quality(given, found),
        quality.section(given, found),
        cases.pictures(given),
        cases.training(given),
        provenance.data(given, found),
        provenance.integrity(given, found),
        provenance.model_card(given, found),
        fairness.register(given),
        checklists.section(given),
        provenance.evidence(found, digest),
        provenance.glossary(found),
    ]
    return [section for section in candidates if section is not None]


def write_report(given: ReportInput, path: str | Path) -> Path:
    """Render and write atomically; returns the path."""
    write_text(path, render(given))
    return Path(path)


def document(sections: Sequence[Section | None], *, title: str, kind: str, lead: str) -> str:
    """A page of numbered sections under a title, ``kind`` saying what it is; sections that are None are left out."""
    shown = [section for section in sections if section is not None]
    return environment().get_template("document.html.j2").render(sections=shown, title=title, kind=kind, lead=lead)


def index_page(entries: Sequence[IndexEntry], *, title: str = "Fiducial reports", lead: str = "") -> str:
    """A page that links several reports: a card each, with verdicts, n, a headline figure and a picture."""
    return environment().get_template("index.html.j2").render(entries=entries, title=title, lead=lead)


def index_entry(given: ReportInput, href: str, text: str = "") -> IndexEntry:
    """The card of one report, taken from what the report is made from; ``text`` defaults to the intended use."""
    found = rows.numbered(given.evidence)
    n_subjects, n_images = rows.sizes(found)
    first = next(iter(summary.headlines(found)), None)
    order = {"typical": 0, "best": 1, "worst": 2}
    drawings = [] if given.pictures else performance.roc_drawings(given, found, prefix=f"card-{_slug(href)}-")
    return IndexEntry(
        title=given.title,
        href=href,
        summary=text or (given.study.study.intended_use if given.study is not None else ""),
        verdicts=rows.verdict_counts(found),
        headline=f"{first.label} {first.value} {first.interval}".strip() if first else "",
        n_subjects=n_subjects,
        n_images=n_images,
        picture=min(given.pictures, key=lambda picture: order[picture.kind], default=None),
        drawing=drawings[0].svg if drawings else "",
        phantom=given.phantom,
        data_name=given.data_name,
    )


def _slug(href: str) -> str:
    """A prefix for ids: two cards of one page hold different drawings."""
    return "".join(c for c in href if c.isalnum())


def evidence_digest(evidence: pd.DataFrame) -> str:
    """The head of the evidence's hash chain: what a signature signs, and stands at the end of ``evidence.json``."""
    return chain_of(json_rows(evidence), ()).head


def identity(given: ReportInput, digest: str) -> list[tuple[str, str]]:
    """What this report is about, in pairs, for the head of the page."""
    run = given.run
    pairs = [
        ("Study", given.study.study.name if given.study is not None else "no study file"),
        ("Model", run.get("model") or (run.get("plan") or {}).get("model") or _model_named(given.evidence)),
        ("Data", given.data_name),
        ("Study fingerprint", _short(run.get("fingerprint"))),
        ("Model digest", _short(run.get("model_sha256"))),
        ("Evidence digest", _short(digest)),
        ("Signature", provenance.signed_by(given).rstrip(".")),
        ("Made", wording.moment(str(run.get("created") or ""))),
        ("With", provenance.made_by()),
    ]
    return [(label, wording.anything(value)) for label, value in pairs if not wording.is_missing(value)]


def _model_named(evidence: pd.DataFrame) -> str:
    """The model's name in the evidence, where it has one."""
    return next((str(name) for name in evidence["model"] if name), "")


def _short(digest: Any) -> str:
    text = str(digest or "")
    return f"{text[:12]}…" if len(text) > 16 else text


class _Trusted(str):
    """Markup of this package's own making: Jinja takes it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates with the filters that make names from tables text, and this package's own drawings markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Trusted markup: drawn by this package from numbers, or by Matplotlib, which escapes the names in it.
    environment.filters["svg"] = _Trusted
    environment.filters["mark"] = lambda verdict: _Trusted(marks.mark(str(verdict)))
    environment.filters["png"] = lambda png: "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    environment.filters["count"] = wording.count
    environment.filters["moment"] = wording.moment
    environment.globals.update(
        css=_Trusted((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        policy=POLICY,
        research_use=RESEARCH_USE,
        made_by=provenance.made_by(),
        verdict_words=wording.VERDICT_WORDS,
        criterion_verdicts=wording.CRITERION_VERDICTS,
        plural=wording.plural,
    )
    return environment
