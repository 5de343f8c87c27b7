"""``fiducial signature``: a table of features and a table of outcomes become models that stand side by side.

The folder that it writes is described in `fiducial.records.radiomics_signature`, column by column.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import InputRefused
from fiducial.flows.extras import require_modules
from fiducial.records.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.features.signature.nested import CrossValidated
    from fiducial.features.signature.patients import Patients
    from fiducial.features.signature.settings import Asked, SignatureSettings

SCHEMA = 1
RULES = (
    "patients are the unit: the reference rater's regions, as they are, at the first visit; no image of the test part",
    "of several regions of a patient one counts, the largest by volume, or the mean of all (settings.regions)",
    "everything is fitted on training patients alone: fills, scales, clusters, the choice of features, penalties",
    "folds are dealt anew in each repeat, patients with the event and without separately; inner folds choose penalties",
    "a cluster that holds the volume, or the best-known single value, is represented by it",
)
BOUND = (
    "false_selections_at_most is q^2 / ((2 threshold - 1) p): the largest expected number of selected features that a "
    "half of the patients chooses no more often than chance would, with q features chosen by each half out of p "
    "(Meinshausen and Buhlmann 2010; without assumptions, Shah and Samworth 2013)"
)
INTERVALS = (
    "auc and c_index count pairs of patients who were left out together, over all repeats; their interval is by "
    "patient, with Nadeau and Bengio's correction for models that were learned. Of noise the expected value is 0.5; "
    "how often the interval then claims skill is measured in tests/features/test_signature_noise.py. auc_pooled, and "
    "every figure of the audit, is of each patient's mean prediction: for weak models it is pessimistic. So are Brier "
    "score, calibration and net benefit of a survival at its horizon, of each patient's mean risk by then, with the "
    "baseline of training patients"
)


@dataclass(frozen=True)
class Figure:
    """One figure of a model with its interval; ``beside`` names what was taken off for a difference."""

    model: str
    metric: str
    beside: str
    value: float
    low: float
    high: float
    reason: str
    verdict: str


@dataclass(frozen=True)
class Signature:
    """What came out.

    ``figures`` are discrimination and its differences; ``chosen`` the features of the signature that was learned from
    all patients (none is an answer too); ``value`` names the single value; ``reports`` the page of each model, for a
    class. ``horizon`` is the time by which risks of a survival are predicted, None for a class.
    """

    out: Path
    outcome: str
    n_subjects: int
    n_events: int
    n_features: int
    value: str
    figures: tuple[Figure, ...]
    chosen: tuple[str, ...]
    reports: tuple[Path, ...]
    notes: tuple[str, ...]
    horizon: float | None = None


@dataclass(frozen=True)
class Tables:
    """Files: features, outcomes (CSV or Parquet), and where given a table of stability and a study file."""

    features: Path
    outcomes: Path
    stability: Path | None = None
    study: Path | None = None


def signature(
    tables: Tables,
    out: str | Path,
    *,
    asked: Asked,
    settings: SignatureSettings | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Signature:
    """Learn a signature by nested cross-validation, always beside volume, the best-known value and clinical variables.

    Args:
        tables: files of features and outcomes.
        out: the folder to write.
        asked: columns: a target, or time and event; clinical variables.
        settings: of the signature; None for the defaults.
        workers: processes, 0 = as many as cores; results do not depend on it.
        progress: called as ``progress(title, n_done, n_total)``.

    Raises:
        InputRefused: a table or a column cannot be used, or there are too few patients for the folds.
    """
    from fiducial.features.signature.evaluate import figures, prediction_rows, signature_rows
    from fiducial.features.signature.horizon import curve_rows
    from fiducial.features.signature.nested import cross_validate
    from fiducial.features.signature.patients import patients_of
    from fiducial.features.signature.settings import SignatureSettings
    from fiducial.records.files import write_json
    from fiducial.records.radiomics import FEATURES, STABILITY
    from fiducial.records.radiomics_signature import (
        SIGNATURE,
        SIGNATURE_CURVES,
        SIGNATURE_MODELS,
        SIGNATURE_PREDICTIONS,
    )
    from fiducial.records.runs import seal
    from fiducial.records.tables import read_table, write_table

    require_modules("sklearn")
    out, settings = Path(out), settings or SignatureSettings()
    _require_free(out)
    features = read_table(tables.features, FEATURES)
    stability = None if tables.stability is None else read_table(_stability(tables.stability), STABILITY)
    patients = patients_of(features, _outcomes(tables.outcomes), asked, settings, stability=stability)
    found = cross_validate(patients.numbers, patients.outcome, settings, workers=workers, progress=progress)
    models = figures(patients, found, level=settings.level)
    predictions = prediction_rows(patients, found)
    chosen = signature_rows(patients, found, level=settings.level)
    out.mkdir(parents=True, exist_ok=True)
    write_table(models, out / "models.parquet", SIGNATURE_MODELS)
    write_table(predictions, out / "predictions.parquet", SIGNATURE_PREDICTIONS)
    write_table(chosen, out / "signature.parquet", SIGNATURE)
    write_json(out / "choices.json", _plain(_choices(tables, asked, settings, patients, found)))
    write_json(out / "model.json", _plain(_model(asked, patients, found)))
    names = ["models.parquet", "predictions.parquet", "signature.parquet", "choices.json", "model.json"]
    shutil.rmtree(out / "audit", ignore_errors=True)
    (out / "curves.parquet").unlink(missing_ok=True)
    if asked.time:
        drawn = curve_rows(patients.outcome, found, level=settings.level)
        write_table(drawn, out / "curves.parquet", SIGNATURE_CURVES)
        names.append("curves.parquet")
    reports = () if asked.time else _audited(predictions, out / "audit", tables.study, (asked, settings, progress))
    seal(out, *names, *(["audit"] if reports else []), radiomics_signature={"outcome": asked.target or asked.event})
    said = _said(out, asked, patients, models, chosen, reports)
    return replace(said, horizon=found.horizon) if asked.time else said


def _require_free(out: Path) -> None:
    """Refuse to write into a folder that holds something else.

    Raises:
        InputRefused: it holds a run, an audit or files that no signature wrote.
    """
    from fiducial.records.runs import RECORD, read_record

    if out.exists() and not out.is_dir():
        raise InputRefused("a file, where a folder is to be written", where=str(out), action="choose another --out")
    if (out / RECORD).is_file() and "radiomics_signature" not in read_record(out):
        raise InputRefused("this folder holds a run or an audit", where=str(out), action="choose another --out")


def _outcomes(path: Path) -> pd.DataFrame:
    """The outcomes as they are; ids as text.

    Raises:
        TableError: no such file, or no table.
    """
    import pandas as pd

    from fiducial.errors import TableError

    if not path.is_file():
        raise TableError("no such file", where=str(path), action="give a table of outcomes (.csv or .parquet)")
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype={"subject": str}, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise TableError(
            f"not a readable table ({error})", where=str(path), legal="CSV with a header, or Parquet"
        ) from error


def _stability(path: Path) -> Path:
    """The table in the folder that `fiducial stability` wrote, or the file that was named."""
    return path / "stability.parquet" if path.is_dir() else path


def _choices(
    tables: Tables, asked: Asked, settings: SignatureSettings, patients: Patients, found: CrossValidated
) -> dict[str, Any]:
    """Everything that was chosen, by whom or what."""
    import platform
    from importlib.metadata import version

    from fiducial.features.signature.horizon import DEFAULT, STATED
    from fiducial.features.signature.nested import noted
    from fiducial.records.files import sha256_file

    said = DEFAULT if settings.horizon is None else STATED
    given = {name: path for name, path in asdict(tables).items() if path is not None}
    if tables.stability is not None:
        given["stability"] = _stability(tables.stability)
    return {
        "schema": SCHEMA,
        "asked": asdict(asked),
        "settings": asdict(settings),
        "rules": list(RULES),
        "bound": BOUND,
        "intervals": INTERVALS,
        "n_subjects": len(patients.subject),
        "n_events": int(patients.outcome.event.sum()),
        "n_features": len(patients.features),
        "clinical": list(patients.clinical),
        "volume": patients.names[patients.numbers.volume],
        "value": patients.names[patients.numbers.value] if patients.numbers.value >= 0 else "",
        **({"horizon": {"at": found.horizon, "said": said}} if asked.time else {}),
        "notes": list(patients.notes),
        "all_patients": noted(found.final),
        "training_sets": found.notes,
        "tables": {name: {"file": path.name, "sha256": sha256_file(path)} for name, path in given.items()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("fiducial", "numpy", "scipy", "scikit-learn")},
        },
    }


def _model(asked: Asked, patients: Patients, found: CrossValidated) -> dict[str, Any]:
    """The model ``radiomics`` of all patients: how a new patient's number is computed."""
    (scale,), line = found.final.scales["radiomics"], found.final.lines["radiomics"]
    rows = patients.features.iloc[scale.places].to_dict("records")
    parts = zip(rows, scale.fill, scale.centre, scale.spread, line.coefficients, strict=True)
    return {
        "schema": SCHEMA,
        "outcome": asked.target or asked.event,
        "gives": "log hazard ratio" if asked.time else "log odds",
        "rule": "intercept + sum of coefficient * clip((value - centre) / spread); fill where a value is missing",
        "clip": scale.clip,
        "combat": None if found.final.combat is None else found.final.combat.to_json(),
        "intercept": line.intercept,
        **({"risk": _risk(found)} if asked.time else {}),
        "features": [
            {**row, "fill": float(fill), "centre": float(centre), "spread": float(spread), "coefficient": float(b)}
            for row, fill, centre, spread, b in parts
        ],
    }


def _risk(found: CrossValidated) -> dict[str, Any]:
    return {
        "horizon": found.horizon,
        "cumulative_hazard": found.hazard,
        "rule": "1 - exp(-cumulative_hazard * exp(log hazard ratio)): chance of the event by the horizon",
    }


def _audited(
    predictions: pd.DataFrame,
    folder: Path,
    study: Path | None,
    given: tuple[Asked, SignatureSettings, Progress],
) -> tuple[Path, ...]:
    """Audit and report each model's mean predictions: accuracy, calibration and decision curve."""
    from fiducial.audit.given import AuditSettings
    from fiducial.flows.audit import audit
    from fiducial.flows.report import report
    from fiducial.records.tables import PREDICTIONS, validated, write_table

    asked, settings, progress = given
    mean = predictions[predictions["repeat"] == 0]
    pages = []
    for number, (model, rows) in enumerate(mean.groupby("model", sort=False)):
        progress("audit of each model", number, mean["model"].nunique())
        frame = rows[["model", "subject", "value", "truth"]].assign(
            image=rows["subject"], target=asked.target, study="signature"
        )
        path = folder / f"{model}.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        write_table(validated(frame, PREDICTIONS), path, PREDICTIONS)
        audit(path, folder / str(model), study=study, settings=AuditSettings(level=settings.level, seed=settings.seed))
        pages.append(report(folder / str(model)).report)
    progress("audit of each model", len(pages), len(pages))
    return tuple(pages)


def _plain(value: Any) -> Any:
    """JSON values: paths as names, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _said(
    out: Path,
    asked: Asked,
    patients: Patients,
    models: pd.DataFrame,
    chosen: pd.DataFrame,
    reports: tuple[Path, ...],
) -> Signature:
    from fiducial.features.signature.patients import name_of

    shown = models[models["metric"].str.startswith(("auc", "c_index"))]
    fields = list(Figure.__dataclass_fields__)
    return Signature(
        out=out,
        outcome=asked.target or asked.event,
        n_subjects=len(patients.subject),
        n_events=int(patients.outcome.event.sum()),
        n_features=len(patients.features),
        value=patients.names[patients.numbers.value] if patients.numbers.value >= 0 else "",
        figures=tuple(Figure(**{name: row[name] for name in fields}) for row in shown.to_dict("records")),
        chosen=tuple(name_of(row) for row in chosen[chosen["chosen"] == 1].to_dict("records")),
        reports=reports,
        notes=patients.notes,
    )
