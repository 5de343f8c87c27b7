import csv
import json
from pathlib import Path

import numpy as np
import pytest

from fiducial.archive.dicom import DicomHeader, write_series
from fiducial.cohort import describe, find_leaks, ingest, load_cohort, split_cohort
from fiducial.phantom.hospital import Planting, make_patients, write_hospital
from fiducial.records.image import Geometry, Image
from fiducial.records.split import SplitRule


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hospital")
    write_hospital(make_patients(4, seed=5), out, workers=1)
    return out


def test_a_hospital_becomes_a_cohort_without_a_raw_id_outside_private(hospital: Path, tmp_path: Path) -> None:
    labels = hospital / "labels.csv"
    with labels.open() as file:
        rows = list(csv.DictReader(file))
    extended = tmp_path / "labels.csv"
    extended.write_text(
        labels.read_text() + labels.read_text().splitlines()[-1].replace(rows[-1]["subject"], "RAW-ABSENT") + "\n"
    )
    out = tmp_path / "cohort"
    made = ingest(hospital / "dicom", out, labels=extended, workers=1)
    images = made.cohort[made.cohort["role"] == "image"].set_index("subject")
    masks = made.cohort[made.cohort["role"] == "mask"]
    assert len(images) == len(masks) == 4
    assert set(masks["structure"]) == {"nodule"}
    assert made.unmatched == ["labels.csv row 5: its subject has no image"]
    subjects = json.loads((out / "private" / "subjects.json").read_text())
    for row in rows:
        image = images.loc[subjects[row["subject"]]]
        assert image["malignant"] == int(row["malignant"])
        assert image["site"] == row["site"]
        assert (out / image["path"]).is_file()
        assert len(image["sha256"]) == 64
        assert len(image["signature"]) == 512
    raw = [row["subject"] for row in rows]
    for path in out.rglob("*"):
        if path.is_file() and "private" not in path.parts:
            content = path.read_bytes()
            assert not [name for name in [*raw, "RAW-ABSENT"] if name.encode() in content or name in str(path)]
    assert (out / "private").stat().st_mode & 0o077 == 0
    assert load_cohort(out).equals(made.cohort)
    assert find_leaks(split_cohort(made.cohort, SplitRule())) == []
    assert describe(made.cohort).structures["n_empty"].tolist() == [0]


@pytest.mark.parametrize("how", ["rescan", "exact"])
def test_a_patient_repeated_across_splits_is_found(tmp_path: Path, how: str) -> None:
    write_hospital(
        make_patients(4, seed=2), tmp_path, workers=1, planting=Planting(repeat_across_splits=1, repeat_as=how)
    )
    made = ingest(tmp_path / "dicom", tmp_path / "cohort", labels=tmp_path / "labels.csv", workers=1)
    (leak,) = find_leaks(split_cohort(made.cohort, SplitRule(by="given")))
    assert (leak.kind, leak.split_a, leak.split_b) == ("exact" if how == "exact" else "near", "train", "test")
    names = json.loads((tmp_path / "cohort" / "private" / "subjects.json").read_text())
    (raw,) = [name.removesuffix("-R") for name in names if name.endswith("-R")]
    assert {leak.subject_a, leak.subject_b} == {names[raw], names[f"{raw}-R"]}


def test_dates_by_site_or_none(tmp_path: Path) -> None:
    """One site's visit has its moved date; under the stricter shift no date is told."""
    image = Image(np.zeros((1, 4, 4, 2), np.int16), Geometry(np.diag([-1.0, -1.0, 1.0, 1.0]), (4, 4, 2)), "CT", "HU")
    write_series(image, tmp_path / "in", DicomHeader("P-4711", study_date="20240511", institution="Saint Elsewhere"))
    by_site = ingest(tmp_path / "in", tmp_path / "site").cohort
    by_patient = ingest(tmp_path / "in", tmp_path / "patient", shift="patient").cohort
    assert by_site["acquired"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    assert by_site["acquired"].iloc[0] < "2023-05-14"
    assert (by_patient["acquired"] == "").all()
