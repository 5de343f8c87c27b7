from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fiducial.cohort import drop_leaks, find_leaks, ingest, split_cohort
from fiducial.maths.duplicates import signature
from fiducial.records.split import SplitRule

People = Callable[..., Any]
PARTS = ("train", "validation", "calibration", "test")


def test_a_cohort_split_by_subject_has_no_leak(people: People) -> None:
    assert find_leaks(split_cohort(people(50, per=3), SplitRule())) == []


def test_a_person_in_two_parts_is_named_once_for_each_pair_of_parts(people: People) -> None:
    cohort = people(2, per=4)
    cohort["split"] = ["train", "train", "validation", "test", "train", "train", "train", ""]
    leaks = find_leaks(cohort)
    assert [(k.kind, k.image_a, k.split_a, k.image_b, k.split_b) for k in leaks] == [
        ("subject", "s0000-0", "train", "s0000-2", "validation"),
        ("subject", "s0000-0", "train", "s0000-3", "test"),
        ("subject", "s0000-2", "validation", "s0000-3", "test"),
    ]
    assert {(k.subject_a, k.subject_b) for k in leaks} == {("s0000", "s0000")}


def test_equal_voxels_of_two_people_are_exact_duplicates(people: People) -> None:
    cohort = people(6)
    cohort["split"] = ["train", "train", "train", "test", "test", "validation"]
    cohort["sha256"] = ["x", "x", "y", "x", "z", "y"]
    assert [(k.kind, k.image_a, k.image_b, k.distance) for k in find_leaks(cohort)] == [
        ("exact", "s0000-0", "s0003-0", 0.0),
        ("exact", "s0001-0", "s0003-0", 0.0),
        ("exact", "s0002-0", "s0005-0", 0.0),
    ]


def test_images_without_a_digest_or_a_split_are_no_duplicates(people: People) -> None:
    cohort = people(4, sha256="")
    cohort["split"] = ["train", "test", "train", "test"]
    assert find_leaks(cohort) == []
    same = people(4, sha256="x")
    assert find_leaks(same) == []


def test_near_copies_are_found_within_a_modality(people: People) -> None:
    generator = np.random.default_rng(0)
    images = [generator.normal(size=(1, 32, 32, 1)) for _ in range(20)]
    copy = images[3] + generator.normal(0, 0.05, size=images[3].shape)
    cohort = people(21)
    cohort["signature"] = [signature(image) for image in [*images, copy]]
    cohort["split"] = ["train"] * 15 + ["test"] * 6
    (leak,) = find_leaks(cohort)
    assert (leak.kind, leak.image_a, leak.image_b) == ("near", "s0003-0", "s0020-0")
    assert 0 < leak.distance < 0.01
    cohort.loc[20, "modality"] = "MR"
    assert find_leaks(cohort) == []


@pytest.mark.parametrize("seed", range(3))
def test_dropping_leaks_leaves_none_and_keeps_test_whole(people: People, seed: int) -> None:
    generator = np.random.default_rng(seed)
    cohort = people(60, per=2)
    cohort["split"] = generator.choice(PARTS, len(cohort))
    cohort["sha256"] = generator.integers(0, 80, len(cohort)).astype(str)
    leaks = find_leaks(cohort)
    assert {leak.kind for leak in leaks} == {"subject", "exact"}
    kept, dropped = drop_leaks(cohort, leaks)
    assert find_leaks(kept) == []
    assert (kept["split"] == "test").sum() == (cohort["split"] == "test").sum()
    assert len(kept) + len(dropped) == len(cohort)
    assert set(kept["image"]).isdisjoint(dropped)


def test_masks_go_with_their_image(people: People) -> None:
    from fiducial.records.tables import COHORT, table

    rows = people(2, sha256="x").to_dict("records")
    rows[0]["split"], rows[1]["split"] = "train", "test"
    masks = [{**row, "image": f"{row['image']}~a", "of": row["image"], "role": "mask"} for row in rows]
    cohort = table(rows + masks, COHORT)
    kept, dropped = drop_leaks(cohort, find_leaks(cohort))
    assert dropped == ["s0000-0"]
    assert kept["image"].tolist() == ["s0001-0", "s0001-0~a"]


def test_one_copy_among_ten_thousand_images(people: People) -> None:
    generator = np.random.default_rng(1)
    cohort = people(10_000)
    cohort["signature"] = [row.tobytes().hex() for row in generator.integers(0, 256, (10_000, 256), dtype=np.uint8)]
    cohort.loc[9_000, "signature"] = cohort.loc[10, "signature"]
    cohort["split"] = ["train"] * 6000 + ["validation"] * 1000 + ["calibration"] * 1000 + ["test"] * 2000
    leaks = find_leaks(cohort)
    assert [(k.kind, k.image_a, k.image_b) for k in leaks] == [("near", "s0010-0", "s9000-0")]


@pytest.mark.real_data
def test_hippocampus_has_no_leak_in_any_split(data: Path, tmp_path: Path) -> None:
    made = ingest(data / "hippocampus", tmp_path / "cohort")
    assert (made.cohort["role"] == "image").sum() == 201
    assert set(made.cohort["structure"]) == {"", "label_1", "label_2"}
    assert [row for row in made.report if row.status != "accepted"] == []
    for seed in range(5):
        rule = SplitRule(fractions={"train": 0.25, "validation": 0.25, "calibration": 0.25, "test": 0.25}, seed=seed)
        assert find_leaks(split_cohort(made.cohort, rule)) == []


@pytest.mark.real_data
def test_pneumonia_has_eight_validation_images_in_train_and_none_with_test(data: Path, tmp_path: Path) -> None:
    made = ingest(data / "pneumonia_cxr28", tmp_path / "cohort")
    cohort = made.cohort.set_index("image")
    assert cohort["split"].value_counts().to_dict() == {"train": 3882, "validation": 524, "test": 624}
    leaks = find_leaks(made.cohort)
    assert {(k.kind, k.split_a, k.split_b) for k in leaks} == {("exact", "train", "validation")}
    assert len({k.image_b for k in leaks}) == 8
    assert all(cohort.loc[k.image_a, "label"] == cohort.loc[k.image_b, "label"] for k in leaks)
    kept, dropped = drop_leaks(made.cohort, leaks)
    assert find_leaks(kept) == []
    assert all(image.startswith("train-") for image in dropped)
