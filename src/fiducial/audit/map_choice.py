"""Which map of recalibration is best: by cross-validation on the part that maps are fitted on, never on test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import BRIER, evidence_row
from fiducial.audit.given import AuditInput, Row
from fiducial.audit.halves import folds_of
from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from fiducial.maths.recalibration import ScoreMap

N_FOLDS = 5
NO_MAP = "clean"
"""The condition of scores that no map has changed."""
ONE_ERROR = 0.6827
"""Level of an interval that reaches one standard error to each side of a normal estimate."""


@dataclass(frozen=True)
class Labelled:
    """Cases of the operating half: index of the true class [n], probabilities [n] or [n, classes], subjects [n].

    ``event`` bool [n] is what the folds are balanced by.
    """

    truth: NDArray[np.int64]
    score: NDArray[np.float64]
    subject: NDArray[Any]
    event: NDArray[np.bool_]


def choice_rows(
    given: AuditInput,
    check: str,
    cases: Labelled,
    fits: Mapping[str, Callable[[NDArray[Any], NDArray[np.float64]], ScoreMap]],
    said: Row,
) -> list[Row]:
    """Cross-validated Brier score of no map and of each, and a row that names the choice.

    ``fits`` are in order from the simplest. The choice is the first whose loss exceeds the smallest by no more than
    one standard error of their paired difference, clustered by patient: a richer map must earn its place.
    """
    from fiducial.maths.intervals import mean_interval

    losses = _losses(cases, fits)
    chosen = _simplest(losses, cases.subject)
    rows = []
    folds = f"{N_FOLDS}-fold cross-validation by patient within {len(cases.truth)} calibration images"
    for name, loss in losses.items():
        interval = mean_interval(loss, subject=cases.subject, level=given.settings.level, bounds=(0.0, 2.0))
        how: Row = {"condition": name, "method": f"{folds}; {interval.method}", "reference": BRIER}
        row = evidence_row(given, check, "brier", interval, statistic="cross_validated", **said, **how)
        rows.append(row)
        if name == chosen:
            best = row | {"metric": "best_map", "statistic": "value", "reason": _why(name, losses)}
    return [*rows, best]


def _losses(
    cases: Labelled, fits: Mapping[str, Callable[[NDArray[Any], NDArray[np.float64]], ScoreMap]]
) -> dict[str, NDArray[np.float64]]:
    """Squared distance of each case's held-out probabilities from its truth, by condition; no map first."""
    from fiducial.maths.recalibration import out_of_fold

    fold = folds_of(cases.subject, cases.event, N_FOLDS)
    hit = cases.truth if cases.score.ndim == 1 else np.eye(cases.score.shape[1])[cases.truth]

    def squared(score: NDArray[np.float64]) -> NDArray[np.float64]:
        square = np.square(score - hit)
        return np.asarray(square if square.ndim == 1 else square.sum(axis=1))

    losses = {NO_MAP: squared(cases.score)}
    for name, fit in fits.items():
        truth = cases.truth.astype(bool) if cases.score.ndim == 1 else cases.truth
        try:
            losses[f"recalibrated:{name}"] = squared(out_of_fold(fit, truth, cases.score, fold))
        except InputRefused:
            continue  # a fold leaves too little to fit this map on, so it is no candidate
    return losses


def _simplest(losses: dict[str, NDArray[np.float64]], subject: NDArray[Any]) -> str:
    from fiducial.maths.difference import paired_difference_interval

    best = min(losses, key=lambda name: float(losses[name].mean()))
    for name, loss in losses.items():
        apart = paired_difference_interval(loss, losses[best], subject=subject, level=ONE_ERROR)
        if apart.value <= 0 or apart.low <= 0:
            return name
    return best


def _why(name: str, losses: dict[str, NDArray[np.float64]]) -> str:
    """The choice in words."""
    called = "no map" if name == NO_MAP else name.partition(":")[2].replace("_", "-")
    smallest = min(float(loss.mean()) for loss in losses.values())
    own = float(losses[name].mean())
    if own <= smallest:
        return f"{called}: smallest cross-validated Brier score of {len(losses)} candidates"
    return (
        f"{called}: the simplest of {len(losses)} candidates within one standard error of the smallest, {smallest:.4f}"
    )
