"""Writing a DICOM series and reading it back: voxels, places and units."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fiducial.archive.dicom import DicomHeader, PetDose, find_series, read_dicom, stack_series, write_series
from fiducial.errors import GeometryError, InputRefused, VoxelError
from fiducial.records.image import Geometry, Image

R, A, S = np.eye(3)


def asymmetric(shape: tuple[int, int, int]) -> np.ndarray:
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return (100 * x + 10 * y + z).astype(np.int16)[None]


def grid(x: np.ndarray, y: np.ndarray, z: np.ndarray, shape: tuple[int, int, int] = (7, 5, 4)) -> Geometry:
    """A grid whose axes point along x, y, z (RAS+) with spacings 0.9, 1.1 and 2.5 mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([x * 0.9, y * 1.1, z * 2.5])
    affine[:3, 3] = (12.25, -30.5, 101.75)
    return Geometry(affine, shape)


def world(image: Image) -> dict[tuple[float, ...], float]:
    """Voxel values by their place in RAS+ mm."""
    index = np.argwhere(np.ones(image.geometry.shape))
    places = index @ image.geometry.affine[:3, :3].T + image.geometry.affine[:3, 3]
    keys = [tuple(float(v) for v in np.round(p, 4) + 0.0) for p in places]
    return dict(zip(keys, image.array[0][tuple(index.T)].tolist(), strict=True))


def turned(degrees: float) -> np.ndarray:
    """Rotation about the axis (1, 2, 3)."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    angle = np.radians(degrees)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def test_one_voxel_found_by_hand(tmp_path: Path) -> None:
    """Column 2, row 1, second slice: LPS (10 + 2 * 0.5, 20 + 1 * 0.7, 30 + 3) is RAS (-11, -20.7, 33)."""
    array = np.zeros((1, 4, 3, 2), np.int16)
    array[0, 2, 1, 1] = 77
    affine = np.diag([-0.5, -0.7, 3.0, 1.0])
    affine[:3, 3] = (-10, -20, 30)
    files = write_series(Image(array, Geometry(affine, (4, 3, 2)), "CT", "HU"), tmp_path, DicomHeader("P"))
    dataset = pydicom.dcmread(files[1])
    assert [float(v) for v in dataset.ImagePositionPatient] == [10, 20, 33]
    assert [float(v) for v in dataset.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    assert [float(v) for v in dataset.PixelSpacing] == [0.7, 0.5]  # between rows, then between columns
    assert (dataset.Rows, dataset.Columns) == (3, 4)
    assert dataset.pixel_array[1, 2] + dataset.RescaleIntercept == 77
    read = read_dicom(tmp_path)
    assert read.array[0, 2, 1, 1] == 77
    np.testing.assert_allclose(read.geometry.affine @ [2, 1, 1, 1], [-11, -20.7, 33, 1])


ORIENTATIONS = {
    "axial": (-R, -A, S),
    "axial, feet first": (R, -A, -S),
    "axial, prone": (R, A, S),
    "coronal": (-R, -S, -A),
    "sagittal": (-A, -S, R),
    "oblique": tuple(turned(23.0) @ v for v in (-R, -A, S)),
    "far oblique": tuple(turned(141.0) @ v for v in (-R, -S, -A)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_right_handed_grids_read_back_voxel_for_voxel(name: str, tmp_path: Path) -> None:
    image = Image(asymmetric((7, 5, 4)), grid(*ORIENTATIONS[name]), "CT", "HU")
    write_series(image, tmp_path, DicomHeader("P"))
    read = read_dicom(tmp_path)
    np.testing.assert_array_equal(read.array, image.array)
    np.testing.assert_allclose(read.geometry.affine, image.geometry.affine, atol=1e-6)
    assert (read.modality, read.unit, read.array.dtype) == ("CT", "HU", np.int16)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_left_handed_grids_read_back_right_handed_with_each_voxel_at_its_place(name: str, tmp_path: Path) -> None:
    x, y, z = ORIENTATIONS[name]
    image = Image(asymmetric((7, 5, 4)), grid(x, y, -z), "CT", "HU")
    write_series(image, tmp_path, DicomHeader("P"))
    read = read_dicom(tmp_path)
    assert np.linalg.det(read.geometry.affine) > 0
    assert world(read) == world(image)


def test_file_names_and_instance_numbers_do_not_rule_the_order(
    make_ct: Callable[..., list[Path]], ct: Image, tmp_path: Path
) -> None:
    def reverse(dataset: pydicom.Dataset, index: int) -> None:
        dataset.InstanceNumber = 50 - index

    for index, path in enumerate(make_ct(tmp_path / "a", reverse)):
        (tmp_path / "b").mkdir(exist_ok=True)
        shutil.move(path, tmp_path / "b" / f"{(index * 3) % 5}.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path / "b").array, ct.array)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    degrees=st.floats(-180, 180),
    spacing=st.tuples(*[st.floats(0.3, 8.0)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
)
def test_affine_round_trip(
    degrees: float, spacing: tuple[float, ...], origin: tuple[float, ...], tmp_path: Path
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turned(degrees) @ np.diag(spacing)
    affine[:3, 3] = origin
    image = Image(asymmetric((4, 3, 3)), Geometry(affine, (4, 3, 3)), "MR", "")
    write_series(image, tmp_path, DicomHeader("P"))
    read = read_dicom(tmp_path)
    assert read.geometry.matches(image.geometry, tolerance_mm=1e-5)
    np.testing.assert_array_equal(read.array, image.array)


def test_simpleitk_sees_the_same_voxels_at_the_same_places(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    image = Image(asymmetric((7, 5, 4)), grid(*ORIENTATIONS["oblique"]), "CT", "HU")
    write_series(image, tmp_path, DicomHeader("P"))
    reader = itk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    seen = reader.Execute()
    np.testing.assert_array_equal(itk.GetArrayFromImage(seen).transpose(2, 1, 0), image.array[0])
    lps = np.array(seen.TransformIndexToPhysicalPoint((6, 4, 3)))
    np.testing.assert_allclose(lps * (-1, -1, 1), (image.geometry.affine @ [6, 4, 3, 1])[:3], atol=1e-4)


def test_highdicom_sees_the_same_volume(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    image = Image(asymmetric((7, 5, 4)), grid(*ORIENTATIONS["coronal"]), "CT", "HU")
    files = write_series(image, tmp_path, DicomHeader("P"))
    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in files])
    lps = {tuple(np.round(volume.affine @ [*i, 1], 4)[:3]): v for i, v in np.ndenumerate(volume.array)}
    ours = {(-x + 0.0, -y + 0.0, z): v for (x, y, z), v in world(image).items()}
    assert {tuple(float(c) + 0.0 for c in k): float(v) for k, v in lps.items()} == ours


def test_mr_keeps_stored_values_and_their_type(tmp_path: Path) -> None:
    image = Image(asymmetric((7, 5, 4)).astype(np.uint16) + 60000, grid(*ORIENTATIONS["sagittal"]), "MR", "")
    write_series(image, tmp_path, DicomHeader("P", magnetic_field_t=3, echo_time_ms=90, repetition_time_ms=4000))
    read = read_dicom(tmp_path)
    assert read.array.dtype == np.uint16
    np.testing.assert_array_equal(read.array, image.array)
    assert (read.modality, read.unit) == ("MR", "")


def test_rescale_is_applied_slice_by_slice(make_ct: Callable[..., list[Path]], ct: Image, tmp_path: Path) -> None:
    def rescale(dataset: pydicom.Dataset, index: int) -> None:
        dataset.RescaleSlope = f"{1 + index / 2}"
        dataset.RescaleIntercept = str(-10 * index)

    make_ct(tmp_path, rescale)
    read = read_dicom(tmp_path)
    k = np.arange(5)
    np.testing.assert_allclose(read.array, (ct.array + 1024.0) * (1 + k / 2) - 10 * k)
    assert read.array.dtype == np.float32


def test_ct_beyond_16_bits_is_not_wrapped(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    def unsigned(dataset: pydicom.Dataset, index: int) -> None:
        dataset.PixelRepresentation = 0
        dataset.PixelData = np.full(48, 65535, "<u2").tobytes()

    make_ct(tmp_path, unsigned)
    assert (read_dicom(tmp_path).array == 65535 - 1024).all()


def test_what_the_files_say(make_ct: Callable[..., list[Path]], header: DicomHeader, tmp_path: Path) -> None:
    first, second = (pydicom.dcmread(path) for path in make_ct(tmp_path)[:2])
    assert (first.PatientAge, first.PatientSex, first.PatientWeight, str(first.PatientName)) == (
        "068Y",
        "F",
        71.5,
        "Unverwechselbar^Amalia",
    )
    assert (first.StudyDate, first.ConvolutionKernel, first.ManufacturerModelName) == ("20240511", "B30f", "PW-1")
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID == header.series_uid("CT")
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert all(uid.is_valid for uid in (first.SOPInstanceUID, first.StudyInstanceUID, first.FrameOfReferenceUID))


def test_names_beyond_latin_survive(make_ct: Callable[..., list[Path]], header: DicomHeader, tmp_path: Path) -> None:
    path = make_ct(tmp_path, None, replace(header, patient_name="Łukasiewicz^Zoë"))[0]
    assert str(pydicom.dcmread(path).PatientName) == "Łukasiewicz^Zoë"


def test_header_gives_the_uids_that_the_files_carry(
    make_ct: Callable[..., list[Path]], ct: Image, header: DicomHeader, tmp_path: Path
) -> None:
    files = make_ct(tmp_path)
    expected = header.reference(ct.geometry, "CT")
    assert tuple(pydicom.dcmread(path).SOPInstanceUID for path in files) == expected.sop_uids
    found = stack_series(find_series(tmp_path)[0]).reference
    assert (found.sop_uids, found.series_uid, found.frame_uid) == (
        expected.sop_uids,
        expected.series_uid,
        expected.frame_uid,
    )


def test_written_files_are_equal_when_written_again(make_ct: Callable[..., list[Path]], tmp_path: Path) -> None:
    first = [path.read_bytes() for path in make_ct(tmp_path / "a")]
    assert first == [path.read_bytes() for path in make_ct(tmp_path / "b")]


def test_two_series_in_one_folder_are_two(make_ct: Callable[..., list[Path]], ct: Image, tmp_path: Path) -> None:
    make_ct(tmp_path / "a")
    write_series(ct, tmp_path / "b", DicomHeader("P2"))
    assert len(find_series(tmp_path)) == 2
    with pytest.raises(InputRefused, match="2 series of images, one expected"):
        read_dicom(tmp_path)


def test_sheared_grid_is_refused(ct: Image, tmp_path: Path) -> None:
    affine = ct.geometry.affine.copy()
    affine[1, 2] = 1.0
    with pytest.raises(GeometryError, match="not perpendicular"):
        write_series(Image(ct.array, Geometry(affine, (8, 6, 5)), "CT", "HU"), tmp_path, DicomHeader("P"))


def test_voxels_that_do_not_fit_are_refused(ct: Image, tmp_path: Path) -> None:
    with pytest.raises(VoxelError, match="stored values from"):
        write_series(ct.with_array(ct.array.astype(np.int32) + 40000), tmp_path, DicomHeader("P"))
    with pytest.raises(VoxelError, match="NaN"):
        write_series(ct.with_array(np.where(ct.array == 0, np.nan, 1.0)), tmp_path, DicomHeader("P"))


def test_what_cannot_be_written_is_said(ct: Image, dose: PetDose, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="legal: CT, MR or PT with one channel"):
        write_series(Image(ct.array, ct.geometry, "US", ""), tmp_path, DicomHeader("P"))
    pet = Image(ct.array, ct.geometry, "PT", "SUV")
    with pytest.raises(InputRefused, match="without dose or weight"):
        write_series(pet, tmp_path, DicomHeader("P", pet=dose))
    with pytest.raises(InputRefused, match="unit ''"):
        write_series(replace(pet, unit=""), tmp_path, DicomHeader("P", pet=dose, weight_kg=70))
    with pytest.raises(VoxelError, match="0 or more"):
        write_series(pet.with_array(ct.array - 5), tmp_path, DicomHeader("P", pet=dose, weight_kg=70))


def test_failed_writing_leaves_nothing(ct: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        if self.name == "slice-0003.dcm":
            raise OSError(28, "No space left on device")
        return original(self, data)

    original = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_series(ct, tmp_path / "series", DicomHeader("P"))
    assert list((tmp_path / "series").iterdir()) == []
