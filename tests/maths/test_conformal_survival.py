"""Lower bounds of survival under censoring: by hand, against lifelines, and the promise itself."""

import math

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.conformal_survival import EXACT, censoring_weights, survival_bound, under_follow_up


def test_type_one_censoring_by_hand():
    """Followed to day 100: nine of ten. Scores min(f, 100) - min(T, 100) with f = 100: 100 - T; the 9th smallest."""
    time = np.array([5, 10, 20, 30, 40, 50, 60, 70, 80, 3])
    event = np.ones(10)
    censoring = np.array([*[100] * 9, 50])
    bound = survival_bound(np.full(10, 100), time, event, cutoff_days=100, alpha=0.1, censoring_days=censoring)
    assert (bound.n_used, bound.offset_days, bound.guarantee) == (9, 95, EXACT)
    assert bound.lower([100, 400, 96, 20]).tolist() == [5, 5, 1, 0]


def test_too_few_followed_give_no_bound():
    bound = survival_bound([9] * 5, [9] * 5, [1] * 5, cutoff_days=9, alpha=0.1, censoring_days=[9] * 5)
    assert bound.offset_days == math.inf
    assert bound.lower([9.0]).tolist() == [0]


def test_the_bound_never_exceeds_the_cutoff():
    """A model that says 0 days although everybody lives on: the bound rises to the cutoff, not above."""
    bound = survival_bound([0] * 20, [50] * 20, [0] * 20, cutoff_days=50, alpha=0.1, censoring_days=[50] * 20)
    assert bound.lower([0.0, 80.0]).tolist() == [50, 50]


def test_weights_by_hand():
    """Censored at 1 and 3 of 1, 2, 3, 4: G(2-) = 3/4 and G(3.5) = 3/8."""
    assert under_follow_up([1, 2, 3, 4], [0, 1, 0, 1], [1, 2, 3, 3.5]).tolist() == [1, 0.75, 0.75, 0.375]
    assert censoring_weights([1, 2, 3, 4], [0, 1, 0, 1], 3.5) == pytest.approx([0, 4 / 3, 0, 8 / 3])
    assert censoring_weights([1, 2, 3], [1, 1, 1], 9).tolist() == [1, 1, 1]


def test_follow_up_equals_lifelines():
    from lifelines import KaplanMeierFitter

    rng = np.random.default_rng(0)
    time, event = rng.exponential(100, 200), rng.random(200) < 0.6
    days = np.linspace(0, 300, 40)
    peer = KaplanMeierFitter().fit(time, ~event).predict(days)
    assert under_follow_up(time, event, days) == pytest.approx(np.asarray(peer), abs=1e-12)


def patients(rng, n, *, cutoff=200.0):
    """Risk factor, time, event, censoring time: censoring by itself; the model knows the risk factor."""
    risk = rng.normal(size=n)
    died = rng.exponential(np.exp(5 - 0.7 * risk))
    censored = rng.uniform(50, 600, n)
    predicted = np.exp(5.3 - 0.7 * risk)
    return predicted, np.minimum(died, censored), died <= censored, censored, died, cutoff


@pytest.mark.parametrize("kind", ["type one", "right"])
def test_new_patients_live_to_their_bound(kind):
    """400 draws of 200 calibration and 200 test patients, whose true days of death are known here."""
    rng = np.random.default_rng(1)
    held = []
    for _ in range(400):
        predicted, time, event, censored, died, cutoff = patients(rng, 400)
        own, new = slice(0, 200), slice(200, None)
        known = {"censoring_days": censored[own]} if kind == "type one" else {}
        bound = survival_bound(predicted[own], time[own], event[own], cutoff_days=cutoff, alpha=0.1, **known)
        held.append((died[new] >= bound.lower(predicted[new])).mean())
    error = np.std(held) / math.sqrt(len(held))
    assert 0.9 - 3 * error < np.mean(held) < 0.92 + 3 * error


def test_censoring_taken_for_death_would_be_too_cautious():
    """The naive bound counts every end of follow-up as a death: it covers far more than was asked."""
    rng = np.random.default_rng(2)
    predicted, time, event, _, died, cutoff = patients(rng, 40_000)
    own, new = slice(0, 20_000), slice(20_000, None)
    naive = survival_bound(predicted[own], time[own], np.ones(20_000), cutoff_days=cutoff, alpha=0.3)
    right = survival_bound(predicted[own], time[own], event[own], cutoff_days=cutoff, alpha=0.3)
    held = [(died[new] >= bound.lower(predicted[new])).mean() for bound in (naive, right)]
    assert held[0] > 0.73
    assert held[1] == pytest.approx(0.7, abs=0.015)


def test_stated_chances_of_follow_up_mend_what_depends_on_the_patient():
    """Ill patients are followed longer: the followed ones die sooner. With the right weights the bound holds."""
    rng = np.random.default_rng(3)
    plain, weighted = [], []
    for _ in range(200):
        risk = rng.normal(size=800)
        died = rng.exponential(np.exp(5 - 0.7 * risk))
        chance = 1 / (1 + np.exp(1.5 * risk))  # the healthy are followed
        chance = np.clip(chance, 0.1, 1)
        censored = np.where(rng.random(800) < chance, 200.0, 20.0)
        predicted = np.full(800, 200.0)
        own, new = slice(0, 400), slice(400, None)
        given = (predicted[own], np.minimum(died, censored)[own], (died <= censored)[own])
        known = {"cutoff_days": 200, "alpha": 0.2, "censoring_days": censored[own]}
        for found, more in ((plain, {}), (weighted, {"followed": chance[own]})):
            bound = survival_bound(*given, **known, **more)
            found.append((died[new] >= bound.lower(predicted[new])).mean())
    assert np.mean(plain) < 0.77
    assert 0.79 < np.mean(weighted) < 0.83


def test_refusals():
    good = ([5.0], [5.0], [1])
    with pytest.raises(InputRefused, match="before follow-up ended"):
        survival_bound(*good, cutoff_days=9, censoring_days=[4.0])
    with pytest.raises(InputRefused, match="cutoff above 0"):
        survival_bound(*good, cutoff_days=0)
    with pytest.raises(InputRefused, match="times of 0 or more"):
        survival_bound([5.0], [-1.0], [1], cutoff_days=9)
    with pytest.raises(InputRefused, match="above 0, at most 1"):
        survival_bound(*good, cutoff_days=9, censoring_days=[9.0], followed=[0.0])
