"""Settings of ``fiducial features``: from a TOML file, from PyRadiomics' parameter file, or by a profile's name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.flows.toml_file import illegal, read_toml

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.features.radiomics import PyRadiomicsSettings, Settings

PROFILES = ("ibsi", "pyradiomics")


def load_settings(
    config: str | Path | None, *, profile: str = "", params: str | Path | None = None
) -> Settings | PyRadiomicsSettings:
    """Settings of a TOML file, of a parameter file of PyRadiomics, or a profile's defaults.

    Args:
        config: TOML of `Settings`, or, with ``profile = "pyradiomics"``, of the tables ``setting``, ``imageType`` and
            ``featureClass``.
        profile: ``ibsi`` or ``pyradiomics``; empty for what the file says, else ``ibsi``.
        params: YAML that PyRadiomics reads; the profile is then ``pyradiomics``.

    Raises:
        InputRefused: no such file, no TOML or YAML, or an illegal setting; the message names it.
    """
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics import FAMILIES, Settings
    from fiducial.features.radiomics.pyradiomics import PyRadiomicsSettings, read_parameters

    if profile and profile not in PROFILES:
        raise InputRefused(f"profile {profile!r}", legal=", ".join(PROFILES))
    if params is not None:
        if config is not None:
            raise InputRefused("two files of settings", legal="--config or --params")
        if profile == "ibsi":
            raise InputRefused("PyRadiomics' parameters with the profile ibsi", legal="--profile pyradiomics")
        from fiducial.flows.extras import require_modules

        require_modules("yaml")
        return read_parameters(params)
    if config is None:
        if profile == "pyradiomics":
            return PyRadiomicsSettings()
        return Settings(bin_number=32, families=tuple(name for name in FAMILIES if name != "diagnostics"))
    path = Path(config)
    said = read_toml(path)
    stated = said.get("profile", profile or "ibsi")
    if profile and stated != profile:
        raise InputRefused(f"profile {stated!r} in the file, {profile!r} asked for", where=str(path))
    return _of_table({**said, "profile": stated}, path)


def _of_table(said: dict[str, Any], path: Path) -> Settings | PyRadiomicsSettings:
    from pydantic import ValidationError

    from fiducial.errors import InputRefused
    from fiducial.features.radiomics import Settings
    from fiducial.features.radiomics.pyradiomics import parameters_of

    if said["profile"] not in PROFILES:
        raise InputRefused(f"profile {said['profile']!r}", where=str(path), legal=", ".join(PROFILES))
    if said["profile"] == "pyradiomics":
        return parameters_of({name: table for name, table in said.items() if name != "profile"}, where=str(path))
    try:
        return Settings(**said)
    except ValidationError as error:
        raise illegal(error, path, legal=f"the settings {', '.join(Settings.model_fields)}") from error


def settings_of(said: dict[str, Any]) -> Settings | PyRadiomicsSettings:
    """Settings back from plain values."""
    from fiducial.features.radiomics import PyRadiomicsSettings, Settings

    if said.get("profile") == "pyradiomics":
        return PyRadiomicsSettings.model_validate(said)
    return Settings(**said)


def require_whole(settings: Settings | PyRadiomicsSettings) -> None:
    """Refuse what a cohort says itself.

    Raises:
        InputRefused: ``label``: the cohort has the value of each mask.
    """
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics import PyRadiomicsSettings

    if isinstance(settings, PyRadiomicsSettings) and settings.label != 1:
        raise InputRefused(
            f"setting.label: {settings.label}",
            legal="no label: the cohort says which value each mask has (mask_value)",
            action="leave it away",
        )


def write_wide(table: str | Path, out: str | Path) -> Path:
    """The table with a row for each region and a column for each feature, as CSV.

    Columns have PyRadiomics' names (``original_glcm_Contrast``) where the table has them, else filter, family, feature
    and aggregation joined by ``_``.
    """
    import pandas as pd

    from fiducial.records.files import atomic_path

    found = pd.read_parquet(table)
    wide = widened(found)
    out = Path(out)
    with atomic_path(out) as part:
        wide.to_csv(part, index=False)
    return out


def widened(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each region, and for each perturbation of it: where it is from, then its features in order."""
    import pandas as pd

    from fiducial.flows.features import WHERE

    if "pyradiomics" in found:
        name = found["pyradiomics"]
    else:
        parts = found.reindex(columns=["filter", "family", "feature", "aggregation"]).fillna("").astype(str)
        name = parts.apply(lambda row: "_".join(part for part in row if part), axis=1)
    named = found.assign(name=name)
    repeated = "perturbation" in found and bool((found["perturbation"] != "").any())
    own = ["mask", "perturbation"] if repeated else ["mask"]
    first = named.drop_duplicates(own)[[*WHERE, *own[1:]]].reset_index(drop=True)
    values = named.pivot(index=own, columns="name", values="value").reindex(columns=named["name"].drop_duplicates())
    values = values.reindex(index=pd.MultiIndex.from_frame(first[own]) if repeated else first["mask"])
    return pd.concat([first, values.reset_index(drop=True).rename_axis(columns=None)], axis=1)
