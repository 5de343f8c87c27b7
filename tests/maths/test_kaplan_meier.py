"""The risk by a horizon under censoring: by hand, lifelines, what the jackknife says, and what has no answer."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import InputRefused, LabelError
from fiducial.maths.kaplan_meier import NOT_FOLLOWED, risk_at, risk_interval


def cohort(seed: int, n: int = 120, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    time, censored = rng.exponential(10, n), rng.exponential(15, n)
    event, seen = time <= censored, np.minimum(time, censored)
    return (np.ceil(seen) if ties else seen + 1e-9), event


def test_five_patients_by_hand():
    # Event at 1 (of 5), censored at 2, event at 3 (of 3): 1 - 4/5 * 2/3.
    time, event = [1, 2, 3, 4, 5], [1, 0, 1, 0, 1]
    assert risk_at(time, event, 3).risk == pytest.approx(1 - 4 / 5 * 2 / 3)
    assert risk_at(time, event, 2.9).risk == pytest.approx(1 / 5)
    assert risk_at(time, event, 0.5).risk == 0
    assert (risk_at(time, event, 3).n_events, risk_at(time, event, 3).n_followed) == (2, 3)


def test_who_is_censored_at_an_event_is_still_there():
    assert risk_at([2, 2, 3], [1, 0, 0], 2).risk == pytest.approx(1 / 3)


def test_without_censoring_it_is_the_share_of_events():
    time, _ = cohort(1)
    found = risk_at(time, np.ones(len(time)), 7)
    assert found.risk == pytest.approx(float((time <= 7).mean()))
    assert found.influence == pytest.approx((time <= 7) - found.risk)


@pytest.mark.parametrize("ties", [False, True])
def test_as_lifelines(ties):
    from lifelines import KaplanMeierFitter

    time, event = cohort(2, ties=ties)
    peer = KaplanMeierFitter().fit(time, event)
    for horizon in (3.0, 8.0, 15.0):
        ours = risk_interval(time, event, horizon)
        bounds = 1 - peer.confidence_interval_[peer.confidence_interval_.index <= horizon].iloc[-1].to_numpy()
        assert ours.value == pytest.approx(1 - peer.predict(horizon))
        assert (ours.low, ours.high) == pytest.approx((bounds[1], bounds[0]))


@pytest.mark.parametrize("ties", [False, True])
def test_influence_is_the_limit_of_a_weight(ties):
    """A patient who counts a little more moves the risk by his influence; they sum to 0."""
    time, event = cohort(3, 60, ties=ties)
    found = risk_at(time, event, 8)
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)
    n, copies = len(time), 400
    for k in (0, 7, 31):
        rows = np.concatenate([np.repeat(np.arange(n), copies), [k]])
        moved = risk_at(time[rows], event[rows], 8).risk - found.risk
        assert moved * (n * copies + 1) == pytest.approx(found.influence[k], rel=0.02, abs=1e-3)


def test_intervals_of_an_exponential_hold_as_often_as_they_say():
    true, hits = 1 - np.exp(-0.8), 0
    for seed in range(400):
        time, event = cohort(seed, 50)
        found = risk_interval(time, event, 8)
        hits += found.low <= true <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_no_event_and_nothing_but_events_have_exact_bounds():
    none = risk_interval([5, 6, 7, 8], [0, 0, 1, 1], 6)
    assert (none.value, none.low, none.reason) == (0, 0, "zero-variance")
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 3))
    every = risk_interval([1, 2, 3], [1, 1, 1], 3)
    assert (every.value, every.high) == (1, 1)
    assert every.low == pytest.approx(0.025 ** (1 / 3))


def test_after_the_last_follow_up_there_is_no_answer():
    found = risk_interval([1, 2, 3], [1, 0, 0], 4)
    assert np.isnan(found.value)
    assert np.isnan(found.low)
    assert found.reason == NOT_FOLLOWED
    assert risk_interval([1, 2, 3], [1, 0, 1], 4).value == 1.0
    assert np.isnan(risk_interval([1, 2], [0, 0], 4).value)
    assert risk_interval([], [], 4).reason == "no-rows"


def test_what_is_refused():
    with pytest.raises(InputRefused, match="horizon 0"):
        risk_at([1.0], [1], 0)
    with pytest.raises(InputRefused, match="horizon inf"):
        risk_at([1.0], [1], np.inf)
    with pytest.raises(LabelError, match="time -1"):
        risk_at([-1.0], [1], 2)
