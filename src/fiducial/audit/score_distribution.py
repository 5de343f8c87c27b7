"""Score distribution: does the score say anything at all?

What it measures: how many different values a score takes in the audited part.
Why it matters: a constant column, a class in place of a probability or a default value for failed cases spoils every
figure.
What it cannot see: whether the values are good ones (see accuracy).
"""

from __future__ import annotations

import numpy as np

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.scores import ScoreColumn, audited_columns

CHECK = "score_distribution"
_ONE_VALUE_SHARE = 0.5


def check_score_distribution(given: AuditInput) -> CheckResult:
    """One row per score: clear, or a finding where it is constant, 0/1 only, or one value fills most rows."""
    return CheckResult([_of_column(given, column) for column in audited_columns(given)])


def _of_column(given: AuditInput, column: ScoreColumn) -> Row:
    said = {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
    said |= {"n_subjects": column.n_subjects, "n_images": len(column.score), "method": "count of distinct values"}
    if not len(column.score):
        return evidence_row(given, CHECK, "n_distinct", verdict="not_possible", reason="no row with a value", **said)
    values, counts = np.unique(column.score, return_counts=True)
    most = int(counts.argmax())
    share = counts[most] / len(column.score)
    if len(values) == 1:
        reason = f"every image has the score {values[0]:g}: it cannot tell anybody from anybody"
    elif set(values.tolist()) <= {0.0, 1.0}:
        reason = "only 0 and 1: these are decisions, not probabilities; AUC and calibration say little"
    elif share > _ONE_VALUE_SHARE:
        reason = f"{share:.0%} of the images have the score {values[most]:g}: a default for cases without an answer?"
    else:
        reason = ""
    verdict = "finding" if reason else "clear"
    said |= {"value": float(len(values)), "reason": reason or f"{len(values)} different values"}
    return evidence_row(given, CHECK, "n_distinct", verdict=verdict, **said)
