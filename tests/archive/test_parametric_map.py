"""Parametric maps: values by hand, highdicom's writer and reader, and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.coding import Code

from fiducial.archive import ingest_dicom
from fiducial.archive.decoders import DECODERS, GRIDS, Decoded
from fiducial.archive.dicom import DicomHeader, find_series, write_series
from fiducial.archive.refusal import REFUSALS
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry, Image

SHAPE = (5, 4, 3)
AFFINE = np.array([[-2.0, 0, 0, 12.5], [0, -3.0, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])
HEADER = DicomHeader("P1")
VALUES = np.random.default_rng(0).random((3, 4, 5))


def mapping(slope: float = 1.0, intercept: float = 0.0, table: Any = None, span: Any = (0.0, 6e4)) -> Any:
    return highdicom.pm.RealWorldValueMapping(
        lut_label="ADC",
        lut_explanation="apparent diffusion",
        unit=Code("um2/s", "UCUM", "um2/s"),
        value_range=span if table is None else (0, len(table) - 1),
        slope=None if table is not None else slope,
        intercept=None if table is not None else intercept,
        lut_data=table,
        quantity_definition=Code("113041", "DCM", "Apparent Diffusion Coefficient"),
    )


def write_map(folder: Path, pixels: np.ndarray, *, of: Any = None, edit: Callable[[Any], None] | None = None) -> Path:
    """A map [z, row, column] by highdicom on the slices of an MR, which are removed."""
    image = Image(np.zeros((1, *SHAPE), np.int16), Geometry(AFFINE, SHAPE), "MR", "")
    slices = write_series(image, folder / "mr", HEADER)
    made = highdicom.pm.ParametricMap(
        [pydicom.dcmread(path) for path in slices], pixels, "2.25.5", 7, "2.25.6", 1, "ours", "none", "1", "0", False,
        of or [mapping()],
        voi_lut_transformations=[highdicom.VOILUTTransformation(0.5, 1)],
    )  # fmt: skip
    for path in slices:
        path.unlink()
    (folder / "mr").rmdir()
    if edit is not None:
        edit(made)
    made.save_as(folder / "map.dcm")
    return folder / "map.dcm"


def decoded(folder: Path) -> Decoded:
    (series,) = find_series(folder)
    return DECODERS[series.kind](series)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_real_values_come_as_they_are(dtype: type, tmp_path: Path) -> None:
    write_map(tmp_path, VALUES.astype(dtype))
    done = decoded(tmp_path)
    np.testing.assert_array_equal(done.image.array[0], VALUES.astype(np.float32).transpose(2, 1, 0))
    done.image.geometry.require_match(Geometry(AFFINE, SHAPE))
    assert (done.image.modality, done.image.unit) == ("PMAP", "um2/s")
    assert done.columns == {"quantity": "DCM:113041 Apparent Diffusion Coefficient"}
    (series,) = find_series(tmp_path)
    GRIDS[series.kind](series).geometry.require_match(done.image.geometry)


def test_whole_values_go_through_slope_and_intercept(tmp_path: Path) -> None:
    """Stored 7 at slope 0.5 and intercept -2: 1.5."""
    pixels = np.full((3, 4, 5), 7, np.uint16)
    pixels[1, 2, 3] = 9
    path = write_map(tmp_path, pixels, of=[mapping(0.5, -2, span=(0, 60000))])
    array = decoded(tmp_path).image.array[0]
    assert (array[0, 0, 0], array[3, 2, 1]) == (1.5, 2.5)
    theirs = highdicom.imread(path).get_volume(apply_real_world_transform=True)
    assert sorted(np.asarray(theirs.array).ravel().tolist()) == sorted(array.ravel().tolist())


def test_whole_values_go_through_a_table(tmp_path: Path) -> None:
    pixels = np.zeros((3, 4, 5), np.uint8)
    pixels[2, 1, 4] = 2
    write_map(tmp_path, pixels, of=[mapping(table=[10.0, 20.0, 35.5])])
    array = decoded(tmp_path).image.array[0]
    assert (array[0, 0, 0], array[4, 1, 2]) == (10.0, 35.5)


def test_frames_in_any_order(tmp_path: Path) -> None:
    def swap(dataset: Any) -> None:
        groups = dataset.PerFrameFunctionalGroupsSequence
        dataset.PerFrameFunctionalGroupsSequence = [groups[2], groups[0], groups[1]]
        frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(3, -1)
        dataset.FloatPixelData = frames[[2, 0, 1]].tobytes()

    write_map(tmp_path, VALUES.astype(np.float32), edit=swap)
    np.testing.assert_array_equal(decoded(tmp_path).image.array[0], VALUES.astype(np.float32).transpose(2, 1, 0))


def test_a_map_becomes_an_image_of_the_exam(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_map(tmp_path / "in", VALUES.astype(np.float32))
    (row,) = ingest_dicom(tmp_path / "in", tmp_path / "out", key=b"k" * 32, workers=1).rows
    assert (row["role"], row["modality"], row["unit"]) == ("image", "PMAP", "um2/s")
    assert row["exam"]


def one_of_its_own(dataset: Any) -> None:
    position = dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    position.ImagePositionPatient[2] += 0.7


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (one_of_its_own, "map-frames: 3 frames that are no even stack"),
        (lambda d: setattr(d, "TotalPixelMatrixColumns", 9), "map-frames: frames are tiles"),
        (lambda d: d.SharedFunctionalGroupsSequence[0].pop("RealWorldValueMappingSequence"), "map-mapping: no Real"),
        (lambda d: setattr(d, "FloatPixelData", d.FloatPixelData[:40]), "truncated"),
        (lambda d: setattr(d, "NumberOfFrames", 2), "missing-tags"),
    ],
)
def test_maps_that_cannot_be_read_are_refused_by_name(edit: Callable[[Any], None], said: str, tmp_path: Path) -> None:
    write_map(tmp_path, VALUES.astype(np.float32), edit=edit)
    with pytest.raises(UnreadableFile, match=f"^{said}"):
        decoded(tmp_path)


def test_two_mappings_and_values_beyond_the_table_are_refused(tmp_path: Path) -> None:
    def doubled(dataset: Any) -> None:
        items = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        items.append(items[0])

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_map(tmp_path / "a", VALUES.astype(np.float32), edit=doubled)
    with pytest.raises(UnreadableFile, match="map-mapping: 2 mappings"):
        decoded(tmp_path / "a")
    write_map(tmp_path / "b", np.full((3, 4, 5), 9, np.uint8), of=[mapping(table=[1.0, 2.0])])
    with pytest.raises(UnreadableFile, match="map-mapping: stored values outside"):
        decoded(tmp_path / "b")


def test_every_code_of_a_map_is_provoked_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{code}' in text for code in REFUSALS if code.startswith("map-"))


def test_broken_bytes_are_refused_and_nothing_else(mutations: Callable[..., Iterator[bytes]], tmp_path: Path) -> None:
    path = write_map(tmp_path, VALUES.astype(np.float32))
    refused = 0
    for content in mutations(path):
        path.write_bytes(content)
        try:
            (series,) = find_series(tmp_path) or (None,)
            refused += series is None or not DECODERS[series.kind](series)
        except UnreadableFile:
            refused += 1
    assert refused > 10
