"""Agreement of raters: tables that can be counted, published examples, a peer, and the consensus of masks."""

from __future__ import annotations

import numpy as np
import pytest

from fiducial.errors import GeometryError, InputRefused
from fiducial.maths.agreement import (
    NOT_RATED,
    cohen_kappa_of,
    counts_of,
    disagreements,
    fleiss_kappa_of,
    krippendorff_alpha_of,
    pairwise_dice,
    staple,
    value_of,
)
from fiducial.maths.bootstrap import clustered_bootstrap

FLEISS_1971 = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
"""Ten subjects and fourteen raters; the published kappa is 0.210."""
KRIPPENDORFF = [
    "* * * * * 3 4 1 2 1 1 3 3 * 3",
    "1 * 2 1 3 3 4 3 * * * * * * *",
    "* * 2 1 3 4 4 * 2 1 1 3 3 * 4",
]
"""Three coders and fifteen units; the published alphas are 0.691 (nominal) and 0.811 (interval)."""


def test_kappa_of_a_table_that_can_be_counted() -> None:
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert value_of(cohen_kappa_of(first, second, n_categories=2)) == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_who_differs_by_hand() -> None:
    ratings = [[0, 0, 1], [1, 1, 1], [0, 1, NOT_RATED]]
    own, others = disagreements(ratings)
    np.testing.assert_allclose(own[0], [0.5, 0.5, 1.0])
    np.testing.assert_allclose(others[0], [1.0, 1.0, 0.0])
    np.testing.assert_allclose(own[1], 0)
    assert np.isnan(own[2]).all()  # two raters: which of them is off cannot be told
    assert np.isnan(others[2]).all()


def test_published_examples() -> None:
    assert value_of(fleiss_kappa_of(FLEISS_1971)) == pytest.approx(0.210, abs=5e-4)
    units = [[NOT_RATED if v == "*" else int(v) - 1 for v in line.split()] for line in KRIPPENDORFF]
    counts = counts_of(np.transpose(units), n_categories=4)
    assert value_of(krippendorff_alpha_of(counts)) == pytest.approx(0.691, abs=5e-4)
    assert value_of(krippendorff_alpha_of(counts, weighting="quadratic")) == pytest.approx(0.811, abs=5e-4)


@pytest.mark.parametrize("weighting", ["none", "linear", "quadratic"])
def test_kappas_equal_scikit_learn(weighting: str) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    first = rng.integers(0, 4, 300)
    second = np.clip(first + rng.integers(-1, 2, 300), 0, 3)
    peer = metrics.cohen_kappa_score(first, second, weights=None if weighting == "none" else weighting)
    ours = value_of(cohen_kappa_of(first, second, n_categories=4, weighting=weighting))  # type: ignore[arg-type]
    assert ours == pytest.approx(peer, abs=1e-12)


def test_fleiss_is_close_to_alpha_and_both_are_1_where_all_agree() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    ratings = np.where(rng.random((400, 5)) < 0.8, truth[:, None], rng.integers(0, 3, (400, 5)))
    counts = counts_of(ratings, n_categories=3)
    assert value_of(fleiss_kappa_of(counts)) == pytest.approx(value_of(krippendorff_alpha_of(counts)), abs=2e-3)
    same = counts_of(np.repeat(truth[:, None], 4, axis=1), n_categories=3)
    assert value_of(fleiss_kappa_of(same)) == pytest.approx(1)
    assert value_of(krippendorff_alpha_of(same)) == pytest.approx(1)


def test_alike_raters_differ_from_each_other_as_often_as_the_others_do() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((4000, 1)) < 0.3
    own, others = disagreements((truth ^ (rng.random((4000, 5)) < 0.1)).astype(int))
    np.testing.assert_allclose((own - others).mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose((own - others).sum(axis=1), 0, atol=1e-12)  # what one gains the others lose


def test_kappas_without_spread_are_nan_and_bootstrap_follows_the_value() -> None:
    assert np.isnan(value_of(cohen_kappa_of([1, 1], [1, 1], n_categories=2)))
    assert np.isnan(value_of(fleiss_kappa_of([[0, 3], [0, 3]])))
    assert np.isnan(value_of(krippendorff_alpha_of([[0, 3], [0, 3]])))
    found = clustered_bootstrap({"kappa": fleiss_kappa_of(FLEISS_1971)}, None, n_replicates=50)
    assert found.value("kappa") == pytest.approx(0.210, abs=5e-4)


def test_images_with_one_rater_do_not_count() -> None:
    alone = [*FLEISS_1971, [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    for statistic in (fleiss_kappa_of, krippendorff_alpha_of):
        assert value_of(statistic(alone)) == pytest.approx(value_of(statistic(FLEISS_1971)))


def ball(radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(20)] * 3, indexing="ij")) - 9.5
    return np.linalg.norm(grid, axis=0) < radius


def test_staple_follows_the_many_and_finds_who_draws_too_little() -> None:
    found = staple([ball(7), ball(7), ball(7), ball(5)])
    assert (found.mask == ball(7)).all()
    assert found.sensitivity[:3] == pytest.approx([1, 1, 1], abs=1e-6)
    assert found.sensitivity[3] == pytest.approx(ball(5).sum() / ball(7).sum(), abs=1e-6)
    assert found.specificity == pytest.approx([1, 1, 1, 1], abs=1e-6)
    assert staple([ball(7)[10], ball(7)[10]]).mask.shape == (20, 20)


def test_dice_of_pairs_by_hand() -> None:
    masks = [np.array([[1, 1, 0, 0]]), np.array([[0, 1, 1, 0]]), np.zeros((1, 4)), np.zeros((1, 4))]
    dice = pairwise_dice(masks)
    assert dice[0, 1] == 0.5
    assert dice[0, 2] == 0
    assert dice[2, 3] == 1  # nobody drew anything: they agree
    assert (np.diag(dice) == 1).all()


def test_nobody_drew_anything() -> None:
    found = staple([np.zeros((4, 4)), np.zeros((4, 4))])
    assert not found.mask.any()
    assert np.isnan(found.sensitivity).all()
    assert found.specificity == (1.0, 1.0)


def test_what_is_refused() -> None:
    with pytest.raises(InputRefused, match="categories 0 to 5"):
        cohen_kappa_of([0, 5], [0, 1], n_categories=2)
    with pytest.raises(InputRefused, match="2 answers of one rater and 1"):
        cohen_kappa_of([0, 1], [0], n_categories=2)
    with pytest.raises(InputRefused, match="1 mask"):
        staple([np.ones((2, 2))])
    with pytest.raises(InputRefused, match="1 axes"):
        staple([np.ones(3), np.ones(3)])
    with pytest.raises(GeometryError, match="one shape for all raters"):
        pairwise_dice([np.ones((2, 2)), np.ones((3, 2))])
