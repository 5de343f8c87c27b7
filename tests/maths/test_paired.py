"""Two models on the same cases: exact by hand, brute force, clusters."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.paired import durkalski, mcnemar, paired_rates


def discordant(b: int, c: int, both: int = 5, neither: int = 4) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([1, 0, 1, 0], [b, c, both, neither])
    second = np.repeat([0, 1, 1, 0], [b, c, both, neither])
    return first, second


@pytest.mark.parametrize(("b", "c"), [(10, 2), (2, 10), (0, 6), (7, 7), (1, 0)])
def test_mid_p_by_counting(b: int, c: int) -> None:
    n, least = b + c, min(b, c)
    below = sum(comb(n, k) for k in range(least)) / 2**n
    at = comb(n, least) / 2**n
    assert mcnemar(*discordant(b, c)) == pytest.approx(min(1.0, 2 * below + at))


def test_published_example() -> None:
    """Fagerland et al. 2013, airway hyper-responsiveness before and after: 1 against 7 discordant, mid-p 0.039."""
    assert mcnemar(*discordant(1, 7, both=1, neither=12)) == pytest.approx(0.0391, abs=5e-5)


def test_large_samples_agree_with_the_chi_squared_form() -> None:
    from scipy.stats import chi2

    first, second = discordant(520, 430, both=3000, neither=1000)
    assert mcnemar(first, second) == pytest.approx(chi2.sf((520 - 430) ** 2 / 950, 1), rel=0.02)
    by_subject = mcnemar(first, second, subject=np.repeat(np.arange(len(first) // 2), 2))
    assert 0 < by_subject < 1


def test_copies_of_a_patient_say_nothing_new() -> None:
    first, second = discordant(40, 22, both=100, neither=60)
    subject = np.arange(len(first))
    once = mcnemar(first, second, subject=np.append(subject[:-1], 0))  # one repeat: the clustered form
    thrice = mcnemar(np.repeat(first, 3), np.repeat(second, 3), subject=np.repeat(subject, 3))
    assert thrice == pytest.approx(once, rel=0.05)
    assert durkalski(np.repeat(first, 3), np.repeat(second, 3), subject=np.repeat(subject, 3)) == pytest.approx(
        durkalski(first, second, subject=subject)
    )


def test_durkalski_by_hand() -> None:
    first, second = [1, 1, 0, 1], [0, 0, 1, 1]
    # Subject a: (1 + 1) / 2 = 1; subject b: (-1 + 0) / 2 = -0.5; X = 0.5^2 / 1.25 = 0.2.
    from scipy.stats import chi2

    assert durkalski(first, second, subject=["a", "a", "b", "b"]) == pytest.approx(chi2.sf(0.2, 1))


def test_the_difference_goes_from_second_to_first() -> None:
    found = paired_rates(*discordant(12, 3, both=20, neither=5))
    assert (found.n_first_only, found.n_second_only) == (12, 3)
    assert found.difference.value == pytest.approx(found.first - found.second) == pytest.approx(9 / 40)
    assert found.difference.low < 9 / 40 < found.difference.high
    assert found.difference.p == mcnemar(*discordant(12, 3))


def test_nothing_discordant_and_nobody() -> None:
    assert mcnemar([1, 0, 1], [1, 0, 1]) == 1.0
    assert mcnemar([1, 0], [1, 0], subject=["a", "a"]) == 1.0
    assert np.isnan(paired_rates([], []).first)
    with pytest.raises(InputRefused, match="the same rows"):
        mcnemar([1, 0], [1])


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 4])
def test_equal_models_fire_no_more_often_than_nominal(images: int) -> None:
    rng = np.random.default_rng(images)
    fired = 0
    for _ in range(2000):
        easy = np.repeat(rng.beta(4, 2, 80), images)
        first, second = (rng.random(80 * images) < easy for _ in range(2))
        fired += mcnemar(first, second, subject=np.repeat(np.arange(80), images)) < 0.05
    assert fired / 2000 <= 0.065, fired
