"""The audit's minimum n are those that the coverage of intervals gives."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from fiducial.audit.minimum import MINIMUM_N_OF, minimum_n_of

N_DRAWS = 1000
ERROR = 3 * float(np.sqrt(0.93 * 0.07 / N_DRAWS))
CASES = {"auc": "auc", "rate": "sensitivity", "brier": "brier", "calibration_slope": "calibration_slope"} | {
    "calibration_in_the_large": "calibration_in_the_large",
    "dice": "dice",
    "net_benefit": "net_benefit",
}


def test_every_minimum_was_measured(interval_coverage: ModuleType) -> None:
    assert set(CASES) <= set(interval_coverage.METRICS)
    rates = {"specificity", "ppv", "npv", "accuracy"}
    assert set(MINIMUM_N_OF) - rates - {"calibration_intercept"} == set(CASES.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_from_the_minimum_on(interval_coverage: ModuleType, name: str) -> None:
    """At the smallest n of the grid that the audit does not mark, and at the largest."""
    metric = interval_coverage.METRICS[name]
    for setting, (_, truth) in metric.truths.items():
        least = minimum_n_of(CASES[name], truth)
        by_class = "a quarter" in metric.counts
        enough = [n for n in interval_coverage.N if n * (0.25 if by_class else 1.0) >= least]
        for images in interval_coverage.IMAGES:
            for n in {enough[0], enough[-1]}:
                found = interval_coverage.measured(interval_coverage.Cell(name, setting, images, n, N_DRAWS))
                assert found["held"] / found["given"] >= 0.93 - ERROR, (setting, images, n)


@pytest.mark.slow
def test_gaps_hold_from_the_smallest_group_that_counts(interval_coverage: ModuleType) -> None:
    """Groups of 10 patients and more: 20 in two groups, 50 in four."""
    for setting in interval_coverage.METRICS["gap"].truths:
        for images in interval_coverage.IMAGES:
            n = 20 if setting.startswith("2") else 50
            found = interval_coverage.measured(interval_coverage.Cell("gap", setting, images, n, N_DRAWS))
            assert found["held"] / found["given"] >= 0.93 - ERROR, (setting, images)
