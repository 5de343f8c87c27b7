"""Masks of several raters: counted by hand, from folders and from a cohort; what cannot be compared is named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.archive import write_nifti
from fiducial.errors import InputRefused
from fiducial.maths.agreement import staple
from fiducial.predict.raters import is_rater_folder, measure_raters, rated_folders, raters_of_cohort
from fiducial.records.image import Geometry, Image
from fiducial.records.tables import CASES, COHORT, table, validated

SHAPE = (12, 11, 10)


def write(path: Path, *boxes: tuple[int, int, int], shape: tuple[int, int, int] = SHAPE) -> Path:
    """A mask with a slab from x = a to b of value v for each (a, b, v)."""
    array = np.zeros(shape, dtype=np.uint8)
    for a, b, v in boxes:
        array[a:b, 2:6, 2:6] = v
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(Image(array[None], Geometry(np.eye(4), shape)), path)
    return path


@pytest.fixture
def raters(tmp_path: Path) -> Path:
    """Three raters of two images: A and B draw four slabs, C draws the last two of them and two more."""
    for image in ("i1", "i2"):
        for name, box in {"A": (2, 6, 1), "B": (2, 6, 1), "C": (4, 8, 1)}.items():
            write(tmp_path / "raters" / name / f"{image}.nii.gz", box)
    return tmp_path / "raters"


def measured(predictions: pd.DataFrame) -> pd.DataFrame:
    return validated(measure_raters(predictions, workers=1).cases, CASES)


def value(cases: pd.DataFrame, **wanted: str) -> float:
    for name, one in {"item": "", "image": "i1", **wanted}.items():
        cases = cases[cases[name] == one]
    assert len(cases) == 1
    return float(cases["value"].iloc[0])


def test_dice_of_pairs_by_hand(raters: Path) -> None:
    """C shares two of four slabs with the others: Dice 1/2; A and B are the same."""
    cases = measured(rated_folders(raters).predictions)
    assert value(cases, metric="pairwise_dice", rater="A", item="B") == 1.0
    assert value(cases, metric="pairwise_dice", rater="A", item="C") == 0.5
    assert value(cases, metric="pairwise_dice", rater="B", item="C") == 0.5
    assert set(cases["target"]) == {"label_1"}
    assert not (cases["metric"] == "reference_dice").any()


def test_the_consensus_is_staple_s(raters: Path) -> None:
    cases = measured(rated_folders(raters).predictions)
    masks = []
    for a, b in ((2, 6), (2, 6), (4, 8)):
        mask = np.zeros(SHAPE, dtype=bool)
        mask[a:b, 2:6, 2:6] = True
        masks.append(mask[:, :, :])
    box = (slice(0, 12), slice(0, 11), slice(0, 10))
    found = staple([mask[box] for mask in masks])
    assert (found.mask == masks[0]).all()
    assert [value(cases, metric="consensus_dice", rater=name) for name in "ABC"] == [1.0, 1.0, 0.5]
    for name, expected in zip("ABC", found.sensitivity, strict=True):
        assert value(cases, metric="staple_sensitivity", rater=name) == pytest.approx(expected, abs=1e-3)


def test_a_reference_and_names_of_structures(raters: Path) -> None:
    (raters / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "tumour": 1}}))
    truth = write(raters.parent / "truth.nii.gz", (4, 8, 3))
    cases = measured(rated_folders(raters, truth={("i2", "tumour"): (str(truth), "3")}).predictions)
    assert set(cases["target"]) == {"tumour"}
    assert [value(cases, metric="reference_dice", rater=r, image="i2") for r in "ABC"] == [0.5, 0.5, 1.0]
    assert not ((cases["metric"] == "reference_dice") & (cases["image"] == "i1")).any()


def test_masks_that_are_all_empty_agree(raters: Path) -> None:
    for name in "ABC":
        write(raters / name / "i1.nii.gz")
    cases = measured(rated_folders(raters).predictions)
    assert value(cases, metric="pairwise_dice", rater="A", item="C") == 1.0
    assert math.isnan(value(cases, metric="staple_sensitivity", rater="A"))
    rows = cases[(cases["metric"] == "staple_sensitivity") & (cases["image"] == "i1")]
    assert set(rows["reason"]) == {"both-empty"}


def test_flat_masks(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    for name, width in {"A": 4, "B": 4, "C": 2}.items():
        array = np.zeros((9, 8), dtype=np.uint8)
        array[2:4, 2 : 2 + width] = 1
        (tmp_path / name).mkdir()
        Pillow.fromarray(array).save(tmp_path / name / "i1.png")
    cases = measured(rated_folders(tmp_path).predictions)
    assert value(cases, metric="pairwise_dice", rater="A", item="C") == pytest.approx(2 * 4 / 12)


def test_another_grid_is_named(raters: Path) -> None:
    write(raters / "C" / "i2.nii.gz", (4, 8, 1), shape=(12, 11, 9))
    done = measure_raters(rated_folders(raters).predictions, workers=1)
    assert [failure.key for failure in done.failures] == ["i2"]
    lost = done.cases[done.cases["image"] == "i2"]
    assert set(lost["reason"]) == {"case-failed: GeometryError"}
    assert lost["value"].isna().all()


def test_images_of_one_rater_are_left_out_and_said(raters: Path) -> None:
    write(raters / "A" / "i3.nii.gz", (2, 6, 1))
    found = rated_folders(raters)
    assert set(found.predictions["image"]) == {"i1", "i2"}
    assert found.notes == ("seen by one rater only: 1 of 3 images, such as i3.nii.gz",)


def test_raters_of_a_cohort(raters: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"subject": "p", "image": "i1", "role": "image", "split": "test", "path": "x"},
        {"subject": "p", "image": "m", "role": "mask", "of": "i1", "structure": "tumour", "path": "C/i1.nii.gz"},
    ]
    for name in "AB":
        own = {"subject": "p", "image": f"m{name}", "role": "mask", "of": "i1", "structure": "tumour", "rater": name}
        rows.append(own | {"path": f"{name}/i1.nii.gz"})
    drawn = raters_of_cohort(table(rows, COHORT), raters, {"i1"})
    cases = measured(drawn)
    assert set(cases["split"]) == {"test"}
    assert value(cases, metric="pairwise_dice", rater="A", item="B") == 1.0
    assert value(cases, metric="reference_dice", rater="A") == 0.5
    assert not len(raters_of_cohort(table(rows, COHORT), raters, {"i2"}))


def test_folders_that_hold_no_raters_are_refused(raters: Path, tmp_path: Path) -> None:
    assert is_rater_folder(raters)
    assert not is_rater_folder(raters / "A")
    assert not is_rater_folder(tmp_path / "absent")
    with pytest.raises(InputRefused, match=r"masks of 0 rater \(none\)"):
        rated_folders(raters / "A")
    with pytest.raises(InputRefused, match="no such folder"):
        rated_folders(tmp_path / "absent")
    for name in "ABC":
        (raters / name / "i2.nii.gz").unlink()
        (raters / name / "i1.nii.gz").rename(raters / name / f"of_{name}.nii.gz")
    with pytest.raises(InputRefused, match=r"no file name occurs in two folders of raters, e\.g\. of_A"):
        rated_folders(raters)
