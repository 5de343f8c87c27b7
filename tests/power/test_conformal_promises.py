"""Conformal promises, over 1,000 draws of calibration and test patients: the table of docs/reference/power.md."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

PROMISES = (
    "label sets, LAC",
    "label sets, APS",
    "label sets, RAPS",
    "label sets of a class",
    "sets of an attribute's group",
    "one random image of a patient",
    "all images of a patient",
    "interval of a volume",
    "lower bound of survival",
    "risk of a mask",
)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_kept_on_average(tools: Path, promise: str) -> None:
    told = importlib.import_module("conformal_coverage")
    assert tuple(told.PROMISES) == PROMISES
    for n in told.SIZES:
        found = told.cell(promise, n, 1000)
        assert found.kept, found


def test_a_broken_promise_is_seen(tools: Path) -> None:
    told = importlib.import_module("conformal_coverage")
    assert not told.Cell("x", 50, 1000, 0.88, 0.002, 0.9, 0.92).kept
    assert not told.Cell("x", 50, 1000, 0.93, 0.002, 0.9, 0.92).kept


def test_the_page_says_what_was_drawn(tools: Path) -> None:
    told = importlib.import_module("conformal_coverage")
    page = (tools.parent / "docs" / "reference" / "power.md").read_text()
    first = told.cell(PROMISES[0], told.SIZES[0], 1000)
    assert f"{first.mean:.4f} ± {3 * first.error:.4f}" in page
