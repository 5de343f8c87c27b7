"""``fiducial ingest``: files of any recognised layout become one cohort, and a page that a person can skim."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fiducial.errors import InputRefused
from fiducial.flows.thumbnails import SHOWN, draw_thumbnails
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.archive import Listing, PacsAccess, Remote
    from fiducial.cohort import Ingested
    from fiducial.records.picture import Picture

PAGE = "ingest.html"
MOST_PICTURES = 240
"""A page of so many thumbnails is about 3 MB; of a larger cohort as many are chosen evenly."""


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
    from fiducial.report import IngestInput, write_ingest

    images = made.cohort[made.cohort["role"] == "image"].sort_values(["modality", "image"], kind="stable")
    chosen = _evenly(images, MOST_PICTURES)
    drawn, failed = draw_thumbnails(chosen, out, workers=workers, progress=progress)
    by_modality: dict[str, list[Picture]] = {}
    for row in chosen:
        if row["image"] in drawn:
            by_modality.setdefault(row["modality"], []).append(drawn[row["image"]])
    given = IngestInput(
        name=out.resolve().name,
        n_subjects=int(made.cohort["subject"].nunique()),
        n_images=len(images),
        n_masks=int((made.cohort["role"] == "mask").sum()),
        rows=[asdict(row) for row in made.report],
        pictures=by_modality,
        unmatched=made.unmatched,
        notes=made.notes,
        failed=failed,
    )
    return write_ingest(given, out / PAGE)


def _evenly(images: pd.DataFrame, most: int) -> list[dict[str, Any]]:
    import numpy as np

    places = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int))
    columns = [name for name in SHOWN if name in images.columns]
    return [{str(k): v for k, v in row.items()} for row in images.iloc[places][columns].to_dict("records")]
