"""Sites: would the model work at the next hospital?

What it measures: AUC and calibration in the large (mean Dice for masks) at each site, their random-effects mean, the
spread between sites, the interval in which a new site is expected, and the mean without each site in turn.
Why it matters: a good average over hospitals does not say what happens at one of them, least of all at one that is not
in the table.
What it cannot see: sites that nobody sent; why they differ: case mix, scanner, reference or model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.groups import masks_of, usable
from fiducial.audit.lacking import lacking
from fiducial.audit.masks import CaseColumn, case_columns, location
from fiducial.audit.measure import reason_text, score_interval
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.study.groups import MISSING

if TYPE_CHECKING:
    from fiducial.maths.heterogeneity import RandomEffects
    from fiducial.maths.intervals import Interval

CHECK = "sites"
COLUMN = "site"
SCORE_METRICS = ("auc", "calibration_in_the_large")
TESTED = ("auc", "dice")
SHARES = ("dice",)
"""Metrics that sites are judged by; calibration by site is judged by the check of calibration and shown here."""
REFERENCE = (
    "Debray et al., Statistical Methods in Medical Research 2019; Hartung and Knapp, Statistics in Medicine 2001; "
    "Cochran, Biometrics 1954; Welch, Biometrika 1951; Holm, Scandinavian Journal of Statistics 1979"
)


@dataclass(frozen=True)
class _Site:
    """One site's figure on the scale that it is pooled on: logit for AUC, else the figure itself."""

    group: str
    estimate: float
    variance: float
    freedom: float
    n_subjects: int
    n_images: int


def check_sites(given: AuditInput) -> CheckResult:
    """Figures by site, their pooled mean, and a verdict per target on whether sites differ beyond chance."""
    if COLUMN not in given.attributes.columns:
        reason = f"the tables have no attribute {COLUMN!r}: a column that names the hospital would be needed"
        return lacking(given, CHECK, "auc", reason)
    columns: list[tuple[ScoreColumn | CaseColumn, tuple[str, ...]]]
    columns = [(column, SCORE_METRICS) for column in audited_columns(given)]
    columns += [(column, ("dice",)) for column in case_columns(given) if column.metric == "dice"]
    result, tests = CheckResult(), []
    for column, metrics in columns:
        why = usable(given, COLUMN, column.image)
        for metric in metrics:
            found, test = _of_metric(given, column, metric, why)
            result += found
            tests.append(test)
    return result + CheckResult(_verdicts(given, tests))


def _of_metric(given: AuditInput, column: ScoreColumn | CaseColumn, metric: str, why: str) -> tuple[CheckResult, Row]:
    """Rows of one metric, and its test, not yet judged."""
    said = _said(column)
    masks = {} if why else masks_of(given, COLUMN, column.image)
    rows, sites = [], []
    for group, mask in masks.items():
        images = {str(name) for name in column.image[mask]}
        row, site = _at_site(given, column.within(images), metric, group)
        rows.append(row)
        if site is not None and group != f"{COLUMN}={MISSING}":
            sites.append(site)
    said |= {"n_subjects": sum(site.n_subjects for site in sites), "n_images": sum(site.n_images for site in sites)}
    said |= {"reference": REFERENCE}
    own = {**said, "statistic": "heterogeneity", "group": COLUMN}
    if len(sites) < 2:
        where = " in the rarer class" if isinstance(column, ScoreColumn) else ""
        reason = why or f"fewer than two sites of at least {given.settings.minimum_n} patients{where}"
        return CheckResult(rows), evidence_row(given, CHECK, metric, reason=reason, method="none", **own)
    pooled = _pooled(given, sites)
    rows += _pooled_rows(given, pooled, metric, said)
    rows += [_without(given, sites, site, metric, said) for site in sites] if len(sites) > 2 else []
    low, high = min(sites, key=lambda s: s.estimate), max(sites, key=lambda s: s.estimate)
    reason = f"{low.group} {_shown(low.estimate, metric):.3f}, {high.group} {_shown(high.estimate, metric):.3f}"
    method = f"I2 from Cochran's Q {pooled.q:.1f} of {pooled.n_sites} sites, p by Welch's test{_scale(metric)}"
    own |= {"value": pooled.i_squared, "p": pooled.p, "reason": reason, "method": method}
    return CheckResult(rows, _forest(column, metric, rows)), evidence_row(given, CHECK, metric, **own)


def _at_site(given: AuditInput, column: ScoreColumn | CaseColumn, metric: str, group: str) -> tuple[Row, _Site | None]:
    said = {**_said(column), "group": group, "statistic": "at_site"}
    n = _smaller(column)
    if n < given.settings.minimum_n:
        where = " in the rarer class" if isinstance(column, ScoreColumn) else ""
        counts = {"n_subjects": column.n_subjects, "n_images": len(column.image), "method": "none"}
        reason = f"n = {n} < {given.settings.minimum_n}{where}"
        return evidence_row(given, CHECK, metric, verdict="not_possible", reason=reason, **counts, **said), None
    if isinstance(column, CaseColumn):
        interval = location(column, "mean", given.settings)
    else:
        interval = score_interval(metric, column, None, given.settings)
    row = evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **said)
    estimate, variance, freedom = _on_scale(column, metric, interval)
    if not (math.isfinite(estimate) and variance > 0):
        return row, None
    return row, _Site(group, estimate, variance, freedom, interval.n_subjects, interval.n_images)


def _on_scale(column: ScoreColumn | CaseColumn, metric: str, interval: Interval) -> tuple[float, float, float]:
    """Estimate, sampling variance on the scale of pooling and its freedom; a perfect AUC is drawn in by half a pair."""
    from fiducial.maths.intervals import student_quantile

    if metric == "auc" and isinstance(column, ScoreColumn):
        from fiducial.maths.delong import delong

        found = delong(column.truth, column.score, subject=column.subject)
        area, variance, k, freedom = found.auc, found.variance, max(1, found.n_pairs), found.degrees_of_freedom
        if not (0 < area < 1 and variance > 0):
            area = (area * k + 0.5) / (k + 1)
            variance, freedom = area * (1 - area) / k, k - 1.0
        return math.log(area / (1 - area)), variance / (area * (1 - area)) ** 2, freedom
    error = (interval.high - interval.low) / (2 * student_quantile(interval.level, max(1, interval.n_subjects - 1)))
    return interval.value, error**2, max(1.0, _smaller(column) - 1.0)


def _pooled(given: AuditInput, sites: list[_Site]) -> RandomEffects:
    from fiducial.maths.heterogeneity import random_effects

    parts = ([getattr(site, name) for site in sites] for name in ("estimate", "variance", "freedom"))
    estimate, variance, freedom = parts
    return random_effects(estimate, variance, freedom=freedom, level=given.settings.level)


def _pooled_rows(given: AuditInput, pooled: RandomEffects, metric: str, said: dict[str, Any]) -> list[Row]:
    """The mean over sites, the range for a new site, and the spread between sites."""
    method = f"random effects over {pooled.n_sites} sites (Paule-Mandel, Hartung-Knapp){_scale(metric)}"
    value = _shown(pooled.mean, metric)
    few = "" if pooled.n_sites > 2 else "of two sites the mean has no interval that says anything"
    bounds = {} if few else {"low": _shown(pooled.low, metric), "high": _shown(pooled.high, metric)}
    ahead = {"low": _shown(pooled.next_low, metric), "high": _shown(pooled.next_high, metric)}
    why = "" if pooled.n_sites > 2 else "two sites do not show how far a third may lie"
    spread = f"between-site standard deviation {math.sqrt(pooled.tau_squared):.3g}{_scale(metric)}"
    figures: list[dict[str, Any]] = [
        {"statistic": "mean_over_sites", "value": value, **bounds, "method": method, "reason": few},
        {"statistic": "new_site", "value": value, **ahead, "method": f"prediction interval; {method}", "reason": why},
        {"statistic": "tau", "value": math.sqrt(pooled.tau_squared), "method": method, "reason": spread},
    ]
    return [evidence_row(given, CHECK, metric, **{**said, **one}) for one in figures]


def _without(given: AuditInput, sites: list[_Site], left: _Site, metric: str, said: dict[str, Any]) -> Row:
    """The mean over the other sites: how much one of them carries."""
    others = [site for site in sites if site is not left]
    pooled = _pooled(given, others)
    counts = {"n_subjects": sum(s.n_subjects for s in others), "n_images": sum(s.n_images for s in others)}
    figures = {name: _shown(value, metric) for name, value in _named(pooled).items()}
    method = f"random effects without this site{_scale(metric)}"
    both = {**said, **counts, **figures, "statistic": "without_site", "group": left.group}
    return evidence_row(given, CHECK, metric, method=method, **both)


def _named(pooled: RandomEffects) -> dict[str, float]:
    return {"value": pooled.mean, "low": pooled.low, "high": pooled.high}


def _verdicts(given: AuditInput, tests: list[Row]) -> list[Row]:
    """Every test, those of `TESTED` metrics with a verdict, adjusted by Holm over all of these."""
    from fiducial.maths.multiplicity import holm

    judged = [row for row in tests if row["metric"] in TESTED]
    for row, adjusted in zip(judged, holm([row["p"] for row in judged]), strict=True):
        row["p_adjusted"] = float(adjusted)
        if not math.isfinite(row["p"]):
            row["verdict"] = "not_possible"
            continue
        finding = row["p_adjusted"] < 1 - given.settings.level
        row["verdict"] = "finding" if finding else "clear"
        words = row["metric"].replace("_", " ")
        row["reason"] = (
            f"{words} differs between sites: {row['reason']}"
            if finding
            else f"{words} is alike at all sites but for chance"
        )
    return tests


def _forest(column: ScoreColumn | CaseColumn, metric: str, rows: list[Row]) -> list[Row]:
    """What a forest plot draws: each site, then the mean and the range for a new site."""
    points = []
    drawn = [row for row in rows if row["statistic"] in ("at_site", "mean_over_sites", "new_site")]
    for place, row in enumerate(row for row in drawn if math.isfinite(row["value"])):
        series = row["group"] if row["statistic"] == "at_site" else row["statistic"]
        at = {"x": row["value"], "y": float(place), "low": row["low"], "high": row["high"], "n": row["n_images"]}
        points.append(curve_point(CHECK, metric, target=curve_target(column), group=row["group"], series=series, **at))
    return points


def _shown(value: float, metric: str) -> float:
    """Back from the scale of pooling; a share that was pooled as it is ends at 0 and at 1."""
    if not math.isfinite(value):
        return value
    if metric == "auc":
        return 1 / (1 + math.exp(-value))
    return min(1.0, max(0.0, value)) if metric in SHARES else value


def _scale(metric: str) -> str:
    return " on the logit scale" if metric == "auc" else ""


def _smaller(column: ScoreColumn | CaseColumn) -> int:
    """Patients in the rarer class; all patients for masks."""
    if isinstance(column, CaseColumn):
        return column.n_subjects
    return min(len(np.unique(column.subject[rows])) for rows in (column.truth, ~column.truth))


def _said(column: ScoreColumn | CaseColumn) -> dict[str, Any]:
    return {"target": column.target, "item": column.item, "split": column.split}
