"""Figures from fewer patients than their intervals need say so, and are shown all the same."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fiducial.audit import CHECKS, AuditSettings, vendor_input
from fiducial.audit.measure import score_interval
from fiducial.audit.minimum import FEW, MINIMUM_N_OF, marked, minimum_n_of
from fiducial.audit.scores import ScoreColumn
from fiducial.audit.tables import prepared
from fiducial.maths.intervals import REASONS, Interval
from fiducial.phantom.tables import draw_table

SETTINGS = AuditSettings(n_replicates=50)


def column(n: int, *, right: int) -> ScoreColumn:
    """``n`` patients with the finding, of whom ``right`` are called at 0.5."""
    score = np.where(np.arange(n) < right, 0.9, 0.1)
    return ScoreColumn("t", "", "", np.ones(n, dtype=bool), score, np.arange(n), np.arange(n))


@pytest.mark.parametrize(("n", "right", "reason"), [(49, 44, FEW), (50, 45, ""), (99, 96, FEW), (100, 97, "")])
def test_a_rate_by_hand(n: int, right: int, reason: str) -> None:
    """0.9 needs 50 patients, 0.97 needs 100."""
    found = score_interval("sensitivity", column(n, right=right), 0.5, SETTINGS)
    assert found.reason == reason
    assert math.isfinite(found.low)


def test_a_low_rate_is_as_hard_as_a_high_one() -> None:
    assert minimum_n_of("specificity", 0.02) == minimum_n_of("specificity", 0.98) == 100
    assert minimum_n_of("auc", 0.1) == minimum_n_of("auc", 0.9) == 13
    assert minimum_n_of("calibration_slope", -0.5) == minimum_n_of("calibration_slope", 3.0) == 75


def test_what_was_not_measured_has_no_minimum() -> None:
    assert minimum_n_of("volume_difference_ml", 3.0) == 0
    assert minimum_n_of("auc", math.nan) == 0


def test_a_reason_that_is_there_stays() -> None:
    full = Interval(0.9, 0.8, 0.95, 0.95, "", 5, 5)
    assert marked("accuracy", full, 5).reason == FEW
    for other in (replace(full, reason="zero-variance"), replace(full, low=math.nan)):
        assert marked("accuracy", other, 5) == other
    assert FEW in REASONS


def test_steps_rise() -> None:
    for steps in MINIMUM_N_OF.values():
        assert list(steps) == sorted(steps)


def test_the_audit_says_it_and_shows_the_figure() -> None:
    said = {}
    for n in (150, 1500):
        given = prepared(vendor_input(draw_table(n, seed=1, auc=0.85), settings=SETTINGS))
        rows = pd.DataFrame(CHECKS["accuracy"](given).evidence + CHECKS["calibration"](given).evidence)
        rows = rows[(rows["split"] == "test") & (rows["group"] == "all") & rows["low"].notna()]
        said[n] = rows[rows["reason"] == REASONS[FEW]]["metric"].tolist()
    assert "calibration_slope" in said[150]
    assert said[1500] == []
