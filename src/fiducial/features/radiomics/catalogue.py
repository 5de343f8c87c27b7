"""Every feature by family, with its IBSI code and whether the standard reached a consensus about its value.

Codes are those of the IBSI reference manual (Zwanenburg et al. 2020, arXiv:1612.07003).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Feature:
    """One feature; ``matrix_feature`` is its name in the family's own numbers (`emphasis.emphasis_features`)."""

    family: str
    name: str
    code: str
    matrix_feature: str
    consensus: bool


@cache
def catalogue() -> dict[str, tuple[Feature, ...]]:
    """Features by family, in the standard's order."""
    text = (files("fiducial.features.radiomics") / "catalogue.csv").read_text(encoding="utf-8")
    found: dict[str, list[Feature]] = {}
    for row in csv.DictReader(text.splitlines()):
        feature = Feature(
            row["family"], row["feature"], row["ibsi_code"], row["matrix_feature"], row["consensus"] == "yes"
        )
        found.setdefault(feature.family, []).append(feature)
    return {family: tuple(features) for family, features in found.items()}
