import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiducial.errors import InputRefused
from fiducial.maths.multiplicity import holm


def test_countable_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_what_was_not_tested_does_not_count():
    assert holm([0.02, np.nan, 0.5]) == pytest.approx([0.04, np.nan, 0.5], nan_ok=True)
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_laws(p, random):
    values, adjusted = np.array(p), holm(p)
    assert (adjusted >= values - 1e-15).all()
    assert (adjusted <= np.minimum(1, values * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= -1e-15).all()
    order = random.sample(range(len(p)), len(p))
    assert holm(values[order]) == pytest.approx(adjusted[order])


def test_family_wise_error_under_the_null():
    rng = np.random.default_rng(0)
    false = [holm(rng.random(8)).min() < 0.05 for _ in range(4000)]
    assert 0.035 < np.mean(false) < 0.06


def test_what_is_refused():
    with pytest.raises(InputRefused, match=r"p values \[0.5, 1.5\]"):
        holm([0.5, 1.5])
