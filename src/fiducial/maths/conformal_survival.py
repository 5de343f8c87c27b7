"""A lower bound on a new patient's survival time, from follow-up that ends before everybody's event is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.conformal import conformal_rank, require_alpha, weighted_quantile
from fiducial.maths.inputs import Bools, Floats, binary_truth, finite_values, same_length

EXACT = "exact for censoring that depends on neither the patient nor the event"
WEIGHTED = "exact if the stated chances of follow-up are right, else approximate"
APPROXIMATE = "approximate for many patients, for censoring that depends on neither the patient nor the event"


@dataclass(frozen=True)
class SurvivalBound:
    """The bound of a patient with prediction f is min(f, cutoff) - ``offset_days``, within [0, cutoff] (`lower`).

    ``offset_days`` is infinite (every bound 0) where too few patients were followed. ``guarantee`` says what holds.
    """

    offset_days: float
    cutoff_days: float
    n_used: int
    guarantee: str

    def lower(self, predicted_days: ArrayLike) -> Floats:
        """The bounds in days [n]."""
        predicted = np.minimum(finite_values(predicted_days, name="predicted time"), self.cutoff_days)
        return np.clip(predicted - self.offset_days, 0.0, self.cutoff_days)


def survival_bound(
    predicted_days: ArrayLike,
    time_days: ArrayLike,
    event: ArrayLike,
    *,
    cutoff_days: float,
    alpha: float = 0.1,
    censoring_days: ArrayLike | None = None,
    followed: ArrayLike | None = None,
) -> SurvivalBound:
    """A lower predictive bound L with P(T >= L) >= 1 - alpha, where follow-up is cut at ``cutoff_days``.

    The nonconformity of a patient is min(f, c0) - min(T, c0), with f the predicted time and c0 the cutoff, which must
    not be chosen on these patients. Because L never exceeds c0, T >= L exactly where min(T, c0) >= L. Three cases:

    - ``censoring_days`` given (type I: it is known for everybody, also after an event, when follow-up would have
      ended): the patients with C >= c0 show min(T, c0), and their plain conformal quantile is used. The guarantee is
      exact, in finite samples, if C does not depend on patient and event.
    - with ``followed`` as well, the chance P(C >= c0 | patient) [n], the patients weigh 1 / chance (censoring
      independent of the event *given the patient*): exact if these chances are right, and the weight of the new
      patient is taken as the largest one seen, which errs on the safe side among patients like these.
    - neither (ordinary right censoring): patients with an event before c0, or followed to c0, weigh 1 / G at the end
      of what was seen, G the Kaplan-Meier estimate of remaining under follow-up. This holds only approximately.

    Args:
        predicted_days: f [n], larger for longer survival; a predicted median, quantile or any number of days.
        time_days: end of follow-up or event [n].
        event: 1 where ``time_days`` is an event [n].
        cutoff_days: c0 > 0.
        alpha: the share of patients who may die before their bound.
        censoring_days: C [n], at least ``time_days``.
        followed: P(C >= c0 | patient) [n], in (0, 1].

    Raises:
        InputRefused: lengths differ, a time is negative or not finite, or C lies before the end of follow-up.

    Source: Candes, Lei and Ren, Conformalized survival analysis, JRSS B 85 (2023) 24-45 (fixed cutoff); weights:
    Tibshirani et al., NeurIPS 2019; inverse probability of censoring: Robins and Rotnitzky 1992.
    """
    predicted, time, happened = _follow_up(predicted_days, time_days, event, cutoff_days)
    require_alpha(alpha)
    scores = np.minimum(predicted, cutoff_days) - np.minimum(time, cutoff_days)
    if censoring_days is None:
        weight = censoring_weights(time, happened, cutoff_days)
        use = weight > 0
        # The new patient, whose time is not known, stands at infinity with a mean weight.
        mean = float(weight[use].mean()) if use.any() else 1.0
        offset = weighted_quantile(scores[use], weight[use], (1 - alpha) * (weight.sum() + mean))
        return SurvivalBound(offset, cutoff_days, int(use.sum()), APPROXIMATE)
    censored = finite_values(censoring_days, name="censoring time")
    same_length(censored, time, names=("censoring times", "follow-up times"))
    if (censored < time).any():
        raise InputRefused(
            f"censoring at {censored[censored < time][0]:g} days, before follow-up ended", legal="C >= time"
        )
    use = censored >= cutoff_days
    if followed is None:
        rank, n = conformal_rank(int(use.sum()), alpha), int(use.sum())
        offset = math.inf if rank > n else float(np.sort(scores[use])[rank - 1])
        return SurvivalBound(offset, cutoff_days, n, EXACT)
    chance = finite_values(followed, name="chance of follow-up")
    same_length(chance, time, names=("chances of follow-up", "follow-up times"))
    if ((chance <= 0) | (chance > 1)).any():
        raise InputRefused(f"a chance of follow-up of {chance.min():g}", legal="above 0, at most 1")
    weight = 1 / chance[use]
    largest = float((1 / chance).max())
    offset = weighted_quantile(scores[use], weight, (1 - alpha) * (weight.sum() + largest))
    return SurvivalBound(offset, cutoff_days, int(use.sum()), WEIGHTED)


def censoring_weights(time_days: ArrayLike, event: ArrayLike, cutoff_days: float) -> Floats:
    """1 / G(min(T, c0)-) where min(T, c0) was seen, else 0 [n]; they sum to about n.

    Seen is a patient with an event before c0, or followed to c0. G is the Kaplan-Meier estimate of *not yet censored*
    just before that time, in which an event and a censoring at one time count as event first.

    Source: Robins and Rotnitzky, AIDS Epidemiology (1992) 297-331.
    """
    time = finite_values(time_days, name="time")
    happened = binary_truth(event)
    seen = happened | (time >= cutoff_days)
    remaining = under_follow_up(time, happened, np.minimum(time, cutoff_days))
    return np.asarray(np.where(seen & (remaining > 0), 1 / np.maximum(remaining, 1e-300), 0.0), dtype=np.float64)


def under_follow_up(time_days: ArrayLike, event: ArrayLike, at_days: ArrayLike) -> Floats:
    """G(t-) = P(C >= t) by Kaplan and Meier at each of ``at_days``, from times and events of one group of patients.

    Source: Kaplan and Meier, J Am Stat Assoc 53 (1958) 457-481.
    """
    time, happened = finite_values(time_days, name="time"), binary_truth(event)
    same_length(time, happened, names=("times", "events"))
    moments = np.unique(time[~happened])
    ordered = np.sort(time)
    # Those at risk of being censored at a moment: still there, without an event at that very moment.
    events = np.sort(time[happened])
    there = len(time) - np.searchsorted(ordered, moments, side="left")
    there -= np.searchsorted(events, moments, side="right") - np.searchsorted(events, moments, side="left")
    left = np.sort(time[~happened])
    n_left = np.searchsorted(left, moments, side="right") - np.searchsorted(left, moments, side="left")
    steps = np.concatenate([[1.0], np.cumprod(1 - n_left / np.maximum(there, 1))])
    return np.asarray(steps[np.searchsorted(moments, finite_values(at_days, name="time"), side="left")])


def _follow_up(
    predicted_days: ArrayLike, time_days: ArrayLike, event: ArrayLike, cutoff_days: float
) -> tuple[Floats, Floats, Bools]:
    predicted, time = finite_values(predicted_days, name="predicted time"), finite_values(time_days, name="time")
    happened = binary_truth(event)
    same_length(predicted, time, names=("predicted times", "times"))
    same_length(time, happened, names=("times", "events"))
    if (time < 0).any() or not (math.isfinite(cutoff_days) and cutoff_days > 0):
        raise InputRefused(
            f"times from {time.min(initial=0):g} days, cutoff {cutoff_days:g}",
            legal="times of 0 or more, a cutoff above 0",
        )
    return predicted, time, happened
