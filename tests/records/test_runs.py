"""A run folder knows its own files."""

from __future__ import annotations

import json

import pytest

from fiducial.errors import IntegrityError
from fiducial.records.runs import changed_files, read_record, seal, unsealed_files, verify


@pytest.fixture
def run(tmp_path):
    """A run with two files and a folder of two."""
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "payload").mkdir()
    for name in ("a", "b"):
        (tmp_path / "payload" / f"{name}.nii.gz").write_text(name)
    return tmp_path


def test_the_digest_of_a_known_text(tmp_path):
    (tmp_path / "abc.txt").write_text("abc")
    # FIPS 180-2, appendix B.1
    assert seal(tmp_path)["files"]["abc.txt"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_sealing_without_names_records_every_file_and_the_facts(run):
    record = seal(run, seed=7)
    assert sorted(record["files"]) == ["model.safetensors", "payload/a.nii.gz", "payload/b.nii.gz", "plan.json"]
    assert verify(run) == record
    assert read_record(run)["seed"] == 7


def test_a_later_step_keeps_earlier_facts_and_digests(run):
    first = seal(run, seed=7)
    (run / "predictions.parquet").write_text("p")
    second = seal(run, "predictions.parquet", predicted=3)
    assert second["seed"] == 7
    assert first["files"].items() < second["files"].items()


def test_sealing_one_file_does_not_launder_another(run):
    seal(run)
    (run / "model.safetensors").write_bytes(b"other")
    (run / "cases.parquet").write_text("c")
    seal(run, "cases.parquet")
    seal(run)
    with pytest.raises(IntegrityError, match=r"model\.safetensors: the file changed after it was sealed"):
        verify(run, "model.safetensors")


def test_a_folder_that_is_sealed_again_forgets_files_that_are_gone(run):
    seal(run)
    (run / "payload" / "a.nii.gz").unlink()
    with pytest.raises(IntegrityError, match="missing"):
        verify(run, "payload")
    seal(run, "payload")
    assert "payload/a.nii.gz" not in verify(run)["files"]
    (run / "payload" / "b.nii.gz").unlink()
    (run / "payload").rmdir()
    seal(run, "payload")
    assert sorted(verify(run)["files"]) == ["model.safetensors", "plan.json"]


def test_a_named_file_must_be_there(run):
    with pytest.raises(IntegrityError, match=r"cases\.parquet: cannot be sealed"):
        seal(run, "cases.parquet")


def test_hidden_and_half_written_files_are_not_sealed(run):
    (run / ".part-x.json").write_text("half")
    assert ".part-x.json" not in seal(run)["files"]


def test_what_is_not_sealed_is_not_verified(run):
    seal(run, "plan.json")
    with pytest.raises(IntegrityError, match=r"no digest in run\.json"):
        verify(run, "model.safetensors")


def test_a_folder_without_a_record_says_how_to_make_a_run(tmp_path):
    with pytest.raises(IntegrityError, match="fiducial train"):
        verify(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"files": 1}), json.dumps({"files": {"a": 1}}), "[" * 99_999])
def test_a_broken_record_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"run\.json"):
        verify(tmp_path)


# records that a stranger wrote


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "payload/../../secret"])
def test_a_record_cannot_name_files_outside_of_its_run(tmp_path, name):
    run = tmp_path / "run"
    (run / "payload").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (run / "run.json").write_text(json.dumps({"schema": 1, "files": {name: "0" * 64}}))
    with pytest.raises(IntegrityError, match="leads out of the folder"):
        verify(run)
    assert changed_files(run, {name: "0" * 64}) == [(name, f"the name {name!r} leads out of the folder")]


def test_a_link_out_of_the_run_is_neither_sealed_nor_verified(run):
    seal(run)
    (run / "plan.json").rename(run.parent / "plan-elsewhere.json")
    (run / "plan.json").symlink_to(run.parent / "plan-elsewhere.json")
    with pytest.raises(IntegrityError, match="leads out of the folder"):
        verify(run, "plan.json")
    with pytest.raises(IntegrityError, match="leads out of the folder"):
        seal(run, "plan.json")


def test_every_changed_file_is_named(run):
    digests = seal(run)["files"]
    assert changed_files(run, digests) == []
    (run / "plan.json").write_text("[]")
    (run / "payload" / "a.nii.gz").unlink()
    assert [(name, how.split(" ")[0]) for name, how in changed_files(run, digests)] == [
        ("payload/a.nii.gz", "missing"),
        ("plan.json", "changed"),
    ]


def test_signatures_are_not_sealed_and_other_files_are_told(run):
    seal(run)
    (run / "signature.json").write_text("{}")
    (run / "notes.txt").write_text("n")
    assert unsealed_files(run) == ["notes.txt"]
    assert "signature.json" not in seal(run)["files"]
