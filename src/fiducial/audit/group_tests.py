"""Tests of every group against everyone else, for scores and metrics of masks, gathered into one family.

Not a check: what `fairness` and `group_thresholds` share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.given import AuditInput
from fiducial.audit.groups import Groups, crossed, masks_of, usable
from fiducial.audit.masks import CaseColumn
from fiducial.audit.scores import ScoreColumn
from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from fiducial.maths.fairness import GroupTest, PooledCalibration

AT_A_THRESHOLD = ("sensitivity", "false_positive_rate")
CALIBRATION = ("calibration_in_the_large", "calibration_slope")
MOST_CELLS = 60
"""Two attributes with more intersections than this are not crossed."""


@dataclass(frozen=True)
class Division:
    """The groups of one attribute (``name`` sex), or the intersections of two (``sex&site``)."""

    name: str
    groups: Groups

    @property
    def crossed(self) -> bool:
        """Whether these are intersections."""
        return "&" in self.name


@dataclass(frozen=True)
class Tested:
    """One group against the rest in one metric; ``p_adjusted`` holds for the whole family.

    ``parts`` is each subject's part in the score, in the sorted order of the column's subjects.
    """

    metric: str
    division: str
    group: str
    inside: float
    rest: float
    p: float
    p_adjusted: float = float("nan")
    parts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), repr=False)


@dataclass(frozen=True)
class Values:
    """A metric as a mean: one number for each row [n], and the rows that it is a mean of, bool [n]."""

    value: NDArray[np.float64]
    among: NDArray[np.bool_]


def divisions_of(given: AuditInput, image: NDArray[Any]) -> tuple[list[Division], dict[str, str]]:
    """The groups of every attribute and of every two, and why an attribute has none."""
    single: list[Division] = []
    refused: dict[str, str] = {}
    for attribute in given.settings.attributes:
        why = usable(given, attribute, image)
        if why:
            refused[attribute] = why
        else:
            single.append(Division(attribute, masks_of(given, attribute, image)))
    pairs = [Division(f"{a.name}&{b.name}", crossed(a.groups, b.groups)) for a, b in combinations(single, 2)]
    return [*single, *(pair for pair in pairs if 1 < len(pair.groups) <= MOST_CELLS)], refused


def values_of(column: ScoreColumn | CaseColumn, threshold: float | None) -> dict[str, Values]:
    """The metrics of a column that are means over rows, by name."""
    from fiducial.maths.fairness import outranking

    if isinstance(column, CaseColumn):
        return {column.metric: Values(column.value, np.ones(len(column.value), dtype=bool))}
    found = {}
    if threshold is not None:
        called = (column.score >= threshold).astype(np.float64)
        found["sensitivity"] = Values(called, column.truth)
        found["false_positive_rate"] = Values(called, ~column.truth)
    if not column.one_class:
        found["bnsp_auc"] = Values(np.nan_to_num(outranking(column.truth, column.score)), column.truth)
    return found


def large_groups(
    given: AuditInput, column: ScoreColumn | CaseColumn, groups: Groups, among: NDArray[np.bool_]
) -> tuple[list[str], list[str]]:
    """Groups with at least ``minimum_n`` patients among the rows that count; and the others, with their n."""
    large, small = [], []
    for name, mask in groups.items():
        n = len(np.unique(column.subject[mask & among]))
        if n >= given.settings.minimum_n:
            large.append(name)
        else:
            small.append(f"{name} (n = {n})")
    return large, small


def tests_of_values(
    given: AuditInput, column: ScoreColumn | CaseColumn, division: Division, metric: str, values: Values
) -> list[Tested]:
    """Each large group of a division against everyone else, in a metric that is a mean."""
    from fiducial.maths.fairness import group_test

    large, _ = large_groups(given, column, division.groups, values.among)
    value, subject = values.value[values.among], column.subject[values.among]
    found = []
    for name in _distinct(large, division.groups, values.among):
        test = group_test(value, division.groups[name][values.among], subject=subject)
        found.append(_tested(metric, division, name, test, column.subject, values.among))
    return found


def pooled_of(column: ScoreColumn) -> PooledCalibration | None:
    """The common calibration curve; None where there is none (one class, or classes that are separated)."""
    from fiducial.maths.fairness import pooled_calibration

    try:
        return pooled_calibration(column.truth, column.score, subject=column.subject)
    except InputRefused:
        return None


def tests_of_calibration(
    given: AuditInput, column: ScoreColumn, division: Division, metric: str, pooled: PooledCalibration
) -> list[Tested]:
    """Each large group's height (or slope) of the calibration curve against everyone else's."""
    from fiducial.maths.fairness import calibration_test

    slope = metric == "calibration_slope"
    everyone = np.ones(len(column.truth), dtype=bool)
    found = []
    for name in _distinct(calibration_groups(given, column, division.groups, slope=slope), division.groups, everyone):
        test = calibration_test(pooled, division.groups[name], slope=slope)
        found.append(_tested(metric, division, name, test, column.subject, everyone))
    return found


def calibration_groups(given: AuditInput, column: ScoreColumn, groups: Groups, *, slope: bool) -> list[str]:
    """Groups with at least ``minimum_n`` patients; for a slope in the rarer class as well."""
    large, _ = large_groups(given, column, groups, np.ones(len(column.truth), dtype=bool))
    if not slope:
        return large
    both = [set(large_groups(given, column, groups, rows)[0]) for rows in (column.truth, ~column.truth)]
    return [name for name in large if name in both[0] & both[1]]


def adjusted(families: Sequence[tuple[ScoreColumn | CaseColumn, Sequence[Tested]]], *, seed: int) -> list[list[Tested]]:
    """The tests of all columns with p values that hold for all of them together, in the order given.

    They overlap (a group is in its intersections, and its events are in every metric), so they are adjusted jointly. A
    test weighs 1 / sqrt(tests of its division): an attribute of two groups is not drowned by one of twenty.
    """
    from fiducial.maths.multiplicity import jointly_adjusted

    everyone = np.unique(np.concatenate([column.subject.astype(str) for column, _ in families] or [np.zeros(0, str)]))
    columns, weights, ps = [], [], []
    for column, tests in families:
        place = np.searchsorted(everyone, np.unique(column.subject.astype(str)))
        n_of = Counter(one.division for one in tests)
        for one in tests:
            parts = np.zeros(len(everyone))
            parts[place] = one.parts
            columns.append(parts)
            weights.append(n_of[one.division] ** -0.5)
            ps.append(one.p)
    if not ps:
        return [list(tests) for _, tests in families]
    found = iter(jointly_adjusted(ps, np.stack(columns, axis=1), weight=weights, seed=seed))
    return [[replace(one, p_adjusted=float(next(found))) for one in tests] for _, tests in families]


def smallest(tests: Iterable[Tested]) -> Tested | None:
    """The test with the smallest adjusted p, and of these the smallest p; None where nothing was tested."""
    known = (one for one in tests if np.isfinite(one.p))
    return min(known, key=lambda one: (np.nan_to_num(one.p_adjusted, nan=1.0), one.p), default=None)


def _distinct(large: list[str], groups: Groups, among: NDArray[np.bool_]) -> list[str]:
    """Two groups that are everybody are one question, asked once."""
    if len(large) == 2 and bool((groups[large[0]] ^ groups[large[1]])[among].all()):
        return large[:1]
    return large if len(large) > 1 else []


def _tested(
    metric: str, division: Division, group: str, test: GroupTest, subject: NDArray[Any], among: NDArray[np.bool_]
) -> Tested:
    names, codes = np.unique(subject.astype(str), return_inverse=True)
    parts = np.zeros(len(names))
    if len(test.parts):
        parts = np.bincount(codes.reshape(-1)[among], test.parts, minlength=len(names)).astype(np.float64)
    return Tested(metric, division.name, group, test.inside, test.rest, test.p, parts=parts)
