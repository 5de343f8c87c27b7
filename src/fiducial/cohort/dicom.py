"""DICOM as cohort rows: `archive` reads and pseudonymises, this adds what follows from the voxels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fiducial.cohort.looks import image_looks
from fiducial.compute import map_cases
from fiducial.records.files import sha256_file
from fiducial.records.progress import Progress

if TYPE_CHECKING:
    from fiducial.archive import IngestRow, Remote


@dataclass(frozen=True)
class Gathered:
    """Cohort rows of a source and what else was found; ``pseudonyms`` (raw to pseudonym) only for DICOM."""

    rows: tuple[dict[str, Any], ...]
    report: tuple[IngestRow, ...]
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pseudonyms: Mapping[str, str] | None = field(default=None, repr=False)


def gather_dicom(
    source: Path | Remote,
    folder: Path,
    *,
    shift: Literal["site", "patient"] = "site",
    workers: int,
    progress: Progress,
) -> Gathered:
    """Materialise the accepted series of a DICOM tree, zip or archive in ``folder`` and complete their rows."""
    from fiducial.archive import ingest_dicom, private_key

    made = ingest_dicom(source, folder, key=private_key(folder), shift=shift, workers=workers, progress=progress)
    files = {str(row["path"]): (str(folder / row["path"]), str(row["role"])) for row in made.rows}
    mapped = map_cases(_look, files, workers=workers, progress=progress, title="fingerprints")
    broken = {failure.key: failure for failure in mapped.failures}
    rows = []
    notes = []
    nobody = 0
    for row in made.rows:
        looks = mapped.results.get(str(row["path"]))
        if looks is None:
            continue
        subject = row.get("subject") or row.get("of") or row["image"]
        nobody += row["role"] == "image" and not row.get("subject")
        rows.append({**row, "subject": subject, **looks})
    if nobody:
        notes.append(f"{nobody} images without a PatientID: each counts as a person of its own")
    notes += _said_of_pictures(rows)
    report = tuple(
        replace(row, status="rejected", reason=f"unexpected: {broken[path].error}")
        if (path := f"images/{row.series}.nii.gz") in broken
        else row
        for row in made.report
    )
    there = {row["image"] for row in rows}
    rows = [row for row in rows if row["role"] != "mask" or row["of"] in there]
    return Gathered(tuple(rows), report, (), tuple(notes), made.subjects)


def _said_of_pictures(rows: list[dict[str, Any]]) -> list[str]:
    """What a person should know of pictures before they are passed on or learned from."""
    pictures = [row for row in rows if row["role"] == "image" and "spacing_source" in row]
    silent = sum(row["burned_in"] == "" for row in pictures)
    notes = [f"{silent} pictures do not say whether text is burned into them: look at them"] if silent else []
    sources: dict[str, Counter[str]] = {}
    for row in pictures:
        sources.setdefault(str(row["modality"]), Counter())[str(row["spacing_source"])] += 1
    return notes + [
        f"{modality}: pixel sizes do not measure the same ({', '.join(f'{n} {name}' for name, n in found.items())})"
        for modality, found in sorted(sources.items())
        if len(found) > 1
    ]


def _look(case: tuple[str, str]) -> dict[str, str]:
    """Digest and looks of one materialised file."""
    import numpy as np

    from fiducial.archive import read_image, read_mask

    path, role = case
    if role == "table":
        return {"sha256": sha256_file(path)}
    if role == "mask":
        mask = read_mask(path)
        volume_ml = float(np.count_nonzero(mask.array)) * mask.geometry.voxel_ml
        return {"sha256": sha256_file(path), "fingerprint": json.dumps({"volume_ml": round(volume_ml, 6)})}
    return image_looks(read_image(path))
