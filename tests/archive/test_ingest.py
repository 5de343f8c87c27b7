"""From a hospital's folder or zip to cohort rows, and nothing that names a patient outside `private/`."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest

from fiducial.archive import Pseudonyms, ingest_dicom, private_key, read_image, read_mask, read_subjects
from fiducial.archive.dicom import DicomHeader, write_series
from fiducial.archive.pseudonym import Redactor
from fiducial.archive.rtstruct import write_rtstruct
from fiducial.errors import IntegrityError, UnreadableFile
from fiducial.records.image import Geometry, Image
from fiducial.records.tables import COHORT, table

KEY = b"a key of thirty-two bytes, no le"


@pytest.fixture
def hospital(tmp_path: Path, ct: Image, header: DicomHeader, make_ct: Callable[..., list[Path]]) -> Path:
    """One patient's CT in a folder of the patient's name, with two structures; a letter; a damaged file."""
    root = tmp_path / "source"
    folder = root / "UNVERWECHSELBAR_Amalia" / f"{header.patient_id} {header.study_date}" / header.study_uid
    make_ct(folder / "ct")
    masks = {"GTV": ct.array[0] > 300, "Amalia hot spot": ct.array[0] > 600}
    write_rtstruct(masks, folder / "rs.dcm", reference=header.reference(ct.geometry, "CT"), header=header)
    (root / f"letter {header.patient_id}.txt").write_text("Dear colleague")
    return root


def identifiers(header: DicomHeader) -> list[str]:
    raw = ["Unverwechselbar", "Amalia", header.patient_id, "19560317", "20240511", "101530", "ACC99812", "Elsewhere"]
    return [*raw, header.study_uid, header.series_uid("CT"), header.frame_uid]


def test_image_masks_and_rows(hospital: Path, ct: Image, header: DicomHeader, tmp_path: Path) -> None:
    made = ingest_dicom(hospital, tmp_path / "cohort", key=KEY, workers=1)
    image, gtv, spot = made.rows
    assert [row["role"] for row in made.rows] == ["image", "mask", "mask"]
    assert (image["modality"], image["unit"], image["site"], image["sex"], image["age"]) == (
        "CT",
        "HU",
        "north",
        "F",
        68,
    )
    assert (image["scanner"], image["kernel"], image["kvp"]) == ("Phantom Works PW-1", "B30f", 120)
    assert (gtv["of"], gtv["structure"], gtv["mask_value"], gtv["modality"]) == (image["image"], "GTV", 1, "RTSTRUCT")
    assert {row["subject"] for row in made.rows} == {Pseudonyms(KEY).subject(header.patient_id)}
    read = read_image(tmp_path / "cohort" / image["path"])
    np.testing.assert_array_equal(read.array, ct.array)
    np.testing.assert_allclose(read.geometry.affine, ct.geometry.affine, atol=1e-5)
    assert (read.modality, read.unit) == ("CT", "HU")
    for row, above in ((gtv, 300), (spot, 600)):
        mask = read_mask(tmp_path / "cohort" / row["path"], label=row["mask_value"])
        np.testing.assert_array_equal(mask.array, ct.array > above)
        mask.geometry.require_match(read.geometry)
    assert len(table([dict(row) for row in made.rows], COHORT)) == 3


def test_report_has_one_row_for_each_thing_found(hospital: Path, tmp_path: Path) -> None:
    made = ingest_dicom(hospital, tmp_path / "cohort", key=KEY, workers=1)
    assert [(row.modality, row.status, row.n_files) for row in made.report] == [
        ("", "rejected", 1),
        ("CT", "accepted", 5),
        ("RTSTRUCT", "accepted", 1),
        ("RTSTRUCT", "accepted", 1),
    ]
    letter = made.report[0]
    assert letter.source == f"letter {made.rows[0]['subject']}.txt"
    assert letter.reason == "not-dicom: no DICM at byte 128"
    assert all(not Path(row.source).is_absolute() for row in made.report)


def test_nothing_that_names_the_patient_leaves_private(
    hospital: Path, header: DicomHeader, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cohort"
    made = ingest_dicom(hospital, out, key=KEY, workers=1)
    seen = repr(made.rows) + repr(made.report) + repr(made)
    captured = capfd.readouterr()
    seen += captured.out + captured.err
    for path in out.rglob("*"):
        if path.is_file() and "private" not in path.relative_to(out).parts:
            seen += path.name + (read_bytes(path)).decode("latin-1")
    for secret in identifiers(header):
        assert secret.lower() not in seen.lower(), secret
    private = (out / "private" / "manifest.json").read_text()
    assert header.patient_id in private
    assert "UNVERWECHSELBAR_Amalia" in private


def read_bytes(path: Path) -> bytes:
    import gzip

    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_private_folder_is_for_its_owner_alone(hospital: Path, header: DicomHeader, tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    made = ingest_dicom(hospital, out, key=private_key(out), workers=1)
    assert (out / "private").stat().st_mode & 0o077 == 0
    assert {path.stat().st_mode & 0o077 for path in (out / "private").iterdir()} == {0}
    assert read_subjects(out) == made.subjects == {header.patient_id: made.rows[0]["subject"]}
    assert read_subjects(tmp_path) == {}


def test_zip_gives_what_its_folder_gives(hospital: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for path in hospital.rglob("*"):
            archive.write(path, path.relative_to(hospital))
    folder = ingest_dicom(hospital, tmp_path / "a", key=KEY, workers=1)
    zipped = ingest_dicom(tmp_path / "export.zip", tmp_path / "b", key=KEY, workers=1)
    assert repr(zipped.rows) == repr(folder.rows)
    assert zipped.report == folder.report
    assert {path.name for path in (tmp_path / "b" / "private").iterdir()} == {
        "failures.json",
        "manifest.json",
        "subjects.json",
    }


def test_refused_zip_leaves_no_identifier(hospital: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        for path in hospital.rglob("*"):
            archive.write(path, path.relative_to(hospital))
    cut = (tmp_path / "bad.zip").read_bytes()[:-40]
    (tmp_path / "bad.zip").write_bytes(cut)
    with pytest.raises(UnreadableFile, match="zip-unreadable"):
        ingest_dicom(tmp_path / "bad.zip", tmp_path / "cohort", key=KEY, workers=1)
    assert [path for path in (tmp_path / "cohort").rglob("*") if path.is_file()] == []


def test_worker_processes_give_the_same(hospital: Path, tmp_path: Path) -> None:
    one = ingest_dicom(hospital, tmp_path / "a", key=KEY, workers=1)
    two = ingest_dicom(hospital, tmp_path / "b", key=KEY, workers=2)
    assert repr(one.rows) == repr(two.rows)
    assert one.report == two.report
    for row in one.rows:
        assert (tmp_path / "a" / row["path"]).read_bytes() == (tmp_path / "b" / row["path"]).read_bytes()


def test_structure_names_may_hold_the_patients_name(hospital: Path, tmp_path: Path) -> None:
    made = ingest_dicom(hospital, tmp_path / "cohort", key=KEY, workers=1)
    assert made.rows[2]["structure"] == "patient hot spot"
    assert made.rows[2]["image"].endswith("-patient-hot-spot")


def test_two_series_of_one_study_share_visit_and_exam(ct: Image, header: DicomHeader, tmp_path: Path) -> None:
    write_series(ct, tmp_path / "s" / "1", header)
    write_series(ct, tmp_path / "s" / "2", replace(header, series_number=2))
    write_series(ct, tmp_path / "s" / "3", replace(header, study_date="20250101"))
    rows = pd.DataFrame(ingest_dicom(tmp_path / "s", tmp_path / "c", key=KEY, workers=1).rows)
    assert (rows["image"].nunique(), rows["visit"].nunique(), rows["exam"].nunique(), rows["subject"].nunique()) == (
        3,
        2,
        2,
        1,
    )


@pytest.mark.parametrize(
    ("age", "birth", "years"),
    [
        ("068Y", "", 68),
        ("006M", "", 0.5),
        ("097Y", "", 90),
        ("", "19560512", 67),  # the day before the birthday
        ("", "19560511", 68),
        ("", "19300101", 90),
        ("", "", np.nan),
        ("old", "1956", np.nan),
    ],
)
def test_age(age: str, birth: str, years: float, make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    def change(dataset: pydicom.Dataset, index: int) -> None:
        dataset.add_new("PatientAge", "LO", age)
        dataset.add_new("PatientBirthDate", "LO", birth)

    make_ct(tmp_path / "s", change)
    row = ingest_dicom(tmp_path / "s", tmp_path / "c", key=KEY, workers=1).rows[0]
    np.testing.assert_equal(row["age"], float(years))


def test_institution_becomes_a_pseudonym_where_no_site_is_stated(
    ct: Image, header: DicomHeader, tmp_path: Path
) -> None:
    write_series(ct, tmp_path / "s", replace(header, site=""))
    (row,) = ingest_dicom(tmp_path / "s", tmp_path / "c", key=KEY, workers=1).rows
    assert row["site"] == Pseudonyms(KEY).of("hospital", "Saint Elsewhere")


def test_pseudonyms_depend_on_key_and_kind_and_nothing_else() -> None:
    names = Pseudonyms(KEY)
    assert names.subject("A") == names.subject(" A ") == Pseudonyms(KEY).subject("A")
    assert len({names.subject("A"), names.subject("B"), names.of("study", "A"), Pseudonyms(b"other").subject("A")}) == 4
    assert names.of("study", "") == ""
    assert KEY.decode() not in repr(names)
    assert len({names.subject(str(n)) for n in range(20_000)}) == 20_000


def test_key_is_drawn_once_and_checked(tmp_path: Path) -> None:
    key = private_key(tmp_path)
    assert len(key) == 32
    assert private_key(tmp_path) == key
    assert private_key(tmp_path / "other") != key
    (tmp_path / "private" / "key").write_text("secret")
    with pytest.raises(IntegrityError, match="no pseudonym key"):
        private_key(tmp_path)


def test_redactor_finds_identifiers_but_not_inside_words() -> None:
    redact = Redactor({"7": "p7", "Anna": "pa", "QX-7781-ZW": "pq"})
    assert redact("7/17/x7.dcm") == "p7/17/x7.dcm"
    assert redact("scans/ANNA_ct/Annabel.dcm") == "scans/pa_ct/Annabel.dcm"
    assert redact("aqx-7781-zwb/1.dcm") == "apqb/1.dcm"


def test_ingesting_again_gives_the_same_files(hospital: Path, tmp_path: Path) -> None:
    first = ingest_dicom(hospital, tmp_path / "a", key=KEY, workers=1)
    before = {p.name: p.read_bytes() for p in (tmp_path / "a").rglob("*.nii.gz")}
    assert repr(ingest_dicom(hospital, tmp_path / "a", key=KEY, workers=1).rows) == repr(first.rows)
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").rglob("*.nii.gz")} == before
    assert json.loads((tmp_path / "a" / "private" / "failures.json").read_text()) == []


def test_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no-such-file"):
        ingest_dicom(tmp_path / "nowhere", tmp_path / "out", key=KEY)


def test_header_chunk_whose_worker_died_is_read_file_by_file(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fiducial.compute import Failure, MapResult, map_cases

    module = importlib.import_module("fiducial.archive.dicom.discover")

    def dying(function: Any, cases: dict[str, Any], **options: Any) -> MapResult:
        if function is module.scan:
            return MapResult({}, tuple(Failure(key, "WorkerDied", "killed") for key in cases))
        alone = map_cases(function, cases, workers=1)
        dead = next(key for key in cases if key.endswith("slice-0003.dcm"))
        kept = {key: found for key, found in alone.results.items() if key != dead}
        return MapResult(kept, (Failure(dead, "WorkerDied", "killed"),))

    monkeypatch.setattr(module, "map_cases", dying)
    found = module.discover(hospital, workers=1)
    assert [item.path.name for item in found.refused if item.refusal.given == "unexpected: WorkerDied"] == [
        "slice-0003.dcm"
    ]
    # The file that killed its reader is probably a slice: its series is not taken without it.
    assert str(found.series[0].refusal).startswith("broken-neighbours: 1 unreadable file(s) beside it")


DECODER_THAT_KILLS = """
import os, signal
import pydicom.pixels.decoders.base as base

original = base.Decoder.as_array

def as_array(self, src, **options):
    if src.Rows == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, src, **options)

base.Decoder.as_array = as_array
"""


def test_a_decoder_that_ends_its_process_costs_only_its_own_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worker processes load a decoder that kills them at pictures of 13 rows; one worker was asked for."""
    for number, rows in enumerate((13, 12), start=1):
        voxels = np.arange(8 * rows * 3, dtype=np.int16).reshape(1, 8, rows, 3)
        grid = Geometry(np.diag([-1.0, -1.0, 2.0, 1.0]), (8, rows, 3))
        files = write_series(
            Image(voxels, grid, "CT", "HU"), tmp_path / "source" / str(rows), DicomHeader(f"P{number}")
        )
        for path in files:
            dataset = pydicom.dcmread(path)
            dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
            dataset.save_as(path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DECODER_THAT_KILLS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    made = ingest_dicom(tmp_path / "source", tmp_path / "cohort", key=KEY, workers=1)
    assert [row.reason for row in made.report] == ["", "worker-died: WorkerDied"]
    assert [row["subject"] for row in made.rows] == [Pseudonyms(KEY).subject("P2")]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_a_mediums_directory_is_a_source(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    """The files that a DICOMDIR names are read, without suffix and with old ;1 endings; others beside it are not."""
    medium = tmp_path / "medium"
    (medium / "IMAGES").mkdir(parents=True)
    files = make_ct(tmp_path / "ct")
    records = []
    for index, path in enumerate(files):
        shutil.copy(path, medium / "IMAGES" / f"im{index:04d}")
        record = pydicom.Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["IMAGES", f"IM{index:04d};1"]
        records.append(record)
    (medium / "VIEWER.EXE").write_bytes(b"MZ")
    directory = pydicom.Dataset()
    directory.file_meta = pydicom.dcmread(files[0], stop_before_pixels=True).file_meta
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.DirectoryRecordSequence = records
    directory.save_as(medium / "DICOMDIR", enforce_file_format=True)
    made = ingest_dicom(medium / "DICOMDIR", tmp_path / "cohort", key=KEY, workers=1)
    assert [(row.source, row.n_files, row.reason.partition(":")[0]) for row in made.report] == [
        ("DICOMDIR", 1, "dicomdir"),
        ("IMAGES", 5, ""),
    ]
    (image,) = made.rows
    read_image(tmp_path / "cohort" / image["path"])
