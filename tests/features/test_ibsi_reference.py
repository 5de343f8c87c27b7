"""Every value of IBSI 1 with a consensus, within the tolerance of its row; our set of features is the standard's."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ["dig_phantom", *(f"chest_config_{c}" for c in "abcde")]
N_VALUES = {"dig_phantom": 482, "chest_config_a": 406, "chest_config_b": 406} | {
    f"chest_config_{c}": 270 for c in "cde"
}


@pytest.fixture(scope="module")
def ibsi():
    """tools/ibsi.py."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module("ibsi")
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.mark.real_data
@pytest.mark.parametrize("name", NAMES)
def test_each_value_lies_within_its_tolerance(ibsi, data, name):
    rows = list(ibsi.compared(data, name))
    with_value = [one for one in rows if one.reference is not None]
    assert len(with_value) == N_VALUES[name]
    assert [one for one in with_value if not one.agrees] == []


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["dig_phantom", "chest_config_b", "chest_config_c"])
def test_our_features_are_the_standards_both_ways(ibsi, data, name):
    assert set(ibsi.computed(data, name)) == set(ibsi.reference_values(data, name))


def test_agreement_can_fail(ibsi):
    made = ibsi.Compared("glcm", "contrast", "3d", 3.23, 0.01, 3.2449)
    assert made.agrees
    assert not ibsi.Compared("glcm", "contrast", "3d", 3.23, 0.01, 3.2451).agrees
    assert not ibsi.Compared("glcm", "contrast", "3d", 3.23, 0.0, float("nan")).agrees


def test_the_page_in_the_docs_is_whole():
    page = (ROOT / "docs/reference/ibsi.md").read_text()
    assert re.search(r"Together 2,104 of 2,104\.", page)
