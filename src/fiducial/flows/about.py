"""What a cohort is called and whether its patients exist: a small file beside the cohort, remembered by its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ABOUT = "about.json"


def write_about(cohort: Path, *, name: str, phantom: bool = False) -> None:
    """Say what a cohort is called in reports, and whether its patients are phantoms."""
    from fiducial.records.files import write_json

    write_json(cohort / ABOUT, {"data_name": name, "phantom": phantom})


def read_about(cohort: Path) -> dict[str, Any]:
    """What `write_about` wrote; without it, the folder's name and real patients."""
    from fiducial.records.files import read_json

    stated = read_json(cohort / ABOUT) if (cohort / ABOUT).is_file() else {}
    return {"data_name": str(stated.get("data_name", cohort.name)), "phantom": bool(stated.get("phantom", False))}
