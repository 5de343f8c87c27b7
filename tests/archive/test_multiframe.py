"""Multi-frame files: what one file holds reads like the slices that it stands for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless
from tests.archive.slices import centres, plane

from fiducial.archive import ingest_dicom
from fiducial.archive.dicom import (
    DicomHeader,
    PetDose,
    SeriesFiles,
    find_series,
    read_series,
    stack_series,
    write_series,
)
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry, Image

ENHANCED = {
    "CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.130",
}
SHAPE = (5, 4)


def item(**values: Any) -> Sequence:
    one = Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, value)
    return Sequence([one])


def frame(z_mm: float, **groups: Sequence) -> Dataset:
    """The functional groups of one frame at a height."""
    own = Dataset()
    own.PlanePositionSequence = item(ImagePositionPatient=[1.0, -2.0, z_mm])
    for keyword, sequence in groups.items():
        setattr(own, keyword, sequence)
    return own


def enhanced(modality: str, frames: list[Dataset], voxels: list[np.ndarray], **tags: Any) -> Dataset:
    """An enhanced object: axial, 0.75 x 1.5 mm, what is shared in the shared groups."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = ENHANCED[modality], "2.25.9", modality
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "P1", "2.25.1", "2.25.2"
    dataset.FrameOfReferenceUID, dataset.InstanceNumber = "2.25.3", 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = SHAPE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[1.5, 0.75], SliceThickness=2.0)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    if modality != "MR":
        rescale = {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "HU" if modality == "CT" else "US"}
        shared.PixelValueTransformationSequence = item(**rescale)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = np.stack(voxels).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def voxel(number: int) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return 100 * number + 10 * rows + columns


def by_part(folder: Path) -> dict[str, SeriesFiles]:
    return {one.part: one for one in find_series(folder)}


def test_three_frames_by_hand(tmp_path: Path) -> None:
    """Frames at 6, 0 and 3 mm: upwards they are the second, the third and the first."""
    save(enhanced("CT", [frame(z) for z in (6, 0, 3)], [voxel(k) for k in (1, 2, 3)]), tmp_path / "a.dcm")
    (one,) = find_series(tmp_path)
    image = read_series(one)
    assert image.array[0, 0, 0].tolist() == [200, 300, 100]
    assert image.array[0, 3, 4, 0] == 200 + 43
    np.testing.assert_allclose(image.geometry.affine @ [3, 4, 2, 1], [-(1 + 3 * 0.75), -(-2 + 4 * 1.5), 6, 1])
    assert (one.kind, one.modality, image.unit, len(one.files)) == ("frames", "CT", "HU", 1)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_a_legacy_converted_file_is_its_series(modality: str, tmp_path: Path) -> None:
    """highdicom turns a classic series into one file: the same voxels, places, unit and SUV."""
    legacy = pytest.importorskip("highdicom.legacy")
    affine = np.diag([-0.9, -0.8, 2.5, 1.0])
    affine[:3, 3] = (12.5, 20.25, -7.75)
    array = np.random.default_rng(0).integers(0, 900, (1, 8, 6, 5)).astype(np.float32)
    array = array / 100 if modality == "PT" else array.astype(np.int16)
    unit = {"CT": "HU", "MR": "", "PT": "SUV"}[modality]
    dose = PetDose(3.7e8, datetime(2024, 5, 11, 9), datetime(2024, 5, 11, 10))
    header = DicomHeader("P1", patient_name="A^B", weight_kg=70, pet=dose if modality == "PT" else None, study_id="1")
    files = write_series(Image(array, Geometry(affine, (8, 6, 5)), modality, unit), tmp_path / "classic", header)
    kind = {
        "CT": legacy.LegacyConvertedEnhancedCTImage,
        "MR": legacy.LegacyConvertedEnhancedMRImage,
        "PT": legacy.LegacyConvertedEnhancedPETImage,
    }[modality]
    whole = kind([pydicom.dcmread(p) for p in files], "2.25.10", 1, "2.25.11", 1)
    (tmp_path / "legacy").mkdir()
    whole.save_as(tmp_path / "legacy" / "whole.dcm")
    classic, converted = (read_series(find_series(tmp_path / name)[0]) for name in ("classic", "legacy"))
    np.testing.assert_array_equal(converted.array, classic.array)
    converted.geometry.require_match(classic.geometry)
    assert (converted.modality, converted.unit) == (classic.modality, classic.unit)


def test_two_echoes_of_an_enhanced_mr(tmp_path: Path) -> None:
    """Frames interleaved by echo; each frame has its own rescale."""
    frames = [
        frame(
            3.0 * place,
            MREchoSequence=item(EffectiveEchoTime=echo),
            FrameContentSequence=item(StackID="1", InStackPositionNumber=place + 1),
            PixelValueTransformationSequence=item(RescaleSlope=2, RescaleIntercept=place, RescaleType="US"),
        )
        for place in range(3)
        for echo in (10.0, 80.0)
    ]
    save(enhanced("MR", frames, [voxel(k) for k in range(6)]), tmp_path / "a.dcm")
    parts = by_part(tmp_path)
    assert read_series(parts["echo1"]).array[0, 0, 0].tolist() == [0, 401, 802]
    assert read_series(parts["echo2"]).array[0, 0, 0].tolist() == [200, 601, 1002]
    made = ingest_dicom(tmp_path, tmp_path / "cohort", key=b"k" * 32, workers=1)
    assert sorted(row["echo_time_ms"] for row in made.rows) == [10, 80]


def test_diffusion_times_and_phase_of_an_enhanced_mr(tmp_path: Path) -> None:
    frames, number = [], 0
    for b in (0.0, 800.0):
        for part in ("MAGNITUDE", "PHASE"):
            for place in range(2):
                diffusion = item(DiffusionBValue=b)
                kind = item(FrameType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"], ComplexImageComponent=part)
                frames.append(frame(3.0 * place, MRDiffusionSequence=diffusion, MRImageFrameTypeSequence=kind))
                number += 1
    save(enhanced("MR", frames, [voxel(k) for k in range(number)]), tmp_path / "a.dcm")
    assert set(by_part(tmp_path)) == {"magnitude-b0", "magnitude-b800", "phase-b0", "phase-b800"}
    times = [frame(3.0 * z, FrameContentSequence=item(TemporalPositionIndex=t)) for t in (1, 2) for z in range(2)]
    save(enhanced("MR", times, [voxel(k) for k in range(4)]), tmp_path / "times" / "a.dcm")
    found = by_part(tmp_path / "times")
    assert read_series(found["t002"]).array[0, 0, 0].tolist() == [200, 300]


def test_pet_by_its_real_world_values(tmp_path: Path) -> None:
    """A mapping to SUV by body weight counts, whatever the rescale says."""
    units = item(CodeValue="{SUVbw}g/ml", CodingSchemeDesignator="UCUM", CodeMeaning="SUV")
    mapping = item(RealWorldValueSlope=0.01, RealWorldValueIntercept=0.0, MeasurementUnitsCodeSequence=units)
    frames = [frame(3.0 * z, RealWorldValueMappingSequence=mapping) for z in range(2)]
    save(enhanced("PT", frames, [voxel(k) for k in (1, 2)]), tmp_path / "a.dcm")
    image = read_series(find_series(tmp_path)[0])
    np.testing.assert_allclose(image.array[0, 0, 0], [1.0, 2.0])
    assert image.unit == "SUV"


def concatenation(number: int, total: int, frames: list[Dataset], first: int) -> Dataset:
    tags = {
        "ConcatenationUID": "2.25.50",
        "InConcatenationNumber": number,
        "InConcatenationTotalNumber": total,
        "ConcatenationFrameOffsetNumber": first,
        "SOPInstanceUID": f"2.25.9{number}",
    }
    return enhanced("CT", frames, [voxel(first + k) for k in range(len(frames))], **tags)


def test_a_concatenation_is_one_volume_and_a_lost_part_is_named(tmp_path: Path) -> None:
    for number in range(3):
        frames = [frame(3.0 * (2 * number + k)) for k in range(2)]
        save(concatenation(number + 1, 3, frames, 2 * number), tmp_path / f"{number}.dcm")
    (one,) = find_series(tmp_path)
    assert read_series(one).array[0, 0, 0].tolist() == [0, 100, 200, 300, 400, 500]
    (tmp_path / "2.dcm").unlink()
    (one,) = find_series(tmp_path)
    with pytest.raises(UnreadableFile, match="missing-slices: part 3 of a concatenation of 3 files"):
        stack_series(one)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_frames_in_any_order(syntax: str, tmp_path: Path) -> None:
    dataset = enhanced("CT", [frame(z) for z in (6, 0, 3, 9)], [voxel(k) for k in range(4)])
    dataset.compress(syntax, generate_instance_uid=False)
    save(dataset, tmp_path / "a.dcm")
    (one,) = find_series(tmp_path)
    assert read_series(one).array[0, 0, 0].tolist() == [100, 200, 0, 300]


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    save(enhanced("CT", [frame(z) for z in (0, 3, 6, 12)], [voxel(k) for k in range(4)]), tmp_path / "a.dcm")
    with pytest.raises(UnreadableFile, match="missing-slices: 1 at a spacing of 3 mm: 1 between slice 3"):
        stack_series(find_series(tmp_path)[0])


def test_leaning_and_oblique_frames_lie_in_their_place(tmp_path: Path) -> None:
    """Frames in a plane turned in space: every voxel where the standard puts it."""
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    row, column = turn[0], turn[1]
    normal = np.cross(row, column)
    planes = [plane(4 * k * normal, row=row, column=column, shape=SHAPE) for k in range(3)]
    frames = []
    for one in planes:
        own = Dataset()
        own.PlanePositionSequence = item(ImagePositionPatient=one["ImagePositionPatient"])
        own.PlaneOrientationSequence = item(ImageOrientationPatient=one["ImageOrientationPatient"])
        frames.append(own)
    body = [np.rint(5000 + 40 * centres(one)[..., 0] + 9 * centres(one)[..., 1]) for one in planes]
    dataset = enhanced("CT", frames, body)
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    save(dataset, tmp_path / "a.dcm")
    image = read_series(find_series(tmp_path)[0])
    index = np.indices(image.geometry.shape).reshape(3, -1)
    ras = image.geometry.affine[:3, :3] @ index + image.geometry.affine[:3, 3:]
    expected = (5000 - 40 * ras[0] - 9 * ras[1]).reshape(image.geometry.shape)
    assert np.abs(image.array[0] - expected).max() <= 0.51


def test_what_a_file_lacks_is_said(tmp_path: Path) -> None:
    dataset = enhanced("CT", [frame(z) for z in (0, 3)], [voxel(k) for k in range(3)])
    dataset.NumberOfFrames = 3
    save(dataset, tmp_path / "groups" / "a.dcm")
    made = ingest_dicom(tmp_path / "groups", tmp_path / "cohort", key=b"k" * 32, workers=1)
    assert [row.reason for row in made.report] == [
        "missing-tags: PerFrameFunctionalGroupsSequence of 2 items for 3 frames"
    ]
    dataset = enhanced("CT", [frame(z) for z in (0, 3)], [voxel(k) for k in range(2)])
    dataset.PixelData = dataset.PixelData[:50]
    save(dataset, tmp_path / "cut" / "a.dcm")
    (one,) = find_series(tmp_path / "cut")
    with pytest.raises(UnreadableFile, match="truncated: 1 of 2 files end"):
        stack_series(one)
