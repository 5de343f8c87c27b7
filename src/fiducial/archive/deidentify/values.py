"""Values that replace values: dummies that are valid in their VR, moved dates and times, ages that tell nobody."""

from __future__ import annotations

import re
from typing import Any

from fiducial.archive.dates import shifted

OLDEST = "090Y"
DUMMIES: dict[str, Any] = {
    "AE": "REMOVED",
    "AS": "000Y",
    "AT": 0,
    "CS": "REMOVED",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "FD": 0.0,
    "FL": 0.0,
    "IS": "0",
    "LO": "REMOVED",
    "LT": "REMOVED",
    "PN": "REMOVED",
    "SH": "REMOVED",
    "SL": 0,
    "SS": 0,
    "ST": "REMOVED",
    "SV": 0,
    "TM": "000000",
    "UC": "REMOVED",
    "UL": 0,
    "UR": "urn:removed",
    "US": 0,
    "UT": "REMOVED",
    "UV": 0,
}
# Any other VR holds bytes; eight zeros are a whole number of values of each.
DUMMY_BYTES = bytes(8)
LONGEST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64}

TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d|60)?)?(\.\d{1,6})?", flags=re.ASCII)
DATETIME = re.compile(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?)([+-]\d{4})?", flags=re.ASCII)
ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d", flags=re.ASCII)
AGE = re.compile(r"(\d{3})([DWMY])", flags=re.ASCII)


def dummy(vr: str) -> Any:
    """A value of ``vr`` that says nothing."""
    return DUMMIES.get(vr, DUMMY_BYTES)


def moved(vr: str, text: str, days: int) -> str:
    """A DA, DT or TM (or a time zone, SH) after a shift by whole days: "" for a malformed one.

    A DT keeps its time and zone; one without a day cannot be moved. A TM and a zone stay what they are.
    """
    text = text.strip(" \0")
    if vr == "DA":
        return shifted(text, days)
    if vr == "TM":
        return text if _is_time(text) else ""
    if vr == "DT":
        match = DATETIME.fullmatch(text)
        if match is None or (match[2] and not _is_time(match[2])) or (match[3] and not ZONE.fullmatch(match[3])):
            return ""
        day = shifted(match[1], days)
        return f"{day}{match[2]}{match[3] or ''}" if day else ""
    return text if ZONE.fullmatch(text) else ""


def _is_time(text: str) -> bool:
    """Hours, minutes, seconds and a fraction that follows seconds only."""
    match = TIME.fullmatch(text)
    return match is not None and (match[4] is None or match[3] is not None)


def age(text: str) -> str:
    """An age as it is, 90 years for more, "" for one that is malformed."""
    match = AGE.fullmatch(text.strip(" \0"))
    if match is None:
        return ""
    years = int(match[1]) / {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}[match[2]]
    return OLDEST if years >= 90 else match[0]
