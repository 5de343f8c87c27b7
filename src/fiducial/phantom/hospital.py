"""The phantom hospital: patients, their scans, and the DICOM archive that it would hand over."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.compute import map_cases
from fiducial.errors import CaseFailed, InputRefused
from fiducial.phantom.patients import RULE, BayesAUC, MalignancyRule, Nodule, Patient, bayes_auc, make_patients, stream
from fiducial.phantom.pet import nodule_suv, pet_dose, render_pet, weight_kg
from fiducial.phantom.planted import PLANTED, Scan, write_scan
from fiducial.phantom.render import render, scan_geometry
from fiducial.records.files import atomic_path, write_json
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    from fiducial.archive.dicom.header import DicomHeader

__all__ = [
    "PLANTED",
    "REPEATS",
    "RULE",
    "BayesAUC",
    "MalignancyRule",
    "Nodule",
    "Patient",
    "Planting",
    "bayes_auc",
    "make_patients",
    "render",
    "scan_geometry",
    "write_hospital",
]

REPEATS = ("rescan", "exact", "same_person")
_FILES, _DATE, _RETURN = 1001, 1002, 1003
RETURN_DAYS = (90, 400)
DOUBLING_DAYS = 150.0
"""In so many days a malignant nodule doubles its volume; a benign one stays as it is."""
_PARTS = (("train", 0.6), ("validation", 0.7), ("calibration", 0.8), ("test", 1.0))


@dataclass(frozen=True)
class Planting:
    """What a phantom archive holds beside one plain scan of each patient.

    ``repeat_across_splits``: that many patients stand in two parts of a given split. The labels then have a column
    ``split``: the first 60 % train, then 10 % validation, 10 % calibration, 20 % test; the first so many patients of
    train come a second time in test. ``repeat_as`` says how: ``rescan`` (another PatientID, same anatomy, new
    noise), ``exact`` (another PatientID, the same voxels) or ``same_person`` (the same PatientID, a second visit
    with new noise, and two rows of labels that disagree about the split).

    ``n_pet``: the first so many patients also have a PET series in Bq/ml, whose true SUV is `pet.render_pet`'s.

    ``n_second_visits``: the first so many patients come again under the same PatientID after 90 to 400 days; a
    malignant nodule has doubled its volume every 150 days, a benign one has not changed.

    ``kinds``: how many patients have a first visit with each peculiarity of `PLANTED` (``{"gap": 2, "tilt": 1}``);
    they are taken from the end of the patients, in the order given.
    """

    repeat_across_splits: int = 0
    repeat_as: str = "rescan"
    n_pet: int = 0
    n_second_visits: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Visit:
    """One visit to write: who, where, in which part of a given split, with which series and which peculiarity.

    ``days`` have passed since the patient's first visit.
    """

    patient: Patient
    folder: Path
    split: str
    number: int
    with_pet: bool
    days: int = 0
    planted: str = ""


def write_hospital(
    patients: Sequence[Patient],
    out: str | Path,
    *,
    workers: int = 0,
    progress: Progress = silent,
    planting: Planting = Planting(),
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
        planting: what is planted beside plain scans.

    Returns:
        ``out/dicom``.

    Raises:
        InputRefused: ``out/dicom`` exists, an unknown ``repeat_as`` or peculiarity, or more repeats than patients in
            train, more peculiarities or second visits than patients.
        CaseFailed: a visit could not be written; the message names all that failed.
    """
    out = Path(out)
    final, staging = out / "dicom", out / ".part-dicom"
    if final.exists():
        raise InputRefused(f"{final} exists", action="give a new folder, or remove it first")
    visits = _visits(patients, staging, planting)
    visits = _planted(visits, planting.kinds, len(patients))
    visits += _second_visits(visits, staging, planting.n_second_visits, len(patients))
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    cases = {f"{visit.patient.subject}/{visit.number}": visit for visit in visits}
    done = map_cases(_write_visit, cases, workers=workers, progress=progress, title="scanning phantom patients")
    if done.failures:
        named = "; ".join(f"{f.key}: {f.error} {f.message}" for f in done.failures[:5])
        raise CaseFailed(f"{len(done.failures)} of {len(cases)} phantom visits could not be written: {named}")
    _write_labels(visits, out / "labels.csv", with_split=planting.repeat_across_splits > 0)
    write_json(out / "truth.json", _truth(visits, planting.repeat_as if planting.repeat_across_splits else ""))
    staging.rename(final)
    return final


def _visits(patients: Sequence[Patient], folder: Path, planting: Planting) -> list[_Visit]:
    n_repeats, repeat_as = planting.repeat_across_splits, planting.repeat_as
    if repeat_as not in REPEATS:
        raise InputRefused(f"repeat_as={repeat_as!r}", legal=", ".join(REPEATS))
    twice = [name for name, n in Counter(p.subject for p in patients).items() if n > 1]
    if twice:
        raise InputRefused(f"subject {twice[0]} comes twice among the patients", legal="each subject once")
    visits = [_visit(p, folder, part_of(i, len(patients)), 1, i < planting.n_pet) for i, p in enumerate(patients)]
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


def _planted(visits: list[_Visit], wanted: Mapping[str, int], n_patients: int) -> list[_Visit]:
    """Give the last patients their peculiarities."""
    unknown = sorted(set(wanted) - set(PLANTED))
    names = [name for name, n in wanted.items() for _ in range(n)]
    if unknown or len(names) > n_patients or any(n < 0 for n in wanted.values()):
        raise InputRefused(
            f"kinds={dict(wanted)} for {n_patients} patients",
            legal=f"counts of 0 or more, together at most one for each patient, of {', '.join(PLANTED)}",
        )
    first = n_patients - len(names)
    return [
        replace(visit, planted=names[i - first]) if first <= i < n_patients else visit for i, visit in enumerate(visits)
    ]


def _second_visits(visits: list[_Visit], folder: Path, n: int, n_patients: int) -> list[_Visit]:
    if not 0 <= n <= n_patients:
        raise InputRefused(f"n_second_visits={n}", legal=f"0 to {n_patients}, the patients")
    second = []
    for visit in visits[:n]:
        patient = visit.patient
        days = int(stream(patient.seed, patient.index, _RETURN).integers(*RETURN_DAYS))
        grown = _grown(patient.rescanned(patient.subject), days)
        second.append(replace(_visit(grown, folder, visit.split, 2, False), days=days))
    return second


def _grown(patient: Patient, days: int) -> Patient:
    """The patient ``days`` later: three doublings of the volume double the diameter."""
    growth = 2.0 ** (days / DOUBLING_DAYS / 3.0) if patient.malignant else 1.0
    return replace(patient, nodule=replace(patient.nodule, diameter_mm=patient.nodule.diameter_mm * growth))


def part_of(position: int, n: int) -> str:
    """The part of a given split that the patient at ``position`` of n stands in: 60, 10, 10 and 20 % in order."""
    return next(part for part, until in _PARTS if position + 0.5 < until * n or part == "test")


def _visit(patient: Patient, folder: Path, split: str, number: int, with_pet: bool) -> _Visit:
    rng = stream(patient.seed, patient.index, _FILES + 100 * len(patient.subject) + number)
    return _Visit(patient, folder / rng.bytes(4).hex(), split, number, with_pet)


def header_of(patient: Patient, *, visit: int = 1, days: int | None = None) -> DicomHeader:
    """What the scanner writes into the CT's files at a visit so many days (default: one a visit) after the first."""
    from fiducial.archive.dicom.header import DicomHeader

    rng = stream(patient.seed, patient.index, _DATE)
    year, month, day = int(rng.integers(2021, 2025)), int(rng.integers(1, 13)), int(rng.integers(1, 28))
    hour, minute = int(rng.integers(8, 17)), int(rng.integers(0, 60))
    scanner = patient.scanner
    day_of_visit = datetime(year, month, day) + timedelta(days=visit - 1 if days is None else days)
    return DicomHeader(
        patient_id=patient.subject,
        patient_name=f"Phantom^{patient.subject}",
        birth_date=f"{year - patient.age}0101",
        sex=patient.sex,
        age_years=patient.age,
        weight_kg=weight_kg(patient),
        study_date=day_of_visit.strftime("%Y%m%d"),
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

    patient, folder = visit.patient, visit.folder
    header = header_of(patient, visit=visit.number, days=visit.days or None)
    scan = Scan(patient, header, *render(patient), folder)
    files = PLANTED[visit.planted].write(scan) if visit.planted else write_scan(scan)
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
            if visit.days:
                continue  # the first visit's row holds for the person
            p = visit.patient
            row = [p.subject, p.recorded, p.sex, p.age, p.smoking, p.pack_years, p.site, p.scanner.full_name]
            writer.writerow(row + [visit.split] * with_split)


def _truth(visits: Sequence[_Visit], repeat_as: str) -> dict[str, Any]:
    """What was drawn and planted, for whoever checks that it is found."""
    repeats = [v for v in visits if (v.number > 1 and not v.days) or v.patient.subject.endswith("-R")]
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
                "days": v.days,
                "planted": v.planted,
                "must_answer": _answer(v.planted),
            }
            for v in visits
        ],
        "mislabelled": [v.patient.subject for v in visits if v.patient.recorded != v.patient.malignant],
        "repeat_as": repeat_as,
        "repeats": [[v.patient.subject.removesuffix("-R"), v.patient.subject] for v in repeats],
    }


def _answer(planted: str) -> dict[str, str] | None:
    """What a reader of the archive must say of the series that a peculiarity changes."""
    if not planted:
        return None
    said = PLANTED[planted]
    return {"modality": said.modality, "status": said.status, "code": said.code}
