"""Fairness: are errors and risks spread alike over groups of patients, and over the intersections of two attributes?

What it measures: gaps of equal opportunity (true positive rate), equalised odds (the larger of the gaps of true and
false positive rate), under-diagnosis, the ranking of events, calibration within group and demographic parity; for every
attribute and every two attributes crossed, each with its own interval, and tests adjusted over all of them.
Why it matters: who is overlooked, and who is called without reason, is not seen in an average, and a group may be well
served on each of two attributes and badly on both.
What it cannot see: why a gap exists; attributes that nobody recorded; whether a gap is just.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.audit.accuracy import curve_target
from fiducial.audit.evidence import curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.group_gaps import (
    NO_FINDING,
    RESTS_ON,
    Part,
    gap_of,
    group_interval,
    replicated,
    rests_of,
    rows_that_count,
)
from fiducial.audit.group_tests import (
    CALIBRATION,
    Division,
    Tested,
    adjusted,
    divisions_of,
    large_groups,
    pooled_of,
    smallest,
    tests_of_calibration,
    tests_of_values,
    values_of,
)
from fiducial.audit.lacking import lacking
from fiducial.audit.masks import CaseColumn, case_columns
from fiducial.audit.measure import reason_text
from fiducial.audit.scores import ScoreColumn, audited_columns
from fiducial.audit.thresholds import Threshold, threshold_of

if TYPE_CHECKING:
    pass

CHECK = "fairness"
ANY_FINDING = "any finding"
MASK_METRICS = ("dice", "nsd", "hd95")
HARDT = "Hardt, Price and Srebro, NeurIPS 2016"
SEYYED = "Seyyed-Kalantari et al., Nature Medicine 2021"
BORKAN = "Borkan et al., Companion Proceedings of the Web Conference 2019"
WITHIN = "Kleinberg, Mullainathan and Raghavan, ITCS 2017"
TESTING = "score tests: Mielke and Berry 2007; Rao and Scott, Biometrics 1992; family: Westfall and Young 1993"
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
    part = Part(column, threshold, divisions, values, replicated(given, column, divisions, values), any_finding)
    rows = [
        evidence_row(given, CHECK, "equal_opportunity", statistic="gap_test", group=name, **_not_possible(why))
        | part.said()
        for name, why in refused.items()
    ]
    return part, rows


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
        gaps = _gaps(given, part, division, own)
        unknown = [str(row["metric"]).replace("_", " ") for row in gaps if row["method"] == "none"]
        rows += [*values, *gaps, _verdict(given, part, division, own, n_family, unknown)]
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
        among = rows_that_count(part, metric)
        large, _ = large_groups(given, part.column, division.groups, among)
        for name in large:
            interval = group_interval(given, part, metric, division, name)
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


def _gaps(given: AuditInput, part: Part, division: Division, tests: Sequence[Tested]) -> list[Row]:
    """One row for each gap that this part has."""
    if isinstance(part.column, CaseColumn):
        return [_gap_row(given, part, division, part.column.metric, tests)]
    if part.any_finding:
        return [_gap_row(given, part, division, "underdiagnosis_rate", tests)]
    names = [name for name, rests in RESTS_ON.items() if rests and _has(part, division, rests)]
    if part.threshold.value is not None:
        names.append("demographic_parity")
    return [_gap_row(given, part, division, name, tests) for name in names]


def _has(part: Part, division: Division, rests: Sequence[str]) -> bool:
    """Whether a gap is asked for here: its metrics exist, whether or not two groups are large enough for it."""
    slope = "calibration_slope" in rests
    return bool(set(rests) & set(part.values)) or (
        bool(set(rests) & set(CALIBRATION)) and not (slope and division.crossed)
    )


def _gap_row(given: AuditInput, part: Part, division: Division, name: str, tests: Sequence[Tested]) -> Row:
    rests = rests_of(part, name)
    interval, low, high, small = gap_of(given, part, division, name)
    said: dict[str, Any] = {"statistic": "gap", "group": division.name, **part.said()}
    own = [test for test in tests if test.metric in rests]
    ps = [_whole(own, metric) for metric in rests]
    known = [p for p in ps if np.isfinite(p)]
    if known:
        said["p"] = min(1.0, len(rests) * min(known))
        said["p_adjusted"] = min(test.p_adjusted for test in own if np.isfinite(test.p))
    both = " with both classes" if set(rests) & set(CALIBRATION) else ""
    reason = f"{low} to {high}" if low else f"fewer than two groups of at least {given.settings.minimum_n}{both}"
    left = f"; left out, n < {given.settings.minimum_n}: {_listed(small)}" if small else ""
    also = reason_text(interval)
    unknown = [metric for metric in rests if metric not in {test.metric for test in own}]
    if low and unknown and name == "equalised_odds":
        also = f"{unknown[0].replace('_', ' ')} could not be compared, so the larger gap may be up to 1"
    said["reason"] = reason + left + (f"; {also}" if also and low else "")
    method = interval.method + (f"; p: {METHOD}" if known else "; not tested")
    said["reference"] = "; ".join(filter(None, (REFERENCES.get(name, ""), TESTING if known else "")))
    said["n_events"] = part.column.n_events if isinstance(part.column, ScoreColumn) else 0
    if not low:
        method = "none"
    return evidence_row(given, CHECK, name, interval, **(said | {"method": method}))


def _whole(tests: Sequence[Tested], metric: str) -> float:
    """The p value of *all groups are alike*: the smallest one, times how many groups were tested."""
    own = [test.p for test in tests if test.metric == metric and np.isfinite(test.p)]
    return min(1.0, len(own) * min(own)) if own else float("nan")


def _listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _verdict(
    given: AuditInput, part: Part, division: Division, tests: Sequence[Tested], n_family: int, unknown: Sequence[str]
) -> Row:
    """A finding if any test of this division holds after adjustment over the family; what was not tested is named."""
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
    left_out = f"; not compared, too few: {', '.join(unknown)}" if unknown else ""
    reason = _in_words(part, worst) if finding else f"no difference beyond chance{left_out}"
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
    inside, rest = worst.inside, worst.rest
    way = "low" if inside > rest else "high"
    said = {
        "sensitivity": f"{inside:.0%} of the events are called, {rest:.0%} elsewhere",
        "false_positive_rate": f"{inside:.0%} of those without an event are called, {rest:.0%} elsewhere",
        "bnsp_auc": f"events outrank {inside:.0%} of those without one, events elsewhere {rest:.0%}",
        "calibration_in_the_large": f"risks are too {way} by {abs(inside - rest):.2f} logits against elsewhere",
        "calibration_slope": f"the calibration slope differs by {inside - rest:+.2f} from elsewhere",
    }.get(worst.metric, f"mean {worst.metric} {inside:.3f}, elsewhere {rest:.3f}")
    if part.any_finding:
        said = f"of patients with any finding {1 - inside:.0%} get no call at all, {1 - rest:.0%} elsewhere"
    return f"{worst.group.replace('&', ', ')}: {said}"


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
