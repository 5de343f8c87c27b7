"""The written archive: what pydicom reads from it is what was rendered, and the labels are the patients'."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime

import numpy as np
import pydicom
import pytest

from fiducial.errors import CaseFailed, InputRefused
from fiducial.phantom.hospital import Planting, header_of, make_patients, part_of, render, write_hospital
from fiducial.phantom.pet import MALIGNANT_SUV, nodule_suv, render_pet
from fiducial.phantom.studies import STUDIES, study_text
from fiducial.study import load_study

LABELS = ["subject", "malignant", "sex", "age", "smoking", "pack_years", "site", "scanner"]


@pytest.fixture(scope="module")
def patients():
    return make_patients(3, seed=5)


@pytest.fixture(scope="module")
def hospital(patients, tmp_path_factory):
    out = tmp_path_factory.mktemp("hospital")
    seen = []
    folder = write_hospital(
        patients,
        out,
        workers=1,
        progress=lambda *step: seen.append(step),
        planting=Planting(repeat_across_splits=1, n_pet=1),
    )
    assert folder == out / "dicom"
    assert seen[-1][1:] == (4, 4)
    return out


@pytest.fixture(scope="module")
def series(hospital):
    """Every file of the tree by (PatientID, modality), as pydicom reads it."""
    found = defaultdict(list)
    for path in (hospital / "dicom").rglob("*"):
        if path.is_file():
            dataset = pydicom.dcmread(path)
            found[dataset.PatientID, dataset.Modality].append(dataset)
    return found


def labels(out):
    with (out / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stacked(slices):
    """[x, y, z] in the unit of the rescaled values, slices from foot to head, and the z positions."""
    slices = sorted(slices, key=lambda d: float(d.ImagePositionPatient[2]))
    planes = [d.pixel_array.T * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in slices]
    return np.stack(planes, axis=2), np.array([float(d.ImagePositionPatient[2]) for d in slices])


def test_parts_of_ten_patients_by_hand():
    parts = [part_of(i, 10) for i in range(10)]
    assert parts == ["train"] * 6 + ["validation", "calibration", "test", "test"]
    assert Counter(part_of(i, 60) for i in range(60)) == {"train": 36, "validation": 6, "calibration": 6, "test": 12}


def test_the_ct_reads_back_voxel_by_voxel(patients, series):
    for patient in patients:
        image, _ = render(patient)
        slices = series[patient.subject, "CT"]
        hu, z = stacked(slices)
        assert np.array_equal(hu, image.array[0])
        one = slices[0]
        assert np.diff(z) == pytest.approx(patient.scanner.slice_mm)
        assert [float(v) for v in one.PixelSpacing] == pytest.approx([patient.spacing_mm] * 2)
        # LPS: the first column's centre lies at the patient's right (negative), the first row's in front (negative).
        first = -image.geometry.affine[:2, 3]
        assert [float(v) for v in one.ImagePositionPatient[:2]] == pytest.approx(first, abs=1e-4)
        assert [float(v) for v in one.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
        assert one.RescaleType == "HU"


def test_the_header_is_the_patients(patients, series):
    for patient in patients:
        one = series[patient.subject, "CT"][0]
        assert (one.PatientSex, one.PatientAge) == (patient.sex, f"{patient.age:03d}Y")
        assert (one.ManufacturerModelName, one.Manufacturer) == (patient.scanner.name, patient.scanner.manufacturer)
        assert one.ConvolutionKernel == patient.scanner.kernel
        assert one.InstitutionName == f"Phantom Hospital {patient.site}"
        assert int(one.StudyDate[:4]) - int(one.PatientBirthDate[:4]) == patient.age


def test_the_structure_set_outlines_the_nodule(patients, series):
    for patient in patients:
        _, mask = render(patient)
        (structures,) = series[patient.subject, "RTSTRUCT"]
        (roi,) = structures.StructureSetROISequence
        assert roi.ROIName == "nodule"
        places = {float(c.ContourData[2]) for c in structures.ROIContourSequence[0].ContourSequence}
        assert len(places) == mask.any(axis=(0, 1)).sum()


def test_file_names_say_nothing_about_order(hospital, series):
    assert not list(hospital.glob(".part*"))
    for folder in (hospital / "dicom").iterdir():
        names = sorted(p.name for p in folder.iterdir())
        assert all(len(name) == 8 and name.startswith("I") for name in names)
        heights = [
            float(d.ImagePositionPatient[2])
            for d in map(pydicom.dcmread, map(folder.joinpath, names))
            if d.Modality == "CT"
        ]
        assert heights != sorted(heights)


def test_labels_match_the_patients(patients, hospital):
    rows = labels(hospital)
    assert list(rows[0]) == [*LABELS, "split"]
    for patient, row in zip(patients, rows, strict=False):
        assert row["subject"] == patient.subject
        assert int(row["malignant"]) == patient.malignant
        assert (row["sex"], int(row["age"]), row["smoking"]) == (patient.sex, patient.age, patient.smoking)
        assert (row["site"], row["scanner"]) == (patient.site, patient.scanner.full_name)


def test_a_rescanned_patient_stands_in_another_part_under_another_name(patients, hospital, series):
    rows = {row["subject"]: row for row in labels(hospital)}
    first, twin = patients[0].subject, f"{patients[0].subject}-R"
    assert (rows[first]["split"], rows[twin]["split"]) == ("train", "test")
    a, b = stacked(series[first, "CT"])[0], stacked(series[twin, "CT"])[0]
    other = stacked(series[patients[1].subject, "CT"])[0]
    assert not np.array_equal(a, b)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    if other.shape == a.shape:
        assert np.corrcoef(a.ravel(), other.ravel())[0, 1] < 0.99
    told = json.loads((hospital / "truth.json").read_text())
    assert told["repeats"] == [[first, twin]]
    assert told["repeat_as"] == "rescan"


def test_the_pet_is_becquerel_whose_suv_is_known(patients, series):
    patient = patients[0]
    slices = series[patient.subject, "PT"]
    becquerel, _ = stacked(slices)
    one = slices[0]
    assert (one.Units, one.DecayCorrection) == ("BQML", "START")
    drug = one.RadiopharmaceuticalInformationSequence[0]
    injected = datetime.strptime(str(drug.RadiopharmaceuticalStartDateTime)[:14], "%Y%m%d%H%M%S")
    scanned = datetime.strptime(one.SeriesDate + str(one.SeriesTime)[:6], "%Y%m%d%H%M%S")
    left = 2 ** (-(scanned - injected).total_seconds() / float(drug.RadionuclideHalfLife))
    suv = becquerel * float(one.PatientWeight) * 1000 / (float(drug.RadionuclideTotalDose) * left)
    truth = render_pet(patient).array[0]
    assert np.abs(suv - truth).max() < 1e-3
    assert truth.max() == pytest.approx(max(nodule_suv(patient), 2.5), rel=0.02)
    assert 3000 < (scanned - injected).total_seconds() < 5500


def test_a_malignant_nodule_takes_up_more(patients):
    big = replace(patients[0], nodule=replace(patients[0].nodule, diameter_mm=28.0), malignant=1)
    assert nodule_suv(big) == MALIGNANT_SUV > 3 * nodule_suv(replace(big, malignant=0))
    assert render_pet(big).array.max() == pytest.approx(MALIGNANT_SUV, rel=1e-3)


def test_an_exact_repeat_has_the_same_voxels(tmp_path):
    patients = make_patients(2, seed=6)
    write_hospital(patients, tmp_path, workers=1, planting=Planting(repeat_across_splits=1, repeat_as="exact"))
    found = defaultdict(list)
    for path in (tmp_path / "dicom").rglob("I*"):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == "CT":
            found[dataset.PatientID].append(dataset)
    twin = f"{patients[0].subject}-R"
    assert np.array_equal(stacked(found[patients[0].subject])[0], stacked(found[twin])[0])
    assert found[twin][0].StudyInstanceUID != found[patients[0].subject][0].StudyInstanceUID


def test_one_person_twice_has_two_studies_and_two_rows(tmp_path):
    patients = make_patients(2, seed=6)
    write_hospital(patients, tmp_path, workers=1, planting=Planting(repeat_across_splits=1, repeat_as="same_person"))
    rows = [row for row in labels(tmp_path) if row["subject"] == patients[0].subject]
    assert [row["split"] for row in rows] == ["train", "test"]
    studies = {pydicom.dcmread(p, stop_before_pixels=True).StudyInstanceUID for p in (tmp_path / "dicom").rglob("I*")}
    assert len(studies) == 3
    assert len(list((tmp_path / "dicom").iterdir())) == 3


def test_without_repeats_there_is_no_split_and_mislabelling_is_recorded(tmp_path):
    patients = make_patients(1, seed=6, mislabelled=1.0)
    write_hospital(patients, tmp_path, workers=1)
    (row,) = labels(tmp_path)
    assert list(row) == LABELS
    assert int(row["malignant"]) == 1 - patients[0].malignant
    assert json.loads((tmp_path / "truth.json").read_text())["mislabelled"] == [patients[0].subject]


def test_headers_of_two_visits_differ_in_date_only(patients):
    one, two = header_of(patients[0]), header_of(patients[0], visit=2)
    assert one.study_uid != two.study_uid
    assert int(two.study_date) == int(one.study_date) + 1


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_study_files_are_legal(name, tmp_path):
    path = tmp_path / f"{name}.toml"
    path.write_text(study_text(name))
    study = load_study(path)
    assert study.accept
    assert "real patients" in study.study.not_for


def test_an_unknown_study_file_is_refused():
    with pytest.raises(InputRefused, match="legal: nodule-segmentation, nodule-malignancy, vendor-study"):
        study_text("nodule")


def test_a_folder_that_holds_an_archive_is_refused(patients, hospital):
    with pytest.raises(InputRefused, match="dicom exists"):
        write_hospital(patients, hospital)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat_as": "twin"}, "legal: rescan, exact, same_person"),
        ({"repeat_across_splits": 9}, "legal: 0 to 2, the patients in train"),
        ({"n_second_visits": 9}, "legal: 0 to 3, the patients"),
        ({"kinds": {"gap": 3, "tilt": 2}}, "together at most one for each patient"),
        ({"kinds": {"shifted": 1}}, "of gap, copy, twice, tilt"),
    ],
)
def test_what_cannot_be_planted_is_refused(patients, tmp_path, options, message):
    with pytest.raises(InputRefused, match=message):
        write_hospital(patients, tmp_path, planting=Planting(**options))


def test_a_subject_given_twice_is_refused(patients, tmp_path):
    with pytest.raises(InputRefused, match="comes twice"):
        write_hospital([patients[0], patients[0]], tmp_path)


def test_a_visit_that_fails_is_named_and_nothing_half_written_is_left_as_the_archive(patients, tmp_path):
    broken = replace(patients[0], scanner=replace(patients[0].scanner, kernel="bone"))
    with pytest.raises(CaseFailed, match=rf"1 of 1 phantom visits .* {broken.subject}/1: InputRefused kernel 'bone'"):
        write_hospital([broken], tmp_path, workers=1)
    assert not (tmp_path / "dicom").exists()
    assert not (tmp_path / "labels.csv").exists()
    write_hospital([patients[1]], tmp_path, workers=1)
    assert (tmp_path / "dicom").is_dir()
