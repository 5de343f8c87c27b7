"""RT Dose: gray by hand, a dose-volume histogram counted by hand, offsets of every kind, and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fiducial.archive import ingest_dicom, read_image, read_mask
from fiducial.archive.decoders import DECODERS, GRIDS, Decoded
from fiducial.archive.dicom import DicomHeader, find_series, write_series
from fiducial.archive.refusal import REFUSALS
from fiducial.archive.rtstruct import read_rtstruct, write_rtstruct
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry, Image

SHAPE = (5, 4, 3)
AFFINE = np.array([[-2.0, 0, 0, 12.5], [0, -3.0, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])
HEADER = DicomHeader("P1", series_number=1)
DOSE_CLASS = "1.2.840.10008.5.1.4.1.1.481.2"


def stored() -> np.ndarray:
    """Stored values [z, y, x], each of its own."""
    return np.arange(60, dtype=np.uint32).reshape(3, 4, 5) * 10


def write_dose(folder: Path, edit: Callable[[Any], None] | None = None) -> Path:
    """A dose of 0.01 Gy a step on the grid above, in one file; then edited."""
    image = Image(np.zeros((1, *SHAPE), np.int16), Geometry(AFFINE, SHAPE), "CT", "HU")
    slices = write_series(image, folder / "slices", HEADER)
    dataset = pydicom.dcmread(slices[0])
    for path in slices:
        path.unlink()
    (folder / "slices").rmdir()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = DOSE_CLASS
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.Modality = "2.25.77", "2.25.78", "RTDOSE"
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        delattr(dataset, keyword)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 32, 32, 31, 0
    dataset.NumberOfFrames, dataset.PixelData = 3, stored().tobytes()
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.DoseGridScaling, dataset.GridFrameOffsetVector = "0.01", [0, 2.5, 5]
    if edit is not None:
        edit(dataset)
    dataset.save_as(folder / "dose.dcm")
    return folder / "dose.dcm"


def decoded(folder: Path) -> Decoded:
    (series,) = find_series(folder)
    return DECODERS[series.kind](series)


def test_gray_by_hand(tmp_path: Path) -> None:
    """The voxel of column 3, row 2 and plane 1 is stored as (20 + 10 + 3) · 10: 3.3 Gy."""
    write_dose(tmp_path)
    done = decoded(tmp_path)
    assert done.image.array[0, 3, 2, 1] == pytest.approx(3.3)
    np.testing.assert_allclose(done.image.array[0], stored().transpose(2, 1, 0) * 0.01, rtol=1e-6)
    done.image.geometry.require_match(Geometry(AFFINE, SHAPE))
    assert (done.image.modality, done.image.unit) == ("RTDOSE", "Gy")
    assert done.columns == {"dose_type": "physical", "dose_summation": "plan"}


def test_a_dose_volume_histogram_by_hand(tmp_path: Path) -> None:
    """A structure of four voxels at 0, 0.1, 0.5 and 0.6 Gy of 15 mm3: mean 0.3 Gy, half of it at 0.5 or more."""
    write_dose(tmp_path)
    (series,) = find_series(tmp_path)
    grid = GRIDS[series.kind](series)
    mask = np.zeros(SHAPE, bool)
    mask[:2, :2, 0] = True
    structures = write_rtstruct({"target": mask}, tmp_path / "rs.dcm", reference=grid, header=HEADER)
    inside = read_rtstruct(structures, grid)["target"]
    image = decoded(tmp_path).image
    dose = image.array[0][inside]
    assert sorted(dose.tolist()) == pytest.approx([0.0, 0.1, 0.5, 0.6])
    assert dose.mean() == pytest.approx(0.3)
    assert (dose >= 0.5).mean() == 0.5
    assert inside.sum() * image.geometry.voxel_ml == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("offsets", "falling"),
    [([0, 2.5, 5], False), ([0, -2.5, -5], True), ([-7.75, -5.25, -2.75], False), ([-7.75, -10.25, -12.75], True)],
)
def test_relative_and_absolute_offsets_rising_and_falling(offsets: list[float], falling: bool, tmp_path: Path) -> None:
    """Whatever the order of the planes, each dose stays at its place in the patient."""
    write_dose(tmp_path, lambda d: setattr(d, "GridFrameOffsetVector", offsets))
    image = decoded(tmp_path).image
    assert np.linalg.det(image.geometry.affine) > 0
    for plane in range(3):
        z_mm = -7.75 + (-2.5 if falling else 2.5) * plane
        level = round((z_mm - image.geometry.affine[2, 3]) / 2.5)
        np.testing.assert_allclose(image.array[0, :, :, level], stored()[plane].T * 0.01, rtol=1e-6)


def test_planes_of_a_patient_who_lies_feet_first(tmp_path: Path) -> None:
    """With the row direction turned the normal points down: absolute offsets that rise go up in the patient."""

    def turned(dataset: Any) -> None:
        dataset.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
        dataset.GridFrameOffsetVector = [-7.75, -5.25, -2.75]

    write_dose(tmp_path, turned)
    image = decoded(tmp_path).image
    heights = {round(float((image.geometry.affine @ [0, 0, k, 1])[2]), 4): k for k in range(3)}
    for plane, z_mm in enumerate((-7.75, -5.25, -2.75)):
        np.testing.assert_allclose(image.array[0, :, :, heights[z_mm]], stored()[plane].T * 0.01, rtol=1e-6)


def test_a_dose_comes_in_beside_its_scan_as_one_exam(tmp_path: Path) -> None:
    source = tmp_path / "in"
    image = Image(np.zeros((1, *SHAPE), np.int16), Geometry(AFFINE, SHAPE), "CT", "HU")
    write_series(image, source / "ct", HEADER)
    grid = HEADER.reference(Geometry(AFFINE, SHAPE), "CT")
    write_rtstruct({"target": np.ones(SHAPE, bool)}, source / "rs.dcm", reference=grid, header=HEADER)
    (source / "dose").mkdir()
    write_dose(source / "dose")
    done = ingest_dicom(source, tmp_path / "out", key=b"k" * 32, workers=1)
    rows = {row["modality"]: row for row in done.rows}
    assert set(rows) == {"CT", "RTDOSE", "RTSTRUCT"}
    assert rows["RTDOSE"]["exam"] == rows["CT"]["exam"] != ""
    assert (rows["RTDOSE"]["role"], rows["RTDOSE"]["unit"]) == ("image", "Gy")
    assert rows["RTSTRUCT"]["of"] == rows["CT"]["image"]
    dose = read_image(tmp_path / "out" / rows["RTDOSE"]["path"])
    dose.geometry.require_match(read_mask(tmp_path / "out" / rows["RTSTRUCT"]["path"]).geometry)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda d: setattr(d, "DoseUnits", "RELATIVE"), "dose-units: relative"),
        (lambda d: delattr(d, "DoseUnits"), "dose-units"),
        (lambda d: setattr(d, "DoseType", "ERROR"), "dose-type: a difference"),
        (lambda d: setattr(d, "DoseGridScaling", "0"), "dose-scaling"),
        (lambda d: delattr(d, "DoseGridScaling"), "dose-scaling"),
        (lambda d: setattr(d, "GridFrameOffsetVector", [0, 2.5, 7.5]), "dose-offsets: planes 2.5 to 5 mm apart"),
        (lambda d: setattr(d, "GridFrameOffsetVector", [0, 2.5]), "dose-offsets: 2 offsets for 3 planes"),
        (lambda d: delattr(d, "GridFrameOffsetVector"), "dose-offsets: 0 offsets for 3 planes"),
        (lambda d: setattr(d, "GridFrameOffsetVector", [4, 6.5, 9]), "dose-offsets: offsets that begin neither"),
        (lambda d: setattr(d, "GridFrameOffsetVector", [0, 0, 0]), "dose-offsets"),
        (lambda d: delattr(d, "PixelSpacing"), "missing-tags: PixelSpacing"),
        (lambda d: setattr(d, "PixelData", d.PixelData[:100]), "truncated"),
        (lambda d: delattr(d, "PixelData"), "truncated"),
    ],
)
def test_doses_that_cannot_be_read_are_refused_by_name(edit: Callable[[Any], None], said: str, tmp_path: Path) -> None:
    write_dose(tmp_path, edit)
    with pytest.raises(UnreadableFile, match=f"^{said}"):
        decoded(tmp_path)


def test_every_code_of_a_dose_is_provoked_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{code}' in text for code in REFUSALS if code.startswith("dose-"))


def test_broken_bytes_are_refused_and_nothing_else(mutations: Callable[..., Iterator[bytes]], tmp_path: Path) -> None:
    path = write_dose(tmp_path)
    refused = 0
    for content in mutations(path):
        path.write_bytes(content)
        try:
            (series,) = find_series(tmp_path) or (None,)
            refused += series is None or not DECODERS[series.kind](series)
        except UnreadableFile:
            refused += 1
    assert refused > 10
