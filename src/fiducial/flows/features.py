"""``fiducial features``: the masks of a cohort become a table of radiomics features."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.flows.extras import require_modules
from fiducial.flows.volumes import one_volume, place
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.features.radiomics import PyRadiomicsSettings, Settings

WHERE = ("subject", "visit", "site", "split", "image", "mask", "structure", "rater")


@dataclass(frozen=True)
class Features:
    """Where the table lies, how many regions and images it is of, and what was set aside (mask or image, reason).

    ``n_perturbations`` counts the repeats of each region beside the region as it is.
    """

    out: Path
    n_regions: int
    n_images: int
    n_features: int
    set_aside: tuple[tuple[str, str], ...]
    n_perturbations: int = 0


@dataclass(frozen=True)
class RegionsOfImage:
    """One image and its regions: (mask id, file, value in the file) each; settings, perturbations as plain values."""

    image: str
    path: str
    masks: tuple[tuple[str, str, int], ...]
    settings: dict[str, Any]
    perturbations: dict[str, Any] = field(default_factory=dict)


def features(
    cohort: str | Path,
    out: str | Path,
    *,
    config: str | Path | Settings | PyRadiomicsSettings | None = None,
    perturb: str | Path | None = None,
    workers: int = 0,
    cluster: str = "",
    progress: Progress = silent,
) -> Features:
    """Compute the features of every mask of a cohort and write them as one Parquet table, a row for each feature.

    Each image is read once for all of its masks. A region that has no features (empty, not finite, on another grid)
    is set aside with its reason, which stands in the table too, and the rest goes on. A run that was broken off is
    taken up again by the same command: finished images lie in a ledger beside ``out`` until all are done. What the
    table was made with stands in a small JSON file beside it (`features_record`).

    Args:
        cohort: The cohort folder.
        out: The Parquet file to write; its columns are `WHERE`, ``perturbation``, then those of `radiomics`.
        config: Settings, or their TOML file (`load_settings`); without it, everything in the volume in 32 grey levels.
        perturb: TOML of `Perturbations`: features of each region are computed after each of them too.
        workers: Processes, 0 = as many as cores.
        cluster: ``HOST:PORT`` of a Ray cluster whose machines all see the cohort at the same path; see `map_cases`.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: no mask in the cohort, an illegal setting or perturbation, no region that has features, or no such
            cluster.
    """
    from fiducial.cohort import load_cohort
    from fiducial.compute import map_cases
    from fiducial.errors import InputRefused
    from fiducial.flows.features_record import write_record
    from fiducial.flows.features_settings import load_settings, require_whole
    from fiducial.flows.perturbed import load_perturbations
    from fiducial.records.files import atomic_path

    require_modules("numba", "pywt", *(["ray"] if cluster else []))
    from fiducial.features.radiomics.engine import columns_of
    from fiducial.features.radiomics.first_time import compile_all
    from fiducial.features.radiomics.kernels import cooccurrence, warm_up

    cohort, out = Path(cohort).resolve(), Path(out)
    settings = load_settings(config) if config is None or isinstance(config, str | Path) else config
    require_whole(settings)
    asked = None if perturb is None else load_perturbations(perturb)
    plans = {} if asked is None else asked.model_dump(mode="json")
    table = load_cohort(cohort)
    cases = _cases(table, cohort, settings, plans)
    if not cases:
        raise InputRefused("no mask in this cohort", where=str(cohort), action="ingest images with masks")
    # Once here, so that no worker compiles them again.
    compile_all(cooccurrence, warm_up, progress)
    ledger = out.with_name(f".{out.name}.{_digest(settings, table, plans)}.ledger")
    done = map_cases(
        regions_of, cases, workers=workers, cluster=cluster, progress=progress, title="radiomics", resume=ledger
    )
    lost = [(mask, f"{f.error}: {f.message}") for f in done.failures for mask, _, _ in cases[f.key].masks]
    short = dict(lost)
    found = [one for made in done.results.values() for one in made["aside"]]
    short |= {mask: given for mask, _, given in found if given}
    aside = [*lost, *((mask, reason) for mask, reason, _ in found)]
    rows = [row for made in done.results.values() for row in made["rows"]]
    if not rows:
        done.forget(ledger)
        first = aside[0] if aside else ("", "")
        raise InputRefused(
            f"no region has features ({len(aside)} set aside; the first: {first[0]}: {first[1]})", where=str(cohort)
        )
    frame = _frame(rows, short, table, columns_of(settings))
    with atomic_path(out) as part:
        frame.to_parquet(part, index=False)
    write_record(out, settings.model_dump(mode="json"), aside, perturbations=plans)
    done.forget(ledger)
    n_images = frame[~frame["mask"].isin(short)]["image"].nunique()
    n_regions, plain = len({row[0] for row in rows}), sum(row[1] == "" for row in rows)
    n_perturbations = 0 if asked is None else len(asked.repeats())
    return Features(out, n_regions, n_images, plain // max(n_regions, 1), tuple(aside), n_perturbations)


def regions_of(case: RegionsOfImage) -> dict[str, Any]:
    """Features of one image's regions, as plain values; of regions that have none their id, reason and short reason.

    The image is read once, and each label map once for all of its values.
    """
    from fiducial.archive import read_mask
    from fiducial.archive.regrid import resample_command
    from fiducial.errors import InputRefused
    from fiducial.features.radiomics.engine import region_rows
    from fiducial.features.radiomics.perturbations import Perturbations
    from fiducial.flows.features_settings import settings_of
    from fiducial.flows.perturbed import features_after

    settings = settings_of(case.settings)
    asked = Perturbations(**case.perturbations) if case.perturbations else None
    rows: list[list[Any]] = []
    aside: list[tuple[str, str, str]] = []
    try:
        image = one_volume(case.path)
    except InputRefused as refusal:
        return {"rows": rows, "aside": [(mask, str(refusal), refusal.given) for mask, _, _ in case.masks]}
    voxels, spacing_mm = image.array[0], image.geometry.spacing_mm
    for path, masks in _by_file(case.masks).items():
        try:
            labels = read_mask(path)
            image.geometry.require_match(labels.geometry, where=path, action=resample_command(path, case.path))
        except InputRefused as refusal:
            aside += [(mask_id, str(refusal), refusal.given) for mask_id, _ in masks]
            continue
        for mask_id, value in masks:
            try:
                found = region_rows(voxels, labels.array[0], spacing_mm, settings, label=value or None)
            except InputRefused as refusal:
                aside.append((mask_id, str(refusal), refusal.given))
                continue
            rows += [[mask_id, "", *row] for row in found]
            if asked is not None:
                inside = labels.array[0] == value if value else labels.array[0]
                more, lost = features_after(voxels, inside, spacing_mm, settings, asked, region=mask_id)
                rows += [[mask_id, *row] for row in more]
                aside += [(name, reason, "") for name, reason in lost]
    return {"rows": rows, "aside": aside}


def _by_file(masks: tuple[tuple[str, str, int], ...]) -> dict[str, list[tuple[str, int]]]:
    """Regions by the file that they are in, in order."""
    files: dict[str, list[tuple[str, int]]] = {}
    for mask_id, path, value in masks:
        files.setdefault(path, []).append((mask_id, value))
    return files


def _cases(
    table: pd.DataFrame, folder: Path, settings: Settings | PyRadiomicsSettings, perturbations: dict[str, Any]
) -> dict[str, RegionsOfImage]:
    """One case for each image that has masks."""
    images = table[table["role"] == "image"].set_index("image")["path"]
    masks = table[(table["role"] == "mask") & table["of"].isin(images.index)]
    said = settings.model_dump(mode="json")
    cases = {}
    for image, group in masks.groupby("of", sort=False):
        found = tuple(
            (str(row["image"]), place(str(row["path"]), folder), int(row["mask_value"]))
            for row in group.to_dict("records")
        )
        cases[str(image)] = RegionsOfImage(str(image), place(str(images[image]), folder), found, said, perturbations)
    return cases


def _digest(settings: Settings | PyRadiomicsSettings, table: pd.DataFrame, perturbations: dict[str, Any]) -> str:
    """Names the ledger, so that other settings, columns, versions, or a cohort that has changed, begin anew."""
    from fiducial import __version__
    from fiducial.cohort.table import cohort_digest
    from fiducial.features.radiomics.engine import columns_of
    from fiducial.records.files import sha256_json

    made = [__version__, columns_of(settings), settings.model_dump(mode="json"), cohort_digest(table), perturbations]
    return sha256_json(made)[:12]


def _frame(
    rows: list[list[Any]], without: dict[str, str], table: pd.DataFrame, columns: tuple[str, ...]
) -> pd.DataFrame:
    """Rows of features with what the cohort says of their mask and image; regions without any give NaN and a reason."""
    import pandas as pd

    names = ["mask", "perturbation", *columns]
    # Every region has the same features in the same order.
    pattern = [row for row in rows if row[0] == rows[0][0] and row[1] == ""]
    says = ({"mask": mask, "value": float("nan"), "reason": reason} for mask, reason in without.items())
    empty = [[said.get(n, value) for n, value in zip(names, row, strict=True)] for said in says for row in pattern]
    frame = pd.DataFrame(rows + empty, columns=names)
    frame["value"] = frame["value"].astype("float64")
    own = table[table["role"] == "mask"].rename(columns={"image": "mask", "of": "image"})
    split = table[table["role"] == "image"].set_index("image")["split"]
    own = own.assign(split=own["image"].map(split))
    return frame.merge(own[list(WHERE)], on="mask", how="left")[[*WHERE, "perturbation", *columns]]
