"""Score distribution: does the score say anything at all?

What it measures: how many different values a score takes in the audited part, and whether one of them stands out.
Why it matters: a constant column, a class in place of a probability or a default value for failed cases spoils every
figure.
What it cannot see: whether the values are good ones (see accuracy).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.scores import ScoreColumn, audited_columns

CHECK = "score_distribution"
_ONE_VALUE_SHARE = 0.5
_LEAST_REPEATS = 10
_LEAST_SHARE = 0.02
"""A value that fewer images have is not told from a coincidence."""
_STANDS_OUT = 5
"""Times as frequent as the values beside it: rounding makes ties everywhere, a default in one place."""
_LEAST_DISTINCT = 20
"""With fewer different values a score is a scale, and a scale has favourite answers."""


def check_score_distribution(given: AuditInput) -> CheckResult:
    """One row per score: clear, or a finding where it is constant, 0/1 only, or one value stands out."""
    return CheckResult([_of_column(given, column) for column in audited_columns(given)])


def _of_column(given: AuditInput, column: ScoreColumn) -> Row:
    said = {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
    said |= {"n_subjects": column.n_subjects, "n_images": len(column.score), "method": "count of distinct values"}
    if not len(column.score):
        return evidence_row(given, CHECK, "n_distinct", verdict="not_possible", reason="no row with a value", **said)
    values, counts = np.unique(column.score, return_counts=True)
    most = _default(values, counts)
    share = counts[most] / len(column.score)
    if len(values) == 1:
        reason = f"every image has the score {values[0]:g}: it cannot tell anybody from anybody"
    elif set(values.tolist()) <= {0.0, 1.0}:
        reason = "only 0 and 1: these are decisions, not probabilities; AUC and calibration say little"
    elif most >= 0:
        reason = f"{share:.0%} of the images have the score {values[most]:g}: a default for cases without an answer?"
    else:
        reason = ""
    verdict = "finding" if reason else "clear"
    said |= {"value": float(len(values)), "reason": reason or f"{len(values)} different values"}
    return evidence_row(given, CHECK, "n_distinct", verdict=verdict, **said)


def _default(values: NDArray[np.float64], counts: NDArray[np.int64]) -> int:
    """The place of a value that fills more than half of the rows or stands out from those beside it; -1 if none does.

    The smallest and the largest of rounded scores are left out: a confident model fills them.
    """
    most, n = int(counts.argmax()), int(counts.sum())
    if counts[most] > _ONE_VALUE_SHARE * n:
        return most
    if len(values) < _LEAST_DISTINCT:
        return -1
    padded = np.concatenate([[0, 0], counts, [0, 0]])
    beside = np.max([np.roll(padded, shift) for shift in (-2, -1, 1, 2)], axis=0)[2:-2]
    out = (counts >= max(_LEAST_REPEATS, _LEAST_SHARE * n)) & (counts >= _STANDS_OUT * beside)
    rounded = len(values) - out.sum() < 0.9 * (n - counts[out].sum())
    if rounded:
        out[[0, -1]] = False
    return int(np.where(out, counts, 0).argmax()) if out.any() else -1
