"""PyRadiomics' features by class and name, each with the feature of IBSI that it is, or is nearest to."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Named:
    """One feature of PyRadiomics 3.0.1.

    ``family`` and ``feature`` are our names, ``ibsi_code`` is empty where the standard has no such feature.
    ``computed`` says when PyRadiomics gives it: ``yes`` with its class, ``named`` if asked for by name, ``no`` never.
    ``difference`` is empty where the definitions agree on the same grey levels.
    """

    of_class: str
    name: str
    family: str
    feature: str
    ibsi_code: str
    aggregation: str
    computed: str
    difference: str


@cache
def names() -> dict[str, tuple[Named, ...]]:
    """Features by class, in the order of the table."""
    text = (files("fiducial.features.radiomics") / "pyradiomics.csv").read_text(encoding="utf-8")
    found: dict[str, list[Named]] = {}
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["class"], []).append(Named(row.pop("class"), **row))
    return {of_class: tuple(features) for of_class, features in found.items()}


def asked(of_class: str, wanted: tuple[str, ...]) -> tuple[Named, ...]:
    """The features of a class that are computed: those named, or, where none is, all that PyRadiomics gives."""
    every = names()[of_class]
    if not wanted:
        return tuple(one for one in every if one.computed == "yes")
    return tuple(one for one in every if one.name in wanted)
