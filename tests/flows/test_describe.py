"""``fiducial describe``: the page, the tables and the lines, on a cohort with planted defects."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from fiducial.archive import write_nifti
from fiducial.cli.described import description_lines
from fiducial.cli.main import run
from fiducial.cohort import ingest
from fiducial.errors import InputRefused
from fiducial.flows import Described, check, describe
from fiducial.records.image import Geometry, Image
from fiducial.report import render_description

SHAPE = (40, 40, 10)
HOSTILE = "<script>alert(1)</script>"


def write_cohort(folder: Path) -> Path:
    """Twenty-four people at two sites, of whom three come again; one scan is noisy, one is a copy, one blank."""
    rng = np.random.default_rng(0)
    x, y = np.mgrid[: SHAPE[0], : SHAPE[1]]
    twin = np.zeros(SHAPE)
    rows = ["image,subject,visit,acquired,site,sex,age,disease,smoker"]
    for i in range(24):
        for visit in range(2 if i in (3, 4, 5) else 1):
            body = np.hypot(x - 20 + rng.normal(), y - 20 + rng.normal()) < 13 + rng.normal()
            plane = ndimage.gaussian_filter(300.0 * body, 1.0)
            sigma = 60.0 if (i, visit) == (7, 0) else 4.0
            voxels = plane[..., None] + rng.normal(0, sigma, SHAPE)
            if i == 9:
                voxels = np.zeros(SHAPE)
            voxels = twin if i == 11 else voxels
            twin = voxels
            name = f"case{i:02}-{visit}"
            grid = Geometry(np.diag([1.0, 1.0, 3.0, 1.0]), SHAPE)
            write_nifti(Image(voxels.astype(np.float32)[None], grid), folder / f"{name}.nii.gz")
            age = 60 + i % 7 - (5 if visit and i == 5 else 0)
            smoker = "" if i % 6 == 0 else "yes" if i % 4 == 0 else "no"
            date = f"202{visit}-03-1{i % 9}"
            rows.append(
                f"{name},p{i:02},v{visit},{date},{'AB'[i % 2]},{'FM'[i % 3 == 0]},{age},{int(i % 5 == 0)},{smoker}"
            )
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("described")
    ingest(write_cohort(folder / "source"), folder / "cohort", workers=1)
    return folder / "cohort"


@pytest.fixture(scope="module")
def made(cohort: Path) -> Described:
    return describe(cohort, site_table=cohort / "sites.csv", workers=1)


def test_what_was_planted_is_found(made: Described, cohort: Path) -> None:
    assert (made.n_subjects, made.n_images, made.n_followed) == (24, 27, 3)
    assert [one["image"] for one in made.outliers][:2] == ["case09-0", "case07-0"]
    assert made.outliers[0]["reasons"][0]["text"] == "every voxel is 0"
    assert any("noise" in reason["text"] for reason in made.outliers[1]["reasons"])
    (copy,) = [copy for copy in made.copies if copy["kind"] == "exact"]
    assert (copy["image_a"], copy["image_b"], copy["same_person"]) == ("case10-0", "case11-0", False)
    assert [(p["image"], p["prior"]) for p in made.pairs] == [(f"case0{i}-1", f"case0{i}-0") for i in (3, 4, 5)]
    assert [(p["subject"], p["kind"]) for p in made.visit_problems] == [("p05", "age-decreases")]
    assert {p["attribute"] for p in made.probes} == {"site"}
    table = pd.read_csv(cohort / "sites.csv")
    assert len(table) == 27
    assert {"image", "batch", "age", "disease", "feature_noise"} <= set(table.columns)
    assert made.leaks == ()
    json.dumps([made.outliers, made.probes, made.batches, made.pairs], default=str)


def test_the_page_shows_it_and_needs_nothing_from_elsewhere(made: Described, cohort: Path) -> None:
    assert made.page == cohort / "description.html"
    page = made.page.read_text()
    for words in (
        "24 subjects with 27 images from 2 sites.",
        "every voxel is 0",
        "one image under two subjects",
        "3 subjects have several visits",
        "The age falls from 65 at visit v0 to 60 at the later visit v1",
        "Share of images that lack a value",
        "Blur of edges",
        "Batches, for harmonisation",
        "No split is stated yet",
    ):
        assert words in page, words
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == len(made.outliers[:12])
    assert "http" not in re.sub(r"http-equiv|http://www.w3.org", "", page)


def test_check_names_outliers_and_visits_and_stays_sound(cohort: Path) -> None:
    found = check(cohort)
    assert found.sound
    assert found.outliers[0]["image"] == "case09-0"
    assert [p["kind"] for p in found.visit_problems] == ["age-decreases"]
    assert len(found.pairs) == 3


def test_a_person_is_told_what_to_know(made: Described) -> None:
    said = "\n".join(description_lines(made))
    assert "24 subjects, 27 images" in said
    assert "3 subjects with several visits" in said
    assert "outlier[/] case09-0: every voxel is 0" in said
    assert "visits[/] of p05: the age falls" in said
    assert "copy[/] case10-0 and case11-0 (exact) of two subjects" in said
    assert "3 images with a prior" in said


def test_the_command_gives_json_and_the_same_page(
    made: Described, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["describe", str(cohort), "--out", str(tmp_path / "d.html"), "--json", "--quiet", "--workers", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_followed"] == 3
    assert told["outliers"][0]["reasons"][0]["z"] is None
    assert (tmp_path / "d.html").read_text() == made.page.read_text()
    assert run(["check", str(cohort), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "3 images with a prior" in said
    assert "outlier case09-0" in said


def test_a_cohort_whose_files_are_gone_is_described_without_pictures(cohort: Path, tmp_path: Path) -> None:
    from fiducial.cohort import load_cohort
    from fiducial.records.tables import COHORT, write_table

    frame = load_cohort(cohort)
    write_table(frame.assign(path=[f"gone-{k}.nii.gz" for k in range(len(frame))]), tmp_path / "cohort.parquet", COHORT)
    made = describe(tmp_path, workers=1)
    assert "case09-0 could not be drawn" in made.notes
    assert "<img " not in made.page.read_text()


def test_few_images_are_not_said_to_stand_in_line(cohort: Path, tmp_path: Path) -> None:
    from fiducial.cohort import load_cohort
    from fiducial.records.tables import COHORT, write_table

    write_table(load_cohort(cohort).iloc[:6], tmp_path / "cohort.parquet", COHORT)
    page = describe(tmp_path, workers=1).page.read_text()
    assert "nothing can be called usual" in page
    assert "from 2 sites" in page


def test_names_are_text_and_never_markup(cohort: Path) -> None:
    from fiducial.cohort import load_cohort
    from fiducial.flows.describe import _find, _input
    from fiducial.records.progress import silent

    frame = load_cohort(cohort)
    frame["site"] = frame["site"].replace("A", HOSTILE)
    frame["sex"] = frame["sex"].replace("F", HOSTILE)
    frame["image"] = frame["image"].str.replace("case09", HOSTILE)
    frame[f"{HOSTILE}"] = "x"
    frame.loc[0, HOSTILE] = ""
    given = _input(_find(frame, silent), {"data_name": HOSTILE, "phantom": True}, [])
    page = render_description(given)
    assert "<script" not in page
    assert "Phantom cohort" in page


def test_another_ending_and_no_cohort_are_refused(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"table.xlsx"):
        describe(cohort, tmp_path / "x.html", site_table=tmp_path / "table.xlsx")
    with pytest.raises(InputRefused, match="no such folder"):
        describe(tmp_path / "absent")
    assert not (tmp_path / "x.html").exists()


def test_a_cohort_of_one_picture_has_a_page(tmp_path: Path) -> None:
    from PIL import Image as Picture

    (tmp_path / "one").mkdir()
    Picture.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)).save(
        tmp_path / "one" / "a.png"
    )
    ingest(tmp_path / "one", tmp_path / "cohort", workers=1)
    made = describe(tmp_path / "cohort", workers=1)
    page = made.page.read_text()
    assert "1 subject with 1 image." in page
    assert "Neither sex nor age is known" in page
    assert "neither labels nor attributes" in page
    assert "fewer than five images of each kind" in page
    assert "of its variance is white noise" in page  # and so it is
    assert made.notes == ("Outliers among (not stated): it takes 20 images to say what is usual; there is 1",)
