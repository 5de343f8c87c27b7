"""Radiomics sheets: RQS, METRICS and CLEAR, filled as checklists are, with a score of what could be decided.

A score is made of what the run decided and of nothing else: points that nobody decided are neither given nor taken, and
the items that wait for a person are counted beside it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.audit.checklists.fill import Answer, Item, answer_item, met_by, spoken_rows, stated_facts

if TYPE_CHECKING:
    import pandas as pd

RADIOMICS_FACTS: dict[str, str] = {
    "calibration": "calibration of the models, with intervals",
    "clinical_model": "a model of clinical variables alone",
    "combined_model": "a model of radiomics and clinical variables",
    "configuration": "where every setting of the features is stated",
    "cross_validation": "how patients were dealt out to folds",
    "decision_curve": "net benefit over thresholds",
    "discretisation": "how grey levels were made",
    "external_test": "the model was tested on patients of another origin",
    "feature_selection": "how features were chosen",
    "features": "features of each region, by family",
    "harmonisation": "what was done about differences between hospitals",
    "image_processing": "resampling, rounding and ranges of intensity",
    "image_types": "the image itself, or which filters of it",
    "internal_test": "the model was tested on a part that was kept out of everything",
    "missing_values": "features without a value, and why",
    "model_choice": "how the final model was picked",
    "model_comparison": "how models were compared, with what result",
    "model_software": "with what models were made",
    "models": "the models with their figures and intervals",
    "no_combined_model": "no model of this run joins radiomics and clinical variables",
    "no_feature_reduction": "no feature was left out",
    "no_robust_features": "features that do not repeat were not left out",
    "one_site": "all regions come from one hospital",
    "other_definitions": "features by another tool's definitions, which are not all the standard's",
    "outcome": "what is predicted, and how many patients have it",
    "redundancy": "features left out because others say the same",
    "regions": "regions, images and patients",
    "resampling": "the grid that images were resampled to, and how",
    "risk": "a risk for each patient, from models that did not see the patient",
    "robust_features": "features left out because they do not repeat",
    "scaling": "how features were scaled",
    "set_aside": "regions without features, and why",
    "several_raters": "how many people drew regions",
    "several_sites": "the hospitals that regions come from",
    "signature": "the features that were chosen",
    "single_model": "a model of one value alone",
    "software": "with what features were computed, by which standard",
    "stability": "how well features repeat",
    "stability_contours": "features of regions whose contour was disturbed",
    "stability_images_only": "features were repeated, but never with another contour",
    "stability_raters": "features of regions that several people drew",
    "stability_visits": "features of several images of one person",
    "training": "how models were trained",
    "volume_model": "a model of the volume alone",
}
"""What a radiomics run may know about itself, by name, and what each says; rules name them as ``fact:NAME``."""


@dataclass(frozen=True)
class Criterion:
    """What gives ``points``: all of ``met`` (alternatives with ``|``); all of ``unmet`` gives ``otherwise`` instead."""

    asks: str
    points: float
    met: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    otherwise: float = 0.0


@dataclass(frozen=True)
class Condition:
    """Whether a kind of item applies: ``yes`` and ``no`` are what decides it; with neither, a person does."""

    asks: str
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()


@dataclass(frozen=True)
class SheetItem:
    """An item with its answer and its points.

    ``points`` are given of the ``decided`` that could be, of ``most`` in all. ``applies``: ``yes``, ``no`` or ``open``
    by ``condition``, which is empty where the item always applies. ``decisions`` are pairs of criterion and points.
    """

    answer: Answer
    points: float = 0.0
    decided: float = 0.0
    most: float = 0.0
    applies: str = "yes"
    condition: str = ""
    decisions: tuple[tuple[str, float], ...] = ()

    @property
    def waits(self) -> bool:
        """Whether a person must still decide something: points, whether it applies, or what to write."""
        if self.applies == "no":
            return False
        if self.most:
            return self.decided < self.most or self.applies == "open"
        return self.answer.state != "filled"


@dataclass(frozen=True)
class Sheet:
    """One sheet, answered; ``unit`` is what its score counts, empty for a sheet without one."""

    name: str
    about: str
    source: str
    unit: str
    items: tuple[SheetItem, ...]

    @property
    def n_waiting(self) -> int:
        """Items that wait for a person."""
        return sum(item.waits for item in self.items)

    @property
    def score(self) -> tuple[float, float]:
        """Points, and the points that could be decided; of items that apply."""
        counted = [item for item in self.items if item.applies == "yes"]
        # Weights have three decimals: what adds up to more of them is rounding.
        return round(sum(item.points for item in counted), 6), round(sum(item.decided for item in counted), 6)


def radiomics_sheets(evidence: pd.DataFrame, facts: Mapping[str, str]) -> list[Sheet]:
    """RQS, METRICS and CLEAR, filled from evidence rows and facts.

    Args:
        evidence: the Evidence table; rows are named by their place in it. It may be empty.
        facts: what the run knows about itself, keys of `RADIOMICS_FACTS`; empty texts say nothing.

    Raises:
        TableError: a fact has no such name.
    """
    from fiducial.audit.checklists import RADIOMICS

    said, spoken = stated_facts(facts, RADIOMICS_FACTS), spoken_rows(evidence)
    return [_filled(file, spoken, said) for file in RADIOMICS.values()]


@lru_cache(maxsize=4)
def read_sheet(file: str) -> tuple[dict[str, Any], tuple[tuple[Item, tuple[Criterion, ...], str], ...]]:
    """The head of a sheet's table with its conditions, and its items: rule, criteria and the name of a condition."""
    head = tomllib.loads((Path(__file__).parent / file).read_text(encoding="utf-8"))
    head["conditions"] = {name: Condition(**_tuples(one)) for name, one in head.get("conditions", {}).items()}
    items = []
    for line in head.pop("items"):
        weight, decided = line.pop("weight", None), {key: line.pop(key, ()) for key in ("met", "unmet")}
        if weight is not None:
            line["criteria"] = [{"asks": "", "points": weight, **decided}]
        criteria = tuple(Criterion(**_tuples(one)) for one in line.pop("criteria", ()))
        only_if = line.pop("only_if", "")
        items.append((Item(**_tuples(line)), criteria, only_if))
    return head, tuple(items)


def _tuples(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in line.items()}


def _filled(file: str, spoken: list[tuple[int, str, str]], facts: Mapping[str, str]) -> Sheet:
    head, rules = read_sheet(file)
    items = []
    for item, criteria, only_if in rules:
        condition = head["conditions"].get(only_if)
        applies = "yes" if condition is None else _applies(condition, spoken, facts)
        decisions = [(one, _points(one, spoken, facts)) for one in criteria]
        known = [(one, points) for one, points in decisions if points is not None]
        items.append(
            SheetItem(
                answer=answer_item(item, spoken, facts),
                points=sum(points for _, points in known),
                decided=sum(one.points for one, _ in known),
                most=sum(one.points for one in criteria),
                applies=applies,
                condition=condition.asks if condition else "",
                decisions=tuple((one.asks, points) for one, points in known),
            )
        )
    return Sheet(head["name"], head["about"], head["source"], head.get("unit", ""), tuple(items))


def _points(criterion: Criterion, spoken: list[tuple[int, str, str]], facts: Mapping[str, str]) -> float | None:
    """Points of a criterion; None where nothing decides it."""
    if _all_met(criterion.met, spoken, facts):
        return criterion.points
    return criterion.otherwise if _all_met(criterion.unmet, spoken, facts) else None


def _applies(condition: Condition, spoken: list[tuple[int, str, str]], facts: Mapping[str, str]) -> str:
    if _all_met(condition.yes, spoken, facts):
        return "yes"
    return "no" if _all_met(condition.no, spoken, facts) else "open"


def _all_met(needs: Sequence[str], spoken: list[tuple[int, str, str]], facts: Mapping[str, str]) -> bool:
    """Whether there are needs and each has an alternative that is there."""
    return bool(needs) and all(any(any(met_by(one, spoken, facts)) for one in need.split("|")) for need in needs)
