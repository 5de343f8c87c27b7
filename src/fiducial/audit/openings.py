"""Openings: how often has the test part been looked at before this audit?

What it measures: the count of audits of one test part under one study, earlier versions of it included.
Why it matters: choosing among models by their test figures makes the best one look better than it is.
What it cannot see: looks at the same images outside this tool.
"""

from __future__ import annotations

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult

CHECK = "openings"


def check_openings(given: AuditInput) -> CheckResult:
    """One row: clear at the first opening, a finding after it, not possible where nobody counted."""
    method = "count of openings recorded with the cohort, this one included"
    if given.openings < 1:
        reason = "openings of the test part were not counted"
        return CheckResult(
            [evidence_row(given, CHECK, "n_openings", verdict="not_possible", reason=reason, method=method)]
        )
    first = given.openings == 1
    n_other = given.openings_other_versions
    before = f", {n_other} of them before the study file or the cohort was changed" if n_other else ""
    reason = (
        "this is the first opening"
        if first
        else f"the test part was opened {given.openings} times{before}; figures chosen after the first are optimistic"
    )
    said = {"value": float(given.openings), "verdict": "clear" if first else "finding", "reason": reason}
    reference = "Dwork et al., Science 2015 (reusable holdout)"
    return CheckResult([evidence_row(given, CHECK, "n_openings", method=method, reference=reference, **said)])
