"""Whether sets and intervals hold the truth as often as was promised: rows of evidence, and the family of tests."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, Row
from fiducial.audit.groups import masks_of, usable
from fiducial.audit.measure import reason_text

if TYPE_CHECKING:
    from fiducial.maths.conformal import Images
    from fiducial.maths.intervals import Interval

CHECK = "conformal"
REFERENCE = "Vovk, Gammerman and Shafer 2005; Vovk, Machine Learning 2013"


@dataclass(frozen=True)
class Promise:
    """What one way of making sets promised, and what came of it on the audited part.

    ``covered`` bool [n], ``subject`` and ``image`` [n]. ``n_calibration`` patients gave the quantile; ``method`` says
    how. ``images``: whether the promise is about one random image of a patient or all of them.
    """

    target: str
    item: str
    split: str
    covered: NDArray[np.bool_]
    subject: NDArray[Any]
    image: NDArray[Any]
    n_calibration: int
    method: str
    reference: str
    images: Images = "one"

    def rows(self, mask: NDArray[np.bool_], n_calibration: int | None = None) -> Promise:
        """The same promise to some images only, with the number of calibration patients that stand behind it."""
        n = self.n_calibration if n_calibration is None else n_calibration
        kept = (self.covered[mask], self.subject[mask], self.image[mask])
        return replace(self, covered=kept[0], subject=kept[1], image=kept[2], n_calibration=n)


@dataclass
class Tests:
    """The tests of a whole check: of the promises themselves, and of classes and groups within them."""

    promises: list[Row] = field(default_factory=list)
    parts: list[Row] = field(default_factory=list)

    def adjust(self) -> None:
        """Holm within each family; where both exist each has half of the error, so a promise keeps its power."""
        from fiducial.maths.multiplicity import holm

        families = [family for family in (self.promises, self.parts) if family]
        for family in families:
            for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
                row["p_adjusted"] = min(1.0, float(adjusted) * len(families))

    @property
    def size(self) -> int:
        """Number of tests."""
        return len(self.promises) + len(self.parts)


def coverage_row(given: AuditInput, promise: Promise, group: str = "all", *, tested: bool = False) -> Row:
    """Share of patients whose truth is held, with its interval, and the p value of *at least as promised*."""
    from fiducial.maths.conformal import coverage_p_value, covered_share, least_n

    alpha = given.settings.alpha
    share = covered_share(promise.covered, subject=promise.subject, images=promise.images)
    interval = replace(_interval(given, share), n_images=len(promise.covered))
    said: Row = {"target": promise.target, "item": promise.item, "split": promise.split, "group": group}
    said |= {"threshold": 1 - alpha, "direction": "at_least", "reference": promise.reference}
    least = least_n(alpha)
    why = ""
    if promise.n_calibration < least:
        why = f"{promise.n_calibration} calibration patients, and {least} are needed: every answer stays possible"
    elif interval.n_subjects < given.settings.minimum_n:
        why = f"n = {interval.n_subjects} < {given.settings.minimum_n}"
    if why:
        counts = {"n_subjects": interval.n_subjects, "n_images": interval.n_images}
        return evidence_row(
            given, CHECK, "coverage", verdict="not_possible", reason=why, method=promise.method, **said, **counts
        )
    p = coverage_p_value(share, promise.n_calibration, alpha) if tested else math.nan
    method = f"{promise.method}; {interval.method}"
    return evidence_row(
        given, CHECK, "coverage", interval, p=p, reason=reason_text(interval), **{**said, "method": method}
    )


def group_rows(given: AuditInput, promise: Promise, tests: Tests) -> list[Row]:
    """The promise in each group of each attribute, tested; what cannot be divided says why."""
    rows = []
    for attribute in given.settings.attributes:
        why = usable(given, attribute, promise.image)
        if why:
            said = {"target": promise.target, "item": promise.item, "split": promise.split, "group": attribute}
            why_not = {"statistic": "test", "verdict": "not_possible", "reason": why, "method": "none"}
            rows.append(evidence_row(given, CHECK, "coverage", **said, **why_not))
            continue
        for group, mask in masks_of(given, attribute, promise.image).items():
            row = coverage_row(given, promise.rows(mask), group, tested=True)
            rows.append(row)
            if math.isfinite(row["p"]):
                tests.parts.append(row)
    return rows


def verdict_row(given: AuditInput, rows: list[Row], tests: Tests, group: str) -> Row:
    """The verdict on some rows: a finding where the smallest adjusted p of the check's family is below 5 %.

    ``rows`` holds at least one; the first stands for the rest where nothing is found.
    """
    tested = [row for row in rows if math.isfinite(row["p_adjusted"])]
    first = rows[0]
    if not tested:
        said = {"statistic": "test", "group": group, "verdict": "not_possible", "value": math.nan}
        return first | said | {"reason": first["reason"] or "nothing could be tested"}
    worst = min(tested, key=lambda row: (row["p_adjusted"], row["p"]))
    finding = worst["p_adjusted"] < 1 - given.settings.level
    shown = worst if finding else tested[0]
    reason = _missed(worst) if finding else f"nothing speaks against the promised {_kept(tested[0])}"
    method = (
        f"{shown['method']}; smallest p of {len(tested)}, adjusted by Holm over the {tests.size} tests of the check"
    )
    if tests.promises and tests.parts:
        method += " (half of the error for the promises, half for classes and groups)"
    verdict = {"statistic": "test", "group": group, "verdict": "finding" if finding else "clear"}
    smallest = {"p": worst["p"], "p_adjusted": worst["p_adjusted"]}
    return shown | verdict | smallest | {"reason": reason, "method": _once(method)}


def _missed(row: Row) -> str:
    """A finding in words."""
    where = "" if row["group"] == "all" else f" in {row['group']}"
    if row["direction"] == "at_most":
        text = f"the mean risk is {row['value']:.1%}{where} where at most {row['threshold']:.0%} was promised"
    else:
        text = f"the truth is held for {row['value']:.1%} of patients{where} where {row['threshold']:.0%} were promised"
    return text.replace("%", " %") + ": these patients are not like the calibration patients"


def _kept(row: Row) -> str:
    bound = f"{row['threshold']:.0%}".replace("%", " %")
    return f"risk of at most {bound}" if row["direction"] == "at_most" else f"coverage of {bound}"


def _once(method: str) -> str:
    """The note on unknown persons stands once, at the end."""
    from fiducial.audit.evidence import PERSONS_UNKNOWN

    note = f"; {PERSONS_UNKNOWN}"
    return method.replace(note, "") + note if note in method else method


def _interval(given: AuditInput, share: NDArray[np.float64]) -> Interval:
    """Patients weigh alike: Wilson where each is covered or not, a mean where some images of a patient are."""
    from fiducial.maths.intervals import mean_interval, rate_interval

    if np.isin(share, (0.0, 1.0)).all():
        return rate_interval(share == 1, level=given.settings.level)
    return mean_interval(share, level=given.settings.level, bounds=(0.0, 1.0))
