"""Sections of a cohort's page about images: sizes and intensities, quality, shortcuts and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fiducial.report import wording
from fiducial.report.blocks import Block, Cell, Column, Figures, Heading, Pictures, Section, Table, Text
from fiducial.report.figures import cohort as figures
from fiducial.report.tables import MOST_ROWS, plain_table

if TYPE_CHECKING:
    from fiducial.report.description import DescriptionInput

Row = Mapping[str, Any]

WORDS = {"finding": "Can be told", "clear": "Not told", "not_possible": "Not asked"}


def images(given: DescriptionInput) -> Section:
    """Sizes, spacings and intensities."""
    blocks: list[Block] = [plain_table(given.tables.get("images", []))]
    blocks += _spread_blocks(given, ("grid", "intensity"), "image")
    if structures := given.tables.get("structures"):
        blocks += [Heading("Structures"), plain_table(structures)]
    return Section(
        "images", "Images", blocks, lead="Each dot is an image. What is alike in all of them is in the table alone."
    )


def quality(given: DescriptionInput) -> Section:
    """Quality by site, and the images that stand out, with a picture of each."""
    blocks = _spread_blocks(given, ("quality",), "quality")
    if not blocks:
        told = "There are fewer than five images of each kind: their figures are in cohort.parquet, and not drawn."
        again = "This cohort was made before quality was measured: ingest it again."
        blocks.append(Text(told if given.measured else again, "missing"))
    if given.outliers:
        columns = (Column("Image"), Column("Where"), Column("What sets it apart"))
        lines = [
            [
                Cell(str(row["image"]), strong=True),
                Cell(str(row["modality"]) or wording.MISSING, small=str(row["site"])),
                Cell(
                    wording.sentence(str(row["reasons"][0]["text"])),
                    small="; ".join(str(reason["text"]) for reason in row["reasons"][1:4]),
                ),
            ]
            for row in given.outliers[:MOST_ROWS]
        ]
        blocks += [
            Heading(f"{wording.plural(len(given.outliers), 'image stands', 'images stand')} out"),
            Table(columns, lines, kind="register"),
        ]
        if len(given.outliers) > MOST_ROWS:
            blocks.append(Text(f"{len(given.outliers) - MOST_ROWS:,} more are in the JSON (--json).", "note"))
        if given.pictures:
            blocks.append(Pictures("The first of them", given.pictures))
    elif given.compared:
        blocks.append(Text("No image stands out from those beside it."))
    else:
        blocks.append(Text("Among so few images nothing can be called usual, and none can stand out.", "missing"))
    lead = (
        "Each image against the median of its modality at its site, in robust standard deviations. A diamond marks an "
        "image that stands out; it may be a rare patient as well as a bad image."
    )
    return Section("quality", "Image quality", blocks, lead=lead)


def _spread_blocks(given: DescriptionInput, kinds: Sequence[str], prefix: str) -> list[Block]:
    """Small multiples of each modality."""
    blocks: list[Block] = []
    by_modality: dict[str, list[Row]] = {}
    for row in given.spreads:
        if row["kind"] in kinds:
            by_modality.setdefault(str(row["modality"]), []).append(row)
    several = len({str(row["modality"]) for row in given.spreads}) > 1
    for m, (modality, rows) in enumerate(by_modality.items()):
        drawings = [
            figures.strips(
                row["values"],
                prefix=f"{prefix}{m}-{row['key']}",
                title=row["label"],
                unit=row["unit"],
                marked=row["marked"],
            )
            for row in rows
        ]
        if several:
            blocks.append(Heading(modality or "Modality not stated"))
        blocks.append(Figures(drawings))
    return blocks


def shortcuts(given: DescriptionInput) -> Section:
    """Whether the site, the scanner or a marker can be told from the images."""
    if not given.probes:
        text = "The cohort names no sites, scanners or markers, or only one of each: there is nothing to ask."
        return Section("shortcuts", "Shortcuts", [Text(text, "missing")])
    drawings = []
    for view, title in (
        ("thumbnail", "from a thumbnail of 16 x 16 grey values"),
        ("figures", "from intensities and quality"),
    ):
        lines = [line for probe in given.probes if probe["seen_in"] == view for line in _area_lines(probe)]
        if lines:
            drawings.append(
                replace(
                    figures.areas(lines[:60], prefix=f"areas-{view}", title=f"How well groups are told {title}"),
                    caption=f"Told {title}.",
                )
            )
    columns = (Column("Attribute"), Column("From"), Column("Answer"), Column("How well"))
    rows = [
        [
            Cell(wording.plain(str(probe["attribute"])), small=_beside(probe)),
            Cell("thumbnail" if probe["seen_in"] == "thumbnail" else "intensities, quality"),
            Cell(WORDS[str(probe["verdict"])], verdict=str(probe["verdict"])),
            Cell(wording.sentence(str(probe["text"])), small=_p_text(probe)),
        ]
        for probe in given.probes
        if probe["groups"] or probe["seen_in"] == "thumbnail"
    ]
    blocks: list[Block] = []
    if drawings:
        blocks.append(Figures(drawings))
    blocks.append(Table(columns, rows, kind="register"))
    blocks.append(
        Text(
            "A linear probe, cross-fitted over one image of each person, tells each group from all others. The "
            "thumbnail has 16 x 16 grey values without brightness and contrast; the figures are intensities and "
            "quality. p is exact, from permutations of people, adjusted over all questions by Holm's rule. That a site "
            "can be told does not mean that a model will use it: the audit's check of shortcuts asks the model.",
            "note",
        )
    )
    told = any(probe["verdict"] == "finding" for probe in given.probes)
    lead = (
        "What can be told can be learned: where sites differ in how often a disease is found, a model may learn the "
        "site instead of it."
        if told
        else "Nothing of how the images were made can be told from them beyond chance."
    )
    return Section("shortcuts", "Shortcuts", blocks, lead=lead)


def _size(row: Row) -> str:
    """Images and subjects of a batch."""
    images = wording.plural(row["n_images"], "image", "images")
    return f"{images} of {wording.plural(row['n_subjects'], 'subject', 'subjects')}"


def _area_lines(probe: Row) -> list[dict[str, Any]]:
    """A heading and a line for each group of a probe; nothing where it was not asked."""
    if not probe["groups"]:
        return []
    modality = f" ({probe['modality']})" if probe["modality"] else ""
    found = probe["verdict"] == "finding"
    lines = [
        {"label": f"{g['group']} (n = {g['n_subjects']})", "auc": g["auc"], "low": g["low"], "high": g["high"]}
        for g in probe["groups"]
    ]
    return [
        {"label": f"{wording.plain(str(probe['attribute']))}{modality}"},
        *({**line, "found": found} for line in lines),
    ]


def _p_text(probe: Row) -> str:
    """The adjusted p value, where something was tested."""
    return "" if wording.is_missing(probe["p"]) else f"p, adjusted: {wording.probability(probe['p_adjusted'])}"


def _beside(probe: Row) -> str:
    """The modality, and attributes that divide the people in the same way."""
    alike = f"the same as {', '.join(str(name).replace('_', ' ') for name in probe['alike'])}" if probe["alike"] else ""
    return "; ".join(part for part in (str(probe["modality"]), alike) if part)


def harmonise(given: DescriptionInput) -> Section | None:
    """The batches that harmonisation would work on, and what is tied to them."""
    if len(given.batches) < 2:
        return None
    batches = [
        [
            Cell(str(row["batch"])),
            Cell(str(row["modality"]) or wording.MISSING),
            Cell(_size(row)),
            Cell(str(row["warning"])),
        ]
        for row in given.batches[:MOST_ROWS]
    ]
    blocks: list[Block] = [
        Table((Column("Batch"), Column("Modality"), Column("Size"), Column("Warning")), batches, kind="register")
    ]
    if given.ties:
        columns = (
            Column("Attribute or label"),
            Column("Goes with the batch", numeric=True),
            Column("p", numeric=True),
            Column("Warning"),
        )
        blocks.append(Heading("What goes with the batch"))
        blocks.append(
            Table(
                columns,
                [
                    [
                        Cell(wording.plain(str(tie["covariate"])), small=str(tie["measure"])),
                        Cell(wording.number(tie["value"], 2)),
                        Cell(wording.probability(tie["p"])),
                        Cell(str(tie["warning"]) or wording.MISSING),
                    ]
                    for tie in given.ties
                ],
            )
        )
    lead = (
        "ComBat and its relatives take off each batch's shift and scale and keep what covariates explain. They need "
        "enough images in each batch, and covariates that are not tied to it. Nothing was harmonised here: "
        "describe writes the table that they take (option site-table)."
    )
    return Section("batches", "Batches, for harmonisation", blocks, lead=lead)
