"""Risks by a horizon: only training patients make them, the horizon is stated or said, what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.features.signature_tables import planted

from fiducial.errors import InputRefused, LabelError
from fiducial.features.signature.evaluate import figures, prediction_rows
from fiducial.features.signature.horizon import curve_rows, horizon_of, reference_risks, risks_of
from fiducial.features.signature.nested import cross_validate
from fiducial.features.signature.outcome import Outcome
from fiducial.features.signature.patients import patients_of
from fiducial.features.signature.settings import Asked, SignatureSettings
from fiducial.maths.kaplan_meier import risk_at
from fiducial.records.radiomics_signature import REFERENCE

QUICK = SignatureSettings(repeats=2, folds=4, inner_folds=2, n_pairs=20, strengths=(0.1, 1.0))
SURVIVAL = Asked(time="time", event="event", clinical=("age",))


def follow_up(n: int = 80):
    """Patients whose planted texture shortens the time to the event; follow-up ends for chance reasons."""
    features, outcomes = planted(n=n)
    own = features[features["feature"] == "planted"].set_index("subject").loc[outcomes["subject"], "value"]
    rng = np.random.default_rng(1)
    time, end = rng.exponential(300 * np.exp(-own.to_numpy())), rng.uniform(100, 700, n)
    return features, outcomes.assign(time=np.minimum(time, end) + 0.01, event=(time <= end).astype(int))


@pytest.fixture(scope="module")
def found():
    patients = patients_of(*follow_up(), SURVIVAL, QUICK)
    return patients, cross_validate(patients.numbers, patients.outcome, QUICK, workers=1)


def test_the_default_is_the_median_time_of_the_events():
    outcome = Outcome(np.array([True, True, False, True, True]), np.array([5.0, 1, 2, 9, 3]))
    assert horizon_of(outcome, SignatureSettings()) == 3
    assert horizon_of(outcome, SignatureSettings(horizon=6)) == 6


def test_a_risk_by_hand():
    # Breslow's hazard by 2 is 1/6 + 1/5 for predictors log 1, 2, 3; a patient of log 2 has twice that.
    train = np.log([1.0, 2, 3]), Outcome(np.ones(3, dtype=bool), np.array([1.0, 2, 3]))
    risks = risks_of(np.log([2.0]), train, 2)
    assert risks.shape == (20, 1)
    assert risks[-1, 0] == pytest.approx(1 - np.exp(-2 * (1 / 6 + 1 / 5)))
    # By half of the horizon the first event alone; before it, none.
    assert risks[9, 0] == pytest.approx(1 - np.exp(-2 / 6))
    assert risks[8, 0] == 0
    assert risks_of(np.array([800.0]), train, 2)[-1, 0] == 1
    # Nobody of these is followed to 5: the estimate stays as it is at the end.
    few = Outcome(np.array([True, False]), np.array([1.0, 2]))
    assert reference_risks(few, 5)[-1, 0] == 0.5


def test_without_features_a_model_is_close_to_kaplan_and_meier(found):
    patients, made = found
    outcome = patients.outcome
    by_fold = made.folds[0] == 2
    own = risk_at(outcome.times()[~by_fold], outcome.event[~by_fold], made.horizon).risk
    assert made.risk[REFERENCE][0][by_fold] == pytest.approx(own)
    nobody = risks_of(np.zeros(1), (np.zeros((~by_fold).sum()), outcome.of(np.flatnonzero(~by_fold))), made.horizon)
    assert nobody[-1, 0] == pytest.approx(own, abs=0.01)


def test_the_outcome_of_who_is_left_out_does_not_reach_his_risk():
    """Patients of one fold get other times: its risks stay as they are, those of the others do not."""
    patients = patients_of(*follow_up(), SURVIVAL, QUICK)
    numbers, outcome = patients.numbers, patients.outcome
    settings = replace(QUICK, repeats=1, horizon=100.0)
    before = cross_validate(numbers, outcome, settings)
    left = before.folds[0] == 1
    time = outcome.times().copy()
    time[left] = time[left][::-1] * 0.5 + 60
    after = cross_validate(numbers, Outcome(outcome.event, time), settings)
    for name, risk in before.risk.items():
        assert np.array_equal(risk[0][left], after.risk[name][0][left]), name
        assert not np.array_equal(risk[0][~left], after.risk[name][0][~left]), name


def test_figures_and_curves_of_a_planted_survival(found):
    patients, made = found
    rows = figures(patients, made, level=0.95).set_index(["model", "metric", "beside"])
    assert rows.loc[("radiomics", "auc_at_horizon", ""), "low"] > 0.5
    assert rows.loc[("volume", "auc_at_horizon", ""), "low"] < 0.5
    apart = rows.loc[("radiomics", "brier_at_horizon_difference", REFERENCE)]
    alone = rows.loc[(REFERENCE, "brier_at_horizon", ""), "value"]
    own = rows.loc[("radiomics", "brier_at_horizon", ""), "value"]
    assert apart["value"] == pytest.approx(own - alone)
    assert apart["high"] < 0
    whole = rows.loc[("radiomics", "brier_integrated", "")]
    assert whole["low"] < whole["value"] < rows.loc[(REFERENCE, "brier_integrated", ""), "value"]
    slope = rows.loc[("radiomics", "calibration_slope", "")]
    assert slope["low"] < 1 < slope["high"]
    ratio = rows.loc[("radiomics", "observed_to_expected", "")]
    assert ratio["low"] < 1 < ratio["high"]
    curves = curve_rows(patients.outcome, made, level=0.95).set_index(["model", "metric", "series"]).sort_index()
    groups = curves.loc[("radiomics", "calibration", "")]
    assert groups["n"].sum() == 80
    groups = groups.sort_values("x")
    assert groups["y"].iloc[-1] > groups["y"].iloc[0] + 0.3
    benefit, everybody = (
        curves.loc[("radiomics", "net_benefit", name)].set_index("x")["y"] for name in ("model", "all")
    )
    assert benefit[0.5] > max(0.0, everybody[0.5]) + 0.05
    for baseline in ("volume", "clinical"):
        assert benefit[0.5] > curves.loc[(baseline, "net_benefit", "model")].set_index("x").loc[0.5, "y"]
    said = prediction_rows(patients, made)
    mean = said[(said["model"] == "radiomics") & (said["repeat"] == 0)]
    assert mean["risk"].to_numpy() == pytest.approx(made.risk["radiomics"].mean(axis=0))


def test_a_class_has_no_horizon():
    patients = patients_of(*planted(n=40), Asked(target="spread"), QUICK)
    with pytest.raises(InputRefused, match=r"horizon 5\.0, and a class as the outcome"):
        cross_validate(patients.numbers, patients.outcome, replace(QUICK, horizon=5.0))
    assert prediction_rows(patients, cross_validate(patients.numbers, patients.outcome, QUICK))["risk"].isna().all()
    with pytest.raises(InputRefused, match="a class as the outcome"):
        patients.outcome.times()


def test_horizons_that_say_nothing_are_refused_by_name(found):
    patients, _ = found
    outcome = patients.outcome
    last, first = outcome.times().max(), outcome.times()[outcome.event].min()
    with pytest.raises(LabelError, match=r"horizon 9000 lies after the last follow-up") as refused:
        cross_validate(patients.numbers, outcome, replace(QUICK, horizon=9000.0))
    assert f"{last:g}" in str(refused.value)
    with pytest.raises(LabelError, match=r"no event by the horizon 0\.001") as refused:
        cross_validate(patients.numbers, outcome, replace(QUICK, horizon=0.001))
    assert f"at least {first:g}" in str(refused.value)
    nobody = Outcome(np.zeros(80, dtype=bool), outcome.times())
    with pytest.raises(LabelError, match="0 of 80 patients have the event"):
        cross_validate(patients.numbers, nobody, QUICK)
    with pytest.raises(InputRefused, match="horizon = -1"):
        SignatureSettings(horizon=-1)


def test_where_everybody_has_the_event_by_the_horizon_there_is_no_auc(found):
    patients, _ = found
    outcome = Outcome(np.ones(80, dtype=bool), patients.outcome.times())
    made = cross_validate(patients.numbers, outcome, replace(QUICK, repeats=1, horizon=float(outcome.times().max())))
    rows = figures(patients_with(patients, outcome), made, level=0.95).set_index(["model", "metric", "beside"])
    assert np.isnan(rows.loc[("radiomics", "auc_at_horizon", ""), "value"])
    assert rows.loc[("radiomics", "auc_at_horizon", ""), "reason"] == "one class is absent"
    assert np.isfinite(rows.loc[("radiomics", "brier_at_horizon", ""), "value"])


def patients_with(patients, outcome):
    return replace(patients, outcome=outcome)
