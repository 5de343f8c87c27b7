"""Figures of the smallest data that a page may have to draw."""

from __future__ import annotations

import pandas as pd

from fiducial.report.figures import scores


def _curve(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"series": ["test"] * len(columns["x"]), **columns})


def test_a_reliability_diagram_of_one_bin_is_drawn():
    one = _curve(x=[0.4], y=[0.5], low=[0.3], high=[0.7], n=[9])
    assert "<svg" in scores.reliability(one, None, prefix="p", target="malignant").svg


def test_a_bin_without_an_interval_is_drawn_without_one():
    bins = _curve(x=[0.2, 0.6], y=[0.1, 0.7], low=[None, 0.5], high=[None, 0.9], n=[1, 9])
    assert "<svg" in scores.reliability(bins, None, prefix="p", target="malignant").svg


def test_a_roc_curve_of_one_point_is_drawn():
    one = _curve(x=[0.4], y=[0.5], low=[0.3], high=[0.7], n=[9])
    assert "<svg" in scores.roc(one, points=[], prefix="p", target="malignant").svg
