"""Sections of a radiomics page about risks of an event by a horizon: calibration and decision curves of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused
from fiducial.report import radiomics_words, wording
from fiducial.report.blocks import Block, Cell, Column, Figures, Section, Table
from fiducial.report.figures import decisions as decision_figures
from fiducial.report.figures import scores

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.report.figures.svg import Drawing
    from fiducial.report.radiomics import RadiomicsInput

Row = Mapping[str, Any]
REFERENCE = "kaplan_meier"
METRICS: dict[str, tuple[str, int]] = {
    "calibration_slope": ("Calibration slope", 2),
    "observed_to_expected": ("Observed over expected", 2),
    "brier_at_horizon": ("Brier score", 3),
    "brier_integrated": ("Mean Brier score until then", 3),
    "brier_at_horizon_difference": ("Brier score less Kaplan\u2013Meier alone", 3),
}
"""Figures of risks at a horizon, with their digits; they stand in the table of the section on calibration."""


def calibration(given: RadiomicsInput, names: Sequence[str]) -> Section | None:
    """Predicted against observed risk of each model, and its figures at the horizon."""
    drawings = []
    for place, name in enumerate(names):
        points = _rows(given, name, "calibration").dropna(subset=["y"])
        if not len(points):
            continue
        words = radiomics_words.model(name)
        drawing = scores.reliability(points, None, prefix=f"rel{place}", target=words)
        drawings.append(replace(drawing, caption=f"{words}."))
    blocks: list[Block] = [Figures(drawings)] if drawings else []
    if table := _table(given, names):
        blocks.append(table)
    if not blocks:
        return None
    lead = (
        f"Whether predicted risks can be read as risks, {given.horizon}. Groups of like predicted risk, by models that "
        "had not seen the patient, against Kaplan\u2013Meier's estimate in the group; below each: how many patients."
    )
    return Section("calibration", "Calibration", blocks, lead)


def decisions(given: RadiomicsInput, names: Sequence[str]) -> Section | None:
    """A decision curve of each model."""
    drawings = []
    for place, name in enumerate(names):
        curves = _rows(given, name, "net_benefit")
        if len(curves):
            drawings.append(decision_of(name, curves, place))
    if not drawings:
        return None
    lead = (
        "Whether acting on a model's risk does more good than acting on everybody, or on nobody, "
        f"{given.horizon}; by Kaplan\u2013Meier among those who are acted on. Bands are intervals."
    )
    return Section("decisions", "Decisions", [Figures(drawings)], lead)


def decision_of(name: str, curves: pd.DataFrame, place: int) -> Drawing:
    """The decision curve of one model, the ``place``-th on the page; rows of its net benefit."""
    words = radiomics_words.model(name)
    drawing = decision_figures.decision_curve(curves, prefix=f"dca{place}", title=f"Decision curve: {words}")
    return replace(drawing, caption=f"{words}. The higher line is the better way to decide at that threshold.")


def _rows(given: RadiomicsInput, name: str, metric: str) -> pd.DataFrame:
    curves = given.curves
    if curves is None:
        raise InputRefused("no curves of a survival", legal="rows of SIGNATURE_CURVES")
    return curves[(curves["model"] == name) & (curves["metric"] == metric)].sort_values("x", kind="stable")


def _table(given: RadiomicsInput, names: Sequence[str]) -> Table | None:
    """A row for each model, and one for everybody's risk."""
    found = {(str(row["model"]), str(row["metric"])): row for row in given.models if row["metric"] in METRICS}
    shown = [name for name in (*names, REFERENCE) if any((name, metric) in found for metric in METRICS)]
    if not shown:
        return None
    columns = (Column("Model"), *(Column(label, numeric=True) for label, _ in METRICS.values()))
    lines = []
    for name in shown:
        cells = [Cell(radiomics_words.model(name), _why(found, name), strong=True)]
        cells += [_cell(found.get((name, metric)), digits) for metric, (_, digits) in METRICS.items()]
        lines.append(cells)
    caption = (
        "Slope and ratio are 1 for risks that are right; a slope below 1 means risks too far apart, a ratio above 1 "
        "risks too low. The smaller Brier score is better: it is weighted by the inverse chance of follow-up."
    )
    return Table(columns, lines, caption=caption, kind="named")


def _why(found: Mapping[tuple[str, str], Row], name: str) -> str:
    """Why a figure of the model has no interval, or what its slope rests on."""
    reasons = (str(row["reason"]) for (own, _), row in found.items() if own == name and row["reason"])
    return "; ".join(dict.fromkeys(reasons))


def _cell(row: Row | None, digits: int) -> Cell:
    if row is None or wording.is_missing(row["value"]):
        return Cell(wording.MISSING)
    ends = ""
    if not wording.is_missing(row["low"]) and not wording.is_missing(row["high"]):
        ends = f"[{wording.number(row['low'], digits)}, {wording.number(row['high'], digits)}]"
    return Cell(wording.number(row["value"], digits), ends, strong=True)
