"""Sections of a radiomics page about the features themselves: families, the correlation map, repeatability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fiducial.report import radiomics_words, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Fold, Section, Table, Text
from fiducial.report.figures import radiomics as figures

if TYPE_CHECKING:
    from fiducial.report.radiomics import RadiomicsInput

Row = Mapping[str, Any]
GRADES = ("excellent", "good", "moderate", "poor")
FORMS = {"icc_1_1": "ICC(1,1)", "icc_2_1": "ICC(2,1)", "icc_3_1": "ICC(3,1)"}
REPEATS = {"perturbation": "disturbed images or contours", "rater": "several readers", "visit": "several visits"}
MOST_BLOCKS = 12
MOST_NAMES = 3


def _by_family(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["family"]), []).append(row)
    return found


def families(given: RadiomicsInput) -> Section:
    """Counts by family, then every feature with its distribution, behind a line for each family."""
    by_family = _by_family(given.features)
    blocks: list[Block] = [_family_counts(by_family)]
    blocks += [
        Fold(f"{radiomics_words.family(name)}: {wording.plural(len(own), 'feature', 'features')}", [_features(own)])
        for name, own in by_family.items()
    ]
    lead = (
        "Each feature over all regions: bars from the smallest to the largest value, and below them the middle half "
        "with the median. Constant: one value everywhere. No consensus: the standard has no reference value."
    )
    return Section("families", "Features by family", blocks, lead)


def _family_counts(by_family: Mapping[str, Sequence[Row]]) -> Table:
    columns = (
        Column("Family"),
        Column("Features", numeric=True),
        Column("Values", numeric=True),
        Column("Missing", numeric=True),
        Column("Constant", numeric=True),
        Column("No consensus", numeric=True),
    )
    lines = [
        [
            Cell(radiomics_words.family(name), strong=True),
            Cell(wording.count(len(own))),
            Cell(wording.count(sum(int(row["n"]) for row in own))),
            Cell(wording.count(sum(int(row["n_missing"]) for row in own))),
            Cell(wording.count(sum(bool(row["constant"]) for row in own))),
            Cell(wording.count(sum(not row["consensus"] for row in own))),
        ]
        for name, own in by_family.items()
    ]
    return Table(columns, lines)


def _features(rows: Sequence[Row]) -> Table:
    columns = (
        Column("Feature"),
        Column("Distribution"),
        Column("Median and quartiles", numeric=True),
        Column("Smallest and largest", numeric=True),
        Column("Missing", numeric=True),
    )
    return Table(columns, [_feature(row) for row in rows], kind="named")


def _feature(row: Row) -> list[Cell]:
    low, first, median, third, high = (wording.anything(value) for value in row["quantiles"])
    code = str(row["ibsi_code"]) if row["consensus"] else f"{row['ibsi_code']}, no consensus"
    small = ", ".join(part for part in (code, radiomics_words.apart(row)) if part)
    if row.get("difference"):
        small += f"{'; ' if small else ''}PyRadiomics: {row['difference']}"
    shown: tuple[str, str] = ("", "")
    if row["n"]:
        shown = ("", f"one value, n = {wording.count(row['n'])}") if row["constant"] else ("", f"n = {row['n']}")
    reasons = "; ".join(f"{reason} ({n})" if len(row["reasons"]) > 1 else reason for reason, n in row["reasons"])
    return [
        Cell(radiomics_words.feature(row), small, strong=True),
        Cell(*shown, svg=figures.distribution(row["histogram"], row["quantiles"])),
        Cell(median, f"{first} to {third}" if row["n"] else ""),
        Cell(f"{low} to {high}" if row["n"] else wording.MISSING),
        Cell(wording.count(row["n_missing"]), reasons),
    ]


def correlation(given: RadiomicsInput) -> Section:
    """The map, and what its blocks are."""
    title = "What says the same"
    alike = given.alike
    if alike is None:
        return Section("correlation", title, [Text(given.not_alike or "There is nothing to compare.", "missing")])
    n, threshold = wording.count(alike["n_regions"]), f"{alike['threshold']:g}"
    drawing = figures.correlation_map(alike["size"], alike["cluster"], prefix="alike", title="Correlation of features")
    caption = (
        f"{wording.count(len(alike['features']))} features in {n} regions of "
        f"{wording.plural(alike['n_subjects'], 'patient', 'patients')}"
        f"{_of_structure(str(alike['structure']))}, in an order that brings together what goes together. Dark: one "
        f"feature tells the other. Outlined: clusters of three and more in which every pair reaches {threshold}. The "
        "sign is not shown."
    )
    blocks: list[Block] = [Beside(replace(drawing, caption=caption), [_blocks(alike)])]
    if left := _left_out(alike):
        blocks.append(Text(left, "note"))
    lead = (
        "Many features are one measurement under several names. Clusters are complete linkage of 1 \u2212 |\u03c1|, "
        f"cut where every pair has |\u03c1| \u2265 {threshold}; n = {n} regions."
    )
    return Section("correlation", title, blocks, lead)


def _of_structure(name: str) -> str:
    return f" (structure {name})" if name else ""


def _left_out(alike: Row) -> str:
    parts = [
        (alike["missing"], "feature is missing in more than a tenth of the regions", "features are missing in more than"
         " a tenth of the regions"),
        (alike["constant"], "feature has one value everywhere", "features have one value everywhere"),
        (alike["incomplete"], "region lacks a feature that most have", "regions lack a feature that most have"),
    ]  # fmt: skip
    said = [wording.plural(int(n), one, many) for n, one, many in parts if n]
    return f"Not on the map: {'; '.join(said)}." if said else ""


def _blocks(alike: Row) -> Table:
    """The numbered clusters: how many features, of which families."""
    found = figures.blocks_of(alike["cluster"])
    lines = []
    for place, (_, start, end) in enumerate(found[:MOST_BLOCKS], start=1):
        own = alike["features"][start:end]
        counts = Counter(str(row["family"]) for row in own).most_common()
        words = [f"{radiomics_words.short_family(name)} {n}" for name, n in counts[:MOST_NAMES]]
        more = len(counts) - MOST_NAMES
        words += [wording.plural(more, "other family", "other families")] if more > 0 else []
        lines.append([Cell(str(place), strong=True), Cell(wording.count(end - start)), Cell(", ".join(words))])
    n_alone = sum(n < 3 for n in Counter(alike["cluster"]).values())
    caption = (
        f"{wording.plural(len(found), 'cluster', 'clusters')} of three and more, "
        f"{wording.plural(n_alone, 'smaller one', 'smaller ones')}"
    )
    columns = (Column("Cluster"), Column("Features", numeric=True), Column("Of which families"))
    return Table(columns, lines, caption=caption)


def stability(given: RadiomicsInput) -> Section | None:
    """Intraclass correlations: all of them in one figure, counts by family, and each behind a line."""
    rows = given.stability
    if not rows:
        return None
    form = str(rows[0]["graded_by"])
    shown = [_graded(row) for row in rows]
    known = [row for row in shown if not wording.is_missing(row["value"])]
    blocks: list[Block] = []
    if known:
        drawing = figures.repeatability(known, prefix="icc", title="Repeatability of features")
        text = (
            f"{FORMS[form]} with {wording.percent(rows[0]['level'])} interval of "
            f"{wording.plural(len(known), 'feature', 'features')}, sorted within families. Dashed: 0.5, 0.75 and 0.9, "
            "where grades change."
        )
        blocks.append(Beside(replace(drawing, caption=text), [_grade_counts(shown)]))
    else:
        blocks += [Text("No feature has an intraclass correlation.", "missing"), _grade_counts(shown)]
    blocks += [
        Fold(
            f"{radiomics_words.family(name)}: {wording.plural(len(own), 'feature', 'features')}", [_repeats(own, form)]
        )
        for name, own in _by_family(shown).items()
    ]
    return Section("stability", "What repeats", blocks, _repeated(rows[0], form))


def _graded(row: Row) -> dict[str, Any]:
    """A stability row with the correlation that it is graded by as ``value``, ``low`` and ``high``."""
    form = str(row["graded_by"])
    return {**row, "value": row[form], "low": row[f"{form}_low"], "high": row[f"{form}_high"]}


def _repeated(row: Row, form: str) -> str:
    what = REPEATS.get(str(row["repeats"]), "repeats")
    return (
        f"The same regions again, from {what}: {wording.plural(int(row['n_repeats']), 'repeat', 'repeats')} of "
        f"{wording.plural(int(row['n_regions']), 'region', 'regions')} of "
        f"{wording.plural(int(row['n_subjects']), 'patient', 'patients')}. {FORMS[form]} is the share of variance that "
        "lies between regions; a grade is given by the lower end of its interval (poor below 0.5, moderate to 0.75, "
        "good to 0.9, excellent above)."
    )


def _grade_counts(rows: Sequence[Row]) -> Table:
    lines = []
    for name, own in _by_family(rows).items():
        grades = [str(row["grade"]) for row in own]
        cells = [Cell(wording.count(grades.count(grade))) for grade in (*GRADES, "")]
        lines.append([Cell(radiomics_words.short_family(name), strong=True), *cells])
    totals = [str(row["grade"]) for row in rows]
    lines.append(
        [Cell("All", strong=True), *(Cell(wording.count(totals.count(g)), strong=True) for g in (*GRADES, ""))]
    )
    columns = (Column("Family"), *(Column(wording.plain(grade), numeric=True) for grade in GRADES))
    return Table((*columns, Column("None", numeric=True)), lines)


def _repeats(rows: Sequence[Row], form: str) -> Table:
    lowest = min([0.0, *(float(row["low"]) for row in rows if not wording.is_missing(row["low"]))])
    ends = (max(-1.0, lowest), 1.0)
    lines = [
        [
            Cell(radiomics_words.feature(row), radiomics_words.apart(row), strong=True),
            Cell(svg=figures.interval(row["value"], row["low"], row["high"], ends=ends, marks=figures.GRADE_BOUNDS)),
            Cell(wording.number(row["value"], 2), _ends(row)),
            Cell(wording.plain(str(row["grade"])) if row["grade"] else "Not graded", str(row["reason"])),
        ]
        for row in rows
    ]
    columns = (
        Column("Feature"),
        Column(f"From {ends[0]:.2g} to 1"),
        Column(FORMS[form], numeric=True),
        Column("Grade"),
    )
    return Table(columns, lines, kind="named")


def _ends(row: Row) -> str:
    if wording.is_missing(row["low"]):
        return ""
    return f"[{wording.number(row['low'], 2)}, {wording.number(row['high'], 2)}]"
