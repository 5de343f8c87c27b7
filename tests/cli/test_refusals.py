"""Bad input on its way through the command line: refused with 2, in one message, with nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fiducial.cli.main import run
from fiducial.phantom.hospital import make_patients, write_hospital

COMMAND_LINE = "from fiducial.cli.main import main; main()"


def refusal(argv: list[str | Path], capsys) -> str:
    """The message of a command that must be refused with 2 and no traceback."""
    assert run([*map(str, argv), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("refused: ")
    assert "Traceback" not in err
    return err


def write_pairs(folder: Path, n: int = 4, **changes: np.ndarray) -> Path:
    """Write NIfTI ``images/`` and ``labels/``; ``changes`` replace the voxels of case_0's image or label."""
    generator = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for k in range(n):
        voxels = {"images": generator.normal(size=(12, 12, 8)).astype(np.float32)}
        voxels["labels"] = (voxels["images"] > 1).astype(np.uint8)
        for part, array in voxels.items():
            chosen = changes.get(part, array) if k == 0 else array
            nibabel.save(nibabel.Nifti1Image(chosen, np.eye(4)), folder / part / f"case_{k}.nii.gz")
    return folder


# ingest


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    message = refusal(["ingest", tmp_path / "empty", "--out", tmp_path / "cohort"], capsys)
    assert str(tmp_path / "empty") in message
    assert not (tmp_path / "cohort").exists()


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert "absent" in refusal(["ingest", tmp_path / "absent", "--out", tmp_path / "cohort"], capsys)


def test_files_that_are_no_images(tmp_path, capsys):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("hello")
    refusal(["ingest", tmp_path / "notes", "--out", tmp_path / "cohort"], capsys)
    assert not (tmp_path / "cohort").exists()


def test_a_nan_voxel_sets_its_case_aside_by_name(tmp_path, capsys):
    voxels = np.zeros((12, 12, 8), np.float32)
    voxels[3, 3, 3] = np.nan
    source = write_pairs(tmp_path / "source", images=voxels)
    assert run(["ingest", str(source), "--out", str(tmp_path / "cohort"), "--workers", "1", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "rejected 1" in out
    report = (tmp_path / "cohort" / "ingest.json").read_text()
    assert "case_0" in report
    assert "1 of 1,152 voxels are NaN or infinite" in report


def test_a_mask_of_another_shape_sets_its_case_aside_by_name(tmp_path, capsys):
    source = write_pairs(tmp_path / "source", labels=np.zeros((12, 12, 9), np.uint8))
    assert run(["ingest", str(source), "--out", str(tmp_path / "cohort"), "--workers", "1", "--quiet"]) == 0
    assert "rejected 1" in capsys.readouterr().out
    report = (tmp_path / "cohort" / "ingest.json").read_text()
    assert "12 x 12 x 8 voxels" in report
    assert "12 x 12 x 9 voxels" in report


def test_a_truncated_file_sets_its_case_aside_by_name(tmp_path, capsys):
    source = write_pairs(tmp_path / "source")
    path = source / "images" / "case_0.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    assert run(["ingest", str(source), "--out", str(tmp_path / "cohort"), "--workers", "1", "--quiet"]) == 0
    assert "rejected 1" in capsys.readouterr().out


def test_a_mask_with_another_affine_alone_sets_its_case_aside_with_both_grids(tmp_path, capsys):
    source = write_pairs(tmp_path / "source")
    path = source / "labels" / "case_0.nii.gz"
    mask = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(mask.dataobj), np.diag([1.0, 1.0, 2.5, 1.0])), path)
    assert run(["ingest", str(source), "--out", str(tmp_path / "cohort"), "--workers", "1", "--quiet"]) == 0
    assert "rejected 1" in capsys.readouterr().out
    [row] = rejected(tmp_path / "cohort")
    assert "case_0" in row["source"]
    assert "12 x 12 x 8 voxels" in row["reason"]
    assert "2.5" in row["reason"]


def rejected(cohort: Path) -> list[dict[str, str]]:
    """The rows of an ingest report that say why something was not taken."""
    return [row for row in json.loads((cohort / "ingest.json").read_text())["rows"] if row["status"] == "rejected"]


def test_truncated_and_foreign_files_in_a_dicom_tree_are_named_and_the_rest_goes_on(tmp_path, capsys):
    write_hospital(make_patients(3, seed=5), tmp_path, workers=1)
    first = min(path for path in tmp_path.joinpath("dicom").rglob("*") if path.is_file())
    first.write_bytes(first.read_bytes()[:300])  # the preamble and half a header
    first.with_name("notes.dcm").write_text("not DICOM at all")
    argv = ["ingest", str(tmp_path / "dicom"), "--out", str(tmp_path / "cohort"), "--workers", "1", "--quiet"]
    assert run(argv) == 0
    assert "2 subjects, 2 images, 2 masks" in capsys.readouterr().out
    reasons = {row["source"].split("/")[-1]: row["reason"] for row in rejected(tmp_path / "cohort")}
    assert reasons["notes.dcm"] == "not-dicom: no DICM at byte 128"
    assert reasons[first.name].startswith("missing-tags")
    # A series that lost a slice is refused as a whole, and so are the structures drawn on it.
    assert {reason.split(":")[0] for reason in reasons.values()} >= {"broken-neighbours", "object-series-refused"}


def test_labels_that_match_no_image(tmp_path, capsys):
    source = write_pairs(tmp_path / "source")
    (tmp_path / "labels.csv").write_text("image,sick\nother_1,1\nother_2,0\n")
    message = refusal(
        ["ingest", source, "--out", tmp_path / "c", "--labels", tmp_path / "labels.csv", "--workers", "1"], capsys
    )
    assert "labels.csv" in message


# check and train


def test_training_without_labels(tiny_cohort, discs, tmp_path, capsys):
    shutil.copytree(discs / "images", tmp_path / "pictures")
    assert run(["ingest", str(tmp_path / "pictures"), "--out", str(tmp_path / "cohort"), "--workers", "1", "-q"]) == 0
    shutil.copy(tiny_cohort.study, tmp_path / "discs.toml")
    study = tmp_path / "discs.toml"
    study.write_text(study.read_text().replace('attributes = ["site"]\n', ""))
    capsys.readouterr()
    assert "no masks" in refusal(["train", study, "--out", tmp_path / "run"], capsys)
    assert "no masks" in refusal(["check", study], capsys)


def classification(tiny_cohort, tmp_path, target: str) -> Path:
    """A classification study on a copy of the cohort of discs."""
    shutil.copytree(tiny_cohort.cohort, tmp_path / "cohort")
    study = tmp_path / "study.toml"
    text = tiny_cohort.study.read_text().split("[[accept]]", maxsplit=1)[0]
    study.write_text(text.replace('"segmentation"', '"classification"').replace('"label_1"', f'"{target}"'))
    return study


def test_a_label_that_the_cohort_does_not_have_is_answered_with_the_nearest(tiny_cohort, tmp_path, capsys):
    message = refusal(["check", classification(tiny_cohort, tmp_path, "larg")], capsys)
    assert "no label column 'larg'" in message
    assert "large" in message


def test_one_class_only(tiny_cohort, tmp_path, capsys):
    import pandas as pd

    study = classification(tiny_cohort, tmp_path, "large")
    path = tmp_path / "cohort" / "cohort.parquet"
    pd.read_parquet(path).assign(large=1).to_parquet(path)
    assert "one class only" in refusal(["train", study, "--out", tmp_path / "run"], capsys)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_leak_ends_a_check_with_2_and_refuses_training(tiny_cohort, tmp_path, capsys):
    import pandas as pd

    shutil.copytree(tiny_cohort.folder, tmp_path / "leaky")
    path = tmp_path / "leaky" / "cohort" / "cohort.parquet"
    frame = pd.read_parquet(path)
    split = {f"person_{k:02d}": "train" if k < 20 else "validation" if k < 23 else "test" for k in range(30)}
    frame["split"] = frame["subject"].map(split)
    frame.loc[frame["image"].str.contains("disc_29"), "split"] = "train"
    frame.loc[frame["image"].str.contains("disc_28"), "subject"] = "person_29"
    frame.to_parquet(path)
    assert run(["check", str(path.parent), "--quiet"]) == 2
    out = capsys.readouterr().out
    assert "disc_29 (train) and disc_28 (test)" in out
    study = tmp_path / "leaky" / "discs.toml"
    study.write_text(study.read_text().replace('by = "subject"', 'by = "given"'))
    assert "disc_29 (train) and disc_28 (test)" in refusal(["train", study, "--out", tmp_path / "run"], capsys)


def test_a_broken_table_ends_a_check_with_2(tiny_cohort, tmp_path, capsys):
    import pandas as pd

    shutil.copytree(tiny_cohort.cohort, tmp_path / "cohort")
    path = tmp_path / "cohort" / "cohort.parquet"
    pd.read_parquet(path).assign(role="picture").to_parquet(path)
    message = refusal(["check", tmp_path / "cohort"], capsys)
    assert "row 1, column role" in message


def test_a_run_folder_that_is_taken(tiny_cohort, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("x")
    assert "not empty" in refusal(["train", tiny_cohort.study, "--out", tmp_path / "run"], capsys)
    assert (tmp_path / "run" / "thesis.txt").is_file()


# a run


def test_a_tampered_model(tiny, capsys):
    path = tiny.run / "model.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    message = refusal(["predict", tiny.run, tiny.cohort, "--out", tiny.folder / "out"], capsys)
    assert "model.safetensors: the file changed after it was sealed" in message
    assert not (tiny.folder / "out" / "predictions.parquet").exists()


def test_a_run_of_another_study(tiny, capsys):
    tiny.study.write_text(tiny.study.read_text().replace("at_least = 0.3", "at_least = 0.1"))
    message = refusal(["audit", tiny.run, "--study", tiny.study], capsys)
    assert "the run was made by study 'discs'" in message
    assert "another study or cohort" in refusal(["run", tiny.study, "--out", tiny.run, "--resume"], capsys)


def test_a_run_that_has_predicted_nothing_is_told_what_comes_next(tiny, capsys):
    record = json.loads((tiny.run / "run.json").read_text())
    del record["files"]["predictions.parquet"]
    (tiny.run / "run.json").write_text(json.dumps(record))
    (tiny.run / "predictions.parquet").unlink()
    message = refusal(["audit", tiny.run], capsys)
    assert "this run has no predictions yet" in message
    assert f"--out {tiny.run} --split calibration --split test" in message


def test_a_part_that_does_not_exist(tiny, capsys):
    message = refusal(["predict", tiny.run, tiny.cohort, "--out", tiny.folder / "o", "--split", "holdout"], capsys)
    assert "train, validation, calibration, test" in message


def test_images_outside_the_input_contract(tiny, tmp_path, capsys):
    source = write_pairs(tmp_path / "volumes")
    assert run(["ingest", str(source), "--out", str(tmp_path / "other"), "--workers", "1", "-q"]) == 0
    capsys.readouterr()
    message = refusal(["predict", tiny.run, tmp_path / "other", "--out", tmp_path / "out"], capsys)
    assert "none of 4 images could be predicted" in message


# a disk that fills and a user who interrupts


def study_of(tiny_cohort, tmp_path, minutes: float = 0.05) -> Path:
    """The study of discs with a budget, in a folder of its own."""
    shutil.copytree(tiny_cohort.cohort, tmp_path / "cohort")
    study = tmp_path / "discs.toml"
    study.write_text(tiny_cohort.study.read_text().replace("minutes = 0.05", f"minutes = {minutes}"))
    return study


def test_an_interrupted_training_leaves_nothing_half_written_and_resumes(tiny_cohort, tmp_path):
    study = study_of(tiny_cohort, tmp_path, minutes=0.2)
    command = [sys.executable, "-c", COMMAND_LINE, "train", str(study), "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("training:"):
                break
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "interrupted: nothing half-written" in said
    assert "Traceback" not in said
    left = {p.name for p in (tmp_path / "run").rglob("*")}
    assert "run.json" not in left
    assert "model.safetensors" not in left
    assert not [name for name in left if name.startswith(".part-")]
    assert run(["predict", str(tmp_path / "run"), str(tmp_path / "cohort"), "--out", str(tmp_path / "o"), "-q"]) == 2
    assert run(["train", str(study), "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert not (tmp_path / "run" / "checkpoint").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def test_a_full_disk_during_training_is_one_sentence_and_leaves_no_half_file(tiny_cohort, tmp_path, small_disk, capsys):
    study = study_of(tiny_cohort, tmp_path)
    message = refusal(["train", study, "--out", small_disk / "run"], capsys)
    assert "disk is full" in message.lower() or "no space left" in message.lower()
    left = {p.name for p in (small_disk / "run").rglob("*")}
    assert "run.json" not in left
    assert "model.safetensors" not in left
    assert not [name for name in left if name.startswith(".part-")]
