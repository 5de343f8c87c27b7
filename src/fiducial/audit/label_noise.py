"""Label noise: is the reference itself wrong in places, and where would a person look first?

What it measures: the share of truths that look flipped, by how often the score contradicts them with more confidence
than a recalibrated score may; and the truths that it contradicts most.
Why it matters: wrong references make good models look bad, hide the bad ones, and set a ceiling on every figure.
What it cannot see: errors that the model shares with the reference; and it cannot tell a wrong truth from a model that
is confidently wrong. That takes a person, who looks at the listed cases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.lacking import NO_SCORES, lacking
from fiducial.audit.measure import reason_text
from fiducial.audit.scores import ScoreColumn, audited_columns

CHECK = "label_noise"
LISTED = 20
"""The most suspicious cases that are named."""
CONFIDENT = 0.1
"""A truth whose recalibrated chance is below this is contradicted with confidence."""
REFERENCE = "Northcutt, Jiang and Chuang, JAIR 2021; Natarajan et al., NeurIPS 2013; Self and Liang, JASA 1987"


def check_label_noise(given: AuditInput) -> CheckResult:
    """The rate of flipped truths with its test for every score, and the cases to look at."""
    columns = audited_columns(given)
    if not columns:
        return lacking(given, CHECK, "noise_rate", NO_SCORES)
    tests, others = [], []
    for column in columns:
        test, rows = _of_column(given, column)
        tests.append(test)
        others += rows
    return CheckResult([*_judged(given, tests), *others])


def _of_column(given: AuditInput, column: ScoreColumn) -> tuple[Row, list[Row]]:
    """The rate, not yet judged, and what else is said about the column."""
    from fiducial.maths.label_noise import label_noise, self_confidence

    said = {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}
    rarer = min(column.n_events, len(column.truth) - column.n_events)
    if rarer < given.settings.minimum_n:
        reason = f"n = {rarer} < {given.settings.minimum_n} in the rarer class"
        counts = {"n_subjects": column.n_subjects, "n_images": len(column.truth), "method": "none"}
        row = evidence_row(given, CHECK, "noise_rate", verdict="not_possible", reason=reason, **counts, **said)
        return row, []
    found = label_noise(column.truth, column.score, subject=column.subject, level=given.settings.level)
    test = evidence_row(given, CHECK, "noise_rate", found.rate, p=found.rate.p, reference=REFERENCE, **said)
    if not np.isfinite(found.rate.value):
        return test | {"verdict": "not_possible", "reason": reason_text(found.rate)}, []
    confidence = self_confidence(column.truth, column.score, found)
    rows = [_contradictions(given, column, confidence), *_suspects(given, column, confidence)]
    return test, rows


def _contradictions(given: AuditInput, column: ScoreColumn, confidence: NDArray[np.float64]) -> Row:
    """Truths that are contradicted with confidence, beside the number that a calibrated score would give."""
    other = 1 - confidence
    sure = np.minimum(confidence, other) < CONFIDENT
    observed, expected = int((confidence < CONFIDENT).sum()), float(np.minimum(confidence, other)[sure].sum())
    return evidence_row(
        given,
        CHECK,
        "n_contradicted",
        target=column.target,
        item=column.item,
        split=column.split,
        value=float(observed),
        n_subjects=column.n_subjects,
        n_images=len(column.truth),
        n_events=column.n_events,
        reason=f"truths of which a recalibrated score is less than {CONFIDENT:.0%} sure; {expected:.1f} expected",
        method="recalibrated by the map beside the flip rate; expected: sum of the chances of the unlikelier truth",
        reference=REFERENCE,
    )


def _suspects(given: AuditInput, column: ScoreColumn, confidence: NDArray[np.float64]) -> list[Row]:
    """The cases that a person should look at first, the most contradicted first; ties by image."""
    order = np.lexsort((column.image.astype(str), confidence))
    rows = []
    for rank, place in enumerate(order[:LISTED], start=1):
        if confidence[place] >= 0.5:
            break
        reason = f"image {column.image[place]}: truth {int(column.truth[place])}, score {column.score[place]:.3g}"
        rows.append(
            evidence_row(
                given,
                CHECK,
                "self_confidence",
                statistic=f"rank_{rank:02d}",
                target=column.target,
                item=column.item,
                split=column.split,
                value=float(confidence[place]),
                n_subjects=1,
                n_images=1,
                reason=reason,
                method="recalibrated chance of the stated truth",
                reference=REFERENCE,
            )
        )
    return rows


def _judged(given: AuditInput, tests: list[Row]) -> list[Row]:
    """One verdict per score, adjusted by Holm over all scores."""
    from fiducial.maths.multiplicity import holm

    for row, adjusted in zip(tests, holm([row["p"] for row in tests]), strict=True):
        if row["verdict"]:
            continue
        row["p_adjusted"] = float(adjusted)
        finding = row["p_adjusted"] < 1 - given.settings.level
        row["verdict"] = "finding" if finding else "clear"
        row["reason"] = (
            "confident answers contradict more truths than a recalibrated score allows, as if about "
            f"{row['value']:.1%} of them were wrong: look at the named cases to see who is"
            if finding
            else "no more confident contradictions than a recalibrated score allows"
        )
    return tests
