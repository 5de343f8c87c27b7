"""Pages in a real browser: no overflow, no request, no message on the console, at both widths."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from fiducial.report import RadiomicsInput, ReportInput, index_entry, index_page, write_radiomics, write_report

pytestmark = pytest.mark.browser
Make = Callable[..., ReportInput]


@pytest.fixture(scope="module")
def screenshots(root: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location("screenshots", root / "tools" / "screenshots.py")
    if found is None or found.loader is None:
        pytest.skip("tools/screenshots.py is not here")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_reports_fit_at_both_widths(
    tmp_path: Path, chromium: str, screenshots: ModuleType, make_classification: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIDUCIAL_CHROMIUM", chromium)
    long = "an-attribute-without-any-space-" * 8
    given = make_classification(title=long, data_name=long, notes=[long], run={long: long})
    index = tmp_path / "index.html"
    index.write_text(index_page([index_entry(given, "report.html", long)], title=long), encoding="utf-8")
    found = screenshots.photograph([write_report(given, tmp_path / "report.html"), index], tmp_path / "out", pdf=False)
    assert len(found) == 4
    assert not any(found.values()), found
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


def test_faults_are_seen(
    tmp_path: Path, chromium: str, screenshots: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIDUCIAL_CHROMIUM", chromium)
    page = tmp_path / "bad.html"
    page.write_text(
        '<div style="width:3000px">wide</div><img src="http://example.invalid/a.png"><script>console.log("x")</script>',
        encoding="utf-8",
    )
    (problems, _) = screenshots.photograph([page], tmp_path / "out", pdf=False).values()
    text = " ".join(problems)
    for part in ("pixels wider than the window", "asks for http://example.invalid/a.png", "console log", "script"):
        assert part in text


def test_a_page_of_features_fits_at_both_widths(
    tmp_path: Path, chromium: str, screenshots: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIDUCIAL_CHROMIUM", chromium)
    long = "a-name-without-any-space-" * 8
    key = {"family": long, "feature": long, "aggregation": long, "filter": long, "ibsi_code": "QCFX"}
    value = {"n": 9, "n_missing": 1, "reasons": [(long, 1)], "quantiles": [-1e300, 0, 1, 2, 1e300], "histogram": [8, 1]}
    icc = {"icc_1_1": 0.8, "icc_1_1_low": 0.7, "icc_1_1_high": 0.9, "level": 0.95, "graded_by": "icc_1_1"}
    repeats = {"grade": "moderate", "n_subjects": 9, "n_regions": 9, "n_repeats": 3, "repeats": "rater", "reason": long}
    given = RadiomicsInput(
        title=long,
        counts=[("Patients", 9), ("Regions", 9), ("Features", 1)],
        settings=[(long, long)],
        set_aside=[(long, long)],
        features=[{**key, **value, "consensus": False, "constant": False}],
        stability=[{**key, **icc, **repeats}],
        signature=[
            {**key, "chosen": 1, "share": 0.9, "selected": 0.5, "coefficient": 1, "low": 0, "high": 2, "reason": ""}
        ],
        notes=[long],
    )
    found = screenshots.photograph([write_radiomics(given, tmp_path / "features.html")], tmp_path / "out", pdf=False)
    assert not any(found.values()), found
