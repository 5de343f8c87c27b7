"""Masks back to the archive: read by plain code from the standard's text, by highdicom, dcmqi and our own readers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest

from fiducial.archive.dicom import DicomHeader, find_series, write_series
from fiducial.archive.dicom.tilt import straighten_mask
from fiducial.archive.export import Maker
from fiducial.archive.export.codes import _table, structure_codes
from fiducial.archive.export.seg import write_segmentation
from fiducial.archive.export.source import PATIENT_AND_STUDY, SourceSeries, open_source
from fiducial.archive.export.sr import measure_masks, write_report
from fiducial.archive.export.structures import write_structures
from fiducial.archive.measurements import read_measurements
from fiducial.archive.rtstruct import read_rtstruct
from fiducial.archive.segmentation import read_segmentation, segmentation_references
from fiducial.errors import GeometryError, InputRefused, UnreadableFile, VoxelError
from fiducial.maths.extent import LongAxis, long_axis
from fiducial.records.image import Geometry, Image

SHAPE = (11, 9, 6)
AFFINE = np.array([[-0.9, 0, 0, 12.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])
HEADER = DicomHeader("QX-1", patient_name="Müller^Amalia", sex="F", age_years=60, series_number=3, study_id="S")
MAKER = Maker("nodules", "v7", "ab" * 32)


def letter_l(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """An L with a foot to one side, one slice longer at its toe: equal to no turned or mirrored copy of itself."""
    mask = np.zeros(shape, bool)
    mask[2, 1:7, 2:4] = True
    mask[2:6, 6, 2:4] = True
    mask[5, 6, 4] = True
    return mask


def written(folder: Path, affine: np.ndarray = AFFINE, header: DicomHeader = HEADER) -> SourceSeries:
    write_series(Image(np.zeros((1, *SHAPE), np.int16), Geometry(affine, SHAPE), "CT", "HU"), folder, header)
    return open_source(find_series(folder)[0])


@pytest.fixture
def source(tmp_path: Path) -> SourceSeries:
    return written(tmp_path / "ct")


def grid(source: SourceSeries) -> Geometry:
    return source.grid


def plain_places(path: Path) -> dict[str, set[tuple[float, ...]]]:
    """Voxels of each segment as places in LPS mm, rounded, by PS3.5 8.1.1 and PS3.3 C.7.6.2.1.1 alone.

    Bits are taken one by one from whole bytes, lowest first; P = S + X · column + Y · row, with PixelSpacing (row
    spacing, column spacing) and the direction cosines of a row (along columns) and of a column.
    """
    dataset = pydicom.dcmread(path)
    rows, columns, data = dataset.Rows, dataset.Columns, dataset.PixelData
    labels = {segment.SegmentNumber: segment.SegmentLabel for segment in dataset.SegmentSequence}
    shared = dataset.SharedFunctionalGroupsSequence[0]
    places: dict[str, set[tuple[float, ...]]] = {label: set() for label in labels.values()}
    for number, own in enumerate(dataset.PerFrameFunctionalGroupsSequence):

        def item(name: str, own: Any = own) -> Any:
            return (own if name in own else shared)[name].value[0]

        position = np.array(item("PlanePositionSequence").ImagePositionPatient, float)
        cosines = np.array(item("PlaneOrientationSequence").ImageOrientationPatient, float)
        between_rows, between_columns = (float(mm) for mm in item("PixelMeasuresSequence").PixelSpacing)
        labelled = dataset.SegmentationType == "LABELMAP"
        segment = 0 if labelled else item("SegmentIdentificationSequence").ReferencedSegmentNumber
        for row, column in product(range(rows), range(columns)):
            at = (number * rows + row) * columns + column
            value = data[at // 8] >> at % 8 & 1 if dataset.BitsAllocated == 1 else data[at]
            if value == 0 or (value * 2 < dataset.get("MaximumFractionalValue", 1)):
                continue
            place = position + cosines[:3] * column * between_columns + cosines[3:] * row * between_rows
            places[labels[value if labelled else segment]].add(tuple(np.round(place, 2) + 0.0))
    return places


def places_of(mask: np.ndarray, affine: np.ndarray) -> set[tuple[float, ...]]:
    """Voxels of a mask [x, y, z] on a RAS grid as places in LPS mm."""
    index = np.argwhere(mask)
    ras = index @ affine[:3, :3].T + affine[:3, 3]
    return {tuple(p) for p in np.round(ras * [-1, -1, 1], 2) + 0.0}


def at_places(source: SourceSeries, affine: np.ndarray) -> np.ndarray:
    """The letter of a phantom's grid on the grid of its series as it was read (a left-handed one comes back turned)."""
    ras = np.argwhere(letter_l()) @ affine[:3, :3].T + affine[:3, 3]
    inverse = np.linalg.inv(grid(source).affine)
    mask = np.zeros(grid(source).shape, bool)
    mask[tuple(np.rint(ras @ inverse[:3, :3].T + inverse[:3, 3]).astype(int).T)] = True
    return mask


def test_one_voxel_by_hand(tmp_path: Path) -> None:
    """Voxel (2, 1, 3) of a 1 mm grid at the origin lies 2 mm left, 1 mm behind and 3 mm above: LPS (2, 1, 3)."""
    source = written(tmp_path / "ct", np.diag([-1.0, -1, 1, 1]))
    mask = np.zeros(SHAPE, bool)
    mask[2, 1, 3] = True
    write_segmentation({"dot": mask}, tmp_path / "a.dcm", geometry=grid(source), source=source, maker=MAKER)
    assert plain_places(tmp_path / "a.dcm") == {"dot": {(2.0, 1.0, 3.0)}}


SIGNED = [(axes, signs) for axes in permutations(range(3)) for signs in product((-1, 1), repeat=3)]


@pytest.mark.parametrize(("axes", "signs"), SIGNED)
def test_no_orientation_flips_the_letter(axes: tuple[int, ...], signs: tuple[int, ...], tmp_path: Path) -> None:
    """All 24 right-handed and 24 left-handed grids, of three unlike spacings."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * np.array([0.9, 0.8, 2.5]) * np.array(signs)
    affine[:3, 3] = (-31.7, 12.9, 303.3)
    require_letter_everywhere(affine, tmp_path)


@pytest.mark.parametrize("angles", [(20, 0, 0), (0, 33, 5), (13, -27, 41)])
def test_no_oblique_grid_flips_the_letter(angles: tuple[float, ...], tmp_path: Path) -> None:
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * np.array([0.9, 0.8, 2.5])
    affine[:3, 3] = (-31.7, 12.9, 303.3)
    require_letter_everywhere(affine, tmp_path)


def require_letter_everywhere(affine: np.ndarray, folder: Path) -> None:
    """SEG and RTSTRUCT of the letter, read by plain code, by highdicom and by ours: the places of the phantom."""
    source = written(folder / "ct", affine)
    mask, truth = at_places(source, affine), places_of(letter_l(), affine)
    assert places_of(mask, grid(source).affine) == truth
    write_segmentation({"L": mask}, folder / "a.dcm", geometry=grid(source), source=source, maker=MAKER)
    write_structures({"L": mask}, folder / "b.dcm", geometry=grid(source), source=source, maker=MAKER)
    assert plain_places(folder / "a.dcm") == {"L": truth}
    volume = highdicom.seg.segread(folder / "a.dcm").get_volume(combine_segments=True)
    index = np.argwhere(np.asarray(volume.array) > 0)
    places = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert {tuple(p) for p in np.round(places, 2) + 0.0} == truth
    np.testing.assert_array_equal(read_segmentation(folder / "a.dcm", source.reference)["L"], mask)
    np.testing.assert_array_equal(read_rtstruct(folder / "b.dcm", source.reference)["L"], mask)


def tilted(folder: Path, degrees: float) -> SourceSeries:
    """A series whose gantry was tilted: each slice lies further along its columns."""
    written(folder)
    for number, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + 2.5 * np.tan(np.radians(degrees)) * number, z]
        dataset.save_as(path)
    return open_source(find_series(folder)[0])


def test_a_tilted_series_gets_its_masks_on_its_own_slices(tmp_path: Path) -> None:
    """At 0.8 mm rows and 2.5 mm slices, 17.7447 degrees are one row a slice: the mask's row moves by one each slice."""
    source = tilted(tmp_path / "ct", float(np.degrees(np.arctan(0.8 / 2.5))))
    assert grid(source).shape == (11, 14, 6)
    mask = np.zeros(grid(source).shape, bool)
    mask[3, 6, :] = True
    write_segmentation({"rod": mask}, tmp_path / "a.dcm", geometry=grid(source), source=source, maker=MAKER)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    found = {}
    for frame, own in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        ((row, column),) = np.argwhere(frame)
        z = round((own.PlanePositionSequence[0].ImagePositionPatient[2] + 7.75) / 2.5)
        found[z] = (int(row), int(column))
    assert found == {z: (6 - z, 3) for z in range(6)}
    assert plain_places(tmp_path / "a.dcm")["rod"] == places_of(mask, grid(source).affine)


@pytest.mark.parametrize("degrees", [4.0, 10.0, -13.0])
def test_a_tilted_series_gives_its_masks_back(degrees: float, tmp_path: Path) -> None:
    """Out onto the leaning slices, in again onto the even grid: SEG and RTSTRUCT, voxel by voxel."""
    source = tilted(tmp_path / "ct", degrees)
    mask = np.zeros(grid(source).shape, bool)
    mask[2:7, 4:7, 1:5] = True
    mask[2:4, 4:6, 1] = False
    write_structures({"box": mask}, tmp_path / "b.dcm", geometry=grid(source), source=source, maker=MAKER)
    write_segmentation({"box": mask}, tmp_path / "a.dcm", geometry=grid(source), source=source, maker=MAKER)
    drawn = read_segmentation(tmp_path / "a.dcm", source.reference)["box"]
    np.testing.assert_array_equal(read_rtstruct(tmp_path / "b.dcm", source.reference)["box"], drawn)
    back, again = straighten_mask(drawn, source.reference.geometry)
    assert again.matches(grid(source))
    np.testing.assert_array_equal(back, mask)


def test_a_multi_frame_source(tmp_path: Path) -> None:
    """An enhanced CT in one file, frames stored from the head down: the letter lies where it lies in the patient."""
    source = written(tmp_path / "ct")
    (tmp_path / "enhanced").mkdir()
    enhanced(source, tmp_path / "enhanced" / "one.dcm")
    many = open_source(find_series(tmp_path / "enhanced")[0])
    assert many.frames == (6, 5, 4, 3, 2, 1)
    write_segmentation({"L": letter_l()}, tmp_path / "a.dcm", geometry=grid(many), source=many, maker=MAKER)
    write_structures({"L": letter_l()}, tmp_path / "b.dcm", geometry=grid(many), source=many, maker=MAKER)
    assert plain_places(tmp_path / "a.dcm") == {"L": places_of(letter_l(), AFFINE)}
    np.testing.assert_array_equal(read_segmentation(tmp_path / "a.dcm", many.reference)["L"], letter_l())
    np.testing.assert_array_equal(read_rtstruct(tmp_path / "b.dcm", many.reference)["L"], letter_l())
    first = pydicom.dcmread(tmp_path / "b.dcm").ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    assert (first.ReferencedSOPInstanceUID, first.ReferencedFrameNumber) == (many.headers[0].SOPInstanceUID, 4)


def enhanced(source: SourceSeries, path: Path) -> None:
    """The slices of a series as one Enhanced CT file, from the last to the first."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    one = pydicom.dcmread(source.series.files[0])
    headers = list(source.headers)[::-1]
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    one.NumberOfFrames = len(headers)
    one.PixelData = one.PixelData * len(headers)
    shared, groups = Dataset(), []
    measures, orientation, rescale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = one.PixelSpacing, one.SliceThickness
    orientation.ImageOrientationPatient = one.ImageOrientationPatient
    rescale.RescaleIntercept, rescale.RescaleSlope, rescale.RescaleType = one.RescaleIntercept, one.RescaleSlope, "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([rescale])
    for header in headers:
        own, position = Dataset(), Dataset()
        position.ImagePositionPatient = header.ImagePositionPatient
        own.PlanePositionSequence = Sequence([position])
        groups.append(own)
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(groups)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "InstanceNumber",
    ):
        delattr(one, keyword)
    one.save_as(path)


def test_a_radiograph_gets_a_seg_and_no_contours(tmp_path: Path) -> None:
    """No frame of reference: the SEG names its image, and contours would lie nowhere."""
    source = radiograph(tmp_path / "dx")
    mask = np.zeros(grid(source).shape, bool)
    mask[1:4, 2, 0] = True
    write_segmentation({"rib": mask}, tmp_path / "a.dcm", geometry=grid(source), source=source, maker=MAKER)
    np.testing.assert_array_equal(read_segmentation(tmp_path / "a.dcm", source.reference)["rib"], mask)
    with pytest.raises(VoxelError, match="no frame of reference"):
        write_structures({"rib": mask}, tmp_path / "b.dcm", geometry=grid(source), source=source, maker=MAKER)


def test_a_film_is_no_source(tmp_path: Path) -> None:
    path = radiograph(tmp_path / "dx").series.files[0]
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames, dataset.PixelData = 2, dataset.PixelData * 2
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    dataset.save_as(path)
    with pytest.raises(UnreadableFile, match="export-source: a film"):
        open_source(find_series(tmp_path / "dx")[0])


def radiograph(folder: Path) -> SourceSeries:
    """A CR of 11 x 9 pixels."""
    path = written(folder).series.files[0]
    for other in folder.iterdir():
        if other != path:
            other.unlink()
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.Modality = "CR"
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "FrameOfReferenceUID",
        "PositionReferenceIndicator",
    ):
        delattr(dataset, keyword)
    dataset.save_as(path)
    return open_source(find_series(folder)[0])


@pytest.mark.parametrize("kind", ["binary", "fractional", "labelmap"])
def test_structures_of_every_kind_come_back(kind: Any, source: SourceSeries, tmp_path: Path) -> None:
    masks = {"Nodule": letter_l(), "Kidney_L": np.roll(letter_l(), 3, axis=0) & ~letter_l()}
    path = tmp_path / "a.dcm"
    write_segmentation(masks, path, geometry=grid(source), source=source, maker=MAKER, kind=kind)
    read = read_segmentation(path, source.reference)
    places = plain_places(path)
    for name, mask in masks.items():
        np.testing.assert_array_equal(read[name], mask)
        assert places[name] == places_of(mask, grid(source).affine)


def test_probabilities_are_kept_in_steps_of_a_255th(source: SourceSeries, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.random(SHAPE).astype(np.float32)
    path = tmp_path / "a.dcm"
    write_segmentation({"p": values}, path, geometry=grid(source), source=source, maker=MAKER, kind="fractional")
    stored = highdicom.seg.segread(path).get_pixels_by_source_instance([h.SOPInstanceUID for h in source.headers])
    assert np.abs(stored[..., 0] - values.transpose(2, 1, 0)).max() <= 0.5 / 255 + 1e-6


def test_overlapping_structures_stay_apart_except_in_a_label_map(source: SourceSeries, tmp_path: Path) -> None:
    masks = {"all": np.ones(SHAPE, bool), "L": letter_l()}
    path = tmp_path / "a.dcm"
    write_segmentation(masks, path, geometry=grid(source), source=source, maker=MAKER)
    for name, mask in read_segmentation(path, source.reference).items():
        np.testing.assert_array_equal(mask, masks[name])
    with pytest.raises(VoxelError, match=f"{letter_l().sum()} voxels belong to several"):
        write_segmentation(
            masks, tmp_path / "b.dcm", geometry=grid(source), source=source, maker=MAKER, kind="labelmap"
        )
    assert not (tmp_path / "b.dcm").exists()


def test_patient_and_study_are_the_sources_and_uids_are_new(source: SourceSeries, tmp_path: Path) -> None:
    seg, drawn = tmp_path / "a.dcm", tmp_path / "b.dcm"
    write_segmentation({"Nodule": letter_l()}, seg, geometry=grid(source), source=source, maker=MAKER)
    write_structures({"Nodule": letter_l()}, drawn, geometry=grid(source), source=source, maker=MAKER)
    original = source.headers[0]
    uids = {str(header.SOPInstanceUID) for header in source.headers} | {source.reference.series_uid}
    for path in (seg, drawn):
        dataset = pydicom.dcmread(path)
        for keyword in PATIENT_AND_STUDY:
            assert (keyword in dataset) == (keyword in original), keyword
            if keyword in original:
                assert dataset[keyword].value == original[keyword].value, keyword
        assert dataset.PatientName.family_name == "Müller"
        assert dataset.FrameOfReferenceUID == source.reference.frame_uid
        assert str(dataset.SeriesDescription).startswith("Research use only")
        assert not {str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID)} & uids
    dataset = pydicom.dcmread(seg)
    segment = dataset.SegmentSequence[0]
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "nodules")
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("nodules", "v7")
    assert "ab" * 32 in algorithm.AlgorithmParameters
    assert dataset.get("ContentCreatorName") in (None, "")
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.reference.series_uid
    assert {str(i.ReferencedSOPInstanceUID) for i in series.ReferencedInstanceSequence} <= uids


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("ISO_IR 100", "Müller^Amalia"),
        ("ISO_IR 144", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_in_other_alphabets_come_back(characters: Any, name: str, tmp_path: Path) -> None:
    written(tmp_path / "ct")
    for path in (tmp_path / "ct").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.decode()
        dataset.SpecificCharacterSet, dataset.PatientName = characters, name
        dataset.save_as(path)
    source = open_source(find_series(tmp_path / "ct")[0])
    assert source.headers[0].PatientName == name
    given = {"geometry": grid(source), "source": source, "maker": MAKER}
    seg = write_segmentation({"Nodule": letter_l()}, tmp_path / "a.dcm", **given)
    write_structures({"Nodule": letter_l()}, tmp_path / "b.dcm", **given)
    measured = measure_masks({"Nodule": letter_l()}, grid(source), source)
    write_report(measured, tmp_path / "c.dcm", source=source, maker=MAKER, segmentation=seg)
    for path in sorted(tmp_path.glob("*.dcm")):
        assert str(pydicom.dcmread(path).PatientName) == name


def test_equal_masks_give_equal_uids_and_other_masks_others(source: SourceSeries, tmp_path: Path) -> None:
    def uid(name: str, mask: np.ndarray, maker: Maker = MAKER) -> str:
        path = tmp_path / name
        return str(
            write_segmentation({"L": mask}, path, geometry=grid(source), source=source, maker=maker).SOPInstanceUID
        )

    first = uid("1", letter_l())
    assert uid("2", letter_l()) == first
    assert len({first, uid("3", ~letter_l()), uid("4", letter_l(), replace(MAKER, digest="cd"))}) == 3


def test_codes_of_names() -> None:
    assert structure_codes("Kidney_L").kind == ("64033007", "Kidney")
    assert structure_codes("Kidney_L").side == ("7771000", "Left")
    assert structure_codes("rightLung").side == ("24028007", "Right")
    assert structure_codes("left ventricle").kind == ("87878005", "Left ventricle")
    assert structure_codes("left ventricle").side is None
    assert structure_codes("nodule").category == ("49755003", "Morphologically Abnormal Structure")
    for unknown in ("label_1", "not liver", "liver or spleen", "left right lung", ""):
        assert structure_codes(unknown).kind == ("85756007", "Tissue")
        assert not structure_codes(unknown).known


def test_every_code_of_the_table_is_snomeds() -> None:
    from pydicom.sr._concepts_dict import concepts

    known = {(value, meaning) for found in concepts["SCT"].values() for value, (meaning, _) in found.items()}
    assert {(value, meaning) for _, value, meaning in _table().values()} <= known


def test_long_axis_by_hand() -> None:
    """Three voxels to the side and four rows down, of 2 and 1 mm: sqrt(6^2 + 4^2)."""
    mask = np.zeros((6, 6, 3), bool)
    mask[1, 1, 1] = mask[4, 5, 1] = mask[2, 2, 1] = mask[1, 1, 2] = True
    steps = np.array([[2.0, 0], [0, 1.0], [0, 0]])
    found = long_axis(mask, steps)
    assert found is not None
    assert (found.mm, found.z, set(found.ends)) == (pytest.approx(52**0.5), 1, {(1, 1), (4, 5)})
    line = np.zeros((6, 6, 1), bool)
    line[:, 2, 0] = True
    along = long_axis(line, steps)
    assert along is not None
    assert (along.mm, set(along.ends)) == (pytest.approx(10.0), {(0, 2), (5, 2)})
    one = np.zeros((6, 6, 1), bool)
    one[3, 3, 0] = True
    assert long_axis(one, steps) == LongAxis(0.0, 0, ((3, 3), (3, 3)))
    assert long_axis(np.zeros((2, 2, 2), bool), steps) is None
    cloud = np.random.default_rng(1).random((12, 9, 1)) > 0.6
    points = np.argwhere(cloud)[:, :2] * [2.0, 1.0]
    furthest = max(float(np.linalg.norm(a - b)) for a in points for b in points)
    among = long_axis(cloud, steps)
    assert among is not None
    assert among.mm == pytest.approx(furthest)


def report(source: SourceSeries, folder: Path) -> Path:
    """SEG and SR of two structures and a score; the SR's path."""
    masks = {"Nodule": letter_l(), "Kidney_L": np.roll(letter_l(), 3, axis=0) & ~letter_l()}
    seg = write_segmentation(masks, folder / "a.dcm", geometry=grid(source), source=source, maker=MAKER)
    measured = measure_masks(masks, grid(source), source)
    path = folder / "sr.dcm"
    write_report(measured, path, source=source, maker=MAKER, segmentation=seg, scores={"malignant": 0.75})
    return path


def test_a_report_says_what_was_measured_where(source: SourceSeries, tmp_path: Path) -> None:
    """Nodule: 15 voxels of 0.9 x 0.8 x 2.5 mm; long axis from (2, 1) to (5, 6): 3 columns and 5 rows."""
    document = highdicom.sr.srread(report(source, tmp_path))
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    groups = document.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["Nodule", "Kidney_L"]
    first = groups[0]
    assert first.finding_type.value == "27925004"
    assert first.tracking_uid == seg.SegmentSequence[0].TrackingUID
    (volume,) = first.get_measurements()
    assert volume.name.value == "118565006"
    assert volume.value == pytest.approx(letter_l().sum() * 0.9 * 0.8 * 2.5 / 1000)
    assert volume.unit.value == "ml"
    second = document.content.get_image_measurement_groups(tracking_uid=first.tracking_uid)
    (axis,) = second[0].get_measurements()
    assert axis.value == pytest.approx(np.hypot(3 * 0.9, 5 * 0.8))
    (line,) = axis.referenced_coordinates
    assert {tuple(p) for p in line.value.tolist()} == {(2.5, 1.5), (5.5, 6.5)}
    named = first.referenced_segment
    assert str(named[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == str(seg.SOPInstanceUID)
    *_, score = document.content.get_image_measurement_groups()
    (probability,) = score.get_measurements()
    assert (score.tracking_identifier, probability.name.value, probability.value) == ("malignant", "122157", 0.75)


def test_dcmqi_reads_the_report(source: SourceSeries, dcmqi: Callable[..., str], tmp_path: Path) -> None:
    dcmqi("tid1500reader", "--inputDICOM", report(source, tmp_path), "--outputMetadata", tmp_path / "sr.json")
    found = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    volumes = {
        o["TrackingIdentifier"]: float(o["measurementItems"][0]["value"]) for o in found if "ReferencedSegment" in o
    }
    assert volumes["Nodule"] == pytest.approx(letter_l().sum() * 0.0018)
    assert {one["ReferencedSegment"] for one in found if "ReferencedSegment" in one} == {1, 2}


@pytest.mark.parametrize("kind", ["binary", "labelmap", "rtstruct", "sr"])
def test_broken_bytes_are_refused_and_nothing_else(
    kind: Any, source: SourceSeries, mutations: Callable[..., Iterator[bytes]], tmp_path: Path
) -> None:
    path = tmp_path / "whole.dcm"
    given = {"geometry": grid(source), "source": source, "maker": MAKER}
    if kind == "rtstruct":
        write_structures({"L": letter_l()}, path, **given)
    elif kind == "sr":
        path = report(source, tmp_path)
    else:
        write_segmentation({"L": letter_l()}, path, **given, kind=kind)
    readers: dict[str, Callable[[Path], Any]] = {
        "rtstruct": lambda p: read_rtstruct(p, source.reference),
        "sr": read_measurements,
    }
    read = readers.get(kind, lambda p: (segmentation_references(p), read_segmentation(p, source.reference)))
    refused = 0
    for content in mutations(path):
        (tmp_path / "broken.dcm").write_bytes(content)
        try:
            read(tmp_path / "broken.dcm")
        except UnreadableFile:
            refused += 1
    assert refused > 10


def test_nothing_to_say_is_refused(source: SourceSeries, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no measurement and no score"):
        write_report([], tmp_path / "sr.dcm", source=source, maker=MAKER)
    measured = measure_masks({"Nodule": letter_l()}, grid(source), source)
    with pytest.raises(InputRefused, match="without the segmentation"):
        write_report(measured, tmp_path / "sr.dcm", source=source, maker=MAKER)


@pytest.mark.parametrize("kind", ["binary", "fractional"])
def test_the_validator_of_dicom3tools_finds_no_error(kind: Any, source: SourceSeries, tmp_path: Path) -> None:
    """Label maps are younger than the validator that Debian has."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("no dciodvfy on the search path (package dicom3tools)")
    seg, drawn = tmp_path / f"{kind}.dcm", tmp_path / "rs.dcm"
    given = {"geometry": grid(source), "source": source, "maker": MAKER}
    write_segmentation({"Nodule": letter_l(), "Kidney_L": ~letter_l()}, seg, **given, kind=kind)
    write_structures({"Nodule": letter_l()}, drawn, **given)
    for path in (seg, drawn, report(source, tmp_path)):
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False, errors="replace")
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert not errors


def test_another_grid_is_refused_with_both(source: SourceSeries, tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[2, 3] += 0.01
    with pytest.raises(GeometryError, match=r"11 x 9 x 6 .* against 11 x 9 x 6 .*"):
        write_segmentation(
            {"L": letter_l()}, tmp_path / "a.dcm", geometry=Geometry(moved, SHAPE), source=source, maker=MAKER
        )
    assert not (tmp_path / "a.dcm").exists()


@pytest.mark.parametrize("write", [write_segmentation, write_structures])
def test_nothing_is_replaced(write: Callable[..., Any], source: SourceSeries, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"mine")
    with pytest.raises(InputRefused, match="already here"):
        write({"L": letter_l()}, tmp_path / "a.dcm", geometry=grid(source), source=source, maker=MAKER)
    assert (tmp_path / "a.dcm").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("mask", "said"),
    [(np.zeros(SHAPE, bool), "no voxel"), (np.full(SHAPE, 1.5), "values of type"), (np.ones(SHAPE), "values of type")],
)
def test_masks_that_are_none_are_refused(mask: np.ndarray, said: str, source: SourceSeries, tmp_path: Path) -> None:
    with pytest.raises(VoxelError, match=said):
        write_segmentation({"L": mask}, tmp_path / "a.dcm", geometry=grid(source), source=source, maker=MAKER)


@pytest.fixture
def dcmqi() -> Callable[..., str]:
    """Run a tool of dcmqi, which shares no code with highdicom or with ours; skipped where it is not installed."""
    folder = Path(sys.executable).parent
    if not (folder / "segimage2itkimage").exists():
        pytest.skip("dcmqi is not installed (python -m pip install dcmqi)")

    def run(tool: str, *arguments: str | Path) -> str:
        command = [str(folder / tool), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("kind", ["binary", "fractional", "labelmap"])
@pytest.mark.parametrize("turn", [0, 17, 42])
def test_dcmqi_finds_the_same_places(kind: Any, turn: int, dcmqi: Callable[..., str], tmp_path: Path) -> None:
    import nibabel

    axes, signs = SIGNED[turn]
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * np.array([0.9, 0.8, 2.5]) * np.array(signs)
    source = written(tmp_path / "ct", affine)
    mask, truth = at_places(source, affine), places_of(letter_l(), affine)
    write_segmentation({"L": mask}, tmp_path / "a.dcm", geometry=grid(source), source=source, maker=MAKER, kind=kind)
    dcmqi("segimage2itkimage", "--inputDICOM", tmp_path / "a.dcm", "--outputDirectory", tmp_path, "-t", "nii")
    read = nibabel.load(tmp_path / "1.nii.gz")
    assert places_of(np.asarray(read.dataobj) > 0, read.affine) == truth
