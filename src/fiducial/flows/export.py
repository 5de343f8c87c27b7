"""``fiducial export``: predicted masks and scores go back to the archive as DICOM objects on their original series."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.flows.extras import require_modules
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.archive.dicom.discover import SeriesFiles
    from fiducial.archive.export import ExportJob, Maker
    from fiducial.archive.export.seg import SegKind

TABLE = "predictions.parquet"
MODEL = "model.safetensors"
NIFTI = (".nii.gz", ".nii")


@dataclass(frozen=True)
class ExportSettings:
    """As what to write.

    ``formats`` are any of ``seg``, ``rtstruct``, ``sr`` (with the SEG that it refers to) and ``nifti``; ``kind`` is the
    SEG's: ``binary``, ``fractional`` or ``labelmap``. Of a folder of masks ``structures`` gives the value by name (else
    its ``dataset.json`` does, else they are ``label_1`` ...), and ``model`` who made them; under ``fractional`` a file
    of one structure holds probabilities.
    """

    formats: tuple[str, ...] = ("seg",)
    kind: SegKind = "binary"
    structures: tuple[tuple[str, int], ...] = ()
    model: str = ""


@dataclass(frozen=True)
class Export:
    """What was written: files by image, what could not be said, and what failed or has no series (image, message)."""

    out: Path
    n_images: int
    files: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]


def export(
    masks: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    cohort: str | Path | None = None,
    settings: ExportSettings | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Export:
    """Write the masks and scores of a run, or a folder of masks, as DICOM objects that refer to the original series.

    Args:
        masks: A folder with ``predictions.parquet`` (a run, or what ``predict`` wrote), or with NIfTI masks whose names
            are the cohort's image ids.
        source: The original DICOM, as it was ingested; read only.
        out: Where to write; files are named by image id and hold the patient's identity again.
        cohort: The cohort folder; a run knows its own. Without one a folder of masks needs a source of one series.
        settings: Formats and names; a SEG by default.
        workers: Processes; 0 takes the cores that this process may use.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: nothing to export, an unknown format, no series fits any image, or a file of the run was changed.
    """
    from fiducial.archive.export import cohort_sources, export_case, find_sources, single_source
    from fiducial.archive.export.cases import FORMATS
    from fiducial.archive.export.seg import SEG_KINDS
    from fiducial.compute import map_cases
    from fiducial.errors import InputRefused

    settings = settings or ExportSettings()
    for given, legal, option in ((settings.formats, FORMATS, "--format"), ((settings.kind,), SEG_KINDS, "--kind")):
        unknown = [name for name in given if name not in legal]
        if unknown or not given:
            raise InputRefused(f"{', '.join(unknown) or 'nothing'}", where=option, legal=", ".join(legal))
    if {"seg", "sr"} & set(settings.formats):
        require_modules("highdicom")
    masks, out = Path(masks), Path(out)
    said = _said_by_run(masks) if (masks / TABLE).is_file() else _said_by_files(masks, settings)
    found = find_sources(source, workers=workers, progress=progress)
    folder = Path(cohort) if cohort is not None else said.cohort
    if folder is None:
        only = single_source(found, str(source))
        by_image: dict[str, SeriesFiles] = dict.fromkeys(said.cases, only)
    else:
        by_image = cohort_sources(found, folder)
    jobs = {image: said.job(image, by_image[image], settings) for image in said.cases if image in by_image}
    missing = "its series is not below the source: give the DICOM folder that was ingested"
    absent = [(image, missing) for image in said.cases if image not in by_image]
    if not jobs:
        raise InputRefused(
            f"none of {len(said.cases)} images has its series there",
            where=str(source),
            legal="the DICOM that the cohort was ingested from",
            action="give that folder; images are matched by the cohort's key, never by file name",
        )
    out.mkdir(parents=True, exist_ok=True)
    done = map_cases(partial(export_case, out=out), jobs, workers=workers, progress=progress, title="writing objects")
    return Export(
        out=out,
        n_images=len(done.results),
        files={image: item.files for image, item in done.results.items()},
        notes=tuple(f"{image}: {note}" for image, item in done.results.items() for note in item.notes),
        failures=(*absent, *((failure.key, failure.message) for failure in done.failures)),
    )


@dataclass(frozen=True)
class _Said:
    """What is said of each image (masks, scores), by whom, and the cohort that knows the images."""

    cases: dict[str, tuple[tuple[Any, ...], tuple[tuple[str, float], ...]]]
    maker: Maker
    cohort: Path | None = None

    def job(self, image: str, series: SeriesFiles, settings: ExportSettings) -> ExportJob:
        """The job of one image."""
        from fiducial.archive.export.cases import ExportJob, with_digests

        masks, scores = self.cases[image]
        job = ExportJob(image, series, self.maker, masks, scores, formats=settings.formats, kind=settings.kind)
        return with_digests(job)


def _said_by_run(folder: Path) -> _Said:
    """The final answers of a predictions table; its files are verified where they are sealed."""
    from fiducial.archive.export import Maker
    from fiducial.errors import InputRefused
    from fiducial.records.runs import RECORD, read_record, verify
    from fiducial.records.tables import PREDICTIONS, final_answers, read_table

    record: dict[str, Any] = {}
    if (folder / RECORD).is_file():
        verify(folder, TABLE)
        record = read_record(folder)
    rows = final_answers(read_table(folder / TABLE, PREDICTIONS))
    rows = rows[rows["kind"].isin(["mask", "score"])]
    if rows.empty:
        raise InputRefused("no mask and no score", where=str(folder / TABLE), legal="rows of kind mask or score")
    origin = (folder / str(record.get("run_folder", "."))).resolve()
    weights = record if "run_folder" not in record else (read_record(origin) if (origin / RECORD).is_file() else {})
    digest = str(weights.get("files", {}).get(MODEL, ""))
    name = str(record.get("study_name", "")) or str(rows["study"].iloc[0]) or folder.resolve().name
    maker = Maker(name, str(record.get("fingerprint", ""))[:12] or str(rows["model"].iloc[0]), digest)
    cases = {str(image): _row_says(own, folder) for image, own in rows.groupby("image", sort=False)}
    cohort = (folder / str(record["cohort_folder"])).resolve() if "cohort_folder" in record else None
    return _Said(cases, maker, cohort)


def _row_says(rows: pd.DataFrame, folder: Path) -> tuple[tuple[Any, ...], tuple[tuple[str, float], ...]]:
    """Masks and scores of one image."""
    from fiducial.archive.export.cases import MaskToWrite

    masks = tuple(
        MaskToWrite(
            str(row["target"]),
            str(folder / str(row["payload"])),
            tuple(int(value) for value in str(row.get("label", "") or "1").split("+")),
            str(row["payload_sha256"]),
        )
        for row in rows[rows["kind"] == "mask"].to_dict("records")
    )
    scores = rows[(rows["kind"] == "score") & rows["value"].notna()]
    named = (f"{row['target']} {row['item']}".strip() for row in scores.to_dict("records"))
    return masks, tuple(zip(named, scores["value"].astype(float), strict=True))


def _said_by_files(folder: Path, settings: ExportSettings) -> _Said:
    """NIfTI masks of a folder, by the stem of their names."""
    from fiducial.archive.export import Maker
    from fiducial.archive.export.cases import MaskToWrite
    from fiducial.errors import InputRefused

    files = {_stem(path.name): path for path in sorted(folder.glob("*.nii*")) if path.name.endswith(NIFTI)}
    if not files:
        raise InputRefused(
            "neither predictions nor masks",
            where=str(folder),
            legal=f"a folder with {TABLE}, or with NIfTI masks named by image id",
        )
    named = dict(settings.structures or _named_in(folder))
    cases: dict[str, tuple[tuple[Any, ...], tuple[tuple[str, float], ...]]] = {}
    for image, path in files.items():
        if settings.kind == "fractional" and len(named) < 2:
            cases[image] = ((MaskToWrite(next(iter(named), "structure"), str(path), ()),), ())
            continue
        own = named or {f"label_{value}": value for value in _values(path)}
        cases[image] = (tuple(MaskToWrite(name, str(path), (value,)) for name, value in own.items()), ())
    return _Said(cases, Maker(settings.model or folder.resolve().name))


def _named_in(folder: Path) -> dict[str, int]:
    """Structures that an nnU-Net ``dataset.json`` in the folder names."""
    path = folder / "dataset.json"
    labels = json.loads(path.read_text(encoding="utf-8")).get("labels", {}) if path.is_file() else {}
    return {str(name): int(value) for name, value in labels.items() if isinstance(value, int) and value > 0}


def _values(path: Path) -> list[int]:
    import numpy as np

    from fiducial.archive import read_mask

    return [int(value) for value in np.unique(read_mask(path).array) if value > 0] or [1]


def _stem(name: str) -> str:
    return next(name.removesuffix(suffix) for suffix in NIFTI if name.endswith(suffix))
