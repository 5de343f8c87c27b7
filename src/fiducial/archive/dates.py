"""Dates moved by whole days, so that intervals stay and the day itself is not told.

The shift is drawn from the pseudonym key (HMAC-SHA256), so that it is the same in every run and in every file, and
nobody without the key can take it back. It goes into the past, by 52 to 571 weeks for a site and by 364 to 4,003 days
for a patient: dates never lie in the future.

A shift by whole weeks for a site keeps weekdays and lets the weeks of its patients be compared; whoever learns one
true date of one patient knows those of the whole site. A shift for each patient gives no such hold, and dates of
different patients can no longer be compared, so that `DateShift.date` says none.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from fiducial.archive.pseudonym import Pseudonyms

FIRST_DAYS = 364
N_WEEKS = 520
N_DAYS = 7 * N_WEEKS
FIRST_YEAR = 1850
"""An earlier date in a header is no date of a living person, and its shift would leave the calendar of many readers."""
DATE = re.compile(r"\d{8}", flags=re.ASCII)


@dataclass(frozen=True)
class DateShift:
    """Moves dates by a number of days that follows from a key and a site, or from a key and a patient.

    ``site`` and ``subject`` are ids of the cohort (pseudonyms, or a trial's own site id); any text will do as long as
    it stays the same. A patient of two sites needs one of them for all his files (`home_sites`).
    """

    key: bytes = field(repr=False)
    by: Literal["site", "patient"] = "site"

    def days(self, site: str, subject: str) -> int:
        """How many days are added: a negative number."""
        names = Pseudonyms(self.key)
        if self.by == "site":
            return -(FIRST_DAYS + 7 * names.number("shift-site", site, N_WEEKS))
        return -(FIRST_DAYS + names.number("shift-patient", subject, N_DAYS))

    def date(self, raw_date: str, site: str, subject: str) -> str:
        """``YYYYMMDD`` as ``YYYY-MM-DD`` after the shift; "" for one that is no date, and under a shift by patient."""
        moved = shifted(raw_date, self.days(site, subject)) if self.by == "site" else ""
        return f"{moved[:4]}-{moved[4:6]}-{moved[6:]}" if moved else ""


def shifted(raw_date: str, days: int) -> str:
    """A DICOM date ``YYYYMMDD`` moved by ``days``; "" for text that is no date from 1850 on."""
    text = raw_date.strip(" \0")
    if not DATE.fullmatch(text) or int(text[:4]) < FIRST_YEAR:
        return ""
    try:
        moved = date(int(text[:4]), int(text[4:6]), int(text[6:])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}"


def home_sites(places: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The one site whose shift each subject takes, from (subject, site) of files: the commonest that is not "".

    Of two equally common sites the first in the alphabet is taken, so that the order of files does not matter.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for subject, site in places:
        counts[subject][site] += bool(site)
    return {subject: min(found, key=lambda s: (-found[s], s)) for subject, found in counts.items()}
