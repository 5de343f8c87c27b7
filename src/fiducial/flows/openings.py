"""How often a cohort's test part was opened: each look makes the next figure a little less honest, so it is counted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

LEDGER = "openings.jsonl"


@dataclass(frozen=True)
class Openings:
    """How often a test part was opened under a study: in all, and of these under another version of it."""

    n: int
    n_other_versions: int = 0


def record_opening(folder: Path, *, fingerprint: str, study: str, run: str) -> Openings:
    """Append one opening to the cohort's ledger, one JSON object per line, and return how many there are now."""
    line = {
        "fingerprint": fingerprint,
        "study": study,
        "run": run,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with (folder / LEDGER).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")
    return count_openings(folder, fingerprint=fingerprint, study=study)


def count_openings(folder: Path, *, fingerprint: str, study: str) -> Openings:
    """Openings of this cohort's test part under this study; lines that a crash tore are not counted.

    A study is known by its fingerprint and by its name: whoever looks at the test part and then changes a bound, or
    the cohort, has another fingerprint but has looked. Studies of other names have counts of their own.
    """
    path = folder / LEDGER
    if not path.is_file():
        return Openings(0)
    n = n_other = 0
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        same = line.get("fingerprint") == fingerprint
        other = not same and line.get("study") == study
        n += same or other
        n_other += other
    return Openings(n, n_other)
