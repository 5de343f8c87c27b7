"""Input that means harm, or might: refused by name, in bounded time and memory, and whatever lies beside it is read."""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from fiducial.archive import ingest_dicom, read_image
from fiducial.archive.dicom import DicomHeader, write_series
from fiducial.archive.limits import DEFLATE_RATIO, require_size
from fiducial.errors import UnreadableFile
from fiducial.records.image import Geometry, Image

KEY = b"k" * 32
GRID = Geometry(np.diag([-1.0, -1.0, 2.0, 1.0]), (64, 64, 6))
SCRIPT = "<script>alert(1)</script>"
MEBIBYTE = 2**20
PEAK_MIB = 700
# The command, which writes the memory of its largest process (KiB) as it ends. VmHWM starts anew with a program;
# ru_maxrss does not, so that a parent would see its own memory in that of its child.
MEASURED = """
import atexit, re, resource, sys

def write_peak(path):
    own = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with open(path, "w") as file:
        file.write(str(max(own, workers)))

atexit.register(write_peak, sys.argv.pop(1))
import fiducial.cli.main as m
m.main()
"""
LONGEST_S = 120


def image() -> Image:
    return Image(np.arange(64 * 64 * 6, dtype=np.int16).reshape(1, 64, 64, 6), GRID, "CT", "HU")


def good_series(folder: Path, number: int = 1) -> list[Path]:
    return write_series(image(), folder, DicomHeader(f"P-{number:06d}", study_date="20240511"))


def slice_with(folder: Path, change) -> Path:
    """A series in ``folder`` whose first file was changed; the file."""
    first, *_ = good_series(folder, sum(map(ord, folder.name)))
    dataset = pydicom.dcmread(first)
    change(dataset)
    dataset.save_as(first, enforce_file_format=False)
    return first


# Hostile files, each in a folder of its own.


def nested_sequences(folder: Path) -> None:
    """Twenty thousand sequences inside each other, none of a stated length."""
    first = good_series(folder, 7)[0]
    depth = 20_000
    opened = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closed = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    content = first.read_bytes()
    at = content.index(struct.pack("<HH", 0x0010, 0x0010))
    first.write_bytes(content[:at] + opened * depth + closed * depth + content[at:])


def declared_too_large(folder: Path) -> None:
    """A few bytes that call themselves 65,535 x 65,535 voxels."""

    def change(dataset):
        dataset.Rows = dataset.Columns = 65_535

    slice_with(folder, change)


def declared_too_large_compressed(folder: Path) -> None:
    """The same in run lengths, whose decoder would make room for all of them."""
    for path in good_series(folder, 8):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.Rows = dataset.Columns = 65_535
        dataset.save_as(path)


def code_stream_too_large(folder: Path) -> None:
    """A JPEG 2000 stream whose own header says 60,000 x 60,000."""
    for path in good_series(folder, 9):
        dataset = pydicom.dcmread(path)
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        content = bytearray(dataset.PixelData)
        at = content.index(b"\xff\x51") + 6
        content[at : at + 8] = struct.pack(">II", 60_000, 60_000)
        dataset.PixelData = bytes(content)
        dataset.Rows = dataset.Columns = 60_000
        dataset.save_as(path)


def frames_without_end(folder: Path) -> None:
    def change(dataset):
        dataset.NumberOfFrames = 2**31 - 1

    slice_with(folder, change)


def element_longer_than_the_file(folder: Path) -> None:
    first = good_series(folder, 10)[0]
    content = bytearray(first.read_bytes())
    at = content.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW")) + 8
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    first.write_bytes(content)


def deflated_bomb(folder: Path) -> None:
    """A dataset that inflates to two gibibytes."""
    first = good_series(folder, 11)[0]
    dataset = pydicom.dcmread(first)
    meta = dataset.file_meta
    meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info

    head = DicomBytesIO()
    write_file_meta_info(head, meta)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 0x80000000))
    zeros = bytes(16 * MEBIBYTE)
    for _ in range(128):
        body += packer.compress(zeros)
    first.write_bytes(bytes(128) + b"DICM" + head.getvalue() + body + packer.flush())


def wrong_transfer_syntax(folder: Path) -> None:
    """Plain voxels that call themselves JPEG 2000."""
    plain, packed = (uid.encode() + b"\0" * (len(uid) % 2) for uid in (ExplicitVRLittleEndian, JPEG2000Lossless))
    for path in good_series(folder, 12):
        content = path.read_bytes()
        at = content.index(plain)
        longer = len(packed) - len(plain)
        (length,) = struct.unpack("<H", content[at - 2 : at])
        (group,) = struct.unpack("<I", content[140:144])
        head = content[:140] + struct.pack("<I", group + longer) + content[144 : at - 2]
        path.write_bytes(head + struct.pack("<H", length + longer) + packed + content[at + len(plain) :])


def scripts_in_names(folder: Path) -> None:
    """A header, a folder and a file that would run in a page."""
    place = folder / "<img src=x onerror=alert(1)>"

    def change(dataset):
        dataset.Manufacturer = dataset.InstitutionName = dataset.SeriesDescription = SCRIPT

    first = slice_with(place, change)
    first.rename(first.with_name("<svg onload=alert(1)>"))


def links_and_pipes(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "loop").symlink_to(folder)
    (folder / "zero.dcm").symlink_to("/dev/zero")
    (folder / "gone.dcm").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.dcm")


HOSTILE = {
    "nested_sequences": (nested_sequences, {"unreadable", "broken-neighbours"}),
    "declared_too_large": (declared_too_large, {"truncated", "mixed-sizes"}),
    "declared_too_large_compressed": (declared_too_large_compressed, {"corrupt-pixels", "too-large", "truncated"}),
    "code_stream_too_large": (code_stream_too_large, {"too-large"}),
    "frames_without_end": (frames_without_end, {"truncated", "enhanced-multiframe", "mixed-objects"}),
    "element_longer_than_the_file": (element_longer_than_the_file, {"truncated"}),
    "deflated_bomb": (deflated_bomb, {"too-large", "broken-neighbours"}),
    "wrong_transfer_syntax": (wrong_transfer_syntax, {"corrupt-pixels"}),
    "links_and_pipes": (links_and_pipes, {"not-dicom"}),
}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """All of them beside a good series, through the command line; its report and the memory of its largest process."""
    root = tmp_path_factory.mktemp("hostile")
    good_series(root / "source/good")
    for name, (build, _) in HOSTILE.items():
        build(root / "source" / name)
    scripts_in_names(root / "source/scripts_in_names")
    whole = [sys.executable, "-c", MEASURED, str(root / "peak"), "ingest", str(root / "source")]
    whole += ["--out", str(root / "cohort"), "--workers", "2", "--quiet"]
    with (root / "said").open("w") as said:
        code = subprocess.run(whole, stdout=said, stderr=subprocess.STDOUT, timeout=LONGEST_S, check=False).returncode
    done = subprocess.CompletedProcess(whole, code, (root / "said").read_text(), "")
    peak_mib = int((root / "peak").read_text()) / 1024
    return root, done, peak_mib


def rows_of(ingested, name):
    report = json.loads((ingested[0] / "cohort/ingest.json").read_text())["rows"]
    return [row for row in report if row["source"].split("/")[0] == name]


def test_the_ingest_ends_well_and_the_good_series_is_there(ingested):
    _, done, _ = ingested
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert [row["status"] for row in rows_of(ingested, "good")] == ["accepted"]


@pytest.mark.parametrize("name", HOSTILE)
def test_each_is_refused_by_name(ingested, name):
    rows = rows_of(ingested, name)
    assert {row["status"] for row in rows} == {"rejected"}
    assert {row["reason"].partition(":")[0] for row in rows} <= HOSTILE[name][1]


def test_memory_stays_small(ingested):
    assert ingested[2] < PEAK_MIB


def test_scripts_are_text_in_the_page(ingested):
    page = (ingested[0] / "cohort/ingest.html").read_text()
    for hostile in (SCRIPT, "<img src=x", "<svg onload"):
        assert hostile not in page
    assert "onerror=alert(1)&gt;" in page or "onerror" not in page


# Zips: one bad entry is refused, the rest goes on; a series with a lost slice is never taken for whole.


def zipped_series(path: Path, extra: dict[str, bytes]) -> Path:
    files = good_series(path.parent / "series")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"a/{file.name}")
        for name, content in extra.items():
            archive.writestr(name, content)
    return path


def test_an_entry_that_leaves_the_folder_stops_nothing(tmp_path):
    source = zipped_series(tmp_path / "a.zip", {"../../evil.dcm": b"x", "/evil.dcm": b"x"})
    made = ingest_dicom(source, tmp_path / "cohort", key=KEY, workers=1)
    assert sorted((row.status, row.reason.partition(":")[0]) for row in made.report) == [
        ("accepted", ""),
        ("rejected", "zip-path"),
        ("rejected", "zip-path"),
    ]
    assert not list(tmp_path.rglob("evil.dcm"))
    assert not list((tmp_path / "cohort/private").glob(".unpacked-*"))


def test_a_series_whose_slice_is_damaged_in_the_zip_is_not_taken_for_shorter(tmp_path):
    source = zipped_series(tmp_path / "a.zip", {})
    content = bytearray(source.read_bytes())
    at = content.index(b"a/slice-0006.dcm") + 200
    content[at : at + 8] = bytes(8)
    source.write_bytes(content)
    made = ingest_dicom(source, tmp_path / "cohort", key=KEY, workers=1)
    codes = {row.reason.partition(":")[0] for row in made.report}
    assert made.rows == ()
    assert codes == {"zip-damaged", "broken-neighbours"}


# Other formats: what a header declares is believed only as far as its file can hold it.


def test_a_file_holds_no_more_than_its_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(10))
    require_size((2, 5), 1, path)
    require_size((10, DEFLATE_RATIO), 1, path, deflated=True)
    with pytest.raises(UnreadableFile, match="truncated: 11 bytes declared, at most 10"):
        require_size((11,), 1, path)
    with pytest.raises(UnreadableFile, match="truncated"):
        require_size((11, DEFLATE_RATIO), 1, path, deflated=True)
    with pytest.raises(UnreadableFile, match="truncated: a header that declares 4 x -1 voxels"):
        require_size((4, -1), 1, path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_that_declares_too_much(tmp_path, suffix):
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float64), np.eye(4)).header
    header["dim"] = [3, 32_000, 32_000, 32_000, 1, 1, 1, 1]
    header["vox_offset"] = 352
    content = header.binaryblock + bytes(4) + bytes(64)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(UnreadableFile, match="truncated: 262,144,000,000,000 bytes declared"):
        read_image(path)


def test_npz_that_declares_too_much(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000,), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80))
    with pytest.raises(UnreadableFile, match=r"format|too-large"):
        read_image(f"{tmp_path}/a.npz#x")
