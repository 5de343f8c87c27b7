"""The audit's tables, checked once and put in one order, so that no result depends on the order of rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fiducial.audit.case_values import check_case_values
from fiducial.audit.given import AuditInput
from fiducial.errors import LabelError, TableError
from fiducial.records.tables import CASES, PREDICTED_DICE, PREDICTIONS, PROBABILITY, UNCERTAINTY, validated
from fiducial.study import Uncertainty, check_groups, with_bands
from fiducial.study.vocabulary import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from fiducial.study import Study

MINIMUM_N = 10
"""Smallest group that is measured, where neither settings nor study state one."""
MITIGATED = "mitigated"
"""Condition of the answers of a second model, trained or adjusted to be fairer, on the same images."""
_OWN = ("image", "subject", "split")


def prepared(given: AuditInput) -> AuditInput:
    """The same input, valid, of one model, clean and final predictions only, in one order, with bands and source.

    Raises:
        TableError: a table breaks its schema, holds several models or a value that its metric cannot have, or says two
            things about one image.
        LabelError: there is nothing to audit, or a target of the study has no prediction.
        StudyError: a criterion names a group that nobody belongs to.
    """
    everything = _ordered(validated(given.predictions, PREDICTIONS))
    beside = (everything["kind"] == "embedding") | (everything["item"] == PROBABILITY)
    predictions = _final(everything[~beside])
    measured = validated(given.cases, CASES)
    check_case_values(measured)
    cases = _final(measured)
    readings = _beside(everything, (everything["rater"] != "") & ~beside)
    rated = _beside(measured, measured["rater"] != "")
    rated = rated if len(rated) or given.rated is None else given.rated
    if not any(map(len, (predictions, cases, readings, rated))):
        raise LabelError("no predictions to audit", legal="rows with condition 'clean' and member ''")
    mitigated = _mitigated(everything[~beside & (everything["rater"] == "")], given.mitigated)
    for answers in (predictions, *([] if mitigated is None else [mitigated])):
        _check_probabilities(answers)
    _check_one_model(predictions, cases)
    spoken = (predictions, cases) if len(predictions) or len(cases) else (readings, rated)
    attributes = _attributes(given, *spoken)
    if given.study is not None:
        _check_targets(given.study, predictions, cases)
        check_groups(given.study, attributes)
    data = given.study.data if given.study is not None else None
    stated = given.study.uncertainty if given.study is not None else Uncertainty()
    settings = replace(
        given.settings,
        attributes=given.settings.attributes or (data.attributes if data else ()),
        minimum_n=given.settings.minimum_n or (data.minimum_n if data else MINIMUM_N),
        **{name: getattr(given.settings, name) or value for name, value in stated.model_dump().items()},
    )
    return replace(
        given,
        predictions=predictions,
        cases=_sorted(cases, ["target", "item", "metric", "image", "fold"]),
        attributes=attributes,
        settings=settings,
        source=given.source or f"tables sha256:{_digest(*spoken)[:16]}",
        members=_beside(everything, (everything["member"] != "") & (everything["rater"] == "") & ~beside),
        readings=readings,
        rated=rated,
        embeddings=_beside(everything, (everything["kind"] == "embedding") & (everything["member"] == "")),
        mitigated=mitigated,
        mitigated_cases=_mitigated(measured, given.mitigated_cases),
    )


def audited_table(given: AuditInput) -> pd.DataFrame:
    """What says which part is audited: predictions, else cases; where no model answered, what raters said or drew."""
    others = [frame for frame in (given.readings, given.rated) if frame is not None]
    frames = [frame for frame in (given.predictions, given.cases, *others) if len(frame)]
    return frames[0] if frames else given.predictions


def audited_split(frame: pd.DataFrame) -> str:
    """The part that verdicts come from: ``test``, or ``""`` where no row states a split.

    Raises:
        LabelError: splits are stated, but none is ``test``.
    """
    parts = set(frame["split"])
    if "test" in parts:
        return "test"
    if parts <= {""}:
        return ""
    raise LabelError(
        f"no row of the test part; the table has {', '.join(sorted(parts - {''}))}",
        legal="split = test, or no split at all",
        action="predict the test part, or leave the split column empty to audit everything",
    )


def finding_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows that are probabilities of findings: of kind score, and neither a predicted quality nor a doubt."""
    return predictions[(predictions["kind"] == "score") & ~predictions["item"].isin([PREDICTED_DICE, UNCERTAINTY])]


def with_attributes(rows: pd.DataFrame, given: AuditInput) -> pd.DataFrame:
    """``rows`` with the attribute columns of their images."""
    columns = ["image", *(name for name in given.attributes.columns if name not in (*_OWN, *rows.columns))]
    return rows.merge(given.attributes[columns], on="image", how="left", validate="many_to_one")


def one_row_per_image(frame: pd.DataFrame, columns: list[str], *, where: str) -> pd.DataFrame:
    """Attribute rows from a table that repeats an image: one row each.

    Raises:
        TableError: two rows of one image say different things.
    """
    rows = frame[columns].drop_duplicates().sort_values("image", kind="stable")
    twice = rows["image"].duplicated(keep=False)
    if twice.any():
        image = rows.loc[twice, "image"].iloc[0]
        said = rows[rows["image"] == image]
        differ = [name for name in columns if said[name].nunique(dropna=False) > 1]
        values = {name: said[name].tolist()[:2] for name in differ}
        raise TableError(
            f"image {image!r} has two answers: {values}",
            where=where,
            legal="one value per image",
            action="correct the rows that disagree",
        )
    return rows.reset_index(drop=True)


def _final(frame: pd.DataFrame) -> pd.DataFrame:
    """Clean, final, reference-rated rows: stress tests, single folds and other raters have checks of their own."""
    keep = (frame["condition"] == "clean") & (frame["member"] == "")
    keep &= frame["rater"] == ""
    return frame[keep].reset_index(drop=True)


def _beside(everything: pd.DataFrame, rows: pd.Series[bool]) -> pd.DataFrame:
    """Clean rows that are not the model's final answer, for the checks that are about them."""
    return everything[rows & (everything["condition"] == "clean")].reset_index(drop=True)


def _mitigated(frame: pd.DataFrame, before: pd.DataFrame | None) -> pd.DataFrame | None:
    """A second model's final answers, as clean rows; what was set aside earlier stays."""
    rows = frame[(frame["condition"] == MITIGATED) & (frame["member"] == "")]
    return rows.assign(condition="clean").reset_index(drop=True) if len(rows) else before


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    return _sorted(frame, ["target", "item", "image", "fold", "member", "rater"])


def _sorted(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    return frame.sort_values(by, kind="stable").reset_index(drop=True)


def _check_probabilities(predictions: pd.DataFrame) -> None:
    scores = predictions["kind"] == "score"
    outside = scores & ((predictions["value"] < 0) | (predictions["value"] > 1))
    if outside.any():
        first = predictions[outside].iloc[0]
        raise TableError(
            f"value {first['value']:g} of image {first['image']!r}, target {first['target']!r} "
            f"({int(outside.sum())} such rows)",
            where="predictions, column value",
            legal="a probability in [0, 1]",
            action="logits: apply the logistic function; percentages: divide by 100; classes: give probabilities",
        )
    findings = finding_scores(predictions)
    wrong = findings["truth"].notna() & ~findings["truth"].isin([0.0, 1.0])
    if wrong.any():
        first = findings[wrong].iloc[0]
        raise LabelError(
            f"truth {first['truth']:g} of image {first['image']!r}, target {first['target']!r} "
            f"({int(wrong.sum())} such rows)",
            where="predictions, column truth",
            legal="0 or 1 (several classes: one row per class, named in item)",
        )


def _check_one_model(predictions: pd.DataFrame, cases: pd.DataFrame) -> None:
    models = sorted(
        {*zip(predictions["study"], predictions["model"], strict=True)}
        | {*zip(cases["study"], cases["model"], strict=True)}
    )
    if len(models) > 1:
        raise TableError(
            f"predictions of {len(models)} models: {', '.join('/'.join(m) for m in models[:4])}",
            legal="one study and one model per audit",
            action="audit them one by one",
        )


def _check_targets(study: Study, predictions: pd.DataFrame, cases: pd.DataFrame) -> None:
    there = sorted({*predictions["target"], *cases["target"]})
    for target in study.task.targets:
        if target not in there:
            raise LabelError(
                f"no prediction of target {target!r}",
                where=f"{study.source}, [task] targets",
                legal=", ".join(there),
                action=did_you_mean(target, there),
            )
    kind = "score" if study.task.kind == "classification" else "mask"
    if len(predictions) and kind not in set(predictions["kind"]):
        raise LabelError(
            f"a {study.task.kind} study, but the predictions are {', '.join(sorted(set(predictions['kind'])))}",
            where=str(study.source),
            legal=f"rows of kind {kind}",
        )


def _attributes(given: AuditInput, predictions: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Attribute rows of every image that was predicted, banded; images without a row have missing attributes."""
    import pandas as pd

    own = pd.concat([predictions[["image", "subject", "split"]], cases[["image", "subject", "split"]]])
    own = one_row_per_image(own, list(_OWN), where="predictions")
    stated = given.attributes
    if "image" not in stated.columns:
        if len(stated.columns) or len(stated):
            raise TableError("the attributes have no column 'image'", where="attributes", legal="one row per image")
        stated = pd.DataFrame({"image": pd.Series([], dtype=object)})
    stated = stated.assign(image=stated["image"].map(str))
    stated = one_row_per_image(stated, [str(name) for name in stated.columns], where="attributes")
    known = set(own["image"])
    if len(stated) and not known & set(stated["image"]):
        raise TableError(
            f"no image of the attributes is in the predictions: {stated['image'].iloc[0]!r} against "
            f"{own['image'].iloc[0]!r}",
            where="attributes, column image",
            action="use the same ids in both tables",
        )
    merged = own.merge(stated, on="image", how="outer", suffixes=("", "_stated"))
    _require_one_part(merged)
    for name in ("subject", "split"):
        if f"{name}_stated" in merged.columns:
            merged[name] = merged[name].where(merged[name].notna(), merged.pop(f"{name}_stated"))
        merged[name] = merged[name].fillna("").map(str)
    merged["subject"] = merged["subject"].where(merged["subject"] != "", merged["image"])
    bands: dict[str, Any] = dict(given.settings.bands)
    bands |= given.study.data.bands if given.study is not None else {}
    return with_bands(merged, bands).sort_values("image", kind="stable").reset_index(drop=True)


def _require_one_part(merged: pd.DataFrame) -> None:
    """Refuse an image that the predictions put into another part than the attributes do."""
    if "split_stated" not in merged.columns:
        return
    both = merged[["split", "split_stated"]].fillna("").astype(str)
    differ = (both["split"] != both["split_stated"]) & (both != "").all(axis=1)
    if differ.any():
        first = merged[differ].iloc[0]
        raise TableError(
            f"image {first['image']!r} is in {first['split']} here and in {first['split_stated']} in the attributes "
            f"({int(differ.sum())} such images)",
            where="predictions, column split",
            action="audit predictions with the split that they were made under",
        )


def _digest(*frames: pd.DataFrame) -> str:
    """SHA-256 of the rows of some tables, whatever their order."""
    import pandas as pd

    digest = hashlib.sha256()
    for frame in frames:
        rows = np.sort(pd.util.hash_pandas_object(frame, index=False).to_numpy())
        digest.update(rows.tobytes())
    return digest.hexdigest()
