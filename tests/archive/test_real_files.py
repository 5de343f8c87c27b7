"""Real scanners' files: a sarcoma patient against the same images as NIfTI, and the library's own test files."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from fiducial.archive import ingest_dicom, read_image, read_mask
from fiducial.archive.dicom import find_series, read_series, stack_series
from fiducial.archive.dicom.headers import read_header
from fiducial.archive.dicom.read import decode
from fiducial.archive.dicom.stack import Stack
from fiducial.archive.rtstruct import read_rtstruct
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry

UNIT = {"CT": "HU", "MR_T1": "", "PET": "SUV"}


@pytest.mark.real_data
@pytest.mark.parametrize("name", UNIT)
def test_series_equals_its_nifti(name: str, data: Path) -> None:
    (series,) = find_series(data / "dicom_sarcoma" / "STS_002" / name / "image")
    image = read_series(series)
    truth = read_image(data / "dicom_sarcoma" / "STS_002_nifti" / f"{name}_image.nii.gz")
    assert np.abs(image.array.astype(np.float64) - truth.array).max() <= 2e-6
    image.geometry.require_match(truth.geometry, tolerance_mm=5e-5)
    assert image.unit == UNIT[name]
    assert np.linalg.det(image.geometry.affine) > 0


@pytest.mark.real_data
@pytest.mark.parametrize("name", UNIT)
def test_contours_equal_the_nifti_mask(name: str, data: Path) -> None:
    folder = data / "dicom_sarcoma"
    (series,) = find_series(folder / "STS_002" / name / "image")
    masks = read_rtstruct(folder / "STS_002" / name / "mask" / "RS.dcm", stack_series(series).reference)
    truth = read_mask(folder / "STS_002_nifti" / f"{name}_mask.nii.gz", label=1).array[0]
    (mask,) = masks.values()
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert dice >= 0.999
    assert truth.sum() > 500


@pytest.mark.real_data
def test_whole_patient_is_ingested(data: Path, tmp_path: Path) -> None:
    made = ingest_dicom(data / "dicom_sarcoma" / "STS_002", tmp_path, key=b"k" * 32, workers=1)
    assert [row["role"] for row in made.rows] == ["image"] * 3 + ["mask"] * 3
    assert {row.status for row in made.report} == {"accepted"}
    assert {row["structure"] for row in made.rows[3:]} == {"GTV_Mass_CT", "GTV_Mass_MR_T1", "GTV_Mass_PET"}
    by_id = {row["image"]: row for row in made.rows}
    for mask in made.rows[3:]:
        image = read_image(tmp_path / by_id[mask["of"]]["path"])
        image.geometry.require_match(read_mask(tmp_path / mask["path"]).geometry)
    assert "STS_002" not in repr(made.rows) + repr(made.report)


@pytest.mark.real_data
def test_objects_that_are_no_series_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    made = ingest_dicom(data / "dicom_objects", tmp_path, key=b"k" * 32, workers=1)
    kinds = {("CT", "image"), ("DX", "image"), ("SEG", "mask"), ("SR", "table")}
    assert {(row["modality"], row["role"]) for row in made.rows} == kinds
    codes = {row.reason.partition(":")[0] for row in made.report}
    assert codes >= {"object-no-series", "whole-slide", "unsupported-modality"}


@pytest.mark.real_data
def test_nuclei_and_radiographs_are_read(data: Path) -> None:
    picture = next(iter(sorted((data / "nuclei" / "images").iterdir())))
    mask = read_mask(data / "nuclei" / "labels" / f"{picture.stem}.png")
    assert read_image(picture).array.shape[1:] == mask.array.shape[1:]
    assert mask.array.dtype == np.uint16
    file = next((data / "pneumonia_cxr28").glob("*.npz"))
    assert read_image(f"{file}#train_images/0", modality="CR").array.shape == (1, 28, 28, 1)


# The same slice of one MR scanner in the transfer syntaxes of the field.
SYNTAXES = ("bigendian", "expb", "implicit", "RLE", "jp2klossless", "jpeg_ls_lossless", "padded")


def library_file(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"this pydicom has no {name}")
    return Path(path)


def one_slice(path: Path) -> Stack:
    header = read_header(path)
    shape = (int(header.numbers["Columns"]), int(header.numbers["Rows"]), 1)
    return Stack("1", "MR", (header,), Geometry(np.eye(4), shape))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_lossless_transfer_syntax_gives_the_same_voxels(syntax: str) -> None:
    expected = decode(one_slice(library_file("MR_small.dcm"))).image.array
    assert expected.std() > 100
    again = decode(one_slice(library_file(f"MR_small_{syntax}.dcm"))).image.array
    np.testing.assert_array_equal(again, expected)


def test_one_slice_in_many_encodings_is_one_slice(tmp_path: Path) -> None:
    """Nine files of one SOP instance: three native alike, one cut short, five that only a decoder can compare."""
    source = tmp_path / "source"
    source.mkdir()
    for path in library_file("MR_small.dcm").parent.glob("MR_*.dcm"):
        shutil.copy(path, source / path.name)
    made = ingest_dicom(source, tmp_path / "cohort", key=b"k" * 32, workers=1)
    (row,) = made.report
    assert (row.status, row.n_files) == ("repaired", 9)
    codes = {part.partition(":")[0]: part.split()[1] for part in row.reason.split("; ")}
    assert codes == {"exact-copies": "2", "damaged-copies": "1", "same-pixels": "5", "single-slice": "one"}
    dataset = pydicom.dcmread(source / "MR_small_RLE.dcm")
    dataset.decompress(generate_instance_uid=False)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.compress(pydicom.uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    dataset.save_as(source / "MR_small_RLE.dcm")
    made = ingest_dicom(source, tmp_path / "again", key=b"k" * 32, workers=1)
    (row,) = made.report
    assert row.reason == "conflicting-copies: one SOPInstanceUID in two files of different voxels"


def test_truncated_real_file() -> None:
    with pytest.raises(UnreadableFile, match="truncated"):
        decode(one_slice(library_file("MR_truncated.dcm")))


def test_real_series_with_a_gap_names_the_place() -> None:
    path = library_file("dicomdirtests/77654033/CT2/17136")
    (series,) = find_series(path.parent)
    with pytest.raises(UnreadableFile, match=r"missing-slices: 161 .* \(InstanceNumber 18\)"):
        stack_series(series)


def test_real_localizers_and_mixed_orientations() -> None:
    """Three slices in three planes are a localizer, seven at seven angles no volume; lone slices have a thickness."""
    root = library_file("dicomdirtests/77654033/CT2/17136").parents[2]
    found: Counter[str] = Counter()
    for series in [*find_series(root / "98892003"), *find_series(root / "98892001")]:
        try:
            found["; ".join(stack_series(series).repairs).partition(":")[0]] += 1
        except UnreadableFile as refusal:
            found[refusal.given.partition(":")[0]] += 1
    assert found == {"": 1, "single-slice": 4, "localizer": 3, "mixed-orientation": 1}


def test_whole_folder_of_odd_files_is_survived(tmp_path: Path) -> None:
    folder = library_file("MR_small.dcm").parent
    made = ingest_dicom(folder, tmp_path, key=b"k" * 32, workers=1)
    n_files = sum(path.is_file() for path in folder.rglob("*"))
    assert sum(row.n_files for row in made.report) == n_files
    assert not any(row.reason.startswith("unexpected") for row in made.report)


@pytest.mark.real_data
@pytest.mark.parametrize("decay", ["ADMIN", "START"])
def test_real_dose_in_becquerel(decay: str, data: Path, tmp_path: Path) -> None:
    """A real GE header: 99 kg and 433,344,096 Bq, whose injection is dated a day after the scan (de-identified)."""
    source = data / "dicom_sarcoma" / "STS_002" / "PET" / "image"
    for path in source.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.Units, dataset.PatientID, dataset.DecayCorrection = "BQML", "VERYSECRET", decay
        dataset.save_as(tmp_path / path.name)
    (series,) = find_series(tmp_path)
    if decay == "ADMIN":
        already = read_series(find_series(source)[0]).array
        np.testing.assert_allclose(read_series(series).array, already * np.float64(99_000 / 433_344_096), rtol=1e-5)
        return
    with pytest.raises(UnreadableFile, match=r"suv-times: the scan starts -\d+\.?\d* h after the injection") as refusal:
        read_series(series)
    assert "VERYSECRET" not in str(refusal.value)
