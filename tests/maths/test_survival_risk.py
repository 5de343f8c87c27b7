"""Risks by a horizon against follow-up: by hand, exponential survival, lifelines, laws, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.calibration import brier
from fiducial.maths.classification import auc
from fiducial.maths.cox import cumulative_hazard
from fiducial.maths.decision_curve import net_benefit_of
from fiducial.maths.intervals import auc_interval
from fiducial.maths.kaplan_meier import NOT_FOLLOWED, risk_interval
from fiducial.maths.pairs_in_folds import concordance_in_folds, pairs_at_horizon
from fiducial.maths.survival_risk import (
    brier_at,
    brier_difference,
    brier_terms,
    cloglog,
    integrated_brier,
    net_benefit_at,
    observed_to_expected,
    risk_groups,
    risk_slope,
)

AT = 0.7


def cohort(seed: int, n: int, *, censored: float = 1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exponential survival with hazard exp(x), and the true risk by `AT`; ``censored`` is the mean of C, 0 for none."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    time = rng.exponential(np.exp(-x)) + 1e-9
    end = rng.exponential(censored, n) + 1e-9 if censored else np.full(n, np.inf)
    return np.minimum(time, end), time <= end, -np.expm1(-AT * np.exp(x))


def auc_at(time, event, risk, horizon):
    """The AUC at a horizon of one fold, in which nothing was learned."""
    pairs = pairs_at_horizon(time, event, horizon)
    return concordance_in_folds(pairs, np.asarray(risk)[None], np.zeros((1, len(time)), int), learned=False)


def test_four_patients_by_hand():
    # Event at 1, censored at 2, event at 3, free at 5; horizon 3. G is 1 to 2, then 1 - 1/3.
    time, event, risk = [1, 2, 3, 5], [1, 0, 1, 0], [0.9, 0.5, 0.4, 0.2]
    expected = [0.01, 0.0, 1.5 * 0.36, 1.5 * 0.04]
    assert brier_terms(time, event, risk, 3).tolist() == pytest.approx(expected)
    assert brier_at(time, event, risk, 3).value == pytest.approx(sum(expected) / 4)
    # Kaplan-Meier by 3: 1 - 3/4 * 1/2; above 0.45 the first two are acted on, of whom one has the event of two there.
    assert observed_to_expected(time, event, risk, 3).value == pytest.approx((1 - 3 / 8) / 0.5)
    assert net_benefit_at([1, 3, 3, 5], [1, 0, 1, 0], risk, 3, threshold=0.45).value == pytest.approx(
        0.5 * (0.5 - 0.5 * 0.45 / 0.55)
    )


def test_baseline_by_hand():
    # Risk sets weigh 1 + 2 + 3, then 2 + 3; the last event lies after the time asked for.
    assert cumulative_hazard(np.log([1, 2, 3]), [1, 2, 3], [1, 1, 1], at=[2, 1]) == pytest.approx(
        [1 / 6 + 1 / 5, 1 / 6]
    )
    assert cumulative_hazard(np.log([1, 2, 3]), [1, 2, 3], [1, 1, 1], at=0.5) == 0
    # A tie after Breslow; large predictors do not overflow.
    assert cumulative_hazard([0, 0, 0], [1, 1, 2], [1, 1, 0], at=1) == pytest.approx(2 / 3)
    assert cumulative_hazard([800.0, 800.0], [1, 2], [1, 1], at=2)[0] < 1e-290


def test_baseline_as_lifelines():
    from lifelines import BreslowFlemingHarringtonFitter

    time, event, _ = cohort(4, 80)
    peer = BreslowFlemingHarringtonFitter().fit(time, event)
    found = 1 - np.exp(-cumulative_hazard(np.zeros(80), time, event, at=AT))[0]
    assert found == pytest.approx(1 - float(peer.predict(AT)))


def test_risks_of_a_cox_model_as_lifelines():
    """Breslow's baseline with predictors that are not 0."""
    from lifelines import CoxPHFitter

    time, event, risk = cohort(12, 120)
    x = cloglog(risk)
    peer = CoxPHFitter().fit(pd.DataFrame({"x": x, "t": time, "e": event}), "t", "e")
    linear = x * float(peer.params_["x"])
    # At an event: between events lifelines interpolates.
    at = float(time[event & (time <= AT)].max())
    hazard = cumulative_hazard(linear, time, event, at=at)
    assert hazard == cumulative_hazard(linear, time, event, at=AT)
    theirs = 1 - peer.predict_survival_function(pd.DataFrame({"x": x}), times=[at]).to_numpy()[0]
    assert -np.expm1(-hazard * np.exp(linear)) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.real_data
def test_a_real_cohort_five_years_on(data):
    """1,088 breast cancers: the risk by five years is lifelines'; its Brier score is that of knowing nothing else."""
    from lifelines import KaplanMeierFitter

    frame = pd.read_csv(data / "tcga_brca" / "brca.csv")
    frame = frame[frame["T"] > 0]
    time, event, five_years = frame["T"].to_numpy(float), frame["E"].to_numpy(int), 5 * 365.25
    found = risk_interval(time, event, five_years)
    assert found.value == pytest.approx(1 - KaplanMeierFitter().fit(time, event).predict(five_years))
    alone = brier_at(time, event, np.full(len(time), found.value), five_years)
    assert alone.value == pytest.approx(found.value * (1 - found.value), rel=0.01)
    assert observed_to_expected(time, event, np.full(len(time), found.value), five_years).value == pytest.approx(1)


def test_auc_by_hand():
    # Events at 1 and 3, free at 5 and 6, one censored at 2 before the horizon: three of four pairs in order.
    time, event, risk = [1, 2, 3, 5, 6], [1, 0, 1, 0, 1], [0.9, 0.1, 0.4, 0.5, 0.2]
    pairs = pairs_at_horizon(time, event, 3)
    assert (pairs.n_events, pairs.freedom) == (2, 1)
    # The event at 3 and the free weigh 4/3 each: the pair out of order has 16/9 of 2 * (4/3 + 16/9).
    assert auc_at(time, event, risk, 3).value == pytest.approx(1 - (16 / 9) / (2 * (4 / 3 + 16 / 9)))


def test_without_censoring_all_figures_are_those_of_a_class():
    time, event, risk = cohort(5, 200, censored=0)
    truth = time <= AT
    assert brier_at(time, event, risk, AT).value == pytest.approx(brier(truth, risk))
    ours, theirs = auc_at(time, event, risk, AT), auc_interval(truth, risk)
    assert ours.value == pytest.approx(auc(truth, risk))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    for threshold in (0.1, 0.4, 0.8):
        found = net_benefit_at(time, event, risk, AT, threshold=threshold)
        gain = net_benefit_of(truth, risk, threshold=threshold).columns[:, 0]
        assert found.value == pytest.approx(float(gain.mean()))
        assert found.high - found.low <= 2 * 1.96 * float(gain.std(ddof=1)) / np.sqrt(200) + 1e-9
    everybody = net_benefit_at(time, event, np.ones(200), AT, threshold=0.3)
    assert everybody.value == pytest.approx(truth.mean() - (~truth).mean() * 0.3 / 0.7)


def test_of_an_exponential_the_true_risks_are_right():
    """With the true risks: slope and ratio 1, observed as predicted, Brier score and benefit as if all were seen."""
    time, event, risk = cohort(6, 3000)
    assert risk_slope(time, event, risk).value == pytest.approx(1, abs=0.08)
    assert observed_to_expected(time, event, risk, AT).value == pytest.approx(1, abs=0.06)
    for group in risk_groups(time, event, risk, AT):
        assert group.observed.value == pytest.approx(group.mean_risk, abs=0.05)
        assert group.observed.low < group.mean_risk + 0.02
    assert brier_at(time, event, risk, AT).value == pytest.approx(float((risk * (1 - risk)).mean()), abs=0.01)
    called = risk >= 0.4
    expected = float((risk * called).mean() - ((1 - risk) * called).mean() * 0.4 / 0.6)
    assert net_benefit_at(time, event, risk, AT, threshold=0.4).value == pytest.approx(expected, abs=0.02)


def test_risks_too_far_apart_have_a_slope_below_1():
    time, event, risk = cohort(7, 3000)
    apart = -np.expm1(-np.exp(2 * cloglog(risk)))
    found = risk_slope(time, event, apart)
    assert found.value == pytest.approx(0.5, abs=0.04)
    assert found.high < 1


def test_slope_as_lifelines():
    from lifelines import CoxPHFitter

    time, event, risk = cohort(8, 150)
    frame = pd.DataFrame({"x": cloglog(risk), "t": time, "e": event})
    peer = CoxPHFitter().fit(frame, "t", "e", robust=True, fit_options={"precision": 1e-10})
    found = risk_slope(time, event, risk)
    assert found.value == pytest.approx(peer.params_["x"], abs=1e-6)
    error = float(peer.standard_errors_["x"]) * np.sqrt(150 / 149)
    assert (found.high - found.low) / 2 == pytest.approx(1.976 * error, rel=1e-3)


def test_intervals_hold_as_often_as_they_say():
    """Brier score, ratio, slope, AUC and net benefit of 60 patients, against their values in very many."""
    time, event, risk = cohort(9, 200_000, censored=0)
    truth = time <= AT
    gain = net_benefit_of(truth, risk, threshold=0.4).columns[:, 0]
    true = {
        "brier": float(((risk - truth) ** 2).mean()),
        "ratio": 1.0,
        "slope": 1.0,
        "auc": float(auc(truth, risk)),
        "benefit": float(gain.mean()),
    }
    hits = dict.fromkeys(true, 0)
    for seed in range(300):
        time, event, risk = cohort(1000 + seed, 60)
        found = {
            "brier": brier_at(time, event, risk, AT),
            "ratio": observed_to_expected(time, event, risk, AT),
            "slope": risk_slope(time, event, risk),
            "auc": auc_at(time, event, risk, AT),
            "benefit": net_benefit_at(time, event, risk, AT, threshold=0.4),
        }
        for name, interval in found.items():
            hits[name] += interval.low <= true[name] <= interval.high
    assert min(hits.values()) >= 0.9 * 300, hits
    assert max(hits.values()) <= 0.99 * 300, hits


def test_differences_of_the_brier_score():
    time, event, risk = cohort(10, 300)
    same = np.full(300, float(risk.mean()))
    found = brier_difference(time, event, (risk, same), AT)
    assert found.value == pytest.approx(brier_at(time, event, risk, AT).value - brier_at(time, event, same, AT).value)
    assert found.high < 0
    assert found.p < 0.01
    assert brier_difference(time, event, (risk, risk), AT).reason == "equal-values"


def test_the_integrated_score_by_hand():
    """An event at 1 and one free at 4: at 1 and 3 the scores are (0.25 + 0.04) / 2 and (0.09 + 0.16) / 2."""
    first, second = (0.5**2 + 0.2**2) / 2, (0.3**2 + 0.4**2) / 2
    found = integrated_brier([1, 4], [1, 0], [[0.5, 0.2], [0.7, 0.4]], [1, 3])
    assert found.value == pytest.approx((first / 2 + 2 * (first + second) / 2) / 3)
    with pytest.raises(InputRefused, match="times that rise"):
        integrated_brier([1, 4], [1, 0], [[0.5, 0.2], [0.7, 0.4]], [3, 1])


def test_the_integrated_score_of_true_risks():
    """Exponential survival: at each time the score of the true risks is the mean of risk (1 - risk)."""
    time, event, risk = cohort(13, 4000)
    grid = AT * np.arange(1, 21) / 20
    rate = -np.log1p(-risk) / AT
    risks = -np.expm1(-grid[:, None] * rate)
    expected = np.trapezoid(np.concatenate([[0.0], (risks * (1 - risks)).mean(axis=1)]), np.concatenate([[0.0], grid]))
    assert integrated_brier(time, event, risks, grid).value == pytest.approx(float(expected) / AT, abs=0.006)


def test_groups_keep_equal_risks_together():
    time, event, risk = cohort(11, 57)
    groups = risk_groups(time, event, risk, AT)
    assert [group.observed.n_subjects for group in groups] == [12, 11, 12, 11, 11]
    assert sum(group.n_events for group in groups) == int((event & (time <= AT)).sum())
    assert len(risk_groups(time, event, np.full(57, 0.4), AT)) == 1
    assert len(risk_groups(time[:9], event[:9], risk[:9], AT)) == 1
    assert risk_groups([], [], [], AT) == []


def test_where_there_is_no_answer():
    time, event = np.array([1.0, 2, 3, 4]), np.array([1, 1, 0, 0])
    assert risk_slope(time, event, [0.3] * 4).reason == "no-fit"
    assert risk_slope(time, [0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4]).reason == "one-class"
    # In perfect order, or the other way round, a steeper slope is always likelier.
    risk = np.linspace(0.9, 0.1, 60)
    for events in (np.arange(60) < 2, np.arange(60) < 20):
        assert risk_slope(np.arange(1, 61), events, risk).reason == "no-fit"
        assert risk_slope(np.arange(1, 61), events, risk[::-1]).reason == "no-fit"
    assert risk_slope(time, event, [0.9, 0.8, 0.2, 0.1]).reason == "no-fit"
    # Two events at one time cannot both be the first.
    assert risk_slope([1.0, 1, 3, 4], event, [0.9, 0.8, 0.2, 0.1]).reason == ""
    assert observed_to_expected(time, event, [0.0] * 4, 3).reason == "every predicted risk is 0"
    assert observed_to_expected([], [], [], 3).reason == "no-rows"
    alone = brier_at([5.0], [1], [0.3], 4)
    assert alone.value == pytest.approx(0.09)
    over_time = integrated_brier([5.0], [1], [[0.1], [0.3]], [2, 4])
    assert np.isnan([alone.low, alone.high, over_time.low, over_time.high]).all()
    assert auc_at(time, event, [0.1, 0.2, 0.3, 0.4], 0.5).reason == "one-class"
    # Of those who are acted on, the last was last seen before the horizon.
    acted = net_benefit_at(time, [1, 0, 0, 1], [0.9, 0.9, 0.1, 0.1], 3, threshold=0.5)
    assert np.isnan(acted.value)
    assert acted.reason == NOT_FOLLOWED
    nobody = net_benefit_at(time, event, [0.1] * 4, 3, threshold=0.5)
    assert (nobody.value, nobody.reason) == (0, "equal-values")


def test_what_is_refused():
    with pytest.raises(InputRefused, match="threshold 1"):
        net_benefit_at([1, 2], [1, 0], [0.5, 0.5], 1, threshold=1)
    with pytest.raises(InputRefused, match=r"1\.5"):
        brier_at([1, 2], [1, 0], [0.5, 1.5], 1)
    with pytest.raises(InputRefused, match="risks"):
        brier_at([1, 2], [1, 0], [0.5], 1)
    with pytest.raises(InputRefused, match="horizon -1"):
        pairs_at_horizon([1, 2], [1, 0], -1)
