"""One series or structure set into the cohort's folder: the work of one case, run in a worker."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fiducial.archive.decoders import DECODERS, GRIDS
from fiducial.archive.dicom.discover import SeriesFiles
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.dicom.tilt import is_sheared, straighten_mask
from fiducial.archive.drawers import DRAWERS, WORDS
from fiducial.archive.nifti import write_nifti
from fiducial.archive.pseudonym import Pseudonyms, Redactor, name_forms
from fiducial.archive.report import IngestRow, rejected
from fiducial.errors import UnreadableFile, VoxelError
from fiducial.records.image import Image

OLDEST_YEARS = 90
DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class SeriesJob:
    """A series to read, its image id, and the pseudonymous ids of its row."""

    image: str
    series: SeriesFiles
    ids: dict[str, str]


@dataclass(frozen=True)
class MaskJob:
    """An object of a kind to draw on a series whose image row is known; ``number`` counts those of one series."""

    path: Path
    kind: str
    series: SeriesFiles
    image_row: dict[str, Any]
    number: int = 1


@dataclass(frozen=True)
class MadeImage:
    """A cohort row, or None, and the report's row."""

    row: dict[str, Any] | None
    report: IngestRow


@dataclass(frozen=True)
class MadeMasks:
    """Cohort rows of the masks and the report's rows."""

    rows: tuple[dict[str, Any], ...]
    report: tuple[IngestRow, ...]


def make_image(job: SeriesJob, *, out: Path) -> MadeImage:
    """Read one series and write ``out/images/<image>.nii.gz``; a refusal becomes a report row."""
    series = job.series
    place = str(series.files[0].parent if len(series.files) > 1 else series.files[0])
    try:
        decoded = DECODERS[series.kind](series)
        image = decoded.image
        image.require_finite()
    except (UnreadableFile, VoxelError) as refusal:
        row = rejected(
            UnreadableFile(refusal.given, action=refusal.action),
            series=job.image,
            source=place,
            n_files=len(series.files),
            modality=series.modality,
        )
        return MadeImage(None, row)
    file = f"images/{job.image}.nii.gz"
    write_nifti(image, out / file)
    row_values = {
        **job.ids,
        "image": job.image,
        "role": "image",
        "path": file,
        "modality": image.modality,
        "unit": image.unit,
        **attributes(series.headers[0]),
        **series.columns,
        **decoded.columns,
    }
    report = IngestRow(job.image, place, len(series.files), series.modality, "accepted")
    repairs = (*series.repairs, *decoded.repairs)
    if repairs:
        report = replace(report, status="repaired", reason="; ".join(repairs), action="nothing")
    return MadeImage(row_values, report)


def make_masks(job: MaskJob, *, out: Path) -> MadeMasks:
    """Draw one object and write one mask file for each structure; refused structures become report rows."""
    image = str(job.image_row["image"])
    place, word = str(job.path), WORDS[job.kind]
    try:
        reference = GRIDS[job.series.kind](job.series)
        structures = DRAWERS[job.kind](job.path, reference)
    except UnreadableFile as refusal:
        bare = UnreadableFile(refusal.given, action=refusal.action)
        return MadeMasks((), (rejected(bare, series=image, source=place, modality=word),))
    rows, report, taken = [], [], set[str]()
    redact = Redactor(identifiers(job.series.headers[0], "patient"))
    for structure in structures:
        # A name is free text of the person who drew: it may hold the patient's.
        name = redact(structure.name)
        mask_id = _unique(f"{image}-{slug(name)}" + ("" if job.number == 1 else f"-{job.number}"), taken)
        if structure.mask is None:
            if structure.refusal is not None:
                report.append(rejected(structure.refusal, series=mask_id, source=place, modality=word))
            continue
        file = f"masks/{mask_id}.nii.gz"
        mask, geometry = structure.mask, reference.geometry
        if is_sheared(geometry):
            # The image was resampled, and its masks with it.
            mask, geometry = straighten_mask(mask, geometry)
        write_nifti(Image(mask[None], geometry), out / file)
        own = {
            "image": mask_id,
            "of": image,
            "role": "mask",
            "structure": name,
            "mask_value": 1,
            "code": redact(structure.code),
            "rater": redact(structure.rater),
            "path": file,
            "modality": word,
            "unit": "",
        }
        rows.append(job.image_row | own)
        line = IngestRow(mask_id, place, 1, word, "accepted")
        if structure.repairs:
            line = replace(line, status="repaired", reason="; ".join(structure.repairs), action="nothing")
        report.append(line)
    return MadeMasks(tuple(rows), tuple(report))


def place_of(header: FileHeader, names: Pseudonyms) -> tuple[str, str]:
    """Subject and site of a file, as the cohort names them; "" where the header says none."""
    subject = names.subject(header.text("PatientID")) if header.text("PatientID") else ""
    return subject, header.text("ClinicalTrialSiteID") or names.of("hospital", header.text("InstitutionName"))


def image_id(series: SeriesFiles, names: Pseudonyms) -> str:
    """The id of a series' image in the cohort: subject, modality, series and, where there are several images, part."""
    subject, _ = place_of(series.headers[0], names)
    parts = (subject, series.modality.lower(), names.of("series", series.series_uid), series.part)
    return "-".join(part for part in parts if part)


def identifiers(header: FileHeader, replacement: str) -> dict[str, str]:
    """What may stand for the person in a free text or a path, and what replaces it."""
    forms = (*name_forms(header.text("PatientName")), header.text("PatientID"))
    return {form: replacement for form in forms if form}


def slug(name: str) -> str:
    """A structure's name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "structure"


def _unique(name: str, taken: set[str]) -> str:
    """``name``, or with a number where structures differ only in letters a file name does not keep."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    taken.add(candidate)
    return candidate


def attributes(header: FileHeader) -> dict[str, Any]:
    """Plain attributes of patient and scanner; free text, names and dates stay out."""
    sex = header.text("PatientSex").upper()
    kernel = header.words("ConvolutionKernel")
    maker, model = header.text("Manufacturer"), header.text("ManufacturerModelName")
    return {
        "sex": sex if sex in ("M", "F", "O") else "",
        "age": age_years(header),
        "manufacturer": maker,
        "scanner": f"{maker} {model}".strip(),
        "kernel": "/".join(kernel),
        "kvp": _number(header, "KVP"),
        "field_t": _number(header, "MagneticFieldStrength"),
        "slice_thickness_mm": _number(header, "SliceThickness"),
        "lossy": "yes" if header.text("LossyImageCompression") == "01" else "no",
    }


def _number(header: FileHeader, keyword: str) -> float:
    value = header.number(keyword)
    return np.nan if value is None else value


def age_years(header: FileHeader) -> float:
    """Age in years from PatientAge (``061Y``, ``18M``, weeks, days), else birth date and study date; NaN if neither.

    Ages of 90 and more are given as 90: the few people of such an age could be told by it.
    """
    text = header.text("PatientAge").upper()
    match = re.fullmatch(r"(\d{1,3})([YMWD])", text)
    if match:
        years = int(match[1]) / {"Y": 1.0, "M": 12.0, "W": DAYS_A_YEAR / 7, "D": DAYS_A_YEAR}[match[2]]
    else:
        years = years_between(header.text("PatientBirthDate"), header.text("StudyDate"))
    return float(min(years, OLDEST_YEARS)) if years >= 0 else np.nan


def years_between(birth: str, study: str) -> float:
    """Whole years between two dates YYYYMMDD; NaN where one is malformed."""
    if not (re.fullmatch(r"\d{8}", birth) and re.fullmatch(r"\d{8}", study)):
        return float("nan")
    years = int(study[:4]) - int(birth[:4]) - (study[4:] < birth[4:])
    return float(years)
