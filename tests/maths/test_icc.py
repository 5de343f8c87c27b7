"""Intraclass correlations by hand, from Shrout and Fleiss, against pingouin, by laws, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiducial.errors import InputRefused
from fiducial.maths.icc import intraclass_correlations

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Four judges and six targets, Psychol Bull 86 (1979) 420-428, table 2."""
WRITTEN = [[(7 * i + 3 * j) % 11 + i for j in range(3)] for i in range(8)]


def forms(values, **given):
    table = intraclass_correlations(values, **given)
    return [(f.value[0], f.low[0], f.high[0]) for f in (table.one_way, table.agreement, table.consistency)]


def drawn(rng, *, n=40, k=3, between=1.0, repeat=0.0, error=1.0, n_features=1):
    """Values whose correlations are between / (between + repeat + error), and between / (between + error)."""
    region = rng.normal(0, np.sqrt(between), (n, 1, n_features))
    shared = rng.normal(0, np.sqrt(repeat), (1, k, n_features)) if repeat else 0
    return region + shared + rng.normal(0, np.sqrt(error), (n, k, n_features))


# By hand.


def test_two_regions_twice():
    """1 3 and 5 7: B = 16, W = 2, J = 4, E = 0."""
    found = [value for value, _, _ in forms([[1, 3], [5, 7]])]
    assert found == pytest.approx([(16 - 2) / (16 + 2), 16 / (16 + 2 * 4 / 2), 1.0])


def test_repeats_without_a_difference_are_one():
    assert forms([[1, 1, 1], [2, 2, 2], [5, 5, 5]]) == [(1, 1, 1)] * 3


def test_regions_that_differ_only_by_their_repeats_have_the_smallest_value():
    (one_way, *_), (_, _, _), _ = forms([[1, 2, 3], [3, 1, 2], [2, 3, 1]])
    assert one_way == pytest.approx(-1 / 2)


# Published.


def test_shrout_and_fleiss():
    found = [value for value, _, _ in forms(SHROUT_FLEISS)]
    assert np.round(found, 2).tolist() == [0.17, 0.29, 0.71]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (SHROUT_FLEISS, [(0.165742, -0.13, 0.72), (0.289764, 0.02, 0.76), (0.714841, 0.34, 0.95)]),
        (WRITTEN, [(0.142857, -0.22, 0.66), (0.114130, -0.29, 0.66), (0.103704, -0.25, 0.63)]),
    ],
)
def test_pingouin_gives_the_same(values, expected):
    """Version 0.7.0, ICC(1,1), ICC(A,1) and ICC(C,1), whose intervals it rounds to two digits."""
    for found, wanted in zip(forms(values), expected, strict=True):
        assert found[0] == pytest.approx(wanted[0], abs=1e-6)
        assert np.round(found[1:], 2).tolist() == list(wanted[1:])


# Known truth.


def test_many_regions_come_near_the_truth():
    table = intraclass_correlations(
        drawn(np.random.default_rng(0), n=4000, k=30, between=3.0, repeat=0.5, error=1.0, n_features=20)
    )
    assert table.one_way.value.mean() == pytest.approx(3 / 4.5, abs=0.02)
    assert table.agreement.value.mean() == pytest.approx(3 / 4.5, abs=0.02)
    assert table.consistency.value == pytest.approx(np.full(20, 3 / 4), abs=0.02)


def share_held(rng, *, n, k, between, repeat, n_features):
    """How often each form's 95 % interval holds the truth."""
    table = intraclass_correlations(drawn(rng, n=n, k=k, between=between, repeat=repeat, n_features=n_features))
    whole, kept = between / (between + repeat + 1), between / (between + 1)
    pairs = [(table.one_way, whole), (table.agreement, whole), (table.consistency, kept)]
    return [float(((f.low <= truth) & (truth <= f.high)).mean()) for f, truth in pairs]


def test_intervals_hold_the_truth_as_often_as_they_say():
    one_way, _, consistency = share_held(np.random.default_rng(0), n=20, k=3, between=4.0, repeat=0.0, n_features=4000)
    assert one_way == pytest.approx(0.95, abs=0.011)
    assert consistency == pytest.approx(0.95, abs=0.011)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 50])
@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("between", [0.25, 1.0, 10.0])
def test_coverage_of_one_way_and_consistency(n, k, between):
    """Exact for normal values: 95 % within the error of 40,000 draws, whatever n, k and the truth."""
    one_way, _, consistency = share_held(
        np.random.default_rng(n * k), n=n, k=k, between=between, repeat=0.0, n_features=40_000
    )
    assert one_way == pytest.approx(0.95, abs=0.0044)
    assert consistency == pytest.approx(0.95, abs=0.0044)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("k", [3, 6])
@pytest.mark.parametrize("repeat", [0.1, 0.3])
def test_coverage_of_agreement_with_repeats_that_differ(n, k, repeat):
    """Approximate: it holds the truth at least as often as 93 % while repeats differ by less than the residual."""
    found = share_held(np.random.default_rng(n + k), n=n, k=k, between=4.0, repeat=repeat, n_features=40_000)
    assert 0.86 < found[0] < 0.96
    assert found[1] > 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("k", "one_way", "agreement"), [(3, 0.67, 0.87), (6, 0.76, 0.915)])
def test_where_repeats_share_a_shift_as_large_as_the_residual_intervals_are_too_narrow(k, one_way, agreement):
    """The reference says so: three or six repeats tell little about how repeats differ, however many regions there are.

    ICC(1,1) takes the shared shift for one of each region's own.
    """
    found = share_held(np.random.default_rng(k), n=50, k=k, between=4.0, repeat=1.0, n_features=40_000)
    assert found[:2] == pytest.approx([one_way, agreement], abs=0.012)
    assert found[2] == pytest.approx(0.95, abs=0.0044)


# Laws.


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(2, 5))
def test_ends_enclose_the_value_and_units_and_order_do_not_matter(seed, n, k):
    rng = np.random.default_rng(seed)
    values = drawn(rng, n=n, k=k)[..., 0]
    found = np.array(forms(values))
    assert (found[:, 1] <= found[:, 0] + 1e-9).all()
    assert (found[:, 0] <= found[:, 2] + 1e-9).all()
    assert (found <= 1).all()
    turned = values[rng.permutation(n)][:, rng.permutation(k)]
    assert np.array(forms(-1e6 * turned + 3e7)) == pytest.approx(found, abs=1e-6)


def test_a_repeat_that_is_shifted_counts_against_agreement_alone():
    values = drawn(np.random.default_rng(1))[..., 0]
    shifted = values + np.array([0, 5, 0])
    (_, agreement, consistency), (_, less, same) = forms(values), forms(shifted)
    assert same == pytest.approx(consistency)
    assert less[0] < agreement[0] - 0.1


def test_a_wider_level_gives_wider_intervals():
    values = drawn(np.random.default_rng(1))[..., 0]
    for narrow, wide in zip(forms(values, level=0.8), forms(values, level=0.99), strict=True):
        assert wide[1] < narrow[1] < narrow[2] < wide[2]


def test_features_side_by_side_are_features_alone():
    values = drawn(np.random.default_rng(2), n_features=6)
    values[3, 1, 2] = np.nan
    table = intraclass_correlations(values)
    for i in range(6):
        alone = intraclass_correlations(values[..., i])
        assert alone.agreement.low[0] == pytest.approx(table.agreement.low[i])
        assert alone.n_regions[0] == table.n_regions[i]


# Without an answer.


def test_a_region_that_lacks_a_repeat_does_not_count():
    values = np.array(SHROUT_FLEISS, float)
    holed = np.concatenate([values, [[5, np.nan, 3, 1]], [[5, np.inf, 3, 1]]])
    table = intraclass_correlations(holed)
    assert table.n_regions.tolist() == [6]
    assert table.one_way.value[0] == pytest.approx(0.165742, abs=1e-6)


def test_reasons():
    values = np.zeros((4, 3, 3))
    values[..., 0] = 0.1 + 0.2  # one number that no sum holds exactly
    values[..., 1] = np.nan
    values[2, :, 1] = [1, 2, 3]
    values[..., 2] = np.arange(12).reshape(4, 3)
    table = intraclass_correlations(values)
    assert table.reason == ("constant: one value everywhere", "too-few-regions: 1 with a value in every repeat", "")
    for form in (table.one_way, table.agreement, table.consistency):
        for part in (form.value, form.low, form.high):
            assert np.isnan(part).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("values", "message"), [([[1.0], [2.0]], "1 repeat"), ([1.0, 2.0], "shape"), (np.zeros((2, 2, 2, 2)), "shape")]
)
def test_refusals(values, message):
    with pytest.raises(InputRefused, match=message):
        intraclass_correlations(values)


def test_a_level_of_95_is_refused():
    with pytest.raises(InputRefused, match="level 95"):
        intraclass_correlations([[1, 2], [3, 4]], level=95)
