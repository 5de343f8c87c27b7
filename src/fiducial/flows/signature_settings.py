"""Settings of ``fiducial signature``: from a TOML file, and what the command line says over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.flows.toml_file import illegal, read_toml

if TYPE_CHECKING:
    from fiducial.features.signature.settings import SignatureSettings


def load_signature_settings(
    config: str | Path | None = None, *, over: Mapping[str, Any] | None = None
) -> SignatureSettings:
    """Settings of a TOML file whose keys are the fields of `SignatureSettings`, and the defaults for the rest.

    Args:
        config: the file; None for the defaults alone.
        over: settings that go before the file's; None values are passed over.

    Raises:
        InputRefused: no such file, no TOML, an unknown key or an illegal value; the message names it.
    """
    from pydantic import TypeAdapter, ValidationError

    from fiducial.errors import InputRefused
    from fiducial.features.signature.settings import SignatureSettings

    stated = {name: value for name, value in (over or {}).items() if value is not None}
    if config is None:
        return SignatureSettings(**stated)
    path = Path(config)
    said = read_toml(path)
    known = [field.name for field in fields(SignatureSettings)]
    unknown = [name for name in said if name not in known]
    if unknown:
        raise InputRefused(f"{', '.join(unknown)}: no such setting", where=str(path), legal=", ".join(known))
    try:
        return TypeAdapter(SignatureSettings).validate_python({**said, **stated})
    except ValidationError as error:
        raise illegal(error, path, legal=f"the settings {', '.join(known)}") from error
    except InputRefused as error:
        raise InputRefused(error.given, where=str(path), legal=error.legal) from error
