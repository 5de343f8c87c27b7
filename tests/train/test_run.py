"""From a cohort folder to a run and its predictions, on images small enough to train in seconds."""

from __future__ import annotations

import json
import resource
import signal

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fiducial.cohort import ingest, load_cohort
from fiducial.errors import InputRefused, IntegrityError, LabelError, LeakError, RunMismatch, StudyError
from fiducial.predict.exams import gather_exams
from fiducial.predict.run import predict_cohort
from fiducial.records.runs import seal
from fiducial.records.tables import PREDICTIONS, final_answers, read_table
from fiducial.study import parse_study
from fiducial.train.cache import build_cache
from fiducial.train.division import split_study
from fiducial.train.run import train_study

N = 16
AFFINE = np.diag([-1.2, 1.0, 1.0, 1.0])


def write_images(folder, *, n=N, with_masks=True, seed=0):
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rows = []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        x, y, z = np.meshgrid(*[np.arange(m) for m in (20, 18, 16)], indexing="ij")
        centre, radius = rng.uniform(7, 10, 3), 3.0 + 2 * (k % 2)
        ball = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) < radius**2
        # A pattern of its own makes each image a different patient to the near-duplicate check.
        pattern = 40 * np.kron(rng.normal(size=(5, 6, 4)), np.ones((4, 3, 4)))
        voxels = ball * 300 + pattern + rng.normal(100, 20, ball.shape)
        nib.save(nib.Nifti1Image(voxels.astype(np.float32), AFFINE), folder / "images" / f"p{k:02d}.nii.gz")
        if with_masks:
            nib.save(nib.Nifti1Image(ball.astype(np.uint8), AFFINE), folder / "labels" / f"p{k:02d}.nii.gz")
        rows.append({"subject": f"p{k:02d}", "large": k % 2, "same": 1})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = write_images(tmp_path_factory.mktemp("source"))
    ingest(folder, folder / "cohort", labels=folder / "labels.csv", workers=1)
    return folder


def study_of(folder, kind="segmentation", targets='"label_1"', more="", train="", rule="seed = 1"):
    text = f"""
[study]
name = "balls"
intended_use = "to find balls"
[data]
cohort = "cohort"
split = {{{rule}}}
{more}
[task]
kind = "{kind}"
targets = [{targets}]
[train]
minutes = 0.02
{train}
"""
    return parse_study(text, source=folder / "study.toml")


@pytest.fixture(scope="module")
def segmentation_run(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return train_study(study_of(source), out)


def test_a_run_explains_itself(segmentation_run):
    out = segmentation_run.folder
    names = {p.name for p in out.iterdir()}
    assert {"study.toml", "run.json", "plan.json", "contract.json", "cohort.parquet"} <= names
    assert {"model.safetensors", "history.parquet"} <= names
    assert not names & {"cache", "checkpoint"}
    record = json.loads((out / "run.json").read_text())
    assert record["n_train"] == segmentation_run.n_train > 0
    assert record["versions"]["torch"]
    plan = json.loads((out / "plan.json").read_text())
    assert "a step takes" in plan["reasons"]["n_steps"]
    history = pd.read_parquet(out / "history.parquet")
    assert history["step"].iloc[-1] == plan["n_steps"]
    assert history["validation_loss"].notna().all()


def test_predictions_lie_on_the_native_grid_with_their_truth(segmentation_run, source, tmp_path):
    done = predict_cohort(segmentation_run.folder, source / "cohort", tmp_path)
    assert (done.n, done.failures) == (N, ())
    rows = final_answers(read_table(tmp_path / "predictions.parquet", PREDICTIONS))
    assert set(rows["split"]) == {"train", "validation", "calibration", "test"}
    for payload, truth in zip(rows["payload"], rows["truth_payload"], strict=True):
        mask, reference = nib.load(tmp_path / payload), nib.load(truth)
        np.testing.assert_allclose(mask.affine, reference.affine, atol=1e-5)
        assert mask.shape == reference.shape
    only_test = predict_cohort(segmentation_run.folder, source / "cohort", tmp_path / "t", splits=("test",))
    assert 0 < only_test.n < N


def test_an_unlabelled_cohort_is_predicted(segmentation_run, tmp_path):
    folder = write_images(tmp_path / "new", n=3, with_masks=False, seed=5)
    ingest(folder / "images", tmp_path / "cohort", workers=1)
    done = predict_cohort(segmentation_run.folder, tmp_path / "cohort", tmp_path / "out")
    rows = final_answers(read_table(tmp_path / "out" / "predictions.parquet", PREDICTIONS))
    assert done.n == 3
    assert (rows["truth_payload"] == "").all()


def test_images_of_another_kind_are_set_aside_or_refused(segmentation_run, tmp_path):
    folder = write_images(tmp_path / "new", n=2, seed=6)
    path = folder / "images" / "p00.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata().astype(np.float32) * 1000, AFFINE), path)
    ingest(folder, tmp_path / "cohort", workers=1)
    done = predict_cohort(segmentation_run.folder, tmp_path / "cohort", tmp_path / "out")
    assert done.n == 1
    assert done.failures[0].error == "ContractError"
    assert "percentile of the intensities" in done.failures[0].message
    for path in (folder / "images").iterdir():
        nib.save(nib.Nifti1Image(nib.load(path).get_fdata().astype(np.float32), np.diag([9, 9, 9, 1])), path)
    (folder / "labels").rename(folder / "old")
    ingest(folder / "images", tmp_path / "far", workers=1)
    with pytest.raises(InputRefused, match="none of 2 images could be predicted"):
        predict_cohort(segmentation_run.folder, tmp_path / "far", tmp_path / "out2")


def test_a_tampered_model_is_refused(segmentation_run, source, tmp_path):
    path = segmentation_run.folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(IntegrityError, match="changed after it was sealed"):
            predict_cohort(segmentation_run.folder, source / "cohort", tmp_path)
    finally:
        path.write_bytes(whole)
    # Weights of another network, sealed by somebody who knows how, do not fit the plan.
    plan = segmentation_run.folder / "plan.json"
    text = plan.read_text()
    plan.write_text(text.replace('"widths": [\n    32', '"widths": [\n    16'))
    seal(segmentation_run.folder, "plan.json")
    try:
        with pytest.raises(IntegrityError, match="weights cannot be loaded"):
            predict_cohort(segmentation_run.folder, source / "cohort", tmp_path)
    finally:
        plan.write_text(text)
        seal(segmentation_run.folder, "plan.json")


def test_a_folder_is_only_ever_one_studys_run(segmentation_run, source, tmp_path):
    out = segmentation_run.folder
    with pytest.raises(RunMismatch, match="finished run"):
        train_study(study_of(source), out)
    again = train_study(study_of(source), out, resume=True)  # nothing is left to do
    assert again.n_steps == segmentation_run.n_steps
    with pytest.raises(RunMismatch, match="another study"):
        train_study(study_of(source, train="memory_gb = 3"), out, resume=True)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(RunMismatch, match="not empty and is no run"):
        train_study(study_of(source), tmp_path)


def test_a_run_that_was_refused_before_it_had_a_plan_does_not_keep_its_folder(source, tmp_path):
    with pytest.raises(StudyError, match="perceptron"):
        train_study(study_of(source, train='model = "perceptron"'), tmp_path / "run")
    assert train_study(study_of(source), tmp_path / "run").n_steps > 0


def test_a_run_is_not_resumed_under_another_seed_or_device(source, tmp_path):
    out = train_study(study_of(source), tmp_path / "run").folder
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(RunMismatch, match="--seed 5, but the run was begun with seed 0") as refusal:
        train_study(study_of(source), out, seed=5, resume=True)
    assert "leave --seed out" in refusal.value.action
    with pytest.raises(RunMismatch, match="--device cuda, but the run was begun with device cpu"):
        train_study(study_of(source), out, device="cuda", resume=True)
    assert train_study(study_of(source), out, seed=0, device="cpu", resume=True).n_steps > 0
    assert (out / "model.safetensors").read_bytes() == before


def test_ctrl_c_then_resume_follows_the_same_plan(source, tmp_path):
    def interrupt(title, done, total):
        if title == "training" and done == 10:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_study(study_of(source), tmp_path / "run", progress=interrupt)
    assert not (tmp_path / "run" / "run.json").exists()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    plan = (tmp_path / "run" / "plan.json").read_text()
    with pytest.raises(RunMismatch, match=r"--resume|unfinished"):
        train_study(study_of(source), tmp_path / "run")
    seen = []
    train_study(
        study_of(source), tmp_path / "run", resume=True, progress=lambda title, done, _total: seen.append((title, done))
    )
    assert min(d for t, d in seen if t == "training") == 11
    assert (tmp_path / "run" / "plan.json").read_text() == plan


def test_classification_of_a_region(source, tmp_path):
    study = study_of(source, "classification", '"large"', "", '\n[task.region]\nmask = "label_1"\nmargin_mm = 3')
    run = train_study(study, tmp_path / "run")
    done = predict_cohort(run.folder, source / "cohort", tmp_path / "out", splits=("test", "calibration"))
    rows = final_answers(read_table(tmp_path / "out" / "predictions.parquet", PREDICTIONS))
    assert done.n == len(rows) > 0
    assert rows["value"].between(0, 1).all()
    assert set(rows["truth"]) <= {0.0, 1.0}
    assert set(rows["kind"]) == {"score"}


def write_pictures(folder, n=12):
    """Flat pictures with a bright disc: PNG images, PNG masks, and labels of several kinds."""
    from PIL import Image as Picture

    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rows = []
    for k in range(n):
        rng = np.random.default_rng(k)
        x, y = np.meshgrid(np.arange(32), np.arange(28))
        centre, radius = rng.uniform(11, 17, 2), 4 + 2 * (k % 3)
        disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2
        pattern = 25 * np.kron(rng.normal(size=(7, 8)), np.ones((4, 4)))
        grey = np.clip(90 + 100 * disc + pattern + rng.normal(0, 5, disc.shape), 0, 255).astype(np.uint8)
        Picture.fromarray(grey).save(folder / "images" / f"p{k:02d}.png")
        Picture.fromarray(disc.astype(np.uint8)).save(folder / "labels" / f"p{k:02d}.png")
        rows.append({"subject": f"p{k:02d}", "size": "SML"[k % 3], "odd": k % 2, "third": int(k % 3 == 0)})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    ingest(folder, folder / "cohort", labels=folder / "labels.csv", workers=1)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def test_flat_pictures_are_segmented(pictures, tmp_path):
    run = train_study(study_of(pictures), tmp_path / "run")
    assert json.loads((run.folder / "plan.json").read_text())["dimensions"] == 2
    predict_cohort(run.folder, pictures / "cohort", tmp_path / "out", splits=("test",))
    rows = final_answers(read_table(tmp_path / "out" / "predictions.parquet", PREDICTIONS))
    assert all(nib.load(tmp_path / "out" / p).shape == (32, 28, 1) for p in rows["payload"])


@pytest.mark.parametrize(("targets", "items", "n_rows"), [('"size"', {"S", "M", "L"}, 3), ('"odd", "third"', {""}, 2)])
def test_several_classes_and_several_labels(pictures, tmp_path, targets, items, n_rows):
    run = train_study(study_of(pictures, "classification", targets), tmp_path / "run")
    done = predict_cohort(run.folder, pictures / "cohort", tmp_path / "out")
    rows = final_answers(read_table(tmp_path / "out" / "predictions.parquet", PREDICTIONS))
    assert set(rows["item"]) == items
    assert (rows.groupby("image").size() == n_rows).all()
    assert done.n == rows["image"].nunique() == 12
    if n_rows == 3:
        np.testing.assert_allclose(rows.groupby("image")["value"].sum(), 1, atol=1e-5)
        np.testing.assert_allclose(rows.groupby("image")["truth"].sum(), 1)


def test_a_full_disk_while_preparing_is_no_bad_case(source, plan, tmp_path):
    """The kernel refuses to write beyond a file-size limit, as it refuses on a full disk."""
    exams, _ = gather_exams(load_cohort(source / "cohort"), source / "cohort", (), ())
    balls = plan.model_copy(update={"targets": ("label_1",)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InputRefused, match="the disk is full") as refusal:
            build_cache(exams, balls, tmp_path, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert "--resume" in refusal.value.action
    assert not list(tmp_path.iterdir())


def test_an_unreadable_training_case_is_named_once(tmp_path):
    folder = write_images(tmp_path / "new", n=10)
    ingest(folder, folder / "cohort", labels=folder / "labels.csv", workers=1)
    study = study_of(folder)
    train = split_study(study, load_cohort(folder / "cohort"))
    name = train[(train["role"] == "image") & (train["split"] == "train")]["image"].iloc[0]
    path = folder / "images" / f"{name}.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    run = train_study(study, tmp_path / "run")
    assert [failure.key for failure in run.set_aside] == [name]


def test_bad_studies_are_answered(source, tmp_path):
    with pytest.raises(LabelError, match="one class only"):
        train_study(study_of(source, "classification", '"same"'), tmp_path / "a")
    with pytest.raises(LabelError, match="label column 'absent'"):
        train_study(study_of(source, "classification", '"absent"'), tmp_path / "b")
    with pytest.raises(StudyError, match="perceptron"):
        train_study(study_of(source, train='model = "perceptron"'), tmp_path / "c")


def test_training_without_masks_is_refused(tmp_path):
    folder = write_images(tmp_path / "new", n=4, with_masks=False)
    ingest(folder / "images", folder / "cohort", workers=1)
    with pytest.raises(LabelError, match="no masks"):
        train_study(study_of(folder), tmp_path / "run")


def test_a_leak_refuses_training_or_is_dropped(tmp_path):
    folder = write_images(tmp_path / "new", n=8)
    twin = nib.load(folder / "images" / "p00.nii.gz")
    for kind in ("images", "labels"):
        (folder / kind / "p08.nii.gz").write_bytes((folder / kind / "p00.nii.gz").read_bytes())
    assert twin.shape == (20, 18, 16)
    labels = pd.DataFrame({"subject": [f"p{k:02d}" for k in range(9)]})
    labels["split"] = ["train"] * 4 + ["validation", "calibration", "calibration", "test", "test"]
    labels.to_csv(folder / "labels.csv", index=False)
    ingest(folder, folder / "cohort", labels=folder / "labels.csv", workers=1)
    given = study_of(folder, rule='by = "given"')
    with pytest.raises(LeakError, match=r"p00 .train. and p08 .test.|p08 .test. and p00 .train."):
        train_study(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    dropping = study_of(folder, more='on_leak = "drop"', rule='by = "given"')
    run = train_study(dropping, tmp_path / "dropped")
    record = json.loads((run.folder / "run.json").read_text())
    assert "dropped 1 images" in record["notes"][0]


def test_an_ensemble_of_folds_predicts_by_member_and_embeds(source, tmp_path):
    study = study_of(source, train="folds = 2")
    run = train_study(study, tmp_path / "run")
    plan = json.loads((run.folder / "plan.json").read_text())
    assert [member["name"] for member in plan["members"]] == ["fold1", "fold2"]
    assert "for each of 2 networks" in plan["reasons"]["n_steps"]
    frozen = pd.read_parquet(run.folder / "cohort.parquet")
    inside = frozen["split"].isin(["train", "validation"])
    assert set(frozen.loc[inside, "fold"]) == {0, 1}
    assert run.n_train + run.n_validation == int((inside & (frozen["role"] == "image")).sum())
    predict_cohort(run.folder, source / "cohort", tmp_path / "out", splits=("test",))
    rows = read_table(tmp_path / "out" / "predictions.parquet", PREDICTIONS)
    masks = rows[rows["kind"] == "mask"]
    assert set(masks["member"]) == {"", "fold1", "fold2"}
    assert all((tmp_path / "out" / payload).is_file() for payload in masks["payload"])
    expected = rows[rows["item"] == "predicted_dice"]
    assert expected["value"].between(0, 1).all()
    embedded = rows[rows["kind"] == "embedding"]
    assert embedded.groupby("image")["item"].nunique().nunique() == 1
    assert set(embedded["image"]) == set(masks["image"])


@pytest.mark.parametrize("method", ["reweighing", "balanced", "group_dro"])
def test_a_mitigated_training_runs_and_says_so(source, tmp_path, method):
    study = study_of(
        source,
        kind="classification",
        targets='"large"',
        more='attributes = ["shape"]',
        train=f'head = "evidential"\nmitigate = {{method = "{method}", attribute = "shape"}}',
    )
    labels = pd.read_csv(source / "labels.csv")
    labels["shape"] = ["round" if k % 3 else "long" for k in range(len(labels))]
    labels.to_csv(tmp_path / "labels.csv", index=False)
    ingest(source, tmp_path / "cohort", labels=tmp_path / "labels.csv", workers=1)
    study = parse_study(study.to_toml(), source=tmp_path / "study.toml")
    run = train_study(study, tmp_path / "run")
    plan = json.loads((run.folder / "plan.json").read_text())
    assert plan["mitigation"]["method"] == method
    assert {"shape=round&large=0", "shape=round&large=1"} <= set(plan["mitigation"]["groups"])
    predict_cohort(run.folder, tmp_path / "cohort", tmp_path / "out")
    rows = read_table(tmp_path / "out" / "predictions.parquet", PREDICTIONS)
    doubt = rows[rows["item"] == "uncertainty"]
    assert len(doubt) == N
    assert doubt["value"].between(0, 1).all()
