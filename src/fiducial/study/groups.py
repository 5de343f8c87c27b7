"""Groups of patients: their grammar, and the bands that turn a number into an attribute.

Grammar of ``group``: ``all``; ``sex=F``; ``sex=F&site=B`` (an intersection); ``sex`` alone, which names an attribute
and is legal only for a gap. A ``&`` or ``%`` inside a value is written ``%26`` or ``%25``. A missing value is a group
of its own, ``sex=(missing)``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MISSING = "(missing)"
BAND_SUFFIX = "_band"


@dataclass(frozen=True)
class Group:
    """A parsed group: ``terms`` of (attribute, value); ``gap`` the attribute of a gap; both empty means all."""

    terms: tuple[tuple[str, str], ...] = ()
    gap: str = ""

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that the group speaks of."""
        return (self.gap,) if self.gap else tuple(name for name, _ in self.terms)


def parse_group(text: str) -> Group:
    """Parse the group grammar.

    Raises:
        ValueError: empty text, an empty attribute or value, an attribute named twice, or ``a&b`` without values.
    """
    text = text.strip()
    if text == "all":
        return Group()
    parts = [part.strip() for part in text.split("&")]
    if len(parts) == 1 and text and "=" not in text:
        return Group(gap=text)
    terms = []
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ValueError(f"{text!r} is not a group: write all, sex=F, sex=F&site=B, or sex for a gap")
        terms.append((name, value.replace("%26", "&").replace("%25", "%")))
    names = [name for name, _ in terms]
    if len(set(names)) < len(names):
        raise ValueError(f"{text!r} names an attribute twice: nobody can be in both groups")
    return Group(terms=tuple(terms))


def group_text(terms: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """Write a group: the inverse of `parse_group`; no term gives ``all``."""
    pairs = list(terms.items()) if isinstance(terms, Mapping) else list(terms)
    return "&".join(f"{name}={value.replace('%', '%25').replace('&', '%26')}" for name, value in pairs) or "all"


def group_mask(frame: pd.DataFrame, group: Group) -> pd.Series[bool]:
    """Rows of ``frame`` that belong to ``group`` (a gap's group is everyone)."""
    import pandas as pd

    inside = pd.Series(data=True, index=frame.index)
    for name, value in group.terms:
        inside &= attribute_text(frame[name]) == value
    return inside


def attribute_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """An attribute column as text: whole numbers without ``.0``, missing or empty values as ``(missing)``."""
    return values.map(_value_text)


def _value_text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return MISSING if text in ("", "<NA>", "NaT") else text


def band_of(value: float | None, edges: Sequence[float]) -> str:
    """The half-open band of a number: edges (50, 65) give ``<50``, ``50-<65`` and ``>=65``; missing gives ``""``."""
    if value is None or math.isnan(value):
        return ""
    written = [f"{edge:g}" for edge in edges]
    place = bisect_right(list(edges), value)
    if place == 0:
        return f"<{written[0]}"
    return f">={written[-1]}" if place == len(edges) else f"{written[place - 1]}-<{written[place]}"


def value_order(value: str) -> tuple[int, float, str]:
    """Sort key of attribute values: bands and numbers by size, then words, then what is missing."""
    if value == MISSING:
        return (2, 0.0, value)
    lowest = value.removeprefix(">=").partition("-<")[0]
    try:
        return (0, -math.inf if value.startswith("<") else float(lowest), value)
    except ValueError:
        return (1, 0.0, value)


def with_bands(frame: pd.DataFrame, bands: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Add ``<column>_band`` for each banded column that ``frame`` has; an existing band column is kept."""
    import pandas as pd

    frame = frame.copy()
    for column, edges in bands.items():
        name = column + BAND_SUFFIX
        if column in frame.columns and name not in frame.columns:
            numbers = pd.to_numeric(frame[column], errors="coerce")
            frame[name] = [band_of(float(number), edges) for number in numbers]
    return frame
