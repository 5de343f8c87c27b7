"""What became of each series: rows that name no person, as JSON and as a table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from fiducial.archive.deidentify.profile import CODES, EDITION, Options
from fiducial.records.files import atomic_path, write_json

REPORT = "deidentification"
NOT_PROVEN = (
    "Pixel data were passed on as they were: burned-in text is not proven absent, and neither are faces in pictures of "
    "heads."
)


@dataclass(frozen=True)
class SeriesRow:
    """One series, or one file that belongs to none (``file``: its number in ``private/not_written.csv``).

    ``status``: ``accepted`` (every file written), ``partly`` (some), ``set aside`` (for review) or ``refused``.
    ``reason`` starts with a stable code and a colon; ``action`` says what a person can do. ``codes`` counts the files
    that were ``set aside`` and ``refused``, by code; ``actions`` what was done, by action and attribute.
    """

    subject: str
    study: str
    series: str
    file: str
    modality: str
    status: Literal["accepted", "partly", "set aside", "refused"]
    n_files: int
    n_written: int
    n_set_aside: int
    n_refused: int
    n_copies: int
    n_said_no_text: int
    n_bytes: int
    reason: str = ""
    action: str = ""
    note: str = ""
    codes: dict[str, dict[str, int]] = field(default_factory=dict)
    actions: dict[str, dict[str, int]] = field(default_factory=dict)


TABLE = tuple(name for name in SeriesRow.__dataclass_fields__ if name not in ("codes", "actions"))


def write_report(rows: list[SeriesRow], out: Path, options: Options) -> tuple[Path, Path]:
    """Write ``deidentification.json`` and ``deidentification.csv`` into ``out``."""
    total = {name: sum(getattr(row, name) for row in rows) for name in TABLE if name.startswith("n_")}
    said = {
        "schema": 1,
        "profile": f"PS3.15 {EDITION}, basic application level confidentiality profile",
        "options": asdict(options),
        "codes": {code: CODES[code] for code in options.codes},
        "longitudinal_temporal_information": options.temporal,
        "burned_in_text": NOT_PROVEN,
        "total": total | {"n_subjects": len({row.subject for row in rows if row.n_written})},
        "set_aside": counted_reasons(rows, "set aside"),
        "refused": counted_reasons(rows, "refused"),
        "series": [asdict(row) for row in rows],
    }
    write_json(out / f"{REPORT}.json", said)
    path = out / f"{REPORT}.csv"
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TABLE)
        writer.writerows([getattr(row, name) for name in TABLE] for row in rows)
    return out / f"{REPORT}.json", path


def by_action(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Counts by (attribute, action) as a mapping from action to attributes."""
    found: dict[str, dict[str, int]] = {}
    for (attribute, action), n in sorted(counts.items()):
        found.setdefault(action, {})[attribute] = n
    return found


def counted_reasons(rows: Iterable[SeriesRow], what: Literal["set aside", "refused"]) -> dict[str, int]:
    """Files that were not written, by code."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row.codes.get(what, {}))
    return dict(sorted(counts.items()))
