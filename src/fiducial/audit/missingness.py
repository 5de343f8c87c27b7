"""Missingness: what is not there, and is it missing by chance?

What it measures: images without prediction, without truth, or without an attribute, cases without a metric, and
attributes of nobody.
Why it matters: figures speak only of the rows that are there; a model that refuses hard cases looks better.
What it cannot see: patients who were never put in the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiducial.audit.case_values import RANGES, unread_metrics
from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row, Unmatched
from fiducial.audit.lacking import lacking
from fiducial.audit.tables import audited_split, finding_scores
from fiducial.study.groups import MISSING, attribute_text
from fiducial.study.vocabulary import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

CHECK = "missingness"
TOLERATED = 0.05
"""Share of missing attributes or truths up to which the check is clear; a missing prediction is always a finding."""


def check_missingness(given: AuditInput) -> CheckResult:
    """Share of what is missing in the audited part, by kind."""
    if not len(given.predictions) and not len(given.cases):
        return lacking(given, CHECK, "missing_prediction", "no model was audited: the tables hold raters only")
    rows: list[Row] = []
    scores = finding_scores(given.predictions)
    if len(scores):
        rows += _of_scores(given, scores[scores["split"] == audited_split(scores)])
    if len(given.cases):
        rows += _of_cases(given, given.cases[given.cases["split"] == audited_split(given.cases)])
        rows += [_unread(given, name) for name in unread_metrics(given.cases)]
    rows.append(_images_without_prediction(given))
    rows += _of_attributes(given)
    if given.unmatched is not None:
        rows.append(_unmatched(given, given.unmatched))
    return CheckResult(rows)


def _of_scores(given: AuditInput, rows: pd.DataFrame) -> list[Row]:
    """Values and truths of each target."""
    found = []
    for target, part in rows.groupby("target", sort=True):
        images = part[["value", "truth"]].isna().groupby(part["image"]).any()
        found.append(_share(given, "missing_prediction", images["value"], tolerated=0.0, target=str(target)))
        found.append(_share(given, "missing_truth", images["truth"], tolerated=TOLERATED, target=str(target)))
    return found


def _of_cases(given: AuditInput, rows: pd.DataFrame) -> list[Row]:
    """Metrics that lack values, with the reasons that the table gives; one row for a structure that lacks none."""
    found = []
    for target, part in rows.groupby("target", sort=True):
        lacking = sorted(set(part.loc[part["value"].isna(), "metric"]))
        for metric in lacking:
            own = part[part["metric"] == metric]
            reasons = own.loc[own["value"].isna(), "reason"].replace("", "no reason given").value_counts()
            said = ", ".join(f"{reason} ({n})" for reason, n in sorted(reasons.items()))
            missing = own.set_index("image")["value"].isna()
            row = _share(given, f"missing_{metric}", missing, tolerated=TOLERATED, target=str(target))
            found.append(row | {"reason": f"{row['reason']}: {said}"})
        if not lacking:
            missing = part["value"].isna().groupby(part["image"]).any()
            found.append(_share(given, "missing_metric", missing, tolerated=TOLERATED, target=str(target)))
    return found


def _unread(given: AuditInput, metric: str) -> Row:
    """A metric that no check reads, so that nothing is said about it; a slip of writing is a finding."""
    close = did_you_mean(metric, list(RANGES))
    said: Row = {"item": metric, "n_images": int((given.cases["metric"] == metric).sum()), "split": _part(given)}
    reason = f"no check reads the metric {metric!r}" + (f": {close}" if close else "")
    verdict = "finding" if close else "not_possible"
    return evidence_row(given, CHECK, "unread_metric", verdict=verdict, reason=reason, method="none", **said)


def _images_without_prediction(given: AuditInput) -> Row:
    """Images of the audited part that have attributes but no prediction."""
    import pandas as pd

    predicted = pd.concat([given.predictions[["image", "split"]], given.cases[["image", "split"]]])
    part = audited_split(predicted)
    frame = given.attributes
    stated = frame[(frame["split"] == part) | (frame["split"] == "")] if part else frame
    missing = ~stated.set_index("image")["subject"].index.to_series().isin(set(predicted["image"]))
    return _share(given, "image_without_prediction", missing, tolerated=0.0)


def _of_attributes(given: AuditInput) -> list[Row]:
    """Attributes of the predicted images of the audited part."""
    import pandas as pd

    predicted = pd.concat([given.predictions[["image", "split"]], given.cases[["image", "split"]]])
    part = audited_split(predicted)
    images = set(predicted.loc[predicted["split"] == part, "image"])
    frame = given.attributes[given.attributes["image"].isin(images)].set_index("image")
    rows = []
    for name in given.settings.attributes:
        if name not in frame.columns:
            reason = f"the tables have no attribute {name!r}"
            said = {"verdict": "not_possible", "reason": reason, "item": name, "split": part}
            rows.append(evidence_row(given, CHECK, "missing_attribute", **said))
            continue
        missing = attribute_text(frame[name]) == MISSING
        rows.append(_share(given, "missing_attribute", missing, tolerated=TOLERATED, item=name, split=part))
    return rows


def _unmatched(given: AuditInput, lost: Unmatched) -> Row:
    """Ids of the attributes that name nobody: a finding above what is tolerated, or where a slip of writing did it."""
    n = len(lost.ids)
    finding = bool(lost.nearly) or n > TOLERATED * lost.n_ids
    named = f", such as {', '.join(lost.ids[:3])}" if n else ""
    reason = f"{n} of {lost.n_ids} ids of the attributes name no {lost.key} that was audited{named}"
    if lost.nearly:
        (there, here) = lost.nearly[0]
        reason += f"; {len(lost.nearly)} of them differ in writing alone, such as {there!r} and {here!r}"
    said: Row = {"value": n / lost.n_ids, "n_events": n, "n_images": lost.n_ids, "item": lost.key, "reason": reason}
    return evidence_row(
        given, CHECK, "unmatched_attribute", verdict="finding" if finding else "clear", split=_part(given), **said
    )


def _share(given: AuditInput, metric: str, missing: pd.Series[bool], *, tolerated: float, **said: Any) -> Row:
    """The share of images where something is missing, with its interval."""
    from fiducial.maths.intervals import rate_interval

    n_missing = int(missing.sum())
    if not len(missing):
        return evidence_row(given, CHECK, metric, verdict="not_possible", reason="no image", **said)
    subject = None
    if given.settings.person_known:
        persons = given.attributes.drop_duplicates("image").set_index("image")["subject"]
        subject = persons.reindex(missing.index).fillna("").to_numpy()
    interval = rate_interval(missing.to_numpy(dtype=bool), subject=subject, level=given.settings.level)
    finding = n_missing > tolerated * len(missing)
    named = sorted(str(image) for image in missing.index[missing.to_numpy(dtype=bool)])[:3]
    reason = f"{n_missing} of {len(missing)} images" + (f", such as {', '.join(named)}" if named else "")
    said = {"split": _part(given), **said, "reason": reason, "verdict": "finding" if finding else "clear"}
    return evidence_row(given, CHECK, metric, interval, n_events=n_missing, **said)


def _part(given: AuditInput) -> str:
    frame = given.predictions if len(given.predictions) else given.cases
    return audited_split(frame)
