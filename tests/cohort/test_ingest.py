import importlib
import json
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from fiducial.archive import read_image
from fiducial.cli.main import run
from fiducial.cohort import LAYOUTS, cohort_digest, describe, load_cohort
from fiducial.cohort import ingest as ingest_in_workers
from fiducial.cohort.layouts import layout_of
from fiducial.errors import InputRefused, TableError, UnreadableFile

Nifti = Callable[..., Path]
# Starting processes takes longer than these few small files; one test uses them.
ingest = partial(ingest_in_workers, workers=1)


def no_remains(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_pairs_become_one_row_for_each_image_and_each_structure(pairs: Path, tmp_path: Path) -> None:
    made = ingest(pairs, tmp_path / "cohort")
    images = made.cohort[made.cohort["role"] == "image"]
    masks = made.cohort[made.cohort["role"] == "mask"].set_index("image")
    assert images["image"].tolist() == images["subject"].tolist() == ["case0", "case1", "case2", "case3"]
    assert masks.index.tolist() == [f"case{n}~label_{k}" for n in range(4) for k in (1, 2)]
    assert masks["mask_value"].tolist() == [1, 2] * 4
    assert masks["of"].tolist() == [f"case{n}" for n in range(4) for _ in range(2)]
    assert images["path"].iloc[0] == str((pairs / "images" / "case0.nii.gz").resolve())
    # 2 x 9 x 7 voxels of 12 mm3, and the structure that case 3 lacks is empty there.
    assert json.loads(masks.loc["case0~label_1", "fingerprint"]) == {"volume_ml": 1.512}
    assert json.loads(masks.loc["case3~label_2", "fingerprint"]) == {"volume_ml": 0.0}
    assert [(row.series, row.status, row.n_files) for row in made.report] == [
        (f"case{n}", "accepted", 2) for n in range(4)
    ]


def test_masks_of_raters_stand_beside_the_reference(pairs: Path, tmp_path: Path, nifti: Nifti) -> None:
    """Reader A drew two cases, reader B one of them on another grid: that mask is set aside alone."""
    for rater, case in (("reader A", 0), ("reader A", 1), ("reader B", 0)):
        path = pairs / "raters" / rater / f"case{case}.nii.gz"
        nifti(path, np.ones((8, 9, 7), np.uint8), origin=5.0 if rater == "reader B" else 0.0)
    nifti(pairs / "raters" / "reader A" / "case9.nii.gz", np.ones((8, 9, 7), np.uint8))
    made = ingest(pairs, tmp_path / "cohort")
    masks = made.cohort[made.cohort["role"] == "mask"]
    drawn = masks[masks["rater"] != ""]
    assert drawn["image"].tolist() == [f"case{n}~label_{k}~reader A" for n in (0, 1) for k in (1, 2)]
    assert set(drawn["rater"]) == {"reader A"}
    assert drawn["of"].tolist() == ["case0", "case0", "case1", "case1"]
    assert (masks["rater"] == "").sum() == 8
    assert "label map case9 of rater reader A has no image" in made.unmatched
    rejected = [row for row in made.report if row.status == "rejected"]
    assert [(row.series, row.source) for row in rejected] == [("case0", "raters/reader B/case0.nii.gz")]
    assert rejected[0].reason.startswith("grid-differs")
    assert describe(made.cohort).structures["n_masks"].tolist() == [4, 4]


def test_a_written_cohort_is_read_as_it_was_made(pairs: Path, tmp_path: Path) -> None:
    made = ingest(pairs, tmp_path / "cohort")
    loaded = load_cohort(tmp_path / "cohort")
    assert loaded.equals(made.cohort)
    assert cohort_digest(loaded) == cohort_digest(made.cohort)
    stored = json.loads((tmp_path / "cohort" / "ingest.json").read_text())
    assert stored["layout"] == "image and label folders"
    assert len(stored["rows"]) == 4
    assert sorted(path.name for path in (tmp_path / "cohort").iterdir()) == ["cohort.parquet", "ingest.json"]
    assert no_remains(tmp_path)


def test_the_digest_is_of_content_not_of_place_order_or_split(pairs: Path, tmp_path: Path) -> None:
    made = ingest(pairs, tmp_path / "one").cohort
    moved = shutil.copytree(pairs, tmp_path / "elsewhere")
    again = ingest_in_workers(moved, tmp_path / "two", workers=2).cohort
    assert again["path"].tolist() != made["path"].tolist()
    assert cohort_digest(again.sample(frac=1, random_state=0).assign(split="train", fold=1)) == cohort_digest(made)
    assert cohort_digest(made.assign(sex="F")) != cohort_digest(made)
    assert cohort_digest(made.iloc[1:]) != cohort_digest(made)


def test_images_inside_the_cohort_folder_are_named_relative_to_it(pairs: Path) -> None:
    made = ingest(pairs, pairs)
    assert made.cohort["path"].iloc[0] == "images/case0.nii.gz"
    assert load_cohort(pairs)["path"].iloc[1] == "labels/case0.nii.gz"
    with pytest.raises(InputRefused, match="a cohort is already here"):
        ingest(pairs, pairs)


def test_images_without_labels_are_a_legal_cohort(pairs: Path, tmp_path: Path) -> None:
    shutil.rmtree(pairs / "labels")
    made = ingest(pairs, tmp_path / "cohort")
    assert made.cohort["role"].tolist() == ["image"] * 4
    assert "no labels/ folder: images without masks" in made.notes


def test_partners_that_are_missing_are_named(pairs: Path, tmp_path: Path, nifti: Nifti) -> None:
    (pairs / "images" / "case1.nii.gz").unlink()
    (pairs / "labels" / "case2.nii.gz").unlink()
    made = ingest(pairs, tmp_path / "cohort")
    assert made.unmatched == ["label map case1 has no image"]
    assert made.cohort.groupby("role").size().to_dict() == {"image": 3, "mask": 4}


@pytest.mark.parametrize("version", [1, 2])
def test_nnunet_with_channels_and_a_test_part(tmp_path: Path, nifti: Nifti, version: int) -> None:
    source = tmp_path / "Dataset001"
    for case in ("BRATS_0001", "BRATS_0002"):
        for channel in range(2):
            nifti(source / "imagesTr" / f"{case}_{channel:04}.nii.gz", seed=channel)
        nifti(source / "labelsTr" / f"{case}.nii.gz", np.eye(63, dtype=np.uint8).reshape(-1)[:504].reshape(8, 9, 7))
    for channel in range(2):
        nifti(source / "imagesTs" / f"BRATS_0003_{channel:04}.nii.gz", seed=channel)
    names = {"background": 0, "oedema": 1, "core": 2, "whole": [1, 2]}
    stated = {"labels": names, "channel_names": {"0": "FLAIR", "1": "CT"}}
    if version == 1:
        stated = {"labels": {"0": "background", "1": "oedema", "2": "core"}, "modality": {"0": "FLAIR", "1": "CT"}}
    (source / "dataset.json").write_text(json.dumps(stated))
    made = ingest(source, tmp_path / "cohort")
    images = made.cohort[made.cohort["role"] == "image"]
    assert images["image"].tolist() == [f"BRATS_{n:04}_{c:04}" for n in (1, 2, 3) for c in (0, 1)]
    assert images["modality"].tolist() == ["FLAIR", "CT"] * 3
    assert images["exam"].tolist() == ["BRATS_0001"] * 2 + ["BRATS_0002"] * 2 + ["BRATS_0003"] * 2
    assert images["split"].tolist() == ["train"] * 4 + ["test"] * 2
    masks = made.cohort[made.cohort["role"] == "mask"]
    assert masks["structure"].tolist() == ["oedema", "core"] * 2
    assert masks["of"].tolist() == ["BRATS_0001_0000"] * 2 + ["BRATS_0002_0000"] * 2
    assert any("region 'whole'" in note for note in made.notes) == (version == 2)


def test_file_names_that_end_in_numbers_are_no_channels(tmp_path: Path, nifti: Nifti) -> None:
    source = tmp_path / "Task04"
    for n in (1000, 2000):
        nifti(source / "imagesTr" / f"hippocampus_{n}.nii.gz", seed=n)
        nifti(source / "labelsTr" / f"hippocampus_{n}.nii.gz", np.ones((8, 9, 7), np.uint8))
    made = ingest(source, tmp_path / "cohort")
    assert made.cohort.loc[made.cohort["role"] == "image", "image"].tolist() == ["hippocampus_1000", "hippocampus_2000"]
    assert made.cohort["split"].unique().tolist() == [""]
    assert "no dataset.json: structures are called by their value" in made.notes


def test_pictures_in_class_folders(tmp_path: Path, picture: Callable[..., Path]) -> None:
    for part in ("train", "val"):
        for number, name in enumerate(("benign", "malignant")):
            for n in range(3):
                picture(tmp_path / "source" / part / name / f"{n}.png", seed=10 * number + n)
    made = ingest(tmp_path / "source", tmp_path / "cohort")
    assert made.cohort["image"].iloc[0] == "train-benign-0"
    assert made.cohort["class"].tolist() == (["benign"] * 3 + ["malignant"] * 3) * 2
    assert made.cohort["split"].tolist() == ["train"] * 6 + ["validation"] * 6
    assert made.cohort["unit"].unique().tolist() == ["grey"]
    assert any("the column class is taken from folder names: benign, malignant" in note for note in made.notes)


def test_pictures_with_the_labels_file_beside_them(tmp_path: Path, picture: Callable[..., Path]) -> None:
    for n, suffix in enumerate(("png", "jpg", "jpeg")):
        picture(tmp_path / "source" / f"view{n}.{suffix}", seed=n)
    (tmp_path / "source" / "labels.csv").write_text("image,finding\nview0.png,1\nview1.jpg,0\nview2,1\n")
    made = ingest(tmp_path / "source", tmp_path / "cohort")
    assert made.cohort["finding"].tolist() == [1, 0, 1]
    assert made.unmatched == []


@pytest.mark.parametrize("layout", ["pictures", "pairs", "patients"])
def test_a_relative_source_and_links_make_the_same_cohort(
    tmp_path: Path, nifti: Nifti, picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """A link is called by where it lies; what it leads to may lie anywhere."""
    made = {"pictures": picture, "pairs": nifti, "patients": nifti}[layout]
    places = {"pictures": "a/x{}.png", "pairs": "images/x{}.nii.gz", "patients": "p{}/image.nii.gz"}[layout]
    for n in range(3):
        made(tmp_path / "elsewhere" / f"{n}{'.png' if layout == 'pictures' else '.nii.gz'}", seed=n)
        link = tmp_path / "source" / places.format(n)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(next((tmp_path / "elsewhere").glob(f"{n}.*")))
    monkeypatch.chdir(tmp_path)
    relative, absolute = (
        ingest(Path("source"), Path("one")).cohort,
        ingest(tmp_path / "source", tmp_path / "two").cohort,
    )
    assert len(relative) == 3
    assert relative["image"].tolist() == absolute["image"].tolist()
    assert relative["sha256"].tolist() == absolute["sha256"].tolist()
    assert all((tmp_path / "one" / path).is_file() for path in relative["path"])


def test_a_folder_for_each_patient_with_image_and_mask(tmp_path: Path, nifti: Nifti) -> None:
    for n in range(2):
        nifti(tmp_path / "source" / f"STS_{n}" / "PET_image.nii.gz", seed=n)
        nifti(tmp_path / "source" / f"STS_{n}" / "PET_mask.nii.gz", np.ones((8, 9, 7), np.uint8))
    made = ingest(tmp_path / "source", tmp_path / "cohort")
    assert made.cohort["image"].tolist() == [
        "STS_0-PET_image",
        "STS_0-PET_image~label_1",
        "STS_1-PET_image",
        "STS_1-PET_image~label_1",
    ]
    assert made.cohort["subject"].tolist() == ["STS_0", "STS_0", "STS_1", "STS_1"]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_npz_stacks(tmp_path: Path, channels: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    arrays = {
        f"{part}_images": generator.integers(0, 255, (4, 9, 8, *channels), dtype=np.uint8) for part in ("train", "test")
    }
    np.savez(tmp_path / "x.npz", **arrays, train_labels=np.arange(4)[:, None], test_labels=np.arange(8).reshape(4, 2))
    made = ingest(tmp_path / "x.npz", tmp_path / "cohort")
    assert made.cohort["image"].tolist() == [f"{part}-{n}" for part in ("train", "test") for n in range(4)]
    assert made.cohort["split"].tolist() == ["train"] * 4 + ["test"] * 4
    assert made.cohort["label"].tolist()[:4] == [0, 1, 2, 3]
    assert made.cohort["label_1"].tolist()[4:] == [1, 3, 5, 7]
    image = read_image(made.cohort["path"].iloc[5])
    assert np.array_equal(image.array[0, ..., 0].T, arrays["test_images"][1].reshape(9, 8, -1)[..., 0])


def test_instance_maps_are_no_structures(tmp_path: Path) -> None:
    for n, n_cells in enumerate((3, 200)):
        for name, array in (("images", np.arange(400)), ("labels", np.arange(400) % (n_cells + 1))):
            path = tmp_path / "source" / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Picture.fromarray(array.reshape(20, 20).astype(np.uint16)).save(path)
    made = ingest(tmp_path / "source", tmp_path / "cohort")
    assert made.cohort["role"].tolist() == ["image", "image"]
    (refused,) = [row for row in made.report if row.status == "rejected"]
    assert refused.reason.startswith("too-many-structures: 200 different values: an instance map")


# What is wrong with one case sets that case aside.


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinite_voxels_set_the_case_aside(pairs: Path, tmp_path: Path, nifti: Nifti, bad: float) -> None:
    voxels = np.ones((8, 9, 7), np.float32)
    voxels[1, 2, 3:5] = bad
    nifti(pairs / "images" / "case1.nii.gz", voxels)
    made = ingest(pairs, tmp_path / "cohort")
    assert set(made.cohort["exam"]) == {"case0", "case2", "case3"}
    row = made.report[1]
    assert (row.series, row.status, row.source) == ("case1", "rejected", "images/case1.nii.gz")
    assert row.reason == "voxels-not-finite: 2 of 504 voxels are NaN or infinite"


@pytest.mark.parametrize(("shape", "origin"), [((8, 9, 6), 0.0), ((8, 9, 7), 5.0)])
def test_a_mask_on_another_grid_sets_the_case_aside_with_both_grids(
    pairs: Path,
    tmp_path: Path,
    nifti: Nifti,
    shape: tuple[int, int, int],
    origin: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nifti(pairs / "labels" / "case2.nii.gz", np.ones(shape, np.uint8), origin=origin)
    made = ingest(pairs, tmp_path / "cohort")
    assert set(made.cohort["exam"]) == {"case0", "case1", "case3"}
    row = made.report[2]
    assert (row.series, row.status, row.source) == ("case2", "rejected", "labels/case2.nii.gz")
    other = f"{shape[0]} x {shape[1]} x {shape[2]} voxels of 2 x 2 x 3 mm at ({origin:g}, {origin:g}, {origin:g})"
    own = "8 x 9 x 7 voxels of 2 x 2 x 3 mm at (0, 0, 0)"
    assert row.reason.startswith(f"grid-differs: two grids differ: {own} along R, A, S against {other} along R, A, S")
    assert row.reason.endswith("S" if origin == 0 else f", up to {abs(origin):g} mm apart")
    # The command that it names is the one that mends it.
    monkeypatch.chdir(tmp_path)
    command = row.action.removeprefix("resample it onto the image's grid: ").partition(" ; ")[0]
    assert run([*shlex.split(command)[1:], "--quiet"]) == 0
    (tmp_path / "resampled/case2.nii.gz").replace(pairs / "labels" / "case2.nii.gz")
    assert set(ingest(pairs, tmp_path / "mended").cohort["exam"]) == {"case0", "case1", "case2", "case3"}


def test_a_truncated_file_sets_the_case_aside(pairs: Path, tmp_path: Path) -> None:
    file = pairs / "images" / "case0.nii.gz"
    file.write_bytes(file.read_bytes()[:200])
    (pairs / "images" / "case3.nii.gz").write_text("this is no NIfTI file")
    made = ingest(pairs, tmp_path / "cohort")
    assert set(made.cohort["exam"]) == {"case1", "case2"}
    assert made.report[0].reason.startswith("truncated: ")
    assert [made.report[k].status for k in range(4)] == ["rejected", "accepted", "accepted", "rejected"]


def test_two_files_of_one_name_are_named(tmp_path: Path, picture: Callable[..., Path]) -> None:
    picture(tmp_path / "source" / "a.jpg", seed=1)
    picture(tmp_path / "source" / "a.png", seed=2)
    made = ingest(tmp_path / "source", tmp_path / "cohort")
    assert made.cohort["image"].tolist() == ["a"]
    assert made.report[1].reason == "same-id: a.png and a.jpg make one id, a"


# What is wrong with the whole is refused, and nothing is left behind.


def test_an_empty_folder_is_refused_with_the_legal_layouts(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(InputRefused, match="source: the folder is empty") as refused:
        ingest(tmp_path / "source", tmp_path / "cohort")
    for layout in LAYOUTS.values():
        assert layout.looks_like in str(refused.value)
    assert not (tmp_path / "cohort").exists()
    with pytest.raises(InputRefused, match="no such file or folder"):
        ingest(tmp_path / "absent", tmp_path / "cohort")


def test_a_folder_with_nothing_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.docx").write_text("x")
    (tmp_path / "source" / "data").write_text("x")
    with pytest.raises(InputRefused, match=r"no readable image; it holds \(no suffix\), \.docx files"):
        ingest(tmp_path / "source", tmp_path / "cohort")
    with pytest.raises(UnreadableFile, match="a file of unknown kind"):
        ingest(tmp_path / "source" / "notes.docx", tmp_path / "cohort")


def test_a_source_whose_every_case_is_bad_is_refused_with_the_first_reason(pairs: Path, tmp_path: Path) -> None:
    for file in (pairs / "images").iterdir():
        file.write_bytes(b"")
    with pytest.raises(InputRefused, match=r"no image could be used \(4 set aside; the first: images/case0.nii.gz: "):
        ingest(pairs, tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()
    assert no_remains(tmp_path)


def test_a_folder_that_is_taken_is_refused(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(InputRefused, match="taken: not an empty folder"):
        ingest(pairs, tmp_path / "taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("No space left on device")])
def test_nothing_half_written_is_left_after_ctrl_c_or_a_full_disk(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    def fails(*given: Any) -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("fiducial.cohort.ingest"), "write_table", fails)
    with pytest.raises((KeyboardInterrupt, OSError)):
        ingest(pairs, tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()
    assert no_remains(tmp_path)


def test_npz_of_other_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", weights=np.zeros(3))
    with pytest.raises(UnreadableFile, match="it has weights"):
        ingest(tmp_path / "x.npz", tmp_path / "cohort")
    np.savez(tmp_path / "x.npz", train_images=np.zeros((3, 4, 4)), train_labels=np.zeros(2))
    with pytest.raises(UnreadableFile, match="2 labels for 3 images"):
        ingest(tmp_path / "x.npz", tmp_path / "cohort")
    (tmp_path / "x.npz").write_bytes(b"PK no zip")
    with pytest.raises(UnreadableFile, match="no readable npz file"):
        ingest(tmp_path / "x.npz", tmp_path / "cohort")


def test_a_broken_dataset_json_is_refused(tmp_path: Path, nifti: Nifti) -> None:
    nifti(tmp_path / "source" / "imagesTr" / "a.nii.gz")
    (tmp_path / "source" / "dataset.json").write_text("{'labels': ")
    with pytest.raises(InputRefused, match=r"dataset\.json: no dataset\.json of nnU-Net"):
        ingest(tmp_path / "source", tmp_path / "cohort")


def test_no_cohort_and_a_broken_one_are_refused(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such folder"):
        load_cohort(tmp_path / "absent")
    with pytest.raises(TableError, match="no cohort here") as refused:
        load_cohort(tmp_path)
    assert "fiducial ingest SOURCE --out COHORT" in str(refused.value)
    made = ingest(pairs, tmp_path / "cohort").cohort
    made[made["image"] != "case0"].to_parquet(tmp_path / "cohort" / "cohort.parquet")
    with pytest.raises(
        TableError, match=r"mask 'case0~label_1' is of 'case0', which is not in the table \(2 such masks\)"
    ):
        load_cohort(tmp_path / "cohort")


def test_every_layout_says_what_it_looks_like() -> None:
    for name, layout in LAYOUTS.items():
        assert name
        assert layout.looks_like
        assert not layout.recognises(Path("/nowhere"))


def test_the_description_counts_what_is_there(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(
        "subject,sex,age,split\ncase0,F,50,train\ncase1,M,61,train\ncase2,F,,test\ncase3,,70,test\n"
    )
    made = ingest(pairs, tmp_path / "cohort", labels=tmp_path / "l.csv")
    told = describe(made.cohort)
    assert told.parts[["part", "n_subjects", "n_images", "n_masks"]].to_numpy().tolist() == [
        ["train", 2, 2, 4],
        ["test", 2, 2, 4],
        ["all", 4, 4, 8],
    ]
    sex = told.attributes[told.attributes["attribute"] == "sex"].set_index("value")
    assert sex["all"].to_dict() == {"F": "2 (50 %)", "M": "1 (25 %)", "(missing)": "1 (25 %)"}
    assert sex.loc["(missing)", "test"] == "1 (50 %)"
    assert told.missing.set_index("attribute")["n_missing"].to_dict() == {"sex": 1, "age": 1}
    assert told.images["size in voxels: median (range)"].tolist() == ["8 x 9 x 7"]
    assert told.structures[["structure", "n_masks", "n_empty"]].to_numpy().tolist() == [
        ["label_1", 4, 0],
        ["label_2", 4, 1],
    ]
    assert layout_of(pairs) == "image and label folders"


def test_ages_are_described_by_their_spread(people: Callable[..., Any]) -> None:
    cohort = people(40)
    cohort["age"] = np.arange(40.0)
    told = describe(cohort).attributes.set_index("attribute")
    assert told.loc["age", "all"] == "19.5 ± 11.7 (0 to 39)"
