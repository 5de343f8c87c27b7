"""Leakage: does one person, image or near copy stand in two parts of the split?

What it measures: subjects that occur in more than one part, and the pairs that the cohort check found.
Why it matters: a model is not tested on people it was trained on.
What it cannot see: one person under two ids; copies that were changed more than the cohort check looks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row

CHECK = "leakage"
_NAMED = 5


def check_leakage(given: AuditInput) -> CheckResult:
    """Count what stands in two parts; a finding names the first few."""
    return CheckResult([_people(given), *_found_before(given)])


def _people(given: AuditInput) -> Row:
    """Subjects in more than one part; an image in two parts is refused before any check."""
    metric, method = "n_subjects_in_two_parts", "subject ids compared across parts"
    frame = given.attributes[given.attributes["split"] != ""]
    if frame["split"].nunique() < 2:
        reason = "the tables hold one part only, so nothing can be compared"
        return evidence_row(given, CHECK, metric, verdict="not_possible", reason=reason, method=method)
    if not given.settings.person_known:
        reason = "persons unknown: one person may stand in two parts unseen"
        return evidence_row(given, CHECK, metric, verdict="not_possible", reason=reason, method=method)
    n_parts = frame.groupby("subject", sort=True)["split"].nunique()
    both = [str(name) for name in n_parts.index[n_parts > 1]]
    said = {"n_subjects": len(n_parts), "n_images": len(frame), "value": float(len(both)), "method": method}
    reason = f"in two parts: {_listed(both)}" if both else "nobody"
    return evidence_row(given, CHECK, metric, verdict="finding" if both else "clear", reason=reason, **said)


def _found_before(given: AuditInput) -> list[Row]:
    """The cohort check's pairs, by kind."""
    method = "pairs found by the cohort check (patient overlap, exact and near duplicates)"
    if given.leaks is None:
        reason = "images were not compared: the audit saw tables only"
        return [evidence_row(given, CHECK, "n_leaks", verdict="not_possible", reason=reason, method=method)]
    kinds = sorted({str(leak.kind) for leak in given.leaks})
    if not kinds:
        return [evidence_row(given, CHECK, "n_leaks", value=0.0, verdict="clear", reason="none", method=method)]
    rows = []
    for kind in kinds:
        pairs = [leak for leak in given.leaks if str(leak.kind) == kind]
        named = [f"{a.image_a} ({a.split_a}) and {a.image_b} ({a.split_b})" for a in pairs]
        said = {"value": float(len(pairs)), "verdict": "finding", "reason": f"{kind}: {_listed(named)}"}
        rows.append(evidence_row(given, CHECK, "n_leaks", item=kind, method=method, **said))
    return rows


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
