"""A vendor's table, as it comes, turned into the audit's tables.

The table needs ``image`` (or ``subject``), ``target``, ``value`` and ``truth``; every further column is an attribute.
Without ``subject`` the persons are unknown, and every interval says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiducial.audit.case_values import PREFIXED, RANGES, unread_metrics
from fiducial.audit.given import AuditInput, AuditSettings, Unmatched
from fiducial.audit.joining import join_attributes
from fiducial.audit.tables import finding_scores, one_row_per_image
from fiducial.errors import LabelError, TableError
from fiducial.records.files import sha256_file
from fiducial.records.tables import CASES, PREDICTIONS, table, validated
from fiducial.study.vocabulary import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.study import Study

_NEEDED = {"predictions": ("image", "target", "value", "truth"), "cases": ("image", "target", "metric", "value")}
TIMES = ("acquired", "month")
"""Columns that say when, the first that is there: they order images and divide nobody."""
_MOST_VALUES = 20
"""A numeric attribute with more distinct values than this is no group; it needs bands."""


def vendor_input(
    predictions: str | Path | pd.DataFrame,
    *,
    study: Study | None = None,
    attributes: str | Path | pd.DataFrame | None = None,
    settings: AuditSettings | None = None,
    bands: Mapping[str, tuple[float, ...]] | None = None,
) -> AuditInput:
    """Read a vendor's predictions and attributes, or what was measured of each case.

    Args:
        predictions: CSV or Parquet file, or a table: ``subject, image, target, value, truth`` and attributes. With a
            column ``metric`` and none called ``truth`` it is a table of cases: ``subject, image, target, metric,
            value``, such as a Dice, a volume or predicted and observed days of survival.
        study: with intended use and criteria; None audits without verdicts on criteria.
        attributes: a second table, keyed by ``image`` or ``subject``; its columns become attributes too.
        settings: of the audit; ``attributes`` empty takes the study's, or every column that can group.
        bands: turn numbers into attributes, ``{"age": (50, 65, 80)}``, where the study has none.

    Raises:
        TableError: a column is missing, a probability lies outside [0, 1], a prediction is repeated, an image has two
            values of one attribute, or no id of the attributes matches.
        LabelError: truth is absent, not 0 or 1, or of one class only.
    """
    settings = settings or AuditSettings()
    frame, source = _read(predictions)
    where = source or "vendor table"
    person_known = settings.person_known and "subject" in frame.columns
    schema = CASES if "metric" in frame.columns and "truth" not in frame.columns else PREDICTIONS
    # Further columns are attributes here, also in a table of cases.
    frame = validated(_with_ids(frame, where, _NEEDED[schema.name]), replace(schema, open=True), where=where)
    extra = [str(name) for name in frame.columns if name not in schema.names]
    rows = one_row_per_image(frame, ["image", "subject", "split", *extra], where=where)
    rows, unmatched = (rows, None) if attributes is None else _joined(rows, attributes)
    if schema is PREDICTIONS:
        _check_truth(frame, where)
    else:
        _check_metrics(frame, where)
    settings = replace(
        settings,
        bands={**settings.bands, **(bands or {})},
        person_known=person_known,
    )
    if not settings.attributes and not (study and study.data.attributes):
        settings = replace(settings, attributes=_groupable(rows, settings.bands))
    return AuditInput(
        predictions=frame[PREDICTIONS.names] if schema is PREDICTIONS else table([], PREDICTIONS),
        cases=frame[CASES.names] if schema is CASES else table([], CASES),
        attributes=rows,
        study=study,
        settings=settings,
        source=source,
        unmatched=unmatched,
    )


def _read(predictions: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The table as it is, with file name and digest where it is a file."""
    import pandas as pd

    if isinstance(predictions, pd.DataFrame):
        return predictions.reset_index(drop=True), ""
    path = Path(predictions)
    if not path.is_file():
        raise TableError("no such file", where=str(path), action="give a predictions table (.csv or .parquet)")
    try:
        frame = _read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise TableError(
            f"not a readable table ({error})", where=str(path), legal="a Parquet file, or CSV with a header line"
        ) from error
    return frame, f"{path.name} sha256:{sha256_file(path)[:16]}"


def _read_csv(path: Path) -> pd.DataFrame:
    """Ids as text (007 stays 007), empty cells as missing."""
    import pandas as pd

    ids = dict.fromkeys(("subject", "image", "target", "item", "member", "rater"), str)
    return pd.read_csv(path, dtype=ids, keep_default_na=False, na_values=[""])


def _with_ids(frame: pd.DataFrame, where: str, needed: Sequence[str]) -> pd.DataFrame:
    """Image from subject or subject from image, where only one is stated."""
    names = [str(name) for name in frame.columns]
    if "image" not in names and "subject" in names:
        frame = frame.assign(image=frame["subject"])
    elif "subject" not in names and "image" in names:
        frame = frame.assign(subject=frame["image"])
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        hints = [did_you_mean(name, names) for name in missing]
        raise TableError(
            f"missing column(s) {', '.join(missing)}; it has {', '.join(names) or 'none'}",
            where=where,
            legal=f"subject, {', '.join(needed)}; further columns are attributes",
            action=" ".join(hint for hint in hints if hint) or "rename or add them",
        )
    return frame


def _joined(rows: pd.DataFrame, attributes: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, Unmatched]:
    """Attribute rows with the columns of a second table; who an image is of, the predictions say."""
    import pandas as pd

    given = attributes if isinstance(attributes, pd.DataFrame) else _read(attributes)[0]
    where = "attributes" if isinstance(attributes, pd.DataFrame) else str(attributes)
    if "image" in given.columns:
        given = given.drop(columns=[name for name in ("subject",) if name in given.columns])
    return join_attributes(rows, given, where=where)


def _check_truth(frame: pd.DataFrame, where: str) -> None:
    """Each target needs truth of both classes somewhere."""
    scores = finding_scores(frame[frame["rater"] == ""])
    for (target, item), rows in scores.groupby(["target", "item"], sort=True):
        name = f"{target}: {item}" if item else str(target)
        truth = rows["truth"].dropna()
        if not len(truth):
            raise LabelError(f"no truth for target {name!r}", where=where, action="fill the column truth with 0 or 1")
        if not truth.isin([0.0, 1.0]).all():
            wrong = truth[~truth.isin([0.0, 1.0])].iloc[0]
            raise LabelError(f"truth {wrong:g} for target {name!r}", where=f"{where}, column truth", legal="0 or 1")
        if truth.nunique() == 1 and not item:
            raise LabelError(
                f"all {len(truth)} rows of target {name!r} have truth {truth.iloc[0]:g}: one class only",
                where=where,
                legal="0 and 1",
                action="give cases with and without the finding",
            )


def _check_metrics(frame: pd.DataFrame, where: str) -> None:
    """At least one metric of a table of cases must be one that a check reads."""
    unread = unread_metrics(frame)
    if len(unread) == frame["metric"].nunique():
        hints = [did_you_mean(name, list(RANGES)) for name in unread]
        raise TableError(
            f"no check reads {', '.join(unread[:4])}",
            where=f"{where}, column metric",
            legal=", ".join([*RANGES, *(f"{prefix}<threshold>" for prefix in PREFIXED)]),
            action=" ".join(hint for hint in hints if hint),
        )


def _groupable(rows: pd.DataFrame, bands: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns that can group images: text or numbers of few values; banded columns by their band; no times."""
    from pandas.api.types import is_numeric_dtype

    names = []
    for name in rows.columns:
        if name in ("image", "subject", "split", *TIMES):
            continue
        if name in bands:
            names.append(f"{name}_band")
        elif rows[name].nunique() <= _MOST_VALUES or not is_numeric_dtype(rows[name]):
            names.append(str(name))
    return tuple(names)
