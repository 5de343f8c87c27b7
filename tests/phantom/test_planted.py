"""Scans that are not plain: what was planted lies in the files, and the archive answers as the truth says it must."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydicom import dcmread

from fiducial.archive import read_image, read_mask, read_subjects
from fiducial.cohort.ingest import ingest
from fiducial.phantom.hospital import DOUBLING_DAYS, Planting, make_patients, render, write_hospital
from fiducial.phantom.mr import ECHOES_MS, render_mr
from fiducial.phantom.planted import PLANTED, TILT_DEGREES, tilted_axes
from fiducial.records.image import Geometry, Image

KINDS = list(PLANTED)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    out = tmp_path_factory.mktemp("planted")
    planting = Planting(kinds=dict.fromkeys(PLANTED, 1), n_second_visits=2)
    patients = make_patients(len(PLANTED) + 2, seed=0)
    dicom = write_hospital(patients, out, workers=1, planting=planting)
    made = ingest(dicom, out / "cohort", labels=out / "labels.csv", workers=1)
    return patients, out, made


def planted(hospital, kind):
    """The patient, the folder of files and the truth of one kind."""
    patients, out, _ = hospital
    truth = json.loads((out / "truth.json").read_text())["patients"]
    (entry,) = [p for p in truth if p["planted"] == kind]
    (patient,) = [p for p in patients if p.subject == entry["subject"]]
    return patient, out / "dicom" / entry["folder"], entry


def report_of(hospital, kind, modality):
    _, folder, _ = planted(hospital, kind)
    return [row for row in hospital[2].report if row.source.startswith(folder.name) and row.modality == modality]


def rows_of(hospital, kind, role):
    patient, _, _ = planted(hospital, kind)
    cohort, out = hospital[2].cohort, hospital[1]
    subject = read_subjects(out / "cohort")[patient.subject]
    rows = cohort[(cohort["subject"] == subject) & (cohort["role"] == role)]
    return [(out / "cohort" / row["path"], row) for row in rows.to_dict("records")]


def headers_of(folder, modality):
    headers = [dcmread(file) for file in sorted(folder.iterdir())]
    return [header for header in headers if header.Modality == modality]


# By hand: what was planted lies in the files.


def test_a_gap_is_one_slice_less(hospital):
    patient, folder, _ = planted(hospital, "gap")
    places = sorted(float(h.ImagePositionPatient[2]) for h in headers_of(folder, "CT"))
    steps = np.round(np.diff(places) / patient.scanner.slice_mm, 6)
    assert len(places) == render(patient)[0].geometry.shape[2] - 1
    assert sorted(steps)[-2:] == [1.0, 2.0]


def test_a_tilted_gantry_leans_the_rows_and_moves_the_table_straight(hospital):
    _, folder, _ = planted(hospital, "tilt")
    headers = sorted(headers_of(folder, "CT"), key=lambda h: float(h.ImagePositionPatient[2]))
    row, column = np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3)
    step = np.subtract(headers[1].ImagePositionPatient, headers[0].ImagePositionPatient).astype(float)
    angle = np.degrees(np.arccos(step @ np.cross(row, column) / np.linalg.norm(step)))
    assert angle == pytest.approx(TILT_DEGREES, abs=1e-4)
    assert np.allclose(step[:2], 0, atol=1e-6)


def test_two_echoes_share_a_series(hospital):
    patient, folder, _ = planted(hospital, "mixed_echoes")
    headers = headers_of(folder, "MR")
    assert len({h.SeriesInstanceUID for h in headers}) == 1
    assert len({h.SOPInstanceUID for h in headers}) == len(headers) == 2 * render(patient)[0].geometry.shape[2]
    assert sorted({float(h.EchoTime) for h in headers}) == list(ECHOES_MS)


def test_names_stand_in_private_elements_also_nested(hospital):
    patient, folder, _ = planted(hospital, "private_tags")
    for header in headers_of(folder, "CT"):
        block = header.private_block(0x0009, "NORTHLIGHT SERVICE")
        assert str(block[0x01].value) == f"Phantom^{patient.subject}"
        assert block[0x10].value[0].PatientID == patient.subject


def test_a_letter_stands_in_the_corner(hospital):
    patient, _, _ = planted(hospital, "burned_in")
    ((path, _),) = rows_of(hospital, "burned_in", "image")
    clean, marked = render(patient)[0].array, read_image(path).array
    assert marked[0, 4:7, 4:14].min() == 2000
    assert (clean != marked).mean() < 0.01


def test_a_malignant_nodule_has_grown_at_the_second_visit(hospital):
    patients, out, _ = hospital
    truth = json.loads((out / "truth.json").read_text())["patients"]
    second = [p for p in truth if p["days"]]
    assert [p["subject"] for p in second] == [p.subject for p in patients[:2]]
    for entry, patient in zip(second, patients, strict=False):
        volume = (entry["nodule"]["diameter_mm"] / patient.nodule.diameter_mm) ** 3
        assert volume == pytest.approx(2 ** (entry["days"] / DOUBLING_DAYS) if patient.malignant else 1.0)


def test_the_second_visit_comes_so_many_days_later(hospital):
    patients, out, made = hospital
    truth = json.loads((out / "truth.json").read_text())["patients"]
    second = [p for p in truth if p["days"]]
    for entry, patient in zip(second, patients, strict=False):
        folders = [p["folder"] for p in truth if p["subject"] == patient.subject]
        days = [np.datetime64(_iso(headers_of(out / "dicom" / folder, "CT")[0].StudyDate)) for folder in folders]
        assert (days[1] - days[0]).astype(int) == entry["days"]
        subject = read_subjects(out / "cohort")[patient.subject]
        images = made.cohort[(made.cohort["subject"] == subject) & (made.cohort["role"] == "image")]
        assert images["visit"].nunique() == 2


def _iso(date):
    return f"{date[:4]}-{date[4:6]}-{date[6:]}"


# Analytic: echoes decay as S = PD exp(-TE / T2).


def test_the_signal_of_water_falls_by_its_t2():
    water = Image(np.zeros((1, 2, 2, 2), np.int16), Geometry(np.eye(4), (2, 2, 2)), "CT", "HU")
    early, late = (render_mr(water, echo).array for echo in ECHOES_MS)
    assert early.flat[0] == round(1000 * np.exp(-12 / 200))
    assert late.flat[0] == round(1000 * np.exp(-96 / 200))


# Law: every kind is answered as the truth says, and what is accepted or mended lies where it was scanned.


@pytest.mark.parametrize("kind", KINDS)
def test_the_archive_answers_as_it_must(hospital, kind):
    expected = planted(hospital, kind)[2]["must_answer"]
    answers = {(row.status, row.reason.partition(":")[0]) for row in report_of(hospital, kind, expected["modality"])}
    assert answers == {(expected["status"], expected["code"])}


@pytest.mark.parametrize(
    "kind",
    ["tilt", "copy", "reversed", "oblique", "mixed_echoes", "burned_in", "private_tags"],
)
def test_the_nodule_lies_where_it_was_scanned(hospital, kind):
    patient, _, _ = planted(hospital, kind)
    image, mask = render(patient)
    ((path, row),) = rows_of(hospital, kind, "mask")
    drawn = read_mask(path)
    assert drawn.geometry.matches(read_image(hospital[1] / "cohort" / f"images/{row['of']}.nii.gz").geometry)
    found = _centre(drawn.array[0] > 0, drawn.geometry)
    assert np.abs(found - _centre(mask, image.geometry)).max() < max(image.geometry.spacing_mm) / 2


def _centre(mask, geometry):
    """Centre of mass in RAS+ mm."""
    return geometry.affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + geometry.affine[:3, 3]


def test_voxels_of_reversed_slices_lie_at_the_same_places(hospital):
    patient, _, _ = planted(hospital, "reversed")
    scanned = render(patient)[0]
    ((path, _),) = rows_of(hospital, "reversed", "image")
    read = read_image(path)
    to_scanned = np.linalg.inv(scanned.geometry.affine) @ read.geometry.affine
    index = np.array([3, 50, 7, 1.0])
    there = np.rint(to_scanned @ index).astype(int)
    assert np.array_equal(read.array[0, 3, 50, 7], scanned.array[(0, *there[:3])])
    assert np.array_equal(np.sort(read.array, axis=None), np.sort(scanned.array, axis=None))


def test_tilted_axes_keep_their_lengths():
    upright = render(make_patients(1)[0])[0].geometry
    tilted = tilted_axes(upright)
    assert np.allclose(np.linalg.norm(tilted, axis=0), upright.spacing_mm)
    assert np.linalg.det(tilted) * np.linalg.det(upright.affine[:3, :3]) > 0
