"""What a cohort is, as one HTML page that people would show: who is in it, from where, how good the images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fiducial.records.files import write_text
from fiducial.records.picture import Picture
from fiducial.report import description_images, description_people, wording
from fiducial.report.blocks import Block, Facts, Listing, Section

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DescriptionInput:
    """What a cohort's page is made from; every row is a mapping, and nothing is computed from them here.

    ``compared_by`` is the column that groups images (``site`` ...), "" where there is none. ``people``: subject, group,
    sex, age. ``tables`` are those of the cohort's description. ``spreads``: modality, key, label, unit, kind (``grid``,
    ``intensity`` or ``quality``), values and marked (outliers) by group. ``outliers``: image, site, modality, reasons.
    ``probes``: attribute, modality, seen_in, groups, p, p_adjusted, verdict, text. ``batches`` and ``ties`` come from
    the site table. ``pairs``: image, prior, interval_days, rank. ``problems``: subject, kind, text. ``copies``: kind,
    image_a, image_b, same_person, distance. ``leaks``: kind, image_a, split_a, image_b, split_b. ``notes``: what could
    not be measured. ``n_groups`` counts the groups that images are compared by; ``measured`` says whether ingest
    measured quality, ``compared`` whether there were enough images of any kind to say what is usual.
    """

    name: str
    phantom: bool
    compared_by: str
    counts: Sequence[tuple[str, int]]
    people: Sequence[Row]
    tables: Mapping[str, Sequence[Row]]
    missing: Sequence[Row]
    prevalence: Sequence[Row]
    acquisition: Sequence[Row]
    spreads: Sequence[Row]
    outliers: Sequence[Row]
    pictures: Sequence[Picture]
    probes: Sequence[Row]
    batches: Sequence[Row]
    ties: Sequence[Row]
    pairs: Sequence[Row]
    n_followed: int
    problems: Sequence[Row]
    copies: Sequence[Row]
    leaks: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)
    n_groups: int = 0
    measured: bool = True
    compared: bool = True


def render_description(given: DescriptionInput) -> str:
    """The page as one HTML document; the same input gives the same bytes. Names from tables are text, never markup."""
    from fiducial.report.page import document

    sections = [
        _summary(given),
        description_people.people(given),
        description_people.labels(given),
        description_people.missing(given),
        description_images.images(given),
        description_images.quality(given),
        description_images.shortcuts(given),
        description_images.harmonise(given),
        description_people.visits(given),
        description_people.parts(given),
    ]
    lead = "Who is in this cohort, where the images come from, how good they are, and what to know before training."
    kind = "Phantom cohort: patients who do not exist" if given.phantom else "Cohort"
    return document(sections, title=given.name, kind=kind, lead=lead)


def write_description(given: DescriptionInput, path: str | Path) -> Path:
    """Render and write atomically; returns the path."""
    write_text(path, render_description(given))
    return Path(path)


def _summary(given: DescriptionInput) -> Section:
    """How many of what, and what a reader must know first."""
    blocks: list[Block] = [Facts([(label, wording.count(n)) for label, n in given.counts])]
    if said := _to_know(given):
        blocks.append(Listing(said, "To know before training"))
    if given.notes:
        blocks.append(Listing(list(given.notes), "Not measured"))
    return Section("summary", "In short", blocks, lead=_sentence(given))


def _sentence(given: DescriptionInput) -> str:
    known = dict(given.counts)
    subjects = wording.plural(known.get("Subjects", 0), "subject", "subjects")
    images = wording.plural(known.get("Images", 0), "image", "images")
    one = given.compared_by
    places = f" from {wording.plural(given.n_groups, one, f'{one}s')}" if one and given.n_groups else ""
    return f"{subjects} with {images}{places}."


def _to_know(given: DescriptionInput) -> list[str]:
    """One sentence for each thing that was found; none where all is well."""
    said = []
    if given.outliers:
        first = given.outliers[0]
        said.append(
            f"{wording.plural(len(given.outliers), 'image stands out', 'images stand out')} from the others; "
            f"first {first['image']}: {first['reasons'][0]['text']}."
        )
    told = list(dict.fromkeys(str(p["attribute"]) for p in given.probes if p["verdict"] == "finding"))
    tied = [str(tie["covariate"]) for tie in given.ties if tie["warning"]]
    if told:
        risk = f" Since {_listed(tied)} goes with it, a model can learn one for the other." if tied else ""
        said.append(f"{wording.sentence(_listed(told))} can be told from the images.{risk}")
    elif tied:
        said.append(f"{wording.sentence(_listed(tied))} goes with where the images were made.")
    apart = [copy for copy in given.copies if not copy["same_person"]]
    if apart:
        said.append(
            f"{wording.plural(len(apart), 'pair of images is', 'pairs of images are')} one image under two subjects."
        )
    if given.leaks:
        said.append(
            f"{wording.plural(len(given.leaks), 'pair stands', 'pairs stand')} in two parts of the split: a leak."
        )
    if given.problems:
        said.append(f"{wording.plural(len(given.problems), 'visit does', 'visits do')} not fit in time.")
    return said


def _listed(names: Sequence[str]) -> str:
    plain = [wording.plain(name) for name in names]
    plain = [name if name[1:2].isupper() else name[:1].lower() + name[1:] for name in plain]
    return plain[0] if len(plain) == 1 else f"{', '.join(plain[:-1])} and {plain[-1]}"
