"""The demo: the whole way once, on a small hospital and short training."""

from __future__ import annotations

import json
import re

import pytest

from fiducial.cli.main import run
from fiducial.phantom import studies


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A demo of 20 patients whose studies train for some seconds; what it printed, and its folder."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        whole = studies.study_text

        def shortened(name: str) -> str:
            text = re.sub(r"minutes = [\d.]+", "minutes = 0.05", whole(name))
            # With 20 patients, groups of five hardly exist.
            return text.replace("minimum_n = 5", "minimum_n = 2")

        patch.setattr(studies, "study_text", shortened)
        assert run(["demo", "--out", str(out), "--patients", "20", "--quiet"]) == 0
    return out


@pytest.mark.slow
def test_the_index_links_three_reports(shown):
    page = (shown / "index.html").read_text()
    links = re.findall(r'href="([^"#]+\.html)"', page)
    assert len(set(links)) == 3
    assert all((shown / link).is_file() for link in links)


@pytest.mark.slow
def test_all_three_verdicts_are_seen(shown):
    rows = json.loads((shown / "vendor" / "audit" / "evidence.json").read_text())["rows"]
    assert {row["verdict"] for row in rows if row["check"] == "acceptance"} == {"pass", "fail", "inconclusive"}


@pytest.mark.slow
def test_every_report_says_that_its_patients_do_not_exist(shown):
    for path in (shown / "runs").glob("*/report.html"):
        assert "phantom hospital, 20 patients" in path.read_text()
    assert "phantom vendor, 2,000 patients" in (shown / "vendor" / "audit" / "report.html").read_text()


@pytest.mark.slow
def test_a_demo_is_made_again_in_its_own_folder(shown):
    assert (shown / "demo.json").is_file()
    assert (shown / "cohort" / "openings.jsonl").read_text().count("\n") == 2
