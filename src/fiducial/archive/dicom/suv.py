"""The factor from a PET series' stored unit to SUV by body weight, or a refusal: SUV is never guessed.

SUV body weight in g/ml = activity concentration in Bq/ml · weight in g / activity in Bq at the time that the voxels
refer to (PS3.3 C.8.9.1; QIBA FDG-PET profile, vendor-neutral computation, happy path only).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.refusal import refuse

WEIGHT_KG = (0.3, 500.0)
DOSE_BQ = (1e4, 1e11)
HALF_LIFE_S = (60.0, 1e7)
MAX_HALF_LIVES = 12.0
CLOCK_TOLERANCE = timedelta(seconds=1)


def suv_factor(headers: tuple[FileHeader, ...]) -> float:
    """What a rescaled voxel is multiplied with to give SUV body weight in g/ml; 1 where Units are already GML.

    Raises:
        UnreadableFile: a ``pet-`` or ``suv-`` refusal.
    """
    units = _single(headers, "Units", "pet-units")
    series_type = {h.words("SeriesType")[:1] for h in headers}
    if any(kind and kind[0] not in ("STATIC", "WHOLE BODY") for kind in series_type):
        raise refuse("pet-series-type", ", ".join(sorted(kind[0] for kind in series_type if kind)))
    if units == "GML":
        suv_type = _single(headers, "SUVType", "pet-suv-type")
        # PS3.3 C.8.9.1: absent with Units GML means body weight.
        if suv_type not in ("", "BW"):
            raise refuse("pet-suv-type", suv_type)
        return 1.0
    if units != "BQML":
        raise refuse("pet-units", units or "no Units")
    corrections = set(headers[0].words("CorrectedImage"))
    for header in headers:
        corrections &= set(header.words("CorrectedImage"))
    lacking = {"ATTN", "DECY"} - corrections
    if lacking:
        raise refuse("pet-not-corrected", f"CorrectedImage without {', '.join(sorted(lacking))}")
    decay = _single(headers, "DecayCorrection", "pet-decay-correction")
    if decay not in ("START", "ADMIN"):
        raise refuse("pet-decay-correction", decay or "no DecayCorrection")
    weight_kg, dose_bq, half_life_s, dose = _quantities(headers)
    if decay == "START":
        elapsed_s = _elapsed_s(headers, dose)
        if not 0 <= elapsed_s <= MAX_HALF_LIVES * half_life_s:
            raise refuse("suv-times", f"the scan starts {elapsed_s / 3600:.3g} h after the injection")
        dose_bq *= 2.0 ** (-elapsed_s / half_life_s)
    return weight_kg * 1000.0 / dose_bq


def _single(headers: tuple[FileHeader, ...], keyword: str, code: str) -> str:
    """A text that all slices share (closed vocabularies only, so that it may be shown)."""
    values = {header.text(keyword).upper() for header in headers}
    if len(values) > 1:
        raise refuse(code, f"{keyword} differs within the series: {', '.join(sorted(v or 'absent' for v in values))}")
    return values.pop()


def _quantities(headers: tuple[FileHeader, ...]) -> tuple[float, float, float, dict[str, Any]]:
    """Weight in kg, administered dose in Bq, half-life in s, and the dose item, each the same in all slices."""
    first = headers[0]
    if any(h.doses != first.doses or h.number("PatientWeight") != first.number("PatientWeight") for h in headers):
        raise refuse("suv-values", "weight or dose differs within the series")
    if len(first.doses) > 1:
        raise refuse("suv-values", f"{len(first.doses)} radiopharmaceuticals")
    dose = first.doses[0] if first.doses else {}
    given = {
        "PatientWeight": first.number("PatientWeight"),
        "RadionuclideTotalDose": dose.get("RadionuclideTotalDose"),
        "RadionuclideHalfLife": dose.get("RadionuclideHalfLife"),
    }
    absent = [keyword for keyword, value in given.items() if not value]
    if absent:
        raise refuse("suv-tags-missing", ", ".join(absent))
    for (keyword, value), (low, high) in zip(given.items(), (WEIGHT_KG, DOSE_BQ, HALF_LIFE_S), strict=True):
        if value is None or not low <= value <= high:
            raise refuse("suv-values", f"{keyword} outside {low:g} to {high:g}")
    weight_kg, dose_bq, half_life_s = (float(value or 0) for value in given.values())
    return weight_kg, dose_bq, half_life_s, dose


def _elapsed_s(headers: tuple[FileHeader, ...], dose: dict[str, Any]) -> float:
    """Seconds from injection to the series' start, to which a START-corrected series refers."""
    first = headers[0]
    scanned = _moment(first.text("SeriesDate"), first.text("SeriesTime"))
    if len({(h.text("SeriesDate"), h.text("SeriesTime")) for h in headers}) > 1:
        raise refuse("suv-times", "series date or time differs within the series")
    if scanned is None:
        raise refuse("suv-tags-missing", "SeriesDate, SeriesTime")
    for header in headers:
        acquired = _moment(header.text("AcquisitionDate"), header.text("AcquisitionTime"))
        if acquired is not None and acquired < scanned - CLOCK_TOLERANCE:
            # A reprocessed series carries the time of its processing: then nothing says what the voxels refer to.
            raise refuse("suv-times", "SeriesTime is later than AcquisitionTime")
    stated = dose.get("RadiopharmaceuticalStartDateTime", "")
    zone = stated[-5:] if len(stated) > 5 and stated[-5] in "+-" else ""
    if zone:
        stated = stated[:-5]
        if first.text("TimezoneOffsetFromUTC") not in ("", zone):
            scanned -= _offset(first.text("TimezoneOffsetFromUTC")) - _offset(zone)
    injected = _moment(stated[:8], stated[8:])
    if injected is None:
        injected = _moment(first.text("SeriesDate"), dose.get("RadiopharmaceuticalStartTime", ""))
    if injected is None:
        raise refuse("suv-tags-missing", "RadiopharmaceuticalStartDateTime or RadiopharmaceuticalStartTime")
    return (scanned - injected).total_seconds()


def _moment(date: str, time: str) -> datetime | None:
    """A DICOM date and time (YYYYMMDD; HHMMSS.FFFFFF, HHMMSS or HHMM); None where either is absent or malformed."""
    whole, _, fraction = time.partition(".")
    if len(date) != 8 or len(whole) not in (4, 6) or not (date + whole).isdigit():
        return None
    try:
        moment = datetime.strptime(date + whole.ljust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return moment + timedelta(seconds=float("0." + fraction)) if fraction.isdigit() else moment


def _offset(zone: str) -> timedelta:
    """A UTC offset such as +0130."""
    sign = -1 if zone.startswith("-") else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
