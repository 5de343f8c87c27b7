"""What a radiomics page says of its models first: whether anything was shown beyond the simpler ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fiducial.report import radiomics_words, wording
from fiducial.report.radiomics_models import DIFFERENCES, HEADLINE, LABELS, ends_text, value_text

if TYPE_CHECKING:
    from fiducial.report.radiomics import RadiomicsInput

Row = Mapping[str, Any]
WITH_RADIOMICS = ("radiomics", "radiomics_all", "clinical_radiomics")
NAMED = {"radiomics": "The signature", "radiomics_all": "The elastic net of all features"}


def to_know(given: RadiomicsInput) -> list[str]:
    """The figure of the signature, and whether it beats the simpler models, in one sentence each."""
    said = []
    first = [row for row in given.models if row["metric"] in HEADLINE]
    by_name = {str(row["model"]): row for row in first}
    if signature := by_name.get("radiomics"):
        others = [
            f"{_named_baseline(given, name)} {value_text(by_name[name])}"
            for name in ("volume", "value", "clinical")
            if name in by_name
        ]
        beside = f"; {', '.join(others)}" if others else ""
        label = LABELS[str(signature["metric"])]
        said.append(f"{label} of the signature {value_text(signature)} {ends_text(signature)}{beside}.")
    if given.signature and not any(int(row["chosen"]) for row in given.signature):
        said.append("No feature is stable enough: the signature of all patients is empty.")
    differences = [row for row in given.models if row["metric"] in DIFFERENCES]
    of_models = [row for name in NAMED for row in differences if row["model"] == name]
    return said + [_said_of_difference(row) for row in of_models]


def _named_baseline(given: RadiomicsInput, name: str) -> str:
    """``the single value alone (statistics.maximum)``."""
    named = f" ({given.value})" if name == "value" and given.value else ""
    return f"{radiomics_words.beside(name)}{named}"


def conclusion(given: RadiomicsInput) -> list[str]:
    """Whether any model with radiomics is better than every simpler one; else, beyond which nothing was shown."""
    own = {str(row["model"]): row for row in given.models if row["metric"] in HEADLINE}
    differences = [row for row in given.models if row["metric"] in DIFFERENCES]
    simple = [name for name in ("volume", "value", "clinical") if name in own]
    known = {(str(row["model"]), str(row["beside"])): str(row["verdict"]) for row in differences}
    compared = [name for name in WITH_RADIOMICS if name in own and any((name, other) in known for other in simple)]
    if not simple or not compared:
        return []
    label = LABELS[str(own[simple[0]]["metric"])]
    winners = [name for name in compared if all(known.get((name, other)) == "better" for other in simple)]
    if winners:
        shown = ", ".join(f"{radiomics_words.model(name)} ({label} {value_text(own[name])})" for name in winners)
        return [f"Better than every simpler model that stands beside: {shown}."]
    skilled = [name for name in simple if str(own[name]["verdict"]) == "skill"]
    if not skilled:
        return ["Nothing was shown beyond the simpler models, and none of these was shown to be better than chance."]
    best = max(skilled, key=lambda name: float(own[name]["value"]))
    said = f"{label} {value_text(own[best])} {ends_text(own[best])}".strip()
    return [
        f"Nothing was shown beyond {_named_baseline(given, best)}: {said}. No model with radiomics is better than it."
    ]


def _said_of_difference(row: Row) -> str:
    """Whether the interval of a difference lies on one side of none."""
    who, beside = NAMED[str(row["model"])], radiomics_words.beside(str(row["beside"]))
    if wording.is_missing(row["low"]) or wording.is_missing(row["high"]):
        return f"How {who[0].lower()}{who[1:]} compares with {beside} has no interval."
    # A verdict asks for skill too: better than a model that is worse than chance is no merit.
    word = {"better": "is better than", "worse": "is worse than"}.get(
        str(row["verdict"]), "was not shown to differ from"
    )
    return f"{who} {word} {beside} (difference {value_text(row)} {ends_text(row)})."
