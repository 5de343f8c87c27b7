"""The factors from a PET series' stored unit to SUV by body weight, or a refusal: SUV is never guessed.

SUV body weight in g/ml = activity concentration in Bq/ml · weight in g / activity in Bq at the time that the voxels
refer to (PS3.3 C.8.9.1; QIBA FDG-PET profile, vendor-neutral computation). SUV by lean body mass and by body surface
are the same image times a number, which stands in the cohort row (`suv_variants`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiducial.archive.dicom.clocks import acquisition, injection, mean_count_time_s, scan_start
from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.refusal import refuse

WEIGHT_KG = (0.3, 500.0)
HEIGHT_M = (0.2, 2.7)
DOSE_BQ = (1e4, 1e11)
HALF_LIFE_S = (60.0, 1e7)
MAX_HALF_LIVES = 12.0
SERIES_TYPES = ("STATIC", "WHOLE BODY", "DYNAMIC", "GATED")
# SUVType (PS3.3 C.8.9.1) whose formula is certain: the variant that its voxels are.
SUV_TYPES = {"LBMJAMES128": "suv_lbm_james_per_bw", "LBMJANMA": "suv_lbm_per_bw", "BSA": "suv_bsa_per_bw"}


@dataclass(frozen=True)
class SuvScaling:
    """What the rescaled voxels of each slice are multiplied with [n]; what was mended; columns of the cohort row."""

    factors: NDArray[np.float64]
    repairs: tuple[str, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)


def suv_factor(headers: tuple[FileHeader, ...]) -> float:
    """The one number that rescaled voxels of all slices are multiplied with to give SUV body weight in g/ml.

    Raises:
        UnreadableFile: a ``pet-`` or ``suv-`` refusal; ``suv-values`` where every slice has a factor of its own.
    """
    factors = suv_scaling(headers).factors
    if (factors != factors[0]).any():
        raise refuse("suv-values", "slices with factors of their own")
    return float(factors[0])


def suv_scaling(headers: tuple[FileHeader, ...]) -> SuvScaling:
    """Factors to SUV body weight for each slice: 1 for GML, the vendor's for CNTS, weight / decayed dose for BQML.

    Raises:
        UnreadableFile: a ``pet-`` or ``suv-`` refusal.
    """
    units = _single(headers, "Units", "pet-units")
    kinds = {h.words("SeriesType")[:1] for h in headers} - {()}
    if any(kind[0] not in SERIES_TYPES for kind in kinds):
        raise refuse("pet-series-type", ", ".join(sorted(kind[0] for kind in kinds)))
    variants = suv_variants(headers[0])
    if units in ("GML", "CM2ML"):
        factor, repairs = _already(headers, units, variants)
        return SuvScaling(np.full(len(headers), factor), repairs, variants)
    if units == "CNTS":
        vendor = np.array([h.number("PhilipsSUVFactor") or 0.0 for h in headers])
        if (vendor > 0).all():
            return SuvScaling(vendor, ("suv-vendor: counts times the scanner's private SUV factor",), variants)
        activity = np.array([h.number("PhilipsActivityFactor") or 0.0 for h in headers])
        if not (activity > 0).all():
            raise refuse("pet-units", "CNTS without the scanner's private SUV or activity factor")
        per_bq, repairs = _per_becquerel(headers)
        said = "suv-vendor: counts times the scanner's private activity factor"
        return SuvScaling(activity * per_bq, (said, *repairs), variants)
    if units != "BQML":
        raise refuse("pet-units", units or "no Units")
    per_bq, repairs = _per_becquerel(headers)
    return SuvScaling(per_bq, repairs, variants)


def suv_variants(header: FileHeader) -> dict[str, float]:
    """SUV by lean body mass or body surface, over SUV by body weight: multiply the image by these numbers.

    ``suv_lbm_per_bw`` (Janmahasatian 2005), ``suv_lbm_james_per_bw`` (James 1976 with 128 for men) and
    ``suv_bsa_per_bw`` (Du Bois 1916; in cm2/ml over g/ml). NaN where weight, height or a sex of M or F is absent.
    """
    weight_kg, height_m = header.number("PatientWeight") or 0.0, header.number("PatientSize") or 0.0
    sex = header.text("PatientSex").upper()
    sized = WEIGHT_KG[0] <= weight_kg <= WEIGHT_KG[1] and HEIGHT_M[0] <= height_m <= HEIGHT_M[1]
    absent = math.nan
    lean = sized and sex in ("M", "F")
    return {
        "suv_lbm_per_bw": lean_janmahasatian_kg(weight_kg, height_m, sex) / weight_kg if lean else absent,
        "suv_lbm_james_per_bw": lean_james_kg(weight_kg, height_m, sex) / weight_kg if lean else absent,
        "suv_bsa_per_bw": surface_m2(weight_kg, height_m) * 1e4 / (weight_kg * 1e3) if sized else absent,
    }


def lean_janmahasatian_kg(weight_kg: float, height_m: float, sex: str) -> float:
    """Lean body mass: 9270 W / (6680 + 216 BMI) for men, 9270 W / (8780 + 244 BMI) for women.

    Janmahasatian et al., Clin Pharmacokinet 2005;44:1051-65.
    """
    bmi = weight_kg / height_m**2
    base, slope = (6680.0, 216.0) if sex == "M" else (8780.0, 244.0)
    return 9270.0 * weight_kg / (base + slope * bmi)


def lean_james_kg(weight_kg: float, height_m: float, sex: str) -> float:
    """Lean body mass: 1.10 W - 128 (W / H)^2 for men, 1.07 W - 148 (W / H)^2 for women, H in cm (James 1976)."""
    a, b = (1.10, 128.0) if sex == "M" else (1.07, 148.0)
    return a * weight_kg - b * (weight_kg / (height_m * 100.0)) ** 2


def surface_m2(weight_kg: float, height_m: float) -> float:
    """Body surface: 0.007184 W^0.425 H^0.725, H in cm (Du Bois and Du Bois, Arch Intern Med 1916;17:863-71)."""
    return float(0.007184 * weight_kg**0.425 * (height_m * 100.0) ** 0.725)


def _already(headers: tuple[FileHeader, ...], units: str, variants: dict[str, float]) -> tuple[float, tuple[str, ...]]:
    """The factor of voxels that are SUV: 1 by body weight, else back from another kind whose formula is certain."""
    suv_type = _single(headers, "SUVType", "pet-suv-type")
    # PS3.3 C.8.9.1: absent with Units GML means body weight.
    if units == "GML" and suv_type in ("", "BW"):
        return 1.0, ()
    if (units == "CM2ML") != (suv_type == "BSA") or suv_type not in SUV_TYPES:
        raise refuse("pet-suv-type", suv_type or f"none, with Units {units}")
    ratio = variants[SUV_TYPES[suv_type]]
    if math.isnan(ratio) or ratio <= 0:
        raise refuse(
            "suv-tags-missing", f"PatientWeight, PatientSize or PatientSex, to come from {suv_type} to body weight"
        )
    return 1.0 / ratio, (f"suv-type: SUV by {suv_type} turned into SUV by body weight",)


def _per_becquerel(headers: tuple[FileHeader, ...]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """SUV of one Bq/ml in each slice."""
    corrections = set(headers[0].words("CorrectedImage"))
    for header in headers:
        corrections &= set(header.words("CorrectedImage"))
    decay = _single(headers, "DecayCorrection", "pet-decay-correction")
    if decay not in ("START", "ADMIN", "NONE"):
        raise refuse("pet-decay-correction", decay or "no DecayCorrection")
    if "DECY" in corrections and decay == "NONE":
        raise refuse("pet-decay-correction", "NONE, although CorrectedImage says DECY")
    lacking = ({"ATTN"} if decay == "NONE" else {"ATTN", "DECY"}) - corrections
    if lacking:
        raise refuse("pet-not-corrected", f"CorrectedImage without {', '.join(sorted(lacking))}")
    weight_kg, dose_bq, half_life_s, dose = _quantities(headers)
    grams = weight_kg * 1000.0
    if decay == "ADMIN":
        return np.full(len(headers), grams / dose_bq), ()
    if decay == "NONE":
        return _not_decayed(headers, grams / dose_bq, half_life_s, dose)
    scanned, repairs = scan_start(headers, half_life_s)
    injected, more = injection(headers, dose, scanned)
    elapsed_s = _elapsed((scanned - injected).total_seconds(), half_life_s)
    return np.full(len(headers), grams / (dose_bq * 2.0 ** (-elapsed_s / half_life_s))), (*repairs, *more)


def _not_decayed(
    headers: tuple[FileHeader, ...], per_bq: float, half_life_s: float, dose: dict[str, Any]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Each slice shows the activity at its own time: the dose decays until the mean count time of its frame."""
    factors = []
    notes: dict[str, None] = {}
    for header in headers:
        began, duration_ms = acquisition(header), header.number("ActualFrameDuration")
        if began is None or duration_ms is None:
            raise refuse("suv-tags-missing", "AcquisitionDate, AcquisitionTime, ActualFrameDuration")
        injected, more = injection(headers, dose, began)
        notes.update(dict.fromkeys(more))
        elapsed_s = (began - injected).total_seconds() + mean_count_time_s(duration_ms / 1000.0, half_life_s)
        factors.append(per_bq * 2.0 ** (_elapsed(elapsed_s, half_life_s) / half_life_s))
    return np.array(factors), ("suv-decay: slices, not corrected for decay, brought to the time of injection", *notes)


def _elapsed(elapsed_s: float, half_life_s: float) -> float:
    if not 0 <= elapsed_s <= MAX_HALF_LIVES * half_life_s:
        raise refuse("suv-times", f"the scan starts {elapsed_s / 3600:.3g} h after the injection")
    return elapsed_s


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
