"""The phantom hospital: patients, their scans, and the DICOM archive that it would hand over."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.compute import map_cases
from fiducial.errors import CaseFailed, InputRefused
from fiducial.phantom.patients import RULE, BayesAUC, MalignancyRule, Nodule, Patient, bayes_auc, make_patients, stream
from fiducial.phantom.pet import nodule_suv, pet_dose, render_pet, weight_kg
from fiducial.phantom.render import render, scan_geometry
from fiducial.records.files import atomic_path, write_json
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from fiducial.archive.dicom.header import DicomHeader

__all__ = [
    "REPEATS",
    "RULE",
    "BayesAUC",
    "MalignancyRule",
    "Nodule",
    "Patient",
    "bayes_auc",
    "make_patients",
    "render",
    "scan_geometry",
    "write_hospital",
]

REPEATS = ("rescan", "exact", "same_person")
STRUCTURE = "nodule"
_FILES, _DATE = 1001, 1002
_PARTS = (("train", 0.6), ("validation", 0.7), ("calibration", 0.8), ("test", 1.0))


@dataclass(frozen=True)
class _Visit:
    """One visit to write: who, where, in which part of a given split, and with which series."""

    patient: Patient
    folder: Path
    split: str
    number: int
    with_pet: bool


def write_hospital(
    patients: Sequence[Patient],
    out: str | Path,
    *,
    workers: int = 0,
    progress: Progress = silent,
    repeat_across_splits: int = 0,
    repeat_as: str = "rescan",
    n_pet: int = 0,
) -> Path:
    """Scan every patient and write what a hospital would hand over: ``out/dicom/`` and ``out/labels.csv``.

    Each visit is a folder of one CT series and one RT Structure Set (structure ``nodule``) with file names that say
    nothing. ``labels.csv`` has subject (the PatientID), malignant (as recorded), sex, age, smoking, pack_years, site
    and scanner. ``out/truth.json`` says what was drawn and planted. ``out/dicom`` appears when all of it is written.

    Args:
        patients: from `make_patients`.
        out: a folder; it must not hold a ``dicom`` folder yet.
        workers: processes, 0 = one for each core.
        progress: called after each visit.
        repeat_across_splits: planted defect: that many patients stand in two parts of a given split. The labels then
            have a column ``split``: the first 60 % train, then 10 % validation, 10 % calibration, 20 % test; the
            first ``repeat_across_splits`` patients of train come a second time in test.
        repeat_as: how they come again: ``rescan`` (another PatientID, same anatomy, new noise), ``exact`` (another
            PatientID, the same voxels) or ``same_person`` (the same PatientID, a second visit with new noise, and two
            rows of labels that disagree about the split).
        n_pet: the first ``n_pet`` patients also have a PET series in Bq/ml, whose true SUV is `pet.render_pet`'s.

    Returns:
        ``out/dicom``.

    Raises:
        InputRefused: ``out/dicom`` exists, an unknown ``repeat_as``, or more repeats than patients in train.
        CaseFailed: a visit could not be written; the message names all that failed.
    """
    out = Path(out)
    final, staging = out / "dicom", out / ".part-dicom"
    if final.exists():
        raise InputRefused(f"{final} exists", action="give a new folder, or remove it first")
    visits = _visits(patients, staging, repeat_across_splits, repeat_as, n_pet)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    cases = {f"{visit.patient.subject}/{visit.number}": visit for visit in visits}
    done = map_cases(_write_visit, cases, workers=workers, progress=progress, title="scanning phantom patients")
    if done.failures:
        named = "; ".join(f"{f.key}: {f.error} {f.message}" for f in done.failures[:5])
        raise CaseFailed(f"{len(done.failures)} of {len(cases)} phantom visits could not be written: {named}")
    _write_labels(visits, out / "labels.csv", with_split=repeat_across_splits > 0)
    write_json(out / "truth.json", _truth(visits, repeat_as if repeat_across_splits else ""))
    staging.rename(final)
    return final


def _visits(patients: Sequence[Patient], folder: Path, n_repeats: int, repeat_as: str, n_pet: int) -> list[_Visit]:
    if repeat_as not in REPEATS:
        raise InputRefused(f"repeat_as={repeat_as!r}", legal=", ".join(REPEATS))
    twice = [name for name, n in Counter(p.subject for p in patients).items() if n > 1]
    if twice:
        raise InputRefused(f"subject {twice[0]} comes twice among the patients", legal="each subject once")
    visits = [_visit(p, folder, part_of(i, len(patients)), 1, i < n_pet) for i, p in enumerate(patients)]
    train = [visit.patient for visit in visits if visit.split == "train"]
    if not 0 <= n_repeats <= len(train):
        raise InputRefused(f"repeat_across_splits={n_repeats}", legal=f"0 to {len(train)}, the patients in train")
    for patient in train[:n_repeats]:
        if repeat_as == "same_person":
            visits.append(_visit(patient.rescanned(patient.subject), folder, "test", 2, False))
        else:
            twin = patient.rescanned(f"{patient.subject}-R")
            twin = twin if repeat_as == "rescan" else replace(twin, noise_draw=patient.noise_draw)
            visits.append(_visit(twin, folder, "test", 1, False))
    return visits


def part_of(position: int, n: int) -> str:
    """The part of a given split that the patient at ``position`` of n stands in: 60, 10, 10 and 20 % in order."""
    return next(part for part, until in _PARTS if position + 0.5 < until * n or part == "test")


def _visit(patient: Patient, folder: Path, split: str, number: int, with_pet: bool) -> _Visit:
    rng = stream(patient.seed, patient.index, _FILES + 100 * len(patient.subject) + number)
    return _Visit(patient, folder / rng.bytes(4).hex(), split, number, with_pet)


def header_of(patient: Patient, *, visit: int = 1) -> DicomHeader:
    """What the scanner writes into the CT's files."""
    from fiducial.archive.dicom.header import DicomHeader

    rng = stream(patient.seed, patient.index, _DATE)
    year, month, day = int(rng.integers(2021, 2025)), int(rng.integers(1, 13)), int(rng.integers(1, 28))
    hour, minute = int(rng.integers(8, 17)), int(rng.integers(0, 60))
    scanner = patient.scanner
    return DicomHeader(
        patient_id=patient.subject,
        patient_name=f"Phantom^{patient.subject}",
        birth_date=f"{year - patient.age}0101",
        sex=patient.sex,
        age_years=patient.age,
        weight_kg=weight_kg(patient),
        study_date=f"{year}{month:02d}{day + visit - 1:02d}",
        study_time=f"{hour:02d}{minute:02d}00",
        study_id=str(visit),
        study_description="Low-dose chest CT",
        series_description=f"CHEST {scanner.kernel}",
        body_part="CHEST",
        institution=f"Phantom Hospital {patient.site}",
        site=patient.site,
        manufacturer=scanner.manufacturer,
        model=scanner.name,
        station=f"{patient.site}-{scanner.name.replace(' ', '')}",
        kernel=scanner.kernel,
        kvp=120.0,
        slice_thickness_mm=scanner.slice_mm,
    )


def _write_visit(visit: _Visit) -> str:
    """Scan and write one visit; the files then lose the names that give their order away."""
    from fiducial.archive.dicom.write import write_series
    from fiducial.archive.rtstruct import write_rtstruct

    patient, folder = visit.patient, visit.folder
    header = header_of(patient, visit=visit.number)
    image, mask = render(patient)
    files = write_series(image, folder, header)
    reference = header.reference(image.geometry, image.modality)
    files.append(write_rtstruct({STRUCTURE: mask}, folder / "structures.dcm", reference=reference, header=header))
    if visit.with_pet:
        scanned = datetime.strptime(header.study_date + header.study_time, "%Y%m%d%H%M%S")
        pet = replace(header, series_number=2, series_description="PET", kernel="", pet=pet_dose(patient, scanned))
        files += write_series(render_pet(patient), folder / "pet", pet)
    _shuffle_names(
        files, folder, stream(patient.seed, patient.index, _FILES + visit.number).permutation(len(files)).tolist()
    )
    return folder.name


def _shuffle_names(files: Sequence[Path], folder: Path, order: Sequence[int]) -> None:
    for file, number in zip(files, order, strict=True):
        file.rename(folder / f"I{int(number):07d}")
    if (folder / "pet").is_dir():
        (folder / "pet").rmdir()


def _write_labels(visits: Sequence[_Visit], path: Path, *, with_split: bool) -> None:
    names = ["subject", "malignant", "sex", "age", "smoking", "pack_years", "site", "scanner"]
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names + ["split"] * with_split)
        for visit in visits:
            p = visit.patient
            row = [p.subject, p.recorded, p.sex, p.age, p.smoking, p.pack_years, p.site, p.scanner.full_name]
            writer.writerow(row + [visit.split] * with_split)


def _truth(visits: Sequence[_Visit], repeat_as: str) -> dict[str, Any]:
    """What was drawn and planted, for whoever checks that it is found."""
    repeats = [v for v in visits if v.number > 1 or v.patient.subject.endswith("-R")]
    return {
        "patients": [
            {
                "subject": v.patient.subject,
                "visit": v.number,
                "folder": v.folder.name,
                "risk": v.patient.risk,
                "malignant": v.patient.malignant,
                "recorded": v.patient.recorded,
                "nodule": asdict(v.patient.nodule),
                "nodule_suv": nodule_suv(v.patient) if v.with_pet else None,
            }
            for v in visits
        ],
        "mislabelled": [v.patient.subject for v in visits if v.patient.recorded != v.patient.malignant],
        "repeat_as": repeat_as,
        "repeats": [[v.patient.subject.removesuffix("-R"), v.patient.subject] for v in repeats],
    }
