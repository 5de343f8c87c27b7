"""How often a cohort's test part was opened: each look makes the next figure a little less honest, so it is counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

LEDGER = "openings.jsonl"


def record_opening(folder: Path, *, fingerprint: str, study: str, run: str) -> int:
    """Append one opening to the cohort's ledger and return how many there are now for this study fingerprint.

    The ledger is one JSON object per line, only appended to. The count is of one study: changing the study file
    starts a new count, while the ledger keeps every line.
    """
    line = {
        "fingerprint": fingerprint,
        "study": study,
        "run": run,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with (folder / LEDGER).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")
    return count_openings(folder, fingerprint=fingerprint)


def count_openings(folder: Path, *, fingerprint: str) -> int:
    """Openings of this cohort's test part under this study; lines that a crash tore are not counted."""
    path = folder / LEDGER
    if not path.is_file():
        return 0
    n = 0
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        n += line.get("fingerprint") == fingerprint
    return n
