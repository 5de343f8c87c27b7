"""Segmentation objects: bits by hand, highdicom's reader on the same files, frames in any place and order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.sr.codedict import codes

from fiducial.archive import ingest_dicom, read_mask
from fiducial.archive.dicom import DicomHeader, SeriesReference, find_series, stack_series, write_series
from fiducial.archive.dicom.frames import unpacked_frame
from fiducial.archive.refusal import REFUSALS
from fiducial.archive.segmentation import draw_segmentation, open_segmentation, read_segmentation
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry, Image

AFFINE = np.array([[-0.9, 0, 0, 12.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])
SHAPE = (11, 9, 6)
HEADER = DicomHeader("P1", patient_name="Unverwechselbar^Amalia")


def letter_l(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """An L with a foot to one side and one slice thicker at its end: equal to no turned or mirrored copy of itself."""
    mask = np.zeros(shape, bool)
    mask[2, 1:7, 2:4] = True
    mask[2:6, 6, 2:4] = True
    mask[5, 6, 4] = True
    return mask


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT of 11 x 9 x 6 voxels."""
    folder = tmp_path_factory.mktemp("ct")
    write_series(Image(np.zeros((1, *SHAPE), np.int16), Geometry(AFFINE, SHAPE), "CT", "HU"), folder, HEADER)
    return folder


def reference_of(series: Path) -> SeriesReference:
    return stack_series(find_series(series)[0]).reference


def description(number: int, label: str, kind: str = "MANUAL") -> highdicom.seg.SegmentDescription:
    algorithm = highdicom.AlgorithmIdentificationSequence("netz", codes.cid7162.ArtificialIntelligence, "1")
    return highdicom.seg.SegmentDescription(
        number,
        label,
        codes.SCT.AnatomicalStructure,
        codes.SCT.Liver,
        kind,
        algorithm_identification=None if kind == "MANUAL" else algorithm,
    )


def made(
    folder: Path,
    pixels: np.ndarray,
    path: Path,
    *,
    labels: tuple[str, ...] = ("liver",),
    kind: str = "BINARY",
    **more: Any,
) -> Path:
    """A segmentation by highdicom of pixels [z, row, column] (or with a last axis of segments) on a series."""
    images = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    kinds = more.pop("made_by", "MANUAL")
    segmentation = highdicom.seg.Segmentation(
        more.pop("source_images", images),
        pixels,
        kind,
        [description(n, label, kinds) for n, label in enumerate(labels, start=1)],
        "2.25.1",
        7,
        f"2.25.{abs(hash(path.name)) + 1}",
        1,
        "ours",
        "none",
        "1",
        "0",
        **more,
    )
    segmentation.save_as(path)
    return path


def zyx(mask: np.ndarray) -> np.ndarray:
    return mask.transpose(2, 1, 0)


def test_bits_by_hand() -> None:
    """Nine values a frame, lowest bit first, frames packed without a gap: 0b00000101 0b00000010 holds 1, 3 and 10."""
    packed = np.array([0b00000101, 0b00000010, 0b00000000], np.uint8)
    assert np.flatnonzero(unpacked_frame(packed, 0, 9)).tolist() == [0, 2]
    assert np.flatnonzero(unpacked_frame(packed, 1, 9)).tolist() == [0]


def test_one_frame_by_hand(series: Path, tmp_path: Path) -> None:
    """A file whose bits, place and segment are written here, not by a library: columns 3 and 4 of row 2 of slice 4."""
    path = made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    values = np.zeros((9, 11), np.uint8)
    values[2, 3:5] = 1
    bits = "".join(map(str, values.ravel()))
    dataset.PixelData = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, 99, 8)) + b"\0"
    dataset.NumberOfFrames = 1
    own = dataset.PerFrameFunctionalGroupsSequence[0]
    own.PlanePositionSequence[0].ImagePositionPatient = [-12.5, -20.25, -7.75 + 4 * 2.5]
    del own.DerivationImageSequence
    dataset.PerFrameFunctionalGroupsSequence = [own]
    dataset.save_as(path)
    mask = read_segmentation(path, reference_of(series))["liver"]
    assert {tuple(map(int, v)) for v in np.argwhere(mask)} == {(3, 2, 4), (4, 2, 4)}


def test_what_a_segment_says_is_kept(series: Path, tmp_path: Path) -> None:
    path = made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "a.dcm", made_by="AUTOMATIC")
    (segment,) = open_segmentation(path).segments
    assert (segment.name, segment.rater) == ("liver", "automatic netz")
    code = json.loads(segment.code)
    assert code["type"] == "SCT:10200004 Liver"
    assert code["category"].startswith("SCT:91723000 ")
    assert (code["made"], code["by"]) == ("automatic", "netz")
    (by_hand,) = open_segmentation(made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "b.dcm")).segments
    assert by_hand.rater == ""


def test_a_fraction_counts_from_half_on(series: Path, tmp_path: Path) -> None:
    values = np.zeros(SHAPE)
    values[0, 0, 1], values[1, 0, 1], values[2, 0, 1], values[3, 3, 3] = 0.49, 0.51, 1.0, 0.3
    for kind in ("PROBABILITY", "OCCUPANCY"):
        path = made(series, zyx(values), tmp_path / f"{kind}.dcm", kind="FRACTIONAL", fractional_type=kind)
        mask = read_segmentation(path, reference_of(series))["liver"]
        assert {tuple(map(int, v)) for v in np.argwhere(mask)} == {(1, 0, 1), (2, 0, 1)}


@pytest.mark.parametrize("omit", [True, False])
def test_overlapping_segments_stay_apart(omit: bool, series: Path, tmp_path: Path) -> None:
    masks = {"large": np.ones(SHAPE, bool), "l": letter_l(), "rest": ~letter_l()}
    stacked = np.stack([zyx(m) for m in masks.values()], axis=-1).astype(np.uint8)
    path = made(series, stacked, tmp_path / "a.dcm", labels=tuple(masks), omit_empty_frames=omit)
    read = read_segmentation(path, reference_of(series))
    assert list(read) == list(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(read[name], mask)


RLE = "1.2.840.10008.1.2.5"
SYNTAXES = {
    "BINARY": ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"],
    "FRACTIONAL": ["1.2.840.10008.1.2.1", RLE, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"],
    "LABELMAP": ["1.2.840.10008.1.2.1", RLE, "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"],
}


@pytest.mark.parametrize(("kind", "syntax"), [(kind, s) for kind, found in SYNTAXES.items() for s in found])
def test_equal_to_highdicoms_own_reader(kind: str, syntax: str, tmp_path: Path) -> None:
    shape = (37, 35, 6)
    write_series(Image(np.zeros((1, *shape), np.int16), Geometry(AFFINE, shape), "CT", "HU"), tmp_path / "ct", HEADER)
    labels = np.zeros(shape, np.uint8)
    labels[letter_l(shape)], labels[7:9, 2:5, 1:5] = 1, 2
    stacked = np.stack([zyx(labels == k) for k in (1, 2)], axis=-1).astype(float)
    path = made(
        tmp_path / "ct", stacked if kind == "FRACTIONAL" else zyx(labels), tmp_path / "a.dcm", labels=("l", "box"),
        kind=kind, transfer_syntax_uid="1.2.840.10008.1.2.1" if syntax == RLE else syntax,
    )  # fmt: skip
    if syntax == RLE:
        # One encoder that the library would choose here ends the process on frames of an odd size.
        dataset = pydicom.dcmread(path)
        dataset.compress(RLE, encoding_plugin="pydicom", generate_instance_uid=False)
        dataset.save_as(path)
    grid = reference_of(tmp_path / "ct")
    masks = read_segmentation(path, grid)
    theirs = highdicom.seg.segread(path).get_pixels_by_source_instance(
        grid.sop_uids, combine_segments=False, segment_numbers=[1, 2], ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )  # fmt: skip
    for number, name in enumerate(("l", "box")):
        np.testing.assert_array_equal(zyx(masks[name]), theirs[..., number] > 0.5)
        np.testing.assert_array_equal(masks[name], labels == number + 1)


def test_deflated_bits(series: Path, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "a.dcm"))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "b.dcm")
    np.testing.assert_array_equal(read_segmentation(tmp_path / "b.dcm", reference_of(series))["liver"], letter_l())


def signed_permutations() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    from itertools import permutations, product

    return [(axes, signs) for axes in permutations(range(3)) for signs in product((-1, 1), repeat=3)]


@pytest.mark.parametrize(("axes", "signs"), signed_permutations())
def test_no_orientation_flips_the_letter(axes: tuple[int, ...], signs: tuple[int, ...], tmp_path: Path) -> None:
    """All 24 right-handed and 24 left-handed grids, of three spacings: the letter is where it was in the patient."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * np.array([0.9, 0.8, 2.5]) * np.array(signs)
    affine[:3, 3] = (-31.7, 12.9, 303.3)
    require_letter(affine, tmp_path)


@pytest.mark.parametrize("angles", [(20, 0, 0), (0, 33, 5), (13, -27, 41)])
def test_no_oblique_grid_flips_the_letter(angles: tuple[float, float, float], tmp_path: Path) -> None:
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * np.array([0.9, 0.8, 2.5])
    affine[:3, 3] = (-31.7, 12.9, 303.3)
    require_letter(affine, tmp_path)


def require_letter(affine: np.ndarray, folder: Path) -> None:
    """Write series and SEG on a grid and read the mask back: the same places in the patient, and highdicom agrees."""
    image = Image(np.zeros((1, *SHAPE), np.int16), Geometry(affine, SHAPE), "CT", "HU")
    write_series(image, folder / "ct", HEADER)
    grid = reference_of(folder / "ct")
    letter = letter_l()
    places = {tuple(p) for p in np.round((affine @ homogeneous(np.argwhere(letter)).T).T[:, :3], 3)}
    # On the grid as it was read (a left-handed one comes back right-handed).
    inside = np.round(np.linalg.inv(grid.geometry.affine) @ homogeneous(np.array(sorted(places))).T).astype(int)
    mask = np.zeros(SHAPE, bool)
    mask[tuple(inside[:3])] = True
    files = {str(pydicom.dcmread(f).SOPInstanceUID): f for f in (folder / "ct").iterdir()}
    images = [pydicom.dcmread(files[uid]) for uid in grid.sop_uids]
    path = made(folder / "ct", zyx(mask).astype(np.uint8), folder / "a.dcm", source_images=images)
    read = read_segmentation(path, grid)["liver"]
    assert {tuple(p) for p in np.round((grid.geometry.affine @ homogeneous(np.argwhere(read)).T).T[:, :3], 3)} == places


def homogeneous(index: np.ndarray) -> np.ndarray:
    return np.column_stack([index, np.ones(len(index))])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=arrays(bool, SHAPE), order=st.permutations(range(6)))
def test_frames_in_any_order_and_masks_of_any_kind(
    mask: np.ndarray, order: list[int], series: Path, tmp_path: Path
) -> None:
    mask = mask.copy()
    mask[0, 0, 0] = True
    path = made(series, zyx(mask).astype(np.uint8), tmp_path / "a.dcm", omit_empty_frames=False)
    shuffle_frames(path, order)
    np.testing.assert_array_equal(read_segmentation(path, reference_of(series))["liver"], mask)


def shuffle_frames(path: Path, order: list[int]) -> None:
    dataset = pydicom.dcmread(path)
    frames = dataset.pixel_array.reshape(len(order), -1)[order]
    groups = [dataset.PerFrameFunctionalGroupsSequence[k] for k in order]
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.save_as(path)


def test_a_subset_of_the_slices(series: Path, tmp_path: Path) -> None:
    images = [pydicom.dcmread(f) for f in sorted(series.iterdir())][2:5]
    path = made(series, zyx(letter_l())[2:5].astype(np.uint8), tmp_path / "a.dcm", source_images=images)
    np.testing.assert_array_equal(read_segmentation(path, reference_of(series))["liver"], letter_l())


def edited(path: Path, edit: Callable[[Any], None]) -> Path:
    dataset = pydicom.dcmread(path)
    edit(dataset)
    dataset.save_as(path)
    return path


def on_grid(folder: Path, path: Path, affine: np.ndarray, mask: np.ndarray) -> Path:
    """A segmentation that names a series as its source, on a grid of its own."""
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    row, column = lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]
    positions = [lps[:3, 3] + k * lps[:3, 2] for k in range(mask.shape[2])]
    return made(
        folder, zyx(mask).astype(np.uint8), path,
        pixel_measures=highdicom.PixelMeasuresSequence([spacing[1], spacing[0]], spacing[2], spacing[2]),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", [*row, *column]),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", list(p)) for p in positions],
    )  # fmt: skip


def test_a_crop_of_the_grid_and_other_slice_directions_are_exact(series: Path, tmp_path: Path) -> None:
    """Frames that cut the image lengthwise hold the same voxels: nothing is interpolated, nothing reported."""
    grid = reference_of(series)
    crop = AFFINE.copy()
    crop[:3, 3] = (AFFINE @ [1, 1, 1, 1])[:3]
    path = on_grid(series, tmp_path / "crop.dcm", crop, letter_l()[1:7, 1:8, 1:6])
    (structure,) = draw_segmentation(path, grid)
    np.testing.assert_array_equal(structure.mask, letter_l())
    assert structure.repairs == ()
    turned = AFFINE[:, [2, 0, 1, 3]]
    path = on_grid(series, tmp_path / "turned.dcm", turned, letter_l().transpose(2, 0, 1))
    (structure,) = draw_segmentation(path, grid)
    np.testing.assert_array_equal(structure.mask, letter_l())


def test_another_grid_is_sampled_and_reported_with_both(series: Path, tmp_path: Path) -> None:
    """A box on voxels of half the size: at the image's centres it is the same box. 2 x 4 x 3 voxels of 1.8 ul."""
    box = np.zeros(SHAPE, bool)
    box[3:5, 2:6, 1:4] = True
    fine = AFFINE.copy()
    fine[:3, :3] /= 2
    fine[:3, 3] = (AFFINE @ [-0.25, -0.25, -0.25, 1])[:3]
    path = on_grid(series, tmp_path / "fine.dcm", fine, box.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    (structure,) = draw_segmentation(path, reference_of(series))
    np.testing.assert_array_equal(structure.mask, box)
    (said,) = structure.repairs
    assert said.startswith("resampled: 22 x 18 x 6 voxels of 0.45 x 0.4 x 1.25 mm")
    assert "against the image's 11 x 9 x 6 voxels of 0.9 x 0.8 x 2.5 mm" in said
    assert "0.0432 ml became 0.0432 ml" in said


def test_another_grid_is_refused_where_it_was_not_drawn_on_this_series(series: Path, tmp_path: Path) -> None:
    fine = AFFINE.copy()
    fine[:3, :3] /= 2
    path = on_grid(series, tmp_path / "fine.dcm", fine, letter_l())

    def forget(dataset: Any) -> None:
        dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = "2.25.5"
        for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
            item.ReferencedSOPInstanceUID = "2.25.6"
        for group in dataset.PerFrameFunctionalGroupsSequence:
            group.pop("DerivationImageSequence", None)

    with pytest.raises(UnreadableFile, match=r"seg-other-grid: 11 x 9 x 3 .* against the image's 11 x 9 x 6"):
        read_segmentation(edited(path, forget), reference_of(series))


def test_a_grid_too_coarse_for_the_segment_is_refused(series: Path, tmp_path: Path) -> None:
    thin = np.zeros((22, 18, 12), bool)
    thin[3:15, 4:12, 5] = True
    fine = AFFINE.copy()
    fine[:3, :3] /= 2
    with pytest.raises(
        UnreadableFile, match=r"seg-other-grid: .* ml would become 0 ml|seg-other-grid: .* would become"
    ):
        read_segmentation(on_grid(series, tmp_path / "fine.dcm", fine, thin), reference_of(series))


def test_voxels_outside_and_frames_twice_are_refused(series: Path, tmp_path: Path) -> None:
    path = made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "a.dcm")

    def moved(dataset: Any) -> None:
        for group in dataset.PerFrameFunctionalGroupsSequence:
            group.PlanePositionSequence[0].ImagePositionPatient[2] += 4 * 2.5
            del group.DerivationImageSequence

    with pytest.raises(UnreadableFile, match="seg-outside: frame 1 has"):
        read_segmentation(edited(path, moved), reference_of(series))
    path = made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "b.dcm")

    def twice(dataset: Any) -> None:
        groups = dataset.PerFrameFunctionalGroupsSequence
        groups[1] = groups[0]

    with pytest.raises(UnreadableFile, match=r"seg-repeated: .* frame 2"):
        read_segmentation(edited(path, twice), reference_of(series))


def test_a_place_that_contradicts_the_source_image_is_refused(series: Path, tmp_path: Path) -> None:
    path = made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "a.dcm")

    def swap(dataset: Any) -> None:
        first, second, *_ = dataset.PerFrameFunctionalGroupsSequence
        first.PlanePositionSequence, second.PlanePositionSequence = (
            second.PlanePositionSequence,
            first.PlanePositionSequence,
        )

    with pytest.raises(UnreadableFile, match="seg-place: a frame lies on slice 4, and names slice 5"):
        read_segmentation(edited(path, swap), reference_of(series))


def test_other_frames_of_reference_are_refused(series: Path, tmp_path: Path) -> None:
    path = made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "a.dcm")
    with pytest.raises(UnreadableFile, match="seg-frame-of-reference"):
        read_segmentation(path, replace(reference_of(series), frame_uid="2.25.9"))


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda d: setattr(d, "PixelData", d.PixelData[:8]), "truncated"),
        (lambda d: setattr(d, "SegmentationType", "ELSE"), "seg-type"),
        (lambda d: setattr(d, "TotalPixelMatrixColumns", 99), "seg-tiled"),
        (lambda d: setattr(d, "NumberOfFrames", 10**9), "truncated"),
        (lambda d: setattr(d, "Rows", 0), "missing-tags"),
        (lambda d: d.pop("PerFrameFunctionalGroupsSequence"), "missing-tags"),
        (lambda d: d.pop("SegmentSequence"), "missing-tags"),
        (lambda d: setattr(d.SegmentSequence[0], "SegmentNumber", 4), "missing-tags"),
    ],
)
def test_broken_files_are_refused_by_name(edit: Callable[[Any], Any], code: str, series: Path, tmp_path: Path) -> None:
    path = edited(made(series, zyx(letter_l()).astype(np.uint8), tmp_path / "a.dcm"), edit)
    with pytest.raises(UnreadableFile, match=f"^{code}"):
        read_segmentation(path, reference_of(series))


def test_ingest_takes_segmentations_and_names_what_it_cannot(series: Path, tmp_path: Path) -> None:
    """Masks become files and rows; an empty segment and one without its series become report rows."""
    source = tmp_path / "in"
    source.mkdir()
    for file in series.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    empty = np.stack([zyx(letter_l()), np.zeros(SHAPE[::-1])], axis=-1).astype(np.uint8)
    made(series, empty, source / "a.dcm", labels=("Amalia liver", "nothing"), made_by="AUTOMATIC")

    def elsewhere(dataset: Any) -> None:
        dataset.PatientID = "P2"

    edited(made(series, zyx(letter_l()).astype(np.uint8), source / "b.dcm"), elsewhere)
    done = ingest_dicom(source, tmp_path / "out", key=b"k" * 32, workers=1)
    image, mask = done.rows
    assert (mask["role"], mask["of"], mask["structure"]) == ("mask", image["image"], "patient liver")
    assert (mask["modality"], mask["rater"]) == ("SEG", "automatic netz")
    assert json.loads(mask["code"])["type"] == "SCT:10200004 Liver"
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / mask["path"]).array[0], letter_l())
    codes_found = {row.reason.partition(":")[0] for row in done.report if row.status == "rejected"}
    assert codes_found == {"seg-empty", "object-no-series"}
    assert "Amalia" not in repr(done.rows) + repr(done.report)


@pytest.mark.real_data
def test_files_of_another_project_against_its_reader(data: Path) -> None:
    """Every SEG on CT or CR of the set, laid on the grid of its own frames, voxel by voxel as highdicom reads it."""
    n_files = 0
    for path in sorted((data / "dicom_objects").glob("seg_image_c*.dcm")):
        theirs = highdicom.seg.segread(path)
        grid = own_grid(pydicom.dcmread(path))
        pixels = theirs.get_pixels_by_source_instance(
            [uid for uid in grid.sop_uids if uid], combine_segments=False, ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )  # fmt: skip
        known = [k for k, uid in enumerate(grid.sop_uids) if uid]
        for number, structure in enumerate(draw_segmentation(path, grid)):
            assert structure.mask is not None, structure.refusal
            np.testing.assert_array_equal(zyx(structure.mask)[known], pixels[..., number] >= 0.5)
            assert structure.mask.sum() == (pixels[..., number] >= 0.5).sum() > 0
            n_files += number == 0
    assert n_files == 6


def own_grid(dataset: Any) -> SeriesReference:
    """A grid on which every frame of a SEG lies, with the source image of each slice where a frame names one."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    uids = [str(g.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID) for g in groups]
    uid = str(dataset.get("FrameOfReferenceUID", ""))
    if "PlanePositionSequence" not in groups[0]:
        flat = Geometry(np.eye(4), (dataset.Columns, dataset.Rows, 1))
        return SeriesReference(flat, "CR", "", "", uid, "", (uids[0],))
    shared = dataset.SharedFunctionalGroupsSequence[0]
    down, right = (float(mm) for mm in shared.PixelMeasuresSequence[0].PixelSpacing)
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    normal = np.cross(directions[:3], directions[3:])
    positions = np.array([g.PlanePositionSequence[0].ImagePositionPatient for g in groups], float)
    along = positions @ normal
    gaps = np.diff(np.unique(along.round(3)))
    step = gaps.min() if len(gaps) else 1.0
    levels = np.rint((along - along.min()) / step).astype(int)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = directions[:3] * right, directions[3:] * down, normal * step
    affine[:3, 3] = positions[along.argmin()]
    slices = [""] * (levels.max() + 1)
    for level, source in zip(levels, uids, strict=True):
        slices[level] = source
    geometry = Geometry(np.diag([-1.0, -1, 1, 1]) @ affine, (dataset.Columns, dataset.Rows, len(slices)))
    return SeriesReference(geometry, "CT", "", "", uid, "", tuple(slices))


def test_every_code_of_a_segmentation_is_provoked_here() -> None:
    provoked = set(re.findall(r"seg(?:-[a-z]+)+", Path(__file__).read_text(encoding="utf-8")))
    assert {code for code in REFUSALS if code.startswith("seg-")} <= provoked


@pytest.mark.real_data
def test_segmentations_of_slides_are_refused_by_name(data: Path) -> None:
    for path in (data / "dicom_objects").glob("seg_image_sm*.dcm"):
        with pytest.raises(UnreadableFile, match="seg-tiled"):
            open_segmentation(path)
