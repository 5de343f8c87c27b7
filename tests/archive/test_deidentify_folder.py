"""A whole folder: what is written, set aside and refused; the same in every run; still good for an ingest."""

from __future__ import annotations

import csv
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fiducial.archive import Pseudonyms, ingest_dicom, private_key, read_image, read_mask
from fiducial.archive.deidentify import Deidentified, Options, deidentify_dicom
from fiducial.archive.deidentify.review import SET_ASIDE
from fiducial.archive.dicom import (
    DicomHeader,
    PetDose,
    find_series,
    read_dicom,
    read_series,
    stack_series,
    write_series,
)
from fiducial.archive.refusal import REFUSALS
from fiducial.archive.rtstruct import read_rtstruct, write_rtstruct
from fiducial.errors import InputRefused, UnreadableFile
from fiducial.records.image import Image

KEY = b"a key of thirty-two bytes, no le"
SECRETS = ("Unverwechselbar", "Amalia", "QX-7781-ZW", "19560317", "ACC99812", "Elsewhere")


def run(source: Path, out: Path, options: Options | None = None, **given: Any) -> Deidentified:
    return deidentify_dicom(source, out, key=KEY, options=options, **({"workers": 1} | given))


def statuses(made: Deidentified) -> dict[str, int]:
    return {status: sum(row.status == status for row in made.rows) for status in {row.status for row in made.rows}}


def first(folder: Path) -> pydicom.Dataset:
    return pydicom.dcmread(sorted(folder.rglob("*.dcm"))[0])


@pytest.fixture
def hospital(make_ct: Callable[..., list[Path]], ct: Image, header: DicomHeader, tmp_path: Path) -> Path:
    """A CT with two structures drawn on it, a second visit, a letter and a damaged file."""
    root = tmp_path / "source"
    make_ct(root / "UNVERWECHSELBAR_Amalia" / "ct")
    masks = {"GTV": ct.array[0] > 300, "Amalia hot spot": ct.array[0] > 600}
    write_rtstruct(masks, root / "rs.dcm", reference=header.reference(ct.geometry, "CT"), header=header)
    make_ct(root / "later", header=replace(header, study_date="20240613", series_number=2, institution="", site=""))
    (root / f"letter {header.patient_id}.txt").write_text("Dear colleague")
    (root / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x02\0\0\0UL\x04\0")
    return root


def test_every_file_has_a_place_or_a_row(hospital: Path, header: DicomHeader, tmp_path: Path) -> None:
    made = run(hospital, tmp_path / "out")
    assert statuses(made) == {"accepted": 3, "refused": 2}
    subject = Pseudonyms(KEY).subject(header.patient_id)
    files = sorted(made.send.rglob("*"))
    assert sum(path.is_file() for path in files) == sum(row.n_written for row in made.rows) == 11
    assert [path.name for path in made.send.iterdir()] == [subject]
    assert all(path.suffix == ".dcm" for path in files if path.is_file())
    said = json.loads(made.report.read_text())
    assert said["total"] | {"n_bytes": 0} == {
        "n_files": 13,
        "n_written": 11,
        "n_set_aside": 0,
        "n_refused": 2,
        "n_copies": 0,
        "n_said_no_text": 0,
        "n_bytes": 0,
        "n_subjects": 1,
    }
    assert "burned-in text is not proven absent" in said["burned_in_text"]
    assert said["codes"].keys() == {"113100", "113107"}
    assert said["refused"].keys() <= REFUSALS.keys()
    with made.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == [row.status for row in made.rows]
    # What is not below private/ names nobody: neither contents nor names of files.
    for path in (tmp_path / "out").rglob("*"):
        if "private" not in path.parts and path.is_file():
            for secret in SECRETS:
                assert secret.lower() not in str(path.relative_to(tmp_path)).lower()
                assert path.suffix == ".dcm" or secret not in path.read_text()
    with (tmp_path / "out" / "private" / "not_written.csv").open(newline="") as file:
        left = {row["file"]: row for row in csv.DictReader(file)}
    assert sorted(row["source"] for row in left.values()) == ["broken.dcm", f"letter {header.patient_id}.txt"]
    refused = [row for row in made.rows if row.file]
    assert [f"{left[row.file]['code']}: {left[row.file]['found']}" for row in refused] == [r.reason for r in refused]
    assert (tmp_path / "out" / "private").stat().st_mode & 0o077 == 0


def test_intervals_of_a_patient_stay(hospital: Path, tmp_path: Path) -> None:
    """The second visit names no institution: it takes the patient's shift all the same."""
    for shift in ("site", "patient"):
        made = run(hospital, tmp_path / shift, Options(shift=shift))
        days = sorted({pydicom.dcmread(path).StudyDate for path in made.send.rglob("*.dcm")})
        one, two = (date.fromisoformat(day) for day in days)
        assert (two - one).days == (date(2024, 6, 13) - date(2024, 5, 11)).days == 33
        assert (date(2024, 5, 11) - one).days % 7 == 0 or shift == "patient"


def test_a_later_run_keeps_the_shift_of_a_patient(
    make_ct: Callable[..., list[Path]], header: DicomHeader, tmp_path: Path
) -> None:
    """A later delivery in which another hospital is the commoner one, into the same folder."""
    make_ct(tmp_path / "a" / "1")
    run(tmp_path / "a", tmp_path / "out")
    for k in (2, 3):
        make_ct(tmp_path / "b" / str(k), header=replace(header, site="south", study_date="20240613", series_number=k))
    made = run(tmp_path / "b", tmp_path / "out")
    days = {pydicom.dcmread(path).StudyDate for path in made.send.rglob("*.dcm")}
    one, two = sorted(date.fromisoformat(day) for day in days)
    assert (two - one).days == 33


def test_the_ingest_of_both_gives_the_same_voxels_and_masks(hospital: Path, ct: Image, tmp_path: Path) -> None:
    made = run(hospital, tmp_path / "out", Options(clean_descriptors=True, patient_characteristics=True))
    raw = ingest_dicom(hospital, tmp_path / "raw", key=KEY, workers=1).rows
    new = ingest_dicom(made.send, tmp_path / "new", key=KEY, workers=1).rows
    assert len(raw) == len(new) == 4
    assert {row["subject"] for row in new} == {Pseudonyms(KEY).subject(Pseudonyms(KEY).subject("QX-7781-ZW"))}
    for row in (row for row in new if row["role"] == "image"):
        image = read_image(tmp_path / "new" / row["path"])
        np.testing.assert_array_equal(image.array, ct.array)
        np.testing.assert_allclose(image.geometry.affine, ct.geometry.affine, atol=1e-5)
        assert (row["scanner"], row["kernel"], row["sex"], row["age"]) == ("Phantom Works PW-1", "B30f", "F", 68)
    masks = {row["structure"]: read_mask(tmp_path / "new" / row["path"]) for row in new if row["role"] == "mask"}
    assert set(masks) == {"GTV", "structure_2"}  # neither "hot" nor "spot" is a term of anatomy
    np.testing.assert_array_equal(masks["GTV"].array, ct.array > 300)


def test_structures_still_find_their_series(hospital: Path, ct: Image, tmp_path: Path) -> None:
    """Under the basic profile the names of structures go; contours and references stay."""
    made = run(hospital, tmp_path / "out")
    (structures,) = [p for p in made.send.rglob("*.dcm") if pydicom.dcmread(p).Modality == "RTSTRUCT"]
    wanted = pydicom.dcmread(structures).ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    uid = wanted.RTReferencedSeriesSequence[0].SeriesInstanceUID
    (series,) = [one for one in find_series(made.send) if one.series_uid == uid]
    masks = read_rtstruct(structures, stack_series(series).reference)
    assert set(masks) == {"structure_1", "structure_2"}
    np.testing.assert_array_equal(masks["structure_1"], ct.array[0] > 300)


def test_subjects_are_called_as_an_ingest_with_the_same_key_calls_them(hospital: Path, tmp_path: Path) -> None:
    raw = ingest_dicom(hospital, tmp_path / "raw", key=private_key(tmp_path / "raw"), workers=1)
    made = deidentify_dicom(hospital, tmp_path / "out", key=private_key(tmp_path / "raw"), workers=1)
    assert {row["subject"] for row in raw.rows} == {row.subject for row in made.rows} - {""}
    assert {row["acquired"] for row in raw.rows} == {
        date.fromisoformat(pydicom.dcmread(p).StudyDate).isoformat() for p in made.send.rglob("*.dcm")
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.dcm")}


def test_runs_agree_and_a_key_makes_the_difference(hospital: Path, tmp_path: Path) -> None:
    one, two = run(hospital, tmp_path / "one"), run(hospital, tmp_path / "two", workers=2)
    assert contents(one.send) == contents(two.send)
    assert [replace(row, file="") for row in one.rows] == [replace(row, file="") for row in two.rows]
    other = deidentify_dicom(hospital, tmp_path / "three", key=KEY[::-1], workers=1)
    assert not contents(one.send).keys() & contents(other.send).keys()
    uids = json.loads((tmp_path / "one" / "private" / "uids.json").read_text())
    assert all(Pseudonyms(KEY).uid(raw) == new for raw, new in uids.items())
    assert len(uids) > 11


def test_a_run_goes_on_where_it_stopped(hospital: Path, tmp_path: Path) -> None:
    made = run(hospital, tmp_path / "out")
    whole = contents(made.send)
    ages = {path: path.stat().st_mtime_ns for path in made.send.rglob("*.dcm")}
    lost, torn, *_ = sorted(ages)
    lost.unlink()
    torn.write_bytes(b"")  # as a power cut leaves a file
    again = run(hospital, tmp_path / "out")
    assert contents(again.send) == whole
    assert {path for path in ages if path.stat().st_mtime_ns != ages[path]} == {lost, torn}
    assert again.rows == made.rows


def test_a_changed_source_is_cleaned_again(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    files = make_ct(tmp_path / "in")
    made = run(tmp_path / "in", tmp_path / "out")
    ds = pydicom.dcmread(files[2])
    ds.KVP = "100"
    ds.save_as(files[2])
    assert made.rows[0].n_written == 5
    run(tmp_path / "in", tmp_path / "out")
    assert sorted(pydicom.dcmread(path).KVP for path in made.send.rglob("*.dcm")) == [100, 120, 120, 120, 120]


def test_a_folder_of_other_options_or_another_key_is_refused(hospital: Path, tmp_path: Path) -> None:
    run(hospital, tmp_path / "out")
    with pytest.raises(InputRefused, match="other options"):
        run(hospital, tmp_path / "out", Options(dates="full"))
    with pytest.raises(InputRefused, match="another key"):
        deidentify_dicom(hospital, tmp_path / "out", key=KEY[::-1], workers=1)
    (tmp_path / "taken" / "send").mkdir(parents=True)
    with pytest.raises(InputRefused, match="unknown origin"):
        run(hospital, tmp_path / "taken")
    with pytest.raises(InputRefused, match="inside the source"):
        run(hospital, hospital / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFile, match="no-files"):
        run(tmp_path / "empty", tmp_path / "e")
    with pytest.raises(UnreadableFile, match="no-such-file"):
        run(tmp_path / "absent", tmp_path / "e")


def test_a_zip_is_read_and_leaves_nothing_behind(hospital: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in hospital.rglob("*"):
            archive.write(path, path.relative_to(hospital))
    made = run(tmp_path / "in.zip", tmp_path / "out")
    assert contents(made.send) == contents(run(hospital, tmp_path / "other").send)
    assert not [path for path in (tmp_path / "out" / "private").iterdir() if path.is_dir()]


ASIDE = {
    "burned-in-annotation": {"BurnedInAnnotation": "YES"},
    "burned-in-unstated": {"Modality": "US"},
    "screen-capture": {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
    "slide-label": {"Modality": "SM", "ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]},
    "structured-report": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"},
    "presentation-state": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"},
    "encapsulated-document": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"},
    "voice-recording": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.9.4.1"},
    "overlay-in-pixels": {"OverlayBitPosition": 12},
    "identifier-left": {"RedPaletteColorLookupTableData": b"Unverwechselbar\0"},
}


@pytest.mark.parametrize("code", ASIDE)
def test_what_a_person_must_look_at_is_set_aside(code: str, make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    """One file of a series says so: the series waits where the header says it, the file where its contents do."""

    def edit(ds: pydicom.Dataset, index: int) -> None:
        for keyword, value in ASIDE[code].items():
            if index == 3 and keyword == "OverlayBitPosition":
                ds.add_new(0x60000102, "US", value)
            elif index == 3 and isinstance(value, bytes):
                ds.add_new(0x00281201, "OW", value)
            elif index == 3:
                setattr(ds, keyword, value)

    make_ct(tmp_path / "in" / "aside", edit)
    made = run(tmp_path / "in", tmp_path / "out")
    (row,) = made.rows
    assert row.reason.startswith(f"{code}: ")
    assert row.action == SET_ASIDE[code]
    assert not any(secret in repr(row) for secret in SECRETS)
    alone = code in ("overlay-in-pixels", "identifier-left")
    assert (row.status, row.n_written) == (("partly", 4) if alone else ("set aside", 0))
    assert len(contents(made.send)) == row.n_written
    assert row.codes == {"set aside": {code: row.n_set_aside}}
    with (tmp_path / "out" / "private" / "not_written.csv").open(newline="") as file:
        left = list(csv.DictReader(file))
    assert {(one["series"], one["status"], one["code"]) for one in left} == {(row.series, "set aside", code)}
    assert len(left) == row.n_set_aside
    assert not alone or left[0]["source"] == "aside/slice-0004.dcm"


@pytest.mark.parametrize(
    ("sop_class", "modality", "passed"),
    [
        ("1.2.840.10008.5.1.4.1.1.6.1", "US", False),
        ("1.2.840.10008.5.1.4.1.1.3.1", "US", False),
        ("1.2.840.10008.5.1.4.1.1.7", "OT", False),
        ("1.2.840.10008.5.1.4.1.1.7.4", "SC", False),
        ("1.2.840.10008.5.1.4.1.1.1.1", "DX", False),
        ("1.2.840.10008.5.1.4.1.1.1", "CR", True),
        ("1.2.840.10008.5.1.4.1.1.2", "CT", True),
    ],
)
def test_who_must_say_that_no_text_is_burned_in(
    sop_class: str, modality: str, passed: bool, make_ct: Callable[..., list[Path]], tmp_path: Path
) -> None:
    for stated in ("", "NO"):

        def edit(ds: pydicom.Dataset, _: int, stated: str = stated) -> None:
            ds.SOPClassUID, ds.Modality = sop_class, modality
            if stated:
                ds.BurnedInAnnotation = stated

        make_ct(tmp_path / f"in{stated}", edit)
        (row,) = run(tmp_path / f"in{stated}", tmp_path / f"out{stated}").rows
        assert row.n_written == (5 if passed or stated else 0)
        assert row.n_said_no_text == (5 if stated else 0)


def test_copies_and_conflicts(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    files = make_ct(tmp_path / "in")
    (tmp_path / "in" / "copy.dcm").write_bytes(files[1].read_bytes())
    ds = pydicom.dcmread(files[1])
    ds.KVP = "100"
    ds.save_as(tmp_path / "in" / "z-conflict.dcm")
    (row,) = run(tmp_path / "in", tmp_path / "out").rows
    assert (row.n_files, row.n_written, row.n_copies, row.n_refused, row.status) == (7, 5, 1, 1, "partly")
    assert row.reason == "conflicting-copies: one SOPInstanceUID stands for different contents"


def test_a_patient_without_an_id_is_nobody_else(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    def nameless(ds: pydicom.Dataset, index: int) -> None:
        del ds.PatientID
        ds.StudyInstanceUID = "1.2.3.400" if index < 2 else "1.2.3.500"

    make_ct(tmp_path / "in", nameless)
    made = run(tmp_path / "in", tmp_path / "out")
    subjects = {row.subject for row in made.rows}
    assert len(subjects) == 2
    assert {pydicom.dcmread(path).PatientID for path in made.send.rglob("*.dcm")} == subjects


def test_suv_is_computed_before_the_weight_goes(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def windowed(ds: pydicom.Dataset, _: int) -> None:
        ds.WindowCenter, ds.WindowWidth = [20000, 10000], [40000, 20000]

    source = make_pet(tmp_path / "in", windowed)
    raw = read_dicom(tmp_path / "in")
    for name, options in {
        "default": Options(),
        "dates": Options(dates="removed", patient_characteristics=True),
        "weight": Options(patient_characteristics=True),
    }.items():
        made = run(tmp_path / "in", tmp_path / name, options)
        new = read_dicom(made.send)
        assert new.unit == raw.unit == "SUV"
        np.testing.assert_allclose(new.array, raw.array, rtol=2e-7 if name == "weight" else 1e-6)
        ds = first(made.send)
        assert (ds.Units == "BQML") == (name == "weight")
        assert ("PatientWeight" in ds) == (name != "default")
        if name != "weight":
            before = pydicom.dcmread(source[0])
            factor = ds.WindowWidth[0] / before.WindowWidth[0]
            assert ds.WindowCenter[1] == pytest.approx(before.WindowCenter[1] * factor)
            assert ds.SUVType == "BW"
            assert made.rows[0].note.startswith("SUV by body weight")
        stored = {pydicom.dcmread(path).PixelData for path in made.send.rglob("*.dcm")}
        assert stored == {pydicom.dcmread(path).PixelData for path in source}


def test_pet_whose_suv_cannot_be_computed_says_so(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    make_pet(tmp_path / "in", lambda ds, _: setattr(ds, "DecayCorrection", "NONE"))
    (row,) = run(tmp_path / "in", tmp_path / "out").rows
    assert (row.status, row.note) == (
        "accepted",
        "SUV cannot be computed any more: pet-decay-correction: NONE, although CorrectedImage says DECY",
    )


def test_a_dose_is_kept_with_its_times_moved(ct: Image, dose: PetDose, tmp_path: Path) -> None:
    image = Image(ct.array.astype(np.float32), ct.geometry, "PT", "SUV")
    write_series(image, tmp_path / "in", DicomHeader("P-4711", weight_kg=70, pet=dose, institution="Elsewhere"))
    made = run(tmp_path / "in", tmp_path / "out", Options(patient_characteristics=True))
    ds = first(made.send)
    drug = ds.RadiopharmaceuticalInformationSequence[0]
    assert drug.RadionuclideTotalDose == dose.dose_bq
    assert drug.RadiopharmaceuticalStartDateTime[:8] == ds.SeriesDate != "20240511"
    assert drug.RadiopharmaceuticalStartDateTime[8:14] == "090000"


def test_the_librarys_own_files(tmp_path: Path) -> None:
    """pydicom's test files and character sets: each is written, set aside or refused by a code; none ends the run."""
    folder = Path(pydicom.__file__).parent / "data"
    made = run(folder, tmp_path / "out", workers=2)
    n_files = sum(path.is_file() for path in folder.rglob("*"))
    assert sum(row.n_files for row in made.rows) == n_files
    codes = {code for row in made.rows for found in row.codes.values() for code in found}
    assert codes <= SET_ASIDE.keys() | REFUSALS.keys()
    assert not codes & {"unexpected", "worker-died", "identifier-left"}
    written = list(made.send.rglob("*.dcm"))
    assert len(written) > 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in written:
            ds = pydicom.dcmread(path)
            assert ds.PatientIdentityRemoved == "YES"
            assert ds.PatientID == str(ds.PatientName) == path.parts[-4]
            assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
            for element in ds.iterall():
                assert not element.tag.is_private
                assert element.VR != "PN" or str(element.value) in ("", "REMOVED", ds.PatientID)


@pytest.mark.real_data
def test_segmentations_and_slides_keep_their_references(data: Path, tmp_path: Path) -> None:
    """highdicom's test files: references between objects hold after the mapping, and it reads the same pixels."""
    from highdicom.seg import segread

    source = data / "dicom_objects"
    made = run(source, tmp_path / "out")
    assert {code for row in made.rows for found in row.codes.values() for code in found} <= {
        "structured-report",
        "burned-in-unstated",
        "not-dicom",
        "conflicting-copies",  # one segmentation stands there twice, changed under the same UID
    }
    uids = json.loads((tmp_path / "out" / "private" / "uids.json").read_text())
    places = json.loads((tmp_path / "out" / "private" / "sources.json").read_text())
    assert len(places) > 15
    for new, raw in places.items():
        one, two = pydicom.dcmread(source / raw), pydicom.dcmread(tmp_path / "out" / new)
        assert one.get("PixelData") == two.get("PixelData")
        if one.Modality == "SEG":
            np.testing.assert_array_equal(
                segread(source / raw).pixel_array, segread(tmp_path / "out" / new).pixel_array
            )
        assert [path.get("ICCProfile") for path in one.get("OpticalPathSequence", ())] == [
            path.get("ICCProfile") for path in two.get("OpticalPathSequence", ())
        ]
        assert references(two) == [uids[uid] for uid in references(one)]
        assert [s.SegmentLabel for s in one.get("SegmentSequence", ())] == [
            s.SegmentLabel for s in two.get("SegmentSequence", ())
        ]


@pytest.mark.real_data
def test_a_real_patient_keeps_voxels_and_structures(data: Path, tmp_path: Path) -> None:
    """CT, MR and PET of one patient, each with an RTSTRUCT: the same images and masks before and after."""
    source = data / "dicom_sarcoma" / "STS_002"
    made = run(source, tmp_path / "out", Options(clean_descriptors=True))
    assert statuses(made) == {"accepted": 6}
    uids = json.loads((tmp_path / "out" / "private" / "uids.json").read_text())
    new = {series.series_uid: series for series in find_series(made.send)}
    drawn = [path for path in made.send.rglob("*.dcm") if pydicom.dcmread(path).Modality == "RTSTRUCT"]
    for name in ("CT", "MR_T1", "PET"):
        (raw,) = find_series(source / name / "image")
        series = new[uids[raw.series_uid]]
        one, two = read_series(raw), read_series(series)
        np.testing.assert_array_equal(one.array, two.array)
        np.testing.assert_array_equal(one.geometry.affine, two.geometry.affine)
        (path,) = [path for path in drawn if series.series_uid.encode() in path.read_bytes()]
        masks = read_rtstruct(source / name / "mask" / "RS.dcm", stack_series(raw).reference)
        again = read_rtstruct(path, stack_series(series).reference)
        assert list(again) == list(masks)
        for structure in masks:
            np.testing.assert_array_equal(masks[structure], again[structure])


def references(ds: pydicom.Dataset) -> list[str]:
    """UIDs of referenced instances and of the frame of reference, where the table does not remove their sequence."""
    kept = ("ReferencedSeriesSequence", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
    inside = [e for keyword in kept for item in ds.get(keyword, ()) for e in item.iterall()]
    found = [e.value for e in inside if e.keyword in ("ReferencedSOPInstanceUID", "SeriesInstanceUID")]
    return [*found, *([ds.FrameOfReferenceUID] if ds.get("FrameOfReferenceUID") else [])]
