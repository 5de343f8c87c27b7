"""The page of an ingest: every refusal with its reason, a picture of each series, nothing from elsewhere."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
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


def test_dicom_pictures_are_shown_as_stored_with_what_their_size_measures(
    tmp_path: Path, dicom_picture: Callable[..., Path]
) -> None:
    pixels = np.full((60, 80), 2000, np.uint16)
    pixels[:20, :20] = 4000  # upper left
    pixels[40:, 60:] = 0
    given = {"ImagerPixelSpacing": [0.2, 0.2], "WindowCenter": 2000, "WindowWidth": 4000}
    dicom_picture(tmp_path / "in" / "a.dcm", pixels, **given)
    dicom_picture(tmp_path / "in" / "b.dcm", pixels, SeriesInstanceUID="2.25.13", BurnedInAnnotation="NO")
    film = np.stack([pixels >> 4] * 6).astype(np.uint8)
    dicom_picture(tmp_path / "in" / "c.dcm", film, "3.1", FrameTime=40, Modality="US", SeriesInstanceUID="2.25.14")
    made = ingest(tmp_path / "in", tmp_path / "cohort", workers=1)
    page = made.page.read_text()
    assert "80 x 60 pixels, 0.2 x 0.2 mm (imager). Window 0 to 4000, as stated." in page
    assert "80 x 60 pixels, size unknown; 6 frames every 40 ms, shown: middle, first and last." in page
    assert "2 pictures do not say whether text is burned into them: look at them" in made.notes
    assert "DX: pixel sizes do not measure the same (1 imager, 1 unknown)" in made.notes
    for encoded in re.findall(r'src="data:image/png;base64,([^"]+)"', page):
        with Image.open(BytesIO(b64decode(encoded))) as picture:
            shown = np.asarray(picture.convert("L"))
        height, width = shown.shape
        large = width if height == width else width * 2 // 3
        top = (height - large * 60 // 80) // 2
        assert shown[top + 8, 8] > 240
        assert shown[-top - 8, large - 8] < 10
