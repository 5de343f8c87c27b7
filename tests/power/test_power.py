"""Every check keeps still on clean tables, and finds what is planted (docs/reference/power.md has the table)."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import pytest

from fiducial.audit import CHECKS
from fiducial.phantom.defects import DEFECTS

PLANTED = [name for name in DEFECTS if DEFECTS[name].check in CHECKS]


def test_every_defect_has_its_check() -> None:
    assert list(DEFECTS) == PLANTED


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000])
def test_clean_tables_give_no_more_findings_than_nominal(power: ModuleType, check: str, n: int) -> None:
    """Seeds 0 to 199; more than 21 findings have a probability below 0.001 at a rate of 5 %."""
    kinds = ["", *(name for name in power.OWN_TABLES if DEFECTS[name].check == check)]
    for kind in kinds:
        found = power.run(power.Task(kind, 0.0, n, 0, 200, (check,)))
        letters = found["letters"][check]
        assert letters.count(power.FINDING) <= power.MOST_FALSE_ALARMS, (kind, letters)
        assert power.ERROR not in letters, found["errors"]


@pytest.mark.slow
@pytest.mark.parametrize("defect", PLANTED)
def test_the_largest_size_is_found_in_5000_patients(power: ModuleType, defect: str) -> None:
    """In at least 18 of 20 tables: a power of 0.99 fails that less than once in a thousand times."""
    planted = DEFECTS[defect]
    letters = power.run(power.Task(defect, planted.sizes[3], 5000, 0, 20, (planted.check,)))["letters"]
    assert letters[planted.check].count(power.FINDING) >= 18


@pytest.mark.slow
@pytest.mark.parametrize("defect", PLANTED)
def test_power_rises_with_the_size(power: ModuleType, defect: str) -> None:
    """Over 30 tables of 1,000 patients; a smaller size may be found more often by chance, but not in six more."""
    planted = DEFECTS[defect]
    found = [
        power.run(power.Task(defect, size, 1000, 0, 30, (planted.check,)))["letters"][planted.check].count("F")
        for size in planted.sizes
    ]
    assert all(after >= before - 6 for before, after in pairwise(found)), found
    assert found[3] > found[0] or found[0] == 30
