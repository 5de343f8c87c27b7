"""PyRadiomics' parameter files (YAML or JSON), and the same three tables in TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fiducial.errors import InputRefused
from fiducial.features.radiomics.pyradiomics.settings import NOT_HERE, PyRadiomicsSettings

TABLES = ("setting", "imageType", "featureClass", "voxelSetting")
LARGEST = 1_000_000
"""Bytes of a parameter file; they have some hundreds."""


def read_parameters(path: str | Path) -> PyRadiomicsSettings:
    """The settings that a parameter file of PyRadiomics states, each of them honoured or refused by name.

    Args:
        path: a YAML file (JSON is YAML) with the tables ``setting``, ``imageType`` and ``featureClass``.

    Raises:
        InputRefused: no such file, no YAML, or a setting that is unknown, illegal or not honoured.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise InputRefused("no such file", where=str(path))
    if path.stat().st_size > LARGEST:
        raise InputRefused(f"{path.stat().st_size} bytes", where=str(path), legal=f"up to {LARGEST} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise InputRefused("a reference (*) to another part", where=str(path), action="write it out")
        said = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise InputRefused(f"no YAML: {first}", where=str(path)) from error
    return parameters_of(said if said is not None else {}, where=str(path))


def parameters_of(said: Any, *, where: str = "") -> PyRadiomicsSettings:
    """Settings from the tables of a parameter file.

    Raises:
        InputRefused: something that is unknown, illegal or not honoured, by its name.
    """
    if not isinstance(said, dict):
        raise InputRefused(f"a {type(said).__name__}", where=where, legal=f"the tables {', '.join(TABLES[:3])}")
    for table in said:
        if table not in TABLES:
            raise InputRefused(f"no table {table!r}", where=where, legal=f"the tables {', '.join(TABLES[:3])}")
        if said[table] is not None and not isinstance(said[table], dict):
            raise InputRefused(f"{table}: a {type(said[table]).__name__}", where=where, legal="names with their values")
    if said.get("voxelSetting"):
        raise InputRefused("voxelSetting is not honoured", where=where, action=NOT_HERE["kernelRadius"])
    setting = said.get("setting") or {}
    for name in ("imageType", "featureClass", "profile"):
        if name in setting:
            raise InputRefused(f"setting.{name}: no setting", where=where, legal="a table of its own beside setting")
    tables = {name: said.get(name) for name in ("imageType", "featureClass")}
    try:
        return PyRadiomicsSettings.model_validate({**setting, **tables})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        text = str(first["msg"]).removeprefix("Value error, ")
        raise InputRefused(f"{place}: {text}" if place else text, where=where) from error
