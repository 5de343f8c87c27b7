"""Structured reports (TID 1500) as tables: our own, another project's, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pandas as pd
import pydicom
import pytest

from fiducial.archive import ingest_dicom
from fiducial.archive.dicom import DicomHeader, find_series, write_series
from fiducial.archive.export import Maker
from fiducial.archive.export.seg import write_segmentation
from fiducial.archive.export.source import open_source
from fiducial.archive.export.sr import measure_masks, write_report
from fiducial.archive.measurements import COLUMNS, read_measurements
from fiducial.cohort import ingest, load_cohort
from fiducial.errors import UnreadableFile
from fiducial.flows import check
from fiducial.records.image import Geometry, Image

SHAPE = (11, 9, 6)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
HEADER = DicomHeader("QX-1", patient_name="Unverwechselbar^Amalia", sex="F", age_years=60)


@pytest.fixture
def visit(tmp_path: Path) -> Path:
    """CT, SEG and SR of one patient: a structure of 4 x 3 voxels on two slices, named after her, and a score."""
    folder = tmp_path / "visit"
    write_series(Image(np.zeros((1, *SHAPE), np.int16), Geometry(AFFINE, SHAPE), "CT", "HU"), folder / "ct", HEADER)
    source = open_source(find_series(folder / "ct")[0])
    mask = np.zeros(SHAPE, bool)
    mask[2:6, 3:6, 2:4] = True
    maker = Maker("m", "1", "ab")
    masks = {"Nodule": mask, "Amalia node": ~mask}
    seg = write_segmentation(masks, folder / "seg.dcm", geometry=source.grid, source=source, maker=maker)
    measured = measure_masks(masks, source.grid, source)
    scores = {"malignant": 0.75}
    write_report(measured, folder / "sr.dcm", source=source, maker=maker, segmentation=seg, scores=scores)
    return folder


def test_every_figure_by_hand(visit: Path) -> None:
    """24 voxels of 2 mm3 are 0.048 ml; 3 columns and 2 rows apart are sqrt(13) mm."""
    found = read_measurements(visit / "sr.dcm")
    volume, axis = (one for one in found if one.tracking_id == "Nodule")
    assert (volume.quantity, volume.unit) == ("SCT:118565006 Volume", "ml")
    assert volume.value == pytest.approx(0.048)
    assert (axis.quantity, axis.unit) == ("SCT:103339001 Long axis", "mm")
    assert axis.value == pytest.approx(math.sqrt(13))
    seg = pydicom.dcmread(visit / "seg.dcm")
    assert (volume.segmentation_uid, volume.segment) == (seg.SOPInstanceUID, 1)
    assert volume.finding == "SCT:27925004 Nodule"
    series = pydicom.dcmread(next((visit / "ct").iterdir())).SeriesInstanceUID
    assert {one.series_uid for one in found} == {series}
    slices = {str(pydicom.dcmread(p).SOPInstanceUID) for p in (visit / "ct").iterdir()}
    assert axis.sop_uid in slices
    (score,) = (one for one in found if one.tracking_id == "malignant")
    assert (score.quantity, score.value, score.unit) == ("DCM:122157 Probability", 0.75, "1")


def test_a_table_is_joined_by_subject_and_holds_no_identifier(visit: Path, tmp_path: Path) -> None:
    done = ingest_dicom(visit, tmp_path / "out", key=b"k" * 32, workers=1)
    (row,) = (row for row in done.rows if row["role"] == "table")
    (image,) = (row for row in done.rows if row["role"] == "image")
    assert (row["subject"], row["visit"], row["acquired"]) == (image["subject"], image["visit"], image["acquired"])
    assert (row["of"], row["modality"], row["sex"]) == (image["image"], "SR", "F")
    table = pd.read_parquet(tmp_path / "out" / row["path"])
    assert tuple(table.columns) == COLUMNS
    assert set(table["subject"]) == {image["subject"]}
    assert set(table["image"]) == {image["image"]}
    assert list(table["tracking_id"]) == ["Nodule", "Nodule", "patient node", "patient node", "malignant"]
    raw = pydicom.dcmread(visit / "sr.dcm")
    text = table.to_json() + repr(done.rows) + repr(done.report)
    for secret in ("Amalia", "QX-1", raw.SOPInstanceUID, raw.StudyInstanceUID, image["image"] and "2.25."):
        assert secret not in text


def test_a_cohort_keeps_the_table_beside_its_images(visit: Path, tmp_path: Path) -> None:
    ingest(visit, tmp_path / "cohort", workers=1)
    cohort = load_cohort(tmp_path / "cohort")
    assert cohort["role"].value_counts().to_dict() == {"mask": 2, "image": 1, "table": 1}
    checked = check(tmp_path / "cohort")
    assert (checked.n_subjects, checked.n_images) == (1, 1)
    assert len(cohort.loc[cohort["role"] == "table", "sha256"].iloc[0]) == 64


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["sr_document.dcm", "sr_document_with_multiple_groups.dcm"])
def test_reports_of_another_project_against_its_reader(name: str, data: Path) -> None:
    path = data / "dicom_objects" / name
    theirs = []
    content = highdicom.sr.srread(path).content
    for groups in (
        content.get_planar_roi_measurement_groups(),
        content.get_volumetric_roi_measurement_groups(),
        content.get_image_measurement_groups(),
    ):
        for group in groups:
            theirs += [(str(group.tracking_uid), m.name.value, m.value, m.unit.value) for m in group.get_measurements()]
    ours = [
        (one.tracking_uid, one.quantity.partition(":")[2].partition(" ")[0], one.value, one.unit)
        for one in read_measurements(path)
        if not math.isnan(one.value)
    ]
    assert sorted(ours) == sorted(theirs)
    assert ours


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "11528-7"), "structured-report"),
        (lambda d: d.pop("ConceptNameCodeSequence"), "structured-report"),
        (lambda d: setattr(d, "ContentSequence", []), "sr-empty"),
        (lambda d: d.ContentSequence[-1].ContentSequence[0].ContentSequence.clear(), ""),
    ],
)
def test_other_reports_are_refused_by_name(edit: Callable[[Any], Any], code: str, visit: Path) -> None:
    dataset = pydicom.dcmread(visit / "sr.dcm")
    edit(dataset)
    dataset.save_as(visit / "sr.dcm")
    if not code:
        assert len(read_measurements(visit / "sr.dcm")) == 4
        return
    with pytest.raises(UnreadableFile, match=f"^{code}: "):
        read_measurements(visit / "sr.dcm")
