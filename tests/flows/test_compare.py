"""Comparing two audited folders: what is read, written and refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fiducial.audit.given import AuditSettings
from fiducial.errors import InputRefused, IntegrityError, RunMismatch
from fiducial.flows import audit, compare, keys, sign
from fiducial.phantom.vendor import vendor_table
from fiducial.records.runs import read_record

QUICK = AuditSettings(n_replicates=100)
STUDY = """
[study]
name = "exchange"
intended_use = "tests"
[data]
attributes = ["sex", "site"]
[task]
kind = "classification"
targets = ["malignant"]
[operating_point]
rule = "threshold"
value = 0.15
[[accept]]
metric = "sensitivity"
at_least = 0.75
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Audits of one vendor before and after an update that misses every second cancer of the women."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "study.toml").write_text(STUDY)
    table, _ = vendor_table(300, seed=1)
    missed = (table["sex"] == "F") & (table["truth"] == 1) & (np.arange(len(table)) % 2 == 0)
    tables = {"old": table, "new": table.assign(value=table["value"].where(~missed, 0.01))}
    tables["elsewhere"] = table.assign(image="x" + table["image"], subject="x" + table["subject"])
    for name, one in tables.items():
        one.to_csv(folder / f"{name}.csv", index=False)
        audit(folder / f"{name}.csv", folder / name, study=folder / "study.toml", settings=QUICK)
    return folder


def test_an_audit_keeps_what_it_rests_on(folder):
    kept = pd.read_parquet(folder / "old" / "audited.parquet")
    given = pd.read_csv(folder / "old.csv", dtype={"subject": str, "image": str})
    assert len(kept) == len(given)
    assert {"sex", "site"} <= set(kept.columns)
    assert "audited.parquet" in read_record(folder / "old")["files"]


def test_a_regression_in_a_group_is_found_and_stands_first(folder, tmp_path):
    result = compare(folder / "old", folder / "new", tmp_path / "out")
    assert any(text.startswith("sensitivity (malignant, sex=F)") for text in result.regressions)
    assert not any("sex=M" in text for text in result.regressions)
    held = json.loads((tmp_path / "out" / "compare.json").read_text())
    verdicts = [test["verdict"] for test in held["tests"]]
    assert verdicts == sorted(verdicts, key=["worse", "better", "no_difference", "not_possible"].index)
    assert held["tests"][0]["verdict"] == "worse"
    assert (held["before"]["label"], held["after"]["label"]) == ("old", "new")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert page.index("Worse on the same cases") < page.index('<section id="evidence">')
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


def test_the_other_way_round_it_is_an_improvement(folder, tmp_path):
    result = compare(folder / "new", folder / "old", tmp_path / "out")
    assert not result.regressions
    assert any("sex=F" in text for text in result.improvements)


def test_the_same_two_give_the_same_page(folder, tmp_path):
    for name in "ab":
        compare(folder / "old", folder / "new", tmp_path / name)
    for name in ("compare.html", "compare.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_who_signed_stands_beside_each(folder, tmp_path):
    shutil.copytree(folder / "old", tmp_path / "old")
    made = keys(tmp_path / "keys")
    sign(tmp_path / "old", made.private, name="Dr. Ada")
    compare(tmp_path / "old", folder / "new", tmp_path / "out")
    held = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (held["before"]["signed_by"], held["after"]["signed_by"]) == (["Dr. Ada"], [])


def test_two_folders_of_one_name_are_told_apart(folder, tmp_path):
    for name in ("june", "july"):
        shutil.copytree(folder / "old", tmp_path / name / "audit")
    result = compare(tmp_path / "june" / "audit", tmp_path / "july" / "audit", tmp_path / "out")
    assert (result.before, result.after) == ("june/audit", "july/audit")
    assert not result.regressions


def test_other_patients_are_refused(folder, tmp_path):
    with pytest.raises(RunMismatch, match="no image in common"):
        compare(folder / "old", folder / "elsewhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_changed_folders_are_refused(folder, tmp_path):
    shutil.copytree(folder / "new", tmp_path / "new")
    path = tmp_path / "new" / "audited.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=r"audited\.parquet: the file changed after it was sealed"):
        compare(folder / "old", tmp_path / "new", tmp_path / "out")
    evidence = tmp_path / "new" / "evidence.json"
    evidence.write_text(evidence.read_text().replace('"verdict": "clear"', '"verdict": "finding"', 1))
    with pytest.raises(IntegrityError, match="was edited after the audit"):
        compare(folder / "old", tmp_path / "new", tmp_path / "out")


def test_what_cannot_be_compared_is_refused(folder, tmp_path):
    with pytest.raises(InputRefused, match="both are one folder"):
        compare(folder / "old", folder / "old", tmp_path / "out")
    with pytest.raises(InputRefused, match="written into a run"):
        compare(folder / "old", folder / "new", folder / "new")
    with pytest.raises(InputRefused, match=r"no run\.json"):
        compare(folder / "old", tmp_path, tmp_path / "out")
