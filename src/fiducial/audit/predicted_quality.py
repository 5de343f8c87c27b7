"""Predicted quality: is the Dice that the model expects the Dice that it gets?

What it measures: correlation, mean difference (bias) and mean absolute error of the predicted Dice of each mask against
the real one, in the audited part.
Why it matters: without a reference nobody knows the real Dice. A predicted one decides which masks a person looks at.
What it cannot see: whether it still holds on images unlike those that were audited; where in a mask the error is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import BOOTSTRAP, LOCATION, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.measure import from_bootstrap, reason_text, replicates
from fiducial.audit.tables import audited_split
from fiducial.records.tables import PREDICTED_DICE

CHECK = "predicted_quality"
REFERENCE = "Robinson et al., MICCAI 2018; Valindria et al., IEEE Trans Med Imaging 2017"
_MOST_POINTS = 1000


@dataclass(frozen=True)
class Pairs:
    """Predicted and real Dice of the images of one structure, [n] each, by image."""

    target: str
    split: str
    predicted: NDArray[np.float64]
    real: NDArray[np.float64]
    subject: NDArray[Any]
    image: NDArray[Any]


def check_predicted_quality(given: AuditInput) -> CheckResult:
    """Figures and a verdict for each structure whose Dice was predicted; no row where none was."""
    result = CheckResult()
    tested: list[Row] = []
    for pairs in predicted_and_real(given):
        n = len(np.unique(pairs.subject))
        if n < given.settings.minimum_n:
            why = f"n = {n} < {given.settings.minimum_n} patients with a predicted and a real Dice"
            said: Row = {"target": pairs.target, "split": pairs.split, "statistic": "test", "method": "none"}
            said |= {"n_subjects": n, "n_images": len(pairs.real), "reason": why}
            result += CheckResult([evidence_row(given, CHECK, "bias", verdict="not_possible", **said)])
            continue
        rows = _figures(given, pairs)
        tested.append(next(row for row in rows if row["metric"] == "bias"))
        result += CheckResult(rows, _points(pairs))
    return result + CheckResult(_verdicts(given, tested))


def predicted_and_real(given: AuditInput, split: str | None = None) -> list[Pairs]:
    """Images with both numbers, by structure, of a part: by default the audited one."""
    said = given.predictions
    said = said[(said["kind"] == "score") & (said["item"] == PREDICTED_DICE)]
    if not len(said):
        return []
    part = audited_split(said) if split is None else split
    said = said[(said["split"] == part) & said["value"].notna()].drop_duplicates(["image", "target"])
    real = given.cases[
        (given.cases["metric"] == "dice") & (given.cases["split"] == part) & given.cases["value"].notna()
    ]
    real = real.drop_duplicates(["image", "target"])[["image", "target", "value"]].rename(columns={"value": "real"})
    person = "subject" if given.settings.person_known else "image"
    found = []
    for target, own in said.groupby("target", sort=True):
        both = own.merge(real[real["target"] == target], on=["image", "target"]).sort_values("image", kind="stable")
        predicted, true = both["value"].to_numpy(dtype=np.float64), both["real"].to_numpy(dtype=np.float64)
        subject, image = both[person].to_numpy(), both["image"].to_numpy()
        found.append(Pairs(str(target), part, predicted, true, subject, image))
    return found


def _figures(given: AuditInput, pairs: Pairs) -> list[Row]:
    """Pearson's and Spearman's correlation, bias and mean absolute error."""
    from fiducial.maths.correlation import correlation_of
    from fiducial.maths.difference import paired_difference_interval
    from fiducial.maths.intervals import mean_interval

    level = given.settings.level
    said: Row = {"target": pairs.target, "split": pairs.split}
    names = {"pearson:correlation": False, "spearman:correlation": True}
    statistics = {name: correlation_of(pairs.predicted, pairs.real, ranks=ranks) for name, ranks in names.items()}
    drawn = replicates(statistics, pairs.subject, None, given.settings)
    rows = []
    for name in names:
        interval = from_bootstrap(drawn, name, "all", given.settings)
        why = "predicted or real Dice are all alike" if math.isnan(interval.value) else reason_text(interval)
        kind = name.partition(":")[0]
        how: Row = {"item": kind, "reason": why, "reference": f"{REFERENCE}; {BOOTSTRAP}"}
        rows.append(evidence_row(given, CHECK, "correlation", interval, **said, **how))
    off = paired_difference_interval(pairs.predicted, pairs.real, subject=pairs.subject, level=level)
    how = {"reason": reason_text(off), "reference": REFERENCE, "p": off.p}
    rows.append(evidence_row(given, CHECK, "bias", off, statistic="mean", **said, **how))
    size = mean_interval(np.abs(pairs.predicted - pairs.real), subject=pairs.subject, level=level, bounds=(0.0, 1.0))
    how = {"reason": reason_text(size), "reference": LOCATION}
    return [*rows, evidence_row(given, CHECK, "mae", size, statistic="mean", **said, **how)]


def _verdicts(given: AuditInput, tested: list[Row]) -> list[Row]:
    """A finding where the predicted Dice is too high beyond chance, after Holm over the structures."""
    from fiducial.maths.multiplicity import holm

    verdicts = []
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_adjusted"] = float(p)
        method = f"{row['method']}; two-sided, adjusted by Holm over {len(tested)} structures"
        said = row | {"statistic": "test", "method": method}
        if math.isnan(row["p"]):
            verdicts.append(said | {"verdict": "not_possible", "reason": row["reason"] or "no interval"})
            continue
        beyond = p < 1 - given.settings.level
        reason = "predicted and real Dice do not differ on average beyond chance"
        if beyond:
            how = "high" if row["value"] > 0 else "low, which errs on the safe side"
            reason = f"the predicted Dice is {abs(row['value']):.3f} too {how}"
        verdicts.append(said | {"verdict": "finding" if beyond and row["value"] > 0 else "clear", "reason": reason})
    return verdicts


def _points(pairs: Pairs) -> list[Row]:
    """What a scatter plot draws: x the real Dice, y the predicted one; at most 1,000 evenly chosen images."""
    n = len(pairs.real)
    kept = np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(int))
    said = {"target": pairs.target, "series": pairs.split or "all", "n": n}
    return [
        curve_point(CHECK, "predicted_dice", **said, x=float(pairs.real[i]), y=float(pairs.predicted[i]))
        for i in map(int, kept)
    ]
