"""Sections of a cohort's page about people: who they are, labels, what is missing, visits, and the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fiducial.report import wording
from fiducial.report.blocks import Block, Cell, Column, Figures, Fold, Heading, Section, Table, Text
from fiducial.report.figures import cohort as figures
from fiducial.report.tables import MOST_ROWS, plain_table

if TYPE_CHECKING:
    from fiducial.report.description import DescriptionInput

Row = Mapping[str, Any]


def people(given: DescriptionInput) -> Section:
    """Counts by site and sex, ages, and the parts of the split."""
    groups: dict[str, dict[str, int]] = {}
    by_sex: dict[str, list[float]] = {}
    for row in given.people:
        own = groups.setdefault(str(row["group"]), {})
        own[str(row["sex"])] = own.get(str(row["sex"]), 0) + 1
        if not wording.is_missing(row["age"]):
            by_sex.setdefault(str(row["sex"]), []).append(float(row["age"]))
    kinds = sorted({str(row["sex"]) for row in given.people}, key=lambda sex: (sex == "", sex))
    drawings = []
    if len(groups) > 1 or len(kinds) > 1:
        ordered = {name: groups[name] for name in sorted(groups)}
        title = f"Subjects by {given.compared_by or 'sex'}" + (
            " and sex" if given.compared_by and kinds != [""] else ""
        )
        drawings.append(figures.counts(ordered, prefix="people", title=title, xlabel="Subjects", kinds=kinds))
    if by_sex:
        ages = {sex: by_sex[sex] for sex in kinds if sex in by_sex}
        drawings.append(figures.ages(ages, prefix="ages", title="Ages"))
    blocks: list[Block] = [Figures(drawings)] if drawings else []
    if not any(row["sex"] for row in given.people) and not by_sex:
        blocks.append(
            Text("Neither sex nor age is known: whom a model serves badly cannot be asked of this cohort.", "missing")
        )
    if given.acquisition:
        blocks.append(Fold("How images were made, as far as headers say", [plain_table(given.acquisition)]))
    known = dict(given.counts)
    several = known.get("Images", 0) > known.get("Subjects", 0)
    lead = "Of a person with several images, the first counts." if several else ""
    return Section("people", "People", blocks, lead=lead)


def labels(given: DescriptionInput) -> Section | None:
    """How often each label is found, by site, and every attribute by part."""
    rows = given.tables.get("attributes", [])
    by_label: dict[str, list[Row]] = {}
    for row in given.prevalence:
        by_label.setdefault(str(row["label"]), []).append(row)
    blocks: list[Block] = []
    drawings = [
        figures.shares(
            own,
            prefix=f"label{k}",
            title=f"Share with {label}",
            xlabel=f"Share of subjects with {wording.plain(label).lower()} = 1",
        )
        for k, (label, own) in enumerate(by_label.items())
    ]
    if drawings:
        blocks.append(Figures(drawings[:8]))
        blocks.append(Text("Points with Wilson's 95 % interval; the dashed line is everybody.", "note"))
    if rows:
        blocks.append(Fold("Every attribute and label, by part", [plain_table(rows)]))
    if not blocks:
        return Section("labels", "Labels", [Text("The cohort has neither labels nor attributes.", "missing")])
    return Section("labels", "Labels and attributes", blocks)


def missing(given: DescriptionInput) -> Section | None:
    """The matrix of what is not known."""
    if not given.missing:
        return None
    by_name: dict[str, list[Row]] = {}
    for row in given.missing:
        by_name.setdefault(str(row["attribute"]), []).append(row)
    never = [name for name, rows in by_name.items() if all(row["n_missing"] == row["n_images"] for row in rows)]
    some = [name for name, rows in by_name.items() if name not in never and any(row["n_missing"] for row in rows)]
    whole = len(by_name) - len(never) - len(some)
    lead = f"{wording.plural(whole, 'attribute is', 'attributes are')} known for every image."
    if never:
        lead += f" Never stated: {', '.join(wording.plain(name).lower() for name in never)}."
    if not some:
        return Section("missing", "Missing values", [], lead=lead)
    rows = [row for name in some for row in by_name[name]]
    drawing = figures.missing(rows, prefix="missing", title="Share of images that lack a value")
    return Section(
        "missing",
        "Missing values",
        [Figures([replace(drawing, caption="Share of images that lack a value.")])],
        lead=lead,
    )


def visits(given: DescriptionInput) -> Section | None:
    """Who came again, how long after, and what does not fit."""
    if not given.n_followed and not given.problems:
        return None
    blocks: list[Block] = []
    nearest = [row for row in given.pairs if row["rank"] == 1]
    days = [float(row["interval_days"]) for row in nearest if not wording.is_missing(row["interval_days"])]
    if len(days) > 1 and max(days) > 0:
        blocks.append(Figures([figures.intervals(days, prefix="intervals", title="Days since the nearest prior")]))
    if given.problems:
        columns = (Column("Subject"), Column("Problem"), Column("What was found"))
        lines = [
            [Cell(str(row["subject"])), Cell(wording.plain(str(row["kind"]))), Cell(wording.sentence(str(row["text"])))]
            for row in given.problems[:MOST_ROWS]
        ]
        blocks += [Heading("Visits that do not fit"), Table(columns, lines)]
    if nearest:
        paired = (
            Column("Image"),
            Column("Nearest prior"),
            Column("Days", numeric=True),
            Column("Priors", numeric=True),
        )
        lines = [
            [
                Cell(str(row["image"])),
                Cell(str(row["prior"])),
                Cell(wording.number(row["interval_days"], 0)),
                Cell(wording.count(row["n_prior"])),
            ]
            for row in nearest[:MOST_ROWS]
        ]
        blocks.append(
            Fold(f"{wording.plural(len(nearest), 'image has', 'images have')} a prior", [Table(paired, lines)])
        )
    followed = f"{wording.plural(given.n_followed, 'subject has', 'subjects have')} several visits."
    together = "All visits of a person stay in one part of every split and in one fold."
    lead = f"{followed} {together}" if given.n_followed else "No subject has several visits."
    return Section("visits", "Visits", blocks, lead=lead)


def parts(given: DescriptionInput) -> Section:
    """The split as it stands, leaks between its parts, and copies."""
    parts = given.tables.get("parts", [])
    blocks: list[Block] = [plain_table(parts)] if parts else []
    if any(str(row["part"]) != "(none)" for row in parts):
        if given.leaks:
            columns = (Column("Kind"), Column("In one part"), Column("In another"))
            lines = [
                [
                    Cell(wording.plain(str(k["kind"]))),
                    Cell(str(k["image_a"]), small=str(k["split_a"])),
                    Cell(str(k["image_b"]), small=str(k["split_b"])),
                ]
                for k in given.leaks[:MOST_ROWS]
            ]
            blocks += [
                Heading(f"{wording.plural(len(given.leaks), 'leak', 'leaks')} between parts"),
                Table(columns, lines),
            ]
        else:
            blocks.append(Text("No person, image or near copy stands in two parts."))
    else:
        blocks.append(Text("No split is stated yet: a study divides the cohort by its own rule.", "note"))
    if given.copies:
        copied = (
            Column("Kind"),
            Column("Image"),
            Column("Its copy"),
            Column("Distance", numeric=True),
            Column("Whose"),
        )
        lines = [
            [
                Cell(wording.plain(str(c["kind"]))),
                Cell(str(c["image_a"])),
                Cell(str(c["image_b"])),
                Cell(wording.number(c["distance"], 4)),
                Cell("one subject" if c["same_person"] else "two subjects", strong=not c["same_person"]),
            ]
            for c in given.copies[:MOST_ROWS]
        ]
        blocks += [
            Heading(f"{wording.plural(len(given.copies), 'pair of copies', 'pairs of copies')}"),
            Table(copied, lines),
        ]
        if len(given.copies) > MOST_ROWS:
            blocks.append(Text(f"{len(given.copies) - MOST_ROWS:,} more are in the JSON (--json).", "note"))
    else:
        blocks.append(Text("No image is there twice, whole or as a near copy."))
    return Section("parts", "Parts and copies", blocks)
