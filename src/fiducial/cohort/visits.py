"""Visits of a person in time: their order, each current image with its priors, and what cannot be true of them.

Visits are ordered by ``acquired`` where every visit of the person has a date or month, else by a number that their
names end in (``1``, ``V2``, ``month 06``; ``baseline`` comes first), which also tells visits of one day or month apart;
else their order is unknown, and nobody is paired. Two studies of one day are two visits at one place: neither is the
other's prior.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from fiducial.cohort.features import words_of
from fiducial.cohort.table import images_of

if TYPE_CHECKING:
    import pandas as pd

Ordered = Literal["date", "name", ""]

ALIKE = (
    *("modality", "body_part", "laterality", "view", "series_description", "protocol", "sequence"),
    *("echo_time_ms", "b_value"),
)
"""Columns in which a prior image must equal the current one, where the cohort has them."""
FIRST_NAMES = ("baseline", "bl", "screening", "initial", "prior", "pre")
_NUMBERED = re.compile(r"(?P<prefix>\D*?)(?P<number>\d{1,4})")
_DATE = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?")
DAYS_A_MONTH = 365.25 / 12
PAIR_COLUMNS = (
    "subject",
    "modality",
    "image",
    "visit",
    "prior",
    "prior_visit",
    "rank",
    "n_prior",
    "interval_days",
    "by",
)


@dataclass(frozen=True)
class VisitProblem:
    """Something that cannot be true, or that keeps a person's visits from being ordered.

    ``kind``: ``unreadable-date``, ``visit-of-several-dates``, ``order-against-dates``, ``two-visits-one-day``,
    ``age-decreases``, ``order-unknown``.
    """

    subject: str
    kind: str
    text: str


@dataclass(frozen=True)
class _Visit:
    """One visit: its name, its day (the first of the month where only that is known), and its age and number."""

    name: str
    day: date | None
    whole: bool
    age: float
    number: float | None


def order_visits(cohort: pd.DataFrame) -> pd.DataFrame:
    """One row for each visit of each person: ``subject, visit, place, acquired, n_images, by``.

    ``place`` counts from 1, alike for visits that nothing tells apart, and is 0 where the order is unknown. Images
    without a visit's name count as visits of their own by date; without both, they are one visit with the name "".
    """
    import pandas as pd

    rows = []
    for subject, images in _named(cohort).groupby("subject", sort=True):
        places, by = _places(_visits(images))
        for name, own in images.groupby("visit", sort=True):
            place = places.get(str(name), 0)
            days = sorted(set(own["acquired"]) - {""})
            rows.append(
                {
                    "subject": str(subject),
                    "visit": str(name),
                    "place": place,
                    "acquired": days[0] if days else "",
                    "n_images": len(own),
                    "by": by,
                }
            )
    frame = pd.DataFrame(rows, columns=["subject", "visit", "place", "acquired", "n_images", "by"])
    return frame.sort_values(["subject", "place", "visit"], kind="stable").reset_index(drop=True)


def pair_visits(cohort: pd.DataFrame) -> pd.DataFrame:
    """Each current image with its priors: ``PAIR_COLUMNS``, one row for each pair; rank 1 is the nearest prior.

    A prior is an image of an earlier visit of the same person that equals the current one in every column of `ALIKE`
    that the cohort has. Of several such images of one visit the first by id is taken. ``interval_days`` is missing
    where visits are ordered by name without dates; between months it is 30.44 days for each. ``n_prior`` counts the
    visits that have a prior image.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    alike = [name for name in ALIKE if name in cohort.columns]
    for subject, images in _named(cohort).groupby("subject", sort=True):
        if images["visit"].nunique() < 2:
            continue
        visits = {visit.name: visit for visit in _visits(images)}
        places, by = _places(list(visits.values()))
        kinds = [words_of(images[name]) for name in alike]
        for key, kind in images.groupby(kinds, sort=True) if by else ():
            first = kind.sort_values("image").drop_duplicates("visit").set_index("visit")["image"]
            for image, name in zip(kind["image"], kind["visit"], strict=True):
                earlier = sorted((v for v in first.index if places[v] < places[name]), key=lambda v: (-places[v], v))
                rows += [
                    {
                        **{"subject": str(subject), "modality": str(key[0]), "image": image, "visit": name},
                        **{"prior": first[before], "prior_visit": before, "rank": rank, "n_prior": len(earlier)},
                        **{"interval_days": _interval(visits[before], visits[name]), "by": by},
                    }
                    for rank, before in enumerate(earlier, start=1)
                ]
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS)).sort_values(["image", "rank"]).reset_index(drop=True)


def visit_problems(cohort: pd.DataFrame) -> list[VisitProblem]:
    """What is impossible or unknown in the visits of each person, by person."""
    found: list[VisitProblem] = []
    for name, images in _named(cohort).groupby("subject", sort=True):
        subject = str(name)
        found += [
            VisitProblem(subject, "unreadable-date", f"{day!r} is no date: YYYY-MM-DD or YYYY-MM is")
            for day in sorted(set(images["acquired"]) - {""})
            if _day(day)[0] is None
        ]
        found += [
            VisitProblem(subject, "visit-of-several-dates", f"visit {visit} has images of {', '.join(days)}")
            for visit, own in images.groupby("visit", sort=True)
            if len(days := sorted(set(own["acquired"]) - {""})) > 1
        ]
        if images["visit"].nunique() > 1:
            found += _between(subject, _visits(images))
    return found


def _between(subject: str, visits: Sequence[_Visit]) -> list[VisitProblem]:
    """Problems between visits of one person."""
    found = []
    by_day = sorted((v for v in visits if v.day is not None), key=lambda v: (str(v.day), v.name))
    for before, after in pairwise(by_day):
        said = f"visits {before.name} and {after.name}"
        if before.day == after.day and before.whole and after.whole:
            found.append(VisitProblem(subject, "two-visits-one-day", f"{said} are both of {before.day}"))
        elif before.day == after.day:
            continue
        elif before.number is not None and after.number is not None and before.number > after.number:
            text = f"{said}: by date the first, by name the second comes first"
            found.append(VisitProblem(subject, "order-against-dates", text))
    places, by = _places(visits)
    if len(set(places.values())) < len(visits) and not any(p.kind == "two-visits-one-day" for p in found):
        text = f"{len(visits)} visits without dates that differ or names that can be sorted"
        found.append(VisitProblem(subject, "order-unknown", text))
    aged = sorted((v for v in visits if by and not math.isnan(v.age)), key=lambda v: places[v.name])
    return found + [
        VisitProblem(
            subject,
            "age-decreases",
            f"the age falls from {a.age:g} at visit {a.name} to {b.age:g} at the later visit {b.name}",
        )
        for a, b in pairwise(aged)
        if b.age < a.age - 1e-9
    ]


def _named(cohort: pd.DataFrame) -> pd.DataFrame:
    """Images whose visit has a name: its own, else the date; an age column of numbers."""
    import pandas as pd

    images = images_of(cohort)
    images = images[images["role"] != "none"].copy()
    images["visit"] = images["visit"].where(images["visit"] != "", images["acquired"])
    ages = images["age"] if "age" in images.columns else pd.Series(float("nan"), index=images.index)
    return images.assign(age=pd.to_numeric(ages, errors="coerce"))


def _visits(images: pd.DataFrame) -> list[_Visit]:
    """The visits of one person, in the order of their names."""
    numbers = _numbers([str(name) for name in images["visit"].unique()])
    visits = []
    for name, own in images.groupby("visit", sort=True):
        days = [_day(text) for text in sorted(set(own["acquired"]) - {""})]
        day, whole = next(((d, w) for d, w in days if d is not None), (None, False))
        visits.append(_Visit(str(name), day, whole, float(own["age"].min()), numbers.get(str(name))))
    return visits


def _places(visits: Sequence[_Visit]) -> tuple[dict[str, int], Ordered]:
    """The place of each visit by name, from 1, and what orders them; all at 0 where nothing does.

    A single visit stands at place 1.
    """
    if len(visits) == 1:
        return {visits[0].name: 1}, ""
    days = [visit.day for visit in visits]
    numbered = all(visit.number is not None for visit in visits)
    dated = None not in days
    if not numbered and not dated:
        return dict.fromkeys((visit.name for visit in visits), 0), ""
    by: Ordered = "date" if dated and (len(set(days)) > 1 or not numbered) else "name"
    keys = {v.name: (str(v.day) if by == "date" else "", float(v.number or 0) if numbered else 0.0) for v in visits}
    ranks = {key: place for place, key in enumerate(sorted(set(keys.values())), start=1)}
    return {name: ranks[key] for name, key in keys.items()}, by


def _numbers(names: Sequence[str]) -> Mapping[str, float]:
    """The number of each visit's name where all names of a person differ by it alone; else nothing."""
    found: dict[str, float] = {}
    prefixes = set()
    for name in names:
        text = name.strip().lower()
        match = _NUMBERED.fullmatch(text)
        if match:
            prefixes.add(match["prefix"].strip(" _-"))
            found[name] = float(match["number"])
        elif text in FIRST_NAMES:
            found[name] = -1.0
        else:
            return {}
    return found if len(prefixes) <= 1 else {}


def _day(text: str) -> tuple[date | None, bool]:
    """A date and whether it is a whole one: of a month the first day; None for what is no date."""
    match = _DATE.fullmatch(text.strip())
    if not match:
        return None, False
    try:
        return date(int(match[1]), int(match[2]), int(match[3] or 1)), match[3] is not None
    except ValueError:
        return None, False


def _interval(before: _Visit, after: _Visit) -> float:
    """Days between two visits, whole or of months; NaN where one has no date."""
    if before.day is None or after.day is None:
        return float("nan")
    if before.whole and after.whole:
        return float((after.day - before.day).days)
    months = 12 * (after.day.year - before.day.year) + after.day.month - before.day.month
    return round(months * DAYS_A_MONTH, 1)
