"""Nested cross-validation, repeated, by patient: each repeat deals the patients out anew."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fiducial.compute import map_cases
from fiducial.errors import FiducialError, LabelError
from fiducial.features.signature.horizon import horizon_of, reference_risks, risks_of
from fiducial.features.signature.outcome import Outcome, dealt
from fiducial.features.signature.recipe import Learned, Numbers, learn, predicted
from fiducial.features.signature.settings import SignatureSettings
from fiducial.maths.cox import cumulative_hazard
from fiducial.maths.inputs import Floats, Integers
from fiducial.records.progress import Progress, silent
from fiducial.records.radiomics_signature import REFERENCE

LEAST = 7
"""The fewest patients to learn from: halves of them have three."""


@dataclass(frozen=True)
class Repeat:
    """One repeat: all patients, and its number."""

    numbers: Numbers
    outcome: Outcome
    settings: SignatureSettings
    number: int


@dataclass(frozen=True)
class CrossValidated:
    """What patients were given by models that had not seen them, and what was learned each time.

    ``linear`` [r, n] of each model, log odds or log hazard ratios; ``folds`` [r, n]; over the r x folds training sets
    ``coefficients`` [r k, p] of the model ``radiomics`` (0 where a feature is not in it), ``selected`` [r k, p], and
    ``notes`` (strengths, q, bound, how many features fell to what). ``final`` was learned from all patients.

    For a survival ``risk`` [r, n] is the chance of the event by ``horizon`` (with Breslow's baseline of the training
    patients), of each model and of `REFERENCE`, ``early`` [g, n] its mean over repeats by each of `times_to`, and
    ``hazard`` the baseline's cumulative hazard by the horizon in ``final``.
    """

    linear: dict[str, Floats]
    folds: Integers
    coefficients: Floats
    selected: Floats
    notes: list[dict[str, Any]]
    final: Learned
    risk: dict[str, Floats] = field(default_factory=dict)
    early: dict[str, Floats] = field(default_factory=dict)
    horizon: float = math.nan
    hazard: float = math.nan


def cross_validate(
    numbers: Numbers,
    outcome: Outcome,
    settings: SignatureSettings,
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> CrossValidated:
    """Cross-validate every model in the same folds and fit each to all patients.

    Repeat r deals the patients by the seed (seed, r); no result depends on ``workers``.

    Raises:
        LabelError: fewer than two patients with the event, or without, for each fold.
    """
    require_enough(outcome, settings)
    if outcome.time is not None or settings.horizon is not None:
        settings = replace(settings, horizon=horizon_of(outcome, settings))
    cases = {f"repeat {r + 1}": Repeat(numbers, outcome, settings, r) for r in range(settings.repeats)}
    done = map_cases(one_repeat, cases, workers=workers, progress=progress, title="nested cross-validation")
    if done.failures:
        first = done.failures[0]
        raise FiducialError(f"{first.key}: {first.error}: {first.message}\n{first.trace}")
    final = learn(numbers, outcome, settings, seed=[settings.seed, settings.repeats])
    made = list(done.results.values())
    linear, risk = (
        {name: np.stack([one[kind][name] for one in made]) for name in made[0][kind]} for kind in ("linear", "risk")
    )
    return CrossValidated(
        linear=linear,
        folds=np.stack([one["folds"] for one in made]),
        coefficients=np.concatenate([one["coefficients"] for one in made]),
        selected=np.concatenate([one["selected"] for one in made]),
        notes=[note for one in made for note in one["notes"]],
        final=final,
        risk={name: values[:, -1] for name, values in risk.items()},
        early={name: values.mean(axis=0) for name, values in risk.items()},
        horizon=math.nan if settings.horizon is None else settings.horizon,
        hazard=_hazard(final, numbers, outcome, settings),
    )


def _hazard(final: Learned, numbers: Numbers, outcome: Outcome, settings: SignatureSettings) -> float:
    """The cumulative hazard by the horizon of a patient whose ``radiomics`` is 0; NaN for a class."""
    if settings.horizon is None:
        return math.nan
    own = predicted(final, numbers)["radiomics"]
    return float(cumulative_hazard(own, outcome.times(), outcome.event, at=settings.horizon)[0])


def require_enough(outcome: Outcome, settings: SignatureSettings) -> None:
    """Refuse outcomes that cannot be dealt into folds.

    Raises:
        LabelError: fewer than two patients with the event, or (for a class) without it, for each fold.
    """
    n_events, n = int(outcome.event.sum()), len(outcome)
    least = n_events if outcome.time is not None else min(n_events, n - n_events)
    if n_events == 0 or (outcome.time is None and n_events == n):
        raise LabelError(
            f"one class only: {n_events} of {n} patients have the event", legal="patients with the event and without"
        )
    trained = n - math.ceil(n / settings.folds)
    inside = trained - math.ceil(trained / settings.inner_folds)
    if inside < LEAST:
        raise LabelError(
            f"{n} patients: inner folds would learn from {inside}",
            legal=f"at least {LEAST} patients to learn from in {settings.inner_folds} folds inside {settings.folds}",
            action="a signature needs more patients than these",
        )
    if least < 2 * settings.folds:
        raise LabelError(
            f"{settings.folds} folds for {n} patients, {n_events} of them with the event",
            legal="at least two patients with the event, and without, for each fold",
            action=f"use --folds {max(2, least // 2)}" if least >= 4 else "a signature needs more patients than these",
        )


def one_repeat(case: Repeat) -> dict[str, Any]:
    """Deal the patients out, learn from the others, predict each fold."""
    numbers, outcome, settings = case.numbers, case.outcome, case.settings
    folds = dealt(outcome.event, settings.folds, [settings.seed, case.number])
    linear: dict[str, Floats] = {}
    risk: dict[str, Floats] = {}
    coefficients, selected, notes = [], [], []
    for k in range(settings.folds):
        train, test = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
        learned = learn(numbers.of(train), outcome.of(train), settings, seed=[settings.seed, case.number, k])
        for name, values in predicted(learned, numbers.of(test)).items():
            linear.setdefault(name, np.zeros(len(outcome)))[test] = values
        if settings.horizon is not None:
            own, seen = predicted(learned, numbers.of(train)), outcome.of(train)
            risks = {
                name: risks_of(values[test], (own[name], seen), settings.horizon) for name, values in linear.items()
            }
            for name, values in (risks | {REFERENCE: reference_risks(seen, settings.horizon)}).items():
                risk.setdefault(name, np.zeros((len(values), len(outcome))))[:, test] = values
        coefficients.append(coefficients_of(learned, numbers.features.shape[1]))
        selected.append(np.isin(np.arange(numbers.features.shape[1]), learned.selected).astype(np.float64))
        notes.append({"repeat": case.number + 1, "fold": k + 1, **noted(learned)})
    return {
        "linear": linear,
        "risk": risk,
        "folds": folds,
        "coefficients": np.stack(coefficients),
        "selected": np.stack(selected),
        "notes": notes,
    }


def coefficients_of(learned: Learned, n_features: int) -> Floats:
    """Coefficients of the model ``radiomics`` by feature [p], for one standard deviation; 0 where not in it."""
    found = np.zeros(n_features)
    found[learned.scales["radiomics"][0].places] = learned.lines["radiomics"].coefficients
    return found


def noted(learned: Learned) -> dict[str, Any]:
    """What was chosen in one training set, as plain values."""
    fallen = {reason: learned.kept.reason.count(reason) for reason in sorted(set(learned.kept.reason) - {""})}
    return {
        "strengths": learned.strengths,
        "n_clusters": len(learned.kept.scale.places),
        "n_chosen_by_half": learned.n_chosen,
        "false_selections_at_most": round(learned.bound, 6),
        "n_selected": len(learned.selected),
        "dropped": fallen,
    }
