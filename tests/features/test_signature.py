"""Nothing of a patient who is left out is learned; what is planted is found; seeds decide and workers do not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.features.signature_tables import planted

from fiducial.errors import LabelError
from fiducial.features.signature.evaluate import figures, prediction_rows, signature_rows
from fiducial.features.signature.nested import cross_validate, require_enough
from fiducial.features.signature.outcome import Outcome, dealt, fit, lack_of_fit
from fiducial.features.signature.patients import patients_of
from fiducial.features.signature.recipe import Numbers, _applied, keep, learn, predicted
from fiducial.features.signature.settings import Asked, SignatureSettings
from fiducial.maths.cox import fit_cox
from fiducial.records.radiomics_signature import REFERENCE

QUICK = SignatureSettings(repeats=2, folds=4, inner_folds=2, n_pairs=20, strengths=(0.1, 1.0))
CLASS = Asked(target="spread", clinical=("age", "sex"))
SURVIVAL = Asked(time="time", event="event")


def numbers_of(features: np.ndarray, **change: object) -> Numbers:
    n, p = features.shape
    given = Numbers(features, 0, -1, np.ones(p, bool), np.zeros((n, 0)), np.zeros(0, bool), np.full(n, ""))
    return replace(given, **change)


@pytest.fixture(scope="module")
def found():
    patients = patients_of(*planted(), CLASS, QUICK)
    return patients, cross_validate(patients.numbers, patients.outcome, QUICK, workers=1)


def test_what_falls_away_by_hand():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 1))
    features = np.concatenate(
        [np.exp(base), base, np.ones((20, 1)), rng.normal(size=(20, 3)), 1e12 + np.zeros((20, 1))], axis=1
    )
    features[:5, 3] = np.nan
    features[:1, 4] = np.nan
    usable = np.array([True, True, True, True, True, False, True])
    kept = keep(numbers_of(features, usable=usable), SignatureSettings())
    assert kept.reason == ["", "redundant", "constant", "missing", "", "not_reproducible", "constant"]
    assert kept.stands_for.tolist() == [0, 0, -1, -1, 4, -1, -1]
    assert kept.scale.places.tolist() == [0, 4]
    scaled = kept.scale.of(features)
    assert np.abs(scaled).max() <= 3.0
    assert np.isfinite(scaled).all()


def test_volume_stands_for_what_is_volume():
    rng = np.random.default_rng(1)
    size = np.exp(rng.normal(size=40))
    features = np.stack([size**2, size, -size, rng.normal(size=40)], axis=1)
    kept = keep(numbers_of(features, volume=2), SignatureSettings())
    assert kept.scale.places.tolist() == [2, 3]


def test_combat_is_fitted_on_training_patients_alone():
    """Two sites, one shifted: harmonised features no longer tell them apart, and who is left out changes no fit."""
    rng = np.random.default_rng(3)
    site = np.where(np.arange(60) % 2, "north", "south")
    features = rng.normal(size=(60, 8)) + 5 * (site == "north")[:, None]
    numbers = numbers_of(features, site=site)
    outcome, settings = Outcome(rng.permutation(np.arange(60) < 25)), replace(QUICK, combat=True)
    train, test = np.arange(44), np.arange(44, 60)
    learned = learn(numbers.of(train), outcome.of(train), settings, seed=[0])
    own = site[train] == "north"
    before, after = (table.features for table in (numbers.of(train), _applied(learned.combat, numbers.of(train))))
    apart = [(table[own].mean(axis=0) - table[~own].mean(axis=0)) / table.std(axis=0) for table in (before, after)]
    assert np.abs(apart[0]).min() > 1.5
    assert np.abs(apart[1]).max() < 0.5
    other = features.copy()
    other[test] += 100
    again = learn(replace(numbers, features=other).of(train), outcome.of(train), settings, seed=[0])
    for name, values in predicted(learned, numbers.of(test)).items():
        assert np.array_equal(values, predicted(again, numbers.of(test))[name])
    strange = replace(numbers.of(test), site=np.full(16, "elsewhere"))
    assert np.isfinite(predicted(learned, strange)["radiomics_all"]).all()


def test_folds_are_dealt_evenly():
    event = np.arange(51) < 19
    folds = dealt(event, 5, [0, 1])
    assert sorted(np.bincount(folds)) == [10, 10, 10, 10, 11]
    assert sorted(np.bincount(folds[event])) == [3, 4, 4, 4, 4]
    assert not np.array_equal(folds, dealt(event, 5, [0, 2]))


def test_without_a_column_a_class_has_its_log_odds():
    line = fit(np.zeros((10, 0)), Outcome(np.arange(10) < 2), strength=1.0, l1_ratio=0.5)
    assert line.of(np.zeros((3, 0))).tolist() == pytest.approx([np.log(0.25)] * 3)


def test_lack_of_fit_by_hand():
    outcome = Outcome(np.array([True, False]))
    line = fit(np.zeros((2, 0)), outcome, strength=1.0, l1_ratio=0.5)
    rows = np.arange(2)
    assert lack_of_fit(line, np.zeros((2, 0)), outcome, train=rows, test=rows) == pytest.approx(2 * np.log(2))


def test_survival_is_fitted_by_cox():
    rng = np.random.default_rng(0)
    x, time, event = rng.normal(size=(40, 2)), rng.exponential(size=40) + 0.01, rng.random(40) < 0.6
    line = fit(x, Outcome(event, time), strength=0.25, l1_ratio=0.5)
    assert line.coefficients == pytest.approx(fit_cox(x, time, event, penalty=4.0).coefficients)


@pytest.mark.parametrize("change", ["outcome", "features"])
def test_who_is_left_out_teaches_nothing(change):
    """Whatever becomes of the test patients, models of the training patients are the same."""
    patients = patients_of(*planted(), CLASS, QUICK)
    numbers, outcome = patients.numbers, patients.outcome
    train, test = np.arange(40), np.arange(40, 50)
    other, other_outcome = numbers, outcome
    if change == "outcome":
        event = outcome.event.copy()
        event[test] = ~event[test]
        other_outcome = Outcome(event)
    else:
        features = numbers.features.copy()
        features[test] = np.random.default_rng(9).normal(size=features[test].shape) * 1e6
        other = replace(numbers, features=features)
    one = learn(numbers.of(train), outcome.of(train), QUICK, seed=[0])
    two = learn(other.of(train), other_outcome.of(train), QUICK, seed=[0])
    assert one.strengths == two.strengths
    for name, values in predicted(one, numbers.of(test)).items():
        assert np.array_equal(values, predicted(two, numbers.of(test))[name])


def test_labels_of_a_fold_do_not_reach_its_predictions():
    """Swapping the outcomes of two patients of one fold leaves their predictions as they are."""
    patients = patients_of(*planted(n=30), Asked(target="spread"), QUICK)
    settings = replace(QUICK, repeats=1, folds=2)
    folds = dealt(patients.outcome.event, 2, [settings.seed, 0])
    one, two = (np.flatnonzero((folds == 0) & (patients.outcome.event == value))[0] for value in (True, False))
    train = np.flatnonzero(folds != 0)
    swapped = patients.outcome.event.copy()
    swapped[[one, two]] = swapped[[two, one]]
    learned = [
        learn(patients.numbers.of(train), Outcome(event).of(train), settings, seed=[0, 0, 0])
        for event in (patients.outcome.event, swapped)
    ]
    given = cross_validate(patients.numbers, patients.outcome, settings, workers=1)
    for each in learned:
        values = predicted(each, patients.numbers.of(np.array([one, two])))
        assert values["radiomics"] == pytest.approx(given.linear["radiomics"][0][[one, two]])


def test_the_planted_feature_is_found_and_stands_first(found):
    patients, made = found
    rows = signature_rows(patients, made, level=0.95)
    first = rows.iloc[0]
    assert (first["feature"], first["chosen"], first["selected"]) == ("planted", 1, 1.0)
    assert 0 < first["low"] <= first["coefficient"] <= first["high"] + 1
    noise = rows[rows["feature"].str.startswith("noise")]
    assert noise["selected"].mean() < 0.1
    assert list(rows["feature"]).count("planted") == 1
    assert len(rows) == 23


def test_models_stand_side_by_side(found):
    patients, made = found
    rows = figures(patients, made, level=0.95).set_index(["model", "metric", "beside"])
    auc = rows.xs("auc", level="metric")["value"].droplevel("beside")
    assert list(auc.index) == ["volume", "value", "clinical", "radiomics", "radiomics_all", "clinical_radiomics"]
    assert auc["radiomics"] > 0.85
    assert auc["volume"] < 0.7
    apart = rows.loc[("radiomics", "auc_difference", "volume")]
    assert apart["value"] == pytest.approx(auc["radiomics"] - auc["volume"])
    assert apart["low"] > 0
    assert apart["verdict"] == "better"
    assert rows.loc[("radiomics", "auc", ""), "verdict"] == "skill"
    assert {("clinical_radiomics", "auc_difference", "clinical"), ("value", "auc_difference", "volume")} <= set(
        rows.index
    )
    assert (rows["n"] == 50).all()
    assert (rows["n_events"] == 20).all()


def made_up(scores: dict[str, np.ndarray], event: np.ndarray, volume: np.ndarray):
    """Patients and what they were given by models, in one fold."""
    n = len(event)
    outcome = Outcome(event, np.arange(1.0, n + 1))
    patients = SimpleNamespace(outcome=outcome, numbers=numbers_of(volume[:, None]))
    linear = {"volume": np.zeros((1, n)), **{name: score[None] for name, score in scores.items()}}
    folds = np.arange(n)[None] % 2
    risk = {name: np.full((1, n), 0.5) for name in (*linear, REFERENCE)}
    found = SimpleNamespace(linear=linear, folds=folds, selected=np.ones((1, 1)), risk=risk, horizon=n / 2)
    found.early = {name: np.full((20, n), 0.5) for name in risk}
    return figures(patients, found, level=0.95).set_index(["model", "metric", "beside"])


def test_a_single_value_orders_patients_as_it_is():
    event = np.ones(40, dtype=bool)
    rows = made_up({}, event, volume=-np.arange(40.0))
    assert rows.loc[("volume", "c_index", ""), "value"] == 1.0
    assert made_up({}, event, volume=np.arange(40.0)).loc[("volume", "c_index", ""), "value"] == 0.0


def test_better_than_a_worthless_baseline_is_not_better():
    """A baseline below chance makes any constant look better; the verdict asks for skill, the interval shows it."""
    event, order = np.ones(60, dtype=bool), np.random.default_rng(0).normal(scale=40, size=60)
    rows = made_up({"radiomics": np.zeros(60)}, event, volume=np.arange(60.0) + order)
    assert rows.loc[("radiomics", "c_index_difference", "volume"), "low"] > 0
    assert rows.loc[("radiomics", "c_index_difference", "volume"), "verdict"] == "no_difference_shown"
    good = made_up({"radiomics": -np.arange(60.0) + order / 4}, event, volume=np.arange(60.0) + order)
    assert good.loc[("radiomics", "c_index_difference", "volume"), "verdict"] == "better"
    worse = made_up({"radiomics": np.arange(60.0) + order}, event, volume=-np.arange(60.0) + order / 4)
    assert worse.loc[("radiomics", "c_index_difference", "volume"), "verdict"] == "worse"


def test_a_signature_that_is_mostly_empty_says_so():
    patients = patients_of(*planted(shift=0.0, seed=5), Asked(target="spread"), QUICK)
    made = cross_validate(patients.numbers, patients.outcome, QUICK, workers=1)
    share = (made.selected.sum(axis=1) == 0).mean()
    assert share > 0
    row = figures(patients, made, level=0.95).set_index(["model", "metric", "beside"]).loc[("radiomics", "auc", "")]
    assert row["reason"] == f"no feature was selected in {share:.0%} of training sets"
    assert row["verdict"] == "no_skill_shown"


def test_every_patient_is_left_out_once_in_each_repeat(found):
    patients, made = found
    rows = prediction_rows(patients, made)
    assert len(rows) == 6 * 3 * 50
    own = rows[(rows["model"] == "radiomics") & (rows["repeat"] > 0)]
    assert (own.groupby("subject")["repeat"].nunique() == 2).all()
    mean = rows[(rows["model"] == "radiomics") & (rows["repeat"] == 0)].set_index("subject")["value"]
    assert mean.to_dict() == pytest.approx(own.groupby("subject")["value"].mean().to_dict())
    assert rows["value"].between(0, 1).all()


def test_the_seed_decides_and_workers_do_not(found):
    patients, made = found
    again = cross_validate(patients.numbers, patients.outcome, QUICK, workers=2)
    other = cross_validate(patients.numbers, patients.outcome, replace(QUICK, seed=1), workers=1)
    for name, linear in made.linear.items():
        assert np.array_equal(linear, again.linear[name])
        assert not np.array_equal(linear, other.linear[name])
    assert np.array_equal(made.folds, again.folds)
    assert made.notes == again.notes


def test_survival_stands_side_by_side():
    frame, outcomes = planted(n=60, seed=2)
    planted_values = frame[frame["feature"] == "planted"].set_index("subject")["value"]
    rng = np.random.default_rng(0)
    outcomes["time"] = rng.exponential(100 * np.exp(-1.5 * outcomes["subject"].map(planted_values))) + 0.1
    outcomes["event"] = (rng.random(60) < 0.7).astype(int)
    patients = patients_of(frame, outcomes, SURVIVAL, QUICK)
    made = cross_validate(patients.numbers, patients.outcome, QUICK, workers=1)
    rows = figures(patients, made, level=0.95).set_index(["model", "metric", "beside"])
    assert rows.loc[("radiomics", "c_index", ""), "value"] > 0.7
    assert rows.loc[("radiomics", "c_index_difference", "volume"), "low"] > 0
    assert ("value", "c_index_of_value", "") in rows.index
    assert signature_rows(patients, made, level=0.95).iloc[0]["coefficient"] > 0
    assert prediction_rows(patients, made)["time"].notna().all()


@pytest.mark.parametrize(
    ("event", "time", "folds", "message"),
    [
        (np.zeros(20), None, 5, "one class only: 0 of 20 patients have the event"),
        (np.ones(20), None, 5, "one class only: 20 of 20"),
        (np.arange(20) < 6, None, 5, "5 folds for 20 patients, 6 of them with the event"),
        (np.arange(40) < 20, None, 20, "20 folds for 40 patients, 20 of them"),
        (np.arange(10) < 4, None, 2, "10 patients: inner folds would learn from 4"),
        (np.arange(20) < 3, np.ones(20), 2, "2 folds for 20 patients, 3 of them with the event"),
    ],
)
def test_too_few_are_refused(event, time, folds, message):
    with pytest.raises(LabelError, match=message):
        require_enough(Outcome(np.asarray(event, dtype=bool), time), SignatureSettings(folds=folds))


def test_the_refusal_says_how_many_folds_would_do():
    with pytest.raises(LabelError) as refused:
        require_enough(Outcome(np.arange(20) < 6), SignatureSettings(folds=5))
    assert refused.value.action == "use --folds 3"
