"""Archives that nobody vouches for."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from fiducial.archive.unpack import Unpacked, ZipLimits, unpack_zip
from fiducial.errors import UnreadableFile


def make(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zip", {"x/1.dcm": b"one", "x/y/2.dcm": b"two", "empty/": b""})
    assert unpack_zip(source, tmp_path / "out") == Unpacked(2, {}, ())
    assert (tmp_path / "out/x/1.dcm").read_bytes() == b"one"
    assert (tmp_path / "out/x/y/2.dcm").read_bytes() == b"two"


def only_refused(unpacked: Unpacked, folder: Path) -> str:
    """What the one refused entry says; its place is an empty file."""
    ((place, refusal),) = unpacked.refused.items()
    assert place.is_relative_to(folder)
    assert place.read_bytes() == b""
    assert unpacked.homeless == ()
    return refusal.given


@pytest.mark.parametrize(
    "name", ["../up.dcm", "a/../../up.dcm", "/etc/absolute.dcm", "C:/drive.dcm", "..\\up.dcm", "C:\\drive.dcm"]
)
def test_paths_that_leave_the_folder(name: str, tmp_path: Path) -> None:
    source = make(tmp_path / "a.zip", {"good.dcm": b"x", name: b"y", "also.dcm": b"z"})
    unpacked = unpack_zip(source, tmp_path / "out")
    (refusal,) = unpacked.homeless
    assert refusal.given.startswith("zip-path: entry 2 ")
    assert (unpacked.n_files, unpacked.refused) == (2, {})
    assert {path.name for path in tmp_path.rglob("*")} == {"a.zip", "out", "good.dcm", "also.dcm"}


def test_two_entries_at_one_place(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zip", {"a.dcm": b"x", "b.dcm": b"y"})
    source.write_bytes(source.read_bytes().replace(b"b.dcm", b"a.dcm"))
    (refusal,) = unpack_zip(source, tmp_path / "out").homeless
    assert "named twice" in refusal.given
    assert (tmp_path / "out/a.dcm").read_bytes() == b"x"


def test_a_file_where_another_entry_wants_a_folder(tmp_path: Path) -> None:
    unpacked = unpack_zip(make(tmp_path / "a.zip", {"a": b"x", "a/b.dcm": b"y"}), tmp_path / "out")
    assert len(unpacked.homeless) == unpacked.n_files == 1


def test_bomb_by_declared_size(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zip", {"zeros": bytes(5_000_000), "good.dcm": b"x"})
    assert source.stat().st_size < 10_000
    with pytest.raises(UnreadableFile, match="zip-too-large: 5,000,001 bytes, at most 1,000,000"):
        unpack_zip(source, tmp_path / "out", limits=ZipLimits(max_bytes=1_000_000))
    unpacked = unpack_zip(source, tmp_path / "out", limits=ZipLimits(ratio_from_bytes=1_000_000))
    assert "times its size" in only_refused(unpacked, tmp_path / "out")
    assert (tmp_path / "out/good.dcm").read_bytes() == b"x"


def test_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    """The directory declares 100 bytes; the entry holds five million."""
    source = make(tmp_path / "a.zip", {"zeros": bytes(5_000_000)})
    content = source.read_bytes()
    source.write_bytes(content.replace(struct.pack("<I", 5_000_000), struct.pack("<I", 100)))
    unpacked = unpack_zip(source, tmp_path / "out", limits=ZipLimits(max_bytes=1_000_000))
    assert only_refused(unpacked, tmp_path / "out").startswith(("zip-too-large", "zip-damaged"))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path != source and path.is_file()) == 0


def test_a_damaged_entry_leaves_the_others(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zip", {"1.dcm": b"one" * 1000, "2.dcm": b"two" * 1000})
    content = bytearray(source.read_bytes())
    content[content.index(b"2.dcm") + 8] ^= 0xFF
    source.write_bytes(content)
    unpacked = unpack_zip(source, tmp_path / "out")
    assert only_refused(unpacked, tmp_path / "out").startswith("zip-damaged: entry 2")
    assert (tmp_path / "out/1.dcm").read_bytes() == b"one" * 1000


def test_cut_archive_leaves_nothing_but_what_was_there(tmp_path: Path) -> None:
    source = make(tmp_path / "a.zip", {"1.dcm": b"one" * 1000})
    source.write_bytes(source.read_bytes()[:-30])
    (tmp_path / "out").mkdir()
    with pytest.raises(UnreadableFile, match="zip-unreadable"):
        unpack_zip(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_name_that_no_file_can_have_is_the_entry_s_fault(tmp_path: Path) -> None:
    unpacked = unpack_zip(make(tmp_path / "a.zip", {"x" * 300: b"x", "good.dcm": b"y"}), tmp_path / "out")
    assert unpacked.n_files == len(unpacked.homeless) == 1
    assert "a name too long" in unpacked.homeless[0].given
