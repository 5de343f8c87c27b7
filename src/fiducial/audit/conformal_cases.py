"""Conformal promises about cases of masks and of follow-up: risk of a threshold, volumes, survival bounds.

They come from rows of the Cases table, of a calibration and a test part:

- ``fnr@<threshold>``: false-negative rate of a case when its probability map is cut at this threshold (mask risk), and
  ``size@<threshold>``: how large the mask then is, as a multiple of the true one (optional);
- ``volume_ml_predicted`` and ``volume_ml_true`` (intervals);
- ``survival_days_predicted``, ``survival_days_observed`` and ``survival_event`` (lower bounds of survival).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.coverage import CHECK, REFERENCE, Promise, Tests, coverage_row, group_rows
from fiducial.audit.evidence import BOOTSTRAP, LOCATION, evidence_row
from fiducial.audit.given import AuditInput, Row
from fiducial.audit.halves import LEAST_HALVED, second_half
from fiducial.audit.masks import with_volume_difference
from fiducial.audit.measure import from_bootstrap, reason_text, replicates
from fiducial.audit.tables import audited_split
from fiducial.errors import InputRefused

if TYPE_CHECKING:
    import pandas as pd

RISK = "Angelopoulos, Bates, Fisch, Lei and Schuster, Conformal risk control, ICLR 2024"
RESIDUAL = "Papadopoulos et al., ECML 2002; Lei et al., JASA 2018"
SURVIVAL = "Candès, Lei and Ren, Conformalized survival analysis, JRSS B 2023; Robins and Rotnitzky 1992"
RISK_PREFIX = "fnr@"
SIZE_PREFIX = "size@"
SURVIVAL_METRICS = ("survival_days_predicted", "survival_days_observed", "survival_event")
_VOLUMES = ("volume_ml_predicted", "volume_ml_true")


def case_promises(given: AuditInput, tests: Tests) -> list[list[Row]]:
    """The rows of each structure or outcome and each kind of promise that its cases allow; tests are added."""
    if not len(given.cases):
        return []
    part = audited_split(given.cases)
    blocks = []
    for (target, item), rows in given.cases.groupby(["target", "item"], sort=True):
        metrics = set(rows["metric"])
        name = f"{target}: {item}" if item else str(target)
        if any(metric.startswith(RISK_PREFIX) for metric in metrics):
            halved = _Halved(given, _wide(rows, RISK_PREFIX), part)
            blocks.append(_mask_risk(given, name, halved, rows, tests))
        if set(_VOLUMES) <= metrics:
            difference = with_volume_difference(rows)
            blocks.append(_volumes(given, name, _Halved(given, _wide(difference, "volume_difference_ml"), part), tests))
        if set(SURVIVAL_METRICS) <= metrics:
            blocks.append(_survival(given, name, _Halved(given, _wide(rows, "survival_"), part), tests))
    return blocks


class _Halved:
    """Values of images [n, columns] in the audited part and the two halves of the calibration part."""

    def __init__(self, given: AuditInput, values: pd.DataFrame, part: str) -> None:
        person = "subject" if given.settings.person_known else "image"
        before = values[values["split"] == "calibration"]
        second = second_half(before[person].to_numpy(), np.zeros(len(before), dtype=bool))
        self.part = part
        self.person = person
        self.test = values[values["split"] == part]
        self.operating, self.conformal = before[~second], before[second]
        n = before[person].nunique()
        self.why = "" if n >= LEAST_HALVED else f"{n} calibration patients: at least {LEAST_HALVED} are needed"
        if not n:
            self.why = "the cases have no calibration part to take quantiles from"
        elif not len(self.test):
            self.why = "no case of the audited part has all values"

    def subjects(self, rows: pd.DataFrame) -> NDArray[Any]:
        """Who each row belongs to."""
        persons: NDArray[Any] = rows[self.person].to_numpy()
        return persons

    @property
    def n_calibration(self) -> int:
        """Patients whose scores give the quantile."""
        return len(np.unique(self.subjects(self.conformal)))


def _wide(rows: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """One row per image with all values of the metrics that start so; columns subject, image, split and metrics."""
    chosen = rows[rows["metric"].str.startswith(prefix)]
    wide = chosen.pivot_table(index=["image", "subject", "split"], columns="metric", values="value", aggfunc="first")
    return wide.dropna().reset_index().sort_values("image", kind="stable")


def _not_possible(given: AuditInput, target: str, item: str, halved: _Halved, why: str) -> list[Row]:
    said = {"target": target, "item": item, "split": halved.part, "verdict": "not_possible", "method": "none"}
    return [evidence_row(given, CHECK, "coverage", statistic="test", reason=why, **said)]


def _volumes(given: AuditInput, target: str, halved: _Halved, tests: Tests) -> list[Row]:
    """Intervals of the true volume around the predicted one: all of one width."""
    from fiducial.maths.conformal import conformal_quantile

    if halved.why:
        return _not_possible(given, target, "interval", halved, halved.why)
    name = "volume_difference_ml"
    scores = halved.conformal[name].abs().to_numpy()
    subject = halved.subjects(halved.conformal)
    quantile = conformal_quantile(scores, given.settings.alpha, subject=subject)
    covered = halved.test[name].abs().to_numpy() <= quantile
    text = f"predicted volume ± {quantile:.4g} ml, from {halved.n_calibration} calibration patients, one random image"
    who = (target, "interval", halved.part)
    people = (halved.subjects(halved.test), halved.test["image"].to_numpy())
    promise = Promise(*who, covered, *people, halved.n_calibration, text, f"{RESIDUAL}; {REFERENCE}")
    row = coverage_row(given, promise, tested=True)
    if math.isfinite(row["p"]):
        tests.promises.append(row)
    width: Row = {"target": target, "item": "interval", "split": halved.part, "unit": "ml", "reference": RESIDUAL}
    width |= {"n_subjects": halved.n_calibration, "n_images": len(scores), "method": text}
    width |= {"value": 2 * quantile if math.isfinite(quantile) else math.nan}
    width |= {"reason": "one width for all images" if math.isfinite(quantile) else str(row["reason"])}
    return [row, evidence_row(given, CHECK, "interval_width", **width), *group_rows(given, promise, tests)]


def _mask_risk(given: AuditInput, target: str, halved: _Halved, rows: pd.DataFrame, tests: Tests) -> list[Row]:
    """The threshold of probability maps at which the mean false-negative rate stays below alpha."""
    from fiducial.maths.conformal_risk import control_risk, excess_risk_p_value, patient_curves
    from fiducial.maths.inputs import subject_codes
    from fiducial.maths.intervals import mean_interval

    settings = given.settings
    if halved.why:
        return _not_possible(given, target, "mask_risk", halved, halved.why)
    # From the strictest threshold to the most generous one: the risk falls.
    names = sorted((n for n in halved.test.columns if str(n).startswith(RISK_PREFIX)), key=_threshold, reverse=True)
    subject = halved.subjects(halved.conformal)
    curves = halved.conformal[names].to_numpy(dtype=np.float64)
    try:
        chosen = control_risk(curves, settings.alpha, subject=subject)
    except InputRefused as refused:
        return _not_possible(given, target, "mask_risk", halved, f"{refused.given}; legal: {refused.legal}")
    if chosen.column is None:
        why = (
            f"no threshold keeps the risk below {settings.alpha:g}: at the last one it is bounded by {chosen.bound:.3g}"
        )
        return _not_possible(given, target, "mask_risk", halved, why)
    own, test = halved.subjects(halved.test), halved.test[[names[chosen.column]]].to_numpy(dtype=np.float64)
    both = [(curves[:, [chosen.column]], subject), (test, own)]
    before, now = (patient_curves(part, *subject_codes(who, len(part)), images="one")[:, 0] for part, who in both)
    interval = mean_interval(now, level=settings.level, bounds=(0.0, 1.0))
    text = (
        f"probability maps cut at {_threshold(names[chosen.column]):g}, chosen on {chosen.n_patients} calibration "
        f"patients (expected risk at most {settings.alpha:g}), one random image; {interval.method}"
    )
    said: Row = {"target": target, "item": "mask_risk", "split": halved.part, "statistic": "mean", "method": text}
    said |= {"threshold": settings.alpha, "direction": "at_most", "reference": f"{RISK}; {LOCATION}"}
    if len(now) < settings.minimum_n:
        why = f"n = {len(now)} < {settings.minimum_n}"
        return [evidence_row(given, CHECK, "false_negative_rate", verdict="not_possible", reason=why, **said)]
    size = _mask_size(given, halved, rows, _threshold(names[chosen.column]))
    said |= {"n_images": len(test), "p": excess_risk_p_value(before, now, settings.alpha)}
    row = evidence_row(given, CHECK, "false_negative_rate", interval, reason=reason_text(interval), **said)
    if math.isfinite(row["p"]):
        tests.promises.append(row)
    return [row, *(one | {name: row[name] for name in ("target", "item", "split")} for one in size)]


def _mask_size(given: AuditInput, halved: _Halved, rows: pd.DataFrame, threshold: float) -> list[Row]:
    """What the promise costs: how large the cut masks are against the true ones; no row where nobody measured it."""
    from fiducial.maths.intervals import mean_interval

    metric = f"{SIZE_PREFIX}{threshold:g}"
    test = _wide(rows[rows["metric"] == metric], metric)
    test = test[test["split"] == halved.part]
    if not len(test):
        return []
    interval = mean_interval(
        test[metric].to_numpy(dtype=np.float64), subject=halved.subjects(test), level=given.settings.level
    )
    interval = replace(interval, low=max(0.0, interval.low)) if math.isfinite(interval.low) else interval
    text = f"voxels of the map from {threshold:g} on, as a multiple of the true ones; {interval.method}"
    said = {"statistic": "mean", "method": text, "reference": LOCATION, "reason": reason_text(interval)}
    return [evidence_row(given, CHECK, "mask_size", interval, **said)]


def _threshold(name: Any) -> float:
    try:
        return float(str(name).removeprefix(RISK_PREFIX))
    except ValueError:
        return math.nan


def _survival(given: AuditInput, target: str, halved: _Halved, tests: Tests) -> list[Row]:
    """Lower bounds of survival; both halves and the test part are weighted for what censoring hides."""
    from fiducial.maths.bootstrap import Sums
    from fiducial.maths.conformal_risk import excess_risk_p_value
    from fiducial.maths.conformal_survival import censoring_weights, survival_bound

    settings, item = given.settings, "survival"
    if halved.why:
        return _not_possible(given, target, item, halved, halved.why)
    parts = (halved.operating, halved.conformal, halved.test)
    # A patient has one survival time: the first image speaks for the patient.
    operating, half, test = (part.drop_duplicates(halved.person) for part in parts)
    cutoff = _cutoff(operating)
    if not cutoff > 0:
        return _not_possible(given, target, item, halved, "nobody was followed for half of the patients' time")
    columns = [half[name].to_numpy(dtype=np.float64) for name in SURVIVAL_METRICS]
    try:
        bound = survival_bound(*columns, cutoff_days=cutoff, alpha=settings.alpha)
    except (InputRefused, ValueError) as refused:
        return _not_possible(given, target, item, halved, str(refused))
    missed, weights = [], []
    for part in (half, test):
        predicted, time, event = (part[name].to_numpy(dtype=np.float64) for name in SURVIVAL_METRICS)
        weights.append(censoring_weights(time, event, cutoff))
        missed.append(weights[-1] * (np.minimum(time, cutoff) < bound.lower(predicted)))
    who: Row = {"target": target, "item": item, "split": halved.part, "reference": f"{SURVIVAL}; {BOOTSTRAP}"}
    who |= {"threshold": 1 - settings.alpha, "direction": "at_least"}
    columns_of_sums = np.stack([weights[1] - missed[1], weights[1]], axis=1)
    found = replicates({"coverage": Sums(columns_of_sums, _ratio)}, halved.subjects(test), None, settings)
    interval = from_bootstrap(found, "coverage", "all", settings)
    text = (
        f"lower bounds up to {cutoff:.0f} days from {bound.n_used} followed calibration patients, weighted by "
        f"Kaplan-Meier of censoring; {bound.guarantee}; {interval.method}"
    )
    p = excess_risk_p_value(missed[0], missed[1], settings.alpha)
    row = evidence_row(
        given, CHECK, "coverage", interval, **{**who, "method": text, "p": p, "reason": reason_text(interval)}
    )
    if len(test) < settings.minimum_n or math.isinf(bound.offset_days):
        why = f"n = {len(test)} < {settings.minimum_n}" if len(test) < settings.minimum_n else "too few were followed"
        return [row | {"verdict": "not_possible", "reason": why, "p": math.nan}]
    if math.isfinite(p):
        tests.promises.append(row)
    return [row]


def _cutoff(operating: pd.DataFrame) -> float:
    """The last day to which at least half of the patients would be followed, on the half that gives no quantile."""
    from fiducial.maths.conformal_survival import under_follow_up

    time = operating["survival_days_observed"].to_numpy(dtype=np.float64)
    event = operating["survival_event"].to_numpy(dtype=np.float64) == 1
    days = np.unique(time)
    enough = days[under_follow_up(time, event, days) >= 0.5]
    return float(enough.max()) if len(enough) else 0.0


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = sums[..., 1]
    return np.asarray(np.divide(sums[..., 0], whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))
