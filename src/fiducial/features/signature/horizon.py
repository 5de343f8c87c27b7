"""What cross-validated risks of an event by a horizon are worth: figures and curves of patients who were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.errors import InputRefused, LabelError
from fiducial.features.signature.outcome import Outcome
from fiducial.features.signature.recipe import SINGLE
from fiducial.features.signature.settings import SignatureSettings
from fiducial.maths.cox import cumulative_hazard
from fiducial.maths.inputs import Floats
from fiducial.maths.intervals import Interval
from fiducial.maths.kaplan_meier import risk_at
from fiducial.maths.pairs_in_folds import concordance_in_folds, pairs_at_horizon
from fiducial.maths.survival_risk import (
    brier_at,
    brier_difference,
    integrated_brier,
    net_benefit_at,
    observed_to_expected,
    risk_groups,
    risk_slope,
)
from fiducial.records.radiomics_signature import MODELS, REFERENCE

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.features.signature.nested import CrossValidated

N_TIMES = 20
THRESHOLDS = np.arange(1, 100) / 100
DEFAULT = "the median time of the events, since none was stated"
STATED = "as stated"


def horizon_of(outcome: Outcome, settings: SignatureSettings) -> float:
    """The horizon that was stated, else the median time of those who have the event (the lower one of two).

    Raises:
        InputRefused: one was stated, and the outcome is a class.
        LabelError: no event by then, or it lies after the last follow-up.
    """
    at = settings.horizon
    if outcome.time is None:
        raise InputRefused(f"horizon {at}, and a class as the outcome", legal="a horizon for a survival alone")
    own = outcome.time[outcome.event]
    if at is None:
        return float(np.quantile(own, 0.5, method="inverted_cdf"))
    if at > outcome.time.max():
        raise LabelError(
            f"horizon {at:g} lies after the last follow-up, at {outcome.time.max():g}",
            legal=f"at most {outcome.time.max():g}, in the unit of the times",
            action="state a horizon that patients are followed to: nothing is known of what comes after",
        )
    if not (own <= at).any():
        raise LabelError(
            f"no event by the horizon {at:g}: the first of {len(own)} is at {own.min():g}",
            legal=f"at least {own.min():g}, in the unit of the times",
            action="state a later horizon",
        )
    return at


def times_to(at: float) -> Floats:
    """The times [`N_TIMES`] over which the Brier score is integrated; the last is the horizon."""
    return at * np.arange(1, N_TIMES + 1) / N_TIMES


def risks_of(linear: Floats, train: tuple[Floats, Outcome], at: float) -> Floats:
    """Risks [`N_TIMES`, n] by each of `times_to`, of linear predictors [n].

    The baseline is Breslow's of ``train``: its linear predictors and outcome.
    """
    own, outcome = train
    hazard = cumulative_hazard(own, outcome.times(), outcome.event, at=times_to(at))
    with np.errstate(over="ignore"):
        return np.asarray(-np.expm1(-hazard[:, None] * np.exp(np.clip(linear, -700, 700))))


def reference_risks(outcome: Outcome, at: float) -> Floats:
    """The risks [`N_TIMES`, 1] of training patients by Kaplan and Meier, after the end of follow-up those at it."""
    times = outcome.times()
    last = float(times.max())
    return np.array([[risk_at(times, outcome.event, min(float(t), last)).risk] for t in times_to(at)])


def figures_at(outcome: Outcome, found: CrossValidated, name: str, order: Floats, level: float) -> dict[str, Interval]:
    """Of one model: AUC at the horizon in the same folds as the C-index, and figures of each patient's mean risk."""
    times, at = outcome.times(), found.horizon
    mean, learned = found.risk[name].mean(axis=0), name not in SINGLE
    pairs = pairs_at_horizon(times, outcome.event, at)
    return {
        "auc_at_horizon": concordance_in_folds(pairs, order, found.folds, learned=learned, level=level),
        "brier_at_horizon": brier_at(times, outcome.event, mean, at, level=level),
        "brier_integrated": integrated_brier(times, outcome.event, found.early[name], times_to(at), level=level),
        "calibration_slope": risk_slope(times, outcome.event, mean, level=level),
        "observed_to_expected": observed_to_expected(times, outcome.event, mean, at, level=level),
    }


def against_reference(outcome: Outcome, found: CrossValidated, name: str, level: float) -> Interval:
    """The Brier score of a model less that of `REFERENCE`."""
    risks = (found.risk[name].mean(axis=0), found.risk[REFERENCE].mean(axis=0))
    return brier_difference(outcome.times(), outcome.event, risks, found.horizon, level=level)


def curve_rows(outcome: Outcome, found: CrossValidated, *, level: float) -> pd.DataFrame:
    """Rows of `SIGNATURE_CURVES`, of each patient's mean risk: calibration by groups, net benefit over thresholds."""
    from fiducial.records.radiomics_signature import SIGNATURE_CURVES
    from fiducial.records.tables import table

    times, event, at = outcome.times(), outcome.event, found.horizon
    rows: list[dict[str, Any]] = []
    everybody = [
        net_benefit_at(times, event, np.ones(len(times)), at, threshold=float(t), level=level) for t in THRESHOLDS
    ]
    for name in (name for name in MODELS if name in found.risk):
        mean = found.risk[name].mean(axis=0)
        for group in risk_groups(times, event, mean, at, level=level):
            made = _point(name, "calibration", "", group.mean_risk, group.observed)
            rows.append({**made, "n": group.observed.n_subjects, "n_events": group.n_events})
        for t, of_all in zip(THRESHOLDS, everybody, strict=True):
            own = net_benefit_at(times, event, mean, at, threshold=float(t), level=level)
            for series, interval in (("model", own), ("all", of_all)):
                made = _point(name, "net_benefit", series, float(t), interval)
                rows.append({**made, "n": len(times), "n_events": int((event & (times <= at)).sum())})
    return table(rows, SIGNATURE_CURVES)


def _point(model: str, metric: str, series: str, x: float, interval: Interval) -> dict[str, Any]:
    from fiducial.maths.intervals import REASONS

    return {
        "model": model,
        "metric": metric,
        "series": series,
        "x": x,
        "y": interval.value,
        "low": interval.low,
        "high": interval.high,
        "reason": REASONS.get(interval.reason, interval.reason) if interval.reason else "",
    }
