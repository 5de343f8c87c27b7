"""Evidence rows: one number, its interval, how it was made, and the publication it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.audit.given import AuditInput, Row
from fiducial.errors import IntegrityError, TableError
from fiducial.records.chain import Chain, chain_from_json, chain_of, json_rows
from fiducial.records.files import write_json
from fiducial.records.statement import evidence_changes
from fiducial.records.tables import CURVES, EVIDENCE, Schema, table
from fiducial.records.untrusted import read_json_strictly

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.maths.intervals import Interval

SCHEMA = 2
PERSONS_UNKNOWN = "by image; persons unknown: intervals may be too narrow"

DELONG = "DeLong, DeLong and Clarke-Pearson, Biometrics 1988; clusters: Obuchowski, Biometrics 1997"
WILSON = "Wilson, JASA 1927; clusters: Korn and Graubard, Survey Methodology 1998"
BOOTSTRAP = "bootstrap: Davison and Hinkley 1997; clusters: Field and Welsh, JRSS B 2007"
LOCATION = f"means: Hall, JRSS B 1992; medians and gaps: {BOOTSTRAP}"
BRIER = "Brier, Monthly Weather Review 1950"
ECE = "Naeini, Cooper and Hauskrecht, AAAI 2015"
COX = "Cox, Biometrika 1958; Van Calster et al., BMC Medicine 2019"
PLATT = "Platt, Advances in Large Margin Classifiers 1999"
DICE = "Dice, Ecology 1945; Maier-Hein et al., Nature Methods 2024"
SURFACE = "Reinke et al., Nature Methods 2024; Nikolov et al., JMIR 2021"
SHIFT = "Newcombe, Statistics in Medicine 1998 (method 10)"
HETEROGENEITY = "Cochran, Biometrics 1954; Holm, Scandinavian Journal of Statistics 1979"

REFERENCES: dict[str, str] = {
    "auc": DELONG,
    "sensitivity": WILSON,
    "specificity": WILSON,
    "ppv": WILSON,
    "npv": WILSON,
    "accuracy": WILSON,
    "balanced_accuracy": "Brodersen et al., ICPR 2010; " + BOOTSTRAP,
    "brier": f"{BRIER}; {LOCATION}",
    "ece": f"{ECE}; {BOOTSTRAP}",
    "calibration_slope": f"{COX}; {BOOTSTRAP}",
    "calibration_intercept": f"{COX}; {BOOTSTRAP}",
    "dice": f"{DICE}; {LOCATION}",
    "iou": f"Jaccard, New Phytologist 1912; {LOCATION}",
    "hd95": f"{SURFACE}; {LOCATION}",
    "masd": f"{SURFACE}; {LOCATION}",
    "nsd": f"{SURFACE}; {LOCATION}",
    "volume_difference_ml": LOCATION,
}


def evidence_row(given: AuditInput, check: str, metric: str, interval: Interval | None = None, /, **said: Any) -> Row:
    """One Evidence row.

    Args:
        given: what was audited; gives level, seed and source.
        check: name of the check.
        metric: name of the metric.
        interval: fills value, low, high, level, method and counts; None leaves them to ``said``.
        **said: further columns of the Evidence schema; they win over the interval's.

    Raises:
        TypeError: ``said`` holds a name that is not a column.
    """
    unknown = set(said) - set(EVIDENCE.names)
    if unknown:
        raise TypeError(f"not a column of evidence: {', '.join(sorted(unknown))}")
    row: Row = _defaults(EVIDENCE) | {
        "check": check,
        "metric": metric,
        "level": given.settings.level,
        "seed": given.settings.seed,
        "source": given.source,
        "reference": REFERENCES.get(metric, ""),
        "method": "count",
    }
    if given.study is not None:
        row["study"] = given.study.name
    if interval is not None:
        row |= {
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "level": interval.level,
            "method": interval.method,
            "n_subjects": interval.n_subjects,
            "n_images": interval.n_images,
        }
    row |= said
    if not given.settings.person_known:
        row["method"] = f"{row['method']}; {PERSONS_UNKNOWN}"
    return row


def curve_point(check: str, metric: str, **said: Any) -> Row:
    """One row of the Curves table, with the defaults of what is not said."""
    return _defaults(CURVES) | {"check": check, "metric": metric, **said}


def _defaults(schema: Schema) -> Row:
    return {column.name: column.default for column in schema.columns if column.default is not None}


def write_evidence(evidence: pd.DataFrame, path: str | Path) -> None:
    """Write ``{"schema": 2, "rows": [...], "chain": {...}}``; what is not a finite number is written as null.

    The chain (see `fiducial.records.chain`) makes a row that is changed, removed, added or moved by hand be found.

    Raises:
        TableError: the table breaks the Evidence schema.
    """
    from fiducial.records.tables import validated

    rows = json_rows(validated(evidence, EVIDENCE, where=str(path)))
    write_json(path, {"schema": SCHEMA, "rows": rows, "chain": chain_of(rows, EVIDENCE.names).to_json()})


def read_evidence(path: str | Path) -> pd.DataFrame:
    """Read what `write_evidence` wrote.

    Raises:
        TableError: not such a file, another schema, or rows that break the Evidence schema.
        IntegrityError: a row is not the one that was written; the message names it and what happened to it.
    """
    rows, chain = stored_rows(path)
    changes = evidence_changes(rows, chain)
    if changes:
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        raise IntegrityError(
            f"row {changes[0].what.rpartition(' ')[2]} was edited after the audit: {changes[0].how}{more}",
            where=str(path),
            action="restore the original file, or audit again; edited evidence is never used",
        )
    return table([dict(row) for row in rows], EVIDENCE)


def stored_rows(path: str | Path) -> tuple[list[dict[str, Any]], Chain]:
    """The rows of an evidence file as JSON values, and its chain, neither of them compared with the other.

    Raises:
        TableError: not such a file, or another schema.
        IntegrityError: the chain is not a chain.
    """
    try:
        held = read_json_strictly(path)
    except IntegrityError as error:
        raise TableError(f"not a readable evidence file: {error.given}", where=error.where) from error
    rows = held.get("rows") if isinstance(held, dict) else None
    if not isinstance(held, dict) or held.get("schema") != SCHEMA or not isinstance(rows, list):
        found = held.get("schema") if isinstance(held, dict) else type(held).__name__
        raise TableError(
            f"schema {found!r}",
            where=str(path),
            legal=f'{{"schema": {SCHEMA}, "rows": [...], "chain": {{...}}}}',
            action="audit again" + ("; evidence of schema 1 has no chain" if found == 1 else ""),
        )
    if not all(isinstance(row, dict) for row in rows):
        raise TableError("a row that is not an object", where=str(path), legal="rows of column and value")
    return rows, chain_from_json(held.get("chain"), where=str(path))
