"""Tables as vendors send them: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import AuditInput, AuditSettings, audit, read_evidence, vendor_input, write_evidence
from fiducial.audit.missingness import check_missingness
from fiducial.audit.tables import prepared
from fiducial.errors import InputRefused, IntegrityError, LabelError, StudyError, TableError
from fiducial.records.chain import chain_of
from fiducial.study import Study

FAST = AuditSettings(n_replicates=200, minimum_n=3)
Edit = Callable[[list[dict[str, Any]]], object]


def frame(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    return pd.DataFrame(
        {
            "subject": [f"p{k}" for k in range(n)],
            "image": [f"i{k}" for k in range(n)],
            "target": "malignant",
            "value": np.clip(0.3 + 0.4 * truth + rng.normal(0, 0.15, n), 0, 1),
            "truth": truth,
            "sex": ["F", "M", "M"] * (n // 3),
            "age": np.arange(n) + 40,
        }
    )


def refused(given: object, error: type[InputRefused], **said: object) -> str:
    with pytest.raises(error) as caught:
        audit(vendor_input(given, settings=FAST, **said))  # type: ignore[arg-type]
    return str(caught.value)


def test_a_csv_becomes_evidence(tmp_path: Path) -> None:
    path = tmp_path / "vendor.csv"
    frame().to_csv(path, index=False)
    given = vendor_input(path, settings=FAST)
    assert given.settings.attributes == ("sex", "age")
    rows = audit(given).evidence
    assert rows["source"].iloc[0].startswith("vendor.csv sha256:")
    auc = rows[(rows["check"] == "accuracy") & (rows["metric"] == "auc")].iloc[0]
    assert 0.5 < auc["value"] <= 1
    assert set(rows[rows["check"] == "subgroups"]["group"]) >= {"sex=F", "sex=M", "sex"}


def test_ids_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "vendor.csv"
    frame().assign(subject=[f"{k:03d}" for k in range(12)]).to_csv(path, index=False)
    assert vendor_input(path).predictions["subject"].iloc[7] == "007"


def test_without_subject_the_persons_are_unknown() -> None:
    given = vendor_input(frame().drop(columns="subject"), settings=FAST)
    assert not given.settings.person_known
    assert audit(given).evidence["method"].str.contains("persons unknown").all()


def test_one_row_a_patient_needs_no_image() -> None:
    given = vendor_input(frame().drop(columns="image"), settings=FAST)
    assert given.settings.person_known
    assert list(given.predictions["image"][:2]) == ["p0", "p1"]


def test_bands_and_a_second_table_make_attributes(tmp_path: Path) -> None:
    site = pd.DataFrame({"subject": [f"p{k}" for k in range(12)], "site": ["A", "B"] * 6})
    site.to_csv(tmp_path / "site.csv", index=False)
    given = vendor_input(frame(), attributes=tmp_path / "site.csv", bands={"age": (46.0,)}, settings=FAST)
    assert given.settings.attributes == ("sex", "age_band", "site")
    rows = audit(given).evidence
    assert {"age_band=<46", "age_band=>=46", "site=A"} <= set(rows["group"])


def test_images_that_the_attributes_do_not_name_have_missing_ones() -> None:
    site = pd.DataFrame({"image": [f"i{k}" for k in range(6)], "site": ["A", "B"] * 3})
    rows = audit(vendor_input(frame().drop(columns=["sex", "age"]), attributes=site, settings=FAST)).evidence
    assert "site=(missing)" in set(rows["group"])
    missing = rows[(rows["metric"] == "missing_attribute") & (rows["item"] == "site")].iloc[0]
    assert (missing["value"], missing["verdict"]) == (0.5, "finding")


# What is refused.


def test_a_value_outside_0_to_1() -> None:
    message = refused(frame().assign(value=np.linspace(-2, 3, 12)), TableError)
    assert "value -2 of image 'i0', target 'malignant'" in message
    assert "a probability in [0, 1]" in message
    assert "apply the logistic function" in message


def test_repeated_predictions() -> None:
    twice = pd.concat([frame(), frame().iloc[[3]]])
    message = refused(twice, TableError)
    assert "2 rows repeat an entry, first at rows [4, 13]" in message
    assert ": condition clean, image i3, target malignant, kind score\n" in message


@pytest.mark.parametrize(
    ("metric", "value", "legal"),
    [
        ("dice", 87.0, "[0, 1]"),
        ("fnr@0.5", 1.2, "[0, 1]"),
        ("hd95", -1.0, "0 or more"),
        ("size@0.5", -0.1, "0 or more"),
        ("survival_event", 0.5, "0 or 1"),
    ],
)
def test_a_value_that_its_metric_cannot_have(metric: str, value: float, legal: str) -> None:
    rows = pd.DataFrame({"image": ["a", "b"], "target": "liver", "metric": [metric, "dice"], "value": [value, 0.9]})
    with pytest.raises(TableError) as refusal:
        prepared(vendor_input(rows))
    assert f"{metric} {value:g} of image 'a', target 'liver' (1 such rows)" in str(refusal.value)
    assert f"legal: {legal}" in str(refusal.value)


def test_a_metric_that_no_check_reads() -> None:
    """Alone it is refused; beside others it is said, and a slip of writing is a finding."""
    rows = pd.DataFrame({"image": list("abcd"), "target": "liver", "metric": "dicee", "value": 0.9})
    with pytest.raises(TableError, match="no check reads dicee") as refusal:
        vendor_input(rows)
    assert "did you mean 'dice'?" in str(refusal.value)
    more = [rows.assign(metric=name) for name in ("dice", "centreline_overlap")]
    evidence = audit(vendor_input(pd.concat([rows, *more]))).evidence
    unread = evidence[evidence["metric"] == "unread_metric"].set_index("item")
    assert unread["verdict"].to_dict() == {"centreline_overlap": "not_possible", "dicee": "finding"}
    assert unread.loc["dicee", "reason"] == "no check reads the metric 'dicee': did you mean 'dice'?"


@pytest.mark.parametrize("truth", [0, 1])
def test_one_class_only(truth: int) -> None:
    message = refused(frame().assign(truth=truth), LabelError)
    assert f"all 12 rows of target 'malignant' have truth {truth}: one class only" in message


def test_no_truth_or_another_truth_than_0_and_1() -> None:
    assert "no truth for target 'malignant'" in refused(frame().assign(truth=np.nan), LabelError)
    assert "truth 2 for target 'malignant'" in refused(frame().assign(truth=[0, 1, 2] * 4), LabelError)
    assert "'benign'" in refused(frame().assign(truth="benign"), TableError)


def test_a_missing_column_is_named_with_the_nearest() -> None:
    message = refused(frame().rename(columns={"truth": "truths"}), TableError)
    assert "missing column(s) truth" in message
    assert "did you mean 'truths'?" in message


def test_attributes_that_match_nothing() -> None:
    other = pd.DataFrame({"image": ["x1", "x2"], "site": ["A", "B"]})
    message = refused(frame(), TableError, attributes=other)
    assert "no image matches: 'x1' here, 'i0' in what is audited" in message
    assert "no key column" in refused(frame(), TableError, attributes=pd.DataFrame({"id": ["i1"]}))
    double = pd.DataFrame({"image": ["i1", "i1"], "site": ["A", "B"]})
    assert "image 'i1' has two rows that differ" in refused(frame(), TableError, attributes=double)


def unmatched_row(rows: pd.DataFrame, attributes: pd.DataFrame) -> pd.Series:
    found = pd.DataFrame(check_missingness(prepared(vendor_input(rows, attributes=attributes))).evidence)
    return found[found["metric"] == "unmatched_attribute"].iloc[0]


def test_attributes_of_which_some_match_nothing_are_a_finding_that_names_them() -> None:
    known = frame()["image"].tolist()
    given = pd.DataFrame({"image": [*known, "x1", "x2"], "site": "A"})
    row = unmatched_row(frame(), given)
    n = len(known)
    assert row["verdict"] == ("finding" if 0.05 * (n + 2) < 2 else "clear")
    assert row["reason"] == f"2 of {n + 2} ids of the attributes name no image that was audited, such as x1, x2"
    assert row["value"] == pytest.approx(2 / (n + 2))
    alright = unmatched_row(frame(), given.head(n))
    assert (alright["verdict"], alright["value"]) == ("clear", 0)


@pytest.mark.parametrize("written", ["I0", " i0", "i-00", "i_0 "])
def test_an_id_that_differs_in_writing_alone_is_found(written: str) -> None:
    images = frame()["image"].tolist()
    row = unmatched_row(frame(), pd.DataFrame({"image": [written, *images[1:]], "site": "A"}))
    assert row["verdict"] == "finding"
    assert f"1 of them differ in writing alone, such as {written!r} and 'i0'" in row["reason"]


def test_without_a_second_table_nothing_is_said_of_it() -> None:
    rows = check_missingness(prepared(vendor_input(frame()))).evidence
    assert "unmatched_attribute" not in {row["metric"] for row in rows}


def test_an_image_of_two_sexes() -> None:
    two = pd.concat([frame(), frame().assign(target="cyst", sex="M")])
    assert "image 'i0' has two answers: {'sex': ['F', 'M']}" in refused(two, TableError)


def test_a_file_that_is_not_a_table(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nothing.csv", TableError)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    assert "not a readable table" in refused(tmp_path / "broken.parquet", TableError)
    (tmp_path / "empty.csv").write_text("")
    assert "not a readable table" in refused(tmp_path / "empty.csv", TableError)


def test_a_table_without_rows() -> None:
    assert "no predictions to audit" in refused(frame().iloc[:0], LabelError)


def test_criteria_on_groups_and_targets_that_are_not_there(make_study: Callable[..., Study]) -> None:
    criterion = '[[accept]]\nmetric = "auc"\ngroup = "sex={}"\nat_least = 0.5'
    data = 'attributes = ["sex"]'
    message = refused(frame(), StudyError, study=make_study(criterion.format("W"), data=data))
    assert "nobody has sex=W" in message
    assert "sex=F, sex=M" in message
    assert "no prediction of target 'cyst'" in refused(
        frame(), LabelError, study=make_study(targets='"cyst"', data=data)
    )
    site = make_study('[[accept]]\nmetric = "auc"\ngroup = "site=A"\nat_least = 0.5')
    assert "the data has no attribute 'site'" in refused(frame(), StudyError, study=site)


def test_a_declared_attribute_that_the_table_lacks_is_said(make_study: Callable[..., Study]) -> None:
    rows = audit(vendor_input(frame(), study=make_study(), settings=FAST)).evidence
    said = rows[(rows["check"] == "subgroups") & (rows["group"] == "site")].iloc[0]
    assert (said["verdict"], said["reason"]) == ("not_possible", "the tables have no attribute 'site'")


def test_no_test_part(make_input: Callable[..., AuditInput]) -> None:
    rows = frame().assign(split="train")
    assert "no row of the test part; the table has train" in refused(rows, LabelError)


def test_two_models_in_one_table() -> None:
    two = pd.concat([frame().assign(model="m1"), frame().assign(model="m2")])
    assert "predictions of 2 models: /m1, /m2" in refused(two, TableError)


def test_masks_for_a_classification_study(
    make_input: Callable[..., AuditInput], make_study: Callable[..., Study]
) -> None:
    rows = [{"image": "i0", "kind": "mask", "payload": "a.nii.gz"}]
    with pytest.raises(LabelError, match="a classification study, but the predictions are mask"):
        audit(make_input(rows, study=make_study(data="")))


# The evidence file.


def test_evidence_is_read_back_as_written(tmp_path: Path, clean: AuditInput) -> None:
    evidence = audit(clean).evidence
    path = tmp_path / "evidence.json"
    write_evidence(evidence, path)
    assert "NaN" not in path.read_text()
    pd.testing.assert_frame_equal(read_evidence(path), evidence)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable evidence file"),
        ('{"schema": 3, "rows": []}', "schema 3"),
        ('{"schema": 1, "rows": []}', "evidence of schema 1 has no chain"),
        ("[]", "schema 'list'"),
        ('{"schema": 2, "rows": [1]}', "a row that is not an object"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "evidence.json").write_text(text)
    with pytest.raises(TableError, match=message):
        read_evidence(tmp_path / "evidence.json")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"check": "a", "metric": "b", "verdict": "maybe"}, "maybe"),
        ({"check": "a", "metric": "b", "extra": 1}, "unknown column"),
    ],
)
def test_rows_that_break_the_schema_are_refused_though_their_chain_holds(
    tmp_path: Path, row: dict[str, object], message: str
) -> None:
    chain = chain_of([row], list(row)).to_json()
    (tmp_path / "evidence.json").write_text(json.dumps({"schema": 2, "rows": [row], "chain": chain}))
    with pytest.raises(TableError, match=message):
        read_evidence(tmp_path / "evidence.json")


# Evidence edited by hand: the row is named.


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows[4].update(value=0.999), r"row 5 was edited after the audit: changed \(.*column value"),
        (lambda rows: rows[4].update(verdict="clear"), "row 5 .* column verdict: verdict is now 'clear'"),
        (lambda rows: rows.pop(6), "row 7 was edited after the audit: removed"),
        (lambda rows: rows.insert(2, dict(rows[0])), r"row 3 was edited after the audit: added"),
        (lambda rows: rows.append(rows.pop(2)), r"row \d+ was edited after the audit: moved .*: it was number 3"),
        (lambda rows: rows.clear(), r"row 1 was edited after the audit: removed: .* \(and \d+ more\)"),
    ],
)
def test_evidence_edited_by_hand_names_the_row(tmp_path: Path, clean: AuditInput, edit: Edit, message: str) -> None:
    path = tmp_path / "evidence.json"
    write_evidence(audit(clean).evidence, path)
    held = json.loads(path.read_text())
    edit(held["rows"])
    path.write_text(json.dumps(held))
    with pytest.raises(IntegrityError, match=message):
        read_evidence(path)


@pytest.mark.real_data
def test_real_readers_as_a_vendor(data: Path) -> None:
    """Scores of one reader of the VIPER study: the audit's AUC is the Mann-Whitney statistic of the readings."""
    from scipy.stats import mannwhitneyu

    rows = pd.read_csv(data / "viper" / "viperObs.csv")
    rows = rows[(rows["readerID"] == "reader01") & (rows["modalityID"] == "FFDM")].drop_duplicates("caseID")
    vendor = pd.DataFrame(
        {
            "subject": rows["caseID"].map(str),
            "target": "cancer",
            "value": rows["score"] / rows["score"].max(),
            "truth": rows["cancerStatus365"],
            "study_part": rows["subStudyLabel"],
        }
    )
    found = audit(vendor_input(vendor, settings=AuditSettings(n_replicates=300))).evidence
    auc = found[(found["check"] == "accuracy") & (found["metric"] == "auc")].iloc[0]
    sick = vendor["truth"] == 1
    area = mannwhitneyu(vendor["value"][sick], vendor["value"][~sick]).statistic / (sick.sum() * (~sick).sum())
    assert auc["value"] == pytest.approx(area)
    assert auc["low"] < auc["value"] < auc["high"]
    assert auc["n_subjects"] == len(vendor)


def measured(n: int = 120) -> pd.DataFrame:
    """Predicted and observed days of survival, and a Dice, of patients in two parts."""
    rng = np.random.default_rng(0)
    risk, censored = rng.normal(size=n), rng.uniform(50, 600, n)
    died = rng.exponential(np.exp(5 - 0.7 * risk))
    values = {
        ("death", "survival_days_predicted"): np.exp(5.3 - 0.7 * risk),
        ("death", "survival_days_observed"): np.minimum(died, censored),
        ("death", "survival_event"): (died <= censored).astype(float),
        ("liver", "dice"): np.clip(rng.normal(0.9, 0.04, n), 0, 1),
    }
    own = pd.DataFrame({"image": [f"p{k:03d}" for k in range(n)], "sex": ["F", "M", "M", "F"] * (n // 4)})
    own["split"] = ["calibration", "test"] * (n // 2)
    return pd.concat([own.assign(target=t, metric=m, value=v) for (t, m), v in values.items()])


def test_a_table_of_cases_is_audited_without_any_prediction(tmp_path: Path) -> None:
    measured().to_csv(tmp_path / "cases.csv", index=False)
    rows = audit(vendor_input(tmp_path / "cases.csv", settings=AuditSettings(n_replicates=100))).evidence
    survival = rows[(rows["item"] == "survival") & (rows["statistic"] == "test")].iloc[0]
    assert (survival["target"], survival["verdict"]) == ("death", "clear")
    dice = rows[(rows["metric"] == "dice") & (rows["statistic"] == "mean") & (rows["check"] == "accuracy")].iloc[0]
    assert dice["n_images"] == 60
    assert {"sex=F", "sex=M"} <= set(rows[rows["metric"] == "dice"]["group"])


def test_a_table_of_cases_with_something_wrong() -> None:
    assert "missing column(s) value" in refused(measured().drop(columns="value"), TableError)
    assert "960 rows repeat an entry" in refused(pd.concat([measured(), measured()]), TableError)
