"""Leakage: does one person, image or near copy stand in two parts of the split?

What it measures: subjects and images that occur in more than one part, and the pairs that the cohort check found.
Why it matters: a model is not tested on people it was trained on.
What it cannot see: one person under two ids; copies that were changed more than the cohort check looks for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row

if TYPE_CHECKING:
    import pandas as pd

CHECK = "leakage"
_NAMED = 5


def check_leakage(given: AuditInput) -> CheckResult:
    """Count what stands in two parts; a finding names the first few."""
    rows = [_across(given, "subject"), _across(given, "image"), *_found_before(given)]
    return CheckResult(rows)


def _across(given: AuditInput, key: str) -> Row:
    """Subjects, or images, that occur in more than one part."""
    metric = f"n_{key}s_in_two_parts"
    method = f"{key} ids compared across parts"
    frame = given.attributes[given.attributes["split"] != ""] if "split" in given.attributes else given.attributes[:0]
    if frame["split"].nunique() < 2 if len(frame) else True:
        reason = "the tables hold one part only, so nothing can be compared"
        return evidence_row(given, CHECK, metric, verdict="not_possible", reason=reason, method=method)
    if key == "subject" and not given.settings.person_known:
        reason = "persons unknown: one person may stand in two parts unseen"
        return evidence_row(given, CHECK, metric, verdict="not_possible", reason=reason, method=method)
    both = _in_two(_parts(given) if key == "image" else frame, key)
    reason = f"in two parts: {_listed(both)}" if both else "none"
    counts = {"n_subjects": int(frame["subject"].nunique()), "n_images": int(frame["image"].nunique())}
    verdict = "finding" if both else "clear"
    return evidence_row(
        given, CHECK, metric, value=float(len(both)), verdict=verdict, reason=reason, method=method, unit="", **counts
    )


def _parts(given: AuditInput) -> pd.DataFrame:
    """Image and part of every row of every table (an image may be told twice)."""
    import pandas as pd

    return pd.concat([frame[["image", "split"]] for frame in (given.predictions, given.cases, given.attributes)])


def _in_two(frame: pd.DataFrame, key: str) -> list[str]:
    stated = frame[frame["split"] != ""]
    n_parts = stated.groupby(key, sort=True)["split"].nunique()
    return [str(name) for name in n_parts.index[n_parts > 1]]


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
