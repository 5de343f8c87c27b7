"""Cox's model with a ridge penalty, and what is left of an outcome without any feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused, LabelError
from fiducial.maths.inputs import Bools, Floats, binary_truth, finite_values, same_length

_STEPS = 100


@dataclass(frozen=True)
class CoxFit:
    """``coefficients`` [p], log hazard ratios for one unit; ``log_likelihood`` is partial, without the penalty."""

    coefficients: Floats
    log_likelihood: float


def survival(time: ArrayLike, event: ArrayLike) -> tuple[Floats, Bools]:
    """Times [n], which are positive, and events [n] as booleans.

    Raises:
        LabelError: an event is not 0/1, or a time is not a positive number.
        InputRefused: lengths differ.
    """
    times, events = np.asarray(time, dtype=np.float64).reshape(-1), binary_truth(event)
    same_length(times, events, names=("times", "events"))
    wrong = ~(np.isfinite(times) & (times > 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise LabelError(f"time {times[row]} in row {row + 1} ({int(wrong.sum())} such rows)", legal="above 0")
    return times, events


def fit_cox(features: ArrayLike, time: ArrayLike, event: ArrayLike, *, penalty: float = 0.0) -> CoxFit:
    """Maximise the partial log likelihood less ``penalty`` / 2 |coefficients|^2, by Newton's method; ties after Efron.

    Args:
        features: [n, p], finite; the penalty treats them alike, so bring them to one scale.
        time: [n], above 0.
        event: 0/1 [n]; 0 is censored.
        penalty: 0 or more; 0 has no answer where features separate the events.

    Raises:
        LabelError: as `survival`, or there is no event.
        InputRefused: shapes do not fit, or no maximum was found.

    Source: Cox, JRSS B 34 (1972) 187-220; Efron, JASA 72 (1977) 557-565; ridge: Verweij and van Houwelingen, Stat Med
    13 (1994) 2427-2436.
    """
    x = np.asarray(features, dtype=np.float64)
    times, events = survival(time, event)
    if x.ndim != 2 or len(x) != len(times) or not np.isfinite(x).all() or penalty < 0:
        raise InputRefused(
            f"features {x.shape}, {len(times)} times, penalty {penalty}", legal="finite [n, p], penalty >= 0"
        )
    if not events.any():
        raise LabelError("no event", legal="at least one event")
    beta = np.zeros(x.shape[1])
    value, slope, curve = _partial(x @ beta, x, times, events)
    for _ in range(_STEPS):
        gradient = slope - penalty * beta
        if not x.shape[1] or np.abs(gradient).max() < 1e-8:
            return CoxFit(beta, value)
        step: Floats = np.linalg.lstsq(curve + penalty * np.eye(len(beta)), gradient, rcond=None)[0].astype(np.float64)
        beta, value, slope, curve = _uphill(beta, step, value, (x, times, events, penalty))
    if np.abs(slope - penalty * beta).max() < 1e-5:
        return CoxFit(beta, value)
    raise InputRefused("Cox's model has no maximum here", action="use a penalty above 0, or fewer features")


def _uphill(
    beta: Floats, step: Floats, before: float, given: tuple[Floats, Floats, Bools, float]
) -> tuple[Floats, float, Floats, Floats]:
    """A Newton step, halved until the penalised likelihood does not fall."""
    x, times, events, penalty = given
    floor = before - penalty / 2 * float(beta @ beta)
    for _ in range(40):
        there = beta + step
        value, slope, curve = _partial(x @ there, x, times, events)
        if np.isfinite(value) and value - penalty / 2 * float(there @ there) >= floor - 1e-10:
            break
        step = step / 2
    return there, value, slope, curve


def partial_log_likelihood(linear: ArrayLike, time: ArrayLike, event: ArrayLike) -> float:
    """Cox's partial log likelihood of linear predictors [n], ties after Efron; 0 where there is no event.

    Source: as `fit_cox`.
    """
    eta = finite_values(linear, name="linear predictor")
    times, events = survival(time, event)
    same_length(eta, times, names=("linear predictors", "times"))
    return _partial(eta, np.zeros((len(eta), 0)), times, events)[0]


def cumulative_hazard(linear: ArrayLike, time: ArrayLike, event: ArrayLike, *, at: ArrayLike) -> Floats:
    """Breslow's cumulative baseline hazard at times [g]: that of a patient whose linear predictor is 0.

    At each the sum over event times t up to it of d / sum exp(linear predictor) of those who are there at t; with all
    linear predictors 0 it is Nelson and Aalen's. The risk of a patient by then is
    1 - exp(-hazard exp(linear predictor)).

    Raises:
        LabelError, InputRefused: as `survival`; a linear predictor is not finite.

    Source: Breslow, in the discussion of Cox, JRSS B 34 (1972) 216-217.
    """
    eta = finite_values(linear, name="linear predictor")
    times, events = survival(time, event)
    same_length(eta, times, names=("linear predictors", "times"))
    order = np.argsort(-times, kind="stable")
    shift = float(eta.max(initial=0.0))
    there = np.cumsum(np.exp(np.clip(eta[order] - shift, -700, 0)))
    died = np.sort(times[events])
    last = np.searchsorted(-times[order], -died, side="right") - 1
    steps = np.concatenate([[0.0], np.cumsum(1 / there[last])]) * np.exp(-np.clip(shift, -700, 700))
    return np.asarray(steps[np.searchsorted(died, np.atleast_1d(np.asarray(at, dtype=np.float64)), side="right")])


def null_residuals(time: ArrayLike, event: ArrayLike) -> Floats:
    """Martingale residuals without features [n]: event less the cumulative hazard (Nelson-Aalen) at its time; mean 0.

    Source: Therneau, Grambsch and Fleming, Biometrika 77 (1990) 147-160.
    """
    times, events = survival(time, event)
    order = np.sort(times)
    when, place = np.unique(times, return_inverse=True)
    died = np.bincount(place.reshape(-1), events, minlength=len(when))
    at_risk = len(times) - np.searchsorted(order, when, side="left")
    return np.asarray(events - np.cumsum(died / at_risk)[place.reshape(-1)])


def _partial(eta: Floats, x: Floats, times: Floats, events: Bools) -> tuple[float, Floats, Floats]:
    """Log partial likelihood with gradient [p] and negative Hessian [p, p]; Efron's ties."""
    order = np.argsort(-times, kind="stable")
    eta, x, times, events = eta[order], x[order], times[order], events[order]
    eta = np.clip(eta - eta.max(initial=-np.inf), -700, 0) if len(eta) else eta
    weight = np.exp(eta)
    p = x.shape[1]
    value, slope, curve = 0.0, np.zeros(p), np.zeros((p, p))
    s0 = np.cumsum(weight)
    s1 = np.cumsum(weight[:, None] * x, axis=0)
    s2 = np.cumsum(weight[:, None, None] * x[:, :, None] * x[:, None, :], axis=0)
    for when in np.unique(times[events]):
        last = int(np.searchsorted(-times, -when, side="right")) - 1
        dead = np.flatnonzero(events & (times == when))
        d0, d1 = weight[dead].sum(), weight[dead] @ x[dead]
        d2 = (weight[dead][:, None] * x[dead]).T @ x[dead]
        value += float(eta[dead].sum())
        slope += x[dead].sum(axis=0)
        for share in np.arange(len(dead)) / len(dead):
            whole, mean = s0[last] - share * d0, (s1[last] - share * d1)
            mean = mean / whole
            value -= float(np.log(whole))
            slope -= mean
            curve += (s2[last] - share * d2) / whole - np.outer(mean, mean)
    return value, slope, curve
