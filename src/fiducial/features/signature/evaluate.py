"""What cross-validated models are worth: figures with intervals, and paired differences in the same folds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.features.signature.horizon import against_reference, figures_at, times_to
from fiducial.features.signature.nested import CrossValidated
from fiducial.features.signature.outcome import Outcome
from fiducial.features.signature.patients import Patients
from fiducial.features.signature.recipe import SINGLE
from fiducial.maths.inputs import Floats
from fiducial.maths.intervals import Interval
from fiducial.maths.pairs_in_folds import concordance_difference, concordance_in_folds
from fiducial.maths.survival_risk import brier_at, integrated_brier
from fiducial.records.radiomics_signature import REFERENCE

if TYPE_CHECKING:
    import pandas as pd

BASELINES = ("volume", "value", "clinical")


def figures(patients: Patients, found: CrossValidated, *, level: float) -> pd.DataFrame:
    """Rows of `SIGNATURE_MODELS`: of each model its own figures, then its differences from each baseline."""
    from fiducial.records.radiomics_signature import MODELS, SIGNATURE_MODELS
    from fiducial.records.tables import table

    outcome, pairs = patients.outcome, patients.outcome.pairs()
    metric = "auc" if outcome.time is None else "c_index"
    names = [name for name in MODELS if name in found.linear]
    order = {name: _ordering(patients, found, name) for name in names}
    own = {
        name: concordance_in_folds(pairs, order[name], found.folds, learned=name not in SINGLE, level=level)
        for name in names
    }
    n_events = int(outcome.event.sum())
    rows = []
    for place, name in enumerate(names):
        rows.append(_row(name, metric, own[name], n_events, verdict=_skill(own[name]), reason=_empty(name, found)))
        made: dict[str, Interval] = {}
        if outcome.time is None:
            made |= _of_class(patients, probabilities(found.linear[name]).mean(axis=0), level)
        if name in SINGLE:
            made |= _of_value(patients, order[name][0], level)
        if outcome.time is not None:
            made |= figures_at(outcome, found, name, order[name], level)
        rows += [
            _row(name, key, interval, n_events, reason=_leaning(key, name, found)) for key, interval in made.items()
        ]
        for other in (baseline for baseline in BASELINES if baseline in names[:place]):
            learned = name not in SINGLE or other not in SINGLE
            apart = concordance_difference(pairs, order[name], order[other], found.folds, learned=learned, level=level)
            verdict = _judged(apart, own[name], own[other])
            rows.append(_row(name, f"{metric}_difference", apart, n_events, beside=other, verdict=verdict))
    return table(rows + _beside_reference(outcome, found, names, level), SIGNATURE_MODELS)


def _beside_reference(outcome: Outcome, found: CrossValidated, names: list[str], level: float) -> list[dict[str, Any]]:
    """Brier scores at the horizon less that of everybody's risk, and that itself; no rows for a class."""
    if outcome.time is None:
        return []
    n_events, mean = int(outcome.event.sum()), found.risk[REFERENCE].mean(axis=0)
    alone = brier_at(outcome.times(), outcome.event, mean, found.horizon, level=level)
    over_time = found.early[REFERENCE], times_to(found.horizon)
    whole = integrated_brier(outcome.times(), outcome.event, *over_time, level=level)
    rows = [_row(REFERENCE, "brier_at_horizon", alone, n_events), _row(REFERENCE, "brier_integrated", whole, n_events)]
    for name in names:
        apart = against_reference(outcome, found, name, level)
        rows.append(_row(name, "brier_at_horizon_difference", apart, n_events, beside=REFERENCE))
    return rows


def _ordering(patients: Patients, found: CrossValidated, name: str) -> Floats:
    """What orders patients in each repeat [r, n].

    A single value orders them itself, the larger first: were its direction learned, a worthless one would lean
    against those who are left out, and whatever it is compared with would look better than it is.
    """
    if name not in SINGLE:
        return found.linear[name]
    numbers = patients.numbers
    values = numbers.features[:, numbers.volume if name == "volume" else numbers.value]
    return np.tile(np.where(np.isnan(values), np.nanmedian(values), values), (len(found.folds), 1))


def _empty(name: str, found: CrossValidated) -> str:
    """Said of a signature that most training sets left empty: its interval is then of hardly any model."""
    share = float((found.selected.sum(axis=1) == 0).mean())
    return f"no feature was selected in {share:.0%} of training sets" if name == "radiomics" and share > 0 else ""


def _leaning(metric: str, name: str, found: CrossValidated) -> str:
    """Said of a slope that rests on empty signatures: their baselines lean against who was left out."""
    return _empty(name, found) if metric == "calibration_slope" else ""


def _skill(own: Interval) -> str:
    return "skill" if own.low > 0.5 else "no_skill_shown"


def _judged(apart: Interval, own: Interval, other: Interval) -> str:
    """Better than a baseline is only what is better than chance: a worthless learned baseline lies below it."""
    if apart.low > 0 and own.low > 0.5:
        return "better"
    return "worse" if apart.high < 0 and other.low > 0.5 else "no_difference_shown"


def probabilities(linear: Floats) -> Floats:
    """Log odds to probabilities."""
    return np.asarray(1 / (1 + np.exp(-np.clip(linear, -700, 700))))


def _of_class(patients: Patients, mean: Floats, level: float) -> dict[str, Interval]:
    """Figures of the mean prediction of each patient."""
    from fiducial.maths.calibration import calibration_slope_intercept
    from fiducial.maths.intervals import auc_interval, mean_interval

    truth = patients.outcome.event
    fit = calibration_slope_intercept(truth, mean, level=level)
    return {
        "auc_pooled": auc_interval(truth, mean, level=level),
        "brier": mean_interval((mean - truth) ** 2, level=level, bounds=(0.0, 1.0)),
        "calibration_intercept": fit.intercept,
        "calibration_slope": fit.slope,
    }


def _of_value(patients: Patients, values: Floats, level: float) -> dict[str, Interval]:
    """The number itself over all pairs, larger being worse."""
    from fiducial.maths.intervals import auc_interval

    if patients.outcome.time is None:
        return {"auc_of_value": auc_interval(patients.outcome.event, values, level=level)}
    together = np.zeros((1, len(values)), dtype=np.int64)
    pairs = patients.outcome.pairs()
    return {"c_index_of_value": concordance_in_folds(pairs, values[None], together, learned=False, level=level)}


def _row(
    model: str,
    metric: str,
    interval: Interval,
    n_events: int,
    *,
    beside: str = "",
    verdict: str = "",
    reason: str = "",
) -> dict[str, Any]:
    from fiducial.maths.intervals import REASONS

    reason = reason or (REASONS.get(interval.reason, interval.reason) if interval.reason else "")
    if beside and interval.reason == "equal-values":
        reason = "both order every pair of patients alike"
    return {
        "model": model,
        "metric": metric,
        "beside": beside,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "p": interval.p,
        "n": interval.n_subjects,
        "n_events": n_events,
        "method": interval.method,
        "reason": reason,
        "verdict": verdict,
    }


def prediction_rows(patients: Patients, found: CrossValidated) -> pd.DataFrame:
    """Rows of `SIGNATURE_PREDICTIONS`: each repeat, and the mean over repeats (repeat 0)."""
    import pandas as pd

    from fiducial.records.radiomics_signature import MODELS, SIGNATURE_PREDICTIONS
    from fiducial.records.tables import validated

    outcome, n = patients.outcome, len(patients.subject)
    parts = []
    for name in (name for name in MODELS if name in found.linear):
        linear = found.linear[name]
        values = linear if outcome.time is not None else probabilities(linear)
        stacked = np.concatenate([values.mean(axis=0)[None], values])
        n_rows = len(stacked)
        parts.append(
            pd.DataFrame(
                {
                    "model": name,
                    "subject": np.tile(np.array(patients.subject, dtype=object), n_rows),
                    "repeat": np.repeat(np.arange(n_rows), n),
                    "fold": np.concatenate([np.zeros(n, dtype=np.int64), found.folds.reshape(-1) + 1]),
                    "value": stacked.reshape(-1),
                    "risk": _risks(found, name, n_rows * n),
                    "truth": np.tile(outcome.event.astype(float), n_rows),
                    "time": np.tile(outcome.time if outcome.time is not None else np.full(n, math.nan), n_rows),
                }
            )
        )
    return validated(pd.concat(parts, ignore_index=True), SIGNATURE_PREDICTIONS)


def _risks(found: CrossValidated, name: str, n_rows: int) -> Floats:
    """Risks by the horizon in the order of the rows: the mean, then each repeat; NaN for a class."""
    if name not in found.risk:
        return np.full(n_rows, math.nan)
    return np.concatenate([found.risk[name].mean(axis=0)[None], found.risk[name]]).reshape(-1)


def signature_rows(patients: Patients, found: CrossValidated, *, level: float) -> pd.DataFrame:
    """Rows of `SIGNATURE`: every feature, the chosen first, then by how often training sets selected it."""
    from fiducial.features.signature.nested import coefficients_of
    from fiducial.records.radiomics_signature import SIGNATURE
    from fiducial.records.tables import validated

    final, names = found.final, patients.names
    standing = final.kept.stands_for
    fell = np.array(final.kept.reason)
    frame = patients.features.assign(
        chosen=np.isin(np.arange(len(names)), final.selected).astype(int),
        share=np.where(fell == "", final.share, np.nan),
        selected=found.selected.mean(axis=0),
        coefficient=coefficients_of(final, len(names)),
        low=np.quantile(found.coefficients, (1 - level) / 2, axis=0),
        high=np.quantile(found.coefficients, (1 + level) / 2, axis=0),
        reason=fell,
        stands_for_it=[names[k] if k >= 0 and k != place else "" for place, k in enumerate(standing)],
    )
    frame = frame.sort_values(["chosen", "selected", "share"], ascending=False, kind="stable", na_position="last")
    return validated(frame, SIGNATURE)
