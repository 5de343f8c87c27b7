"""Files of any recognised layout become one cohort folder, with a report of everything that was set aside."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fiducial.archive import Remote
from fiducial.cohort.collection import Collection
from fiducial.cohort.dicom import Gathered, gather_dicom
from fiducial.cohort.examine import CaseFiles, Examined, Refusal, examine
from fiducial.cohort.labels import join_labels
from fiducial.cohort.layouts import LAYOUTS, layout_of
from fiducial.cohort.table import REPORT, TABLE, check_masks
from fiducial.compute import map_cases
from fiducial.errors import InputRefused
from fiducial.records.files import write_json
from fiducial.records.progress import Progress, silent
from fiducial.records.tables import COHORT, table, validated, write_table

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.archive import IngestRow

FOUND = ("labels.csv", "labels.CSV")


@dataclass(frozen=True)
class Ingested:
    """The cohort, one report row for each series, case or refused file, ids without a partner, and remarks."""

    cohort: pd.DataFrame
    report: list[IngestRow]
    unmatched: list[str]
    notes: list[str]


def ingest(
    source: str | Path | Remote,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    shift: Literal["site", "patient"] = "site",
    workers: int = 0,
    progress: Progress = silent,
) -> Ingested:
    """Read a source of any layout in `LAYOUTS` and write the cohort folder ``out``.

    DICOM is copied into the cohort as NIfTI under pseudonyms; all other files stay where they are, and the table
    names them (relative to the cohort if they lie in it). Each image is read once: its voxels are checked to be
    finite, its masks to lie on its grid. ``out`` appears when everything is written, or not at all; if the images
    lie inside ``out`` itself, its table is written last.

    Args:
        source: folder or file, or an archive.
        out: a folder that does not exist, is empty, or holds the source.
        labels: CSV of labels and attributes by ``image`` or ``subject``; without it a ``labels.csv`` in the source is
            used. May carry ``split``.
        shift: DICOM dates: ``site`` moves those of a site alike into ``acquired``, ``patient`` leaves it empty.
        workers: processes, 0 = the cores that this process may use.
        progress: called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: nothing readable is there, every case was refused, ``out`` is taken, or the labels file breaks
            its rules.
    """
    source, out = source if isinstance(source, Remote) else Path(source), Path(out)
    name = layout_of(source)
    collect = LAYOUTS[name].collect
    with _folder(out, source, copies=collect is None) as folder:
        if collect is None or isinstance(source, Remote):
            gathered = gather_dicom(source, folder, shift=shift, workers=workers, progress=progress)
        else:
            collection = collect(source, out.resolve())
            gathered = _gather(collection, source, out.resolve(), workers=workers, progress=progress)
        if not gathered.rows:
            raise _nothing(gathered, source)
        cohort = table(list(gathered.rows), COHORT)
        unmatched, notes = list(gathered.unmatched), [f"layout: {name}", *gathered.notes]
        file = _labels_file(source, labels, notes)
        if file is not None:
            joined = join_labels(cohort, file, pseudonyms=gathered.pseudonyms)
            cohort = validated(joined.cohort, COHORT, where=str(file))
            unmatched += joined.unmatched
            notes += joined.notes
        check_masks(cohort)
        made = Ingested(cohort, list(gathered.report), unmatched, notes)
        write_json(
            folder / REPORT,
            {
                "schema": 1,
                "layout": name,
                "rows": [asdict(row) for row in made.report],
                "unmatched": unmatched,
                "notes": notes,
            },
        )
        write_table(cohort, folder / TABLE, COHORT)
    return made


@contextmanager
def _folder(out: Path, source: Path | Remote, *, copies: bool) -> Iterator[Path]:
    """Where to write: a hidden folder beside ``out`` that takes its name at the end, or ``out`` if it holds the source.

    Raises:
        InputRefused: ``out`` is taken.
    """
    if (out / TABLE).exists():
        raise InputRefused(
            "a cohort is already here", where=str(out), action="choose another folder, or remove this one"
        )
    if out.is_dir() and not copies and isinstance(source, Path) and source.resolve().is_relative_to(out.resolve()):
        yield out
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputRefused(
            "not an empty folder", where=str(out), legal="a folder that does not exist, is empty, or holds the images"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".part-{out.name}-", dir=out.parent))
    try:
        yield part
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o777 & ~umask)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _labels_file(source: Path | Remote, labels: str | Path | None, notes: list[str]) -> Path | None:
    if labels is not None:
        return Path(labels)
    if isinstance(source, Remote):
        return None
    folder = source if source.is_dir() else source.parent
    found = next((folder / name for name in FOUND if (folder / name).is_file()), None)
    if found is not None:
        notes.append(f"labels are taken from {found.name} in the source")
    return found


def _gather(collection: Collection, source: Path, out: Path, *, workers: int, progress: Progress) -> Gathered:
    """Examine every case and turn what was found into rows."""
    from fiducial.archive import IngestRow

    cases = {case.case: case for case in collection.cases}
    mapped = map_cases(examine, cases, workers=workers, progress=progress, title="reading images")
    root = source.resolve() if source.is_dir() else source.resolve().parent
    failed = {
        f.key: Examined(refusal=Refusal(next(iter(cases[f.key].images.values()))[0], *_failed(f.error, f.message)))
        for f in mapped.failures
    }
    found: dict[str, Examined] = {key: (mapped.results | failed)[key] for key in cases}
    structures, notes = _structures(collection, found)
    if not collection.structures and any(examined.refused_masks for examined in found.values()):
        # Ten nuclei are ten values in one file and three hundred in the next: the small maps are no structures either.
        found = {key: replace(examined, masks=()) for key, examined in found.items()}
        notes = ["label maps are instance maps, by their number of values: none is taken as structures"]
    rows: list[dict[str, Any]] = []
    report = []
    for key, case in cases.items():
        examined = found[key]
        n_files = len(case.images) + len(case.masks) + len(case.raters)
        modality = "/".join(dict.fromkeys(columns["modality"] for columns in examined.images.values()))
        first = next(iter(case.images.values()))[0]
        if examined.refusal is not None:
            place = _place(examined.refusal.path or first, root)
            report.append(
                IngestRow(key, place, n_files, "", "rejected", examined.refusal.reason, examined.refusal.action)
            )
            continue
        report.append(IngestRow(key, _place(first, root), n_files, modality, "accepted"))
        report += [
            IngestRow(key, _place(refusal.path, root), 1, "", "rejected", refusal.reason, refusal.action)
            for refusal in (*examined.refused_masks, *examined.refused_raters)
        ]
        rows += _rows(case, examined, structures, out)
    report += [IngestRow("", _place(r.path, root), 1, "", "rejected", r.reason, r.action) for r in collection.refused]
    return Gathered(tuple(rows), tuple(report), collection.unmatched, (*collection.notes, *notes))


def _failed(error: str, message: str) -> tuple[str, str, str]:
    if error == "WorkerDied":
        return "worker-died", message, "give the process more memory, or fewer workers"
    return "unexpected", f"{error} {message}", "report this file's kind to the developers"


def _structures(collection: Collection, found: dict[str, Examined]) -> tuple[dict[int, str], list[str]]:
    """Structures by value: named ones and all that occur. One that a label map lacks is empty there, not unknown."""
    unlike = (mask for examined in found.values() for mask in examined.masks if mask.names is None)
    values = {v for mask in unlike for v in mask.volumes_ml}
    if not any(examined.masks for examined in found.values()):
        return {}, []
    names = dict(collection.structures)
    unnamed = sorted(values - set(names))
    note = f"values {', '.join(map(str, unnamed))} of the label maps have no name in dataset.json"
    names |= {value: f"label_{value}" for value in unnamed}
    return dict(sorted(names.items())), [note] if unnamed and collection.structures else []


def _rows(case: CaseFiles, examined: Examined, structures: dict[int, str], out: Path) -> list[dict[str, Any]]:
    """Cohort rows of a case: one for each image, and one for each label map and structure."""
    shared = {"subject": case.subject or case.case, "exam": case.case, **case.columns}
    rows = [
        {**shared, "image": image, "role": "image", "path": _path(case.images[image][0], out), **columns}
        for image, columns in examined.images.items()
    ]
    first = next(iter(examined.images))
    for mask in examined.masks:
        for value, structure in (structures if mask.names is None else mask.names).items():
            volume = round(mask.volumes_ml.get(value, 0.0), 6)
            rows.append(
                {
                    **shared,
                    "image": f"{case.case}~{structure}" + (f"~{mask.rater}" if mask.rater else ""),
                    "of": first,
                    "role": "mask",
                    "structure": structure,
                    "rater": mask.rater,
                    "mask_value": value,
                    "path": _path(mask.path, out),
                    "sha256": mask.sha256,
                    "fingerprint": json.dumps({"volume_ml": volume}),
                }
            )
    return rows


def _path(path: str, out: Path) -> str:
    """Relative where the file lies in the cohort's folder, so that the folder can be moved."""
    return str(Path(path).relative_to(out)) if Path(path).is_relative_to(out) else path


def _place(path: str, root: Path) -> str:
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path


def _nothing(gathered: Gathered, source: Path | Remote) -> InputRefused:
    first = next((row for row in gathered.report if row.status == "rejected"), None)
    reasons = f"{len(gathered.report)} set aside; the first: {first.source}: {first.reason}" if first else "none found"
    return InputRefused(
        f"no image could be used ({reasons})",
        where=str(source),
        legal="; ".join(layout.looks_like for layout in LAYOUTS.values()),
        action=first.action if first else "",
    )
