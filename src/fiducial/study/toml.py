"""A study written as TOML, for studies that were made or changed in code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fiducial.study.model import Study


def toml_text(study: Study) -> str:
    """Write a study as TOML; reading it back gives an equal study."""
    said = study.model_dump(mode="json", exclude_none=True)
    criteria = said.pop("accept")
    blocks = [_block(f"[{name}]", table) for name, table in said.items()]
    blocks += [_block("[[accept]]", criterion) for criterion in criteria]
    return "\n".join(blocks)


def _block(head: str, table: dict[str, Any]) -> str:
    return "\n".join([head, *(f"{_key(key)} = {_value(value)}" for key, value in table.items()), ""])


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    """A TOML value; JSON strings, numbers and booleans are TOML ones too (with DEL escaped)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return json.dumps(value, ensure_ascii=True) if not isinstance(value, str) else _string(value)


def _string(text: str) -> str:
    # JSON writes characters beyond the 16-bit plane as surrogate pairs, which TOML forbids: keep them as they are.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
