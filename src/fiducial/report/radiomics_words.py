"""Radiomics names as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fiducial.report import wording

FAMILIES: dict[str, str] = {
    "morphology": "Morphology",
    "local_intensity": "Local intensity",
    "statistics": "Intensity statistics",
    "intensity_histogram": "Intensity histogram",
    "intensity_volume": "Intensity\u2013volume histogram",
    "glcm": "Co-occurrence (GLCM)",
    "glrlm": "Run length (GLRLM)",
    "glszm": "Size zone (GLSZM)",
    "gldzm": "Distance zone (GLDZM)",
    "ngtdm": "Grey tone difference (NGTDM)",
    "ngldm": "Dependence (NGLDM)",
}
MODELS: dict[str, str] = {
    "radiomics": "Radiomics signature",
    "radiomics_all": "Radiomics, all features",
    "clinical_radiomics": "Clinical and radiomics",
    "volume": "Volume alone",
    "value": "Single value alone",
    "clinical": "Clinical alone",
    "kaplan_meier": "Kaplan\u2013Meier alone",
}
BESIDE: dict[str, str] = {
    "volume": "the volume alone",
    "value": "the single value alone",
    "clinical": "the clinical variables alone",
}
SHORT: dict[str, str] = {
    "intensity_volume": "Intensity\u2013volume",
    "glcm": "GLCM",
    "glrlm": "GLRLM",
    "glszm": "GLSZM",
    "gldzm": "GLDZM",
    "ngtdm": "NGTDM",
    "ngldm": "NGLDM",
}
REASONS: dict[str, str] = {
    "missing": "missing in too many patients",
    "constant": "the same in all patients",
    "not_reproducible": "does not repeat well enough",
    "redundant": "another feature says the same",
}


def family(name: str) -> str:
    """A family's name in words; another tool's family as it is."""
    return FAMILIES.get(name, wording.plain(name))


def model(name: str) -> str:
    """A model's name in words."""
    return MODELS.get(name, wording.plain(name))


def beside(name: str) -> str:
    """A simpler model's name inside a sentence."""
    return BESIDE.get(name, model(name).lower())


def short_family(name: str) -> str:
    """A family's name beside an axis."""
    return SHORT.get(name, family(name))


def feature(row: Mapping[str, Any]) -> str:
    """``Joint maximum``."""
    return wording.plain(str(row["feature"]))


def apart(row: Mapping[str, Any]) -> str:
    """What tells a feature from its namesakes: aggregation and filter; empty where there are neither."""
    filtered = f"filter {row['filter']}" if row["filter"] else ""
    together = str(row["aggregation"]).replace("_", " ").replace("d ", "D ", 1) if row["aggregation"] else ""
    together = together.upper() if together in ("2d", "2.5d", "3d") else together
    return ", ".join(part for part in (together, filtered) if part)


def named(row: Mapping[str, Any]) -> str:
    """``Co-occurrence (GLCM): joint maximum (3D merged)``."""
    name, more = feature(row), apart(row)
    name = name if name[1:2].isupper() else name[:1].lower() + name[1:]
    return f"{family(str(row['family']))}: {name}" + (f" ({more})" if more else "")
