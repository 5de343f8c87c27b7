"""Pictures and cines as DICOM: values, orientation, spacing, colour and what stands in their columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.data import get_palette_files, get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space
from pydicom.sequence import Sequence

from fiducial.archive import ingest_dicom, read_image
from fiducial.archive.decoders import DECODERS, GRIDS, Decoded
from fiducial.archive.dicom import find_series
from fiducial.archive.dicom.colour import expand
from fiducial.archive.dicom.display import grey_of, voi_curve, voi_of
from fiducial.archive.dicom.pixels import layout_of
from fiducial.archive.dicom.ybr import rgb_of_full, rgb_of_partial
from fiducial.archive.pictures import read_picture
from fiducial.errors import UnreadableFile

Write = Callable[..., Path]
KEY = b"k" * 32
# Four rows of five columns, equal to no mirrored or turned copy of itself.
ASYMMETRIC = np.array([[1, 2, 3, 4, 5], [40, 50, 60, 70, 80], [7, 8, 9, 10, 11], [100, 0, 255, 13, 14]], dtype=np.uint8)
US, SC, ENDOSCOPY, XA, NM, OPT, FUNDUS = "6.1", "7", "77.1.1", "12.1", "20", "77.1.5.4", "77.1.5.1"


def decoded(path: Path) -> Decoded:
    """The one image of a file or folder."""
    (series,) = find_series(path)
    return DECODERS[series.kind](series)


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def lut(first: int, values: list[int], bits: int) -> Sequence:
    one = item(LUTDescriptor=[len(values) % 65536, first, bits], LUTData=values)
    one["LUTDescriptor"].VR = one["LUTData"].VR = "US"
    return Sequence([one])


# -- countable by hand ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [False, True])
def test_the_same_picture_as_png_and_as_dicom_is_the_same_array(
    colour: bool, tmp_path: Path, dicom_picture: Write
) -> None:
    pixels = np.stack([ASYMMETRIC, ASYMMETRIC // 2, 255 - ASYMMETRIC], axis=-1) if colour else ASYMMETRIC
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    png = read_picture(tmp_path / "a.png")
    image = decoded(dicom_picture(tmp_path / "a.dcm", pixels, FUNDUS if colour else "1.1")).image
    np.testing.assert_array_equal(image.array, png.array)
    assert image.array.dtype == np.uint8
    assert image.geometry.matches(png.geometry)
    assert image.unit == ("grey" if colour else "")
    assert image.array[0, 2, 0, 0] == 3  # the third column of the first row
    assert image.array[0, 0, 3, 0] == 100  # the first column of the last row


def test_monochrome1_is_inverted_within_the_stored_range(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[0, 1], [1000, 4095]], dtype=np.uint16)
    path = dicom_picture(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    made = decoded(path)
    np.testing.assert_array_equal(made.image.array[0, :, :, 0].T, [[4095, 4094], [3095, 0]])
    assert made.image.array.dtype == np.int16
    assert made.repairs == ("monochrome1: larger was darker, inverted within 0 to 4095",)


def test_signed_monochrome1(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[-5, 0, 7]], dtype=np.int16)
    made = decoded(dicom_picture(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(made.image.array[0, :, 0, 0], [4, -1, -8])


def test_rescaled_monochrome1_far_from_zero(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[0, 100, 255]], dtype=np.uint8)
    given = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": 10, "RescaleIntercept": 30_000}
    made = decoded(dicom_picture(tmp_path / "a.dcm", pixels, **given))
    np.testing.assert_array_equal(made.image.array.ravel(), [32_550, 31_550, 30_000])


def test_padding_is_stated_in_the_images_values(tmp_path: Path, dicom_picture: Write) -> None:
    given = {"BitsStored": 7, "HighBit": 6, "PhotometricInterpretation": "MONOCHROME1"}
    inside = dicom_picture(tmp_path / "a.dcm", ASYMMETRIC // 2, PixelPaddingValue=120, **given)
    assert decoded(inside).columns["padding"] == 7
    beyond = dicom_picture(tmp_path / "b.dcm", ASYMMETRIC // 2, PixelPaddingValue=65_000, **given)
    assert np.isnan(decoded(beyond).columns["padding"])


def test_a_modality_table_comes_before_the_inversion(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[0, 9, 10, 11, 12, 200]], dtype=np.uint8)
    table = lut(10, [5, 100, 255], 8)
    plain = decoded(dicom_picture(tmp_path / "a.dcm", pixels, ModalityLUTSequence=table))
    np.testing.assert_array_equal(plain.image.array.ravel(), [5, 5, 5, 100, 255, 255])
    inverted = decoded(
        dicom_picture(tmp_path / "b.dcm", pixels, ModalityLUTSequence=table, PhotometricInterpretation="MONOCHROME1")
    )
    np.testing.assert_array_equal(inverted.image.array.ravel(), [250, 250, 250, 155, 0, 0])


def test_a_window_is_stated_and_not_applied(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[0, 500, 4095]], dtype=np.uint16)
    made = decoded(dicom_picture(tmp_path / "a.dcm", pixels, WindowCenter=[600, 50], WindowWidth=[400, 10]))
    np.testing.assert_array_equal(made.image.array.ravel(), [0, 500, 4095])
    assert (made.columns["voi"], made.columns["window_center"], made.columns["window_width"]) == ("linear", 600, 400)


def test_the_window_of_an_inverted_image_is_mirrored(tmp_path: Path, dicom_picture: Write) -> None:
    """In the inverted image's own values the window must show what the header's window shows, upside down."""
    pixels = np.arange(256, dtype=np.uint8)[None]
    given = {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 100, "WindowWidth": 50}
    made = decoded(dicom_picture(tmp_path / "a.dcm", pixels, **given))
    own = item(
        WindowCenter=made.columns["window_center"],
        WindowWidth=made.columns["window_width"],
        PhotometricInterpretation="MONOCHROME2",
        BitsStored=8,
        PixelRepresentation=0,
    )
    header = pydicom.dcmread(tmp_path / "a.dcm")
    shown = 255 - apply_voi_lut(pixels, header)
    np.testing.assert_allclose(apply_voi_lut(made.image.array[..., 0, 0], own), shown, atol=1e-9)


def test_a_table_of_interest_becomes_the_window_in_which_it_rises(tmp_path: Path, dicom_picture: Write) -> None:
    values = [0] * 100 + list(range(0, 1000, 10)) + [1000] * 56
    made = decoded(dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, VOILUTSequence=lut(0, values, 10)))
    assert made.columns["voi"] == "lut"
    # Above 5 % of 1000 from entry 106 (60), at 95 % from entry 195 (950).
    assert (made.columns["window_center"], made.columns["window_width"]) == ((106 + 195) / 2, 195 - 106)
    np.testing.assert_array_equal(made.image.array[0, :, :, 0].T, ASYMMETRIC)


@pytest.mark.parametrize(
    ("sop_class", "given", "spacing", "source"),
    [
        ("1.1", {}, (1.0, 1.0), "unknown"),
        ("1.1", {"PixelAspectRatio": [5, 4]}, (1.0, 1.25), "unknown"),
        ("1.1", {"PixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "pixel_spacing"),
        ("1.1", {"ImagerPixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "imager"),
        ("1.1", {"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.2, 0.1]}, (0.1, 0.2), "imager"),
        ("1.1", {"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15]}, (0.15, 0.15), "pixel_spacing"),
        (
            "1.2",
            {"ImagerPixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.08, 0.08),
            "imager/magnification",
        ),
        ("1", {"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "scanned"),
        ("481.1", {"ImagePlanePixelSpacing": [0.4, 0.3]}, (0.3, 0.4), "image_plane"),
        ("1.1", {"PixelSpacing": [0, 0]}, (1.0, 1.0), "unknown"),
        ("1.1", {"PixelSpacing": [5000, 5000]}, (1.0, 1.0), "unknown"),
    ],
)
def test_spacing_and_what_it_measures(
    sop_class: str,
    given: dict[str, Any],
    spacing: tuple[float, float],
    source: str,
    tmp_path: Path,
    dicom_picture: Write,
) -> None:
    made = decoded(dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, sop_class, **given))
    assert made.image.geometry.spacing_mm == pytest.approx((*spacing, 1.0))
    assert made.columns["spacing_source"] == source


def region(delta: float, *, units: int = 3, form: int = 1) -> Dataset:
    return item(
        RegionSpatialFormat=form,
        PhysicalUnitsXDirection=units,
        PhysicalUnitsYDirection=units,
        PhysicalDeltaX=delta,
        PhysicalDeltaY=-delta,
    )


@pytest.mark.parametrize(
    ("regions", "mm", "source"),
    [
        ([region(0.02)], 0.2, "ultrasound_region"),
        ([region(0.02), region(0.02)], 0.2, "ultrasound_region"),
        ([region(0.02), region(0.5, units=4, form=3)], 0.2, "ultrasound_region"),
        ([region(0.02), region(0.03)], 1.0, "unknown"),
        ([region(0.02, units=4)], 1.0, "unknown"),
    ],
)
def test_ultrasound_regions(
    regions: list[Dataset], mm: float, source: str, tmp_path: Path, dicom_picture: Write
) -> None:
    path = dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, US, SequenceOfUltrasoundRegions=Sequence(regions))
    made = decoded(path)
    assert made.image.geometry.spacing_mm == pytest.approx((mm, mm, 1.0))
    assert (made.columns["spacing_source"], made.columns["ultrasound_regions"]) == (source, len(regions))


def test_a_cine_lies_along_z_with_its_times(tmp_path: Path, dicom_picture: Write) -> None:
    film = np.stack([ASYMMETRIC, ASYMMETRIC + 1, ASYMMETRIC + 2])
    made = decoded(dicom_picture(tmp_path / "a.dcm", film, "3.1", FrameTime=40))
    np.testing.assert_array_equal(made.image.array, film.transpose(2, 1, 0)[None])
    assert made.image.geometry.spacing_mm == (1.0, 1.0, 1.0)
    assert {k: made.columns[k] for k in ("frames", "n_frames", "frame_time_ms", "frame_times_ms")} == {
        "frames": "time",
        "n_frames": 3,
        "frame_time_ms": 40.0,
        "frame_times_ms": "",
    }
    uneven = decoded(dicom_picture(tmp_path / "b.dcm", film, XA, FrameTimeVector=[0, 30, 50]))
    assert (uneven.columns["frame_time_ms"], uneven.columns["frame_times_ms"]) == (40.0, "0 30 50")


def test_frames_of_which_nothing_is_said(tmp_path: Path, dicom_picture: Write) -> None:
    pages = np.stack([ASYMMETRIC, ASYMMETRIC])
    assert decoded(dicom_picture(tmp_path / "a.dcm", pages, "7.2")).columns["frames"] == "sequence"
    endoscopy = decoded(dicom_picture(tmp_path / "b.dcm", np.stack([pages] * 3, axis=-1), ENDOSCOPY))
    assert (endoscopy.columns["frames"], endoscopy.image.array.shape) == ("time", (3, 5, 4, 2))


def test_each_file_is_an_image_and_views_are_told_apart(tmp_path: Path, dicom_picture: Write) -> None:
    for number, view in ((2, "LL"), (1, "PA")):
        dicom_picture(tmp_path / "in" / f"{view}.dcm", ASYMMETRIC + number, InstanceNumber=number, ViewPosition=view)
    made = ingest_dicom(tmp_path / "in", tmp_path / "out", key=KEY, workers=1)
    assert [(row["image"][-2:], row["view_position"]) for row in made.rows] == [("-2", "LL"), ("-1", "PA")]
    assert len({row["subject"] for row in made.rows}) == 1
    assert {row["exam"] for row in made.rows} == {""}


def test_columns_hold_codes_and_never_free_text(tmp_path: Path, dicom_picture: Write) -> None:
    made = decoded(
        dicom_picture(
            tmp_path / "a.dcm",
            ASYMMETRIC,
            "1.2",
            ViewPosition="MLO",
            ImageLaterality="L",
            PatientOrientation=["A", "FR"],
            PresentationIntentType="FOR PRESENTATION",
            BodyPartExamined="breast of Amalia",
            BurnedInAnnotation="NO",
            ShutterShape="RECTANGULAR",
            FieldOfViewHorizontalFlip="YES",
        )
    )
    shown = {
        name: made.columns[name]
        for name in (
            "view_position", "laterality", "patient_orientation", "presentation_intent",
            "body_part", "burned_in", "shutter", "field_flipped",
        )
    }  # fmt: skip
    assert list(shown.values()) == ["MLO", "L", "A/FR", "FOR PRESENTATION", "", "NO", "RECTANGULAR", "YES"]


def test_a_capture_of_a_volume_is_no_volume(tmp_path: Path, dicom_picture: Write) -> None:
    dicom_picture(tmp_path / "in" / "a.dcm", ASYMMETRIC, SC, Modality="CT")
    dicom_picture(tmp_path / "in" / "b.dcm", ASYMMETRIC, SC, Modality="CR", SeriesInstanceUID="2.25.13")
    dicom_picture(tmp_path / "in" / "c.dcm", ASYMMETRIC, SC, Modality="../../etc", SeriesInstanceUID="2.25.14")
    assert [series.modality for series in find_series(tmp_path / "in")] == ["OT", "CR", "OT"]


# -- against the reference implementations ----------------------------------------------------------------------------


def table_of(kind: str) -> dict[str, Any]:
    rising = np.linspace(0, 4095, 4096) ** 1.5 / 4095**0.5
    return {
        "linear": {"WindowCenter": 900, "WindowWidth": 700},
        "narrow": {"WindowCenter": 900.5, "WindowWidth": 1},
        "exact": {"WindowCenter": 900.25, "WindowWidth": 300.5, "VOILUTFunction": "LINEAR_EXACT"},
        "sigmoid": {"WindowCenter": 1900, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"},
        "lut": {"VOILUTSequence": lut(0, [int(v) for v in rising], 12)},
        "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 900, "WindowWidth": 700},
        "table": {"ModalityLUTSequence": lut(3, list(range(0, 4000, 4)), 16), "WindowCenter": 900, "WindowWidth": 700},
    }[kind]


@pytest.mark.parametrize("kind", ["linear", "narrow", "exact", "sigmoid", "lut", "rescaled", "table"])
def test_the_grey_pipeline_is_that_of_pydicom(kind: str, tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    path = dicom_picture(tmp_path / "a.dcm", pixels, BitsStored=12, HighBit=11, **table_of(kind))
    dataset = pydicom.dcmread(path)
    values = apply_modality_lut(pixels, dataset)
    grey = grey_of(dataset, layout_of(path, dataset))
    np.testing.assert_array_equal(grey(pixels), values)
    shown = np.asarray(apply_voi_lut(values, dataset), dtype=np.float64)
    low, high = (0.0, 4095.0) if kind == "lut" else (grey.low, grey.high)
    voi = voi_of(dataset, grey)
    np.testing.assert_allclose(voi_curve(voi, values), (shown - low) / (high - low), atol=1e-12)
    np.testing.assert_array_equal(decoded(path).image.array[0, :, :, 0].T, values)


def library(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"this pydicom has no {name}")
    return Path(path)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_small_odd_jpeg.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "examples_rgb_color.dcm",
        "examples_jpeg2k.dcm",
        "ExplVR_BigEnd.dcm",
    ],
)
def test_colour_is_that_of_pydicom(name: str) -> None:
    dataset = pydicom.dcmread(library(name))
    expected = dataset.pixel_array
    if dataset.get("PhotometricInterpretation", "").startswith("YBR_FULL"):
        assert np.ptp(expected.astype(int), axis=-1).max() > 50  # colour, not grey
    np.testing.assert_array_equal(decoded(library(name)).image.array[..., 0].transpose(2, 1, 0), expected)


def test_jpeg_content_is_that_of_pillow() -> None:
    from io import BytesIO

    from pydicom.encaps import get_frame

    path = library("examples_ybr_color.dcm")
    made = decoded(path)
    assert made.image.array.shape == (3, 320, 240, 30)
    stream = get_frame(pydicom.dcmread(path).PixelData, 4, number_of_frames=30)
    with Pillow.open(BytesIO(stream)) as picture:
        expected = np.asarray(picture.convert("RGB")).astype(int)
    # Both convert YCbCr with their own rounding.
    assert np.abs(made.image.array[..., 4].transpose(2, 1, 0).astype(int) - expected).max() <= 1
    assert made.columns["frame_time_ms"] == pytest.approx(33.333)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_of_12_bits(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The same bone scan as JPEG 2000: lossy both, so that counts differ by some."""
    other = pydicom.dcmread(library("JPEG2000.dcm")).pixel_array.astype(float)
    array = decoded(library(name)).image.array[0, :, :, 0].T.astype(float)
    assert array.shape == (1024, 256)
    assert array.max() > 255
    assert np.corrcoef(array.ravel(), other.ravel())[0, 1] > 0.95
    assert np.abs(array - other).mean() < 5
    assert capfd.readouterr().err == ""


def test_palette_is_that_of_pydicom() -> None:
    path = library("examples_palette.dcm")
    dataset = pydicom.dcmread(path)
    expected = apply_color_lut(dataset.pixel_array, dataset)
    assert expected.dtype == np.uint16
    array = decoded(path).image.array
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array[..., 0].transpose(2, 1, 0), expected >> 8)


@pytest.mark.parametrize("name", ["spring.dcm", "summer.dcm", "fall.dcm", "winter.dcm"])
def test_the_standards_segmented_palettes(name: str, tmp_path: Path, dicom_picture: Write) -> None:
    (file,) = get_palette_files(name)
    palette = pydicom.dcmread(file)
    colours = {e.keyword: e.value for e in palette if "PaletteColorLookupTable" in e.keyword}
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    given = {"PhotometricInterpretation": "PALETTE COLOR", **colours}
    array = decoded(dicom_picture(tmp_path / "a.dcm", pixels, US, **given)).image.array
    np.testing.assert_array_equal(array[..., 0].transpose(2, 1, 0), apply_color_lut(pixels, palette))


def test_a_palette_of_many_entries_does_not_wrap(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[0, 300, 1000, 60000]], dtype=np.uint16)
    table = np.arange(1001, dtype=np.uint16).tobytes()
    given = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [1001, 0, 16]), ("Data", table))
    }
    array = decoded(
        dicom_picture(tmp_path / "a.dcm", pixels, US, PhotometricInterpretation="PALETTE COLOR", **given)
    ).image.array
    np.testing.assert_array_equal(array[0].ravel(), [0, 300, 1000, 1000])


def test_planar_configuration(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.stack([ASYMMETRIC, ASYMMETRIC // 2, 255 - ASYMMETRIC], axis=-1)
    planes = pixels.transpose(2, 0, 1).tobytes()
    path = dicom_picture(tmp_path / "a.dcm", pixels, US, PlanarConfiguration=1, PixelData=planes)
    np.testing.assert_array_equal(decoded(path).image.array[..., 0].transpose(2, 1, 0), pixels)


def test_every_pair_of_colour_differences_is_converted_as_pydicom_does() -> None:
    """A sum that ends on a half to the last digits of 32-bit numbers may be rounded otherwise there."""
    cb, cr = np.meshgrid(np.arange(256), np.arange(256))
    for y in (0, 1, 77, 128, 254, 255):
        ybr = np.stack([np.full_like(cb, y), cb, cr], axis=-1).astype(np.uint8)
        apart = np.abs(rgb_of_full(ybr).astype(int) - convert_color_space(ybr, "YBR_FULL", "RGB"))
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= 2


def test_full_range_ybr(tmp_path: Path, dicom_picture: Write) -> None:
    generator = np.random.default_rng(0)
    ybr = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = dicom_picture(tmp_path / "a.dcm", ybr, ENDOSCOPY, PhotometricInterpretation="YBR_FULL")
    expected = convert_color_space(ybr, "YBR_FULL", "RGB")
    np.testing.assert_array_equal(decoded(path).image.array[..., 0].transpose(2, 1, 0), expected)


def test_studio_range_ybr(tmp_path: Path, dicom_picture: Write) -> None:
    """Black is 16, white 235; the colours by PS3.3's forward formula come back within rounding."""
    np.testing.assert_array_equal(
        rgb_of_partial(np.array([[16, 128, 128], [235, 128, 128]], dtype=np.uint8)), [[0] * 3, [255] * 3]
    )
    colour = np.array([200.0, 40.0, 90.0])
    forward = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])
    y, b, r = np.rint(forward @ colour + [16, 128, 128]).astype(np.uint8)
    # 4:2:2 stores two luminances and one pair of differences for each two pixels of a row.
    stored = bytes([y, y, b, r] * 4)
    path = dicom_picture(
        tmp_path / "a.dcm",
        np.zeros((2, 4, 3), np.uint8),
        US,
        PhotometricInterpretation="YBR_PARTIAL_422",
        PixelData=stored,
    )
    shown = decoded(path).image.array[..., 0].transpose(2, 1, 0)
    assert np.abs(shown.astype(int) - colour.astype(int)).max() <= 2


# -- edge cases -------------------------------------------------------------------------------------------------------


def test_values_at_the_upper_end_of_their_word(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[1, 4095, 77]], dtype=np.uint16)
    path = dicom_picture(tmp_path / "a.dcm", (pixels << 4).astype(np.uint16) + 9, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(decoded(path).image.array.ravel(), [1, 4095, 77])


def test_what_a_header_may_leave_out(tmp_path: Path, dicom_picture: Write) -> None:
    grey = dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, PixelRepresentation=None, BitsStored=None, HighBit=None)
    np.testing.assert_array_equal(decoded(grey).image.array[0, :, :, 0].T, ASYMMETRIC)
    pixels = np.stack([ASYMMETRIC, ASYMMETRIC // 2, 255 - ASYMMETRIC], axis=-1)
    colour = dicom_picture(tmp_path / "b.dcm", pixels, SC, PlanarConfiguration=None)
    np.testing.assert_array_equal(decoded(colour).image.array[..., 0].transpose(2, 1, 0), pixels)


def test_an_enhanced_angiogram_is_rescaled_and_windowed_by_its_groups(tmp_path: Path, dicom_picture: Write) -> None:
    rescale = item(RescaleSlope=2, RescaleIntercept=10)
    window = item(WindowCenter=100, WindowWidth=80)
    group = item(PixelValueTransformationSequence=Sequence([rescale]), FrameVOILUTSequence=Sequence([window]))
    film = np.stack([ASYMMETRIC, ASYMMETRIC // 2])
    given = {"SharedFunctionalGroupsSequence": Sequence([group]), "FrameTime": 66.5}
    made = decoded(dicom_picture(tmp_path / "a.dcm", film, "12.1.1", **given))
    np.testing.assert_array_equal(made.image.array[0].transpose(2, 1, 0), film * 2.0 + 10)
    assert (made.columns["window_center"], made.columns["window_width"]) == (100, 80)
    other = item(PixelValueTransformationSequence=Sequence([item(RescaleSlope=3, RescaleIntercept=10)]))
    mixed = dicom_picture(tmp_path / "b.dcm", film, "12.1.1", PerFrameFunctionalGroupsSequence=Sequence([group, other]))
    with pytest.raises(UnreadableFile, match="frames-ambiguous: frames have different rescale values"):
        decoded(mixed)


def test_a_capture_that_highdicom_wrote(tmp_path: Path) -> None:
    from highdicom.sc import SCImage

    pixels = np.stack([ASYMMETRIC, ASYMMETRIC // 2, 255 - ASYMMETRIC], axis=-1)
    capture = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        series_number=1,
        sop_instance_uid="2.25.3",
        instance_number=1,
        manufacturer="Phantom Works",
        patient_id="QX-7781-ZW",
        patient_orientation=("L", "P"),
        anatomical_orientation_type="BIPED",
        pixel_spacing=(0.5, 0.25),
    )
    capture.save_as(tmp_path / "a.dcm")
    made = decoded(tmp_path / "a.dcm")
    np.testing.assert_array_equal(made.image.array[..., 0].transpose(2, 1, 0), pixels)
    assert made.image.geometry.spacing_mm == (0.25, 0.5, 1.0)
    assert (made.columns["conversion"], made.columns["patient_orientation"]) == ("DI", "L/P")


def test_a_damaged_table_of_interest_costs_no_voxel(tmp_path: Path, dicom_picture: Write) -> None:
    short = lut(0, [1, 2, 3], 8)
    short[0].LUTDescriptor = [256, 0, 8]
    made = decoded(dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, VOILUTSequence=short))
    assert (made.columns["voi"], np.isnan(made.columns["window_center"])) == ("unreadable", True)
    np.testing.assert_array_equal(made.image.array[0, :, :, 0].T, ASYMMETRIC)
    with pytest.raises(UnreadableFile, match="modality-lut: 3 of 256 entries"):
        decoded(dicom_picture(tmp_path / "b.dcm", ASYMMETRIC, ModalityLUTSequence=short))


def test_overlays_in_unused_bits_are_cut(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.array([[1, 4095, 77]], dtype=np.uint16)
    path = dicom_picture(tmp_path / "a.dcm", pixels | 0x8000, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(decoded(path).image.array.ravel(), [1, 4095, 77])


def test_nuclear_slices_have_a_place(tmp_path: Path, dicom_picture: Write) -> None:
    slices = np.stack([ASYMMETRIC] * 4)
    detector = item(ImagePositionPatient=[10, 20, 30], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    given = {
        "SliceVector": [1, 2, 3, 4],
        "EnergyWindowVector": [1, 1, 1, 1],
        "DetectorInformationSequence": Sequence([detector]),
        "PixelSpacing": [4, 3],
    }
    made = decoded(dicom_picture(tmp_path / "a.dcm", slices, NM, SpacingBetweenSlices=-2.5, **given))
    expected = [[-3, 0, 0, -10], [0, -4, 0, -20], [0, 0, -2.5, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(made.image.geometry.affine, expected)
    assert (made.columns["frames"], made.image.unit) == ("slices", "")


def test_coherence_tomography_has_a_place_where_it_says_one(tmp_path: Path, dicom_picture: Write) -> None:
    scans = np.stack([ASYMMETRIC] * 3)
    measures = item(PixelSpacing=[0.004, 0.012], SpacingBetweenSlices=0.25)
    directions = item(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    shared = item(PixelMeasuresSequence=Sequence([measures]), PlaneOrientationSequence=Sequence([directions]))
    frames = [item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0.25 * k, 1])])) for k in range(3)]
    given = {"SharedFunctionalGroupsSequence": Sequence([shared])}
    placed = decoded(
        dicom_picture(tmp_path / "a.dcm", scans, OPT, PerFrameFunctionalGroupsSequence=Sequence(frames), **given)
    )
    assert placed.image.geometry.spacing_mm == pytest.approx((0.012, 0.004, 0.25))
    loose = decoded(dicom_picture(tmp_path / "b.dcm", scans, OPT, **given))
    assert loose.image.geometry.spacing_mm == pytest.approx((0.012, 0.004, 0.25))
    assert (loose.columns["frames"], loose.image.unit) == ("slices", "grey")
    np.testing.assert_array_equal(loose.image.geometry.affine, np.diag([0.012, 0.004, 0.25, 1]))


def test_tomosynthesis_is_a_volume_in_the_patient(tmp_path: Path, dicom_picture: Write) -> None:
    slices = np.stack([ASYMMETRIC, ASYMMETRIC // 2, ASYMMETRIC // 4]).astype(np.uint16)
    shared = item(
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.1, 0.1], SliceThickness=1)]),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])]),
    )
    frames = [item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[-10 - k, 0, 0])])) for k in range(3)]
    path = dicom_picture(
        tmp_path / "a.dcm",
        slices,
        "13.1.3",
        Modality="MG",
        FrameOfReferenceUID="2.25.5",
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
    )
    image = decoded(path).image
    assert (image.modality, image.unit) == ("MG", "")
    assert image.geometry.spacing_mm == pytest.approx((0.1, 0.1, 1.0))
    np.testing.assert_array_equal(image.array[0, :, :, 0].T, ASYMMETRIC)
    np.testing.assert_allclose(image.geometry.affine[:3, 3], [10, 0, 0])


def test_a_single_file_is_read_whatever_its_kind(tmp_path: Path, dicom_picture: Write) -> None:
    image = read_image(dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, Modality="DX"))
    assert (image.modality, image.array.shape) == ("DX", (1, 5, 4, 1))


def test_copies_in_another_encoding_are_one_image(tmp_path: Path, dicom_picture: Write) -> None:
    path = dicom_picture(tmp_path / "in" / "a.dcm", np.tile(ASYMMETRIC, (8, 8)))
    dataset = pydicom.dcmread(path)
    dataset.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    dataset.save_as(tmp_path / "in" / "b.dcm")
    made = ingest_dicom(tmp_path / "in", tmp_path / "out", key=KEY, workers=1)
    (row,) = made.report
    assert row.status == "repaired"
    assert row.reason == "same-pixels: 1 file(s) of the same pixels in another encoding left out"


def test_a_damaged_copy_costs_nothing(tmp_path: Path, dicom_picture: Write) -> None:
    path = dicom_picture(tmp_path / "in" / "a.dcm", np.tile(ASYMMETRIC, (8, 8)))
    dataset = pydicom.dcmread(path)
    dataset.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    dataset.PixelData = pydicom.encaps.encapsulate([b"no run-length code"])
    dataset.save_as(tmp_path / "in" / "b.dcm")
    made = ingest_dicom(tmp_path / "in", tmp_path / "out", key=KEY, workers=1)
    assert [(row.status, row.reason.partition(":")[0]) for row in made.report] == [("repaired", "damaged-copies")]


def test_a_broken_neighbour_takes_no_picture_along(tmp_path: Path, dicom_picture: Write) -> None:
    dicom_picture(tmp_path / "in" / "a.dcm", ASYMMETRIC)
    (tmp_path / "in" / "b.dcm").write_bytes(b"")
    made = ingest_dicom(tmp_path / "in", tmp_path / "out", key=KEY, workers=1)
    assert [row.status for row in made.report] == ["accepted", "rejected"]


def test_a_mask_may_refer_to_a_picture(tmp_path: Path, dicom_picture: Write) -> None:
    (series,) = find_series(dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, ImagerPixelSpacing=[0.2, 0.1]))
    reference = GRIDS[series.kind](series)
    assert reference.geometry.shape == (5, 4, 1)
    assert reference.sop_uids == (series.headers[0].text("SOPInstanceUID"),)
    assert reference.geometry.matches(DECODERS[series.kind](series).image.geometry)


def test_three_channels_survive_the_cohort(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.stack([ASYMMETRIC, ASYMMETRIC // 2, 255 - ASYMMETRIC], axis=-1)
    film = np.stack([pixels, 255 - pixels])
    dicom_picture(tmp_path / "in" / "a.dcm", pixels, FUNDUS)
    dicom_picture(tmp_path / "in" / "b.dcm", film, ENDOSCOPY, SeriesInstanceUID="2.25.13")
    made = ingest_dicom(tmp_path / "in", tmp_path / "out", key=KEY, workers=1)
    still, cine = (read_image(tmp_path / "out" / row["path"]) for row in made.rows)
    np.testing.assert_array_equal(still.array[..., 0].transpose(2, 1, 0), pixels)
    np.testing.assert_array_equal(cine.array.transpose(3, 2, 1, 0), film)
    assert (still.modality, still.unit, still.array.dtype) == ("OP", "grey", np.uint8)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ({"EnergyWindowVector": [1, 1, 2, 2], "DetectorVector": [1, 2, 1, 2]}, "2 by EnergyWindowVector, 2 by Det"),
        ({"DetectorVector": [1, 2, 3, 4]}, "4 by DetectorVector"),
        ({"SliceVector": [1, 2, 3, 4]}, "without position"),
        ({}, "no vector says how"),
    ],
)
def test_nuclear_frames_that_are_several_images(
    vectors: dict[str, Any], says: str, tmp_path: Path, dicom_picture: Write
) -> None:
    path = dicom_picture(tmp_path / "a.dcm", np.stack([ASYMMETRIC] * 4), NM, **vectors)
    with pytest.raises(UnreadableFile, match=f"frames-ambiguous: 4 .*{says}"):
        decoded(path)


def test_dynamic_nuclear_frames_are_a_cine(tmp_path: Path, dicom_picture: Write) -> None:
    given = {"TimeSliceVector": [1, 2, 3, 4], "DetectorVector": [1, 1, 1, 1]}
    made = decoded(dicom_picture(tmp_path / "a.dcm", np.stack([ASYMMETRIC] * 4), NM, **given))
    assert (made.columns["frames"], made.image.geometry.spacing_mm) == ("time", (1.0, 1.0, 1.0))


def test_ybr_of_16_bits(tmp_path: Path, dicom_picture: Write) -> None:
    pixels = np.zeros((4, 4, 3), np.uint16)
    with pytest.raises(UnreadableFile, match="bit-depth: YBR of 16 bits"):
        decoded(dicom_picture(tmp_path / "a.dcm", pixels, US, PhotometricInterpretation="YBR_FULL"))


def test_more_bits_in_the_stream_than_the_header_states(tmp_path: Path, dicom_picture: Write) -> None:
    dataset = pydicom.dcmread(dicom_picture(tmp_path / "a.dcm", np.tile(ASYMMETRIC, (8, 8))))
    dataset.compress("1.2.840.10008.1.2.4.80", generate_instance_uid=False)
    dataset.BitsStored, dataset.HighBit = 7, 6
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableFile, match="corrupt-pixels: values from 0 to 255, BitsStored allows 0 to 127"):
        decoded(tmp_path / "a.dcm")


@pytest.mark.parametrize("tag", ["28000301", "28000001", "28000200"])
def test_numbers_of_the_wrong_length_are_absent_or_refused(tag: str, tmp_path: Path, dicom_picture: Write) -> None:
    """PixelRepresentation, BitsAllocated, SamplesPerPixel with a length of 1 byte: the library raises its own error."""
    path = dicom_picture(tmp_path / "in" / "a.dcm", ASYMMETRIC)
    raw = path.read_bytes()
    at = raw.index(bytes.fromhex(tag) + b"US\x02\x00")
    path.write_bytes(raw[: at + 6] + b"\x01\x00" + raw[at + 8 : at + 9] + raw[at + 10 :])
    made = ingest_dicom(tmp_path / "in", tmp_path / "out", key=KEY, workers=1)
    assert not made.report[0].reason.startswith("unexpected")


def test_missing_frames(tmp_path: Path, dicom_picture: Write) -> None:
    path = dicom_picture(tmp_path / "a.dcm", np.stack([ASYMMETRIC] * 40), "3.1", NumberOfFrames=90)
    with pytest.raises(UnreadableFile, match="truncated: a file of"):
        decoded(path)


@pytest.mark.parametrize("words", [[2, 1, 0, 0], [1, 5, 9], [0, 9, 1, 2], [7, 1, 1]])
def test_segments_that_cannot_be_expanded(words: list[int]) -> None:
    with pytest.raises(UnreadableFile, match="palette: a segment of the table"):
        expand(words, most=256)


def test_segments_that_never_end_are_cut_short() -> None:
    with pytest.raises(UnreadableFile, match="beyond the 256 entries"):
        expand([0, 1, 1] + [1, 60_000, 9] * 50, most=256)


def test_a_window_that_is_no_number_is_not_quoted(tmp_path: Path, dicom_picture: Write) -> None:
    path = dicom_picture(tmp_path / "a.dcm", ASYMMETRIC, WindowCenter=100, WindowWidth=50)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"100.0 ", b"Amalia"))
    assert path.read_bytes() != raw
    made = ingest_dicom(path, tmp_path / "out", key=KEY, workers=1)
    assert "Amal" not in repr(made.report) + repr(made.rows)
    assert (made.report[0].status, made.rows[0]["voi"]) == ("accepted", "")
