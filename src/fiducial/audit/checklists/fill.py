"""From an item's rule to its answer: evidence rows by number, facts by name, or *a person must answer*."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import TableError
from fiducial.records.files import write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
STATES = ("filled", "in_part", "person")
SPEAKING = ("", "pass", "fail", "inconclusive", "finding", "clear")
"""Verdicts of rows that answer something; a check that was not possible answers nothing."""

FACTS: dict[str, str] = {
    "architecture": "the network that the plan names, with its widths",
    "attributes": "the attributes of patients that the study names",
    "characteristics": "patients and images by part of the data",
    "criteria": "the acceptance criteria that the study file states",
    "data_name": "what the data set is called",
    "digests": "how many files of the run have a recorded SHA-256",
    "excluded_uses": "what the study file says the model is not for",
    "external_test": "the model was made in another run, and these data come from another cohort",
    "fingerprint": "digest of study file and cohort",
    "ingest": "images accepted, repaired and rejected",
    "input_contract": "which images the model accepts",
    "intended_use": "what the study file says the model is for",
    "internal_test": "the audited part was split off from the cohort that the model was made from",
    "model_digest": "SHA-256 of the model's file",
    "openings": "how often the test part was opened",
    "operating_point": "the rule for the decision threshold",
    "preprocessing": "grid, patch and intensity normalisation of the plan",
    "sites": "the hospitals in the data",
    "software": "versions of Python, Fiducial and the libraries",
    "split": "how patients were dealt out to the parts",
    "task": "what is predicted, of which targets",
    "training": "steps, batch, learning rate, augmentation and seed of the plan",
}
"""What a run may know about itself, by name, and what each says; rules name them as ``fact:NAME``."""


@dataclass(frozen=True)
class Item:
    """One item: number as published, topic in our words, and the rule.

    ``needs`` are selectors that must all be met: ``check``, ``check:metric`` or ``fact:name``, with ``|`` between
    alternatives. Without what ``gate`` names the rows would answer another question, so a person must. ``left`` says
    what a person must still add; empty where the rows answer it all.
    """

    number: str
    part: str
    asks: str
    needs: tuple[str, ...] = ()
    gate: str = ""
    left: str = ""


@dataclass(frozen=True)
class Answer:
    """An item with its answer: ``filled``, ``in_part`` or ``person``, the rows (1 = first) and facts that answer it."""

    number: str
    part: str
    asks: str
    state: str
    rows: tuple[int, ...]
    checks: tuple[str, ...]
    facts: Mapping[str, str]
    missing: tuple[str, ...]
    left: str


@dataclass(frozen=True)
class Answered:
    """One checklist, answered."""

    name: str
    about: str
    source: str
    items: tuple[Answer, ...]

    def counts(self) -> dict[str, int]:
        """Items by state."""
        return {state: sum(item.state == state for item in self.items) for state in STATES}


def stated_facts(facts: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The facts that say something.

    Raises:
        TableError: a fact is none of ``known``.
    """
    unknown = sorted(set(facts) - set(known))
    if unknown:
        raise TableError(f"no such fact: {', '.join(unknown)}", legal=", ".join(known))
    return {name: text for name, text in facts.items() if text}


def checklists(evidence: pd.DataFrame, facts: Mapping[str, str]) -> list[Answered]:
    """Every checklist, filled from evidence rows and facts.

    Args:
        evidence: the Evidence table; rows are named by their place in it.
        facts: what the run knows about itself, keys of `FACTS`; empty texts say nothing.

    Raises:
        TableError: a fact has no such name.
    """
    from fiducial.audit.checklists import CHECKLISTS

    said = stated_facts(facts, FACTS)
    spoken = spoken_rows(evidence)
    return [_answered(file, spoken, said) for file in CHECKLISTS.values()]


def write_checklists(answered: Sequence[Answered], path: str | Path) -> None:
    """Write ``{"schema": 1, "checklists": [...]}``."""
    lists = [{**asdict(one), "counts": one.counts()} for one in answered]
    write_json(path, {"schema": SCHEMA, "checklists": lists})


@lru_cache(maxsize=16)
def read_checklist(file: str) -> tuple[dict[str, Any], tuple[Item, ...]]:
    """The head and the items of a checklist's table."""
    held = tomllib.loads((Path(__file__).parent / file).read_text(encoding="utf-8"))
    items = tuple(Item(**{**item, "needs": tuple(item.get("needs", ()))}) for item in held.pop("items"))
    return held, items


def _answered(file: str, spoken: list[tuple[int, str, str]], facts: Mapping[str, str]) -> Answered:
    head, items = read_checklist(file)
    return Answered(
        head["name"], head["about"], head["source"], tuple(answer_item(item, spoken, facts) for item in items)
    )


def answer_item(item: Item, spoken: list[tuple[int, str, str]], facts: Mapping[str, str]) -> Answer:
    """The rows and facts that meet the item's needs; the first alternative that is met answers."""
    rows: list[int] = []
    told: dict[str, str] = {}
    missing = []
    for selector in item.gate.split("|") if item.gate else ():
        rows, told = met_by(selector, spoken, facts)
        if rows or told:
            break
    for need in item.needs if rows or told or not item.gate else ():
        for selector in need.split("|"):
            found_rows, found_facts = met_by(selector, spoken, facts)
            if found_rows or found_facts:
                rows += found_rows
                told |= found_facts
                break
        else:
            missing.append(need)
    met = bool(rows or told)
    state = "person" if not met else "in_part" if missing or item.left else "filled"
    chosen = tuple(sorted(set(rows)))
    checks = tuple(dict.fromkeys(check for number, check, _ in spoken if number in set(chosen)))
    said = (item.number, item.part, item.asks, state, chosen, checks, told, tuple(missing))
    return Answer(*said, item.left if met else "")


def met_by(
    selector: str, spoken: list[tuple[int, str, str]], facts: Mapping[str, str]
) -> tuple[list[int], dict[str, str]]:
    """The rows and the facts that one selector names."""
    check, _, metric = selector.partition(":")
    if check == "fact":
        return [], {metric: facts[metric]} if metric in facts else {}
    return [number for number, name, other in spoken if name == check and metric in ("", other)], {}


def spoken_rows(evidence: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Number, check and metric of every row that says something: a figure, or a verdict that was possible."""
    columns = zip(evidence["check"], evidence["metric"], evidence["value"], evidence["verdict"], strict=True)
    return [
        (number, str(check), str(metric))
        for number, (check, metric, value, verdict) in enumerate(columns, start=1)
        if verdict in SPEAKING and (verdict or not math.isnan(value))
    ]
