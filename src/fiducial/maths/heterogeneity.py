"""Do sites differ? One estimate per site, pooled with what lies between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, fdtrc

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Floats, finite_values, require_level, same_length
from fiducial.maths.intervals import student_quantile


@dataclass(frozen=True)
class RandomEffects:
    """A random-effects summary of k estimates.

    ``tau_squared`` is the variance between sites, ``q`` Cochran's statistic on k - 1 degrees of freedom, ``p`` that of
    *all sites are alike*, ``i_squared`` the share of the spread that is not sampling error. ``low`` and ``high`` are
    the interval of the mean (Hartung and Knapp), ``next_low`` and ``next_high`` the prediction interval for a new site,
    NaN below three sites.
    """

    mean: float
    low: float
    high: float
    next_low: float
    next_high: float
    tau_squared: float
    i_squared: float
    q: float
    p: float
    n_sites: int


def random_effects(
    estimates: ArrayLike, variances: ArrayLike, *, freedom: ArrayLike | None = None, level: float = 0.95
) -> RandomEffects:
    """Pool one estimate per site, such as logit(AUC), that differ by sampling error and by site.

    tau^2 after Paule and Mandel: the value at which the weighted squares equal k - 1, at least 0. The mean's interval
    is Hartung and Knapp's with Student's t on k - 1 degrees of freedom, never narrower than the common one. The
    prediction interval is mean +- t(k - 2) sqrt(tau^2 + SE^2). ``p`` takes Q for chi-squared if the variances are
    known; with their degrees of freedom it is Welch's F test, since Q is too large where variances are estimated from
    few patients.

    Args:
        estimates: [k], k at least 2.
        variances: sampling variance of each [k], above 0.
        freedom: degrees of freedom of each variance [k]; None for known variances.
        level: of both intervals.

    Raises:
        InputRefused: fewer than two sites, lengths differ, or a variance is not positive.

    Source: Paule and Mandel, J Res Natl Bur Stand 87 (1982) 377-385; Hartung and Knapp, Stat Med 20 (2001) 3875-3889;
    Higgins, Thompson and Spiegelhalter, JRSS A 172 (2009) 137-159; Debray et al., Stat Methods Med Res 28 (2019)
    2768-2786; Cochran, Biometrics 10 (1954) 101-129; Welch, Biometrika 38 (1951) 330-336.
    """
    y, v = finite_values(estimates, name="estimate"), finite_values(variances, name="variance")
    same_length(y, v, names=("estimates", "variances"))
    k = len(y)
    if k < 2 or (v <= 0).any():
        raise InputRefused(f"{k} sites, variances {v.tolist()}", legal="two or more sites, each variance above 0")
    require_level(level)
    q = _squares(y, v, 0.0)
    tau = _paule_mandel(y, v)
    weight = 1 / (v + tau)
    mean = float((weight * y).sum() / weight.sum())
    common = 1 / float(weight.sum())
    square = max(common, _squares(y, v, tau) / (k - 1) * common)
    spread = student_quantile(level, k - 1) * math.sqrt(square)
    ahead = student_quantile(level, k - 2) * math.sqrt(tau + square) if k > 2 else math.nan
    return RandomEffects(
        mean=mean,
        low=mean - spread,
        high=mean + spread,
        next_low=mean - ahead,
        next_high=mean + ahead,
        tau_squared=tau,
        i_squared=max(0.0, (q - (k - 1)) / q) if q > 0 else 0.0,
        q=q,
        p=float(chdtrc(k - 1, q)) if freedom is None else _welch(q, 1 / v, finite_values(freedom, name="freedom")),
        n_sites=k,
    )


def _welch(q: float, weight: Floats, freedom: Floats) -> float:
    """The p value of Welch's test of equal means, whose numerator is Cochran's Q."""
    k = len(weight)
    same_length(weight, freedom, names=("variances", "degrees of freedom"))
    unknown = float(((1 - weight / weight.sum()) ** 2 / np.maximum(freedom, 1.0)).sum())
    statistic = q / (k - 1) / (1 + 2 * (k - 2) / (k**2 - 1) * unknown)
    return float(fdtrc(k - 1, (k**2 - 1) / (3 * unknown), statistic))


def _squares(y: Floats, v: Floats, tau: float) -> float:
    """Weighted squares around the weighted mean."""
    weight = 1 / (v + tau)
    mean = (weight * y).sum() / weight.sum()
    return float((weight * (y - mean) ** 2).sum())


def _paule_mandel(y: Floats, v: Floats) -> float:
    """The tau^2 whose weighted squares are k - 1; they fall as it grows."""
    wanted = len(y) - 1
    if _squares(y, v, 0.0) <= wanted:
        return 0.0
    high = float(np.var(y)) + float(v.max())
    while _squares(y, v, high) > wanted:
        high *= 2
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _squares(y, v, middle) > wanted else (low, middle)
    return (low + high) / 2
