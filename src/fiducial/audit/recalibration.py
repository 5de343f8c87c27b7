"""Recalibration: what would a map, fitted on the calibration part, repair on the test part?

What it measures: temperature, logistic, Venn-Abers and isotonic maps of the operating half of the calibration part, and
calibration, Brier score and log loss of the test part after each; which map is best, by cross-validation on that half;
and whether the test part would need the same map.
Why it matters: a poor calibration is often mended by one or two numbers, without training again; if the map does not
fit the test part, the two parts differ, and so will the next hospital.
What it cannot see: whether the map still holds elsewhere. Discrimination is hardly changed by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.accuracy import curve_target
from fiducial.audit.calibration import intervals_of, reliability_rows
from fiducial.audit.evidence import COX, PLATT, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.halves import LEAST_HALVED, operating_half, second_half
from fiducial.audit.map_choice import Labelled, choice_rows
from fiducial.audit.measure import rarer, reason_text
from fiducial.audit.scores import ArgmaxColumn, ScoreColumn, argmax_columns, audited_columns, calibration_column
from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from fiducial.maths.recalibration import ScoreMap

CHECK = "recalibration"
METRICS = ("calibration_slope", "calibration_in_the_large", "ece", "brier", "log_loss")
NO_CALIBRATION = "the table has no calibration part to fit a map on"
TEMPERATURE = "Guo et al., ICML 2017"
ISOTONIC = "Zadrozny and Elkan, KDD 2002"
REFERENCES = {
    "temperature": TEMPERATURE,
    "logistic": PLATT,
    "venn_abers": "Vovk, Petej and Fedorova, NeurIPS 2015",
    "isotonic": ISOTONIC,
}
"""Maps of a binary score, the simplest first; with several classes, temperature and isotonic."""
_N_DRAWN = 51

Fit = Callable[[NDArray[Any], NDArray[np.float64]], "ScoreMap"]


def condition_of(name: str) -> str:
    """The condition of figures after a map: ``recalibrated:temperature``."""
    return f"recalibrated:{name}"


def check_recalibration(given: AuditInput) -> CheckResult:
    """The maps of each score, the audited part after each, and a verdict on whether both parts need the same one."""
    result = CheckResult()
    for column in audited_columns(given):
        if not column.item:
            result += _of_score(given, column)
    for decided in argmax_columns(given):
        result += _of_classes(given, decided)
    return result + CheckResult(_verdicts(given))


def _binary_fits() -> dict[str, Fit]:
    from fiducial.maths.calibration import fit_recalibration
    from fiducial.maths.recalibration import fit_isotonic, fit_temperature, fit_venn_abers

    fits = (fit_temperature, fit_recalibration, fit_venn_abers, fit_isotonic)
    return dict(zip(REFERENCES, fits, strict=True))


def _of_score(given: AuditInput, column: ScoreColumn) -> CheckResult:
    """Every map of one binary score."""
    calibration = calibration_column(given, column)
    if calibration is None:
        return CheckResult()
    half = operating_half(calibration)
    if half.one_class:
        return CheckResult()
    said: Row = {"target": column.target, "split": half.split}
    counts = {"n_subjects": half.n_subjects, "n_images": len(half.truth), "n_events": half.n_events}
    fits = _binary_fits()
    maps, rows = _fitted(given, fits, (half.truth, half.score), {**said, **counts})
    labelled = Labelled(half.truth.astype(np.int64), half.score, half.subject, half.truth)
    possible = {name: fits[name] for name in maps}
    rows += choice_rows(given, CHECK, labelled, possible, {**said, "n_events": half.n_events})
    for name in ("temperature", "logistic"):
        if name in maps:
            rows += _numbers(given, name, maps[name], {**said, **counts})
    scores = {name: one.apply(column.score) for name, one in maps.items()} if len(column.score) else {}
    curves = [point for name, one in maps.items() for point in _drawn_map(column, name, one)]
    after, drawn = _after(given, column, scores)
    if "venn_abers" in maps and len(column.score):
        after.append(_width(given, column, maps["venn_abers"]))
    return CheckResult(rows + after, curves + drawn)


def _fitted(
    given: AuditInput, fits: dict[str, Fit], data: tuple[NDArray[Any], NDArray[np.float64]], said: Row
) -> tuple[dict[str, ScoreMap], list[Row]]:
    """The maps that can be fitted, and a row for each that cannot."""
    maps: dict[str, ScoreMap] = {}
    rows: list[Row] = []
    for name, fit in fits.items():
        try:
            maps[name] = fit(*data)
        except InputRefused as refused:
            lost: Row = {"verdict": "not_possible", "reason": refused.given, "method": "none"}
            lost |= {"condition": condition_of(name), "reference": REFERENCES[name]}
            rows.append(evidence_row(given, CHECK, "map", **said, **lost))
    return maps, rows


def _numbers(given: AuditInput, name: str, found: Any, said: Row) -> list[Row]:
    """Slope and intercept of a logistic map, or its temperature."""
    from fiducial.maths.recalibration import ClassTemperature

    said = said | {"condition": condition_of(name), "reference": REFERENCES[name]}
    n = said["n_images"]
    if isinstance(found, ClassTemperature) or name == "temperature":
        value = found.temperature if isinstance(found, ClassTemperature) else 1 / found.slope
        method = f"logits divided by one number of largest likelihood, fitted on {n} calibration images"
        return [evidence_row(given, CHECK, "map_temperature", value=float(value), method=method, **said)]
    method = f"logistic regression of truth on logit(score), fitted on {n} calibration images"
    pairs = (("map_slope", found.slope), ("map_intercept", found.intercept))
    return [evidence_row(given, CHECK, metric, value=value, method=method, **said) for metric, value in pairs]


def _after(
    given: AuditInput, column: ScoreColumn, scores: dict[str, NDArray[np.float64]]
) -> tuple[list[Row], list[Row]]:
    """The audited part after each map: figures and reliability points."""
    found = intervals_of(column, scores, METRICS, given.settings)
    said = {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
    rows, curves = [], []
    for name, score in scores.items():
        for metric in METRICS:
            interval = found[(name, metric)]
            how: Row = {"condition": condition_of(name), "reason": reason_text(interval)}
            how["method"] = f"{interval.method}; after the {name.replace('_', '-')} map of the calibration part"
            rows.append(evidence_row(given, CHECK, metric, interval, **said, **how))
        curves += reliability_rows(given, replace(column, score=score), condition=condition_of(name))
    return rows, curves


def _width(given: AuditInput, column: ScoreColumn, found: Any) -> Row:
    """How far apart p0 and p1 of the Venn-Abers map are on average."""
    from fiducial.maths.intervals import mean_interval

    low, high = found.interval(column.score)
    interval = mean_interval(high - low, subject=column.subject, level=given.settings.level, bounds=(0.0, 1.0))
    said: Row = {"target": column.target, "split": column.split, "statistic": "mean"}
    said |= {"condition": condition_of("venn_abers"), "reference": REFERENCES["venn_abers"]}
    return evidence_row(given, CHECK, "venn_abers_width", interval, reason=reason_text(interval), **said)


def _drawn_map(column: ScoreColumn, name: str, found: Any) -> list[Row]:
    """What a map makes of each score; for Venn-Abers also p0 and p1."""
    x = np.linspace(0, 1, _N_DRAWN)
    y = found.apply(x)
    low, high = found.interval(x) if hasattr(found, "interval") else (np.full(_N_DRAWN, np.nan),) * 2
    said = {"target": curve_target(column), "series": name, "condition": condition_of(name)}
    return [
        curve_point(CHECK, "map", **said, x=float(a), y=float(b), low=float(c), high=float(d))
        for a, b, c, d in zip(x, y, low, high, strict=True)
    ]


def _of_classes(given: AuditInput, column: ArgmaxColumn) -> CheckResult:
    """Temperature and isotonic maps of all classes of one target at once, and every class after each."""
    from fiducial.maths.recalibration import fit_class_isotonic, fit_class_temperature

    half = _operating_classes(given, column)
    if half is None or len(column.classes) < 2 or len(np.unique(half.truth)) < len(column.classes):
        return CheckResult()
    which = np.searchsorted(np.array(half.classes), half.truth.astype(str)).astype(np.int64)
    said: Row = {"target": column.target, "split": half.split}
    counts = {"n_subjects": len(np.unique(half.subject)), "n_images": len(half.truth)}
    fits: dict[str, Fit] = {"temperature": fit_class_temperature, "isotonic": fit_class_isotonic}
    maps, rows = _fitted(given, fits, (which, half.probability), {**said, **counts})
    labelled = Labelled(which, half.probability, half.subject, which > 0)
    rows += choice_rows(given, CHECK, labelled, {name: fits[name] for name in maps}, said)
    if "temperature" in maps:
        rows += _numbers(given, "temperature", maps["temperature"], {**said, **counts})
    curves: list[Row] = []
    mapped = {name: one.apply(column.probability) for name, one in maps.items()} if len(column.truth) else {}
    for place, item in enumerate(column.classes):
        parts = (column.truth == item, column.probability[:, place], column.subject, column.image)
        own = ScoreColumn(column.target, item, column.split, *parts)
        after, drawn = _after(given, own, {name: values[:, place] for name, values in mapped.items()})
        rows, curves = rows + after, curves + drawn
    return CheckResult(rows, curves)


def _operating_classes(given: AuditInput, column: ArgmaxColumn) -> ArgmaxColumn | None:
    """The operating half of the calibration part of a target with several classes."""
    same = [other for other in argmax_columns(given, "calibration") if other.target == column.target]
    if not same or same[0].classes != column.classes or not len(same[0].truth):
        return None
    part = same[0]
    if len(np.unique(part.subject)) < LEAST_HALVED:
        return part
    return part.rows(~second_half(part.subject, part.truth != part.classes[0]))


def _verdicts(given: AuditInput) -> list[Row]:
    """Per score, whether the audited part needs another logistic map than the operating half."""
    from fiducial.maths.multiplicity import holm
    from fiducial.maths.recalibration import Part, map_difference

    rows: list[Row] = []
    tested: list[tuple[int, Row]] = []
    for column in audited_columns(given):
        calibration = calibration_column(given, column)
        half = None if calibration is None else operating_half(calibration)
        said: Row = {"target": column.target, "item": column.item, "split": column.split, "statistic": "test"}
        why = _why_not(given, column, half)
        if why or half is None:
            lost = {"verdict": "not_possible", "reason": why, "method": "none"}
            rows.append(evidence_row(given, CHECK, "recalibration", **said, **lost))
            continue
        parts = [Part(one.truth, one.score, one.subject) for one in (half, column)]
        found = map_difference(parts[0], parts[1], level=given.settings.level)
        said |= {"n_events": column.n_events, "statistic": "difference", "reference": COX}
        for metric, interval in (("map_slope", found.slope), ("map_log_odds", found.at_mean)):
            why = reason_text(interval) or "audited part minus operating half"
            row = evidence_row(given, CHECK, metric, interval, p=interval.p, reason=why, **said)
            tested.append((len(rows), row))
        rows.append(evidence_row(given, CHECK, "recalibration", **said | {"statistic": "test"}))
    for (_, row), p in zip(tested, holm([row["p"] for _, row in tested]), strict=True):
        row["p_adjusted"] = float(p)
    for place in dict.fromkeys(place for place, _ in tested):
        rows[place] = _judged(given, rows[place], [row for at, row in tested if at == place], len(tested))
    return [*(row for _, row in tested), *rows]


def _why_not(given: AuditInput, column: ScoreColumn, half: ScoreColumn | None) -> str:
    """Why no map can be compared; empty where it can."""
    if half is None:
        return NO_CALIBRATION
    if half.one_class:
        return "the calibration part has one class only"
    n = min(rarer(half), rarer(column))
    return f"n = {n} < {given.settings.minimum_n} patients in the rarer class" if n < given.settings.minimum_n else ""


def _judged(given: AuditInput, row: Row, tests: list[Row], n_tests: int) -> Row:
    worst = min(tests, key=lambda test: 2.0 if math.isnan(test["p"]) else test["p"])
    row = row | {name: worst[name] for name in ("n_subjects", "n_images", "p", "p_adjusted")}
    method = f"{worst['method']}; smaller p of slope and log odds, adjusted by Holm over {n_tests} tests"
    row["method"] = method
    if math.isnan(worst["p"]):
        return row | {"verdict": "not_possible", "reason": "scores are all alike, or separate the classes completely"}
    if worst["p_adjusted"] >= 1 - given.settings.level:
        return row | {"verdict": "clear", "reason": "the audited part needs no other map than the calibration part"}
    slope, odds = (test["value"] for test in tests)
    reason = f"the map of the calibration part does not fit: slope off by {slope:+.2f}, log odds by {odds:+.2f}"
    return row | {"verdict": "finding", "reason": reason}
