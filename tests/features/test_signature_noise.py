"""Of noise nothing is claimed more often than the level says: whole cross-validations of features that mean nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from fiducial.features.signature.evaluate import figures
from fiducial.features.signature.nested import cross_validate
from fiducial.features.signature.outcome import Outcome
from fiducial.features.signature.patients import Patients
from fiducial.features.signature.recipe import Numbers
from fiducial.features.signature.settings import SignatureSettings
from fiducial.maths.pairs_in_folds import concordance_in_folds

N_COHORTS = 200
N, N_EVENTS, N_FEATURES = 51, 19, 40
CHEAP = SignatureSettings(repeats=2, inner_folds=3, n_pairs=25, strengths=(0.1, 1.0))
MODELS = ("volume", "value", "clinical", "radiomics", "radiomics_all", "clinical_radiomics")


def noise(seed: int, *, correlated: bool) -> Patients:
    """Patients whose features, volume and clinical variables have nothing to do with the outcome."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, N_FEATURES))
    if correlated:
        x += rng.normal(size=(N, 8)) @ rng.normal(size=(8, N_FEATURES))
    x[:, 0] = np.exp(x[:, 0] / 2)
    numbers = Numbers(
        features=x,
        volume=0,
        value=1,
        usable=np.ones(N_FEATURES, dtype=bool),
        clinical=rng.normal(size=(N, 3)),
        indicator=np.zeros(3, dtype=bool),
        site=np.full(N, ""),
    )
    return Patients((), numbers, Outcome(np.arange(N) < N_EVENTS), pd.DataFrame(), (), ())


@pytest.mark.slow
@pytest.mark.parametrize("correlated", [False, True])
def test_skill_and_differences_are_not_claimed_of_noise(correlated):
    claims: dict[tuple[str, str], int] = {}
    values: dict[str, list[float]] = {name: [] for name in MODELS}
    uncorrected = 0
    for seed in range(N_COHORTS):
        patients = noise(seed, correlated=correlated)
        found = cross_validate(patients.numbers, patients.outcome, CHEAP)
        pairs, linear = patients.outcome.pairs(), found.linear["radiomics_all"]
        uncorrected += concordance_in_folds(pairs, linear, found.folds, learned=False).low > 0.5
        for row in figures(patients, found, level=0.95).to_dict("records"):
            if row["metric"] == "auc":
                values[row["model"]].append(row["value"])
            if row["verdict"] in ("skill", "better", "worse"):
                key = (row["model"], row["beside"] or "skill")
                claims[key] = claims.get(key, 0) + 1
    print({key: n / N_COHORTS for key, n in sorted(claims.items())})
    print({name: float(np.mean(own).round(3)) for name, own in values.items()})
    print(f"skill of radiomics_all without the correction: {uncorrected / N_COHORTS}")
    # Nominally 2.5 % on one side; the most that 200 cohorts may show by chance, for 17 claims at once.
    most = binom.ppf(1 - 0.05 / 17, N_COHORTS, 0.025)
    assert max(claims.values(), default=0) <= most, claims
    for own in values.values():
        assert abs(np.mean(own) - 0.5) < 4 * np.std(own) / np.sqrt(N_COHORTS) + 1e-9


@pytest.mark.slow
def test_nothing_is_claimed_of_noise_at_a_horizon():
    """Of 51 patients, some of them censored: AUC at the horizon, Brier score beside Kaplan-Meier alone, ratio."""
    claims: dict[tuple[str, str], int] = {}
    n_cohorts = 60
    for seed in range(n_cohorts):
        rng = np.random.default_rng(seed)
        patients = noise(seed, correlated=True)
        time, end = rng.exponential(1, N), rng.uniform(0.3, 2.5, N)
        outcome = Outcome(time <= end, np.minimum(time, end) + 1e-6)
        patients = replace(patients, outcome=outcome)
        found = cross_validate(patients.numbers, outcome, CHEAP)
        for row in figures(patients, found, level=0.95).to_dict("records"):
            claimed = {
                "c_index": row["low"] > 0.5,
                "auc_at_horizon": row["low"] > 0.5,
                "brier_at_horizon_difference": row["high"] < 0,
                "observed_to_expected": row["low"] > 1,
            }.get(row["metric"], False)
            key = (row["model"], row["metric"])
            claims[key] = claims.get(key, 0) + bool(claimed)
    print({key: n / n_cohorts for key, n in sorted(claims.items()) if n})
    most = binom.ppf(1 - 0.05 / 24, n_cohorts, 0.025)
    assert max(claims.values()) <= most, claims
