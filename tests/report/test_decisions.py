"""The sections on decisions, sites and time, and the reference: words, figures and tables from real evidence."""

from __future__ import annotations

import html
import re

import pytest

from fiducial.audit import AuditSettings, audit, vendor_input
from fiducial.phantom.tables import draw_table
from fiducial.report import ReportInput, render


@pytest.fixture(scope="module")
def page() -> str:
    frame = draw_table(1200, seed=1, defect="label_noise", size=0.05, extra=("raters",))
    found = audit(vendor_input(frame, settings=AuditSettings(n_replicates=50)))
    return html.unescape(render(ReportInput(title="Planted", evidence=found.evidence, curves=found.curves)))


def section(text: str, key: str) -> str:
    found = re.search(rf'<section id="{key}".*?</section>', text, flags=re.DOTALL)
    assert found, key
    return " ".join(re.sub(r"<[^>]+>", " ", found.group(0)).split())


def test_net_benefit_is_told_as_patients(page: str) -> None:
    text = section(page, "decisions")
    assert "one false alarm weighs as much as 1.0 missed patients" in text
    assert "of every 100 patients without a false alarm" in text
    assert "act on nobody" in text
    assert "n = 800" in text.replace("\u202f", "")
    assert "Patients that the next validation needs" in text


def test_sites_and_time_have_their_figures_and_a_sentence_on_the_next_hospital(page: str) -> None:
    text = section(page, "sites-and-time")
    assert "at a hospital that is not in the table is expected between" in text
    assert "A new site" in text
    assert "2023-01" in text
    assert "Change a year" in text


def test_suspects_and_raters_are_listed(page: str) -> None:
    text = section(page, "quality")
    assert "as if about" in text
    assert "20 cases that a person should look at first" in text
    assert "reader D (n = 800)" in text
    assert "Fleiss’ kappa" in text
    assert "No two images have equal values" in text


def test_figures_have_titles_for_those_who_cannot_see_them(page: str) -> None:
    titles = re.findall(r'<title id="[^"]+">([^<]+)</title>', page)
    for wanted in ("Decision curve, malignant", "AUC by site, malignant", "Over time, malignant"):
        assert wanted in titles
    assert "Readers and model, malignant" in titles


def test_there_is_no_section_without_evidence() -> None:
    frame = draw_table(120, seed=0)[["subject", "image", "target", "value", "truth"]]
    found = audit(vendor_input(frame, settings=AuditSettings(n_replicates=20)))
    text = render(ReportInput(title="Bare", evidence=found.evidence, curves=found.curves))
    assert 'id="sites-and-time"' not in text
    assert 'id="decisions"' in text
