"""Files that a stranger may have written are read without surprises, or refused."""

from __future__ import annotations

import os

import pytest

from fiducial.errors import IntegrityError
from fiducial.records.untrusted import file_inside, read_json_strictly


def test_plain_json_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null, "é"]}', encoding="utf-8")
    assert read_json_strictly(tmp_path / "a.json") == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "not readable as JSON"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"[1e999]", "not finite"),
        (b"[" + b"9" * 10_000 + b"]", "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"", "not readable as JSON"),
    ],
    ids=range(10),
)
def test_hostile_json_is_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(IntegrityError, match=message):
        read_json_strictly(tmp_path / "a.json")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(10**7)
    with pytest.raises(IntegrityError, match="10,000,000 bytes"):
        read_json_strictly(tmp_path / "a.json", max_bytes=10**6)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(IntegrityError, match="no such file"):
        read_json_strictly(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["a", "payload/a.nii.gz", "a..b", "..a"])
def test_names_inside_are_paths(tmp_path, name):
    assert file_inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["", "../a", "a/../../b", "/etc/hostname", "a\\..\\b", "a\0b", ".."])
def test_names_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(IntegrityError, match="leads out"):
        file_inside(tmp_path, name)


def test_links_are_followed_inside_and_refused_outside(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "a").write_text("a")
    (run / "b").symlink_to(run / "a")
    (run / "out").symlink_to(tmp_path)
    (run / "self").symlink_to(run / "self")
    assert file_inside(run, "b").read_text() == "a"
    with pytest.raises(IntegrityError, match="link 'out' leads out"):
        file_inside(run, "out")
    with pytest.raises(IntegrityError, match="leads out"):
        file_inside(run, "out/secret")
    with pytest.raises(IntegrityError, match="cannot be followed"):
        file_inside(run, "self")
