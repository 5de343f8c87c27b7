"""`fiducial signature` of a survival: its horizon from a file, the risk that can be computed by hand, and the page."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.features.test_signature_horizon import follow_up

from fiducial.errors import InputRefused, LabelError
from fiducial.flows import (
    Asked,
    SignatureSettings,
    SignatureTables,
    features_report,
    load_signature_settings,
    signature,
    verify,
)
from fiducial.records.radiomics import FEATURES
from fiducial.records.radiomics_signature import SIGNATURE_CURVES, SIGNATURE_MODELS, SIGNATURE_PREDICTIONS
from fiducial.records.tables import read_table, write_table

ASKED = Asked(time="time", event="event", clinical=("age", "sex"))
SAID = "repeats = 1\nfolds = 3\ninner_folds = 2\nn_pairs = 10\nstrengths = [1.0]\nhorizon = 120\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    features, outcomes = follow_up()
    write_table(features, folder / "features.parquet", FEATURES)
    outcomes.to_csv(folder / "outcomes.csv", index=False)
    (folder / "signature.toml").write_text(SAID)
    return folder


def tables(folder):
    return SignatureTables(folder / "features.parquet", folder / "outcomes.csv")


@pytest.fixture(scope="module")
def made(folder):
    settings = load_signature_settings(folder / "signature.toml")
    return signature(tables(folder), folder / "out", asked=ASKED, settings=settings, workers=1)


def test_a_file_states_settings_and_the_command_line_goes_before_it(folder):
    found = load_signature_settings(folder / "signature.toml", over={"folds": 4, "seed": None})
    assert (found.folds, found.horizon, found.strengths, found.seed) == (4, 120.0, (1.0,), 0)
    assert load_signature_settings() == SignatureSettings()


def test_the_folder_holds_risks_and_curves(made):
    assert made.horizon == 120
    predictions = read_table(made.out / "predictions.parquet", SIGNATURE_PREDICTIONS)
    assert predictions["risk"].between(0, 1).all()
    curves = read_table(made.out / "curves.parquet", SIGNATURE_CURVES)
    models = read_table(made.out / "models.parquet", SIGNATURE_MODELS)
    assert set(curves["model"]) == {"volume", "value", "clinical", "radiomics", "radiomics_all", "clinical_radiomics"}
    assert set(models["model"]) - set(curves["model"]) == {"kaplan_meier"}
    choices = json.loads((made.out / "choices.json").read_text())
    assert choices["horizon"] == {"at": 120.0, "said": "as stated"}
    assert verify(made.out).changes == ()


def test_the_risk_of_a_patient_can_be_computed_by_hand(made):
    """On average the risks of all patients come close to how many have the event."""
    model = json.loads((made.out / "model.json").read_text())
    features, outcomes = follow_up()
    wide = features.pivot_table(index="subject", columns="feature", values="value")
    linear = np.full(len(wide), model["intercept"])
    for one in model["features"]:
        scaled = (wide[one["feature"]].to_numpy() - one["centre"]) / one["spread"]
        linear = linear + one["coefficient"] * np.clip(scaled, -model["clip"], model["clip"])
    risk = 1 - np.exp(-model["risk"]["cumulative_hazard"] * np.exp(linear))
    assert model["risk"]["horizon"] == 120
    known = (outcomes["event"] == 1) & (outcomes["time"] <= 120)
    gone = (outcomes["event"] == 0) & (outcomes["time"] < 120)
    assert risk.mean() == pytest.approx(known[~gone].mean(), abs=0.06)


def test_the_page_shows_calibration_and_decision_curves(folder, made):
    page = features_report(folder / "features.parquet", folder / "page.html", signature=made.out)
    text = page.page.read_text(encoding="utf-8")
    assert 'id="calibration"' in text
    assert 'id="decisions"' in text
    assert "by 120 in the unit of the times (as stated)" in text
    assert "Kaplan–Meier alone" in text
    assert "AUC at the horizon" in text
    for words in ("Volume alone", "Clinical alone", "Radiomics signature"):
        assert f"Decision curve: {words}" in text
    # RQS 10 and 14: a figure of calibration, and a decision curve.
    assert re.search(r"net benefit over thresholds of .*radiomics.*, by 120", text)
    assert re.search(r"slope of radiomics -?\d", text)


def test_curves_that_were_changed_are_not_shown(folder, made):
    path = made.out / "curves.parquet"
    kept = path.read_bytes()
    frame = pd.read_parquet(path)
    frame.assign(y=frame["y"] + 0.1).to_parquet(path)
    with pytest.raises(InputRefused, match=r"curves\.parquet"):
        features_report(folder / "features.parquet", folder / "other.html", signature=made.out)
    path.write_bytes(kept)


def test_a_class_leaves_no_curves_behind(folder, made, tmp_path):
    again = shutil.copytree(made.out, tmp_path / "out")
    settings = load_signature_settings(folder / "signature.toml")
    with pytest.raises(InputRefused, match="a class as the outcome"):
        signature(tables(folder), again, asked=Asked(target="spread"), settings=settings, workers=1)
    assert (again / "curves.parquet").is_file()
    found = signature(
        tables(folder), again, asked=Asked(target="spread"), settings=replace(settings, horizon=None), workers=1
    )
    assert found.horizon is None
    assert not (again / "curves.parquet").exists()


def test_the_command_says_its_horizon(folder, tmp_path, capsys):
    from fiducial.cli.main import run

    words = [
        str(folder / "features.parquet"),
        "--outcomes",
        str(folder / "outcomes.csv"),
        "--out",
        str(tmp_path / "out"),
    ]
    words += ["--time", "time", "--event", "event", "--config", str(folder / "signature.toml"), "--workers", "1", "-q"]
    assert run(["signature", *words]) == 0
    said = capsys.readouterr().out
    assert "By 120, in the unit of the times:" in said
    assert said.count("volume alone") >= 2
    assert run(["signature", *words, "--horizon", "99999"]) == 2
    assert "lies after the last follow-up" in capsys.readouterr().err


def test_without_a_horizon_the_default_is_said(folder, tmp_path):
    settings = load_signature_settings(folder / "signature.toml", over={"horizon": None})
    found = signature(
        tables(folder), tmp_path / "out", asked=ASKED, settings=replace(settings, horizon=None), workers=1
    )
    choices = json.loads((found.out / "choices.json").read_text())
    assert choices["horizon"]["said"] == "the median time of the events, since none was stated"
    outcomes = pd.read_csv(folder / "outcomes.csv")
    own = np.sort(outcomes.loc[outcomes["event"] == 1, "time"])
    assert choices["horizon"]["at"] == found.horizon == own[(len(own) - 1) // 2]


def test_settings_that_are_none(folder, tmp_path):
    path = tmp_path / "other.toml"
    for text, said in (
        ("horizn = 5", "horizn: no such setting"),
        ("folds = 1", r"folds = 1"),
        ("horizon = 'soon'", "horizon"),
        ("horizon = -3", r"horizon = -3"),
        ("folds = ", "no TOML"),
    ):
        path.write_text(text)
        with pytest.raises(InputRefused, match=said) as refused:
            load_signature_settings(path)
        assert str(path) in str(refused.value)
    with pytest.raises(InputRefused, match="no such file"):
        load_signature_settings(tmp_path / "none.toml")
    settings = load_signature_settings(folder / "signature.toml", over={"horizon": 0.001})
    with pytest.raises(LabelError, match="no event by the horizon"):
        signature(tables(folder), tmp_path / "out", asked=ASKED, settings=settings, workers=1)
