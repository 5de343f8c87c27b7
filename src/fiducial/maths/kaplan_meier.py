"""The chance of an event by a time, from follow-up that ends before everybody's event is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from fiducial.errors import InputRefused
from fiducial.maths.cox import survival
from fiducial.maths.inputs import Floats, require_level
from fiducial.maths.intervals import Interval

METHOD = "Kaplan-Meier, Greenwood on the log(-log) scale"
NOT_FOLLOWED = "nobody is followed to the horizon, and the last who was seen had no event"


@dataclass(frozen=True)
class RiskAt:
    """``risk`` P(T <= horizon), NaN where nobody is followed so far; ``influence`` [n] of each patient, of mean 0.

    The variance of the risk is the mean square of ``influence`` / n, which is Greenwood's; ``n_events`` are those by
    the horizon, ``n_followed`` who is still there at it, or has its event then.
    """

    risk: float
    influence: Floats
    n_events: int
    n_followed: int


def risk_at(time: ArrayLike, event: ArrayLike, horizon: float) -> RiskAt:
    """The Kaplan-Meier estimate of having the event by ``horizon``, and what each patient adds to its error.

    1 - prod over event times t <= horizon of (1 - d / Y), d events among Y who are followed to t; who is censored at t
    counts among them. Follow-up that ends before the horizon, with somebody still free of the event, has no answer.

    Args:
        time: [n], above 0.
        event: 0/1 [n].
        horizon: in the unit of ``time``.

    Raises:
        LabelError: as `fiducial.maths.cox.survival`.
        InputRefused: the horizon is not above 0, or lengths differ.

    Source: Kaplan and Meier, J Am Stat Assoc 53 (1958) 457-481; influence: the infinitesimal jackknife, whose variance
    equals Greenwood's (Efron, The jackknife, the bootstrap and other resampling plans (1982), section 6).
    """
    times, events = survival(time, event)
    at, n = require_horizon(horizon), len(times)
    moments = np.unique(times[events & (times <= at)])
    n_followed = int((times >= at).sum())
    happened = events & (times <= at)
    there = len(times) - np.searchsorted(np.sort(times), moments, side="left")
    died = np.searchsorted(moments, times[happened], side="left")
    n_died = np.bincount(died, minlength=len(moments))
    left = float(np.prod(1 - n_died / there)) if n else math.nan
    if not n or (left > 0 and not n_followed):
        return RiskAt(math.nan, np.full(n, math.nan), int(happened.sum()), n_followed)
    influence = np.zeros(n)
    if left > 0:
        # d log S / d weight of a patient: his own event, less his share of the hazard while he was there.
        each = 1 / (there - n_died)
        taken = np.concatenate([[0.0], np.cumsum(each * n_died / there)])
        influence = -taken[np.searchsorted(moments, np.minimum(times, at), side="right")]
        influence[happened] += each[died]
        influence *= left * n
    return RiskAt(1 - left, influence, int(happened.sum()), n_followed)


def risk_interval(time: ArrayLike, event: ArrayLike, horizon: float, *, level: float = 0.95) -> Interval:
    """`risk_at` with the interval of Kalbfleisch and Prentice: symmetric for log(-log(survival)).

    Where nobody has the event by the horizon (or everybody), the bound is the exact one of none (all) among those who
    are followed to it, or had the event. NaN, with `NOT_FOLLOWED` as reason, where `risk_at` has no answer.

    Raises:
        LabelError, InputRefused: as `risk_at`; the level is not in (0, 1).

    Source: Kalbfleisch and Prentice, The statistical analysis of failure time data (1980).
    """
    found = risk_at(time, event, horizon)
    n = len(found.influence)
    empty = Interval(found.risk, math.nan, math.nan, require_level(level), METHOD, n, n)
    if math.isnan(found.risk):
        return replace(empty, reason="no-rows" if not n else NOT_FOLLOWED)
    if found.risk in (0.0, 1.0):
        counted = found.n_followed if found.risk == 0 else found.n_events
        reach = ((1 - level) / 2) ** (1 / counted)
        method = f"exact bound on {counted} subjects"
        low, high = (0.0, 1 - reach) if found.risk == 0 else (reach, 1.0)
        return replace(empty, low=low, high=high, method=method, reason="zero-variance")
    left = 1 - found.risk
    error = math.sqrt(float((found.influence**2).sum())) / n / (left * abs(math.log(left)))
    spread = float(ndtri((1 + level) / 2)) * error
    low, high = (1 - left ** math.exp(sign * spread) for sign in (-1, 1))
    return replace(empty, low=low, high=high)


def require_horizon(horizon: float) -> float:
    """The horizon, if it is a number above 0.

    Raises:
        InputRefused: it is not.
    """
    if not (math.isfinite(horizon) and horizon > 0):
        raise InputRefused(f"horizon {horizon:g}", legal="a number above 0, in the unit of the times")
    return float(horizon)
