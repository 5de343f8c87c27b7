"""``fiducial features-report``: a table of features, and what was made of it, as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused, IntegrityError, TableError
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.audit.checklists import Sheet
    from fiducial.features.radiomics.summary import FeatureSummary
    from fiducial.flows.features_record import FeaturesRecord
    from fiducial.report import RadiomicsInput, ReportInput

THRESHOLD = 0.9
KEY = ("family", "feature", "aggregation", "filter")


@dataclass(frozen=True)
class FeaturesReport:
    """The page, what it is of, and of each sheet the points, the points that could be decided and the items left."""

    page: Path
    n_subjects: int
    n_regions: int
    n_features: int
    n_missing: int
    n_clusters: int
    sheets: dict[str, tuple[float, float, int]]


@dataclass(frozen=True)
class _Signature:
    """What lies in the folder of a signature; everything empty where none was given."""

    models: list[dict[str, Any]] = field(default_factory=list)
    features: list[dict[str, Any]] = field(default_factory=list)
    choices: Mapping[str, Any] = field(default_factory=dict)
    audits: Mapping[str, ReportInput] = field(default_factory=dict)
    curves: pd.DataFrame | None = None

    @property
    def audited(self) -> str:
        """The model whose evidence the sheets name: the signature's."""
        return "radiomics" if "radiomics" in self.audits else next(iter(self.audits), "")


def features_report(
    table: str | Path,
    out: str | Path | None = None,
    *,
    stability: str | Path | None = None,
    signature: str | Path | None = None,
    progress: Progress = silent,
) -> FeaturesReport:
    """Write the page of a table of features: by family, what says the same, what repeats, a signature, sheets.

    Args:
        table: A table of features (Parquet or CSV), as `features` writes it; its record beside it says how it was made.
        out: The HTML file; the table's name with ``.html`` unless named.
        stability: A table of how well each feature repeats, or the folder that `stability` wrote it to.
        signature: The folder of a signature that was learned from these features.
        progress: Called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: a table breaks its rules, no region has a feature, or the folder holds no signature.
    """
    from fiducial.audit.checklists import radiomics_sheets
    from fiducial.records.radiomics import FEATURES, STABILITY
    from fiducial.records.tables import read_table
    from fiducial.report import write_radiomics

    table = Path(table)
    path = table.with_suffix(".html") if out is None else Path(out)
    progress("features report", 0, 4)
    whole = read_table(table, FEATURES)
    repeats = [] if stability is None else _records(read_table(_inside(Path(stability)), STABILITY))
    learned = _Signature() if signature is None else _signature(Path(signature), table)
    progress("features report", 1, 4)
    given, facts = _input(whole, table, repeats, learned)
    progress("features report", 3, 4)
    sheets = radiomics_sheets(_evidence(learned), facts)
    page = write_radiomics(_with(given, sheets), path)
    progress("features report", 4, 4)
    counts = dict(given.counts)
    return FeaturesReport(
        page=page,
        n_subjects=counts["Patients"],
        n_regions=counts["Regions"],
        n_features=counts["Features"],
        n_missing=sum(int(row["n_missing"]) for row in given.features),
        n_clusters=len(set(given.alike["cluster"])) if given.alike else 0,
        sheets={one.name: (*one.score, one.n_waiting) for one in sheets},
    )


def _input(
    whole: pd.DataFrame, table: Path, repeats: list[dict[str, Any]], learned: _Signature
) -> tuple[RadiomicsInput, dict[str, str]]:
    """What the page shows, but for its sheets, and the facts that fill these."""
    from fiducial.features.radiomics.summary import feature_summaries, plain_regions, with_values
    from fiducial.flows import radiomics_facts as said
    from fiducial.flows.features_record import read_record
    from fiducial.report import RadiomicsInput

    plain = plain_regions(whole)
    rows, empty = with_values(plain)
    if rows.empty:
        raise TableError(
            "no region has a feature", where=str(table), legal="values of regions as they are (perturbation is empty)"
        )
    record = read_record(table)
    notes = [f"{len(whole) - len(plain):,} rows are of disturbed regions, other readers or diagnostics"]
    notes = notes if len(whole) > len(plain) else []
    if record is not None and record.changed:
        notes.append("the table was changed after it was made: the record beside it is not shown")
    known = () if record is None or record.changed else record.set_aside
    # The record tells more than the table does: which grids differ, and what mends it.
    aside = [*known, *((name, reason) for name, reason in empty if name not in dict(known))]
    alike, not_alike = _alike(rows)
    regions = rows.drop_duplicates("mask")
    given = RadiomicsInput(
        title=table.stem,
        counts=[
            ("Patients", regions["subject"].nunique()),
            ("Images", regions["image"].nunique()),
            ("Regions", len(regions)),
            ("Features", len(rows.drop_duplicates(list(KEY)))),
            ("Set aside", len(aside)),
        ],
        settings=said.settings_shown(record, rows),
        set_aside=aside,
        features=[_shown(one) for one in feature_summaries(rows)],
        alike=alike,
        not_alike=not_alike,
        stability=repeats,
        models=learned.models,
        signature=learned.features,
        choices=said.choices_shown(learned.choices),
        value=said.value_shown(learned.choices),
        audits=learned.audits,
        evidence_of=learned.audited,
        curves=learned.curves,
        horizon=said.horizon_shown(learned.choices),
        notes=notes + [str(note) for note in learned.choices.get("notes") or ()],
    )
    facts = said.of_features(rows, record, raters=set(whole["rater"])) | said.of_stability(
        repeats, _perturbations(whole, record, repeats)
    )
    facts |= said.of_signature(learned.models, learned.features, learned.choices)
    if learned.audits and any((audit.curves["metric"] == "net_benefit").any() for audit in learned.audits.values()):
        facts["decision_curve"] = f"net benefit over thresholds of {', '.join(learned.audits)}"
    if learned.curves is not None:
        drawn = dict.fromkeys(learned.curves.loc[learned.curves["metric"] == "net_benefit", "model"])
        facts["decision_curve"] = f"net benefit over thresholds of {', '.join(drawn)}, {given.horizon}"
    return given, facts


def _inside(path: Path) -> Path:
    from fiducial.flows.stability import TABLE

    return path / TABLE if path.is_dir() else path


def _perturbations(
    whole: pd.DataFrame, record: FeaturesRecord | None, repeats: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What was done to images and masks; only where the repeats are as many as this table's perturbations."""
    if record is None or record.changed or not repeats:
        return []
    n = len(set(whole["perturbation"]) - {""})
    listed = record.perturbations.get("perturbation")
    if not n or int(repeats[0]["n_repeats"]) not in (n, n + 1) or not isinstance(listed, list):
        return []
    return [one for one in listed if isinstance(one, dict)]


def _with(given: RadiomicsInput, sheets: list[Sheet]) -> RadiomicsInput:
    from dataclasses import replace

    shown = [{**asdict(one), "score": one.score, "n_waiting": one.n_waiting} for one in sheets]
    return replace(given, sheets=shown)


def _shown(one: FeatureSummary) -> dict[str, Any]:
    """A feature as a row of the page."""
    return {**asdict(one), **dict(zip(KEY, one.key, strict=True)), "constant": one.constant}


def _alike(rows: pd.DataFrame) -> tuple[dict[str, Any] | None, str]:
    """The correlation map, or why there is none."""
    from fiducial.features.radiomics.summary import compared_columns
    from fiducial.maths.correlation_map import correlation_map

    found = compared_columns(rows)
    n, p = found.values.shape
    if n < 3 or p < 2:
        return None, f"{n} regions with {p} features that vary: it takes three regions and two features to compare."
    made = correlation_map(found.values, threshold=THRESHOLD)
    keys = [dict(zip(KEY, found.keys[place], strict=True)) for place in made.order]
    shown = {
        "size": made.size,
        "cluster": made.cluster.tolist(),
        "features": keys,
        "n_regions": n,
        "n_subjects": found.n_subjects,
        "structure": found.structure,
        "missing": found.missing,
        "constant": found.constant,
        "incomplete": found.incomplete,
        "threshold": THRESHOLD,
    }
    return shown, ""


def _signature(folder: Path, features: Path) -> _Signature:
    """Read the folder of a signature; every file is verified first.

    Raises:
        InputRefused: it holds no signature, a file was changed since, or it was learned from other features.
    """
    from fiducial.records.files import sha256_file
    from fiducial.records.radiomics_signature import SIGNATURE, SIGNATURE_CURVES, SIGNATURE_MODELS
    from fiducial.records.runs import RECORD, read_record, verify
    from fiducial.records.tables import read_table
    from fiducial.records.untrusted import read_json_strictly

    if not (folder / RECORD).is_file() or "radiomics_signature" not in read_record(folder):
        raise InputRefused(
            "no signature here" if folder.is_dir() else "no such folder",
            where=str(folder),
            legal="a folder that fiducial signature wrote",
        )
    curves = folder / "curves.parquet"
    names = ("models.parquet", "signature.parquet", "choices.json")
    verify(folder, *names, *((curves.name,) if curves.is_file() else ()))
    choices = read_json_strictly(folder / "choices.json")
    if not isinstance(choices, dict):
        raise IntegrityError("no choices of a signature", where=str(folder / "choices.json"))
    used: Any = choices
    for name in ("tables", "features", "sha256"):
        used = used.get(name) if isinstance(used, dict) else None
    if used not in (None, sha256_file(features)):
        raise InputRefused(
            "this signature was learned from another table of features",
            where=str(folder),
            action=f"give the table that it names, or learn it again from {features.name}",
        )
    models = read_table(folder / "models.parquet", SIGNATURE_MODELS)
    return _Signature(
        models=_records(models),
        features=_records(read_table(folder / "signature.parquet", SIGNATURE)),
        choices=choices,
        audits=_audits(folder / "audit", list(dict.fromkeys(models["model"]))),
        curves=read_table(curves, SIGNATURE_CURVES) if curves.is_file() else None,
    )


def _audits(folder: Path, names: list[str]) -> dict[str, ReportInput]:
    """The audit of each model that has one."""
    from fiducial.flows.report import report_input

    return {name: report_input(folder / name) for name in names if (folder / name).is_dir()}


def _evidence(learned: _Signature) -> pd.DataFrame:
    from fiducial.records.tables import EVIDENCE
    from fiducial.records.tables import table as made

    audit = learned.audits.get(learned.audited)
    return made([], EVIDENCE) if audit is None else audit.evidence


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
