"""``fiducial ingest``: files of any recognised layout become one cohort."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fiducial.records.progress import Progress, silent


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


def ingest(
    source: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Ingest:
    """Read images, masks and labels and write a cohort folder.

    Args:
        source: A DICOM tree or zip, ``images/`` + ``labels/``, an nnU-Net data set, a folder of PNG or JPEG, or npz.
        out: The cohort folder to write (``cohort.parquet``, ``ingest.json``; for DICOM also ``images/``, ``masks/``).
        labels: CSV of labels and attributes by subject or image; a column ``split`` is taken as given.
        workers: Processes; 0 takes the cores that this process may use.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: nothing readable is there, or the labels file breaks its rules.
    """
    from fiducial.cohort import ingest as ingest_cohort

    out = Path(out)
    made = ingest_cohort(
        Path(source), out, labels=None if labels is None else Path(labels), workers=workers, progress=progress
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
    )
