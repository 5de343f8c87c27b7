"""NRRD and 3D Slicer's segmentations as layouts: names and layers become structures, and what fits nowhere is said."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiducial.archive import read_mask
from fiducial.cohort import ingest as ingest_in_workers
from fiducial.errors import InputRefused

ingest = partial(ingest_in_workers, workers=1)
VOXELS = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)


def layers() -> list[np.ndarray]:
    first, second = np.zeros((2, 6, 5, 4), np.uint8)
    first[1:4, 1:4, 1:3] = 1
    second[2:5, 2:4, 1:3] = 1
    second[0, 0, 0] = 9
    return [first, second]


def test_segments_are_structures_of_their_own_case(nrrd_files: Any, tmp_path: Path) -> None:
    source = tmp_path / "in"
    for case in ("a", "b"):
        nrrd_files.nrrd(source / f"images/{case}.nrrd", VOXELS)
    nrrd_files.segments(source / "labels/a.seg.nrrd", layers(), {"core": (0, 1), "nothing": (0, 2), "whole": (1, 1)})
    nrrd_files.nrrd(source / "labels/b.nrrd", layers()[0])
    made = ingest(source, tmp_path / "cohort")
    masks = made.cohort[made.cohort["role"] == "mask"].set_index("image")
    # Voxels of 6 mm3; an empty segment is empty, a value without a name is a structure too, b has none of these.
    volumes = {name: json.loads(text)["volume_ml"] for name, text in masks["fingerprint"].items()}
    assert volumes == {
        "a~core": 0.108,
        "a~nothing": 0.0,
        "a~label_9_of_layer_1": 0.006,
        "a~whole": 0.072,
        "b~label_1": 0.108,
    }
    assert masks["mask_value"].to_dict() == {
        "a~core": 1, "a~nothing": 2, "a~label_9_of_layer_1": 9, "a~whole": 1, "b~label_1": 1,
    }  # fmt: skip
    for name, layer in (("a~core", 0), ("a~whole", 1)):
        mask = read_mask(masks.loc[name, "path"], label=1).array[0]
        assert np.array_equal(mask, layers()[layer] == 1)


def test_raters_may_segment_too(nrrd_files: Any, tmp_path: Path) -> None:
    source = tmp_path / "in"
    nrrd_files.nrrd(source / "images/a.nrrd", VOXELS)
    nrrd_files.segments(source / "raters/A/a.seg.nrrd", layers()[:1], {"core": (0, 1)})
    made = ingest(source, tmp_path / "cohort")
    (row,) = made.cohort[made.cohort["role"] == "mask"].to_dict("records")
    assert (row["image"], row["rater"], row["structure"]) == ("a~core~A", "A", "core")


@pytest.mark.parametrize(
    "names", [("scan.nrrd", "Segmentation.seg.nrrd"), ("x.nrrd", "x.seg.nrrd"), ("x_image.nrrd", "x_seg.nrrd")]
)
def test_a_segmentation_beside_its_image(nrrd_files: Any, tmp_path: Path, names: tuple[str, str]) -> None:
    for person in ("p1", "p2"):
        nrrd_files.nrrd(tmp_path / "in" / person / names[0], VOXELS)
        nrrd_files.segments(tmp_path / "in" / person / names[1], layers()[:1], {"core": (0, 1)})
    made = ingest(tmp_path / "in", tmp_path / "cohort")
    assert sorted(made.cohort["role"]) == ["image", "image", "mask", "mask"]
    assert set(made.cohort["subject"]) == {"p1", "p2"}
    masks = made.cohort[made.cohort["role"] == "mask"]
    structure = "core" if names[1].endswith(".seg.nrrd") else "label_1"
    assert set(masks["structure"]) == {structure}


def test_a_segmentation_of_no_image_is_said_and_is_no_image(nrrd_files: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        nrrd_files.nrrd(tmp_path / f"in/{name}.nrrd", VOXELS)
    nrrd_files.segments(tmp_path / "in/three.seg.nrrd", layers()[:1], {"core": (0, 1)})
    made = ingest(tmp_path / "in", tmp_path / "cohort")
    assert set(made.cohort["role"]) == {"image"}
    assert made.unmatched == ["segmentation three_seg has no image"]


def test_a_header_without_its_voxels_is_refused_by_name(nrrd_files: Any, tmp_path: Path) -> None:
    nrrd_files.nrrd(tmp_path / "in/images/a.nrrd", VOXELS)
    nrrd_files.nrrd(tmp_path / "in/images/b.nhdr", VOXELS, data_file="b.raw")
    made = ingest(tmp_path / "in", tmp_path / "cohort")
    (refused,) = [row for row in made.report if row.status == "rejected"]
    assert refused.source == "images/b.nhdr"
    assert refused.reason == "nrrd-detached: a header whose voxels are in other files"


def test_segments_on_another_grid_come_with_the_command(nrrd_files: Any, tmp_path: Path) -> None:
    nrrd_files.nrrd(tmp_path / "in/images/a.nrrd", VOXELS)
    nrrd_files.segments(tmp_path / "in/labels/a.seg.nrrd", layers(), {"core": (0, 1)}, space_origin="(1,2,3)")
    with pytest.raises(InputRefused, match=r"grid-differs.*along L, P, S against .*\n(.*\n)*.*a\.seg\.nrrd#0' --like"):
        ingest(tmp_path / "in", tmp_path / "cohort")
