"""What a table of features was made with, in a small file beside it: settings, what was set aside, versions, digest."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fiducial.records.files import sha256_file, write_json

SCHEMA = 1
LIBRARIES = ("fiducial", "numpy", "scipy", "numba", "PyWavelets")


@dataclass(frozen=True)
class FeaturesRecord:
    """What the file says; ``settings`` are those of `Settings`, ``set_aside`` pairs of mask (or image) and reason.

    ``perturbations`` are those of `Perturbations`, empty where regions were taken as they are.
    ``changed`` is set where the table is no longer the one that the record was written for.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    set_aside: tuple[tuple[str, str], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False
    perturbations: Mapping[str, Any] = field(default_factory=dict)


def record_path(table: str | Path) -> Path:
    """``features.parquet`` has its record in ``features.json``."""
    return Path(table).with_suffix(".json")


def write_record(
    table: str | Path,
    settings: Mapping[str, Any],
    set_aside: Sequence[tuple[str, str]],
    *,
    perturbations: Mapping[str, Any] | None = None,
) -> Path:
    """Write the record of a table that was just written; returns its path."""
    path = record_path(table)
    said = {
        "schema": SCHEMA,
        "table": Path(table).name,
        "sha256": sha256_file(table),
        "settings": dict(settings),
        "perturbations": dict(perturbations or {}),
        "set_aside": [{"region": name, "reason": reason} for name, reason in set_aside],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }
    write_json(path, said)
    return path


def read_record(table: str | Path) -> FeaturesRecord | None:
    """The record of a table; None where there is none.

    Raises:
        IntegrityError: the file is no such record.
    """
    from fiducial.errors import IntegrityError
    from fiducial.records.untrusted import read_json_strictly

    path = record_path(table)
    if not path.is_file():
        return None
    held = read_json_strictly(path)
    if not isinstance(held, dict) or held.get("schema") != SCHEMA or "sha256" not in held:
        raise IntegrityError(
            "no record of a features table",
            where=str(path),
            legal=f"what fiducial features writes beside its table (schema {SCHEMA})",
            action="move the file away, or compute the features again",
        )
    return FeaturesRecord(
        settings=_mapping(held.get("settings")),
        set_aside=tuple(
            (str(one.get("region", "")), str(one.get("reason", "")))
            for one in held.get("set_aside", ())
            if isinstance(one, dict)
        ),
        versions={str(name): str(text) for name, text in _mapping(held.get("versions")).items()},
        changed=sha256_file(table) != held["sha256"],
        perturbations=_mapping(held.get("perturbations")),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
