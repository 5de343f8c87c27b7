"""Sections of a radiomics page about models: side by side with simpler ones, the signature, calibration, decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fiducial.report import radiomics_survival, radiomics_words, wording
from fiducial.report.blocks import Beside, Block, Cell, Column, Facts, Figures, Fold, Heading, Section, Table, Text
from fiducial.report.figures import radiomics as figures
from fiducial.report.figures import scores
from fiducial.report.figures.svg import Drawing
from fiducial.report.performance import curve_rows, curve_targets

if TYPE_CHECKING:
    from fiducial.report.given import ReportInput
    from fiducial.report.radiomics import RadiomicsInput

Row = Mapping[str, Any]
HEADLINE = ("auc", "c_index")
AT_HORIZON = "auc_at_horizon"
ORDER = ("radiomics", "radiomics_all", "clinical_radiomics", "volume", "value", "clinical")
LABELS: dict[str, str] = {
    "auc": "AUC",
    "auc_at_horizon": "AUC at the horizon",
    "auc_pooled": "AUC of mean predictions",
    "auc_of_value": "AUC of the number itself",
    "c_index": "C index",
    "c_index_of_value": "C index of the number itself",
    "brier": "Brier score",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
}
DIFFERENCES = {"auc_difference": "AUC", "c_index_difference": "C index"}
MOST_DRAWN = 20


def value_text(row: Row) -> str:
    """A figure with its digits."""
    return wording.number(row["value"], 2 if str(row["metric"]).startswith("calibration") else 3)


def ends_text(row: Row) -> str:
    """Its interval; empty where there is none."""
    digits = 2 if str(row["metric"]).startswith("calibration") else 3
    if wording.is_missing(row["low"]) and wording.is_missing(row["high"]):
        return ""
    return f"[{wording.number(row['low'], digits)}, {wording.number(row['high'], digits)}]"


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def models(given: RadiomicsInput) -> Section | None:
    """Every model with its figures, the simpler ones beside the signature, then what each difference is."""
    if not given.models:
        return None
    rows = sorted(given.models, key=lambda row: _place(str(row["model"])))
    first = [row for row in rows if row["metric"] in HEADLINE]
    blocks: list[Block] = []
    elsewhere = (*HEADLINE, AT_HORIZON, *(radiomics_survival.METRICS if given.curves is not None else ()))
    others = [row for row in rows if row["metric"] in LABELS and row["metric"] not in elsewhere]
    at_horizon = {str(row["model"]): row for row in rows if row["metric"] == AT_HORIZON}
    table = _model_table(first, at_horizon, horizon=given.horizon, value=given.value) if first else None
    if first:
        label = LABELS[str(first[0]["metric"])]
        lines = [{**row, "label": _with_n(row), "faint": "radiomics" not in str(row["model"])} for row in first]
        drawing = figures.forest(lines, prefix="models", title="Models side by side", xlabel=label, reference=0.5)
        caption = (
            f"{label} with its interval, of patients whom the model had not seen. Filled: with radiomics. Hollow: "
            "without. Dashed: chance."
        )
        blocks.append(Beside(replace(drawing, caption=caption), [table] if table else []))
    differences = [row for row in rows if row["metric"] in DIFFERENCES]
    if differences:
        blocks += [Heading("Differences on the same patients"), _difference_table(differences)]
    if others:
        title = "Calibration and other figures" if given.curves is None else "Other figures"
        blocks.append(Fold(title, [_other_table(others)]))
    if roc := _roc(given, rows):
        blocks += [Heading("ROC curves"), Figures([roc])]
    lead = (
        "Radiomics beside what is simpler: the volume alone, one value alone, clinical variables alone. A signature "
        "that does not beat them has shown nothing."
    )
    return Section("models", "Models side by side", blocks, lead)


def _with_n(row: Row) -> str:
    return f"{radiomics_words.model(str(row['model']))} (n = {wording.count(row['n'])})"


def _small(row: Row, value: str) -> str:
    """What stands below a model's name: which value it is, and why there is no ordinary interval."""
    return "; ".join(part for part in (value if row["model"] == "value" else "", str(row["reason"])) if part)


def _model_table(rows: Sequence[Row], at_horizon: Mapping[str, Row], *, horizon: str, value: str) -> Table:
    columns = [Column("Model"), Column(LABELS[str(rows[0]["metric"])], numeric=True), Column("Interval", numeric=True)]
    columns += [Column(LABELS[AT_HORIZON], numeric=True)] if at_horizon else []
    columns.append(Column("Patients"))
    lines = [
        [
            Cell(radiomics_words.model(str(row["model"])), _small(row, value), strong=True),
            Cell(value_text(row), strong=True),
            Cell(ends_text(row) or wording.MISSING, _level(row)),
            *([_beside(at_horizon.get(str(row["model"])))] if at_horizon else []),
            Cell(wording.count(row["n"]), f"{wording.count(row['n_events'])} with the event"),
        ]
        for row in rows
    ]
    caption = "; or ".join(dict.fromkeys(str(row["method"]) for row in rows))
    if at_horizon:
        caption += f". AUC at the horizon: who has the event against who is free of it, {horizon}"
    return Table(columns, lines, caption=caption, kind="named")


def _beside(row: Row | None) -> Cell:
    """The AUC at the horizon, its interval below."""
    if row is None or wording.is_missing(row["value"]):
        return Cell(wording.MISSING, "" if row is None else str(row["reason"]))
    return Cell(value_text(row), ends_text(row))


def _level(row: Row) -> str:
    return "" if row["level"] == 0.95 else wording.percent(row["level"])


def _difference_table(rows: Sequence[Row]) -> Table:
    columns = (
        Column("Difference"),
        Column("Value", numeric=True),
        Column("Interval", numeric=True),
        Column("p", numeric=True),
        Column("How it was computed"),
    )
    lines = [
        [
            Cell(
                f"{radiomics_words.model(str(row['model']))} less {radiomics_words.beside(str(row['beside']))}",
                DIFFERENCES[str(row["metric"])],
                strong=True,
            ),
            Cell(value_text(row), strong=True),
            Cell(ends_text(row) or wording.MISSING, _level(row)),
            Cell(wording.probability(row["p"])),
            Cell(str(row["method"]), str(row["reason"])),
        ]
        for row in rows
    ]
    return Table(columns, lines, kind="named")


def _other_table(rows: Sequence[Row]) -> Table:
    columns = (
        Column("Model"),
        Column("Figure"),
        Column("Value", numeric=True),
        Column("Interval", numeric=True),
        Column("How it was computed"),
    )
    lines = [
        [
            Cell(radiomics_words.model(str(row["model"])), strong=True),
            Cell(LABELS[str(row["metric"])]),
            Cell(value_text(row), strong=True),
            Cell(ends_text(row) or wording.MISSING, _level(row)),
            Cell(str(row["method"]), str(row["reason"])),
        ]
        for row in rows
    ]
    return Table(columns, lines, kind="named")


def _audits(given: RadiomicsInput) -> list[tuple[str, ReportInput]]:
    """The models' audits in the order of the page."""
    return sorted(given.audits.items(), key=lambda pair: _place(pair[0]))


def _roc(given: RadiomicsInput, rows: Sequence[Row]) -> Drawing | None:
    """All models in one square, from each patient's mean prediction."""
    import pandas as pd

    parts, labels = [], {}
    pooled = {str(row["model"]): row for row in rows if row["metric"] == "auc_pooled"}
    for name, audit in _audits(given):
        targets = curve_targets(audit.curves, "roc")
        if not targets:
            continue
        words = radiomics_words.model(name)
        # Bands of five curves would hide each other; the table has every interval.
        parts.append(curve_rows(audit.curves, "roc", targets[0]).assign(series=words, low=float("nan")))
        if name in pooled:
            labels[words] = f"AUC {value_text(pooled[name])} {ends_text(pooled[name])}"
    if not parts:
        return None
    drawing = scores.roc(pd.concat(parts), prefix="roc", target="models side by side", labels=labels)
    caption = (
        "ROC curves of each patient's mean prediction over the repeats, made by models that had not seen the patient. "
        "Their AUC can differ from the mean over repeats above."
    )
    return replace(drawing, caption=caption)


def _names(given: RadiomicsInput) -> list[str]:
    """Models in the order of the page."""
    return sorted({str(row["model"]) for row in given.models if row["metric"] in HEADLINE}, key=_place)


def calibration(given: RadiomicsInput) -> Section | None:
    """Reliability of each model."""
    if given.curves is not None:
        return radiomics_survival.calibration(given, _names(given))
    drawings = []
    for place, (name, audit) in enumerate(_audits(given)):
        for target in curve_targets(audit.curves, "reliability")[:1]:
            points = curve_rows(audit.curves, "reliability", target)
            histogram = curve_rows(audit.curves, "histogram", target)
            words = radiomics_words.model(name)
            drawing = scores.reliability(points, histogram, prefix=f"rel{place}", target=words)
            drawings.append(replace(drawing, caption=f"{words}."))
    if not drawings:
        return None
    lead = (
        "Whether the predicted risks can be read as risks: on the diagonal a risk of 0.3 comes true in 30\u00a0%. "
        "Below each: how many patients have which risk."
    )
    return Section("calibration", "Calibration", [Figures(drawings)], lead)


def decisions(given: RadiomicsInput) -> Section | None:
    """A decision curve of each model."""
    if given.curves is not None:
        return radiomics_survival.decisions(given, _names(given))
    drawings = []
    for place, (name, audit) in enumerate(_audits(given)):
        for target in curve_targets(audit.curves, "net_benefit")[:1]:
            curves = audit.curves[(audit.curves["metric"] == "net_benefit") & (audit.curves["target"] == target)]
            drawings.append(radiomics_survival.decision_of(name, curves, place))
    if not drawings:
        return None
    lead = "Whether acting on a model does more good than acting on everybody, or on nobody; bands are intervals."
    return Section("decisions", "Decisions", [Figures(drawings)], lead)


def signature(given: RadiomicsInput) -> Section | None:
    """The features that were chosen, with their coefficients and how often each was; then what fell away."""
    if not given.signature:
        return None
    chosen = [row for row in given.signature if int(row["chosen"])]
    blocks: list[Block] = []
    if chosen:
        chosen = sorted(chosen, key=lambda row: -abs(float(row["coefficient"])))
        lines = [
            {**row, "label": radiomics_words.named(row), "value": row["coefficient"]} for row in chosen[:MOST_DRAWN]
        ]
        drawing = figures.forest(
            lines,
            prefix="signature",
            title="Coefficients of the signature",
            xlabel="Coefficient for one standard deviation",
            reference=0.0,
        )
        caption = (
            "Coefficients of the model of all patients; the line spans 95 % of those over all training sets, and "
            "reaches 0 where a training set left the feature out. It is no confidence interval."
        )
        blocks.append(Beside(replace(drawing, caption=caption), [_chosen_table(chosen)]))
    else:
        blocks.append(
            Text("No feature was chosen: the signature is empty, and predicts everybody's mean risk.", "missing")
        )
    if given.choices:
        blocks.append(Facts(list(given.choices), "How it was learned"))
    blocks += _often(given.signature, chosen) + _fell_away(given.signature)
    n = wording.plural(len(chosen), "feature", "features") if chosen else "None"
    lead = (
        f"{n} of {wording.count(len(given.signature))} {'were' if len(chosen) > 1 else 'was'} chosen. How often a "
        "feature is chosen when the data are drawn anew says how far to trust it: one that comes and goes says little."
    )
    return Section("signature", "The signature", blocks, lead)


_OFTEN = Column("Chosen in training sets", numeric=True)


def _chosen_table(rows: Sequence[Row]) -> Table:
    columns = (Column("Feature"), Column("Coefficient", numeric=True), _OFTEN, Column("Of halves", numeric=True))
    lines = [
        [
            Cell(radiomics_words.named(row), str(row["ibsi_code"]), strong=True),
            Cell(wording.number(row["coefficient"], 3), _span(row)),
            Cell(_share(row["selected"]), svg=figures.share(row["selected"])),
            Cell(_share(row["share"])),
        ]
        for row in rows
    ]
    return Table(columns, lines, kind="named")


def _span(row: Row) -> str:
    if wording.is_missing(row["low"]) or wording.is_missing(row["high"]):
        return ""
    return f"{wording.number(row['low'], 3)} to {wording.number(row['high'], 3)}"


def _share(value: Any) -> str:
    return wording.MISSING if wording.is_missing(value) else f"{100 * float(value):.0f}\u00a0%"


def _often(rows: Sequence[Row], chosen: Sequence[Row]) -> list[Block]:
    """Features outside the signature that training sets chose."""
    others = sorted(
        (row for row in rows if row not in chosen and float(row["selected"] or 0) > 0),
        key=lambda row: -float(row["selected"]),
    )
    if not others:
        return []
    columns = (Column("Feature"), _OFTEN, Column("Of halves", numeric=True))
    lines = [
        [
            Cell(radiomics_words.named(row), str(row["ibsi_code"]), strong=True),
            Cell(_share(row["selected"]), svg=figures.share(row["selected"])),
            Cell(_share(row["share"])),
        ]
        for row in others[:MOST_DRAWN]
    ]
    title = f"{wording.plural(len(others), 'feature was', 'features were')} chosen in some training sets only"
    return [Fold(title, [Table(columns, lines, kind="named")])]


def _fell_away(rows: Sequence[Row]) -> list[Block]:
    """What was left out before anything was learned, by reason, and who stands for it."""
    by_reason: dict[str, list[Row]] = {}
    for row in rows:
        if row["reason"]:
            by_reason.setdefault(str(row["reason"]), []).append(row)
    blocks: list[Block] = []
    for reason, own in by_reason.items():
        words = radiomics_words.REASONS.get(reason, wording.plain(reason).lower())
        columns = (Column("Feature"), Column("Who stands for it"))
        lines = [
            [
                Cell(radiomics_words.named(row), str(row["ibsi_code"])),
                Cell(str(row["stands_for_it"]) or wording.MISSING),
            ]
            for row in own
        ]
        title = f"{wording.plural(len(own), 'feature', 'features')} left out: {words}"
        blocks.append(Fold(title, [Table(columns, lines, kind="named")]))
    return blocks
