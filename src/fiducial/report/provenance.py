"""Sections on what the figures rest on: data, integrity, model card, the evidence itself, terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from fiducial import RESEARCH_USE, __version__
from fiducial.report import rows, wording
from fiducial.report.blocks import Block, Cell, Column, Facts, Fold, Heading, Listing, Section, Table, Terms, Text
from fiducial.report.given import ReportInput
from fiducial.report.glossary import used_terms
from fiducial.report.rows import Row

OWN_KEYS = ("plan", "contract", "versions", "files", "phantom", "notes", "set_aside", "created")
RUN_WORDS = {
    "fingerprint": "Study fingerprint",
    "n_train": "Training cases",
    "n_validation": "Validation cases",
    "seconds": "Training time (s)",
    "study_name": "Study",
    "data_name": "Data",
    "model_sha256": "Model digest (SHA-256)",
}
WIDE = 6
"""A table of this many columns becomes a list of names and values where the page is narrow."""
MISSINGNESS, LEAKAGE = ("missingness",), ("leakage", "leak", "leaks")


def facts(values: Mapping[str, Any], title: str = "", *, mono: bool = False) -> Facts:
    """A mapping as pairs; nested mappings are written in one line."""
    pairs = [
        (RUN_WORDS.get(str(key), wording.plain(str(key))), wording.anything(value)) for key, value in values.items()
    ]
    return Facts(pairs, title, mono)


def records_table(records: Sequence[Any], caption: str = "") -> Table:
    """A list of mappings or frozen records as a table; the columns are the keys in the order they first appear."""
    lines = [_mapping(record) for record in records]
    names = list(dict.fromkeys(str(key) for line in lines for key in line))
    numeric = {
        name: all(_is_number(line.get(name)) or wording.is_missing(line.get(name)) for line in lines) for name in names
    }
    columns = [Column(wording.plain(name), numeric=numeric[name]) for name in names]
    texts = [{name: wording.anything(line.get(name)) for name in names} for line in lines]
    if "attribute" in names:
        stated = [text["attribute"] for text in texts]
        for text, name, before in zip(texts, stated, ["", *stated], strict=False):
            text["attribute"] = "" if name == before else wording.plain(name)
    kind = "named" if len(names) >= WIDE and "attribute" not in names else ""
    return Table(columns, [[Cell(text[name]) for name in names] for text in texts], caption, kind)


def _mapping(record: Any) -> Mapping[str, Any]:
    if is_dataclass(record) and not isinstance(record, type):
        return asdict(record)
    return record if isinstance(record, Mapping) else {"entry": str(record)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def data(given: ReportInput, found: Sequence[Row]) -> Section:
    """What the data are: name, parts, attributes, missingness, fingerprint, ingest."""
    blocks: list[Block] = []
    if given.phantom:
        blocks.append(
            Text(
                "Phantom data: these patients do not exist. They were drawn by rules whose truth is known, to show the "
                "software and to check it. Nothing here says how a model would do on real patients.",
                "warning",
            )
        )
    n_subjects, n_images = rows.sizes(found)
    known = {
        "Data set": given.data_name or "not named",
        "Audited part": "test"
        if any(row["split"] == "test" for row in found)
        else "the whole table (it names no parts)",
        "Patients audited": wording.count(n_subjects) if n_subjects else "unknown: no person is named",
        "Images audited": wording.count(n_images) if n_images else wording.MISSING,
    }
    blocks.append(Facts(list(known.items())))
    if not given.description:
        blocks.append(
            Text("No cohort: this audit was made from tables alone, so the images are not described here.", "missing")
        )
    for title, content in (given.description or {}).items():
        if title == "parts":
            content = _parts(content, person_known=n_subjects > 0)  # noqa: PLW2901
        blocks.extend(_described(wording.plain(str(title)), content))
    if given.ingest:
        blocks.append(_ingest(given.ingest))
    aside = given.run.get("set_aside")
    if aside:
        noun = wording.plural(len(aside), "case was", "cases were")
        blocks.append(Fold(f"{noun} set aside in training", [records_table(aside)]))
    return Section("data", "Data", blocks, "Which patients and images the figures rest on.")


def _described(title: str, content: Any) -> list[Block]:
    """A table, facts or a sentence, whichever the description holds."""
    if hasattr(content, "to_dict") and hasattr(content, "columns"):
        content = content.to_dict("records")
    if isinstance(content, Mapping):
        return [facts(content, title)] if content else []
    if isinstance(content, list | tuple):
        if not content:
            return []
        return [Heading(title), records_table(content)]
    return [Facts([(title, wording.anything(content))])]


def _parts(content: Any, *, person_known: bool) -> list[dict[str, Any]]:
    """The parts without a column that says nothing: patients where no person is known, what no part has any of."""
    lines = [dict(_mapping(line)) for line in content]
    empty = {name for line in lines for name in line if not any(one.get(name) for one in lines)}
    hidden = empty | (set() if person_known else {"n_subjects"})
    return [{name: value for name, value in line.items() if name not in hidden} for line in lines]


def _ingest(ingest: Sequence[Any]) -> Fold:
    lines = [_mapping(row) for row in ingest]
    counts = {
        status: sum(str(line.get("status")) == status for line in lines)
        for status in ("accepted", "repaired", "rejected")
    }
    words = ", ".join(f"{n} {status}" for status, n in counts.items() if n) or f"{len(lines)} entries"
    order = {"rejected": 0, "repaired": 1}
    lines.sort(key=lambda line: order.get(str(line.get("status")), 2))
    return Fold(f"Ingest report: {words}", [records_table(lines)])


def integrity(given: ReportInput, found: Sequence[Row]) -> Section:
    """Leaks, missingness, and how often the test part was opened."""
    blocks: list[Block] = [Heading("Patients or images in more than one part"), *_leaks(given, found)]
    blocks.append(Heading("Missing values"))
    missing = [row for row in rows.figures(found) if row["check"] in MISSINGNESS]
    blocks.append(_check_lines(missing) if missing else Text("The audit has no figures on missing values.", "missing"))
    blocks.append(Heading("Use of the test part"))
    if given.openings is None:
        blocks.append(
            Text("Openings of the test part were not counted: the predictions were made outside Fiducial.", "missing")
        )
    else:
        times = "once" if given.openings == 1 else f"{wording.count(given.openings)} times"
        text = f"The test part of this study has been opened {times}, this audit included."
        changed = next(
            (str(r["reason"]) for r in found if r["check"] == "openings" and "was changed" in r["reason"]), ""
        )
        if changed:
            text = f"{wording.sentence(changed)}."
        if given.openings > 1:
            text += " Each further look weakens what the test part proves: choices may have been made after seeing it."
        blocks.append(Text(text, "warning" if given.openings > 3 else "body"))
    return Section("integrity", "Leakage, missing values and use of the test part", blocks)


def _leaks(given: ReportInput, found: Sequence[Row]) -> list[Block]:
    checked = [row for row in rows.figures(found) if row["check"] in LEAKAGE]
    blocks: list[Block] = []
    dropped = [str(note) for note in given.run.get("notes") or ()]
    if dropped:
        pairs = [Listing(dropped[1:])] if dropped[1:] else []
        blocks += [Text(f"Before training: {dropped[0]}."), *([Fold("The leaking pairs", pairs)] if pairs else [])]
    if given.leaks is None and not checked:
        return [*blocks, Text("Not looked for: the parts of the data were not given.", "missing")]
    if checked:
        blocks.append(_check_lines(checked))
    if given.leaks is not None:
        n_leaks = len(given.leaks)
        if n_leaks:
            noun = "pair" if n_leaks == 1 else "pairs"
            blocks.append(Fold(f"{wording.count(n_leaks)} {noun} across parts", [records_table(given.leaks[:200])]))
        elif not checked:
            blocks.append(Text("No patient, no image and no near copy of an image stands in more than one part."))
    return blocks


def _check_lines(found: Sequence[Row]) -> Table:
    lines = []
    for row in found:
        verdict = str(row["verdict"])
        lines.append(
            [
                Cell(wording.VERDICT_WORDS.get(verdict, wording.MISSING), verdict=verdict),
                Cell(wording.metric(str(row["metric"])).label, wording.target_text(row), href=f"#e{row['id']}"),
                Cell(wording.MISSING if wording.is_missing(row["value"]) else wording.anything(row["value"])),
                Cell(wording.sentence(str(row["reason"]) or str(row["method"]))),
            ]
        )
    return Table(
        (Column("Result"), Column("What"), Column("Value", numeric=True), Column("Remark")), lines, kind="checks"
    )


def model_card(given: ReportInput, found: Sequence[Row]) -> Section:
    """Intended use, limits, model, environment, digests."""
    study, run = given.study, given.run
    blocks: list[Block] = []
    if study is None:
        blocks.append(Text("No study file: intended use, limits and criteria were not stated by anyone.", "missing"))
    else:
        blocks.append(Facts([("Intended use", study.study.intended_use), ("Targets", ", ".join(study.task.targets))]))
        excluded = list(study.study.not_for)
        blocks.append(
            Listing(excluded, "Not for") if excluded else Text("The study names no use that is excluded.", "missing")
        )
    blocks.append(Listing(limits(given, found), "Limits of this evidence"))
    plain_facts = {
        key: value
        for key, value in run.items()
        if key not in OWN_KEYS and not isinstance(value, Mapping) and wording.anything(value) != wording.MISSING
    }
    blocks.append(
        facts(plain_facts, "Model and run") if plain_facts else Text("No facts about the model were given.", "missing")
    )
    for key, value in run.items():
        if isinstance(value, Mapping) and value and key not in OWN_KEYS:
            blocks.append(facts(value, wording.plain(str(key))))
    if isinstance(run.get("contract"), Mapping) and run["contract"]:
        blocks += contract(run["contract"])
    if isinstance(run.get("versions"), Mapping) and run["versions"]:
        blocks.append(facts(run["versions"], "Environment"))
    if given.history is None and run.get("plan"):
        blocks.append(Fold("Plan", [facts(run["plan"])]))
    if run.get("files"):
        blocks.append(Fold("Digests (SHA-256) of the run's files", [facts(run["files"], mono=True)]))
    return Section("model-card", "Model card", blocks, "What the model is, what it is for, and what it is not for.")


def contract(stated: Mapping[str, Any]) -> list[Block]:
    """The input contract as ranges, one line for each input; a contract of another shape as it is."""
    title = "Input contract: what the model accepts"
    if not {"channels", "spacing_min_mm", "spacing_max_mm"} <= stated.keys():
        return [facts(stated, title)]
    spacing = [_between(*ends) for ends in zip(stated["spacing_min_mm"], stated["spacing_max_mm"], strict=True)]
    lines = [
        [
            Cell(str(channel["modality"]) or "not stated"),
            Cell(str(channel["unit"]) or "arbitrary"),
            Cell(_between(*channel["p1"])),
            Cell(_between(*channel["p99"])),
        ]
        for channel in stated["channels"]
    ]
    columns = (Column("Modality"), Column("Unit"), Column("1st percentile of voxels"), Column("99th percentile"))
    alike = spacing[0] if len(set(spacing)) == 1 else f"{', '.join(spacing)} (smallest, middle, largest)"
    pairs = [("Dimensions", str(stated["dimensions"])), ("Spacing (mm)", alike)]
    if stated.get("region_mask"):
        pairs.append(("Region", f"needs a mask of {stated['region_mask']}"))
    return [Heading(title), Table(columns, lines), Facts(pairs)]


def _between(low: Any, high: Any) -> str:
    return f"{wording.anything(low)} to {wording.anything(high)}"


def signed_by(given: ReportInput) -> str:
    """Who signed, in one sentence; a signature that no longer holds is said to be none."""
    holding = [who for who in given.signatures if who.holds]
    if holding:
        return "Signed by " + ", ".join(f"{who.name} ({wording.moment(who.signed_at)})" for who in holding) + "."
    return "Signed, but changed since." if given.signatures else "Unsigned."


def limits(given: ReportInput, found: Sequence[Row]) -> list[str]:
    """Sentences on what this evidence cannot support; each follows from a fact in the input."""
    result = [RESEARCH_USE]
    if given.phantom:
        result.append("All data are phantom data; nothing is known about real patients.")
    if given.study is None:
        result.append("No criteria were stated before the audit.")
    if any(wording.by_image(row) for row in found):
        result.append("The person behind an image is unknown; intervals are by image and too narrow.")
    n_subjects, n_images = rows.sizes(found)
    n = n_subjects or n_images
    if 0 < n < 100:
        result.append(f"Only {n} {'patients' if n_subjects else 'images'} were audited; rare errors cannot be seen.")
    if rows.is_score(found) and not any(row["split"] == "calibration" for row in found):
        result.append("There was no calibration part: the threshold was not fitted on data of this kind.")
    if not rows.groups_by_metric(found):
        result.append("Nothing is known about subgroups of patients.")
    unknown = [row for row in rows.checks(found) if row["verdict"] == "not_possible"]
    if unknown:
        names = ", ".join(dict.fromkeys(wording.plain(str(row["check"])).lower() for row in unknown))
        result.append(f"Checks that were not possible: {names}.")
    return result


_EVIDENCE_COLUMNS = (
    Column("No.", numeric=True, narrow=True),
    Column("Metric"),
    Column("Target"),
    Column("Group"),
    Column("Part"),
    Column("Value", numeric=True),
    Column("Interval", numeric=True),
    Column("Patients", numeric=True),
    Column("Images", numeric=True),
    Column("Events", numeric=True),
    Column("p (adjusted)", numeric=True),
    Column("Verdict"),
    Column("Method and source"),
)


def evidence(found: Sequence[Row], digest: str) -> Section:
    """Every evidence row, by check, behind lines that open."""
    blocks: list[Block] = []
    for check in dict.fromkeys(str(row["check"]) for row in found):
        chosen = [row for row in found if row["check"] == check]
        noun = "row" if len(chosen) == 1 else "rows"
        table = Table(_EVIDENCE_COLUMNS, [_evidence_line(row) for row in chosen], kind="evidence")
        blocks.append(Fold(f"{wording.plain(check)} ({len(chosen)} {noun})", [table]))
    if not blocks:
        blocks.append(Text("The evidence table is empty.", "missing"))
    n_rows = wording.plural(len(found), "row", "rows")
    lead = f"All {n_rows}, with number, method and source; intervals of 95 % unless stated. SHA-256: {digest}."
    return Section("evidence", "Evidence", blocks, lead)


def _evidence_line(row: Row) -> list[Cell]:
    statistic = str(row["statistic"])
    condition = str(row["condition"])
    verdict = str(row["verdict"])
    required = wording.bound_text(row) if not wording.is_missing(row["threshold"]) else ""
    source = [str(row[name]) for name in ("reason", "method", "reference", "source") if row[name]]
    if row["seed"]:
        source.append(f"seed {row['seed']}")
    level = wording.percent(row["level"]) if wording.interval_text(row) and row["level"] != 0.95 else ""
    return [
        Cell(str(row["id"]), anchor=f"e{row['id']}"),
        Cell(wording.metric(str(row["metric"])).label, "" if statistic == "value" else statistic),
        Cell(wording.target_text(row) or wording.MISSING),
        Cell(wording.group_text(str(row["group"])), "" if condition in ("clean", "") else condition),
        Cell(str(row["split"]) or wording.MISSING),
        Cell(wording.value_text(row)),
        Cell(wording.interval_text(row) or wording.MISSING, level),
        Cell(wording.count(row["n_subjects"])),
        Cell(wording.count(row["n_images"])),
        Cell(wording.count(row["n_events"])),
        Cell(*wording.tested(row)),
        Cell(wording.VERDICT_WORDS.get(verdict, wording.MISSING), required, verdict=verdict),
        Cell("; ".join(source) or wording.MISSING),
    ]


def glossary(found: Sequence[Row]) -> Section:
    """The terms that this report uses."""
    adjusted = any(not wording.is_missing(row["p_adjusted"]) for row in found)
    terms = used_terms({str(r["metric"]) for r in found}, {str(r["statistic"]) for r in found}, adjusted=adjusted)
    return Section("glossary", "Terms", [Terms(terms)], "For readers who do not work with statistics every day.")


def made_by() -> str:
    """Name and version of the software."""
    return f"Fiducial {__version__}"
