"""NIfTI, pictures and npz: axes, types, affines, and files that cannot be read."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from fiducial.archive import READERS, format_of, read_image, read_mask, write_nifti
from fiducial.errors import UnreadableFile, VoxelError
from fiducial.records.image import Geometry, Image

AFFINE = np.array([[-0.9, 0.1, 0, 12.5], [0.1, 0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])


def test_picture_axes_by_hand(tmp_path: Path) -> None:
    """Three columns and two rows: x runs to the right, y down the screen."""
    Pillow.fromarray(np.array([[10, 20, 30], [40, 50, 60]], np.uint8)).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", modality="CR")
    assert image.array.shape == (1, 3, 2, 1)
    assert image.array[0, 2, 0, 0] == 30
    assert image.array[0, 0, 1, 0] == 40
    assert (image.modality, image.unit) == ("CR", "grey")
    np.testing.assert_array_equal(image.geometry.affine, np.eye(4))


def test_nifti_axes_by_hand(tmp_path: Path) -> None:
    voxels = np.zeros((4, 3, 2), np.int16)
    voxels[3, 1, 0] = -7
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz", modality="MR")
    assert image.array.shape == (1, 4, 3, 2)
    assert image.array[0, 3, 1, 0] == -7
    assert image.array.dtype == np.int16
    assert image.modality == "MR"
    np.testing.assert_allclose(image.geometry.affine, AFFINE, atol=1e-6)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", "bool", "float16", "int64"]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_round_trip(dtype: str, suffix: str, tmp_path: Path) -> None:
    voxels = (np.arange(24).reshape(1, 4, 3, 2) % 2 if dtype == "bool" else np.arange(24).reshape(1, 4, 3, 2)).astype(
        dtype
    )
    image = Image(voxels, Geometry(AFFINE, (4, 3, 2)), "CT", "HU")
    path = write_nifti(image, tmp_path / f"a{suffix}")
    read = read_image(path)
    np.testing.assert_array_equal(read.array, voxels)
    widened = {"bool": "uint8", "float16": "float32", "int64": "int32"}
    assert read.array.dtype == widened.get(dtype, dtype)
    assert (read.modality, read.unit) == ("CT", "HU")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.floats(-300, 300), min_size=12, max_size=12))
def test_nifti_keeps_every_invertible_affine(numbers: list[float], tmp_path: Path) -> None:
    affine = np.vstack([np.array(numbers).reshape(3, 4), [0, 0, 0, 1]])
    singular = np.linalg.svd(affine[:3, :3], compute_uv=False)
    if singular[2] < 0.1:
        return
    image = Image(np.zeros((1, 2, 2, 2), np.uint8), Geometry(affine, (2, 2, 2)))
    read = read_image(write_nifti(image, tmp_path / "a.nii"))
    np.testing.assert_allclose(read.geometry.affine, affine, rtol=1e-6, atol=1e-4)


def test_both_forms_of_a_nifti_affine_are_stated(tmp_path: Path) -> None:
    """Readers differ in which of the two they believe."""
    affine = np.array([[-0.9, 0, 0, 12.5], [0, 0, -2.0, 20.25], [0, 0.8, 0, -7.75], [0, 0, 0, 1.0]])
    path = write_nifti(Image(np.zeros((1, 2, 2, 2), np.uint8), Geometry(affine, (2, 2, 2))), tmp_path / "a.nii")
    header = nibabel.load(path).header
    for form, code in (header.get_sform(coded=True), header.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(form, affine, atol=1e-5)
    assert header.get_xyzt_units()[0] == "mm"


def test_nifti_channels_are_the_fourth_axis(tmp_path: Path) -> None:
    voxels = np.arange(48, dtype=np.float32).reshape(2, 4, 3, 2)
    path = write_nifti(Image(voxels, Geometry(AFFINE, (4, 3, 2))), tmp_path / "a.nii.gz")
    assert nibabel.load(path).shape == (4, 3, 2, 2)
    np.testing.assert_array_equal(read_image(path).array, voxels)


def test_simpleitk_sees_the_same_place(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    affine = np.array([[-0.9, 0, 0, 12.5], [0, 0, -2.0, 20.25], [0, 0.8, 0, -7.75], [0, 0, 0, 1.0]])
    voxels = np.arange(24, dtype=np.int16).reshape(1, 4, 3, 2)
    seen = itk.ReadImage(str(write_nifti(Image(voxels, Geometry(affine, (4, 3, 2))), tmp_path / "a.nii.gz")))
    assert seen.GetPixel(3, 1, 1) == voxels[0, 3, 1, 1]
    lps = np.array(seen.TransformIndexToPhysicalPoint((3, 1, 1)))
    np.testing.assert_allclose(lps * (-1, -1, 1), (affine @ [3, 1, 1, 1])[:3], atol=1e-5)


def test_nifti_scaling_is_applied(tmp_path: Path) -> None:
    file = nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    file.header.set_slope_inter(0.5, -3)
    nibabel.save(file, tmp_path / "a.nii")
    with (tmp_path / "a.nii").open("r+b") as raw:  # the library rescales on writing: state the scaling by hand
        raw.seek(112)
        raw.write(np.array([0.5, -3], "<f4").tobytes())
        raw.seek(352)
        raw.write(np.arange(8, dtype="<i2").tobytes())
    image = read_image(tmp_path / "a.nii")
    assert image.array.dtype == np.float32
    np.testing.assert_allclose(np.sort(image.array.ravel()), np.arange(8) * 0.5 - 3)


def test_two_dimensional_nifti_has_one_slice(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 3), np.uint8), np.eye(4)), tmp_path / "a.nii")
    assert read_image(tmp_path / "a.nii").array.shape == (1, 4, 3, 1)


def test_equal_images_give_equal_files(tmp_path: Path) -> None:
    image = Image(np.ones((1, 3, 3, 3), np.uint8), Geometry(np.eye(4), (3, 3, 3)))
    first = write_nifti(image, tmp_path / "a.nii.gz").read_bytes()
    assert first == write_nifti(image, tmp_path / "b.nii.gz").read_bytes()


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(np.ones((1, 3, 3, 3), np.uint8), Geometry(np.eye(4), (3, 3, 3)))
    before = write_nifti(image, tmp_path / "a.nii.gz").read_bytes()

    def full(self: gzip.GzipFile, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gzip.GzipFile, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_nifti(image.with_array(image.array * 2), tmp_path / "a.nii.gz")
    monkeypatch.undo()
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_whole_numbers_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    image = Image(np.full((1, 2, 2, 2), 2**40), Geometry(np.eye(4), (2, 2, 2)))
    with pytest.raises(VoxelError, match="fit 32 bits"):
        write_nifti(image, tmp_path / "a.nii")


@pytest.mark.parametrize("keep", [0, 100, 400, -20])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_cut_nifti(keep: int, suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = Image(rng.integers(0, 999, (1, 9, 9, 9)).astype(np.int16), Geometry(np.eye(4), (9, 9, 9)))
    path = write_nifti(image, tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableFile, match=r"truncated|format") as refusal:
        read_image(path)
    assert str(path) in str(refusal.value)


def test_nifti_of_colours_or_complex_numbers(tmp_path: Path) -> None:
    colour = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "rgb.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.complex64), np.eye(4)), tmp_path / "complex.nii")
    for name in ("rgb.nii", "complex.nii"):
        with pytest.raises(UnreadableFile, match="voxel-type: voxels of type"):
            read_image(tmp_path / name)


def test_sixteen_bit_picture_keeps_its_values(tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[0, 65535, 1234]], np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").array[0, :, 0, 0].tolist() == [0, 65535, 1234]
    assert read_mask(tmp_path / "a.png", label=1234).array[0, :, 0, 0].tolist() == [False, False, True]


def test_colour_picture_is_channels_first(tmp_path: Path) -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.array.shape == (3, 3, 2, 1)
    assert image.array[:, 2, 1, 0].tolist() == pixels[1, 2].tolist()
    opaque = np.dstack([pixels, np.full((2, 3), 255, np.uint8)])
    Pillow.fromarray(opaque).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").array, image.array)


def test_palette_is_colour_for_images_and_labels_for_masks(tmp_path: Path) -> None:
    picture = Pillow.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode=None).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.putdata([0, 1, 2, 1])
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").array[:, 1, 0, 0].tolist() == [255, 0, 0]
    assert read_mask(tmp_path / "a.png").array[0, :, :, 0].tolist() == [[0, 2], [1, 1]]


def test_jpeg(tmp_path: Path) -> None:
    Pillow.new("L", (40, 20), 128).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").array.shape == (1, 40, 20, 1)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableFile, match=r"truncated|format"):
        read_image(tmp_path / "b.jpg")


def test_large_picture_is_read_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pillow.new("L", (60, 60)).save(tmp_path / "a.png")
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(tmp_path / "a.png")
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableFile, match="more pixels than can be meant"):
        read_image(tmp_path / "a.png")


def test_npz_entries(tmp_path: Path) -> None:
    grey, colour = np.arange(60, dtype=np.uint8).reshape(5, 4, 3), np.zeros((2, 4, 5, 3), np.uint8)
    grey4 = np.arange(100, dtype=np.uint8).reshape(5, 4, 5)
    volume = np.arange(720, dtype=np.uint8).reshape(2, 10, 6, 6)
    np.savez(tmp_path / "a.npz", grey=grey4, colour=colour, volume=volume, narrow=grey)
    image = read_image(f"{tmp_path}/a.npz#grey/3")
    assert image.array.shape == (1, 5, 4, 1)
    assert image.array[0, 2, 1, 0] == grey4[3, 1, 2]
    assert read_image(f"{tmp_path}/a.npz#colour/1").array.shape == (3, 5, 4, 1)
    read = read_image(f"{tmp_path}/a.npz#volume/1").array
    assert read.shape == (1, 6, 6, 10)
    assert read[0, 1, 2, 3] == volume[1, 3, 2, 1]
    assert read_mask(f"{tmp_path}/a.npz#narrow/0", label=5).array.sum() == 1


def test_npz_never_unpickles(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "a.npz", x=np.array([Trap()], dtype=object))
    with pytest.raises(UnreadableFile, match="Python objects"):
        read_image(f"{tmp_path}/a.npz#x/0")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("entry", ["#y/0", "#x/9", "#x/-1", "#x/one", ""])
def test_npz_entry_that_is_not_there(entry: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 4, 4)))
    with pytest.raises(UnreadableFile, match="no-such-entry"):
        read_image(f"{tmp_path}/a.npz{entry}")


def test_npz_that_changed_is_read_again(tmp_path: Path) -> None:
    for value in (1, 2):
        np.savez(tmp_path / "a.npz", x=np.full((2, 4, 4), value))
        assert read_image(f"{tmp_path}/a.npz#x/0").array.max() == value


def test_masks_are_whole_numbers_of_one_channel(tmp_path: Path) -> None:
    def put(voxels: np.ndarray) -> Path:
        return write_nifti(Image(voxels, Geometry(np.eye(4), voxels.shape[1:])), tmp_path / "a.nii")

    assert read_mask(put(np.full((1, 2, 2, 2), 3.0))).array.dtype.kind == "i"
    with pytest.raises(UnreadableFile, match="labels that are not whole numbers"):
        read_mask(put(np.full((1, 2, 2, 2), 0.5)))
    with pytest.raises(UnreadableFile, match="labels that are not whole numbers"):
        read_mask(put(np.full((1, 2, 2, 2), np.nan)))
    with pytest.raises(UnreadableFile, match="2 channels"):
        read_mask(put(np.zeros((2, 2, 2, 2), np.uint8)))


def test_formats() -> None:
    assert {
        format_of(name) for name in ("a.nii", "B.NII.GZ", "a.png", "a.JPG", "a.npz#x/1", "a.dcm", "a.seg.nrrd#1")
    } == set(READERS)
    with pytest.raises(UnreadableFile, match=r"format: no reader for this file; known: \.nii"):
        format_of("a.tif")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.nhdr", "a.png", "a.jpeg", "a.npz", "a.dcm"])
def test_every_reader_names_a_missing_and_a_foreign_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        read_image(tmp_path / name)
    (tmp_path / name).write_text("this is a letter and no image at all\n" * 30)
    with pytest.raises(UnreadableFile) as refusal:
        read_image(tmp_path / name)
    assert refusal.value.action
