"""Predicted risks of an event by a horizon, against follow-up: Brier score, calibration, net benefit.

Who is censored before the horizon is known neither to have the event nor to be free of it. Each figure allows for that
in its own way, and each supposes that censoring does not depend on the risk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtr

from fiducial.errors import InputRefused
from fiducial.maths.calibration import SMALLEST_PROBABILITY
from fiducial.maths.conformal_survival import censoring_weights
from fiducial.maths.cox import fit_cox, survival
from fiducial.maths.inputs import Bools, Floats, finite_values, probabilities, require_level, same_length
from fiducial.maths.intervals import Interval, mean_interval, student_quantile
from fiducial.maths.kaplan_meier import require_horizon, risk_at, risk_interval

WEIGHTED = ", weighted by the inverse chance of follow-up"
MOST_GROUPS = 5
LEAST_OF_GROUP = 10


@dataclass(frozen=True)
class RiskGroup:
    """Patients of like predicted risk: their mean risk, what was ``observed`` (Kaplan-Meier) and how many had it."""

    mean_risk: float
    observed: Interval
    n_events: int


def brier_terms(time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float) -> Floats:
    """What each patient adds to the Brier score at a horizon [n], whose mean it is.

    (y - risk)^2 / G with y 1 for an event by the horizon and 0 for who is free of it then, G the Kaplan-Meier estimate
    of being under follow-up at the event, or at the horizon; 0 for who is censored before.

    Raises:
        LabelError, InputRefused: as `fiducial.maths.cox.survival`; a risk is no probability.

    Source: Graf, Schmoor, Sauerbrei and Schumacher, Stat Med 18 (1999) 2529-2545.
    """
    times, events, risks = _given(time, event, risk)
    weight = censoring_weights(times, events, require_horizon(horizon))
    return np.asarray(weight * ((events & (times <= horizon)) - risks) ** 2)


def brier_at(time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float, *, level: float = 0.95) -> Interval:
    """The Brier score at a horizon, the mean of `brier_terms`, with its interval by patient.

    The weights are taken as known, which makes the interval a little too wide.
    """
    found = mean_interval(brier_terms(time, event, risk, horizon), level=level)
    return replace(found, low=float(np.maximum(0.0, found.low)), method=found.method + WEIGHTED)


def brier_difference(
    time: ArrayLike, event: ArrayLike, risks: tuple[ArrayLike, ArrayLike], horizon: float, *, level: float = 0.95
) -> Interval:
    """The Brier score of the first risks less that of the second, by patient; below 0 the first are nearer.

    ``p`` tests 0, by Student's t.
    """
    first, second = (brier_terms(time, event, one, horizon) for one in risks)
    apart, n = first - second, len(first)
    found = mean_interval(apart, level=level)
    error = float(apart.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    p = 2 * float(stdtr(n - 1, -abs(found.value) / error)) if error > 0 else math.nan
    return replace(found, method=found.method + WEIGHTED, p=p)


def integrated_brier(
    time: ArrayLike, event: ArrayLike, risks: ArrayLike, times: ArrayLike, *, level: float = 0.95
) -> Interval:
    """The mean of `brier_at` over times from 0 to the last of ``times``, with its interval by patient.

    Args:
        time: [n].
        event: 0/1 [n].
        risks: [g, n], by each of ``times``; by 0 they are 0.
        times: [g], rising, above 0; the integral is by trapezoids.
        level: of the interval.

    Raises:
        LabelError, InputRefused: as `brier_terms`; shapes do not fit, or times do not rise.
    """
    grid, table = np.asarray(times, dtype=np.float64), np.asarray(risks, dtype=np.float64)
    if grid.ndim != 1 or not len(grid) or len(table) != len(grid) or (np.diff(grid, prepend=0.0) <= 0).any():
        raise InputRefused(f"risks {table.shape}, times {grid.shape}", legal="risks [g, n] by g times that rise from 0")
    terms = np.stack([brier_terms(time, event, own, float(t)) for own, t in zip(table, grid, strict=True)])
    whole = np.trapezoid(np.concatenate([np.zeros((1, terms.shape[1])), terms]), np.concatenate([[0.0], grid]), axis=0)
    found = mean_interval(whole / grid[-1], level=level)
    return replace(found, low=float(np.maximum(0.0, found.low)), method=found.method + WEIGHTED)


def observed_to_expected(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float, *, level: float = 0.95
) -> Interval:
    """Observed risk (Kaplan-Meier) over the mean predicted risk; 1 is right, above 1 risks are too low.

    The interval is that of `risk_interval`, divided by the mean risk.

    Source: Crowson, Atkinson and Therneau, Stat Methods Med Res 25 (2016) 1692-1706.
    """
    times, events, risks = _given(time, event, risk)
    seen, mean = risk_interval(times, events, horizon, level=level), float(risks.mean()) if len(risks) else math.nan
    if len(risks) and not mean > 0:
        return replace(seen, value=math.nan, low=math.nan, high=math.nan, reason="every predicted risk is 0")
    return replace(seen, value=seen.value / mean, low=seen.low / mean, high=seen.high / mean)


def risk_slope(time: ArrayLike, event: ArrayLike, risk: ArrayLike, *, level: float = 0.95) -> Interval:
    """The calibration slope: the coefficient of log(-log(1 - risk)) in Cox's model of these patients; 1 is right.

    Of a Cox model log(-log(1 - risk)) is the linear predictor, with the log of the baseline's cumulative hazard. Below
    1 risks lie too far apart, as those of models that were fitted to too much do. The variance is Lin and Wei's
    sandwich by patient, with the factor n / (n - 1) and Student's t. ``p`` tests 1. NaN where all risks are alike
    or put the events in perfect order (``no-fit``: no slope is steep enough), or where fewer than two patients have the
    event.

    Raises:
        LabelError, InputRefused: as `fiducial.maths.cox.survival`; a risk is no probability.

    Source: van Houwelingen, Stat Med 19 (2000) 3401-3415; Royston and Altman, BMC Med Res Methodol 13 (2013) 33;
    sandwich: Lin and Wei, J Am Stat Assoc 84 (1989) 1074-1078.
    """
    times, events, risks = _given(time, event, risk)
    n, x = len(times), cloglog(risks)
    method = "Cox's model of log(-log(1 - risk)), Lin and Wei's sandwich by patient"
    empty = Interval(math.nan, math.nan, math.nan, require_level(level), method, n, n)
    if events.sum() < 2:
        return replace(empty, reason="few-subjects" if events.any() else "one-class")
    if np.ptp(x) < 1e-9 or _in_perfect_order(x, times, events):
        return replace(empty, reason="no-fit")
    scale = float(x.std())
    try:
        slope = float(fit_cox((x - x.mean())[:, None] / scale, times, events).coefficients[0]) / scale
    except InputRefused:
        return replace(empty, reason="no-fit")
    scores, information = _scores(slope * x, x, times, events)
    if not information > 1e-12:
        return replace(empty, reason="no-fit")
    error = math.sqrt(n / (n - 1) * float((scores**2).sum())) / information
    spread = student_quantile(level, n - 1) * error
    p = 2 * float(stdtr(n - 1, -abs(slope - 1) / error))
    return replace(empty, value=slope, low=slope - spread, high=slope + spread, p=p)


def _in_perfect_order(x: Floats, times: Floats, events: Bools) -> bool:
    """Whether each event has the largest of ``x`` among those who are there at its time, or each the smallest."""
    order = np.argsort(-times, kind="stable")
    last = np.searchsorted(-times[order], -times[events], side="right") - 1
    largest, smallest = np.maximum.accumulate(x[order])[last], np.minimum.accumulate(x[order])[last]
    return bool((x[events] >= largest).all() or (x[events] <= smallest).all())


def _scores(eta: Floats, x: Floats, times: Floats, events: Bools) -> tuple[Floats, float]:
    """Score residuals [n] of a model with one column, and its information; ties after Breslow."""
    weight = np.exp(eta - eta.max())
    moments, died = np.unique(times[events], return_counts=True)
    order = np.argsort(-times, kind="stable")
    columns = np.stack([weight, weight * x, weight * x**2], axis=1)[order]
    last = np.searchsorted(-times[order], -moments, side="right") - 1
    s0, s1, s2 = np.cumsum(columns, axis=0)[last].T
    mean, hazard = s1 / s0, died / s0
    steps = np.stack([hazard, hazard * mean], axis=1)
    whole, centred = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])[
        np.searchsorted(moments, times, side="right")
    ].T
    scores = -weight * (x * whole - centred)
    scores[events] += x[events] - mean[np.searchsorted(moments, times[events])]
    return np.asarray(scores), float((died * (s2 / s0 - mean**2)).sum())


def risk_groups(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float, *, level: float = 0.95
) -> list[RiskGroup]:
    """Predicted against observed risk, in groups of like predicted risk and like number, the lowest first.

    There are at most `MOST_GROUPS`, of `LEAST_OF_GROUP` patients or more each (one, where there are fewer); equal risks
    stay together.

    Raises:
        LabelError, InputRefused: as `fiducial.maths.cox.survival`; a risk is no probability.
    """
    times, events, risks = _given(time, event, risk)
    if not len(risks):
        return []
    n_groups = max(1, min(MOST_GROUPS, len(risks) // LEAST_OF_GROUP))
    edges = np.unique(np.quantile(risks, np.arange(1, n_groups) / n_groups, method="inverted_cdf"))
    which = np.searchsorted(edges, risks, side="left")
    found = []
    for one in np.unique(which):
        own = which == one
        observed = risk_interval(times[own], events[own], horizon, level=level)
        found.append(RiskGroup(float(risks[own].mean()), observed, int((events & (times <= horizon))[own].sum())))
    return found


def net_benefit_at(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float, *, threshold: float, level: float = 0.95
) -> Interval:
    """Net benefit by the horizon of acting where ``risk >= threshold``.

    x (F - (1 - F) t / (1 - t)), with x the share of patients who are acted on and F their risk by Kaplan and Meier: so
    many true positives for each patient, less the false positives that count t / (1 - t) of a true one each. With risks
    of 1 it is that of acting on everybody; acting on nobody is 0. The interval is by patient, from what each adds to x
    and to F. NaN where nobody of those who are acted on is followed to the horizon (`NOT_FOLLOWED`).

    Raises:
        InputRefused: the threshold is not in [0, 1); otherwise as `brier_terms`.

    Source: Vickers, Cronin, Elkin and Gonen, BMC Med Inform Decis Mak 8 (2008) 53; Vickers and Elkin, Med Decis Making
    26 (2006) 565-574.
    """
    times, events, risks = _given(time, event, risk)
    if not 0 <= threshold < 1:
        raise InputRefused(f"threshold {threshold}", legal="a probability from 0 to below 1")
    called, harm = risks >= threshold, threshold / (1 - threshold)
    n, method = len(times), "Kaplan-Meier among those who are acted on; normal, from each patient's influence"
    empty = Interval(math.nan, math.nan, math.nan, require_level(level), method, n, n)
    if not n:
        return replace(empty, reason="no-rows")
    if not called.any():
        return replace(empty, value=0.0, reason="equal-values")
    found = risk_at(times[called], events[called], horizon)
    if math.isnan(found.risk):
        from fiducial.maths.kaplan_meier import NOT_FOLLOWED

        return replace(empty, reason=NOT_FOLLOWED)
    gain = found.risk - (1 - found.risk) * harm
    each = np.where(called, gain, 0.0)
    value = float(each.mean())
    each[called] += (1 + harm) * found.influence
    error = float((each - value).std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    if not error > 1e-12:
        return replace(empty, value=value, reason="one-subject" if n < 2 else "equal-values")
    spread = float(ndtri((1 + level) / 2)) * error
    # No more can be won than everybody who is acted on has the event.
    return replace(empty, value=value, low=value - spread, high=min(value + spread, float(called.mean())))


def cloglog(risk: ArrayLike) -> Floats:
    """log(-log(1 - risk)), risks kept in [`SMALLEST_PROBABILITY`, 1 - `SMALLEST_PROBABILITY`]."""
    kept = np.clip(np.asarray(risk, dtype=np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(np.log(-np.log1p(-kept)))


def _given(time: ArrayLike, event: ArrayLike, risk: ArrayLike) -> tuple[Floats, Bools, Floats]:
    times, events = survival(time, event)
    risks = probabilities(finite_values(risk, name="risk"))
    same_length(risks, times, names=("risks", "times"))
    return times, events, risks
