"""Conformal risk control: a setting of a model at which an expected loss stays below a stated bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fiducial.errors import InputRefused
from fiducial.maths.conformal import Images, largest_of, require_alpha
from fiducial.maths.inputs import Floats, subject_codes, summed


@dataclass(frozen=True)
class RiskControl:
    """The chosen setting: ``column`` of the curves, None where no setting keeps the promise.

    ``bound`` is (n R + B) / (n + 1) at that setting (at the last one if there is none), and ``n_patients`` n.
    """

    column: int | None
    bound: float
    n_patients: int


def control_risk(
    risk: ArrayLike,
    alpha: float,
    *,
    subject: ArrayLike | None = None,
    images: Images = "one",
    largest: float = 1.0,
) -> RiskControl:
    """The first setting whose expected risk on a new, exchangeable patient is at most alpha.

    The curves fall, or stay, from column to column: for masks, the false-negative rate of a case as the threshold of
    its probability map is lowered. With R the mean over n calibration patients of their curves, the setting is the
    first column at which (n R + B) / (n + 1) <= alpha, B the largest possible risk. Then E[risk] <= alpha over draws of
    the calibration patients *and* the new one. A patient with several images counts with their mean (``one``: a random
    image of a new patient) or their largest risk (``all``: the worst of a new patient's images).

    Args:
        risk: [cases, settings], each in [0, ``largest``].
        alpha: the risk that is allowed, such as 0.1.
        subject: [cases], default one patient for each.
        images: what a new patient brings.
        largest: B, the largest value that the risk can take.

    Raises:
        InputRefused: not a matrix of at least one case and setting, a value is out of range or NaN, or a curve rises.

    Source: Angelopoulos, Bates, Fisch, Lei and Schuster, Conformal risk control, ICLR 2024, theorem 1.
    """
    curves = _curves(risk, largest)
    codes, n_patients = subject_codes(subject, len(curves))
    patients = patient_curves(curves, codes, n_patients, images=images)
    bound = (patients.sum(axis=0) + largest) / (n_patients + 1)
    kept = np.flatnonzero(bound <= require_alpha(alpha) + 1e-12)
    column = int(kept[0]) if len(kept) else None
    return RiskControl(column, float(bound[-1 if column is None else column]), n_patients)


def patient_curves(curves: Floats, codes: Floats | ArrayLike, n_patients: int, *, images: Images) -> Floats:
    """Mean or largest curve of each patient [n_patients, settings]."""
    groups = np.asarray(codes, dtype=np.int64)
    if images == "all":
        return np.stack([largest_of(column, groups, n_patients) for column in curves.T], axis=1)
    counts = np.bincount(groups, minlength=n_patients)
    return np.stack([summed(groups, column, n_patients) / counts for column in curves.T], axis=1)


def excess_risk_p_value(calibration: ArrayLike, test: ArrayLike, alpha: float) -> float:
    """How likely so large a mean risk of test patients is, if the expected risk is alpha at most.

    A one-sided t test of mean(test) > alpha whose variance is var(test) / m + var(calibration) / n: the setting was
    chosen on the calibration patients, so it varies with them as their mean risk does. Approximate.

    Args:
        calibration: risk of each calibration patient at the chosen setting [n].
        test: risk of each test patient at that setting [m].
        alpha: the risk that was allowed.

    Returns:
        p; NaN where fewer than two patients are in a part; 0 or 1 where no risk varies.
    """
    from scipy.special import stdtr

    first, second = (np.asarray(part, dtype=np.float64).reshape(-1) for part in (calibration, test))
    if min(len(first), len(second)) < 2:
        return math.nan
    parts = [first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)]
    error, excess = math.sqrt(sum(parts)), float(second.mean()) - alpha
    if error == 0:
        return 0.0 if excess > 1e-12 else 1.0
    freedom = sum(parts) ** 2 / sum(part**2 / (len(own) - 1) for part, own in zip(parts, (first, second), strict=True))
    return float(stdtr(freedom, -excess / error))


def _curves(risk: ArrayLike, largest: float) -> Floats:
    curves = np.asarray(risk, dtype=np.float64)
    if curves.ndim != 2 or 0 in curves.shape:
        raise InputRefused(f"risks of shape {curves.shape}", legal="[cases, settings], at least one of each")
    if not ((curves >= 0) & (curves <= largest)).all():
        raise InputRefused(
            f"risks from {np.min(curves):g} to {np.max(curves):g}", legal=f"0 to {largest:g}, none missing"
        )
    rises = np.diff(curves, axis=1) > 1e-12
    if rises.any():
        case, setting = np.argwhere(rises)[0]
        raise InputRefused(
            f"the risk of case {case + 1} rises from setting {setting + 1} to {setting + 2}",
            legal="risks that never rise from one setting to the next",
            action="order the settings from the strictest to the most generous",
        )
    return curves
