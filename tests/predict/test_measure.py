import json
import math

import numpy as np
import pytest

from fiducial.archive import write_nifti
from fiducial.errors import InputRefused, TableError, UnreadableFile
from fiducial.maths.segmentation import METRICS, segmentation_metrics
from fiducial.predict.folders import pair_mask_folders
from fiducial.predict.measure import VOLUMES, MaskSettings, measure_masks
from fiducial.records.files import sha256_file
from fiducial.records.image import Geometry, Image
from fiducial.records.tables import CASES, PREDICTIONS, table, validated

SPACING = (1.0, 2.0, 0.5)
NAMES = {"background": 0, "head": 1, "tail": 2}


def label_map(seed=0, shape=(8, 7, 6)):
    rng = np.random.default_rng(seed)
    array = np.zeros(shape, dtype=np.uint8)
    array[1:5, 1:5, 1:4] = 1
    array[5:7, 2:6, 2:5] = 2
    array[rng.random(shape) < 0.03] = 0
    return array


def write(array, path, *, affine=None):
    affine = np.diag([*SPACING, 1.0]) if affine is None else affine
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(Image(array[None], Geometry(affine, array.shape)), path)
    return path


@pytest.fixture
def folders(tmp_path):
    """Three pairs of masks in nnU-Net's layout, without names."""
    for i in range(3):
        write(label_map(i), tmp_path / "predicted" / f"case_{i}.nii.gz")
        write(label_map(i + 10), tmp_path / "labelsTs" / f"case_{i}.nii.gz")
    return tmp_path


def name(folder, labels):
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


def pair(folders):
    return pair_mask_folders(folders / "predicted", folders / "labelsTs", workers=1)


def value(cases, image, target, metric):
    return cases.set_index(["image", "target", "metric"])["value"][image, target, metric]


def test_each_structure_of_each_pair_is_measured(folders):
    name(folders, NAMES)
    paired = pair(folders)
    done = measure_masks(paired.predictions, workers=1)
    assert not done.failures
    assert len(done.cases) == 3 * 2 * (len(METRICS) + 2)
    expected = segmentation_metrics(label_map(1) == 2, label_map(11) == 2, SPACING)
    for metric in METRICS:
        assert value(done.cases, "case_1", "tail", metric) == pytest.approx(expected[metric])
    volume = (label_map(1) == 2).sum() * math.prod(SPACING) / 1000
    assert value(done.cases, "case_1", "tail", "volume_ml_predicted") == pytest.approx(volume)
    units = dict(zip(done.cases["metric"], done.cases["unit"], strict=True))
    assert (units["hd95"], units["volume_ml_true"], units["dice"]) == ("mm", "ml", "")
    validated(done.cases, CASES)


def test_processes_and_one_process_agree(folders):
    predictions = pair(folders).predictions
    one, two = (measure_masks(predictions, workers=n).cases for n in (1, 2))
    assert one.equals(two)


def test_names_come_from_the_parent_s_description(folders):
    name(folders, NAMES)
    paired = pair(folders)
    assert sorted(set(paired.predictions["target"])) == ["head", "tail"]
    assert set(paired.predictions["label"]) == {"1", "2"}
    assert "structure names from" in paired.notes[0]
    assert paired.unmatched == ()
    assert set(paired.predictions["subject"]) == {"case_0", "case_1", "case_2"}
    first = paired.predictions.iloc[0]
    assert first["payload_sha256"] == sha256_file(first["payload"])


def test_the_decathlon_s_form_of_names(folders):
    name(folders, {"0": "background", "1": "head", "2": "tail"})
    assert set(pair(folders).predictions["target"]) == {"head", "tail"}


def test_without_names_values_are_names(folders):
    paired = pair(folders)
    assert set(paired.predictions["target"]) == {"label_1", "label_2"}
    assert "no dataset.json" in paired.notes[0]


def test_regions_and_the_ignored_label(folders):
    name(folders, {"background": 0, "whole": [1, 2], "tail": 2, "ignore": 3})
    truth = label_map(10)
    truth[5:7] = 3  # nobody drew here: the tail's prediction must not count against the model
    write(truth, folders / "labelsTs" / "case_0.nii.gz")
    paired = pair(folders)
    assert paired.ignore_label == 3
    assert set(paired.predictions["label"]) == {"1+2", "2"}
    done = measure_masks(paired.predictions, settings=MaskSettings(ignore_label=3), workers=1)
    expected = segmentation_metrics((label_map(0) > 0) & (truth != 3), (truth > 0) & (truth != 3), SPACING)
    assert value(done.cases, "case_0", "whole", "dice") == pytest.approx(expected["dice"])


def test_each_side_is_read_by_its_own_names(folders):
    name(folders / "labelsTs", NAMES)
    name(folders / "predicted", {"background": 0, "tail": 1, "head": 2, "extra": 3})
    swapped = np.array([0, 2, 1], dtype=np.uint8)
    for i in range(3):
        write(swapped[label_map(i + 10)], folders / "predicted" / f"case_{i}.nii.gz")
    paired = pair(folders)
    assert any("does not name it: extra" in note for note in paired.notes)
    assert any("head: value 2 in the predictions, 1 in the truth" in note for note in paired.notes)
    done = measure_masks(paired.predictions, workers=1)
    assert (done.cases[done.cases["metric"] == "dice"]["value"] == 1).all()


def test_files_without_a_partner_are_named(folders):
    write(label_map(), folders / "predicted" / "case_9.nii.gz")
    write(label_map(), folders / "labelsTs" / "case_8.nii.gz")
    unmatched = pair(folders).unmatched
    assert len(unmatched) == 2
    assert unmatched[0].endswith("case_9.nii.gz (no truth)")
    assert unmatched[1].endswith("case_8.nii.gz (no prediction)")


def test_a_broken_case_is_set_aside_and_named(folders):
    name(folders, NAMES)
    moved = np.diag([*SPACING, 1.0])
    moved[0, 3] = 5
    write(label_map(0), folders / "predicted" / "case_0.nii.gz", affine=moved)
    paired = pair(folders)
    (folders / "predicted" / "case_2.nii.gz").write_bytes(b"not an image")
    done = measure_masks(paired.predictions, workers=1)
    assert {f.key: f.error for f in done.failures} == {"case_0": "GeometryError", "case_2": "IntegrityError"}
    assert "two grids differ" in done.failures[0].message
    reasons = done.cases.groupby("image")["reason"].unique().map(list).to_dict()
    assert reasons["case_0"] == ["case-failed: GeometryError"]
    assert reasons["case_1"] == [""]
    assert done.cases[done.cases["image"] == "case_2"]["value"].isna().all()


def test_an_empty_prediction_says_why_it_has_no_distance(folders):
    name(folders, NAMES)
    write(np.where(label_map(0) == 1, 1, 0).astype(np.uint8), folders / "predicted" / "case_0.nii.gz")
    cases = measure_masks(pair(folders).predictions, workers=1).cases.set_index(["image", "target", "metric"])
    assert cases.loc[("case_0", "tail", "hd95"), "reason"] == "prediction-empty"
    assert math.isnan(cases.loc[("case_0", "tail", "hd95"), "value"])
    assert cases.loc[("case_0", "tail", "dice"), ["value", "reason"]].tolist() == [0, ""]


def test_relative_payloads_separate_truth_files_and_no_truth(tmp_path):
    write(label_map(0), tmp_path / "payload" / "a.nii.gz")
    write((label_map(10) == 1).astype(np.uint8), tmp_path / "head.nii.gz")
    common = {"subject": "p", "image": "a", "kind": "mask", "payload": "payload/a.nii.gz", "split": "test"}
    rows = [
        common | {"target": "head", "label": "1", "truth_payload": "head.nii.gz", "truth_label": "1"},
        common | {"target": "tail", "label": "2"},
        common | {"target": "score", "kind": "score", "value": 0.4, "payload": ""},
    ]
    done = measure_masks(table(rows, PREDICTIONS), base=tmp_path, workers=1)
    head, tail = (done.cases[done.cases["target"] == target] for target in ("head", "tail"))
    expected = segmentation_metrics(label_map(0) == 1, label_map(10) == 1, SPACING)
    assert head["value"].iloc[0] == pytest.approx(expected["dice"])
    assert tail["metric"].tolist() == ["volume_ml_predicted"]
    assert set(head["metric"]) == {*METRICS, *VOLUMES}
    assert set(done.cases["split"]) == {"test"}


def test_a_ledger_resumes(folders, tmp_path):
    predictions = pair(folders).predictions
    first = measure_masks(predictions, workers=1, resume=tmp_path / "ledger.jsonl")
    for file in (folders / "predicted").glob("*.nii.gz"):
        file.unlink()  # what was measured is not read again
    again = measure_masks(predictions, workers=1, resume=tmp_path / "ledger.jsonl")
    assert again.cases.equals(first.cases)


def test_labels_may_be_given_by_name(folders):
    predictions = pair(folders).predictions.drop(columns=["label", "truth_label"])
    done = measure_masks(predictions, labels={"label_1": 1, "label_2": 2}, workers=1)
    assert not done.failures
    with pytest.raises(TableError, match=r"row 1: structure 'label_1' without a voxel value"):
        measure_masks(predictions, workers=1)
    with pytest.raises(TableError, match=r"label 'one'\n"):
        measure_masks(predictions.assign(label="one"), workers=1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: (f / "labelsTs").rename(f / "x"), InputRefused, "labelsTs: no such folder"),
        (
            lambda f: [p.unlink() for p in (f / "predicted").iterdir()],
            InputRefused,
            "predicted: no masks in the folder",
        ),
        (
            lambda f: [p.rename(p.with_name("x" + p.name)) for p in list((f / "predicted").iterdir())],
            InputRefused,
            "e.g. xcase_0.nii.gz and case_0.nii.gz",
        ),
        (lambda f: (f / "dataset.json").write_text("{"), UnreadableFile, "not a data set description"),
        (lambda f: name(f, {"background": 0}), UnreadableFile, "name no structure but the background"),
        (
            lambda f: (name(f / "predicted", {"liver": 1}), name(f / "labelsTs", NAMES)),
            InputRefused,
            "no structure is in both: liver against head, tail",
        ),
        (
            lambda f: [p.write_bytes(b"x") for p in (f / "predicted").iterdir()],
            UnreadableFile,
            "no pair of masks can be read",
        ),
    ],
)
def test_what_is_refused(folders, change, error, message):
    change(folders)
    with pytest.raises(error, match=message):
        pair(folders)


@pytest.mark.real_data
def test_real_masks_against_themselves(data, tmp_path):
    """Hippocampus labels as both sides: all perfect, and quick."""
    labels = data / "hippocampus" / "labels"
    for file in sorted(labels.glob("*.nii.gz"))[:20]:
        for side in ("a", "b"):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / file.name).symlink_to(file.resolve())
    done = measure_masks(pair_mask_folders(tmp_path / "a", tmp_path / "b", workers=1).predictions, workers=1)
    assert not done.failures
    assert (done.cases[done.cases["metric"] == "dice"]["value"] == 1).all()
    assert (done.cases[done.cases["metric"] == "hd95"]["value"] == 0).all()
