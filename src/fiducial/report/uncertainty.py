"""Uncertainty: what the sets promise and keep, by class and group, and which cases must go to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fiducial.report import rows, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Heading, Section, Table, Text
from fiducial.report.figures import uncertainty as figures
from fiducial.report.figures.svg import Drawing
from fiducial.report.figures.uncertainty import CoverageLine
from fiducial.report.given import ReportInput
from fiducial.report.performance import curve_rows, metric_table
from fiducial.report.rows import Row

CONFORMAL, SELECTIVE = "conformal", "selective"
_OWN = ("lac_by_class", "lac_by_group")
_PLAIN = ("lac", "interval", "survival")
_CAPTION = (
    ", with intervals of these patients. The verdict also counts the chance in the calibration part and the number of "
    "comparisons."
)
_HOLLOW = (
    " Filled: sets made alike for everybody, whose promise is an average over all patients. Hollow: sets whose "
    "quantile comes from calibration patients of that class or group alone, with a promise there."
)


def section(given: ReportInput, found: Sequence[Row]) -> Section | None:
    """Verdicts, coverage against its promise, sizes of sets, the risk-coverage curve and the deferral rule."""
    own = [row for row in found if row["check"] in (CONFORMAL, SELECTIVE)]
    spoken = [row for row in own if not (row["verdict"] == "not_possible" and not row["target"])]
    if not spoken:
        return None
    blocks: list[Block] = [_verdicts(own)] if any(row["verdict"] for row in own if "=" not in row["group"]) else []
    blocks += _conformal([row for row in own if row["check"] == CONFORMAL])
    blocks += _selective(given, [row for row in own if row["check"] == SELECTIVE])
    lead = "Where the model leaves several answers open or hands a case to a person, and whether its promises are kept."
    return Section("uncertainty", "Uncertainty", blocks, lead)


def _verdicts(own: Sequence[Row]) -> Table:
    """Verdicts that say one and the same of several attributes share a line, with the smallest p."""
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows.checks(own):
        key = tuple(str(row[name]) for name in ("verdict", "check", "target", "item", "reason"))
        alike.setdefault((*key, "" if row["group"] == "all" else "groups"), []).append(row)
    lines = []
    for same in alike.values():
        row = min(same, key=lambda one: 2.0 if wording.is_missing(one["p_adjusted"]) else float(one["p_adjusted"]))
        groups = [str(one["group"]).replace("_", " ") for one in same if one["group"] != "all"]
        about = [str(row["target"]), f"groups of {', '.join(groups)}" if groups else ""]
        named = _named(str(row["item"])) or "Coverage"
        adjusted, _ = wording.tested(row)
        lines.append(
            [
                Cell(wording.VERDICT_WORDS[str(row["verdict"])], verdict=str(row["verdict"])),
                Cell(
                    ", ".join(part for part in about if part) or "all",
                    "Confidence" if row["check"] == SELECTIVE else named,
                    f"#e{row['id']}",
                ),
                Cell(wording.sentence(str(row["reason"]))),
                Cell(adjusted),
            ]
        )
    columns = (Column("Result"), Column("Target"), Column("What it says"), Column("Adjusted p", numeric=True))
    return Table(columns, lines, kind="checks")


def _conformal(own: Sequence[Row]) -> list[Block]:
    """Per target a figure and its sentences; one table of all ways of making sets."""
    blocks: list[Block] = []
    for place, target in enumerate(dict.fromkeys(str(row["target"]) for row in own if row["target"])):
        mine = [row for row in own if row["target"] == target]
        measured = [row for row in mine if row["metric"] == "coverage" and row["statistic"] == "value"]
        sentences = [Text(text) for text in [*_labels_in_words(mine), *_cases_in_words(mine)]]
        lines = _lines(measured)
        if not lines:
            blocks += sentences
            continue
        title = f"Coverage, {target}"
        promise = float(measured[0]["threshold"])
        drawing = figures.coverage(lines, prefix=f"cov{place}", title=title, promise=promise)
        caption = f"{title}{_CAPTION}{_HOLLOW if any(line.own is not None for line in lines) else ''}"
        blocks.append(Beside(Drawing(drawing.svg, caption, title), sentences))
    sizes = _sizes(own)
    return [*blocks, Heading("Coverage and size of the sets"), sizes] if sizes is not None else blocks


def _lines(own: Sequence[Row]) -> list[CoverageLine]:
    """All patients first, then classes, then the groups of each attribute."""
    lines = [
        CoverageLine(f"{'All' if row['item'] in _PLAIN else 'All images at once'} ({_n(row)})", common=row)
        for row in own
        if row["group"] == "all" and row["item"] in (*_PLAIN, "lac_all_images")
    ]
    heading, groups = "", list(dict.fromkeys(str(row["group"]) for row in own if "=" in row["group"]))
    for group in groups:
        name = group.partition("=")[0]
        if name != heading:
            heading = name
            lines.append(CoverageLine("Truth" if name == "truth" else wording.plain(name)))
        mine = [row for row in own if row["group"] == group]
        common = next((row for row in mine if row["item"] in _PLAIN), None)
        apart = next((row for row in mine if row["item"] in _OWN), None)
        n = _n(common or apart or mine[0])
        lines.append(CoverageLine(f"{_value(group, groups)} ({n})", common, apart))
    return lines


def _named(item: str) -> str:
    """A way of making sets, in words."""
    return wording.sentence(wording.ITEMS[CONFORMAL].get(item, item))


def _value(group: str, groups: Sequence[str]) -> str:
    """A group's value; the two truths of a binary target in words."""
    if {one for one in groups if one.startswith("truth=")} == {"truth=0", "truth=1"}:
        words = {"truth=0": "without the finding", "truth=1": "with the finding"}
        return words.get(group, wording.group_values(group))
    return wording.group_values(group)


def _n(row: Row) -> str:
    return f"n = {wording.count(row['n_subjects'] or row['n_images'])}"


def _labels_in_words(own: Sequence[Row]) -> list[str]:
    """What a reader would ask of label sets: is the promise kept, how often is there one answer, whom does it fail?"""

    def one(metric: str, statistic: str, item: str, group: str = "all") -> Row | None:
        wanted = {"metric": metric, "statistic": statistic, "item": item, "group": group}
        return next((r for r in own if all(r[k] == v for k, v in wanted.items()) and _known(r)), None)

    texts = []
    whole = one("coverage", "value", "lac")
    if whole is not None:
        promised = wording.percent(whole["threshold"])
        texts.append(
            f"Sets that should hold the truth for {promised} of patients hold it for {_share(whole)} "
            f"({wording.population(whole)})."
        )
    single, several, empty = (one("set_size", f"share_{name}", "lac") for name in ("single", "several", "empty"))
    if single is not None and several is not None and empty is not None:
        texts.append(
            f"{_share(single)} of images get one answer, {_share(several)} several, and {_share(empty)} none: an image "
            "that resembles no class well enough."
        )
    classes = [row for row in own if row["item"] == "lac" and str(row["group"]).startswith("truth=")]
    known = [row for row in classes if _known(row) and row["statistic"] == "value"]
    if known:
        worst = min(known, key=lambda row: float(row["value"]))
        apart = one("coverage", "value", "lac_by_class", str(worst["group"]))
        name = _value(str(worst["group"]), [str(row["group"]) for row in known])
        who = f"Of patients {name}" if name.startswith("with") else f"Where the truth is {name}"
        text = f"{who}, they hold it for {_share(worst)}"
        text += f"; sets with a quantile of that class for {_share(apart)}." if apart is not None else "."
        texts.append(text)
    return texts


def _cases_in_words(own: Sequence[Row]) -> list[str]:
    """Volumes, masks and survival, each with what it assumes."""
    texts = []
    for row in own:
        if row["group"] != "all" or row["statistic"] == "test" or not _known(row):
            continue
        promised, item = wording.percent(row["threshold"]), row["item"]
        if item == "interval" and row["metric"] == "coverage":
            width = next((one for one in own if one["metric"] == "interval_width"), None)
            size = f" {wording.value_text(width)} wide" if width is not None and _known(width) else ""
            texts.append(f"Intervals{size} that should hold the true volume for {promised} hold it for {_share(row)}.")
        if item == "mask_risk" and row["metric"] == "false_negative_rate":
            cut = next((one for one in own if one["metric"] == "mask_size" and _known(one)), None)
            large = f" The masks are then {wording.value_text(cut)} times as large as the true ones." if cut else ""
            texts.append(
                f"At the chosen threshold of the probability map {_share(row)} of a structure is missed on average, "
                f"where at most {promised} were promised.{large}"
            )
        if item == "survival":
            texts.append(
                f"Lower bounds of survival that {promised} of patients should outlive are outlived by {_share(row)}. "
                f"How they were made, and what they assume: {row['method']}."
            )
    return texts


def _known(row: Row) -> bool:
    return not wording.is_missing(row["value"])


def _share(row: Row) -> str:
    return f"{wording.number(100 * float(row['value']), 1)}\u00a0%"


def _sizes(own: Sequence[Row]) -> Table | None:
    """One line for each way of making sets: coverage, mean size, shares of empty, single and open answers."""
    lines = []
    keys = dict.fromkeys((str(row["target"]), str(row["item"])) for row in own if row["statistic"] != "test")
    for target, item in keys:
        mine = [
            r for r in own if (r["target"], r["item"], r["group"]) == (target, item, "all") and r["statistic"] != "test"
        ]
        by = {(str(row["metric"]), str(row["statistic"])): row for row in mine}
        first = by.get(("coverage", "value")) or by.get(("false_negative_rate", "mean"))
        size = by.get(("set_size", "mean")) or by.get(("interval_width", "value")) or by.get(("mask_size", "mean"))
        if first is None and size is None:
            continue
        shares = [by.get(("set_size", f"share_{name}")) for name in ("single", "several", "empty")]
        named = _named(item)
        note = "mean risk, at most " if first is not None and first["direction"] == "at_most" else ""
        note += wording.percent(first["threshold"]) if first is not None else ""
        lines.append(
            [
                Cell(named, target),
                Cell(wording.value_text(first), wording.interval_text(first), strong=True)
                if first
                else Cell("by class or group"),
                Cell(note or wording.MISSING),
                Cell(wording.value_text(size), wording.interval_text(size)) if size else Cell(wording.MISSING),
                *(Cell(_share(row) if row is not None and _known(row) else wording.MISSING) for row in shares),
            ]
        )
    columns = (
        Column("Sets"),
        Column("Coverage or risk", numeric=True),
        Column("Promised", numeric=True),
        Column("Mean size or width", numeric=True),
        Column("One answer", numeric=True),
        Column("Several", numeric=True),
        Column("None", numeric=True),
    )
    return Table(columns, lines, kind="metrics") if lines else None


def _selective(given: ReportInput, own: Sequence[Row]) -> list[Block]:
    """Per target the risk-coverage curve beside its figures and the rule in words."""
    blocks: list[Block] = []
    for place, target in enumerate(dict.fromkeys(str(row["target"]) for row in own if row["target"])):
        mine = [row for row in own if row["target"] == target]
        curves = curve_rows(given.curves, "risk_coverage", target)
        if not len(curves):
            continue
        own_curve = curves[curves["series"] != "ideal"]
        if not (own_curve["y"] > 0).any():
            n = wording.count(own_curve["n"].max())
            lead = f"{target}: no answer of {n} is wrong, so there is no error that an order could keep away."
            blocks += [Text(text) for text in (lead, *_rule_in_words(mine))]
            continue
        title = f"Error of the kept cases, {target}"
        drawing = figures.risk_coverage(curves, prefix=f"risk{place}", title=title, **_rule_point(mine))
        caption = f"{title}: the further left, the more cases go to a person. Band: the interval of the error."
        blocks.append(Beside(Drawing(drawing.svg, caption, title), [Text(text) for text in _rule_in_words(mine)]))
    shown = [row for row in own if row["statistic"] == "value" and _known(row)]
    blocks += [metric_table(shown)] if shown else []
    return [Heading("Which cases go to a person"), *blocks] if blocks else []


def _one(own: Sequence[Row], metric: str) -> Row | None:
    return next((row for row in own if row["metric"] == metric and row["statistic"] == "value"), None)


def _rule_point(own: Sequence[Row]) -> dict[str, Any]:
    deferred, error = _one(own, "deferral_rate"), _one(own, "kept_error")
    if deferred is None or error is None or not (_known(deferred) and _known(error)):
        return {}
    return {"kept": 1 - float(deferred["value"]), "error": float(error["value"])}


def _rule_in_words(own: Sequence[Row]) -> list[str]:
    deferred, error = _one(own, "deferral_rate"), _one(own, "kept_error")
    if deferred is None:
        return []
    if not _known(deferred):
        return [f"No deferral rule: {deferred['reason']}."]
    text = f"Deferral rule, set on the calibration part: {deferred['reason']}."
    if error is not None and _known(error):
        high = (
            ""
            if wording.is_missing(error["high"])
            else f" (up to {wording.number(100 * float(error['high']), 1)}\u00a0%)"
        )
        text += (
            f" On the audited part it hands {_share(deferred)} of cases to a person, and {_share(error)}{high} of the "
            f"others are wrong, where at most {wording.percent(error['threshold'])} were wanted."
        )
    return [text]
