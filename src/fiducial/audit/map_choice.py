"""Which map of recalibration is best: by cross-validation on the part that maps are fitted on, never on test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, Row
from fiducial.audit.halves import folds_of
from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from fiducial.maths.recalibration import ScoreMap

GOOD = "Good, JRSS B 1952 (log score); Stone, JRSS B 1974 (cross-validation)"
N_FOLDS = 5
NO_MAP = "clean"
"""The condition of scores that no map has changed."""


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
    """Cross-validated log loss of no map and of each, and a row that names the choice.

    The choice is the smallest loss; of equal ones the first, so ``fits`` come in order from the simplest.
    """
    from fiducial.maths.calibration import SMALLEST_PROBABILITY
    from fiducial.maths.intervals import mean_interval

    worst = -float(np.log(SMALLEST_PROBABILITY))
    losses = _losses(cases, fits)
    chosen = min(losses, key=lambda name: float(losses[name].mean()))
    rows = []
    folds = f"{N_FOLDS}-fold cross-validation by patient within {len(cases.truth)} calibration images"
    for name, loss in losses.items():
        interval = mean_interval(loss, subject=cases.subject, level=given.settings.level, bounds=(0.0, worst))
        how: Row = {"condition": name, "method": f"{folds}; {interval.method}", "reference": GOOD}
        row = evidence_row(given, check, "log_loss", interval, statistic="cross_validated", **said, **how)
        rows.append(row)
        if name == chosen:
            best = row | {
                "metric": "best_map",
                "statistic": "value",
                "reason": f"{_called(name)}: smallest cross-validated log loss of {len(losses)} candidates",
            }
    return [*rows, best]


def _losses(
    cases: Labelled, fits: Mapping[str, Callable[[NDArray[Any], NDArray[np.float64]], ScoreMap]]
) -> dict[str, NDArray[np.float64]]:
    """Minus the log of each case's held-out probability of its truth, by condition; no map first.

    The log score punishes a map that calls something impossible which then happens, as a Brier score hardly does.
    """
    from fiducial.maths.calibration import SMALLEST_PROBABILITY, log_losses
    from fiducial.maths.recalibration import out_of_fold

    fold = folds_of(cases.subject, cases.event, N_FOLDS)
    binary = cases.score.ndim == 1
    truth = cases.truth.astype(bool) if binary else cases.truth

    def loss(score: NDArray[np.float64]) -> NDArray[np.float64]:
        if binary:
            return log_losses(cases.truth.astype(bool), score)
        held = score[np.arange(len(cases.truth)), cases.truth]
        return np.asarray(-np.log(np.maximum(held, SMALLEST_PROBABILITY)))

    losses = {NO_MAP: loss(cases.score)}
    for name, fit in fits.items():
        try:
            losses[f"recalibrated:{name}"] = loss(out_of_fold(fit, truth, cases.score, fold))
        except InputRefused:
            continue  # a fold leaves too little to fit this map on, so it is no candidate
    return losses


def _called(name: str) -> str:
    return "no map" if name == NO_MAP else name.partition(":")[2].replace("_", "-")
