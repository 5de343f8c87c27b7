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

from fiducial.archive import ingest_dicom
from fiducial.archive.dicom import DicomHeader, PetDose, find_series, read_dicom, read_series, write_series
from fiducial.archive.dicom.clocks import mean_count_time_s
from fiducial.archive.dicom.suv import (
    lean_james_kg,
    lean_janmahasatian_kg,
    surface_m2,
    suv_factor,
    suv_scaling,
)
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


# SUV by other measures of the body: the same image times a number.


def test_variants_by_hand() -> None:
    """A man of 80 kg and 1.80 m, a woman of 60 kg and 1.65 m, by the published formulas."""
    assert lean_james_kg(80, 1.80, "M") == pytest.approx(1.10 * 80 - 128 * (80 / 180) ** 2)
    assert lean_james_kg(60, 1.65, "F") == pytest.approx(1.07 * 60 - 148 * (60 / 165) ** 2)
    assert lean_janmahasatian_kg(80, 1.80, "M") == pytest.approx(9270 * 80 / (6680 + 216 * 80 / 1.80**2))
    assert lean_janmahasatian_kg(60, 1.65, "F") == pytest.approx(9270 * 60 / (8780 + 244 * 60 / 1.65**2))
    # Du Bois' table: 70 kg and 1.75 m have about 1.85 square metres.
    assert surface_m2(70, 1.75) == pytest.approx(1.85, abs=0.01)


def body(dataset: pydicom.Dataset, index: int) -> None:
    dataset.PatientSize, dataset.PatientSex = "1.80", "M"


def test_variants_stand_in_the_cohort_row(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    make_pet(tmp_path / "pet", body)
    made = ingest_dicom(tmp_path / "pet", tmp_path / "cohort", key=b"k" * 32, workers=1)
    (row,) = made.rows
    assert row["suv_lbm_per_bw"] == pytest.approx(lean_janmahasatian_kg(71.5, 1.8, "M") / 71.5)
    assert row["suv_lbm_james_per_bw"] == pytest.approx(lean_james_kg(71.5, 1.8, "M") / 71.5)
    assert row["suv_bsa_per_bw"] == pytest.approx(surface_m2(71.5, 1.8) * 1e4 / 71_500)
    make_pet(tmp_path / "without")
    (other,) = ingest_dicom(tmp_path / "without", tmp_path / "cohort2", key=b"k" * 32, workers=1).rows
    assert np.isnan([other[f"suv_{k}_per_bw"] for k in ("lbm", "lbm_james", "bsa")]).all()


@pytest.mark.parametrize("suv_type", ["LBMJAMES128", "LBMJANMA", "BSA"])
def test_another_suv_comes_back_to_body_weight(
    suv_type: str, make_pet: Callable[..., list[Path]], tmp_path: Path
) -> None:
    """A uniform 2 by lean mass, of a man whose lean mass is known, is 2 · weight / lean mass."""

    def other(dataset: pydicom.Dataset, index: int) -> None:
        body(dataset, index)
        dataset.Units, dataset.SUVType = "CM2ML" if suv_type == "BSA" else "GML", suv_type
        dataset.PixelData, dataset.RescaleSlope = np.full(48, 2, "<i2").tobytes(), "1"

    make_pet(tmp_path, other)
    share = {
        "LBMJAMES128": lean_james_kg(71.5, 1.8, "M") / 71.5,
        "LBMJANMA": lean_janmahasatian_kg(71.5, 1.8, "M") / 71.5,
        "BSA": surface_m2(71.5, 1.8) * 1e4 / 71_500,
    }[suv_type]
    np.testing.assert_allclose(read_dicom(tmp_path).array, 2 / share, rtol=1e-6)


# Vendors' private elements, and clocks that processing has overwritten (QIBA's vendor-neutral computation).


def private(group: int, creator: str, offset: int, vr: str, value: Any) -> Callable[[pydicom.Dataset, int], None]:
    def edit(dataset: pydicom.Dataset, index: int) -> None:
        dataset.private_block(group, creator, create=True).add_new(offset, vr, value)

    return edit


def test_philips_counts_by_their_suv_factor(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    def counts(dataset: pydicom.Dataset, index: int) -> None:
        dataset.Units = "CNTS"
        private(0x7053, "Philips PET Private Group", 0x00, "DS", "0.000125")(dataset, index)

    make_pet(tmp_path, counts)
    scaling = suv_scaling(find_series(tmp_path)[0].headers)
    assert (scaling.factors == 0.000125).all()
    assert scaling.repairs == ("suv-vendor: counts times the scanner's private SUV factor",)


def test_philips_counts_by_their_activity_factor(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    """Without a SUV factor (0), counts times the activity factor are Bq/ml, and go on as such."""
    make_pet(tmp_path / "bqml")
    expected = suv_factor(find_series(tmp_path / "bqml")[0].headers)

    def counts(dataset: pydicom.Dataset, index: int) -> None:
        dataset.Units = "CNTS"
        private(0x7053, "Philips PET Private Group", 0x00, "DS", "0")(dataset, index)
        private(0x7053, "Philips PET Private Group", 0x09, "DS", "1.75")(dataset, index)

    make_pet(tmp_path / "cnts", counts)
    assert suv_factor(find_series(tmp_path / "cnts")[0].headers) == pytest.approx(1.75 * expected, rel=1e-12)


def later(dataset: pydicom.Dataset, index: int) -> None:
    """The series was processed at 18:30; slices were acquired from 10:00 on, two minutes a bed."""
    dataset.SeriesTime, dataset.AcquisitionTime = "183000", f"10{2 * (index // 3):02d}00"


def expected_factor(minutes: float) -> float:
    """71.5 kg, 370 MBq, so many minutes after the injection."""
    return float(71_500 / (3.7e8 * 2 ** (-minutes * 60 / 6586.2)))


def test_an_overwritten_series_time_gives_way_to_ges_scan_time(
    make_pet: Callable[..., list[Path]], tmp_path: Path
) -> None:
    def scanned(dataset: pydicom.Dataset, index: int) -> None:
        later(dataset, index)
        private(0x0009, "GEMS_PETD_01", 0x0D, "DT", "20240511095830.00")(dataset, index)

    make_pet(tmp_path, scanned)
    scaling = suv_scaling(find_series(tmp_path)[0].headers)
    assert scaling.factors[0] == pytest.approx(expected_factor(58.5), rel=1e-9)
    assert scaling.repairs[0].startswith("suv-clock: SeriesTime is later than AcquisitionTime; the scanner's private")


def test_an_overwritten_series_time_gives_way_to_the_earliest_slice(
    make_pet: Callable[..., list[Path]], tmp_path: Path
) -> None:
    make_pet(tmp_path, later)
    scaling = suv_scaling(find_series(tmp_path)[0].headers)
    assert scaling.factors[0] == pytest.approx(expected_factor(60), rel=1e-9)
    assert scaling.repairs[0].endswith("the earliest AcquisitionTime used")


def test_slices_point_back_to_their_common_reference(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    """Beds of 120 s from 10:00 on whose times count from 09:58: acquisition - FrameReferenceTime + mean count time."""
    mean_s = mean_count_time_s(120.0, 6586.2)

    def referred(dataset: pydicom.Dataset, index: int) -> None:
        later(dataset, index)
        bed_s = 120.0 * (index // 3)
        dataset.ActualFrameDuration = "120000"
        dataset.FrameReferenceTime = f"{(120.0 + bed_s + mean_s) * 1000:.3f}"

    make_pet(tmp_path, referred)
    scaling = suv_scaling(find_series(tmp_path)[0].headers)
    assert scaling.factors[0] == pytest.approx(expected_factor(58), rel=1e-6)
    assert scaling.repairs[0].endswith("FrameReferenceTime of the slices used")


def test_mean_count_time_of_a_frame() -> None:
    """Short frames: the middle. Long ones: before it. Solved: mean activity over the frame = activity at that time."""
    assert mean_count_time_s(60, 6586.2) == pytest.approx(30, abs=0.05)
    duration, half_life = 7200.0, 6586.2
    decay = np.log(2) / half_life
    mean = (1 - np.exp(-decay * duration)) / (decay * duration)
    assert np.exp(-decay * mean_count_time_s(duration, half_life)) == pytest.approx(mean, rel=1e-12)


def test_slices_that_are_not_corrected_for_decay(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    """The same uptake in two beds an hour apart: the later one shows less, and SUV is the same in both."""
    concentration = 5000.0  # at injection, Bq/ml

    def uncorrected(dataset: pydicom.Dataset, index: int) -> None:
        minutes = 60 + 60 * (index // 3)
        dataset.AcquisitionTime = f"{9 + minutes // 60:02d}0000"
        dataset.CorrectedImage, dataset.DecayCorrection = ["ATTN", "SCAT", "NORM"], "NONE"
        dataset.ActualFrameDuration = "120000"
        elapsed_s = minutes * 60 + mean_count_time_s(120, 6586.2)
        dataset.RescaleSlope = f"{concentration * 2 ** (-elapsed_s / 6586.2) / 100:.10g}"
        dataset.PixelData = np.full(48, 100, "<i2").tobytes()

    make_pet(tmp_path, uncorrected)
    np.testing.assert_allclose(read_dicom(tmp_path).array, concentration * 71_500 / 3.7e8, rtol=1e-5)


def test_dynamic_frames_are_images_of_their_own(make_pet: Callable[..., list[Path]], tmp_path: Path) -> None:
    """Two times at every place, both corrected to the series' start: two images in SUV."""
    for time in (0, 1):

        def dynamic(dataset: pydicom.Dataset, index: int, time: int = time) -> None:
            dataset.SeriesType = ["DYNAMIC", "IMAGE"]
            dataset.FrameReferenceTime = str(30_000 + 60_000 * time)
            dataset.SOPInstanceUID += f".{time}"
            dataset.InstanceNumber = index + 1 + 5 * time
            dataset.PixelData = np.full(48, 100 * (time + 1), "<i2").tobytes()

        make_pet(tmp_path / str(time), dynamic)
    series = {one.part: one for one in find_series(tmp_path)}
    assert set(series) == {"t001", "t002"}
    first, second = (read_series(series[part]).array for part in ("t001", "t002"))
    np.testing.assert_allclose(second, 2 * first)
