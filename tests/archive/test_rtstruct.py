"""RT structure sets: masks to contours and back, holes, and which series they belong to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fiducial.archive.dicom import DicomHeader, SeriesReference, discover, find_series, stack_series, write_series
from fiducial.archive.matching import match_objects
from fiducial.archive.rtstruct import draw, read_rtstruct, read_structure_set, write_rtstruct
from fiducial.errors import GeometryError, UnreadableFile
from fiducial.records.image import Geometry, Image

AFFINE = np.array([[-0.9, 0, 0, 12.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])
SHAPE = (12, 10, 6)
HEADER = DicomHeader("P1")


def reference(affine: np.ndarray = AFFINE, shape: tuple[int, int, int] = SHAPE) -> SeriesReference:
    return HEADER.reference(Geometry(affine, shape), "CT")


def ring() -> np.ndarray:
    """A square ring with a dot in its hole, on slices 1 to 3."""
    mask = np.zeros(SHAPE, bool)
    mask[2:10, 1:9, 1:4] = True
    mask[4:8, 3:7, 1:4] = False
    mask[5, 5, 2] = True
    return mask


def test_one_square_by_hand(tmp_path: Path) -> None:
    """Contour in LPS mm around the voxels x = 2, 3 and y = 1 of slice z = 4 on a 1 mm grid at the origin."""
    grid = reference(np.diag([-1.0, -1.0, 1.0, 1.0]))
    path = write_rtstruct({"a": np.zeros(SHAPE, bool)}, tmp_path / "rs.dcm", reference=grid, header=HEADER)
    dataset = pydicom.dcmread(path)
    contour = pydicom.Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
    contour.ContourData = [1.5, 0.5, 4, 3.5, 0.5, 4, 3.5, 1.5, 4, 1.5, 1.5, 4]
    dataset.ROIContourSequence[0].ContourSequence = [contour]
    dataset.save_as(path)
    mask = read_rtstruct(path, grid)["a"]
    assert {tuple(v) for v in np.argwhere(mask)} == {(2, 1, 4), (3, 1, 4)}


def test_holes_and_islands_come_back(tmp_path: Path) -> None:
    path = write_rtstruct({"ring": ring()}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    np.testing.assert_array_equal(read_rtstruct(path, reference())["ring"], ring())


def test_overlapping_structures_stay_apart(tmp_path: Path) -> None:
    masks = {"all": np.ones(SHAPE, bool), "ring": ring(), "GTV Nödul": ~ring()}
    path = write_rtstruct(masks, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    read = read_rtstruct(path, reference())
    assert list(read) == list(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(read[name], mask)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mask=arrays(bool, (5, 4, 3)),
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
)
def test_any_mask_on_any_right_angled_grid(
    mask: np.ndarray, axes: list[int], signs: tuple[float, ...], tmp_path: Path
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * np.array([0.7, 1.3, 2.1]) * signs
    affine[:3, 3] = (-31.7, 12.9, 303.3)
    grid = reference(affine, (5, 4, 3))
    path = write_rtstruct({"m": mask}, tmp_path / "rs.dcm", reference=grid, header=HEADER)
    np.testing.assert_array_equal(read_rtstruct(path, grid).get("m", np.zeros_like(mask)), mask)


def test_file_says_what_it_refers_to(tmp_path: Path) -> None:
    path = write_rtstruct({"ring": ring()}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    found = read_structure_set(path)
    assert found.series_uids == {HEADER.series_uid("CT")}
    assert found.frame_uids == {HEADER.frame_uid}
    assert found.sop_uids == set(reference().sop_uids)
    dataset = pydicom.dcmread(path)
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == reference().sop_uids[1]
    assert (dataset.Modality, dataset.file_meta.MediaStorageSOPClassUID.name) == (
        "RTSTRUCT",
        "RT Structure Set Storage",
    )
    assert dataset.RTROIObservationsSequence[0].ReferencedROINumber == dataset.StructureSetROISequence[0].ROINumber


def test_structures_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    path = write_rtstruct({"a": ring(), "b": ~ring()}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    dataset = pydicom.dcmread(path)
    dataset.StructureSetROISequence[1].ROIName = "a"
    dataset.save_as(path)
    assert list(read_rtstruct(path, reference())) == ["a", "a_2"]


def test_one_bad_structure_does_not_stop_the_others(tmp_path: Path) -> None:
    path = write_rtstruct({"a": ring(), "b": ring()}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    dataset.save_as(path)
    bad, good = draw(read_structure_set(path), reference())
    assert bad.mask is None
    assert bad.refusal is not None
    assert "1 of 7 contours are OPEN_PLANAR" in bad.refusal.given
    np.testing.assert_array_equal(good.mask, ring())
    with pytest.raises(UnreadableFile, match="rtstruct-contour-type"):
        read_rtstruct(path, reference())


def scene(folder: Path) -> None:
    """Two CT series of one patient and study, and another patient's."""
    image = Image(np.zeros((1, *SHAPE), np.int16), Geometry(AFFINE, SHAPE), "CT", "HU")
    write_series(image, folder / "1", HEADER)
    write_series(image, folder / "2", replace(HEADER, series_number=2))
    write_series(image, folder / "3", DicomHeader("P2"))


@pytest.mark.parametrize(
    ("kept", "expected"),
    [("series", "1"), ("images", "1"), ("frame", "object-ambiguous"), ("nothing", "object-no-series")],
)
def test_matching_goes_from_series_to_images_to_frame(kept: str, expected: str, tmp_path: Path) -> None:
    scene(tmp_path)
    path = write_rtstruct({"a": ring()}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    dataset = pydicom.dcmread(path)
    series = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    if kept != "series":
        series.SeriesInstanceUID = "2.25.5"
    if kept in ("frame", "nothing"):
        series.ContourImageSequence = []
        for contour in dataset.ROIContourSequence[0].ContourSequence:
            del contour.ContourImageSequence
    if kept == "nothing":
        dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "2.25.6"
        dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "2.25.6"
    dataset.save_as(path)
    found = discover(tmp_path, workers=1)
    (match,) = match_objects(found.objects, found.series, workers=1)
    if match.refusal is not None:
        assert match.refusal.given.startswith(expected)
    else:
        assert match.series == HEADER.series_uid("CT")


def test_structures_of_another_patient_are_not_matched(tmp_path: Path) -> None:
    scene(tmp_path)
    write_rtstruct({"a": ring()}, tmp_path / "rs.dcm", reference=reference(), header=DicomHeader("P3"))
    found = discover(tmp_path, workers=1)
    (match,) = match_objects(found.objects, found.series, workers=1)
    assert match.refusal is not None
    assert match.refusal.given.startswith("object-no-series")


def test_series_read_from_files_gives_the_same_masks(tmp_path: Path) -> None:
    scene(tmp_path)
    path = write_rtstruct({"a": ring()}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    series = next(s for s in find_series(tmp_path / "1"))
    np.testing.assert_array_equal(read_rtstruct(path, stack_series(series).reference)["a"], ring())


def test_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"mask 'a' of shape \(2, 2, 2\)"):
        write_rtstruct({"a": np.ones((2, 2, 2), bool)}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    assert not list(tmp_path.iterdir())


def test_broken_contour_data(tmp_path: Path) -> None:
    path = write_rtstruct({"a": ring()}, tmp_path / "rs.dcm", reference=reference(), header=HEADER)
    content = path.read_bytes()
    at = content.index(b"\x06\x30\x50\x00DS") + 8
    path.write_bytes(content[:at] + b"x" + content[at + 1 :])
    with pytest.raises(UnreadableFile, match=r"unreadable: a structure set that cannot be parsed \(ValueError\)"):
        read_rtstruct(path, reference())
