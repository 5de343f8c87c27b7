"""Risk control of masks: by hand, the promise itself, refusals."""

import math

import numpy as np
import pytest

from fiducial.errors import InputRefused
from fiducial.maths.conformal_risk import control_risk, excess_risk_p_value


def test_by_hand():
    """Three cases, B = 1: bounds are (sum + 1) / 4."""
    curves = [[1, 0.5, 0.0], [1, 0.1, 0.0], [1, 0.0, 0.0]]
    assert control_risk(curves, 0.4).column == 1  # (0.6 + 1) / 4 = 0.4
    assert control_risk(curves, 0.4).bound == pytest.approx(0.4)
    assert control_risk(curves, 0.39).column == 2
    none = control_risk(curves, 0.2)
    assert none.column is None
    assert none.bound == pytest.approx(0.25)


def test_images_of_a_patient_by_hand():
    """Patients a (0.5 and 0.1) and b (0): means 0.3 and 0, largest 0.5 and 0."""
    curves, subject = [[0.5], [0.1], [0.0]], ["a", "a", "b"]
    assert control_risk(curves, 0.5, subject=subject).bound == pytest.approx(1.3 / 3)
    assert control_risk(curves, 0.5, subject=subject, images="all").bound == pytest.approx(1.5 / 3)
    assert control_risk(curves, 0.5, subject=subject).n_patients == 2


def test_the_p_value_is_a_t_test():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(0)
    before, now = rng.random(30), rng.random(40) + 0.1
    shifted = before - before.mean() + 0.1
    expected = ttest_ind(now, shifted, equal_var=False, alternative="greater").pvalue
    assert excess_risk_p_value(before, now, 0.1) == pytest.approx(expected)
    assert excess_risk_p_value([0, 0], [0, 0], 0.1) == 1
    assert excess_risk_p_value([0, 0], [1, 1], 0.1) == 0
    assert math.isnan(excess_risk_p_value([0], [1, 1], 0.1))


def case_curves(rng, n, n_images=1):
    """False-negative rates over 40 settings: each patient's falls from 1 to 0 at a place of its own."""
    place = rng.beta(2, 3, (n, 1)) + 0.1 * rng.random((n, n_images))
    settings = np.linspace(0, 1.2, 40)
    return np.clip(1.5 - 1.5 * settings / place[..., None], 0, 1)


@pytest.mark.parametrize("n_images", [1, 3])
def test_the_mean_risk_over_draws_of_both_parts_is_kept(n_images):
    """E[risk] <= alpha, and not far below it: 600 draws of 50 calibration and 50 test patients."""
    rng = np.random.default_rng(1)
    for images in ("one", "all"):
        risks = []
        for _ in range(600):
            curves = case_curves(rng, 100, n_images)
            own, subject = curves[:50].reshape(-1, 40), np.repeat(np.arange(50), n_images)
            column = control_risk(own, 0.1, subject=subject, images=images).column
            test = curves[50:, :, column]
            risks.append((test.mean(axis=1) if images == "one" else test.max(axis=1)).mean())
        error = np.std(risks) / math.sqrt(len(risks))
        assert 0.1 - 2 / 51 - 0.03 - 3 * error < np.mean(risks) < 0.1 + 3 * error


def test_the_setting_moves_one_way_with_alpha():
    curves = case_curves(np.random.default_rng(2), 60)[:, 0]
    found = [control_risk(curves, alpha).column for alpha in (0.05, 0.1, 0.2, 0.4)]
    assert found == sorted(found, reverse=True)


def test_refusals():
    with pytest.raises(InputRefused, match="case 2 rises from setting 1 to 2"):
        control_risk([[1, 0.5], [0.2, 0.3]], 0.1)
    with pytest.raises(InputRefused, match="0 to 1"):
        control_risk([[2.0, 0.5]], 0.1)
    with pytest.raises(InputRefused, match="none missing"):
        control_risk([[math.nan, 0.5]], 0.1)
    with pytest.raises(InputRefused, match="cases, settings"):
        control_risk([0.5], 0.1)
