"""ComBat: take a site's shift and spread out of features, fitted on some rows and applied to others.

Fit on training rows alone and apply the fit to every row: a fit that has seen the test rows carries them into the
training, and what is measured there is no longer of unseen patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.inputs import Bools, Floats, Integers

N_STEPS = 1000
TOLERANCE = 1e-6
FLAT = 1e-12


@dataclass(frozen=True)
class CombatFit:
    """What ComBat learned of each site and feature; `apply_combat` uses nothing else.

    ``mean`` [n_features] and ``effects`` [n_covariates, n_features] are what is kept, ``scale`` [n_features] the pooled
    standard deviation. ``shift`` and ``spread`` [n_sites, n_features] are what is taken out: in units of ``scale``, a
    location, and a factor of the variance. ``site_reason`` says of a site, and ``reason`` of a feature, what could not
    be learned ("" where all was).
    """

    sites: tuple[str, ...]
    n_rows: tuple[int, ...]
    mean: Floats
    effects: Floats
    scale: Floats
    shift: Floats
    spread: Floats
    site_reason: tuple[str, ...]
    reason: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; `combat_from_json` gives the same fit back. What was not learned is null."""
        numbers = {name: _nulls(getattr(self, name)) for name in _ARRAYS}
        return {name: list(getattr(self, name)) for name in _LISTS} | numbers


_LISTS = ("sites", "n_rows", "site_reason", "reason")
_ARRAYS = ("mean", "effects", "scale", "shift", "spread")


@dataclass(frozen=True)
class Harmonised:
    """``values`` [n, n_features] and why a row was left as it was ("" where it was harmonised)."""

    values: Floats
    reason: tuple[str, ...]


def fit_combat(
    values: ArrayLike, site: ArrayLike, *, covariates: ArrayLike | None = None, empirical_bayes: bool = True
) -> CombatFit:
    """Learn each site's shift and spread of every feature from these rows.

    The model of row j of site i is y = mean + x effects + scale (shift_i + sqrt(spread_i) e). Mean, effects and sites
    are fitted by least squares; ``scale`` is the root of the mean squared residual. With ``empirical_bayes`` the sites'
    figures are drawn towards what is usual among the features of that site (normal prior of the shift, inverse gamma
    prior of the spread; parametric priors by moments), which is what makes ComBat bearable with few rows at a site.

    A missing value (NaN) is left out of its own feature. A feature without any spread is left as it is (``reason``
    ``constant``); one that a site has no value of is not learned at all (``missing``). A site with one row, or one
    value of a feature, gives no spread: its factor is 1, and its shift alone is taken out (``site_reason``
    ``one-row``).

    Args:
        values: [n, n_features].
        site: names [n].
        covariates: [n, n_covariates], finite numbers (a category as 0 and 1) whose effects are to be kept. Never the
            outcome that is to be predicted: a fit that keeps it writes it into the features.
        empirical_bayes: needs two features or more.

    Raises:
        InputRefused: shapes do not fit, a site has no name, fewer than two sites, no site with two rows, covariates
            that are not finite or cannot be told from the sites, or one feature with ``empirical_bayes``.

    Source: Johnson, Li and Rabinovic, Biostatistics 8 (2007) 118-127, parametric version; the formulas as Fortin et
    al., Neuroimage 161 (2017) 149-170 give them.
    """
    y, names, x = _rows(values, site, covariates)
    sites, codes = np.unique(names, return_inverse=True)
    at = codes.reshape(-1).astype(np.int64)
    _require_enough(y, sites, at, x, empirical_bayes=empirical_bayes)
    design = np.concatenate([np.eye(len(sites))[at], x], axis=1)
    seen = np.isfinite(y)
    n = _counts(seen, at, len(sites))
    reason = np.where(n.min(axis=0) == 0, "missing: a site has no value of this feature", "").astype(object)
    fitted = _regressed(np.where(seen, y, np.nan), design, usable=reason == "")
    reason[(reason == "") & np.isnan(fitted).any(axis=0)] = "missing: covariates and sites cannot be told apart"
    residual = y - design @ fitted
    with np.errstate(invalid="ignore"):
        scale = np.sqrt(np.nansum(residual**2, axis=0) / np.maximum(seen.sum(axis=0), 1))
        level = np.nanmax(np.where(seen, np.abs(y), 0), axis=0)
    reason[(reason == "") & ~(scale > FLAT * np.maximum(level, np.finfo(float).tiny))] = "constant: no spread in sites"
    mean = (n * fitted[: len(sites)]).sum(axis=0) / np.maximum(n.sum(axis=0), 1)
    effects = fitted[len(sites) :]
    fine = reason == ""
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (y - mean - x @ effects) / np.where(fine, scale, np.nan)
    shift, spread = _of_sites(z, at, n, fine=fine, empirical_bayes=empirical_bayes)
    rows = np.bincount(at, minlength=len(sites))
    alone = tuple("one-row: its spread is not known, its shift alone is taken out" if k == 1 else "" for k in rows)
    unknown = np.array([text.startswith("missing") for text in reason])
    mean, scale = np.where(unknown, np.nan, mean), np.where(fine, scale, np.where(unknown, np.nan, 1.0))
    return CombatFit(
        tuple(str(name) for name in sites),
        tuple(int(k) for k in rows),
        mean,
        np.where(unknown, np.nan, effects),
        scale,
        np.where(fine, shift, np.where(unknown, np.nan, 0.0)),
        np.where(fine, spread, np.where(unknown, np.nan, 1.0)),
        alone,
        tuple(str(text) for text in reason),
    )


def apply_combat(
    fit: CombatFit,
    values: ArrayLike,
    site: ArrayLike,
    *,
    covariates: ArrayLike | None = None,
    unknown: Literal["refuse", "keep"] = "refuse",
) -> Harmonised:
    """Take out of each row what the fit says of its site; no figure of these rows is used.

    y* = scale (z - shift_i) / sqrt(spread_i) + mean + x effects, with z = (y - mean - x effects) / scale. Missing
    values stay missing, and a feature that was not learned (``reason`` ``missing``) becomes so.

    Args:
        fit: of the training rows.
        values: [n, n_features], features in the order of the fit.
        site: names [n].
        covariates: [n, n_covariates], those of the fit.
        unknown: what becomes of rows whose site the fit has not seen: ``refuse`` the call, or ``keep`` them as they
            are with a reason that names the site.

    Raises:
        InputRefused: a site that the fit has not seen, another number of features or covariates.
    """
    y, names, x = _rows(values, site, covariates)
    if y.shape[1] != len(fit.mean) or x.shape[1] != len(fit.effects):
        raise InputRefused(
            f"{y.shape[1]} features and {x.shape[1]} covariates",
            legal=f"{len(fit.mean)} features and {len(fit.effects)} covariates, as the fit was made of",
        )
    place = {name: i for i, name in enumerate(fit.sites)}
    strange = sorted({str(name) for name in names if str(name) not in place})
    if strange and unknown == "refuse":
        raise InputRefused(
            f"site {', '.join(strange)} was not in the fit",
            legal=", ".join(fit.sites),
            action='fit on rows of this site too, leave its rows out, or say unknown="keep" to leave them as they are',
        )
    at = np.array([place.get(str(name), -1) for name in names], dtype=np.int64)
    kept = fit.mean + x @ fit.effects
    z = (y - kept) / fit.scale
    found = fit.scale * (z - fit.shift[at]) / np.sqrt(fit.spread[at]) + kept
    plain = np.array([text.startswith("constant") for text in fit.reason], dtype=bool)
    found = np.where(plain[None] | (at < 0)[:, None], y, found)
    reason = tuple("" if i >= 0 else f"site-not-in-fit: {name}" for i, name in zip(at, names, strict=True))
    return Harmonised(found, reason)


def combat_from_json(said: Mapping[str, Any]) -> CombatFit:
    """Read what `CombatFit.to_json` gave.

    Raises:
        InputRefused: a key is missing, or shapes do not fit.
    """
    missing = [name for name in (*_LISTS, *_ARRAYS) if name not in said]
    if missing:
        raise InputRefused(f"no {', '.join(missing)}", legal=f"the keys {', '.join((*_LISTS, *_ARRAYS))}")
    n_sites, n_features = len(said["sites"]), len(said["mean"])
    shapes = dict.fromkeys(("mean", "scale"), (n_features,)) | dict.fromkeys(("shift", "spread"), (n_sites, n_features))
    arrays = {name: np.array(said[name], dtype=np.float64) for name in _ARRAYS}
    arrays["effects"] = arrays["effects"].reshape(-1, n_features)
    wrong = [f"{name} {arrays[name].shape}" for name, shape in shapes.items() if arrays[name].shape != shape]
    wrong += [name for name in ("n_rows", "site_reason") if len(said[name]) != n_sites]
    wrong += ["reason"] if len(said["reason"]) != n_features else []
    if wrong:
        raise InputRefused(f"shapes of {', '.join(wrong)}", legal=f"{n_sites} sites and {n_features} features")
    sites, site_reason, reason = (tuple(map(str, said[name])) for name in ("sites", "site_reason", "reason"))
    n_rows = tuple(int(k) for k in said["n_rows"])
    mean, effects, scale, shift, spread = (arrays[name] for name in _ARRAYS)
    return CombatFit(sites, n_rows, mean, effects, scale, shift, spread, site_reason, reason)


def _rows(values: ArrayLike, site: ArrayLike, covariates: ArrayLike | None) -> tuple[Floats, Any, Floats]:
    """Values, site names and covariates of one length; infinite values count as missing."""
    y, names = np.asarray(values, dtype=np.float64), np.asarray(site).astype(str).reshape(-1)
    x = np.zeros((len(names), 0)) if covariates is None else np.asarray(covariates, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if y.ndim != 2 or len(y) != len(names) or x.ndim != 2 or len(x) != len(names):
        raise InputRefused(
            f"values of shape {y.shape}, {len(names)} sites and covariates of shape {x.shape}",
            legal="values [n, n_features], a site for each row, covariates [n, n_covariates]",
        )
    if (names == "").any():
        raise InputRefused(f"{int((names == '').sum())} rows without a site", legal="a name for each row")
    if not np.isfinite(x).all():
        raise InputRefused("covariates that are not finite", action="leave such rows out, or fill them in first")
    return np.where(np.isfinite(y), y, np.nan), names, x


def _require_enough(y: Floats, sites: Any, at: Integers, x: Floats, *, empirical_bayes: bool) -> None:
    """Raise where there is nothing to learn a site's figures from."""
    if len(sites) < 2:
        raise InputRefused(f"{len(sites)} site", legal="two sites or more", action="leave harmonisation out")
    if np.bincount(at).max() < 2:
        raise InputRefused("one row at every site", legal="a site with two rows or more")
    if empirical_bayes and y.shape[1] < 2:
        raise InputRefused(
            f"{y.shape[1]} feature", legal="two or more, to learn from each other", action="say empirical_bayes=False"
        )
    design = np.concatenate([np.eye(len(sites))[at], x], axis=1)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise InputRefused(
            f"{x.shape[1]} covariates that cannot be told from the {len(sites)} sites or from each other",
            legal="covariates that vary within sites",
            action="leave out the covariate that a site stands for",
        )


def _counts(seen: Bools, at: Integers, n_sites: int) -> Integers:
    """Values of each site and feature [n_sites, n_features]."""
    return np.stack([seen[at == i].sum(axis=0) for i in range(n_sites)]).astype(np.int64)


def _regressed(y: Floats, design: Floats, *, usable: Any) -> Floats:
    """Coefficients [n_columns, n_features] by least squares, each feature on its own rows; NaN where undetermined."""
    fitted = np.full((design.shape[1], y.shape[1]), np.nan)
    patterns, which = np.unique(np.isfinite(y), axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        columns = np.flatnonzero((which.reshape(-1) == number) & usable)
        if len(columns) and np.linalg.matrix_rank(design[rows]) == design.shape[1]:
            fitted[:, columns] = np.linalg.lstsq(design[rows], y[np.ix_(rows, columns)], rcond=None)[0]
    return fitted


def _of_sites(z: Floats, at: Integers, n: Integers, *, fine: Any, empirical_bayes: bool) -> tuple[Floats, Floats]:
    """Shift and spread of each site and feature [n_sites, n_features], of standardised values."""
    shift, spread = np.zeros(n.shape), np.ones(n.shape)
    for i in range(len(n)):
        own = z[at == i][:, fine]
        if own.shape[1] == 0:
            continue
        count = n[i, fine].astype(np.float64)
        centre = np.nansum(own, axis=0) / count
        squares = np.nansum((own - centre) ** 2, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.where(count >= 2, squares / (count - 1), np.nan)
        if empirical_bayes:
            shift[i, fine], spread[i, fine] = _shrunk(centre, variance, count)
        else:
            shift[i, fine], spread[i, fine] = centre, np.where(variance > FLAT, variance, 1.0)
    return shift, spread


def _shrunk(centre: Floats, variance: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Posterior shift and spread of one site over its features, each the other's condition, until both rest."""
    many = len(centre) > 1
    prior_centre, prior_width = centre.mean(), centre.var(ddof=1) if many else 0.0
    known = np.isfinite(variance)
    known &= bool(known.any()) and float(variance[known].mean()) > FLAT  # rows that repeat each other tell no spread
    a, b = _inverse_gamma(variance[known])
    g, d = centre.copy(), np.where(known, np.maximum(np.nan_to_num(variance), FLAT), 1.0)
    for _ in range(N_STEPS):
        new_g = (count * prior_width * centre + d * prior_centre) / (count * prior_width + d)
        squares = (count - 1) * np.where(known, variance, 0.0) + count * (centre - new_g) ** 2
        new_d = np.where(known, (squares / 2 + b) / (count / 2 + a - 1), 1.0)
        moved = max(np.abs(new_g - g).max(), np.abs(new_d / d - 1).max())
        g, d = new_g, new_d
        if moved < TOLERANCE:
            break
    return g, np.where(known, d, 1.0)


def _inverse_gamma(variance: Floats) -> tuple[float, float]:
    """Parameters of the prior whose mean and variance are those of the features' variances."""
    if len(variance) == 0:
        return 1.0, 1.0
    mean = float(variance.mean())
    wide = float(variance.var(ddof=1)) if len(variance) > 1 else 0.0
    wide = max(wide, FLAT * max(mean, FLAT) ** 2)
    return 2 + mean**2 / wide, mean + mean**3 / wide


def _nulls(array: Floats) -> list[Any]:
    """Numbers as plain values, None for NaN."""
    if array.ndim > 1:
        return [_nulls(row) for row in array]
    return [None if math.isnan(value) else float(value) for value in array]
