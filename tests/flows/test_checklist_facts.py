"""What a run knows about itself fills its checklists; what no file says is left to a person."""

from __future__ import annotations

import json
import shutil

import pytest

from fiducial.audit.given import AuditSettings
from fiducial.errors import IntegrityError
from fiducial.flows import audit, keys, predict, sign, verify
from fiducial.phantom.vendor import vendor_table

QUICK = AuditSettings(n_replicates=100)


def items(folder, name="CLAIM 2024"):
    held = json.loads((folder / "checklists.json").read_text())["checklists"]
    (one,) = [one for one in held if one["name"] == name]
    return {item["number"]: item for item in one["items"]}


def test_a_run_fills_what_its_files_state(tiny_run):
    claim = items(tiny_run.run)
    assert claim["9"]["state"] == "filled"
    assert "mm, patches of" in claim["9"]["facts"]["preprocessing"]
    assert "by subject; patients: train 15" in claim["19"]["facts"]["split"]
    assert "python" in claim["23"]["facts"]["software"].lower()
    assert "steps of" in claim["25"]["facts"]["training"]
    assert claim["8"]["facts"]["ingest"].endswith("accepted")
    assert (claim["32"]["state"], claim["33"]["state"]) == ("filled", "person")
    assert "site: A" in claim["36"]["facts"]["characteristics"]
    assert claim["44"]["state"] == "person"


def test_predictions_on_another_cohort_are_an_external_test_and_on_the_same_are_not(tiny):
    predict(tiny.run, tiny.cohort, tiny.folder / "same", splits=("test",))
    audit(tiny.folder / "same", settings=QUICK)
    assert items(tiny.folder / "same")["32"]["state"] == "filled"
    shutil.copytree(tiny.cohort, tiny.folder / "other")
    predict(tiny.run, tiny.folder / "other", tiny.folder / "elsewhere")
    audit(tiny.folder / "elsewhere", settings=QUICK)
    claim = items(tiny.folder / "elsewhere")
    assert claim["32"]["state"] == "person"
    assert "audited on other; the model was made from cohort" in claim["33"]["facts"]["external_test"]
    assert claim["19"]["state"] == "person"
    assert claim["25"]["state"] == "filled"


def test_a_vendors_table_says_nothing_about_the_model(tmp_path):
    vendor_table(120, seed=1)[0].to_csv(tmp_path / "vendor.csv", index=False)
    audit(tmp_path / "vendor.csv", tmp_path / "audit", settings=QUICK)
    claim = items(tmp_path / "audit")
    for number in ("3", "9", "19", "22", "23", "25", "32", "33"):
        assert claim[number]["state"] == "person", number
    assert claim["37"]["state"] == "filled"


def test_a_plan_that_was_changed_is_refused(tiny):
    path = tiny.run / "plan.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(IntegrityError, match=r"plan\.json: the file changed"):
        audit(tiny.run, settings=QUICK)


def test_a_trained_run_is_signed_and_another_model_is_named(tiny):
    made = keys(tiny.folder / "keys")
    sign(tiny.run, made.private, name="Dr. Ada")
    assert verify(tiny.run, made.public).state == "proven"
    model = tiny.run / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    result = verify(tiny.run, made.public)
    assert result.state == "not_proven"
    assert [change.what for change in result.changes] == ["model.safetensors"]
