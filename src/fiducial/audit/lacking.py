"""A check that does not apply to the tables says what it would need, in one row."""

from __future__ import annotations

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult

NO_SCORES = "the table has no scores: rows of kind score with a truth of 0 or 1 would be needed"


def lacking(given: AuditInput, check: str, metric: str, reason: str) -> CheckResult:
    """One ``not_possible`` row with the reason."""
    row = evidence_row(given, check, metric, statistic="test", verdict="not_possible", reason=reason, method="none")
    return CheckResult([row])
