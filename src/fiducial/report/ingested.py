"""What an ingest made of every series, as one HTML page that a person can skim: refusals first, then pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiducial.records.files import write_text
from fiducial.records.picture import Picture
from fiducial.report import wording
from fiducial.report.blocks import Block, Cell, Column, Facts, Fold, Heading, Listing, Pictures, Section, Table, Text

Row = Mapping[str, Any]

SHAPES = {"rejected": "fail", "repaired": "inconclusive", "accepted": "pass"}
WORDS = {"rejected": "Rejected", "repaired": "Repaired", "accepted": "Accepted"}
_MOST_ROWS = 500


@dataclass(frozen=True)
class IngestInput:
    """What an ingest page is made from.

    ``rows`` are those of the ingest report; ``pictures`` are by modality, ``n_images`` says of how many images.
    ``failed`` names the images that could not be drawn.
    """

    name: str
    n_subjects: int
    n_images: int
    n_masks: int
    rows: Sequence[Row]
    pictures: Mapping[str, Sequence[Picture]]
    unmatched: Sequence[str] = ()
    notes: Sequence[str] = ()
    failed: Sequence[str] = ()


def render_ingest(given: IngestInput) -> str:
    """The page as one HTML document; the same input gives the same bytes."""
    from fiducial.report.page import document

    sections = [_summary(given), *_by_status(given), _series(given)]
    lead = "What became of every series and file that was found."
    return document(sections, title=given.name, kind="Ingest report", lead=lead)


def write_ingest(given: IngestInput, path: str | Path) -> Path:
    """Render and write atomically; returns the path."""
    write_text(path, render_ingest(given))
    return Path(path)


def _summary(given: IngestInput) -> Section:
    """How much of what was found is in the cohort, and why the rest is not."""
    counts = Counter(str(row["status"]) for row in given.rows)
    pairs = [
        ("Subjects", wording.count(given.n_subjects)),
        ("Images", wording.count(given.n_images)),
        ("Masks", wording.count(given.n_masks)),
        *((WORDS[status], wording.count(counts[status])) for status in reversed(SHAPES)),
    ]
    blocks: list[Block] = [Facts(pairs)]
    codes = Counter((str(row["status"]), _code(row)) for row in given.rows if row["status"] != "accepted")
    if codes:
        lines = [
            [Cell(WORDS[status], verdict=SHAPES[status]), Cell(code), Cell(wording.count(n))]
            for (status, code), n in sorted(codes.items(), key=lambda item: (-item[1], item[0]))
        ]
        columns = (Column("Result"), Column("Reason"), Column("How many", numeric=True))
        blocks += [Heading("Why"), Table(columns, lines, kind="why")]
    if given.unmatched:
        shown = ", ".join(given.unmatched[:50])
        more = f" and {len(given.unmatched) - 50:,} more" if len(given.unmatched) > 50 else ""
        blocks.append(Text(f"Ids of the labels file that no image has: {shown}{more}.", tone="warning"))
    if given.notes:
        blocks.append(Listing(list(given.notes), "Notes"))
    n_kept = counts["accepted"] + counts["repaired"]
    lead = f"{wording.count(n_kept)} of {wording.count(len(given.rows))} series and files are in the cohort."
    return Section("summary", "What was found", blocks, lead=lead)


def _code(row: Row) -> str:
    return str(row["reason"]).partition(":")[0]


def _by_status(given: IngestInput) -> list[Section]:
    """A section for what was rejected and one for what was repaired: each with its reason and what to do."""
    leads = {
        "rejected": "Not in the cohort. Nothing was guessed: each says what was found and what a person can do.",
        "repaired": "In the cohort, but not as it came.",
    }
    sections = []
    for status, lead in leads.items():
        rows = [row for row in given.rows if row["status"] == status]
        if rows:
            sections.append(Section(status, WORDS[status], _tabled(rows), lead=lead))
    return sections


def _tabled(rows: Sequence[Row]) -> list[Block]:
    columns = (Column("Source"), Column("Files", numeric=True), Column("Modality"), Column("Why"), Column("What to do"))
    lines = [
        [
            Cell(str(row["source"]), small=str(row["series"])),
            Cell(wording.count(row["n_files"])),
            Cell(str(row["modality"]) or wording.MISSING),
            Cell(str(row["reason"]) or wording.MISSING),
            Cell(str(row["action"]) or wording.MISSING),
        ]
        for row in rows[:_MOST_ROWS]
    ]
    blocks: list[Block] = [Table(columns, lines, kind="ingest")]
    if len(rows) > _MOST_ROWS:
        blocks.append(Text(f"{len(rows) - _MOST_ROWS:,} more are in ingest.json.", tone="note"))
    return blocks


def _series(given: IngestInput) -> Section | None:
    """A picture of each series, by modality; every row behind a line that opens."""
    n = sum(len(own) for own in given.pictures.values())
    accepted = [row for row in given.rows if row["status"] == "accepted"]
    blocks: list[Block] = [
        Pictures(f"{modality or 'Modality not stated'}, {wording.plural(len(own), 'series', 'series')}", own)
        for modality, own in given.pictures.items()
    ]
    if given.failed:
        blocks.append(Text(f"Could not be drawn: {', '.join(given.failed)}.", tone="warning"))
    if accepted:
        blocks.append(Fold(f"All {wording.count(len(accepted))} accepted", _tabled(accepted)))
    if not blocks:
        return None
    lead = (
        "Middle slices of each volume; the patient's right is on the left of an axial picture. Pictures and films are "
        "shown as they are stored."
    )
    if n < given.n_images:
        lead += f" {wording.count(n)} of {wording.count(given.n_images)} images, evenly chosen."
    return Section("series", "Series in pictures", blocks, lead=lead)
