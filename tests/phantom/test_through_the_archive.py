"""What the archive and the cohort make of the phantom's files is what was rendered; planted leaks are found."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.archive import read_image, read_mask, read_subjects
from fiducial.cohort.ingest import ingest
from fiducial.cohort.leaks import find_leaks
from fiducial.errors import LeakError
from fiducial.phantom.hospital import Planting, make_patients, render, write_hospital
from fiducial.phantom.pet import render_pet


@pytest.fixture(scope="module")
def patients():
    return make_patients(4, seed=0)


@pytest.fixture(scope="module")
def cohort(patients, tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom")
    dicom = write_hospital(patients, out, workers=1, planting=Planting(repeat_across_splits=1, n_pet=1))
    made = ingest(dicom, out / "cohort", labels=out / "labels.csv", workers=1)
    assert [row.status for row in made.report] == ["accepted"] * len(made.report)
    assert not made.unmatched
    return made.cohort, out / "cohort"


def rows_of(cohort, patient, role, modality):
    table, folder = cohort
    rows = table[(table["subject"] == read_subjects(folder)[patient.subject]) & (table["role"] == role)]
    return rows[rows["modality"] == modality]


def test_ct_and_mask_come_back_exactly(patients, cohort):
    for patient in patients:
        image, mask = render(patient)
        (row,) = rows_of(cohort, patient, "image", "CT").to_dict("records")
        read = read_image(cohort[1] / row["path"], modality="CT")
        assert np.array_equal(read.array, image.array)
        assert read.geometry.matches(image.geometry)
        (drawn,) = rows_of(cohort, patient, "mask", "RTSTRUCT").to_dict("records")
        assert (drawn["structure"], drawn["of"]) == ("nodule", row["image"])
        assert np.array_equal(read_mask(cohort[1] / drawn["path"]).array[0] > 0, mask)


def test_labels_and_headers_agree(patients, cohort):
    for patient in patients:
        (row,) = rows_of(cohort, patient, "image", "CT").to_dict("records")
        assert (row["sex"], row["age"], row["site"]) == (patient.sex, patient.age, patient.site)
        assert row["scanner"] == patient.scanner.full_name
        assert (row["malignant"], row["smoking"]) == (patient.malignant, patient.smoking)


def test_becquerel_become_the_known_suv(patients, cohort):
    (row,) = rows_of(cohort, patients[0], "image", "PT").to_dict("records")
    assert row["unit"] == "SUV"
    suv = read_image(cohort[1] / row["path"], modality="PT").array
    assert np.abs(suv - render_pet(patients[0]).array).max() < 5e-4


def test_a_rescan_in_another_split_is_found_and_nobody_else(patients, cohort):
    table, folder = cohort
    (leak,) = find_leaks(table)
    subjects = read_subjects(folder)
    assert (leak.kind, leak.split_a, leak.split_b) == ("near", "train", "test")
    assert {leak.subject_a, leak.subject_b} == {subjects[patients[0].subject], subjects[patients[0].subject + "-R"]}


def test_one_person_in_two_splits_is_refused(patients, tmp_path):
    dicom = write_hospital(
        patients[:2], tmp_path, workers=1, planting=Planting(repeat_across_splits=1, repeat_as="same_person")
    )
    with pytest.raises(LeakError, match="one subject stands in two splits"):
        ingest(dicom, tmp_path / "cohort", labels=tmp_path / "labels.csv", workers=1)
