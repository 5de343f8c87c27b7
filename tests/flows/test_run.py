"""A whole run on small pictures: what each step leaves, verifies and counts."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from fiducial.audit.given import AuditSettings
from fiducial.errors import IntegrityError, RunMismatch
from fiducial.flows import audit, check, predict, report, run, train
from fiducial.flows.openings import LEDGER, Openings, count_openings, record_opening
from fiducial.records.runs import read_record, seal, verify

QUICK = AuditSettings(n_replicates=100)
FILES = {
    "study.toml",
    "plan.json",
    "contract.json",
    "cohort.parquet",
    "model.safetensors",
    "history.parquet",
    "predictions.parquet",
    "cases.parquet",
    "evidence.json",
    "curves.parquet",
    "report.html",
}


# openings, by hand


def test_openings_are_counted_by_study_and_every_line_is_kept(tmp_path):
    assert record_opening(tmp_path, fingerprint="a", study="s", run="r1") == Openings(1)
    assert record_opening(tmp_path, fingerprint="b", study="t", run="r2") == Openings(1)
    assert record_opening(tmp_path, fingerprint="a", study="s", run="r3") == Openings(2)
    lines = [json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()]
    assert [line["run"] for line in lines] == ["r1", "r2", "r3"]


def test_a_study_that_is_changed_after_a_look_does_not_begin_anew(tmp_path):
    for fingerprint in ("a", "a", "b"):
        record_opening(tmp_path, fingerprint=fingerprint, study="s", run="r")
    assert count_openings(tmp_path, fingerprint="c", study="s") == Openings(3, 3)
    assert count_openings(tmp_path, fingerprint="a", study="s") == Openings(3, 1)
    assert count_openings(tmp_path, fingerprint="a", study="renamed") == Openings(2)


def test_a_torn_line_is_not_an_opening(tmp_path):
    record_opening(tmp_path, fingerprint="a", study="s", run="r")
    with (tmp_path / LEDGER).open("a") as file:
        file.write('{"fingerprint": "a", "stu')
    assert count_openings(tmp_path, fingerprint="a", study="s") == Openings(1)
    assert count_openings(tmp_path / "absent", fingerprint="a", study="s") == Openings(0)


# a finished run


def test_a_run_folder_explains_itself(tiny_run):
    names = {p.relative_to(tiny_run.run).as_posix() for p in tiny_run.run.rglob("*") if p.is_file()}
    assert names >= FILES
    record = verify(tiny_run.run)
    assert set(record["files"]) == names - {"run.json"}
    assert {"fingerprint", "seed", "versions", "cohort_folder", "study_name"} <= set(record)
    assert record["data_name"] == "cohort"


def test_a_record_names_no_machine(tiny_run):
    assert str(tiny_run.folder) not in (tiny_run.run / "run.json").read_text()


def test_every_case_of_the_test_part_is_audited(tiny_run):
    cases = pd.read_parquet(tiny_run.run / "cases.parquet")
    cohort = pd.read_parquet(tiny_run.run / "cohort.parquet")
    test = set(cohort[(cohort["split"] == "test") & (cohort["role"] == "image")]["image"])
    assert len(test) == 9
    assert set(cases[cases["split"] == "test"]["image"]) == test
    assert "train" not in set(cases["split"])


def test_the_evidence_holds_the_criterion_with_its_verdict(tiny_run):
    rows = json.loads((tiny_run.run / "evidence.json").read_text())["rows"]
    (criterion,) = [row for row in rows if row["check"] == "acceptance"]
    assert criterion["metric"] == "dice"
    assert criterion["threshold"] == 0.3
    assert criterion["verdict"] in {"pass", "fail", "inconclusive"}
    assert criterion["n_subjects"] == 9


def test_the_report_shows_pictures_groups_and_the_data(tiny_run):
    html = (tiny_run.run / "report.html").read_text()
    assert html.count("data:image/png;base64,") >= 3
    for text in ("discs", "outline a bright disc", "site=A", "cohort"):
        assert text in html
    assert "http://" not in html.replace("http://www.w3.org", "")


# each step verifies what it reads


@pytest.mark.parametrize("name", ["model.safetensors", "plan.json", "contract.json"])
def test_predicting_with_a_tampered_model_is_refused(tiny, name):
    path = tiny.run / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="changed after it was sealed"):
        predict(tiny.run, tiny.cohort, tiny.folder / "out")


@pytest.mark.parametrize("name", ["predictions.parquet", "cohort.parquet", "study.toml", "payload"])
def test_auditing_tampered_predictions_is_refused(tiny, name):
    path = next((tiny.run / name).iterdir()) if name == "payload" else tiny.run / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="changed after it was sealed"):
        audit(tiny.run, settings=QUICK)


def test_a_run_is_not_audited_under_another_study(tiny):
    easier = tiny.folder / "easier.toml"
    easier.write_text(tiny.study.read_text().replace("at_least = 0.3", "at_least = 0.1"))
    with pytest.raises(RunMismatch, match="says something else"):
        audit(tiny.run, study=easier, settings=QUICK)
    assert audit(tiny.run, study=tiny.study, settings=QUICK).criteria


def test_a_second_look_is_counted_and_a_refused_one_is_not(tiny):
    again = audit(tiny.run, settings=QUICK)
    assert again.openings == 2
    path = tiny.run / "predictions.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(IntegrityError):
        audit(tiny.run, settings=QUICK)
    path.write_bytes(whole)
    assert audit(tiny.run, settings=QUICK).openings == 3
    assert any("openings" in finding for finding in again.findings)


def test_auditing_again_gives_the_same_evidence(tiny):
    first = audit(tiny.run, tiny.folder / "a", settings=QUICK)
    audit(tiny.run, tiny.folder / "b", settings=QUICK)
    rows = [json.loads((tiny.folder / name / "evidence.json").read_text())["rows"] for name in ("a", "b")]
    rows = [[row for row in side if row["check"] != "openings"] for side in rows]
    assert rows[0] == rows[1]
    assert first.out == tiny.folder / "a"


def test_an_audit_elsewhere_leaves_the_run_as_it_is_and_reports_its_model(tiny):
    before = read_record(tiny.run)
    audit(tiny.run, tiny.folder / "audit", settings=QUICK)
    assert read_record(tiny.run) == before
    made = report(tiny.folder / "audit")
    assert made.title == "discs"
    assert before["files"]["model.safetensors"][:12] in made.report.read_text()


def test_an_audit_never_writes_over_another_run(tiny):
    table = tiny.folder / "table.parquet"
    shutil.copy(tiny.run / "predictions.parquet", table)
    shutil.copytree(tiny.run, tiny.folder / "other")
    with pytest.raises(RunMismatch, match="holds a run"):
        audit(tiny.run, tiny.folder / "other", settings=QUICK)


# prediction elsewhere


def test_predictions_of_a_cohort_can_be_audited_like_a_run(tiny):
    done = predict(tiny.run, tiny.cohort, tiny.folder / "predicted", splits=("test",))
    assert done.n_images == 9
    assert not done.failures
    result = audit(tiny.folder / "predicted", settings=QUICK)
    assert result.n_images == 9
    assert [c.metric for c in result.criteria] == ["dice"]
    assert report(tiny.folder / "predicted").title == "discs"


def test_an_unlabelled_cohort_is_predicted(tiny, discs):
    from fiducial.flows import ingest

    shutil.copytree(discs / "images", tiny.folder / "pictures")
    made = ingest(tiny.folder / "pictures", tiny.folder / "unlabelled", workers=1)
    assert made.n_masks == 0
    done = predict(tiny.run, tiny.folder / "unlabelled", tiny.folder / "out")
    assert done.n_images == 30
    assert len(list((tiny.folder / "out" / "payload").glob("*.nii.gz"))) == 30


def test_predicting_the_images_it_was_trained_on_is_found_in_a_cohort_of_another_name(tiny, discs):
    from fiducial.flows import ingest

    source = tiny.folder / "copies"
    for part in ("images", "labels"):
        (source / part).mkdir(parents=True)
        for path in (discs / part).iterdir():
            shutil.copy(path, source / part / f"other_{path.name}")
    ingest(source, tiny.folder / "elsewhere", workers=1)
    predict(tiny.run, tiny.folder / "elsewhere", tiny.folder / "predicted")
    result = audit(tiny.folder / "predicted", settings=QUICK)
    (finding,) = [text for text in result.findings if text.startswith("leakage")]
    assert "exact: learned from: disc_" in finding
    rows = json.loads((tiny.folder / "predicted" / "evidence.json").read_text())["rows"]
    (leaks,) = [row for row in rows if row["metric"] == "n_leaks"]
    assert leaks["value"] == 18


# training again


def test_a_finished_run_is_not_trained_again(tiny):
    before = read_record(tiny.run)["files"]["model.safetensors"]
    with pytest.raises(RunMismatch, match="finished run"):
        train(tiny.study, tiny.run)
    assert run(tiny.study, tiny.run, resume=True).training.seed == 0
    assert read_record(tiny.run)["files"]["model.safetensors"] == before


def test_a_run_folder_of_another_study_is_refused(tiny):
    tiny.study.write_text(tiny.study.read_text().replace("at_least = 0.3", "at_least = 0.9"))
    with pytest.raises(RunMismatch, match="another study or cohort"):
        train(tiny.study, tiny.run, resume=True)


def test_a_check_of_a_study_counts_its_parts(tiny_cohort):
    result = check(tiny_cohort.study)
    assert result.splits == {"train": 15, "validation": 3, "calibration": 3, "test": 9}
    assert result.sound
    assert len(result.fingerprint) == 64
    assert check(tiny_cohort.cohort).splits == {"(none)": 30}


def test_facts_of_a_phantom_reach_its_report(tiny):
    seal(tiny.run, "report.html", phantom=True, data_name="a phantom of discs")
    assert "a phantom of discs" in report(tiny.run).report.read_text()


def test_a_segmentation_run_has_a_promise_about_what_its_masks_miss(tiny_run):
    """Probability maps of the calibration and the test part are kept, measured and named in the evidence."""
    from fiducial.audit import read_evidence
    from fiducial.records.tables import CASES, PREDICTIONS, read_table

    said = read_table(tiny_run.run / "predictions.parquet", PREDICTIONS)
    maps = said[said["item"] == "probability"]
    assert set(maps["kind"]) == {"image"}
    assert set(maps["split"]) == {"calibration", "test"}
    assert all((tiny_run.run / path).is_file() for path in maps["payload"])
    measured = read_table(tiny_run.run / "cases.parquet", CASES)
    risks = measured[measured["metric"].str.startswith("fnr@")]
    assert set(risks["image"]) == set(maps["image"])
    assert risks["value"].between(0, 1).all()
    evidence = read_evidence(tiny_run.run / "evidence.json")
    row = evidence[evidence["item"] == "mask_risk"].iloc[0]
    assert (row["verdict"], row["reason"]) == ("not_possible", "3 calibration patients: at least 40 are needed")


def test_raters_of_a_cohort_are_compared_by_the_audit_of_its_run(tiny):
    """Two readers who copied the reference agree with it and with each other, on the images of the test part."""
    from fiducial.audit import read_evidence
    from fiducial.records.tables import CASES, COHORT, read_table, write_table

    cohort = read_table(tiny.run / "cohort.parquet", COHORT)
    masks = cohort[cohort["role"] == "mask"]
    readers = [masks.assign(rater=name, image=masks["image"] + f"~{name}") for name in "AB"]
    write_table(pd.concat([cohort, *readers], ignore_index=True), tiny.run / "cohort.parquet", COHORT)
    seal(tiny.run, "cohort.parquet")
    audit(tiny.run, settings=QUICK)
    evidence = read_evidence(tiny.run / "evidence.json")
    own = evidence[(evidence["check"] == "agreement") & (evidence["target"] == "label_1")].set_index("metric")
    assert own.loc["pairwise_dice", "value"].tolist() == [1.0, 1.0]
    assert (own.loc["reference_dice", "value"] == 1.0).all()
    measured = read_table(tiny.run / "cases.parquet", CASES)
    tested = set(cohort.loc[(cohort["role"] == "image") & (cohort["split"] == "test"), "image"])
    assert set(measured.loc[measured["rater"] != "", "image"]) == tested
    report(tiny.run)
    assert "Dice with the consensus" in (tiny.run / "report.html").read_text()
