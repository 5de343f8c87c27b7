"""The bias register: where along a model's life bias may enter, and what the evidence says about each place.

What it measures: nothing of its own. It files the verdicts of the other checks under the biases that they speak of, and
leaves to a person what no table can answer.
Why it matters: a list that is only filled where there is evidence shows what nobody has looked at.
What it cannot see: whether a person's answer, where one is needed, is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

STAGES = ("data", "annotation", "model", "deployment")
STATUSES = ("finding", "clear", "not_possible", "person")
A_PERSON = "a person must answer"
REFERENCE = "Tejani et al., RadioGraphics 2024"


@dataclass(frozen=True)
class Source:
    """One bias: where it enters, what it is in plain words, which checks speak of it, and what only a person knows."""

    stage: str
    bias: str
    meaning: str
    checks: tuple[str, ...]
    question: str
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class BiasEntry:
    """One line of the register.

    ``status``: ``finding`` (a check found something), ``clear`` (checks looked, none found anything), ``not_possible``
    (a check wanted to look and could not), ``person`` (no check that ran speaks of it). ``evidence`` are row numbers of
    the evidence table, 1 = the first. ``answer`` is what they say, or that a person must answer; ``question`` is what
    remains for a person in any case.
    """

    stage: str
    bias: str
    meaning: str
    status: str
    answer: str
    question: str
    checks: tuple[str, ...]
    evidence: tuple[int, ...]


SOURCES: tuple[Source, ...] = (
    Source(
        "data",
        "Sampling",
        "the patients are not those whom the model will meet",
        (),
        "Who was in the cohort, who was left out, and whom will the model meet?",
    ),
    Source(
        "data",
        "Representation",
        "some groups are too few for the model to learn or the audit to judge",
        ("sample_size",),
        "Which groups of the intended population are missing altogether?",
    ),
    Source(
        "data",
        "Missing data",
        "what is not in the table differs from what is",
        ("missingness",),
        "Why are values missing, and for whom?",
    ),
    Source(
        "data",
        "Confounding and shortcuts",
        "site, scanner, sex or a marker in the image stands for the disease",
        ("shortcut",),
        "Which attributes that travel with the disease were not recorded?",
    ),
    Source(
        "data",
        "Leakage",
        "the same patient or image in training and in the test",
        ("leakage", "duplicates"),
        "Were the parts divided before anybody looked at the data?",
    ),
    Source(
        "annotation",
        "Reference standard",
        "the truth itself is wrong in places, or was read from the report that the model should replace",
        ("label_noise",),
        "What is the truth made from, and is it as good for every group?",
    ),
    Source(
        "annotation",
        "Disagreement of readers",
        "the answer depends on who gave it",
        ("agreement",),
        "Who annotated, with which training and instructions?",
    ),
    Source(
        "annotation",
        "Expectation of readers",
        "who annotates knows the model's answer, the history or another reader's",
        (),
        "What did the readers know when they gave the reference?",
    ),
    Source(
        "model",
        "Unequal performance",
        "the model errs more often for some",
        ("subgroups", "fairness"),
        "Is a difference explained by the case mix, and is it acceptable?",
    ),
    Source(
        "model",
        "Unequal meaning of risk",
        "the same score is another risk in another group",
        ("calibration", "fairness"),
        "Who reads the score as a probability?",
        ("calibration", "calibration_within_group", "calibration_slope", "calibration_in_the_large"),
    ),
    Source(
        "model",
        "Mitigation at a cost",
        "a gap closes because somebody is served worse",
        ("levelling_down", "group_thresholds"),
        "Which difference is fair here, and who decided that?",
    ),
    Source(
        "model",
        "Tuning to the test",
        "choices were made after the test was seen",
        ("openings",),
        "What was tried and not reported?",
    ),
    Source(
        "deployment",
        "Other hospitals and machines",
        "the model meets scanners and patients that it has not seen",
        ("sites", "out_of_distribution", "operating_point"),
        "Where will it be used that is not in these tables?",
    ),
    Source(
        "deployment",
        "Drift",
        "patients, machines and practice change with time",
        ("temporal",),
        "Who watches the model once it is in use, and who can stop it?",
    ),
    Source(
        "deployment",
        "Reliance on the model",
        "readers follow it where it is wrong, or ignore it where it is right",
        ("selective",),
        "What do readers see first, and how were they trained?",
    ),
    Source(
        "deployment",
        "Feedback",
        "answers of the model become the truth of the next one",
        (),
        "Will the model's answers enter the reports that later models learn from?",
    ),
)


def bias_register(evidence: pd.DataFrame) -> list[BiasEntry]:
    """The register, filled from an evidence table; one entry for each of `SOURCES`, in order of the life cycle.

    A derived table: the same evidence gives the same register. ``evidence`` is the Evidence table of one audit.
    """
    records = enumerate(evidence.to_dict("records"), start=1)
    rows = [{"id": place, **{str(name): value for name, value in row.items()}} for place, row in records]
    return [_entry(source, rows) for source in SOURCES]


def register_records(evidence: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """`bias_register` as plain mappings, for a report."""
    return tuple(asdict(entry) for entry in bias_register(evidence))


def _entry(source: Source, rows: Sequence[dict[str, Any]]) -> BiasEntry:
    own = [
        row
        for row in rows
        if row["check"] in source.checks
        and row["verdict"] in STATUSES
        and "=" not in str(row["group"])
        and (not source.metrics or row["metric"] in source.metrics)
    ]
    status = next((name for name in STATUSES if any(row["verdict"] == name for row in own)), "person")
    telling = [row for row in own if row["verdict"] == status]
    ran = tuple(name for name in source.checks if any(row["check"] == name for row in own))
    return BiasEntry(
        stage=source.stage,
        bias=source.bias,
        meaning=source.meaning,
        status=status,
        answer=_answer(status, telling, own),
        question=source.question,
        checks=ran,
        evidence=tuple(int(row["id"]) for row in telling),
    )


def _answer(status: str, telling: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]]) -> str:
    if status == "person":
        return A_PERSON
    if status == "clear":
        n_open = sum(row["verdict"] == "not_possible" for row in own)
        text = f"{len(telling)} of {len(own)} verdicts clear"
        return text + (f", {n_open} could not be given" if n_open else "")
    reasons = list(dict.fromkeys(str(row["reason"]) for row in telling if row["reason"]))
    said = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
    return said if status == "finding" else f"not possible: {said}; {A_PERSON}"
