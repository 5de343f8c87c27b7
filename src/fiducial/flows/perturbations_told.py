"""How regions were disturbed, as one would say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DISTURBED: dict[str, str] = {
    "noise": "noise of {} times its level",
    "rotate_degrees": "turned by {} degrees",
    "translate_voxels": "shifted by {} voxels",
    "volume": "volume changed by {}",
    "contour": "contour drawn anew",
}


def told(given: Mapping[str, Any]) -> str:
    """``chain, 4 times: noise of 1 times its level, contour drawn anew``; empty for regions as they are alone."""
    listed = given.get("perturbation")
    said = []
    for one in listed if isinstance(listed, list) else []:
        changes = [words.format(_plain(one[key])) for key, words in DISTURBED.items() if _changed(one.get(key))]
        times = f", {_plain(one['repeats'])} times" if _changed(one.get("repeats")) and one["repeats"] != 1 else ""
        said.append(f"{one.get('name')}{times}: {', '.join(changes)}")
    return "; ".join(said)


def _changed(value: Any) -> bool:
    return any(value) if isinstance(value, list | tuple) else bool(value)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_plain(one) for one in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
