"""Selective prediction: what the error becomes if the least confident cases are handed to a person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, digamma

from fiducial.errors import InputRefused
from fiducial.maths.bootstrap import RiskArea
from fiducial.maths.inputs import Bools, Floats, Integers, finite_values, require_level, same_length
from fiducial.maths.intervals import effective_n

SHARES = tuple(k / 20 for k in range(10, 21))
"""Shares of cases that may be kept: a model that cannot keep half of the cases is of little use."""


@dataclass(frozen=True)
class RiskCoverage:
    """The curve, one point for each distinct confidence, from the most confident case to all.

    ``confidence`` [k] is the lowest that is kept; ``coverage`` the share kept, ``risk`` the share of the kept that is
    wrong, ``n_kept`` how many they are.
    """

    confidence: Floats
    coverage: Floats
    risk: Floats
    n_kept: Integers


@dataclass(frozen=True)
class Deferral:
    """Keep cases with ``confidence`` or more; ``kept`` is the share of the cases it was chosen on.

    ``risk`` is their error there and ``bound`` its upper bound. Where no share keeps the promise, ``confidence`` is
    infinite and ``kept`` 0: everything goes to a person.
    """

    confidence: float
    kept: float
    risk: float
    bound: float


def risk_coverage(wrong: ArrayLike, confidence: ArrayLike) -> RiskCoverage:
    """Error among the most confident cases, for every share of cases kept. Cases of one confidence stay together.

    Args:
        wrong: bool [n].
        confidence: [n], larger means more certain.

    Raises:
        InputRefused: lengths differ or a confidence is not finite.

    Source: El-Yaniv and Wiener, J Mach Learn Res 11 (2010) 1605-1641.
    """
    errors, certain = _both(wrong, confidence)
    order = np.argsort(-certain, kind="stable")
    ranked = certain[order]
    last = np.flatnonzero(np.diff(ranked, append=-np.inf))
    kept = last + 1
    n_wrong = np.cumsum(errors[order])[last]
    return RiskCoverage(ranked[last], kept / max(1, len(ranked)), n_wrong / kept, kept)


def aurc(wrong: ArrayLike, confidence: ArrayLike) -> float:
    """Area under the risk-coverage curve: the mean over cases of the error among those as confident or more.

    With confidence that says nothing it is the error rate; with a perfect order `ideal_aurc`. NaN for no cases.

    Source: Geifman, Uziel and El-Yaniv, ICLR 2019.
    """
    from fiducial.maths.bootstrap import clustered_bootstrap

    errors, certain = _both(wrong, confidence)
    if not len(errors):
        return math.nan
    return clustered_bootstrap({"it": RiskArea(errors, certain)}, None, n_replicates=0).value("it")


def ideal_aurc(n_cases: int, n_wrong: int) -> float:
    """The smallest area that ``n_wrong`` errors among ``n_cases`` allow: all errors are the least confident cases.

    (1 / n) sum over j = 1 ... e of j / (n - e + j). The excess AURC is the area less this one.
    """
    if not 0 <= n_wrong <= n_cases:
        raise InputRefused(f"{n_wrong} errors among {n_cases} cases", legal="0 to all of them")
    if n_cases == 0:
        return math.nan
    right = n_cases - n_wrong
    return float((n_wrong - right * (digamma(n_cases + 1) - digamma(right + 1))) / n_cases)


def choose_deferral(
    wrong: ArrayLike,
    confidence: ArrayLike,
    *,
    largest_risk: float,
    subject: ArrayLike | None = None,
    level: float = 0.95,
    shares: Sequence[float] = SHARES,
) -> Deferral:
    """The largest share of cases that may be kept so that their error is below ``largest_risk``, by its upper bound.

    The shares are tried from the smallest upwards, and the first that fails ends the search. For each, the confidence
    at which so many cases are kept is taken, and the error of these cases gets Clopper and Pearson's one-sided upper
    bound, on the effective number of cases where patients have several images. Because the order is fixed beforehand,
    each bound is at ``level`` itself, and the chosen one still keeps the promise on new patients with that chance.

    Args:
        wrong: bool [n], on cases that are not those on which the rule is judged.
        confidence: [n].
        largest_risk: between 0 and 1.
        subject: [n], default one patient for each row.
        level: of the whole choice.
        shares: of cases to keep, each in (0, 1]; the smallest one decides whether there is a rule at all.

    Raises:
        InputRefused: lengths differ, or risk or level is not between 0 and 1.

    Source: guaranteed selective risk: Geifman and El-Yaniv, NeurIPS 2017; fixed sequence: Angelopoulos, Bates, Candes,
    Jordan and Lei, Learn then test (2021); Clopper and Pearson, Biometrika 26 (1934) 404-413; effective n: Korn and
    Graubard, Survey Methodology 24 (1998) 193-201.
    """
    errors, certain = _both(wrong, confidence)
    require_level(level)
    if not 0 < largest_risk < 1:
        raise InputRefused(f"a largest risk of {largest_risk}", legal="between 0 and 1, such as 0.05")
    persons = np.arange(len(errors)) if subject is None else np.asarray(subject).reshape(-1)
    same_length(errors, persons, names=("cases", "subjects"))
    ranked = np.sort(certain)[::-1]
    rule = Deferral(math.inf, 0.0, math.nan, math.nan)
    for share in sorted(shares):
        wanted = math.floor(share * len(ranked) + 1e-9)
        keep = certain >= ranked[max(0, wanted - 1)] if len(ranked) else np.zeros(0, dtype=bool)
        if keep.sum() > wanted:  # cases of one confidence would be split: keep only what lies above it
            keep = certain > ranked[max(0, wanted - 1)]
        if not keep.any():
            continue
        bound = upper_rate_bound(errors[keep], subject=persons[keep], level=level)
        if bound >= largest_risk:
            break
        rule = Deferral(float(certain[keep].min()), float(keep.mean()), float(errors[keep].mean()), bound)
    return rule


def upper_rate_bound(success: ArrayLike, *, subject: ArrayLike | None = None, level: float = 0.95) -> float:
    """Clopper and Pearson's one-sided upper bound of a rate, on the effective n of repeated subjects; 1 for no rows."""
    hits = np.asarray(success, dtype=bool).reshape(-1)
    if not len(hits):
        return 1.0
    n = effective_n(hits, subject=subject, level=level)
    successes = float(hits.mean()) * n
    return 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, require_level(level)))


def _both(wrong: ArrayLike, confidence: ArrayLike) -> tuple[Bools, Floats]:
    errors = np.asarray(wrong, dtype=bool).reshape(-1)
    certain = finite_values(confidence, name="confidence")
    same_length(errors, certain, names=("answers", "confidences"))
    return errors, certain
