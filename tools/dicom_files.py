"""What the archive makes of DICOM files that others made to be difficult, as a table in the docs.

    python tools/dicom_files.py [--data ../shared/data] [--write]

Each of pydicom's own test files is ingested alone (its media through their DICOMDIR), and the folder of highdicom's
test files together. `--write` writes docs/reference/dicom-files.md, which a person has read line by line: the tests
compare it with what the archive answers now, so that no answer changes unseen.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from fiducial.archive import ingest_dicom

ROOT = Path(__file__).parents[1]
KEY = b"k" * 32
# Not DICOM, and not meant to be.
OTHER = {".py", ".pyc", ".txt", ".md", ".json", ".xml", ".html", ".jpg", ".png", ".zip", ".gz", ".dump", ".icc", ".j2k"}
PAGE = """\
# DICOM files that are difficult

<!-- Made by `python tools/dicom_files.py --write`: change it there. -->

What `ingest` answers to files that other projects keep because they are difficult:
[reasons](../how-to/ingest-dicom.md#reasons) by their codes. A lone slice of CT or MR is an image of one slice, which
is said; an object without the series that it was drawn on has nowhere to go.

## pydicom's test files

Each alone; a medium through its directory.

| file | answer |
|---|---|
{pydicom}
"""
OBJECTS = """
## highdicom's test files

In one folder.

| file | answer |
|---|---|
{objects}
"""


def sources() -> list[tuple[str, Path]]:
    """Files of pydicom's tests by name; a medium's directory stands for the files that it names."""
    from pydicom.data import get_charset_files, get_testdata_files

    files = {Path(path) for path in (*get_testdata_files("**/*"), *get_charset_files("*.dcm"))}
    kept = [path for path in files if path.is_file() and path.suffix.lower() not in OTHER]
    named = [
        (path.name, path)
        for path in kept
        if ("dicomdirtests" not in path.parts or "DICOMDIR" in path.name) and path.name not in ("README", "LICENSE")
    ]
    return sorted(named, key=lambda item: (item[0].lower(), str(item[1])))


def answer(source: Path) -> str:
    """What the archive says of a source, in one line: statuses and codes, with counts where there are several."""
    with tempfile.TemporaryDirectory() as out:
        made = ingest_dicom(source, Path(out) / "cohort", key=KEY, workers=1)
    said = Counter(_said(row.status, row.reason) for row in made.report)
    return ", ".join(what if n == 1 else f"{n} x {what}" for what, n in sorted(said.items()))


def _said(status: str, reason: str) -> str:
    codes = sorted({part.strip().partition(":")[0] for part in reason.split("; ") if ":" in part})
    return f"{status} ({', '.join(codes)})" if codes else status


def pydicom_rows() -> list[tuple[str, str]]:
    """Name and answer of each of pydicom's files; equal names are told apart by their folder."""
    found = sources()
    often = Counter(name for name, _ in found)
    return [(name if often[name] == 1 else f"{path.parent.name}/{name}", answer(path)) for name, path in found]


def object_rows(data: Path) -> list[tuple[str, str]]:
    """Name and answer of each of highdicom's files, ingested together."""
    with tempfile.TemporaryDirectory() as out:
        made = ingest_dicom(data / "dicom_objects", Path(out) / "cohort", key=KEY, workers=1)
    rows = {}
    for row in made.report:
        name = row.source if row.source != "." else f"{row.n_files} files ({row.reason.partition(': ')[2]})"
        rows[name] = _said(row.status, row.reason)
    return sorted((name, said) for name, said in rows.items() if name != "LICENSE")


def table(rows: list[tuple[str, str]]) -> str:
    """Rows as a table."""
    return "\n".join(f"| {name} | {said} |" for name, said in rows)


def main() -> None:
    """Print, or write, the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    text = PAGE.format(pydicom=table(pydicom_rows()))
    text += OBJECTS.format(objects=table(object_rows(given.data)))
    print(text)
    if given.write:
        (ROOT / "docs/reference/dicom-files.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
