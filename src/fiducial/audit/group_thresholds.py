"""Thresholds per group: what would change if each group had a threshold of its own?

What it measures: for an attribute whose groups differ in sensitivity, the threshold that gives each group the same
sensitivity (or specificity) on the operating half of the calibration part, and what it changes on the test part: who
gains, who loses, and what is left of the gap. It is shown, never applied.
Why it matters: it is the simplest mitigation after training, and its price is visible only group by group.
What it cannot see: whether it is lawful or right. Treating people differently by a protected attribute may be unlawful,
whichever group it favours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import WILSON, evidence_row
from fiducial.audit.fairness import HARDT
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.group_tests import Division, large_groups, tests_of_values, values_of
from fiducial.audit.groups import Groups, masks_of, usable
from fiducial.audit.halves import operating_half
from fiducial.audit.lacking import NO_SCORES, lacking
from fiducial.audit.measure import gap, reason_text, replicates
from fiducial.audit.scores import ScoreColumn, audited_columns, calibration_column
from fiducial.audit.thresholds import Threshold, threshold_of

CHECK = "group_thresholds"
CONDITION = "group_thresholds"
CAVEAT = (
    "shown, not applied: treating people differently by a protected attribute may be unlawful, whichever group it "
    "favours; a clinician and a lawyer must answer whether it may be used"
)
REFERENCE = f"{HARDT}; Corbett-Davies et al., JMLR 2023"


@dataclass(frozen=True)
class Own:
    """Each group's own threshold, or the common one where it is too small; ``rule`` says what is equalised."""

    threshold: Mapping[str, float]
    kept: Mapping[str, str]
    rule: str
    wanted: float


def check_group_thresholds(given: AuditInput) -> CheckResult:
    """Thresholds per group of every attribute whose groups differ in sensitivity beyond chance."""
    result = CheckResult()
    columns = [column for column in audited_columns(given) if len(column.image)]
    if not columns:
        return lacking(given, CHECK, "threshold", NO_SCORES)
    for column in columns:
        stated = given.study is not None and given.study.operating_point is not None
        if column.item and not stated:
            continue  # several classes are decided by the most probable one
        threshold = threshold_of(given, column)
        found = _unequal(given, column, threshold)
        for attribute in found:
            result += group_thresholds(given, column, attribute)
        if not found and given.settings.attributes:
            why = "no attribute whose groups differ in sensitivity beyond chance: nothing to mitigate"
            said = {"statistic": "test", "verdict": "clear", "reason": why, "method": "Holm over groups and attributes"}
            result += CheckResult([evidence_row(given, CHECK, "threshold", **_said(column), **said)])
    return result


def group_thresholds(given: AuditInput, column: ScoreColumn, attribute: str) -> CheckResult:
    """Thresholds of each group of one attribute, fitted on the operating half, and what they change when audited.

    A group with fewer than ``minimum_n`` patients of the class that counts keeps the common threshold. Ends in a row
    ``not_possible``: no figure can say whether thresholds per group may be used.
    """
    said = {**_said(column), "statistic": "test", "group": attribute, "verdict": "not_possible", "method": "none"}
    threshold, calibration = threshold_of(given, column), calibration_column(given, column)
    why = usable(given, attribute, column.image)
    if not why and threshold.value is None:
        why = threshold.origin
    if not why and calibration is None:
        why = "thresholds per group need a calibration part: they are never fitted on the audited part"
    if why or calibration is None or threshold.value is None:
        return CheckResult([evidence_row(given, CHECK, "threshold", reason=why, **said)])
    own = _fitted(given, operating_half(calibration), attribute, threshold)
    if not own.threshold:
        why = f"no group of {attribute} has {given.settings.minimum_n} patients on the operating half"
        return CheckResult([evidence_row(given, CHECK, "threshold", reason=why, **said)])
    groups = masks_of(given, attribute, column.image)
    rows = _threshold_rows(given, column, own)
    called = {"before": column.score >= threshold.value, "after": _called(column, groups, own, threshold.value)}
    for metric in ("sensitivity", "specificity"):
        for name, mask in groups.items():
            rows += _changes(given, column, metric, (name, mask), called)
    rows.append(_gap(given, column, attribute, groups, called["after"]))
    said |= {"method": f"thresholds for {own.rule} {own.wanted:.3g} in each group, on the operating half"}
    return CheckResult([*rows, evidence_row(given, CHECK, "threshold", reason=CAVEAT, reference=REFERENCE, **said)])


def _unequal(given: AuditInput, column: ScoreColumn, threshold: Threshold) -> list[str]:
    """Attributes whose groups differ in sensitivity, Holm over all groups of all attributes."""
    from fiducial.maths.multiplicity import holm

    if threshold.value is None or column.one_class:
        return []
    values = values_of(column, threshold.value)["sensitivity"]
    tests = []
    for attribute in given.settings.attributes:
        if not usable(given, attribute, column.image):
            division = Division(attribute, masks_of(given, attribute, column.image))
            tests += tests_of_values(given, column, division, "sensitivity", values)
    adjusted = holm([test.p for test in tests])
    found = [test.division for test, p in zip(tests, adjusted, strict=True) if p < 1 - given.settings.level]
    return list(dict.fromkeys(found))


def _fitted(given: AuditInput, half: ScoreColumn, attribute: str, common: Threshold) -> Own:
    """The threshold of each group: by the study's rule, else for what the common threshold reaches on the half."""
    from fiducial.maths.classification import choose_threshold, confusion

    point = given.study.operating_point if given.study is not None else None
    rule = "specificity" if point is not None and point.rule == "specificity" else "sensitivity"
    if point is not None and point.rule == rule and point.value is not None:
        wanted = float(point.value)
    else:
        at = confusion(half.truth, half.score, threshold=float(common.value or 0.0))
        wanted = at.specificity if rule == "specificity" else at.sensitivity
    counts = half.truth if rule == "sensitivity" else ~half.truth
    groups = masks_of(given, attribute, half.image)
    large, small = large_groups(given, half, groups, counts)
    found = {}
    for name in large if np.isfinite(wanted) else []:
        rows = half.rows(groups[name])
        if not rows.one_class:
            found[name] = choose_threshold(rows.truth, rows.score, rule=rule, value=wanted).threshold  # type: ignore[arg-type]
    return Own(found, {text.partition(" (")[0]: text for text in small}, rule, wanted)


def _called(column: ScoreColumn, groups: Groups, own: Own, common: float) -> NDArray[np.bool_]:
    """Decisions with each group's own threshold."""
    at = np.full(len(column.score), common)
    for name, value in own.threshold.items():
        if name in groups:
            at[groups[name]] = value
    return np.asarray(column.score >= at)


def _threshold_rows(given: AuditInput, column: ScoreColumn, own: Own) -> list[Row]:
    said = {**_said(column), "condition": CONDITION, "split": "calibration", "reference": REFERENCE}
    method = f"{own.rule} {own.wanted:.3g} in the group's own patients of the operating half"
    rows = [
        evidence_row(given, CHECK, "threshold", group=name, value=value, method=method, **said)
        for name, value in own.threshold.items()
    ]
    for name, text in own.kept.items():
        reason = f"keeps the common threshold: {text} < {given.settings.minimum_n}"
        rows.append(evidence_row(given, CHECK, "threshold", group=name, reason=reason, method="none", **said))
    return rows


def _changes(
    given: AuditInput,
    column: ScoreColumn,
    metric: str,
    group: tuple[str, NDArray[np.bool_]],
    called: Mapping[str, NDArray[np.bool_]],
) -> list[Row]:
    """A group's rate with its own threshold, and the difference to the common one on the same patients."""
    from fiducial.maths.difference import paired_difference_interval
    from fiducial.maths.intervals import rate_interval

    name, mask = group
    rows = mask & (column.truth if metric == "sensitivity" else ~column.truth)
    if len(np.unique(column.subject[rows])) < given.settings.minimum_n:
        return []
    wanted = metric == "sensitivity"
    right = {when: one[rows] == wanted for when, one in called.items()}
    subject, level = column.subject[rows], given.settings.level
    now = rate_interval(right["after"], subject=subject, level=level)
    change = paired_difference_interval(right["after"], right["before"], subject=subject, level=level)
    said = {**_said(column), "group": name, "condition": CONDITION}
    reason = reason_text(change) if (right["after"] != right["before"]).any() else "no decision changes"
    changed = {"statistic": "change", "reason": reason, "p": change.p, "reference": REFERENCE}
    return [
        evidence_row(given, CHECK, metric, now, reason=reason_text(now), reference=WILSON, **said),
        evidence_row(given, CHECK, metric, change, **(said | changed)),
    ]


def _gap(given: AuditInput, column: ScoreColumn, attribute: str, groups: Groups, called: NDArray[np.bool_]) -> Row:
    """The gap in sensitivity that is left."""
    from fiducial.maths.bootstrap import rate_of
    from fiducial.maths.intervals import rate_interval

    large, _ = large_groups(given, column, groups, column.truth)
    found = replicates({"sensitivity": rate_of(called, among=column.truth)}, column.subject, groups, given.settings)
    marginal = {}
    for name in large:
        rows = groups[name] & column.truth
        marginal[name] = rate_interval(called[rows], subject=column.subject[rows], level=given.settings.level)
    left = gap(found, "sensitivity", large, given.settings, marginal)
    said = {**_said(column), "group": attribute, "condition": CONDITION, "statistic": "gap", "reference": REFERENCE}
    reason = reason_text(left) or "what is left of the gap with a threshold for each group"
    return evidence_row(given, CHECK, "equal_opportunity", left, p=left.p, reason=reason, **said)


def _said(column: ScoreColumn) -> dict[str, Any]:
    return {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
