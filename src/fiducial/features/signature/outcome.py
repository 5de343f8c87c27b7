"""An outcome of patients, a class or a time, and the penalised model that learns it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fiducial.errors import InputRefused
from fiducial.maths.cox import fit_cox, null_residuals, partial_log_likelihood
from fiducial.maths.inputs import Bools, Floats, Integers
from fiducial.maths.pairs_in_folds import Pairs, pairs_of_classes, pairs_of_times

SINGLE_STRENGTH = 100.0
"""The inverse penalty of a model of one feature: as good as none, but finite where it separates the classes."""
_MAX_ITERATIONS = 20_000


@dataclass(frozen=True)
class Outcome:
    """``event`` [n]; ``time`` [n] for survival, in the unit that was given, None for a class."""

    event: Bools
    time: Floats | None = None

    def __len__(self) -> int:
        return len(self.event)

    def of(self, rows: Integers) -> Outcome:
        """The outcome of some patients."""
        return Outcome(self.event[rows], None if self.time is None else self.time[rows])

    def times(self) -> Floats:
        """The times of a survival.

        Raises:
            InputRefused: the outcome is a class.
        """
        if self.time is None:
            raise InputRefused("a class as the outcome", legal="a survival: a time and an event")
        return self.time

    def residuals(self) -> Floats:
        """What is left of the outcome without any feature [n]."""
        if self.time is None:
            return np.asarray(self.event - self.event.mean())
        return null_residuals(self.time, self.event)

    def pairs(self) -> Pairs:
        """The pairs of patients that a score has to bring into order."""
        return pairs_of_classes(self.event) if self.time is None else pairs_of_times(self.time, self.event)


@dataclass(frozen=True)
class Line:
    """A linear predictor: log odds, or log hazard ratio (``intercept`` 0)."""

    intercept: float
    coefficients: Floats

    def of(self, columns: Floats) -> Floats:
        """[n] from columns [n, k]."""
        return np.asarray(columns @ self.coefficients + self.intercept)


def fit(columns: Floats, outcome: Outcome, *, strength: float, l1_ratio: float) -> Line:
    """Elastic-net logistic regression (scikit-learn), or Cox's model with a ridge of 1 / strength.

    Columns [n, k] are on one scale; k = 0 gives the event's log odds, or 0.
    """
    k = columns.shape[1]
    if outcome.time is not None:
        fitted = fit_cox(columns, outcome.time, outcome.event, penalty=1 / strength) if k else None
        return Line(0.0, np.zeros(0) if fitted is None else fitted.coefficients)
    if not k:
        share = float(outcome.event.mean())
        return Line(math.log(share / (1 - share)), np.zeros(0))
    from sklearn.linear_model import LogisticRegression

    solver = "lbfgs" if l1_ratio == 0 else "saga"
    model = LogisticRegression(
        C=strength, l1_ratio=l1_ratio, solver=solver, max_iter=_MAX_ITERATIONS, tol=1e-4, random_state=0
    )
    model.fit(columns, outcome.event)
    return Line(float(model.intercept_[0]), np.asarray(model.coef_[0], dtype=np.float64))


def lack_of_fit(line: Line, columns: Floats, outcome: Outcome, *, train: Integers, test: Integers) -> float:
    """How badly a line that was fitted on ``train`` fits ``test``: minus the log likelihood, smaller is better.

    For survival it is minus the likelihood of both less that of ``train``, since a few patients alone have too few
    pairs (Verweij and van Houwelingen, Stat Med 12 (1993) 2305-2314).
    """
    if outcome.time is None:
        linear, own = line.of(columns[test]), outcome.event[test]
        return float(np.logaddexp(0, np.where(own, -linear, linear)).sum())
    both = np.concatenate([train, test])
    whole, part = (
        partial_log_likelihood(line.of(columns[rows]), outcome.time[rows], outcome.event[rows])
        for rows in (both, train)
    )
    return part - whole


def dealt(event: Bools, n_folds: int, seed: int | list[int]) -> Integers:
    """A fold for each patient [n], by chance, patients with the event and without dealt out separately."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(event), dtype=np.int64)
    start = 0
    for value in (True, False):
        rows = rng.permutation(np.flatnonzero(event == value))
        folds[rows] = (start + np.arange(len(rows))) % n_folds
        start += len(rows)
    return folds
