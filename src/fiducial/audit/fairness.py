"""Fairness: are errors and risks spread alike over groups of patients, and over the intersections of two attributes?

What it measures: gaps of equal opportunity (true positive rate), equalised odds (the larger of the gaps of true and
false positive rate), under-diagnosis, the ranking of events, calibration within group and demographic parity; for every
attribute and every two attributes crossed, each with its own interval, and tests adjusted over all of them.
Why it matters: who is overlooked, and who is called without reason, is not seen in an average, and a group may be well
served on each of two attributes and badly on both.
What it cannot see: why a gap exists; attributes that nobody recorded; whether a gap is just.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.group_tests import (
    AT_A_THRESHOLD,
    CALIBRATION,
    Division,
    Tested,
    Values,
    adjusted,
    calibration_groups,
    divisions_of,
    large_groups,
    pooled_of,
    smallest,
    tests_of_calibration,
    tests_of_values,
    values_of,
)
from fiducial.audit.lacking import lacking
from fiducial.audit.masks import CaseColumn, case_columns, location
from fiducial.audit.measure import gap, reason_text, replicates, score_interval
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.audit.thresholds import Threshold, threshold_of

if TYPE_CHECKING:
    from fiducial.maths.bootstrap import Bootstrap
    from fiducial.maths.intervals import Interval

CHECK = "fairness"
ANY_FINDING = "any finding"
NO_FINDING = "no finding"
MASK_METRICS = ("dice", "nsd", "hd95")
HARDT = "Hardt, Price and Srebro, NeurIPS 2016"
SEYYED = "Seyyed-Kalantari et al., Nature Medicine 2021"
BORKAN = "Borkan et al., Companion Proceedings of the Web Conference 2019"
WITHIN = "Kleinberg, Mullainathan and Raghavan, ITCS 2017"
TESTING = "score tests: Mielke and Berry 2007; Rao and Scott, Biometrics 1992; family: Westfall and Young 1993"
RESTS_ON = {
    "equal_opportunity": ("sensitivity",),
    "underdiagnosis_rate": ("sensitivity",),
    "equalised_odds": AT_A_THRESHOLD,
    "demographic_parity": (),
    "bnsp_auc": ("bnsp_auc",),
    "calibration_within_group": ("calibration_in_the_large",),
    "calibration_slope": ("calibration_slope",),
}
"""Each gap, and the tests that speak for it. Demographic parity moves with prevalence, so it is shown only."""
REFERENCES = {
    "equal_opportunity": HARDT,
    "equalised_odds": HARDT,
    "underdiagnosis_rate": SEYYED,
    "demographic_parity": "Dwork et al., ITCS 2012",
    "bnsp_auc": BORKAN,
    "calibration_within_group": WITHIN,
    "calibration_slope": WITHIN,
}
METHOD = "each group against the rest (score test, Pearson III, by patient), the smallest p times their number"


@dataclass(frozen=True)
class Part:
    """One score (or metric of masks) with its groups, its metrics that are means, and replicates of them."""

    column: ScoreColumn | CaseColumn
    threshold: Threshold
    divisions: list[Division]
    values: dict[str, Values]
    found: Bootstrap | None
    any_finding: bool = False

    @property
    def no_finding(self) -> bool:
        """Whether a positive answer says that nothing was found."""
        return self.column.target.lower().replace("_", " ").strip() == NO_FINDING

    def said(self) -> dict[str, Any]:
        """What every row of this part carries."""
        unit = self.column.unit if isinstance(self.column, CaseColumn) else ""
        return {"target": self.column.target, "item": self.column.item, "split": self.column.split, "unit": unit}


def check_fairness(given: AuditInput) -> CheckResult:
    """Gaps by attribute and by intersection, one verdict each; all tests of all targets are one family."""
    scores = [column for column in audited_columns(given) if len(column.image)]
    columns: list[tuple[ScoreColumn | CaseColumn, Threshold]] = [(one, _threshold(given, one)) for one in scores]
    whole = _any_finding(given, scores)
    columns += [(whole, Threshold(0.5, "each target at its own threshold"))] if whole is not None else []
    columns += [(c, Threshold(None, "")) for c in case_columns(given) if c.metric in MASK_METRICS and len(c.image)]
    if not columns:
        return CheckResult()
    if not given.settings.attributes:
        reason = "no attribute of patients (sex, age, site, scanner) is in the tables"
        return lacking(given, CHECK, "equal_opportunity", reason)
    result = CheckResult()
    parts: list[Part] = []
    for column, threshold in columns:
        part, refused = _part(given, column, threshold, any_finding=column is whole)
        parts.append(part)
        if isinstance(column, ScoreColumn):
            result += CheckResult(refused)
    family = adjusted([(part.column, tests_of(given, part)) for part in parts], seed=given.settings.seed)
    for part, own in zip(parts, family, strict=True):
        result += _of_part(given, part, own, sum(map(len, family)))
    return result


def _threshold(given: AuditInput, column: ScoreColumn) -> Threshold:
    """The threshold; none for one class of several where no rule is stated: the most probable class is called."""
    if column.item and (given.study is None or given.study.operating_point is None):
        return Threshold(None, "several classes without a stated operating point")
    return threshold_of(given, column)


def _any_finding(given: AuditInput, scores: Sequence[ScoreColumn]) -> ScoreColumn | None:
    """Several targets as one: is there any finding, and is any called? None with fewer than two targets."""
    own = [c for c in scores if not c.item and c.target.lower().replace("_", " ").strip() != NO_FINDING]
    stated = [(column, threshold_of(given, column).value) for column in own]
    usable = [(column, value) for column, value in stated if value is not None]
    if len(usable) < 2:
        return None
    images = sorted(set.intersection(*(set(map(str, column.image)) for column, _ in usable)))
    if not images:
        return None
    truth, called = np.zeros(len(images), dtype=bool), np.zeros(len(images), dtype=bool)
    for column, value in usable:
        place = {str(name): k for k, name in enumerate(column.image)}
        rows = np.array([place[name] for name in images])
        truth |= column.truth[rows]
        called |= column.score[rows] >= value
    subject = column.subject[rows]
    return ScoreColumn("", "", column.split, truth, called.astype(float), subject, np.array(images, dtype=object))


def _part(
    given: AuditInput, column: ScoreColumn | CaseColumn, threshold: Threshold, *, any_finding: bool
) -> tuple[Part, list[Row]]:
    """Groups and replicates of one column; and a row for each attribute that divides nothing."""
    divisions, refused = divisions_of(given, column.image)
    values = values_of(column, threshold.value)
    if any_finding:
        values = {"sensitivity": values["sensitivity"]}
    if isinstance(column, CaseColumn):
        divisions = [division for division in divisions if division.crossed]  # single attributes: see subgroups
    part = Part(column, threshold, divisions, values, _replicates(given, column, divisions, values), any_finding)
    rows = [
        evidence_row(given, CHECK, "equal_opportunity", statistic="gap_test", group=name, **_not_possible(why))
        | part.said()
        for name, why in refused.items()
    ]
    return part, rows


def _replicates(
    given: AuditInput, column: ScoreColumn | CaseColumn, divisions: Sequence[Division], values: Mapping[str, Values]
) -> Bootstrap | None:
    from fiducial.maths.bootstrap import Statistic, Sums, mean_of, rate_of

    masks = {name: mask for division in divisions for name, mask in division.groups.items()}
    statistics: dict[str, Statistic] = {}
    for metric, own in values.items():
        if isinstance(column, CaseColumn):
            statistics[metric] = mean_of(own.value)
        elif metric == "bnsp_auc":
            ones = own.among.astype(np.float64)
            statistics[metric] = Sums(np.stack([own.value * ones, ones], axis=1), rate_of(own.among).combine)
        else:
            statistics[metric] = rate_of(own.value > 0, among=own.among)
    if "sensitivity" in values and "false_positive_rate" in values:
        statistics["selection_rate"] = rate_of(values["sensitivity"].value > 0)
    return replicates(statistics, column.subject, masks, given.settings) if masks and statistics else None


def tests_of(given: AuditInput, part: Part) -> list[Tested]:
    """Every test of one part, unadjusted: slopes of single attributes only, all else of intersections as well."""
    tests: list[Tested] = []
    for division in part.divisions:
        for metric, values in part.values.items():
            tests += tests_of_values(given, part.column, division, metric, values)
    if isinstance(part.column, CaseColumn) or part.any_finding:
        return tests
    pooled = pooled_of(part.column)
    for division in part.divisions if pooled is not None else []:
        for metric in CALIBRATION:
            if pooled is not None and not (division.crossed and metric == "calibration_slope"):
                tests += tests_of_calibration(given, part.column, division, metric, pooled)
    return tests


def _of_part(given: AuditInput, part: Part, tests: Sequence[Tested], n_family: int) -> CheckResult:
    """Values by group, gaps and verdicts of one part."""
    rows: list[Row] = []
    too_few: list[str] = []
    curves: list[Row] = []
    for division in part.divisions:
        own = [test for test in tests if test.division == division.name]
        if division.crossed and not own:
            too_few.append(division.name.replace("&", " and "))
            continue
        values = _values(given, part, division)
        rows += [*values, *_gaps(given, part, division, own), _verdict(given, part, division, own, n_family)]
        curves += _forest(part, values)
    if too_few:
        why = f"fewer than two groups of at least {given.settings.minimum_n}: {', '.join(too_few)}"
        metric = part.column.metric if isinstance(part.column, CaseColumn) else "equal_opportunity"
        said = {"statistic": "gap_test", "group": "intersections", **part.said(), **_not_possible(why)}
        rows.append(evidence_row(given, CHECK, metric, **said))
    return CheckResult(rows, curves)


def _not_possible(why: str) -> dict[str, str]:
    return {"verdict": "not_possible", "reason": why, "method": "none"}


def _values(given: AuditInput, part: Part, division: Division) -> list[Row]:
    """Figures of each large group: errors for an attribute; AUC, sensitivity and specificity for intersections."""
    rows: list[Row] = []
    metrics = _shown(part, crossed=division.crossed)
    for metric in metrics:
        among = _among(part, metric)
        large, _ = large_groups(given, part.column, division.groups, among)
        for name in large:
            interval = _interval(given, part, metric, division, name)
            if np.isfinite(interval.value):
                said = {"group": name, "reason": reason_text(interval), **part.said()}
                said["statistic"] = "mean" if isinstance(part.column, CaseColumn) else "value"
                said |= {"reference": SEYYED} if metric == "underdiagnosis_rate" else {}
                rows.append(evidence_row(given, CHECK, metric, interval, **said))
    return rows


def _shown(part: Part, *, crossed: bool) -> tuple[str, ...]:
    """Which figures are given for each group; those of `subgroups` are not repeated."""
    if isinstance(part.column, CaseColumn):
        return (part.column.metric,)
    if part.any_finding:
        return ("underdiagnosis_rate",)
    at = part.threshold.value is not None
    if crossed:
        return ("auc", "sensitivity", "specificity") if at else ("auc",)
    return ("underdiagnosis_rate", "false_positive_rate") if at else ()


def _among(part: Part, metric: str) -> Any:
    """The rows that a figure counts."""
    everyone = np.ones(len(part.column.image), dtype=bool)
    if isinstance(part.column, CaseColumn) or metric in ("auc", "selection_rate"):
        return everyone
    if metric == "specificity":
        return ~part.column.truth
    if metric == "underdiagnosis_rate":
        return ~part.column.truth if part.no_finding else part.column.truth
    return part.values[metric].among


def _interval(given: AuditInput, part: Part, metric: str, division: Division, group: str) -> Interval:
    """One figure in one group."""
    from fiducial.maths.intervals import mean_interval, rate_interval

    column, mask, level = part.column, division.groups[group], given.settings.level
    if isinstance(column, CaseColumn):
        return location(column.within({str(name) for name in column.image[mask]}), "mean", given.settings)
    if metric in ("auc", "specificity", *CALIBRATION):
        return score_interval(metric, column.rows(mask), part.threshold.value, given.settings)
    rows = mask & _among(part, metric)
    if metric == "bnsp_auc":
        own = part.values[metric].value[rows]
        return mean_interval(own, subject=column.subject[rows], level=level, bounds=(0, 1))
    called = column.score[rows] >= (part.threshold.value or 0.0)
    missed = metric == "underdiagnosis_rate" and not part.no_finding
    return rate_interval(~called if missed else called, subject=column.subject[rows], level=level)


def _gaps(given: AuditInput, part: Part, division: Division, tests: Sequence[Tested]) -> list[Row]:
    """One row for each gap that this part has."""
    if isinstance(part.column, CaseColumn):
        return [_gap_row(given, part, division, part.column.metric, tests)]
    if part.any_finding:
        return [_gap_row(given, part, division, "underdiagnosis_rate", tests)]
    names = [name for name, rests in RESTS_ON.items() if rests and {t.metric for t in tests} & set(rests)]
    if part.threshold.value is not None:
        names.append("demographic_parity")
    return [_gap_row(given, part, division, name, tests) for name in names]


def _gap_row(given: AuditInput, part: Part, division: Division, name: str, tests: Sequence[Tested]) -> Row:
    rests = _rests(part, name)
    interval, low, high, small = _gap(given, part, division, name)
    said: dict[str, Any] = {"statistic": "gap", "group": division.name, **part.said()}
    own = [test for test in tests if test.metric in rests]
    ps = [_whole(own, metric) for metric in rests]
    known = [p for p in ps if np.isfinite(p)]
    if known:
        said["p"] = min(1.0, len(rests) * min(known))
        said["p_adjusted"] = min(test.p_adjusted for test in own if np.isfinite(test.p))
    reason = f"{low} to {high}" if low else f"fewer than two groups of at least {given.settings.minimum_n}"
    left = f"; left out, n < {given.settings.minimum_n}: {_listed(small)}" if small else ""
    also = reason_text(interval)
    said["reason"] = reason + left + (f"; {also}" if also and low else "")
    method = interval.method + (f"; p: {METHOD}" if known else "; not tested")
    said["reference"] = "; ".join(filter(None, (REFERENCES.get(name, ""), TESTING if known else "")))
    said["n_events"] = part.column.n_events if isinstance(part.column, ScoreColumn) else 0
    return evidence_row(given, CHECK, name, interval, **(said | {"method": method}))


def _rests(part: Part, name: str) -> tuple[str, ...]:
    if isinstance(part.column, CaseColumn):
        return (part.column.metric,)
    if name == "underdiagnosis_rate" and part.no_finding:
        return ("false_positive_rate",)
    return RESTS_ON[name]


def _whole(tests: Sequence[Tested], metric: str) -> float:
    """The p value of *all groups are alike*: the smallest one, times how many groups were tested."""
    own = [test.p for test in tests if test.metric == metric and np.isfinite(test.p)]
    return min(1.0, len(own) * min(own)) if own else float("nan")


def _gap(given: AuditInput, part: Part, division: Division, name: str) -> tuple[Interval, str, str, list[str]]:
    """The gap with its interval, its two ends in words, and the groups that are too small."""
    if name in ("calibration_within_group", "calibration_slope") and isinstance(part.column, ScoreColumn):
        return _calibration_gap(given, part, part.column, division, slope=name == "calibration_slope")
    metrics = ("selection_rate",) if name == "demographic_parity" else _rests(part, name)
    share = (1 - given.settings.level) / len(metrics)
    settings = replace(given.settings, level=1 - share)
    found: list[tuple[Interval, str, str, list[str]]] = []
    for metric in metrics:
        large, small = large_groups(given, part.column, division.groups, _among(part, metric))
        marginal = {group: _interval(given, part, metric, division, group) for group in large} if large else {}
        if part.found is None or metric not in part.found.metrics:
            continue
        interval = gap(part.found, metric, large, settings, marginal)
        if not isinstance(part.column, CaseColumn) or part.column.bounds:
            interval = replace(interval, high=min(1.0, interval.high))
        ends = _ends(metric, {group: one.value for group, one in marginal.items()})
        found.append((interval, *ends, small))
    widest = max(found, key=lambda one: one[0].value if np.isfinite(one[0].value) else -1.0)
    if len(found) < 2:
        return widest
    lows = [one[0].low for one in found if np.isfinite(one[0].low)]
    highs = [one[0].high for one in found]
    method = f"the larger of two gaps, each at level {1 - share:g}: {widest[0].method}"
    bounds = {"low": max(lows, default=float("nan")), "high": float(np.max(highs)), "level": given.settings.level}
    n_subjects, n_images = (sum(getattr(one[0], n) for one in found) for n in ("n_subjects", "n_images"))
    counts = {"n_subjects": min(n_subjects, part.column.n_subjects), "n_images": n_images}
    return (replace(widest[0], method=method, **bounds, **counts), *widest[1:])


def _calibration_gap(
    given: AuditInput, part: Part, column: ScoreColumn, division: Division, *, slope: bool
) -> tuple[Interval, str, str, list[str]]:
    """The gap of calibration in the large (logits), or of the slope, between groups that share nobody."""
    from fiducial.maths.fairness import independent_gap

    metric = "calibration_slope" if slope else "calibration_in_the_large"
    large = calibration_groups(given, column, division.groups, slope=slope)
    small = [name for name in division.groups if name not in large]
    pairs = max(1, len(large) * (len(large) - 1) // 2)
    strict = replace(given, settings=replace(given.settings, level=1 - (1 - given.settings.level) / pairs))
    intervals = {name: _interval(given, part, metric, division, name) for name in large}
    found = independent_gap(
        list(intervals.values()), [_interval(strict, part, metric, division, name) for name in large]
    )
    return (
        replace(found, level=given.settings.level),
        *_ends(metric, {n: i.value for n, i in intervals.items()}),
        small,
    )


def _ends(metric: str, values: Mapping[str, float]) -> tuple[str, str]:
    """The lowest and the highest group in words; empty where there are not two."""
    known = sorted((value, name) for name, value in values.items() if np.isfinite(value))
    if len(known) < 2:
        return "", ""
    words = metric.replace("_", " ") if metric != "bnsp_auc" else "share of non-events that its events outrank"
    return f"{words}: {known[0][1]} {known[0][0]:.3f}", f"{known[-1][1]} {known[-1][0]:.3f}"


def _listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _verdict(given: AuditInput, part: Part, division: Division, tests: Sequence[Tested], n_family: int) -> Row:
    """A finding if any test of this division holds after adjustment over the family."""
    said: dict[str, Any] = {"statistic": "gap_test", "group": division.name, **part.said()}
    said["n_events"] = part.column.n_events if isinstance(part.column, ScoreColumn) else 0
    said |= {"n_subjects": part.column.n_subjects, "n_images": len(part.column.image)}
    worst = smallest(tests)
    if worst is None:
        name = part.column.metric if isinstance(part.column, CaseColumn) else "equal_opportunity"
        why = f"{division.name} has fewer than two groups of at least {given.settings.minimum_n}"
        return evidence_row(given, CHECK, name, **(said | _not_possible(why)))
    finding = worst.p_adjusted < 1 - given.settings.level
    n_metrics = len({test.metric for test in tests})
    method = f"{METHOD}; smallest p of {n_metrics} metrics, adjusted jointly over {n_family} tests (step-down)"
    reason = _in_words(part, worst) if finding else "no difference beyond chance"
    said |= {"verdict": "finding" if finding else "clear", "reason": reason, "method": method, "reference": TESTING}
    said |= {"p": worst.p, "p_adjusted": worst.p_adjusted, "value": worst.inside - worst.rest}
    return evidence_row(given, CHECK, _gap_name(part, worst.metric), **said)


def _gap_name(part: Part, metric: str) -> str:
    """The gap that a test speaks for."""
    names = {"sensitivity": "equal_opportunity", "false_positive_rate": "equalised_odds"}
    names |= {"calibration_in_the_large": "calibration_within_group"}
    if metric == "sensitivity" and part.any_finding:
        return "underdiagnosis_rate"
    return names.get(metric, metric)


def _in_words(part: Part, worst: Tested) -> str:
    """What a finding says, to somebody who reads images."""
    group, inside, rest = worst.group.replace("&", ", "), worst.inside, worst.rest
    if worst.metric == "sensitivity":
        if part.any_finding:
            return (
                f"{group}: of patients with any finding {1 - inside:.0%} get no call at all, {1 - rest:.0%} elsewhere"
            )
        return f"{group}: {inside:.0%} of the events are called, {rest:.0%} elsewhere"
    if worst.metric == "false_positive_rate":
        return f"{group}: {inside:.0%} of those without an event are called, {rest:.0%} elsewhere"
    if worst.metric == "bnsp_auc":
        return f"{group}: events outrank {inside:.0%} of those without one, events elsewhere {rest:.0%}"
    if worst.metric == "calibration_in_the_large":
        way = "low" if inside > rest else "high"
        return f"{group}: risks are too {way} by {abs(inside - rest):.2f} logits against elsewhere"
    if worst.metric == "calibration_slope":
        return f"{group}: the calibration slope is {inside - rest:+.2f} against elsewhere"
    return f"{group}: mean {worst.metric} {inside:.3f}, elsewhere {rest:.3f}"


def _forest(part: Part, rows: Sequence[Row]) -> list[Row]:
    """What a forest plot draws: x the value with its interval, one point per group, in order."""
    target = ANY_FINDING if part.any_finding else curve_target(part.column)
    return [
        curve_point(
            CHECK,
            row["metric"],
            target=target,
            group=row["group"],
            series="&".join(term.partition("=")[0] for term in str(row["group"]).split("&")),
            x=row["value"],
            y=float(place),
            low=row["low"],
            high=row["high"],
            n=row["n_images"],
        )
        for place, row in enumerate(rows)
    ]
