"""Files that anybody may have written: JSON read without surprises, and names that cannot leave their folder."""

from __future__ import annotations

import json
import math
from pathlib import Path, PurePosixPath
from typing import Any

from fiducial.errors import IntegrityError

MAX_BYTES = 256 * 2**20
"""Larger JSON than this is refused unread; evidence of 100,000 rows is a third of it."""


def read_json_strictly(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read JSON that another person may have edited.

    One meaning only: a key that stands twice in one object, a number that is not finite, nesting beyond what the
    parser can hold and a file larger than ``max_bytes`` are refused.

    Raises:
        IntegrityError: the file is missing, is no regular file, or is refused; the message says why.
    """
    path = Path(path)
    if not path.is_file():
        raise IntegrityError("no such file", where=str(path))
    size = path.stat().st_size
    if size > max_bytes:
        raise IntegrityError(f"{size:,} bytes", where=str(path), legal=f"at most {max_bytes:,} bytes of JSON")
    try:
        text = path.read_bytes().decode("utf-8")
        return json.loads(text, object_pairs_hook=_once, parse_float=_finite, parse_constant=_no_constant)
    except RecursionError as error:
        raise IntegrityError("not readable as JSON (nested too deeply)", where=str(path)) from error
    except ValueError as error:
        raise IntegrityError(f"not readable as JSON ({error})", where=str(path)) from error


def file_inside(folder: str | Path, name: str) -> Path:
    """The file that ``name`` means inside ``folder``.

    Raises:
        IntegrityError: the name is absolute, climbs out of the folder, or leads out of it through a link.
    """
    folder = Path(folder)
    parts = PurePosixPath(name).parts
    legal = "a path relative to the folder, with / between its parts and no .."
    if not name or "\0" in name or "\\" in name or PurePosixPath(name).is_absolute() or ".." in parts:
        raise IntegrityError(f"the name {name!r} leads out of the folder", where=str(folder), legal=legal)
    path = folder / name
    try:
        there = path.resolve()
    except (OSError, RuntimeError) as error:  # links that lead to themselves
        raise IntegrityError(f"{name!r} cannot be followed ({error})", where=str(folder)) from error
    if not there.is_relative_to(folder.resolve()):
        raise IntegrityError(f"the link {name!r} leads out of the folder", where=str(folder), legal="files of its own")
    return path


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is not finite")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
