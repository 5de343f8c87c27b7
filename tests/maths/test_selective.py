"""Selective prediction: areas that can be counted, a brute-force definition, and the promise of the deferral rule."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import RiskArea, bootstrap_counts, clustered_bootstrap
from fiducial.maths.selective import aurc, choose_deferral, ideal_aurc, risk_coverage, upper_rate_bound


def test_the_curve_by_hand():
    found = risk_coverage([0, 0, 1, 0], [0.9, 0.8, 0.7, 0.6])
    assert found.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert found.risk == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert found.n_kept.tolist() == [1, 2, 3, 4]


def test_the_area_by_hand():
    assert aurc([0, 0, 1, 0], [4, 3, 2, 1]) == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)
    assert ideal_aurc(4, 1) == pytest.approx(1 / 16)
    assert ideal_aurc(4, 2) == pytest.approx((1 / 3 + 2 / 4) / 4)
    assert ideal_aurc(4, 4) == pytest.approx(1)
    assert ideal_aurc(4, 0) == 0


def test_cases_of_one_confidence_stay_together():
    """0.9 is kept with risk 0, then both of 0.5 at once with risk 1/3."""
    found = risk_coverage([0, 1, 0], [0.9, 0.5, 0.5])
    assert found.coverage == pytest.approx([1 / 3, 1])
    assert aurc([0, 1, 0], [0.9, 0.5, 0.5]) == pytest.approx((0 + 1 / 3 + 1 / 3) / 3)
    assert aurc([0, 1, 1, 0], [1, 1, 1, 1]) == 0.5


def test_a_perfect_order_has_no_excess():
    wrong = np.arange(30) >= 24
    area = RiskArea(wrong, -np.arange(30.0), excess=True)
    assert clustered_bootstrap({"it": area}, None, n_replicates=0).value("it") == pytest.approx(0, abs=1e-12)
    assert aurc(wrong, -np.arange(30.0)) == pytest.approx(ideal_aurc(30, 6))


def by_definition(wrong, confidence):
    return float(np.mean([wrong[confidence >= c].mean() for c in confidence]))


def test_replicates_are_the_area_of_the_drawn_rows():
    rng = np.random.default_rng(0)
    subject = rng.integers(0, 15, 60)
    wrong, confidence = rng.random(60) < 0.3, rng.integers(0, 20, 60) / 20
    areas = {"area": RiskArea(wrong, confidence), "excess": RiskArea(wrong, confidence, excess=True)}
    found = clustered_bootstrap(areas, subject, n_replicates=20, seed=3)
    assert found.value("area") == pytest.approx(by_definition(wrong, confidence))
    counts = bootstrap_counts(subject, 20, 3)
    names = np.unique(subject)
    for draw, times in enumerate(counts):
        rows = np.repeat(np.arange(60), times[np.searchsorted(names, subject)])
        area = by_definition(wrong[rows], confidence[rows])
        assert found.draws("area")[draw] == pytest.approx(area, rel=1e-5)
        least = ideal_aurc(len(rows), int(wrong[rows].sum()))
        assert found.draws("excess")[draw] == pytest.approx(area - least, abs=1e-5)


def test_areas_in_groups():
    rng = np.random.default_rng(1)
    wrong, confidence, first = rng.random(40) < 0.3, rng.random(40), np.arange(40) < 25
    groups = {"first": first, "nobody": np.zeros(40, dtype=bool)}
    found = clustered_bootstrap({"it": RiskArea(wrong, confidence)}, None, groups=groups, n_replicates=5)
    assert found.value("it", "first") == pytest.approx(by_definition(wrong[first], confidence[first]))
    assert math.isnan(found.value("it", "nobody"))


def test_idle_confidence_has_the_area_of_the_error_rate():
    rng = np.random.default_rng(2)
    assert aurc(rng.random(20_000) < 0.3, rng.random(20_000)) == pytest.approx(0.3, abs=0.02)


def test_the_upper_bound_is_clopper_and_pearsons():
    hits = np.arange(50) < 3
    assert upper_rate_bound(hits) == pytest.approx(beta.ppf(0.95, 4, 47))
    assert upper_rate_bound([0] * 20) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert upper_rate_bound([1, 1]) == 1
    assert upper_rate_bound([]) == 1


def test_the_rule_by_hand():
    """100 cases, the 50 most confident are right, the others wrong half of the time: half can be kept."""
    wrong = np.concatenate([np.zeros(50), np.tile([0, 1], 25)])
    rule = choose_deferral(wrong, -np.arange(100.0), largest_risk=0.15, shares=[1.0, 0.75, 0.5, 0.35])
    assert rule.kept == 0.5
    assert rule.confidence == -49
    assert rule.risk == 0
    assert rule.bound == pytest.approx(1 - 0.05 ** (1 / 50))


def test_the_first_share_that_fails_ends_the_search():
    """A quarter of the most confident twentieth is wrong: nothing is kept, although of all there are few errors."""
    wrong = np.arange(400) < 5
    assert choose_deferral(wrong, -np.arange(400.0), largest_risk=0.05, shares=[0.05, 1.0]).kept == 0
    assert choose_deferral(wrong, -np.arange(400.0), largest_risk=0.05, shares=[1.0]).kept == 1


def test_nothing_can_be_kept():
    rule = choose_deferral(np.ones(100), np.arange(100.0), largest_risk=0.1)
    assert (rule.confidence, rule.kept) == (math.inf, 0)
    assert math.isnan(rule.risk)


def test_no_confidence_is_split():
    """One half has confidence 1: a share of 0.25 would split it, so nothing is kept."""
    wrong = np.zeros(400)
    rule = choose_deferral(wrong, np.repeat([1.0, 0.5], 200), largest_risk=0.1, shares=[0.25])
    assert rule.kept == 0
    assert choose_deferral(wrong, np.repeat([1.0, 0.5], 200), largest_risk=0.1, shares=[0.75]).kept == 0.5


def promise_kept(rng, n, n_images):
    """Whether the kept cases of the population have the error that was promised; NaN where nothing is kept."""
    person = rng.normal(size=(n, 1))
    confidence = (person + 0.5 * rng.normal(size=(n, n_images))).reshape(-1)
    wrong = rng.random(n * n_images) < np.repeat(chance_of_error(person.reshape(-1)), n_images)
    rule = choose_deferral(wrong, confidence, largest_risk=0.15, subject=np.repeat(np.arange(n), n_images))
    if math.isinf(rule.confidence):
        return math.nan
    mean = np.linspace(-5, 5, 401)
    tail = 0.5 * np.vectorize(math.erfc)((rule.confidence - mean) / 0.5 / math.sqrt(2)) * np.exp(-(mean**2) / 2)
    return float((tail * chance_of_error(mean)).sum() / tail.sum()) <= 0.15


def chance_of_error(person):
    return 0.4 / (1 + np.exp(4 * person))


@pytest.mark.parametrize("n_images", [1, 3])
def test_the_rule_keeps_its_promise_on_new_patients(n_images):
    """Asked with a level of 95 % over draws."""
    rng = np.random.default_rng(5)
    kept = np.array([promise_kept(rng, 500, n_images) for _ in range(200)])
    assert np.isfinite(kept).mean() > 0.9
    assert np.nanmean(kept) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)


def test_a_larger_risk_defers_fewer():
    rng = np.random.default_rng(6)
    confidence = rng.random(500)
    wrong = rng.random(500) < 0.4 * (1 - confidence)
    kept = [choose_deferral(wrong, confidence, largest_risk=risk).kept for risk in (0.08, 0.12, 0.2, 0.4)]
    assert kept == sorted(kept)
    assert kept[0] < kept[-1] == 1


def test_refusals():
    with pytest.raises(InputRefused, match="2 rows of answers and 1 of confidences"):
        aurc([0, 1], [0.5])
    with pytest.raises(InputRefused, match="confidence nan in row 1"):
        risk_coverage([0], [math.nan])
    with pytest.raises(InputRefused, match="between 0 and 1"):
        choose_deferral([0], [0.5], largest_risk=0)
    with pytest.raises(InputRefused, match="5 errors among 4"):
        ideal_aurc(4, 5)
    assert math.isnan(aurc([], []))
