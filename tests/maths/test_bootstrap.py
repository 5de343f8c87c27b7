import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import (
    Quantile,
    Sums,
    auc_of,
    binary_statistics,
    bootstrap_counts,
    brier_of,
    clustered_bootstrap,
    ece_of,
    mean_of,
    rate_of,
)
from fiducial.maths.calibration import bin_edges, brier, ece
from fiducial.maths.classification import auc, confusion


def rows(n=400, n_subjects=150, seed=0):
    rng = np.random.default_rng(seed)
    subject = rng.integers(0, n_subjects, n)
    truth = rng.random(n) < 0.4
    score = np.round(1 / (1 + np.exp(-(rng.normal(size=n) + truth + 0.5 * rng.normal(size=n_subjects)[subject]))), 2)
    return subject, truth, score


def test_a_statistic_on_the_data_is_the_plain_measure():
    subject, truth, score = rows()
    group = subject % 3 == 0
    edges = bin_edges(score)
    every = binary_statistics(truth, score, threshold=0.6, edges=edges)
    found = clustered_bootstrap(every, subject, groups={"all": np.ones(400, bool), "third": group}, n_replicates=2)
    for name, use in (("all", slice(None)), ("third", group)):
        t, s = truth[use], score[use]
        decision = confusion(t, s, threshold=0.6)
        expected = {"auc": auc(t, s), "brier": brier(t, s), "ece": ece(t, s)}
        for metric in every:
            value = expected[metric] if metric in expected else getattr(decision, metric)
            assert found.value(metric, name) == pytest.approx(value), metric
    assert found.n_images.tolist() == [400, int(group.sum())]
    assert found.n_subjects.tolist() == [len(set(subject)), len(set(subject[group]))]


def test_each_replicate_is_the_measure_on_the_drawn_patients():
    subject, truth, score = rows(120, 40)
    group = score > 0.4
    statistics = {
        "auc": auc_of(truth, score),
        "mean": mean_of(score),
        "ece": ece_of(truth, score, edges=bin_edges(score)),
        "median": Quantile(score),
    }
    found = clustered_bootstrap(statistics, subject, groups={"g": group}, n_replicates=25, seed=5)
    _, codes = np.unique(subject, return_inverse=True)
    for i, count in enumerate(bootstrap_counts(subject, 25, 5)):
        drawn = np.repeat(np.arange(120), count[codes] * group)
        t, s = truth[drawn], score[drawn]
        expected = [auc(t, s), s.mean(), ece(t, s), np.quantile(s, 0.5, method="inverted_cdf")]
        assert found.replicates[i, :, 0] == pytest.approx(expected, rel=1e-5)


def test_counts_are_multinomial():
    counts = bootstrap_counts(np.repeat(np.arange(50), 3), 4000, 1)
    assert counts.shape == (4000, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.02)


def test_error_of_a_mean_has_a_closed_form():
    """Clusters of equal size: the bootstrap's variance is that of the clusters' means, over k."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=80)
    values = np.repeat(means, 4) + np.tile([-1.0, 1.0, -2.0, 2.0], 80)
    found = clustered_bootstrap({"m": mean_of(values)}, np.repeat(np.arange(80), 4), n_replicates=20_000)
    assert found.draws("m").std() == pytest.approx(means.std() / np.sqrt(80), rel=0.03)


def test_patients_are_drawn_and_not_rows():
    values = np.repeat(np.random.default_rng(0).normal(size=40), 25)
    by_patient = clustered_bootstrap({"m": mean_of(values)}, np.repeat(np.arange(40), 25)).draws("m").std()
    by_row = clustered_bootstrap({"m": mean_of(values)}, None).draws("m").std()
    assert by_patient == pytest.approx(5 * by_row, rel=0.1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_laws(seed):
    subject, truth, score = rows(60, 25, seed)
    every = {"auc": auc_of(truth, score), "brier": brier_of(truth, score), "rate": rate_of(truth)}
    found = clustered_bootstrap(every, subject, n_replicates=30, seed=seed)
    again = clustered_bootstrap(every, subject, n_replicates=30, seed=seed)
    assert np.array_equal(found.replicates, again.replicates, equal_nan=True)
    order = np.random.default_rng(seed).permutation(60)
    moved = {"auc": auc_of(truth[order], score[order]), "brier": brier_of(truth[order], score[order])}
    mixed = clustered_bootstrap(moved, subject[order], n_replicates=30, seed=seed)
    assert mixed.replicates == pytest.approx(found.replicates[:, :2], rel=1e-5, nan_ok=True)
    stretched = clustered_bootstrap({"auc": auc_of(truth, 5 * score - 1)}, subject, n_replicates=30, seed=seed)
    assert stretched.replicates[:, 0] == pytest.approx(found.replicates[:, 0], nan_ok=True)


def test_replicates_do_not_depend_on_the_block_size(monkeypatch):
    subject, truth, score = rows(60, 25)
    every = {"auc": auc_of(truth, score), "mean": mean_of(score)}
    whole = clustered_bootstrap(every, subject, n_replicates=40).replicates
    monkeypatch.setattr("fiducial.maths.bootstrap.BLOCK_CELLS", 75)
    assert clustered_bootstrap(every, subject, n_replicates=40).replicates == pytest.approx(whole, rel=1e-6)


def test_groups_share_the_draws():
    """A difference of two copies of one group is 0 in each replicate."""
    subject, truth, score = rows()
    mask = score > 0.5
    found = clustered_bootstrap({"auc": auc_of(truth, score)}, subject, groups={"a": mask, "b": mask}, n_replicates=50)
    assert np.array_equal(found.draws("auc", "a"), found.draws("auc", "b"))


def test_what_cannot_be_computed_is_nan():
    found = clustered_bootstrap(
        {
            "auc": auc_of([1, 1, 0], [0.1, 0.2, 0.3]),
            "ppv": rate_of([1, 0, 1], among=[0, 0, 0]),
            "median": Quantile(np.ones(3)),
        },
        None,
        groups={"positive": [True, True, False], "nobody": [False] * 3},
        n_replicates=10,
    )
    assert np.isnan(found.values[0]).all()
    assert np.isnan(found.replicates[:, 1]).all()
    assert np.isnan(found.draws("median", "nobody")).all()
    assert found.n_subjects.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clustered_bootstrap({}, None), "over no rows"),
        (lambda: clustered_bootstrap({"a": mean_of([1, 2]), "b": mean_of([1])}, None), "'a': 2, 'b': 1"),
        (lambda: clustered_bootstrap({"a": mean_of([1, 2])}, [1]), "1 subjects for 2 rows"),
        (lambda: clustered_bootstrap({"a": mean_of([1, 2])}, None, groups={"g": [True]}), "group 'g' over 1 rows"),
        (lambda: mean_of([1, np.nan]), "value nan in row 2"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputRefused, match=message):
        call()


def test_a_statistic_of_one_s_own():
    values = np.arange(1.0, 6.0)
    columns = np.stack([values, values**2, np.ones(5)], axis=1)
    variance = Sums(columns, lambda s: s[..., 1] / s[..., 2] - (s[..., 0] / s[..., 2]) ** 2)
    assert clustered_bootstrap({"variance": variance}, None, n_replicates=5).value("variance") == pytest.approx(2)
