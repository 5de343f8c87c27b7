"""``fiducial ingest``: files of any recognised layout become one cohort, and a page that a person can skim."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fiducial.errors import InputRefused
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.archive import Listing, PacsAccess, Remote
    from fiducial.cohort import Ingested
    from fiducial.predict.drawing import Window
    from fiducial.records.image import Image
    from fiducial.records.picture import Picture

PAGE = "ingest.html"
MOST_PICTURES = 240
"""A page of so many thumbnails is about 3 MB; of a larger cohort as many are chosen evenly."""
SHOWN = ("image", "path", "modality", "spacing_source", "frames", "frame_time_ms", "window_center", "window_width")
"""Columns of the cohort that a thumbnail and its caption are made from; only pictures have the later ones."""
LEAST_SHOWN = 0.05
"""A stated window inside which less of the image lies says nothing of it."""
THUMBNAIL = 260
"""Width in pixels."""


@dataclass(frozen=True)
class Ingest:
    """What an ingest made.

    ``accepted``, ``repaired`` and ``rejected`` count series or files; ``reasons`` counts the rejected and repaired
    ones by the code that their reason starts with; ``unmatched`` are ids of the labels file that no image has.
    """

    cohort: Path
    n_subjects: int
    n_images: int
    n_masks: int
    accepted: int
    repaired: int
    rejected: int
    reasons: dict[str, int]
    unmatched: tuple[str, ...]
    notes: tuple[str, ...]
    page: Path


def ingest(
    source: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    shift: Literal["site", "patient"] = "site",
    access: PacsAccess | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Ingest:
    """Read images, masks and labels and write a cohort folder.

    Args:
        source: A DICOM tree or zip, ``images/`` + ``labels/``, an nnU-Net data set, a folder of PNG or JPEG, or npz;
            or an archive's address: ``dicomweb+https://host/path?Key=value``, ``dimse://CALLED@host:port?Key=value``.
        out: The cohort folder to write (``cohort.parquet``, ``ingest.json`` and ``ingest.html``; for DICOM also
            ``images/`` and ``masks/``).
        labels: CSV of labels and attributes by subject or image; a column ``split`` is taken as given.
        shift: DICOM dates: ``site`` moves those of a site alike into ``acquired``, ``patient`` leaves it empty.
        access: How an archive is reached, and how much is taken from it.
        workers: Processes; 0 takes the cores that this process may use.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: nothing readable is there, or the labels file breaks its rules.
    """
    from fiducial.cohort import ingest as ingest_cohort

    out = Path(out)
    made = ingest_cohort(
        _source(source, access),
        out,
        labels=None if labels is None else Path(labels),
        shift=shift,
        workers=workers,
        progress=progress,
    )
    status = Counter(row.status for row in made.report)
    roles = made.cohort["role"]
    return Ingest(
        cohort=out,
        n_subjects=int(made.cohort["subject"].nunique()),
        n_images=int((roles == "image").sum()),
        n_masks=int((roles == "mask").sum()),
        accepted=status["accepted"],
        repaired=status["repaired"],
        rejected=status["rejected"],
        reasons=dict(Counter(row.reason.split(":")[0] for row in made.report if row.status != "accepted")),
        unmatched=tuple(made.unmatched),
        notes=tuple(made.notes),
        page=_page(made, out, workers=workers, progress=progress),
    )


def count_archive(address: str, *, access: PacsAccess | None = None, progress: Progress = silent) -> Listing:
    """What an archive's address matches, in numbers; nothing is received, and nothing said about any patient.

    Raises:
        InputRefused: the address is none, or the archive cannot be asked.
    """
    from fiducial.archive import is_address, remote, survey

    if not is_address(address):
        raise InputRefused(
            "no address of an archive", where=address, legal="a source with :// (a folder is not counted)"
        )
    return survey(remote(address, access), progress=progress)


def _source(source: str | Path, access: PacsAccess | None) -> Path | Remote:
    from fiducial.archive import is_address, remote

    return remote(str(source), access) if is_address(source) else Path(source)


def _page(made: Ingested, out: Path, *, workers: int, progress: Progress) -> Path:
    """Write the page beside the table. An image that cannot be drawn is named on it; it stops nothing."""
    from fiducial.compute import map_cases
    from fiducial.report import IngestInput, write_ingest

    images = made.cohort[made.cohort["role"] == "image"].sort_values(["modality", "image"], kind="stable")
    chosen = _evenly(images, MOST_PICTURES)
    jobs = {row["image"]: {**row, "path": _place(row["path"], out)} for row in chosen}
    drawn = map_cases(_thumbnail, jobs, workers=workers, progress=progress, title="thumbnails")
    by_modality: dict[str, list[Picture]] = {}
    for row in chosen:
        if row["image"] in drawn.results:
            by_modality.setdefault(row["modality"], []).append(drawn.results[row["image"]])
    given = IngestInput(
        name=out.resolve().name,
        n_subjects=int(made.cohort["subject"].nunique()),
        n_images=len(images),
        n_masks=int((made.cohort["role"] == "mask").sum()),
        rows=[asdict(row) for row in made.report],
        pictures=by_modality,
        unmatched=made.unmatched,
        notes=made.notes,
        failed=[failure.key for failure in drawn.failures],
    )
    return write_ingest(given, out / PAGE)


def _evenly(images: pd.DataFrame, most: int) -> list[dict[str, Any]]:
    import numpy as np

    places = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int))
    columns = [name for name in SHOWN if name in images.columns]
    return [{str(k): v for k, v in row.items()} for row in images.iloc[places][columns].to_dict("records")]


def _size(image: Image, row: dict[str, Any]) -> str:
    """How many voxels of which size; of a picture, what its size is a measure of; of a film, its pace."""
    x, y, z = image.geometry.shape
    spacing = " x ".join(f"{mm:.3g}" for mm in image.geometry.spacing_mm)
    source = row.get("spacing_source") or ""
    if not source or row.get("frames") == "slices":
        return f"{x} x {y} x {z} voxels of {spacing} mm."
    size = "size unknown" if source == "unknown" else f"{spacing.rpartition(' x ')[0]} mm ({source.replace('_', ' ')})"
    step = row.get("frame_time_ms")
    pace = f" every {step:.4g} ms" if step is not None and not math.isnan(step) else ""
    film = f"; {z} frames{pace}, shown: middle, first and last" if z > 1 else ""
    return f"{x} x {y} pixels, {size}{film}."


def _stated_window(image: Image, row: dict[str, Any]) -> Window | None:
    """The window that the header states, if it shows anything of the image."""
    import numpy as np

    from fiducial.predict.drawing import Window

    center, width = row.get("window_center"), row.get("window_width")
    if center is None or width is None or not width > 0 or image.array.shape[0] != 1:
        return None
    low, high = center - width / 2, center + width / 2
    shown = float(np.mean((image.array > low) & (image.array < high)))
    return Window(low, high, f"Window {low:.4g} to {high:.4g}, as stated.") if shown > LEAST_SHOWN else None


def _place(path: str, folder: Path) -> str:
    return path if Path(path).is_absolute() else str(folder / path)


def _thumbnail(row: dict[str, Any]) -> Picture:
    """Three planes of a volume, a picture itself or frames of a film, made small and of few greys."""
    from io import BytesIO

    from PIL import Image as Picture8

    from fiducial.archive import read_image
    from fiducial.predict.pictures import score_picture
    from fiducial.records.picture import Picture

    image = read_image(row["path"], modality=row["modality"])
    said = _size(image, row)
    whole = score_picture(row["image"], image, kind="typical", said=said, window=_stated_window(image, row))
    with Picture8.open(BytesIO(whole.png)) as large:
        small = large.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    packed = BytesIO()
    small.quantize(48).save(packed, "PNG", optimize=True)
    return Picture(whole.case, whole.caption, packed.getvalue())
