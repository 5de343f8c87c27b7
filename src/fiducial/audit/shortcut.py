"""Shortcuts: can an attribute be read from the embeddings, and does the score follow it at equal truth?

What it measures: how well a linear probe tells sex, site, scanner or a burned-in marker from the embeddings beyond what
the truth explains (AUC, cross-fitted by patient), and how much the score moves with the attribute among patients of the
same truth; a shift is a finding where it is beyond chance *and* beyond the smallest that matters.
Why it matters: a model that reads the scanner or a marker instead of the disease fails where the marker is elsewhere.
What it cannot see: attributes that nobody recorded; whether the attribute causes the shift or stands for sicker
patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.group_tests import large_groups
from fiducial.audit.groups import masks_of, usable
from fiducial.audit.measure import nothing, reason_text
from fiducial.audit.scores import ScoreColumn, audited_columns

if TYPE_CHECKING:
    from fiducial.maths.intervals import Interval

CHECK = "shortcut"
MARKER = "marker"
PROBED = "Alain and Bengio, ICLR workshop 2017; Gichoya et al., Lancet Digital Health 2022; DeLong et al. 1988"
RELEVANT_SHIFT = 0.36
"""Logits: Cohen's small effect, d = 0.2, times pi / sqrt 3 (Chinn, Statistics in Medicine 2000). Every trained network
depends a little on what stood in its training images by chance; with enough patients *any* shift would be a finding."""
FOLLOWED = "Liang and Zeger, Biometrika 1986; test: Mielke and Berry 2007"
BOTH = "Brown et al., Nature Communications 2023; both parts must hold: Berger, Technometrics 1982; Holm 1979"


@dataclass(frozen=True)
class Probed:
    """One group of one attribute: is it seen in the embeddings, and is it followed? p values are NaN if not tested.

    ``p_shift`` tests a shift of 0, ``p_relevant`` one of at most `RELEVANT_SHIFT` either way.
    """

    attribute: str
    group: str
    decoded: Interval
    shift: Interval
    p_decoded: float
    p_shift: float
    p_relevant: float
    p_adjusted: float = float("nan")
    p_shift_adjusted: float = float("nan")
    p_relevant_adjusted: float = float("nan")

    @property
    def p_both(self) -> float:
        """P value of *not both*: the larger of the two."""
        return max(self.p_decoded, self.p_relevant)


def check_shortcut(given: AuditInput) -> CheckResult:
    """Two figures for each group, and one verdict for each attribute and score."""
    found: list[tuple[ScoreColumn, list[Probed]]] = []
    rows: list[Row] = []
    for column in audited_columns(given):
        if len(column.image):
            probed, refused = _probed(given, column)
            found.append((column, probed))
            rows += refused
    for column, own in zip((column for column, _ in found), _adjusted([p for _, p in found]), strict=True):
        for one in own:
            rows += _figures(given, column, one)
        for attribute in dict.fromkeys(one.attribute for one in own):
            rows.append(_verdict(given, column, [one for one in own if one.attribute == attribute]))
    return CheckResult(rows)


def attributes_of(given: AuditInput) -> tuple[str, ...]:
    """The audit's attributes, and a column ``marker`` even where nobody asked for it."""
    named = given.settings.attributes
    return (*named, MARKER) if MARKER in given.attributes.columns and MARKER not in named else named


def embedded(given: AuditInput, column: ScoreColumn) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Embeddings of a column's images [n, d] and which images have a whole one; None where there is none.

    Rows of the column's own target are taken, else those of the first target that has any.
    """
    if given.embeddings is None or not len(given.embeddings):
        return None
    rows = given.embeddings
    targets = list(rows["target"].unique())
    rows = rows[rows["target"] == (column.target if column.target in targets else min(targets))]
    wide = rows.pivot_table(index="image", columns="item", values="value", aggfunc="first", dropna=False)
    wide = wide.reindex(column.image)
    points = wide.to_numpy(dtype=np.float64)
    whole = np.isfinite(points).all(axis=1)
    return (points, whole) if whole.any() else None


def _probed(given: AuditInput, column: ScoreColumn) -> tuple[list[Probed], list[Row]]:
    """Every group that is large enough inside and outside; attributes of two groups are asked once."""
    from fiducial.maths.calibration import logit
    from fiducial.maths.fairness import beyond_test, group_test
    from fiducial.maths.probe import shift_given_truth

    asked: list[tuple[str, str, NDArray[np.bool_]]] = []
    refused: list[Row] = []
    everyone = np.ones(len(column.image), dtype=bool)
    for attribute in attributes_of(given):
        why = usable(given, attribute, column.image)
        groups = {} if why else masks_of(given, attribute, column.image)
        large, _ = large_groups(given, column, groups, everyone)
        if len(large) < 2:
            why = why or f"{attribute} has fewer than two groups of at least {given.settings.minimum_n}"
            refused.append(_refusal(given, column, attribute, why))
            continue
        asked += [(attribute, group, groups[group]) for group in (large[1:] if len(groups) == 2 else large)]
    decoded = _decoded(given, column, [mask for _, _, mask in asked])
    value, found = logit(column.score), []
    for (attribute, group, mask), (seen, p_seen) in zip(asked, decoded, strict=True):
        said = {"subject": column.subject, "stratum": column.truth}
        shift = shift_given_truth(value, mask, column.truth, subject=column.subject, level=given.settings.level)
        test = group_test(value, mask, **said)
        shift = replace(shift, p=test.p)
        p_relevant = beyond_test(value, mask, margin=RELEVANT_SHIFT, **said)
        found.append(Probed(attribute, group, seen, shift, p_seen, test.p, p_relevant))
    return found, refused


def _decoded(
    given: AuditInput, column: ScoreColumn, masks: Sequence[NDArray[np.bool_]]
) -> list[tuple[Interval, float]]:
    """How well each group is told from the embeddings, with the one-sided p value of *not better than chance*."""
    from fiducial.maths.probe import cross_fitted_probe, stratified_auc

    points = embedded(given, column)
    if points is None or not masks:
        return [(nothing(given.settings, "no-rows"), float("nan"))] * len(masks)
    features, whole = points
    truth, subject = column.truth[whole], column.subject[whole]
    labels = np.stack([mask[whole] for mask in masks], axis=1)
    scores = cross_fitted_probe(features[whole], labels, subject=subject, truth=truth)
    found = []
    for label, score in zip(labels.T, scores.T, strict=True):
        area = stratified_auc(label, score, truth, subject=subject, level=given.settings.level)
        one_sided = area.p / 2 if area.value > 0.5 else 1 - area.p / 2
        found.append((area, one_sided))
    return found


def _adjusted(found: Sequence[Sequence[Probed]]) -> list[list[Probed]]:
    """Holm over all groups of all scores: for both parts together, for any shift, and for a relevant one."""
    from fiducial.maths.multiplicity import holm

    everything = [one for own in found for one in own]
    both, shift = holm([one.p_both for one in everything]), holm([one.p_shift for one in everything])
    relevant = holm([one.p_relevant for one in everything])
    told = iter(
        replace(one, p_adjusted=float(p), p_shift_adjusted=float(q), p_relevant_adjusted=float(r))
        for one, p, q, r in zip(everything, both, shift, relevant, strict=True)
    )
    return [[next(told) for _ in own] for own in found]


def _said(column: ScoreColumn) -> dict[str, Any]:
    return {"target": column.target, "item": column.item, "split": column.split, "n_events": column.n_events}


def _refusal(given: AuditInput, column: ScoreColumn, attribute: str, why: str) -> Row:
    said = {**_said(column), "statistic": "test", "group": attribute, "verdict": "not_possible", "method": "none"}
    return evidence_row(given, CHECK, "shortcut", reason=why, **said)


def _figures(given: AuditInput, column: ScoreColumn, one: Probed) -> list[Row]:
    """How well a group is told from the embeddings, if there are any, and how far its scores are shifted."""
    rows = []
    said = {**_said(column), "group": one.group}
    if one.decoded.n_images:
        text = reason_text(one.decoded)
        known = {"p": one.p_decoded, "reason": text, "reference": PROBED}
        rows.append(evidence_row(given, CHECK, "decodability", one.decoded, **said, **known))
    shift = {"p": one.p_shift, "reason": reason_text(one.shift), "reference": FOLLOWED, "unit": "logits"}
    rows.append(evidence_row(given, CHECK, "score_shift", one.shift, **said, **shift))
    return rows


def _verdict(given: AuditInput, column: ScoreColumn, groups: Sequence[Probed]) -> Row:
    """A finding needs both: seen in the embeddings and followed by the score, in one and the same group."""
    alpha = 1 - given.settings.level
    seen_at_all = any(one.decoded.n_images for one in groups)
    attribute = groups[0].attribute
    said: dict[str, Any] = {**_said(column), "statistic": "test", "group": attribute, "reference": BOTH}
    said |= {"n_subjects": column.n_subjects, "n_images": len(column.image)}
    method = f"decodability above 0.5 and shift beyond ±{RELEVANT_SHIFT} logits, the larger p, Holm over all groups"
    if not seen_at_all:
        worst = min(groups, key=lambda one: np.nan_to_num(one.p_relevant, nan=2.0))
        said |= {"p": worst.p_relevant, "p_adjusted": worst.p_relevant_adjusted, "value": worst.shift.value}
        said |= {
            "method": f"shift beyond ±{RELEVANT_SHIFT} logits at equal truth only (no embeddings), Holm over all groups"
        }
        if worst.p_relevant_adjusted < alpha:
            why = f"{_moves(worst)}; without embeddings it cannot be told whether the model reads it from the image"
            return evidence_row(given, CHECK, "shortcut", verdict="not_possible", reason=why, **said)
        why = f"{_little(groups, alpha)}; there are no embeddings to look into"
        if not np.isfinite(worst.p_relevant):
            return evidence_row(given, CHECK, "shortcut", verdict="not_possible", reason="nothing to test", **said)
        return evidence_row(given, CHECK, "shortcut", verdict="clear", reason=why, **said)
    worst = min(groups, key=lambda one: np.nan_to_num(one.p_both, nan=2.0))
    said |= {"p": worst.p_both, "p_adjusted": worst.p_adjusted, "value": worst.shift.value, "method": method}
    if not np.isfinite(worst.p_both):
        why = "the embeddings or the scores do not vary enough to be tested"
        return evidence_row(given, CHECK, "shortcut", verdict="not_possible", reason=why, **said)
    area = f"{worst.group} can be read from the embeddings (AUC {worst.decoded.value:.2f})"
    if worst.p_adjusted < alpha:
        return evidence_row(given, CHECK, "shortcut", verdict="finding", reason=f"{area}, and {_moves(worst)}", **said)
    return evidence_row(given, CHECK, "shortcut", verdict="clear", reason=_half(groups, alpha), **said)


def _moves(one: Probed) -> str:
    way = "higher" if one.shift.value > 0 else "lower"
    return f"scores of {one.group} are {abs(one.shift.value):.2f} logits {way} at equal truth"


def _half(groups: Sequence[Probed], alpha: float) -> str:
    """What holds where not both do."""
    followed = [one for one in groups if one.p_relevant_adjusted < alpha]
    if followed:
        return f"{_moves(followed[0])}, but the embeddings do not show {followed[0].group}"
    seen = max(groups, key=lambda one: np.nan_to_num(one.decoded.value))
    if seen.decoded.low > 0.5:
        return f"{seen.group} can be read from the embeddings (AUC {seen.decoded.value:.2f}); {_little(groups, alpha)}"
    return f"{groups[0].attribute} is not seen in the embeddings beyond chance; {_little(groups, alpha)}"


def _little(groups: Sequence[Probed], alpha: float) -> str:
    """How far scores follow an attribute where no shift is shown to matter."""
    attribute = groups[0].attribute
    moved = [one for one in groups if one.p_shift_adjusted < alpha]
    if not moved:
        return f"the score does not follow {attribute} beyond chance at equal truth"
    most = max(moved, key=lambda one: abs(one.shift.value))
    return f"{_moves(most)}, not shown to be beyond the {RELEVANT_SHIFT} that matter"
