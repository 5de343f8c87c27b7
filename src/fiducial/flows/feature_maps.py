"""``fiducial feature-maps``: the features of every voxel's neighbourhood, as images, for the masks of a cohort."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.flows.extras import require_modules
from fiducial.flows.volumes import one_volume, place
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.features.radiomics import Settings

LISTED = "maps.csv"
COLUMNS = ("mask", "image", "structure", "family", "feature", "ibsi_code", "file")


@dataclass(frozen=True)
class MadeMaps:
    """Where the maps lie, the table that lists them, how many regions and maps there are, and what was set aside."""

    out: Path
    table: Path
    n_regions: int
    n_maps: int
    set_aside: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MapsOfMask:
    """One mask with its image, where its maps go, and settings as plain values."""

    image: str
    mask: str
    mask_value: int
    folder: str
    settings: dict[str, Any]
    options: dict[str, Any]


def feature_maps(  # noqa: PLR0913 - what a user may say of maps
    cohort: str | Path,
    out: str | Path,
    *,
    config: str | Path | None = None,
    radius: int = 1,
    masked: bool = True,
    workers: int = 0,
    cluster: str = "",
    progress: Progress = silent,
) -> MadeMaps:
    """Write the maps of every mask of a cohort: a folder for each mask, a NIfTI file for each feature, one table.

    Maps are cut to the region's box, lie where it does in the world, and are NaN outside it. A region that has none is
    set aside with its reason, and the rest goes on. A run that was broken off is taken up again by the same command:
    finished masks stand in a ledger in ``out`` until all are done.

    Args:
        cohort: The cohort folder.
        out: The folder to write.
        config: TOML of `Settings`; without it, every family that maps have, averaged over directions, in 32 levels.
        radius: Voxels of a neighbourhood on each side of its middle.
        masked: Neighbourhoods hold the region's voxels only (see `radiomics_map`).
        workers: Processes, 0 = as many as cores.
        cluster: ``HOST:PORT`` of a Ray cluster whose machines all see the cohort and ``out`` at the same paths; see
            `map_cases`.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: no mask in the cohort, an illegal setting, no region that has maps, or no such cluster.
    """
    from fiducial import __version__
    from fiducial.cohort import load_cohort
    from fiducial.cohort.table import cohort_digest
    from fiducial.compute import map_cases
    from fiducial.errors import InputRefused
    from fiducial.records.files import sha256_json

    require_modules("numba", "pywt", *(["ray"] if cluster else []))
    from fiducial.features.radiomics.first_time import compile_all
    from fiducial.features.radiomics.map_kernels import features_around, warm_up_maps

    cohort, out = Path(cohort).resolve(), Path(out)
    settings = _settings(config, radius)
    table = load_cohort(cohort)
    images = table[table["role"] == "image"].set_index("image")["path"]
    masks = table[(table["role"] == "mask") & table["of"].isin(images.index)]
    if masks.empty:
        raise InputRefused("no mask in this cohort", where=str(cohort), action="ingest images with masks")
    compile_all(features_around, warm_up_maps, progress)
    said = settings.model_dump(mode="json")
    options = {"radius": radius, "masked": masked}
    ledger = out / f".{sha256_json([__version__, said, options, cohort_digest(table)])[:12]}.ledger"
    threads = 0 if workers == 1 and not cluster else 1
    cases = {
        str(row["image"]): MapsOfMask(
            place(str(images[row["of"]]), cohort),
            place(str(row["path"]), cohort),
            int(row["mask_value"]),
            str(out.resolve() / folder_name(row["image"])),
            said,
            {**options, "threads": threads},
        )
        for row in masks.to_dict("records")
    }
    done = map_cases(maps_of, cases, workers=workers, cluster=cluster, progress=progress, title="maps", resume=ledger)
    aside = [(one.key, f"{one.error}: {one.message}") for one in done.failures]
    aside += [(mask, str(made)) for mask, made in done.results.items() if isinstance(made, str)]
    made = {mask: files for mask, files in done.results.items() if not isinstance(files, str)}
    if not made:
        done.forget(ledger)
        mask, reason = aside[0]
        raise InputRefused(
            f"no region has maps ({len(aside)} set aside; the first: {mask}: {reason})", where=str(cohort)
        )
    listed = _listed(masks, made, out)
    done.forget(ledger)
    return MadeMaps(out, listed, len(made), sum(len(files) for files in made.values()), tuple(aside))


def maps_of(case: MapsOfMask) -> list[tuple[str, str, str, str]] | str:
    """Write the maps of one mask: (family, feature, code, file) of each; or why it has none."""
    import numpy as np

    from fiducial.archive import read_mask, write_nifti
    from fiducial.archive.regrid import resample_command
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics import Settings, radiomics_map
    from fiducial.features.radiomics.catalogue import catalogue
    from fiducial.features.radiomics.engine import labelled
    from fiducial.records.image import Geometry, Image

    try:
        image = one_volume(case.image)
        mask = read_mask(case.mask)
        image.geometry.require_match(mask.geometry, where=case.mask, action=resample_command(case.mask, case.image))
        spacing_mm = image.geometry.spacing_mm
        inside = labelled(mask.array[0], case.mask_value) if case.mask_value else mask.array[0]
        maps = radiomics_map(image.array[0], inside, spacing_mm, Settings(**case.settings), **case.options)
    except InputRefused as refusal:
        return str(refusal)
    grid = Geometry(maps.affine(np.asarray(image.geometry.affine), spacing_mm), maps.mask.shape)
    codes = {(family, one.name): one.code for family, found in catalogue().items() for one in found}
    folder = Path(case.folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for family, feature in maps.features:
        file = write_nifti(Image(maps.map(family, feature)[None], grid), folder / f"{family}.{feature}.nii.gz")
        written.append((family, feature, codes[family, feature], file.name))
    return written


def _settings(config: str | Path | None, radius: int) -> Settings:
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics import Settings
    from fiducial.features.radiomics.maps import USUAL, require_mappable
    from fiducial.flows.features_settings import load_settings

    settings = USUAL if config is None else load_settings(config)
    if not isinstance(settings, Settings):
        raise InputRefused("maps by PyRadiomics' profile", where=str(config), legal="settings of the profile ibsi")
    require_mappable(settings, radius)
    return settings


def folder_name(mask: str) -> str:
    """A folder's name of a mask's id: as it is, if letters, digits, ``-``, ``_`` and ``~`` will do, else made so."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_~") else "_" for c in mask)
    return name if name == mask else f"{name}-{hashlib.sha256(mask.encode()).hexdigest()[:8]}"


def _listed(masks: pd.DataFrame, made: dict[str, Any], out: Path) -> Path:
    """The table of all maps; files relative to its folder."""
    import pandas as pd

    from fiducial.records.files import atomic_path

    known = masks.set_index("image")
    rows = [
        (mask, known["of"][mask], known["structure"][mask], family, feature, code, f"{folder_name(mask)}/{file}")
        for mask, files in made.items()
        for family, feature, code, file in files
    ]
    with atomic_path(out / LISTED) as part:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(part, index=False)
    return out / LISTED
