"""The command about signatures of features. Registered in `commands`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fiducial.cli.bars import progress_shown
from fiducial.cli.options import AsJson, Debug, Quiet, Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fiducial.flows import Figure, Signature

NAMES = {
    "volume": "volume alone",
    "value": "largest intensity alone",
    "clinical": "clinical alone",
    "radiomics": "radiomics: the signature",
    "radiomics_all": "radiomics: all features",
    "clinical_radiomics": "clinical and signature",
}
LARGEST = "statistics.maximum"
VERDICTS = {"better": "better", "worse": "worse", "no_difference_shown": "no difference shown"}
SHOWN = 8


class Regions(StrEnum):
    """Which region of a patient counts."""

    LARGEST = "largest"
    MEAN = "mean"


class Missing(StrEnum):
    """What becomes of patients without a clinical value."""

    REFUSE = "refuse"
    MEDIAN = "median"
    DROP = "drop"


def signature(
    features: Annotated[
        Path,
        typer.Argument(metavar="FEATURES.parquet", help="What `fiducial features` wrote.", show_default=False),
    ],
    outcomes: Annotated[
        Path, typer.Option(metavar="FILE.csv", help="subject, the outcome and clinical variables; a row each.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write.")],
    target: Annotated[str, typer.Option(metavar="NAME", help="Column of 0 and 1 to be predicted.")] = "",
    time: Annotated[str, typer.Option(metavar="NAME", help="With --event: column of times, for survival.")] = "",
    event: Annotated[str, typer.Option(metavar="NAME", help="With --time: column of events, 1 or 0 (censored).")] = "",
    clinical: Annotated[str, typer.Option(metavar="A,B", help="Columns of clinical variables.")] = "",
    structure: Annotated[str, typer.Option(metavar="NAME", help="Only regions of this structure.")] = "",
    value: Annotated[
        str, typer.Option(metavar="FAMILY.FEATURE", help="The best-known single value; else the largest intensity.")
    ] = "",
    horizon: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            help="Survival: risks are by this time; the events' median unless stated.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Settings; what the command line says goes before.")
    ] = None,
    regions: Annotated[
        Regions | None, typer.Option(help="Of several regions of a patient: which counts; largest unless stated.")
    ] = None,
    missing: Annotated[
        Missing | None, typer.Option(help="Patients without a clinical value; refuse unless stated.")
    ] = None,
    stability: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What `fiducial stability` wrote: unreproducible features fall.")
    ] = None,
    combat: Annotated[
        bool, typer.Option("--combat", help="Take sites' shifts and spreads out of the features, by training patients.")
    ] = False,
    study: Annotated[
        Path | None, typer.Option(metavar="STUDY.toml", help="Intended use and criteria, for the audit of each model.")
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Repeats of cross-validation; 20 unless stated.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of each repeat; 5 unless stated.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of folds and halves; 0 unless stated.")] = None,
    workers: Workers = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Learn a signature by nested cross-validation, beside volume, intensity and clinical variables alone."""
    from fiducial.cli.show import show
    from fiducial.flows import Asked, SignatureTables, load_signature_settings
    from fiducial.flows import signature as flow

    variables = tuple(name.strip() for name in clinical.split(",") if name.strip())
    asked = Asked(target=target, time=time, event=event, clinical=variables, structure=structure, value=value)
    stated = {"seed": seed, "repeats": repeats, "folds": folds, "combat": combat or None, "horizon": horizon}
    named = {name: None if word is None else word.value for name, word in (("regions", regions), ("missing", missing))}
    settings = load_signature_settings(config, over=stated | named)
    tables = SignatureTables(features, outcomes, stability, study)
    with progress_shown(quiet=quiet) as progress:
        result = flow(tables, out, asked=asked, settings=settings, workers=workers, progress=progress)
    show(result, _lines(result), as_json=as_json)


def _lines(result: Signature) -> list[str]:
    """Each model's discrimination, what radiomics adds, and the signature."""
    from fiducial.cli.show import counted, safe

    metric = next(f.metric for f in result.figures if f.metric in ("auc", "c_index"))
    shown = "AUC" if metric == "auc" else "C-index"
    names = NAMES | ({} if result.value == LARGEST else {"value": f"{safe(result.value)} alone"})
    lines = [
        f"[bold]{counted(result.n_subjects, 'patient')}, {result.n_events} with {safe(result.outcome)}, "
        f"{counted(result.n_features, 'feature')}[/]",
        *[f"  note: {safe(note)}" for note in result.notes],
    ]
    lines += [f"  {shown} {_interval(f)}  {names[f.model]}{_noted(f)}" for f in result.figures if f.metric == metric]
    for f in result.figures:
        if f.metric == f"{metric}_difference" and "radiomics" in f.model:
            lines.append(f"  {_interval(f, sign='+')}  {names[f.model]} over {names[f.beside]}: {VERDICTS[f.verdict]}")
    if result.horizon is not None:
        lines += _at_horizon(result, names)
    chosen = ", ".join(safe(name) for name in result.chosen[:SHOWN]) or "no feature is stable enough"
    more = f" and {len(result.chosen) - SHOWN} more" if len(result.chosen) > SHOWN else ""
    return [*lines, f"Signature of all patients: {chosen}{more}", f"Tables: [bold]{safe(result.out)}[/]"]


def _at_horizon(result: Signature, names: Mapping[str, str]) -> list[str]:
    """Discrimination at the horizon, and where calibration and decision curves are."""
    rows = [f for f in result.figures if f.metric == "auc_at_horizon"]
    return [
        f"By {result.horizon:g}, in the unit of the times:",
        *[f"  AUC {_interval(f)}  {names[f.model]}" for f in rows],
        "  Brier score, calibration and decision curves: in the tables, and drawn by fiducial features-report",
    ]


def _interval(figure: Figure, *, sign: str = "") -> str:
    if figure.low != figure.low:
        return f"{figure.value:{sign}.2f} ({figure.reason})"
    return f"{figure.value:{sign}.2f} [{figure.low:{sign}.2f}, {figure.high:{sign}.2f}]"


def _noted(figure: Figure) -> str:
    return f" ({figure.reason})" if figure.reason and figure.low == figure.low else ""
