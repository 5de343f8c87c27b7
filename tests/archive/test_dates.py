"""Dates are moved by whole days: intervals stay, and the key alone can take it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiducial.archive import DateShift, ingest_dicom
from fiducial.archive.dates import home_sites, shifted
from fiducial.archive.dicom import DicomHeader

KEY = b"a key of thirty-two bytes, no le"
DAYS = st.dates(min_value=date(1900, 1, 1), max_value=date(2099, 12, 31))


@pytest.mark.parametrize(
    ("raw", "days", "moved"),
    [
        ("20240301", -1, "20240229"),
        ("20230301", -1, "20230228"),
        ("20240511", -364, "20230513"),
        ("20240511 ", 0, "20240511"),
        ("20240511\0", 1, "20240512"),
    ],
)
def test_by_hand(raw: str, days: int, moved: str) -> None:
    assert shifted(raw, days) == moved


@pytest.mark.parametrize(
    "raw", ["", "2024", "2024051", "2024.05.11", "20240230", "20241301", "Amalia  ", "00010101", "٢٠٢٤٠٥١١"]
)
def test_what_is_no_date_is_not_kept(raw: str) -> None:
    assert shifted(raw, -364) == ""
    assert DateShift(KEY).date(raw, "north", "p1") == ""


@given(DAYS, DAYS, st.text(max_size=8), st.text(max_size=8))
def test_intervals_and_weekdays_stay(one: date, two: date, site: str, subject: str) -> None:
    shift = DateShift(KEY)
    moved = [date.fromisoformat(shift.date(f"{day:%Y%m%d}", site, subject)) for day in (one, two)]
    assert moved[1] - moved[0] == two - one
    assert moved[0].weekday() == one.weekday()
    assert 52 * 7 <= (one - moved[0]).days <= 571 * 7


def test_a_site_has_one_shift_and_a_patient_one_of_his_own() -> None:
    by_site, by_patient = DateShift(KEY), DateShift(KEY, "patient")
    assert by_site.days("north", "p1") == by_site.days("north", "p2")
    sites = {by_site.days(f"site {i}", "p1") for i in range(40)}
    patients = {by_patient.days("north", f"p{i}") for i in range(40)}
    assert len(sites) > 30
    assert len(patients) > 35
    assert all(-4003 <= days <= -364 for days in sites | patients)
    assert by_site.days("north", "p1") != DateShift(KEY[::-1]).days("north", "p1")
    assert by_patient.date("20240511", "north", "p1") == ""
    assert "key" not in repr(by_site)


def test_a_patient_of_two_sites_takes_the_shift_of_the_commoner() -> None:
    files = [("p1", "south"), ("p1", "north"), ("p1", ""), ("p1", "south"), ("p2", "north"), ("p2", "east"), ("p3", "")]
    assert home_sites(files) == home_sites(reversed(files)) == {"p1": "south", "p2": "east", "p3": ""}


def test_cohort_rows_carry_moved_dates(make_ct: Callable[..., list[Path]], header: DicomHeader, tmp_path: Path) -> None:
    """Two visits 33 days apart, the second without an institution: one shift for both."""
    make_ct(tmp_path / "s" / "1", header=header)
    second = replace(header, study_date="20240613", site="", institution="", series_number=2)
    make_ct(tmp_path / "s" / "2", header=second)
    one, two = sorted(
        ingest_dicom(tmp_path / "s", tmp_path / "c", key=KEY, workers=1).rows, key=lambda r: r["acquired"]
    )
    assert (date.fromisoformat(two["acquired"]) - date.fromisoformat(one["acquired"])).days == 33
    assert one["acquired"] == DateShift(KEY).date("20240511", "north", one["subject"])
    assert one["acquired"][:4] < "2024"
    strict = ingest_dicom(tmp_path / "s", tmp_path / "d", key=KEY, shift="patient", workers=1).rows
    assert {row["acquired"] for row in strict} == {""}
