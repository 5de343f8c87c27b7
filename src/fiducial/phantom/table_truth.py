"""What is true of the tables that `tables.draw_table` draws: closed forms, not draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fiducial.errors import InputRefused
from fiducial.phantom.defects import DEFECTS
from fiducial.phantom.tables import (
    CARELESS,
    GAP_BEFORE,
    MARKER_AMONG,
    RATER_ERROR,
    RATERS,
    SCANNERS_AT,
    WEAK_SCANNER,
    WEAK_SEX,
    WEAK_SITE,
    mean_dice,
)
from fiducial.phantom.vendor import Vendor, separation

Truth = dict[tuple[str, str], float]
"""Population values by metric and group, named as in Evidence; parts are ``split=test``, months ``month=last``."""

_phi = NormalDist().cdf


@dataclass(frozen=True)
class _Design:
    """What a table was drawn with."""

    size: float
    prevalence: float
    auc: float


def truth_of(defect: str = "", size: float = 0.0, *, prevalence: float = 0.25, auc: float = 0.9) -> Truth:
    """The population values that a planted defect changes, and AUC, calibration slope and in-the-large where known.

    With mu = sqrt(2) Phi^-1(auc), events that score d lower have AUC Phi((mu - d) / sqrt(2)) against the same
    non-events; AUCs of mixtures are the mixtures of AUCs over pairs.

    Args:
        defect: a key of `DEFECTS`, or nothing for the clean table.
        size: of the defect, in its unit.
        prevalence: as given to `draw_table`.
        auc: as given to `draw_table`.

    Returns:
        ``{(metric, group): value}``. A figure that has no closed form is absent.

    Raises:
        InputRefused: an unknown defect.
    """
    if defect and defect not in DEFECTS:
        raise InputRefused(f"defect {defect!r}", legal=", ".join(DEFECTS))
    clean: Truth = {
        ("auc", "all"): auc,
        ("calibration_slope", "all"): 1.0,
        ("calibration_in_the_large", "all"): 0.0,
        ("prevalence", "all"): prevalence,
    }
    return clean if not defect else _TRUTHS[defect](_Design(size, prevalence, auc))


def _lowered(auc: float, by: float) -> float:
    """AUC of events that score ``by`` standard deviations lower."""
    return _phi((separation(Vendor(auc=auc)) - by) / np.sqrt(2))


def _in_group(group: str, share: float) -> Callable[[_Design], Truth]:
    """Events of a group, which holds a share of the patients, score lower."""

    def truth(d: _Design) -> Truth:
        weak = _lowered(d.auc, d.size)
        return {("auc", "all"): (1 - share) * d.auc + share * weak, ("auc", group): weak, ("auc", "others"): d.auc}

    return truth


def _stretched(d: _Design) -> Truth:
    return {("auc", "all"): d.auc, ("calibration_slope", "all"): 1 / (1 + d.size)}


def _shifted(group: str) -> Callable[[_Design], Truth]:
    """Logits of a group are too high."""

    def truth(d: _Design) -> Truth:
        found: Truth = {("calibration_slope", group): 1.0, ("calibration_in_the_large", group): -d.size}
        return found | {("auc", group): d.auc}

    return truth


def _missed(d: _Design) -> Truth:
    weak = (1 - d.size) * d.auc + d.size / 2
    return {("auc", "all"): (d.auc + weak) / 2, ("auc", f"sex={WEAK_SEX}"): weak, ("missed", f"sex={WEAK_SEX}"): d.size}


def _marker(d: _Design) -> Truth:
    """A marker moves the hidden score by size / mu; pairs are mixed over who wears one."""
    by = d.size / separation(Vendor(auc=d.auc))
    without, among = MARKER_AMONG
    pairs = {1: among * (1 - without), -1: (1 - among) * without}
    same = 1 - sum(pairs.values())
    area = same * d.auc + sum(share * _lowered(d.auc, -sign * by) for sign, share in pairs.items())
    return {("auc", "all"): area, ("auc", "marker=yes"): d.auc, ("auc", "marker=no"): d.auc}


def _relabelled(events_kept: float, others_called: float, prevalence: float, auc: float) -> tuple[float, float]:
    """AUC and prevalence when labels are drawn anew: P(called 1 | event) and P(called 1 | no event)."""
    called = prevalence * events_kept + (1 - prevalence) * others_called
    real = prevalence * events_kept / called
    hidden = prevalence * (1 - events_kept) / (1 - called)
    area = real * (1 - hidden) * auc + (1 - real) * hidden * (1 - auc)
    return area + (real * hidden + (1 - real) * (1 - hidden)) / 2, called


def _coin(d: _Design) -> Truth:
    area, called = _relabelled(1 - d.size / 2, d.size / 2, d.prevalence, d.auc)
    return {("auc", "split=test"): area, ("auc", "split=calibration"): d.auc, ("prevalence", "split=test"): called}


def _flipped(d: _Design) -> Truth:
    area, called = _relabelled(1 - d.size, d.size, d.prevalence, d.auc)
    return {("auc", "all"): area, ("prevalence", "all"): called, ("label_noise", "all"): d.size}


def _idle(d: _Design) -> Truth:
    """Only where every distance is drawn anew is the order of errors known: there is none."""
    return {("error_auroc", "all"): 0.5} if d.size == 1 else {}


def _foreign(d: _Design) -> Truth:
    """The best that any score can do: the likelihood ratio along the direction."""
    return {("ood_auroc", "best"): _phi(d.size / np.sqrt(2))}


def _flattering(d: _Design) -> Truth:
    return {("bias", "all"): d.size, ("dice", "all"): mean_dice()}


def _weak_masks(d: _Design) -> Truth:
    weak = mean_dice() - d.size
    share = 1 / len(SCANNERS_AT)
    return {
        ("dice", f"site={WEAK_SITE}"): weak,
        ("dice", "others"): mean_dice(),
        ("dice", "all"): mean_dice() - share * d.size,
    }


def _careless(d: _Design) -> Truth:
    right: Truth = {("accuracy", f"rater={name}"): 1 - RATER_ERROR for name in RATERS}
    return right | {("accuracy", f"rater={CARELESS}"): (1 - RATER_ERROR) * (1 - d.size) + RATER_ERROR * d.size}


def _drifted(d: _Design) -> Truth:
    return {("auc", "month=first"): d.auc, ("auc", "month=last"): _lowered(d.auc, d.size)}


def _useless(d: _Design) -> Truth:
    """Pairs in which one score, or both, come from another patient."""
    kept = 1 - d.size
    event_anew = d.prevalence * d.auc + (1 - d.prevalence) / 2
    other_anew = d.prevalence / 2 + (1 - d.prevalence) * d.auc
    return {("auc", "all"): kept**2 * d.auc + d.size * kept * (event_anew + other_anew) + d.size**2 / 2}


def _missing(d: _Design) -> Truth:
    return {("auc", "all"): d.auc, ("missing_prediction", "all"): d.size * d.prevalence}


def _default(d: _Design) -> Truth:
    return {("default", "all"): d.size}


def _repeated(d: _Design) -> Truth:
    return {("auc", "all"): d.auc, ("repeated", "all"): d.size}


def _levelled(d: _Design) -> Truth:
    weak = _lowered(d.auc, GAP_BEFORE)
    before: Truth = {("auc", f"sex={WEAK_SEX}"): weak, ("auc", "sex=M"): d.auc}
    return before | {("auc_after", f"sex={WEAK_SEX}"): weak, ("auc_after", "sex=M"): _lowered(d.auc, d.size)}


_SITES = len(SCANNERS_AT)
_TRUTHS: dict[str, Callable[[_Design], Truth]] = {
    "stretched_scores": _stretched,
    "shifted_scores": _shifted("all"),
    "group_miscalibration": _shifted(f"sex={WEAK_SEX}"),
    "missed_group": _missed,
    "weak_group": _in_group(f"scanner={WEAK_SCANNER}", 1 / 4),
    "weak_group_masks": _weak_masks,
    "weak_intersection": _in_group(f"sex={WEAK_SEX}&site={WEAK_SITE}", 1 / (2 * _SITES)),
    "marker_shortcut": _marker,
    "test_shift": _shifted("split=test"),
    "not_exchangeable": _coin,
    "idle_confidence": _idle,
    "foreign_images": _foreign,
    "flattering_quality": _flattering,
    "label_noise": _flipped,
    "careless_rater": _careless,
    "drift": _drifted,
    "weak_site": _in_group(f"site={WEAK_SITE}", 1 / _SITES),
    "harmful_decisions": _useless,
    "events_missing": _missing,
    "default_value": _default,
    "repeated_rows": _repeated,
    "levelling_down": _levelled,
}
