"""Groups, bands, and a study against its cohort."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from fiducial.errors import LabelError, StudyError
from fiducial.records.tables import COHORT, table
from fiducial.study import Group, band_of, check_against, check_groups, group_text, parse_group, parse_study, with_bands
from fiducial.study.groups import attribute_text, group_mask

STUDY = """
[study]
name = "a"
intended_use = "b"
[data]
attributes = ["sex", "site"]
{data}
[task]
kind = "{kind}"
targets = ["{target}"]
{task}
{more}
"""


def study(kind: str = "classification", target: str = "malignant", data: str = "", task: str = "", more: str = ""):
    text = STUDY.format(kind=kind, target=target, data=data, task=task, more=more)
    return parse_study(text, source=Path("study.toml"))


def cohort(**columns: object) -> pd.DataFrame:
    n = 6
    frame = pd.DataFrame(
        {
            "subject": [f"p{i}" for i in range(n)],
            "image": [f"i{i}" for i in range(n)],
            "role": "image",
            "modality": "CT",
            "site": ["A", "A", "A", "B", "B", "B"],
            "sex": ["F", "M", "F", "M", "F", ""],
            "malignant": [0, 1, 0, 1, 0, 1],
            "age": [40, 50, 64.9, 65, 80, math.nan],
        }
    )
    return table(frame.assign(**columns).to_dict("records"), COHORT)


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("all", Group()),
        ("sex", Group(gap="sex")),
        ("sex=F", Group(terms=(("sex", "F"),))),
        ("sex=F&site=B", Group(terms=(("sex", "F"), ("site", "B")))),
        ("age_band=>=80", Group(terms=(("age_band", ">=80"),))),
        ("scanner=G%26E", Group(terms=(("scanner", "G&E"),))),
    ],
)
def test_the_grammar(text: str, group: Group) -> None:
    assert parse_group(text) == group
    if not group.gap:
        assert group_text(group.terms) == text


@pytest.mark.parametrize("text", ["", "sex=", "=F", "sex=F&", "sex&site", "sex=F&sex=M"])
def test_not_a_group(text: str) -> None:
    with pytest.raises(ValueError, match=r"group|twice"):
        parse_group(text)


@pytest.mark.parametrize(
    ("age", "band"), [(49.9, "<50"), (50, "50-<65"), (64.9, "50-<65"), (65, "65-<80"), (80, ">=80"), (math.nan, "")]
)
def test_bands_are_half_open(age: float, band: str) -> None:
    assert band_of(age, (50, 65, 80)) == band


def test_members_of_a_group_and_missing_values() -> None:
    frame = with_bands(cohort(), {"age": (50, 65)})
    assert group_mask(frame, parse_group("sex=F&site=A")).tolist() == [True, False, True, False, False, False]
    assert group_mask(frame, parse_group("sex=(missing)")).tolist() == [False] * 5 + [True]
    assert list(frame["age_band"]) == ["<50", "50-<65", "50-<65", ">=65", ">=65", ""]
    assert list(attribute_text(pd.Series([1.0, 2.5, math.nan, None, " x "]))) == [
        "1", "2.5", "(missing)", "(missing)", "x",
    ]  # fmt: skip


def test_a_good_cohort_is_accepted() -> None:
    check_against(study(data='inputs = ["CT"]\nbands = {age = [50]}'), cohort())
    masks = pd.DataFrame({"subject": ["p0"], "image": ["m0"], "role": ["mask"], "structure": ["nodule"], "of": ["i0"]})
    both = table([*cohort().to_dict("records"), *masks.to_dict("records")], COHORT)
    check_against(study("segmentation", "nodule"), both)


CRITERION = '[[accept]]\nmetric = "auc"\ngroup = "{}"\nat_least = 0.5'


def test_criterion_on_an_unknown_group_lists_the_legal_ones() -> None:
    with pytest.raises(StudyError) as caught:
        check_against(study(more=CRITERION.format("sex=f")), cohort())
    message = str(caught.value)
    assert "study.toml, [[accept]] number 1, group: 'sex=f': nobody has sex=f" in message
    assert "sex=(missing), sex=F, sex=M" in message
    assert "did you mean 'F'?" in message


def test_criterion_on_an_empty_intersection_or_absent_attribute() -> None:
    given = study(more=CRITERION.format("sex=M&site=B"))
    check_groups(given, cohort())
    with pytest.raises(StudyError, match="nobody is in this intersection"):
        check_groups(given, cohort(site=["A", "A", "A", "A", "B", "A"]))
    with pytest.raises(StudyError, match="no attribute 'sex'"):
        check_groups(given, cohort().drop(columns="sex"))


@pytest.mark.parametrize(
    ("given", "frame", "error", "message"),
    [
        (study(target="malignnt"), cohort(), LabelError, "did you mean 'malignant'"),
        (study(), cohort(malignant=1), LabelError, "all 6 labelled images have malignant = 1: one class only"),
        (study(), cohort(malignant=math.nan), LabelError, "no image has a label 'malignant'"),
        (study("segmentation", "liver"), cohort(), LabelError, "the cohort has no masks"),
        (study(task='region = {mask = "nodule"}'), cohort(), LabelError, "no masks"),
        (study(data='inputs = ["MR"]'), cohort(), StudyError, "no image of modality 'MR'"),
        (study(), cohort().drop(columns="sex"), StudyError, "the cohort has no column 'sex'"),
        (study(data="bands = {agee = [50]}"), cohort(), StudyError, "did you mean 'age'"),
        (study(data='split = {by = "given"}'), cohort(), StudyError, "split by 'given', but no row has a split"),
        (study(data='split = {by = "site"}'), cohort(site=""), StudyError, "no row has a site"),
        (study(), cohort().iloc[:0], StudyError, "the cohort has no images"),
    ],
)
def test_what_a_cohort_cannot_serve(given, frame: pd.DataFrame, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_against(given, frame)


def test_unknown_structure() -> None:
    masks = {"subject": "p0", "image": "m0", "role": "mask", "structure": "nodule", "of": "i0"}
    both = table([*cohort().to_dict("records"), masks], COHORT)
    with pytest.raises(LabelError, match="did you mean 'nodule'"):
        check_against(study("segmentation", "nodul"), both)
