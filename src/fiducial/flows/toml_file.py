"""A TOML file as plain values, and what is answered where they are not legal."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused

if TYPE_CHECKING:
    from pydantic import ValidationError


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        InputRefused: no such file, one that cannot be read (a folder, say), or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputRefused("no such file", where=str(path)) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputRefused(f"cannot be read: {reason}", where=str(path), legal="a TOML file in UTF-8") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputRefused(f"no TOML: {error}", where=str(path)) from error


def illegal(error: ValidationError, path: Path, *, legal: str) -> InputRefused:
    """The first illegal value of a file, by its place."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return InputRefused(f"{place}: {first['msg']}" if place else str(first["msg"]), where=str(path), legal=legal)
