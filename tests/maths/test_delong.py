import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.errors import InputRefused
from fiducial.maths.classification import auc
from fiducial.maths.delong import delong, delong_difference, midranks, perfect_area_bounds


def from_counts(negative, positive):
    """Truth and score from counts at each level of an ordinal test."""
    levels = np.arange(1, len(negative) + 1)
    score = np.concatenate([np.repeat(levels, negative), np.repeat(levels, positive)])
    return np.repeat([0, 1], [sum(negative), sum(positive)]), score


def by_definition(truth, score, subject):
    """Obuchowski's estimator written out over all pairs."""
    truth, score = np.asarray(truth, bool), np.asarray(score, float)
    x, y = score[truth], score[~truth]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    area, v10, v01 = wins.mean(), wins.mean(axis=1), wins.mean(axis=0)
    names = np.unique(subject)
    a = np.array([(v10[subject[truth] == s] - area).sum() for s in names])
    b = np.array([(v01[subject[~truth] == s] - area).sum() for s in names])
    i10, i01, i = (len(np.unique(part)) for part in (subject[truth], subject[~truth], subject))
    m, n = len(x), len(y)
    return area, (
        i10 / ((i10 - 1) * m) * (a**2).sum() / m
        + i01 / ((i01 - 1) * n) * (b**2).sum() / n
        + 2 * i / (i - 1) * (a * b).sum() / (m * n)
    )


def random_rows(seed, n=60, n_subjects=None):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    subject = np.arange(n) if n_subjects is None else rng.integers(0, n_subjects, n)
    return truth, np.round(rng.normal(size=n) + truth, 1), subject


def test_midranks_countable_by_hand():
    assert midranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


def test_variance_countable_by_hand():
    # positives 3, 2 against negatives 1, 2.5: V10 = (1, 0.5), V01 = (1, 0.5), AUC 0.75
    found = delong([1, 1, 0, 0], [3, 2, 1, 2.5])
    assert found.auc == 0.75
    assert found.variance == pytest.approx(0.125 / 2 + 0.125 / 2)


def test_published_subarachnoid_haemorrhage():
    """WFNS grade against 6-month outcome, 72 good and 41 poor (Turck et al. 2010).

    AUC 0.8237 and the variance to all digits as the R package pROC publishes them for these data.
    """
    found = delong(*from_counts([37, 20, 3, 8, 4], [2, 12, 1, 8, 18]))
    assert found.auc == pytest.approx(0.8237, abs=5e-5)
    assert found.variance == pytest.approx(0.00146991470882363, rel=1e-12)


def test_published_ct_ratings():
    """109 CT images rated 1 to 5 (Hanley and McNeil, Radiology 1982): area 0.893, their own error 0.032."""
    found = delong(*from_counts([33, 6, 6, 11, 2], [3, 2, 2, 11, 33]))
    assert found.auc == pytest.approx(0.893, abs=5e-4)
    assert np.sqrt(found.variance) == pytest.approx(0.032, abs=2e-3)


@pytest.mark.parametrize(("seed", "n_subjects"), [(0, None), (1, 30), (2, 12), (3, 5)])
def test_against_the_definition(seed, n_subjects):
    truth, score, subject = random_rows(seed, n_subjects=n_subjects)
    found = delong(truth, score, subject=subject)
    assert (found.auc, found.variance) == pytest.approx(by_definition(truth, score, subject))


def test_variance_is_that_of_repeated_sampling():
    rng = np.random.default_rng(0)
    areas, variances = [], []
    for _ in range(400):
        effect = rng.normal(size=60)
        subject = np.repeat(np.arange(60), 3)
        truth = rng.random(180) < 0.4
        score = effect[subject] + rng.normal(size=180) + 1.2 * truth
        found = delong(truth, score, subject=subject)
        areas.append(found.auc)
        variances.append(found.variance)
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.15)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 40))
def test_laws(seed, n_subjects):
    truth, score, subject = random_rows(seed, n_subjects=n_subjects)
    if truth.sum() < 2 or (~truth).sum() < 2:
        return
    found = delong(truth, score, subject=subject)
    assert found.auc == pytest.approx(auc(truth, score))
    for other in (
        delong(truth, np.exp(score), subject=subject),
        delong(truth[::-1], score[::-1], subject=subject[::-1]),
        delong(truth, score, subject=[f"patient {s}" for s in subject]),
    ):
        assert (other.auc, other.variance) == pytest.approx((found.auc, found.variance), nan_ok=True)
    turned = delong(~truth, score, subject=subject)
    assert (turned.auc, turned.variance) == pytest.approx((1 - found.auc, found.variance), nan_ok=True)
    copies = delong(np.tile(truth, 2), np.tile(score, 2), subject=np.tile(subject, 2))
    assert copies.variance == pytest.approx(found.variance, nan_ok=True)  # copies of a patient say nothing new


def test_difference_of_a_score_with_itself_is_nothing():
    truth, score, subject = random_rows(4, n_subjects=20)
    same = delong_difference(truth, score, score, subject=subject)
    assert (same.auc, same.variance) == (0, 0)
    noise = np.random.default_rng(0).normal(size=60)
    found = delong_difference(truth, score, noise, subject=subject)
    assert found.auc == pytest.approx(auc(truth, score) - auc(truth, noise))
    swapped = delong_difference(truth, noise, score, subject=subject)
    assert (swapped.auc, swapped.variance) == pytest.approx((-found.auc, found.variance))


def test_absent_and_single_subjects():
    assert np.isnan(delong([1, 1], [1, 2]).auc)
    single = delong([1, 0, 0], [2, 1, 3])
    assert single.auc == 0.5
    assert np.isnan(single.variance)


@pytest.mark.parametrize(
    ("truth", "subject", "pairs"),
    [
        ([1, 1, 0, 0, 0], None, 2),
        ([1, 0, 1, 0], ["a", "a", "b", "b"], 1),  # two patients make one pair of different patients
        ([1, 1, 1, 0], ["a", "a", "a", "b"], 1),
        ([1, 0, 1, 0, 1, 0], ["a", "a", "b", "c", "d", "d"], 2),
    ],
)
def test_number_of_independent_pairs(truth, subject, pairs):
    assert delong(truth, np.arange(len(truth)), subject=subject).n_pairs == pairs


def test_bounds_of_a_perfect_area_by_hand():
    """One pair in order says AUC >= 0.025 at 95 %, two sqrt(0.025); 0 is the mirror image of 1."""
    assert perfect_area_bounds(1.0, 1, level=0.95) == pytest.approx((0.025, 1.0))
    assert perfect_area_bounds(1.0, 2, level=0.95) == pytest.approx((0.025**0.5, 1.0))
    assert perfect_area_bounds(0.0, 2, level=0.95) == pytest.approx((0.0, 1 - 0.025**0.5))
    assert perfect_area_bounds(1.0, 0, level=0.95) == perfect_area_bounds(1.0, 1, level=0.95)


def test_large_inputs_take_n_log_n():
    """All 8.4 thousand million pairs would not fit the memory: this only ends because they are never made."""
    rng = np.random.default_rng(0)
    truth, score = rng.random(200_000) < 0.3, rng.normal(size=200_000)
    assert delong(truth, score).auc == pytest.approx(0.5, abs=0.01)


def test_what_is_refused():
    with pytest.raises(InputRefused, match="2 subjects for 3 rows"):
        delong([0, 1, 1], [1, 2, 3], subject=["a", "b"])
