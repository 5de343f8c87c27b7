"""A study against the data it names: what is missing is refused before a minute is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fiducial.errors import LabelError, StudyError
from fiducial.study.groups import BAND_SUFFIX, attribute_text, group_mask, with_bands
from fiducial.study.model import Criterion, Study
from fiducial.study.vocabulary import did_you_mean

if TYPE_CHECKING:
    import pandas as pd


def check_against(study: Study, cohort: pd.DataFrame) -> None:
    """Refuse a study that its cohort cannot serve.

    Raises:
        StudyError: modality, attribute, site or split that the study needs is not in the cohort, or a criterion
            names a group that nobody belongs to.
        LabelError: no labels or masks, a target that the cohort does not have, or one class only.
    """
    images = cohort[~cohort["role"].isin(("mask", "table", "text"))]
    _check_inputs(study, images)
    _check_columns(study, images)
    if study.task.kind == "segmentation":
        _check_structures(study, cohort, study.task.targets, "target")
    else:
        _check_labels(study, images)
    if study.task.region is not None:
        _check_structures(study, cohort, (study.task.region.mask,), "region")
    check_groups(study, images)


def check_groups(study: Study, frame: pd.DataFrame, *, where: str = "") -> None:
    """Refuse a criterion on a group that has no member in ``frame`` (one row per image, with attribute columns).

    Raises:
        StudyError: with the values that the attribute has.
    """
    frame = with_bands(frame, study.data.bands)
    for number, criterion in enumerate(study.accept, start=1):
        place = f"{where or study.source}, [[accept]] number {number}, group"
        _check_group(criterion, frame, place)


def _check_group(criterion: Criterion, frame: pd.DataFrame, where: str) -> None:
    group = criterion.parsed_group
    for name in group.attributes:
        if name not in frame.columns:
            raise StudyError(
                f"{criterion.group!r}: the data has no attribute {name!r}",
                where=where,
                legal=", ".join(_attributes(frame)),
                action=did_you_mean(name, _attributes(frame)),
            )
    for name, value in group.terms:
        values = sorted(set(attribute_text(frame[name])))
        if value not in values:
            raise StudyError(
                f"{criterion.group!r}: nobody has {name}={value}",
                where=where,
                legal=", ".join(f"{name}={v}" for v in values),
                action=did_you_mean(value, values),
            )
    if not group_mask(frame, group).any():
        raise StudyError(f"{criterion.group!r}: nobody is in this intersection", where=where)


def _attributes(frame: pd.DataFrame) -> list[str]:
    """Columns that may serve as attributes: all but the ones that say where a file is or what it holds."""
    own = ("subject", "image", "of", "role", "structure", "mask_value", "path", "split", "rater")
    derived = ("sha256", "signature", "fingerprint")
    return [str(name) for name in frame.columns if name not in own + derived]


def _check_inputs(study: Study, images: pd.DataFrame) -> None:
    there = sorted(set(images["modality"]) - {""})
    for modality in study.data.inputs:
        # Files that state no modality (NIfTI, PNG) are taken at the study's word.
        if there and modality not in there:
            raise StudyError(
                f"no image of modality {modality!r}",
                where=f"{study.source}, [data] inputs",
                legal=", ".join(there),
                action=did_you_mean(modality, there),
            )
    if not len(images):
        raise StudyError("the cohort has no images", where=f"{study.source}, [data] cohort")


def _check_columns(study: Study, images: pd.DataFrame) -> None:
    legal = _attributes(images)
    banded = {f"{column}{BAND_SUFFIX}": column for column in study.data.bands}
    wanted = [banded.get(name, name) for name in study.data.attributes]
    for name in [*wanted, *study.data.bands, *study.data.split.stratify]:
        if name not in images.columns:
            raise StudyError(
                f"the cohort has no column {name!r}",
                where=f"{study.source}, [data]",
                legal=", ".join(legal),
                action=did_you_mean(name, legal),
            )
    rule = study.data.split.by
    column = {"site": "site", "given": "split"}.get(rule)
    if column and (images[column] == "").all():
        raise StudyError(
            f"split by {rule!r}, but no row has a {column}",
            where=f"{study.source}, [data] split.by",
            action="give a labels file with that column, or split by subject",
        )


def _check_structures(study: Study, cohort: pd.DataFrame, wanted: tuple[str, ...], what: str) -> None:
    masks = cohort[(cohort["role"] == "mask") & (cohort["rater"] == "")]
    legal = sorted(set(masks["structure"]))
    where = f"{study.source}, [task] {'targets' if what == 'target' else 'region.mask'}"
    if not legal:
        raise LabelError("the cohort has no masks", where=where, action="ingest a folder that holds labels or RTSTRUCT")
    for name in wanted:
        if name not in legal:
            raise LabelError(
                f"no mask of structure {name!r}", where=where, legal=", ".join(legal), action=did_you_mean(name, legal)
            )


def _check_labels(study: Study, images: pd.DataFrame) -> None:
    where = f"{study.source}, [task] targets"
    for name in study.task.targets:
        if name not in images.columns:
            legal = _attributes(images)
            raise LabelError(
                f"the cohort has no label column {name!r}",
                where=where,
                legal=", ".join(legal),
                action=did_you_mean(name, legal) or "give the labels with `fiducial ingest --labels FILE.csv`",
            )
        said = attribute_text(images[name])
        classes = sorted(set(said) - {"(missing)"})
        if not classes:
            raise LabelError(f"no image has a label {name!r}", where=where, action="give labels for training and audit")
        if len(classes) == 1:
            raise LabelError(
                f"all {int((said == classes[0]).sum())} labelled images have {name} = {classes[0]}: one class only",
                where=where,
                legal="at least two classes",
                action="add images of another class, or choose another target",
            )
