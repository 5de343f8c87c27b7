"""Out of distribution: does the test part lie where the calibration part lies?

What it measures: how well scores of foreignness tell test images from calibration images: Mahalanobis distance and
distance to the tenth nearest neighbour in the model's embedding, Fisher's discriminant, and the energy of the logits;
which groups and which single images are most foreign.
Why it matters: a threshold, a recalibration map and a conformal set hold for patients like those they were made from.
What it cannot see: what the embedding does not hold. Foreign is not wrong: a model may be right on foreign images, and
wrong on familiar ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.embedded import Points, embedded, points_of
from fiducial.audit.evidence import DELONG, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.groups import masks_of, usable
from fiducial.audit.halves import LEAST_HALVED, second_half
from fiducial.audit.measure import reason_text
from fiducial.audit.scores import score_rows

CHECK = "out_of_distribution"
METRIC = "ood_auroc"
NEIGHBOUR = 10
N_NAMED = 10
N_BINS = 24
REFERENCES = {
    "mahalanobis": "Lee et al., NeurIPS 2018; shrinkage: Ledoit and Wolf 2004",
    "knn": "Sun et al., ICML 2022",
    "discriminant": "Fisher 1936; Lopez-Paz and Oquab, ICLR 2017",
    "energy": "Liu et al., NeurIPS 2020; several labels: Wang et al., NeurIPS 2021",
}
HOW = {
    "mahalanobis": "Mahalanobis distance from the mean of the reference half, covariance shrunk after Ledoit and Wolf",
    "knn": f"distance to nearest neighbour {NEIGHBOUR} in the reference half, coordinates in its standard deviations",
    "discriminant": "Fisher's discriminant of one half of both parts, judged on the other",
    "energy": "energy of the labels' logits",
}


WORDS = {
    "mahalanobis": "Mahalanobis distance",
    "knn": "nearest neighbours",
    "discriminant": "discriminant",
    "energy": "energy",
}


@dataclass(frozen=True)
class Judged:
    """One score of foreignness on images of both parts: ``foreign`` bool [n] says which are of the audited part."""

    target: str
    name: str
    split: str
    reference: str
    foreign: NDArray[np.bool_]
    score: NDArray[np.float64]
    subject: NDArray[Any]
    image: NDArray[Any]
    said: str = ""


def check_out_of_distribution(given: AuditInput) -> CheckResult:
    """The area of every score, a verdict over all of them, areas by group, and the most foreign images."""
    judged: list[Judged] = []
    rows: list[Row] = []
    for points in embedded(given):
        why = _why_not(points)
        if why:
            said = {"target": points.target, "statistic": "test", "method": "none"}
            rows.append(evidence_row(given, CHECK, METRIC, verdict="not_possible", reason=why, **said))
        else:
            judged += _in_embedding(points)
    judged += _by_energy(given)
    if not judged:
        return CheckResult(rows)
    curves: list[Row] = []
    areas = []
    shown = "mahalanobis" if any(one.name == "mahalanobis" for one in judged) else "energy"
    for one in judged:
        areas.append(_area_row(given, one))
        if one.name == shown:
            rows += _group_rows(given, one)
            curves += [*_histogram(one), *_most_foreign(one)]
    return CheckResult([*areas, *rows, _verdict(given, judged, areas, rows)], curves)


def _parts(points: Points) -> tuple[str, str]:
    """The audited part and the one to compare it with: calibration, else train; empty where there is none."""
    there = set(points.split)
    audited = "test" if "test" in there else ""
    reference = next((part for part in ("calibration", "train") if part in there), "")
    return (audited, reference) if audited in there else ("", "")


def _why_not(points: Points) -> str:
    """Why embeddings cannot be compared; empty where they can."""
    audited, reference = _parts(points)
    if not reference:
        return "embeddings of the test part and of the calibration part (or, second best, of train) would be needed"
    for part in (reference, audited):
        n = points.rows(points.split == part).n_subjects
        if n < LEAST_HALVED:
            return f"n = {n} < {LEAST_HALVED} patients with embeddings in the {part or 'audited'} part"
    return ""


def _in_embedding(points: Points) -> list[Judged]:
    """Scores that rest on an embedding.

    The reference part is halved by patient: distances are measured from one half and compared between the other half
    and the audited part, because cases lie closer to themselves than new ones do.
    """
    from fiducial.maths.outliers import discriminant, ledoit_wolf, mahalanobis, neighbour_distance

    audited, part = _parts(points)
    whole, test = points.rows(points.split == part), points.rows(points.split == audited)
    second = _halved(whole)
    base, other = whole.rows(~second), whole.rows(second)
    both = np.concatenate([other.value, test.value])
    scale = base.value.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    found = {
        "mahalanobis": mahalanobis(both, ledoit_wolf(base.value)),
        "knn": neighbour_distance(both / scale, base.value / scale, k=NEIGHBOUR),
    }
    judged = [_compared(points.target, name, part, other, test, score) for name, score in found.items()]
    late = _halved(test)
    judging = test.rows(late)
    line = discriminant(np.concatenate([other.value, judging.value]), base.value, test.rows(~late).value)
    judged.append(_compared(points.target, "discriminant", part, other, judging, line))
    return judged


def _halved(points: Points) -> NDArray[np.bool_]:
    return second_half(points.subject, np.zeros(len(points.subject), dtype=bool))


def _compared(target: str, name: str, part: str, other: Points, test: Points, score: NDArray[np.float64]) -> Judged:
    foreign = np.arange(len(score)) >= len(other.image)
    subject, image = (np.concatenate([getattr(one, key) for one in (other, test)]) for key in ("subject", "image"))
    left = f"; {test.n_left_out} images without every coordinate are left out" if test.n_left_out else ""
    if part == "train":
        left += "; compared with the training part, whose images a model knows better than new ones"
    return Judged(target, name, str(test.split[0]), part, foreign, score, subject, image, left)


def _by_energy(given: AuditInput) -> list[Judged]:
    """The energy of all labels of an image; several exclusive classes have none."""
    from fiducial.maths.outliers import energy

    rows = score_rows(given)
    rows = rows[rows["item"] == ""]
    if not len(rows):
        return []
    points = points_of(rows, given, columns="target", target="")
    audited, part = _parts(points)
    if part != "calibration":
        return []
    other, test = points.rows(points.split == part), points.rows(points.split == audited)
    if min(other.n_subjects, test.n_subjects) < max(2, given.settings.minimum_n):
        return []
    score = energy(np.concatenate([other.value, test.value]))
    return [_compared("", "energy", part, other, test, score)]


def _area_row(given: AuditInput, one: Judged) -> Row:
    """The chance that an audited image looks more foreign than one of the reference part."""
    from fiducial.maths.intervals import auc_interval
    from fiducial.maths.outliers import area_above_half_p

    interval = auc_interval(one.foreign, one.score, subject=one.subject, level=given.settings.level)
    p = area_above_half_p(one.foreign, one.score, subject=one.subject)
    said: Row = {"target": one.target, "item": one.name, "split": one.split, "p": p}
    said |= {"n_events": int(one.foreign.sum()), "reason": reason_text(interval)}
    said["method"] = (
        f"{interval.method}; {HOW[one.name]}; {one.split or 'audited'} against {one.reference} part{one.said}"
    )
    return evidence_row(given, CHECK, METRIC, interval, **said, reference=f"{REFERENCES[one.name]}; {DELONG}")


def _group_rows(given: AuditInput, one: Judged) -> list[Row]:
    """The same area for the audited images of each group, against all of the reference: which site is foreign?"""
    from fiducial.maths.intervals import auc_interval

    rows = []
    for attribute in given.settings.attributes:
        if usable(given, attribute, one.image[one.foreign]):
            continue
        for group, mask in masks_of(given, attribute, one.image).items():
            inside = one.foreign & mask
            if not inside.any():
                continue
            n = len(np.unique(one.subject[inside]))
            said: Row = {"target": one.target, "item": one.name, "split": one.split, "group": group}
            if n < given.settings.minimum_n:
                why = f"n = {n} < {given.settings.minimum_n}"
                lost = {"n_subjects": n, "n_images": int(inside.sum()), "reason": why, "method": "none"}
                rows.append(evidence_row(given, CHECK, METRIC, verdict="not_possible", **said, **lost))
                continue
            use = inside | ~one.foreign
            parts = (one.foreign[use], one.score[use])
            interval = auc_interval(*parts, subject=one.subject[use], level=given.settings.level)
            said |= {"n_subjects": n, "n_images": int(inside.sum()), "n_events": int(inside.sum())}
            alone = "" if (mask & ~one.foreign).any() else f"nobody of this group in the {one.reference} part"
            said["reason"] = reason_text(interval) or alone
            said["method"] = f"{interval.method}; {HOW[one.name]}; against all of the {one.reference} part"
            rows.append(evidence_row(given, CHECK, METRIC, interval, **said, reference=REFERENCES[one.name]))
    return rows


def _verdict(given: AuditInput, judged: list[Judged], areas: list[Row], groups: list[Row]) -> Row:
    """A finding where one of the areas is above 1/2 beyond chance, after Holm over all scores."""
    from fiducial.maths.multiplicity import holm

    for row, p in zip(areas, holm([row["p"] for row in areas]), strict=True):
        row["p_adjusted"] = float(p)
    said: Row = {"statistic": "test", "split": judged[0].split, "target": _common(judged)}
    known = [row for row in areas if math.isfinite(row["p"])]
    if not known:
        why = "a part has fewer than two patients"
        return evidence_row(given, CHECK, METRIC, verdict="not_possible", reason=why, method="none", **said)
    worst = min(known, key=lambda row: row["p"])
    off = [row for row in known if row["p_adjusted"] < 1 - given.settings.level]
    part = judged[0].reference
    reason = f"the audited images lie where the {part} images lie, as far as these scores tell"
    if off:
        named = ", ".join(f"{row['value']:.2f} by {WORDS[row['item']]}" for row in off)
        reason = f"the audited images lie elsewhere than the {part} images: area {named}, instead of 0.5"
        reason += _most_foreign_group(groups)
    kept = {key: worst[key] for key in ("item", "value", "low", "high", "n_subjects", "n_images", "n_events", "p")}
    method = f"area above 1/2, one-sided; smallest p of {len(known)} scores, adjusted by Holm"
    said |= kept | {"p_adjusted": worst["p_adjusted"], "reason": reason, "method": method}
    verdict = "finding" if off else "clear"
    return evidence_row(given, CHECK, METRIC, verdict=verdict, reference=worst["reference"], **said)


def _common(judged: list[Judged]) -> str:
    """The target, where all scores that have one are about the same."""
    names = {one.target for one in judged} - {""}
    return names.pop() if len(names) == 1 else ""


def _most_foreign_group(groups: list[Row]) -> str:
    measured = [row for row in groups if row["low"] > 0.5]
    if not measured:
        return ""
    worst = max(measured, key=lambda row: row["low"])
    return f"; most of all {worst['group']} ({worst['value']:.2f})"


def _histogram(one: Judged) -> list[Row]:
    """Share of each part's images in each range of the score; the last holds all beyond the 99.5th centile."""
    low, high = float(one.score.min()), float(np.quantile(one.score, 0.995))
    edges = np.linspace(low, high if high > low else low + 1.0, N_BINS + 1)
    held = np.clip(np.searchsorted(edges, one.score, side="right") - 1, 0, N_BINS - 1)
    points = []
    for series, mask in ((one.reference, ~one.foreign), (one.split, one.foreign)):
        counts = np.bincount(held[mask], minlength=N_BINS)
        for k in range(N_BINS):
            x, y = float(edges[k] + edges[k + 1]) / 2, float(counts[k]) / max(1, int(mask.sum()))
            said = {"target": one.target, "series": f"{one.name}: {series}"}
            points.append(curve_point(CHECK, "ood_score", **said, x=x, y=y, n=int(counts[k])))
    return points


def _most_foreign(one: Judged) -> list[Row]:
    """The audited images with the largest scores: y the score, x the share of the other part that is as far out."""
    if one.name != "mahalanobis":
        return []
    places = np.flatnonzero(one.foreign)
    order = places[np.lexsort((one.image[places].astype(str), -one.score[places]))][:N_NAMED]
    others = np.sort(one.score[~one.foreign])
    points = []
    for rank, place in enumerate(order, start=1):
        beyond = float(1 - np.searchsorted(others, one.score[place], side="left") / max(1, len(others)))
        said = {"target": one.target, "series": str(one.image[place]), "n": rank}
        points.append(curve_point(CHECK, "most_foreign", **said, x=beyond, y=float(one.score[place])))
    return points
