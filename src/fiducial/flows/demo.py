"""``fiducial demo``: the whole way once, on the phantom hospital, whose truth is known."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fiducial.errors import InputRefused
from fiducial.flows.audit import audit
from fiducial.flows.check import check
from fiducial.flows.ingest import ingest
from fiducial.flows.report import report, report_input
from fiducial.flows.run import run
from fiducial.records.progress import Progress, silent

MARK = "demo.json"
STUDIES = ("nodule-segmentation", "nodule-malignancy")
VENDOR = "vendor-study"
N_VENDOR = 2000
LEAD = (
    "Patients who do not exist, scanned by scanners that do not exist: everything below was made by one command, and "
    "what is true of it is known. Each card leads to a report that needs no network."
)


@dataclass(frozen=True)
class DemoPart:
    """One report of the demo: its title, its HTML file and the verdicts on its criteria."""

    title: str
    report: Path
    verdicts: dict[str, int]


@dataclass(frozen=True)
class Demo:
    """What the demo made: an index page, its reports, and all verdicts together."""

    index: Path
    parts: tuple[DemoPart, ...]
    verdicts: dict[str, int]


def demo(
    out: str | Path = "demo",
    *,
    n_patients: int = 60,
    n_vendor: int = N_VENDOR,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
) -> Demo:
    """Write the phantom hospital's archive, ingest and check it, run two studies, audit a vendor, link the reports.

    Args:
        out: The folder to write; a folder of an earlier demo is replaced, any other must be empty.
        n_patients: Patients of the phantom hospital.
        n_vendor: Patients in the phantom vendor's table.
        seed: Seed of hospital and vendor; training takes the studies' own.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: ``out`` holds something that is not a demo.
    """
    out = _cleared(Path(out), seed=seed, n_patients=n_patients)
    _hospital(out, n_patients, seed, progress)
    folders = []
    for name in STUDIES:
        study = _study_file(out, name)
        check(study, progress=_named(progress, name))
        run(study, out / "runs" / name, device=device, progress=_named(progress, name))
        folders.append(out / "runs" / name)
    folders.append(_vendor(out, n_vendor, seed, progress))
    return _index(out, folders, n_patients)


def _cleared(out: Path, **facts: int) -> Path:
    """An empty folder with the demo's mark in it."""
    from fiducial.records.files import write_json

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / MARK).is_file():
            raise InputRefused(
                "the folder is not empty",
                where=str(out),
                legal="a new folder, or one of an earlier demo",
                action="--out DIR",
            )
        shutil.rmtree(out)
    write_json(out / MARK, facts)
    return out


def _hospital(out: Path, n_patients: int, seed: int, progress: Progress) -> None:
    """The DICOM archive with its labels, and the cohort made from it."""
    from fiducial.flows.about import write_about
    from fiducial.phantom.hospital import make_patients, write_hospital

    write_hospital(make_patients(n_patients, seed=seed), out / "hospital", progress=progress)
    ingest(out / "hospital" / "dicom", out / "cohort", labels=out / "hospital" / "labels.csv", progress=progress)
    write_about(out / "cohort", name=f"phantom hospital, {n_patients} patients", phantom=True)


def _vendor(out: Path, n_subjects: int, seed: int, progress: Progress) -> Path:
    """A phantom vendor's table, audited against the study of its buyer."""
    from fiducial.phantom.vendor import vendor_table
    from fiducial.records.files import atomic_path
    from fiducial.records.runs import seal

    table, _ = vendor_table(n_subjects, seed=seed)
    folder = out / "vendor"
    with atomic_path(folder / "predictions.csv") as part:
        table.to_csv(part, index=False)
    study = _study_file(out, VENDOR)
    audit(folder / "predictions.csv", folder / "audit", study=study, progress=_named(progress, "vendor"))
    seal(folder / "audit", phantom=True, data_name=f"phantom vendor, {n_subjects:,} patients")
    report(folder / "audit", progress=_named(progress, "vendor"))
    return folder / "audit"


def _study_file(out: Path, name: str) -> Path:
    """A shipped study file, written beside the cohort that it names."""
    from fiducial.phantom.studies import study_text
    from fiducial.records.files import write_text

    write_text(out / f"{name}.toml", study_text(name))
    return out / f"{name}.toml"


def _index(out: Path, folders: list[Path], n_patients: int) -> Demo:
    """The page that links the reports."""
    from fiducial.records.files import write_text
    from fiducial.report import index_entry, index_page

    entries, parts = [], []
    for folder in folders:
        given = report_input(folder)
        entry = index_entry(given, os.path.relpath(folder / "report.html", out).replace(os.sep, "/"))
        entries.append(entry)
        criteria = given.evidence[given.evidence["check"] == "acceptance"]
        parts.append(DemoPart(given.title, folder / "report.html", dict(Counter(criteria["verdict"]))))
    page = index_page(entries, title=f"Fiducial demo: {n_patients} phantom patients and a vendor", lead=LEAD)
    write_text(out / "index.html", page)
    verdicts: Counter[str] = Counter()
    for part in parts:
        verdicts.update(part.verdicts)
    return Demo(index=(out / "index.html").resolve(), parts=tuple(parts), verdicts=dict(verdicts))


def _named(progress: Progress, name: str) -> Progress:
    """Progress whose titles say which study they belong to."""

    def named(title: str, n_done: int, n_total: int) -> None:
        progress(f"{name}: {title}", n_done, n_total)

    return named
