"""The page of an ingest: every refusal with its reason, a picture of each series, nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fiducial.flows import ingest
from fiducial.report import IngestInput, render_ingest

HOSTILE = "<script>alert(1)</script>.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one that is none, and one whose name is markup."""
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(source / name)
    (source / "broken.png").write_bytes(b"\x89PNG and no more")
    return source


def test_the_page_names_what_was_refused_and_shows_the_rest(folder: Path, tmp_path: Path) -> None:
    made = ingest(folder, tmp_path / "cohort", workers=1)
    assert made.page == tmp_path / "cohort" / "ingest.html"
    page = made.page.read_text()
    assert "3 of 4 series and files are in the cohort." in page
    assert "broken.png" in page
    (code,) = made.reasons
    assert f"{code}: " in page
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 3
    assert "50 x 40 x 1 voxels" in page
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_of_a_large_cohort_pictures_are_chosen_evenly(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys.modules["fiducial.flows.ingest"], "MOST_PICTURES", 2)
    page = ingest(folder, tmp_path / "cohort", workers=1).page.read_text()
    assert len(re.findall("<img ", page)) == 2
    assert "2 of 3 images, evenly chosen" in page
    assert ">a<" in page
    assert ">c<" in page


def test_names_are_text_and_never_markup() -> None:
    row = {
        "series": "",
        "source": HOSTILE,
        "n_files": 1,
        "modality": "<b>CT</b>",
        "status": "rejected",
        "reason": "truncated: <i>",
        "action": "send it again",
    }
    given = IngestInput("<u>", 0, 0, 0, [row] * 501, {}, unmatched=["<x>"] * 51, notes=["<y>"], failed=["<z>"])
    page = render_ingest(given)
    assert HOSTILE not in page
    assert not re.search("<(script|i|b|u|x|y|z)>", page)
    assert "&lt;x&gt; and 1 more" in page
    assert "1 more are in ingest.json" in page


def test_the_same_ingest_gives_the_same_page(folder: Path, tmp_path: Path) -> None:
    pages = [ingest(folder, tmp_path / name / "cohort", workers=n).page.read_text() for name, n in (("x", 1), ("y", 2))]
    assert pages[0] == pages[1]
