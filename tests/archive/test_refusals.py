"""Every refusal by name: each code of `REFUSALS` is provoked here, and shows in the report with what to do."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fiducial.archive import ingest_dicom, read_image, unpack_zip
from fiducial.archive.dicom import DicomHeader, write_series
from fiducial.archive.pictures import read_picture
from fiducial.archive.refusal import REFUSALS, REPAIRS, code_of
from fiducial.archive.rtstruct import write_rtstruct
from fiducial.archive.unpack import Unpacked, ZipLimits
from fiducial.compute import Failure, MapResult
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry, Image

KEY = b"k" * 32
AFFINE = np.array([[-0.9, 0, 0, 12.5], [0, -0.8, 0, 20.25], [0, 0, 2.5, -7.75], [0, 0, 0, 1.0]])
HEADER = DicomHeader("P-123456", patient_name="Doe^Jane", study_date="20240511")
Build = Callable[[Path], None]


def image(shape: tuple[int, int, int] = (8, 6, 5)) -> Image:
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(1, *shape)
    return Image(voxels, Geometry(AFFINE, shape), "CT", "HU")


def written(folder: Path, header: DicomHeader = HEADER) -> list[Path]:
    return write_series(image(), folder, header)


def edit(change: Callable[[Dataset, int], Any]) -> Build:
    """A CT series whose files were changed one by one."""

    def build(folder: Path) -> None:
        for index, path in enumerate(written(folder)):
            dataset = pydicom.dcmread(path)
            change(dataset, index)
            dataset.save_as(path, enforce_file_format=False)

    return build


def put(keyword: str, value: Any, *, only: int | None = None) -> Build:
    return edit(lambda d, i: setattr(d, keyword, value) if only in (None, i) else None)


def drop(*indices: int) -> Build:
    def build(folder: Path) -> None:
        for index, path in enumerate(written(folder)):
            if index in indices:
                path.unlink()

    return build


def shift(dataset: Dataset, x: float, y: float, z: float) -> None:
    dataset.ImagePositionPatient = [float(a) + b for a, b in zip(dataset.ImagePositionPatient, (x, y, z), strict=True)]


def object_of(sop_class: str) -> Build:
    return edit(lambda d, _: setattr(d, "SOPClassUID", sop_class))


def bytes_of(content: bytes) -> Build:
    def build(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "file.dcm").write_bytes(content)

    return build


def cut(fraction: float) -> Build:
    """The third slice ends after a part of its bytes."""

    def build(folder: Path) -> None:
        path = written(folder)[2]
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * fraction)])

    return build


def transfer_syntax(uid: str, pixels: bytes | None = None) -> Build:
    def change(dataset: Dataset, index: int) -> None:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)
        if pixels is not None:
            dataset.PixelData = pydicom.encaps.encapsulate([pixels])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True

    return edit(change)


def copy_with_other_voxels(folder: Path) -> None:
    path = written(folder)[1]
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(folder / "again.dcm")


def other_voxels(dataset: Dataset) -> None:
    dataset.PixelData = bytes(byte ^ 1 for byte in dataset.PixelData)
    dataset.SOPInstanceUID += ".2"


def two_volumes(folder: Path) -> None:
    """The same places twice, with other voxels, and nothing that tells which is which."""
    for path in written(folder):
        dataset = pydicom.dcmread(path)
        other_voxels(dataset)
        dataset.save_as(folder / f"second-{path.name}")


def one_doubled(folder: Path) -> None:
    dataset = pydicom.dcmread(written(folder)[3])
    other_voxels(dataset)
    dataset.save_as(folder / "doubled.dcm")


def turned(dataset: Dataset, index: int) -> None:
    """Every slice at an angle of its own, as in a radial scan."""
    angle = np.radians(20 * index)
    dataset.ImageOrientationPatient = [np.cos(angle), np.sin(angle), 0, 0, 0, -1]


def planes(dataset: Dataset, index: int) -> None:
    dataset.ImageOrientationPatient = ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1])[index % 3]


def one_beside_four(dataset: Dataset, index: int) -> None:
    if index == 4:
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def multiframe(dataset: Dataset, index: int) -> None:
    dataset.NumberOfFrames = 2


def too_many_frames(dataset: Dataset, index: int) -> None:
    dataset.SOPClassUID, dataset.NumberOfFrames = "1.2.840.10008.5.1.4.1.1.2.1", 2_000_000_000


def mosaic(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]


def medium_without_its_files(folder: Path) -> None:
    """A directory that names two files, one of which is there."""
    written(folder)[0].rename(folder / "IM0001")
    directory = pydicom.dcmread(folder / "IM0001", stop_before_pixels=True)
    medium = Dataset()
    medium.file_meta = directory.file_meta
    medium.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    records = [Dataset(), Dataset()]
    for record, name in zip(records, ("IM0001", "IM0002"), strict=True):
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["DICOM", name]
    (folder / "DICOM").mkdir()
    (folder / "IM0001").rename(folder / "DICOM" / "IM0001")
    medium.DirectoryRecordSequence = records
    medium.save_as(folder / "DICOMDIR", enforce_file_format=True)


def lookup_table(dataset: Dataset, index: int) -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation, item.ModalityLUTType, item.LUTData = [2, 0, 16], "", "HU", bytes(4)
    dataset.ModalityLUTSequence = Sequence([item])


def undeflatable(folder: Path) -> None:
    """A file that says its dataset is deflated, and is not."""
    path = written(folder)[0]
    content = path.read_bytes()
    plain, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    path.write_bytes(
        content.replace(plain[:-1] + b"\0", deflated, 1).replace(b"UI\x14\0" + deflated, b"UI\x16\0" + deflated)
    )


def pet(change: Callable[[Dataset, int], Any]) -> Build:
    def build(folder: Path) -> None:
        from datetime import datetime

        from fiducial.archive.dicom import PetDose

        dose = PetDose(3.7e8, datetime(2024, 5, 11, 9), datetime(2024, 5, 11, 10))
        voxels = np.ones((1, 8, 6, 5), np.float32)
        header = replace(HEADER, weight_kg=70, pet=dose)
        for index, path in enumerate(
            write_series(Image(voxels, Geometry(AFFINE, (8, 6, 5)), "PT", "SUV"), folder, header)
        ):
            dataset = pydicom.dcmread(path)
            change(dataset, index)
            dataset.save_as(path)

    return build


def structures(change: Callable[[Dataset], Any] | None = None, *, series: Build | None = None) -> Build:
    """A CT series and a structure set of one square, which may be changed."""

    def build(folder: Path) -> None:
        if series is None:
            written(folder / "ct")
        else:
            series(folder)
        mask = np.zeros((8, 6, 5), bool)
        mask[2:5, 2:5, 1:4] = True
        path = write_rtstruct(
            {"gtv": mask}, folder / "rs.dcm", reference=HEADER.reference(image().geometry, "CT"), header=HEADER
        )
        if change is not None:
            dataset = pydicom.dcmread(path)
            change(dataset)
            dataset.save_as(path)

    return build


def contours(change: Callable[[Dataset], Any]) -> Build:
    return structures(lambda d: [change(c) for c in d.ROIContourSequence[0].ContourSequence])


def move_contour(dataset: Dataset, x: float, z: float) -> None:
    points = np.array(dataset.ContourData, float).reshape(-1, 3) + np.array([x, 0, z])
    dataset.ContourData = [f"{v:.4f}" for v in points.ravel()]


def forget_references(dataset: Dataset) -> None:
    dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence = []
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        del contour.ContourImageSequence


def two_series_in_one_frame(folder: Path) -> None:
    written(folder / "a")
    written(folder / "b", replace(HEADER, series_number=2))


def tilt(dataset: Dataset, index: int) -> None:
    shift(dataset, 0, 2.5 * np.tan(np.radians(15)) * index, 0)


SEGMENTATION, RADIOGRAPH, SLIDE = (f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("66.5", "1.1", "77.1.6"))


def picture(change: Callable[[Dataset], Any], sop_class: str = RADIOGRAPH) -> Build:
    """Five pictures instead of a series."""
    return edit(lambda d, _: (setattr(d, "SOPClassUID", sop_class), change(d)))


def video(dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 10])
    dataset["PixelData"].is_undefined_length = True


def endless(dataset: Dataset) -> None:
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 60_000, 60_000, 3


# code: how to provoke it, and what the report's reason must say (a regular expression).
REPORTED: dict[str, tuple[Build, str]] = {
    "not-dicom": (bytes_of(b"a letter, no image" * 20), "no DICM at byte 128"),
    "truncated": (cut(0.9), "1 of 5 files end before"),
    "unreadable": (undeflatable, "cannot be parsed"),
    "broken-neighbours": (undeflatable, r"1 unreadable file\(s\) beside it"),
    "dicomdir": (object_of("1.2.840.10008.1.3.10"), "directory of a medium"),
    "missing-tags": (put("PixelSpacing", None, only=1), "PixelSpacing in 1 of 5 files"),
    "missing-files": (medium_without_its_files, "1 that it names are not there: DICOM/IM0002"),
    "enhanced-multiframe": (edit(multiframe), "NumberOfFrames > 1"),
    "too-many-frames": (edit(too_many_frames), "2,000,000,000, at most 50,000"),
    "mosaic": (edit(mosaic), "do not say where the tiles lie"),
    "colour": (put("SamplesPerPixel", 3), "SamplesPerPixel 3"),
    "whole-slide": (object_of(SLIDE), "Whole Slide Microscopy"),
    "segmentation-object": (object_of(SEGMENTATION), "Surface Segmentation"),
    "structured-report": (object_of("1.2.840.10008.5.1.4.1.1.88.11"), "Basic Text SR"),
    "key-objects": (object_of("1.2.840.10008.5.1.4.1.1.88.59"), "Key Object Selection"),
    "presentation-state": (object_of("1.2.840.10008.5.1.4.1.1.11.1"), "Presentation State"),
    "radiotherapy-object": (object_of("1.2.840.10008.5.1.4.1.1.481.5"), "RT Plan"),
    "unsupported-modality": (object_of("1.2.840.10008.5.1.4.1.1.9.1.1"), "12-lead ECG"),
    "burned-in-annotation": (put("BurnedInAnnotation", "YES", only=2), "YES"),
    "transfer-syntax": (transfer_syntax("1.2.840.10008.1.2.4.94", b"\0" * 10), "JPIP"),
    "corrupt-pixels": (transfer_syntax("1.2.840.10008.1.2.5", b"no run-length code"), r"\w+Error"),
    "bit-depth": (put("BitsAllocated", 12), "12 bits"),
    "modality-lut": (edit(lookup_table), "ModalityLUTSequence"),
    "photometric": (picture(lambda d: setattr(d, "PhotometricInterpretation", "HSV")), "no known"),
    "palette": (picture(lambda d: setattr(d, "PhotometricInterpretation", "PALETTE COLOR")), "RedPalette"),
    "video": (picture(video), "MPEG-4"),
    "too-large": (picture(endless), "60,000 x 60,000 voxels declared"),
    "frames-ambiguous": (
        picture(lambda d: setattr(d, "NumberOfFrames", 2), "1.2.840.10008.5.1.4.1.1.20"),
        "no vector",
    ),
    "rescale-missing": (edit(lambda d, i: d.__delattr__("RescaleSlope") if i == 2 else None), "in 1 of 5 files"),
    "rescale-invalid": (put("RescaleSlope", "0", only=3), "0"),
    "rescale-type": (put("RescaleType", "US"), "not HU"),
    "localizer": (put("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), "LOCALIZER"),
    "mixed-patients": (put("PatientID", "Q-999999", only=4), r"2 patient\(s\)"),
    "mixed-orientation": (edit(turned), "5 slices, each of its own orientation"),
    "mixed-objects": (put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4", only=2), "CT Image Storage, MR Image Storage"),
    "bad-orientation": (put("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "cosine between them 1"),
    "single-slice": (edit(one_beside_four), "one slice beside 4"),
    "conflicting-copies": (copy_with_other_voxels, "different content"),
    "duplicate-slices": (one_doubled, r"first at slice 4 \(InstanceNumber 4\)"),
    "multiple-volumes": (two_volumes, "2 at each of 5 places, and no tag tells them apart"),
    "missing-slices": (drop(2), r"1 between slice 2 \(InstanceNumber 2\) and slice 3 \(InstanceNumber 4\)"),
    "uneven-slices": (edit(lambda d, i: shift(d, 0, 0, 0.9 * (i == 2))), r"between slice [23] .* and slice [34]"),
    "sheared-stack": (edit(lambda d, i: shift(d, i * i, 0, 0)), r"by up to 4 mm, most at slice 3"),
    "pet-units": (pet(lambda d, _: setattr(d, "Units", "CNTS")), "CNTS"),
    "pet-suv-type": (pet(lambda d, _: (setattr(d, "Units", "GML"), setattr(d, "SUVType", "IBW"))), "IBW"),
    "pet-series-type": (pet(lambda d, _: setattr(d, "SeriesType", ["PLANAR", "IMAGE"])), "PLANAR"),
    "pet-not-corrected": (pet(lambda d, _: setattr(d, "CorrectedImage", ["DECY"])), "ATTN"),
    "pet-decay-correction": (pet(lambda d, _: setattr(d, "DecayCorrection", "NONE")), "NONE, although"),
    "suv-tags-missing": (pet(lambda d, _: setattr(d, "PatientWeight", None)), "PatientWeight"),
    "suv-values": (pet(lambda d, _: setattr(d, "PatientWeight", "70000")), "outside"),
    "suv-times": (pet(lambda d, _: setattr(d, "SeriesTime", "080000")), "-1 h after the injection"),
    "object-no-series": (
        structures(series=lambda f: written(f / "ct", DicomHeader("P-123456", study_id="2"))),
        "none",
    ),
    "object-ambiguous": (structures(forget_references, series=two_series_in_one_frame), "2 series"),
    "object-series-refused": (structures(series=drop(2)), "not read"),
    "rtstruct-empty": (structures(lambda d: setattr(d.ROIContourSequence[0], "ContourSequence", [])), "no contours"),
    "rtstruct-contour-type": (
        contours(lambda c: setattr(c, "ContourGeometricType", "POINT")),
        "3 of 3 contours are POINT",
    ),
    "rtstruct-off-slice": (contours(lambda c: move_contour(c, 0, 1.0)), r"0\.4 slices off"),
    "rtstruct-outside": (contours(lambda c: move_contour(c, 0, 25.0)), "outside the grid"),
}


@pytest.mark.parametrize("code", REPORTED)
def test_refusal_shows_in_the_report(code: str, tmp_path: Path) -> None:
    build, says = REPORTED[code]
    (tmp_path / "source").mkdir()
    build(tmp_path / "source")
    made = ingest_dicom(tmp_path / "source", tmp_path / "out", key=KEY, workers=1)
    rows = [row for row in made.report if row.reason.startswith(f"{code}: ")]
    assert rows, [row.reason for row in made.report]
    assert re.search(says, rows[0].reason), rows[0].reason
    assert {(row.status, row.action) for row in rows} == {("rejected", REFUSALS[code])}
    assert not any(secret in repr(made.report) for secret in ("P-123456", "Q-999999", "Doe", "Jane", "20240511"))


def test_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders.base import Decoder

    transfer_syntax("1.2.840.10008.1.2.4.90", b"\0" * 10)(tmp_path / "source")
    monkeypatch.setattr(Decoder, "is_available", property(lambda _: False))
    with pytest.raises(UnreadableFile, match=r"no-decoder: JPEG 2000 Image Compression \(Lossless Only\): "):
        read_image(tmp_path / "source")


def test_no_files(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(UnreadableFile, match="no-files: no file below this folder"):
        ingest_dicom(tmp_path / "empty", tmp_path / "out", key=KEY)


def test_unexpected_error_and_dead_worker_keep_the_header_to_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fiducial.archive import ingest

    written(tmp_path / "source")

    for error, reason in (("RuntimeError", "unexpected: RuntimeError"), ("WorkerDied", "worker-died: WorkerDied")):

        def failing(function: Any, cases: dict[str, Any], *, name: str = error, **_: Any) -> MapResult:
            failures = tuple(Failure(key, name, "Doe^Jane said no", "trace of Doe^Jane") for key in cases)
            return MapResult({}, failures)

        monkeypatch.setattr(ingest, "map_cases", failing)
        made = ingest_dicom(tmp_path / "source", tmp_path / "out", key=KEY, workers=1)
        assert [row.reason for row in made.report] == [reason]
        assert made.report[0].action == REFUSALS[reason.partition(":")[0]]
        assert "Doe" not in repr(made)
        assert "Doe^Jane said no" in (tmp_path / "out" / "private" / "failures.json").read_text()


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("innocent.dcm")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return path


def encrypted(path: Path) -> Path:
    content = bytearray(zipped(path, {"a.dcm": b"x"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def damaged(path: Path) -> Path:
    content = bytearray(zipped(path, {"a.dcm": b"x" * 100}).read_bytes())
    content[content.index(b"a.dcm") + 6] ^= 0xFF
    path.write_bytes(content)
    return path


def raise_only(unpacked: Unpacked) -> None:
    """Raise the refusal of the one bad entry."""
    (refusal,) = (*unpacked.refused.values(), *unpacked.homeless)
    raise refusal


def picture(path: Path, mode: str, size: tuple[int, int], colour: Any) -> Path:
    from PIL import Image as Pillow

    Pillow.new(mode, size, colour).save(path)
    return path


def text_file(path: Path) -> Path:
    path.write_text("no image")
    return path


def objects(path: Path) -> Path:
    np.savez(path, things=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return path


RAISED: dict[str, Callable[[Path], Any]] = {
    "zip-unreadable": lambda p: unpack_zip(text_file(p / "a.zip"), p / "out"),
    "zip-encrypted": lambda p: raise_only(unpack_zip(encrypted(p / "a.zip"), p / "out")),
    "zip-path": lambda p: raise_only(unpack_zip(zipped(p / "a.zip", {"../out.dcm": b"x"}), p / "out")),
    "zip-link": lambda p: raise_only(unpack_zip(link(p / "a.zip"), p / "out")),
    "zip-damaged": lambda p: raise_only(unpack_zip(damaged(p / "a.zip"), p / "out")),
    "zip-too-many": lambda p: unpack_zip(
        zipped(p / "a.zip", {f"{i}": b"" for i in range(5)}), p / "out", limits=ZipLimits(max_files=4)
    ),
    "zip-too-large": lambda p: unpack_zip(
        zipped(p / "a.zip", {"a": bytes(1000)}), p / "out", limits=ZipLimits(max_bytes=999)
    ),
    "format": lambda p: read_image(text_file(p / "a.png")),
    "no-such-file": lambda p: read_image(p / "a.nii.gz"),
    "no-such-entry": lambda p: (np.savez(p / "a.npz", x=np.zeros((2, 3, 3))), read_image(f"{p}/a.npz#x/2")),
    "voxel-type": lambda p: read_image(f"{objects(p / 'a.npz')}#things/0"),
    "alpha": lambda p: read_picture(picture(p / "a.png", "RGBA", (3, 2), (1, 2, 3, 100))),
}


@pytest.mark.parametrize("code", RAISED)
def test_refusal_is_raised(code: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile) as refusal:
        RAISED[code](tmp_path)
    assert code_of(refusal.value) == code
    assert refusal.value.action == REFUSALS[code]


def test_every_code_is_provoked() -> None:
    elsewhere = {"no-decoder", "no-files", "unexpected", "worker-died"}
    # Each of these is provoked beside its reader or its source: test_segmentation.py, test_nrrd.py ...
    families = ("seg-", "dose-", "map-", "sr-", "export-", "pacs-", "nrrd-")
    elsewhere |= {code for code in REFUSALS if code.startswith(families)}
    assert set(REPORTED) | set(RAISED) | elsewhere == set(REFUSALS)


def test_codes_are_stable_words_and_every_action_says_something() -> None:
    for code, action in REFUSALS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert action.strip()


def test_header_cut_within_its_first_bytes(tmp_path: Path) -> None:
    cut(0.25)(tmp_path / "source")
    made = ingest_dicom(tmp_path / "source", tmp_path / "out", key=KEY, workers=1)
    assert {row.status for row in made.report} == {"rejected"}
    assert not made.rows


def test_one_bad_series_stops_nothing(tmp_path: Path) -> None:
    for index, code in enumerate(("missing-slices", "truncated", "not-dicom", "colour", "uneven-slices")):
        folder = tmp_path / "source" / str(index)
        folder.mkdir(parents=True)
        REPORTED[code][0](folder)
        # The same UIDs five times would be one series: give each folder its own.
        for path in folder.iterdir():
            try:
                dataset = pydicom.dcmread(path)
            except pydicom.errors.InvalidDicomError:
                continue
            dataset.SeriesInstanceUID = f"2.25.{index + 1}"
            if code != "truncated":
                dataset.save_as(path, enforce_file_format=False)
    written(tmp_path / "source" / "good", replace(HEADER, series_number=9))
    made = ingest_dicom(tmp_path / "source", tmp_path / "out", key=KEY, workers=1)
    assert [row["role"] for row in made.rows] == ["image"]
    assert sum(row.status == "accepted" for row in made.report) == 1
    assert len(made.report) == 6


def test_exact_copies_are_repaired_and_said(tmp_path: Path) -> None:
    files = written(tmp_path / "source")
    shutil.copy(files[2], tmp_path / "source" / "copy-1.dcm")
    shutil.copy(files[4], tmp_path / "source" / "copy-2.dcm")
    made = ingest_dicom(tmp_path / "source", tmp_path / "out", key=KEY, workers=1)
    (row,) = made.report
    assert (row.status, row.n_files) == ("repaired", 7)
    assert row.reason == "exact-copies: 2 file(s) that repeat another left out"
    np.testing.assert_array_equal(read_image(tmp_path / "out" / made.rows[0]["path"]).array, image().array)


def test_every_code_is_in_the_documentation(root: Path) -> None:
    page = (root / "docs" / "how-to" / "ingest-dicom.md").read_text()
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", page.partition("## Reasons")[2])) == {*REFUSALS, *REPAIRS}
