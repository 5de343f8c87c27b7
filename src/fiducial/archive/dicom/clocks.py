"""When a PET tracer was injected and to which moment the voxels refer: dates, times and zones of headers."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from fiducial.archive.dicom.headers import FileHeader
from fiducial.archive.refusal import refuse

CLOCK_TOLERANCE = timedelta(seconds=1)
SAME_REFERENCE = timedelta(seconds=60)
DAY = timedelta(days=1)
# Without a date, an injection after the scan was on the day before only if that is so short ago.
LATEST_BEFORE_MIDNIGHT = timedelta(hours=6)


def scan_start(headers: tuple[FileHeader, ...], half_life_s: float) -> tuple[datetime, tuple[str, ...]]:
    """The moment to which a series corrected to its START refers, and what was mended to know it.

    SeriesDate and SeriesTime, unless a slice was acquired before them: then a processing step has overwritten them,
    and the scanner's own (GE: 0009,xx0D) counts, else what every slice's FrameReferenceTime points back to, else the
    earliest acquisition (QIBA, vendor-neutral computation of SUV).

    Raises:
        UnreadableFile: ``suv-tags-missing`` or ``suv-times``.
    """
    first = headers[0]
    if len({(h.text("SeriesDate"), h.text("SeriesTime")) for h in headers}) > 1:
        raise refuse("suv-times", "series date or time differs within the series")
    started = moment(first.text("SeriesDate"), first.text("SeriesTime"))
    acquired = [acquisition(header) for header in headers]
    known = [one for one in acquired if one is not None]
    if started is not None and not any(one < started - CLOCK_TOLERANCE for one in known):
        return started, ()
    vendor = [stamp(h.text("GEScanDateTime")) for h in headers]
    stated = {one for one in vendor if one is not None}
    if len(stated) == 1:
        return stated.pop(), (
            "suv-clock: SeriesTime is later than AcquisitionTime; the scanner's private scan time used",
        )
    if not known:
        raise refuse("suv-tags-missing", "SeriesDate, SeriesTime")
    reason = "SeriesTime is later than AcquisitionTime" if started is not None else "no SeriesDate and SeriesTime"
    pointed = _frame_references(headers, half_life_s)
    if pointed is not None:
        return pointed, (f"suv-clock: {reason}; FrameReferenceTime of the slices used",)
    if len(known) < len(headers):
        raise refuse("suv-times", f"{reason}, and {len(headers) - len(known)} slices state no acquisition time")
    return min(known), (f"suv-clock: {reason}; the earliest AcquisitionTime used",)


def _frame_references(headers: tuple[FileHeader, ...], half_life_s: float) -> datetime | None:
    """The moment that all slices' acquisition, FrameReferenceTime and mean count time point back to; None if none.

    FrameReferenceTime counts from the reference to the moment, within the frame, of its mean count rate.
    """
    pointed = []
    for header in headers:
        began, reference_ms = acquisition(header), header.number("FrameReferenceTime")
        duration_ms = header.number("ActualFrameDuration")
        if began is None or not reference_ms or not duration_ms or reference_ms < 0 or duration_ms < 0:
            return None
        mean_s = mean_count_time_s(duration_ms / 1000.0, half_life_s)
        pointed.append(began - timedelta(milliseconds=reference_ms) + timedelta(seconds=mean_s))
    return min(pointed) if max(pointed) - min(pointed) <= SAME_REFERENCE else None


def mean_count_time_s(duration_s: float, half_life_s: float) -> float:
    """When, after a frame's start, the decaying activity equals its mean over the frame: ln(d / (1 - e^-d)) / decay.

    d = decay · duration, with decay = ln 2 / half-life.
    """
    decay = math.log(2.0) / half_life_s
    d = decay * duration_s
    return math.log(d / -math.expm1(-d)) / decay if d > 1e-9 else duration_s / 2.0


def acquisition(header: FileHeader) -> datetime | None:
    """When a slice's acquisition began."""
    return moment(header.text("AcquisitionDate"), header.text("AcquisitionTime")) or stamp(
        header.text("AcquisitionDateTime")
    )


def injection(
    headers: tuple[FileHeader, ...], dose: dict[str, Any], scanned: datetime
) -> tuple[datetime, tuple[str, ...]]:
    """When the dose was given, on the scanner's clock, and what was mended to know it.

    RadiopharmaceuticalStartDateTime with its zone, else RadiopharmaceuticalStartTime on the day of the scan, or on
    the day before where it would else be after the scan, and that makes at most six hours.

    Raises:
        UnreadableFile: ``suv-tags-missing``.
    """
    first = headers[0]
    stated = str(dose.get("RadiopharmaceuticalStartDateTime", ""))
    injected = stamp(stated)
    if injected is not None:
        zone, scanners = zone_of(stated), zone_of(first.text("TimezoneOffsetFromUTC"))
        if zone and scanners and zone != scanners:
            injected += _offset(scanners) - _offset(zone)
        return injected, ()
    injected = moment(scanned.strftime("%Y%m%d"), str(dose.get("RadiopharmaceuticalStartTime", "")))
    if injected is None:
        raise refuse("suv-tags-missing", "RadiopharmaceuticalStartDateTime or RadiopharmaceuticalStartTime")
    if injected > scanned and scanned - (injected - DAY) <= LATEST_BEFORE_MIDNIGHT:
        return injected - DAY, ("suv-midnight: the injection, which has no date, was before midnight",)
    return injected, ()


def stamp(text: str) -> datetime | None:
    """A DICOM date and time in one (YYYYMMDDHHMMSS.FFFFFF&ZZXX), without its zone."""
    text = text[:-5] if zone_of(text) else text
    return moment(text[:8], text[8:])


def zone_of(text: str) -> str:
    """The UTC offset at the end of a date and time, such as +0130; "" if there is none."""
    end = text[-5:]
    return end if len(end) == 5 and end[0] in "+-" and end[1:].isdigit() else ""


def moment(date: str, time: str) -> datetime | None:
    """A DICOM date and time (YYYYMMDD; HHMMSS.FFFFFF, HHMMSS or HHMM); None where either is absent or malformed."""
    whole, _, fraction = time.partition(".")
    if len(date) != 8 or len(whole) not in (4, 6) or not (date + whole).isdigit():
        return None
    try:
        found = datetime.strptime(date + whole.ljust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return found + timedelta(seconds=float("0." + fraction)) if fraction.isdigit() else found


def _offset(zone: str) -> timedelta:
    """A UTC offset such as +0130."""
    sign = -1 if zone.startswith("-") else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
