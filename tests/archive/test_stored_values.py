"""From stored bits to values: unused bits, signs, padding, photometric interpretation, and files cut short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)
from tests.archive.slices import plane, write_slice

from fiducial.archive import ingest_dicom
from fiducial.archive.dicom import find_series, read_dicom, read_series
from fiducial.archive.dicom.extended import extended_frames
from fiducial.archive.dicom.read import read_volume
from fiducial.errors import UnreadableFile

KEY = b"k" * 32


def write(folder: Path, planes: list[np.ndarray], **tags: object) -> None:
    for k, voxels in enumerate(planes):
        own = {
            key: value[k] if isinstance(value, list) and key != "ImageType" else value for key, value in tags.items()
        }
        geometry = plane((0, 0, 3 * k), shape=voxels.shape)
        write_slice(folder / f"{k}.dcm", geometry, voxels, **{"number": k + 1, "modality": "CT", **own})


def test_an_overlay_in_the_high_bits_is_no_voxel_by_hand(tmp_path: Path) -> None:
    """12 bits stored: 0x1003 is 3 with a bit of overlay; signed, 0x0FFF is -1 and 0x7FFE is -2."""
    voxels = np.array([[3, 0x1003], [0x8FFF, 5]], np.uint16)
    write(tmp_path / "unsigned", [voxels, voxels & 0xFFF], BitsStored=12, HighBit=11)
    volume = read_volume(find_series(tmp_path / "unsigned")[0])
    assert volume.image.array[0, :, :, 0].T.tolist() == [[3, 3], [0xFFF, 5]]
    assert volume.repairs == ("unused-bits: bits above BitsStored cleared in 1 of 2 slices",)
    signed = np.array([[3, 0x0FFF], [0x7FFE, -7]], np.int64).astype(np.int16)
    write(tmp_path / "signed", [signed, signed], BitsStored=12, HighBit=11)
    assert read_dicom(tmp_path / "signed").array[0, :, :, 0].T.tolist() == [[3, -1], [-2, -7]]


@pytest.mark.parametrize(("is_signed", "bits"), [(False, 12), (True, 12), (True, 9)])
def test_slices_of_12_bit_jpeg(tmp_path: Path, is_signed: bool, bits: int) -> None:
    """One stream under two slices of CT: read as a picture and as a volume, the values are the same."""
    from pydicom.data import get_testdata_file

    source = pydicom.dcmread(get_testdata_file("JPEG-lossy.dcm"))
    (expected,) = extended_frames(source)
    for k in range(2):
        path = write_slice(
            tmp_path / f"{k}.dcm", plane((0, 0, 3 * k), shape=expected.shape), expected, number=k + 1, modality="CT"
        )
        dataset = pydicom.dcmread(path)
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = source.PixelData, source.file_meta.TransferSyntaxUID
        dataset["PixelData"].is_undefined_length = True
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, int(is_signed)
        dataset.save_as(path)
    array = read_dicom(tmp_path).array[0]
    values = expected.T.astype(int)
    values[(values >= 1 << bits - 1) & is_signed] -= 1 << bits
    assert (values.min() < 0) == (bits == 9)
    np.testing.assert_array_equal(array, np.stack([values, values], axis=-1))


def test_values_that_do_not_reach_down_to_bit_0(tmp_path: Path) -> None:
    """HighBit 15 of 12 bits stored: the lowest four bits are not the value's."""
    voxels = np.array([[0x0010, 0x00FF], [0xFFF0, 0]], np.uint16)
    write(tmp_path, [voxels, voxels], BitsStored=12, HighBit=15)
    assert read_dicom(tmp_path).array[0, :, :, 0].T.tolist() == [[1, 15], [0xFFF, 0]]


def test_a_mixture_of_signed_and_unsigned_slices(tmp_path: Path) -> None:
    """The first slice is signed, the second not, with the intercepts that go with it."""
    write(
        tmp_path,
        [np.array([[-5, 7]], np.int16), np.array([[1019, 1031]], np.uint16)],
        RescaleIntercept=["0", "-1024"],
    )
    assert read_dicom(tmp_path).array[0, :, 0, :].T.tolist() == [[-5, 7], [-5, 7]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint32])
def test_8_and_32_bits(dtype: type, tmp_path: Path) -> None:
    low, high = (0, 200) if dtype in (np.uint8, np.uint32) else (-100, 100)
    values = np.random.default_rng(0).integers(low, high, (2, 5, 3)).astype(dtype)
    write(tmp_path, list(values))
    np.testing.assert_array_equal(read_dicom(tmp_path).array[0].transpose(2, 1, 0), values)


def test_values_beyond_16_bits_are_not_wrapped(tmp_path: Path) -> None:
    low, high = np.array([[0, 70_000]], np.uint32), np.array([[40_000, 65_535]], np.uint32)
    write(tmp_path / "32", [low, high])
    assert read_dicom(tmp_path / "32").array[0, :, 0].T.tolist() == [[0, 70_000], [40_000, 65_535]]
    write(tmp_path / "16", [low.astype(np.uint16) % 900, high.astype(np.uint16)], RescaleIntercept="-1024")
    assert read_dicom(tmp_path / "16").array[0, :, 0, 1].tolist() == [38_976, 64_511]


@pytest.mark.parametrize("signed", [True, False])
def test_padding_keeps_its_value_and_its_row_says_which(signed: bool, tmp_path: Path) -> None:
    """-2000 where no ray passed, with an intercept of -24: -2024 in HU. Some write the signed number unsigned."""
    voxels = np.array([[-2000, 100], [50, -2000]], np.int16)
    write(tmp_path / "ct", [voxels, voxels], RescaleIntercept="-24")
    for path in (tmp_path / "ct").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", "SS" if signed else "US", -2000 if signed else 63536)
        dataset.save_as(path)
    made = ingest_dicom(tmp_path / "ct", tmp_path / "cohort", key=KEY, workers=1)
    (row,) = made.rows
    assert row["padding_value"] == -2024
    assert read_dicom(tmp_path / "ct").array.min() == -2024


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_monochrome1_changes_no_value(modality: str, tmp_path: Path) -> None:
    voxels = np.array([[10, 20]], np.int16)
    write(tmp_path, [voxels, voxels], PhotometricInterpretation="MONOCHROME1", modality=modality)
    assert read_dicom(tmp_path).array[0, :, 0, 0].tolist() == [10, 20]


def test_a_palette_is_colour(tmp_path: Path) -> None:
    voxels = np.array([[10, 20]], np.uint8)
    write(tmp_path, [voxels, voxels], PhotometricInterpretation="PALETTE COLOR", modality="MR")
    with pytest.raises(UnreadableFile, match="colour: PALETTE COLOR"):
        read_dicom(tmp_path)


SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.name.partition(" (")[0])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8])
def test_every_syntax_gives_the_same_voxels(syntax: pydicom.uid.UID, dtype: type, tmp_path: Path) -> None:
    if dtype == np.int16 and syntax == JPEGLSLossless:
        dtype = np.uint16
    values = np.random.default_rng(1).integers(0, 9, (3, 37, 25)).astype(dtype)
    write(tmp_path / "plain", list(values), NumberOfFrames=1)
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "plain").iterdir():
        dataset = pydicom.dcmread(path)
        if syntax in (RLELossless, JPEGLSLossless):
            # The encoder of the two that bears pictures of odd size: the other ends the process.
            plugin = "pydicom" if syntax == RLELossless else "pyjpegls"
            dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        elif syntax == ExplicitVRBigEndian:
            dataset["PixelData"].VR = "OB" if dtype == np.uint8 else "OW"
            dataset.PixelData = values[int(path.stem)].astype(values.dtype.newbyteorder(">")).tobytes() + b"\0" * (
                values[0].nbytes % 2
            )
        dataset.file_meta.TransferSyntaxUID = syntax
        encoding = {"implicit_vr": syntax == ImplicitVRLittleEndian, "little_endian": syntax != ExplicitVRBigEndian}
        pydicom.dcmwrite(tmp_path / "other" / path.name, dataset, enforce_file_format=True, **encoding)
    np.testing.assert_array_equal(read_dicom(tmp_path / "other").array, read_dicom(tmp_path / "plain").array)


def test_a_file_of_one_frame_is_a_slice(tmp_path: Path) -> None:
    voxels = np.array([[1, 2]], np.int16)
    write(tmp_path, [voxels, voxels], NumberOfFrames=1)
    assert read_dicom(tmp_path).array.shape == (1, 2, 1, 2)


def test_a_cut_end_slice_costs_the_series(tmp_path: Path) -> None:
    """The last slice's file ends early: without it the stack would look whole."""
    voxels = np.arange(20, dtype=np.int16).reshape(5, 4)
    write(tmp_path, [voxels] * 4)
    path = tmp_path / "3.dcm"
    path.write_bytes(path.read_bytes()[:-10])
    (one,) = find_series(tmp_path)
    with pytest.raises(UnreadableFile, match="truncated: 1 of 4 files end before or within their pixel data"):
        read_series(one)
