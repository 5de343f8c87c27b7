"""Cox's model with a ridge: likelihoods by hand, then lifelines, with ties and a penalty."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest

from fiducial.errors import InputRefused, LabelError
from fiducial.maths.cox import fit_cox, null_residuals, partial_log_likelihood


def cohort(seed: int, n: int = 120, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    time = rng.exponential(np.exp(-x[:, 0] + 0.5 * x[:, 1])) * 10
    time = np.ceil(time) if ties else time + 0.01
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1), time, (rng.random(n) < 0.7).astype(float)


def test_three_patients_by_hand():
    # The first event among all three, the second among the two that are left; the last is censored.
    eta = np.array([1.0, 0.0, -1.0])
    expected = 1 - math.log(math.e + 1 + 1 / math.e) + 0 - math.log(1 + 1 / math.e)
    assert partial_log_likelihood(eta, [1, 2, 3], [1, 1, 0]) == pytest.approx(expected)


def test_a_tie_by_hand():
    # Efron: both events at time 1; the second factor takes half of the dead off.
    eta = np.array([0.0, 0.0, math.log(2)])
    expected = 0 - math.log(4) - math.log(4 - 1)
    assert partial_log_likelihood(eta, [1, 1, 2], [1, 1, 0]) == pytest.approx(expected)


def test_residuals_by_hand():
    # Hazards 1/4, then 1/3 + 1/4, then the censored one at 3 and the last event.
    found = null_residuals([1, 2, 3, 4], [1, 1, 0, 1])
    assert found.tolist() == pytest.approx([1 - 1 / 4, 1 - 7 / 12, -7 / 12, 1 - (7 / 12 + 1)])
    assert found.sum() == pytest.approx(0)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 5.0, 60.0])
def test_as_lifelines(ties, penalty):
    from lifelines import CoxPHFitter

    x, time, event = cohort(3, ties=ties)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = CoxPHFitter(penalizer=penalty / len(x)).fit(
            pd.DataFrame(x, columns=["a", "b", "c"]).assign(t=time, e=event), "t", "e", fit_options={"precision": 1e-10}
        )
    ours = fit_cox(x, time, event, penalty=penalty)
    assert ours.coefficients == pytest.approx(peer.params_.to_numpy(), abs=2e-5)


@pytest.mark.real_data
def test_a_real_cohort_as_lifelines(data):
    from lifelines import CoxPHFitter

    table = pd.read_csv(data / "tcga_brca" / "brca.csv")
    table = table[table["T"] > 0]
    columns = [name for name in table.columns if name not in ("pid", "E", "T") and table[name].sum() >= 20]
    x = table[columns].astype(float)
    x = (x - x.mean()) / x.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = x.assign(t=table["T"], e=table["E"])
        peer = CoxPHFitter(penalizer=10 / len(x)).fit(frame, "t", "e", fit_options={"precision": 1e-10})
    ours = fit_cox(x.to_numpy(), table["T"], table["E"], penalty=10)
    assert len(columns) > 20
    assert ours.coefficients == pytest.approx(peer.params_.to_numpy(), abs=2e-4)


def test_the_maximum_is_one():
    x, time, event = cohort(1, ties=True)
    found = fit_cox(x, time, event, penalty=3.0)

    def penalised(beta: np.ndarray) -> float:
        return partial_log_likelihood(x @ beta, time, event) - 1.5 * float(beta @ beta)

    best = penalised(found.coefficients)
    assert found.log_likelihood == pytest.approx(partial_log_likelihood(x @ found.coefficients, time, event))
    for step in np.eye(3) * 1e-3:
        assert best > penalised(found.coefficients + step)
        assert best > penalised(found.coefficients - step)


def test_the_unit_of_time_does_not_matter():
    x, time, event = cohort(2, ties=True)
    assert fit_cox(x, time, event).coefficients == pytest.approx(fit_cox(x, 365.25 * time, event).coefficients)
    assert null_residuals(time, event) == pytest.approx(null_residuals(7 * time, event))


def test_separation_needs_a_penalty():
    x = np.array([[3.0], [2], [1], [0]])
    assert fit_cox(x, [1, 2, 3, 4], [1, 1, 1, 0], penalty=1.0).coefficients[0] > 0


def test_no_feature():
    assert fit_cox(np.zeros((3, 0)), [1, 2, 3], [1, 0, 1]).coefficients.shape == (0,)


@pytest.mark.parametrize(
    ("time", "event", "message"),
    [
        ([0, 1], [1, 0], "time 0.0 in row 1"),
        ([1, np.nan], [1, 0], "time nan in row 2"),
        ([1, 2], [1, 2], "truth 2.0 in row 2"),
        ([1, 2], [0, 0], "no event"),
        ([1, 2, 3], [1, 0], "3 rows of times and 2 of events"),
    ],
)
def test_what_is_refused(time, event, message):
    with pytest.raises((LabelError, InputRefused), match=message):
        fit_cox(np.zeros((2, 1)), time, event)


def test_a_negative_penalty_is_refused():
    with pytest.raises(InputRefused, match="penalty -1"):
        fit_cox(np.zeros((2, 1)), [1, 2], [1, 0], penalty=-1)
