"""Which SNOMED CT codes a structure's name stands for: one table, and a neutral code for every other name."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

TABLE = "structures.csv"
SCHEME = "SCT"
CATEGORIES = {
    "organ": ("91723000", "Anatomical Structure"),
    "altered": ("49755003", "Morphologically Abnormal Structure"),
    "tissue": ("85756007", "Tissue"),
}
SIDES = {"left": ("7771000", "Left"), "right": ("24028007", "Right")}
NEUTRAL = ("tissue", "85756007", "Tissue")


@dataclass(frozen=True)
class StructureCodes:
    """What a structure is: category, type and, if the name says it, side; ``known`` is False for the neutral code."""

    category: tuple[str, str]
    kind: tuple[str, str]
    side: tuple[str, str] | None = None
    known: bool = True


def structure_codes(name: str) -> StructureCodes:
    """The codes of a structure's name (``Kidney_L``, ``left lung``, ``GTV``), the neutral *tissue* where none fits.

    The whole name must be one of the table, apart from a side (left, right, L, R) and a number at its end: a guess
    from a part of a name would state what nobody said.
    """
    words = [word for word in re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()) if word]
    sides = [{"l": "left", "r": "right"}.get(word, word) for word in words]
    named = [side for side in sides if side in SIDES]
    rest = " ".join(word for word, side in zip(words, sides, strict=True) if side not in SIDES)
    whole = " ".join(words)
    row = _table().get(whole) or (_table().get(rest) if len(named) <= 1 else None)
    if row is None:
        category, value, meaning = NEUTRAL
        return StructureCodes(CATEGORIES[category], (value, meaning), None, known=False)
    category, value, meaning = row
    side = SIDES[named[0]] if named and whole not in _table() else None
    return StructureCodes(CATEGORIES[category], (value, meaning), side)


@cache
def _table() -> dict[str, tuple[str, str, str]]:
    text = files("fiducial.archive.export").joinpath(TABLE).read_text(encoding="utf-8")
    return {
        name: (row["category"], row["value"], row["meaning"])
        for row in csv.DictReader(text.splitlines())
        for name in row["words"].split("|")
    }


def code(pair: tuple[str, str], scheme: str = SCHEME) -> Code:
    """A pair of value and meaning as a coded concept."""
    from pydicom.sr.coding import Code

    return Code(pair[0], scheme, pair[1])


def coded_type(codes: StructureCodes) -> Any:
    """The type with its side as modifier, for a segment."""
    from highdicom.sr import CodedConcept

    return CodedConcept.from_code(code(codes.kind))
