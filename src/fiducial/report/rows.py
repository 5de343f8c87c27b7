"""Which evidence rows stand where. Selection only: no figure is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fiducial.report import wording

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]

ACCEPTANCE = "acceptance"
AUDITED = ("test", "")
OPERATING = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "balanced_accuracy")
CALIBRATION = (
    "calibration_slope",
    "calibration_intercept",
    "calibration_in_the_large",
    "ece",
    "ece_adaptive",
    "brier",
    "log_loss",
)
RECALIBRATED = "recalibrated:"
"""Conditions of figures after a map begin with this; the map's name follows."""
DISCRIMINATION = ("auc", "average_precision")
OVERLAP = ("dice", "iou", "nsd", "hd95", "masd")
_DEFAULTS = {"statistic": "value", "group": "all", "condition": "clean"}
_APART = ("conformal", "out_of_distribution", "fairness", "group_thresholds", "levelling_down", "shortcut")
"""Checks whose groups are drawn in a section of their own."""
# The checks whose figures rest on the audited cases alone (others compare parts and count all of them).
_SIZED = ("accuracy", "calibration", "operating_point")
CENTRES = ("value", "mean", "median")


def numbered(evidence: pd.DataFrame) -> list[dict[str, Any]]:
    """Evidence as rows; each gets ``id``, its number in the table (1 = first), which links point at."""
    result = []
    for place, line in enumerate(evidence.to_dict("records"), start=1):
        row: dict[str, Any] = {str(key): value for key, value in line.items()}
        row |= {name: row[name] or default for name, default in _DEFAULTS.items()}
        result.append(row | {"id": place})
    return result


def criteria(rows: Sequence[Row]) -> list[Row]:
    """The verdicts on acceptance criteria."""
    return [row for row in rows if row["check"] == ACCEPTANCE]


def checks(rows: Sequence[Row]) -> list[Row]:
    """The checks' own results, findings first; a single group that is too small stands in the subgroups instead."""
    order = {verdict: place for place, verdict in enumerate(wording.CHECK_VERDICTS)}
    found = [r for r in rows if r["verdict"] in order and r["check"] != ACCEPTANCE and "=" not in r["group"]]
    return sorted(found, key=lambda row: order[row["verdict"]])


def figures(rows: Sequence[Row], condition: str = "clean") -> list[Row]:
    """Rows of one condition that are not a criterion's."""
    return [row for row in rows if row["check"] != ACCEPTANCE and row["condition"] == condition]


def whole(
    rows: Sequence[Row], metrics: Sequence[str], *, splits: Sequence[str] = AUDITED, condition: str = "clean"
) -> list[Row]:
    """Figures of the whole population for some metrics, in the metrics' order, one row each.

    Where several checks give one figure, the first with a value stands.
    """
    best: dict[tuple[str, ...], Row] = {}
    for row in figures(rows, condition):
        if row["metric"] not in metrics or row["group"] != "all" or row["split"] not in splits:
            continue
        if row["statistic"] not in CENTRES:
            continue
        key = tuple(str(row[name]) for name in ("target", "item", "metric", "statistic", "split"))
        if key not in best or (wording.is_missing(best[key]["value"]) and not wording.is_missing(row["value"])):
            best[key] = row
    return sorted(best.values(), key=lambda row: metrics.index(str(row["metric"])))


def groups_by_metric(rows: Sequence[Row]) -> dict[tuple[str, str, str, str], list[Row]]:
    """(target, item, metric, statistic) -> the whole population's row and each group's, where groups exist."""
    tables: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in figures(rows):
        if row["split"] not in AUDITED or row["statistic"] not in CENTRES or row["check"] in _APART:
            continue
        if "=" in row["group"]:
            key = (str(row["target"]), str(row["item"]), str(row["metric"]), str(row["statistic"]))
            tables.setdefault(key, []).append(row)
    for key, found in tables.items():
        target, item, metric, statistic = key
        everyone = [
            row
            for row in whole(rows, (metric,))
            if (row["target"], row["item"], row["statistic"]) == (target, item, statistic)
        ]
        order = list(dict.fromkeys(_attributes(row) for row in found))
        # Single attributes before intersections; both in the evidence's own order.
        ordered = sorted(found, key=lambda row: (_attributes(row).count("&"), order.index(_attributes(row))))
        tables[key] = [*everyone[:1], *ordered]
    return tables


def _attributes(row: Row) -> str:
    """``sex=F&site=B`` as ``sex&site``."""
    return "&".join(part.partition("=")[0] for part in str(row["group"]).split("&"))


def gaps(rows: Sequence[Row]) -> list[Row]:
    """Gaps between the groups of an attribute, of the checks without a section of their own."""
    return [
        row
        for row in figures(rows)
        if row["statistic"] == "gap" and row["verdict"] not in wording.CHECK_VERDICTS and row["check"] not in _APART
    ]


def targets(rows: Sequence[Row]) -> list[str]:
    """Targets in the order of the evidence."""
    return list(dict.fromkeys(str(row["target"]) for row in rows if row["target"]))


def is_segmentation(rows: Sequence[Row]) -> bool:
    """Whether the evidence is about masks."""
    return any(row["metric"] in OVERLAP for row in rows)


def is_score(rows: Sequence[Row]) -> bool:
    """Whether the evidence is about scores; a check that was not possible speaks of none."""
    return any(
        row["metric"] in (*DISCRIMINATION, *OPERATING)
        for row in rows
        if row["verdict"] != "not_possible" or row["target"]
    )


def verdict_counts(rows: Sequence[Row]) -> dict[str, int]:
    """Criteria by verdict, all four named."""
    counts = dict.fromkeys(wording.CRITERION_VERDICTS, 0)
    for row in criteria(rows):
        if row["verdict"] in counts:
            counts[str(row["verdict"])] += 1
    return counts


def sizes(rows: Sequence[Row]) -> tuple[int, int]:
    """Patients (0 where no person is known) and images of the audited part: the largest that a figure rests on."""
    audited = [row for row in figures(rows) if row["split"] in AUDITED]
    audited = [row for row in audited if row["check"] in _SIZED] or audited
    return (
        max((int(row["n_subjects"]) for row in audited if not wording.by_image(row)), default=0),
        max((int(row["n_images"]) for row in audited), default=0),
    )


def headline(rows: Sequence[Row], limit: int = 4) -> list[Row]:
    """The figures that stand first: AUC of each target, or the mean Dice of each structure."""
    if is_score(rows):
        first = whole(rows, ("auc",))
        return (first if len(first) != 1 else [*first, *whole(rows, ("sensitivity", "specificity"))])[:limit]
    dice = [row for row in whole(rows, ("dice",)) if row["statistic"] in ("mean", "value")]
    return (
        dice if len(dice) != 1 else [*dice, *[r for r in whole(rows, ("hd95", "nsd")) if r["statistic"] == "mean"]]
    )[:limit]
