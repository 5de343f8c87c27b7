"""What is planted is found, more often the larger the effect and the more the patients; nothing, where nothing is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fiducial.features.signature.evaluate import figures
from fiducial.features.signature.nested import cross_validate
from fiducial.features.signature.outcome import Outcome
from fiducial.features.signature.patients import Patients
from fiducial.features.signature.recipe import Numbers
from fiducial.features.signature.settings import SignatureSettings
from fiducial.phantom.feature_tables import draw_features

SETTINGS = SignatureSettings(repeats=2, strengths=(1.0,), l1_ratio=0.0)
N_COHORTS = 25


def found_in(n: int, auc: float, *, first: int = 5000) -> tuple[float, float]:
    """Shares of cohorts whose signature has skill, and whose signature holds a planted feature or what stands for it.

    Seeds are other ones than those of docs/reference/signature-power.md.
    """
    skill, held = [], []
    for seed in range(first, first + N_COHORTS):
        drawn = draw_features(n, 50, auc=auc, seed=seed)
        numbers = Numbers(drawn.features, 0, -1, np.ones(50, bool), np.zeros((n, 0)), np.zeros(0, bool), np.full(n, ""))
        patients = Patients((), numbers, Outcome(drawn.event), pd.DataFrame(), (), ())
        found = cross_validate(numbers, patients.outcome, SETTINGS)
        rows = figures(patients, found, level=0.95).set_index(["model", "metric", "beside"])
        skill.append(rows.loc[("radiomics", "auc", ""), "verdict"] == "skill")
        standing = found.final.kept.stands_for[drawn.planted]
        held.append(bool(set(standing.tolist()) & set(found.final.selected.tolist())))
    return float(np.mean(skill)), float(np.mean(held))


@pytest.mark.slow
def test_power_grows_with_effect_and_patients():
    weak, strong, few = found_in(400, 0.65), found_in(400, 0.85), found_in(50, 0.85)
    print({"n = 400, AUC 0.65": weak, "n = 400, AUC 0.85": strong, "n = 50, AUC 0.85": few})
    # In the reference page 0.41, 0.94 and 0.27 have skill, 0.53, 0.68 and 0.45 hold what was planted.
    assert strong[0] >= 0.7
    assert strong[1] >= 0.4
    assert weak[0] <= strong[0] - 0.2
    assert few[0] <= strong[0] - 0.3


@pytest.mark.slow
def test_nothing_planted_is_not_found():
    # Nominally 2.5 %: more than four of 25 happen less than once in a thousand times.
    assert found_in(200, 0.5)[0] <= 4 / N_COHORTS
