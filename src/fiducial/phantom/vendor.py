"""A phantom vendor's prediction table, drawn without images, whose AUC, calibration and defects are known exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiducial.errors import InputRefused
from fiducial.phantom.patients import AGE_YEARS, SMOKING
from fiducial.phantom.scanners import scanners_of, site_name

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Defect:
    """A planted weakness: malignant cases of one group score ``shift`` standard deviations lower than others.

    ``where`` names the group, as attribute and value (``(("scanner", "Draco 8"),)``); ``from_age`` restricts it to
    that age and above. A shift of 0 plants nothing.
    """

    where: tuple[tuple[str, str], ...] = (("scanner", "Draco 8"),)
    shift: float = 0.8
    from_age: int = 0

    @property
    def group(self) -> str:
        """The group in Evidence's grammar (without the age limit)."""
        return "&".join(f"{name}={value}" for name, value in self.where)


NO_DEFECT = Defect(shift=0.0)


@dataclass(frozen=True)
class Vendor:
    """What a phantom vendor's model does.

    A hidden score is N(0, 1) for benign and N(mu, 1) for malignant images, mu = sqrt(2) Phi^-1(``auc``) (binormal with
    equal variances), so its log-odds of malignancy, ``logit(prevalence) + mu s - mu^2 / 2``, are known. The table's
    value is ``sigmoid(shift_logit + stretch_logit * log-odds)``: with 0 and 1 perfectly calibrated, with a stretch
    above 1 too sure of itself. ``two_images`` is the fraction of patients with two images, whose hidden scores
    correlate by ``correlation``. ``missing`` rows have no value. ``defect`` weakens one group.
    """

    auc: float = 0.96
    prevalence: float = 0.25
    two_images: float = 0.1
    correlation: float = 0.6
    shift_logit: float = 0.0
    stretch_logit: float = 1.5
    missing: float = 0.0
    threshold: float = 0.15
    defect: Defect = field(default_factory=Defect)


CLEAN = Vendor(stretch_logit=1.0, defect=NO_DEFECT)


@dataclass(frozen=True)
class VendorTruth:
    """What the audit of a vendor's table should find, computed from the model and not from the draws.

    All figures are of the population of images: ``auc`` and ``sensitivity`` over everybody, ``auc_defect`` and
    ``sensitivity_defect`` in the planted group ``defect`` (``""`` if none), the ``_others`` outside it. ``threshold``
    is where sensitivity and specificity are taken (value >= threshold). ``calibration_slope`` and ``_intercept`` are
    of the logistic regression of truth on logit(value); ``ece`` is the mean of |P(malignant | value) - value|.
    ``defect_share`` is the fraction of subjects in the planted group.
    """

    prevalence: float
    auc: float
    auc_others: float
    auc_defect: float
    threshold: float
    sensitivity: float
    sensitivity_others: float
    sensitivity_defect: float
    specificity: float
    calibration_slope: float
    calibration_intercept: float
    ece: float
    defect: str
    defect_share: float


def vendor_table(
    n_subjects: int = 2000, *, seed: int = 0, n_sites: int = 3, vendor: Vendor | None = None
) -> tuple[pd.DataFrame, VendorTruth]:
    """Draw a vendor's table.

    Returns:
        Columns subject, image, target (``malignant``), value in (0, 1), truth 0/1, sex, age, smoking, site, scanner;
        one row per image. Subject k is the same whatever ``n_subjects`` is. And the truth behind it.

    Raises:
        InputRefused: an illegal number or fraction, or a defect in a group that nobody can be in.
    """
    import pandas as pd

    vendor = vendor or Vendor()
    _check(n_subjects, n_sites, vendor)
    rows = [row for k in range(n_subjects) for row in _subject_rows(k, seed, n_sites, vendor)]
    columns = ["subject", "image", "target", "value", "truth", "sex", "age", "smoking", "site", "scanner"]
    return pd.DataFrame(rows, columns=columns), _truth(vendor, n_sites)


def _check(n_subjects: int, n_sites: int, vendor: Vendor) -> None:
    if n_subjects < 0 or n_sites < 1:
        raise InputRefused(f"n_subjects={n_subjects}, n_sites={n_sites}", legal="0 or more subjects, 1 or more sites")
    if not 0.5 < vendor.auc < 1 or not 0 < vendor.prevalence < 1 or not 0 < vendor.threshold < 1:
        raise InputRefused(
            f"auc={vendor.auc}, prevalence={vendor.prevalence}, threshold={vendor.threshold}",
            where="vendor",
            legal="auc in (0.5, 1), prevalence and threshold in (0, 1)",
        )
    fractions = {name: getattr(vendor, name) for name in ("two_images", "correlation", "missing")}
    if not all(0 <= value <= 1 for value in fractions.values()) or vendor.stretch_logit <= 0:
        raise InputRefused(
            f"{fractions}, stretch_logit={vendor.stretch_logit}",
            where="vendor",
            legal="fractions in [0, 1], a stretch above 0",
        )
    if vendor.defect.shift and _defect_share(vendor.defect, n_sites) == 0:
        raise InputRefused(
            f"no subject of {n_sites} sites is in {vendor.defect.group!r} from age {vendor.defect.from_age}",
            where="vendor.defect",
            legal="sex, smoking, site and scanner with values that occur",
        )


def separation(vendor: Vendor) -> float:
    """How many standard deviations the hidden scores of the two classes lie apart: sqrt(2) Phi^-1(AUC)."""
    from statistics import NormalDist

    return float(np.sqrt(2) * NormalDist().inv_cdf(vendor.auc))


def _subject_rows(k: int, seed: int, n_sites: int, vendor: Vendor) -> list[tuple[object, ...]]:
    """One subject's rows, from its own generator: a fixed number of draws, whatever the vendor does."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k, 7)))
    uniform, normal = rng.random(9), rng.standard_normal(3)
    site = int(uniform[0] * n_sites)
    choices = scanners_of(site)
    who = {
        "sex": "F" if uniform[1] < 0.5 else "M",
        "smoking": SMOKING[int(uniform[2] * 3)],
        "site": site_name(site),
        "scanner": choices[int(uniform[3] * len(choices))].name,
    }
    age = AGE_YEARS[0] + int(uniform[4] * (AGE_YEARS[1] - AGE_YEARS[0] + 1))
    malignant = int(uniform[5] < vendor.prevalence)
    mean = separation(vendor) * malignant
    if malignant and _is_in(vendor.defect, who, age):
        mean -= vendor.defect.shift
    rows: list[tuple[object, ...]] = []
    for i in range(2 if uniform[6] < vendor.two_images else 1):
        score = mean + np.sqrt(vendor.correlation) * normal[0] + np.sqrt(1 - vendor.correlation) * normal[1 + i]
        value = float(_value(vendor, np.array(score))) if uniform[7 + i] >= vendor.missing else float("nan")
        subject = f"V{k:05d}"
        labels = (who["sex"], age, who["smoking"], who["site"], who["scanner"])
        rows.append((subject, f"{subject}-{i + 1}", "malignant", value, malignant, *labels))
    return rows


def _is_in(defect: Defect, who: dict[str, str], age: int) -> bool:
    return age >= defect.from_age and all(who.get(name) == value for name, value in defect.where)


def log_odds(vendor: Vendor, score: Array) -> Array:
    """The true log-odds of malignancy at a hidden score [n]."""
    mu = separation(vendor)
    result: Array = np.log(vendor.prevalence / (1 - vendor.prevalence)) + mu * score - mu**2 / 2
    return result


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) [n], without overflow."""
    result: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return result


def _value(vendor: Vendor, score: Array) -> Array:
    return sigmoid(vendor.shift_logit + vendor.stretch_logit * log_odds(vendor, score))


def _defect_share(defect: Defect, n_sites: int) -> float:
    """Fraction of subjects in the defect's group, by going through every combination of attributes."""
    ages = range(AGE_YEARS[0], AGE_YEARS[1] + 1)
    old = sum(age >= defect.from_age for age in ages) / len(ages)
    share = 0.0
    for site in range(n_sites):
        choices = scanners_of(site)
        for scanner in choices:
            for sex in ("F", "M"):
                for smoking in SMOKING:
                    who = {"sex": sex, "smoking": smoking, "site": site_name(site), "scanner": scanner.name}
                    share += _is_in(defect, who, AGE_YEARS[1]) / (n_sites * len(choices) * 6)
    return share * old


def _truth(vendor: Vendor, n_sites: int) -> VendorTruth:
    """Closed forms where there are, else sums over a fine grid of hidden scores."""
    from scipy.stats import norm

    mu, shift = separation(vendor), vendor.defect.shift
    share = _defect_share(vendor.defect, n_sites) if shift else 0.0
    auc_defect = float(norm.cdf((mu - shift) / np.sqrt(2)))
    logit = np.log(vendor.threshold / (1 - vendor.threshold))
    odds_at = (logit - vendor.shift_logit) / vendor.stretch_logit
    cut = float((odds_at - np.log(vendor.prevalence / (1 - vendor.prevalence)) + mu**2 / 2) / mu)
    others, weak = float(norm.sf(cut - mu)), float(norm.sf(cut - mu + shift))
    score = np.linspace(-9, 9 + mu, 20_001)
    step = float(score[1] - score[0])
    one = vendor.prevalence * ((1 - share) * norm.pdf(score - mu) + share * norm.pdf(score - mu + shift)) * step
    none = (1 - vendor.prevalence) * norm.pdf(score) * step
    value = _value(vendor, score)
    # Exact where no defect is planted, and close to the answer elsewhere.
    start = (1 / vendor.stretch_logit, -vendor.shift_logit / vendor.stretch_logit)
    slope, intercept = _logistic(vendor.shift_logit + vendor.stretch_logit * log_odds(vendor, score), one, none, start)
    chance = one / np.maximum(one + none, 1e-300)
    return VendorTruth(
        prevalence=vendor.prevalence,
        auc=(1 - share) * vendor.auc + share * auc_defect,
        auc_others=vendor.auc,
        auc_defect=auc_defect,
        threshold=vendor.threshold,
        sensitivity=(1 - share) * others + share * weak,
        sensitivity_others=others,
        sensitivity_defect=weak,
        specificity=float(norm.cdf(cut)),
        calibration_slope=slope,
        calibration_intercept=intercept,
        ece=float(((one + none) * np.abs(chance - value)).sum()),
        defect=vendor.defect.group if shift else "",
        defect_share=share,
    )


def _logistic(x: Array, one: Array, none: Array, start: tuple[float, float]) -> tuple[float, float]:
    """Slope and intercept of the population's logistic regression, by Newton's method.

    ``one`` and ``none`` are the probabilities of truth 1 and 0 at each x.
    """
    slope, intercept = start
    for _ in range(100):
        p = sigmoid(intercept + slope * x)
        residual = one - (one + none) * p
        weight = (one + none) * p * (1 - p)
        gradient = np.array([residual.sum(), (residual * x).sum()])
        hessian = np.array([[weight.sum(), (weight * x).sum()], [(weight * x).sum(), (weight * x * x).sum()]])
        change = np.linalg.solve(hessian, gradient)
        intercept, slope = intercept + float(change[0]), slope + float(change[1])
        if np.abs(change).max() < 1e-12:
            break
    return slope, intercept
