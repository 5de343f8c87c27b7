"""Calibration: do probabilities mean what they say, and do they in every group?

What it measures: calibration slope, intercept and calibration in the large, expected calibration error over bins of
equal width and of equal number, log loss, and the Brier score with its parts, on the test part and, where there is one,
on the calibration part; slope and calibration in the large in every group, and whether groups differ.
Why it matters: a risk of 30 % leads to other actions than one of 60 %.
What it cannot see: groups that nobody recorded or that are too small; risks that are wrong in the middle of the range
and right at both ends on average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import COX, HETEROGENEITY, curve_point, evidence_row
from fiducial.audit.given import AuditInput, AuditSettings, CheckResult, Row
from fiducial.audit.groups import masks_of, usable
from fiducial.audit.measure import (
    CALIBRATION,
    LOSSES,
    N_BINS,
    from_bootstrap,
    gap,
    loss_interval,
    nothing,
    rarer,
    reason_text,
    replicates,
    statistic_of,
)
from fiducial.audit.minimum import marked
from fiducial.audit.scores import ScoreColumn, audited_columns, calibration_column

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

CHECK = "calibration"
PARTS = ("brier_reliability", "brier_resolution", "brier_uncertainty")
METRICS = (*CALIBRATION, "ece", "ece_adaptive", "brier", *PARTS, "log_loss")
GROUPED = ("calibration_slope", "calibration_in_the_large")
IDEAL = {"calibration_slope": 1.0, "calibration_in_the_large": 0.0}
GAP_REFERENCE = f"{COX}; normal draws: Mandel, The American Statistician 2013; Westfall and Young 1993"
NO_FIT = "scores are all alike, or separate the classes completely"


def check_calibration(given: AuditInput) -> CheckResult:
    """Calibration of every score and group, verdicts on the audited part, and reliability curves."""
    result = CheckResult()
    verdicts: list[Row] = []
    tests: list[Row] = []
    gaps: list[Row] = []
    for column in audited_columns(given):
        calibration = calibration_column(given, column)
        for part in [column] if calibration is None else [calibration, column]:
            result += CheckResult(_figures(given, part), reliability_rows(given, part))
        own = _tests(given, column)
        tests += own
        verdicts.append(_verdict_row(given, column, own))
        for attribute in given.settings.attributes:
            rows, between = _of_attribute(given, column, attribute)
            result += CheckResult(rows)
            gaps += between
    _adjust(tests, gaps)
    level = 1 - given.settings.level
    whole = [_judged(row, [t for t in tests if _who(t) == _who(row)], level) for row in verdicts]
    return result + CheckResult([*whole, *gaps, *_gap_verdicts(gaps, level)])


def intervals_of(
    column: ScoreColumn, scores: Mapping[str, NDArray[np.float64]], metrics: Sequence[str], settings: AuditSettings
) -> dict[tuple[str, str], Interval]:
    """Metrics of several scores of the same cases, by (score's name, metric): one fit each, one bootstrap for all."""
    from fiducial.maths.calibration import calibration_slope_intercept

    found: dict[tuple[str, str], Interval] = {}
    statistics = {}
    for name, score in scores.items():
        own = replace(column, score=score)
        fit = calibration_slope_intercept(own.truth, own.score, subject=own.subject, level=settings.level)
        fits = dict(zip(CALIBRATION, (fit.slope, fit.intercept, fit.in_the_large), strict=True))
        n = rarer(own)
        found |= {(name, metric): marked(metric, one, n) for metric, one in fits.items() if metric in metrics}
        for metric in (metric for metric in metrics if metric not in fits):
            if metric in LOSSES:
                found[(name, metric)] = loss_interval(metric, own, settings)
            elif len(own.truth):
                statistics[f"{name}:{metric}"] = statistic_of(metric, own, None)
            else:
                found[(name, metric)] = nothing(settings, "no-rows")
    if statistics:
        drawn = replicates(statistics, column.subject, None, settings)
        for key in statistics:
            name, _, metric = key.rpartition(":")
            found[(name, metric)] = from_bootstrap(drawn, key, "all", settings)
    return found


def _said(column: ScoreColumn) -> Row:
    return {"target": column.target, "item": column.item, "split": column.split}


def _who(row: Row) -> tuple[str, str, str]:
    return row["target"], row["item"], row["split"]


def _figures(given: AuditInput, column: ScoreColumn) -> list[Row]:
    found = intervals_of(column, {"": column.score}, METRICS, given.settings)
    said = {**_said(column), "n_events": column.n_events}
    return [
        evidence_row(given, CHECK, metric, found[("", metric)], reason=reason_text(found[("", metric)]), **said)
        for metric in METRICS
    ]


def _tests(given: AuditInput, column: ScoreColumn) -> list[Row]:
    """Slope against 1 and calibration in the large against 0; empty where the rarer class is too small."""
    from fiducial.maths.calibration import calibration_slope_intercept

    if rarer(column) < given.settings.minimum_n:
        return []
    fit = calibration_slope_intercept(column.truth, column.score, subject=column.subject, level=given.settings.level)
    fits = {"calibration_slope": fit.slope, "calibration_in_the_large": fit.in_the_large}
    return [{**_said(column), "metric": metric, "interval": fits[metric], "p": fits[metric].p} for metric in IDEAL]


def _verdict_row(given: AuditInput, column: ScoreColumn, tests: list[Row]) -> Row:
    """The verdict's row before p values are adjusted; ``not_possible`` where no test could be made."""
    said = {**_said(column), "n_events": column.n_events, "n_subjects": column.n_subjects}
    said |= {"n_images": len(column.truth), "statistic": "test", "verdict": "not_possible", "reference": COX}
    reason = f"n = {rarer(column)} < {given.settings.minimum_n} patients in the rarer class"
    if tests:
        unknown = [str(test["metric"]).replace("_", " ") for test in tests if math.isnan(test["p"])]
        reason = f"no interval for {', '.join(unknown)}: {NO_FIT}"
    method = "slope against 1 and calibration in the large against 0"
    return evidence_row(given, CHECK, "calibration", reason=reason, method=method, **said)


def _judged(row: Row, tests: list[Row], alpha: float) -> Row:
    """A finding where slope or calibration in the large departs from its ideal after adjustment."""
    known = [test for test in tests if math.isfinite(test["p"])]
    if not known:
        return row
    off = [
        f"{test['metric'].replace('_', ' ')} {test['interval'].value:.2f} instead of {IDEAL[test['metric']]:g}"
        for test in known
        if test["p_adjusted"] < alpha
    ]
    worst = min(known, key=lambda test: test["p"])
    row = row | {"p": worst["p"], "p_adjusted": worst["p_adjusted"]}
    row["method"] = f"{row['method']}; smaller p of the two, {worst['adjusted']}"
    if off:
        return row | {"verdict": "finding", "reason": "; ".join(off)}
    if len(known) < len(tests):
        return row  # the part of the question that has an answer is not the whole of it
    return row | {"verdict": "clear", "reason": "no departure from ideal calibration beyond chance"}


def _adjust(tests: list[Row], gaps: list[Row]) -> None:
    """Holm in each of two families, everybody and groups; where both exist, each has half of the error."""
    from fiducial.maths.multiplicity import holm

    families = [family for family in (tests, gaps) if any(math.isfinite(row["p"]) for row in family)]
    for family in families:
        adjusted = np.minimum(1.0, holm([row["p"] for row in family]) * len(families))
        n = sum(math.isfinite(row["p"]) for row in family)
        half = ", times 2 because everybody and groups share the error" if len(families) > 1 else ""
        for row, p in zip(family, adjusted, strict=True):
            row["p_adjusted"] = float(p)
            row["adjusted"] = f"adjusted by Holm over {n} tests{half}"


def _of_attribute(given: AuditInput, column: ScoreColumn, attribute: str) -> tuple[list[Row], list[Row]]:
    """Slope and calibration in the large in each group, and the gaps between groups."""
    from fiducial.maths.calibration import calibration_slope_intercept
    from fiducial.maths.calibration_groups import calibration_by_group

    why = "no image" if not len(column.image) else usable(given, attribute, column.image)
    if why:
        said = {**_said(column), "group": attribute, "statistic": "gap_test", "method": "none", "reason": why}
        return [evidence_row(given, CHECK, "calibration_slope", verdict="not_possible", **said)], []
    masks = masks_of(given, attribute, column.image)
    rows: list[Row] = []
    large: dict[str, dict[str, Interval]] = {metric: {} for metric in GROUPED}
    for group, mask in masks.items():
        inside = column.rows(mask)
        fit = calibration_slope_intercept(
            inside.truth, inside.score, subject=inside.subject, level=given.settings.level
        )
        found = {"calibration_slope": fit.slope, "calibration_in_the_large": fit.in_the_large}
        rows += [_group_row(given, inside, group, metric, interval) for metric, interval in found.items()]
        for metric, interval in found.items():
            if rarer(inside) >= given.settings.minimum_n and math.isfinite(interval.value):
                large[metric][group] = interval
    drawn = calibration_by_group(
        column.truth,
        column.score,
        masks,
        subject=column.subject,
        n_replicates=given.settings.n_replicates,
        seed=given.settings.seed,
    )
    between = []
    for metric in GROUPED:
        interval = gap(drawn, metric, list(large[metric]), given.settings, large[metric])
        between.append(_gap_row(given, column, attribute, metric, interval, large[metric]))
    return rows, between


def _group_row(given: AuditInput, inside: ScoreColumn, group: str, metric: str, interval: Interval) -> Row:
    said = {**_said(inside), "group": group, "n_events": inside.n_events}
    n = rarer(inside)
    if n < given.settings.minimum_n:
        why = "one class only in this group" if inside.one_class else ""
        reason = why or f"n = {n} < {given.settings.minimum_n} patients in the rarer class"
        counts = {"n_subjects": inside.n_subjects, "n_images": len(inside.truth)}
        return evidence_row(
            given, CHECK, metric, verdict="not_possible", reason=reason, method="none", **said, **counts
        )
    return evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **said)


def _gap_row(
    given: AuditInput,
    column: ScoreColumn,
    attribute: str,
    metric: str,
    interval: Interval,
    large: Mapping[str, Interval],
) -> Row:
    ordered = sorted(large, key=lambda group: large[group].value)
    reason = f"fewer than two groups of {attribute} have {given.settings.minimum_n} patients in each class"
    if len(ordered) > 1:
        ends = (ordered[0], ordered[-1])
        reason = ", ".join(f"{group} {large[group].value:.2f}" for group in ends)
    also = reason_text(interval) if len(ordered) > 1 else ""
    method = "max - min, simultaneous (max |t|) over cluster-robust sandwich covariances, "
    method += f"{given.settings.n_replicates} normal draws"
    said: Row = {**_said(column), "group": attribute, "statistic": "gap", "reference": GAP_REFERENCE, "p": interval.p}
    said |= {"reason": f"{reason}; {also}" if also else reason}
    return evidence_row(given, CHECK, metric, replace(interval, method=method), **said)


def _gap_verdicts(gaps: list[Row], alpha: float) -> list[Row]:
    """One verdict per score and attribute; the working entries of the gap rows are taken off."""
    adjusted = [row.pop("adjusted", "") for row in gaps]
    verdicts = []
    for who in dict.fromkeys((*_who(row), row["group"]) for row in gaps):
        own = [(row, how) for row, how in zip(gaps, adjusted, strict=True) if (*_who(row), row["group"]) == who]
        known = [(row, how) for row, how in own if math.isfinite(row["p"])]
        said: dict[str, Any] = {"statistic": "gap_test", "reference": HETEROGENEITY}
        if not known:
            verdicts.append(own[0][0] | said | {"verdict": "not_possible", "value": math.nan})
            continue
        worst, how = min(known, key=lambda pair: pair[0]["p"])
        name = str(worst["metric"]).replace("_", " ")
        finding = worst["p_adjusted"] < alpha
        reason = f"{name} differs: {worst['reason']}" if finding else "no difference beyond chance"
        said |= {"reason": reason, "method": f"{worst['method']}; smallest p of {len(known)} metrics, {how}"}
        verdicts.append(worst | said | {"verdict": "finding" if finding else "clear"})
    return verdicts


def reliability_rows(given: AuditInput, column: ScoreColumn, *, condition: str = "clean") -> list[Row]:
    """Mean score and observed rate of each bin, with the rate's interval; and how many cases each bin holds."""
    from fiducial.maths.calibration import bin_edges, reliability
    from fiducial.maths.intervals import rate_interval

    if not len(column.truth):
        return []
    base = {"target": curve_target(column), "series": column.split, "condition": condition}
    rows: list[Row] = []
    for one in reliability(column.truth, column.score, n_bins=N_BINS):
        first = one.low == 0.0
        inside = (column.score <= one.high) & ((column.score > one.low) | first)
        rate = rate_interval(column.truth[inside], subject=column.subject[inside], level=given.settings.level)
        point = {"x": one.mean_score, "y": one.rate, "low": rate.low, "high": rate.high, "n": one.n}
        rows.append(curve_point(CHECK, "reliability", **base, **point))
    edges = bin_edges(column.score, n_bins=2 * N_BINS)
    for low, high in pairwise(edges):
        inside = (column.score <= high) & ((column.score > low) | (low == 0.0))
        n = int(inside.sum())
        rows.append(curve_point(CHECK, "histogram", **base, x=float(low + high) / 2, y=float(n), n=n))
    return rows
