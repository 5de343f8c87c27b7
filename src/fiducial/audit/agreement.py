"""Agreement: do the raters agree, and is one of them unlike the others?

What it measures: percent agreement, Cohen's, Fleiss' kappa and Krippendorff's alpha, each rater's sensitivity and
specificity against the reference; of masks the Dice of pairs, with the STAPLE consensus and with the reference; and how
much more each rater differs from the others than they do among themselves.
Why it matters: a reference is as good as the people behind it, and a model cannot agree with them better than they
agree with each other.
What it cannot see: errors that all raters share. Without rows by ``rater`` there is nothing to say, and no row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiducial.audit.evidence import BOOTSTRAP, WILSON, curve_point, evidence_row
from fiducial.audit.given import AuditInput, CheckResult, Row
from fiducial.audit.measure import reason_text, replicates
from fiducial.audit.rated_masks import RatedMasks, figures_of_masks, rated_masks
from fiducial.audit.tables import audited_split, audited_table

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.maths.bootstrap import Sums

CHECK = "agreement"
MOST_CATEGORIES = 10
"""Readings with more different values than this are cut at `CUT`."""
CUT = 0.5
MOST_PAIRED = 6
"""Raters; with more of them the kappas of single pairs are left out."""
COHEN = "Cohen, Educational and Psychological Measurement 1960"
WEIGHTED = "Cohen, Psychological Bulletin 1968"
FLEISS = "Fleiss, Psychological Bulletin 1971"
ALPHA = "Hayes and Krippendorff, Communication Methods and Measures 2007"
HOLM = "Holm, Scandinavian Journal of Statistics 1979"


@dataclass(frozen=True)
class Readings:
    """The answers of several raters on one target.

    ``rating`` are categories [n_images, n_raters], -1 where a rater did not see the image; ``truth`` the reference
    (NaN where there is none) [n_images]; ``positive`` says which categories count as positive, empty where that is
    unknown. Sorted by image and by rater.
    """

    target: str
    item: str
    split: str
    raters: tuple[str, ...]
    rating: NDArray[np.int64]
    truth: NDArray[np.float64]
    subject: NDArray[Any]
    categories: tuple[float, ...]
    positive: tuple[bool, ...]
    how: str

    def seen(self, *raters: int) -> NDArray[np.bool_]:
        """The images that all of these raters saw."""
        return np.asarray((self.rating[:, list(raters)] >= 0).all(axis=1))

    def n_subjects(self, mask: NDArray[np.bool_]) -> int:
        """Distinct subjects."""
        return len(np.unique(self.subject[mask]))


def check_agreement(given: AuditInput) -> CheckResult:
    """Agreement of all raters, of pairs and with the reference, and a verdict per target; nothing without raters."""
    result = CheckResult()
    tests: list[Row] = []
    verdicts: list[tuple[Row, list[Row]]] = []
    for found in readings_of(given):
        rows, own, curves = _of_target(given, found)
        tests += own
        verdicts.append((_verdict(given, found, own), own))
        result += CheckResult(rows, curves)
    for drawn in rated_masks(given):
        own = _unlike_masks(given, drawn)
        tests += own
        verdicts.append((_verdict_row(given, {"target": drawn.target, "split": drawn.split}, own, drawn), own))
        result += CheckResult(figures_of_masks(given, drawn))
    _judge(given, tests, verdicts)
    return result + CheckResult([*tests, *(row for row, _ in verdicts)])


def readings_of(given: AuditInput) -> list[Readings]:
    """The raters' answers on the audited part, by target and class, where two raters or more answered."""
    if given.readings is None or not len(given.readings):
        return []
    part = audited_split(audited_table(given))
    rows = given.readings
    rows = rows[(rows["kind"] == "score") & (rows["split"] == part) & rows["value"].notna()]
    found = []
    for (target, item), own in rows.groupby(["target", "item"], sort=True):
        if own["rater"].nunique() >= 2:
            found.append(_readings(given, own, str(target), str(item), part))
    return found


def _readings(given: AuditInput, rows: pd.DataFrame, target: str, item: str, part: str) -> Readings:
    values, how = rows["value"].to_numpy(dtype=np.float64), "readings as they are"
    if len(np.unique(values)) > MOST_CATEGORIES:
        values, how = (values >= CUT).astype(np.float64), f"a reading of {CUT:g} or more counts as positive"
    categories = np.unique(np.concatenate([values, [0.0, 1.0]])) if set(values) <= {0.0, 1.0} else np.unique(values)
    binary = tuple(categories.tolist()) == (0.0, 1.0)
    table = rows.assign(code=np.searchsorted(categories, values)).pivot_table(
        index="image", columns="rater", values="code", aggfunc="first"
    )
    table = table.sort_index().sort_index(axis=1)
    truth = rows.groupby("image")["truth"].first().reindex(table.index)
    final = given.predictions[(given.predictions["target"] == target) & (given.predictions["item"] == item)]
    truth = truth.fillna(final.drop_duplicates("image").set_index("image")["truth"].reindex(table.index))
    subject = rows.groupby("image")["subject"].first().reindex(table.index).to_numpy()
    return Readings(
        target,
        item,
        part,
        tuple(map(str, table.columns)),
        table.fillna(-1).to_numpy().astype(np.int64),
        truth.to_numpy(dtype=np.float64),
        subject if given.settings.person_known else table.index.to_numpy(),
        tuple(map(float, categories)),
        (False, True) if binary else (),
        how,
    )


def _of_target(given: AuditInput, found: Readings) -> tuple[list[Row], list[Row], list[Row]]:
    """Figures of all raters, of pairs and of each rater; the tests; the points in ROC space."""
    rows, kappas = _of_all(given, found)
    if len(found.raters) <= MOST_PAIRED:
        few, pairs = _of_pairs(given, found)
        rows, kappas = [*rows, *few], [*kappas, *pairs]
    rows += _resampled(given, found, kappas)
    curves: list[Row] = []
    if found.positive:
        own, curves = _against_reference(given, found)
        rows += own
    return rows, _unlike(given, found), curves


@dataclass(frozen=True)
class _Kappa:
    """A kappa that still needs its interval: ``seen`` are the images that it rests on."""

    metric: str
    statistic: Sums
    seen: NDArray[np.bool_]
    said: Row


def _of_all(given: AuditInput, found: Readings) -> tuple[list[Row], list[_Kappa]]:
    """Percent agreement of a random pair of raters, Fleiss' kappa, Krippendorff's alpha."""
    from fiducial.maths.agreement import counts_of, fleiss_kappa_of, krippendorff_alpha_of
    from fiducial.maths.intervals import mean_interval

    twice = np.asarray((found.rating >= 0).sum(axis=1) >= 2)
    subject = found.subject[twice]
    counts = counts_of(found.rating[twice], n_categories=len(found.categories))
    said = _said(found)
    few = _too_few(given, found.n_subjects(twice))
    if few:
        return [evidence_row(given, CHECK, "percent_agreement", method="none", **few, **said)], []
    m = counts.sum(axis=1)
    share = (counts * (counts - 1)).sum(axis=1) / (m * (m - 1))
    interval = mean_interval(share, subject=subject, level=given.settings.level, bounds=(0.0, 1.0))
    reason = reason_text(interval)
    row = evidence_row(given, CHECK, "percent_agreement", interval, reason=reason, **_by(found, said, interval.method))
    kinds = {"fleiss_kappa": (fleiss_kappa_of(counts), FLEISS)}
    weighting: Any = "none" if len(found.categories) <= 2 else "quadratic"
    kinds["krippendorff_alpha"] = (krippendorff_alpha_of(counts, weighting=weighting), ALPHA)
    return [row], [
        _Kappa(metric, statistic, twice, _by(found, {**said, "reference": reference}))
        for metric, (statistic, reference) in kinds.items()
    ]


def _of_pairs(given: AuditInput, found: Readings) -> tuple[list[Row], list[_Kappa]]:
    """Cohen's kappa of each pair; weighted by squares too where there are more than two categories."""
    from fiducial.maths.agreement import cohen_kappa_of

    k = len(found.categories)
    rows, kappas = [], []
    for one, other in combinations(range(len(found.raters)), 2):
        both = found.seen(one, other)
        names = f"{found.raters[one]} and {found.raters[other]}"
        said = {**_said(found, names), "statistic": "pair"}
        few = _too_few(given, found.n_subjects(both))
        if few:
            rows.append(evidence_row(given, CHECK, "cohen_kappa", method="none", **few, **said))
            continue
        pair = (found.rating[both, one], found.rating[both, other])
        plain = cohen_kappa_of(*pair, n_categories=k)
        kappas.append(_Kappa("cohen_kappa", plain, both, _by(found, {**said, "reference": COHEN})))
        if k > 2:
            weighted = cohen_kappa_of(*pair, n_categories=k, weighting="quadratic")
            kappas.append(_Kappa("weighted_kappa", weighted, both, _by(found, {**said, "reference": WEIGHTED})))
    return rows, kappas


def _resampled(given: AuditInput, found: Readings, kappas: list[_Kappa]) -> list[Row]:
    """Kappas with their clustered bootstrap intervals: one draw of subjects for all of them."""
    from fiducial.maths.bootstrap import Sums
    from fiducial.maths.intervals import bootstrap_interval

    if not kappas:
        return []
    everywhere = {}
    for place, kappa in enumerate(kappas):
        columns = np.zeros((len(found.subject), kappa.statistic.columns.shape[1]))
        columns[kappa.seen] = kappa.statistic.columns
        everywhere[str(place)] = Sums(columns, kappa.statistic.combine)
    draws = replicates(everywhere, found.subject, None, given.settings)
    rows = []
    for name, kappa in zip(everywhere, kappas, strict=True):
        n_subjects, n_images = np.array([found.n_subjects(kappa.seen)]), np.array([int(kappa.seen.sum())])
        own = replace(draws, n_subjects=n_subjects, n_images=n_images)
        interval = bootstrap_interval(own, name, level=given.settings.level, bounds=(-1.0, 1.0))
        why = reason_text(interval)
        if math.isnan(interval.value):
            why = "all answers are alike: agreement beyond chance cannot be told"
        how = {"method": f"{interval.method}; {kappa.said['method']}"}
        how |= {"reference": f"{kappa.said['reference']}; {BOOTSTRAP}", "reason": why}
        rows.append(evidence_row(given, CHECK, kappa.metric, interval, **{**kappa.said, **how}))
    return rows


def _against_reference(given: AuditInput, found: Readings) -> tuple[list[Row], list[Row]]:
    """Sensitivity and specificity of each rater, and its point in ROC space."""
    from fiducial.maths.intervals import rate_interval

    rows, curves = [], []
    for place, name in enumerate(found.raters):
        at: dict[str, Any] = {}
        for metric, wanted in (("sensitivity", 1.0), ("specificity", 0.0)):
            use = found.seen(place) & (found.truth == wanted)
            said = {**_said(found, name), "statistic": "rater", "n_events": int(use.sum()) if wanted else 0}
            few = _too_few(given, found.n_subjects(use))
            if few:
                rows.append(evidence_row(given, CHECK, metric, method="none", **few, **said))
                continue
            right = found.rating[use, place] == int(wanted)
            interval = rate_interval(right, subject=found.subject[use], level=given.settings.level)
            how = _by(found, {**said, "reference": WILSON}, interval.method)
            rows.append(evidence_row(given, CHECK, metric, interval, reason=reason_text(interval), **how))
            at[metric] = interval
        if len(at) == 2:
            drawn = {"x": 1 - at["specificity"].value, "y": at["sensitivity"].value, "n": int(found.seen(place).sum())}
            bounds = {"low": at["sensitivity"].low, "high": at["sensitivity"].high}
            target = f"{found.target}: {found.item}" if found.item else found.target
            curves.append(curve_point(CHECK, "rater", target=target, series=name, **drawn, **bounds))
    return rows, curves


def _unlike(given: AuditInput, found: Readings) -> list[Row]:
    """How much more each rater differs from the others than they do among themselves; p is one-sided."""
    from fiducial.maths.agreement import disagreements

    def words(own: float, others: float) -> str:
        return f"differs from another rater in {own:.1%}, the others among themselves in {others:.1%}"

    method = "share of other raters that differ, less the share of differing pairs among them"
    saids = [{**_said(found, name), "statistic": "rater", "method": method} for name in found.raters]
    rows = _excess(given, disagreements(found.rating), found, saids, words)
    return [_by(found, row, row["method"]) for row in rows]


def _unlike_masks(given: AuditInput, found: RatedMasks) -> list[Row]:
    """The same of masks: 1 - Dice in place of the share that differs."""

    def words(own: float, others: float) -> str:
        return f"mean Dice with another rater {1 - own:.3f}, of the others among themselves {1 - others:.3f}"

    method = "mean of 1 - Dice with the other raters, less that of pairs among them"
    said = {"target": found.target, "split": found.split, "statistic": "rater", "method": method}
    saids = [{**said, "item": name} for name in found.raters]
    return _excess(given, found.disagreements(), found, saids, words)


def _excess(
    given: AuditInput,
    apart: tuple[NDArray[np.float64], NDArray[np.float64]],
    found: Readings | RatedMasks,
    saids: list[Row],
    words: Callable[[float, float], str],
) -> list[Row]:
    """One test a rater, from what it and the others differ by in each image [n_images, n_raters]."""
    from fiducial.maths.difference import paired_difference_interval

    own, others = apart
    rows = []
    for place, said in enumerate(saids):
        use = np.isfinite(own[:, place])
        few = _too_few(given, found.n_subjects(use))
        if few:
            few["reason"] += ": images that this rater and two others saw"
            rows.append(evidence_row(given, CHECK, "excess_disagreement", **{**said, **few, "method": "none"}))
            continue
        pair = own[use, place], others[use, place]
        interval = paired_difference_interval(*pair, subject=found.subject[use], level=given.settings.level)
        p = interval.p / 2 if interval.value > 0 else 1 - interval.p / 2
        if math.isnan(interval.p):
            p = 1.0 if interval.value <= 0 else math.nan
        method = f"{said['method']}; {interval.method}"
        reason = words(float(pair[0].mean()), float(pair[1].mean()))
        how = {**said, "reference": HOLM, "reason": reason, "p": p, "method": method}
        rows.append(evidence_row(given, CHECK, "excess_disagreement", interval, **how))
    return rows


def _verdict(given: AuditInput, found: Readings, tests: list[Row]) -> Row:
    """The row that will hold the verdict on one target."""
    return _verdict_row(given, _said(found), tests, found)


def _verdict_row(given: AuditInput, said: Row, tests: list[Row], found: Readings | RatedMasks) -> Row:
    everything = np.ones(len(found.subject), dtype=bool)
    counts = {"n_subjects": found.n_subjects(everything), "n_images": len(everything), "reference": HOLM}
    method = f"smallest one-sided p of {len(tests)} raters, adjusted by Holm over all raters"
    return evidence_row(
        given, CHECK, "excess_disagreement", **{**said, "statistic": "test", "method": method, **counts}
    )


def _judge(given: AuditInput, tests: list[Row], verdicts: list[tuple[Row, list[Row]]]) -> None:
    """Verdicts in place, adjusted by Holm over all raters of all targets."""
    from fiducial.maths.multiplicity import holm

    for row, adjusted in zip(tests, holm([row["p"] for row in tests]), strict=True):
        row["p_adjusted"] = float(adjusted)
    for verdict, own in verdicts:
        tested = [row for row in own if math.isfinite(row["p"])]
        if not tested:
            few = "two raters: which of them is off cannot be told" if len(own) == 2 else own[0]["reason"]
            verdict |= {"verdict": "not_possible", "reason": few}
            continue
        worst = min(tested, key=lambda row: row["p"])
        verdict |= {name: worst[name] for name in ("value", "low", "high", "p", "p_adjusted")}
        unlike = [row for row in tested if row["p_adjusted"] < 1 - given.settings.level]
        verdict["verdict"] = "finding" if unlike else "clear"
        names = [_rater(row) for row in sorted(unlike, key=lambda row: row["p"])]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        verdict["reason"] = (
            f"{', '.join(names[:3])}{more} {'disagrees' if len(names) == 1 else 'disagree'} with the others more than "
            f"the others do among themselves: {worst['reason']}"
            if unlike
            else f"no rater disagrees with the others beyond chance{_not_compared(own)}"
        )


def _not_compared(own: list[Row]) -> str:
    """Whom a verdict does not speak of."""
    left = [row for row in own if not math.isfinite(row["p"])]
    return f"; not compared: {', '.join(_rater(row) for row in left[:3])} ({left[0]['reason']})" if left else ""


def _rater(row: Row) -> str:
    item = str(row["item"])
    return item.partition(": ")[2] or item


def _too_few(given: AuditInput, n: int) -> dict[str, Any]:
    """What to say where fewer subjects than the minimum count; empty where there are enough."""
    smallest = given.settings.minimum_n
    return {"reason": f"n = {n} < {smallest}", "n_subjects": n} if n < smallest else {}


def _said(found: Readings, who: str = "") -> dict[str, Any]:
    """Target and part; ``item`` holds the class and, behind a colon, the rater or the pair."""
    item = ": ".join(part for part in (found.item, who) if part)
    return {"target": found.target, "item": item, "split": found.split}


def _by(found: Readings, said: Row, method: str = "") -> Row:
    """``said`` with how readings became categories at the end of the method."""
    return {**said, "method": "; ".join(part for part in (method, found.how) if part)}
