"""`fiducial signature`: the folder that it writes, each model audited, and the same again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.features.signature_tables import planted

from fiducial.errors import InputRefused, TableError
from fiducial.flows import Asked, SignatureSettings, SignatureTables, signature, verify
from fiducial.records.radiomics import FEATURES, STABILITY
from fiducial.records.radiomics_signature import SIGNATURE, SIGNATURE_MODELS, SIGNATURE_PREDICTIONS
from fiducial.records.tables import read_table, table, write_table

QUICK = SignatureSettings(repeats=1, folds=3, inner_folds=2, n_pairs=10, strengths=(1.0,))
ASKED = Asked(target="spread")


def files(folder, **change):
    """Features and outcomes as files."""
    features, outcomes = planted()
    write_table(features, folder / "features.parquet", FEATURES)
    outcomes.assign(**change).to_csv(folder / "outcomes.csv", index=False)
    return SignatureTables(folder / "features.parquet", folder / "outcomes.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signature")
    return signature(files(folder), folder / "out", asked=ASKED, settings=QUICK, workers=1)


def test_the_tables_are_as_their_schemas_say(made):
    models = read_table(made.out / "models.parquet", SIGNATURE_MODELS)
    assert {"auc", "auc_difference", "auc_pooled", "brier", "calibration_slope"} <= set(models["metric"])
    assert set(models["model"]) == {"volume", "value", "radiomics", "radiomics_all"}
    predictions = read_table(made.out / "predictions.parquet", SIGNATURE_PREDICTIONS)
    assert predictions["subject"].nunique() == 50
    chosen = read_table(made.out / "signature.parquet", SIGNATURE)
    assert chosen.iloc[0]["feature"] == "planted"
    assert made.chosen[0] == "glcm.planted"


def test_every_choice_is_written_down(made):
    choices = json.loads((made.out / "choices.json").read_text())
    assert choices["settings"]["n_pairs"] == 10
    assert choices["n_events"] == 20
    assert len(choices["training_sets"]) == 3
    assert choices["volume"] == "morphology.volume_mesh"
    assert len(choices["tables"]["features"]["sha256"]) == 64
    assert "Shah and Samworth 2013" in choices["bound"]


def test_the_model_of_all_patients_can_be_computed_by_hand(made):
    model = json.loads((made.out / "model.json").read_text())
    features, outcomes = planted()
    wide = features.pivot_table(index="subject", columns="feature", values="value")
    linear = np.full(50, model["intercept"])
    for one in model["features"]:
        scaled = (wide[one["feature"]].to_numpy() - one["centre"]) / one["spread"]
        linear = linear + one["coefficient"] * np.clip(scaled, -model["clip"], model["clip"])
    truth = outcomes.set_index("subject").loc[wide.index, "spread"].to_numpy()
    assert linear[truth == 1].mean() > linear[truth == 0].mean() + 1
    assert model["gives"] == "log odds"


def test_each_model_is_audited(made):
    assert [page.parent.name for page in made.reports] == ["volume", "value", "radiomics", "radiomics_all"]
    evidence = json.loads((made.out / "audit" / "radiomics" / "evidence.json").read_text())["rows"]
    found = {
        row["metric"]: row["value"] for row in evidence if row["statistic"] == "value" and row["value"] is not None
    }
    models = read_table(made.out / "models.parquet", SIGNATURE_MODELS).set_index(["model", "metric", "beside"])
    assert found["auc"] == pytest.approx(models.loc[("radiomics", "auc_pooled", ""), "value"])
    assert found["calibration_slope"] == pytest.approx(models.loc[("radiomics", "calibration_slope", ""), "value"])
    assert "net_benefit" in found
    assert "Decision" in (made.out / "audit" / "radiomics" / "report.html").read_text()


def test_the_folder_is_sealed(made):
    assert verify(made.out).changes == ()


def test_survival_has_no_audit(tmp_path):
    asked = Asked(time="time", event="event", clinical=("age", "sex"))
    found = signature(files(tmp_path), tmp_path / "out", asked=asked, settings=QUICK, workers=1)
    assert found.reports == ()
    discrimination = {"c_index", "c_index_difference", "c_index_of_value", "auc_at_horizon"}
    assert {figure.metric for figure in found.figures} == discrimination
    assert not (tmp_path / "out" / "audit").exists()
    again = signature(files(tmp_path), tmp_path / "out", asked=asked, settings=QUICK, workers=1)
    assert again.figures == found.figures


def test_what_does_not_repeat_falls_away(tmp_path):
    given = files(tmp_path)
    keys = pd.read_parquet(given.features)[["family", "feature"]].drop_duplicates()
    rows = keys.assign(icc_1_1_low=np.where(keys["feature"] == "planted", 0.2, 0.9)).to_dict("records")
    (tmp_path / "repeats").mkdir()
    write_table(table(rows, STABILITY), tmp_path / "repeats" / "stability.parquet", STABILITY)
    given = replace(given, stability=tmp_path / "repeats")
    asked = Asked(time="time", event="event")
    found = signature(given, tmp_path / "out", asked=asked, settings=QUICK, workers=1)
    assert "glcm.planted" not in found.chosen
    chosen = read_table(tmp_path / "out" / "signature.parquet", SIGNATURE).set_index("feature")
    assert chosen.loc["planted", "reason"] == "not_reproducible"
    assert (
        json.loads((tmp_path / "out" / "choices.json").read_text())["tables"]["stability"]["file"]
        == "stability.parquet"
    )


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    tables = files(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"schema": 1, "files": {}}')
    with pytest.raises(InputRefused, match="this folder holds a run or an audit"):
        signature(tables, tmp_path / "run", asked=ASKED, settings=QUICK)
    with pytest.raises(InputRefused, match="a file, where a folder"):
        signature(tables, tmp_path / "outcomes.csv", asked=ASKED, settings=QUICK)


def test_tables_that_are_none(tmp_path):
    tables = files(tmp_path)
    with pytest.raises(TableError, match="no such file"):
        signature(SignatureTables(tables.features, tmp_path / "none.csv"), tmp_path / "out", asked=ASKED)
    (tmp_path / "broken.parquet").write_text("no table")
    with pytest.raises(TableError, match="not a readable table"):
        signature(SignatureTables(tables.features, tmp_path / "broken.parquet"), tmp_path / "out", asked=ASKED)
    with pytest.raises(TableError, match="missing column"):
        signature(SignatureTables(tables.outcomes, tables.outcomes), tmp_path / "out", asked=ASKED)


def test_the_command_prints_models_side_by_side(tmp_path, capsys):
    from fiducial.cli.main import run

    tables = files(tmp_path)
    words = [str(tables.features), "--outcomes", str(tables.outcomes), "--out", str(tmp_path / "out"), "-q"]
    code = run(["signature", *words, "--time", "time", "--event", "event", "--repeats", "1", "--folds", "2"])
    said = capsys.readouterr().out
    assert code == 0
    assert "50 patients" in said
    assert "volume alone" in said
    assert "radiomics: the signature over volume alone:" in said
    code = run(["signature", *words, "--target", "spread", "--time", "time"])
    assert code == 2
    assert "target 'spread', time 'time' named" in capsys.readouterr().err


def test_outcomes_may_be_parquet(tmp_path):
    tables = files(tmp_path)
    pd.read_csv(tables.outcomes).to_parquet(tmp_path / "outcomes.parquet")
    asked = Asked(time="time", event="event")
    given = SignatureTables(tables.features, tmp_path / "outcomes.parquet")
    assert signature(given, tmp_path / "out", asked=asked, settings=QUICK, workers=1).n_subjects == 50
