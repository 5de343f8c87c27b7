"""The five tables: their columns, what each may hold, and how a broken one is answered.

Every table is a Parquet file (CSV is read too). Text columns never hold a missing value: empty text means *not
said*. Numbers may be missing (NaN). A column that is absent takes its default where it has one. Cohort and
Predictions may carry further columns: attributes and labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.errors import TableError
from fiducial.records.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

ROLES = ("image", "mask", "kspace", "sinogram", "slide", "embedding", "table", "text", "none")
KINDS = ("score", "mask", "boxes", "image", "curve", "embedding")
SPLITS = ("train", "validation", "calibration", "test")
VERDICTS = ("pass", "fail", "inconclusive", "not_assessed", "finding", "clear", "not_possible")


@dataclass(frozen=True)
class Column:
    """One column: ``kind`` is ``text``, ``number`` or ``integer``; ``default`` None means the column is required."""

    name: str
    kind: str = "text"
    default: str | float | int | None = ""
    legal: tuple[str, ...] = ()
    meaning: str = ""


@dataclass(frozen=True)
class Schema:
    """A table: its columns in order, whether others may follow, and which columns together are unique."""

    name: str
    columns: tuple[Column, ...]
    open: bool = False
    unique: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]


NAN = math.nan
PREDICTED_DICE = "predicted_dice"
"""Item of score rows that are not the probability of a finding, but the Dice that a mask is expected to have."""
UNCERTAINTY = "uncertainty"
"""Item of score rows that are not the probability of a finding, but the model's own doubt about a case, in [0, 1]."""
PROBABILITY = "probability"
"""Item of image rows whose payload is the probability map of a structure, floor(200 p) in each voxel."""
_SPLIT = ("", *SPLITS)

COHORT = Schema(
    "cohort",
    (
        Column("subject", default=None, meaning="person; a keyed pseudonym for DICOM, else the file's id"),
        Column("visit", meaning="visit of that person"),
        Column("acquired", meaning="date (YYYY-MM-DD) or month (YYYY-MM) as de-identification allows"),
        Column("exam", meaning="co-registered set of images"),
        Column("image", default=None, meaning="id of this row, unique in the cohort"),
        Column("of", meaning="for a mask: the image that it belongs to"),
        Column("role", default=None, legal=ROLES),
        Column("structure", meaning="for a mask: the structure"),
        Column("mask_value", "integer", 1, meaning="for a mask: the value in the file that means this structure"),
        Column("code", meaning="for a mask: JSON of its coded category, type and region, and of how it was made"),
        Column("rater", meaning="who drew or said it; empty for the reference"),
        Column("path", meaning="file, relative to the cohort or absolute; `file.npz#key/index`, `file.seg.nrrd#layer`"),
        Column("modality", meaning="DICOM modality"),
        Column("unit", meaning="HU, SUV, Bq/ml, grey or empty"),
        Column("site", meaning="hospital"),
        Column("split", legal=_SPLIT),
        Column("sha256", meaning="of the voxels and the geometry, or of the file for masks"),
        Column("signature", meaning="16 x 16 thumbnail as 512 hexadecimal digits, for near duplicates"),
        Column("fingerprint", meaning="JSON: size, spacing_mm, intensity percentiles, quality; of a mask volume_ml"),
    ),
    open=True,
    unique=("image",),
)

PREDICTIONS = Schema(
    "predictions",
    (
        Column("study"),
        Column("model"),
        Column("member", meaning="empty for the final answer, else fold, draw or view"),
        Column("fold"),
        Column("condition", default="clean", meaning="clean, corruption:severity, or mitigated (a second model)"),
        Column("subject", default=None),
        Column("image", default=None),
        Column("target", default=None, meaning="a structure, label or finding"),
        Column(
            "item",
            meaning="a class (one row each), instance, box or coordinate; predicted_dice; uncertainty; probability",
        ),
        Column("kind", default="score", legal=KINDS),
        Column("value", "number", NAN, meaning="for a score: a probability in [0, 1]"),
        Column("truth", "number", NAN),
        Column("rater"),
        Column("time_days", "number", NAN),
        Column("weight", "number", 1.0),
        Column("payload", meaning="file of a mask, map or curve"),
        Column("payload_sha256"),
        Column("truth_payload"),
        Column("truth_payload_sha256"),
        Column("truth_time_days", "number", NAN),
        Column("split", legal=_SPLIT),
    ),
    open=True,
    unique=("study", "model", "member", "fold", "condition", "image", "target", "item", "kind", "rater", "time_days"),
)

CASES = Schema(
    "cases",
    (
        Column("study"),
        Column("model"),
        Column("member"),
        Column("fold"),
        Column("condition", default="clean"),
        Column("subject", default=None),
        Column("image", default=None),
        Column("target", default=None),
        Column("item"),
        Column("metric", default=None),
        Column("value", "number", NAN),
        Column("unit"),
        Column("reason", meaning="why the value is missing"),
        Column("split", legal=_SPLIT),
        Column("rater", meaning="whose mask was measured; empty for the model's (item: the other rater of a pair)"),
    ),
    unique=("study", "model", "member", "fold", "condition", "image", "target", "item", "metric", "rater"),
)

EVIDENCE = Schema(
    "evidence",
    (
        Column("study"),
        Column("model"),
        Column("check", default=None, meaning="which check made this row"),
        Column("metric", default=None),
        Column("statistic", default="value", meaning="value, mean, median, gap, low, high, n ..."),
        Column("target"),
        Column("item"),
        Column("group", default="all", meaning="all, sex=F, sex=F&site=B, or sex for a gap"),
        Column("condition", default="clean"),
        Column("split"),
        Column("value", "number", NAN),
        Column("low", "number", NAN),
        Column("high", "number", NAN),
        Column("level", "number", 0.95),
        Column("unit"),
        Column("p", "number", NAN),
        Column("p_adjusted", "number", NAN),
        Column("n_subjects", "integer", 0),
        Column("n_images", "integer", 0),
        Column("n_events", "integer", 0),
        Column("threshold", "number", NAN, meaning="for a criterion: the stated bound"),
        Column("direction", legal=("", "at_least", "at_most")),
        Column("verdict", legal=("", *VERDICTS)),
        Column("reason"),
        Column("method", meaning="how value and interval were computed"),
        Column("reference", meaning="the publication of the method"),
        Column("seed", "integer", 0),
        Column("source", meaning="where the figure comes from: table and digest"),
    ),
)

CURVES = Schema(
    "curves",
    (
        Column("check", default=None),
        Column("metric", default=None),
        Column("target"),
        Column("group", default="all"),
        Column("condition", default="clean"),
        Column("series"),
        Column("x", "number", NAN),
        Column("y", "number", NAN),
        Column("low", "number", NAN),
        Column("high", "number", NAN),
        Column("n", "integer", 0),
    ),
)

SCHEMAS = {schema.name: schema for schema in (COHORT, PREDICTIONS, CASES, EVIDENCE, CURVES)}


def read_table(path: str | Path, schema: Schema) -> pd.DataFrame:
    """Read a Parquet or CSV file and return it as a valid table of ``schema``.

    Raises:
        TableError: the file is unreadable, or a column or value is not legal; the message names file, row
            (1 = the first data row) and column.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise TableError("no such file", where=str(path), action=f"give a {schema.name} table (.parquet or .csv)")
    try:
        if path.suffix.lower() == ".csv":
            text = {column.name: str for column in schema.columns if column.kind == "text"}
            frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
        else:
            frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise TableError(
            f"not a readable table ({error})", where=str(path), legal="a Parquet file, or CSV with a header line"
        ) from error
    return validated(frame, schema, where=str(path))


def write_table(frame: pd.DataFrame, path: str | Path, schema: Schema) -> None:
    """Validate ``frame`` and write it as Parquet, atomically."""
    valid = validated(frame, schema, where=str(path))
    with atomic_path(path) as part:
        valid.to_parquet(part, index=False)


def table(rows: list[dict[str, Any]], schema: Schema) -> pd.DataFrame:
    """Build a valid table from rows (dicts); an empty list gives an empty table with all columns."""
    import pandas as pd

    frame = pd.DataFrame(rows) if rows else pd.DataFrame({column.name: [] for column in schema.columns})
    return validated(frame, schema)


def final_answers(predictions: pd.DataFrame) -> pd.DataFrame:
    """The model's final answers on images as they are: nothing that is said beside them."""
    rows = predictions
    final = (rows["member"] == "") & (rows["rater"] == "") & (rows["condition"] == "clean")
    beside = (rows["kind"] == "embedding") | rows["item"].isin([PREDICTED_DICE, UNCERTAINTY, PROBABILITY])
    return rows[final & ~beside].reset_index(drop=True)


def validated(frame: pd.DataFrame, schema: Schema, *, where: str = "") -> pd.DataFrame:
    """Return ``frame`` with the schema's columns first, in order, defaults filled in and types settled.

    Raises:
        TableError: a required column is missing, a column is unknown to a closed table, a value is of the wrong
            type or not in the legal set, or rows that must be unique are not.
    """
    where = where or f"{schema.name} table"
    missing = [c.name for c in schema.columns if c.default is None and c.name not in frame.columns]
    extra = [str(name) for name in frame.columns if name not in schema.names]
    if missing:
        raise TableError(
            f"missing column(s) {', '.join(missing)}; it has {', '.join(map(str, frame.columns)) or 'none'}",
            where=where,
            legal=", ".join(schema.names),
        )
    if extra and not schema.open:
        raise TableError(f"unknown column(s) {', '.join(extra)}", where=where, legal=", ".join(schema.names))
    result = frame.reset_index(drop=True)
    ordered = {c.name: _settled(result, c, where) for c in schema.columns}
    ordered |= {name: _settled_extra(result[name]) for name in extra}
    valid = type(result)(ordered, index=result.index)
    _check_values(valid, schema, where)
    return valid


def _settled(frame: pd.DataFrame, column: Column, where: str) -> pd.Series[Any]:
    """One column with its default filled in and its type settled."""
    import pandas as pd

    if column.name not in frame.columns:
        dtype: Any = {"text": object, "number": float, "integer": "int64"}[column.kind]
        return pd.Series([column.default] * len(frame), index=frame.index, dtype=dtype)
    series = frame[column.name]
    if column.kind == "text":
        return series.astype(object).where(series.notna(), "").map(_text)
    numbers = pd.to_numeric(series, errors="coerce")
    wrong = numbers.isna() & series.notna() & (series.astype(str) != "")
    if wrong.any():
        _refuse(int(wrong.to_numpy().argmax()), column, series, where, "a number")
    if column.kind == "number":
        return numbers.astype(float)
    numbers = numbers.fillna(0 if column.default is None else column.default)
    fraction = numbers != numbers.round()
    if fraction.any():
        _refuse(int(fraction.to_numpy().argmax()), column, series, where, "a whole number")
    return numbers.astype("int64")


def _text(value: Any) -> str:
    """Text of an identifier; a float that is whole (an id column that held a gap) loses its '.0'."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _settled_extra(series: pd.Series[Any]) -> pd.Series[Any]:
    """A further column: booleans and numbers stay numbers, all else becomes text with empty for missing."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(series):
        return series.astype("int64")
    if pd.api.types.is_numeric_dtype(series):
        return series
    return series.astype(object).where(series.notna(), "").map(str)


def _check_values(frame: pd.DataFrame, schema: Schema, where: str) -> None:
    """Closed vocabularies and uniqueness, by pandera; the first offence becomes the message."""
    import pandera.pandas as pa
    from pandera.errors import SchemaErrors

    checks: dict[str, pa.Column] = {}
    for column in schema.columns:
        rules = [pa.Check.isin(column.legal)] if column.legal else []
        if column.kind == "text" and column.default is None:
            rules.append(pa.Check(lambda s: s != "", element_wise=False, error="empty"))
        checks[column.name] = pa.Column(nullable=column.kind == "number", checks=rules)
    rule = pa.DataFrameSchema(checks, strict=False)
    try:
        rule.validate(frame, lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        column = next((c for c in schema.columns if c.name == first["column"]), schema.columns[0])
        row = 0 if first["index"] is None else int(first["index"])
        _refuse(row, column, frame[column.name], where, ", ".join(v or "(empty)" for v in column.legal) or "not empty")
    if schema.unique:
        twice = frame.duplicated(list(schema.unique), keep=False)
        if twice.any():
            rows = [int(i) + 1 for i in twice.to_numpy().nonzero()[0]]
            first = frame.iloc[rows[0] - 1]
            key = ", ".join(f"{n} {first[n]}" for n in schema.unique if first[n] != "" and first[n] == first[n])
            raise TableError(
                f"{len(rows)} rows repeat an entry, first at rows {rows[:4]}: {key}",
                where=where,
                legal=f"one row for each combination of {', '.join(schema.unique)}",
                action="drop the repeats, or tell them apart (by member, rater or item)",
            )


def _refuse(row: int, column: Column, series: pd.Series[Any], where: str, legal: str) -> None:
    raise TableError(f"{series.iloc[row]!r}", where=f"{where}, row {row + 1}, column {column.name}", legal=legal)
