"""PET: Bq/ml becomes SUV by body weight once, SUV stays SUV, anything unclear is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from fiducial.archive.dicom import DicomHeader, PetDose, find_series, read_dicom, write_series
from fiducial.archive.dicom.suv import suv_factor
from fiducial.errors import UnreadableFile
from fiducial.records.image import Image


def test_factor_by_hand(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    """80 kg, 400 MBq, one half-life from injection to scan: SUV = Bq/ml * 80,000 g / 200 MBq = Bq/ml * 0.0004."""

    def simple(dataset: pydicom.Dataset, index: int) -> None:
        dataset.PatientWeight = "80"
        item = dataset.RadiopharmaceuticalInformationSequence[0]
        item.RadionuclideTotalDose, item.RadionuclideHalfLife = "400000000", "3600"
        item.RadiopharmaceuticalStartDateTime = "20240511090000"
        dataset.SeriesTime = dataset.AcquisitionTime = "100000"

    make_pet(tmp_path, simple)
    assert suv_factor(find_series(tmp_path)[0].headers) == pytest.approx(0.0004, rel=1e-12)


def test_uniform_distribution_of_the_dose_has_suv_one(ct: Image, dose: PetDose, tmp_path: Path) -> None:
    """By definition: the activity at scan time spread evenly over the body weight (1 g = 1 ml)."""
    concentration = dose.dose_at_reference_bq / 70_000.0
    image = Image(np.full(ct.array.shape, concentration, np.float64), ct.geometry, "PT", "Bq/ml")
    write_series(image, tmp_path, DicomHeader("P", weight_kg=70, pet=dose))
    read = read_dicom(tmp_path)
    np.testing.assert_allclose(read.array, 1.0, rtol=1e-4)
    assert (read.unit, read.modality, read.array.dtype) == ("SUV", "PT", np.float32)


@pytest.mark.parametrize("decay", ["START", "ADMIN"])
@pytest.mark.parametrize("minutes", [0, 60, 200])
def test_suv_survives_bq_per_ml_and_back(ct: Image, dose: PetDose, decay: str, minutes: int, tmp_path: Path) -> None:
    pet = replace(dose, decay_correction=decay, scanned=dose.injected + timedelta(minutes=minutes))
    suv = ct.array.astype(np.float64) / 100
    write_series(Image(suv, ct.geometry, "PT", "SUV"), tmp_path, DicomHeader("P", weight_kg=71.5, pet=pet))
    stored = pydicom.dcmread(next(iter(sorted(tmp_path.iterdir()))))
    assert (stored.Units, stored.DecayCorrection) == ("BQML", decay)
    # One step of 16 bits of each slice's peak is the largest error that rounding can make.
    np.testing.assert_allclose(read_dicom(tmp_path).array, suv, atol=0.5 * suv.max() / 32767 * 1.01)


def test_half_life_between_injection_and_scan_halves_the_activity() -> None:
    start = datetime(2024, 1, 1, 8)
    pet = PetDose(1e8, start, start + timedelta(seconds=6586.2))
    assert pet.dose_at_reference_bq == pytest.approx(0.5e8)
    assert replace(pet, decay_correction="ADMIN").dose_at_reference_bq == 1e8


def test_gml_is_not_converted_twice(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def already(dataset: pydicom.Dataset, index: int) -> None:
        dataset.Units, dataset.SUVType = "GML", "BW"
        dataset.RescaleSlope = "0.001"

    files = make_pet(tmp_path, already)
    read = read_dicom(tmp_path)
    stored = np.stack([pydicom.dcmread(path).pixel_array.T for path in files], axis=-1)
    np.testing.assert_allclose(read.array[0], stored * 0.001, rtol=1e-6)
    assert read.unit == "SUV"


def test_gml_without_a_type_is_body_weight(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def already(dataset: pydicom.Dataset, index: int) -> None:
        dataset.Units = "GML"

    make_pet(tmp_path, already)
    assert suv_factor(find_series(tmp_path)[0].headers) == 1.0


def test_injection_before_midnight(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def night(dataset: pydicom.Dataset, index: int) -> None:
        dataset.SeriesDate = dataset.AcquisitionDate = "20240512"
        dataset.SeriesTime = dataset.AcquisitionTime = "001500"
        item = dataset.RadiopharmaceuticalInformationSequence[0]
        item.RadiopharmaceuticalStartDateTime, item.RadiopharmaceuticalStartTime = "20240511234500", "234500"

    make_pet(tmp_path, night)
    expected = 71_500 / (3.7e8 * 2 ** (-1800 / 6586.2))
    assert suv_factor(find_series(tmp_path)[0].headers) == pytest.approx(expected, rel=1e-9)

    def without_date(dataset: pydicom.Dataset, index: int) -> None:
        del dataset.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime

    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        without_date(dataset, 0)
        dataset.save_as(path)
    # The clock alone leaves no other reading: half an hour before, not 23.5 hours after.
    assert suv_factor(find_series(tmp_path)[0].headers) == pytest.approx(expected, rel=1e-9)

    def at_six(dataset: pydicom.Dataset) -> None:
        dataset.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "170000"

    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        at_six(dataset)
        dataset.save_as(path)
    with pytest.raises(UnreadableFile, match=r"suv-times: the scan starts -16\.8 h after the injection"):
        read_dicom(tmp_path)


def test_time_zones_count(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def zones(dataset: pydicom.Dataset, index: int) -> None:
        item = dataset.RadiopharmaceuticalInformationSequence[0]
        item.RadiopharmaceuticalStartDateTime = "20240511080000+0000"  # an hour before the scan at 10:00 +0100
        dataset.TimezoneOffsetFromUTC = "+0100"

    make_pet(tmp_path, zones)
    expected = 71_500 / (3.7e8 * 2 ** (-3600 / 6586.2))
    assert suv_factor(find_series(tmp_path)[0].headers) == pytest.approx(expected, rel=1e-9)


def _dose(keyword: str, value: Any) -> Callable[[pydicom.Dataset, int], None]:
    def edit(dataset: pydicom.Dataset, index: int) -> None:
        item = dataset.RadiopharmaceuticalInformationSequence[0]
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)

    return edit


def _tag(keyword: str, value: Any, *, only: int | None = None) -> Callable[[pydicom.Dataset, int], None]:
    def edit(dataset: pydicom.Dataset, index: int) -> None:
        if only is None or index == only:
            setattr(dataset, keyword, value)

    return edit


REFUSED = {
    "pet-units: CNTS": _tag("Units", "CNTS"),
    "pet-units: no Units": _tag("Units", ""),
    "pet-units: Units differs within the series: BQML, GML": _tag("Units", "GML", only=2),
    "pet-suv-type: LBM": lambda d, _: (setattr(d, "Units", "GML"), setattr(d, "SUVType", "LBM")),
    "pet-series-type: PLANAR": _tag("SeriesType", ["PLANAR", "IMAGE"]),
    "pet-not-corrected: CorrectedImage without ATTN": _tag("CorrectedImage", ["DECY", "SCAT"]),
    "pet-not-corrected: CorrectedImage without ATTN, DECY": _tag("CorrectedImage", "", only=4),
    "pet-decay-correction: NONE, although CorrectedImage says DECY": _tag("DecayCorrection", "NONE"),
    "suv-tags-missing: PatientWeight": _tag("PatientWeight", "0"),
    "suv-tags-missing: RadionuclideTotalDose": _dose("RadionuclideTotalDose", None),
    "suv-tags-missing: RadionuclideHalfLife": _dose("RadionuclideHalfLife", None),
    "suv-tags-missing: SeriesDate, SeriesTime": lambda d, _: (
        setattr(d, "SeriesTime", ""),
        setattr(d, "AcquisitionTime", ""),
    ),
    "suv-tags-missing: PatientWeight, RadionuclideTotalDose, RadionuclideHalfLife": lambda d, _: (
        setattr(d, "PatientWeight", None),
        setattr(d, "RadiopharmaceuticalInformationSequence", []),
    ),
    # Grams instead of kilograms, megabecquerel instead of becquerel.
    "suv-values: PatientWeight outside 0.3 to 500": _tag("PatientWeight", "71500"),
    "suv-values: RadionuclideTotalDose outside": _dose("RadionuclideTotalDose", "370"),
    "suv-values: weight or dose differs within the series": _tag("PatientWeight", "60", only=1),
    "suv-times: SeriesTime is later than AcquisitionTime, and 1 slices state no acquisition time": lambda d, i: (
        setattr(d, "SeriesTime", "113000"),
        setattr(d, "AcquisitionTime", "" if i == 2 else "100000"),
    ),
    "suv-times: series date or time differs within the series": _tag("SeriesTime", "093000", only=3),
    "suv-times: the scan starts": _dose("RadiopharmaceuticalStartDateTime", "20240512090000"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_suv_lacks_is_named(message: str, make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    make_pet(tmp_path, REFUSED[message])
    with pytest.raises(UnreadableFile) as refusal:
        read_dicom(tmp_path)
    assert refusal.value.given.startswith(message)
    assert refusal.value.action


def test_missing_injection_time(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def forget(dataset: pydicom.Dataset, index: int) -> None:
        item = dataset.RadiopharmaceuticalInformationSequence[0]
        del item.RadiopharmaceuticalStartDateTime, item.RadiopharmaceuticalStartTime

    make_pet(tmp_path, forget)
    with pytest.raises(UnreadableFile, match="suv-tags-missing: RadiopharmaceuticalStartDateTime"):
        read_dicom(tmp_path)


def test_two_tracers_are_refused(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def twice(dataset: pydicom.Dataset, index: int) -> None:
        dataset.RadiopharmaceuticalInformationSequence.append(dataset.RadiopharmaceuticalInformationSequence[0])

    make_pet(tmp_path, twice)
    with pytest.raises(UnreadableFile, match="suv-values: 2 radiopharmaceuticals"):
        read_dicom(tmp_path)


@pytest.mark.parametrize("lost", [0, 4])
def test_lost_end_slice_shows_where_the_header_counts_them(
    lost: int, make_pet: Callable[..., list[Path]], tmp_path: Path
) -> None:
    make_pet(tmp_path)[lost].unlink()
    with pytest.raises(UnreadableFile, match="missing-slices: 4 slices, 5 stated by NumberOfSlices") as refusal:
        read_dicom(tmp_path)
    assert str(tmp_path) in str(refusal.value)
