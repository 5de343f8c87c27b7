"""Probability maps: what a cut misses, counted by hand; from files to rows; what cannot be measured is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.archive import write_nifti
from fiducial.predict.maps import PARTS, STEPS, THRESHOLDS, in_steps, measure_maps, missed_and_size
from fiducial.records.files import sha256_file
from fiducial.records.image import Geometry, Image
from fiducial.records.tables import CASES, PREDICTIONS, PROBABILITY, table, validated


def test_what_a_cut_misses_by_hand() -> None:
    """Four true voxels of p 0.9, 0.5, 0.2 and 0; beside them p 0.5 and 0.05."""
    probability = np.array([0.9, 0.5, 0.2, 0.0, 0.5, 0.05], dtype=np.float32).reshape(6, 1, 1)
    truth = np.array([1, 1, 1, 1, 0, 0], dtype=bool).reshape(6, 1, 1)
    found = missed_and_size(in_steps(probability), truth)
    assert (found["fnr@0.95"], found["size@0.95"]) == (1.0, 0.0)
    assert (found["fnr@0.5"], found["size@0.5"]) == (0.5, 0.75)
    assert (found["fnr@0.1"], found["size@0.1"]) == (0.25, 1.0)
    assert (found["fnr@0.005"], found["size@0.005"]) == (0.25, 1.25)
    assert missed_and_size(in_steps(probability), truth & False) == {}


def test_steps_round_down_so_that_a_cut_is_exact() -> None:
    probability = np.linspace(0, 1, 4001, dtype=np.float32)
    steps = in_steps(probability)
    assert (steps.min(), steps.max()) == (0, STEPS)
    for threshold in THRESHOLDS:
        assert ((steps >= round(threshold * STEPS)) == (probability.astype(np.float64) >= threshold)).all()


def test_the_risk_falls_and_the_mask_grows_as_the_threshold_is_lowered() -> None:
    rng = np.random.default_rng(0)
    found = missed_and_size(in_steps(rng.random((9, 9, 9)).astype(np.float32)), rng.random((9, 9, 9)) < 0.3)
    missed, size = ([found[f"{name}@{t:g}"] for t in THRESHOLDS] for name in ("fnr", "size"))
    assert list(THRESHOLDS) == sorted(THRESHOLDS, reverse=True)
    assert (np.diff(missed) <= 0).all()
    assert (np.diff(size) >= 0).all()


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """Two images of one structure: half of the true voxels have p 0.3, the others 0.8; value 2 in the reference."""
    found = []
    for k in range(2):
        truth = np.zeros((6, 5, 4), dtype=np.uint8)
        truth[1:5, 1:4, 1:3] = 2
        truth[0] = 1
        probability = np.where(truth == 2, 0.3, 0.0).astype(np.float32)
        probability[1:3, 1:4, 1:3] = 0.8
        files = [tmp_path / f"map{k}.nii.gz", tmp_path / f"truth{k}.nii.gz"]
        for array, path in zip((in_steps(probability), truth), files, strict=True):
            write_nifti(Image(array[None], Geometry(np.eye(4), array.shape)), path)
        row = {"subject": f"p{k}", "image": f"i{k}", "target": "liver", "kind": "image", "item": PROBABILITY}
        row |= {"split": PARTS[k], "payload": files[0].name, "payload_sha256": sha256_file(files[0])}
        found.append(row | {"truth_payload": files[1].name, "truth_label": "2"})
    return found


def values(rows: list[dict[str, Any]], base: Path) -> tuple[pd.DataFrame, Any]:
    done = measure_maps(table(rows, PREDICTIONS), base=base, workers=1)
    return validated(done.cases, CASES), done.failures


def test_maps_become_cases(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    cases, failures = values(rows, tmp_path)
    assert not failures
    assert len(cases) == 2 * 2 * len(THRESHOLDS)
    by = cases.set_index(["image", "metric"])["value"]
    assert [by["i1", f"fnr@{t}"] for t in (0.85, 0.8, 0.35, 0.3)] == [1.0, 0.5, 0.5, 0.0]
    assert by["i0", "size@0.5"] == 0.5
    assert dict(zip(cases["image"], cases["split"], strict=True)) == {"i0": "calibration", "i1": "test"}
    assert set(cases["target"]) == {"liver"}
    assert set(cases["item"]) == {""}


def test_a_map_that_was_changed_is_named(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_nifti(Image(np.zeros((1, 6, 5, 4), np.uint8), Geometry(np.eye(4), (6, 5, 4))), tmp_path / "map0.nii.gz")
    write_nifti(Image(np.zeros((1, 3, 3, 3), np.uint8), Geometry(np.eye(4), (3, 3, 3))), tmp_path / "truth1.nii.gz")
    cases, failures = values(rows, tmp_path)
    assert {failure.error for failure in failures} == {"IntegrityError", "GeometryError"}
    assert cases["reason"].tolist() == ["case-failed: IntegrityError", "case-failed: GeometryError"]
    assert all(math.isnan(value) for value in cases["value"])


def test_without_a_reference_or_with_an_empty_one_there_is_no_row(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    rows[0]["truth_payload"] = ""
    rows[1]["truth_label"] = "7"
    cases, failures = values(rows, tmp_path)
    assert not len(cases)
    assert not failures
