"""The flow and its command: what a study needs is kept, and the message says what must not be sent."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from fiducial.cli.main import run
from fiducial.errors import InputRefused
from fiducial.flows import DeidentifyOptions, deidentify, ingest
from fiducial.flows.deidentify import with_study
from fiducial.phantom.hospital import make_patients, write_hospital

STUDY = """
[study]
name = "x"
intended_use = "x"

[data]
cohort = "cohort"
attributes = [{attributes}]

[task]
kind = "classification"
targets = ["malignant"]

[train]
minutes = 1
"""


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    """Two patients of the phantom hospital, as DICOM."""
    root = tmp_path_factory.mktemp("hospital")
    write_hospital(make_patients(2, seed=3), root / "dicom", workers=1)
    return root / "dicom"


def files_of(hospital: Path) -> list[Path]:
    """Its DICOM files, which carry no suffix."""
    return sorted(path for path in hospital.rglob("*") if path.is_file() and b"DICM" in path.read_bytes()[:132])


@pytest.mark.parametrize(
    ("attributes", "codes"),
    [
        ([], set()),
        (["site", "kernel"], set()),
        (["sex"], {"113108"}),
        (["age_band", "scanner"], {"113108", "113109"}),
        (["scanner"], {"113109"}),
    ],
)
def test_a_study_keeps_what_its_attributes_need(attributes: list[str], codes: set[str], tmp_path: Path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(attributes=", ".join(f'"{name}"' for name in attributes)))
    assert set(with_study(DeidentifyOptions(), path).codes) - {"113100", "113107"} == codes


def test_the_phantom_hospital_through_the_command(hospital: Path, tmp_path: Path, capsys):
    assert run(["deidentify", str(hospital), "--out", str(tmp_path / "out"), "--workers", "1", "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n_subjects"] == 2
    assert said["n_written"] == said["n_files"] - sum(said["refused"].values()) - sum(said["set_aside"].values())
    assert "not proven absent" in said["burned_in_text"]
    assert said["codes"].keys() == {"113100", "113107"}
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files_of(hospital)]
    names = {str(value) for ds in headers for value in (ds.PatientID, *str(ds.PatientName).split("^")) if value}
    assert len(names) >= 2
    for path in Path(said["send"]).rglob("*.dcm"):
        content = path.read_bytes()
        assert not [name for name in names if name.encode() in content]


def test_the_text_tells_what_may_be_sent_and_what_must_not(hospital: Path, tmp_path: Path, capsys):
    one = files_of(hospital)[0]
    assert run(["deidentify", str(one), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"May be sent: {tmp_path}/out/send" in said
    assert f"Must not be sent, holds names and the key: {tmp_path}/out/private" in said
    assert "burned-in text is not proven absent" in said
    assert one.name not in said


def test_the_key_of_a_cohort_calls_subjects_as_the_cohort_does(hospital: Path, tmp_path: Path):
    source = files_of(hospital)[0].parent
    made = ingest(source, tmp_path / "cohort", workers=1)
    new = deidentify(source, tmp_path / "out", key_of=tmp_path / "cohort", workers=1)
    again = ingest(new.send, tmp_path / "again", workers=1)
    assert (made.n_subjects, made.n_images) == (again.n_subjects, again.n_images)
    subjects = json.loads((tmp_path / "cohort" / "private" / "subjects.json").read_text())
    assert {path.name for path in new.send.iterdir()} == set(subjects.values())
    with pytest.raises(InputRefused, match="no key in it"):
        deidentify(hospital, tmp_path / "other", key_of=tmp_path / "absent")


def test_refusals_of_the_command(tmp_path: Path, capsys):
    assert run(["deidentify", str(tmp_path / "absent"), "--out", str(tmp_path / "out")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(["deidentify", str(tmp_path), "--out", str(tmp_path / "out"), "--dates", "none"]) == 2
