"""The tables of features and of their stability: grades by hand, and what breaks the schema."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from fiducial.errors import TableError
from fiducial.records.radiomics import FEATURES, GRADES, STABILITY, grade_of
from fiducial.records.tables import table, validated


@pytest.mark.parametrize(
    ("low", "grade"),
    [
        (-0.2, "poor"),
        (0.4999, "poor"),
        (0.5, "moderate"),
        (0.75, "good"),
        (0.9, "good"),
        (0.9001, "excellent"),
        (1.0, "excellent"),
        (math.nan, ""),
    ],
)
def test_grades_by_the_lower_end(low, grade):
    assert grade_of(low) == grade


def test_a_feature_stands_once_for_each_region_and_perturbation():
    row = {"subject": "a", "image": "a", "mask": "m", "family": "statistics", "feature": "mean", "value": 1.0}
    both = table([row, {**row, "perturbation": "turned"}], FEATURES)
    assert list(both["perturbation"]) == ["", "turned"]
    with pytest.raises(TableError, match="2 rows repeat an entry"):
        table([row, row], FEATURES)


def test_a_grade_that_is_none_is_refused():
    row = pd.DataFrame([{"family": "statistics", "feature": "mean", "grade": "superb"}])
    with pytest.raises(TableError, match="superb") as refused:
        validated(row, STABILITY)
    assert all(grade in refused.value.legal for grade in GRADES)
