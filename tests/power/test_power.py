"""Every check keeps still on clean tables, and finds what is planted (docs/reference/power.md has the table)."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest

from fiducial.audit import CHECKS
from fiducial.phantom.defects import DEFECTS

PLANTED = [name for name in DEFECTS if DEFECTS[name].check in CHECKS]


def test_every_defect_has_its_check() -> None:
    assert list(DEFECTS) == PLANTED


@pytest.fixture(scope="session")
def cache(power: ModuleType) -> Any:
    """What ``tools/power.py`` has drawn with the sources as they are; the rest is drawn here, and kept."""
    return power.Cache(power.ROOT / "build" / "power.json", CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000])
def test_clean_tables_give_no_more_findings_than_nominal(power: ModuleType, cache: Any, check: str, n: int) -> None:
    """Seeds 0 to 199; more than 21 findings have a probability below 0.001 at a rate of 5 %."""
    kinds = ["", *(name for name in power.OWN_TABLES if DEFECTS[name].check == check)]
    for kind in kinds:
        letters = power.letters_of(cache, check, kind, 0.0, n, 200)
        assert len(letters) == 200
        assert letters.count(power.FINDING) <= power.MOST_FALSE_ALARMS, (kind, letters)
        assert power.ERROR not in letters, cache.held[check]["errors"]


@pytest.mark.slow
@pytest.mark.parametrize("defect", PLANTED)
def test_the_largest_size_is_found_in_5000_patients(power: ModuleType, cache: Any, defect: str) -> None:
    """In at least 18 of 20 tables: a power of 0.99 fails that less than once in a thousand times."""
    planted = DEFECTS[defect]
    letters = power.letters_of(cache, planted.check, defect, planted.sizes[3], 5000, 20)
    assert letters.count(power.FINDING) >= 18


@pytest.mark.slow
@pytest.mark.parametrize("defect", PLANTED)
def test_power_rises_with_the_size(power: ModuleType, cache: Any, defect: str) -> None:
    """Over 30 tables of 1,000 patients; a smaller size may be found more often by chance, but not in six more."""
    planted = DEFECTS[defect]
    cells = [power.letters_of(cache, planted.check, defect, size, 1000, 30) for size in planted.sizes]
    found = [letters.count(power.FINDING) for letters in cells]
    assert all(after >= before - 6 for before, after in pairwise(found)), found
    assert found[3] > found[0] or found[0] == 30
